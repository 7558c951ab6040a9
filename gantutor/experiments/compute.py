"""Counted compute: multiply-adds, which are the same on every machine and under every load."""

from collections.abc import Callable

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gantutor.train import Run


class Counter(TorchDispatchMode):
    """Counts the FLOPs of what is computed inside the block, by PyTorch's formulas.

    PyTorch's own `FlopCounterMode` also sorts them by module, and cannot do so for the gradient inside a penalty.
    """

    flops = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if formula := flop_registry.get(function._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def multiply_adds(work: Callable[[], object]) -> float:
    """The multiply-adds of the matrix products and convolutions, forward and backward, that `work()` does.

    They are half of the FLOPs. Biases, activations, normalisation and optimizers are left out.
    """
    with Counter() as counter:
        work()
    return counter.flops / 2


def of_a_step(run: Run) -> float:
    """The multiply-adds of a training step, a lazy penalty counted by its share. The run trains for up to two steps."""
    plain = multiply_adds(lambda: run.train_step(penalise=False))
    if run.recipe.penalty is None:
        return plain
    penalised = multiply_adds(lambda: run.train_step(penalise=True))
    return plain + (penalised - plain) / run.recipe.penalty_every
