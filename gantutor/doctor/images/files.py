"""Images from a file, as people have them: arrays of NumPy, tensors of torch, folders and .zips of pictures.

What a file claims to hold is checked from its headers before anything is read, against the memory there is.
"""

import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gantutor import data
from gantutor.data import Images, memory
from gantutor.data.listing import picture_endings
from gantutor.data.pictures import SMALLEST
from gantutor.errors import BadInput, reason

LARGEST_EXAMINED = 128  # pixels a side: larger pictures are read smaller
IMAGES = ("images", "image", "imgs", "img", "samples", "fakes", "fake", "generated", "pictures", "x", "x_train",
          "train_images", "train_x", "data", "arr_0")  # fmt: skip
LABELS = ("labels", "label", "y", "y_train", "train_labels", "train_y", "targets", "target", "classes", "class",
          "arr_1")  # fmt: skip
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
        return self.kind in "biuf" and (len(self.shape) in (3, 4) or (len(self.shape) == 2 and self.shape[1] >= 64))


def load(path: str | os.PathLike[str], most: int = LARGEST_EXAMINED, ground: str = "white") -> Loaded:
    """Images and labels, if any, from a .npz, .npy or .pt, a folder or .zip of pictures, or a contact sheet.

    Pictures in folders are read at their own size, but not above `most` pixels a side, and laid on `ground`, which is
    white or black, where they are transparent.

    Raises:
        BadInput: there is no such file, it has another format, it is damaged, or it holds more than the memory.
    """
    path, notes = Path(path).expanduser(), []
    ending = path.suffix.lower()
    if path.is_dir() or ending == ".zip" or (path.is_file() and ending and ending in picture_endings()):
        said: list[str] = []
        images = data.from_folder(path, say=said.append, most=most, ground=ground)
        notes = [f"{path.name}: {sentence}" for sentence in said]
        return Loaded(images, None, notes)
    if not path.is_file():
        raise BadInput(f"there is no file or folder {str(path)!r}: give a .npz, a .npy, a .pt or a folder of pictures.")
    if ending not in READERS:
        for endings, why in CANNOT.items():
            if ending in endings:
                raise BadInput(f"{path} is {why}.")
        raise BadInput(f"{path} is neither .npz, .npy nor .pt: give one of these, or a folder or .zip of pictures.")
    try:
        images, labels = READERS[ending](path, notes)
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


# --- NumPy -----------------------------------------------------------------------------------------------------------


def _load_npy(path: Path, notes: list[str]) -> tuple[np.ndarray, None]:
    with open(path, "rb") as file:
        entry = _read_header(file, path.stat().st_size, str(path))
        if not entry.shape:
            raise BadInput(f"{path} holds a single number: save images (N, C, H, W) or (N, H, W).")
        file.seek(0)
        return np.load(file, allow_pickle=False), None


def _load_npz(path: Path, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    with zipfile.ZipFile(path) as archive:
        entries = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            _check_unpacked(info, f"{name} in {path}")
            with archive.open(info) as file:
                entries[name] = _read_header(file, info.file_size, f"{name} in {path}")
        images, labels = choose(entries, path, notes)
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
    if min(shape, default=0) < 0 or promised > held:
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


def choose(entries: Mapping[str, Entry], path: Path, notes: list[str]) -> tuple[str, str | None]:
    """The names of the images and of their labels, if any, among arrays; a note says which, unless they are usual.

    Raises `BadInput` if it cannot be told which are the images.
    """
    likely = [name for name, entry in entries.items() if entry.may_be_images]
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


# --- torch -----------------------------------------------------------------------------------------------------------


def _load_pt(path: Path, notes: list[str]) -> tuple[Tensor, Tensor | None]:
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
    images, labels = choose(entries, path, [] if isinstance(content, Tensor) else notes)
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


READERS: dict[str, Callable[[Path, list[str]], tuple[Array, Array | None]]] = {
    ".npz": _load_npz, ".npy": _load_npy, ".pt": _load_pt, ".pth": _load_pt,
}  # fmt: skip
