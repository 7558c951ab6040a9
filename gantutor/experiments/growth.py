"""Score against compute for four widths and four batch sizes of the DCGAN, one of the two changed at a time."""

from functools import partial

from torch import nn

from gantutor import models
from gantutor.experiments.experiment import Experiment, Row
from gantutor.experiments.training import Training, with_equal_compute
from gantutor.train import Recipe

WIDTHS = (8, 16, 32, 64)  # of G; D has half of it, as by default
BATCHES = (16, 32, 64, 128)


def pair(width: int, seed: int) -> tuple[nn.Module, nn.Module]:
    return models.dcgan(g_width=width, d_width=width // 2, seed=seed)


def rows() -> dict[str, Row]:
    cells = [(width, 64) for width in WIDTHS] + [(32, batch) for batch in BATCHES if batch != 64]
    made = {
        f"width {width}, batch {batch}": Training(
            partial(pair, width), "mnist", Recipe(batch_size=batch), steps=1500, together=width < 32
        )  # narrow nets spend most of their time on calls, which an ensemble shares
        for width, batch in cells
    }
    return dict(with_equal_compute("width 32, batch 64", made))


EXPERIMENT = Experiment(
    question="How far does a wider DCGAN, or a larger batch, pay on MNIST, with the compute of 1,500 default steps?",
    rows=rows,
    base="width 32, batch 64",
)
