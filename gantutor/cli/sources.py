"""What `--data` names: a data set of the package, or a folder or .zip of pictures."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gantutor.cli.common import note
from gantutor.errors import BadInput, unknown

if TYPE_CHECKING:
    from gantutor.data import Images

FEWEST = 50  # pictures: a GAN learns fewer by heart
FEWEST_OF_A_CLASS = 2
SIZES = [64, 32, 28]  # that every model can draw


def is_path(text: str) -> bool:
    from gantutor import data

    return text not in data.CLASSES and os.path.exists(Path(text).expanduser())


def check(text: str) -> None:
    """Raise `BadInput` unless this is a data set, a folder or a .zip."""
    from gantutor import data

    if is_path(text):
        return
    if "/" in text or os.sep in text or text.endswith(".zip"):
        kind = ".zip" if text.endswith(".zip") else "folder"
        raise BadInput(f"there is no {kind} {text!r}: give the path of a folder or .zip of pictures, or a data set.")
    if text.startswith("faces:"):
        data.check_name(text)
    if text not in data.CLASSES:
        raise unknown("data set or folder", text, data.NAMES)


def short_name(text: str) -> str:
    """A name that a folder can have."""
    from gantutor.data.folder import name_of

    return name_of(Path(text).expanduser()) if is_path(text) else text.replace(":", "-")


def load(text: str, size: int | None, flip: bool, conditional: bool, device: str) -> "Images":
    """The training images. Says in a sentence what was left out.

    Raises `BadInput` for what cannot be read, for fewer than 50 pictures, and for a conditional model if a class has
    only one.
    """
    from gantutor import data

    check(text)
    if is_path(text):
        images = data.from_folder(text, SIZES if size is None else size, say=note)
        check_count(text, images, conditional)
        images = images.to(device)
    else:
        images = data.load(text, device=device, size=size)
    return data.mirrored(images) if flip else images


def check_count(text: str, images: "Images", conditional: bool) -> None:
    if len(images) < FEWEST:
        raise BadInput(
            f"{text} holds {len(images)} pictures: a GAN needs {FEWEST} at least, and hundreds to draw new ones."
        )
    counts = images.labels.bincount(minlength=len(images.classes)).tolist()
    for name, count in zip(images.classes, counts, strict=True):
        if conditional and count < FEWEST_OF_A_CLASS:
            raise BadInput(f"the class {name!r} in {text} has {count} picture: give it more, or move its folder away.")


def shape(images: "Images") -> str:
    """Height and width, and whether there is colour."""
    C, H, W = images.stored.shape[1:]
    return f"{H}×{W}" + (" in colour" if C == 3 else "")
