"""Contact sheets: pictures that hold many, in rows and columns, as `torchvision.utils.save_image` writes them."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gantutor.data.seamless import are_different, find_seamless, is_block_of_tiles
from gantutor.data.tiles import ENOUGH, FEWEST, LEAST, MANY, Grid, grey, is_filled

WIDEST = 16  # pixels of a line between tiles
BLUR = 9  # grey values that JPEG blurs a line by, on average
TITLE = 0.15  # share of the height of a tile that a title above it may have
SEVERAL = 4  # sheets that show the same lines: few tiles in each are enough then
EDGE = 0.45  # share of a row or column that an edge of a plot takes
OUTSIDE = 0.01  # share of the side of a plot that is empty at its border, at least; and that an edge may take
PLAIN = 2.0  # grey values by which its colour varies there
CLOSE = 24  # grey values from the colour of the frame that JPEG may add to a pixel of a line


def find_grid(pictures: Sequence[np.ndarray]) -> Grid | None:
    """The grid by which all these pictures are laid out, or None if they are single pictures.

    Lines of one colour, which JPEG may have blurred, part the tiles and frame the sheet; or else the tiles are alike
    in where they are rough and bright, which the parts of a single picture are not.

    Args:
        pictures: uint8 (H, W) or (H, W, 3), all of one shape.
    """
    sheets = [grey(picture) for picture in pictures]
    clean, blurred = (_parted_by_lines(sheets, lines)[:1] for lines in (CLEAN, BLURRED))
    touching = [
        grid
        for lines, grids in ((CLEAN, clean), (BLURRED, blurred))
        for grid in grids
        if _touches_lines(sheets, grid, lines)
    ]
    if touching:
        return max(touching, key=lambda grid: grid.tiles)
    seamless = None if _are_solid(sheets) else find_seamless(sheets, sorted({0, 2, _frame(sheets)}))
    if seamless and _cuts_across(sheets, seamless):
        seamless = None
    grids = [grid for grid in (*(clean or blurred), seamless) if grid]
    return max(grids, key=lambda grid: (grid.tiles, grid.is_usual, grid.gap == 0), default=None)


def is_spoiled_sheet(pictures: Sequence[np.ndarray]) -> bool:
    """Are these pictures contact sheets that can no longer be cut up, though `find_grid` finds no grid?

    A plotting library scales the tiles, so that their sides are no whole pixels, and writes titles beside them. They
    lie in rows and columns, either apart or in one block, and show different things.
    """
    sheets = [grey(picture) for picture in pictures]
    runs = [_without_text(_runs(~_lossless(sheets, axis))) for axis in (0, 1)]
    if not all(runs):
        return False
    if len(runs[0]) * len(runs[1]) >= ENOUGH and all(len(one) >= 2 and _regular(one) for one in runs):
        height, width = (min(end - start for start, end in one) for one in runs)
        corners = itertools.product(*([start for start, _ in one] for one in runs))
        return are_different([sheet[y : y + height, x : x + width] for y, x in corners for sheet in sheets])
    return any(is_block_of_tiles(blocks) for blocks in _blocks(sheets, runs))


def are_plotted(pictures: Sequence[np.ndarray]) -> bool:
    """Has each of these pictures, four at least, the same edges of a plot or a frame around it, at the same place?

    Args:
        pictures: uint8 (H, W) or (H, W, 3), all of one shape.
    """
    sheets = [grey(picture) for picture in pictures]
    corners = [sheet[0, 0] for sheet in sheets]
    if len(sheets) < SEVERAL or np.ptp(corners) > PLAIN or not all(map(_is_plain_outside, sheets)):
        return False
    for axis in (0, 1):
        steps = [(abs(np.diff(sheet, axis=axis)) > CLOSE).mean(1 - axis) for sheet in sheets]
        edges = np.flatnonzero(np.quantile(steps, 0.25, axis=0) > EDGE) / sheets[0].shape[axis]
        if not len(edges) or edges[-1] - edges[0] < 1 / 3:
            return False
        if ((edges > edges[0] + OUTSIDE) & (edges < edges[-1] - OUTSIDE)).any():
            return False
    return True


def _is_plain_outside(sheet: np.ndarray) -> bool:
    height, width = (math.ceil(OUTSIDE * length) for length in sheet.shape)
    bands = (sheet[:height], sheet[-height:], sheet[:, :width], sheet[:, -width:])
    return all(abs(band - sheet[0, 0]).max() <= PLAIN for band in bands)


def _blocks(sheets: list[np.ndarray], runs: list[list[tuple[int, int]]]) -> Iterator[list[np.ndarray]]:
    """Where tiles may be: in everything, or in the first of several blocks, or in this without the axes around it."""
    whole = [(one[0][0], one[-1][1]) for one in runs]
    first = [one[0] for one in runs]
    inside = [(start + (end - start) // 80, end - (end - start) // 80) for start, end in first]
    for (top, bottom), (left, right) in dict.fromkeys(map(tuple, (whole, first, inside))):
        yield [sheet[top:bottom, left:right] for sheet in sheets]


# --- sheets with lines -----------------------------------------------------------------------------------------------


def _strayed(sheet: np.ndarray, axis: int) -> np.ndarray:
    """Row by row (axis 0) or column by column (axis 1): how far each pixel is from the colour of the frame."""
    lines = np.moveaxis(sheet, axis, 0)  # (L, other side)
    return abs(lines - np.median(lines[0]))


class Lines(NamedTuple):
    """How the lines of a sheet are told from what it shows."""

    flat: Callable[[list[np.ndarray], int], np.ndarray]  # which lines of sheets along an axis have the frame's colour
    differing: float  # grey values from this colour that are not noise
    fewest: int  # tiles that they must part


def _lossless(sheets: list[np.ndarray], axis: int) -> np.ndarray:
    """Which lines have the colour of the frame from end to end, in every sheet."""
    return np.all([(_strayed(sheet, axis) > CLOSE).mean(1) <= 0.01 for sheet in sheets], axis=0)


def _lossy(sheets: list[np.ndarray], axis: int) -> np.ndarray:
    """Which lines have about this colour, compared with the others: JPEG blurs a line of two pixels."""
    mean = np.mean([_strayed(sheet, axis).mean(1) for sheet in sheets], axis=0)
    return mean <= min(BLUR, 0.45 * np.median(mean))


CLEAN, BLURRED = Lines(_lossless, 4, FEWEST), Lines(_lossy, CLOSE, MANY)


def _parted_by_lines(sheets: list[np.ndarray], lines: Lines) -> list[Grid]:
    """All grids that fit, the best one first.

    Where the tiles themselves have margins of the colour of the lines, lines of several widths fit: of these, two
    pixels are the usual ones, after those that leave tiles of a usual side. A tile of such a grid must not hold lines
    of that colour itself, and what is drawn in it must not be a solid rectangle, which would be the real tile.
    """
    runs = [_runs(~lines.flat(sheets, axis)) for axis in (0, 1)]
    solid = _ends_differ(sheets, runs, lines)
    found = {grid: _touches_lines(sheets, grid, lines) for grid in _grids(sheets, lines)}

    def is_whole(grid: Grid) -> bool:
        parts = [_count_apart(one, grid.gap) for one in runs]
        enough = grid.tiles >= ENOUGH or len(sheets) >= SEVERAL
        parted = not solid and enough and parts == [grid.rows, grid.columns]
        return (found[grid] and not _holds_grid(runs, grid)) or parted

    def merits(grid: Grid) -> tuple:
        return grid.tiles, found[grid], grid.height == grid.width, grid.is_usual, grid.gap == 2, -grid.gap

    return sorted(filter(is_whole, found), key=merits, reverse=True)


def _holds_grid(runs: list[list[tuple[int, int]]], grid: Grid) -> bool:
    """Do lines that are nearly as wide fall apart the tiles once more, both in rows and in columns?"""
    rows, columns = (_count_apart(one, math.ceil(0.7 * grid.gap)) for one in runs)
    return rows >= 2 * grid.rows and columns >= 2 * grid.columns


def _grids(sheets: list[np.ndarray], lines: Lines) -> list[Grid]:
    flat = [lines.flat(sheets, axis) for axis in (0, 1)]
    found = []
    for padding in range(WIDEST + 1):
        rows, columns = (_divisions(one, padding) for one in flat)
        found += [Grid(r, c, h, w, padding, padding) for (r, h), (c, w) in itertools.product(rows, columns)]
    return [grid for grid in found if grid.tiles >= lines.fewest and all(is_filled(sheet, grid) for sheet in sheets)]


def _divisions(flat: np.ndarray, padding: int) -> list[tuple[int, int]]:
    """All (n, length) such that n tiles of this length, with lines between and around them, fill the axis.

    Without lines the tiles themselves have to be of their colour where they meet.
    """
    found, room = [], len(flat) - padding
    for n in range(1, room // (LEAST + padding) + 1):
        pitch, left = divmod(room, n)
        starts = np.arange(n + 1) * pitch
        lines = np.add.outer(starts, np.arange(padding) if padding else [-1, 0]) % len(flat)  # (n + 1, width)
        if not left and flat[lines].all() and not any(flat[y + padding : y + pitch].all() for y in starts[:-1]):
            found.append((n, pitch - padding))
    return found


def _touches_lines(sheets: list[np.ndarray], grid: Grid, lines: Lines) -> bool:
    """Do the outermost pixels of the tiles differ from the lines beside them?"""
    shares = []
    for axis, (count, side) in enumerate(((grid.rows, grid.height), (grid.columns, grid.width))):
        starts = grid.margin + np.arange(count) * (side + grid.gap)
        shares.append(_differing(sheets, axis, [*starts, *(starts + side - 1)], lines))
    return bool(np.mean(shares) > 0.3)


def _differing(sheets: list[np.ndarray], axis: int, places: Sequence[int], lines: Lines) -> float:
    """The share of pixels on some lines that have not the colour of the frame."""
    if not len(places):
        return 0.0
    strayed = [_strayed(sheet, axis) for sheet in sheets]
    noise = [max(lines.differing, 4 * one[[0, -1]].mean()) for one in strayed]
    return float(np.mean([(one[places] > least).mean() for one, least in zip(strayed, noise, strict=True)]))


def _ends_differ(sheets: list[np.ndarray], runs: list[list[tuple[int, int]]], lines: Lines) -> bool:
    """Are the runs of lines, in rows and in columns, cut off sharply, as solid rectangles are?"""
    return bool(np.mean([_differing(sheets, axis, _ends(one), lines) for axis, one in enumerate(runs)]) > 0.35)


def _are_solid(sheets: list[np.ndarray]) -> bool:
    """Are several solid rectangles drawn in rows and columns, with lines between them?"""
    runs = [_runs(~_lossless(sheets, axis)) for axis in (0, 1)]
    return min(map(len, runs)) >= 2 and _ends_differ(sheets, runs, CLEAN)


def _ends(runs: list[tuple[int, int]]) -> list[int]:
    return [line for start, end in runs for line in (start, end - 1)]


def _cuts_across(sheets: list[np.ndarray], grid: Grid) -> bool:
    """Do tiles meet within what is drawn, although empty bands part it elsewhere?"""
    for axis, count in enumerate((grid.rows, grid.columns)):
        end = sheets[0].shape[axis] - grid.margin
        empty = _lossless(sheets, axis)[grid.margin : end].reshape(count, grid.side)
        if empty[:, 1:-1].any() and not (empty[1:, 0] | empty[:-1, -1]).all():
            return True
    return False


# --- runs of lines ----------------------------------------------------------------------------------------------------


def _frame(sheets: list[np.ndarray]) -> int:
    """How many pixels wide a frame of one colour is around everything that is drawn."""
    runs = [_runs(~_lossless(sheets, axis)) for axis in (0, 1)]
    if not all(runs):
        return 0
    ends = [min(one[0][0], sheets[0].shape[axis] - one[-1][1]) for axis, one in enumerate(runs)]
    return min(*ends, WIDEST)


def _runs(wanted: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _count_apart(runs: list[tuple[int, int]], least: int) -> int:
    """How many of them there are, where those less than so many pixels apart count as one."""
    return sum(after[0] - before[1] >= least for before, after in itertools.pairwise(runs)) + bool(runs)


def _without_text(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of them that are at least half as long as the longest: lines of text are shorter than pictures."""
    longest = max((end - start for start, end in runs), default=0)
    return [(start, end) for start, end in runs if 2 * (end - start) >= longest]


def _regular(runs: list[tuple[int, int]]) -> bool:
    """Are the runs about as long as each other, a title apart, and the gaps between them too?"""
    lengths = [end - start for start, end in runs]
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(runs)]
    alike = max(lengths) - min(lengths) <= max(2, TITLE * max(lengths))
    return min(lengths) >= LEAST and alike and max(gaps) - min(gaps) <= 2
