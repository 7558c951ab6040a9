"""How good is a sample? Metrics eat features, probabilities or labels, not models.

1. Two clouds as wholes: `frechet`, `kernel_distance`; `score` joins a sampler, a judge and a reference.
2. Neighbours, in both directions: `precision_recall`, `density_coverage`; `diversity`.
3. Modes: `inception_score`, `mixture_coverage`, `label_coverage`, `strokes_coverage`, `different_bins`.
4. Is it new? `birthday` estimates how many different images G can make, `memorisation` looks for training images.
5. Conditional nets: does G make the class that it is asked for (`accuracy`), as well as it should (`frechet_by_class`),
   in more than one way (`diversity_by_class`), and does D look at the label (`label_response`)?
6. What would a perfect generator get? `floor`, and `report` for all of them at once.

Every metric is blind to something and has a floor; both stand in its docstring. All is computed in float64 on the CPU,
in blocks: nothing of size N×N is ever held.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from gantutor import judge, strokes, toy
from gantutor.errors import BadInput, whole
from gantutor.errors import real as number
from gantutor.labels import check_labels, classes_of
from gantutor.models import evaluating
from gantutor.nearest import (
    checked,
    checked_pair,
    clusters,
    exact_distances,
    in_blocks,
    neighbours,
    same_width,
    squared_distances,
)

# --- two clouds as wholes --------------------------------------------------------------------------------------------


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
    a, b = checked_pair(a, b)
    A, B = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)  # (d, d)
    # tr (AB)^½ = tr (A^½ B A^½)^½, and that product is symmetric: no complex roots, no matrix square root.
    values, vectors = torch.linalg.eigh(A)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # A^½
    overlap = torch.linalg.eigvalsh(root @ B @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + A.trace() + B.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y/d + 1)³, without bias: around 0 for equal distributions.

    On Inception features this is the KID of Bińkowski et al. 2018 (section 4; the estimator is eq. 3 of Gretton et al.
    2012: an example is never compared with itself). Here over all examples at once, not over subsets.
    Its floor is 0 on average at every count, so it can be slightly negative, and it may be used with few examples.
    It compares the first three moments: blind to whatever leaves these alone, and to memorisation.

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


def score(sampler: Callable[[int], Tensor], j: judge.Judge, reference: Tensor, n: int = 10_000) -> float:
    """Fréchet distance, in the judge's features, between `n` samples and reference features (M, d).

    `sampler(n)` gives (n, C, H, W) in [-1, 1]: ``metrics.score(run.sample, j, judge.look(j, test.pixels)[0])``.
    """
    x = sampler(whole("n", n, least=2))
    if not isinstance(x, Tensor) or len(x) != n:
        given = f"{len(x)} images" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise BadInput(
            f"the sampler gave {given}, when {n} images were asked for: scores compare at equal counts only."
        )
    return frechet(judge.look(j, x)[0], reference)


# --- neighbours ------------------------------------------------------------------------------------------------------


class PrecisionRecall(NamedTuple):
    """Each from 0 to 1."""

    precision: float  # share of fakes that lie among the real examples
    recall: float  # share of real examples that lie among the fakes


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, eqs. 1 and 2): is it good, is it all there?

    Around every real example there is a ball that reaches to its k-th nearest real one. Precision is the share of fakes
    in (or on) any of them; recall is the same with the roles exchanged. Two samples of one distribution get equal
    numbers, but not 1: .39 and .39 for N(0, I₁₀₀₀) at 10,000 each. One outlier has a large ball and lets bad fakes in;
    blind to how often a mode is made, and to memorisation, which scores best. Compare at equal counts only.

    Args:
        real: features (N, d), N > k; fake: features (M, d), M > k.

    Raises:
        BadInput: the shapes do not fit, there are k or fewer examples, or a feature is NaN or infinite.
    """
    k = whole("k", k, least=1)
    real, fake = checked_pair(real, fake, least=k + 1)
    among_real, _ = _balls(fake, real, _radii(real, k), closed=True)
    among_fake, _ = _balls(real, fake, _radii(fake, k), closed=True)
    return PrecisionRecall(*((hits > 0).double().mean().item() for hits in (among_real, among_fake)))


