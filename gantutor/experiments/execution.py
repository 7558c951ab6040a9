"""Make a record: train every row with every seed, and save after each.

Whatever the record has already is not done again, so that a measurement that was broken off goes on where it was. Rows
whose settings have changed since are measured anew.
"""

import datetime
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch

from gantutor import __version__
from gantutor.errors import BadInput, unknown, whole_number
from gantutor.experiments import catalogue, record, speedrun
from gantutor.experiments.experiment import BUDGETS, Budget, Device, Experiment, Row, Trace


class Task(NamedTuple):
    """Seeds of a row that are trained together."""

    row: str
    seeds: tuple[int, ...]


class Progress(NamedTuple):
    """What has been done when a task ends."""

    task: Task
    traces: Mapping[int, Trace]
    done: float  # share of all multiply-adds of this measurement, from 0 to 1


def perform(
    name: str,
    where: str | PathLike,
    *,
    seeds: Sequence[int] | None = None,
    rows: Sequence[str] | None = None,
    budget: str = "full",
    device: Device = "cpu",
    jobs: int = 1,
    report: Callable[[Progress], object] = lambda progress: None,
) -> record.Record:
    """Measure what a record lacks.

    Args:
        name: of the experiment.
        where: the folder of the record, which is made or completed.
        seeds, rows: only these; None means all.
        budget: a name of `BUDGETS`.
        jobs: how many processes train at the same time, each with its share of the cores.
        report: called after each task.

    Raises:
        BadInput: a name is unknown, or the record has another budget.
    """
    experiment = catalogue.find(name)
    name, where = name.replace("-", "_"), Path(where)
    every = experiment.rows()
    if seeds is not None:
        experiment = replace(experiment, seeds=sorted({*experiment.seeds, *seeds}))
    plain = continued(name, experiment, every, budget, where)
    for row in rows or ():
        if row not in every:
            raise unknown("row", row, every)
    chosen = {row: every[row] for row in rows} if rows is not None else every
    tasks = tasks_left(plain, chosen, experiment.seeds if seeds is None else seeds)
    costs = {row: chosen[row].cost(BUDGETS[budget]) for row in {task.row for task in tasks}}
    whole, done = sum(costs[task.row] * len(task.seeds) for task in tasks), 0.0
    for task, traces in finished(name, tasks, BUDGETS[budget], device, jobs):
        for seed, trace in traces.items():
            record.add(plain, task.row, every[task.row], seed, trace)
            if trace.samples is not None and trace.samples.ndim == 4 and seed == min(experiment.seeds):
                record.write_sheet(trace.samples, record.sheet_of(name, task.row, where))
        plain["made"] = made(device)
        record.write(plain, where)
        done += costs[task.row] * len(task.seeds)
        report(Progress(task, traces, done / whole))
    return record.load(name, where)


def continued(name: str, experiment: Experiment, rows: Mapping[str, Row], budget: str, where: Path) -> dict[str, Any]:
    """The record so far as plain values, without the rows that are out of date."""
    plain = record.begin(name, experiment, rows, budget)
    if experiment.source and not BUDGETS[budget].tiny:
        plain["source"] = experiment.source()
    if (where / f"{name}.json").is_file():
        before = record.read(name, where)
        if before["budget"] != budget:
            path = where / f"{name}.json"
            raise BadInput(f"{path} has the budget {before['budget']!r}, not {budget!r}: choose another folder.")
        then, now = before.get("source"), plain.get("source")
        if then != now:
            raise BadInput(
                f"{where / name}.json was measured on {then}, and not on {now}: give the same pictures, or another "
                "--folder for the record."
            )
        plain |= {"made": before["made"], "rows": before["rows"]}
        plain["all seeds"] = sorted({*plain["all seeds"], *before["all seeds"]})
        for row in record.stale(plain, rows):
            del plain["rows"][row]
    return plain


def tasks_left(plain: Mapping[str, Any], rows: Mapping[str, Row], seeds: Sequence[int]) -> list[Task]:
    """Seed by seed and not row by row, so that a part of the measurement compares all rows."""
    left = []
    for name, row in rows.items():
        lacking = [whole_number("the seed", seed) for seed in seeds if not record.has(plain, name, seed)]
        left += [Task(name, tuple(group)) for group in row.groups(lacking) if group]
    return sorted(left, key=lambda task: task.seeds)


def finished(
    name: str, tasks: Sequence[Task], budget: Budget, device: Device, jobs: int
) -> Iterator[tuple[Task, dict[int, Trace]]]:
    """The tasks with what they gave, in the order in which they end."""
    if whole_number("jobs", jobs, least=1) == 1:
        yield from ((task, work(name, task, budget, device)) for task in tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:
        running: dict[Future, Task] = {pool.submit(work, name, task, budget, device): task for task in tasks}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def work(name: str, task: Task, budget: Budget, device: Device) -> dict[int, Trace]:
    return dict(catalogue.find(name).rows()[task.row].traces(task.seeds, budget, device))


def made(device: Device) -> dict[str, str]:
    return {
        "date": datetime.date.today().isoformat(),
        "computer": speedrun.describe_computer(device),
        "versions": f"gantutor {__version__}, torch {torch.__version__}",
    }
