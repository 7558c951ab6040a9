"""The speed run: goals, the clock, the rules, the records. The races themselves are run by `gantutor speedrun`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import digits

from gantutor import cli, data, metrics, models
from gantutor.errors import BadInput
from gantutor.experiments import speedrun
from gantutor.experiments.speedrun import ENTRIES, RACES, Entry, Evaluation, Finish, Race
from gantutor.metrics import classifier
from gantutor.train import Recipe, Run

ANYTHING = Race("anything", most={"frechet": 1e9}, least={"recall": 0}, images="strokes", count=100)
SMALL = Recipe(batch_size=8)


def small(seed: int, classes: int = 0):
    return models.mlp(latent_dim=4, g_hidden=(8,), d_hidden=(8,), classes=classes, seed=seed)


@pytest.fixture
def few(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda name, split="train", device=None: digits(300, int(split == "test"), name))


@pytest.fixture
def clock(monkeypatch):
    """A clock that training moves on by a second a step, and judging by a thousand."""
    now = [0.0]
    monkeypatch.setattr(speedrun.time, "perf_counter", lambda: now[0])

    def slowly(function, seconds):
        def slow(*args):
            now[0] += seconds
            return function(*args)

        return slow

    monkeypatch.setattr(Run, "take_step", slowly(Run.take_step, 1))
    monkeypatch.setattr(speedrun, "score_images", slowly(speedrun.score_images, 1000))


def test_the_clock_counts_training_and_not_judging(few, clock):
    never = replace(ANYTHING, most={"frechet": -1.0})
    told = []
    finish = speedrun.run(never, Entry(small, SMALL, steps=9, judged_after=(2, 3, 7)), report=told.append)
    assert [(e.step, e.seconds) for e in finish.evaluations] == [(2, 2), (3, 3), (7, 7)]
    assert told == [*finish.evaluations]
    assert not finish.reached
    assert finish.seconds == 7


def test_a_run_ends_at_the_first_evaluation_that_meets_every_goal(few, clock, monkeypatch):
    seen = iter([{"frechet": 5.0, "recall": 0.1}, {"frechet": 9.1, "recall": 0.9}, {"frechet": 9.0, "recall": 0.5}])
    monkeypatch.setattr(speedrun, "score_images", lambda *args: next(seen))
    race = Race("", most={"frechet": 9}, least={"recall": 0.5}, images="strokes", count=100)
    finish = speedrun.run(race, Entry(small, SMALL, steps=9, judged_after=(1, 2, 4, 9)))
    assert finish.reached
    assert finish.seconds == finish.evaluations[-1].step == 4


def test_the_samples_that_are_judged_are_those_of_the_generator_that_comes_back(few):
    finish = speedrun.run(ANYTHING, Entry(small, SMALL, steps=3, judged_after=(3,)), seed=5)
    images, test = digits(300, 0, "strokes"), digits(300, 1, "strokes")
    again = Run(*small(5), images, SMALL, seed=5)
    list(again.steps(3))
    samples, j = again.sample(100), classifier.load("strokes")
    assert torch.equal(samples, speedrun.Run.sample(again, 100))
    features, reference = (
        classifier.features_and_logits(j, samples)[0],
        classifier.features_and_logits(j, test.pixels)[0],
    )
    assert finish.evaluations[0].scores["frechet"] == pytest.approx(metrics.frechet(features, reference))
    assert finish.evaluations[0].scores["recall"] == metrics.precision_and_recall(reference, features)[1]
    assert all(map(torch.equal, finish.G.parameters(), again.G_ema.parameters()))


def test_scores_tell_real_images_from_collapsed_and_from_mislabelled_ones():
    j, test = classifier.load("strokes"), digits(1000, 1)
    reference = classifier.features_and_logits(j, test.pixels)[0]
    turns = [torch.nonzero(test.labels == y)[:50, 0] for y in range(10)]
    in_turn = test.pixels[torch.stack(turns, 1).flatten()]  # 0, 1, 2, …
    real = speedrun.score_images(j, reference, True, in_turn)
    collapsed = speedrun.score_images(j, reference, True, in_turn[:10].repeat(50, 1, 1, 1))
    shifted = speedrun.score_images(j, reference, True, in_turn.roll(1, 0))
    assert real["accuracy"] > 0.98
    assert real["recall"] > 0.8
    assert real["frechet"] < collapsed["frechet"] / 10
    assert collapsed["recall"] < 0.1
    assert shifted["accuracy"] < 0.1
    assert shifted["frechet"] == pytest.approx(real["frechet"])
    assert set(speedrun.score_images(j, reference, False, in_turn)) == {"frechet", "recall"}


def test_stacked_pictures_are_read_digit_by_digit():
    j = classifier.load("strokes")
    pictures = data.stacked(digits(1000, 1, "strokes"), 3000)
    scores = speedrun.score_stacked(j, pictures.pixels)
    assert scores["modes"] == pytest.approx(len(pictures.labels.unique()), abs=3)
    assert speedrun.score_stacked(j, pictures.pixels[:1].repeat(9, 1, 1, 1))["modes"] == 1


@pytest.mark.parametrize("name", RACES)
def test_every_race_has_an_entry_that_keeps_its_rules(name):
    race, entry = RACES[name], ENTRIES[name]
    G, D = entry.nets(0)
    images = replace(race, images="strokes").start(None)[0] if race.stacked else digits(300, 0)
    assert G.classes == D.classes == (10 if race.conditional else 0)
    run = Run(G, D, images, entry.recipe, precision="fp32")
    step = next(run.steps(1))
    assert step.d_loss.isfinite()
    other = entry.nets(1)[0]
    assert any(not torch.equal(a, b) for a, b in zip(G.parameters(), other.parameters(), strict=True))


def test_the_rules_are_told(few):
    conditional = Entry(lambda seed: small(seed, 10), SMALL, steps=1, judged_after=(1,))
    with pytest.raises(
        BadInput, match="G has 10 classes and D has 10, but in this race neither net may get the labels"
    ):
        speedrun.run(ANYTHING, conditional)
    with pytest.raises(BadInput, match="G has 0 classes and D has 0, but in this race both must be conditional on 10"):
        speedrun.run(replace(ANYTHING, conditional=True), Entry(small, SMALL, steps=1, judged_after=(1,)))
    with pytest.raises(BadInput, match="did you mean 'conditional'"):
        speedrun.run("conditionel")
    with pytest.raises(BadInput, match="pass an entry"):
        speedrun.run(ANYTHING)


@pytest.mark.parametrize("judged_after", [(), (3, 2), (2, 2), (2, 10)])
def test_evaluations_come_in_order_and_within_the_steps(judged_after):
    with pytest.raises(BadInput, match="in ascending order, at most 9"):
        Entry(small, SMALL, steps=9, judged_after=judged_after)


# --- records ---------------------------------------------------------------------------------------------------------


def finished(seconds: float, reached: bool = True) -> Finish:
    evaluations = Evaluation(10, 1.0, {"frechet": 50.0}), Evaluation(2000, seconds, {"frechet": 8.25})
    return Finish(reached, evaluations, torch.nn.Flatten())


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ([finished(30), finished(20), finished(40)], "30.0 (20.0 to 40.0)"),
        ([finished(30)], "30.0 (30.0 to 30.0)"),
        ([finished(30), finished(90, False)], "30.0 (30.0 to 30.0); 1 of 2 did not reach the goals"),
        ([finished(90, False)], "1 of 1 did not reach the goals"),
    ],
)
def test_the_summary_gives_median_and_range_and_hides_no_failure(runs, told):
    assert speedrun.summary(runs) == told


def test_records_are_added_to_what_is_there(tmp_path):
    path = tmp_path / "records.md"
    speedrun.add_records(path)
    assert path.read_text(encoding="utf-8") == speedrun.HEADER
    for seconds in (20, 30):
        speedrun.add_records(path, speedrun.record_row("unconditional", [finished(seconds)], "cpu"))
    head, _, first, second = path.read_text(encoding="utf-8").splitlines()[-4:]
    assert "unconditional | 20.0 (20.0 to 20.0) | 1 | 2,000 | frechet 8.25" in first
    assert "30.0" in second
    assert f"{torch.get_num_threads()} threads" in second
    assert torch.__version__ in second
    assert len({line.count("|") for line in (head, first, second)}) == 1


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def race(few, monkeypatch) -> None:
    monkeypatch.setitem(RACES, "unconditional", ANYTHING)
    monkeypatch.setitem(ENTRIES, "unconditional", Entry(small, SMALL, steps=3, judged_after=(3,)))


def test_the_command_lists_the_races(capsys):
    assert cli.main(["speedrun"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*RACES]
    assert "frechet ≤" in lines[0]


def test_the_command_races_saves_the_samples_and_the_record(race, capsys):
    line = "speedrun unconditional --seeds 2 --device cpu --samples judged --record new/records.md"
    assert cli.main(line.split()) == 0
    out = capsys.readouterr().out
    assert out.count("step      3") == 2
    assert "Seconds of training: " in out
    with open("new/records.md", encoding="utf-8") as file:
        assert file.read().count("| unconditional |") == 1
    with np.load("judged/1.npz") as archive:
        assert archive["images"].shape == (100, 1, 28, 28)
        assert archive["images"].dtype == np.uint8


def test_the_command_says_with_its_status_that_a_run_did_not_arrive(race, capsys, monkeypatch):
    monkeypatch.setitem(RACES, "unconditional", replace(ANYTHING, most={"frechet": -1}))
    assert cli.main(["speedrun", "unconditional", "--seeds", "1", "--device", "cpu"]) == 1
    assert "1 of 1 did not reach the goals" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("speedrun unconditionel", "did you mean 'unconditional'"),
        ("speedrun unconditional --seeds 0", "--seeds is 0"),
        ("speedrun unconditional --device tpu", "unknown device"),
        ("speedrun unconditional --precision fp8", "unknown precision"),
        ("speedrun unconditional --record file/records.md", "cannot write"),
    ],
)
def test_the_command_says_what_it_cannot_do_before_it_trains(race, capsys, monkeypatch, line, said):
    monkeypatch.setattr(Run, "take_step", lambda run: pytest.fail("trained"))
    with open("file", "w", encoding="utf-8") as file:
        file.write("")
    assert cli.main(line.split()) == 2
    assert said in capsys.readouterr().err
