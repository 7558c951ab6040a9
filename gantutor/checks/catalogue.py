"""Every exercise by its id: check an answer, or ask for one more hint."""

from gantutor.checks import (
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
)
from gantutor.checks.exercise import Answer, Exercise, Verdict
from gantutor.errors import unknown

LESSONS = (
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
)
CATALOGUE: dict[str, Exercise] = {e.id: e for lesson in LESSONS for e in lesson.EXERCISES}

_asked: dict[str, int] = {}  # exercise -> how many hints were asked for in this kernel


def check(id: str, answer: Answer) -> Verdict:
    """Whether this answer is right; if it is not, a hint, which fits the mistake where that is a usual one.

    Args:
        id: the exercise, such as "01.1".
        answer: what its task asks for, usually a function.
    Raises `BadInput` for an unknown id.
    """
    return find(id).verdict(answer)


def hint(id: str) -> "Hint":
    """One more hint with each call. The first call only says how many there are, so "Run All" gives nothing away."""
    exercise = find(id)
    _asked[id] = min(_asked.get(id, 0) + 1, len(exercise.hints) + 1)
    return Hint(exercise, _asked[id] - 1)


class Hint:
    """The hints revealed so far, as a notebook shows them."""

    def __init__(self, exercise: Exercise, shown: int):
        self.exercise, self.shown = exercise, shown

    def __repr__(self) -> str:
        hints, total = self.exercise.hints[: self.shown], len(self.exercise.hints)
        if not hints and total == 1:
            return "There is one hint. Run this cell again to see it."
        if not hints:
            return f"There are {total} hints. Run this cell again to see the first."
        more = "That was the last hint." if self.shown == total else "Run this cell again for the next hint."
        return "\n\n".join([*(f"Hint {n} of {total}: {text}" for n, text in enumerate(hints, 1)), more])

    def _repr_markdown_(self) -> str:
        return repr(self)


def find(id: str) -> Exercise:
    if str(id) not in CATALOGUE:
        raise unknown("exercise", str(id), CATALOGUE)
    return CATALOGUE[str(id)]
