"""Are the samples new? How many different images there are, and which are copies."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gantutor.errors import BadInput, real_number, whole_number
from gantutor.metrics.arguments import between_0_and_1
from gantutor.metrics.neighbours import (
    check_same_width,
    checked,
    clusters,
    exact_distances,
    nearest_neighbours,
    squared_distances,
)

ENOUGH_PAIRS = 2000  # colliding pairs; more do not improve the estimate
ENOUGH_FAKES = 20  # in a cell, for its statistic to be about normal


class Birthday(NamedTuple):
    """The result of the birthday test."""

    batch: int  # smallest batch in which two samples collide at least half of the time; the count if none ever do
    support: float  # estimated number of different images, batch²; if none collide count²/6, and the truth is above it
    probability: float  # of a collision in a batch of this size; 0 if none collide
    at_least: bool  # no collision was found, so `support` is only a lower bound (at 95% confidence)
    pairs: Tensor  # int64 (E, 2), the colliding samples: at most some thousand, the nearest first


def birthday(features: Tensor, threshold: float, trials: int = 500, seed: int = 0) -> Birthday:
    """How many different images can G make? The birthday-paradox test of Arora & Zhang 2017 (section 2).

    Among s draws from M equally likely images, two are the same with probability ½ at s ≈ 1.2·√M (23 people, 365
    birthdays), so the support is about s². Random batches are drawn from the samples, without repetition. If not even
    all samples together hold a collision, the support is only bounded from below: fewer than count²/6 equally likely
    images would have shown one 95 times in 100. With fewer than ten pairs the estimate is rough. If the images are not
    equally likely, the support is rather the number of those that are made often.
    Its floor is the value for as many real examples. Blind to quality, and to whether G makes the right images.

    Args:
        features: (N, d), N ≥ 2.
        threshold: distance up to which two samples count as the same image: `same_image`, or 0 for exact copies.
        trials: number of batches from which the probability is estimated; seed: fixes them.

    Raises:
        BadInput: the shape or the threshold does not fit, or a feature is NaN or infinite.
    """
    x, threshold = checked(features), real_number("threshold", threshold, least=0)
    trials, draw = whole_number("trials", trials, least=1), torch.Generator().manual_seed(whole_number("seed", seed))
    order = torch.randperm(len(x), generator=draw)
    count, pairs = min(len(x), 64), _collisions(x[order[:64]], threshold)
    while len(pairs) < ENOUGH_PAIRS and count < len(x):
        count = min(2 * count, len(x))
        pairs = _collisions(x[order[:count]], threshold)
    if not len(pairs):
        return Birthday(len(x), len(x) ** 2 / 6, 0.0, True, pairs)
    arrival = torch.rand(trials, count, generator=draw)  # samples join a batch one by one, each at a random time
    first = torch.maximum(arrival[:, pairs[:, 0]], arrival[:, pairs[:, 1]]).amin(1)  # time of the first collision
    sizes = (arrival <= first[:, None]).sum(1).sort().values  # (trials,): of the batch at that time
    batch = int(sizes[(trials - 1) // 2])
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
    """A threshold for `birthday`: the distance up to which a `share` of the different real examples have a neighbour.

    With it, different real images rarely collide at this count, and copies always do. Look at a few of the pairs that
    collide, as Arora & Zhang do, and decide whether you would call them the same image.

    Args:
        real: features (N, d), N ≥ 2, about as many as there are samples to test.

    Raises:
        BadInput: as `frechet`; or all examples are the same.
    """
    x = checked(real).unique(dim=0)
    if len(x) < 2:
        raise BadInput(
            "the real examples are all the same, which leaves no distance to go by: choose the threshold yourself."
        )
    return nearest_neighbours(x, x, exclude_self=True)[0].quantile(between_0_and_1("share", share)).item()


class Memorisation(NamedTuple):
    """The result of the memorisation test."""

    share: float  # of fakes whose ratio is at most the threshold, from 0 to 1
    baseline: float  # the same share of held-out examples, which a generator that copies nothing gets too
    p_value: float  # probability of a share at least as large if fakes are distributed as held-out examples
    copied: int  # number of different training examples that are nearest to these fakes
    threshold: float  # of the ratio, from the held-out examples
    ratios: Tensor  # float64 (N,), of each fake, from 0 (a copy) to 1
    nearest: Tensor  # int64 (N,), index of its nearest training example; ``ratios.argsort()`` puts the worst first


def memorisation(fake: Tensor, train: Tensor, held_out: Tensor, quantile: float = 0.01) -> Memorisation:
    """Are the fakes closer to training examples than held-out examples are? A nearest-neighbour test with a baseline.

    A sample's ratio is its distance to the nearest training example over that to the second nearest different one: 0
    for a copy, near 1 for a new image, in crowded regions (digit 1) and in empty ones alike. (The distance itself would
    accuse samples that are more typical than real ones. Repeated training examples count once.) The threshold is the
    `quantile` of the held-out ratios, so a generator that copies nothing has a share of about 1%. `p_value` comes from
    Fisher's exact test; because with many samples even harmless differences become significant, ask for a share several
    times the baseline as well: ``share - baseline`` estimates the share of copies.
    Blind to copies that are changed more, in these features, than neighbours differ: noise moves a classifier's
    features far, so try flattened pixels too. One image repeated is one draw and not many: see `copied`.

    Args:
        fake: features (N, d), N ≥ 1; train: features (M, d), at least two different ones;
        held_out: features (H, d) of real examples outside `train`, at least 1/quantile (100).

    Raises:
        BadInput: the shapes do not fit, there are too few examples, or a feature is NaN or infinite.
    """
    quantile = between_0_and_1("quantile", quantile)
    fake, train, held_out = checked(fake, least=1), checked(train), checked(held_out)
    if len(held_out) < (least := math.ceil(1 / quantile)):
        raise BadInput(f"there are {len(held_out)} held-out examples: a quantile of {quantile:g} needs {least}.")
    different, inverse = train.unique(dim=0, return_inverse=True)
    if len(different) < 2:
        raise BadInput("the training examples are all the same: give at least two different ones.")
    first = torch.full((len(different),), len(train)).scatter_reduce_(0, inverse, torch.arange(len(train)), "amin")
    ratios, index = _ratios(fake, different)
    held_out_ratios = _ratios(held_out, different)[0]
    H = len(held_out_ratios)
    threshold = held_out_ratios.sort().values[max(int(quantile * H), 1) - 1].item()
    close, close_held_out = ratios <= threshold, int((held_out_ratios <= threshold).sum())
    p_value = _fisher(int(close.sum()), len(ratios), close_held_out, H)
    copied = len(index[close].unique())
    share = close.double().mean().item()
    return Memorisation(share, close_held_out / H, p_value, copied, threshold, ratios, first[index])


def _ratios(x: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest over second nearest distance, (N,), and the index of the nearest example, (N,)."""
    distances, index = nearest_neighbours(x, train, 2)
    return distances[:, 0] / distances[:, 1].clamp(min=1e-300), index[:, 0]


