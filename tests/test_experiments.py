"""Experiments: statistics against SciPy and closed forms, counted compute, and records that are made, broken off and
completed.
"""

import io
import json
import math
import re
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import nn
from torch.nn.functional import cross_entropy

from gantutor import cli, experiments, models, show
from gantutor.data import faces, toy
from gantutor.errors import BadInput
from gantutor.experiments import catalogue, comparison, compute, execution, fitting, material, record
from gantutor.experiments.experiment import BUDGETS, Experiment, Trace
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.show import records
from gantutor.train import Recipe, Run

TINY = BUDGETS["tiny"]

# --- statistics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1, 1.7, 2, 4, 9.5, 60, 1000])
def test_students_distribution_is_scipys(freedom):
    for t in (0.0, 0.2, 1.0, 3.0, 15.0):
        assert math.isclose(comparison.t_below(t, freedom), stats.t.cdf(t, freedom), abs_tol=1e-11)
    for confidence in (0.5, 0.95, 0.999):
        expected = stats.t.ppf((1 + confidence) / 2, freedom)
        assert math.isclose(comparison.t_quantile(confidence, freedom), expected, rel_tol=1e-8)


def test_one_degree_of_freedom_is_cauchys():
    for t in (0.5, 1.0, 7.0):
        assert math.isclose(comparison.t_below(t, 1), 0.5 + math.atan(t) / math.pi, abs_tol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_two_means_are_compared_as_scipy_does(seed):
    draw = np.random.default_rng(seed)
    a, b = draw.normal(0, 1, 5), draw.normal(1, 4, 7)
    expected = stats.ttest_ind(a, b, equal_var=False)
    found = experiments.compare(a, b, confidence=0.9)
    low, high = expected.confidence_interval(0.9)
    assert np.allclose(found, (a.mean() - b.mean(), low, high, expected.pvalue))


def test_two_means_by_hand():
    """Variances 1 and 1, three values each: error √(2/3), four degrees of freedom, t = 2.776."""
    found = experiments.compare([4, 5, 6], [1, 2, 3])
    assert np.allclose(found[:3], (3, 3 - 2.7764 * math.sqrt(2 / 3), 3 + 2.7764 * math.sqrt(2 / 3)), atol=1e-4)


def test_equal_values_without_spread():
    assert experiments.compare([1, 1], [1, 1]) == (0, 0, 0, 1)
    assert experiments.compare([1, 1], [0, 0]) == (1, 1, 1, 0)


def test_holms_correction_of_a_textbook_example():
    assert np.allclose(experiments.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert experiments.holm([0.6, 0.7]) == [1.0, 1.0]
    assert experiments.holm([]) == []


def test_several_rows_are_corrected_together():
    rows = {"base": [1.0, 2, 3], "a": [2.0, 3, 4], "b": [9.0, 10, 11]}
    alone = {name: experiments.compare(rows[name], rows["base"]) for name in "ab"}
    found = experiments.compare_all(rows, "base")
    assert list(found) == ["a", "b"]
    assert [found[name].p for name in "ab"] == experiments.holm([alone[name].p for name in "ab"])
    assert found["a"][:3] == alone["a"][:3]


@pytest.mark.parametrize(("values", "words"), [([1.0], "at least two"), ([1.0, math.nan], "finite"), ([[1.0]], "two")])
def test_values_that_cannot_be_compared(values, words):
    with pytest.raises(BadInput, match=words):
        experiments.compare([1, 2], values)


# --- counted compute -------------------------------------------------------------------------------------------------


def test_the_compute_of_a_step_by_hand():
    """Dense nets 2 → 3 → 2 and 2 → 5 → 1, batch B. A product costs its size forward, once more for the gradient of the
    weights, and once more for that of its input where someone asks for it.
    """
    B, G_layers, D_layers = 16, (2 * 3, 3 * 2), (2 * 5, 5 * 1)
    G, D = models.mlp((2,), 2, (3,), (5,), False, "linear")
    run = Run(G, D, toy.ring().sample(100, 0), Recipe(batch_size=B, penalty=None, loss=Recipe().loss))
    of_g = 3 * sum(G_layers) - G_layers[0]
    d_turn = 2 * (3 * sum(D_layers) - D_layers[0])  # real and fake; nobody asks for the gradient of the images
    g_turn = 2 * sum(D_layers)  # D's weights are frozen: forward, and back to the fakes
    assert compute.of_a_step(run) == B * (of_g + d_turn + g_turn)


def test_a_lazy_penalty_counts_by_its_share():
    def cost(**options):
        G, D = models.plane(0)
        return compute.of_a_step(Run(G, D, toy.ring().sample(100, 0), Recipe(batch_size=8, **options)))

    plain, every = cost(penalty=None), cost(penalty_every=1)
    assert plain < every
    assert math.isclose(cost(penalty_every=4), plain + (every - plain) / 4)


def test_rows_get_the_compute_of_the_base():
    base = Training(models.plane, "ring", Recipe(), steps=1000)
    rows = with_equal_compute("base", {"base": base, "5": replace(base, recipe=replace(base.recipe, d_steps=5))})
    whole = {name: row.cost(BUDGETS["full"]) for name, row in rows.items()}
    assert rows["base"].steps == 1000 > rows["5"].steps
    assert math.isclose(whole["base"], whole["5"], rel_tol=0.01)


# --- records ---------------------------------------------------------------------------------------------------------


def nets(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp((2,), 2, (8,), (8,), False, "linear", seed)


def small(**changes) -> Training:
    return Training(nets, "ring", Recipe(batch_size=8, **changes), steps=60, looks=3, shown=5)


ROWS = {"base": small(), "fast": small(lr_d=0.01), "all at once": replace(small(), together=True)}
SMALL = Experiment("Does it work?", lambda: ROWS, "base", range(2))


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr(catalogue, "find", lambda name: SMALL)
    monkeypatch.setitem(ROWS, "fast", ROWS["fast"])  # put back at the end, whatever a test has put there


def values(found: record.Record) -> dict:
    return {name: {s: v.tolist() for s, v in row.values.items()} for name, row in found.rows.items()}


def test_a_record_is_what_its_runs_gave(planted, tmp_path):
    found = experiments.perform("small", tmp_path)
    assert (found.name, found.question, found.base, found.missing) == ("small", "Does it work?", "base", ())
    row = found.rows["fast"]
    run = ROWS["fast"].run([1], BUDGETS["full"])
    scores = [
        material.load("ring", BUDGETS["full"]).score(run.sample(5000, seed=1))
        for step in run.steps(60)
        if step.index in (20, 40, 60)
    ]
    assert row.steps.tolist() == [20, 40, 60]
    assert row.compute[-1] == pytest.approx(ROWS["fast"].cost(BUDGETS["full"]), rel=1e-3)
    assert np.allclose(row.values["reverse KL"][1], [s["reverse KL"] for s in scores], rtol=1e-3)
    assert row.points.shape == (5, 2)


def test_an_ensemble_measures_what_single_runs_do(planted, tmp_path):
    found = experiments.perform("small", tmp_path)
    for score, one in found.rows["base"].values.items():
        assert np.allclose(one, found.rows["all at once"].values[score], rtol=0.02, atol=0.002), score


def test_a_broken_off_measurement_goes_on_to_the_same_record(planted, tmp_path):
    whole = experiments.perform("small", tmp_path / "whole")
    seen = []

    def break_off(progress):
        seen.append(progress.task)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiments.perform("small", tmp_path / "part", report=break_off)
    part = experiments.load("small", str(tmp_path / "part"))
    assert len(part.missing) == 6 - sum(len(task.seeds) for task in seen) > 0
    rest = []
    again = experiments.perform("small", tmp_path / "part", report=lambda progress: rest.append(progress.task))
    assert not set(rest) & set(seen)
    assert values(again) == values(whole)


def test_several_processes_make_the_same_record(tmp_path):
    """Of an experiment that the other processes can find by its name."""
    options = {"rows": ["R1, no momentum", "no R1"], "seeds": [0], "budget": "tiny"}
    one = experiments.perform("ring_momentum", tmp_path / "1", **options)
    two = experiments.perform("ring_momentum", tmp_path / "2", jobs=2, **options)
    assert values(one) == values(two)


def test_a_row_with_other_settings_is_measured_anew(planted, tmp_path):
    experiments.perform("small", tmp_path)
    ROWS["fast"] = small(lr_d=0.02)
    assert list(record.stale(record.read("small", tmp_path), ROWS)) == ["fast"]
    done = []
    experiments.perform("small", tmp_path, report=lambda progress: done.append(progress.task.row))
    assert done == ["fast", "fast"]


def test_code_that_computes_something_else_makes_a_record_stale(planted, tmp_path, monkeypatch):
    experiments.perform("small", tmp_path)
    plain = record.read("small", tmp_path)
    assert record.stale(plain, ROWS) == {}
    step = Run.d_step
    monkeypatch.setattr(Run, "d_step", lambda self, real, fake, *rest: step(self, real, 0.5 * fake, *rest))
    assert set(record.stale(plain, ROWS)) == {"base", "fast", "all at once"}


def test_other_seeds_are_added(planted, tmp_path):
    experiments.perform("small", tmp_path, rows=["base"], seeds=[1])
    found = experiments.perform("small", tmp_path, rows=["base"], seeds=[0, 5])
    assert found.rows["base"].seeds == (0, 1, 5)
    assert ("fast", 5) in found.missing


def test_a_run_that_diverges_is_recorded_as_such(monkeypatch, tmp_path):
    rows = {"base": small(lr_g=1e30, lr_d=1e30), "sound": small()}
    monkeypatch.setattr(catalogue, "find", lambda name: Experiment("?", lambda: rows, "base", range(2)))
    found = experiments.perform("small", tmp_path)
    assert np.isnan(found.rows["base"].values["d_loss"]).all()
    assert np.isfinite(found.rows["sound"].values["modes"]).all()
    with pytest.raises(BadInput, match="finite"):
        found.compare("d_loss")


def test_a_seed_that_diverges_at_once_keeps_the_others_readable(tmp_path):
    plain = record.begin("small", SMALL, ROWS, "full")
    for seed, scores in enumerate([{"modes": 3.0, "d_loss": 1.0}, {"d_loss": math.nan}]):
        trace = Trace()
        trace.add(20, 1.0, scores)
        record.add(plain, "base", ROWS["base"], seed, trace)
    record.write(plain, tmp_path)
    found = experiments.load("small", tmp_path).rows["base"].values
    assert np.array_equal(found["modes"], [[3], [math.nan]], equal_nan=True)
    assert np.array_equal(found["d_loss"], [[1], [math.nan]], equal_nan=True)


def test_scores_between_two_looks_lie_on_a_line(planted, tmp_path):
    found = experiments.perform("small", tmp_path, seeds=[0])
    row = found.rows["base"]
    middle = (row.compute[0] + row.compute[1]) / 2
    assert found.at("d_loss", middle)["base"][0] == pytest.approx(row.values["d_loss"][0, :2].mean())
    assert found.at("d_loss")["base"][0] == row.values["d_loss"][0, -1]
    with pytest.raises(BadInput, match="'base' was judged between"):
        found.at("d_loss", 2 * row.compute[-1])


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "damaged"), ("[]", "format"), ('{"format": 99}', "format"), (None, "no records")],
)
def test_a_bad_record_is_named(text, words, tmp_path):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInput, match=words):
        experiments.load("x", tmp_path)


