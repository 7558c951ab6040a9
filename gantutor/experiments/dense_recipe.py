"""The course's own recipe taken apart on dense layers: each part left out, and all of them."""

from dataclasses import replace

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.recipe_ablation import PARTS
from gantutor.experiments.training import PLAIN, Training, with_equal_compute
from gantutor.train import Recipe

LEFT_OUT = ("no averaging", "rates never fall", "no R1", "G as fast as D", "β₁ 0.5")


def pair(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp(seed=seed)


def unnormalised(seed: int) -> tuple[nn.Module, nn.Module]:
    return models.mlp(batch_norm=False, seed=seed)


def rows() -> dict[str, Row]:
    whole = Training(pair, "mnist", Recipe(), steps=4000)
    parts = {name: PARTS[name] for name in LEFT_OUT}
    parts["no averaging, rates never fall"] = {**PARTS["no averaging"], **PARTS["rates never fall"]}
    changed = {name: replace(whole, recipe=replace(whole.recipe, **part)) for name, part in parts.items()}
    return dict(
        with_equal_compute(
            "whole recipe",
            {
                "whole recipe": whole,
                **changed,
                "no batch norm in G": replace(whole, nets=unnormalised),
                "plain loop": replace(whole, nets=unnormalised, recipe=PLAIN),
                "plain loop, averaged": replace(
                    whole, nets=unnormalised, recipe=replace(PLAIN, ema_decay=whole.recipe.ema_decay)
                ),
            },
        )
    )


EXPERIMENT = Experiment(
    question="What is each part of the default recipe worth to a GAN of dense layers on MNIST, at 4,000 steps of it?",
    rows=rows,
    base="whole recipe",
)
