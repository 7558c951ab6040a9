"""What an experiment is: a question, and rows that differ in one factor, each measured with several seeds::

    for name, row in experiment.rows().items():
        for group in row.groups(experiment.seeds):
            for seed, trace in row.traces(group, BUDGETS["quick"]):
                print(name, seed, trace.values["frechet"])

`execution.perform` does that and keeps a record.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gantutor.errors import BadInput

Device = str | torch.device


class Budget(NamedTuple):
    """How much is spent on a row."""

    name: str
    share: float  # of the steps of the full budget
    samples: int  # examples that are judged at each look
    tiny: bool = False  # a few steps on drawn data: for tests, and for the fingerprint of a record

    def steps(self, full: int) -> int:
        return min(full, 4) if self.tiny else max(1, round(self.share * full))

    def looks(self, steps: int, count: int) -> list[int]:
        """The steps after which samples are judged: `count` of them at equal distances, the last one at the end."""
        count = 1 if self.tiny else min(count, steps)
        return [round(steps * i / count) for i in range(1, count + 1)]


BUDGETS = {b.name: b for b in (Budget("full", 1, 5000), Budget("quick", 0.05, 2000), Budget("tiny", 0, 200, True))}


@dataclass(eq=False)
class Trace:
    """What one seed of a row gave, look by look."""

    steps: list[int] = field(default_factory=list)
    compute: list[float] = field(default_factory=list)  # multiply-adds of the training so far
    values: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    samples: Tensor | None = None  # a few, at the end: images (n, C, H, W) in [-1, 1], or points (n, 2)

    def add(self, step: int, compute: float, values: Mapping[str, float]) -> None:
        self.steps.append(step)
        self.compute.append(compute)
        for name in {**self.values, **values}:  # a score that is missing at a look is NaN there
            line = self.values.setdefault(name, [math.nan] * (len(self.steps) - 1))
            line.append(float(values.get(name, math.nan)))


class Row(Protocol):
    """One row of an experiment: something that is trained and judged."""

    def resolved(self) -> dict[str, Any]:
        """What fixes the row, as plain values without the names of code: other values make it another row."""

    def cost(self, budget: Budget) -> float:
        """The multiply-adds of one seed."""

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        """Which seeds are trained together: each alone, or all in one ensemble."""

    def traces(self, seeds: Sequence[int], budget: Budget, device: Device = "cpu") -> Iterator[tuple[int, Trace]]:
        """The seeds of a group, trained and judged.

        Raises:
            BadInput: the row cannot be trained on this device.
        """


def only_on_cpu(device: Device) -> None:
    """For rows that are trained nowhere else. Raises `BadInput` for any other device."""
    if torch.device(device).type != "cpu":
        raise BadInput(f"the device is {device}, but this experiment is measured on the CPU: leave out --device.")


@dataclass(frozen=True)
class Experiment:
    """A question and how it is answered.

    Attributes:
        question: in one sentence.
        rows: gives the rows by name. They are made when they are asked for, because nets may be large.
        base: the row that the others are compared with.
        seeds: at least five where rows are compared.
        source: says what was brought along to train on, where that is not the package's own. A record goes on with
            nothing else. Raises `BadInput` if there is none, or too little.
        summary: what a complete record (`record.Record`) says, as the command prints it.
    """

    question: str
    rows: Callable[[], Mapping[str, Row]]
    base: str
    seeds: Sequence[int] = range(5)
    source: Callable[[], str] | None = None
    summary: Callable[[Any], str] | None = None
