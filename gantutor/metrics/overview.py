"""What would a perfect generator get? Each metric beside its floor."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from gantutor.errors import BadInput, whole_number
from gantutor.metrics.arguments import as_probabilities
from gantutor.metrics.distances import diversity, frechet, kernel_distance
from gantutor.metrics.modes import different_bins, inception_score, label_coverage
from gantutor.metrics.neighbours import (
    checked,
)
from gantutor.metrics.novelty import birthday, memorisation, same_image
from gantutor.metrics.precision_recall import density_and_coverage, precision_and_recall

# --- what would a perfect generator get? -----------------------------------------------------------------------------

Result = TypeVar("Result")


def floor(metric: Callable[[Tensor, Tensor], Result], real: Tensor, n: int, seed: int = 0) -> Result:
    """What `metric` gives for two disjoint random sets of n real examples: no generator can be asked for more.

    ``floor(precision_recall, features, 5000)``. Set a generator's number, from n samples against n real examples,
    beside it.

    Raises:
        BadInput: there are fewer than 2n real examples.
    """
    n = whole_number("n", n, least=1)
    if not isinstance(real, Tensor):
        raise BadInput(f"the real examples are a {type(real).__name__}: give a tensor (M, …).")
    if len(real) < 2 * n:
        raise BadInput(
            f"a floor at {n} takes {2 * n} real examples, and there are {len(real)}: give more, or a smaller n."
        )
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(whole_number("seed", seed)))
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
    draw = torch.Generator().manual_seed(whole_number("seed", seed))
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
        rows += _class_rows(*(as_probabilities(p)[i] for p, i in zip(given, pick[::2], strict=True)))
    return [Row(*row, count) for row in rows]


def _rows(fake: Tensor, real: Tensor, held_out: Tensor, seed: int) -> list[tuple]:
    """The rows of a report that come from features, each set of the same length."""
    if bool((real == real[:1]).all()):
        raise BadInput("the real examples are all the same: give the features of different real images.")
    same, bins = same_image(real), min(100, len(real) // 20)
    sides = fake, held_out
    pr, dc = ([metric(real, x) for x in sides] for metric in (precision_and_recall, density_and_coverage))
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
