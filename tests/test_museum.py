"""The museum: each check stops the broken version alone, each symptom shows, the doctor sees what can be seen."""

import ast
import copy
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from drawn import digits

from gantutor import data, losses, museum, penalties
from gantutor.doctor import AILMENTS
from gantutor.errors import BadInput
from gantutor.museum import exhibits, measures, settings
from gantutor.museum.settings import train_side

EXHIBITS = list(museum.CATALOGUE.values())
SLOW = {e.id for e in EXHIBITS if e.harmless and e.id != "no-detach"}  # their checks train


def named(e: museum.Exhibit) -> str:
    return e.id


@pytest.fixture(scope="module")
def images() -> data.Images:
    return digits(3000, 0, "strokes")


# --- the catalogue ---------------------------------------------------------------------------------------------------


def test_the_catalogue_has_thirty_numbers_and_every_field():
    assert {int(re.match(r"\d+", e.number)[0]) for e in EXHIBITS} == set(range(1, 31))
    assert len({e.number for e in EXHIBITS}) == len({e.id for e in EXHIBITS}) == len(EXHIBITS)
    for e in EXHIBITS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", e.id)
        assert len(re.findall(r"[.?](?: |$)", e.cause)) == 2, f"{e.id}: the cause is told in two sentences"
        assert e.met.endswith(".")
        assert e.harmless <= (not e.findings)
        assert set(e.findings) <= set(AILMENTS)


def test_an_exhibit_is_found_by_id_and_by_number():
    assert museum.exhibit("double-sigmoid") is museum.exhibit("1")
    assert museum.exhibit("13b").id == "no-detach"
    with pytest.raises(BadInput, match="did you mean 'double-sigmoid'"):
        museum.exhibit("double-sigmod")
    with pytest.raises(BadInput, match="choose one of 16a, 16b, 16c"):
        museum.exhibit("16")
    assert museum.exhibit(3).id == "fleeing-generator"


@pytest.mark.parametrize("version", exhibits.VERSIONS)
@pytest.mark.parametrize("e", EXHIBITS, ids=named)
def test_the_code_of_a_piece_stands_alone_and_tells_no_name(e, version):
    code = e.code(version)
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    rooms = [module for name, module in sys.modules.items() if name.startswith("gantutor.museum.room_")]
    ours = {
        name
        for room in rooms
        for name, thing in vars(room).items()
        if getattr(thing, "__module__", "") == room.__name__
    }
    assert not names & ours
    assert '"""' not in code
    assert len(code.splitlines()) < 60


def test_the_code_of_a_sound_class_is_what_the_broken_one_replaces():
    code = museum.exhibit("frozen-noise").code("sound")
    assert "def noise" in code
    assert "def take_step" not in code


def test_the_code_of_a_piece_does_not_tell_its_name():
    code = museum.exhibit("images-as-logits").code()
    assert "class Piece(Part1)" in code
    assert "softplus(fake)" in code
    assert "ImagesAsLogits" not in code
    assert '"""' not in code
    assert "def d_loss(real_logits" in museum.exhibit("double-sigmoid").code()
    assert "def piece(seed" in museum.exhibit("range-0-1").code()


# --- the checks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e", EXHIBITS, ids=named)
def test_the_check_stops_the_broken_version_only(e):
    assert e.caught(seed=0) == {"broken": not e.harmless, "sound": False}


@pytest.mark.slow
@pytest.mark.parametrize("e", [e for e in EXHIBITS if e.id not in SLOW], ids=named)
def test_the_check_never_wavers(e):
    for seed in range(30):
        assert e.caught(seed) == {"broken": not e.harmless, "sound": False}


@pytest.mark.slow
@pytest.mark.hours
@pytest.mark.parametrize("e", [e for e in EXHIBITS if e.id in SLOW], ids=named)
def test_the_check_of_the_harmless_never_wavers(e):
    for seed in range(30):
        assert e.caught(seed) == {"broken": False, "sound": False}


def test_harmlessness_can_be_refuted():
    """The check that the harmless pass stops a pair that learns nothing."""
    e = museum.exhibit("eps-for-momentum")
    assert exhibits.stops(e.check, museum.exhibit("layers-made-anew").broken)
    assert exhibits.stops(museum.exhibit("gp-beyond-both").check, lambda D, real, fake: 0 * penalties.r1(D, real, fake))
    assert exhibits.stops(museum.exhibit("no-detach").check, museum.exhibit("g-first").broken)


@pytest.mark.parametrize("loss", losses.LOSSES.values(), ids=lambda loss: loss.name)
def test_the_checks_of_signs_pass_every_loss_of_the_package(loss):
    for id in ("fleeing-generator", "reversed-discriminator", "both-signs", "common-loss", "never-fakes"):
        assert not exhibits.stops(museum.exhibit(id).check, loss)


