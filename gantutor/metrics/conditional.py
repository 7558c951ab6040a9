"""Conditional nets: does G make the class that it is asked for, and does D use the label?"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, whole_number
from gantutor.metrics.arguments import INTEGERS, labels_on_cpu, on_cpu
from gantutor.metrics.distances import frechet
from gantutor.metrics.neighbours import checked
from gantutor.models import check_labels, classes_of
from gantutor.state import evaluating


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of images, from 0 to 1, that a classifier assigns to the class that G was asked for.

    Read it beside the classifier's own accuracy on real images. It does not notice that all images of a class are the
    same: see `diversity_by_class`.

    Args:
        logits: the classifier's, (N, K).
        labels: the classes that G was asked for, int64 (N,), from 0 to K − 1.

    Raises:
        BadInput: the shapes do not fit, there are no images, or a logit is NaN.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not len(logits):
        given = f"of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise BadInput(f"the logits are {given}: give (N, classes) with at least one image.")
    if logits.isnan().any():
        raise BadInput("the logits hold NaN: check the images that they were computed from.")
    labels = labels_on_cpu(labels)
    check_labels(labels, *logits.shape)
    return (logits.argmax(1).cpu() == labels).double().mean().item()


def frechet_by_class(a: Tensor, a_labels: Tensor, b: Tensor, b_labels: Tensor) -> Tensor:
    """Fréchet distance within each class that occurs, in the order of the classes: float64 (K,), on the CPU.

    It shows what `frechet` over all classes together cannot: a class that is made badly, or under another's label. Its
    floor is higher, because a class has fewer examples, so compare only at equal counts per class.

    Args:
        a: features (N, d); b: features (M, d).
        a_labels, b_labels: their classes, whole numbers (N,) and (M,), counted from 0.

    Raises:
        BadInput: as `frechet`; the labels do not fit, or a class has fewer than two examples on one side.
    """
    return torch.tensor([frechet(*pair) for pair in _by_class((a, a_labels), (b, b_labels))], dtype=torch.float64)


def diversity_by_class(features: Tensor, labels: Tensor) -> Tensor:
    """How far apart two different examples of one class are, in the order of the classes: float64 (K,), on the CPU.

    This is the root of the mean squared distance over all pairs, √(2 · trace of the covariance). Compare it
    with the same number on *real* images of the class: near that, G varies as much as the data; near 0, G makes one
    image per class, whatever z is. If it is larger, look at the images, because noise is diverse as well.

    Args:
        features: (N, d), from a classifier, or flattened pixels.
        labels: their classes, whole numbers (N,), counted from 0.

    Raises:
        BadInput: as `frechet`; the labels do not fit, or a class has fewer than two examples.
    """
    return torch.stack([(2 * x.var(0).sum()).sqrt() for (x,) in _by_class((features, labels))])


class LabelResponse(NamedTuple):
    """D's response to the right label and to a wrong one."""

    own: float  # mean logit of the examples with their own label
    other: float  # mean logit of the same examples with a wrong label
    preferred: float  # share of examples that D rates higher with their own label; a tie counts half


def label_response(D: nn.Module, x: Tensor, y: Tensor, seed: int = 0) -> LabelResponse:
    """Does D use the label? It sees each example with its own label and with one drawn from the others.

    On real images, a `preferred` near 1/2 means that D ignores the label, and then nothing makes G obey it; near 1, D
    knows which label belongs to which image. An untrained D may prefer one label as well, but then the two mean logits,
    `own` and `other`, lie close together. D is called in eval mode, and its mode is restored afterwards.

    Args:
        D: a conditional discriminator, `.classes` of 2 or more; D(x, y) gives one logit each.
        x: examples (N, *shape); y: their labels, int64 (N,), from 0 to classes − 1.
        seed: fixes the wrong labels.

    Raises:
        BadInput: D is not conditional, the labels do not fit, there are no examples, or a logit is not finite.
    """
    classes = classes_of(D)
    if classes < 2:
        raise BadInput("this D does not distinguish labels: give a conditional one, made with classes=2 or more.")
    y = on_cpu(y)
    check_labels(y, len(x), classes)
    if not len(x):
        raise BadInput("there are no examples to show D: give at least one.")
    draw = torch.Generator().manual_seed(whole_number("seed", seed))
    wrong = (y + torch.randint(1, classes, y.shape, generator=draw)) % classes  # (N,), never y
    own, other = _logits(D, x, y), _logits(D, x, wrong)  # (N,)
    if not torch.stack([own, other]).isfinite().all():
        raise BadInput("D returns NaN or infinite logits: check the run that it comes from.")
    preferred = (own > other).double() + 0.5 * (own == other)
    return LabelResponse(own.mean().item(), other.mean().item(), preferred.mean().item())


def _logits(D: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1000) -> Tensor:
    """D(x, y), float64 (N,) on the CPU, in eval mode and without gradients."""
    weight = next(D.parameters(), x)
    with evaluating(D), torch.no_grad():
        batches = zip(x.split(batch_size), y.to(weight.device).split(batch_size), strict=True)
        logits = [D(x.to(weight), y) for x, y in batches]
    if any(batch.numel() != len(batch) for batch in logits):
        raise BadInput(f"D returns shape {tuple(logits[0].shape)}: it must return one logit for each example.")
    return torch.cat([batch.flatten() for batch in logits]).to("cpu", torch.float64)


def _by_class(*sets: tuple[Tensor, Tensor]) -> list[tuple[Tensor, ...]]:
    """For each class that occurs in any set (features, labels), its features in every set, at least two in each."""
    sets = [(checked(x), on_cpu(labels)) for x, labels in sets]
    for x, labels in sets:
        if not isinstance(labels, Tensor) or labels.dtype not in INTEGERS or labels.shape != x.shape[:1]:
            given = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else repr(labels)
            raise BadInput(f"the labels are {given}: give one whole number for each example, ({len(x)},).")
        if (low := labels.min().item()) < 0:
            raise BadInput(f"a label is {low}, but classes are counted from 0: leave such examples out.")
    groups = []
    for c in torch.cat([labels.long() for _, labels in sets]).unique():
        groups.append(tuple(x[labels == c] for x, labels in sets))
        counts = [len(x) for x in groups[-1]]
        if min(counts) < 2:
            counts = " and ".join(map(str, counts))
            raise BadInput(f"class {c} has too few examples ({counts}): give at least two, or leave the class out.")
    return groups
