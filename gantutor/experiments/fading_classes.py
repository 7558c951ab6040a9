"""Classes that go missing: a plain GAN that learns from few digits, beside its twin that has all of them.

The steps are equal. R1 makes them 4% more expensive.
"""

from dataclasses import replace

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training
from gantutor.train import Recipe

PLAIN = Recipe(penalty=None, decay_from=1.0)


def pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp(g_hidden=(128, 256), d_hidden=(256, 128), seed=seed)


def rows() -> dict[str, Row]:
    twin = Training(pair, "mnist", PLAIN, steps=6000, looks=12, film=True)
    fewer = replace(twin, material="mnist, 1,000 images")
    return {
        "60,000 images": twin,
        "1,000 images": fewer,
        "300 images": replace(twin, material="mnist, 300 images"),
        "1,000 images, R1": replace(fewer, recipe=replace(PLAIN, penalty=Recipe.penalty)),
    }


EXPERIMENT = Experiment(
    question="Which digits does a plain GAN lose, and when, if it has few images to learn from?",
    rows=rows,
    base="60,000 images",
)
