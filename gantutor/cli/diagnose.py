"""`gantutor diagnose`: find out from its samples, or from its training log, what is wrong with a GAN."""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gantutor.cli.common import Parser, capital, note, quoted
from gantutor.errors import BadInput, GantutorError, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from gantutor import doctor
    from gantutor.doctor.images import classes


LOGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".log", ".out")


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "find out from its samples, or from its training log, what is wrong with a GAN"
    command = add(help=text, description=f"{capital(text)}. Exit status 0: healthy, 1: something was found.")
    command.add_argument("samples", metavar="SAMPLES", type=Path, nargs="?",
                         help="500 images or more: .npz (keys images, labels), .npy, .pt, a folder or .zip of "
                              "pictures; (N, H, W) or (N, C, H, W), bytes or floats in [-1, 1]")  # fmt: skip
    command.add_argument("--against", metavar="REAL",
                         help="mnist, fashion-mnist, strokes or faces; or a file or folder like SAMPLES")  # fmt: skip
    command.add_argument("--history", metavar="LOG", type=Path, nargs="+",
                         help="the log of the training, alone or beside SAMPLES: .csv, .jsonl, .json, what it printed "
                              "(.txt or .log), or TensorBoard's folder")  # fmt: skip
    command.add_argument("--json", action="store_true", help="print the findings as JSON, and nothing else, on stdout")
    command.add_argument("--html", metavar="FILE", type=Path,
                         help="also write a report with pictures: one file, which needs no network")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from gantutor import doctor, publish

    if args.html is not None and args.html.is_dir():
        raise BadInput(f"--html {quoted(args.html)} is a folder: give the name of a file, such as report.html.")
    if args.samples is not None:
        diagnosis = examine_samples(args)
    elif args.history and args.against is None:
        diagnosis = doctor.examine(history=args.history)
    else:
        raise BadInput(
            "there is nothing to examine: give SAMPLES --against REAL, for example samples.npz --against mnist, or "
            "--history LOG, for example --history log.csv, or both."
        )
    print(diagnosis.to_json() if args.json else diagnosis)
    if args.html is not None:
        note(f"The report is {quoted(publish.write_report(diagnosis, args.html, command=args.line))}.")
    return 0 if diagnosis.healthy else 1


def is_log(path: Path) -> bool:
    """Whether it is a file of text by its ending, or TensorBoard's."""
    return path.suffix.lower() in LOGS or "tfevents" in path.name or (path.is_dir() and any(path.glob("*tfevents*")))


def examine_samples(args: argparse.Namespace) -> "doctor.Diagnosis":
    from gantutor import data, doctor
    from gantutor.data.pictures import TRANSPARENT
    from gantutor.doctor.images import arrays, files

    if is_log(args.samples):
        raise BadInput(f"{args.samples} is a log, not images: give it as --history {quoted(args.samples)}.")
    if args.against is None:
        raise BadInput("there are no real images to compare with: give --against mnist, or your own training images.")
    if args.against not in data.CLASSES and not os.path.exists(args.against):
        raise unknown("data set, file or folder", args.against, data.NAMES)
    samples, labels, notes = files.load(args.samples)
    held_out, ground = None, "white"
    real: arrays.Pictures
    if args.against in data.CLASSES:
        note(f"Reading {args.against} …")
        real, real_labels, held_out = data.load(args.against), None, data.load(args.against, "test")
    else:
        real, real_labels, more = files.load(args.against, most=files.side_of(samples), real=True)
        notes += more
        if any(TRANSPARENT in sentence for sentence in more):
            on_black = files.load(args.against, most=files.side_of(samples), ground="black", real=True).images
            real = arrays.on_fitting_ground(samples, real, on_black, notes)
            ground = "black" if real is on_black else "white"
    labels = usable(labels, len(samples), f"{args.samples.name}: the labels", notes)
    real_labels = usable(real_labels, len(real), f"{Path(args.against).name}: the labels", notes)
    note(f"Examining {len(samples):,} samples …")
    try:
        diagnosis = doctor.examine(
            samples, real, labels=labels, real_labels=real_labels, held_out=held_out, history=args.history,
            closeups=closeups_of(args.samples, Path(args.against), len(samples), len(real), ground),
        )  # fmt: skip
    except GantutorError:
        for sentence in notes:  # they may tell why
            note(sentence)
        raise
    return replace(diagnosis, notes=(*notes, *diagnosis.notes))


def usable(labels: "classes.Labels | None", count: int, what: str, notes: list[str]) -> "classes.Labels | None":
    """The labels of a file, unless they are something else than a class for each image; a note says so."""
    from gantutor.doctor.images import classes

    if labels is None or len(labels) != count or classes.are_names(labels):
        return labels
    try:
        return classes.to_labels(labels, count, what)
    except BadInput:
        shape = tuple(labels.shape) if hasattr(labels, "shape") else (count,)
        notes.append(f"{what} {shape} are not one whole number, 0 or more, for each image, and were not used.")
        return None


def closeups_of(samples: Path, real: Path, count: int, real_count: int, ground: str) -> "tuple[Tensor, Tensor] | None":
    """Parts of the pictures in two folders or .zips at full size, if both hold large ones."""
    from gantutor import data

    if not all(path.is_dir() or path.suffix.lower() == ".zip" for path in (samples, real)):
        return None
    mine, theirs = data.closeups(samples, images=count), data.closeups(real, images=real_count, ground=ground)
    return None if mine is None or theirs is None else (mine, theirs)
