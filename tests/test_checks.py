"""The exercises: right answers pass, each typical mistake gets its own hint, and nothing ends in a traceback."""

# ruff: noqa: NPY002 (the old random numbers are the learner's)

import math
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gantutor import checks
from gantutor.checks import Exercise, Mistake, catalogue
from gantutor.checks.exercise import Calls, as_number, brief, same
from gantutor.errors import BadInput

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
EXERCISES = list(checks.CATALOGUE.values())
MISTAKES = [pytest.param(e, m, id=f"{e.id}-{n}") for e in EXERCISES for n, m in enumerate(e.mistakes, 1)]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_an_exercise_is_complete(exercise):
    assert re.fullmatch(r"0\d\.\d", exercise.id)
    assert 1 <= len(exercise.hints) <= 3
    assert len(exercise.mistakes) >= 3
    assert len({m.hint for m in exercise.mistakes}) == len(exercise.mistakes)
    assert exercise.praise


def test_each_lesson_has_three_to_six_exercises():
    for lesson in catalogue.LESSONS:
        as_number = lesson.__name__[-2:]
        assert [e.id for e in lesson.EXERCISES] == [f"{as_number}.{n}" for n in range(1, len(lesson.EXERCISES) + 1)]
        assert 3 <= len(lesson.EXERCISES) <= 6
    lessons = sorted(path.name[:2] for path in NOTEBOOKS.glob("*.ipynb"))
    assert [lesson.__name__[-2:] for lesson in catalogue.LESSONS] == lessons


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_the_right_answer_is_right_every_time(exercise):
    for _ in range(2):
        verdict = checks.check(exercise.id, exercise.right)
        assert verdict.right, str(verdict)
        assert verdict.mark == 1


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_a_typical_mistake_gets_the_hint_that_fits(exercise, mistake):
    verdict = checks.check(exercise.id, mistake.answer)
    assert verdict.right is False
    assert verdict.text == mistake.hint
    assert verdict.mark == 0


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_nothing_handed_in_is_not_attempted(exercise):
    for untouched in (None, ...):
        verdict = checks.check(exercise.id, untouched)
        assert verdict.right is None, str(verdict)
        assert verdict.mark == 0


def stop(*arguments):
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
@pytest.mark.parametrize("answer", ["a text", 12345.678, [], {"no": "such"}, stop, lambda *a: "text", object()])
def test_any_other_answer_is_wrong_in_a_sentence(exercise, answer):
    verdict = checks.check(exercise.id, answer)
    assert verdict.right is False
    assert re.fullmatch(r"[A-Z“½σ].{12,}[.!?]", verdict.text, re.DOTALL), verdict.text


# ---------------------------------------------------------------- how an answer is judged


class Rude:
    """Cannot even be printed."""

    def __repr__(self):
        raise ZeroDivisionError("division by zero")


TWICE = Exercise(
    id="09.1",
    title="twice",
    hints=("Add it to itself.", "Multiply by 2."),
    observe=Calls((1.0,), (torch.tensor([1.0, -3.0]),)),
    right=lambda x: 2 * x,
    mistakes=(Mistake(lambda x: x**2, "That is the square."),),
    praise="Good.",
)


@pytest.mark.parametrize(
    ("answer", "right", "text"),
    [
        (lambda x: x + x, True, "Good."),
        (lambda x: x * x, False, "That is the square."),
        (lambda x: x + 1, False, "With [1, -3] it gives [2, -2], but [2, -6] is right."),
        (lambda x: 2 * x + 1e-9, True, "Good."),
        (lambda x: None, None, "Write your answer in the cell above"),
        (lambda x: None if isinstance(x, float) else 2 * x, False, "With 1 it gives None, but 2 is right."),
        (lambda x: x.nothing, False, "The call with 1 stopped with `AttributeError: 'float'"),
        (lambda x: {}[3], False, "The call with 1 stopped with `KeyError: 3`."),
        (lambda x: int(""), False, "The call with 1 stopped with `ValueError: invalid literal"),
        (lambda x: sys.exit(), False, "The call with 1 stopped with `SystemExit`."),
        (lambda x: torch.nn.Module()(x), False, "The call with 1 stopped with `NotImplementedError: Module"),
        (lambda x: (2 * torch.as_tensor(x)).bfloat16(), True, "Good."),
        (lambda x: (2 * torch.as_tensor(x)).to_sparse(), True, "Good."),
        (lambda x: torch.empty(2, device="meta"), False, "With 1 it gives"),
        (lambda x: Rude(), False, "Your answer stopped with `ZeroDivisionError"),
        (lambda x: [2.0, -6.0] if isinstance(x, torch.Tensor) else 2.0, True, "Good."),
        (lambda x: [2.0], False, "With 1 it gives [2] of shape (1,), but 2 of shape () is right."),
        (lambda x: 2 * x + 0.0004, False, "With 1 it gives 2.0004, but 2 is right."),
        (2.0, False, "The answer is 2: hand in the function itself, without calling it."),
    ],
)
def test_a_function_is_judged_by_what_it_does(answer, right, text):
    verdict = TWICE.verdict(answer)
    assert verdict.right is right
    assert verdict.text.startswith(text)