class DensityCoverage(NamedTuple):
    """Density ≥ 0 (1 for equal distributions, more where fakes crowd), coverage from 0 to 1."""

    density: float
    coverage: float


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, eqs. 3 and 4): as `precision_recall`, but outliers count less.

    Density counts in how many real balls a fake lies, divided by k; coverage is the share of real balls with a fake
    inside. For equal distributions and counts density is 1 and coverage 1 − 2^−k, .969 at k = 5, in any dimension.
    Density sees no missing mode, and grows if G makes only the most typical images; coverage counts a real example as
    covered by a single fake, so it hardly sees imbalance. Both are blind to memorisation, which scores best. A real
    example that is there more than k times has a ball of radius 0, and nothing lies inside.

    Args:
        real: features (N, d), N > k; fake: features (M, d), M ≥ 1.

    Raises:
        BadInput: the shapes do not fit, there are k or fewer real examples, or a feature is NaN or infinite.
    """
    k = whole("k", k, least=1)
    real, fake = checked(real, least=k + 1), checked(fake, least=1)
    per_fake, per_ball = _balls(fake, real, _radii(real, k), closed=False)
    return DensityCoverage(per_fake.double().mean().item() / k, (per_ball > 0).double().mean().item())


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance (N,) of each example to the k-th nearest of the others."""
    return neighbours(x, x, k, exclude_self=True)[0][:, -1]


def _balls(points: Tensor, centres: Tensor, radii: Tensor, closed: bool) -> tuple[Tensor, Tensor]:
    """In how many balls each point lies (N,), and how many points lie in each ball (M,), int64.

    A point on the edge is in a closed ball and not in an open one, also where rounding would decide otherwise.
    """
    same_width(points, centres)
    per_point, per_ball = torch.zeros(len(points), dtype=torch.int64), torch.zeros(len(centres), dtype=torch.int64)
    limits = radii.square()
    for rows, squares in squared_distances(points, centres, error=-1 if closed else 1):  # (n, M)
        inside = squares <= limits if closed else squares < limits
        per_point[rows] = inside.sum(1)
        per_ball += inside.sum(0)
    return per_point, per_ball


def diversity(features: Tensor) -> float:
    """Root of the mean squared distance over all pairs of different examples, √(2 · trace of the covariance) ≥ 0.

    Read it beside the same number on real examples, its floor: near 0, G makes one image, whatever z; above it, look at
    the images, for noise is diverse as well. It sees total collapse, and hardly a missing mode: two images suffice.

    Args:
        features: (N, d), N ≥ 2, from a judge, or pixels flattened. Raises `BadInput` as `frechet`.
    """
    return (2 * checked(features).var(0).sum()).sqrt().item()


# --- modes -----------------------------------------------------------------------------------------------------------


