"""An exercise: how an answer is observed, what a right answer does, and which hint a typical mistake gets.

An answer is never compared with a text. It is run (`observe`), and what comes out is compared with what comes out of a
right answer and of typical wrong ones. So every correct way of writing it is accepted, and a known mistake gets the
hint that fits it.
"""

import contextlib
import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from gantutor.errors import BadInput, reason
from gantutor.state import seeded

Answer = Any  # a function, a number, a recipe, a pair of nets: what the learner hands in
Seen = Any  # what an answer did: numbers, tensors, texts, and tuples, lists and dicts of them


@dataclass(frozen=True, eq=False)
class Mistake:
    """A typical wrong answer, and the hint for a learner who gives it.

    Attributes:
        answer: such an answer. The tests hand it in and expect the hint.
        hint: one or two sentences that fit this mistake without giving the answer away.
        sign: seen -> bool, whether an answer makes this mistake; None compares what it does with what `answer` does.
    """

    answer: Answer
    hint: str
    sign: Callable[[Seen], bool] | None = None


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise of a lesson.

    Attributes:
        id: lesson and number, such as "01.2".
        title: the task in a few words.
        hints: at most three, revealed one at a time, from a nudge to nearly the answer.
        observe: answer -> what it does; see `Calls` and `as_number`. It raises `BadInput` for what cannot be an answer.
        right: a right answer. Without `accepts`, an answer is right if it does the same.
        mistakes: the usual wrong answers. The first one that fits gives the hint.
        accepts: seen -> bool, for exercises with many right answers.
        praise: a sentence for the right answer: what to remember.
        otherwise: the hint for any other wrong answer; None lets `observe.explain` show the difference, if it can.
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
    known: dict[int | None, Seen] = field(default_factory=dict, init=False, repr=False)  # the cache of `expected`

    def verdict(self, answer: Answer) -> "Verdict":
        """Right, wrong with a hint, or not attempted; whatever the answer does, there is no traceback."""
        try:
            return self.assess(answer)
        except (Exception, SystemExit) as error:  # the learner's code may raise anything
            if isinstance(error, NotImplementedError) and not str(error):  # a common way to write a stub
                return self.not_attempted()
            return Verdict(self, False, describe_error(error))

    def assess(self, answer: Answer) -> "Verdict":
        seen = self.observed(answer)
        if blank(seen):
            return self.not_attempted()
        if self.is_right(seen):
            return Verdict(self, True, self.praise)
        return Verdict(self, False, self.hint_for(seen))

    def not_attempted(self) -> "Verdict":
        return Verdict(
            self, None, "Write your answer in the cell above and run both cells. (Does a function `return`?)"
        )

    def observed(self, answer: Answer) -> Seen:
        """What an answer does, under the same conditions for every answer."""
        if blank(answer):
            return None
        with same_conditions():
            return self.observe(answer)

    def expected(self, mistake: int | None = None) -> Seen:
        """What the right answer does, or the mistake with that index; each is run only once."""
        if mistake not in self.known:
            self.known[mistake] = self.observed(self.right if mistake is None else self.mistakes[mistake].answer)
        return self.known[mistake]

    def is_right(self, seen: Seen) -> bool:
        return bool(self.accepts(seen)) if self.accepts else same(seen, self.expected(), self.tolerance)

    def hint_for(self, seen: Seen) -> str:
        for number, mistake in enumerate(self.mistakes):
            if mistake.sign(seen) if mistake.sign else same(seen, self.expected(number), self.tolerance):
                return mistake.hint
        if self.otherwise is None and hasattr(self.observe, "explain"):
            return self.observe.explain(seen, self.expected(), self.tolerance)
        return self.otherwise or "That is not right, and it is none of the usual mistakes either. Ask for a hint."


@contextlib.contextmanager
def same_conditions() -> Iterator[None]:
    """Seeded, with gradients, in float32 and with NumPy's warnings off; afterwards the learner's settings are back."""
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()  # noqa: NPY002
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002, because the learner may use the old generator
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
    """What `check` finds, in a sentence. In a notebook its plain text is the mark, which nbgrader reads.

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
    """An answer raised an error (the `__cause__`) during the call that the text describes."""


def describe_error(error: BaseException) -> str:
    """An error in the learner's code as a sentence."""
    if isinstance(error, BadInput):
        sentence = str(error)
    else:
        call, cause = "your answer", error
        if isinstance(error, Stopped) and error.__cause__ is not None:
            call, cause = str(error), error.__cause__
        kind, why = type(cause).__name__, reason(cause)
        sentence = f"{call} stopped with `{kind if why == kind else f'{kind}: {why}'}`."
    return sentence[:1].upper() + sentence[1:]


def blank(thing: object) -> bool:
    """Whether nothing was handed in, or nothing came out of it."""
    if isinstance(thing, tuple | list) and thing:
        return all(blank(part) for part in thing)
    return thing is None or thing is Ellipsis


# ---------------------------------------------------------------- observing an answer


