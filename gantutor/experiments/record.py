"""A record: what an experiment has found, in a file that one command makes again.

`data/experiments/NAME.json` holds it, and pictures of samples lie beside it as NAME.ROW.png. A record is filled seed by
seed, so it may be incomplete: `missing` says what it lacks, and `stale` which rows would be measured otherwise now.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from gantutor.errors import BadInput, unknown
from gantutor.experiments import comparison
from gantutor.experiments.experiment import BUDGETS, Experiment, Row, Trace
from gantutor.files import ROOT, replacing

FORMAT = 1
SMOOTH = ("d_loss", "g_loss", "frechet")  # scores that another machine changes by its rounding alone


@dataclass(frozen=True, eq=False)
class Curves:
    """A row of a record.

    Attributes:
        steps: (L,) training steps at each look.
        compute: (L,) multiply-adds at each look.
        seeds: those that are measured, in ascending order.
        values: by score (S, L); NaN where a run had diverged.
        seconds: (S,) of training, judging excluded; of machines and loads that may differ.
        points: (n, 2) some samples of the first seed, where they are points.
    """

    steps: np.ndarray
    compute: np.ndarray
    seeds: tuple[int, ...]
    values: Mapping[str, np.ndarray]
    seconds: np.ndarray
    points: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Record:
    """What an experiment has found so far. `load` gives it.

    Attributes:
        name, question, base, budget: of the experiment.
        rows: by name, those of which at least one seed is measured.
        made: versions, computer and date of the last measurement.
        missing: (row, seed) that are not measured yet.
        sheets: by row, the PNG with samples of the first seed, where they are images.
    """

    name: str
    question: str
    base: str
    budget: str
    rows: Mapping[str, Curves]
    made: Mapping[str, str]
    missing: tuple[tuple[str, int], ...]
    sheets: Mapping[str, Path]

    def at(self, score: str, compute: float | None = None) -> dict[str, np.ndarray]:
        """One value for each seed, by row: at the end, or at so many multiply-adds, between two looks on a line.

        Raises:
            BadInput: no row has this score, or one was not judged at so many multiply-adds.
        """
        found = {name: row for name, row in self.rows.items() if score in row.values}
        if not found:
            raise unknown("score", score, sorted({name for row in self.rows.values() for name in row.values}))
        if compute is None:
            return {name: row.values[score][:, -1] for name, row in found.items()}
        for name, row in found.items():
            first, last = row.compute[0], row.compute[-1]
            if not first <= compute <= last:
                raise BadInput(f"compute is {compute:g}, but {name!r} was judged between {first:g} and {last:g}.")
        return {
            name: np.array([np.interp(compute, row.compute, line) for line in row.values[score]])
            for name, row in found.items()
        }

    def compare(self, score: str, compute: float | None = None) -> dict[str, comparison.Difference]:
        """Each row minus the base: difference, Welch's interval, and p corrected for the number of rows."""
        return comparison.compare_all(self.at(score, compute), self.base)


def folder() -> Path:
    """Where the package's own records are: among its assets in a wheel, in `data` in a checkout."""
    packed = ROOT / "gantutor" / "assets" / "experiments"
    return packed if packed.is_dir() else ROOT / "data" / "experiments"


def names(where: str | PathLike | None = None) -> list[str]:
    """The names of the records in a folder, by default the package's own."""
    return sorted(path.stem for path in Path(where or folder()).glob("*.json"))


def load(name: str, where: str | PathLike | None = None) -> Record:
    """A record by the name of its experiment, from a folder, by default that of the package's own.

    Raises:
        BadInput: there is none, or its file is damaged.
    """
    plain = read(name, where)
    rows = {row: curves_of(saved) for row, saved in plain["rows"].items()}
    missing = [(row, seed) for row in plain["all rows"] for seed in plain["all seeds"] if not has(plain, row, seed)]
    made = MappingProxyType(plain["made"])
    sheets = {row: path for row in rows if (path := sheet_of(name, row, Path(where or folder()))).is_file()}
    return Record(plain["name"], plain["question"], plain["base"], plain["budget"], MappingProxyType(rows), made,
                  tuple(missing), MappingProxyType(sheets))  # fmt: skip


def read(name: str, where: str | PathLike | None = None) -> dict[str, Any]:
    """A record as plain values."""
    path = Path(where or folder()) / f"{name}.json"
    if not path.is_file():
        if names(where):
            raise unknown("record", name, names(where))
        raise BadInput(f"there are no records in {path.parent}: run gantutor experiment {name}.")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise BadInput(f"{path} is no record, or damaged: restore it, or run the experiment again.") from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise BadInput(f"{path} is not a record of format {FORMAT}: run the experiment again.")
    return plain


