"""Training logs as people have them, brought to one form: curves, and the part that each plays in the game.

`tables` reads the files, this module turns their cells into numbers, `roles` knows what names mean, and `curves` judges
what was read.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import NamedTuple

import numpy as np

from gantutor.data.listing import some
from gantutor.doctor.logs import roles, tables
from gantutor.errors import BadInput

MOST_NAMES = 12  # that a note lists
LOSSES = "d_loss", "g_loss", "d_loss_real", "d_loss_fake"
FEWEST_STEPS = 3  # that rise and are whole, in pairs of a step and a value
FEWEST_EMPTY = 3  # rows at the end without losses that may hide NaN


class Curve(NamedTuple):
    """One column of a log, without the rows in which it was not logged."""

    name: str  # as its owner called it
    steps: np.ndarray  # (T,) float64: the step at which each value was logged, or its row
    values: np.ndarray  # (T,) float64

    def since(self, step: float) -> "Curve":
        return Curve(self.name, self.steps[self.steps >= step], self.values[self.steps >= step])


@dataclass
class Log:
    """A training log, sorted.

    Attributes:
        games: the curves of each game by role (see `roles.ROLES`). A log usually has one game, named "". Where it has
            several, as CycleGAN's has, each loss of D is judged together with the loss of its own G.
        others: the curves that play no part in the game, by name.
        notes: what was read as what, one sentence each.
        open: what the log leaves open, as `Diagnosis.open` has it.
    """

    games: dict[str, dict[str, Curve]] = field(default_factory=dict)
    others: dict[str, Curve] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    @property
    def curves(self) -> list[Curve]:
        return [*(curve for game in self.games.values() for curve in game.values()), *self.others.values()]


History = Log | Mapping[str, object] | Sequence[object] | PathLike[str] | str  # or a pandas frame


def read(history: History) -> Log:
    """Read a log from a dict of lists, a list of dicts, a pandas frame, or from files.

    Args:
        history: a `Log` is returned as it is. Files are .csv or .tsv (also as trackers export them), .json, .jsonl, the
            text that a training printed (.txt, .log), or TensorBoard event files or the folder that holds them; a list
            of them makes one log.

    Raises:
        BadInput: it cannot be read, or holds no numbers.
    """
    if isinstance(history, Log):
        return history
    notes: list[str] = []
    curves: dict[str, Curve] = {}
    for columns in tables.tables_of(history, notes):
        for name, curve in to_curves(columns, notes).items():
            curves.setdefault(name, curve)
    log = sort(curves)
    log.notes[:0] = notes
    return log


# --- from cells to numbers -------------------------------------------------------------------------------------------


class Column(NamedTuple):
    values: np.ndarray  # (T,) float64
    given: np.ndarray  # (T,) bool: False for empty cells


def to_curves(table: Mapping[str, object], notes: list[str]) -> dict[str, Curve]:
    """A curve for each column of numbers, and a note on those that hold none."""
    columns: dict[str, Column] = {}
    own_steps: dict[str, np.ndarray] = {}
    for name, cells in table.items():
        first, second = to_numbers(name, cells)
        if are_steps(first, second):
            columns[name], own_steps[name] = second, first.values
            notes.append(f"The entries of {name!r} are pairs of a step and a value.")
            continue
        columns[name] = first
        if second.given.sum() > len(second.given) / 2:
            columns[f"{name}, second value"] = second
            notes.append(f"The entries of {name!r} are pairs, such as (loss, accuracy): the first counts as the loss.")
    empty = [name for name, column in columns.items() if len(column.given) and not column.given.any()]
    if empty:
        notes.append(f"Without numbers, and passed over: {some(empty, MOST_NAMES)}.")
    counted = next((name for name, c in columns.items() if roles.is_step(name) and is_falling(c)), None)
    if counted is not None:  # the last step first
        columns = {name: Column(values[::-1], given[::-1]) for name, (values, given) in columns.items()}
        own_steps = {name: own[::-1] for name, own in own_steps.items()}
        notes.append(f"The rows were turned round, because {counted} falls.")
    steps = next((c.values for name, c in columns.items() if roles.is_step(name) and is_rising(c)), None)
    columns = with_nan_at_the_end(columns, notes)
    gaps = find_gaps({name: column for name, column in columns.items() if not roles.is_index(name)}, notes)
    curves = {}
    for name in gaps:
        values, given = columns[name]
        kept = given & ~gaps[name]
        if name not in empty:
            at = own_steps.get(name, steps)
            at = at if at is not None and len(at) == len(values) else np.arange(len(values), dtype=np.float64)
            curves[name] = Curve(name, at[kept], values[kept])
    return curves


def to_numbers(name: str, cells: object) -> tuple[Column, Column]:
    """The numbers of a column, and the second numbers of those that are pairs."""
    if hasattr(cells, "detach"):  # a tensor
        cells = cells.detach().cpu()
    if hasattr(cells, "tolist"):  # NumPy and pandas too
        cells = cells.tolist()
    if isinstance(cells, str) or not isinstance(cells, Iterable):
        raise BadInput(f"history[{name!r}] is not a series of numbers: give a list of floats, one for each step.")
    try:
        pairs = [to_pair(cell) for cell in cells]
        table = np.array([[np.nan if x is None else x for x in pair] for pair in pairs], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(
            f"history[{name!r}] is not a series of numbers ({error}): give a list of floats, one for each step."
        ) from None
    table = table.reshape(len(pairs), 2)
    given = np.array([[x is not None for x in pair] for pair in pairs], dtype=bool).reshape(len(pairs), 2)
    return Column(table[:, 0], given[:, 0]), Column(table[:, 1], given[:, 1])


NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\b(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
THOUSANDS = re.compile(r"\b\d{1,3}(?:,\d{3})+(?:\.\d+)?\b")
WINDOWS_NAN = re.compile(r"\d\.#(?:IND|QNAN|SNAN|INF)", re.IGNORECASE)
BEFORE_NUMBER = re.compile(
    r"(?:tf\.|np\.)?(?:tensor|array|float\d*)?[(\[\s]*", re.IGNORECASE
)  # as str() writes tensors, lists and pairs


def to_pair(cell: object) -> tuple[float | None, float | None]:
    """The number in a cell and the second one of a pair; None where there is none."""
    if hasattr(cell, "detach"):
        cell = cell.detach().cpu()
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if cell is None:
        return None, None
    if isinstance(cell, str):
        text = THOUSANDS.sub(lambda number: number[0].replace(",", ""), cell.strip())
        if WINDOWS_NAN.search(text):
            return (math.inf if "INF" in text.upper() else math.nan), None
        opening = BEFORE_NUMBER.match(text)
        start = opening.end() if opening else 0
        first = NUMBER.match(text, start)
        if first is None:
            return None, None
        second = NUMBER.search(text, first.end()) if text[0] in "([" else None
        return float(first[0]), float(second[0]) if second else None
    if isinstance(cell, list | tuple):
        if not 1 <= len(cell) <= 2:
            raise TypeError(f"an entry holds {len(cell)} values")
        return to_pair(cell[0])[0], to_pair(cell[1])[0] if len(cell) == 2 else None
    return float(cell), None  # type: ignore[arg-type]


def is_rising(column: Column) -> bool:
    """Does a column count steps? It has a number in every row, never falls, and stays for few rows at a time."""
    values = column.values
    counts = len(values) > 0 and np.isfinite(values).all() and (np.diff(values) >= 0).all()
    return bool(counts and 2 * len(np.unique(values)) >= len(values))


def are_steps(first: Column, second: Column) -> bool:
    """Are the first numbers of pairs the steps of the second ones? They are whole, and each is larger than the last."""
    values = first.values
    if len(values) < FEWEST_STEPS or not (first.given & second.given).all() or not np.isfinite(values).all():
        return False
    return bool((values == np.round(values)).all() and (np.diff(values) > 0).all())


def is_falling(column: Column) -> bool:
    values = column.values
    return bool(len(values) > 1 and np.isfinite(values).all() and (np.diff(values) < 0).all())


def with_nan_at_the_end(columns: dict[str, Column], notes: list[str]) -> dict[str, Column]:
    """The columns, with NaN in the empty cells that end all losses, where the rows go on without them.

    Pandas writes NaN as an empty cell, and JSON as null, so a training that broke down looks as if it had only stopped.
    It did stop where the log ends, or where something goes on that would be NaN too, such as a score, or that was not
    logged beside the losses. Empty rows at the end are normal up to twice the distance between two entries.
    """
    meanings = roles.meanings(name for name in columns if not roles.is_index(name))
    losses = [name for name, (role, _) in meanings.items() if role in LOSSES and columns[name].given.any()]
    rows = {len(columns[name].given) for name in losses}
    if len(rows) != 1:
        return columns
    logged = np.any([columns[name].given for name in losses], axis=0)
    places = np.flatnonzero(logged)
    end, between = int(places[-1]) + 1, int(np.diff(places, prepend=-1).max())
    later = {name: role for name, (role, _) in meanings.items() if columns[name].given[end:].any()}
    goes_on = any(roles.is_result(role) or 2 * (columns[name].given[:end] & logged[:end]).sum() < logged.sum()
                  for name, role in later.items())  # fmt: skip
    if goes_on or len(logged) - end < max(FEWEST_EMPTY, 2 * between):
        return columns
    notes.append(
        f"From row {end + 1} on, the cells of {some(losses, MOST_NAMES)} are empty, though the log goes on. They are "
        "read as NaN, which is often saved as an empty cell; if the training only ended there, leave these rows out."
    )
    at_the_end = np.arange(len(logged)) >= end
    return columns | {name: columns[name]._replace(given=columns[name].given | at_the_end) for name in losses}


def find_gaps(columns: Mapping[str, Column], notes: list[str]) -> dict[str, np.ndarray]:
    """Which NaN only say that a column was not logged in this row? (T,) bool for each column.

    Tables hold NaN where nothing was logged, so NaN alone is no news. A training that broke down has NaN in all its
    columns, up to the end: as long as the losses are finite, NaN in any other column is a gap.
    """
    gaps = gaps_beside_others(columns)
    others, end = before_the_break(columns, gaps)
    unlogged = {name: gaps[name] | (columns[name].given & np.isnan(columns[name].values)) for name in others}
    for name, nan in unlogged.items():
        nan[end:] = gaps[name][end:]
    if found := [name for name, nan in unlogged.items() if (nan & ~gaps[name]).any()]:
        notes.append(f"NaN in {some(found, MOST_NAMES)} counts as not logged where the losses are finite.")
    return gaps | unlogged


def gaps_beside_others(columns: Mapping[str, Column]) -> dict[str, np.ndarray]:
    """The NaN of each column (T,) that the table itself shows to be gaps.

    That is where another column has a value that it lacks in most of the rows in which this column has one, or where
    this column comes at intervals and goes on after the gap, or has not begun.
    """
    logged = {name: given & ~np.isnan(values) for name, (values, given) in columns.items()}
    gaps = {}
    for name, (values, given) in columns.items():
        own, nan = logged[name], given & np.isnan(values)
        before = np.arange(len(own)) < (np.flatnonzero(own)[0] if own.any() else 0)  # not logged yet
        gap = nan & (comes_at_intervals(nan, own) | before)
        if nan.any():
            for other in logged.values():
                if len(other) == len(own) and 2 * (other & own).sum() < own.sum():
                    gap |= nan & other
        gaps[name] = gap
    return gaps


def before_the_break(columns: Mapping[str, Column], gaps: Mapping[str, np.ndarray]) -> tuple[list[str], int]:
    """The columns that are no losses of the players, and the first row in which such a loss is not finite.

    Without any losses there are no such columns.
    """
    losses = {name for name, (role, _) in roles.meanings(columns).items() if role in LOSSES}
    broken = [np.flatnonzero(columns[name].given & ~gaps[name] & ~np.isfinite(columns[name].values)) for name in losses]
    end = min((int(rows[0]) for rows in broken if len(rows)), default=max(len(gap) for gap in gaps.values()))
    return [name for name in columns if losses and name not in losses], end


def comes_at_intervals(nan: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Where a column has NaN in a third of its rows or more, in several runs, and goes on: (T,) bool.

    The last run counts as well, unless it is longer than all others.
    """
    nothing = np.zeros_like(nan)
    if not own.any() or nan.mean() < 1 / 3:
        return nothing
    places = np.flatnonzero(own)
    between = np.diff(places) - 1  # lengths of the runs of NaN between two values
    if (between > 0).sum() < 3:
        return nothing
    inside = nothing.copy()
    inside[: places[-1] + 1 + between.max()] = True
    return inside if len(nan) - 1 - places[-1] <= between.max() else inside & (np.arange(len(nan)) <= places[-1])


