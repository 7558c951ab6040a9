"""Precision and recall, density and coverage, plain and clipped: are the samples good, and is everything there?"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gantutor.errors import whole_number
from gantutor.metrics.neighbours import (
    check_same_width,
    checked,
    checked_pair,
    nearest_neighbours,
    squared_distances,
)


class PrecisionRecall(NamedTuple):
    """Each from 0 to 1."""

    precision: float  # share of fakes that lie among the real examples
    recall: float  # share of real examples that lie among the fakes


def precision_and_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eqs. 1 and 2): quality and coverage of the samples.

    Around every real example there is a ball that reaches to its k-th nearest real one. Precision is the share of fakes
    in (or on) any of these balls; recall is the same with the roles exchanged. Two samples of one distribution get
    equal values, but not 1: .39 and .39 for N(0, I₁₀₀₀) at 10,000 each. Because an outlier has a large ball, it lets
    bad fakes in. Blind to how often a mode is made, and to memorisation, which scores best. Compare only at equal
    counts.

    Args:
        real: features (N, d), N > k; fake: features (M, d), M > k.

    Raises:
        BadInput: the shapes do not fit, there are k or fewer examples, or a feature is NaN or infinite.
    """
    k = whole_number("k", k, least=1)
    real, fake = checked_pair(real, fake, least=k + 1)
    among_real, _ = _balls(fake, real, _radii(real, k), closed=True)
    among_fake, _ = _balls(real, fake, _radii(fake, k), closed=True)
    return PrecisionRecall(*((hits > 0).double().mean().item() for hits in (among_real, among_fake)))


class DensityCoverage(NamedTuple):
    """Density ≥ 0 (1 for equal distributions, more where fakes crowd together), and coverage from 0 to 1."""

    density: float
    coverage: float


def density_and_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, eqs. 3 and 4): like `precision_and_recall`, but outliers count less.

    Density counts in how many real balls a fake lies, divided by k; coverage is the share of real balls with a fake
    inside. For equal distributions and counts, density is 1 and coverage 1 − 2^−k, .969 at k = 5, in any dimension.
    Density does not show a missing mode, and it grows if G makes only the most typical images; coverage hardly shows an
    imbalance, because a single fake covers a real example. Both are blind to memorisation, which scores best. A real
    example that occurs more than k times has a ball of radius 0, and nothing lies inside.

    Args:
        real: features (N, d), N > k; fake: features (M, d), M ≥ 1.

    Raises:
        BadInput: the shapes do not fit, there are k or fewer real examples, or a feature is NaN or infinite.
    """
    k = whole_number("k", k, least=1)
    real, fake = checked(real, least=k + 1), checked(fake, least=1)
    per_fake, per_ball = _balls(fake, real, _radii(real, k), closed=False)
    return DensityCoverage(per_fake.double().mean().item() / k, (per_ball > 0).double().mean().item())


class ClippedDensityCoverage(NamedTuple):
    """Each from 0 to 1: the share of good samples that would give the same value."""

    density: float
    coverage: float


def clipped_density_and_coverage(real: Tensor, fake: Tensor, k: int = 5) -> ClippedDensityCoverage:
    """Clipped Density and Clipped Coverage (Salvy, Talbot & Thirion 2026, arXiv 2507.01761).

    Density: no real ball is larger than the median ball, and a fake in more than k balls counts as if it were in k; the
    mean is divided by that of the real examples, each in the balls of the others, and cut at 1. So outliers let nothing
    in, and fakes that crowd together do not make up for bad ones. Coverage: a real ball is covered to j/k by j fakes,
    fully by k or more. What m fakes of the right distribution would cover is known in any dimension
    (`expected_clipped_coverage`); the value is the share m/M that would cover as much as the M fakes do.

    If a share p of the fakes is good and the rest far away, both are about p. For equal distributions they are a little
    below 1, since what lies above is cut off: .99 ± .02 and .97 ± .03 with 1,000 examples on each side, .97 ± .04 and
    .96 ± .05 with 300. Density sees no missing mode, and both are blind to memorisation, which scores best. Unlike the
    coverage of `density_and_coverage`, where one fake is enough, this one also sees modes that are made too rarely.

    Args:
        real: features (N, d), N > k; fake: features (M, d), M ≥ 1.

    Raises:
        BadInput: as `density_and_coverage`.
    """
    k = whole_number("k", k, least=1)
    real, fake = checked(real, least=k + 1), checked(fake, least=1)
    distances, index = nearest_neighbours(real, real, k, exclude_self=True)  # (N, k)
    radii = distances[:, -1]
    small = radii.clamp(max=radii.quantile(0.5, interpolation="midpoint"))
    of_real = index[distances <= small[:, None]].bincount(minlength=len(real))  # balls of others around each, (N,)
    of_fake, _ = _balls(fake, real, small, closed=True)
    density = (of_fake.clamp(max=k).double().mean() / of_real.clamp(max=k).double().mean()).item()
    _, per_ball = _balls(fake, real, radii, closed=False)
    covered = per_ball.clamp(max=k).double().mean().item() / k
    shares = np.linspace(0, 1, len(fake) + 1)
    coverage = np.interp(covered, expected_clipped_coverage(len(real), len(fake), k), shares)
    return ClippedDensityCoverage(min(density, 1.0), float(coverage))


def expected_clipped_coverage(real: int, fakes: int, k: int = 5) -> list[float]:
    """What 0, 1, … `fakes` samples of the right distribution cover: the mean of min(J, k)/k, J fakes in a real ball.

    The ball reaches to the k-th nearest of the other N − 1 examples, so its probability has the distribution
    Beta(k, N − k), in any dimension, and J is beta-binomial (Salvy et al. 2026). Hence the rule of succession: after
    m fakes, j of them inside, the next one falls inside with probability (k + j)/(N + m).
    """
    few = [1.0] + [0.0] * (k - 1)  # probabilities of j = 0 … k − 1 fakes inside
    expected = [0.0]
    for m in range(fakes):
        gain = [p * (k + j) / (real + m) for j, p in enumerate(few)]
        few = [p - lost + won for p, lost, won in zip(few, gain, [0.0, *gain], strict=False)]
        expected.append(expected[-1] + sum(gain) / k)
    return expected


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance (N,) of each example to the k-th nearest of the others."""
    return nearest_neighbours(x, x, k, exclude_self=True)[0][:, -1]


def _balls(points: Tensor, centres: Tensor, radii: Tensor, closed: bool) -> tuple[Tensor, Tensor]:
    """In how many balls each point lies (N,), and how many points lie in each ball (M,), int64.

    A point on the edge lies in a closed ball but not in an open one, even where rounding would decide otherwise.
    """
    check_same_width(points, centres)
    per_point, per_ball = torch.zeros(len(points), dtype=torch.int64), torch.zeros(len(centres), dtype=torch.int64)
    limits = radii.square()
    for rows, squares in squared_distances(points, centres, error=-1 if closed else 1):  # (n, M)
        inside = squares <= limits if closed else squares < limits
        per_point[rows] = inside.sum(1)
        per_ball += inside.sum(0)
    return per_point, per_ball
