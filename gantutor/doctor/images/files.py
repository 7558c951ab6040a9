"""Images from a file, as people have them: arrays of NumPy, tensors of torch, folders and .zips of pictures.

What a file claims to hold is checked from its headers before anything is read, against the memory there is.
"""

import gzip
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gantutor import data
from gantutor.data import Images, memory
from gantutor.data.listing import files_in, picture_endings, some
from gantutor.data.pictures import SMALLEST
from gantutor.errors import BadInput, reason

LARGEST_EXAMINED = 128  # pixels a side: larger pictures are read smaller
IMAGES = ("images", "image", "imgs", "img", "samples", "fakes", "fake", "generated", "pictures", "x", "x_train",
          "train_images", "train_x", "data", "arr_0")  # fmt: skip
LABELS = ("labels", "label", "y", "y_train", "train_labels", "train_y", "targets", "target", "classes", "class",
          "arr_1")  # fmt: skip
MADE = re.compile(r"fake|gen|sample|recon|synth", re.IGNORECASE)  # words in the names of images that a net made
LATENTS = re.compile(r"(z|w|noise|latents?|codes?|features?|embeddings?)s?", re.IGNORECASE)  # names of other inputs
IDX = re.compile(r"idx[13]-ubyte(\.gz)?$")  # the end of the names of MNIST's files
BOMB, SMALL = 100, 10**9  # a .zip that unpacks to so many times its size, and to more bytes than this, holds no images
CANNOT = {
    (".pkl", ".pickle", ".joblib"): "a pickle, which could run any program: save the images with numpy.savez",
    (".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz"): "packed: unpack it and give the folder of pictures",
    (".ckpt", ".safetensors", ".onnx"): "a net: give images that it made",
    (".h5", ".hdf5", ".mat", ".parquet", ".tfrecord", ".csv"): "not read: save the images with numpy.savez",
}


Array = np.ndarray | Tensor


class Loaded(NamedTuple):
    """What a file held."""

    images: Array | Images
    labels: Array | None
    notes: list[str]  # what was left out or changed, a sentence each


