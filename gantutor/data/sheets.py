"""Contact sheets: pictures that hold many, in rows and columns, as `torchvision.utils.save_image` writes them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 8  # pixels a side of a tile; twice as many where no lines part them
FEWEST = 4  # tiles of a sheet
ENOUGH = 8  # where their borders are less clear
WIDEST = 16  # pixels of a line between tiles
CLOSE = 24  # grey values from the colour of the frame that JPEG may add to a pixel of a line


@dataclass(frozen=True)
class Grid:
    """How a sheet is laid out: tile (r, c) begins at row `margin + r * (height + gap)`, and so for columns."""

    rows: int
    columns: int
    height: int
    width: int
    margin: int  # around all tiles
    gap: int  # between them

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def side(self) -> int:
        return min(self.height, self.width)


def find_grid(pictures: Sequence[np.ndarray]) -> Grid | None:
    """The grid by which all these pictures are laid out, or None if they are single pictures.

    Lines of one colour part the tiles and frame the sheet; or else what is drawn is the same from tile to tile as far
    as its roughness goes, line by line, which no single picture is.

    Args:
        pictures: uint8 (H, W) or (H, W, 3), all of one shape.
    """
    sheets = [_grey(picture) for picture in pictures]
    grids = _parted_by_lines(sheets)[:1]
    if not (grids and _touches_lines(sheets, grids[0])):
        grids += _repeating(sheets)
    return max(grids, key=lambda grid: (grid.tiles, grid.gap == 0), default=None)


def cut(sheet: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """The tiles (height, width) or (height, width, 3) of a sheet, row by row, without the empty ones at its end."""
    tiles = _all_tiles(sheet, grid)
    while tiles and _is_empty(tiles[-1]):
        tiles.pop()
    return tiles


def is_spoiled_sheet(pictures: Sequence[np.ndarray]) -> bool:
    """Are these pictures contact sheets that can no longer be cut up, though `find_grid` finds no grid?

    JPEG has blurred the lines; or a plotting library has scaled the tiles, which lie in regular rows and columns.
    """
    sheets = [_grey(picture) for picture in pictures]
    runs = [_runs(~_lossless(sheets, axis)) for axis in (0, 1)]
    plotted = len(runs[0]) * len(runs[1]) >= ENOUGH and all(len(one) >= 2 and _regular(one) for one in runs)
    return plotted or any(grid.rows > 1 < grid.columns for grid in _grids(sheets, _lossy))


def _grey(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) if picture.ndim == 2 else picture.mean(2, dtype=np.float32)


# --- sheets with lines -----------------------------------------------------------------------------------------------


def _strayed(sheet: np.ndarray, axis: int) -> np.ndarray:
    """Row by row (axis 0) or column by column (axis 1): how far each pixel is from the colour of the frame."""
    lines = np.moveaxis(sheet, axis, 0)  # (L, other side)
    return abs(lines - np.median(lines[0]))


def _lossless(sheets: list[np.ndarray], axis: int) -> np.ndarray:
    """Which lines have the colour of the frame from end to end, in every sheet."""
    return np.all([(_strayed(sheet, axis) > CLOSE).mean(1) <= 0.01 for sheet in sheets], axis=0)


def _lossy(sheets: list[np.ndarray], axis: int) -> np.ndarray:
    """Which lines have about this colour, compared with the others: JPEG blurs a line of two pixels."""
    mean = np.mean([_strayed(sheet, axis).mean(1) for sheet in sheets], axis=0)
    return mean <= min(9, 0.45 * np.median(mean))


def _parted_by_lines(sheets: list[np.ndarray]) -> list[Grid]:
    """All grids that fit, the best one first.

    Where the tiles themselves have margins of the colour of the lines, lines of several widths fit: of these, two
    pixels are the usual ones. A tile of such a grid must not hold lines of that colour itself, and what is drawn in it
    must not be a solid rectangle, which would be the real tile.
    """
    runs = [_runs(~_lossless(sheets, axis)) for axis in (0, 1)]
    solid = np.mean([_differing(sheets, axis, _ends(one)) for axis, one in enumerate(runs)]) > 0.35
    found = {grid: _touches_lines(sheets, grid) for grid in _grids(sheets, _lossless)}

    def is_whole(grid: Grid) -> bool:
        parts = [_count_apart(one, grid.gap) for one in runs]
        return found[grid] or (not solid and grid.tiles >= ENOUGH and parts == [grid.rows, grid.columns])

    def merits(grid: Grid) -> tuple:
        return grid.tiles, found[grid], grid.height == grid.width, grid.gap == 2, -grid.gap

    return sorted(filter(is_whole, found), key=merits, reverse=True)


def _grids(sheets: list[np.ndarray], flat_lines: Callable[[list[np.ndarray], int], np.ndarray]) -> list[Grid]:
    flat = [flat_lines(sheets, axis) for axis in (0, 1)]
    found = []
    for padding in range(1, WIDEST + 1):
        rows, columns = (_divisions(lines, padding) for lines in flat)
        found += [Grid(r, c, h, w, padding, padding) for (r, h), (c, w) in itertools.product(rows, columns)]
    return [grid for grid in found if grid.tiles >= FEWEST and all(_is_filled(sheet, grid) for sheet in sheets)]


def _divisions(flat: np.ndarray, padding: int) -> list[tuple[int, int]]:
    """All (n, length) such that n tiles of this length, with lines between and around them, fill the axis."""
    found, room = [], len(flat) - padding
    for n in range(1, room // (LEAST + padding) + 1):
        pitch, left = divmod(room, n)
        lines = np.add.outer(np.arange(n + 1) * pitch, np.arange(padding))  # (n + 1, padding)
        if not left and flat[lines].all() and not any(flat[y + padding : y + pitch].all() for y in lines[:-1, 0]):
            found.append((n, pitch - padding))
    return found


def _touches_lines(sheets: list[np.ndarray], grid: Grid) -> bool:
    """Do the outermost pixels of the tiles differ from the lines beside them?"""
    shares = []
    for axis, (count, side) in enumerate(((grid.rows, grid.height), (grid.columns, grid.width))):
        starts = grid.margin + np.arange(count) * (side + grid.gap)
        shares.append(_differing(sheets, axis, [*starts, *(starts + side - 1)]))
    return bool(np.mean(shares) > 0.3)


def _differing(sheets: list[np.ndarray], axis: int, lines: Sequence[int]) -> float:
    """The share of pixels on some lines that have not the colour of the frame."""
    return float(np.mean([(_strayed(sheet, axis)[lines] > 4).mean() for sheet in sheets])) if len(lines) else 0.0


def _ends(runs: list[tuple[int, int]]) -> list[int]:
    return [line for start, end in runs for line in (start, end - 1)]


# --- sheets without lines --------------------------------------------------------------------------------------------


def _repeating(sheets: list[np.ndarray]) -> list[Grid]:
    found = []
    for margin in sorted({0, 2, _frame(sheets)} & set(range(_frame(sheets) + 1))):
        inner = [sheet[margin : len(sheet) - margin, margin : sheet.shape[1] - margin] for sheet in sheets]
        rows, columns = (_periods(inner, axis) for axis in (0, 1))
        found += [Grid(r, c, h, w, margin, 0) for (r, h), (c, w) in itertools.product(rows, columns) if h == w]
    return [grid for grid in found if grid.tiles >= ENOUGH and all(_is_filled(sheet, grid) for sheet in sheets)]


def _frame(sheets: list[np.ndarray]) -> int:
    """How many pixels wide a frame of one colour is around everything that is drawn."""
    runs = [_runs(~_lossless(sheets, axis)) for axis in (0, 1)]
    if not all(runs):
        return 0
    ends = [min(one[0][0], sheets[0].shape[axis] - one[-1][1]) for axis, one in enumerate(runs)]
    return min(*ends, WIDEST)


def _periods(sheets: list[np.ndarray], axis: int) -> list[tuple[int, int]]:
    """All (n, length) such that n tiles of this length fill the axis and vary alike, and no smaller parts do.

    Parts that repeat and are smaller still are a pattern: a checkerboard, or enlarged pixels.
    """
    changes = [abs(np.diff(np.moveaxis(sheet, axis, 0), axis=0)).mean(1) for sheet in sheets]  # (L - 1,) each
    profile = np.append(np.mean(changes, axis=0), np.nan)
    likeness = {n: _likeness(profile, n) for n in range(2, len(profile) // 2 + 1) if len(profile) % n == 0}
    return [
        (n, len(profile) // n)
        for n, alike in likeness.items()
        if alike > 0.7 and n <= len(profile) // (2 * LEAST)
        and not any(other > 0.5 for m, other in likeness.items() if m > n and m % n == 0)
    ]  # fmt: skip


def _likeness(profile: np.ndarray, n: int) -> float:
    """The share of the variance of a profile (L,) that n equal parts have in common; about 0 by chance."""
    parts = profile.reshape(n, -1)
    variance = np.nanvar(parts)
    if variance == 0:
        return 0.0
    return float(1 - np.nanmean((parts - np.nanmean(parts, 0)) ** 2) / variance * n / (n - 1))


# --- tiles -----------------------------------------------------------------------------------------------------------


def _all_tiles(sheet: np.ndarray, grid: Grid) -> list[np.ndarray]:
    ys, xs = (
        [grid.margin + i * (side + grid.gap) for i in range(count)]
        for count, side in ((grid.rows, grid.height), (grid.columns, grid.width))
    )
    return [sheet[y : y + grid.height, x : x + grid.width] for y in ys for x in xs]


def _is_empty(tile: np.ndarray) -> bool:
    grey = _grey(tile)
    return bool(abs(grey - np.median(grey)).mean() <= 1.5)


def _is_filled(sheet: np.ndarray, grid: Grid) -> bool:
    """Whether the tiles hold pictures, apart from some in the last row, which were left over."""
    empty = [_is_empty(tile) for tile in _all_tiles(sheet, grid)]
    count = len(empty) - empty[::-1].index(False) if False in empty else 0
    return count > (grid.rows - 1) * grid.columns and count >= FEWEST and sum(empty[:count]) <= count // 10


def _runs(wanted: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _count_apart(runs: list[tuple[int, int]], least: int) -> int:
    """How many of them there are, where those less than so many pixels apart count as one."""
    return sum(after[0] - before[1] >= least for before, after in itertools.pairwise(runs)) + bool(runs)


def _regular(runs: list[tuple[int, int]]) -> bool:
    """Are the runs about as long as each other, and the gaps between them too?"""
    lengths = [end - start for start, end in runs]
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(runs)]
    return min(lengths) >= LEAST and max(lengths) - min(lengths) <= 2 and max(gaps) - min(gaps) <= 2
