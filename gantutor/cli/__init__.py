"""The command line: ``gantutor lab · fetch · train · sample · diagnose · museum · speedrun · handout``.

One file a command, with the parser of its options. What several share is in `common`; `program` chooses the command and
turns errors into one sentence and an exit status.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.cli.program import main

__all__ = ["main"]
__getattr__ = lazy.importer(__name__)
