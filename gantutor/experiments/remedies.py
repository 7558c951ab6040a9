"""Remedies for mode collapse, each alone on one honest base, until a mixture is solved or clearly never will be."""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from gantutor import losses, models, penalties
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.train import Recipe

RECIPE = Recipe(lr_g=1e-3, lr_d=1e-3, betas=(0.5, 0.999), penalty=None, ema_decay=0.0, decay_from=1.0, gamma=0.1,
                penalty_every=1)  # fmt: skip
REMEDIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # name: (of the recipe, of D)
    "plain GAN": ({}, {}),
    "5 D steps": ({"d_steps": 5}, {}),
    "packs of 2": ({}, {"pack": 2}),
    "packs of 4": ({}, {"pack": 4}),
    "minibatch std": ({}, {"minibatch_std": 4}),
    "unrolled, 5 steps": ({"unroll": 5}, {}),
    "spectral norm": ({}, {"spectral": True}),
    "WGAN-GP": ({"loss": losses.WASSERSTEIN, "penalty": penalties.wgan_gp, "d_steps": 5}, {}),
    "R1": ({"penalty": penalties.r1}, {}),
    "relativistic": ({"loss": losses.RELATIVISTIC}, {}),
    "relativistic, R1 + R2": ({"loss": losses.RELATIVISTIC, "penalty": penalties.r1_r2}, {}),
    "momentum off": ({"betas": (0.0, 0.999)}, {}),
    "averaging": ({"ema_decay": 0.999}, {}),
    "falling rates": ({"decay_from": 0.3}, {}),
}


def pair(changes: dict[str, Any], seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp((2,), 2, (64, 64), (64, 64), False, "linear", seed, **changes)


def rows(material: str, steps: int) -> dict[str, Row]:
    base = Training(partial(pair, {}), material, RECIPE, steps, looks=25, together=True, shown=200)
    changed = {
        name: replace(base, recipe=replace(RECIPE, **recipe), nets=partial(pair, nets))
        for name, (recipe, nets) in REMEDIES.items()
    }
    return dict(with_equal_compute("plain GAN", changed))


def experiment(material: str, steps: int, data: str) -> Experiment:
    return Experiment(
        question=f"Which single remedy makes a plain GAN find every mode of {data}, at the same compute?",
        rows=partial(rows, material, steps),
        base="plain GAN",
        seeds=range(10),
    )
