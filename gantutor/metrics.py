"""How good is a sample? Metrics eat features, not models; `score` joins a sampler, a judge and a reference.

For conditional nets: does G make the class that it is asked for (`accuracy`), as well as it should
(`frechet_by_class`), in more than one way (`diversity_by_class`), and does D look at the label (`label_response`)?
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gantutor import judge
from gantutor.errors import BadInput, whole
from gantutor.labels import check_labels, classes_of
from gantutor.models import evaluating


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
    if logits.ndim != 2 or not len(logits):
        raise BadInput(f"logits of shape {tuple(logits.shape)}: give (N, classes) with at least one image.")
    if logits.isnan().any():
        raise BadInput("the logits hold NaN: look at the images they were computed from.")
    labels = _on_cpu(labels)
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


# --- tools -----------------------------------------------------------------------------------------------------------


def _logits(D: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1000) -> Tensor:
    """D(x, y), float64 (N,) on the CPU, in eval mode and without gradients."""
    weight = next(D.parameters(), x)
    with evaluating(D), torch.no_grad():
        parts = zip(x.split(batch_size), y.to(weight.device).split(batch_size), strict=True)
        return torch.cat([D(part.to(weight), y).reshape(len(y)) for part, y in parts]).to("cpu", torch.float64)


def _by_class(*sides: tuple[Tensor, Tensor]) -> list[tuple[Tensor, ...]]:
    """For each class that occurs in the (features, labels) of any side: its features, at least two, of every side."""
    sides = [(_features(x), _on_cpu(labels)) for x, labels in sides]
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


def _on_cpu(x: Tensor) -> Tensor:
    return x.cpu() if isinstance(x, Tensor) else x


def _features(x: Tensor) -> Tensor:
    if x.ndim != 2 or len(x) < 2:
        raise BadInput(f"features of shape {tuple(x.shape)}: give (N, d) with at least two examples.")
    if not x.isfinite().all():
        raise BadInput("the features hold NaN or infinite values: look at the images they were computed from.")
    return x.detach().to("cpu", torch.float64)
