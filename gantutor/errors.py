"""Errors that the user can put right: each message says what is wrong, with which value, and what to do about it."""

import difflib
import math
import operator
from collections.abc import Iterable
from typing import SupportsFloat, SupportsIndex, cast


class GantutorError(Exception):
    """Base of every error the package raises on purpose. The command line prints it and exits with status 2."""


class BadInput(GantutorError, ValueError):
    """A value, a file or a folder is not what is needed."""


class DamagedRun(BadInput):
    """A file is no longer what was written: it was cut short or changed."""


class DataUnavailable(GantutorError):
    """A data set is not on this computer and could not be downloaded."""


class BadDataFolder(BadInput, DataUnavailable):
    """The folder that `GANTUTOR_DATA` names is missing or lacks a file. Nothing else is tried in its place."""


class OutOfMemory(GantutorError):
    """The device ran out of memory."""


class Diverged(GantutorError):
    """Training produced NaN or infinity."""


class RankLost(GantutorError):
    """Another of the processes that train together is gone."""


def reason(error: BaseException) -> str:
    """The first line of an error's message, without its full stop; if there is no message, the type of the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def unknown(kind: str, name: object, choices: Iterable[str]) -> BadInput:
    """The error for a name that is not one of `choices`, suggesting the nearest one.

    >>> str(unknown("data set", "minst", ["mnist", "strokes"]))
    "unknown data set 'minst': did you mean 'mnist'? The choices are: mnist, strokes."
    """
    choices = list(choices)
    near = difflib.get_close_matches(str(name).lower(), choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return BadInput(f"unknown {kind} {name!r}: {hint}The choices are: {', '.join(choices)}.")


def whole_number(name: str, value: object, least: int = 0) -> int:
    """`value`, also a NumPy integer, as an int. Raises `BadInput` unless it lies between `least` and 2⁶³ − 1."""
    try:
        number = operator.index(cast(SupportsIndex, value))
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number < 2**63:
        raise BadInput(f"{name} is {value!r}: give a whole number, {least} or more.")
    return number


def real_number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """`value` as a float. Raises `BadInput` unless it is finite and within the bounds."""
    try:
        number = float(cast(SupportsFloat, value))
    except (TypeError, ValueError):
        raise BadInput(f"{name} is {value!r}: give a number.") from None
    if not (math.isfinite(number) and least <= number <= most and above < number < below):
        bounds = [f"≥ {least:g}"] * (least > -math.inf) + [f"≤ {most:g}"] * (most < math.inf)
        bounds += [f"> {above:g}"] * (above > -math.inf) + [f"< {below:g}"] * (below < math.inf)
        raise BadInput(f"{name} is {number:g}: give {' and '.join(['a finite number', *bounds])}.")
    return number
