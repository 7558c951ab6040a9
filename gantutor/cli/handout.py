"""`gantutor handout`: the course as a handout for a class."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gantutor.cli.common import Parser, capital, find_course, note
from gantutor.errors import BadInput


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "write the course as a folder or a zip to hand out in class"
    command = add(help=text, description=f"{capital(text)}; or make the exercise sheets from their solutions.")
    command.add_argument("out", metavar="OUT", type=Path, nargs="?", help="a new folder, or a .zip")
    command.add_argument("--lessons", metavar="NN", nargs="+", default=(), help="only these and 00 (default: all)")
    command.add_argument(
        "--data", metavar="NAME", nargs="*", help="mnist, fashion-mnist, or nothing after it for none (default: both)"
    )
    command.add_argument(
        "--html", action="store_true", help="add the lessons as web pages, which can be read without Python"
    )
    command.add_argument("--slides", action="store_true", help="add slides of each lesson")
    command.add_argument("--teacher", action="store_true", help="add the teacher's page and the solutions")
    command.add_argument("--wheels", action="store_true",
                         help="add the required packages, for computers like this one without a network")  # fmt: skip
    command.add_argument("--nbgrader", action="store_true", help="write a course folder for nbgrader to OUT instead")
    command.add_argument("--exercises", action="store_true", help="write notebooks/exercises from notebooks/solutions")
    command.add_argument("--check", action="store_true",
                         help="with --exercises: write nothing, but exit with status 1 if they differ")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    if args.exercises:
        return exercises(args)
    if args.out is None or args.check:
        raise BadInput(
            "there is no OUT: name a folder or a .zip to write, or use --exercises, with or without --check."
        )

    from gantutor.publish import exercise_sheets, handout

    if args.nbgrader:
        names = exercise_sheets.nbgrader_course(find_course() / "notebooks", args.out)
        print(f"{args.out}: {', '.join(names)}. Next, in this folder: nbgrader generate_assignment {names[0]} --create")
        return 0
    options = handout.Options(args.lessons, tuple(handout.LICENCES) if args.data is None else args.data, args.html,
                              args.slides, args.teacher, args.wheels)  # fmt: skip
    for sentence in handout.make(find_course(), args.out, options):
        note(sentence)
    files = [args.out] if args.out.is_file() else [path for path in args.out.rglob("*") if path.is_file()]
    print(f"{args.out}: {sum(path.stat().st_size for path in files) / 1e6:.0f} MB. Its README says how to start.")
    return 0


def exercises(args: argparse.Namespace) -> int:
    """Write the exercise sheets from their solutions, or with --check list those that differ."""
    if args.out is not None:
        raise BadInput(f"--exercises writes into the course itself: leave {args.out} out.")

    from gantutor.publish import exercise_sheets

    course = find_course()
    act, did = (exercise_sheets.outdated_sheets, "differs") if args.check else (exercise_sheets.write_sheets, "written")
    paths = act(course / "notebooks")
    for path in paths:
        print(f"{path.relative_to(course)}: {did}")
    if args.check and paths:
        note("Write them again: gantutor handout --exercises")
    return 1 if args.check and paths else 0
