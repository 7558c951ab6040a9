"""Your own pictures: a folder, or a .zip of one, as one tensor."""

import contextlib
import io
import math
import operator
import os
import re
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from gantutor.data.images import Factor, Images
from gantutor.errors import BadInput, OutOfMemory

SMALLEST, LARGEST = 8, 1024  # pixels a side
USUAL = 64  # pixels a side, at most, if no size is asked for
MOST_PIXELS = 80_000_000  # of a picture; one that unpacks to more may be made to fill the memory
MOST_BYTES = 2**28  # of a file in a .zip, unpacked
THREADS = 8  # at most: each may hold a large photograph
BLOCK = 32  # files that a thread takes at a time


def tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def from_folder(
    path: str | os.PathLike,
    size: int | list[int] | None = None,
    grey: bool | None = None,
    say: Callable[[str], None] = tell,
) -> Images:
    """A folder of pictures, or a .zip of one, each cropped to its central square and resized to `size` × `size`.

    Subfolders, if there are any, are classes (in alphabetical order), with pictures at any depth; otherwise all
    pictures are one class, named after the folder. Pictures are turned upright according to their EXIF data, placed on
    white if they are transparent, and converted to 8 bits a channel; of an animation the first frame is taken. They are
    stored as bytes: 50,000 colour pictures of 64×64 pixels take 614 MB. Several threads decode them at once.

    Hidden files are skipped in silence. Files that are no pictures, or broken, smaller than 8 pixels a side or larger
    than 80 million, are left out, and so are pictures beside class folders. A .zip is read without being unpacked.

    Args:
        path: of the folder or the .zip.
        size: height and width to resize to, 8 to 1024 pixels; by default those of the first picture, at most 64. Of
            several the largest is taken that the first picture has, or else the smallest.
        grey: return (N, 1, size, size) instead of RGB, (N, 3, size, size); by default if all pictures are grey.
        say: takes one sentence about what was left out, and one about what was cut; by default stderr shows them.

    Raises:
        BadInput: no folder, a broken .zip or one with paths that lead out of it, no picture that can be read, a class
            without any, nothing but copies of one picture, or another `size`.
    """
    sizes = [_checked_size(one) for one in ([] if size is None else size if isinstance(size, list) else [size])]
    path = Path(path).expanduser()
    with _files_in(path) as files, warnings.catch_warnings():  # here, for threads share the filters
        warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # `MOST_PIXELS` is ours
        classes, files, labels, beside = _find_classes(path, files)
        first_size, all_grey = _look_at(files, grey)
        side = max([s for s in sizes if s <= first_size] or [min(sizes, default=min(first_size, USUAL))])
        read = _read_pictures(files, side, all_grey if grey is None else grey)
    left_out = Counter({"beside the folders of the classes": beside})
    left_out.update(reason for reason in read.reasons if reason)
    good = torch.tensor([not reason for reason in read.reasons])
    if not good.any():
        name = files[0].name
        raise BadInput(f"{path} holds no pictures that can be used: {name} is {read.reasons[0]}.")
    labels = labels[good]
    _check(path, classes, labels, read.pixels)
    for sentence in _report(left_out, len(files) + beside, read, files):
        say(sentence)
    return Images(name_of(path), read.pixels, labels, classes)


def name_of(path: Path) -> str:
    """The name of a folder, or of a .zip without its ending."""
    return path.resolve().stem if path.is_file() else path.resolve().name


def _checked_size(size: object) -> int:
    try:
        pixels = operator.index(size)  # type: ignore[arg-type]
    except TypeError:
        raise BadInput(f"size is {size!r}: give a whole number of pixels.") from None
    if not SMALLEST <= pixels <= LARGEST:
        raise BadInput(f"size is {size}: give {SMALLEST} to {LARGEST} pixels.")
    return pixels


def mirrored(images: Images) -> Images:
    """The images and, after them, all of them mirrored, left to right: twice as many where left and right are alike."""
    factors = {name: Factor(known.values, known.labels.repeat(2)) for name, known in images.factors.items()}
    pixels = torch.cat([images.stored, images.stored.flip(3)])
    return Images(images.name, pixels, images.labels.repeat(2), images.classes, factors)


