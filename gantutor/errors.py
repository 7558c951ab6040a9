"""Errors that the user can put right: each message says what is wrong, with which value, and what to do."""

import difflib
import math
import operator
from collections.abc import Iterable


class GantutorError(Exception):
    """Base of every error the package raises on purpose. The command line prints it and exits with status 2."""


class BadInput(GantutorError, ValueError):
    """A value, a file or a folder is not what was asked for."""


class DamagedRun(BadInput):
    """A file is not what was once written: cut short, or changed since."""


class DataUnavailable(GantutorError):
    """A data set is not on this computer and could not be downloaded."""


class BadDataFolder(BadInput, DataUnavailable):
    """The folder that `GANTUTOR_DATA` names is missing or lacks a file: an error, never a reason to look elsewhere."""


class OutOfMemory(GantutorError):
    """The memory of the device did not suffice for a step."""


class Diverged(GantutorError):
    """NaN or infinity turned up in a training."""


class RankLost(GantutorError):
    """Of several processes that train together another one is gone."""


def reason(error: BaseException) -> str:
    """The first line of an error, without its full stop; its type where it says nothing."""
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
    """`value` as an int from `least` to 2⁶³ − 1 (also from a NumPy integer). Raises `BadInput` naming it otherwise."""
    try:
        number = operator.index(value)
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
    """`value` as a finite float within the bounds. Raises `BadInput` naming it otherwise."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{name} is {value!r}: give a number.") from None
    if not (math.isfinite(number) and least <= number <= most and above < number < below):
        bounds = [f"≥ {least:g}"] * (least > -math.inf) + [f"≤ {most:g}"] * (most < math.inf)
        bounds += [f"> {above:g}"] * (above > -math.inf) + [f"< {below:g}"] * (below < math.inf)
        raise BadInput(f"{name} is {number:g}: give {' and '.join(['a finite number', *bounds])}.")
    return number