# --- from names to roles ---------------------------------------------------------------------------------------------


def sort(curves: Mapping[str, Curve]) -> Log:
    """Give each curve its part in the game, and say which is which.

    Of several curves with the same part the adversarial one is taken, then the longest.
    """
    log = Log()
    read_as, others = [], []
    meanings = roles.meanings(curves)
    for name in sorted(curves, key=lambda name: (not roles.is_adversarial(name), -len(curves[name].values))):
        (role, game), curve = meanings[name], curves[name]
        if role not in roles.ROLES:
            log.others[name] = curve
            others.append(f"{name} ({role})" if role else name)
        elif role in log.games.setdefault(game, {}):
            log.others[name] = curve
            others.append(f"{name} (as {log.games[game][role].name} is)")
        else:
            log.games[game][role] = curve
            read_as.append(f"{name} as {roles.ROLES[role]}")
    add_halves(log)
    common = log.games.get("", {})
    for name, game in log.games.items():  # several Ds may have one G, and the other way round
        if name and {"d_loss", "g_loss"} & set(game):
            game.update({role: common[role] for role in ("d_loss", "g_loss") if role in common and role not in game})
    if read_as:
        log.notes.append(f"Read {some(read_as, MOST_NAMES)}.")
    present = {role for game in log.games.values() for role in game}
    if "g_loss" in present and not any(role.startswith("d_") for role in present):
        log.open.append("whether G or D wins, because D is not in this log: log D's loss as well")
    if others:
        log.notes.append(f"Searched for values that are not finite, but not judged: {some(others, MOST_NAMES)}.")
    return log


def add_halves(log: Log) -> None:
    """Where D's loss was logged as two halves only, for real images and for samples, their sum is D's loss."""
    for game in log.games.values():
        real, fake = game.get("d_loss_real"), game.get("d_loss_fake")
        if "d_loss" in game or real is None or fake is None or len(real.steps) != len(fake.steps):
            continue
        game["d_loss"] = Curve(f"{real.name} + {fake.name}", real.steps, real.values + fake.values)
        log.notes.append(f"D's loss is the sum of {real.name} and {fake.name}.")
