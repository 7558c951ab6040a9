"""Every image set as one tensor in [−1, 1], with labels and class names.

Everything is held in memory, on the device where training happens, so that a batch is just an index. Pictures from a
folder are held as bytes, which take a quarter of the memory, and become floats batch by batch.
"""

import itertools
import math
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gantutor.data import cifar, faces, strokes
from gantutor.data.download import (
    FILES,
    SHA256,
    Damaged,
    NoMirror,
    check_digest,
    find_file,
    locate,
    naming_damaged,
    read_contents,
)
from gantutor.errors import BadDataFolder, BadInput, DataUnavailable, OutOfMemory, reason, unknown, whole_number

NAMES = ("strokes", "mnist", "fashion-mnist", "faces", "cifar10")
DIGITS = tuple("0123456789")
CLASSES: dict[str, tuple[str, ...]] = {  # of each data set; those of faces are the values of a factor
    "strokes": DIGITS,
    "mnist": DIGITS,
    "fashion-mnist": (
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    "cifar10": cifar.CLASSES,
    "faces": faces.FACTORS["hair"],
    **{f"faces:{factor}": values for factor, values in faces.FACTORS.items()},
}
STROKES = {"train": (60_000, 0), "test": (10_000, 1)}  # split -> (images, seed)
FACES = {"train": (20_000, 0), "test": (5_000, 1)}


class Factor(NamedTuple):
    """What every image of a set has one value of, such as a face its hair."""

    values: tuple[str, ...]  # their names
    labels: Tensor  # int64 (N,): the number of each image's value, -1 where it cannot be seen


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Images, ready for training.

    Args:
        name: of the data set.
        stored: float32 (N, C, H, W), N ≥ 1, in [−1, 1]: −1 is black, 1 is white; or uint8, 0 to 255.
        labels: int64 (N,), class numbers from 0, on the device of the pixels.
        classes: the name of each class.
        factors: where more is known than the class, every factor by name; on the CPU.

    Raises:
        BadInput: a field is not as described.
    """

    name: str
    stored: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    factors: Mapping[str, Factor] = field(default_factory=dict)

    def __post_init__(self):
        x, y = self.stored, self.labels
        if not (isinstance(x, Tensor) and x.dtype in (torch.float32, torch.uint8) and x.ndim == 4 and x.numel()):
            raise BadInput(f"pixels are {_describe(x)}: give a float32 tensor (N, C, H, W), or a uint8 one.")
        low, high = (edge.item() for edge in x.aminmax())
        if x.dtype != torch.uint8 and not (low >= -1 and high <= 1):  # also true of NaN
            raise BadInput(f"pixels go from {low:g} to {high:g}: scale them to [-1, 1], and remove NaN.")
        if not (isinstance(y, Tensor) and y.dtype == torch.int64 and y.shape == x.shape[:1] and y.device == x.device):
            raise BadInput(f"labels are {_describe(y)}: give one int64 per image, ({len(x)},), on {x.device}.")
        object.__setattr__(self, "classes", tuple(self.classes))
        low, high = (edge.item() for edge in y.aminmax())
        if not 0 <= low <= high < len(self.classes):
            K = len(self.classes)
            raise BadInput(f"labels go from {low} to {high}: with {K} classes they have to lie between 0 and {K - 1}.")

    @property
    def pixels(self) -> Tensor:
        """All as float32 (N, C, H, W) in [−1, 1]. Bytes are converted at each call, into four times the memory."""
        return floats(self.stored)

    def __getitem__(self, index: int | slice | Tensor | Sequence[int]) -> Tensor:
        """``images[index]`` equals ``images.pixels[index]``, but converts only these images."""
        return floats(self.stored[index])

    def __len__(self) -> int:
        return len(self.stored)

    def __repr__(self) -> str:
        n, *shape = self.stored.shape
        return f"Images({self.name!r}: {n} × {tuple(shape)}, {len(self.classes)} classes, on {self.stored.device})"

    def to(self, device: str | torch.device) -> "Images":
        """The same images on another device. Raises `BadInput` if this computer does not have it."""
        return Images(self.name, place(self.stored, device), place(self.labels, device), self.classes, self.factors)


def floats(pixels: Tensor) -> Tensor:
    """Bytes as float32 in [−1, 1], x/127.5 − 1; floats unchanged."""
    return pixels.float().div_(127.5).sub_(1) if pixels.dtype == torch.uint8 else pixels


def load(
    name: str,
    split: str = "train",
    root: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    download: bool = True,
    size: int | None = None,
) -> Images:
    """One split of a data set.

    `strokes`, `mnist` and `fashion-mnist` have 60,000 training and 10,000 test images of shape (1, 28, 28) in 10
    classes; `cifar10` has 50,000 and 10,000 of shape (3, 32, 32) in 10 classes, `faces` 20,000 and 5,000 of shape
    (3, 64, 64), both kept as bytes. Drawing the faces takes about 15 seconds on two slow cores, once in a process.

    Args:
        name: `"strokes"` or `"faces"`, which the program draws and which need no file; `"mnist"`, `"fashion-mnist"` or
            `"cifar10"`, which are downloaded.
            The classes of faces are their hair styles, or the values of another factor that the name adds, as in
            `"faces:glasses"`; `factors` has all of them.
        split: `"train"` or `"test"`.
        root: a folder that holds, or is to hold, `mnist/train-images-idx3-ubyte.gz` and so on. It is searched first,
            then `$GANTUTOR_DATA` or, if that is not set, the repository's `data/` and the user's cache folder.
        device: where the tensors are put; the CPU by default.
        download: whether missing files may be downloaded, into `root`, the repository or the cache. Nothing is ever
            written to `$GANTUTOR_DATA`, and no file that is there already is replaced.
        size: pixels a side of faces: 64 (default) or 32. The others have one size.

    Raises:
        BadInput: an unknown name, split or size, a `root` or `GANTUTOR_DATA` that is not a folder, a `GANTUTOR_DATA`
            that lacks the files, or a file that is not the published one (checked by SHA-256 at every load).
        DataUnavailable: the files are not on this computer and could not be downloaded or stored.
    """
    _check_names(name, split)
    if name.startswith("faces"):
        return load_faces(name, split, device, 64 if size is None else size)
    own = 32 if name == "cifar10" else 28
    if size not in (None, own):
        raise BadInput(f"size is {size}: the images of {name} have {own} pixels a side; only faces come in two sizes.")
    if name == "cifar10":
        pixels, labels = cifar.read(split, locate(name, [cifar.ARCHIVE], root, download))
        where = device or "cpu"
        return Images(name, place(pixels, where), place(labels, where).long(), CLASSES[name])
    if name == "strokes":
        drawn = strokes.draw(*STROKES[split])
        return _as_images(name, drawn.pixels, drawn.digit, device)
    folder = locate(name, FILES[split], root, download)
    return _as_images(name, *_read_published(name, split, folder), device)


@lru_cache(2)
def drawn_faces(n: int, seed: int, size: int) -> faces.Faces:
    """The faces of a split; drawing takes seconds, so the last ones are kept."""
    return faces.draw(n, seed, size)


def load_faces(name: str, split: str, device: str | torch.device | None, size: int) -> Images:
    """Drawn faces, with the classes that the name asks for."""
    drawn = drawn_faces(*FACES[split], size)
    factors = {factor: Factor(faces.FACTORS[factor], drawn.seen(factor)) for factor in faces.FACTORS}
    labels = drawn.factors[name.partition(":")[2] or "hair"]
    where = device or "cpu"
    return Images(name, place(drawn.pixels, where), place(labels, where), CLASSES[name], factors)


def load_or_strokes(name: str, split: str = "train", device: str | torch.device | None = None) -> Images:
    """For notebooks: what `load` returns or, if no mirror can be reached, `strokes`, with a printed line that says so.

    In the place of `cifar10`, which is in colour, come `faces` of the same size. The choice holds for both splits and
    until the process ends, so that a notebook never mixes data sets and waits for the network only once. Raises as
    `load` does if anything else is wrong, such as a damaged file.
    """
    _check_names(name, split)
    if name in SHA256 and name not in _chosen:
        _chosen[name] = _choose(name)
    given = _chosen.get(name, name)
    return load(given, split, device=device, size=32 if given != name == "cifar10" else None)


_chosen: dict[str, str] = {}  # what load_or_strokes returns in this process: data set asked for -> data set given


def _choose(name: str) -> str:
    """`name`, or a drawn set if there is no network. Downloads what is missing."""
    offline, drawn = any(given != name for name, given in _chosen.items()), "faces" if name == "cifar10" else "strokes"
    try:
        locate(name, SHA256[name], download=not offline)
    except DataUnavailable as error:
        if isinstance(error, BadDataFolder) or not (offline or isinstance(error, NoMirror)):
            raise
        print(
            f"No mirror of {name} can be reached: {drawn}, drawn by the program, takes its place. "
            "(For the real images go online, or set GANTUTOR_DATA, and restart the kernel.)"
        )
        return drawn
    return name


def check_name(name: str) -> None:
    """Raise `BadInput` unless `load` knows this name."""
    if name.startswith("faces:") and name not in CLASSES:
        raise unknown("factor of faces", name.removeprefix("faces:"), faces.FACTORS)
    if name not in CLASSES:
        raise unknown("data set", name, NAMES)


def _check_names(name: str, split: str) -> None:
    check_name(name)
    if split not in FILES:
        raise unknown("split", split, FILES)


def _as_images(name: str, pixels: Tensor, labels: Tensor, device: str | torch.device | None) -> Images:
    """`Images` from uint8 (N, C, H, W), which are moved as bytes and become floats, x/127.5 − 1, on the device."""
    return Images(name, floats(place(pixels, device or "cpu")), place(labels, device or "cpu").long(), CLASSES[name])


def place(tensor: Tensor, device: str | torch.device) -> Tensor:
    """The tensor on a device.

    Raises `BadInput` if this computer does not have the device, `OutOfMemory` if the device is full.
    """
    try:
        return tensor.to(device)
    except torch.OutOfMemoryError as error:
        size = tensor.numel() * tensor.element_size() / 1e9
        raise OutOfMemory(f"{device} has no room for {size:.1f} GB of data: free memory, or take less data.") from error
    except (RuntimeError, AssertionError) as error:
        raise BadInput(f"device {str(device)!r} cannot be used on this computer: {reason(error)}.") from error


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)} on {value.device}"
    return f"a {type(value).__name__}"


def stacked(images: Images, n: int, seed: int = 0) -> Images:
    """Stacked digits: `n` colour pictures whose red, green and blue channels are three random images of a set.

    With ten classes they have 1,000 modes: class 407 is a red 4, a green 0 and a blue 7. This is the classic test of
    mode coverage (Metz et al. 2017; Srivastava et al. 2017). It takes 12 bytes a pixel, 9.4 kB for a picture of 28×28.

    Args:
        images: grey images, (N, 1, H, W).
        n: number of pictures.
        seed: fixes the choice; images are drawn with replacement, so that every mode is as frequent as its digits are.

    Raises:
        BadInput: images in colour or of more than 100 classes, or n or seed is not a whole number.
    """
    if images.stored.shape[1] != 1:
        raise BadInput(f"{images.name} has {images.stored.shape[1]} channels: give grey images, which have one.")
    if len(images.classes) > 100:
        raise BadInput(
            f"{images.name} has {len(images.classes)} classes: give at most 100, which already make a million modes."
        )
    draw = torch.Generator().manual_seed(whole_number("seed", seed))
    index = torch.randint(len(images), (whole_number("n", n, least=1), 3), generator=draw).to(
        images.stored.device
    )  # (n, 3)
    K = len(images.classes)
    labels = (images.labels[index] * torch.tensor([K * K, K, 1], device=index.device)).sum(1)  # (n,)
    names = tuple(" ".join(three) for three in itertools.product(images.classes, repeat=3))
    return Images(f"stacked {images.name}", images.pixels[index, 0], labels, names)


# --- published files -------------------------------------------------------------------------------------------------


def _read_published(name: str, split: str, folder: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, 1, 28, 28) and labels uint8 (N,) of a split.

    The hash would find every fault, but it is checked last, because "it holds labels" helps more than two hashes.
    """
    paths = [find_file(folder, file) or folder / file for file in FILES[split]]
    contents, tensors = [], []
    for path, shape in zip(paths, ((28, 28), ()), strict=True):
        with naming_damaged(path):
            contents.append(read_contents(path))
            tensors.append(parse_idx(contents[-1], shape))
    images, labels = tensors  # (N, 28, 28), (N,)
    if len(images) != len(labels):
        raise BadInput(f"{paths[0]} has {len(images)} images, but {paths[1]} has {len(labels)} labels: replace both.")
    for path, file, content in zip(paths, FILES[split], contents, strict=True):
        with naming_damaged(path):
            check_digest(name, file, content)
    return images.unsqueeze(1), labels  # (N, 1, 28, 28), (N,)


def parse_idx(contents: bytearray, shape: tuple[int, ...]) -> Tensor:
    """The uint8 tensor (N, *shape) of an IDX file, which shares the memory of `contents`.

    IDX is big-endian: magic number 2048 + number of dimensions, then each dimension, then the bytes (Y. LeCun, MNIST).

    Raises:
        Damaged: the file is not an IDX file of this shape.
    """
    header = struct.Struct(f">{2 + len(shape)}I")
    if len(contents) <= header.size:
        raise Damaged(f"holds only {len(contents)} bytes")
    magic, count, *dims = header.unpack_from(contents)
    expected = 2048 + 1 + len(shape)
    if magic != expected:
        other = {2049: " (it holds labels)", 2051: " (it holds images)"}.get(magic, "")
        raise Damaged(f"begins with the magic number {magic}{other} instead of {expected}")
    if tuple(dims) != shape:
        raise Damaged(f"holds images of {dims[0]}×{dims[1]} pixels instead of {shape[0]}×{shape[1]}")
    held = len(contents) - header.size
    if held != count * math.prod(shape):
        raise Damaged(f"holds {held} bytes where its header promises {count} × {math.prod(shape)}")
    return torch.frombuffer(contents, dtype=torch.uint8, offset=header.size).view(count, *shape)
