"""Fine detail of pictures that are read smaller than they are: their middle, at full size."""

import contextlib
import os
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantutor.data.folder import USUAL
from gantutor.data.listing import File, Unusable, files_in
from gantutor.data.pictures import deep_values, look, read, usual_range


def closeups(
    path: str | os.PathLike,
    grey: bool = False,
    count: int = 300,
    side: int = USUAL,
    *,
    images: int = 0,
    ground: str = "white",
) -> Tensor | None:
    """The middle of pictures in a folder or a .zip as it is stored, without any resizing: uint8 (N, C, side, side).

    None if they are not larger than that, or not of one size: those of several sizes show detail at several scales.

    Args:
        grey: C is 1 instead of 3.
        count: of pictures at most, evenly spaced in the order of their names.
        images: how many images were read from them. If these are more than the pictures, each picture is a sheet of
            several images, and the result is None.
        ground: "white" or "black", where they are transparent.

    Raises:
        BadInput: no folder, or a broken .zip.
    """
    with files_in(Path(path).expanduser()) as files:
        pictures = [file for file in files if file.is_picture]
        if images > len(pictures):
            return None
        chosen = pictures[:: max(1, len(pictures) // count)][:count]
        deep = _range_of(chosen)
        found = [picture for file in chosen if (picture := _middle(file, side, grey, deep, ground)) is not None]
    sizes = Counter(size for size, _ in found)
    if not sizes or sizes.most_common(1)[0][1] < 0.9 * len(found) or max(sizes, key=sizes.__getitem__) <= side:
        return None
    usual = sizes.most_common(1)[0][0]
    return torch.from_numpy(np.stack([middle for size, middle in found if size == usual]))


def _range_of(files: list[File]) -> tuple[int, int]:
    """The range of the values of those pictures of more than 8 bits, if there are any."""
    values = []
    for file in files:
        with contextlib.suppress(Unusable):
            if look(file).deep:
                values.append(deep_values(file))
    low, high = usual_range(np.concatenate(values)) if values else (0, 0)
    return (low, high) if low < high else (0, 65535)


def _middle(file: File, side: int, grey: bool, deep: tuple[int, int], ground: str) -> tuple[int, np.ndarray] | None:
    """The shorter side of a picture, and its middle as uint8 (C, side, side); None if it cannot be read or is small."""
    with contextlib.suppress(Unusable):
        header = look(file)
        if header.side < side:
            return None
        pixels = read(file, None, grey, deep, ground).pixels
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        middle = pixels[top : top + side, left : left + side].reshape(side, side, -1)
        return header.side, middle.transpose(2, 0, 1).copy()
    return None
