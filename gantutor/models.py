"""Generators and discriminators. Sizes are arguments; `seed` fixes the initial weights.

Every G maps latents (B, latent_dim) to (B, *shape), with values in [-1, 1] when its output is tanh; every D maps
(B, *shape) to logits (B,). Each keeps the arguments it was made with in `.config`, so a checkpoint can make it again.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, whole


class MLPGenerator(nn.Module):
    """Fully connected generator: z -> hidden layers (batch norm, ReLU) -> one value per pixel.

    Args:
        latent_dim: length of z; z is drawn from N(0, I).
        hidden: widths of the hidden layers. (128,) with batch_norm=False is the 128-wide net of early tutorials.
        shape: shape of one example, (C, H, W) for images or (2,) for points in the plane.
        batch_norm: normalise each hidden layer over the batch (Ioffe & Szegedy 2015).
        output: "tanh" (images in [-1, 1]) or "linear" (any real value).
        seed: fixes the initial weights.
    """

    def __init__(self, latent_dim=64, hidden=(256, 512), shape=(1, 28, 28), batch_norm=True, output="tanh", seed=0):
        super().__init__()
        if output not in ("tanh", "linear"):
            raise BadInput(f"output is {output!r}: choose 'tanh' (images in [-1, 1]) or 'linear' (any value).")
        check_sizes(latent_dim=[latent_dim], hidden=hidden, shape=shape)
        self.config = dict(latent_dim=latent_dim, hidden=list(hidden), shape=list(shape), batch_norm=batch_norm,
                           output=output, seed=seed)  # fmt: skip
        self.latent_dim = latent_dim
        with seeded(seed):
            layers, width = [], latent_dim
            for size in hidden:
                norm = [nn.BatchNorm1d(size)] if batch_norm else []
                layers += [nn.Linear(width, size, bias=not batch_norm), *norm, nn.ReLU()]
                width = size
            layers += [nn.Linear(width, math.prod(shape)), *([nn.Tanh()] if output == "tanh" else [])]
        self.net = nn.Sequential(*layers, nn.Unflatten(1, tuple(shape)))

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)  # (B, latent_dim) -> (B, *shape)


class MLPDiscriminator(nn.Module):
    """Fully connected discriminator: pixels -> hidden layers (leaky ReLU, slope 0.2) -> one logit.

    Args:
        hidden: widths of the hidden layers.
        shape: shape of one example.
        seed: fixes the initial weights.
    """

    def __init__(self, hidden=(512, 256), shape=(1, 28, 28), seed=0):
        super().__init__()
        check_sizes(hidden=hidden, shape=shape)
        self.config = dict(hidden=list(hidden), shape=list(shape), seed=seed)
        with seeded(seed):
            layers, width = [nn.Flatten()], math.prod(shape)
            for size in hidden:
                layers += [nn.Linear(width, size), nn.LeakyReLU(0.2)]
                width = size
            self.net = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)  # (B, *shape) -> (B,)


def mlp(
    shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 64,
    g_hidden: Sequence[int] = (256, 512),
    d_hidden: Sequence[int] = (512, 256),
    batch_norm: bool = True,
    output: str = "tanh",
    seed: int = 0,
) -> tuple[MLPGenerator, MLPDiscriminator]:
    """The MLP pair (G, D). G's first weights come from `seed`, D's from `seed + 1`."""
    G = MLPGenerator(latent_dim, g_hidden, shape, batch_norm, output, seed)
    return G, MLPDiscriminator(d_hidden, shape, seed + 1)


def check_sizes(**sizes: Sequence[int]) -> None:
    """Raise `BadInput` naming the first size that is not a whole number of 1 or more."""
    for name, values in sizes.items():
        if not isinstance(values, Sequence):
            raise BadInput(f"{name} is {values!r}: give a list of sizes, such as ({values!r},).")
        for value in values:
            whole(name, value, least=1)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the block's random numbers from `seed`, and leave torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)  # torch.manual_seed would touch every GPU as well
        yield


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every module gets its own mode back."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


CLASSES = {cls.__name__: cls for cls in (MLPGenerator, MLPDiscriminator)}
