"""Select and run a command, and turn errors into one sentence and an exit status.

Exit status: 0, done (also when Ctrl-C ended training early, because the run is saved); 1, `diagnose` found an ailment,
an exhibit of `museum` did not show its symptom, a `speedrun` did not reach its goals, or `handout --check` found a
difference; 2, an error that the user can correct, described in one sentence on stderr; 130, interrupted before there
was anything to save; 70, an error of the program itself, with its traceback. A command imports its modules when it
runs, so that `gantutor --help` answers at once.
"""

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from functools import partial

from gantutor import __version__
from gantutor.cli import diagnose, experiment, fetch, film, handout, lab, museum, sample, speedrun, train
from gantutor.cli.common import PROGRAM, Parser, fail, one_of_several
from gantutor.errors import GantutorError, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without a character shows ? instead of a traceback
    try:
        return run_command(argv)
    except GantutorError as error:
        return fail(f"rank {os.environ['RANK']}: {error}" if one_of_several() else str(error))
    except ModuleNotFoundError as error:
        if (error.name or "gantutor").startswith("gantutor"):
            raise
        return fail(
            f"the Python package {error.name!r} is missing: install it, or all requirements with pip install -e ."
        )
    except KeyboardInterrupt:
        print("\ninterrupted.", file=sys.stderr)
        return 130
    except MemoryError:
        return fail("the memory does not suffice: close other programs, or give fewer or smaller images.")
    except Exception:  # Python's own exit status would be 1, which means that something was found
        traceback.print_exc()
        fail("this is an error of gantutor itself: please report it with the lines above.")
        return 70


COMMANDS = {"lab": lab, "fetch": fetch, "train": train, "sample": sample, "film": film, "diagnose": diagnose,
            "museum": museum, "speedrun": speedrun, "experiment": experiment, "handout": handout}  # fmt: skip


def run_command(argv: list[str]) -> int:
    further = []
    if argv and not argv[0].startswith("-"):
        if argv[0] not in COMMANDS:
            raise unknown("command", argv[0], COMMANDS)
        if argv[0] == "lab" and not {"-h", "--help"} & set(argv):
            argv, further = argv[:1], argv[1:]  # the options are Jupyter's
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    args.further, args.line = further, shlex.join([*PROGRAM.split(), *argv])
    return COMMANDS[args.command].run(args)


def make_parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="A course on generative adversarial networks, and the package behind it.")
    parser.add_argument("--version", action="version", version=f"gantutor {__version__}")
    add = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands").add_parser
    for name, command in COMMANDS.items():
        command.add_arguments(partial(add, name))
    return parser