# --- files -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A file in the folder: the names of the folders to it and its own, and how to open it."""

    parts: tuple[str, ...]
    open: Callable[[], io.FileIO | io.BytesIO]

    @property
    def name(self) -> str:
        return "/".join(self.parts)


@contextlib.contextmanager
def _files_in(path: Path) -> Iterator[list[File]]:
    """All files that are not hidden, in the order of their names."""
    if path.is_dir():
        inside = sorted(file for file in _walk(path) if not is_hidden(file, path))
        yield [File(file.relative_to(path).parts, partial(io.FileIO, file)) for file in inside]
    elif path.is_file() and path.suffix.lower() == ".zip":
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise BadInput(f"{path} is broken or no .zip ({error}): download or pack it again.") from error
        with archive:
            yield _files_in_archive(path, archive)
    elif not path.exists():
        raise BadInput(f"there is no file or folder {str(path)!r}: give the path of a folder that holds pictures.")
    else:
        raise BadInput(f"{str(path)!r} is not a folder, nor a .zip: give the path of a folder that holds pictures.")


def _walk(path: Path) -> Iterator[Path]:
    """All files below a folder, also behind links to other folders, each folder once."""
    seen = set()
    for place, folders, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        folders[:] = [folder for folder in folders if not _is_hidden_name(folder)]
        seen.add(real)
        yield from (Path(place, name) for name in names if Path(place, name).is_file())


def _files_in_archive(path: Path, archive: zipfile.ZipFile) -> list[File]:
    files = []
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if ".." in parts or re.match(r"/|[A-Za-z]:", "".join(parts[:1])):
            raise BadInput(f"{path} holds the path {info.filename!r}, which leads out of it: do not trust this file.")
        if not info.is_dir() and not any(map(_is_hidden_name, parts)):
            files.append(File(parts, partial(_unpacked, archive, info)))
    while files and all(len(file.parts) > 1 and file.parts[0] == files[0].parts[0] for file in files):
        files = [File(file.parts[1:], file.open) for file in files]  # everything lies in one folder
    return files


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> io.BytesIO:
    if info.file_size > MOST_BYTES:
        raise Unusable("too large")
    if info.flag_bits & 1:
        raise Unusable("locked with a password")
    with archive.open(info) as file:
        return io.BytesIO(file.read(MOST_BYTES))


def is_hidden(path: Path, below: Path | None = None) -> bool:
    """Is this file, or a folder on the way to it, one that file managers do not show?"""
    return any(map(_is_hidden_name, path.relative_to(below or path.parent).parts))


def _is_hidden_name(name: str) -> bool:
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini", "__MACOSX")


def _find_classes(path: Path, files: list[File]) -> tuple[tuple[str, ...], list[File], Tensor, int]:
    """Class names, the files in order, the class number of each file, and the count of files that have no class."""
    folders = sorted({file.parts[0] for file in files if len(file.parts) > 1})
    if path.is_dir():
        folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not is_hidden(entry))
    inside = [file for file in files if len(file.parts) > 1] if folders else files
    if not files:
        raise BadInput(f"{path} holds no pictures: put some there, or give another folder.")
    for folder in folders:
        if not any(file.parts[0] == folder for file in inside):
            raise BadInput(f"{path / folder} holds no pictures: put some there, or move the folder away.")
    labels = [folders.index(file.parts[0]) if folders else 0 for file in inside]
    return tuple(folders) or (name_of(path),), inside, torch.tensor(labels), len(files) - len(inside)


# --- pictures --------------------------------------------------------------------------------------------------------


@dataclass
class Read:
    """What became of each file.

    Attributes:
        pixels: uint8 (N, C, size, size), of those that could be read.
        reasons: for each file what is wrong with it, or "".
        cut: how many of the pictures were not square.
    """

    pixels: Tensor
    reasons: list[str]
    cut: int


class Unusable(Exception):
    """What is wrong with a file, worded so as to follow "is"."""