def _fisher(hits: int, n: int, base_hits: int, base_n: int) -> float:
    """Fisher's exact test, one-sided: P(at least `hits` of the hits + base_hits fall on n of n + base_n, at random)."""

    def log_choose(n: int | Tensor, k: int | Tensor) -> Tensor:
        n, k = (torch.as_tensor(value, dtype=torch.float64) for value in (n, k))
        return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)

    total = hits + base_hits
    k = torch.arange(hits, min(n, total) + 1)
    terms = log_choose(n, k) + log_choose(base_n, total - k) - log_choose(n + base_n, total)
    return min(terms.logsumexp(0).exp().item(), 1.0)


class DataCopying(NamedTuple):
    """The result of the three-sample test."""

    statistic: float  # C_T: far below 0 if the fakes are nearer to training examples than held-out examples are
    cells: Tensor  # float64 (K,), the statistic in each cell; NaN where fakes are too few
    centres: Tensor  # float64 (K, d), the middle of each cell


def data_copying(fake: Tensor, train: Tensor, held_out: Tensor, cells: int = 10, seed: int = 0) -> DataCopying:
    """C_T, the three-sample test for data copying (Meehan, Chaudhuri & Dasgupta 2020).

    In each cell of a k-means partition of the training examples, the distances of fakes to their nearest training
    example are compared with those of held-out examples by the rank statistic of Mann and Whitney, scaled so that it
    has mean 0 and standard deviation 1 if both are distributed alike. C_T is the mean of the cells, each with the share
    of the held-out examples in it; cells with fewer than 20 fakes are left out. Its floor is therefore 0 ± 1/√K. Below
    −3 the fakes are too near to the training examples, above 3 too far (G is underfit); the least and greatest values
    are ∓√(3mn/(m + n + 1)), for m fakes and n held-out examples in each cell.
    Copies and misfits in one cell cancel: samples that are half copies and half noise may score 0, and so may G if
    its fakes lie nearer for another reason, such as images that are smoother than real ones. Blind to missing modes: a
    cell without fakes does not count. `memorisation` asks about a few copies among many samples.

    The nearest example is sought in the whole training set. (The authors' program seeks it in the cell.) A cell without
    a held-out example is given to its neighbours.

    Args:
        fake: features (N, d), N ≥ 20 · cells; train: (M, d), M ≥ 1; held_out: (H, d) real examples outside `train`.
        cells: of the partition; seed: fixes it.

    Raises:
        BadInput: the shapes do not fit, there are too few examples, or a feature is NaN or infinite.
    """
    cells = whole_number("cells", cells, least=1)
    why = f"{ENOUGH_FAKES} for each of {cells} cells"
    fake, train, held_out = checked(fake, ENOUGH_FAKES * cells, why), checked(train, least=1), checked(held_out)
    check_same_width(fake, train)
    check_same_width(held_out, train)
    centres = clusters(train, cells, seed)
    centres = centres[nearest_neighbours(held_out, centres)[1].unique()]  # (K, d)
    (of_fake, in_fake), (of_held_out, in_held_out) = (
        (nearest_neighbours(x, train)[0][:, 0], nearest_neighbours(x, centres)[1][:, 0]) for x in (fake, held_out)
    )
    found = torch.full((len(centres),), math.nan, dtype=torch.float64)
    for cell in range(len(centres)):
        if (in_fake == cell).sum() >= ENOUGH_FAKES:
            found[cell] = _mann_whitney(of_fake[in_fake == cell], of_held_out[in_held_out == cell])
    weights = in_held_out.bincount(minlength=len(centres)).where(found.isfinite(), 0)
    return DataCopying((weights * found.nan_to_num()).sum().item() / weights.sum().item(), found, centres)


