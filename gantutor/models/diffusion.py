"""A small diffusion model: a net that removes noise, asked again and again (Ho et al. 2020; Song et al. 2021).

At time t, from 0 to 1, an example x has become cos(πt/2) · x + sin(πt/2) · noise. The net guesses x from that. To draw,
start at t = 1 with nothing but noise, guess x, go back to a slightly smaller t with the noise that this guess implies,
and guess again::

    net = diffusion.Denoiser(784)
    for x in batches:                              # (B, 784), with a standard deviation of about 1
        loss = diffusion.loss(net, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images = diffusion.sample(net, 64, passes=20)  # (64, 784)
"""

import itertools
import math

import torch
from torch import Tensor, nn

from gantutor.errors import whole_number
from gantutor.models.arguments import check_sizes
from gantutor.state import evaluating, seeded


class Denoiser(nn.Module):
    """Noisy examples (B, d) and their times (B,) -> guesses of the clean ones (B, d): an MLP of residual blocks.

    Args:
        d: length of an example.
        width: of the hidden layers.
        blocks: how many; each has two layers and is told the time.
        seed: fixes the initial weights.
    """

    frequencies: Tensor  # (8,)

    def __init__(self, d: int, width: int = 256, blocks: int = 3, seed: int = 0):
        super().__init__()
        check_sizes(d=[d], width=[width], blocks=[blocks])
        self.d = d
        self.register_buffer("frequencies", torch.arange(1, 9) * math.pi / 2)
        with seeded(seed):
            self.first, self.time, self.last = nn.Linear(d, width), nn.Linear(16, width), nn.Linear(width, d)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
                for _ in range(blocks)
            )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        clock = self.time(torch.cat([angles.sin(), angles.cos()], 1))  # the time as 16 smooth numbers
        h = self.first(x) + clock
        for block in self.blocks:
            h = h + block(h + clock)
        guess: Tensor = self.last(h)
        return guess


def levels(t: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the example, and how much noise, there is at time t; their squares add up to 1."""
    return torch.cos(t * math.pi / 2), torch.sin(t * math.pi / 2)


def loss(net: nn.Module, x: Tensor) -> Tensor:
    """The mean squared error of the net's guess of examples x (B, d), each at a random time."""
    t = torch.rand(len(x), device=x.device)
    a, s = levels(t[:, None])
    return (net(a * x + s * torch.randn_like(x), t) - x).square().mean()


@torch.no_grad()
def sample(net: Denoiser, n: int, *, passes: int = 20, seed: int = 0) -> Tensor:
    """`n` examples (n, d), each from so many passes through the net, without further noise (DDIM, Song et al. 2021).

    Raises:
        BadInput: n or passes is not a whole number, at least 1.
    """
    whole_number("n", n, least=1)
    whole_number("passes", passes, least=1)
    device = net.frequencies.device
    x = torch.randn(n, net.d, generator=torch.Generator(device).manual_seed(seed), device=device)
    with evaluating(net):
        for t, u in itertools.pairwise(torch.linspace(1, 0, passes + 1, device=device)):
            (a, s), (b, r) = levels(t), levels(u)
            guess = net(x, t.expand(n))
            x = b * guess + r * (x - a * guess) / s  # the same example and the same noise, at time u
    return x
