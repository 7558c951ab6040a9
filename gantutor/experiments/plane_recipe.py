"""`train.PLANE` taken apart: the recipe that solves the grid, with each of its parts put back to the plain GAN's."""

from dataclasses import replace

from torch import nn

from gantutor import models
from gantutor.experiments import remedies
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.train import PLANE


def deep(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.plane(seed)


def shallow(seed: int) -> tuple[nn.Module, nn.Module]:
    return remedies.pair({}, seed)


def rows() -> dict[str, Row]:
    base = Training(deep, "grid, scaled", PLANE, steps=8000, looks=20, together=True, shown=200)
    plain = remedies.RECIPE
    parts = {name: getattr(plain, name) for name in ("batch_size", "betas", "ema_decay", "decay_from", "penalty")}
    changed = {
        "plane": base,
        "points unscaled": replace(base, material="grid"),
        "two layers": replace(base, nets=shallow),
        "half the rates": replace(base, recipe=replace(PLANE, lr_g=plain.lr_g, lr_d=plain.lr_d)),
        "batch of 64": replace(base, recipe=replace(PLANE, batch_size=parts["batch_size"])),
        "β 0.5, 0.999": replace(base, recipe=replace(PLANE, betas=parts["betas"])),
        "no averaging": replace(base, recipe=replace(PLANE, ema_decay=parts["ema_decay"])),
        "rates never fall": replace(base, recipe=replace(PLANE, decay_from=parts["decay_from"])),
        "no R1": replace(base, recipe=replace(PLANE, penalty=parts["penalty"])),
    }
    return dict(with_equal_compute("plane", changed))


EXPERIMENT = Experiment(
    question="Which part of the plane's recipe does the grid need?",
    rows=rows,
    base="plane",
    seeds=range(10),
)
