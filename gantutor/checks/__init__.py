"""Exercises that check themselves: ``checks.check("01.1", my_function)`` in the cell below an answer.

The tasks stand in the notebooks of `notebooks/exercises`, with solutions in `notebooks/solutions`. A file for
each lesson holds what their answers must do; the `catalogue` has them by id, and `exercise` says how an answer is
judged.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.checks.catalogue import CATALOGUE, Hint, check, find, hint
    from gantutor.checks.exercise import Answer, Exercise, Mistake, Verdict

__all__ = ["CATALOGUE", "Answer", "Exercise", "Hint", "Mistake", "Verdict", "check", "find", "hint"]
__getattr__ = lazy.importer(__name__)
