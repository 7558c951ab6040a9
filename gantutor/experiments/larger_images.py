"""How to draw colour pictures of 64×64: what `models.for_images` and `Recipe.for_images` choose, one thing changed at a
time, on drawn faces.
"""

from dataclasses import replace
from functools import partial

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.train import Recipe

SHAPE = (3, 64, 64)


def rows() -> dict[str, Row]:
    recipe = Recipe.for_images(SHAPE, 20_000)
    pair = partial(models.for_images, SHAPE)
    base = Training(pair, "faces", recipe, steps=2000, looks=5, shown=20)
    changed = {
        "transposed convolutions": replace(base, nets=partial(pair, up="transposed")),
        "resizing": replace(base, nets=partial(pair, up="resize")),
        "no modulation": replace(base, nets=partial(pair, g_norm="batch")),
        "G twice as wide": replace(base, nets=partial(pair, g_width=32)),
        "no minibatch std": replace(base, nets=partial(pair, minibatch_std=0)),
        "batch of 64": replace(base, recipe=replace(recipe, batch_size=64)),
        "a tenth of the penalty": replace(base, recipe=replace(recipe, gamma=recipe.gamma / 10)),
    }
    return dict(with_equal_compute("our choice", {"our choice": base, **changed}))


EXPERIMENT = Experiment(
    question="How should a DCGAN double its maps, and how should it be trained, to draw colour pictures of 64×64?",
    rows=rows,
    base="our choice",
)