def test_g_first_with_new_fakes_is_sound_and_each_check_lets_it_pass():
    """A variation that is no mistake: fakes drawn again for G's turn."""
    sound = museum.exhibit("one-optimizer").sound
    for id in (
        "images-as-logits",
        "no-reuse",
        "nothing-to-train",
        "one-optimizer",
        "g-first",
        "frozen-noise",
        "noise-for-data",
    ):
        assert not exhibits.stops(museum.exhibit(id).check, sound)


def test_a_check_that_errs_is_not_a_check_that_stops():
    with pytest.raises(AttributeError):
        exhibits.stops(lambda loss: loss.nothing, losses.HINGE)


def test_checks_draw_from_the_seed_and_leave_the_stream_alone():
    drawn = []
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for seed in (1, 1, 2):
        exhibits.stops(lambda piece: drawn.append(torch.rand(()).item()), None, seed)
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.get_rng_state(), before)


# --- grading ---------------------------------------------------------------------------------------------------------


def sure(loss):
    logits = torch.full((4,), 20.0)
    assert loss.d(logits, -logits) < 0.1


def never(loss):
    pass


def always(loss):
    raise AssertionError


@pytest.mark.parametrize(
    ("check", "good", "says"),
    [
        (sure, True, "A good check."),
        (never, False, "lets pass the broken version"),
        (always, False, "stops the sound version"),
        (lambda loss: loss.nothing, False, "raised AttributeError"),
    ],
)
def test_a_check_of_ones_own_is_graded(check, good, says):
    grade = museum.grade("double-sigmoid", check)
    assert grade.good is good
    assert says in str(grade)


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e", EXHIBITS, ids=named)
def test_every_exhibit_runs_both_versions(e, images):
    outcome = e.run(3, images=images, seed=1)
    for name in exhibits.VERSIONS:
        side = getattr(outcome, name)
        assert {len(values) for values in side.history.values()} == {side.run.step}
        assert side.run.step == (1 if name == "broken" and e.id == "epoch-of-one-step" else 3)
        assert len(side.samples) == 1000
    assert outcome.measured() == outcome.measured()
    if e.id not in SLOW:
        assert e.title in outcome.verdict()


def test_the_same_seed_gives_the_same_numbers(images):
    e = museum.exhibit("never-fakes")
    first, again, other = (e.run(3, images=images, seed=seed) for seed in (0, 0, 1))
    assert first.broken.history == again.broken.history
    assert torch.equal(first.sound.samples, again.sound.samples)
    assert torch.equal(
        torch.cat([first.images.pixels, first.held_out.pixels]), images.pixels
    )  # apart, and nothing lost
    assert len(first.held_out) == 1000
    assert first.sound.history != other.sound.history


PLUGS = ("common-loss", "root-of-zero", "g-first", "rows-for-images", "sampling-in-train-mode", "mingled-label-map")


@pytest.mark.parametrize("id", PLUGS)
def test_the_versions_differ_by_the_piece_alone(id, images):
    """With the sound piece in both places the two sides are the same, bit for bit."""
    e = museum.exhibit(id)
    outcome = replace(e, broken=e.sound).run(3, images=images)
    assert outcome.broken.history == outcome.sound.history
    assert torch.equal(outcome.broken.samples, outcome.sound.samples)
    assert not outcome.shows()


@pytest.mark.parametrize("id", ["fleeing-generator", "images-as-logits", "everyone-agrees"])
def test_a_loud_symptom_shows_soon(id, images):
    assert museum.exhibit(id).run(100, images=images).as_expected()


def test_measuring_leaves_the_run_as_it_was(images):
    for id in ("frozen-batch", "sampling-in-train-mode"):
        outcome = museum.exhibit(id).run(3, images=images)
        symptom = outcome.exhibit.symptom
        assert symptom.of(outcome.sound, images) == symptom.of(outcome.sound, images) == outcome.measured()["sound"]
        assert symptom.of(outcome.broken, images) == outcome.measured()["broken"]


def test_bad_input_is_told(images):
    e = museum.exhibit("common-loss")
    with pytest.raises(BadInput, match="steps is 0"):
        e.run(0, images=images)
    few = data.Images("strokes", images.pixels[:1500], images.labels[:1500], images.classes)
    with pytest.raises(BadInput, match="only 1500 images: give at least 2000"):
        e.run(3, images=few)
    large = data.Images("faces", torch.zeros(2000, 3, 32, 32), torch.zeros(2000, dtype=torch.int64), ("face",))
    with pytest.raises(BadInput, match="faces are 3×32×32"):
        e.run(3, images=large)
    with pytest.raises(BadInput, match="images is a Tensor"):
        e.run(3, images=images.pixels)
    with pytest.raises(BadInput, match="unknown version 'mended'"):
        e.code("mended")
    with pytest.raises(BadInput, match="makes points"):
        museum.exhibit("seven-of-eight").run(1, images=images).diagnosis()
    with pytest.raises(BadInput, match="is harmless"):
        museum.grade("no-detach", never)


