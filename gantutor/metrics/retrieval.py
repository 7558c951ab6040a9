"""How much of the training set can be found again with samples as queries?"""

from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from gantutor.metrics.arguments import between_0_and_1
from gantutor.metrics.neighbours import checked_pair, nearest_neighbours


class Retrieval(NamedTuple):
    """The image retrieval score and its confidence interval, each from 0 to 1."""

    retrieved: int  # different training examples that are the nearest one of some sample
    score: float  # estimated share of the training set that endless sampling would retrieve
    low: float
    high: float


def image_retrieval(fake: Tensor, train: Tensor, confidence: float = 0.95) -> Retrieval:
    """The Image Retrieval Score, IRS∞ (Dombrowski et al. 2025): how much of the training set does G know?

    Each sample retrieves its nearest training example. If G knows s of the N training examples, each of them equally
    well, the number k of different ones that n samples retrieve has the distribution of the occupied boxes when n balls
    fall into s boxes: P(k) = S(n, k) · s!/(s − k)! · s⁻ⁿ, where S are Stirling numbers of the second kind. The score is
    s/N for the s that makes k most likely; the interval holds every s whose mean number of occupied boxes is near k, in
    terms of its exact standard deviation.

    Its floor is below 1, since the nearest examples of real images are not equally frequent either: in many dimensions
    a few are near to everything. As many samples as training examples, of the same distribution, get about .75 for
    N(0, 1), .86 for N(0, I₈) and .43 for N(0, I₆₄), at 1,000. So compare with the score of as many held-out examples;
    the paper calls the ratio of both the adjusted score. Blind to quality, for noise retrieves examples too, and to
    memorisation, which scores best. The fewer the samples, the wider the interval; if no two samples retrieve the same
    example, it reaches to 1.

    Args:
        fake: features (n, d), n ≥ 2; train: features (N, d), N ≥ 2.
        confidence: of the interval.

    Raises:
        BadInput: the shapes do not fit, there are fewer than two examples, or a feature is NaN or infinite.
    """
    reach = NormalDist().inv_cdf((1 + between_0_and_1("confidence", confidence)) / 2)
    fake, train = checked_pair(fake, train)
    n, N = len(fake), len(train)
    k = len(nearest_neighbours(fake, train)[1].unique())
    s = torch.arange(k, N + 1, dtype=torch.float64)  # (N − k + 1,)
    likely = torch.lgamma(s + 1) - torch.lgamma(s - k + 1) - n * s.log()  # S(n, k) does not depend on s
    mean = s * (1 - (1 - 1 / s) ** n)
    variance = s * (s - 1) * (1 - 2 / s) ** n + s * (1 - 1 / s) ** n - s**2 * (1 - 1 / s) ** (2 * n)
    possible = s[(mean - k).abs() <= reach * variance.clamp(min=0).sqrt()]
    best = s[likely.argmax()]
    low, high = (possible[0], possible[-1]) if len(possible) else (best, best)
    return Retrieval(k, *((x / N).item() for x in (best, torch.minimum(low, best), torch.maximum(high, best))))