def inception_score(probabilities: Tensor) -> float:
    """exp(mean KL(p(y|x) ‖ p(y))), from 1 to K (Salimans et al. 2016, section 4): sure of each image, unsure of all.

    It never looks at a real image: one image per class, memorised and repeated, scores K, and so may noise that the
    judge is sure of. Blind to everything within a class. Its yardstick is the score of real images at the same count;
    few samples lower it a little.

    Args:
        probabilities: a judge's softmax outputs, (N, K), N ≥ 2: ``judge.look(j, images)[1].softmax(1)``.

    Raises:
        BadInput: the shape does not fit, or a row is not a distribution (not finite, negative, its sum not 1).
    """
    p = _probabilities(probabilities)
    marginal = p.mean(0)  # (K,)
    divergence = (torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(1)  # (N,)
    return math.exp(max(divergence.mean().item(), 0.0))


class ModeCoverage(NamedTuple):
    """Which of the known modes are made, and how evenly. Only samples of high quality count."""

    modes: int  # modes with at least one sample
    of: int  # modes that there are
    high_quality: float  # share of samples that lie near a mode, from 0 to 1
    reverse_kl: (
        float  # KL(histogram of the modes ‖ what it should be) ≥ 0; without any sample, the largest: that of one mode
    )
    counts: Tensor  # int64 (of,): samples per mode


def mixture_coverage(points: Tensor, mixture: toy.Mixture, within: float = 3.0) -> ModeCoverage:
    """Modes, high-quality share and reverse KL as in PacGAN (Lin et al. 2018, section 4.1) and VEEGAN.

    A point is of high quality within `within` standard deviations of its nearest mean. Ceilings and floors: a perfect
    generator has 1 − exp(−within²/2) = 98.89% at 3, not 100% (above about 99.3% the modes have contracted); at 2,500
    points its reverse KL is about (K − 1)/2n, .0014 for the ring and .0048 for the grid. One point makes a mode count
    as captured. Blind to the shape of a mode.

    Args:
        points: (N, 2), N ≥ 1.

    Raises:
        BadInput: the points do not fit the mixture, or are NaN or infinite.
    """
    within = number("within", within, above=0)
    distances, nearest = neighbours(points, mixture.means)  # (N, 1) each
    return label_coverage(nearest[:, 0], len(mixture), high_quality=distances[:, 0] <= within * mixture.std)


def label_coverage(
    labels: Tensor, classes: int, expected: Tensor | None = None, high_quality: Tensor | None = None
) -> ModeCoverage:
    """Mode coverage of labelled samples: a judge's labels, or the three digits of a stacked image as one of 1000.

    The floor of the reverse KL is about (classes − 1)/2N for N samples (.0193 for 1000 classes at 26,000), so KLs at
    different counts do not compare. Blind to everything within a class.

    Args:
        labels: whole numbers (N,), from 0 to classes − 1, N ≥ 1.
        expected: what the histogram is compared with: shares or counts (classes,), all > 0. Default: equal shares.
        high_quality: bool (N,): which samples count at all. Default: all.

    Raises:
        BadInput: the shapes or values do not fit.
    """
    classes, labels = whole("classes", classes, least=1), _some_labels(labels)
    labels = labels.long() if labels.dtype in INTEGERS else labels
    check_labels(labels, labels.numel(), classes)
    if not len(labels):
        raise BadInput("there are no labels to count: give at least one.")
    good = torch.ones(len(labels), dtype=torch.bool) if high_quality is None else _on_cpu(high_quality)
    if not isinstance(good, Tensor) or good.dtype != torch.bool or good.shape != labels.shape:
        raise BadInput(f"high_quality does not fit: give one bool for each of the {len(labels)} samples.")
    target = _shares(torch.ones(classes) if expected is None else expected, classes)
    counts = labels[good].bincount(minlength=classes)  # (K,)
    share = counts.double() / counts.sum().clamp(min=1)
    if not good.any():
        share = torch.eye(classes, dtype=torch.float64)[target.argmin()]
    kl = (torch.xlogy(share, share) - torch.xlogy(share, target)).sum().item()
    return ModeCoverage((counts > 0).sum().item(), classes, good.double().mean().item(), max(kl, 0.0), counts)


def strokes_coverage(
    features: Tensor, reference_features: Tensor, factors: strokes.Strokes, quantile: float = 0.99
) -> ModeCoverage:
    """Mode coverage of `strokes` by its true modes, the (digit, style) pairs: a sample takes that of its nearest image.

    So it sees what is missing within a digit, which no classifier of digits does. The styles overlap: in 64 features
    the nearest of 10,000 images has the same digit always and the same style three times in four, so a missing style
    keeps about a quarter of its count. Look at `counts` and `reverse_kl`, not only at `modes`. A sample is of high
    quality if its nearest reference image is as near as those of `quantile` of the reference images themselves, so a
    perfect generator has about that share. The histogram is compared with the reference's own; the reverse KL has the
    floor of `label_coverage`. Modes are numbered digit by digit, as in `strokes.STYLES`.

    Args:
        features: of the samples, (N, d); reference_features: of real images (M, d); factors: of these, M of them.

    Raises:
        BadInput: the shapes do not fit, a feature is NaN or infinite, or some mode is missing in the reference.
    """
    quantile = number("quantile", quantile, above=0, most=1)
    reference = checked(reference_features)
    if not isinstance(factors, strokes.Strokes):
        raise BadInput(
            f"factors is a {type(factors).__name__}: give the strokes.Strokes that the reference comes from."
        )
    if len(factors) != len(reference):
        raise BadInput(f"there are {len(reference)} reference features and {len(factors)} factors: give one for each.")
    first = torch.tensor([0, *(len(styles) for styles in strokes.STYLES)]).cumsum(0)  # number of the digit's first mode
    mode = (first[:-1][factors.digit] + factors.style).cpu()  # (M,)
    expected = mode.bincount(minlength=int(first[-1]))
    if (missing := (expected == 0).sum().item()) > 0:
        raise BadInput(f"{missing} of the {len(expected)} styles are missing in the reference: give more images.")
    some = reference[:: max(1, len(reference) // 2000)]
    radius = neighbours(some, reference, 2)[0][:, 1].quantile(quantile)  # the nearest of all is the image itself
    distances, nearest = neighbours(features, reference)  # (N, 1) each
    return label_coverage(mode[nearest[:, 0]], len(expected), expected, distances[:, 0] <= radius)


class DifferentBins(NamedTuple):
    """What the histogram test found."""

    different: int  # bins whose shares differ beyond chance
    bins: int  # bins that there are: fewer than asked for if there are fewer different real examples
    real_share: Tensor  # float64 (bins,)
    fake_share: Tensor  # float64 (bins,); ``(fake_share - real_share).argsort()`` ranks what is missing


def different_bins(real: Tensor, fake: Tensor, bins: int = 100, alpha: float = 0.05, seed: int = 0) -> DifferentBins:
    """Number of statistically different bins (Richardson & Weiss 2018, section 2): modes found, not known.

    k-means cuts the real examples into bins, every fake falls into the nearest, and a two-proportion z-test at level
    `alpha` asks of each bin whether fakes and real examples fall into it equally often. A perfect generator does not
    get 0 but about alpha · bins: 4.6 ± 2.0 of 100. The number grows with the counts: compare at equal ones. Blind to
    everything within a bin, memorisation included; a shift of all samples looks like lost modes.

    Args:
        real: features (N, d); fake: features (M, d); each at least 5 for each bin. With 5 the z-test is rough.
        seed: fixes the k-means++ start.

    Raises:
        BadInput: the shapes do not fit, there are too few examples, or a feature is NaN or infinite.
    """
    bins = whole("bins", bins, least=2)
    critical = math.sqrt(2) * torch.erfinv(torch.tensor(1 - _share("alpha", alpha), dtype=torch.float64))
    real, fake = checked_pair(real, fake, least=5 * bins, why=f"{bins} bins need five for each")
    centres = clusters(real, bins, seed)  # (K, d)
    n, m = len(real), len(fake)
    p, q = (neighbours(x, centres)[1][:, 0].bincount(minlength=len(centres)).double() / len(x) for x in (real, fake))
    pooled = (n * p + m * q) / (n + m)
    z = (p - q).abs() / (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()  # NaN, so not different, with a single bin
    return DifferentBins((z > critical).sum().item(), len(centres), p, q)


# --- is it new? ------------------------------------------------------------------------------------------------------

ENOUGH = 2000  # colliding pairs; more make the estimate no better


class Birthday(NamedTuple):
    """What the birthday test found."""

    batch: int  # smallest batch in which two samples collide at least every other time; the count if none collide
    support: float  # about so many different images, batch²; if none collide, count²/6, and the truth is above it
    probability: float  # of a collision in a batch of this size; 0 if none collide
    at_least: bool  # no collision was found: `support` is only a lower bound (at 95% confidence)
    pairs: Tensor  # int64 (E, 2), the colliding samples: at most some thousand, the nearest first


def birthday(features: Tensor, threshold: float, trials: int = 500, seed: int = 0) -> Birthday:
    """How many different images can G make? The birthday-paradox test of Arora & Zhang 2017 (section 2).

    Among s draws from M equally likely images two are the same with probability ½ at s ≈ 1.2·√M (23 people, 365
    birthdays), so the support is about s². Random batches are drawn from the samples, without repetition. If not even
    all of them together hold a collision, the support is only bounded from below: fewer than count²/6 equally likely
    images would have shown one, 95 times of 100. With fewer than ten pairs the estimate is rough. Unequal
    probabilities make the support look smaller than it is: it is the number of images that are made often.
    Its floor is what as many real examples give. Blind to quality, and to whether G makes the right images.

    Args:
        features: (N, d), N ≥ 2.
        threshold: distance up to which two samples count as the same image: `same_image`, or 0 for exact copies.
        trials: batches that the probability is estimated from; seed: fixes them.

    Raises:
        BadInput: the shape or the threshold does not fit, or a feature is NaN or infinite.
    """
    x, threshold = checked(features), number("threshold", threshold, least=0)
    trials, draw = whole("trials", trials, least=1), torch.Generator().manual_seed(whole("seed", seed))
    order = torch.randperm(len(x), generator=draw)
    count, pairs = min(len(x), 64), _collisions(x[order[:64]], threshold)
    while len(pairs) < ENOUGH and count < len(x):
        count = min(2 * count, len(x))
        pairs = _collisions(x[order[:count]], threshold)
    if not len(pairs):
        return Birthday(len(x), len(x) ** 2 / 6, 0.0, True, pairs)
    arrival = torch.rand(trials, count, generator=draw)  # samples join the batch one by one, each at a random time
    first = torch.maximum(arrival[:, pairs[:, 0]], arrival[:, pairs[:, 1]]).amin(1)  # time of the first collision
    sizes = (arrival <= first[:, None]).sum(1).sort().values  # (trials,) of the batch at that time
    batch = sizes[(trials - 1) // 2].item()
    return Birthday(batch, float(batch**2), (sizes <= batch).double().mean().item(), False, order[pairs])


def _collisions(x: Tensor, threshold: float) -> Tensor:
    """The pairs i < j whose distance is at most `threshold`, int64 (E, 2), the nearest first."""
    found = [torch.empty(0, 2, dtype=torch.int64)]
    for rows, squares in squared_distances(x, x, error=-1):  # (n, N)
        pairs = (squares <= threshold**2).triu_(rows.start + 1).nonzero()
        found.append(pairs + torch.tensor([rows.start, 0]))
    pairs = torch.cat(found)
    distances = exact_distances(x[pairs[:, 0]], x, pairs[:, 1:])[:, 0]
    near, order = distances.sort(stable=True)
    return pairs[order[near <= threshold]]


def same_image(real: Tensor, share: float = 0.001) -> float:
    """A threshold for `birthday`: the distance up to which `share` of different real examples have a neighbour.

    So different real images collide rarely at this count, and copies always. Look at a few of the pairs that it lets
    collide, as Arora & Zhang do: are they the same image to you?

    Args:
        real: features (N, d), N ≥ 2, about as many as there are samples to test.

    Raises:
        BadInput: as `frechet`; or all examples are the same.
    """
    x = checked(real).unique(dim=0)
    if len(x) < 2:
        raise BadInput("the real examples are all the same: choose the threshold by hand.")
    return neighbours(x, x, exclude_self=True)[0].quantile(_share("share", share)).item()


class Memorisation(NamedTuple):
    """What the memorisation test found."""

    share: float  # of fakes whose ratio is at most the threshold, from 0 to 1
    baseline: float  # the same share of held-out examples: what an honest generator gets
    p_value: float  # probability of so large a share by chance, if fakes are distributed as held-out examples
    copied: int  # different training examples that these fakes lie at
    threshold: float  # of the ratio, from the held-out examples
    ratios: Tensor  # float64 (N,), of each fake, from 0 (a copy) to 1
    nearest: Tensor  # int64 (N,), its nearest training example; ``ratios.argsort()`` shows the worst first


def memorisation(fake: Tensor, train: Tensor, held_out: Tensor, quantile: float = 0.01) -> Memorisation:
    """Are the fakes closer to training examples than held-out examples are? A nearest-neighbour test with a baseline.

    A sample's ratio is its distance to the nearest training example over that to the second nearest different one: 0
    for a copy, near 1 for a new image, in crowded regions (digit 1) and in empty ones alike. (The distance itself would
    blame samples that are more typical than real ones. Repeated training examples count once.) The threshold is the
    `quantile` of the held-out ratios, so an honest generator has a share of about 1%. `p_value` is Fisher's exact test;
    with many samples harmless differences become certain too, so ask for a share of several times the baseline as
    well: ``share - baseline`` estimates the share of copies.
    Blind to copies that are changed more, in these features, than neighbours differ: noise moves a judge's features
    far, so try flattened pixels as well. One image repeated is one draw, not many: see `copied`.

    Args:
        fake: features (N, d), N ≥ 1; train: features (M, d), two different ones at least;
        held_out: features (H, d) of real examples outside `train`, at least 1/quantile (100).

    Raises:
        BadInput: the shapes do not fit, there are too few examples, or a feature is NaN or infinite.
    """
    quantile = _share("quantile", quantile)
    fake, train, held_out = checked(fake, least=1), checked(train), checked(held_out)
    if len(held_out) < (least := math.ceil(1 / quantile)):
        raise BadInput(f"there are {len(held_out)} held-out examples: a quantile of {quantile:g} needs {least}.")
    different, inverse = train.unique(dim=0, return_inverse=True)
    if len(different) < 2:
        raise BadInput("the training examples are all the same: give at least two different ones.")
    first = torch.full((len(different),), len(train)).scatter_reduce_(0, inverse, torch.arange(len(train)), "amin")
    own, index = _ratios(fake, different)
    others = _ratios(held_out, different)[0]
    threshold = others.sort().values[max(int(quantile * len(others)), 1) - 1].item()
    close, base = own <= threshold, (others <= threshold).sum().item()
    chance = _fisher(close.sum().item(), len(own), base, len(others))
    copied = len(index[close].unique())
    share = close.double().mean().item()
    return Memorisation(share, base / len(others), chance, copied, threshold, own, first[index])


def _ratios(x: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest over second nearest distance, (N,), and the index of the nearest, (N,)."""
    distances, index = neighbours(x, train, 2)
    return distances[:, 0] / distances[:, 1].clamp(min=1e-300), index[:, 0]


def _fisher(hits: int, n: int, base_hits: int, base_n: int) -> float:
    """P(as many hits or more among n, if n + base_n share hits + base_hits at random): Fisher's test, one-sided."""

    def choose(n, k):  # logarithm
        n, k = (torch.as_tensor(value, dtype=torch.float64) for value in (n, k))
        return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)

    total = hits + base_hits
    k = torch.arange(hits, min(n, total) + 1)
    terms = choose(n, k) + choose(base_n, total - k) - choose(n + base_n, total)
    return min(terms.logsumexp(0).exp().item(), 1.0)


# --- conditional nets ------------------------------------------------------------------------------------------------


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of images, from 0 to 1, that the judge takes for the class that was asked for.

    Read it beside the judge's own accuracy on real images. It does not see a class that is always the same image: see
    `diversity_by_class`.

    Args:
        logits: the judge's, (N, K).
        labels: the classes that G was asked for, int64 (N,), from 0 to K − 1.

    Raises:
        BadInput: the shapes do not fit, there are no images, or a logit is NaN.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not len(logits):
        given = f"of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise BadInput(f"the logits are {given}: give (N, classes) with at least one image.")
    if logits.isnan().any():
        raise BadInput("the logits hold NaN: look at the images they were computed from.")
    labels = _some_labels(labels)
    check_labels(labels, *logits.shape)
    return (logits.argmax(1).cpu() == labels).double().mean().item()


def frechet_by_class(a: Tensor, a_labels: Tensor, b: Tensor, b_labels: Tensor) -> Tensor:
    """Fréchet distance within each class that occurs, in the order of the classes: float64 (K,), on the CPU.

    It sees what `frechet` over all classes together cannot: a class that is made badly, or made under another's label.
    Its floor is higher, for a class has fewer examples: compare at equal counts per class only.

    Args:
        a: features (N, d); b: features (M, d).
        a_labels, b_labels: their classes, whole numbers (N,) and (M,), counted from 0.

    Raises:
        BadInput: as `frechet`; the labels do not fit, or a class has fewer than two examples on one side.
    """
    return torch.tensor([frechet(*pair) for pair in _by_class((a, a_labels), (b, b_labels))], dtype=torch.float64)


def diversity_by_class(features: Tensor, labels: Tensor) -> Tensor:
    """How far apart two different examples of one class are, in the order of the classes: float64 (K,), on the CPU.

    The root of the mean squared distance over all pairs, which is √(2 · trace of the covariance). Only the comparison
    with the same number on *real* images of the class says something: near it, G varies as much as the data; near 0,
    G makes one image per class, whatever z. Above it, look at the images: noise is diverse as well.

    Args:
        features: (N, d), from a judge, or pixels flattened.
        labels: their classes, whole numbers (N,), counted from 0.

    Raises:
        BadInput: as `frechet`; the labels do not fit, or a class has fewer than two examples.
    """
    return torch.stack([(2 * x.var(0).sum()).sqrt() for (x,) in _by_class((features, labels))])


class LabelResponse(NamedTuple):
    """What D says to the right label and to a wrong one."""

    own: float  # mean logit of the examples with their own label
    other: float  # mean logit of the same examples with a wrong label
    preferred: float  # share of examples that D rates higher with their own label; a tie counts half


def label_response(D: nn.Module, x: Tensor, y: Tensor, seed: int = 0) -> LabelResponse:
    """Does D look at the label? Each example is shown with its own label and with one drawn from the others.

    On real images `preferred` near 1/2 means that D ignores the label, and then nothing tells G to obey it; near 1, D
    knows which label belongs to which image. An untrained D has opinions too, but no reason for them: its own and other
    logits lie close together. D is asked in eval mode, and gets its mode back.

    Args:
        D: a conditional discriminator, `.classes` of 2 or more; D(x, y) gives one logit each.
        x: examples (N, *shape); y: their labels, int64 (N,), from 0 to classes − 1.
        seed: fixes the wrong labels.

    Raises:
        BadInput: D is not conditional, the labels do not fit, there are no examples, or a logit is not finite.
    """
    classes = classes_of(D)
    if classes < 2:
        raise BadInput("this D tells no labels apart: give a conditional one, made with classes=2 or more.")
    y = _on_cpu(y)
    check_labels(y, len(x), classes)
    if not len(x):
        raise BadInput("there are no examples to show to D: give at least one.")
    draw = torch.Generator().manual_seed(whole("seed", seed))
    wrong = (y + torch.randint(1, classes, y.shape, generator=draw)) % classes  # (N,), never y
    own, other = _logits(D, x, y), _logits(D, x, wrong)  # (N,)
    if not torch.stack([own, other]).isfinite().all():
        raise BadInput("D gives NaN or infinite logits: look at the run that it comes from.")
    preferred = (own > other).double() + 0.5 * (own == other)
    return LabelResponse(own.mean().item(), other.mean().item(), preferred.mean().item())


# --- what would a perfect generator get? -----------------------------------------------------------------------------

Result = TypeVar("Result")


def floor(metric: Callable[[Tensor, Tensor], Result], real: Tensor, n: int, seed: int = 0) -> Result:
    """What `metric` gives for two disjoint random sets of n real examples: no generator can be asked for more.

    ``floor(precision_recall, features, 5000)``. Set a generator's number, from n samples against n real examples,
    beside it.

    Raises:
        BadInput: there are fewer than 2n real examples.
    """
    n = whole("n", n, least=1)
    if not isinstance(real, Tensor):
        raise BadInput(f"the real examples are a {type(real).__name__}: give a tensor (M, …).")
    if len(real) < 2 * n:
        raise BadInput(
            f"a floor at {n} takes {2 * n} real examples, and there are {len(real)}: give more, or a smaller n."
        )
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(whole("seed", seed)))
    return metric(real[order[:n]], real[order[n : 2 * n]])


class Row(NamedTuple):
    """One line of a report."""

    name: str
    value: float  # of the fakes
    floor: float  # what held-out real examples get in their place, at the same count
    better: str  # "lower", "higher", or "near" the floor
    count: int  # examples on each side


def report(
    fake: Tensor,
    real: Tensor,
    held_out: Tensor | None = None,
    *,
    probabilities: Tensor | None = None,
    held_out_probabilities: Tensor | None = None,
    seed: int = 0,
) -> list[Row]:
    """All metrics, each with its floor: the same metric of held-out real examples in the place of the fakes.

    All sets are cut to one count, that of the smallest, for most metrics change with it; only `memorisation` looks
    at all of `real`. Without `held_out`, one half of `real`, at random, is held out.

    Args:
        fake: features (N, d); real: features (M, d) that G was trained on; held_out: features (H, d) of further ones;
            at least 100 each.
        probabilities: a judge's softmax outputs for `fake`, (N, K), and held_out_probabilities, (H, K), for `held_out`:
            both or neither. They add the inception score and the coverage of the classes.
        seed: fixes the random subsets.

    Raises:
        BadInput: the shapes do not fit, there are too few examples, or a value is NaN or infinite.
    """
    draw = torch.Generator().manual_seed(whole("seed", seed))
    if held_out is None:
        if held_out_probabilities is not None or probabilities is not None:
            raise BadInput("probabilities need a baseline: give held_out and held_out_probabilities too.")
        order = torch.randperm(len(checked(real, least=200)), generator=draw)
        real, held_out = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
    fake, real, held_out = (checked(x, least=100) for x in (fake, real, held_out))
    count = min(len(fake), len(real), len(held_out))
    pick = [torch.randperm(len(x), generator=draw)[:count] for x in (fake, real, held_out)]
    rows = _rows(fake[pick[0]], real[pick[1]], held_out[pick[2]], seed)
    memory = memorisation(fake[pick[0]], real, held_out[pick[2]])
    rows.append(("memorisation", memory.share, memory.baseline, "lower"))
    given = [probabilities, held_out_probabilities]
    if probabilities is not None or held_out_probabilities is not None:
        for p, x in zip(given, (fake, held_out), strict=True):
            if p is None or len(p) != len(x):
                raise BadInput("give probabilities for every fake and every held-out example, or for none.")
        rows += _class_rows(*(_probabilities(p)[i] for p, i in zip(given, pick[::2], strict=True)))
    return [Row(*row, count) for row in rows]


def _rows(fake: Tensor, real: Tensor, held_out: Tensor, seed: int) -> list[tuple]:
    """The rows of a report that come from features, each set of the same length."""
    if bool((real == real[:1]).all()):
        raise BadInput("the real examples are all the same: give the features of different real images.")
    same, bins = same_image(real), min(100, len(real) // 20)
    sides = fake, held_out
    pr, dc = ([metric(real, x) for x in sides] for metric in (precision_recall, density_coverage))
    binned = [different_bins(real, x, bins, seed=seed) for x in sides]
    born = [birthday(x, same, seed=seed) for x in sides]
    return [
        ("frechet", *(frechet(x, real) for x in sides), "lower"),
        ("kernel distance", *(kernel_distance(x, real) for x in sides), "lower"),
        ("precision", *(x.precision for x in pr), "higher"),
        ("recall", *(x.recall for x in pr), "higher"),
        ("density", *(x.density for x in dc), "near"),
        ("coverage", *(x.coverage for x in dc), "higher"),
        ("different bins", *(x.different / x.bins for x in binned), "lower"),
        ("support", *(x.support for x in born), "higher"),
        ("diversity", *(diversity(x) for x in sides), "near"),
    ]


def _class_rows(fake: Tensor, held_out: Tensor) -> list[tuple]:
    """The rows of a report that come from probabilities (n, K)."""
    classes = fake.shape[1]
    if held_out.shape[1] != classes:
        raise BadInput(f"the probabilities have {classes} and {held_out.shape[1]} columns: use one judge for both.")
    found = [label_coverage(p.argmax(1), classes) for p in (fake, held_out)]
    return [
        ("inception score", inception_score(fake), inception_score(held_out), "near"),
        ("classes", *(float(x.modes) for x in found), "higher"),
        ("class KL", *(x.reverse_kl for x in found), "lower"),
    ]


# --- tools -----------------------------------------------------------------------------------------------------------


def _probabilities(p: Tensor) -> Tensor:
    """The probabilities as float64 on the CPU, checked: (N, K), N ≥ 2, each row a distribution."""
    if not isinstance(p, Tensor) or p.ndim != 2 or len(p) < 2 or not p.shape[1]:
        given = f"of shape {tuple(p.shape)}" if isinstance(p, Tensor) else f"a {type(p).__name__}"
        raise BadInput(f"the probabilities are {given}: give a tensor (N, classes) with at least two examples.")
    p = p.detach().to("cpu", torch.float64)
    sums = p.sum(1)
    if not ((p >= 0).all() and (sums - 1).abs().max() < 1e-2):  # NaN and infinity fail too
        raise BadInput("the rows are not probabilities, ≥ 0 with the sum 1: give logits.softmax(1).")
    return p / sums[:, None]


def _shares(expected: Tensor, classes: int) -> Tensor:
    """Expected shares or counts as float64 (classes,) with the sum 1."""
    try:
        expected = torch.as_tensor(expected).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        expected = torch.empty(0)
    if expected.shape != (classes,) or not (expected > 0).all() or not expected.isfinite().all():
        raise BadInput(f"the expected shares do not fit: give {classes} finite numbers, all above 0.")
    return expected / expected.sum()


def _share(name: str, value: float) -> float:
    return number(name, value, above=0, below=1)


def _logits(D: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1000) -> Tensor:
    """D(x, y), float64 (N,) on the CPU, in eval mode and without gradients."""
    weight = next(D.parameters(), x)
    with evaluating(D), torch.no_grad():
        parts = zip(x.split(batch_size), y.to(weight.device).split(batch_size), strict=True)
        logits = [D(part.to(weight), y) for part, y in parts]
    if any(part.numel() != len(part) for part in logits):
        raise BadInput(f"D gives numbers of shape {tuple(logits[0].shape)}: it must give one logit for each example.")
    return torch.cat([part.flatten() for part in logits]).to("cpu", torch.float64)


def _by_class(*sides: tuple[Tensor, Tensor]) -> list[tuple[Tensor, ...]]:
    """For each class that occurs in the (features, labels) of any side: its features, at least two, of every side."""
    sides = [(checked(x), _on_cpu(labels)) for x, labels in sides]
    for x, labels in sides:
        if not isinstance(labels, Tensor) or labels.dtype not in INTEGERS or labels.shape != x.shape[:1]:
            given = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else repr(labels)
            raise BadInput(f"the labels are {given}: give one whole number for each example, ({len(x)},).")
        if (low := labels.min().item()) < 0:
            raise BadInput(f"a label is {low}: leave such examples out, for classes count from 0.")
    groups = []
    for c in torch.cat([labels.long() for _, labels in sides]).unique():
        groups.append(tuple(x[labels == c] for x, labels in sides))
        counts = [len(x) for x in groups[-1]]
        if min(counts) < 2:
            counts = " and ".join(map(str, counts))
            raise BadInput(f"class {c} has too few examples ({counts}): give at least two, or leave the class out.")
    return groups


INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def _some_labels(y: Tensor) -> Tensor:
    if not isinstance(y, Tensor):
        raise BadInput(f"the labels are a {type(y).__name__}: give a tensor of whole numbers, one for each example.")
    return y.cpu()


def _on_cpu(x: Tensor) -> Tensor:
    return x.cpu() if isinstance(x, Tensor) else x
