"""An exercise: what an answer is asked, what a right one does, and what to say to the usual wrong ones.

An answer is never compared with a text. It is run (`observe`), and what comes out is compared with what comes out of a
right answer and of typical wrong ones: so every correct way of writing it is right, and a known mistake gets the hint
that fits it.
"""

import contextlib
import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantutor.errors import BadInput, reason
from gantutor.state import seeded

Answer = Any  # a function, a number, a recipe, a pair of nets: what the learner hands in
Seen = Any  # what an answer did: numbers, tensors, texts, and tuples, lists and dicts of them


@dataclass(frozen=True, eq=False)
class Mistake:
    """A typical wrong answer, and what to say to whoever gives it.

    Attributes:
        answer: such an answer. The tests hand it in, and must get the hint.
        hint: one or two sentences that fit this mistake. They do not give the answer away.
        sign: seen -> bool, whether an answer is of this kind; None where it is one that does what `answer` does.
    """

    answer: Answer
    hint: str
    sign: Callable[[Seen], bool] | None = None


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise of a lesson.

    Attributes:
        id: lesson and number, such as "01.2".
        title: what is asked, in a few words.
        hints: at most three, to be revealed one at a time, from a nudge to nearly the answer.
        observe: answer -> what it does; see `on` and `number`. It raises `BadInput` for what is no answer at all.
        right: a right answer. Where there is no `accepts`, an answer is right if it does the same.
        mistakes: the usual wrong answers. The first that fits is named.
        accepts: seen -> bool, for exercises with many right answers.
        praise: a sentence for the right answer: what to take along.
        otherwise: what to say to any other wrong answer; None lets `observe.explain` show the difference, if it can.
        tolerance: how far a number x may be from the right one y: tolerance · (1 + |y|).
    """

    id: str
    title: str
    hints: tuple[str, ...]
    observe: Callable[[Answer], Seen] = field(repr=False)
    right: Answer = field(repr=False)
    mistakes: tuple[Mistake, ...] = field(repr=False)
    accepts: Callable[[Seen], bool] | None = field(default=None, repr=False)
    praise: str = ""
    otherwise: str | None = None
    tolerance: float = 1e-4
    known: dict[int | None, Seen] = field(default_factory=dict, init=False, repr=False)  # see `expected`

    def verdict(self, answer: Answer) -> "Verdict":
        """Right, wrong with a hint, or not attempted; whatever the answer does, there is no traceback."""
        try:
            return self.judged(answer)
        except (Exception, SystemExit) as error:  # the learner's code: anything may come
            if isinstance(error, NotImplementedError) and not str(error):  # the usual stub of others
                return self.not_attempted()
            return Verdict(self, False, told(error))

    def judged(self, answer: Answer) -> "Verdict":
        seen = self.look(answer)
        if blank(seen):
            return self.not_attempted()
        if self.fits(seen):
            return Verdict(self, True, self.praise)
        return Verdict(self, False, self.hint_for(seen))

    def not_attempted(self) -> "Verdict":
        return Verdict(
            self, None, "Write your answer in the cell above and run both cells. (Does a function `return`?)"
        )

    def look(self, answer: Answer) -> Seen:
        """What an answer does, with the same chance for all."""
        if blank(answer):
            return None
        with level_ground():
            return self.observe(answer)

    def expected(self, mistake: int | None = None) -> Seen:
        """What the right answer does, or one of the mistakes; looked at once."""
        if mistake not in self.known:
            self.known[mistake] = self.look(self.right if mistake is None else self.mistakes[mistake].answer)
        return self.known[mistake]

    def fits(self, seen: Seen) -> bool:
        return bool(self.accepts(seen)) if self.accepts else same(seen, self.expected(), self.tolerance)

    def hint_for(self, seen: Seen) -> str:
        for number, mistake in enumerate(self.mistakes):
            if mistake.sign(seen) if mistake.sign else same(seen, self.expected(number), self.tolerance):
                return mistake.hint
        if self.otherwise is None and hasattr(self.observe, "explain"):
            return self.observe.explain(seen, self.expected(), self.tolerance)
        return self.otherwise or "That is not it, and no usual mistake either. Take a hint."


@contextlib.contextmanager
def level_ground() -> Iterator[None]:
    """Seeded, with gradients, in float32, NumPy quiet; afterwards all of it is as the learner had it."""
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()  # noqa: NPY002
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002, for it is the learner's
    torch.set_default_dtype(torch.float32)
    try:
        with seeded(0), torch.enable_grad(), np.errstate(all="ignore"):
            yield
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@dataclass(frozen=True, eq=False)
class Verdict:
    """What `check` says, in a sentence. In a notebook its plain text is the mark, which nbgrader reads.

    Attributes:
        exercise: which one.
        right: True, False, or None for not attempted.
        text: the hint, or the praise.
    """

    exercise: Exercise
    right: bool | None
    text: str

    @property
    def mark(self) -> float:
        """1 for a right answer, otherwise 0."""
        return float(self.right or 0)

    def __str__(self) -> str:
        words = {True: "right", False: "not yet", None: "not attempted"}
        return f"{self.exercise.id} {words[self.right]}. {self.text}".rstrip()

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        signs = {True: "✓", False: "✗", None: "–"}
        head, _, rest = str(self).partition(". ")
        return {"text/plain": str(self.mark), "text/markdown": f"{signs[self.right]} **{head}.** {rest}".rstrip()}


class Stopped(Exception):
    """An answer stopped with an error (the cause) in a certain call (the text)."""


def told(error: BaseException) -> str:
    """An error in the learner's code, in a sentence."""
    if isinstance(error, BadInput):
        return capital(str(error))
    call, error = (str(error), error.__cause__) if isinstance(error, Stopped) else ("your answer", error)
    kind, why = type(error).__name__, reason(error)
    return capital(f"{call} stopped with `{kind if why == kind else f'{kind}: {why}'}`.")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def blank(thing: object) -> bool:
    """Nothing was handed in, or nothing came out of it."""
    if isinstance(thing, tuple | list) and thing:
        return all(blank(part) for part in thing)
    return thing is None or thing is Ellipsis


