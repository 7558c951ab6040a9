"""The sanity checks: what is drawn, what passes, and what the record says."""

import math
from types import MappingProxyType

import numpy as np
import pytest
import torch
from scipy import stats

from gantutor import experiments
from gantutor.experiments import sanity_checks, sanity_criteria
from gantutor.experiments.experiment import BUDGETS
from gantutor.experiments.record import Curves, Record

CASES = {(check, case): found for check, cases in sanity_checks.checks().items() for case, found in cases.items()}


def drawn(check, case, setting, n=4000, which="fake"):
    g = torch.Generator().manual_seed(3)
    return getattr(CASES[check, case], which)(setting, n, g)


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_there_are_fifteen_checks_and_each_draws_the_same_width_on_both_sides():
    assert len(sanity_checks.checks()) == 15
    for name, case in CASES.items():
        for setting in (case.settings[0], case.settings[-1]):
            assert drawn(*name, setting, 30, "real").shape[1] == drawn(*name, setting, 30).shape[1], name


@pytest.mark.parametrize("d", [1, 8, 64])
def test_the_cubes_share_a_fifth_of_their_volume(d):
    x = drawn("hypercube, all sizes", f"d = {d}", 100, 20_000)
    assert (x < 1).all(1).double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert drawn("hypercube, all sizes", f"d = {d}", 100, which="real").max() <= 1


def test_the_torus_does_not_touch_the_ball():
    ball, torus = (drawn("sphere and torus", "real sphere", 100, which=which) for which in ("real", "fake"))
    assert ball.norm(dim=1).max() <= 0.8
    assert (ball.norm(dim=1) <= 0.4).double().mean().item() == pytest.approx(1 / 8, abs=0.02)  # even in the volume
    from_ring = ((torus[:, :2].norm(dim=1) - 1) ** 2 + torus[:, 2] ** 2).sqrt()
    assert from_ring.max() <= 0.1
    assert torus.norm(dim=1).min() >= 0.9
    assert (from_ring <= 0.05).double().mean().item() == pytest.approx(1 / 4, abs=0.03)


def test_modes_have_their_shares():
    places = torch.linspace(0, 10, 10, dtype=torch.float64)

    def shares(check, setting):
        x = drawn(check, "d = 8", setting)
        return (x.mean(1, keepdim=True) - places).abs().argmin(1).bincount(minlength=10) / len(x)

    assert shares("modes fade together", 0).tolist() == pytest.approx([0.1] * 10, abs=0.02)
    assert shares("modes fade together", 0.8).tolist() == pytest.approx([1 / 2.8] + [0.2 / 2.8] * 9, abs=0.02)
    assert shares("modes go one by one", 7).tolist() == pytest.approx([1 / 3] * 3 + [0] * 7, abs=0.03)
    for setting, near in ((3, 3), (10, 5)):
        real = drawn("mode dropping and invention", "", setting, which="real")
        fake = drawn("mode dropping and invention", "", setting)
        inside = (torch.cdist(fake[:500], real).min(1).values < 2).double().mean().item()
        assert inside == pytest.approx(near / setting, abs=0.06)  # the first five are the real ones


def test_other_distributions_are_what_they_are_called():
    pareto = drawn("mean difference, Pareto", "", 2)
    assert stats.kstest(pareto[:, 1].numpy(), "pareto", (1.01,)).pvalue > 0.01
    assert pareto[:, 0].mean().item() == pytest.approx(2, abs=0.1)
    assert torch.equal(drawn("discrete or continuous", "real discrete", 10.0, which="real") % 1, torch.zeros(4000, 1))
    assert drawn("hypersphere surface", "d = 16", 0.7).norm(dim=1).numpy() == pytest.approx(0.7)
    scaled = drawn("scaling one dimension", "", 100.0)
    assert scaled.mean(0)[0].item() == pytest.approx(6, abs=0.1)
    assert scaled.std(0).tolist() == pytest.approx([1, 100], rel=0.05)
    two = drawn("mode collapse", "d = 1", 5, which="real")
    assert two.abs().mean().item() == pytest.approx(2.5, abs=0.1)
    assert drawn("mode collapse", "d = 1", 5).std().item() == pytest.approx(math.sqrt(26), rel=0.05)
    odd, plain = (
        drawn("mean difference, outlier", "fake outlier, d = 8", 0, which=which) for which in ("fake", "real")
    )
    assert (len(odd), len(plain)) == (4001, 4000)
    assert odd[-1].tolist() == [3] * 8


def test_a_seed_gives_the_same_numbers_and_another_one_others():
    row = sanity_checks.rows()["mode collapse: d = 8"]
    tiny = BUDGETS["tiny"]
    first, again, other = (next(iter(row.traces([seed], tiny)))[1].values for seed in (0, 0, 1))
    assert first == again != other


# --- what passes -----------------------------------------------------------------------------------------------------

UP, HILL = np.linspace(0, 1, 5), np.array([0, 0.5, 1, 0.5, 0])


