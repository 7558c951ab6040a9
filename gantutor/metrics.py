"""How good is a sample? Metrics eat features, not models; `score` joins a sampler, a judge and a reference."""

from collections.abc import Callable

import torch
from torch import Tensor

from gantutor import judge
from gantutor.errors import BadInput


def frechet(a: Tensor, b: Tensor) -> float:
    """Fréchet distance between two Gaussians fitted to features: ‖μ_a − μ_b‖² + tr(A + B − 2(AB)^½) ≥ 0.

    On Inception features this is the FID of Heusel et al. 2017 (eq. 6). It is biased upwards: two samples of one
    distribution do not give 0 but a floor that grows with d and shrinks with the sample count, so compare
    distances at equal counts only.

    Args:
        a: features (N, d), N ≥ 2; b: features (M, d), M ≥ 2. Computed in float64.

    Raises:
        BadInput: the shapes do not fit, there are fewer than two examples, or a feature is NaN or infinite.
    """
    a, b = _features(a), _features(b)
    if a.shape[1] != b.shape[1]:
        raise BadInput(f"the features have {a.shape[1]} and {b.shape[1]} columns: use one judge for both.")
    A, B = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)  # (d, d)
    # tr (AB)^½ = tr (A^½ B A^½)^½, and that product is symmetric: no complex roots, no matrix square root.
    values, vectors = torch.linalg.eigh(A)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # A^½
    overlap = torch.linalg.eigvalsh(root @ B @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + A.trace() + B.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def score(sampler: Callable[[int], Tensor], j: judge.Judge, reference: Tensor, n: int = 10_000) -> float:
    """Fréchet distance, in the judge's features, between `n` samples and reference features (M, d).

    `sampler(n)` gives (n, C, H, W) in [-1, 1]: ``metrics.score(run.sample, j, judge.look(j, test.pixels)[0])``.
    """
    return frechet(judge.look(j, sampler(n))[0], reference)


def _features(x: Tensor) -> Tensor:
    if x.ndim != 2 or len(x) < 2:
        raise BadInput(f"features of shape {tuple(x.shape)}: give (N, d) with at least two examples.")
    if not x.isfinite().all():
        raise BadInput("the features hold NaN or infinite values: look at the images they were computed from.")
    return x.detach().to("cpu", torch.float64)
