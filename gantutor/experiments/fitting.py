"""A row that trains anything but a GAN, until its multiply-adds are spent."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gantutor.data import Images
from gantutor.experiments import compute, material
from gantutor.experiments.experiment import BUDGETS, Budget, Device, Trace, only_on_cpu
from gantutor.state import Randomness


class Model(ABC):
    """What is trained: subclasses say how in `step`, and pass all that costs anything through `counted`.

    Args:
        images: the training images.
        seed: of everything random; `step` draws from torch's global stream.
    """

    finished = False  # whether further steps would change nothing

    def __init__(self, images: Images, seed: int):
        self.images, self.seed, self.compute = images, seed, 0.0
        self.costs: dict[str, float] = {}

    def counted(self, name: str, work: Callable[[], object]) -> None:
        """Do something that always costs the same, and add its multiply-adds."""
        if name in self.costs:
            work()
        else:
            self.costs[name] = compute.multiply_adds(work)
        self.compute += self.costs[name]

    @abstractmethod
    def step(self, done: float) -> None:
        """Train a little; `done` is the share of the multiply-adds that are spent, from 0 to 1."""

    def nets(self) -> dict[str, nn.Module]:
        """The nets by name."""
        return {}

    @abstractmethod
    def sample(self, n: int, seed: int) -> Tensor:
        """Images (n, C, H, W) in [-1, 1]."""


@dataclass(frozen=True)
class Fitting:
    """A model that is trained for so many multiply-adds and judged several times on its way.

    Attributes:
        model: (images, seed) -> the model.
        material: a name of `material.MATERIALS`, of images.
        compute: multiply-adds under the full budget.
        looks: how often it is judged; once if it is finished after its first step.
        shown: how many samples are kept.
    """

    model: Callable[[Images, int], Model]
    material: str
    compute: float
    looks: int = 10
    shown: int = 40

    def made(self, seed: int, budget: Budget) -> Model:
        examples = material.load(self.material, budget).examples
        assert isinstance(examples, Images)
        return self.model(examples, seed)

    def resolved(self) -> dict[str, Any]:
        nets = self.made(0, BUDGETS["tiny"]).nets()
        weights = {name: [list(weight.shape) for weight in net.parameters()] for name, net in nets.items()}
        return {**weights, "material": self.material, "compute": self.compute, "looks": self.looks}

    def cost(self, budget: Budget) -> float:
        return self.compute * budget.share

    def groups(self, seeds: Sequence[int]) -> list[list[int]]:
        return [[seed] for seed in seeds]

    def traces(self, seeds: Sequence[int], budget: Budget, device: Device = "cpu") -> Iterator[tuple[int, Trace]]:
        only_on_cpu(device)
        for seed in seeds:
            yield seed, self.trace(seed, budget)

    def trace(self, seed: int, budget: Budget) -> Trace:
        model, trace, steps, looked = self.made(seed, budget), Trace(), 0, 0
        score, randomness = material.load(self.material, budget).score, Randomness(seed, torch.device("cpu"))
        began = time.perf_counter()

        def done() -> float:
            return steps / 4 if budget.tiny else model.compute / (self.compute * budget.share)

        while done() < 1 and not model.finished:
            with randomness:
                model.step(done())
            steps += 1
            if (int(done() * self.looks) > looked and not budget.tiny) or done() >= 1 or model.finished:
                looked = int(done() * self.looks)
                trace.seconds += time.perf_counter() - began
                samples = model.sample(budget.samples, 1)
                price = compute.multiply_adds(lambda: model.sample(100, 1)) / 100
                trace.add(steps, model.compute, {**score(samples), "multiply-adds per sample": price})
                trace.samples = samples[: self.shown]
                began = time.perf_counter()
        return trace
