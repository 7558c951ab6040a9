"""What the checks of several rooms share: gradients of a loss, and runs small enough for a unit test."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantutor import losses, models, train
from gantutor.data import Images, strokes
from gantutor.museum import measures
from gantutor.museum.settings import Nets, Parts, Side, train_side

SURE = 20.0  # a logit of almost complete certainty: σ(20) = 1 - 2·10⁻⁹


def logit_gradients(f: losses.LossFunction, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of a loss in its real and its fake logits, times the batch size: (B,) and (B,)."""
    logits = [t.detach().clone().requires_grad_() for t in (real_logits, fake_logits)]
    gradients = torch.autograd.grad(f(*logits), logits, allow_unused=True, materialize_grads=True)
    in_real, in_fake = (len(gradient) * gradient for gradient in gradients)
    return in_real, in_fake


def random_logits(n: int = 64) -> tuple[Tensor, Tensor]:
    """Real and fake logits (n,) and (n,) in (0, 1), from torch's global generator.

    In this range every loss of `losses` has a gradient of the right sign; beyond 1 the hinge loss is flat and the
    gradient of least squares is reversed.
    """
    return 0.98 * torch.rand(n) + 0.01, 0.98 * torch.rand(n) + 0.01


def some_digits(n: int = 256, seed: int | None = None) -> Tensor:
    """Drawn digits (n, 1, 28, 28); without a seed they are different at each call."""
    return strokes.draw(n, any_seed() if seed is None else seed).pixels / 127.5 - 1


def any_seed() -> int:
    return int(torch.randint(2**31, ()))


def small_pair(seed: int) -> tuple[nn.Module, nn.Module]:
    """A dense pair with one hidden layer of 32 each."""
    return models.mlp(latent_dim=8, g_hidden=(32,), d_hidden=(32,), seed=seed)


SMALL = train.Recipe(batch_size=16, penalty=None)


def small_run(kind: type[train.Run] = train.Run, nets: Nets = small_pair, seed: int | None = None) -> train.Run:
    """A run of this class on 256 drawn digits, small enough to take a hundred steps in a moment."""
    seed = any_seed() if seed is None else seed
    return kind(*nets(seed), some_digits(256, seed), SMALL, seed=seed)


def weights(net: nn.Module) -> Tensor:
    """All weights of a net as one vector."""
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()])


def learns(setting: Callable[[Images], Parts], steps: int = 100, within: float = 350.0) -> Side:
    """Assert that training makes progress: the Fréchet distance of 500 samples ends below `within`.

    It is about 480 for an untrained G, at least 400 for one that learns nothing, and 50 to 250 for sound ones after 100
    steps.
    """
    drawn = strokes.draw(4000, any_seed())
    images = Images("strokes", drawn.pixels / 127.5 - 1, drawn.digit, tuple("0123456789"))
    side = train_side(setting(images), steps, any_seed(), n=500)
    assert measures.distance(side, images) < within
    return side