def test_a_record_of_another_budget_is_not_mixed_in(planted, tmp_path):
    experiments.perform("small", tmp_path, budget="quick")
    before = (tmp_path / "small.json").read_bytes()
    with pytest.raises(BadInput, match="budget 'quick'"):
        experiments.perform("small", tmp_path)
    assert (tmp_path / "small.json").read_bytes() == before


def test_a_record_goes_on_with_the_same_pictures_only(monkeypatch, tmp_path):
    told = ["600 pictures, SHA-256 a"]
    mine = replace(SMALL, source=lambda: told[-1])
    monkeypatch.setattr(catalogue, "find", lambda name: mine)
    experiments.perform("small", tmp_path, rows=["base"], seeds=[0], budget="quick")
    experiments.perform("small", tmp_path, rows=["base"], seeds=[1], budget="quick")
    before = (tmp_path / "small.json").read_bytes()
    told.append("600 pictures, SHA-256 b")
    with pytest.raises(BadInput, match="was measured on 600 pictures, SHA-256 a, and not on 600 pictures, SHA-256 b"):
        experiments.perform("small", tmp_path, rows=["base"], seeds=[2], budget="quick")
    assert (tmp_path / "small.json").read_bytes() == before


def test_a_folder_with_too_few_pictures_is_refused_before_anything_is_trained(monkeypatch, tmp_path):
    drawn = faces.draw(70, seed=0, size=32).pixels.permute(0, 2, 3, 1).numpy()
    for i, picture in enumerate(drawn):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    monkeypatch.setenv(material.PICTURES, str(tmp_path))
    material.all_pictures.cache_clear()
    with pytest.raises(BadInput, match="there are 70 pictures, and a sixth is held out: to train on 2,500 takes 3,000"):
        experiments.perform("small_data", tmp_path / "records", budget="quick")
    assert material.described_pictures(50).startswith("70 pictures, SHA-256 ")
    assert not (tmp_path / "records").exists()
    material.all_pictures.cache_clear()


