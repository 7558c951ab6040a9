"""A row that trains a GAN: nets, a recipe, and looks at equal distances."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from gantutor.experiments import compute, material
from gantutor.experiments.experiment import BUDGETS, Budget, Device, Trace
from gantutor.scale import Ensemble
from gantutor.train import Recipe, Run

Pair = tuple[nn.Module, nn.Module]
DEFAULT = Recipe()
PLAIN = Recipe(lr_g=1e-3, lr_d=1e-3, betas=(0.0, 0.99), penalty=None, ema_decay=0.0, decay_from=1.0)  # lesson 00's


@dataclass(frozen=True)
class Training:
    """A GAN that is trained for a number of steps and judged several times on its way, always by its averaged G.

    Attributes:
        nets: seed -> (G, D).
        material: a name of `material.MATERIALS`.
        recipe: how it is trained.
        steps: under the full budget.
        looks: how often it is judged.
        together: train all seeds in one `Ensemble`, which saves time where the nets are small.
        game: a subclass of `Run`, for what no recipe says.
        shown: how many samples are kept.
        film: keep the first ten samples of each look, and not only those of the last one.
    """

    nets: Callable[[int], Pair]
    material: str
    recipe: Recipe = DEFAULT
    steps: int = 1000
    looks: int = 10
    together: bool = False
    game: type[Run] = Run
    shown: int = 40
    film: bool = False

    def resolved(self) -> dict[str, Any]:
        recipe = {field.name: getattr(self.recipe, field.name) for field in fields(self.recipe)}
        recipe["loss"] = self.recipe.loss.name
        recipe["penalty"] = self.recipe.penalty and self.recipe.penalty.__name__
        recipe["betas"] = list(self.recipe.betas)
        weights = {
            name: [list(w.shape) for w in net.parameters()] for name, net in zip("GD", self.nets(0), strict=True)
        }
        return {**weights, "material": self.material, "recipe": recipe, "steps": self.steps, "looks": self.looks}

    def cost(self, budget: Budget) -> float:
        return budget.steps(self.steps) * self.of_a_step()

    def of_a_step(self) -> float:
        """The multiply-adds of a step of one seed."""
        return counted(replace(self, together=False, steps=1))

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        return [list(seeds)] if self.together else [[seed] for seed in seeds]

    def run(self, seeds: Sequence[int], budget: Budget, device: Device = "cpu") -> Run:
        examples = material.load(self.material, budget).examples
        pairs = [self.nets(1000 * seed) for seed in seeds]  # far apart, because G and D take neighbouring seeds
        if self.together:
            return Ensemble(pairs, examples, self.recipe, seeds=seeds, device=device)
        return self.game(*pairs[0], examples, self.recipe, seed=seeds[0], device=device)

    def further(self, run: Run, budget: Budget) -> Mapping[str, float]:
        """Scores beside those of the samples, of a run that trains alone."""
        return {}

    def traces(self, seeds: Sequence[int], budget: Budget, device: Device = "cpu") -> Iterator[tuple[int, Trace]]:
        each, run = self.of_a_step(), self.run(seeds, budget, device)
        score, steps = material.load(self.material, budget).score, budget.steps(self.steps)
        looks, traces = set(budget.looks(steps, self.looks)), [Trace() for _ in seeds]
        losses, began, seconds = Means(), time.perf_counter(), 0.0
        for step in run.steps(steps):
            losses.add(d_loss=step.d_loss, g_loss=step.g_loss)
            if step.index not in looks:
                continue
            means = losses.take()  # waits for the device
            seconds += time.perf_counter() - began
            for i, (trace, samples) in enumerate(zip(traces, samples_of(run, budget.samples), strict=True)):
                scores = {**score(samples), **self.further(run, budget)} if torch.isfinite(samples).all() else {}
                trace.add(step.index, step.index * each, {**scores, **{k: v[i] for k, v in means.items()}})
                before = [trace.samples] if self.film and trace.samples is not None else []
                trace.samples = torch.cat([*before, samples[: 10 if self.film else self.shown]])
                trace.seconds = seconds / len(traces)
            began = time.perf_counter()
        yield from zip(seeds, traces, strict=True)


class Means:
    """Means of losses since they were taken last, each (S,) for the S members that train together."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, **losses: Tensor) -> None:
        self.sums = {name: self.sums.get(name, 0) + loss for name, loss in losses.items()}
        self.count += 1

    def take(self) -> dict[str, list[float]]:
        means = {name: (total / self.count).reshape(-1).tolist() for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


def samples_of(run: Run, n: int) -> Tensor:
    """Samples of each member (S, n, *shape), on the CPU, always from the same latents."""
    samples = run.sample(n, seed=1).cpu()
    return samples if run.members else samples.unsqueeze(0)


@cache
def counted(training: Training) -> float:
    return compute.of_a_step(training.run([0], BUDGETS["tiny"]))


def with_equal_compute(base: str, rows: Mapping[str, Training]) -> dict[str, Training]:
    """The rows, each with as many steps as the multiply-adds of the row `base` allow."""
    whole = rows[base].steps * rows[base].of_a_step()
    return {name: replace(row, steps=round(whole / row.of_a_step())) for name, row in rows.items()}
