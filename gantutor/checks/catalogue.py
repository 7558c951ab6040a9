"""Every exercise by its id: ask for a verdict on an answer, or for one more hint."""

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

_asked: dict[str, int] = {}  # how often a hint to an exercise was asked for in this kernel


def check(id: str, answer: Answer) -> Verdict:
    """Is this answer right? If not, a hint that fits the mistake, where it is a usual one.

    Args:
        id: of the exercise, such as "01.1".
        answer: what its task asks for, mostly a function.
    """
    return find(id).verdict(answer)


def hint(id: str) -> "Hint":
    """One more hint at each call. The first call only says how many there are, so that "Run All" gives nothing away."""
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
            return "There is one hint. Run this cell again for it."
        if not hints:
            return f"There are {total} hints. Run this cell again for the first."
        more = "That was the last one." if self.shown == total else "Run this cell again for the next one."
        return "\n\n".join([*(f"Hint {n} of {total}: {text}" for n, text in enumerate(hints, 1)), more])

    def _repr_markdown_(self) -> str:
        return repr(self)


def find(id: str) -> Exercise:
    if str(id) not in CATALOGUE:
        raise unknown("exercise", str(id), CATALOGUE)
    return CATALOGUE[str(id)]