def test_the_sheet_of_samples_shows_them_row_by_row(tmp_path):
    from PIL import Image

    images = torch.linspace(-1, 1, 25)[:, None, None, None].expand(25, 1, 4, 4)
    record.write_sheet(images, tmp_path / "a.png")
    sheet = np.array(Image.open(tmp_path / "a.png"))
    assert sheet.shape == (8, 40)  # two full rows of ten
    assert sheet[0, 0] == 0
    assert abs(sheet[5, 13] - (images[13, 0, 0, 0].item() + 1) * 127.5) <= 8.5
    assert set(np.unique(sheet)) <= set(range(0, 256, 17))  # sixteen levels


def test_scores_that_are_missing_at_a_look_are_nan():
    trace = Trace()
    trace.add(1, 1.0, {"d_loss": 2.0})
    trace.add(2, 2.0, {"d_loss": 1.0, "modes": 3})
    trace.add(3, 3.0, {"d_loss": 0.5})
    assert trace.values["d_loss"] == [2.0, 1.0, 0.5]
    assert np.array_equal(trace.values["modes"], [math.nan, 3, math.nan], equal_nan=True)


class Counting(fitting.Model):
    """Costs 100 in each step, and 1000 more in the middle."""

    def __init__(self, images, seed):
        super().__init__(images, seed)
        self.shares = []

    def step(self, done):
        self.shares.append(done)
        self.counted("step", lambda: torch.ones(1, 10) @ torch.ones(10, 10))
        if done >= 0.5 and "once" not in self.costs:
            self.counted("once", lambda: torch.ones(1, 10) @ torch.ones(10, 100))

    def sample(self, n, seed):
        return torch.zeros(n, 1, 28, 28)


