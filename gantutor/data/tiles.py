"""How a contact sheet is laid out, and its tiles."""

from dataclasses import dataclass

import numpy as np

LEAST = 8  # pixels a side of a tile; twice as many where no lines part them
FEWEST = 4  # tiles of a sheet
ENOUGH = 8  # where their borders are less clear
MANY = 12  # where JPEG has blurred the borders, or there are none
# Of red, green and blue, as JPEG weighs them: that it blurs the colours leaves this brightness as it was.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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
    def is_usual(self) -> bool:
        """Are the tiles squares of a side that is often chosen: 28, or a multiple of 16?"""
        return self.height == self.width and (self.side == 28 or self.side % 16 == 0)

    @property
    def side(self) -> int:
        return min(self.height, self.width)


def grey(picture: np.ndarray) -> np.ndarray:
    """The brightness, float32 (H, W), of a picture (H, W) or (H, W, 3)."""
    return picture.astype(np.float32) if picture.ndim == 2 else picture @ LUMA


def all_tiles(sheet: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """The tiles of a sheet, row by row."""
    ys, xs = (
        [grid.margin + i * (side + grid.gap) for i in range(count)]
        for count, side in ((grid.rows, grid.height), (grid.columns, grid.width))
    )
    return [sheet[y : y + grid.height, x : x + grid.width] for y in ys for x in xs]


def cut(sheet: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """The tiles (height, width) or (height, width, 3) of a sheet, row by row, without the empty ones at its end."""
    tiles = all_tiles(sheet, grid)
    while tiles and is_empty(tiles[-1]):
        tiles.pop()
    return tiles


def is_empty(tile: np.ndarray) -> bool:
    """Is it of one colour?"""
    values = grey(tile)
    return bool(abs(values - np.median(values)).mean() <= 1.5)


def is_filled(sheet: np.ndarray, grid: Grid) -> bool:
    """Whether the tiles hold pictures, apart from some in the last row, which were left over."""
    empty = [is_empty(tile) for tile in all_tiles(sheet, grid)]
    count = len(empty) - empty[::-1].index(False) if False in empty else 0
    return count > (grid.rows - 1) * grid.columns and count >= FEWEST and sum(empty[:count]) <= count // 10