def curves_of(saved: Mapping[str, Any]) -> Curves:
    seeds = sorted(map(int, saved["seeds"]))
    found = [saved["seeds"][str(seed)] for seed in seeds]
    nothing = [None] * len(saved["steps"])  # of a seed that had diverged before its first look
    names = dict.fromkeys(name for seed in found for name in seed["values"])
    scores = {name: np.array([decoded(seed["values"].get(name, nothing)) for seed in found]) for name in names}
    points = saved.get("points")
    return Curves(
        np.array(saved["steps"]), np.array(saved["compute"]), tuple(seeds), MappingProxyType(scores),
        np.array([seed["seconds"] for seed in found]), None if points is None else np.reshape(points, (-1, 2)),
    )  # fmt: skip


def decoded(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


# --- what a record is filled with ------------------------------------------------------------------------------------


def begin(name: str, experiment: Experiment, rows: Mapping[str, Row], budget: str) -> dict[str, Any]:
    return {
        "format": FORMAT, "name": name, "question": experiment.question, "base": experiment.base, "budget": budget,
        "all rows": list(rows), "all seeds": list(experiment.seeds), "made": {}, "rows": {},
    }  # fmt: skip


def has(plain: Mapping[str, Any], row: str, seed: int) -> bool:
    return str(seed) in plain["rows"].get(row, {"seeds": {}})["seeds"]


def add(plain: dict[str, Any], name: str, row: Row, seed: int, trace: Trace) -> None:
    """Put a seed of a row into a record."""
    if name not in plain["rows"]:
        fresh = {"resolved": row.resolved(), "tiny": tiny(row), "steps": trace.steps, "seeds": {}}
        plain["rows"][name] = {**fresh, "compute": [significant(c) for c in trace.compute]}
    values = {score: [significant(v, 3) for v in line] for score, line in trace.values.items()}
    saved = plain["rows"][name]
    saved["seeds"][str(seed)] = {"seconds": significant(trace.seconds), "values": values}
    if trace.samples is not None and trace.samples.ndim == 2 and "points" not in saved:
        saved["points"] = [significant(x, 3) for x in trace.samples.flatten().tolist()]


def significant(value: float, digits: int = 4) -> float | int | None:
    """Rounded, as JSON has it: None for what is not finite."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) else rounded


def write(plain: Mapping[str, Any], where: Path) -> None:
    """Write a record, each list of numbers on a line of its own."""
    text = json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False)
    text = re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text)  # a list of numbers on one line
    with replacing(where / f"{plain['name']}.json") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def sheet_of(name: str, row: str, where: Path) -> Path:
    """Where the picture of a row's samples lies."""
    return where / f"{name}.{re.sub(r'[^A-Za-z0-9.]+', '-', row)}.png"


def write_sheet(samples: Tensor, path: Path, columns: int = 10) -> None:
    """Write images (n, C, H, W) in [-1, 1] as one PNG, row by row. `show` has such grids too, but is a room above.

    Each channel keeps sixteen levels, which halves the file and is as much as a sheet of small samples shows.
    """
    from PIL import Image

    n, C, H, W = samples.shape
    lines = n // columns
    sheet = ((samples[: lines * columns] + 1) * 7.5).round().clamp(0, 15).byte() * 17
    sheet = sheet.reshape(lines, columns, C, H, W).permute(0, 3, 1, 4, 2).reshape(lines * H, columns * W, C)
    picture = Image.fromarray(sheet.numpy().squeeze())
    with replacing(path) as temporary:
        picture.save(temporary, "PNG", optimize=True)


# --- is a record still what would be measured? -----------------------------------------------------------------------


def tiny(row: Row) -> dict[str, float | int | None]:
    """The numbers of a tiny run: what the row computes, whatever its code is called."""
    ((_, trace),) = row.traces([0], BUDGETS["tiny"])
    return {name: significant(line[-1], 6) for name, line in trace.values.items()}


def stale(plain: Mapping[str, Any], rows: Mapping[str, Row]) -> dict[str, str]:
    """Why a row of a record is not what would be measured now, by row; those that are up to date are left out."""
    reasons = {}
    for name, saved in plain["rows"].items():
        if name not in rows:
            reasons[name] = "the experiment no longer has it"
        elif changed := changed_settings(saved["resolved"], json.loads(json.dumps(rows[name].resolved()))):
            reasons[name] = f"it had other settings: {changed}"
        elif changed := changed_numbers(saved["tiny"], tiny(rows[name])):
            reasons[name] = f"a tiny run gives other numbers: {changed}"
    return reasons


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = {**before, **now}
    return listed(before, now, [name for name in names if before.get(name) != now.get(name)])


def changed_numbers(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = {**before, **now}
    return listed(before, now, [name for name in names if not nearly(name, before.get(name), now.get(name))])


def listed(before: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {before.get(name)} → {now.get(name)}" for name in names)


def nearly(score: str, before: float | None, now: float | None) -> bool:
    """Whether two numbers, or None for what is not finite, agree up to what another machine changes.

    Scores that count may change by a few of the 200 samples of a tiny run.
    """
    if before is None or now is None:
        return before is now
    tolerance = {"rel_tol": 5e-4} if score in SMOOTH else {"rel_tol": 0.02, "abs_tol": 0.02}
    return math.isclose(before, now, **tolerance)