def test_a_model_is_trained_until_its_compute_is_spent():
    row = fitting.Fitting(Counting, "strokes for the test", 3000.0, looks=2)
    budget = BUDGETS["full"]._replace(samples=200)
    images = material.published("mnist", "train", True)
    examples = material.Material(images, lambda samples: {"n": len(samples)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(material, "load", lambda name, budget: examples)
        ((seed, trace),) = row.traces([4], budget)
    assert seed == 4
    assert trace.compute == [1500, 3000]
    assert trace.steps == [15, 20]  # and not 30: what happens once costs as much as ten of them
    assert trace.values == {"n": [200, 200], "multiply-adds per sample": [0, 0]}


@pytest.mark.parametrize("name", ["rivals", "detectors", "museum_sides"])
def test_what_is_measured_on_the_cpu_says_so(name):
    row = list(experiments.find(name).rows().values())[-1]
    with pytest.raises(BadInput, match="measured on the CPU"):
        list(row.traces([0], TINY, "cuda"))


def test_labels_drawn_anew_reach_g_and_d_with_the_fakes_only():
    run = experiments.find("telling_the_label").rows()["labels drawn anew"].run([0], TINY)
    seen = []
    given = run.D_pass.given
    object.__setattr__(run.D_pass, "given", lambda y: seen.append(y) or given(y))
    batch = run.batch
    run.batch = lambda: batches.append(batch()) or batches[-1]
    batches: list = []
    run.train_step(penalise=False)
    ((_, y),) = batches
    assert not torch.equal(run.asked, y)
    assert [torch.equal(labels, y) for labels in seen] == [True, False, False]  # D: real, fake; G: fake
    assert all(torch.equal(labels, run.asked) for labels in seen[1:])


def test_the_auxiliary_classifier_learns_the_labels():
    run = experiments.find("telling_the_label").rows()["auxiliary classifier"].run([0], TINY)
    x, y = run.batch()
    before = cross_entropy(run.D.both(x)[1], y).item()
    for _ in run.steps(40):
        pass
    assert before > 2.2 > 1.5 > cross_entropy(run.D.both(x)[1], y).item()  # log 10 = 2.3


def test_the_auxiliary_classifier_costs_no_second_pass():
    """A row that passed every batch through D twice would get fewer steps than it deserves."""
    rows = experiments.find("telling_the_label").rows()
    assert rows["auxiliary classifier"].of_a_step() == pytest.approx(rows["projection"].of_a_step(), rel=0.01)


# --- the experiments of the course -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_experiment_runs_and_its_record_is_up_to_date(name):
    """Each row at a tiny budget: whatever has a record gives the numbers that it had then."""
    experiment = experiments.find(name)
    rows = experiment.rows()
    assert experiment.base in rows
    assert len(experiment.seeds) >= (3 if name in ("museum_sides", "small_data") else 5)
    plain = record.read(name) if name in record.names() else {"rows": {}}
    assert record.stale(plain, rows) == {}
    for missing in set(rows) - set(plain["rows"]):
        found = record.tiny(rows[missing])
        assert found
        assert "broken" in missing or None not in found.values()  # None where it is NaN


def test_records_are_small_and_belong_to_an_experiment():
    files = list(record.folder().glob("*"))
    assert {path.stem for path in files if path.suffix == ".json"} <= set(experiments.NAMES)
    assert all(path.stat().st_size <= 200_000 for path in files)
    assert sum(path.stat().st_size for path in files) <= 4_000_000


def test_few_images_are_always_the_same_ones_of_all():
    everything = material.load("mnist", TINY).examples.pixels
    few = material.load("mnist, 300 images", TINY).examples
    assert few.shape == (300, 1, 28, 28)
    assert torch.equal(few, material.few_images("mnist", 300, TINY).examples)
    known = {image.numpy().tobytes() for image in everything}
    assert {image.numpy().tobytes() for image in few} <= known
    assert not torch.equal(few, everything[:300])  # drawn, not the first


def test_more_compute_is_spent_on_a_wider_net():
    rows = experiments.find("growth").rows()
    assert rows["width 64, batch 64"].of_a_step() > 3 * rows["width 32, batch 64"].of_a_step()


def test_the_choices_for_larger_images_are_those_of_the_record():
    found = experiments.load("larger_images")
    distance, recall, checks = (found.compare(score) for score in ("frechet", "recall", "checkerboard"))
    means = {name: round(float(values.mean())) for name, values in found.at("frechet").items()}
    assert found.missing == ()
    text = " ".join(models.for_images.__doc__.split())
    assert f"no worse ({means['transposed convolutions']} for {means['our choice']}" in text
    assert f"plain resizing is worse ({means['resizing']})" in text
    assert f"nothing certain ({means['no modulation']} without it)" in text
    assert recall["no modulation"].high < 0 < 0.05 - recall["no modulation"].p
    assert f"no effect is to be seen ({means['no minibatch std']} without)" in text
    assert f"G takes only {found.rows['G twice as wide'].steps[-1]:,} steps" in text
    assert f"({means['G twice as wide']}, with one run at {found.at('frechet')['G twice as wide'].max():.0f})" in text
    assert distance["resizing"].p < 0.05 < distance["transposed convolutions"].p
    assert min(distance[name].p for name in ("no modulation", "no minibatch std", "G twice as wide")) > 0.1
    assert recall["transposed convolutions"].low > 0
    assert checks["transposed convolutions"].p < 0.01
    level = {name: values.mean() for name, values in found.at("checkerboard").items()}
    assert round(level["transposed convolutions"] / level["our choice"]) == 8
    text = " ".join(Recipe.for_images.__doc__.split())
    assert f"is {means['our choice']}, and {means['batch of 64']} in batches of 64" in text
    assert f"a tenth of that the distance is {means['a tenth of the penalty']}" in text
    assert distance["batch of 64"].p > 0.1
    assert max(recall[name].p for name in ("batch of 64", "a tenth of the penalty")) < 0.01


# --- pictures and the command ----------------------------------------------------------------------------------------


def test_pictures_of_a_record_show_its_numbers(planted, tmp_path):
    found = experiments.perform("small", tmp_path)
    (axes,) = show.record(found, "d_loss", ["fast", "base"], over="steps").axes
    base = axes.lines[0]
    assert base.get_label() == "base"
    assert axes.get_ylabel() == "D's loss"
    assert np.allclose(base.get_ydata(), found.rows["base"].values["d_loss"].mean(0))
    assert base.get_xdata().tolist() == [20, 40, 60]
    band = axes.collections[0].get_paths()[0].vertices
    low, high = experiments.interval(found.rows["base"].values["d_loss"][:, -1])[1:]
    last = band[np.isclose(band[:, 0], 60), 1]
    assert np.isclose(last, low).any()
    assert np.isclose(last, high).any()
    (axes,) = show.record(found, "d_loss", over="steps", each=True).axes
    assert len(axes.lines) == sum(len(row.seeds) for row in found.rows.values())
    assert np.allclose(axes.lines[1].get_ydata(), found.rows["base"].values["d_loss"][1])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(found.rows)
    (axes,) = show.seeds(found, "d_loss").axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["base", "fast", "all at once"]
    assert np.allclose(axes.lines[0].get_xdata(), found.at("d_loss")["base"])
    mean = next(line for line in axes.lines if line.get_linestyle() == ":")
    assert np.allclose(mean.get_xdata(), found.at("d_loss")["base"].mean())
    assert len(axes.containers) == 3  # a bar for each row
    assert not show.seeds(found, "d_loss", bars=False).axes[0].containers
    (axes,) = show.seeds(found, "d_loss", marked=["fast"]).axes
    colours = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert len(set(colours)) == 3  # of the base, of what is marked, of the others
    (axes,) = show.seeds(found, "d_loss", ["fast", "base"]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["fast", "base"]  # as they were asked for
    with pytest.raises(BadInput, match="unknown row 'slow'"):
        show.seeds(found, "d_loss", marked=["slow"])
    (axes,) = show.record(found, "d_loss", ["fast"], ylim=(0.1, 5), title="fast").axes
    assert (axes.get_legend(), axes.get_ylim()) == (None, (0.1, 5))


def test_pictures_of_what_a_record_lacks(planted, tmp_path):
    found = experiments.perform("small", tmp_path)
    with pytest.raises(BadInput, match=re.escape("unknown score 'frechet'")):
        show.record(found, "frechet")
    with pytest.raises(BadInput, match="unknown row 'slow'"):
        show.seeds(found, "d_loss", ["slow"])


def test_a_film_shows_samples_and_shares_of_each_look(monkeypatch, tmp_path):
    monkeypatch.setitem(material.MATERIALS, "drawn", lambda budget: material.images("mnist", False, TINY))
    row = Training(
        lambda seed: models.mlp(g_hidden=(8,), d_hidden=(8,), seed=seed), "drawn", steps=6, looks=3, film=True
    )
    monkeypatch.setattr(
        catalogue, "find", lambda name: Experiment("Does it?", lambda: {"base": row}, "base", seeds=[0])
    )
    found = experiments.perform("filmed", tmp_path)
    sheet = np.asarray(Image.open(found.sheets["base"]))
    assert sheet.shape == (3 * 28, 10 * 28)
    run = row.run([0], TINY)
    for _ in zip(range(2), run.steps(6), strict=False):
        pass
    first = ((run.sample(5000, seed=1)[:10] + 1) * 127.5).round().squeeze(1)  # (10, 28, 28)
    assert np.abs(sheet[:28].astype(float) - torch.cat(list(first), 1).numpy()).max() <= 9  # in 16 greys
    left, right = show.film(found, "base").axes
    assert np.abs(left.images[0].get_array() - sheet.astype(float)).max() <= 8.5  # in 16 greys
    assert [text.get_text() for text in left.get_yticklabels()] == ["2", "4", "6"]
    shares = np.stack([found.rows["base"].values[f"class {i}"][0] for i in range(10)], 1)
    assert [text.get_text() for text in right.texts] == [f"{100 * share:.0f}" for share in shares.flatten()]
    with matplotlib.rc_context({"figure.constrained_layout.use": True, "axes.grid": True}):  # as in the lessons
        drawn = np.asarray(Image.open(io.BytesIO(show.png(show.film(found, "base")))).convert("L"))
    assert np.array_equal(drawn[34 : 34 + 6 * 28, 80 : 80 + 560], left.images[0].get_array().repeat(2, 0).repeat(2, 1))
    left, right = show.film(found, "base", [2]).axes
    assert np.abs(left.images[0].get_array() - sheet[56:].astype(float)).max() <= 8.5
    assert [text.get_text() for text in right.texts] == [f"{100 * share:.0f}" for share in shares[2]]
    for looks in ([3], [-1], []):
        with pytest.raises(
            BadInput, match=re.escape(f"the looks are {looks}: give at least one whole number from 0 to 2")
        ):
            show.film(found, "base", looks)
    with pytest.raises(BadInput, match="unknown row 'slow'"):
        show.film(found, "slow")
    with pytest.raises(BadInput, match="there is no film of 'no R1'"):
        show.film(experiments.load("ring_momentum"), "no R1")


def test_rare_classes_are_orange_in_a_film():
    picture = records.film_of(np.zeros((1, 28, 280)), np.array([[0.009, 0.011, 0.98]]), np.array([5]), "")
    assert [text.get_color() for text in picture.axes[1].texts] == [show.FAKE, "black", "white"]


def test_the_command_lists_them(capsys):
    assert cli.main(["experiment"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name}\n    {experiments.find(name).question}\n" in listed for name in experiments.NAMES)


def test_the_command_makes_a_record(planted, tmp_path, capsys):
    command = ["experiment", "small", "--seeds", "0-1", "--rows", "base", "--folder", str(tmp_path)]
    assert cli.main(command) == 0
    out, err = capsys.readouterr()
    assert "4 of its seeds are missing" in out
    assert "100%  base, seed 1: modes" in err
    assert json.loads((tmp_path / "small.json").read_text(encoding="utf-8"))["budget"] == "full"


def test_the_command_prints_what_a_complete_record_says(planted, tmp_path, capsys, monkeypatch):
    told = replace(
        SMALL, rows=lambda: {"base": ROWS["base"]}, summary=lambda found: f"Seeds: {found.rows['base'].seeds}"
    )
    monkeypatch.setattr(catalogue, "find", lambda name: told)
    command = ["experiment", "small", "--folder", str(tmp_path)]
    assert cli.main([*command, "--seeds", "0"]) == 0
    assert "Seeds:" not in capsys.readouterr().out
    assert cli.main(command) == 0
    assert capsys.readouterr().out.endswith("The record is complete.\nSeeds: (0, 1)\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [(["nothing"], "unknown experiment 'nothing'"), (["ring_momentum", "--seeds", "a-b"], "'a-b' names no seeds"),
     (["ring_momentum", "--seeds", "4-0"], "the lower one first"),
     (["ring_momentum", "--budget", "huge"], "choose full or quick"), (["ring_momentum", "--jobs", "0"], "--jobs is 0"),
     (["ring_momentum", "--rows", "x", "--folder", "nowhere"], "unknown row 'x'")],
)  # fmt: skip
def test_what_the_command_cannot_do(options, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["experiment", *options]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_tasks_go_seed_by_seed():
    plain = record.begin("small", SMALL, ROWS, "full")
    tasks = execution.tasks_left(plain, {"base": ROWS["base"], "fast": ROWS["fast"]}, [0, 1])
    assert [(task.row, task.seeds) for task in tasks] == [
        ("base", (0,)),
        ("fast", (0,)),
        ("base", (1,)),
        ("fast", (1,)),
    ]
