"""Variational autoencoders: an encoder guesses each image's latent, which bounds log p(x) (Kingma & Welling 2014).

The generator of a VAE is that of a GAN, read as a density: z ~ N(0, I), and x given z ~ N(G(z), s²I). An encoder E
guesses which latents an image may have come from, q(z|x) = N(mean, diag exp(log_var)). Then, for every image,

    log p(x) ≥ E_q log p(x|z) − KL(q(z|x) ‖ N(0, I)),

and both nets maximise the right-hand side, the evidence lower bound::

    E, G = vae.pair()
    optimizer = torch.optim.Adam([*E.parameters(), *G.parameters()], 1e-3)
    for x in batches:                            # (B, 1, 28, 28)
        loss = -vae.elbo(E, G, x, noise=0.5).total.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images = train.sample(G, 64)
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, real_number
from gantutor.models.arguments import check_sizes, plain_values
from gantutor.models.dense import MLPGenerator, hidden_layer
from gantutor.models.layers import init_weights
from gantutor.state import seeded


class MLPEncoder(nn.Module):
    """Fully connected encoder: pixels -> hidden layers (leaky ReLU, slope 0.2) -> mean and log variance of q(z|x).

    Args:
        latent_dim: length of z.
        hidden: widths of the hidden layers.
        shape: shape of one example.
        seed: fixes the initial weights. The last layer starts small, so that q(z|x) starts near N(0, I).
    """

    def __init__(self, latent_dim=64, hidden=(512, 256), shape=(1, 28, 28), seed=0):
        super().__init__()
        check_sizes(latent_dim=[latent_dim], hidden=hidden, shape=shape)
        self.config = plain_values(latent_dim=latent_dim, hidden=list(hidden), shape=list(shape), seed=seed)
        self.latent_dim = self.config["latent_dim"]
        with seeded(seed):
            layers, width = [nn.Flatten()], math.prod(shape)
            for size in hidden:
                layers += hidden_layer(width, size, batch_norm=False, activation="leaky")
                width = size
            last = nn.Linear(width, 2 * latent_dim)
            init_weights(last, 0.01)
            self.net = nn.Sequential(*layers, last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x).chunk(2, 1)  # (B, *shape) -> (B, 2 · latent_dim) -> mean, log_var: (B, latent_dim) each


def pair(
    shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 64,
    e_hidden: Sequence[int] = (512, 256),
    g_hidden: Sequence[int] = (256, 512),
    batch_norm: bool = True,
    output: str = "tanh",
    seed: int = 0,
) -> tuple[MLPEncoder, MLPGenerator]:
    """The pair (E, G). G is that of `models.mlp` with the same arguments and weights; E's come from `seed + 1`."""
    G = MLPGenerator(latent_dim, g_hidden, shape, batch_norm, output, seed)
    return MLPEncoder(latent_dim, e_hidden, shape, seed + 1), G


class Bound(NamedTuple):
    """The two parts of the evidence lower bound of each image, in nats."""

    likelihood: Tensor  # (B,) log p(x|z) for one draw of z from q(z|x)
    kl: Tensor  # (B,) KL(q(z|x) ‖ N(0, I)) ≥ 0

    @property
    def total(self) -> Tensor:
        """(B,): averaged over draws of z, at most log p(x)."""
        return self.likelihood - self.kl


def elbo(E: nn.Module, G: nn.Module, x: Tensor, noise: float) -> Bound:
    """The evidence lower bound (Kingma & Welling 2014, eq. 3; with one draw of z for each image, eq. 10).

    Args:
        E: images (B, *shape) -> mean and log variance, (B, latent_dim) each.
        G: latents (B, latent_dim) -> images (B, *shape).
        x: images (B, *shape).
        noise: s > 0, the standard deviation of a pixel around G(z). The smaller it is, the more a pixel error counts.

    Raises:
        BadInput: the noise is not above 0, or x, E and G have shapes that do not fit together.
    """
    shape = tuple(getattr(E, "config", {}).get("shape", x.shape[1:]))
    if x.shape[1:] != shape:
        raise BadInput(f"x holds images of shape {tuple(x.shape[1:])}, but E takes {shape}: give E such images.")
    mean, log_var = E(x)  # (B, latent_dim) each
    if getattr(G, "latent_dim", mean.shape[1]) != mean.shape[1]:
        raise BadInput(
            f"E returns latents of length {mean.shape[1]}, but G takes {G.latent_dim}: give both one latent_dim."
        )
    made = G(draw(mean, log_var))  # (B, *shape)
    if made.shape != x.shape:
        raise BadInput(
            f"G makes images of shape {tuple(made.shape[1:])}, but x holds {shape}: use the G made with this E."
        )
    return Bound(log_likelihood(x, made, noise), kl(mean, log_var))


def draw(mean: Tensor, log_var: Tensor) -> Tensor:
    """z = mean + exp(½ log_var)·ε with ε ~ N(0, I): a draw from q(z|x) with gradients in mean and log_var (eq. 4)."""
    return mean + (log_var / 2).exp() * torch.randn_like(mean)


def kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_var)) ‖ N(0, I)) of each image, (B, d) -> (B,), in closed form (appendix B)."""
    return (mean.square() + log_var.exp() - log_var - 1).sum(1) / 2


def log_likelihood(x: Tensor, made: Tensor, noise: float) -> Tensor:
    """log N(x; made, s²I) of each image, (B, *shape) -> (B,): the squared error, read as a density (appendix C.2)."""
    noise = real_number("noise", noise, above=0)
    errors = ((x - made) / noise).square().flatten(1)  # (B, pixels)
    return -(errors + math.log(2 * math.pi * noise**2)).sum(1) / 2
