"""D's loss falls to 0: a normal G, no penalty, and a D that learns five times as fast."""

from dataclasses import replace

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training
from gantutor.train import Recipe

RECIPE = Recipe(penalty=None, lr_g=1e-3, lr_d=1e-3)


def pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.dcgan(seed=seed)


def rows() -> dict[str, Row]:
    base = Training(pair, "mnist", RECIPE, steps=2000, looks=20)
    return {
        "equal rates": base,
        "D five times as fast": replace(base, recipe=replace(RECIPE, lr_d=5e-3)),
        "D five times as fast, with R1": replace(base, recipe=replace(RECIPE, lr_d=5e-3, penalty=Recipe().penalty)),
    }


EXPERIMENT = Experiment(
    question="What happens to a DCGAN on MNIST whose D learns five times as fast as its G, when, and does it recover?",
    rows=rows,
    base="equal rates",
)
