"""Room 6, evaluation: metrics that are wrong."""

import torch
from torch import Tensor

from gantutor import metrics
from gantutor.data import Images
from gantutor.metrics import PrecisionRecall, classifier
from gantutor.museum.exhibits import Exhibit
from gantutor.museum.measures import Symptom
from gantutor.museum.settings import Parts, Side

# --- 28. two metrics --------------------------------------------------------------------------------------------------
# ---------------------------------------------------------------------------------------------------


def mean_of_everything(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance, but with means over all axes: one number instead of d."""
    a, b = a.double(), b.double()  # (N, d), (M, d)
    between = (a.mean() - b.mean()) ** 2
    return (between + metrics.frechet(a - a.mean(0), b - b.mean(0))).item()


def swapped(real: Tensor, fake: Tensor) -> PrecisionRecall:
    """Precision and recall with real and generated features swapped."""
    return metrics.precision_and_recall(fake, real)


# --- the checks -------------------------------------------------------------------------------------------------------


def sees_a_shift(frechet) -> None:
    """A shift by v gives ‖v‖², even if v sums to 0; doubling gives the sum of the variances (closed forms)."""
    x, v = torch.randn(1000, 8).double(), torch.tensor([1.0, -1.0] * 4).double()
    assert abs(frechet(x, x + v) - 8) < 0.01
    x -= x.mean(0)
    assert abs(frechet(x, 2 * x) - x.var(0).sum()) < 0.01


def precise_and_narrow(precision_recall) -> None:
    """Copies of a few real examples have high precision and low recall."""
    real = torch.randn(500, 8)
    found = precision_recall(real, real[:20].repeat(10, 1) + 1e-3 * torch.randn(200, 8))
    assert found.precision > 0.9
    assert found.recall < 0.5


# --- the catalogue ----------------------------------------------------------------------------------------------------


def as_metric(parts: Parts, piece) -> Parts:
    """Returns the parts unchanged, because both versions are trained alike and only the metric differs."""
    return parts


def features(side: Side, real: Images) -> tuple[Tensor, Tensor]:
    """The judge's features of real images and of the samples, (1000, d) and (n, d)."""
    known = classifier.load(real.name)
    a, b = (classifier.features_and_logits(known, x)[0] for x in (real.pixels[:1000], side.samples))
    return a, b


def share_of_frechet(side: Side, real: Images) -> float:
    a, b = features(side, real)
    return side.piece(a, b) / metrics.frechet(a, b)


def recall_of_half(side: Side, real: Images) -> float:
    """The recall that this metric gives to real images of half of the classes."""
    x, y, known = real.pixels[:2000], real.labels[:2000], classifier.load(real.name)
    a, b = (classifier.features_and_logits(known, part)[0] for part in (x, x[y < len(real.classes) // 2]))
    return side.piece(a, b).recall


ROOM = (
    Exhibit(
        "28a", "mean-over-all-axes", "a Fréchet distance with a mean over all axes",
        broken=mean_of_everything, sound=metrics.frechet, plug=as_metric,
        met="Metrics written from scratch, with mean() where mean(0) was meant.",
        cause="The mean of all numbers is a single number, in which differences of opposite sign cancel. The distance "
        "then depends on little but the covariances and comes out too small.",
        symptom=Symptom("the distance divided by the right one", share_of_frechet, low=0.99, high=1.01),
        check=sees_a_shift, steps=60,
    ),
    Exhibit(
        "28b", "precision-recall-exchanged", "precision and recall swapped",
        broken=swapped, sound=metrics.precision_and_recall, plug=as_metric,
        met="A public library of metrics, until an issue about it was resolved; it can happen in any call with two "
        "arguments of the same shape.",
        cause="The two numbers come from the same formula with its arguments swapped. A collapsed GAN then looks "
        "diverse and poor instead of narrow and good.",
        symptom=Symptom("recall of real images of half of the classes", recall_of_half, high=0.8),
        check=precise_and_narrow, steps=60,
    ),
)  # fmt: skip
