"""Small trainings in float64 whose result does not depend on how a batch is divided, and two where it does."""

import torch
from torch import nn

from gantutor import losses, models, penalties
from gantutor.data import Images, strokes, toy
from gantutor.train import Recipe, Run

STEPS = 20
POINTS = toy.ring().sample(200, seed=0).double()


class Doubles(Images):
    """Images with float64 pixels."""

    def __post_init__(self):
        pass


def pictures() -> Images:
    drawn = strokes.draw(100, seed=0)
    return Doubles("strokes", drawn.pixels.double() / 127.5 - 1, drawn.digit, tuple("0123456789"))


def plane(batch_norm: bool = False, **options) -> tuple[nn.Module, nn.Module]:
    nets = models.mlp((2,), 3, (16, 16), (16, 16), batch_norm, "linear", **options)
    return tuple(net.double() for net in nets)


def conditional() -> tuple[nn.Module, nn.Module]:
    return tuple(net.double() for net in models.mlp(batch_norm=False, classes=10, g_hidden=(8,), d_hidden=(8,)))


def convolutions() -> tuple[nn.Module, nn.Module]:
    G = models.DCGANGenerator(8, 2, norm="none", seed=0)
    return G.double(), models.DCGANDiscriminator(2, seed=1).double()


BASE = Recipe(batch_size=16, gamma=0.5, penalty_every=3, ema_decay=0.9, decay_from=0.5)
WGAN_GP = Recipe(batch_size=16, loss=losses.WASSERSTEIN, penalty=penalties.wgan_gp, penalty_every=1, d_steps=2)
PAIRED = Recipe(batch_size=16, loss=losses.RELATIVISTIC, penalty=penalties.r1_r2, penalty_every=1)
ALIKE = {  # nets that look at each example, pack or group by itself
    "r1 now and then": lambda: (*plane(), POINTS, BASE),
    "r1 and r2, paired": lambda: (*plane(), POINTS, PAIRED),
    "random points": lambda: (*plane(), POINTS, WGAN_GP),
    "random points of packs": lambda: (*plane(pack=2), POINTS, WGAN_GP),
    "groups and packs": lambda: (*plane(pack=2, minibatch_std=4), POINTS, BASE),
    "with classes": lambda: (*conditional(), pictures(), BASE),
    "spectral norm": lambda: (*plane(spectral=True), POINTS, BASE),
    "convolutions": lambda: (*convolutions(), pictures(), BASE),
}


def batch_norm():
    return *plane(batch_norm=True), POINTS, Recipe(batch_size=64, penalty=None)


def dropout():
    """All examples are the same, so that different logits come from different random numbers."""
    D = nn.Sequential(nn.Linear(2, 64), nn.Dropout(0.5), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    return plane()[0], D.double(), torch.ones(64, 2, dtype=torch.float64), BASE


def outcome(run: Run, steps: int = STEPS) -> dict:
    """What a training leads to, in plain tensors."""
    curve = [torch.stack([step.d_loss, step.g_loss]) for step in run.steps(steps)]
    nets = {name: getattr(run, name).state_dict() for name in ("G", "D", "G_ema")}
    return {"curve": torch.stack(curve), **{f"{n}.{k}": t.clone() for n, s in nets.items() for k, t in s.items()}}


def furthest(a: dict, b: dict) -> float:
    assert a.keys() == b.keys()
    return max((a[name].double() - b[name].double()).abs().max().item() for name in a)
