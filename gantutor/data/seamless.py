"""Contact sheets without lines between their tiles, as `save_image(..., padding=0)` writes them.

Nothing marks where a tile ends. But pictures of one kind are alike in where they are rough and where they are bright,
so that what is drawn repeats itself from tile to tile, and no smaller part of a tile repeats as well.
"""

import operator
from collections.abc import Iterator, Sequence

import numpy as np

from gantutor.data.tiles import FEWEST, LEAST, MANY, Grid, all_tiles, is_filled

SURE, ALONE = 0.65, 0.3  # likeness of tiles above which many sheets are some; of n fewer, ALONE / n more
FAINT = 0.1  # grey values: likeness of profiles that vary less is rounding
DIFFERENT = 3.0  # grey values by which the tiles of a sheet differ; those of a pattern do not
SMOOTH = 0.15  # correlation of neighbours in these differences; that of noise is 0
MOST = 64  # tiles that are compared with each other
COMMON = 8  # patterns that a wall of bricks, each of its own shade, consists of, at most
FRAME = 8.0  # grey values that the pixels of a frame differ by, at most: JPEG blurs it
MOST_IN_A_LINE = 16  # tiles that were scaled, in a row or column
LARGE_TILE = 128  # pixels a side, which are enough to compare them
SCALED = 0.9  # likeness of tiles that were scaled; that of parts of single pictures is half of it
UNEVEN = 0.05  # share by which such tiles may be wider than high, or higher: lines around them count as part of them
USUAL = 0.1  # likeness that is added for tiles of a usual side


def find_seamless(sheets: Sequence[np.ndarray], margins: Sequence[int] = (0,)) -> Grid | None:
    """The grid of square tiles that meet without a line, or None.

    Args:
        sheets: brightness, float32 (H, W), all of one shape.
        margins: widths of a frame that may be around all tiles.
    """
    found = {}
    for margin in margins:
        if not all(_is_framed(sheet, margin) for sheet in sheets):
            continue
        inner = np.stack([sheet[margin : len(sheet) - margin, margin : sheet.shape[1] - margin] for sheet in sheets])
        found.update(
            {grid: score for grid in _squares(inner.shape[1:], margin) if (score := likeness(inner, grid)) > 0}
        )
    best = max(found, key=found.__getitem__, default=None)  # any other is this one, shifted
    if best is None or found[best] <= SURE + ALONE / len(sheets):
        return None
    shown = [tile for sheet in sheets for tile in all_tiles(sheet, best)]
    return best if all(is_filled(sheet, best) for sheet in sheets) and are_different(shown) else None


def is_block_of_tiles(blocks: Sequence[np.ndarray]) -> bool:
    """Do these hold square tiles in rows and columns whose sides are no whole pixels, because they were scaled?

    Args:
        blocks: brightness, float32 (H, W), all of one shape, without a frame.
    """
    found = []
    for grid in _scaled_squares(blocks[0].shape):
        inner = np.stack([_resized(block, grid) for block in blocks])
        found.append((likeness(inner, grid), [tile for sheet in inner for tile in all_tiles(sheet, grid)]))
    score, shown = max(found, key=operator.itemgetter(0), default=(0.0, []))
    return score > SCALED and are_different(shown)


def _scaled_squares(shape: Sequence[int]) -> Iterator[Grid]:
    """Grids of about square tiles, each brought to the nearest side in whole pixels, though not to a large one."""
    height, width = shape
    for rows in range(2, MOST_IN_A_LINE + 1):
        columns = max(1, round(width * rows / height))
        is_square = abs(width * rows - height * columns) <= UNEVEN * height * columns
        side = min(round(height / rows), LARGE_TILE)
        if is_square and rows * columns >= MANY and columns <= MOST_IN_A_LINE and side >= 2 * LEAST:
            yield Grid(rows, columns, side, side, 0, 0)


def _resized(block: np.ndarray, grid: Grid) -> np.ndarray:
    from PIL import Image

    size = (grid.columns * grid.width, grid.rows * grid.height)
    return np.asarray(Image.fromarray(block).resize(size, Image.Resampling.BOX))


