"""Is it new? How many different images there are, and which are copies."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gantutor.errors import BadInput, real_number, whole_number
from gantutor.metrics.arguments import between_0_and_1
from gantutor.metrics.neighbours import (
    checked,
    exact_distances,
    nearest_neighbours,
    squared_distances,
)

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
    x, threshold = checked(features), real_number("threshold", threshold, least=0)
    trials, draw = whole_number("trials", trials, least=1), torch.Generator().manual_seed(whole_number("seed", seed))
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
    return nearest_neighbours(x, x, exclude_self=True)[0].quantile(between_0_and_1("share", share)).item()


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
    quantile = between_0_and_1("quantile", quantile)
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
    distances, index = nearest_neighbours(x, train, 2)
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
