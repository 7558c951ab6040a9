"""G looks ahead: D as it would be after further steps, which G's gradient goes through (Metz et al. 2017, eq. 8)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput
from gantutor.train.accelerate import Pass

if TYPE_CHECKING:
    from gantutor.train.run import Run


def d_ahead(run: "Run", real: Tensor, fake: Tensor, y: Tensor | None) -> Pass:
    """D as it would be after `recipe.unroll` further steps on this batch, differentiable in the fakes.

    The buffers are copies, and D itself is asked, for torch.compile has no second derivative.
    """
    buffers = {name: buffer.clone() for name, buffer in run.D.named_buffers()}

    def with_weights(weights: dict[str, Tensor]) -> Pass:
        return run.D_pass.given(y).through(
            lambda *inputs: torch.func.functional_call(run.D, (weights, buffers), inputs)
        )

    def d_loss(weights: dict[str, Tensor]) -> Tensor:
        D = with_weights(weights)
        return run.loss.d(D(real), D(fake))

    return with_weights(steps_ahead(run.opt_d, run.D, d_loss, run.recipe.unroll))


def steps_ahead(
    adam: torch.optim.Adam, D: nn.Module, loss: Callable[[dict[str, Tensor]], Tensor], steps: int
) -> dict[str, Tensor]:
    """D's weights after further steps of Adam down a loss, differentiable in whatever else the loss depends on.

    They start from Adam's present state, which stays as it is, and so do D's weights.

    Args:
        adam: D's optimizer.
        loss: a function of D's weights by name. One number, or several to be summed.

    Raises:
        BadInput: the optimizer is not Adam, or has options that these steps do not know.
    """
    group = {id(p): group for group in adam.param_groups for p in group["params"]}
    named = {name: p for name, p in D.named_parameters() if p.requires_grad and id(p) in group}
    if type(adam) is not torch.optim.Adam or any(g["weight_decay"] or g["amsgrad"] for g in adam.param_groups):
        raise BadInput(f"D's optimizer is {type(adam).__name__}, and only plain Adam can be unrolled: set unroll=0.")
    weights = {name: p.detach().requires_grad_() for name, p in named.items()}
    moments = {name: adam.state.get(p) or fresh(p) for name, p in named.items()}
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(weights).sum(), list(weights.values()), create_graph=True)
        for (name, p), gradient in zip(named.items(), gradients, strict=True):
            weights[name], moments[name] = adam_step(weights[name], gradient, moments[name], group[id(p)])
    return weights


def fresh(weight: Tensor) -> dict[str, Tensor]:
    """Adam's state of a weight before the first step."""
    zero = torch.zeros_like(weight)
    return {"step": torch.zeros(()), "exp_avg": zero, "exp_avg_sq": zero}


def adam_step(
    weight: Tensor, gradient: Tensor, state: dict[str, Tensor], options: dict[str, Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of Adam (Kingma & Ba 2015, algorithm 1) as a function: the new weight and the new state."""
    (beta1, beta2), step = options["betas"], state["step"] + 1
    mean = state["exp_avg"].lerp(gradient, 1 - beta1)
    square = state["exp_avg_sq"].lerp(gradient.square(), 1 - beta2)
    unbiased = square / (1 - beta2 ** step.double()) + torch.finfo(square.dtype).tiny  # √ has no gradient at 0
    change = mean / (1 - beta1 ** step.double()) / (unbiased.sqrt() + options["eps"])
    return weight - options["lr"] * change, {"step": step, "exp_avg": mean, "exp_avg_sq": square}
