"""Stacked digits, a thousand modes: a plain GAN with a narrow D, and remedies, with the share of clear digits.

Of 5,000 samples a perfect generator reaches 993 modes on average. "R1, even rates" adds one thing to "even rates";
"R3GAN" is a published recipe, which changes loss, penalty and normalisation at once.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.train import R3GAN, Recipe

RECIPE = Recipe(lr_g=1e-3, lr_d=2e-4, betas=(0.5, 0.999), penalty=None, ema_decay=0.99, decay_from=0.5)
SHAPE = (3, 28, 28)
PAIRED = {"loss": R3GAN.loss, "penalty": R3GAN.penalty}
EVEN: dict[str, Any] = {"penalty_every": 1, "lr_d": 1e-3, "betas": (0.0, 0.99)}

METHODS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {  # name: (of the recipe, of G, of D)
    "plain GAN": ({}, {}, {}),
    "packs of 4": ({}, {}, {"pack": 4}),
    "5 D steps": ({"d_steps": 5}, {}, {}),
    "even rates": (EVEN, {}, {}),
    "R1, even rates": ({"penalty": Recipe.penalty, **EVEN}, {}, {}),
    "R3GAN": ({**PAIRED, **EVEN}, {"norm": "none"}, {}),
}


def pair(g: dict[str, Any], d: dict[str, Any], g_width: int, d_width: int, seed: int) -> tuple[nn.Module, nn.Module]:
    """D has a quarter of G's width in the collapse test of Metz et al. 2017."""
    G = models.DCGANGenerator(64, g_width, SHAPE, seed=seed, **g)
    return G, models.DCGANDiscriminator(d_width, SHAPE, seed=seed + 1, **d)


def rows() -> dict[str, Row]:
    base = Training(partial(pair, {}, {}, 16, 4), "stacked mnist", RECIPE, steps=3000)
    changed = {
        name: replace(base, recipe=replace(RECIPE, **recipe), nets=partial(pair, g, d, 16, 4))
        for name, (recipe, g, d) in METHODS.items()
    }
    return dict(with_equal_compute("plain GAN", changed))


EXPERIMENT = Experiment(
    question="How many of the 1,000 modes of stacked digits does each remedy reach, and are its digits clear?",
    rows=rows,
    base="plain GAN",
)