def test_a_symptom_knows_its_bounds():
    symptom = museum.exhibit("fleeing-generator").symptom
    assert symptom.is_healthy(0.0)
    assert not symptom.is_healthy(-20.0)
    assert not symptom.is_healthy(float("nan"))
    assert symptom.bounds == "at least -3"


def test_d_hurries_at_first_and_a_late_g_waits_for_it(images, monkeypatch):
    monkeypatch.setattr(settings.LateG, "hurried", 2)
    run = settings.late_g(images).run(0)
    weights, rate = copy.deepcopy(run.G.state_dict()), run.recipe.lr_d

    def rates():
        return [optimizer.param_groups[0]["lr"] for optimizer in (run.opt_g, run.opt_d)]

    steps = run.steps(40)
    for _ in range(2):
        next(steps)
        assert rates() == [0, 10 * rate]
    assert all(torch.equal(p, weights[name]) for name, p in run.G.named_parameters())
    next(steps)
    assert rates() == [run.recipe.lr_g, rate]
    assert {state["step"].item() for state in run.opt_g.state.values()} == {1}  # it has begun afresh
    assert not torch.equal(next(run.G.parameters()), weights[next(iter(weights))])
    hasty = settings.hasty_d(images).run(0)
    next(hasty.steps(40))
    assert [o.param_groups[0]["lr"] for o in (hasty.opt_g, hasty.opt_d)] == [run.recipe.lr_g, 10 * rate]


def test_a_mean_before_g_learns_takes_only_these_steps():
    history = {"d_real": [2.0] * settings.LateG.hurried + [100.0] * 50}
    side = settings.Side(None, None, None, history, torch.zeros(1))
    assert measures.mean_before_g_learns("d_real")(side, None) == 2


# --- what shows, and what the doctor says -----------------------------------------------------------------------------

SOUND: dict[tuple, tuple] = {}


@pytest.fixture(scope="module")
def table(request) -> Iterator[dict[str, str]]:
    """The lines of exhibit × finding by id, which the tests below write; printed when they are done."""
    lines: dict[str, str] = {}
    yield lines
    title = f"{'exhibit':30} {'broken':>11} {'sound':>11}   {'the doctor, of the broken one alone':45} of the sound one"
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    for line in ("", "", title, *(lines[e.id] for e in EXHIBITS if e.id in lines)):
        reporter.write_line(line)


def outcome_of(e: museum.Exhibit, seed: int = 0) -> tuple[museum.Outcome, tuple[str, ...]]:
    """The exhibit's outcome and what the doctor says of its sound version, which several exhibits share."""
    images, held_out = exhibits.hold_out(data.load("mnist"))
    steps = e.examined or e.steps
    broken = train_side(e.parts(e.broken, images), steps, seed, e.broken)
    key = e.sound, e.plug, e.setting, steps, seed
    if key not in SOUND:
        sound = train_side(e.parts(e.sound, images), steps, seed, e.sound)
        outcome = museum.Outcome(e, broken, sound, images, held_out, seed)
        SOUND[key] = sound, outcome.diagnosis("sound").names if sound.samples.ndim == 4 else ()
    sound, names = SOUND[key]
    return museum.Outcome(e, broken, sound, images, held_out, seed), names


def shown(e: museum.Exhibit) -> str:
    """Train both versions; assert that the symptom shows and the doctor agrees; return a line of the table."""
    outcome, sound = outcome_of(e)
    assert outcome.shows(), outcome.verdict()
    broken = outcome.diagnosis("broken").names if outcome.broken.samples.ndim == 4 else ()
    matching = [name for name in e.findings if name in broken and name not in sound]
    assert bool(matching) == bool(e.findings), f"broken: {broken}, sound: {sound}"
    numbers = " ".join(f"{value:11.4g}" for value in outcome.measured().values())
    return f"{e.number:>3} {e.id:26} {numbers}   {', '.join(matching) or '-':45} {', '.join(sound) or 'healthy'}"


needs_mnist = pytest.mark.skipif("GANTUTOR_DATA" not in os.environ, reason="the table is made on MNIST")
BRIEF = (
    *("reversed-discriminator", "everyone-agrees", "never-fakes"),
    *("log-of-sigmoid", "images-as-logits", "nothing-to-train"),
)


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("e", [e for e in EXHIBITS if e.id in BRIEF], ids=named)
def test_the_symptom_shows_and_the_doctor_names_it(e, table):
    table[e.id] = shown(e)


@needs_mnist
@pytest.mark.slow
@pytest.mark.hours
@pytest.mark.parametrize("e", [e for e in EXHIBITS if e.id not in BRIEF], ids=named)
def test_the_symptom_of_a_longer_run_shows_and_the_doctor_names_it(e, table):
    table[e.id] = shown(e)


@needs_mnist
@pytest.mark.slow
@pytest.mark.hours
def test_a_large_eps_catches_up():
    measured = museum.exhibit("eps-for-momentum").run(2700, images=data.load("mnist")).measured()
    assert measured["broken"] < 1.3 * measured["sound"]
