"""The files of a folder, or of a .zip of one, and the classes that its subfolders name."""

import contextlib
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import IO

from gantutor.errors import BadInput

MOST_BYTES = 2**28  # of a file in a .zip, unpacked
SPLIT = re.compile(r"(train|test|val|valid|dev|eval)(ing|idation|uation)?([-_ ]?(set|split|data|images))?", re.I)
SHARD = re.compile(r"(shard|part|chunk|batch)[-_ ]?\d+", re.I)
ARRAYS = (".npz", ".npy", ".pt", ".pth")  # files of arrays


class Unusable(Exception):
    """What is wrong with a file, worded so as to follow "is"."""


@dataclass(frozen=True)
class File:
    """A file in the folder: the names of the folders to it and its own, and how to open it."""

    parts: tuple[str, ...]
    open: Callable[[], IO[bytes]]

    @property
    def name(self) -> str:
        return "/".join(self.parts)

    @property
    def is_picture(self) -> bool:
        """Whether its ending, if it has one, is that of pictures."""
        return PurePosixPath(self.parts[-1]).suffix.lower() in picture_endings()


@dataclass
class Listing:
    """What there is to read.

    Attributes:
        files: that may be pictures, in the order of their names.
        labels: the class number of each.
        classes: their names.
        others: files that are no pictures by their endings.
        beside: how many pictures lie beside the folders of the classes.
        notes: one sentence about each folder that was passed over or that names no class.
    """

    files: list[File]
    labels: list[int]
    classes: tuple[str, ...]
    others: list[File]
    beside: int = 0
    notes: list[str] = field(default_factory=list)


@cache
def picture_endings() -> frozenset[str]:
    from PIL import Image

    return frozenset(Image.registered_extensions()) | {"", ".heic", ".heif", ".avif", ".jxl"}


def name_of(path: Path) -> str:
    """The name of a folder, or of a .zip without its ending."""
    return path.resolve().stem if path.is_file() else path.resolve().name


# --- files -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def files_in(path: Path) -> Iterator[list[File]]:
    """All files that are not hidden, in the order of their names; a picture alone is a folder of one."""
    if path.is_dir():
        inside = sorted(file for file in _walk(path) if not _is_hidden(file, path))
        yield [File(file.relative_to(path).parts, partial(_opened, file)) for file in inside]
    elif path.is_file() and path.suffix.lower() == ".zip":
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BadInput(f"{path} is broken or no .zip ({error}): download or pack it again.") from error
        with archive:
            yield _files_in_archive(path, archive)
    elif path.is_file() and path.suffix and path.suffix.lower() in picture_endings():
        yield [File((path.name,), partial(_opened, path))]
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
        yield from (Path(place, name) for name in names)


def _opened(path: Path) -> IO[bytes]:
    if not path.exists():
        raise Unusable("a link that leads nowhere")
    if not path.is_file():  # to open a pipe would wait for ever
        raise Unusable("no regular file")
    try:
        return io.FileIO(path)
    except OSError as error:
        raise Unusable("not readable") from error


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


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.file_size > MOST_BYTES:
        raise Unusable("too large")
    if info.flag_bits & 1:
        raise Unusable("locked with a password")
    return archive.open(info)


def _is_hidden(path: Path, below: Path) -> bool:
    """Is this file, or a folder on the way to it, one that file managers do not show?"""
    return any(map(_is_hidden_name, path.relative_to(below).parts))


def _is_hidden_name(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


# --- classes ---------------------------------------------------------------------------------------------------------


def list_pictures(path: Path, files: list[File], split: str = "train") -> Listing:
    """Sort the pictures into classes by the folders they lie in.

    A folder around everything, those of splits (train, test) and numbered parts of one set are no classes, and neither
    is a folder without pictures. Of several splits the one asked for is read, or all if it is not there.

    Raises `BadInput` if there are no pictures.
    """
    pictures = [file for file in files if file.is_picture]
    if not pictures and (not files or any(file.parts[-1].lower().endswith(ARRAYS) for file in files)):
        raise BadInput(_no_pictures(path, files))
    pictures = pictures or files  # all have other endings, but may be pictures for all that
    others = [file for file in files if not file.is_picture] if len(pictures) < len(files) else []
    found = Listing([], [], (name_of(path),), others)
    inside, here = [(file, file.parts[:-1]) for file in pictures], path  # each with the folders on the way to it
    empty: list[str] = []
    while folders := sorted({way[0] for _, way in inside if way}):
        empty += _without_pictures(here, folders)
        loose = [(file, way) for file, way in inside if not way]
        if len(loose) > len(inside) - len(loose):
            found.notes.append(f"Passed over what is in folders beside the {len(loose):,} pictures: {some(folders)}.")
            inside, folders = loose, []
            break
        found.beside += len(loose)
        inside = [(file, way) for file, way in inside if way]
        if len(folders) == 1:
            found.classes, here = (folders[0],), here / folders[0]
        elif all(map(SPLIT.fullmatch, folders)):
            kept = [folder for folder in folders if folder.lower().startswith(split)] or folders
            found.notes.append(_about_splits(kept, folders))
            inside, here = [(file, way) for file, way in inside if way[0] in kept], here / kept[0]
        elif _are_shards(folders, inside):
            found.notes.append(f"The folders {some(folders)} are parts of one set, not classes.")
        else:
            found.classes = tuple(folders)
            found.notes.append(f"The {len(folders):,} folders {some(folders)} were read as classes.")
            break
        inside = [(file, way[1:]) for file, way in inside]
    found.files = [file for file, _ in inside]
    found.labels = [folders.index(way[0]) if folders else 0 for _, way in inside]
    if empty:
        found.notes.append(f"No pictures lie in {some(empty)}, so that there is no class of this name.")
    return found


def _no_pictures(path: Path, files: list[File]) -> str:
    for file in files:
        if file.parts[-1].lower().endswith(ARRAYS):
            inside = "give the path of that file" if path.is_dir() else "unpack it and give that file"
            return f"{path} holds no pictures, but {file.name}: {inside}."
    return f"{path} holds no pictures: put some there, or give another folder."


def _about_splits(kept: list[str], folders: list[str]) -> str:
    if kept == folders:
        return f"The folders {some(folders)} are parts of one set, not classes."
    left = [folder for folder in folders if folder not in kept]
    return f"Read {some(kept)} only, and not {some(left)}: these are parts of one set, not classes."


def _are_shards(folders: list[str], inside: list[tuple[File, tuple[str, ...]]]) -> bool:
    """Do the folders number parts of one set? Classes may have numbers for names, too.

    Parts are called so, or have four digits or more, and between them either no name of a file occurs twice, or all
    but the last hold equally many.
    """
    if all(map(SHARD.fullmatch, folders)):
        return True
    if not all(re.fullmatch(r"\d{4,}", folder) for folder in folders) or len({len(folder) for folder in folders}) > 1:
        return False
    names = [file.parts[-1] for file, _ in inside]
    counts = Counter(way[0] for _, way in inside)
    full = {counts[folder] for folder in folders[:-1]}
    return len(set(names)) == len(names) or (len(full) == 1 and counts[folders[-1]] <= full.pop())


def _without_pictures(here: Path, folders: list[str]) -> list[str]:
    if not here.is_dir():
        return []
    inside = (entry.name for entry in here.iterdir() if entry.is_dir())
    return sorted(name for name in inside if name not in folders and not _is_hidden_name(name))


def some(names: Sequence[str], most: int = 4) -> str:
    """Names in a row; of more than four the first three and the last."""
    return ", ".join(names if len(names) <= most else [*names[: most - 1], "…", names[-1]])