def _is_framed(sheet: np.ndarray, width: int) -> bool:
    """Is there a frame of one colour around everything, so many pixels wide?"""
    if not width:
        return True
    lines = (sheet[:width], sheet[-width:], sheet[:, :width], sheet[:, -width:])
    frame = np.concatenate([part.ravel() for part in lines])
    return bool(abs(frame - np.median(frame)).mean() <= FRAME)


def _squares(shape: Sequence[int], margin: int) -> list[Grid]:
    height, width = shape
    sides = [s for s in range(2 * LEAST, min(shape) // 2 + 1) if height % s == width % s == 0]
    grids = [Grid(height // side, width // side, side, side, margin, 0) for side in sides]
    return [grid for grid in grids if grid.tiles >= MANY]


def likeness(inner: np.ndarray, grid: Grid) -> float:
    """How alike the tiles of sheets (N, H, W) without their frames are, beyond what their parts have in common."""
    rough = [_beyond_parts(_roughness(inner, axis), n) for axis, n in ((1, grid.rows), (2, grid.columns))]
    if min(rough) < -FAINT:
        return 0.0
    return float(np.mean(rough)) + 2 * _alike_beyond_parts(inner, grid.side) + USUAL * grid.is_usual


def _roughness(inner: np.ndarray, axis: int) -> np.ndarray:
    """Line by line, how much the next line differs from this one: (L,), with NaN at the end."""
    steps = abs(np.diff(inner, axis=axis)).mean((0, 3 - axis))
    return np.append(steps, np.nan)


def _beyond_parts(profile: np.ndarray, n: int) -> float:
    """The likeness of n parts of a profile (L,), beyond that of smaller ones: enlarged pixels repeat, too."""
    length = len(profile)
    smaller = [_likeness(profile, m) for m in range(2 * n, length // 2 + 1, n) if length % m == 0]
    return _beyond(_likeness(profile, n), max(smaller, default=0.0))


def _likeness(profile: np.ndarray, n: int) -> float:
    """The share of the variance of a profile (L,) that n equal parts have in common; about 0 by chance."""
    parts = profile.reshape(n, -1)
    variance = np.nanvar(parts)
    if variance < FAINT**2:
        return 0.0
    return float(1 - np.nanmean((parts - np.nanmean(parts, 0)) ** 2) / variance * n / (n - 1))


def _alike_beyond_parts(inner: np.ndarray, side: int) -> float:
    """The likeness in brightness of square tiles, beyond that of smaller squares."""
    smaller = [_alike(inner, side // n) for n in range(2, side // 2 + 1) if side % n == 0]
    return _beyond(_alike(inner, side), max(smaller, default=0.0))


def _alike(inner: np.ndarray, side: int) -> float:
    """The share of the variance of brightness that all squares of this side have in common; about 0 by chance."""
    n, height, width = inner.shape
    tiles = inner.reshape(n, height // side, side, width // side, side)
    variance, count = inner.var(), tiles.size // side**2
    if variance < FAINT**2:
        return 0.0
    return float(1 - (variance - tiles.mean((0, 1, 3)).var()) / variance * count / (count - 1))


def _beyond(whole: float, part: float) -> float:
    return (whole - part) / (1 - part) if part < 1 else 0.0


def are_different(shown: Sequence[np.ndarray]) -> bool:
    """Do tiles (height, width) show different things, rather than a pattern, its shades and noise?"""
    tiles = np.stack([tile - tile.mean() for tile in shown[:MOST]])
    flat = (tiles - tiles.mean(0)).reshape(len(tiles), -1)
    common = np.linalg.eigh(flat @ flat.T)[1][:, -min(COMMON, len(tiles) - FEWEST) :]
    rest = (flat - common @ (common.T @ flat)).reshape(tiles.shape)
    variance = (rest**2).mean()
    neighbours = ((rest[:, 1:] * rest[:, :-1]).mean() + (rest[:, :, 1:] * rest[:, :, :-1]).mean()) / 2
    return bool(variance > DIFFERENT**2 and neighbours > SMOOTH * variance)
