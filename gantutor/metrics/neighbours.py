"""Nearest neighbours and k-means among features, in float64 and in blocks.

Nothing of size N×N is ever held in memory.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gantutor.errors import BadInput, whole_number

SPARE = 4  # candidates beyond k whose distances are computed exactly
BLOCK = 2**20  # numbers of a matrix that are held at once, 8 MB: what does not fit the processor's cache is slow


def nearest_neighbours(queries: Tensor, base: Tensor, k: int = 1, exclude_self: bool = False) -> tuple[Tensor, Tensor]:
    """The k nearest examples of `base` to each query, nearest first: distances float64 (N, k), indices int64 (N, k).

    The search uses x² + y² − 2xy, which is off by about 10⁻¹³ of the squares; the distances of what it finds are then
    computed directly, so that an exact copy is at exactly 0. Ties are broken arbitrarily.

    Args:
        queries: features (N, d); base: features (M, d), M ≥ k. Computed in float64.
        exclude_self: `base` equals `queries`, and no example counts as its own neighbour (but its copies do); M > k.

    Raises:
        BadInput: the shapes do not fit, `base` has too few examples, or a feature is NaN or infinite.
    """
    k = whole_number("k", k, least=1)
    queries, base = checked_pair(queries, base, least=1)
    if exclude_self and not torch.equal(queries, base):
        raise BadInput("exclude_self compares a set with itself: give the same features as queries and as base.")
    if (others := len(base) - bool(exclude_self)) < k:
        raise BadInput(
            f"{k} neighbours of each were asked for, but there are {others}: give more examples, or a smaller k."
        )
    distances, index = queries.new_empty(len(queries), k), torch.empty(len(queries), k, dtype=torch.int64)
    for rows, squares in squared_distances(queries, base):  # (n, M)
        if exclude_self:
            squares.scatter_(1, torch.arange(len(queries))[rows, None], math.inf)
        near = squares.topk(min(k + SPARE, others), largest=False).indices.sort(1).values  # (n, k + SPARE)
        exact = exact_distances(queries[rows], base, near)
        nearest, order = exact.sort(dim=1, stable=True)
        distances[rows], order = nearest[:, :k], order[:, :k]
        index[rows] = near.gather(1, order)
    return distances, index


def exact_distances(queries: Tensor, base: Tensor, index: Tensor) -> Tensor:
    """Distances (n, k) of the queries (n, d) to the examples `index` (n, k) of the base, free of cancellation."""
    return torch.stack([(queries - base[i]).square().sum(1) for i in index.T], 1).sqrt()


def squared_distances(queries: Tensor, base: Tensor, error: int = 0) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances in blocks of queries, (rows, (n, M)); with `error` −1 or 1 a lower or upper bound of them."""
    centre = base.mean(0)  # around it less is lost to rounding
    queries, base = queries - centre, base - centre
    bound = 1 + error * (queries.shape[1] + 8) * torch.finfo(queries.dtype).eps
    query_squares = bound * queries.square().sum(1, keepdim=True)  # (N, 1)
    base_squares = bound * base.square().sum(1)  # (M,)
    for rows in in_blocks(len(queries), len(base)):
        yield rows, torch.addmm(base_squares, queries[rows], base.T, alpha=-2).add_(query_squares[rows])


def clusters(x: Tensor, count: int, seed: int = 0, steps: int = 30) -> Tensor:
    """k-means: centres float64 (K, d), by Lloyd's steps from a k-means++ start (Arthur & Vassilvitskii 2007).

    K is `count`, or less if there are fewer different examples in x (N, d), N ≥ 1.
    """
    x, count = checked(x, least=1), whole_number("count", count, least=1)
    draw = torch.Generator().manual_seed(whole_number("seed", seed))
    chosen = [int(torch.randint(len(x), (), generator=draw))]
    squares = (x - x[chosen[-1]]).square().sum(1)  # squared distance to the nearest centre, (N,)
    while len(chosen) < count and squares.max() > 0:
        chosen.append(int(torch.multinomial(squares / squares.max(), 1, generator=draw)))
        squares = torch.minimum(squares, (x - x[chosen[-1]]).square().sum(1))
    centres, before = x[chosen], None  # (K, d)
    for _ in range(steps):
        nearest = nearest_neighbours(x, centres)[1][:, 0]  # (N,)
        if before is not None and torch.equal(nearest, before):
            break
        before, counts = nearest, nearest.bincount(minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)  # an empty cluster stays where it is
    return centres


# --- blocks, and checks of features ----------------------------------------------------------------------------------


def in_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cut the rows of a (rows, columns) matrix into blocks of at most BLOCK numbers, or of one row."""
    step = max(1, BLOCK // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def checked(x: Tensor, least: int = 2, why: str = "") -> Tensor:
    """The features (N, d) as float64 on the CPU. Raises `BadInput` unless N ≥ least, d ≥ 1 and all are finite.

    `why` adds to the message why `least` are needed.
    """
    if not isinstance(x, Tensor):
        raise BadInput(f"the features are a {type(x).__name__}: give a tensor (N, d).")
    if x.ndim != 2 or len(x) < least or not x.shape[1]:
        few = "two" if least == 2 else least
        given = f" ({why})" if why else ""
        raise BadInput(f"features of shape {tuple(x.shape)}: give (N, d) with at least {few} examples{given}.")
    if not x.isfinite().all():
        raise BadInput("the features hold NaN or infinite values: check the images that they were computed from.")
    return x.detach().to("cpu", torch.float64)


def checked_pair(a: Tensor, b: Tensor, least: int = 2, why: str = "") -> tuple[Tensor, Tensor]:
    """Two sets of features, each as `checked` returns it. Raises `BadInput` if their lengths d differ."""
    a, b = checked(a, least, why), checked(b, least, why)
    check_same_width(a, b)
    return a, b


def check_same_width(a: Tensor, b: Tensor) -> None:
    if a.shape[1] != b.shape[1]:
        raise BadInput(f"the features have {a.shape[1]} and {b.shape[1]} columns: use the same classifier for both.")
