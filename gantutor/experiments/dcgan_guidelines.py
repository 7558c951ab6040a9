"""DCGAN's guidelines (Radford et al. 2016, section 3), each taken away, in the paper's recipe."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training
from gantutor.train import Recipe

RECIPE = Recipe(
    penalty=None, lr_g=2e-4, lr_d=2e-4, betas=(0.5, 0.999), decay_from=1.0
)  # section 4; the rates never fall

Changes = Mapping[str, Any]

COMMON: dict[str, tuple[Changes, Changes]] = {  # name: (of G, of D)
    "pooling in D": ({}, {"down": "pool"}),
    "no batch norm in G": ({"norm": "none"}, {}),
    "tanh in G": ({"activation": "tanh"}, {}),
    "sigmoid in G": ({"activation": "sigmoid"}, {}),
    "ReLU in D": ({}, {"slope": 0.0}),
    "resizing in G": ({"up": "resize", "kernel": 3}, {}),
    "PyTorch's first weights": ({"init_std": None}, {"init_std": None}),
}
CHANGES: dict[str, tuple[Changes, Changes]] = {
    "guidelines": ({}, {}),
    "hidden layer in D": ({}, {"hidden": 256}),
    "no batch norm in D": ({}, {"norm": "none"}),
    **COMMON,
}


def pair(g: Changes, d: Changes, seed: int) -> tuple[nn.Module, nn.Module]:
    """The pair that the course uses, with the paper's D: batch norm, no hidden layer; and then what is changed."""
    return models.DCGANGenerator(seed=seed, **g), models.DCGANDiscriminator(
        seed=seed + 1, **{"width": 16, "norm": "batch", "hidden": 0, **d}
    )


def rows() -> dict[str, Row]:
    base = Training(partial(pair, {}, {}), "mnist", RECIPE, steps=3000)
    return {name: replace(base, nets=partial(pair, g, d)) for name, (g, d) in CHANGES.items()}


EXPERIMENT = Experiment(
    question="Which of DCGAN's guidelines does its own recipe need, on MNIST, after 3,000 steps?",
    rows=rows,
    base="guidelines",
)
