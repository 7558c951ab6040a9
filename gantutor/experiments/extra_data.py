"""Samples of a conditional GAN as extra training data, against the number of real images and plain shifts."""

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from gantutor import metrics, models, train
from gantutor.data import Images
from gantutor.experiments import compute, material
from gantutor.experiments.classifying import Batch, Classifying, Task
from gantutor.experiments.experiment import Budget, Experiment, Row
from gantutor.metrics import classifier

PER_CLASS = (20, 100, 1000, 5000)
GAN_STEPS, STEPS = 3000, 800
MADE = 10_000


@lru_cache(1)
def some_of_each(count: int, seed: int, budget: Budget) -> Images:
    """So many real images of each class."""
    images = material.published("mnist", "train", budget.tiny)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    kept = torch.cat([order[images.labels[order] == c][:count] for c in range(len(images.classes))])
    return Images(images.name, images.stored[kept], images.labels[kept], images.classes)


@lru_cache(1)
def generated(count: int, seed: int, budget: Budget) -> tuple[Tensor, Tensor, float]:
    """Images and labels from a conditional GAN that knows only these real images; and its multiply-adds."""
    images = some_of_each(count, seed, budget)
    K, steps = len(images.classes), budget.steps(GAN_STEPS)
    G, D = models.mlp(classes=K, seed=1000 * seed)
    each = compute.of_a_step(train.Run(G, D, images))
    G, D = models.mlp(classes=K, seed=1000 * seed)
    run = train.Run(G, D, images, seed=seed)
    for _ in run.steps(steps):
        pass
    return run.sample(min(MADE, 2 * budget.samples)), torch.arange(min(MADE, 2 * budget.samples)) % K, each * steps


def shifted(batch: Batch) -> Batch:
    x, y = batch
    return x.roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3)), y


def picked(x: Tensor, y: Tensor, n: int) -> Batch:
    index = torch.randint(len(x), (n,))
    return x[index], y[index]


def prepare(count: int, moved: bool, with_gan: bool, seed: int, budget: Budget) -> Task:
    few, test = some_of_each(count, seed, budget), material.published("mnist", "test", budget.tiny)
    x, y = few.pixels, few.labels
    fakes, asked, spent = generated(count, seed, budget) if with_gan else (x[:0], y[:0], 0.0)
    change: Callable[[Batch], Batch] = shifted if moved else lambda batch: batch

    def draw() -> Batch:
        if not with_gan:
            return change(picked(x, y, 64))
        parts = change(picked(x, y, 32)), change(picked(fakes, asked, 32))
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def score(net: classifier.Classifier) -> dict[str, float]:
        logits = classifier.features_and_logits(net, test.pixels)[1]
        return {"accuracy": metrics.accuracy(logits, test.labels)}

    return Task(few.classes, draw, score, spent)


def rows() -> dict[str, Row]:
    made: dict[str, Row] = {}
    for count in PER_CLASS:
        for name, moved, with_gan in (
            ("real", False, False),
            ("shifted", True, False),
            ("real + GAN", False, True),
            ("shifted + GAN", True, True),
        ):
            about = {"per class": count, "shifted": moved, "GAN steps": GAN_STEPS if with_gan else 0}
            made[f"{count} per class, {name}"] = Classifying(
                partial(prepare, count, moved, with_gan), about, STEPS, rate=0.01, looks=4
            )
    return made


EXPERIMENT = Experiment(
    question="Do a conditional GAN's samples help a classifier that has few real digits, and more than plain shifts?",
    rows=rows,
    base="20 per class, real",
)
