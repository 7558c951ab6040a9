"""`gantutor diagnose`: find out from its samples what is wrong with a GAN."""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gantutor.cli.common import Parser, capital, note
from gantutor.errors import GantutorError, unknown

if TYPE_CHECKING:
    from gantutor.doctor import inputs


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "find out from its samples what is wrong with a GAN"
    command = add(help=text, description=f"{capital(text)}. Exit status 0: healthy, 1: something was found.")
    command.add_argument("samples", metavar="SAMPLES", type=Path,
                         help="500 images or more: .npz (keys images, labels), .npy, .pt, a folder or .zip of "
                              "pictures; (N, H, W) or (N, C, H, W), bytes or floats in [-1, 1]")  # fmt: skip
    command.add_argument("--against", metavar="REAL", required=True,
                         help="mnist, fashion-mnist, strokes or faces; or a file or folder like SAMPLES")  # fmt: skip
    command.add_argument("--json", action="store_true", help="print the findings as JSON, and nothing else, on stdout")


def run(args: argparse.Namespace) -> int:
    from gantutor import data, doctor
    from gantutor.doctor import files

    if args.against not in data.CLASSES and not os.path.exists(args.against):
        raise unknown("data set, file or folder", args.against, data.NAMES)
    samples, labels, notes = files.load(args.samples)
    held_out = None
    real: inputs.Pictures
    if args.against in data.CLASSES:
        note(f"Reading {args.against} …")
        real, real_labels, held_out = data.load(args.against), None, data.load(args.against, "test")
    else:
        real, real_labels, more = files.load(args.against, most=files.side_of(samples))
        notes += more
    note(f"Examining {len(samples):,} samples …")
    try:
        diagnosis = doctor.examine(samples, real, labels=labels, real_labels=real_labels, held_out=held_out)
    except GantutorError:
        for sentence in notes:  # they may tell why
            note(sentence)
        raise
    diagnosis = replace(diagnosis, notes=(*notes, *diagnosis.notes))
    print(diagnosis.to_json() if args.json else diagnosis)
    return 0 if diagnosis.healthy else 1
