"""A row that trains a classifier and judges it several times on its way."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.experiments import compute
from gantutor.experiments.experiment import Budget, Device, Trace, only_on_cpu
from gantutor.metrics.classifier import Classifier
from gantutor.state import Randomness

Batch = tuple[Tensor, Tensor]  # images (B, 1, 28, 28) and their classes (B,)


@dataclass(frozen=True)
class Task:
    """What one seed of a row does.

    Attributes:
        classes: their names.
        draw: gives a batch, from torch's global stream.
        score: of the trained net.
        spent: multiply-adds before the first step, such as a generator's training.
    """

    classes: Sequence[str]
    draw: Callable[[], Batch]
    score: Callable[[Classifier], Mapping[str, float]]
    spent: float = 0.0


@dataclass(frozen=True)
class Classifying:
    """The judge's layers, trained by AdamW with one cycle of the learning rate.

    Attributes:
        prepare: (seed, budget) -> the task.
        about: the settings of the task, as plain values.
        steps: under the full budget.
        rate: the largest learning rate.
        looks: how often it is judged.
    """

    prepare: Callable[[int, Budget], Task]
    about: Mapping[str, Any]
    steps: int
    rate: float
    looks: int = 5

    def resolved(self) -> dict[str, Any]:
        return {**self.about, "steps": self.steps, "rate": self.rate, "looks": self.looks}

    def cost(self, budget: Budget) -> float:
        net = Classifier()
        x, y = torch.zeros(64, 1, 28, 28), torch.zeros(64, dtype=torch.int64)
        return budget.steps(self.steps) * compute.multiply_adds(lambda: F.cross_entropy(net(x), y).backward())

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        return [[seed] for seed in seeds]

    def traces(self, seeds: Sequence[int], budget: Budget, device: Device = "cpu") -> Iterator[tuple[int, Trace]]:
        only_on_cpu(device)
        for seed in seeds:
            yield seed, self.trace(seed, budget)

    def trace(self, seed: int, budget: Budget) -> Trace:
        task, steps, trace = self.prepare(seed, budget), budget.steps(self.steps), Trace()
        looks, randomness = budget.looks(steps, self.looks), Randomness(seed, torch.device("cpu"))
        with randomness:
            net = Classifier("", task.classes)
            optimizer = torch.optim.AdamW(net.parameters(), fused=True)
            rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.rate, total_steps=steps)

        def step() -> None:
            x, y = task.draw()
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            rates.step()

        began = time.perf_counter()
        with randomness:
            each = compute.multiply_adds(step)  # the first one
        for index in range(1, steps + 1):
            if index > 1:
                with randomness:
                    step()
            if index in looks:
                trace.seconds += time.perf_counter() - began
                trace.add(index, task.spent + index * each, task.score(net.eval()))
                net.train()
                began = time.perf_counter()
        return trace
