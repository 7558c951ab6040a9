"""Your own pictures: a folder as one tensor."""

import operator
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from gantutor.data.images import Images
from gantutor.errors import BadInput

SMALLEST, LARGEST = 8, 1024  # pixels a side
THREADS = 8  # at most: each may hold a large photograph
BLOCK = 32  # files that a thread takes at a time


def from_folder(path: str | os.PathLike, size: int, grey: bool = False) -> Images:
    """A folder of pictures, each cropped to its central square and resized to `size` × `size`.

    Subfolders, if there are any, are classes (in alphabetical order), with pictures at any depth; otherwise all
    pictures are one class, named after the folder. Hidden files are skipped. Pictures are turned upright according to
    their EXIF data, placed on white if they are transparent, and converted to 8 bits a channel. They are stored as
    bytes: 50,000 colour pictures of 64×64 pixels take 614 MB. Several threads decode them at once.

    Args:
        path: of the folder.
        size: height and width to resize to, 8 to 1024 pixels.
        grey: return (N, 1, size, size) instead of RGB, (N, 3, size, size).

    Raises:
        BadInput: no folder, no pictures, a file that is not a picture or has several frames or less than 8 pixels a
            side, a file beside the class folders, or another `size`. The message names the file.
    """
    try:
        size = operator.index(size)
    except TypeError:
        raise BadInput(f"size is {size!r}: give a whole number of pixels.") from None
    if not SMALLEST <= size <= LARGEST:
        raise BadInput(f"size is {size}: give {SMALLEST} to {LARGEST} pixels.")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise BadInput(f"{str(path)!r} is not a folder: give the path of a folder that holds pictures.")
    classes, files, labels = _find_classes(folder)
    pixels = torch.from_numpy(_read_pictures(files, size, grey))  # (N, C, size, size)
    return Images(folder.resolve().name, pixels, torch.tensor(labels), classes)


def _find_classes(folder: Path) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """Class names, the files in order, and the class number of each file."""
    entries = sorted(entry for entry in folder.iterdir() if not is_hidden(entry))
    folders = [entry for entry in entries if entry.is_dir()]
    stray = [entry for entry in entries if not entry.is_dir()]
    if folders and stray:
        raise BadInput(
            f"{stray[0]} lies beside folders, which are taken for classes: move it into one of them, or away."
        )
    files, labels = [], []
    for number, group in enumerate(folders or [folder]):
        inside = sorted(file for file in group.rglob("*") if file.is_file() and not is_hidden(file, group))
        if not inside:
            raise BadInput(f"{group} holds no pictures: put some there, or give another folder.")
        files += inside
        labels += [number] * len(inside)
    return tuple(group.name for group in folders) or (folder.resolve().name,), files, labels


def is_hidden(path: Path, below: Path | None = None) -> bool:
    """Is this file, or a folder on the way to it, one that file managers do not show?"""
    parts = path.relative_to(below or path.parent).parts
    return any(part.startswith(".") or part in ("Thumbs.db", "desktop.ini", "__MACOSX") for part in parts)


def _read_pictures(files: list[Path], size: int, grey: bool) -> np.ndarray:
    """All pictures as uint8 (N, C, size, size). If several cannot be read, the error of the first one is raised."""
    pixels = np.empty((len(files), 1 if grey else 3, size, size), np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + BLOCK, len(files))):
            pixels[i] = _read_picture(files[i], size, grey).reshape(size, size, -1).transpose(2, 0, 1)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:  # decoders let other threads run
        for _ in pool.map(fill, range(0, len(files), BLOCK)):
            pass
    return pixels


def _read_picture(path: Path, size: int, grey: bool) -> np.ndarray:
    """One picture as uint8 (size, size) or (size, size, 3)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # MPO: a photo with its preview
            if frames == 1:
                picture.load()
                picture = _to_eight_bits(ImageOps.exif_transpose(picture))
    except Exception as error:  # each decoder has its own errors
        reason = "not a picture file" if isinstance(error, Image.UnidentifiedImageError) else error
        raise BadInput(f"{path} cannot be read as a picture ({reason}): repair it, or move it away.") from error
    if frames > 1:
        raise BadInput(f"{path} has {frames} frames: save one of them as a picture, or move the file away.")
    if min(picture.size) < SMALLEST:
        width, height = picture.size
        raise BadInput(f"{path} has {width}×{height} pixels, less than {SMALLEST} on a side: move it away.")
    picture = picture.convert("L" if grey else "RGB")
    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC))  # antialiased when reducing


def _to_eight_bits(picture):
    """A Pillow picture as opaque `L` or `RGB`, 8 bits a channel."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16-bit grey; convert("L") would clip it
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("more than 16 bits a pixel")
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point pixels")
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
