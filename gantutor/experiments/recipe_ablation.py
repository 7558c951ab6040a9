"""The course's own recipe taken apart, at three lengths."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.models import DCGANGenerator
from gantutor.train import Recipe

PARTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no averaging": {"ema_decay": 0.0},
    "no R1": {"penalty": None},
    "R1 in every step": {"penalty_every": 1},
    "rates never fall": {"decay_from": 1.0},
    "rates fall from the start": {"decay_from": 0.0},
    "β₁ 0.5": {"betas": (0.5, 0.999)},
    "G as fast as D": {"lr_g": 1e-3},
    "D as fast as G": {"lr_d": 1.5e-3},
}


def pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.dcgan(seed=seed)


def unnormalised(seed: int) -> tuple[nn.Module, nn.Module]:
    G, D = models.dcgan(seed=seed)
    return DCGANGenerator(**{**G.config, "norm": "none"}), D


def rows(steps: int, left_out: Sequence[str]) -> dict[str, Row]:
    base = Training(pair, "mnist", Recipe(), steps)
    changed = {name: replace(base, recipe=replace(base.recipe, **part)) for name, part in PARTS.items()}
    changed["no batch norm in G"] = replace(base, nets=unnormalised)
    return dict(with_equal_compute("default", {name: row for name, row in changed.items() if name not in left_out}))


def experiment(steps: int, left_out: Sequence[str] = ()) -> Experiment:
    return Experiment(
        question=f"What is each part of the default recipe worth to a DCGAN on MNIST, at {steps:,} steps of it?",
        rows=partial(rows, steps, left_out),
        base="default",
    )
