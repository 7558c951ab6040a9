"""Gradient penalties on D: each is its formula, called as ``(D, real, fake)`` and returning a 0-d tensor.

D maps (B, *shape) to logits (B,). If it is packed (`D.pack` = m), it maps to (B / m,), a pack counts as one example of
m · *shape numbers, and E is over packs. The loop adds ``recipe.gamma`` times the penalty to D's loss. The penalties
work on squared norms; where a norm is needed, its square root is kept away from 0, because the gradient of √ at 0 is
infinite.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gantutor.models import pack_of

Discriminator = Callable[[Tensor], Tensor]
Penalty = Callable[[Discriminator, Tensor, Tensor], Tensor]


def squared_gradient_norm(D: Discriminator, x: Tensor) -> Tensor:
    """‖∇ₓD(x)‖² of every example or pack, differentiable in D's weights. x (B, *shape) -> one number per logit."""
    x = x.detach().requires_grad_()
    logits = D(x)  # (B,), or (B / pack,)
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)  # (B, *shape)
    return gradient.square().reshape(len(logits), -1).sum(1)  # the shape of the logits


def r1(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """½E‖∇D(x)‖² on real data (Mescheder et al. 2018, eq. 9)."""
    return squared_gradient_norm(D, real).mean() / 2


def r2(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """½E‖∇D(G(z))‖² on generated data (Mescheder et al. 2018, eq. 10)."""
    return squared_gradient_norm(D, fake).mean() / 2


def r1_r2(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """R1 + R2, the penalty of R3GAN (Huang et al. 2024, section 2.2). Apply it at every step: lazily, it fails."""
    return r1(D, real, fake) + r2(D, real, fake)


def wgan_gp(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """E(‖∇D(x̂)‖ − 1)² at random points x̂ between a real and a generated example (Gulrajani et al. 2017, eq. 3).

    A pack is one point, so all its examples lie equally far between real and generated ones.
    """
    pack = pack_of(D)
    t = torch.rand(len(real) // pack, *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)  # (B / pack, 1, …)
    t = t.repeat_interleave(pack, 0) if pack > 1 else t  # (B, 1, …)
    norm = (squared_gradient_norm(D, real.lerp(fake, t)) + 1e-12).sqrt()
    return (norm - 1).square().mean()


PENALTIES = {"r1": r1, "r2": r2, "r1-r2": r1_r2, "wgan-gp": wgan_gp}