def _read_pictures(files: list[File], size: int, grey: bool) -> Read:
    try:
        pixels = np.empty((len(files), 1 if grey else 3, size, size), np.uint8)
    except MemoryError:
        raise OutOfMemory(
            f"there is no room for {len(files):,} pictures of {size}×{size}: take a smaller size."
        ) from None
    reasons, square = [""] * len(files), [True] * len(files)

    def fill(start: int) -> None:
        for i in range(start, min(start + BLOCK, len(files))):
            try:
                picture, square[i] = _read_picture(files[i], size, grey)
                pixels[i] = picture.reshape(size, size, -1).transpose(2, 0, 1)
            except Unusable as error:
                reasons[i] = str(error)
            except MemoryError:
                raise OutOfMemory(f"there is no room to unpack {files[i].name}: close other programs.") from None

    with ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:  # decoders let other threads run
        for _ in pool.map(fill, range(0, len(files), BLOCK)):
            pass
    if any(reasons):  # moved together where they are, because a second copy may not fit
        good = [i for i, reason in enumerate(reasons) if not reason]
        for place, i in enumerate(good):
            pixels[place] = pixels[i]
        pixels = pixels[: len(good)]
    return Read(torch.from_numpy(pixels), reasons, square.count(False))


def _look_at(files: list[File], grey: bool | None) -> tuple[int, bool]:
    """The shorter side of the first picture that may be used, and whether all are grey."""
    size = None
    for file in files:
        with contextlib.suppress(Exception), _opened(file) as picture:
            if min(picture.size) < SMALLEST or math.prod(picture.size) > MOST_PIXELS:
                continue  # it will be left out
            size = size or min(picture.size)
            if grey is not None or picture.mode not in ("1", "L", "LA", "I;16", "I", "F"):
                return size, False
    return size or USUAL, True


@contextlib.contextmanager
def _opened(file: File):
    """The picture in a file, without its pixels. Raises `Unusable`."""
    from PIL import Image

    try:
        with file.open() as content, Image.open(content) as picture:
            yield picture
    except Image.UnidentifiedImageError:
        raise Unusable("not a picture") from None
    except Image.DecompressionBombError:
        raise Unusable("too large") from None


def _read_picture(file: File, size: int, grey: bool) -> tuple[np.ndarray, bool]:
    """One picture as uint8 (size, size) or (size, size, 3), and whether it was square. Raises `Unusable`."""
    from PIL import Image, ImageOps

    try:
        with _opened(file) as picture:
            width, height = picture.size
            if min(width, height) < SMALLEST:
                raise Unusable(f"smaller than {SMALLEST} pixels")
            if width * height > MOST_PIXELS:
                raise Unusable("too large")
            picture.draft("L" if grey else "RGB", (2 * size, 2 * size))  # a JPEG is decoded smaller, which is faster
            picture.load()
            picture = _to_eight_bits(ImageOps.exif_transpose(picture)).convert("L" if grey else "RGB")
    except (Unusable, MemoryError):
        raise
    except Exception as error:  # each decoder has its own errors
        raise Unusable("broken") from error
    picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)  # antialiased when reducing
    return np.asarray(picture), width == height


def _to_eight_bits(picture):
    """A Pillow picture as opaque `L` or `RGB`, 8 bits a channel."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16-bit grey; convert("L") would clip it
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise Unusable("of more than 16 bits")
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if picture.mode == "F":
        raise Unusable("of floating-point pixels")
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


# --- what there is to say --------------------------------------------------------------------------------------------


def _check(path: Path, classes: tuple[str, ...], labels: Tensor, pixels: Tensor) -> None:
    for number, name in enumerate(classes):
        if not (labels == number).any():
            raise BadInput(f"{path / name} holds no picture that can be used: put some there, or move the folder away.")
    if len(pixels) > 1 and all(torch.equal(picture, pixels[0]) for picture in pixels):
        raise BadInput(f"the {len(pixels):,} pictures in {path} are all the same: give different ones.")


def _report(left_out: Counter[str], count: int, read: Read, files: Iterable[File]) -> Iterator[str]:
    """One sentence about what was left out, and one about what was cut, where there is anything to say."""
    examples = {reason: file.name for file, reason in zip(files, read.reasons, strict=True) if reason}
    left_out = +left_out  # without those that were not met
    if left_out:
        parts = [f"{n} {why}" + (f" ({examples[why]})" if why in examples else "") for why, n in left_out.most_common()]
        yield f"Left out {sum(left_out.values()):,} of {count:,} files: {', '.join(parts)}."
    if read.cut:
        yield f"Cut {read.cut:,} of {len(read.pixels):,} pictures to their middle square."
