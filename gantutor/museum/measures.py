"""Symptoms as numbers, measured on one version of an exhibit after its run."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gantutor import metrics
from gantutor.data import Images
from gantutor.doctor import measures
from gantutor.metrics import classifier
from gantutor.museum.settings import LateG, Side

Measure = Callable[[Side, Images], float]


@dataclass(frozen=True)
class Symptom:
    """What is measured after a run, and the range of healthy values.

    Attributes:
        name: what is measured, in words.
        of: (side, real images) -> number.
        low, high: the bounds of a healthy value.
    """

    name: str
    of: Measure
    low: float = -math.inf
    high: float = math.inf

    def is_healthy(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def bounds(self) -> str:
        """The bounds in words; empty if there are none."""
        low = [f"at least {self.low:g}"] * (self.low > -math.inf)
        return " and ".join(low + [f"at most {self.high:g}"] * (self.high < math.inf))


def last_quarter_mean(name: str) -> Measure:
    """A measure: the mean of a curve over its last quarter."""
    return lambda side, real: _last_quarter(side, name).mean().item()


def _last_quarter(side: Side, name: str) -> Tensor:
    values = torch.tensor(side.history[name], dtype=torch.float64)
    return values[-max(1, len(values) // 4) :]


def mean_before_g_learns(name: str) -> Measure:
    """A measure: the mean of a curve over the first steps of a `LateG`."""
    return lambda side, real: torch.tensor(side.history[name][: LateG.hurried]).mean().item()


def minimum(name: str) -> Measure:
    """A measure: the lowest value of a curve."""
    return lambda side, real: min(side.history[name])


def logit_gap(side: Side, real: Images) -> float:
    """D's mean logit of real images minus that of generated ones, over the last quarter."""
    return (_last_quarter(side, "d_real") - _last_quarter(side, "d_fake")).mean().item()


def variety(side: Side, real: Images) -> float:
    """The variance of the samples divided by that of real images."""
    return measures.thumbnail_variance(side.samples) / measures.thumbnail_variance(real.pixels[: len(side.samples)])


def brightness(side: Side, real: Images) -> float:
    """The mean pixel of the samples, from -1 (black) to 1 (white)."""
    return side.samples.mean().item()


def outside(side: Side, real: Images) -> float:
    """The share of the samples' pixels that lie outside [-1, 1] by more than 0.05."""
    return (side.samples.abs() > 1.05).double().mean().item()


def finite(side: Side, real: Images) -> float:
    """The share of the samples' pixels that are finite."""
    return side.samples.isfinite().double().mean().item()


def distance(side: Side, real: Images) -> float:
    """The Fréchet distance between the samples and twice as many real images, in the features of the shipped judge."""
    known, samples = classifier.load(real.name), side.samples.clamp(-1, 1)
    reference = classifier.features_and_logits(known, real.pixels[: 2 * len(samples)])[0]  # (2n, d)
    return metrics.score(lambda n: samples, known, reference, len(samples))


def label_accuracy(side: Side, real: Images) -> float:
    """The share of samples in which the shipped judge sees the requested class; the classes take turns."""
    seen = classifier.features_and_logits(classifier.load(real.name), side.samples.clamp(-1, 1))[1].argmax(1)
    return (seen.cpu() == torch.arange(len(seen)) % len(real.classes)).double().mean().item()


VARIETY = Symptom("variance of the samples divided by that of real images", variety, low=0.45)
FINITE = Symptom("share of finite pixels", finite, low=1.0)
DISTANCE = Symptom("Fréchet distance to real images, in the judge's features", distance)
