"""What the checks of several rooms have in common: slopes of a loss, and runs small enough for a unit test."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantutor import losses, models, train
from gantutor.data import Images, strokes
from gantutor.museum import measures
from gantutor.museum.settings import Nets, Parts, Side, play

SURE = 20.0  # a logit beyond doubt: σ(20) = 1 - 2·10⁻⁹


def slopes(f: losses.LossFunction, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The slope of a loss in each real logit and in each fake one, times the batch size: (B,) and (B,)."""
    logits = [t.detach().clone().requires_grad_() for t in (real_logits, fake_logits)]
    given = torch.autograd.grad(f(*logits), logits, allow_unused=True, materialize_grads=True)
    return tuple(len(slope) * slope for slope in given)


def some_logits(n: int = 64) -> tuple[Tensor, Tensor]:
    """Real and fake logits (n,) and (n,) in (0, 1), from torch's global stream.

    There every loss of `losses` has its slope: beyond 1 the hinge is flat and least squares have turned round.
    """
    return 0.98 * torch.rand(n) + 0.01, 0.98 * torch.rand(n) + 0.01


def some_digits(n: int = 256, seed: int | None = None) -> Tensor:
    """Drawn digits (n, 1, 28, 28); without a seed other ones at each call."""
    return strokes.draw(n, any_seed() if seed is None else seed).pixels / 127.5 - 1


def any_seed() -> int:
    return int(torch.randint(2**31, ()))


def small_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    """A dense pair with one hidden layer of 32 each."""
    return models.mlp(latent_dim=8, g_hidden=(32,), d_hidden=(32,), seed=seed)


SMALL = train.Recipe(batch_size=16, penalty=None)


def small_run(kind: type[train.Run] = train.Run, nets: Nets = small_pair, seed: int | None = None) -> train.Run:
    """A run of that kind on a few drawn digits, small enough to take a hundred steps in a moment."""
    seed = any_seed() if seed is None else seed
    return kind(*nets(seed), some_digits(256, seed), SMALL, seed=seed)


def weights(net: nn.Module) -> Tensor:
    """All weights of a net, in one row."""
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()])


def learns(setting: Callable[[Images], Parts], steps: int = 100, within: float = 350.0) -> Side:
    """Digits begin to come: the Fréchet distance of 500 samples to drawn digits, in the judge's features.

    An untrained G has about 480, one that learns nothing at least 400, sound ones after 100 steps 50 to 250.
    """
    drawn = strokes.draw(4000, any_seed())
    images = Images("strokes", drawn.pixels / 127.5 - 1, drawn.digit, tuple("0123456789"))
    side = play(setting(images), steps, any_seed(), n=500)
    assert measures.distance(side, images) < within
    return side
