"""The two environment variables of the course: `GANTUTOR_BUDGET` and `GANTUTOR_SEED`.

The notebooks are the same under every budget, and only the numbers of steps change::

    from gantutor import budget
    steps = budget.pick(quick=200, full=4000)
    seed = budget.seed()
"""

import os
from typing import TypeVar

from gantutor.errors import unknown, whole_number

NAMES = ("quick", "full")

T = TypeVar("T")


def name() -> str:
    """`"quick"` (minutes for the whole course, as tests and CI run it) or `"full"` (the default).

    Raises `BadInput` when `GANTUTOR_BUDGET` is anything else.
    """
    value = os.environ.get("GANTUTOR_BUDGET") or "full"
    if value not in NAMES:
        raise unknown("GANTUTOR_BUDGET", value, NAMES)
    return value


def pick(*, quick: T, full: T) -> T:
    """The argument for the current budget."""
    return quick if name() == "quick" else full


def steps(full: int) -> int:
    """How many steps a lesson trains where the text says `full`: under the quick budget a quarter, 200 at most."""
    return pick(quick=min(-(-full // 4), 200), full=full)


def seed() -> int:
    """The base seed of the notebooks: `GANTUTOR_SEED`, or 0. Raises `BadInput` unless it is a whole number ≥ 0."""
    value = os.environ.get("GANTUTOR_SEED") or "0"
    return whole_number("GANTUTOR_SEED", int(value) if value.isascii() and value.isdigit() else value)
