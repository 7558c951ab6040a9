"""What would a perfect generator get? Each metric beside its floor."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from gantutor.errors import BadInput, whole_number
from gantutor.metrics.arguments import as_probabilities
from gantutor.metrics.distances import diversity, frechet, kernel_distance, vendi
from gantutor.metrics.modes import different_bins, inception_score, label_coverage
from gantutor.metrics.neighbours import checked
from gantutor.metrics.novelty import (
    ENOUGH_FAKES,
    authenticity,
    birthday,
    data_copying,
    memorisation,
    same_image,
)
from gantutor.metrics.precision_recall import (
    clipped_density_and_coverage,
    density_and_coverage,
    precision_and_recall,
)
from gantutor.metrics.retrieval import image_retrieval

Result = TypeVar("Result")
Line = tuple[str, list[float], str]  # name, the metric of the fakes and of held-out examples, what is better


def floor(metric: Callable[[Tensor, Tensor], Result], real: Tensor, n: int, seed: int = 0) -> Result:
    """The value of `metric` for two disjoint random sets of n real examples: no generator can be expected to do better.

    ``floor(precision_and_recall, features, 5000)`` is what to compare a generator's value with, from n samples against
    n real examples.

    Raises:
        BadInput: there are fewer than 2n real examples.
    """
    n = whole_number("n", n, least=1)
    if not isinstance(real, Tensor):
        raise BadInput(f"the real examples are a {type(real).__name__}: give a tensor (M, …).")
    if len(real) < 2 * n:
        raise BadInput(
            f"a floor at n = {n} takes {2 * n} real examples, but there are {len(real)}: give more, or a smaller n."
        )
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(whole_number("seed", seed)))
    return metric(real[order[:n]], real[order[n : 2 * n]])


class Row(NamedTuple):
    """One line of a report: a metric of the fakes beside its floor."""

    name: str
    value: float  # of the fakes
    floor: float  # the same metric of as many held-out real examples
    better: str  # "lower", "higher", or "near" the floor
    count: int  # type: ignore[assignment]  # examples on each side; tuples have a method of that name


def report(
    fake: Tensor,
    real: Tensor,
    held_out: Tensor | None = None,
    *,
    probabilities: Tensor | None = None,
    held_out_probabilities: Tensor | None = None,
    seed: int = 0,
) -> list[Row]:
    """All metrics, each with its floor: the same metric of held-out real examples in place of the fakes.

    All sets are cut to the count of the smallest, because most metrics depend on it; only those that look for copies
    (`memorisation`, `data_copying`, `authenticity`) use all of `real`. Without `held_out`, a random half of `real` is
    held out.

    Args:
        fake: features (N, d); real: features (M, d) that G was trained on; held_out: features (H, d) of other real
            examples; at least 100 each.
        probabilities: softmax outputs of a classifier for `fake`, (N, K), and held_out_probabilities, (H, K), for
            `held_out`: both or neither. They add the inception score and the coverage of the classes.
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
    index = [torch.randperm(len(x), generator=draw)[:count] for x in (fake, real, held_out)]
    rows = _feature_rows(fake[index[0]], real[index[1]], held_out[index[2]], seed)
    rows += _copy_rows(fake[index[0]], real, held_out[index[2]], seed)
    given = [probabilities, held_out_probabilities]
    if probabilities is not None or held_out_probabilities is not None:
        complete = []
        for p, x in zip(given, (fake, held_out), strict=True):
            if p is None or len(p) != len(x):
                raise BadInput("give probabilities for every fake and every held-out example, or for none.")
            complete.append(p)
        rows += _class_rows(*(as_probabilities(p)[i] for p, i in zip(complete, index[::2], strict=True)))
    return [Row(name, value, floor, better, count) for name, (value, floor), better in rows]


def _feature_rows(fake: Tensor, real: Tensor, held_out: Tensor, seed: int) -> list[Line]:
    """The rows of a report that come from features; the three sets have the same length."""
    if bool((real == real[:1]).all()):
        raise BadInput("the real examples are all the same: give the features of different real images.")
    same, bins = same_image(real), min(100, len(real) // 20)
    sets = fake, held_out
    pr, dc = [precision_and_recall(real, x) for x in sets], [density_and_coverage(real, x) for x in sets]
    clipped = [clipped_density_and_coverage(real, x) for x in sets]
    binned = [different_bins(real, x, bins, seed=seed) for x in sets]
    birthdays = [birthday(x, same, seed=seed) for x in sets]
    return [
        ("frechet", [frechet(x, real) for x in sets], "lower"),
        ("kernel distance", [kernel_distance(x, real) for x in sets], "lower"),
        ("precision", [found.precision for found in pr], "higher"),
        ("recall", [found.recall for found in pr], "higher"),
        ("density", [found.density for found in dc], "near"),
        ("coverage", [found.coverage for found in dc], "higher"),
        ("clipped density", [found.density for found in clipped], "higher"),
        ("clipped coverage", [found.coverage for found in clipped], "higher"),
        ("image retrieval", [image_retrieval(x, real).score for x in sets], "higher"),
        ("different bins", [found.different / found.bins for found in binned], "lower"),
        ("support", [found.support for found in birthdays], "higher"),
        ("diversity", [diversity(x) for x in sets], "near"),
        ("Vendi score", [vendi(x) for x in sets], "near"),
    ]


def _copy_rows(fake: Tensor, train: Tensor, held_out: Tensor, seed: int) -> list[Line]:
    """The rows of a report that look for copies of training examples."""
    memory, cells = memorisation(fake, train, held_out), min(10, len(fake) // ENOUGH_FAKES)
    copying = [data_copying(x, train, held_out, cells, seed).statistic for x in (fake, held_out)]
    return [
        ("memorisation", [memory.share, memory.baseline], "lower"),
        ("data copying", copying, "near"),
        ("authenticity", [authenticity(x, train) for x in (fake, held_out)], "higher"),
    ]


def _class_rows(fake: Tensor, held_out: Tensor) -> list[Line]:
    """The rows of a report that come from probabilities (n, K)."""
    classes = fake.shape[1]
    if held_out.shape[1] != classes:
        raise BadInput(
            f"the probabilities have {classes} and {held_out.shape[1]} columns: use the same classifier for both."
        )
    found = [label_coverage(p.argmax(1), classes) for p in (fake, held_out)]
    return [
        ("inception score", [inception_score(fake), inception_score(held_out)], "near"),
        ("classes", [float(x.modes) for x in found], "higher"),
        ("class KL", [x.reverse_kl for x in found], "lower"),
    ]
