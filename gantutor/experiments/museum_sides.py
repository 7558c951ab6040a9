"""The museum: does each sound side draw digits, and what does each broken side draw, after equal steps?"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gantutor.data import Images
from gantutor.experiments import compute, material
from gantutor.experiments.experiment import BUDGETS, Budget, Device, Experiment, Row, Trace, only_on_cpu
from gantutor.museum import catalogue
from gantutor.museum.exhibits import hold_out
from gantutor.museum.settings import Parts
from gantutor.train import Run

STEPS = 500
LONGER = {"log-of-sigmoid", "saturating", "two-sided-smoothing", "smoothing-no-op"}  # their D learns too fast at first
POINTS_OR_METRICS = {"seven-of-eight", "mean-over-all-axes", "precision-recall-exchanged"}  # nothing to see in digits


@dataclass(frozen=True)
class ExhibitSide:
    """One side of an exhibit, trained on MNIST and drawn as the exhibit draws.

    Attributes:
        exhibit: its id.
        version: "broken" or "sound".
        steps: under the full budget, the same for both sides.
        looks: how often it is judged.
    """

    exhibit: str
    version: str
    steps: int = STEPS
    looks: int = 4

    def parts(self, budget: Budget) -> Parts:
        exhibit = catalogue.exhibit(self.exhibit)
        return exhibit.parts(getattr(exhibit, self.version), shown_images(budget))

    def resolved(self) -> dict[str, Any]:
        return {"exhibit": self.exhibit, "version": self.version, "steps": self.steps, "looks": self.looks}

    def of_a_step(self) -> float:
        return compute.of_a_step(self.parts(BUDGETS["tiny"]).run(0))

    def cost(self, budget: Budget) -> float:
        return budget.steps(self.steps) * self.of_a_step()

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        return [[seed] for seed in seeds]

    def traces(self, seeds: Sequence[int], budget: Budget, device: Device = "cpu") -> Iterator[tuple[int, Trace]]:
        only_on_cpu(device)
        each, score = self.of_a_step(), material.load("mnist", budget).score
        for seed in seeds:
            parts, trace = self.parts(budget), Trace()
            run, steps = parts.run(seed), budget.steps(self.steps)
            looks, began = budget.looks(steps, self.looks), time.perf_counter()
            for step in run.steps(steps):
                if step.index not in looks:
                    continue
                trace.seconds += time.perf_counter() - began
                samples = drawn(parts, run, budget.samples)
                usable = samples.shape[1:] == (1, 28, 28) and bool(torch.isfinite(samples).all())
                losses = {"d_loss": step.d_loss.item(), "g_loss": step.g_loss.item()}
                trace.add(step.index, step.index * each, {**(in_short(score(samples)) if usable else {}), **losses})
                trace.samples = samples[:20] if usable else None
                began = time.perf_counter()
            yield seed, trace


def in_short(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores, with the number of classes that have a hundredth of the samples or more in the place of their shares,
    which for so many rows would make a large file.
    """
    shares = [share for name, share in scores.items() if name.startswith("class ")]
    others = {name: value for name, value in scores.items() if not name.startswith("class ")}
    return {**others, "classes": float(sum(share >= 0.01 for share in shares))}


@cache
def shown_images(budget: Budget) -> Images:
    images = material.load("mnist", budget).examples
    assert isinstance(images, Images)
    return hold_out(images)[0]  # as `Exhibit.run` does


def drawn(parts: Parts, run: Run, n: int) -> Tensor:
    """Samples as the exhibit draws them, within [-1, 1]."""
    return parts.draw(run, n).detach().float().clamp(-1, 1)


def rows() -> dict[str, Row]:
    exhibits = [name for name in catalogue.CATALOGUE if name not in POINTS_OR_METRICS]
    return {
        f"{name}, {version}": ExhibitSide(name, version, 3 * STEPS if name in LONGER else STEPS)
        for name in exhibits
        for version in ("sound", "broken")
    }


EXPERIMENT = Experiment(
    question="Does each sound side of the museum draw digits, and what does its broken side draw after as many steps?",
    rows=rows,
    base="double-sigmoid, sound",
    seeds=range(3),  # a check and not a comparison
)
