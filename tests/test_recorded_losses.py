"""Fifty steps of each model give the losses that the training loop gave before it was taken apart and put together.

In 64 bits: in 32, the rounding of another processor grows to a tenth of the loss within thirty steps.
"""

import json
from pathlib import Path

import pytest
import torch
from alike import Doubles

from gantutor import models
from gantutor.data import strokes
from gantutor.train import Run

RECORDED = json.loads(Path(__file__).with_name("recorded_losses.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def images() -> Doubles:
    drawn = strokes.draw(2000, 0)
    return Doubles("strokes", drawn.pixels.double() / 127.5 - 1, drawn.digit, tuple("0123456789"))


@pytest.mark.parametrize("name", RECORDED)
def test_the_losses_are_those_that_were_recorded(images, name):
    nets = getattr(models, name.removeprefix("c"))(classes=10 if name.startswith("c") else 0)
    steps = list(Run(*(net.double() for net in nets), images, seed=0).steps(50))
    for kind in ("d_loss", "g_loss"):
        found = torch.stack([getattr(step, kind) for step in steps])
        recorded = torch.tensor(RECORDED[name][kind], dtype=torch.float64)
        torch.testing.assert_close(found, recorded, rtol=0, atol=1e-5)
