"""`gantutor experiment`: list the experiments, or make the record of one."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gantutor.cli.common import Parser, capital, check_counts, choose_device
from gantutor.cli.progress import clock
from gantutor.errors import BadInput

if TYPE_CHECKING:
    from gantutor.experiments.execution import Progress


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "measure again what the course concludes: train every row of an experiment with several seeds"
    command = add(
        help=text,
        description=f"{capital(text)}. The record is saved after each seed; a measurement that was broken off goes on "
        "where it was, and rows whose settings have changed are measured anew.",
    )
    command.add_argument("name", metavar="NAME", nargs="?", help="the name of an experiment; without it, list them")
    command.add_argument(
        "--seeds", type=seeds, metavar="A-B", help="for example 0-4; by default those of the experiment"
    )
    command.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows; by default all")
    command.add_argument("--budget", default="full", help="full (default), or quick: a twentieth of the steps")
    command.add_argument("--device", default="cpu", help="as in train")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="train so many at the same time (default 1)")
    command.add_argument("--pictures", metavar="FOLDER", help="what small_data trains on; or set GANTUTOR_PICTURES")
    command.add_argument("--folder", type=Path, metavar="DIR",
                         help="where the record is made or completed: by default data/experiments of this checkout "
                         "with the full budget, and otherwise experiments/")  # fmt: skip


def seeds(text: str) -> list[int]:
    """ "0-4" or "3" or "0,2,5" -> the seeds."""
    parts = [part.partition("-") for part in text.split(",")]
    if not all(a.isdecimal() and (b.isdecimal() if dash else not b) for a, dash, b in parts):
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds: give a range such as 0-4")
    found = sorted({seed for a, _, b in parts for seed in range(int(a), int(b or a) + 1)})
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds: give the lower one first")
    return found


def run(args: argparse.Namespace) -> int:
    check_counts(args, "jobs")

    from gantutor.experiments import catalogue, execution, material, record
    from gantutor.experiments.experiment import BUDGETS

    if args.name is None:
        for name in catalogue.NAMES:
            print(listed(name))
        return 0
    if args.pictures:
        os.environ[material.PICTURES] = str(Path(args.pictures).expanduser().resolve())
    experiment, name = catalogue.find(args.name), args.name.replace("-", "_")
    if args.budget not in BUDGETS:
        raise BadInput(f"--budget is {args.budget!r}: choose full or quick.")
    folder = args.folder or (record.folder() if args.budget == "full" else Path("experiments"))
    print(f"{name}: {experiment.question}\nThe record: {folder / name}.json")
    found = execution.perform(name, folder, seeds=args.seeds, rows=args.rows, budget=args.budget,
                              device=choose_device(args.device), jobs=args.jobs, report=Line())  # fmt: skip
    print(f"{len(found.missing)} of its seeds are missing." if found.missing else "The record is complete.")
    if experiment.summary and not found.missing:
        print(experiment.summary(found))
    return 0


def listed(name: str) -> str:
    """An experiment's line in the list: name, question, and what it costs."""
    from gantutor.experiments import catalogue
    from gantutor.experiments.experiment import BUDGETS

    experiment = catalogue.find(name)
    rows = experiment.rows()
    cost = sum(row.cost(BUDGETS["full"]) for row in rows.values()) * len(experiment.seeds)
    size = f"{len(rows)} rows, {len(experiment.seeds)} seeds, {cost / 1e12:,.0f} · 10¹² multiply-adds"
    return f"{name}\n    {experiment.question}\n    {size}"


class Line:
    """Prints a line after each task, with the time that is left at the pace so far."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def __call__(self, progress: "Progress") -> None:
        spent = time.perf_counter() - self.began
        left = spent * (1 - progress.done) / progress.done
        last = next(iter(progress.traces.values())).values
        scores = "  ".join(f"{name} {line[-1]:.3g}" for name, line in list(last.items())[:3])
        seeds, times = ", ".join(map(str, progress.task.seeds)), f"{clock(spent)} spent, {clock(left)} left"
        print(
            f"{progress.done:4.0%}  {progress.task.row}, seed {seeds}: {scores}  {times}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
