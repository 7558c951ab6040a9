"""Gradient penalties on D: each is its formula, called as ``(D, real, fake)`` and returning a 0-d tensor.

D maps (B, *shape) to logits (B,). The loop adds ``recipe.gamma`` times the penalty to D's loss. The penalties work on
squared norms and, where a norm is needed, keep its square root away from 0: the gradient of √ at 0 is infinite.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Discriminator = Callable[[Tensor], Tensor]
Penalty = Callable[[Discriminator, Tensor, Tensor], Tensor]


def squared_gradient_norm(D: Discriminator, x: Tensor) -> Tensor:
    """‖∇ₓD(x)‖² of every example, differentiable in D's weights. x (B, *shape) -> (B,)."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)  # (B, *shape)
    return gradient.square().flatten(1).sum(1)  # (B,)


def r1(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """½E‖∇D(x)‖² on real data (Mescheder et al. 2018, eq. 9)."""
    return squared_gradient_norm(D, real).mean() / 2


def r2(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """½E‖∇D(G(z))‖² on generated data (Mescheder et al. 2018, eq. 10)."""
    return squared_gradient_norm(D, fake).mean() / 2


def wgan_gp(D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """E(‖∇D(x̂)‖ − 1)² at random points x̂ between a real and a generated example (Gulrajani et al. 2017, eq. 3)."""
    t = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)  # (B, 1, ...)
    norm = (squared_gradient_norm(D, real.lerp(fake, t)) + 1e-12).sqrt()
    return (norm - 1).square().mean()


PENALTIES = {"r1": r1, "r2": r2, "wgan-gp": wgan_gp}
