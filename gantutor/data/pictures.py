"""One picture file: what its header says, and its pixels as bytes."""

import contextlib
import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO, NamedTuple

import numpy as np

from gantutor.data.listing import File, Unusable

SMALLEST = 8  # pixels a side
MOST_PIXELS = 80_000_000  # of a picture; one that unpacks to more may be made to fill the memory
DEEP_VALUES = 2048  # of a picture of more than 8 bits, about so many tell the range of all
RARE = 0.02  # share of values that may be left out of this range at either end
FEWEST_SHADES = 16  # that it must hold
CUT = "were cut to their middle square"
TRANSPARENT = "are transparent in parts and were laid on"
MADE_GREY = "in colour were read as grey"
GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I", "F")  # modes of Pillow


class Header(NamedTuple):
    """What is known of a picture before it is unpacked."""

    width: int
    height: int
    grey: bool
    deep: bool  # more than 8 bits a pixel, and grey
    lossy: bool

    @property
    def side(self) -> int:
        return min(self.width, self.height)


@dataclass
class Picture:
    """A picture as it was read.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3).
        facts: what was done to it, each worded so as to follow "12 pictures".
    """

    pixels: np.ndarray
    facts: list[str]


@contextlib.contextmanager
def _opened(file: File) -> Iterator:
    """The picture in a file, without its pixels. Raises `Unusable`."""
    from PIL import Image

    _add_heif()
    with file.open() as content:
        try:
            with Image.open(content) as picture:
                yield picture
        except Image.UnidentifiedImageError:
            raise Unusable(_why_unknown(content)) from None
        except Image.DecompressionBombError:
            raise Unusable("too large") from None


@cache
def _add_heif() -> None:
    """Let Pillow read HEIC, where the package that can is installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


def _why_unknown(content: IO[bytes]) -> str:
    with contextlib.suppress(OSError, ValueError):
        content.seek(0)
        start = content.read(32)
        if start[4:8] == b"ftyp" and any(brand in start[8:] for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")):
            return "HEIC, which takes the package pillow-heif to read"
        if start[4:8] == b"ftyp" and b"avif" in start[8:]:
            return "AVIF, which takes a newer Pillow to read"
    return "not a picture"


def look(file: File) -> Header:
    """What the header of a picture says. Raises `Unusable`."""
    try:
        with _opened(file) as picture:
            width, height = picture.size
            mode, form = picture.mode, picture.format
    except Unusable:
        raise
    except Exception as error:  # each decoder has its own errors
        raise Unusable("broken") from error
    if min(width, height) < SMALLEST:
        raise Unusable(f"smaller than {SMALLEST} pixels")
    if math.prod((width, height)) > MOST_PIXELS:
        raise Unusable("too large")
    if mode == "F":
        raise Unusable("of floating-point pixels, which are read from a .npy or .npz only")
    return Header(width, height, mode in GREY, mode.startswith("I"), form in ("JPEG", "MPO", "WEBP", "AVIF"))


def deep_values(file: File) -> np.ndarray:
    """Some values of a picture of more than 8 bits, the least and the greatest among them: (n,). Raises `Unusable`."""
    try:
        with _opened(file) as picture:
            values = np.asarray(picture).ravel()
    except (Unusable, MemoryError):
        raise
    except Exception as error:
        raise Unusable("broken") from error
    some = values[:: -(-len(values) // DEEP_VALUES)]
    return np.concatenate([some, [values.min(), values.max()]]).astype(np.int64)


def usual_range(values: np.ndarray) -> tuple[int, int]:
    """The least and the greatest of values (n,), without the rare ones that lie far from all others.

    A hot pixel, or a label that was burnt in, would leave but a few shades of grey for everything else.
    """
    return -_greatest_near(-values), _greatest_near(values)


def _greatest_near(values: np.ndarray) -> int:
    """The last value before a gap that is longer than all below it, or the greatest, if only common ones are there."""
    ordered = np.sort(values)
    rare = int(RARE * len(ordered))
    last = ordered[len(ordered) - 1 - rare :]
    below = last[:-1] - ordered[rare]
    ends = np.flatnonzero((np.diff(last) > below) & (below >= FEWEST_SHADES))
    return int(last[ends[0] if len(ends) else -1])


def read(file: File, size: int | None, grey: bool, deep: tuple[int, int], ground: str = "white") -> Picture:
    """The pixels of a picture, upright, on a ground of one colour where it is transparent.

    Args:
        file: that `look` found usable.
        size: side of the square that it is cut and resized to; None leaves it as it is.
        grey: one channel instead of three.
        deep: the values that become 0 and 255 where there are more than 8 bits.
        ground: a name that Pillow knows.

    Raises `Unusable`.
    """
    from PIL import Image, ImageOps

    facts: list[str] = []
    try:
        with _opened(file) as picture:
            if getattr(picture, "is_animated", False) and picture.format != "MPO":  # a photo with a preview
                facts.append("show the first frame of several")
                picture.seek(0)
            if size is not None:
                picture.draft("L" if grey else "RGB", (2 * size, 2 * size))  # a JPEG is decoded smaller: faster
            width, height = picture.size
            picture.load()
            picture = _to_eight_bits(ImageOps.exif_transpose(picture), deep, ground, facts)
            if grey and picture.mode != "L":
                facts.append(MADE_GREY)
            picture = picture.convert("L" if grey else "RGB")
    except (Unusable, MemoryError):
        raise
    except Exception as error:  # each decoder has its own errors
        raise Unusable("broken") from error
    if size is not None:
        if width != height:
            facts.append(CUT)
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)  # antialiased when reducing
    return Picture(np.asarray(picture), facts)


def _to_eight_bits(picture, deep: tuple[int, int], ground: str, facts: list[str]):
    """A Pillow picture as opaque `L` or `RGB`, 8 bits a channel."""
    from PIL import Image

    if picture.mode.startswith("I"):  # convert("L") would clip it
        low, high = deep
        values = (np.asarray(picture).astype(np.float64) - low) * (255 / (high - low))
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if picture.getextrema()[3][0] < 255:
            facts.append(f"{TRANSPARENT} {ground}")
        return Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
