"""Exercises that check themselves: ``checks.check("01.1", my_function)`` in the cell below an answer.

The tasks are in `notebooks/exercises`, their solutions in `notebooks/solutions`. Each lesson has a file here that says
what its answers must do; `training_turns` and `mutation_tests` hold the longest exercises of lessons 02 and 07. The
`catalogue` finds an exercise by its id, and `exercise` defines how an answer is checked. `proofs` prints what a lesson
has checked of its own claims.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.checks.catalogue import CATALOGUE, Hint, check, find, hint
    from gantutor.checks.exercise import Answer, Exercise, Mistake, Verdict
    from gantutor.checks.proofs import proof

__all__ = ["CATALOGUE", "Answer", "Exercise", "Hint", "Mistake", "Verdict", "check", "find", "hint", "proof"]
__getattr__ = lazy.importer(__name__)