# ---------------------------------------------------------------- what an answer does


class on:
    """Observe a function: what it returns for these arguments, each a tuple of them.

    It gets copies, so it cannot spoil them for the next one.
    """

    def __init__(self, *cases: tuple):
        self.cases = cases

    def __call__(self, answer: Answer) -> tuple:
        if not callable(answer):
            raise BadInput(f"the answer is {brief(answer)}: hand in the function itself, without brackets.")
        return tuple(self.result(answer, case) for case in self.cases)

    def result(self, answer: Callable, case: tuple) -> Seen:
        try:
            return detached(answer(*copy.deepcopy(case)))
        except (Exception, SystemExit) as error:
            if isinstance(error, BadInput) or (isinstance(error, NotImplementedError) and not str(error)):
                raise
            raise Stopped(f"the call with {told_arguments(case)}") from error

    def explain(self, seen: tuple, expected: tuple, tolerance: float) -> str:
        """The first case in which the two differ."""
        for case, mine, right in zip(self.cases, seen, expected, strict=True):
            if not same(mine, right, tolerance):
                return f"With {told_arguments(case)} it gives {difference(mine, right, tolerance)}."
        raise AssertionError("there is a difference, or nobody would ask")


def difference(mine: Seen, right: Seen, tolerance: float) -> str:
    """What came out and what is right, so that one sees how they differ: "3, and 4 is right"."""
    a, b = array(mine), array(right)
    if a is None or b is None:
        return f"{brief(mine)}, and {brief(right)} is right"
    if a.shape != b.shape:
        return f"{brief(mine)} of shape {a.shape}, and {brief(right)} of shape {b.shape} is right"
    if a.size <= 6:
        return (
            f"{brief(mine, 4)}, and {brief(right, 4)} is right"
            if brief(mine) != brief(right)
            else (f"{brief(mine, 8)}, and {brief(right, 8)} is right")
        )
    place = next(i for i in np.ndindex(a.shape) if not same(a[i], b[i], tolerance))
    where = place[0] if len(place) == 1 else place
    return f"{brief(a[place], 8)} at place {where}, and {brief(b[place], 8)} is right"


def number(answer: Answer, name: str = "the answer") -> float:
    """Observe a number: a prediction, a count, a measurement."""
    values = array(answer)
    if values is None or values.size != 1 or values.dtype.kind == "b":
        raise BadInput(f"{name} is {brief(answer)}: a number is asked for.")
    return float(values.item())


def detached(thing: Seen) -> Seen:
    """The same without gradients."""
    if isinstance(thing, Tensor):
        return thing.detach()
    if isinstance(thing, list):
        return [*map(detached, thing)]
    if isinstance(thing, tuple):
        return tuple(map(detached, thing))
    return thing


def same(a: Seen, b: Seen, tolerance: float) -> bool:
    """Are these equal? Texts exactly, numbers and arrays up to the tolerance, all else part by part.

    A list and a tuple of equal parts are the same, and so is a list of numbers and an array of them.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key], tolerance) for key in a)
    if nested(a) and nested(b):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    x, y = array(a), array(b)
    if x is None or y is None:
        return type(a) is type(b) and bool(a == b)
    if x.shape != y.shape:
        return False
    return bool(np.allclose(x.astype(float), y.astype(float), rtol=tolerance, atol=tolerance, equal_nan=True))


def nested(thing: Seen) -> bool:
    return isinstance(thing, tuple | list)


def array(thing: Seen) -> np.ndarray | None:
    """A number, an array, a tensor or a list of numbers as an array; None for anything else."""
    if isinstance(thing, Tensor):
        thing = values_of(thing)
    elif nested(thing) and not (thing and all(isinstance(part, bool | int | float | np.number) for part in thing)):
        return None
    if not isinstance(thing, bool | int | float | np.generic | np.ndarray | list | tuple):
        return None
    values = np.asarray(thing)
    return values if values.dtype.kind in "biuf" else None


def values_of(tensor: Tensor) -> np.ndarray | None:
    """What a tensor holds; None where it holds nothing."""
    if tensor.is_meta:
        return None
    tensor = (tensor if tensor.layout == torch.strided else tensor.to_dense()).detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def told_arguments(case: Sequence) -> str:
    return ", ".join(map(brief, case))


def brief(thing: object, digits: int = 4) -> str:
    """A value in a few characters: numbers to some digits, a large tensor by its shape."""
    if nested(thing):
        inside = ", ".join(brief(part, digits) for part in thing[:6]) + (", …" if len(thing) > 6 else "")
        return f"({inside})" if isinstance(thing, tuple) else f"[{inside}]"
    values = array(thing)
    if values is None:
        return getattr(thing, "__name__", None) or repr(thing)[:60]
    if values.ndim == 0:
        value = values.item()
        exact = isinstance(value, bool | int) or (abs(value) < 1e6 and value == round(value))
        return str(value) if isinstance(value, bool) else f"{value:.0f}" if exact else f"{value:.{digits}g}"
    if values.size <= 6:
        return brief(values.tolist(), digits)
    return f"{'a tensor' if isinstance(thing, Tensor) else 'an array'} of shape {values.shape}"
