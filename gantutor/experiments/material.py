"""What is trained on, and how samples of it are scored."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from gantutor import data, metrics
from gantutor.data import Images, faces, floats, strokes, toy
from gantutor.doctor import measures
from gantutor.errors import BadInput, unknown
from gantutor.experiments.experiment import Budget
from gantutor.metrics import classifier

Scores = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Material:
    """Examples, and the scores of samples.

    Attributes:
        examples: what a `Run` takes.
        score: samples (n, *shape) on the CPU, those of a conditional net with the classes in turn, -> scores by name.
    """

    examples: Images | Tensor
    score: Callable[[Tensor], Scores]


@cache
def load(name: str, budget: Budget) -> Material:
    """The material with this name. The tiny budget takes drawn digits for published ones, which need no network."""
    if name not in MATERIALS:
        raise unknown("material", name, MATERIALS)
    return MATERIALS[name](budget)


# --- points ----------------------------------------------------------------------------------------------------------


def points(mixture: toy.Mixture, scaled: bool, budget: Budget) -> Material:
    """Points of a mixture, as they are or divided by their spread."""
    unit = mixture.spread if scaled else 1.0
    return Material(mixture.sample(100_000, 0) / unit, partial(score_points, mixture, unit))


def score_points(mixture: toy.Mixture, unit: float, samples: Tensor) -> Scores:
    found = metrics.mixture_coverage(samples * unit, mixture)
    return {"modes": found.modes, "high quality": found.high_quality, "reverse KL": found.reverse_kl}


def clusters(mixture: toy.Mixture, budget: Budget) -> Material:
    """Points of a mixture, scored by what one would call found: a mode that holds over 2% of the samples."""
    return Material(mixture.sample(100_000, 0), partial(score_clusters, mixture))


def score_clusters(mixture: toy.Mixture, samples: Tensor) -> Scores:
    found = metrics.mixture_coverage(samples, mixture)
    return {"clusters": int((found.counts > 0.02 * len(samples)).sum()), "high quality": found.high_quality}


# --- images ----------------------------------------------------------------------------------------------------------


@cache
def published(name: str, split: str, tiny: bool) -> Images:
    if tiny:
        drawn = strokes.draw(2000, seed=0 if split == "train" else 1)
        return Images("strokes", drawn.pixels, drawn.digit, tuple("0123456789"))
    return data.load(name, split)


@cache
def judge_and_test(name: str, tiny: bool) -> tuple[classifier.Classifier, Tensor]:
    """The classifier of a data set, and its features (10,000, 64) of the test images."""
    j = classifier.load("strokes" if tiny else name)
    return j, classifier.features_and_logits(j, published(name, "test", tiny).pixels)[0]


def images(name: str, conditional: bool, budget: Budget) -> Material:
    return Material(published(name, "train", budget.tiny), partial(score_images, name, conditional, budget.tiny))


def few_images(name: str, n: int, budget: Budget) -> Material:
    """`n` of the images, drawn at random, always the same ones; scored like `images`."""
    whole = images(name, False, budget)
    chosen = torch.randperm(len(whole.examples), generator=torch.Generator().manual_seed(0))[:n]
    return Material(whole.examples[chosen], whole.score)


def score_images(name: str, conditional: bool, tiny: bool, samples: Tensor) -> Scores:
    """Are they good, is everything there, and is each class made? If conditional: is it the one that was asked for?"""
    j, test = judge_and_test(name, tiny)
    features, logits = classifier.features_and_logits(j, samples)
    found = metrics.precision_and_recall(test[: len(features)], features)
    most, classes = classifier.probabilities(logits).max(1)
    shares = torch.bincount(classes, minlength=logits.shape[1]) / len(classes)
    asked = torch.arange(len(samples)) % logits.shape[1]
    return {
        **({"accuracy": metrics.accuracy(logits, asked)} if conditional else {}),
        "frechet": metrics.frechet(features, test),
        "precision": found.precision,
        "recall": found.recall,
        "confident": (most > 0.9).double().mean().item(),  # share of images that are clearly of some class
        **{f"class {i}": share for i, share in enumerate(shares.tolist())},
    }


PICTURES = "GANTUTOR_PICTURES"  # an environment variable, because several processes may train


@cache
def all_pictures(tiny: bool) -> Tensor:
    """The pictures of the folder that `$GANTUTOR_PICTURES` names, bytes (N, 3, 32, 32), in an order that is always the
    same. The tiny budget draws some.
    """
    if tiny:
        return faces.draw(400, seed=5, size=32).pixels
    folder = os.environ.get(PICTURES)
    if not folder:
        raise BadInput("this experiment trains on pictures of your own: name their folder with --pictures.")
    pixels = data.from_folder(folder, 32, grey=False).stored
    return pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))]


def some_pictures(count: int, tiny: bool) -> tuple[Tensor, Tensor]:
    """So many of the pictures to train on (the tiny budget has fewer), and a sixth of all, held out; both as bytes."""
    pixels = all_pictures(tiny)
    held_out = len(pixels) // 6
    return pixels[held_out:][:count], pixels[:held_out]


def described_pictures(count: int) -> str:
    """How many pictures there are, and a digest of them. Raises `BadInput` unless `count` are left to train on."""
    pixels = all_pictures(False)
    if len(pixels) - len(pixels) // 6 < count:
        raise BadInput(
            f"there are {len(pixels):,} pictures, and a sixth is held out: to train on {count:,} takes "
            f"{-(-count * 6 // 5):,} at least."
        )
    digest = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
    return f"{len(pixels):,} pictures, SHA-256 {digest[:16]}"


@cache
def judged_pictures(tiny: bool) -> tuple[classifier.Classifier, Tensor]:
    """The classifier of drawn faces, and its features of all pictures."""
    j = classifier.load("faces", size=32)
    return j, classifier.features_and_logits(j, floats(all_pictures(tiny)))[0]


def pictures(budget: Budget) -> Material:
    return Material(all_pictures(budget.tiny), partial(score_pictures, budget.tiny))


def score_pictures(tiny: bool, samples: Tensor) -> Scores:
    j, every = judged_pictures(tiny)
    features = classifier.features_and_logits(j, samples)[0]
    found = metrics.precision_and_recall(every[: len(features)], features)
    return {"frechet": metrics.frechet(features, every), "precision": found.precision, "recall": found.recall}


@cache
def drawn_faces(tiny: bool) -> tuple[Images, Tensor]:
    """Faces at 64×64 to train on, and others, floats (2500, 3, 64, 64), to compare samples with."""
    if tiny:
        few = [faces.draw(n, seed).pixels for n, seed in ((300, 5), (200, 6))]
        return Images("faces", few[0], torch.zeros(300, dtype=torch.int64), ("all",)), floats(few[1])
    return data.load("faces"), data.load("faces", "test")[:2500]


@cache
def judged_faces(tiny: bool) -> tuple[classifier.Classifier, Tensor, Mapping[str, Tensor]]:
    """The classifier of faces; its features of those held out; and how frequent each value of each factor is there."""
    j, (_, held_out) = classifier.load("faces"), drawn_faces(tiny)
    return j, classifier.features_and_logits(j, held_out)[0], classifier.factor_shares(j, held_out)


def all_faces(budget: Budget) -> Material:
    return Material(drawn_faces(budget.tiny)[0], partial(score_faces, budget.tiny))


def score_faces(tiny: bool, samples: Tensor) -> Scores:
    """Are they good, is everything there, how many values are less than half or more than twice as frequent as they
    should be, and is there a checkerboard (in powers of ten, see `doctor`)?
    """
    j, there, usual = judged_faces(tiny)
    features, mine = classifier.features_and_logits(j, samples)[0], classifier.factor_shares(j, samples)
    found = metrics.precision_and_recall(there[: len(features)], features[: len(there)])
    off = sum(which.sum().item() for which in classifier.off_balance(mine, usual).values())
    return {
        "frechet": metrics.frechet(features, there),
        "precision": found.precision,
        "recall": found.recall,
        "values off": off,
        "checkerboard": measures.periodic_pattern(samples[:2000], drawn_faces(tiny)[1]).excess,
    }


def stacked(name: str, budget: Budget) -> Material:
    singles = published(name, "train", budget.tiny)
    return Material(data.stacked(singles, len(singles), seed=0), partial(score_stacked, name, budget.tiny))


def score_stacked(name: str, tiny: bool, samples: Tensor) -> Scores:
    """How many of the 1,000 modes are made, how evenly, and how many pictures have three clear digits?"""
    j, _ = judge_and_test(name, tiny)
    modes = metrics.label_coverage(classifier.stacked_modes(j, samples), 1000)
    logits = classifier.features_and_logits(j, samples.flatten(0, 1).unsqueeze(1))[1]
    clear = classifier.probabilities(logits).max(1).values.reshape(-1, 3).min(1).values > 0.9
    return {"modes": modes.modes, "reverse KL": modes.reverse_kl, "confident": clear.double().mean().item()}


RING, GRID = toy.ring(), toy.grid()

MATERIALS: dict[str, Callable[[Budget], Material]] = {
    "ring": partial(points, RING, False),
    "wide ring": partial(points, toy.ring(std=0.05), False),  # of lesson 06, whose trainings are short
    "clusters of the wide ring": partial(clusters, toy.ring(std=0.05)),  # of lesson 00
    "ring, scaled": partial(points, RING, True),
    "grid": partial(points, GRID, False),
    "grid, scaled": partial(points, GRID, True),
    "mnist": partial(images, "mnist", False),
    "mnist, 1,000 images": partial(few_images, "mnist", 1000),
    "mnist, 300 images": partial(few_images, "mnist", 300),
    "mnist with labels": partial(images, "mnist", True),
    "stacked mnist": partial(stacked, "mnist"),
    "faces": all_faces,
    "pictures": pictures,
}