@pytest.mark.parametrize(
    ("criterion", "passes", "fails"),
    [
        (sanity_criteria.bell, [HILL, HILL + 0.3, [0.15, 0.1, 0.8, 0.85, 0.3]],
         [UP, 0.19 * HILL, [0, 0.5, 1, 1.2, 0], [0.3, 0.1, 1, 0.5, 0.3]]),
        (sanity_criteria.falls, [1 - UP, [0.9, 1, 0, 0, 0.1]], [UP, 0.19 * (1 - UP), [0.5, 0.7, 0, 0, 0], HILL]),
        (sanity_criteria.rises, [UP], [1 - UP]),
        (sanity_criteria.level, [0.05 * UP, UP * 0], [0.06 * UP]),
        (sanity_criteria.settles, [[0, 0.5, 1, 1.04, 1]], [[1, 1, 1, 1.1, 1]]),
        (sanity_criteria.falls_before(1), [[1, 0.8, 0.6, 0.3, 0]], [[1, 0.95, 0.6, 0.3, 0], UP]),
        (sanity_criteria.near(1, -1), [UP, UP - 0.04, UP + 0.04], [1 - UP, UP - 0.06, UP + 0.06]),
    ],
)  # fmt: skip
def test_what_a_curve_has_to_look_like(criterion, passes, fails):
    assert [criterion(np.array(y)) for y in passes] == [True] * len(passes)
    assert [criterion(np.array(y)) for y in fails] == [False] * len(fails)


def test_high_and_low_may_not_be_mixed():
    either = sanity_criteria.either(sanity_criteria.falls, sanity_criteria.rises)
    assert [either(y) for y in (1 - UP, UP, HILL)] == ["low", "high", False]
    assert sanity_criteria.together([True, True]) is True
    assert sanity_criteria.together([True, "low", "low"]) == "low"
    assert sanity_criteria.together(["high", "low"]) is False
    assert sanity_criteria.together(["high", False]) is False


def record(change):
    """A record of one seed in which every metric is 0.5 everywhere, but for what `change(row, settings)` gives."""
    rows = {}
    for (check, name), case in CASES.items():
        row, L = sanity_checks.name_of(check, name), len(case.settings)
        values = {metric: np.full((1, L), 0.5) for metric in (*sanity_checks.FIDELITY, *sanity_checks.DIVERSITY)}
        values |= {metric: np.array([y]) for metric, y in change(row, case.settings).items()}
        rows[row] = Curves(np.arange(L), np.arange(L), (0,), MappingProxyType(values), np.zeros(1), None)
    return Record("sanity_checks", "?", "", "full", MappingProxyType(rows), {}, (), {})


def test_a_metric_passes_if_all_cases_do():
    def hills(row, settings):
        peak = np.exp(-9 * np.linspace(-1, 1, len(settings)) ** 2)
        return {"recall": peak, "coverage": peak if row != "mean difference: d = 64" else 0.9 * peak}

    found = sanity_checks.verdicts(record(hills))
    of_means = {desideratum: found["mean difference", desideratum] for desideratum in ("D1b", "D4")}
    assert of_means["D1b"]["recall"] == of_means["D1b"]["coverage"] == of_means["D4"]["recall"] is True
    assert of_means["D4"]["coverage"] is False  # not 1 at the peak, in one of three cases
    assert of_means["D1b"]["precision"] is False
    assert found["deviation", "D1b"]["recall"] == "low"
    assert found["one disjoint dimension", "D1b"]["precision"] is True  # constant
    assert found["one disjoint dimension", "D4"]["precision"] is False


def test_the_table_says_it_in_words():
    lines = sanity_checks.table(record(lambda row, settings: {})).splitlines()
    head = lines[0].split("  ")
    assert [name.strip() for name in head if name.strip()] == [*sanity_checks.FIDELITY, *sanity_checks.DIVERSITY]
    disjoint = next(line for line in lines if line.startswith("one disjoint dimension D1b"))
    assert disjoint.split()[4:8] == ["pass", "(fail)", "pass", "(fail)"]  # precision and density, ours and published
    at = lines[0].index("precision")
    passes = [line[at : at + 4] for line in lines[1:-1]].count("pass")
    assert lines[-1].split()[:4] == ["passed", "of", str(len(lines) - 2), str(passes)]
    assert 0 < passes < len(lines) - 2


# --- the record ------------------------------------------------------------------------------------------------------


def test_the_record_agrees_with_what_the_paper_is_known_to_say():
    """All published verdicts that are known, but for the two that the docstring of the module names."""
    found = experiments.load("sanity_checks")
    assert found.missing == ()
    passed = sanity_checks.verdicts(found)
    others = {
        (key, metric)
        for key, known in sanity_checks.PUBLISHED.items()
        for metric, verdict in known.items()
        if bool(passed[key][metric]) != verdict
    }
    assert others == {(("deviation", "D1b"), "density"), (("scaling one dimension", "D5"), "precision")}
    assert sum(len(known) for known in sanity_checks.PUBLISHED.values()) == 32
