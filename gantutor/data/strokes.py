"""Handwriting drawn by the program: digits as pen strokes, with the true factors of every image.

A style of a digit consists of a few curves. Each image bends them a little, slants, scales and shifts them, and draws
them with a pen of its own thickness::

    from gantutor.data import strokes
    drawn = strokes.draw(60_000, seed=0)
    drawn.pixels, drawn.digit, drawn.slant  # (60000, 1, 28, 28) uint8, (60000,) int64, (60000,) float32

Everything before the pen is linear in the control points, so all images of a style are one matrix product.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from gantutor.errors import whole_number
from gantutor.state import one_thread

# STYLES[digit][style]: points `x,y` in percent of a box, x to the right and y down, through which the pen passes
# smoothly. At `/` it turns sharply and continues from the last point; at `|` it is lifted.
STYLES = (
    (  # 0: round, narrow, closed by crossing over
        "50,0 22,12 9,48 22,88 50,100 78,88 91,50 78,12 48,1",
        "60,2 38,10 24,48 28,86 48,100 70,86 78,48 72,14 56,1",
        "66,8 38,5 14,30 12,68 40,98 74,90 88,55 76,18 46,2 30,14",
    ),
    (  # 1: a stick, with a flag, with flag and base
        "50,0 50,50 50,100",
        "26,26 42,14 54,0 / 53,50 52,100",
        "28,22 42,13 54,0 / 53,50 52,97 | 22,98 52,97 84,98",
    ),
    (  # 2: straight base, looped base, wavy base
        "12,26 28,5 60,2 78,26 60,60 12,97 / 50,96 92,95",
        "14,22 36,1 68,8 74,36 48,72 22,93 8,84 24,75 56,90 94,90",
        "20,30 24,8 52,0 76,12 74,40 46,72 10,98 / 36,87 62,97 92,88",
    ),
    (  # 3: round, flat-topped, written without an angle
        "14,14 42,0 74,12 72,36 38,47 / 74,54 84,76 58,99 12,90",
        "16,4 46,3 82,4 / 62,22 42,41 / 76,50 82,76 54,99 12,90",
        "18,12 48,0 74,17 60,40 36,48 64,54 82,76 56,99 14,88",
    ),
    (  # 4: open, closed, open and round
        "28,2 20,30 10,58 / 50,57 92,55 | 68,16 66,60 62,100",
        "66,100 67,50 68,0 / 38,33 8,66 / 50,66 94,65",
        "15,0 11,34 32,56 62,50 84,36 | 87,0 80,48 70,100",
    ),
    (  # 5: hat last, one stroke with angles, one curve like an S
        "26,12 23,30 20,50 / 48,42 74,66 60,95 34,100 8,92 | 32,12 62,6 96,0",
        "86,4 58,3 30,4 / 28,22 25,42 / 62,36 88,62 70,96 38,100 8,86",
        "84,3 46,6 28,24 44,42 72,56 76,80 50,99 12,92",
    ),
    (  # 6: curved stem, straight stem, large loop
        "74,2 42,18 18,54 22,88 50,100 76,84 72,60 46,54 20,74",
        "52,0 34,34 20,70 30,96 58,98 74,78 62,58 38,60 20,78",
        "64,0 34,20 12,56 22,92 54,100 84,80 74,56 46,52 16,70",
    ),
    (  # 7: plain, crossed, curved with a hook
        "14,6 48,5 84,4 / 62,50 40,100",
        "15,5 48,4 84,4 / 60,50 38,100 | 32,52 54,51 78,50",
        "15,22 19,6 / 48,8 85,5 / 62,34 51,66 46,100",
    ),
    (  # 8: one stroke, two rings, one stroke from the middle
        "76,14 48,0 22,18 44,44 78,74 50,100 20,78 46,50 76,24 72,8",
        "52,1 26,12 30,38 52,47 74,36 76,12 50,1 | 52,47 20,62 24,92 52,100 80,92 82,62 50,47",
        "48,46 20,22 50,0 78,18 56,46 24,66 26,94 58,100 80,78 60,52 40,40",
    ),
    (  # 9: straight tail, hooked tail, curved tail
        "78,14 48,1 20,18 28,46 58,46 78,16 / 76,58 72,100",
        "80,18 52,1 22,20 32,48 64,44 80,16 / 82,58 66,96 20,92",
        "68,6 38,4 18,28 38,50 70,36 78,8 / 74,40 58,76 36,100",
    ),
)

# The ranges of the factors. The densities of slant and thickness fall off linearly from the middle; shift and scale are
# uniform.
SLANT = (-0.3, 0.5)  # radians from the vertical; positive leans to the right, as most hands do
THICKNESS = (1.5, 4.0)  # pixels
SHIFT = (-1.0, 1.0)  # pixels, to the right and down
SCALE = (0.8, 1.0)  # height of a glyph with its ink, over 20 pixels
ASPECT = (0.85, 1.15)  # width over that in STYLES
BEND = 0.05  # standard deviation, in box heights, of each smooth deformation at the edge of the box
JITTER = 0.02  # standard deviation, in box heights, of each control point

SIZE = 28
PEN = 0.8  # pixels: standard deviation of the Gaussian dots that a stroke is made of
CHUNK = 256  # images rendered at once: few enough for the processor's cache


@dataclass(frozen=True, eq=False)
class Strokes:
    """Images and the factors that made them. `pixels` is uint8 (n, 1, 28, 28), ink 255 on paper 0.

    `digit` and `style` (which of `STYLES[digit]`) are int64 (n,). The other factors are float32: `slant` (n,) in
    radians, positive to the right; `thickness` (n,) of the pen in pixels; `shift` (n, 2) of the centre of the stroke
    from the centre of the image, in pixels right and down; `scale` (n,), 1 if a glyph without bending is 20 pixels high
    with its ink.
    """

    pixels: Tensor
    digit: Tensor
    style: Tensor
    slant: Tensor
    thickness: Tensor
    shift: Tensor
    scale: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


@one_thread()
def draw(n: int, seed: int) -> Strokes:
    """`n` images in random order, with digits balanced to within one image and styles equally likely.

    The same `n` and `seed` give the same images for any number of threads. 60,000 take a few seconds.
    Raises `BadInput` unless `n` and `seed` are whole numbers, 0 or more.
    """
    n, seed = whole_number("n", n), whole_number("seed", seed)
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    digit = (torch.arange(n) % 10)[torch.randperm(n, generator=generator)]
    styles = torch.tensor([len(styles) for styles in STYLES])[digit]
    style = (uniform(0, 1, n) * styles).long()
    slant = uniform(*SLANT, 2, n).mean(0)
    thickness = uniform(*THICKNESS, 2, n).mean(0)
    shift = uniform(*SHIFT, n, 2)
    scale = uniform(*SCALE, n)
    aspect = uniform(*ASPECT, n)
    noise = torch.randn(n, _noise_count(), 2, generator=generator)

    pixels = torch.empty(n, 1, SIZE, SIZE, dtype=torch.uint8)
    for d, s in ((d, s) for d, styles in enumerate(STYLES) for s in range(len(styles))):
        control, to_middles, to_steps = _curve(d, s)
        for i in torch.nonzero((digit == d) & (style == s)).flatten().split(CHUNK):
            height = scale[i] * (20 - thickness[i])
            points = _pose(_bend(control, noise[i]), slant[i], height, aspect[i])  # (n, K, 2)
            middles, lengths = to_middles @ points, (to_steps @ points).norm(dim=-1)  # (n, P, 2), (n, P)
            pixels[i, 0] = _ink(_centre(middles, lengths, shift[i]), lengths, thickness[i])
    return Strokes(pixels, digit, style, slant, thickness, shift, scale)


# ---- from text to curves -------------------------------------------------------------------------------------------


def _parse(text: str) -> tuple[Tensor, list[list[int]]]:
    """The control points (K, 2) in box heights, and the smooth pieces as lists of point indices."""
    points: list[list[float]] = []
    pieces: list[list[int]] = []
    for stroke in text.split("|"):
        last: list[int] = []
        for piece in stroke.split("/"):
            new = [[float(coordinate) / 100 for coordinate in point.split(",")] for point in piece.split()]
            pieces.append(last + list(range(len(points), len(points) + len(new))))
            points += new
            last = [len(points) - 1]
    return torch.tensor(points), pieces


def _spline(points: Tensor, per_span: int) -> Tensor:
    """Catmull-Rom curve through `points` (k, d): ((k-1)·per_span + 1, d) positions, equally spaced in the parameter."""
    before, after = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
    p0, p1, p2, p3 = torch.cat([before, points, after]).unfold(0, 4, 1).movedim(-1, 0).unsqueeze(2)  # (k-1, 1, d) each
    t = torch.arange(per_span)[:, None] / per_span
    curve = p1 + t / 2 * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return torch.cat([curve.flatten(0, 1), points[-1:]])


@cache
def _curve(digit: int, style: int) -> tuple[Tensor, Tensor, Tensor]:
    """Control points (K, 2) about the middle of the box, and two matrices (P, K) that cut the strokes into P dashes.

    Applied to the points, the matrices give the middle of each dash and the step from its start to its end. A dash is
    about a pixel long.
    """
    points, pieces = _parse(STYLES[digit][style])
    starts, ends = [], []
    for piece in pieces:
        weights = _spline(torch.eye(len(points))[piece], 50)  # (positions, K): linear in the points
        lengths = (weights @ points).diff(dim=0).norm(dim=1).cumsum(0)
        dashes = math.ceil(15 * lengths[-1].item())
        marks = lengths[-1] * torch.arange(1, dashes) / dashes
        cuts = [0, *(torch.searchsorted(lengths, marks) + 1).tolist(), len(lengths)]
        starts.append(weights[cuts[:-1]])
        ends.append(weights[cuts[1:]])
    start, end = torch.cat(starts), torch.cat(ends)
    return points - 0.5, (start + end) / 2, end - start


def _deformations(points: Tensor) -> Tensor:
    """Five smooth deformations at `points` (K, 2), as (K, 5); none shifts, scales or slants the box as a whole."""
    x, y = (2 * points).unbind(1)
    x2, y2 = (3 * x**2 - 1) / 2, (3 * y**2 - 1) / 2  # Legendre polynomials
    return torch.stack([x * y, x2, y2, x2 * y, x * y2], dim=1)


@cache
def _noise_count() -> int:
    """Random numbers that a glyph needs per direction: five for the deformations and one for each of its points."""
    return 5 + max(len(_curve(d, s)[0]) for d, styles in enumerate(STYLES) for s in range(len(styles)))


# ---- from curves to pixels -----------------------------------------------------------------------------------------


def _bend(points: Tensor, noise: Tensor) -> Tensor:
    """The control points (n, K, 2) of n glyphs, from those of their style (K, 2) and normal noise (n, ≥ 5 + K, 2)."""
    return points + BEND * _deformations(points) @ noise[:, :5] + JITTER * noise[:, 5 : 5 + len(points)]


def _pose(points: Tensor, slant: Tensor, height: Tensor, aspect: Tensor) -> Tensor:
    """The points (n, K, 2) widened, sheared by `slant` and scaled to a box `height` pixels high; factors are (n,)."""
    x, y = points.unbind(-1)
    x = x * aspect[:, None] - y * slant.tan()[:, None]
    return torch.stack([x, y], dim=-1) * height[:, None, None]


def _centre(middles: Tensor, lengths: Tensor, shift: Tensor) -> Tensor:
    """The dashes' middles (n, P, 2) moved so that their centre of mass is the image's centre plus `shift` (n, 2)."""
    mass = lengths / lengths.sum(1, keepdim=True)
    centre = mass[:, None] @ middles  # (n, 1, P) @ (n, P, 2)
    return middles + ((SIZE - 1) / 2 + shift[:, None] - centre)


def _ink(middles: Tensor, lengths: Tensor, thickness: Tensor) -> Tensor:
    """The ink of a pen `thickness` (n,) pixels wide along dashes: uint8 (n, 28, 28), rows then columns.

    The dashes have middles (n, P, 2), in pixels from the centre of the top left pixel, and lengths (n, P). Each one is
    a Gaussian dot as heavy as it is long. Along a line the dots add up to √(2π)·PEN·exp(−distance²/2PEN²), from which
    the distance is recovered; the ink is full within the pen's radius and has an edge one pixel wide.
    """
    dots = middles[..., None] - torch.arange(SIZE, dtype=torch.float32)  # (n, P, 2, 28)
    dots = dots.square_().mul_(-0.5 / PEN**2).clamp_(min=-40).exp_()  # clamped, because exp is slow where it underflows
    x, y = dots.unbind(2)
    weights = lengths / (math.sqrt(2 * math.pi) * PEN)
    density = (y * weights[..., None]).mT @ x  # (n, 28, P) @ (n, P, 28)
    distance = density.log_().mul_(-2 * PEN**2).clamp_(min=0).sqrt_()
    ink = (0.5 + thickness[:, None, None] / 2 - distance).clamp_(0, 1)
    return ink.mul_(255).round_().to(torch.uint8)
