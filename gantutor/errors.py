"""Errors that the user can put right: each message says what is wrong, with which value, and what to do."""

import difflib
from collections.abc import Iterable


class GantutorError(Exception):
    """Base of every error the package raises on purpose. The command line prints it and exits with status 2."""


class BadInput(GantutorError, ValueError):
    """A value, a file or a folder is not what was asked for."""


class DataUnavailable(GantutorError):
    """A data set is not on this computer and could not be downloaded."""


def unknown(kind: str, name: object, choices: Iterable[str]) -> BadInput:
    """The error for a name that is not one of `choices`, suggesting the nearest one.

    >>> str(unknown("data set", "minst", ["mnist", "strokes"]))
    "unknown data set 'minst': did you mean 'mnist'? The choices are: mnist, strokes."
    """
    choices = list(choices)
    near = difflib.get_close_matches(str(name).lower(), choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return BadInput(f"unknown {kind} {name!r}: {hint}The choices are: {', '.join(choices)}.")
