"""Do the distributions of real and generated examples agree, and how diverse is one of them?"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gantutor.errors import BadInput, whole_number
from gantutor.metrics.classifier import Classifier, features_and_logits
from gantutor.metrics.neighbours import checked, checked_pair, in_blocks


def frechet(a: Tensor, b: Tensor) -> float:
    """Fréchet distance between two Gaussians fitted to features: ‖μ_a − μ_b‖² + tr(A + B − 2(AB)^½) ≥ 0.

    On Inception features this is the FID of Heusel et al. 2017 (eq. 6). It is biased upwards: two samples of one
    distribution do not give 0 but a floor that grows with d and shrinks with the sample count, so compare distances
    only at equal counts.

    Args:
        a: features (N, d), N ≥ 2; b: features (M, d), M ≥ 2. Computed in float64.

    Raises:
        BadInput: the shapes do not fit, there are fewer than two examples, or a feature is NaN or infinite.
    """
    a, b = checked_pair(a, b)
    A, B = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)  # (d, d)
    # tr (AB)^½ = tr (A^½ B A^½)^½, and that product is symmetric: no complex roots, no matrix square root.
    values, vectors = torch.linalg.eigh(A)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # A^½
    overlap: Tensor = torch.linalg.eigvalsh(root @ B @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + A.trace() + B.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y/d + 1)³, unbiased: around 0 for equal distributions.

    On Inception features this is the KID of Bińkowski et al. 2018 (section 4; the estimator is eq. 3 of Gretton et al.
    2012: an example is never compared with itself), here over all examples at once instead of subsets. Its floor is 0
    on average at every count, so it can be slightly negative and may be used with few examples. Because it compares the
    first three moments only, it is blind to everything that leaves them unchanged, and to memorisation.

    Args:
        a: features (N, d), N ≥ 2; b: features (M, d), M ≥ 2.

    Raises:
        BadInput: as `frechet`.
    """
    a, b = checked_pair(a, b)
    return _kernel_within(a) + _kernel_within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


def _kernel_within(x: Tensor) -> float:
    """Mean of the kernel over all pairs of different examples."""
    diagonal = (x.square().sum(1) / x.shape[1] + 1).pow(3).sum().item()
    return (_kernel_sum(x, x) - diagonal) / (len(x) * (len(x) - 1))


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    total = 0.0
    for rows in in_blocks(len(a), len(b)):
        k = (a[rows] @ b.T).div_(a.shape[1]).add_(1).flatten()  # (n·M,)
        total += torch.dot(k, k.square()).item()
    return total


def score(sampler: Callable[[int], Tensor], net: Classifier, reference: Tensor, n: int = 10_000) -> float:
    """Fréchet distance, in the features of the classifier `net`, between `n` samples and reference features (M, d).

    `sampler(n)` returns (n, C, H, W) in [-1, 1], for example `run.sample`; the reference features of real images are
    ``features_and_logits(net, images.pixels)[0]``.
    """
    x = sampler(whole_number("n", n, least=2))
    if not isinstance(x, Tensor) or len(x) != n:
        given = f"{len(x)} images" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise BadInput(
            f"the sampler returned {given} when {n} images were asked for: return {n}, because scores "
            "can be compared only at equal counts."
        )
    return frechet(features_and_logits(net, x)[0], reference)


def diversity(features: Tensor) -> float:
    """Root of the mean squared distance over all pairs of different examples, √(2 · trace of the covariance) ≥ 0.

    Read it beside the same number on real examples: near 0, G makes one image, whatever z is; above that number, look
    at the images, because noise is diverse as well. It shows a total collapse but hardly a missing mode, since two
    different images are enough for a large value.

    Args:
        features: (N, d), N ≥ 2, from a classifier, or flattened pixels. Raises `BadInput` as `frechet`.
    """
    return (2 * checked(features).var(0).sum()).sqrt().item()


def vendi(features: Tensor) -> float:
    """Vendi score: the effective number of different examples, from 1 to the smaller of N and d + 1.

    exp(−Σ λ log λ), where λ are the eigenvalues of the N×N similarities of the examples divided by N (Friedman & Dieng
    2023, definition 3.1). The similarity is the cosine of two feature vectors, so that a d×d matrix has the same
    eigenvalues; a vector of zeros is like other zeros only. The score is m for m kinds of example at right angles,
    equally frequent, and N if all are at right angles.
    Its floor is the value of as many real examples. Read it beside that, because it depends on the features more than
    on the images: features that are never negative are all alike, and the score is small. Like `diversity` it looks at
    no real example, so noise may score above them, and it hardly sees a missing mode; unlike it, two different images
    are not enough. It ignores the lengths of the vectors.

    Args:
        features: (N, d), N ≥ 2. Raises `BadInput` as `frechet`.
    """
    x = checked(features)
    length = x.norm(dim=1, keepdim=True)  # (N, 1)
    x = torch.cat([x / length.where(length > 0, 1), (length == 0).double()], 1)  # (N, d + 1), each of length 1
    shares = torch.linalg.eigvalsh(x.T @ x / len(x)).clamp(min=0)  # those of x @ x.T / N that are not 0
    return math.exp(torch.special.entr(shares).sum().item())