def unfinished(x):
    raise NotImplementedError


def test_a_stub_that_raises_is_not_attempted():
    assert TWICE.verdict(unfinished).right is None


def test_a_function_cannot_spoil_the_next_call():
    def spoil(x):
        if isinstance(x, torch.Tensor):
            x.zero_()
        return 2 * x

    assert TWICE.verdict(spoil).right is False
    assert TWICE.verdict(lambda x: 2 * x).right


def test_a_large_tensor_is_described_by_the_first_index_that_differs():
    long = Exercise("09.2", "", ("…",), Calls((torch.arange(9.0),)), lambda x: 2 * x, ())
    assert long.verdict(lambda x: 2 * x + (x == 3)).text == (
        "With a tensor of shape (9,) it gives 7 at index 3, but 6 is right."
    )


def test_the_conditions_are_the_same_and_the_learners_settings_come_back():
    noisy = Exercise(
        "09.3", "", ("…",), Calls(()), lambda: (torch.rand(3), np.random.rand(2), random.random()), (), otherwise="no"
    )

    def careless():
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return torch.rand(3, dtype=torch.float32), np.random.rand(2), random.random()

    torch.manual_seed(7)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert noisy.verdict(careless).right
    assert noisy.verdict(lambda: (torch.rand(3) + 0.1, np.random.rand(2), random.random())).right is False
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_gradients_are_there_even_where_the_learner_has_switched_them_off():
    def slope(x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(x.square().sum(), x)[0]

    exercise = Exercise("09.4", "", ("…",), Calls((torch.ones(2),)), lambda x: 2 * x, (), otherwise="no")
    with torch.no_grad():
        assert exercise.verdict(slope).right


def test_a_verdict_is_a_sentence_for_people_and_a_mark_for_nbgrader():
    for answer, mark, sign in ((lambda x: 2 * x, "1.0", "✓"), (lambda x: x, "0.0", "✗"), (None, "0.0", "–")):
        bundle = TWICE.verdict(answer)._repr_mimebundle_()
        assert bundle["text/plain"] == mark
        assert bundle["text/markdown"].startswith(f"{sign} **09.1 ")
    for text in (str, repr):
        assert text(TWICE.verdict(lambda x: 2 * x)) == "09.1 right. Good."


@pytest.mark.parametrize("exercise", EXERCISES[:2], ids=lambda e: e.id)
def test_hints_come_one_at_a_time(exercise, monkeypatch):
    monkeypatch.setattr("gantutor.checks.catalogue._asked", {})
    texts = [repr(checks.hint(exercise.id)) for _ in range(len(exercise.hints) + 2)]
    for call, text in enumerate(texts):
        assert [hint in text for hint in exercise.hints] == [n < call for n in range(len(exercise.hints))]
    assert "hint" in texts[0]
    assert "Run this cell again" in texts[0]
    assert texts[-1].endswith("That was the last hint.")


@pytest.mark.parametrize("ask", [lambda id: checks.check(id, 1), checks.hint])
def test_an_unknown_exercise_gets_the_nearest_name(ask):
    with pytest.raises(BadInput, match="did you mean '01.1'"):
        ask("1.1")
    with pytest.raises(BadInput, match="unknown exercise"):
        ask(1.1)


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.00001, True),
        (1, 1.001, False),
        (1000, 1000.05, True),
        (math.inf, math.inf, True),
        (math.nan, 1.0, False),
        (torch.ones(3), np.ones(3), True),
        (torch.ones(3), torch.ones(3, 1), False),
        (torch.ones(1), 1.0, False),
        ((1, [2, 3]), [1, (2, 3)], True),
        ((1, 2), (1, 2, 3), False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        ("a", "a", True),
        ("a", "b", False),
        (True, 1, True),
        ([1.0, 2.0], np.array([1, 2]), True),
        ([], [], True),
        ([], np.array([]), False),
        (None, 0, False),
        ("1", 1, False),
    ],
)
def test_sameness(a, b, equal):
    assert same(a, b, 1e-4) is equal


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), torch.tensor(3.0), torch.tensor([3]), np.array([[3.0]]), [3]])
def test_a_number_may_come_in_any_form(value):
    assert as_number(value) == 3.0


@pytest.mark.parametrize("value", ["3", True, np.bool_(True), torch.tensor(True), [3, 4], torch.ones(2), object()])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(BadInput, match="give one number"):
        as_number(value)


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (1.0, "1"),
        (0.123456, "0.1235"),
        (torch.tensor([1.5, 2]), "[1.5, 2]"),
        (torch.ones(3, 4), "a tensor of shape (3, 4)"),
        (np.ones(7), "an array of shape (7,)"),
        ((1, None), "(1, None)"),
        (math.sin, "sin"),
        ("abc", "'abc'"),
        (math.nan, "nan"),
        (True, "True"),
        (1e300, "1e+300"),
        (123456.0, "123456"),
    ],
)
def test_values_are_described_briefly(thing, text):
    assert brief(thing) == text
