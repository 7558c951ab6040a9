"""The game on one screen: D's step, G's step, and the average that follows G.

    fake = G(z)
    d_step(D, opt_d, loss, real, fake.detach())
    g_step(D, opt_g, loss, real, fake)
    update_ema(G_ema, G, 0.001)

Here D is a net, or what stands for one: its labels filled in, in 16 bits, compiled, some steps ahead. It maps examples
(B, *shape) to logits (B,). Where the loss gives several numbers, one for each member of an ensemble, their sum is
minimised.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from gantutor.losses import Loss
from gantutor.state import HasWeights, frozen


class Discriminator(HasWeights, Protocol):
    """D as a step sees it: an `nn.Module`, or a function that knows the weights behind it."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


def d_step(
    D: Discriminator,
    opt_d: torch.optim.Optimizer,
    loss: Loss,
    real: Tensor,
    fake: Tensor,
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Lower D's loss on a batch of each kind, G held fixed.

    Args:
        real, fake: (B, *shape), the fakes detached from G.
        penalty: (real, fake) -> what is added to the loss, its weight included.

    Returns the loss without the penalty, and the logits of real and fake (B,), detached.
    """
    opt_d.zero_grad()
    result = d_backward(D, loss, real, fake, penalty)
    opt_d.step()
    return result


def g_step(D: Discriminator, opt_g: torch.optim.Optimizer, loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """Lower G's loss on the batch that it made, D held fixed.

    Args:
        real, fake: (B, *shape), the fakes with the graph that leads back to G.

    Returns the loss, detached.
    """
    opt_g.zero_grad()
    result = g_backward(D, loss, real, fake)
    opt_g.step()
    return result


def d_backward(
    D: Discriminator,
    loss: Loss,
    real: Tensor,
    fake: Tensor,
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None,
    parts: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradients of D's loss on a batch, or on one of several `parts` of it, to those of D's weights."""
    real_logits, fake_logits = D(real), D(fake)  # (B,), (B,)
    d_loss = total = loss.d(real_logits, fake_logits)
    if penalty is not None:
        total = d_loss + penalty(real, fake)
    (total.sum() / parts).backward()
    return d_loss.detach(), real_logits.detach(), fake_logits.detach()


def g_backward(D: Discriminator, loss: Loss, real: Tensor, fake: Tensor, parts: int = 1) -> Tensor:
    """Add the gradients of G's loss on a batch, or on one of several `parts` of it, to those of G's weights."""
    with frozen(D):
        fake_logits = D(fake)  # (B,)
        unseen = torch.full_like(fake_logits, float("nan"))  # shows at once if a loss forgot to say that it is paired
        real_logits = D(real) if loss.paired else unseen
        g_loss = loss.g(real_logits, fake_logits)
        (g_loss.sum() / parts).backward()
    return g_loss.detach()


@torch.no_grad()
def update_ema(G_ema: nn.Module, G: nn.Module, weight: float | Tensor) -> None:
    """G_ema ← (1 − weight) · G_ema + weight · G for the weights; batch norm's running statistics are copied."""
    for average, latest in zip(G_ema.parameters(), G.parameters(), strict=True):
        average.lerp_(latest, weight)
    for copied, statistic in zip(G_ema.buffers(), G.buffers(), strict=True):
        copied.copy_(statistic)
