"""Lesson 00's ring: what does the gradient penalty do, and what does momentum do?"""

from dataclasses import replace
from functools import partial

from gantutor import models, penalties
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.train import Recipe

NETS = partial(models.mlp, (2,), 2, (64, 64), (64, 64), False, "linear")
RECIPE = Recipe(batch_size=128, lr_g=2e-3, lr_d=2e-3, penalty=penalties.r1, gamma=0.1, penalty_every=4)


def pair(seed: int):
    return NETS(seed=seed)


def rows() -> dict[str, Row]:
    base = Training(pair, "ring", RECIPE, steps=4000, looks=20, together=True, shown=200)
    recipes = {
        "R1, no momentum": RECIPE,
        "no R1": replace(RECIPE, penalty=None),
        "momentum 0.9": replace(RECIPE, betas=(0.9, 0.999)),
        "both": replace(RECIPE, penalty=None, betas=(0.9, 0.999)),
    }
    made = {name: replace(base, recipe=recipe) for name, recipe in recipes.items()}
    return dict(with_equal_compute("R1, no momentum", made))


EXPERIMENT = Experiment(
    question="Which of the two makes a GAN lose modes of the ring: no gradient penalty, or Adam's usual momentum?",
    rows=rows,
    base="R1, no momentum",
    seeds=range(10),
)
