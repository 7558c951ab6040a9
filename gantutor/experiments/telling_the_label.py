"""Five ways of telling a conditional DCGAN the label, and labels drawn anew against labels of the batch."""

from dataclasses import replace
from functools import partial

from torch import nn

from gantutor import models
from gantutor.experiments.conditional_nets import (
    AuxiliaryDiscriminator,
    AuxiliaryRun,
    ConditionalBatchNormGenerator,
    LabelsDrawnAnew,
)
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute

CLASSES = 10


def pair(label: str, seed: int) -> tuple[nn.Module, nn.Module]:
    return models.dcgan(classes=CLASSES, label=label, seed=seed)


def auxiliary(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.DCGANGenerator(classes=CLASSES, seed=seed), AuxiliaryDiscriminator(CLASSES, seed + 1)


def by_batch_norm(seed: int) -> tuple[nn.Module, nn.Module]:
    return ConditionalBatchNormGenerator(CLASSES, seed), pair("projection", seed)[1]


def rows() -> dict[str, Row]:
    base = Training(partial(pair, "projection"), "mnist with labels", steps=1500)
    return dict(with_equal_compute("projection", {
        "projection": base,
        "concatenation": replace(base, nets=partial(pair, "concat")),
        "embedding": replace(base, nets=partial(pair, "embed")),
        "auxiliary classifier": replace(base, nets=auxiliary, game=AuxiliaryRun),
        "conditional batch norm": replace(base, nets=by_batch_norm),
        "labels drawn anew": replace(base, game=LabelsDrawnAnew),
        "concatenation, drawn anew": replace(base, nets=partial(pair, "concat"), game=LabelsDrawnAnew),
    }))  # fmt: skip


EXPERIMENT = Experiment(
    question="How is a conditional DCGAN on MNIST told the label best, and should G get the labels of D's batch?",
    rows=rows,
    base="projection",
)
