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


def test_a_quarter_of_the_steps_is_taken_under_the_quick_budget(monkeypatch):
    monkeypatch.setenv("GANTUTOR_BUDGET", "quick")
    assert [budget.steps(n) for n in (1, 4, 5, 2000, 4000)] == [1, 1, 2, 200, 200]
    monkeypatch.setenv("GANTUTOR_BUDGET", "full")
    assert budget.steps(4000) == 4000


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
