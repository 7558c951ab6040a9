"""`gantutor museum`: list the exhibits, or run one."""

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path

from gantutor.cli.common import Parser, capital, check_counts, note, seed
from gantutor.errors import BadInput


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "list the exhibits of the museum of GAN bugs, or run one"
    command = add(
        help=text,
        description=f"{capital(text)}, in its broken and its sound version. Exit status 1: the symptom did not show.",
    )
    command.add_argument(
        "id", metavar="ID", nargs="?", help="an exhibit, such as double-sigmoid; without it, list them"
    )
    command.add_argument(
        "--data",
        metavar="NAME",
        help="strokes, mnist or fashion-mnist (default: mnist, or strokes if that is not available)",
    )
    command.add_argument(
        "--steps", type=int, metavar="N", help="train for N steps (default: as many as the symptom needs)"
    )
    command.add_argument("--seed", type=seed, metavar="K", default=0, help="the same seed, the same run (default 0)")
    command.add_argument("--out", metavar="FILE", type=Path, help="save a picture of both versions (.png)")


def run(args: argparse.Namespace) -> int:
    check_counts(args, "steps")
    if args.out and args.out.suffix.lower() != ".png":
        raise BadInput(f"--out is {str(args.out)!r}: give a file name that ends in .png.")

    from gantutor import data, museum

    if args.id is None:
        for room, exhibits in museum.ROOMS.items():
            for e in exhibits:
                print(f"{e.number:>3}  {e.id:26} {e.title}  [{room}]")
        return 0
    exhibit = museum.exhibit(args.id)
    if args.data is not None:
        data.check_name(args.data)
    images = data.load_or_strokes("mnist") if args.data is None else data.load(args.data)
    with contextlib.ExitStack() as stack:
        if args.out:
            from gantutor.files import replacing

            temporary = stack.enter_context(replacing(args.out))
            temporary.touch()  # fail now rather than after the training
        note(f"Training {exhibit.id} on {images.name}, the broken and the sound version …")
        outcome = exhibit.run(args.steps, images=images, seed=args.seed)
        print(outcome.verdict())
        if args.out:
            from gantutor import show

            show.comparison(outcome).save(temporary, format="PNG")
    return 0 if outcome.as_expected() else 1
