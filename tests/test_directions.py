"""Directions in latent space, with a generator whose latents are known to mean something."""

import re

import pytest
import torch
from torch import nn

from gantutor import metrics
from gantutor.data import faces
from gantutor.errors import BadInput
from gantutor.metrics import classifier


class Chooser(nn.Module):
    """Shows one of two faces that differ in their hats: a beanie where z₃ + z₅ > 1, and none elsewhere."""

    latent_dim = 8

    def __init__(self):
        super().__init__()
        self.shown = [faces.draw(1, 3, fixed={"hat": hat}).pixels[0] / 127.5 - 1 for hat in ("none", "beanie")]

    def forward(self, z):
        return torch.stack([self.shown[int(row[3] + row[5] > 1)] for row in z])


def test_the_direction_is_that_in_which_the_value_appears():
    judge = classifier.load("faces")
    (way,) = metrics.attribute_directions(Chooser(), judge, {"hat": "beanie"}, 600)
    assert way.shape == (8,)
    assert way.norm() == pytest.approx(1)
    truth = torch.zeros(8)
    truth[[3, 5]] = 0.5**0.5
    assert way @ truth > 0.98
    (away,) = metrics.attribute_directions(Chooser(), judge, {"hat": "none"}, 600)
    assert away @ way < -0.95


def test_what_cannot_be_found_is_told():
    judge = classifier.load("faces")
    for factor, value, said in (
        ("hats", "cap", "unknown factor 'hats': did you mean 'hat'?"),
        ("hat", "bald", "unknown value of hat 'bald'"),
        ("hat", "party", "party was seen in 0 of 50 images: G hardly ever draws it"),
        ("background", "lemon", "lemon was seen in 50 of 50 images: G nearly always draws it"),
    ):
        with pytest.raises(BadInput, match=re.escape(said)):
            metrics.attribute_directions(Chooser(), judge, {factor: value}, 50)