def _mann_whitney(a: Tensor, b: Tensor) -> float:
    """How often a is above b (m and n values), in standard deviations from what equal distributions give."""
    m, n, b = len(a), len(b), b.sort().values
    wins = sum(torch.searchsorted(b, a, right=right).sum().item() for right in (False, True)) / 2  # a tie is half a win
    return (wins - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)


def authenticity(fake: Tensor, train: Tensor) -> float:
    """AuthPct: the share of fakes that are authentic, from 0 to 1 (Alaa et al. 2022).

    A fake is authentic if it is farther from its nearest training example than that one is from its own nearest
    neighbour in the training set. Repeated training examples count once. Copies score 0.
    Its floor is far below 1, because a new example of the right distribution is often the nearest neighbour of its
    nearest neighbour: uniform examples give 1/3 on a line, .378 in a plane, .407 in space. It grows with the dimension,
    to .59 for N(0, I₈) and .81 for N(0, I₆₄), so compare with the value of held-out examples. Above it the samples lie
    farther off than real ones, which noise does best: read a high value beside `precision_and_recall`. A few copies
    among many samples hardly lower it; `memorisation` sees these, because it has a baseline.

    Args:
        fake: features (N, d), N ≥ 1; train: features (M, d), at least two different ones.

    Raises:
        BadInput: the shapes do not fit, there are too few examples, or a feature is NaN or infinite.
    """
    fake, train = checked(fake, least=1), checked(train)
    check_same_width(fake, train)
    train = train.unique(dim=0)
    if len(train) < 2:
        raise BadInput("the training examples are all the same: give at least two different ones.")
    distances, nearest = nearest_neighbours(fake, train)  # (N, 1)
    spacing = nearest_neighbours(train, train, exclude_self=True)[0]  # (M, 1)
    return (distances > spacing[nearest[:, 0]]).double().mean().item()
