"""Symptoms as numbers: what is measured on one side of an exhibit after its run."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gantutor import metrics
from gantutor.data import Images
from gantutor.doctor import measures
from gantutor.metrics import classifier
from gantutor.museum.settings import Side

Measure = Callable[[Side, Images], float]


@dataclass(frozen=True)
class Symptom:
    """What is measured on a side after its run, and where it lies when all is well.

    Attributes:
        name: what it is.
        of: (side, real images) -> number.
        low, high: bounds when all is well.
    """

    name: str
    of: Measure
    low: float = -math.inf
    high: float = math.inf

    def well(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def bounds(self) -> str:
        """In words; empty where there are none."""
        low = [f"at least {self.low:g}"] * (self.low > -math.inf)
        return " and ".join(low + [f"at most {self.high:g}"] * (self.high < math.inf))


def late(name: str) -> Measure:
    """The mean of a curve over its last quarter."""
    return lambda side, real: _last_quarter(side, name).mean().item()


def lowest(name: str) -> Measure:
    """The lowest point of a curve."""
    return lambda side, real: min(side.history[name])


def gap(side: Side, real: Images) -> float:
    """How far D's mean logit of real images lies above that of generated ones, over the last quarter."""
    return (_last_quarter(side, "d_real") - _last_quarter(side, "d_fake")).mean().item()


def variety(side: Side, real: Images) -> float:
    """Variance of the samples, over that of real images."""
    return measures.thumbnail_variance(side.samples) / measures.thumbnail_variance(real.pixels[: len(side.samples)])


def brightness(side: Side, real: Images) -> float:
    """Mean pixel of the samples, from -1, black, to 1, white."""
    return side.samples.mean().item()


def outside(side: Side, real: Images) -> float:
    """Share of the samples' pixels that lie outside [-1, 1] by more than 0.05."""
    return (side.samples.abs() > 1.05).double().mean().item()


def finite(side: Side, real: Images) -> float:
    """Share of the samples' pixels that are finite numbers."""
    return side.samples.isfinite().double().mean().item()


def distance(side: Side, real: Images) -> float:
    """Fréchet distance of the samples to twice as many real images, in the features of the shipped judge."""
    known, samples = classifier.load(real.name), side.samples.clamp(-1, 1)
    reference = classifier.features_and_logits(known, real.pixels[: 2 * len(samples)])[0]  # (2n, d)
    return metrics.score(lambda n: samples, known, reference, len(samples))


def obeyed(side: Side, real: Images) -> float:
    """Share of the samples that the shipped judge takes for the class that was asked for, the classes in turn."""
    seen = classifier.features_and_logits(classifier.load(real.name), side.samples.clamp(-1, 1))[1].argmax(1)
    return (seen.cpu() == torch.arange(len(seen)) % len(real.classes)).double().mean().item()


VARIETY = Symptom("variance of the samples, over that of real images", variety, low=0.45)
FINITE = Symptom("share of finite pixels", finite, low=1.0)
DISTANCE = Symptom("Fréchet distance to real images, in the judge's features", distance)


def _last_quarter(side: Side, name: str) -> Tensor:
    values = torch.tensor(side.history[name], dtype=torch.float64)
    return values[-max(1, len(values) // 4) :]
