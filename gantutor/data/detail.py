"""Fine detail of pictures that are read smaller than they are: their middle, at full size."""

import contextlib
import os
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantutor.data.folder import USUAL, File, Unusable, _files_in, _opened, _to_eight_bits


def closeups(path: str | os.PathLike, grey: bool = False, count: int = 300, side: int = USUAL) -> Tensor | None:
    """The middle of pictures in a folder or a .zip as it is stored, without any resizing: uint8 (N, C, side, side).

    None if they are not larger than that, or not of one size: those of several sizes show detail at several scales.

    Args:
        grey: C is 1 instead of 3.
        count: of pictures at most, evenly spaced in the order of their names.

    Raises:
        BadInput: no folder, or a broken .zip.
    """
    with _files_in(Path(path).expanduser()) as files:
        chosen = files[:: max(1, len(files) // count)][:count]
        found = [picture for file in chosen if (picture := _middle(file, side, grey)) is not None]
    sizes = Counter(size for size, _ in found)
    if not sizes or sizes.most_common(1)[0][1] < 0.9 * len(found) or max(sizes, key=sizes.__getitem__) <= side:
        return None
    usual = sizes.most_common(1)[0][0]
    return torch.from_numpy(np.stack([middle for size, middle in found if size == usual]))


def _middle(file: File, side: int, grey: bool) -> tuple[int, np.ndarray] | None:
    """The shorter side of a picture, and its middle as uint8 (C, side, side); None if it cannot be read or is small."""
    from PIL import ImageOps

    with contextlib.suppress(Unusable, OSError, ValueError), _opened(file) as picture:
        picture.load()
        upright = _to_eight_bits(ImageOps.exif_transpose(picture)).convert("L" if grey else "RGB")
        left, top = ((length - side) // 2 for length in upright.size)
        if min(left, top) >= 0:
            middle = np.asarray(upright.crop((left, top, left + side, top + side)))
            return min(upright.size), middle.reshape(side, side, -1).transpose(2, 0, 1).copy()
    return None
