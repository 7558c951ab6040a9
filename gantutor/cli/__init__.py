"""The command line: ``gantutor lab · fetch · train · sample · diagnose · museum · speedrun · experiment · handout``.

Each command has a file with its options and what it does. What several share is in `common`; `program` selects the
command and turns errors into one sentence and an exit status.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.cli.program import main

__all__ = ["main"]
__getattr__ = lazy.importer(__name__)
