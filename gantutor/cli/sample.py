"""`gantutor sample`: draw images from a saved run."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gantutor.cli.common import Parser, capital, check_counts, seed
from gantutor.errors import BadInput, unknown

if TYPE_CHECKING:
    from torch import nn

MOST_IMAGES = 1_000_000  # per file
YES, NO = "yes", "none"  # a label for all classes but the one that is called so


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "draw images from a saved run"
    command = add(help=text, description=capital(text) + ", with its averaged generator.")
    command.add_argument(
        "run",
        metavar="DIR",
        type=Path,
        help="the folder given to train --out; or digits, clothes, strokes or faces, which are already trained",
    )
    command.add_argument("--count", type=int, metavar="N", help="how many images (default 64)")
    command.add_argument(
        "--label",
        metavar="CLASS",
        help="draw this class only, by number or name (7, sneaker); yes: all but the class none, as in faces:glasses",
    )
    command.add_argument("--per-class", type=int, metavar="N", help="N images of each class, class by class")
    command.add_argument("--seed", type=seed, metavar="K", default=0, help="the same seed, the same images (default 0)")
    command.add_argument("--out", metavar="FILE", type=Path, required=True,
                         help=".npz (images: uint8 (N, C, H, W); labels: int64 (N,), where a run has classes) or "
                              ".png (a grid)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    writers = {".npz": write_npz, ".png": write_png}
    if args.out.suffix.lower() not in writers:
        raise BadInput(f"--out is {str(args.out)!r}: give a file that ends in .npz or .png.")
    check_counts(args, "count", "per_class")
    if args.per_class is not None and (args.count, args.label) != (None, None):
        raise BadInput("--per-class already says how many images of each class to draw: leave out --count and --label.")

    from gantutor import train
    from gantutor.files import replacing
    from gantutor.models import classes_of

    G, names = find_generator(args.run)
    n, labels, what = choose_classes(args, classes_of(G), names, args.per_class)
    if n > MOST_IMAGES:
        raise BadInput(
            f"these are {n:,} images: draw at most {MOST_IMAGES:,} into one file, and more into others with "
            "other seeds."
        )
    images = train.sample(G, n, seed=args.seed, labels=labels)  # (N, C, H, W) in [-1, 1]
    if images.ndim != 4:
        raise BadInput(
            f"{args.run} generates examples of shape {tuple(images.shape[1:])}: give a run that generates images."
        )
    if not images.isfinite().all():
        raise BadInput(
            f"{args.run} generates NaN or infinite pixels, because its training diverged: train again with "
            "another seed."
        )
    with replacing(args.out) as temporary:
        writers[args.out.suffix.lower()](temporary, images, train.wanted_labels(G, n, labels), args.per_class)
    print(f"{n} images{what}: {args.out}")
    return 0


def find_generator(run: Path) -> tuple["nn.Module", Sequence[str]]:
    """The generator of a saved run, or a shipped one if no folder has that name; and the names of its classes."""
    from gantutor import data
    from gantutor.runs import checkpoint, pretrained

    if str(run) in pretrained.SHIPPED and not os.path.exists(run):
        return pretrained.generator(str(run)), data.CLASSES[pretrained.SHIPPED[str(run)].data]
    G, state = checkpoint.load_generator(run), checkpoint.read_state(run)[1]
    return G, list(state.get("classes") or data.CLASSES.get(str(state["data"]), ()))


def choose_classes(
    args: argparse.Namespace, classes: int, names: Sequence[str], per_class: int | None = None
) -> tuple[int, int | list[int] | None, str]:
    """The number of images to draw, their labels as `train.sample` takes them, and the choice in words."""
    if not classes and (args.label is not None or per_class is not None):
        option = "--per-class" if args.label is None else "--label"
        raise BadInput(f"{args.run} was trained without classes: leave out {option}, or train cmlp or cdcgan.")
    if per_class is not None:
        n, each = classes * per_class, f"{per_class} of each of {classes} classes"
        return n, [y for y in range(classes) for _ in range(per_class)] if n <= MOST_IMAGES else None, f", {each}"
    n = 64 if args.count is None else args.count
    if args.label is None:
        return n, None, ", the classes in turn" if classes else ""
    known = [name.casefold() for name in names]
    if args.label.casefold() == YES and YES not in known and NO in known and len(known) == classes > 1:
        kinds = [label for label in range(classes) if known[label] != NO]
        labels = [kinds[i % len(kinds)] for i in range(n)] if n <= MOST_IMAGES else None
        return n, labels, f", of {', '.join(names[label] for label in kinds)} in turn"
    label, name = find_class(args.label, names, classes)
    return n, label, f" of class {name}"


def find_class(text: str, names: Sequence[str], classes: int) -> tuple[int, str]:
    """The number and the name of a class, from either. Where the names are not known, the number is also the name."""
    numbers = [str(label) for label in range(classes)]
    names = names if len(names) == classes else numbers
    for known in (numbers, [name.casefold() for name in names]):
        if text.casefold() in known:
            label = known.index(text.casefold())
            return label, names[label]
    if text.removeprefix("-").isdigit():  # do not suggest a similar number
        raise BadInput(f"unknown class {text!r}: the choices are: {', '.join(names)}.")
    raise unknown("class", text, names)


def write_npz(path: Path, images, labels, per_class: int | None) -> None:
    import numpy as np

    pixels = images.add(1).mul(127.5).round().clamp(0, 255).byte().numpy()  # the inverse of x / 127.5 - 1
    known = {} if labels is None else {"labels": labels.numpy()}
    with open(path, "wb") as file:
        np.savez_compressed(file, images=pixels, **known)


def write_png(path: Path, images, labels, per_class: int | None) -> None:
    """Write a grid; with `per_class` each class begins a new row, and takes several if it has more than 25 images."""
    from torch.nn.functional import pad

    from gantutor import show

    columns = None
    if per_class:
        rows = -(-per_class // 25)
        columns = -(-per_class // rows)
        images = images.unflatten(0, (-1, per_class))  # (K, per_class, C, H, W)
        images = pad(images, (0, 0) * 3 + (0, rows * columns - per_class), value=1.0).flatten(
            0, 1
        )  # fill the row with white
    show.grid(images, columns).save(path, format="PNG")
