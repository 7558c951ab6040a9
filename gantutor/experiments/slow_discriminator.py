"""Lesson 00's game on the ring, with a D that learns faster than G, as fast, and more and more slowly."""

from dataclasses import replace

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import PLAIN, Training

TIMES_AS_FAST = {
    "D 5 times as fast as G": 5,
    "D as fast as G": 1,
    "half as fast": 1 / 2,
    "a fifth as fast": 1 / 5,
    "a tenth as fast": 1 / 10,
    "a twentieth as fast": 1 / 20,
}


def pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp((2,), 2, (64, 64), (64, 64), batch_norm=False, output="linear", seed=seed)


def rows() -> dict[str, Row]:
    base = Training(pair, "clusters of the wide ring", PLAIN, steps=2500, looks=50, together=True, shown=200)
    made: dict[str, Row] = {}
    for name, times in TIMES_AS_FAST.items():
        made[name] = replace(base, recipe=replace(PLAIN, lr_d=times * PLAIN.lr_d))
    slowest = replace(PLAIN, lr_d=PLAIN.lr_d / 20)  # with as many steps more, it can learn as much as the base
    made["a twentieth, 20 times as long"] = replace(base, recipe=slowest, steps=20 * base.steps)
    return made


EXPERIMENT = Experiment(
    question="How fast must D learn, compared with G, for G to find all modes of the ring?",
    rows=rows,
    base="D as fast as G",
    seeds=range(10),
)
