"""Precision and recall, density and coverage: are the samples good, and is everything there?"""

from typing import NamedTuple

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