class Entry(NamedTuple):
    """What the header of an array says."""

    shape: tuple[int, ...]
    kind: str  # as in NumPy: b, i, u, f, or another that is no number

    @property
    def may_be_images(self) -> bool:
        if self.kind not in "biuf":
            return False
        if len(self.shape) == 2:
            sides = [math.isqrt(self.shape[1] // channels) for channels in (1, 3)]
            return any(side >= SMALLEST and self.shape[1] in (side**2, 3 * side**2) for side in sides)
        if len(self.shape) == 4 and self.shape[3] in (1, 3, 4):
            return min(self.shape[1:3]) >= SMALLEST
        return len(self.shape) in (3, 4) and min(self.shape[-2:]) >= SMALLEST


def load(
    path: str | os.PathLike[str], most: int = LARGEST_EXAMINED, ground: str = "white", real: bool = False
) -> Loaded:
    """Images and labels, if any, from a .npz, .npy, .pt or IDX file, a folder or .zip of pictures, or a contact sheet.

    Pictures in folders are read at their own size, but not above `most` pixels a side, and laid on `ground`, which is
    white or black, where they are transparent. Of a folder of arrays all are joined that are parts of one set. Where a
    file holds images that a net made and others, which their names tell, the former are read unless `real` ones are
    asked for.

    Raises:
        BadInput: there is no such file, it has another format, it is damaged, or it holds more than the memory.
    """
    path, notes = Path(path).expanduser(), []
    ending = path.suffix.lower()
    if path.is_dir() and (parts := _parts_in(path)):
        return _joined(path, [load(part, most, ground, real) for part in parts])
    if path.is_dir() or ending == ".zip" or (path.is_file() and ending and ending in picture_endings()):
        said: list[str] = []
        images = data.from_folder(path, say=said.append, most=most, ground=ground)
        notes = [f"{path.name}: {sentence}" for sentence in said]
        return Loaded(images, None, notes)
    if not path.is_file():
        raise BadInput(f"there is no file or folder {str(path)!r}: give a .npz, a .npy, a .pt or a folder of pictures.")
    if ending not in READERS and not IDX.search(path.name):
        for endings, why in CANNOT.items():
            if ending in endings:
                raise BadInput(f"{path} is {why}.")
        raise BadInput(f"{path} is neither .npz, .npy nor .pt: give one of these, or a folder or .zip of pictures.")
    try:
        images, labels = (_load_idx if IDX.search(path.name) else READERS[ending])(path, notes, real)
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # of a damaged file any error may come
        raise BadInput(
            f"{path} cannot be read ({reason(error)}): save it again with numpy.savez or torch.save."
        ) from error
    return Loaded(images, labels, notes)


def side_of(images: Array | Images) -> int:
    """The shorter side in pixels of images; that of the largest pictures that are read, where it cannot be told."""
    shape = images.stored.shape if isinstance(images, Images) else images.shape
    if len(shape) == 4:
        sides = shape[1:3] if shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4) else shape[2:]
    else:
        sides = shape[1:] if len(shape) == 3 else (LARGEST_EXAMINED,)
    return max(SMALLEST, min(sides))


# --- several files ---------------------------------------------------------------------------------------------------


def _parts_in(folder: Path) -> list[Path]:
    """The files of arrays in a folder without pictures that are parts of one set: their names differ by numbers only.

    Of MNIST's files those of the training images.
    """
    with files_in(folder) as found:
        inside = [folder.joinpath(*file.parts) for file in found]
    if any(file.suffix and file.suffix.lower() in picture_endings() for file in inside):
        return []
    idx = [file for file in inside if "idx3" in file.name and IDX.search(file.name)]
    if idx:
        return [next((file for file in idx if "train" in file.name), idx[0])]
    arrays = [file for file in inside if file.suffix.lower() in READERS]
    patterns = {(file.parent, re.sub(r"\d+", "0", file.name)) for file in arrays}
    return sorted(arrays, key=_by_number) if len(patterns) == 1 else []


def _by_number(file: Path) -> list[int | str]:
    """Orders 2 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)]


def _joined(folder: Path, parts: list[Loaded]) -> Loaded:
    """One set from single pictures or from batches. Raises `BadInput` if their shapes differ."""
    notes = list(dict.fromkeys(sentence for part in parts for sentence in part.notes))
    if len(parts) == 1:
        return parts[0]
    images = [np.asarray(part.images) for part in parts]
    single = images[0].ndim == 2 or (images[0].ndim == 3 and {images[0].shape[0], images[0].shape[2]} & {1, 3, 4})
    shapes = {image.shape if single else image.shape[1:] for image in images}
    if len(shapes) > 1:
        raise BadInput(f"the arrays in {folder} have several shapes, {some(sorted(map(str, shapes)))}: give one file.")
    memory.check(sum(image.nbytes for image in images), str(folder))
    joined = np.stack(images) if single else np.concatenate(images)
    labels = None
    if not single and all(part.labels is not None and len(part.labels) == len(part.images) for part in parts):
        labels = np.concatenate([np.asarray(part.labels) for part in parts])
    notes.append(f"{folder.name}: Joined {len(parts):,} files into {len(joined):,} images.")
    return Loaded(joined, labels, notes)


# --- IDX, the form of MNIST ------------------------------------------------------------------------------------------


def _load_idx(path: Path, notes: list[str], real: bool) -> tuple[np.ndarray, np.ndarray | None]:
    labels = path.with_name(IDX.sub(r"idx1-ubyte\1", path.name.replace("images", "labels")))
    return _read_idx(path), _read_idx(labels) if labels != path and labels.is_file() else None


def _read_idx(path: Path) -> np.ndarray:
    """Bytes, after a header of big-endian numbers: 2048 and how many dimensions there are, then their lengths."""
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        dimensions = int.from_bytes(file.read(4)) - 2048
        if dimensions not in (1, 3):
            raise BadInput(f"{path} is no IDX file of images: give one, such as train-images-idx3-ubyte.")
        shape = tuple(int.from_bytes(file.read(4)) for _ in range(dimensions))
        memory.check(5 * math.prod(shape), str(path))
        content = file.read(math.prod(shape))
    if len(content) < math.prod(shape):
        raise BadInput(f"{path} is cut short: its header promises {math.prod(shape):,} bytes. Save it again.")
    return np.frombuffer(content, np.uint8).reshape(shape)


# --- NumPy -----------------------------------------------------------------------------------------------------------


def _load_npy(path: Path, notes: list[str], real: bool) -> tuple[np.ndarray, None]:
    with open(path, "rb") as file:
        entry = _read_header(file, path.stat().st_size, str(path))
        if not entry.shape:
            raise BadInput(f"{path} holds a single number: save images (N, C, H, W) or (N, H, W).")
        file.seek(0)
        return np.load(file, allow_pickle=False), None


def _load_npz(path: Path, notes: list[str], real: bool) -> tuple[np.ndarray, np.ndarray | None]:
    with zipfile.ZipFile(path) as archive:
        entries = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            _check_unpacked(info, f"{name} in {path}")
            with archive.open(info) as file:
                entries[name] = _read_header(file, info.file_size, f"{name} in {path}")
        images, labels = choose(entries, path, notes, real)
    with np.load(path, allow_pickle=False) as content:
        return content[images], None if labels is None else content[labels]


def _read_header(file: IO[bytes], size: int, what: str) -> Entry:
    """What the header of a .npy says, if the rest of its `size` bytes can hold that and the memory too."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    values = math.prod(shape)
    promised, held = values * dtype.itemsize, size - file.tell()
    if dtype.hasobject:
        return Entry(shape, "O")
    if min(shape, default=0) < 0:
        raise BadInput(f"{what} is damaged: its header gives the shape {shape}. Save it again.")
    if promised > held:
        raise BadInput(
            f"{what} is cut short: its header promises {memory.human(promised)}, but it holds {memory.human(held)}. "
            "Save it again."
        )
    memory.check(promised + (0 if dtype.itemsize == 1 else 4 * values), what)
    return Entry(shape, dtype.kind)


def _check_unpacked(info: zipfile.ZipInfo, what: str) -> None:
    if info.file_size > SMALL and info.file_size > BOMB * info.compress_size:
        sizes = f"{memory.human(info.compress_size)} to {memory.human(info.file_size)}"
        raise BadInput(f"{what} unpacks from {sizes}: no images do, so that it was left closed. Give another file.")


def choose(entries: Mapping[str, Entry], path: Path, notes: list[str], real: bool) -> tuple[str, str | None]:
    """The names of the images and of their labels, if any, among arrays; a note says which, unless they are usual.

    Raises `BadInput` if it cannot be told which are the images.
    """
    likely = _likely_images(entries, real)
    by_name = [name for usual in IMAGES for name in entries if name.lower() == usual and name in [*likely, "images"]]
    if not by_name and len(likely) != 1:
        held = ", ".join(f"{name} {entry.shape}" for name, entry in entries.items()) or "nothing"
        raise BadInput(f"{path} holds {held}: it must hold an array named images, (N, C, H, W) or (N, H, W).")
    images = (by_name or likely)[0]
    count = entries[images].shape[:1]
    readable = [name for name, entry in entries.items() if entry.kind in "biufU" and name != images]
    labels = [name for usual in LABELS for name in readable if name.lower() == usual]
    fitting = [name for name in labels if entries[name].shape[:1] == count and len(entries[name].shape) <= 2]
    chosen = next(iter([*fitting, *(name for name in labels if name == "labels")]), None)
    if images != "images":
        notes.append(f"{path.name}: {images!r} was read as the images.")
    if chosen not in ("labels", None):
        notes.append(f"{path.name}: {chosen!r} was read as their labels.")
    if unused := [name for name in entries if name not in (images, chosen)]:
        notes.append(f"{path.name}: {', '.join(map(repr, unused))} were not used.")
    return images, chosen


def _likely_images(entries: Mapping[str, Entry], real: bool) -> list[str]:
    """The names of arrays that may be images, flat ones only where there are no others, and made by a net or `real`."""
    possible = [name for name, entry in entries.items() if entry.may_be_images and not LATENTS.fullmatch(name)]
    possible = possible or [name for name, entry in entries.items() if entry.kind in "biuf" and len(entry.shape) > 2]
    upright = [name for name in possible if len(entries[name].shape) > 2] or possible
    made = [name for name in upright if MADE.search(name)]
    others = [name for name in upright if name not in made]
    if real:
        return others or made
    return made or [name for name in others if "real" not in name.lower()] or others


# --- torch -----------------------------------------------------------------------------------------------------------


def _load_pt(path: Path, notes: list[str], real: bool) -> tuple[Tensor, Tensor | None]:
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                _check_unpacked(info, f"{info.filename} in {path}")
            size = sum(info.file_size for info in archive.infolist())
    memory.check(size, str(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        why = "more than tensors, which could run any program" if "weights" in str(error).lower() else reason(error)
        raise BadInput(
            f"{path} cannot be read ({why}): save the images alone, with torch.save(images, path)."
        ) from error
    held = _tensors_in(content)
    if any("." in name and name.endswith("weight") for name in held):
        raise BadInput(f"{path} holds the weights of a net: give images that it made.")
    entries = {}
    for name, tensor in held.items():
        values = tensor.numel()  # more than were stored where a tensor was expanded
        memory.check(values * max(4, tensor.element_size()), f"{name} in {path}")
        kind = "f" if tensor.is_floating_point() else "c" if tensor.is_complex() else "i"
        entries[name] = Entry(tuple(tensor.shape), kind)
    images, labels = choose(entries, path, [] if isinstance(content, Tensor) else notes, real)
    return held[images], None if labels is None else held[labels]


def _tensors_in(content: object) -> dict[str, Tensor]:
    """The tensors by name; a pair are images and labels, and a list of batches is one tensor."""
    if isinstance(content, Tensor):
        return {"images": content}
    if isinstance(content, list | tuple) and content and all(isinstance(part, Tensor) for part in content):
        if len({part.shape[1:] for part in content}) == 1 and content[0].ndim >= 3:
            return {"images": torch.cat(list(content)) if content[0].ndim == 4 else torch.stack(list(content))}
        return {f"arr_{i}": part for i, part in enumerate(content)}
    if isinstance(content, Mapping):
        return {str(name): part for name, part in content.items() if isinstance(part, Tensor)}
    raise BadInput(f"a {type(content).__name__} is not an image: save the images alone, with torch.save(images, path).")


READERS: dict[str, Callable[[Path, list[str], bool], tuple[Array, Array | None]]] = {
    ".npz": _load_npz, ".npy": _load_npy, ".pt": _load_pt, ".pth": _load_pt,
}  # fmt: skip
