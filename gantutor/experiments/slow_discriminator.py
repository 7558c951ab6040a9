"""Lesson 00's game on the ring, with a D that learns more and more slowly."""

from dataclasses import replace

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training
from gantutor.train import Recipe

RECIPE = Recipe(lr_g=1e-3, lr_d=1e-3, betas=(0.0, 0.99), penalty=None, ema_decay=0.0, decay_from=1.0)
SLOWER = (2, 5, 10, 20)  # times


def pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp((2,), 2, (64, 64), (64, 64), batch_norm=False, output="linear", seed=seed)


def rows() -> dict[str, Row]:
    base = Training(pair, "wide ring", RECIPE, steps=2500, looks=50, together=True, shown=200)
    slow = {
        f"D {times} times slower": replace(base, recipe=replace(RECIPE, lr_d=RECIPE.lr_d / times)) for times in SLOWER
    }
    return {"D as fast as G": base, **slow}


EXPERIMENT = Experiment(
    question="How slowly may D learn before G loses the modes of the ring?",
    rows=rows,
    base="D as fast as G",
    seeds=range(10),
)
