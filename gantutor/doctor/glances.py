"""Quick looks at the samples of a GAN that is being trained: a few numbers, in a fraction of a second."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gantutor import metrics
from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding
from gantutor.doctor.images.arrays import MIN_IMAGES, Pictures, match_shape, to_images, to_real_images
from gantutor.doctor.images.saving import COLLAPSED
from gantutor.doctor.nets import net_tests
from gantutor.doctor.nets.borrowed import in_mode
from gantutor.doctor.nets.discriminators import AnyDiscriminator
from gantutor.doctor.nets.generators import AnyGenerator
from gantutor.errors import BadInput

REAL = 1000  # real images that samples are compared with
DRAWS = 48  # of real images, to see how much chance alone makes a look differ from the next one
LEAP_OF_DISTANCE, LEAP_OF_VARIETY = 0.1, 0.15  # as logarithms: where both are larger, the samples leap


class Glance(NamedTuple):
    """What one look at some samples shows."""

    distance: float  # Fréchet distance in random features, over the spread of real images; NaN for broken samples
    variety: float  # variance between samples, over that between real images
    findings: tuple[Finding, ...]


class Onlooker:
    """Looks at one generator and one discriminator.

    Args:
        generator, discriminator: as for `doctor.examine`; the discriminator may be None.
        real: real images; a thousand of them are kept.
        held_out: real images that D is not trained on; None if there are none.
        top: 1 or 255 where the real images were given in [0, top], else 0.
        count: samples in a look, 64 at least.
        notes: to this list is added what was found out about the nets.

    Raises:
        BadInput: there are too few images, or G or D cannot be used.
    """

    def __init__(
        self,
        generator: Callable[..., object],
        discriminator: Callable[..., object] | None,
        real: Pictures,
        held_out: Pictures | None,
        top: float,
        count: int,
        notes: list[str],
    ):
        self.real = some_of(real, REAL, notes)
        if len(self.real) < MIN_IMAGES:
            raise BadInput(f"there are {len(self.real)} real images: give at least {MIN_IMAGES}, better 1,000 or more.")
        self.held_out = None if held_out is None else match_shape(some_of(held_out, count, notes), self.real, notes)
        self.G = AnyGenerator(generator, self.real.shape[1:], top, notes)
        self.D = None if discriminator is None else AnyDiscriminator(discriminator, top, notes)
        self.count = count
        self.features = measures.RandomFeatures(self.real)
        self.of_real = self.features(self.real)
        self.spread = self.of_real.var(0).sum().item()
        self.variance = max(measures.thumbnail_variance(self.real), 1e-9)
        self.usual_repeats = self.repeats(self.real[: len(self.real) // 2][:count], self.real[len(self.real) // 2 :])
        self.chance = self.see_chance()

    def nets_of(self, player: str) -> list[nn.Module]:
        """The nets behind "G" or "D", as far as they can be seen."""
        net = self.G if player == "G" else self.D
        return [] if net is None else net.nets

    def look(self, critic: bool) -> Glance:
        """Draw samples, from torch's global random stream, with G in eval mode and afterwards in its own again."""
        with in_mode(self.G.nets, False):
            x = match_shape(to_images(self.G(self.count), "the generator's images", []), self.real, [])
        share = 1 - net_tests.finite_share(x)
        if share:
            evidence = Evidence("share of samples with NaN or infinite pixels", share, low=0, high=0)
            return Glance(float("nan"), float("nan"), (Finding("non_finite", "severe", (evidence,)),))
        inside = x.clamp(-1, 1)
        distance, variety = self.compare(inside, self.features(inside))
        return Glance(distance, variety, (*self.judge_images(x, variety), *self.judge_discriminator(inside, critic)))

    def compare(self, x: Tensor, features: Tensor) -> tuple[float, float]:
        """The distance and the variety of a `Glance`, of images in [-1, 1]."""
        return (
            metrics.frechet(features, self.of_real) / self.spread,
            measures.thumbnail_variance(x) / self.variance,
        )

    def see_chance(self) -> tuple[float, float]:
        """Of as many real images as there are samples: their distance, and the leaps of their variety between looks."""
        draws = [torch.randint(len(self.real), (self.count,)) for _ in range(DRAWS)]
        distances, varieties = zip(*(self.compare(self.real[i], self.of_real[i]) for i in draws), strict=True)
        return float(np.median(distances)), leaps(varieties)

    def judge_course(self, distances: Sequence[float], varieties: Sequence[float]) -> Iterator[Finding]:
        """Do the samples leap from look to look, much farther than by chance, instead of coming nearer step by step?"""
        near, usual = self.chance
        far = leaps(np.maximum(distances, 3 * near))
        varied, limit = leaps(varieties), max(LEAP_OF_VARIETY, 3 * usual)
        if far > LEAP_OF_DISTANCE and varied > limit:
            evidence = (
                Evidence(
                    "leaps of the samples' distance to the real images, in logarithms", far, high=LEAP_OF_DISTANCE
                ),
                Evidence("leaps of their variety, likewise", varied, high=limit, usual=usual),
            )
            yield Finding("instability", "severe", evidence, "It is the samples that leap, from look to look.")

    def judge_images(self, x: Tensor, variety: float) -> Iterator[Finding]:
        outside = (x.abs() > 1.05).double().mean().item()
        low, real_low = x.min().item(), self.real.min().item()
        if outside > 0.01:
            evidence = Evidence("share of pixel values outside [-1, 1]", outside, high=0.001)
            yield Finding("range_mismatch", "severe", (evidence,))
        if variety <= COLLAPSED:
            evidence = Evidence("variance between samples, over that of real images", variety, low=0.6, high=1.4)
            yield Finding("total_collapse", "severe", (evidence,))
            return
        if low > -0.1 and real_low < -0.5:
            evidence = Evidence("lowest pixel value of the samples", low, high=-0.5, usual=real_low)
            yield Finding("range_mismatch", "severe", (evidence,))
        share = self.repeats(x.clamp(-1, 1), self.real)
        if share > self.usual_repeats + 0.3:
            name = "share of samples seven times nearer to another sample than to real images"
            evidence = Evidence(name, share, high=self.usual_repeats + 0.1, usual=self.usual_repeats)
            yield Finding("partial_collapse", "severe", (evidence,), "Samples repeat each other.")

    def judge_discriminator(self, x: Tensor, critic: bool) -> Iterator[Finding]:
        """Is D blind, saturated or, if there are held-out images, overfitted?"""
        if self.D is None:
            return
        real = self.real[: self.count]
        others = real if self.held_out is None else self.held_out
        sets = {"real": real, "held_out": others, "fake": x, "mismatched": measures.mismatched_halves(real)}
        logits = net_tests.to_logits(*(net_tests.discriminator_outputs(self.D, images) for images in sets.values()))
        if torch.cat(logits).isfinite().all():
            yield from net_tests.judge_logits(dict(zip(sets, logits, strict=True)), critic)

    @staticmethod
    def repeats(x: Tensor, real: Tensor) -> float:
        """Share of images that are seven times nearer to another one among them than to any of as many real images."""
        return (measures.repetition_ratio(x, real) < 0.15).double().mean().item()


def leaps(values: Sequence[float] | np.ndarray) -> float:
    """How far, in the middle, the logarithm of a value lies from the mean of those before and after it."""
    x = np.log(np.maximum(values, 0.01))
    return float(np.median(np.abs(x[1:-1] - (x[2:] + x[:-2]) / 2)))


def some_of(images: Pictures, most: int, notes: list[str]) -> Tensor:
    """Random ones of real images, at most so many, float32 in [-1, 1]."""
    chosen = torch.randperm(len(images))[:most]
    return to_real_images(images[chosen], "the real images", notes)
