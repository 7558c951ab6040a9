import runpy
from pathlib import Path

import pytest

from gantutor import budget
from gantutor.errors import BadInput


@pytest.mark.parametrize(("value", "name"), [("quick", "quick"), ("full", "full"), ("", "full"), (None, "full")])
def test_the_budget_decides_which_number_is_picked(monkeypatch, value, name):
    monkeypatch.delenv("GANTUTOR_BUDGET")
    if value is not None:
        monkeypatch.setenv("GANTUTOR_BUDGET", value)
    assert budget.name() == name
    assert budget.pick(quick=1, full=2) == {"quick": 1, "full": 2}[name]


@pytest.mark.parametrize("folder", ["tests", "notebooks"])
def test_what_pytest_runs_gets_the_quick_budget_unless_told_otherwise(monkeypatch, folder):
    conftest = Path(__file__).resolve().parents[1] / folder / "conftest.py"
    monkeypatch.delenv("GANTUTOR_BUDGET")
    runpy.run_path(str(conftest))
    assert budget.name() == "quick"
    monkeypatch.setenv("GANTUTOR_BUDGET", "full")
    runpy.run_path(str(conftest))
    assert budget.name() == "full"


def test_another_budget_is_an_error_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("GANTUTOR_BUDGET", "quik")
    with pytest.raises(BadInput, match="unknown GANTUTOR_BUDGET 'quik': did you mean 'quick'"):
        budget.pick(quick=1, full=2)


@pytest.mark.parametrize(("value", "seed"), [("7", 7), ("0", 0), ("", 0)])
def test_the_seed_is_read(monkeypatch, value, seed):
    monkeypatch.setenv("GANTUTOR_SEED", value)
    assert budget.seed() == seed


@pytest.mark.parametrize("value", ["-1", "1.5", "seven", "²", "9" * 30])
def test_what_is_no_seed_is_named(monkeypatch, value):
    monkeypatch.setenv("GANTUTOR_SEED", value)
    with pytest.raises(BadInput, match="GANTUTOR_SEED is"):
        budget.seed()
