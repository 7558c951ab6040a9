"""Batches beyond memory: a turn with the memory for one part of a batch at a time. The gradients of the parts add up.

The result is that of the whole batch where the loss and the penalty are means over examples and the nets look at each
example by itself. G makes its fakes twice, once for each player. Batch norm sees one part at a time, and counts G's
parts twice in its running statistics; spectral norm takes a step of its iteration for each part, so it is nearer to the
truth.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantutor.train import step

if TYPE_CHECKING:
    from gantutor.train.run import Outcome, Run


def in_parts(run: "Run", penalise: bool) -> "Outcome":
    """What `Run.train_step` does, in `run.parts` parts of each batch."""
    run.G.train()
    run.D.train()
    for _ in range(run.recipe.d_steps):
        (real, y), z = run.batch(), run.noise()
        parts = list(zip(*(divided(whole, run.parts) for whole in (real, z, y)), strict=True))
        run.opt_d.zero_grad()
        seen = []
        for real, z, y in parts:
            D, fake = run.D_pass.given(y), run.G_pass.given(y)(z).detach()
            penalty = run.weighted_penalty(y) if penalise else None
            seen.append(step.d_backward(D, run.loss, real, fake, penalty, run.parts))
        run.opt_d.step()
    run.opt_g.zero_grad()
    g_losses = []
    for real, z, y in parts:
        D, fake = run.D_pass.given(y), run.G_pass.given(y)(z)
        g_losses.append(step.g_backward(D, run.loss, real, fake, run.parts))
    run.opt_g.step()
    step.update_ema(run.G_ema, run.G, run.ema_weight)
    d_losses, real_logits, fake_logits = zip(*seen, strict=True)
    d_loss, g_loss = (torch.stack(losses).mean(0) for losses in (d_losses, g_losses))
    return d_loss, g_loss, torch.cat(real_logits), torch.cat(fake_logits)


def divided(whole: Tensor | None, parts: int) -> list[Tensor | None]:
    """A whole batch (B, …) in equal parts, (B / parts, …) each."""
    return [None] * parts if whole is None else list(whole.chunk(parts))
