"""Which modes are missing, or too rare?"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gantutor.data import strokes, toy
from gantutor.errors import BadInput, real_number, whole_number
from gantutor.metrics.arguments import INTEGERS, as_probabilities, as_shares, between_0_and_1, labels_on_cpu, on_cpu
from gantutor.metrics.neighbours import checked, checked_pair, clusters, nearest_neighbours
from gantutor.models import check_labels


def inception_score(probabilities: Tensor) -> float:
    """exp(mean KL(p(y|x) ‖ p(y))), from 1 to K (Salimans et al. 2016, section 4).

    It is high if the classifier is certain of each image and all classes are equally frequent. Because it never looks
    at a real image, one image per class, memorised and repeated, scores K, and so may noise that the classifier is
    certain of. It is blind to everything within a class. Compare it with the score of real images at the same count,
    since few samples lower it a little.

    Args:
        probabilities: (N, K), N ≥ 2, from a classifier: ``features_and_logits(net, pixels)[1].softmax(1)``.

    Raises:
        BadInput: the shape does not fit, or a row is not a distribution (not finite, negative, its sum not 1).
    """
    p = as_probabilities(probabilities)
    marginal = p.mean(0)  # (K,)
    divergence = (torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(1)  # (N,)
    return math.exp(max(divergence.mean().item(), 0.0))


class ModeCoverage(NamedTuple):
    """Which of the known modes are made, and how evenly. Only samples of high quality count.

    The reverse KL is KL(histogram of the samples ‖ expected histogram) ≥ 0; without any sample of high quality it has
    its largest value, that of a single mode.
    """

    modes: int  # modes with at least one sample
    of: int  # all modes
    high_quality: float  # share of samples that lie near a mode, from 0 to 1
    reverse_kl: float
    counts: Tensor  # int64 (of,): samples per mode


def mixture_coverage(points: Tensor, mixture: toy.Mixture, within: float = 3.0) -> ModeCoverage:
    """Modes, high-quality share and reverse KL as in PacGAN (Lin et al. 2018, section 4.1) and VEEGAN.

    A point is of high quality within `within` standard deviations of its nearest mean. A perfect generator does not get
    100% but 1 − exp(−within²/2) = 98.89% at 3 (above about 99.3% the modes have contracted), and its reverse KL is not
    0 but about (K − 1)/2n, which at 2,500 points is .0014 for the ring and .0048 for the grid. A single point makes a
    mode count as captured. Blind to the shape of a mode.

    Args:
        points: (N, 2), N ≥ 1.

    Raises:
        BadInput: the points do not fit the mixture, or are NaN or infinite.
    """
    within = real_number("within", within, above=0)
    distances, nearest = nearest_neighbours(points, mixture.means)  # (N, 1) each
    return label_coverage(nearest[:, 0], len(mixture), high_quality=distances[:, 0] <= within * mixture.std)


def label_coverage(
    labels: Tensor, classes: int, expected: Tensor | None = None, high_quality: Tensor | None = None
) -> ModeCoverage:
    """Mode coverage of labelled samples: a classifier's labels, or the three digits of a stacked image as one of 1000.

    The floor of the reverse KL is about (classes − 1)/2N for N samples (.0193 for 1000 classes at 26,000), so reverse
    KLs can only be compared at equal counts. Blind to everything within a class.

    Args:
        labels: whole numbers (N,), from 0 to classes − 1, N ≥ 1.
        expected: what the histogram is compared with: shares or counts (classes,), all > 0. Default: equal shares.
        high_quality: bool (N,): which samples count at all. Default: all.

    Raises:
        BadInput: the shapes or values do not fit.
    """
    classes, labels = whole_number("classes", classes, least=1), labels_on_cpu(labels)
    labels = labels.long() if labels.dtype in INTEGERS else labels
    check_labels(labels, labels.numel(), classes)
    if not len(labels):
        raise BadInput("there are no labels to count: give at least one.")
    good = torch.ones(len(labels), dtype=torch.bool) if high_quality is None else on_cpu(high_quality)
    if not isinstance(good, Tensor) or good.dtype != torch.bool or good.shape != labels.shape:
        raise BadInput(f"high_quality does not fit: give one bool for each of the {len(labels)} samples.")
    target = as_shares(torch.ones(classes) if expected is None else expected, classes)
    counts = labels[good].bincount(minlength=classes)  # (K,)
    share = counts.double() / counts.sum().clamp(min=1)
    if not good.any():
        share = torch.eye(classes, dtype=torch.float64)[target.argmin()]
    kl = (torch.xlogy(share, share) - torch.xlogy(share, target)).sum().item()
    return ModeCoverage(int((counts > 0).sum()), classes, good.double().mean().item(), max(kl, 0.0), counts)


def strokes_coverage(
    features: Tensor, reference_features: Tensor, factors: strokes.Strokes, quantile: float = 0.99
) -> ModeCoverage:
    """Mode coverage of `strokes` by its true modes, the (digit, style) pairs: a sample takes that of its nearest image.

    So it shows what is missing within a digit, which no classifier of digits can see. The styles overlap: in 64
    features the nearest of 10,000 images has the same digit always and the same style three times in four, so a missing
    style keeps about a quarter of its count; look at `counts` and `reverse_kl`, not only at `modes`. A sample is of
    high quality if its nearest reference image is as near as those of `quantile` of the reference images themselves, so
    a perfect generator has about that share. The histogram is compared with that of the reference, and the reverse KL
    has the same floor as in `label_coverage`. Modes are numbered digit by digit, as in `strokes.STYLES`.

    Args:
        features: (N, d), of the samples; reference_features: (M, d), of real images; factors: theirs, M as well.

    Raises:
        BadInput: the shapes do not fit, a feature is NaN or infinite, or some mode is missing in the reference.
    """
    quantile = real_number("quantile", quantile, above=0, most=1)
    reference = checked(reference_features)
    if not isinstance(factors, strokes.Strokes):
        raise BadInput(
            f"factors is a {type(factors).__name__}: give the strokes.Strokes that the reference was drawn with."
        )
    if len(factors) != len(reference):
        raise BadInput(f"there are {len(reference)} reference features and {len(factors)} factors: give one for each.")
    first = torch.tensor([0, *(len(styles) for styles in strokes.STYLES)]).cumsum(0)  # number of the digit's first mode
    mode = (first[:-1][factors.digit] + factors.style).cpu()  # (M,)
    expected = mode.bincount(minlength=int(first[-1]))
    if (missing := (expected == 0).sum().item()) > 0:
        raise BadInput(f"{missing} of the {len(expected)} styles are missing in the reference: give more images.")
    some = reference[:: max(1, len(reference) // 2000)]
    own_distances = nearest_neighbours(some, reference, 2)[0][:, 1]  # the nearest is the image itself
    radius = own_distances.quantile(quantile)
    distances, nearest = nearest_neighbours(features, reference)  # (N, 1) each
    return label_coverage(mode[nearest[:, 0]], len(expected), expected, distances[:, 0] <= radius)


class DifferentBins(NamedTuple):
    """The result of the histogram test."""

    different: int  # bins whose shares differ beyond chance
    bins: int  # all bins: fewer than asked for if there are fewer different real examples
    real_share: Tensor  # float64 (bins,)
    fake_share: Tensor  # float64 (bins,); ``(fake_share - real_share).argsort()`` ranks what is missing


def different_bins(real: Tensor, fake: Tensor, bins: int = 100, alpha: float = 0.05, seed: int = 0) -> DifferentBins:
    """Number of statistically different bins (Richardson & Weiss 2018, section 2), for modes that are not known.

    k-means cuts the real examples into bins, every fake falls into the nearest one, and a two-proportion z-test at
    level `alpha` decides for each bin whether fakes and real examples fall into it equally often. A perfect generator
    does not get 0 but about alpha · bins: 4.6 ± 2.0 of 100. The number grows with the counts, so compare only at equal
    counts. Blind to everything within a bin, memorisation included; a shift of all samples looks like lost modes.

    Args:
        real: features (N, d); fake: features (M, d); at least 5 per bin in each. With only 5 the z-test is rough.
        seed: fixes the k-means++ start.

    Raises:
        BadInput: the shapes do not fit, there are too few examples, or a feature is NaN or infinite.
    """
    bins = whole_number("bins", bins, least=2)
    critical = math.sqrt(2) * torch.erfinv(torch.tensor(1 - between_0_and_1("alpha", alpha), dtype=torch.float64))
    real, fake = checked_pair(real, fake, least=5 * bins, why=f"{bins} bins need five for each")
    centres = clusters(real, bins, seed)  # (K, d)
    n, m = len(real), len(fake)
    p, q = (
        nearest_neighbours(x, centres)[1][:, 0].bincount(minlength=len(centres)).double() / len(x) for x in (real, fake)
    )
    pooled = (n * p + m * q) / (n + m)
    z = (p - q).abs() / (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()  # with a single bin NaN, so not different
    return DifferentBins(int((z > critical).sum()), len(centres), p, q)
