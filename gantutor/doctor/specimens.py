"""What a report shows: some of the images, and curves with no more points than a picture has room for.

Both are small, some hundred kilobytes together, so that a diagnosis can be kept, pickled and sent.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.data import floats
from gantutor.doctor.images.inputs import Case
from gantutor.doctor.logs.training_log import Log
from gantutor.doctor.measures import thumbnails
from gantutor.metrics import nearest_neighbours

MOST = 30  # images of a kind
MOST_BYTES = 150_000  # for them
LARGEST = 96  # pixels on a side; larger images are made smaller
PAIRS = 6  # of copies and originals; fewer, 3 at least, where images are large
CLOSE, CLOSE_SIDE = 3, 32  # images that are shown from near, and pixels on a side of what is shown of them
POINTS = 600  # of a curve


class Specimens(NamedTuple):
    """Some of the images that were examined, uint8 (n, C, H, W) each."""

    samples: Tensor  # as they were given, where values outside [-1, 1] are cut off and NaN is grey
    mended: Tensor  # the same ones as they were examined; none where nothing had to be put right
    real: Tensor
    copies: Tensor  # the samples nearest to training images; none unless they were found to be copies
    originals: Tensor  # and these training images
    details: Tensor  # the middle of some samples, every pixel of it
    real_details: Tensor  # and that of the real images most like them
    given: int  # the number of samples from which these are taken
    size: tuple[int, int]  # height and width of the images before they were made smaller


def collect(case: Case, given: Tensor, real_given: Tensor | None = None) -> Specimens:
    """Take some of the images of a case after it was examined; those given are what they were before."""
    real = case.real if real_given is None else real_given
    shown = given if len(given) else case.raw
    few = how_many(case.real)
    mended = case.samples[:few] if case.samples is not given else case.samples[:0]
    mine, theirs = copies(case)
    near = case.samples[:CLOSE]
    alike = nearest_neighbours(thumbnails(near, 7), thumbnails(case.real, 7))[1][:, 0] if len(near) else mine
    H, W = case.real.shape[2:]
    return Specimens(
        as_bytes(shown[:few]), as_bytes(mended), as_bytes(real[:few]), as_bytes(case.samples[mine]),
        as_bytes(floats(case.train[theirs])), as_bytes(middle(near)), as_bytes(middle(case.real[alike])),
        len(case.raw), (H, W),
    )  # fmt: skip


def middle(x: Tensor) -> Tensor:
    """The middle of images, `CLOSE_SIDE` pixels on a side where they are larger."""
    top, left = (max(0, (side - CLOSE_SIDE) // 2) for side in x.shape[2:])
    return x[..., top : top + CLOSE_SIDE, left : left + CLOSE_SIDE]


def how_many(images: Tensor) -> int:
    """How many of such images are kept."""
    C, *sides = images.shape[1:]
    pixels = C * min(sides[0], LARGEST) * min(sides[1], LARGEST)
    return max(4, min(MOST, MOST_BYTES // pixels))


def copies(case: Case) -> tuple[Tensor, Tensor]:
    """The indices of the samples nearest to training images, and of these, (P,) each: no training image twice."""
    best: dict[int, int] = {}
    if case.copies is not None:
        ratio, nearest = case.copies
        for sample in ratio.argsort().tolist():
            best.setdefault(int(nearest[sample]), sample)
    pairs = [*best.items()][: max(3, min(PAIRS, how_many(case.real) // 2))]
    return torch.tensor([mine for _, mine in pairs]).long(), torch.tensor([theirs for theirs, _ in pairs]).long()


def as_bytes(x: Tensor) -> Tensor:
    """Images as bytes (n, C, H, W) in grey or RGB, at most `LARGEST` on a side; NaN becomes grey."""
    x = x[:, : 3 if x.shape[1] >= 3 else 1].nan_to_num(0, 1, -1).clamp(-1, 1)
    H, W = x.shape[2:]
    if len(x) and max(H, W) > LARGEST:
        scale = LARGEST / max(H, W)
        x = F.interpolate(x, (max(1, round(H * scale)), max(1, round(W * scale))), mode="bilinear", antialias=True)
    return ((x + 1) * 127.5).round().to(torch.uint8)


def drawn(log: Log) -> dict[str, tuple[list[float], list[float]]]:
    """The curves of a log as a report draws them, those that play a part in the game, (steps, values) by name."""
    return {curve.name: thinned(curve.steps.tolist(), curve.values.tolist())
            for game in log.games.values() for curve in game.values()}  # fmt: skip


def thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """A curve with at most `POINTS` points: its ends, and of each stretch the lowest and the highest, or a NaN."""
    if len(values) <= POINTS:
        return list(steps), list(values)
    kept, series = {0, len(values) - 1}, torch.tensor(values, dtype=torch.float64)
    for part in torch.arange(len(values)).tensor_split(POINTS // 2 - 1):
        kept |= {int(part[series[part].argmin()]), int(part[series[part].argmax()])}  # for both a NaN comes first
    return [steps[i] for i in sorted(kept)], [values[i] for i in sorted(kept)]
