"""`gantutor film`: a walk through what a generator can draw."""

import argparse
from collections.abc import Callable
from pathlib import Path

from gantutor.cli.common import Parser, capital, check_counts, seed
from gantutor.cli.sample import choose_classes, find_generator
from gantutor.errors import BadInput, real_number

MOST = {"frames": 600, "count": 100, "scale": 10}


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "a film of a walk through what a generator can draw"
    command = add(help=text, description=capital(text) + "; it ends where it began.")
    command.add_argument("run", metavar="DIR", type=Path, help="as for sample")
    command.add_argument("--out", metavar="FILE", type=Path, required=True,
                         help=".png (animated), .gif, or .mp4 where ffmpeg is installed")  # fmt: skip
    command.add_argument("--count", type=int, metavar="N", default=9, help="images beside each other (default 9)")
    command.add_argument("--frames", type=int, metavar="N", default=60, help="how many frames (default 60)")
    command.add_argument("--fps", type=float, metavar="N", default=15, help="frames per second (default 15)")
    command.add_argument("--scale", type=int, metavar="N", default=2, help="enlarge each pixel (default 2)")
    command.add_argument("--label", metavar="CLASS", help="draw this class only, by number or name; yes: all but none")
    command.add_argument("--seed", type=seed, metavar="K", default=0, help="another seed, another walk (default 0)")


def run(args: argparse.Namespace) -> int:
    check_counts(args, "count", "frames", "scale")
    real_number("--fps", args.fps, least=1, most=50)
    for name, most in MOST.items():
        if getattr(args, name) > most:
            raise BadInput(f"--{name} is {getattr(args, name)}: give at most {most}.")

    from gantutor import show
    from gantutor.models import classes_of
    from gantutor.show import films

    films.check_kind(args.out)
    G, names = find_generator(args.run)
    n, labels, what = choose_classes(args, classes_of(G), names)
    frames = show.walk(G, args.frames, n, seed=args.seed, labels=labels, scale=args.scale)
    show.save_film(frames, args.out, args.fps)
    print(f"{args.frames} frames of {n} images{what}, {args.frames / args.fps:.1f} s: {args.out}")
    return 0