class Calls:
    """Observe a function: what it returns for each of these tuples of arguments.

    It gets copies of them, so one call cannot spoil the arguments of the next.
    """

    def __init__(self, *cases: tuple):
        self.cases = cases

    def __call__(self, answer: Answer) -> tuple:
        check_callable(answer)
        return tuple(self.result(answer, case) for case in self.cases)

    def result(self, answer: Callable, case: tuple) -> Seen:
        try:
            return detached(answer(*copy.deepcopy(case)))
        except (Exception, SystemExit) as error:
            if isinstance(error, BadInput) or (isinstance(error, NotImplementedError) and not str(error)):
                raise
            raise Stopped(f"the call with {describe_arguments(case)}") from error

    def explain(self, seen: tuple, expected: tuple, tolerance: float) -> str:
        """The first case in which the answer differs from the right one."""
        for case, mine, right in zip(self.cases, seen, expected, strict=True):
            if not same(mine, right, tolerance):
                return f"With {describe_arguments(case)} it gives {describe_difference(mine, right, tolerance)}."
        raise AssertionError("explain was called for an answer that does not differ from the right one")


def check_callable(answer: Answer, kind: str = "function") -> None:
    """Raise `BadInput` unless the answer can be called."""
    if not callable(answer):
        raise BadInput(f"the answer is {brief(answer)}: hand in the {kind} itself, without calling it.")


def as_number(answer: Answer, name: str = "the answer") -> float:
    """Observe a number: a prediction, a count, a measurement. Raises `BadInput` for anything else."""
    values = as_array(answer)
    if values is None or values.size != 1 or values.dtype.kind == "b":
        raise BadInput(f"{name} is {brief(answer)}: give one number.")
    return float(values.item())


def detached(thing: Seen) -> Seen:
    """The same values without their computation graph."""
    if isinstance(thing, Tensor):
        return thing.detach()
    if isinstance(thing, list):
        return [*map(detached, thing)]
    if isinstance(thing, tuple):
        return tuple(map(detached, thing))
    return thing


# ---------------------------------------------------------------- comparing


def same(a: Seen, b: Seen, tolerance: float) -> bool:
    """Whether two results are equal: texts exactly, numbers and arrays up to the tolerance, containers item by item.

    A list and a tuple of equal items are the same, and so are a list of numbers and an array of them.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key], tolerance) for key in a)
    if is_sequence(a) and is_sequence(b):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    x, y = as_array(a), as_array(b)
    if x is None or y is None:
        return type(a) is type(b) and bool(a == b)
    if x.shape != y.shape:
        return False
    return bool(np.allclose(x.astype(float), y.astype(float), rtol=tolerance, atol=tolerance, equal_nan=True))


def is_sequence(thing: Seen) -> TypeGuard[tuple[Any, ...] | list[Any]]:
    return isinstance(thing, tuple | list)


def as_array(thing: Seen) -> np.ndarray | None:
    """A number, an array, a tensor or a list of numbers as an array; None for anything else."""
    if isinstance(thing, Tensor):
        thing = tensor_values(thing)
    elif is_sequence(thing) and not (thing and all(isinstance(x, bool | int | float | np.number) for x in thing)):
        return None
    if not isinstance(thing, bool | int | float | np.generic | np.ndarray | list | tuple):
        return None
    values = np.asarray(thing)
    return values if values.dtype.kind in "biuf" else None


def tensor_values(tensor: Tensor) -> np.ndarray | None:
    """The values of a tensor on any device and of any layout; None for a meta tensor, which has none."""
    if tensor.is_meta:
        return None
    tensor = (tensor if tensor.layout == torch.strided else tensor.to_dense()).detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


# ---------------------------------------------------------------- describing values in a sentence


def describe_difference(mine: Seen, right: Seen, tolerance: float) -> str:
    """What came out and what is right, with enough digits to see the difference: "3, but 4 is right"."""
    a, b = as_array(mine), as_array(right)
    if a is None or b is None:
        return f"{brief(mine)}, but {brief(right)} is right"
    if a.shape != b.shape:
        return f"{brief(mine)} of shape {a.shape}, but {brief(right)} of shape {b.shape} is right"
    if a.size <= 6:
        digits = 4 if brief(mine) != brief(right) else 8
        return f"{brief(mine, digits)}, but {brief(right, digits)} is right"
    place = next(i for i in np.ndindex(a.shape) if not same(a[i], b[i], tolerance))
    where = place[0] if len(place) == 1 else place
    return f"{brief(a[place], 8)} at index {where}, but {brief(b[place], 8)} is right"


def describe_arguments(case: Sequence) -> str:
    return ", ".join(map(brief, case))


def brief(thing: object, digits: int = 4) -> str:
    """A value in a few characters: numbers to some digits, a large tensor by its shape."""
    if is_sequence(thing):
        inside = ", ".join(brief(part, digits) for part in thing[:6]) + (", …" if len(thing) > 6 else "")
        return f"({inside})" if isinstance(thing, tuple) else f"[{inside}]"
    values = as_array(thing)
    if values is None:
        return getattr(thing, "__name__", None) or repr(thing)[:60]
    if values.ndim == 0:
        value = values.item()
        exact = isinstance(value, bool | int) or (abs(value) < 1e6 and value == round(value))
        return str(value) if isinstance(value, bool) else f"{value:.0f}" if exact else f"{value:.{digits}g}"
    if values.size <= 6:
        return brief(values.tolist(), digits)
    return f"{'a tensor' if isinstance(thing, Tensor) else 'an array'} of shape {values.shape}"
