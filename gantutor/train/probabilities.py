"""Does D give probabilities where the loss wants logits? A sigmoid applied twice leaves G next to no gradient."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput
from gantutor.losses import Loss

SQUASHING = {"Sigmoid", "Hardsigmoid", "Softmax"}  # the last operations, as autograd names them, of probabilities
PASSING = {  # operations that may follow, because probabilities remain probabilities
    *("View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Permute", "Transpose", "T", "Expand"),
    *("Select", "Slice", "Split", "Unbind", "Index", "Clone", "Alias", "AsStrided", "ToCopy", "Clamp", "ClampMin"),
    *("ClampMax", "Mean", "AvgPool2D", "AdaptiveAvgPool2D"),
}  # fmt: skip
INSIDE, OUTSIDE = (0.0, 0.1, 0.5, 0.9, 1.0), (-4.0, -1.0, 2.0, 4.0)


def check_logits(D: nn.Module, judge: Callable[[], Tensor], logits: Tensor, loss: Loss) -> None:
    """Raise `BadInput` if the loss wants logits and D's output is the result of a sigmoid.

    The sigmoid is looked for in autograd's graph, so that it does not matter whether it is a layer or a function. One
    that is written out, such as 1 / (1 + exp(-x)), shows in that nothing can drive D's output out of [0, 1].

    Args:
        judge: calls D on some examples.
        logits: what it has returned.
    """
    known = squashing_end(logits) is not None
    if not (known or is_bounded(D, judge)) or not wants_logits(loss):
        return
    name = layer_at_end(D, judge)
    cure = f"put {as_code(name)} = nn.Identity()" if name else "return what goes into it"
    end = "ends in a sigmoid" if known else "ends in a sigmoid, or in something else that never leaves [0, 1]"
    raise BadInput(
        f"D {end}, but the {loss.name} loss wants logits, which may be any numbers: {cure}; or take a loss "
        "that is content with probabilities, such as losses.LEAST_SQUARES."
    )


def layer_at_end(D: nn.Module, judge: Callable[[], Tensor]) -> str:
    """The name of the layer that is the sigmoid at D's end; "" where it is a function."""
    done: dict[object, str] = {}  # what each layer of this kind did, and its name
    hooks = [
        layer.register_forward_hook(lambda _, __, result, name=name: done.update({result.grad_fn: name}))
        for name, layer in D.named_modules()
        if isinstance(layer, nn.Sigmoid | nn.Hardsigmoid | nn.Softmax)
    ]
    try:
        return done.get(squashing_end(judge()), "")
    finally:
        for hook in hooks:
            hook.remove()


def squashing_end(output: Tensor) -> object | None:
    """The node of autograd's graph that made probabilities of logits, if it is the last that changed the values."""
    node = output.grad_fn
    while node is not None and operation(node) in PASSING:
        node = node.next_functions[0][0] if node.next_functions else None
    return node if node is not None and operation(node) in SQUASHING else None


def is_bounded(D: nn.Module, judge: Callable[[], Tensor]) -> bool:
    """Does D's output stay in [0, 1] whatever one of its layers gives, although it depends on that?

    Logits that lie in [0, 1] by chance leave it as soon as the last layer gives large numbers.
    """
    layers = [layer for layer in D.modules() if next(layer.parameters(recurse=False), None) is not None]
    try:
        with torch.no_grad():
            usual = judge()
            moves = False
            for layer, sign in itertools.product(reversed(layers), (1, -1)):
                if not is_inside(usual):
                    return False
                with giving_noise(layer, 10.0 * sign):
                    output = judge()
                if not is_inside(output):
                    return False
                moves |= not torch.allclose(output, usual, atol=1e-3)
    except Exception:  # a stranger's net, which may not bear large numbers
        return False
    return moves


def is_inside(x: Tensor) -> bool:
    return bool(((x > -1e-6) & (x < 1 + 1e-6)).all())


@contextlib.contextmanager
def giving_noise(layer: nn.Module, scale: float) -> Iterator[None]:
    """Inside the block the layer returns Gaussian noise, always the same, instead of what it computes."""

    def noise(_: nn.Module, __: object, output: object) -> object:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return output
        return scale * torch.randn(output.shape, generator=torch.Generator().manual_seed(0)).to(output)

    hook = layer.register_forward_hook(noise)
    try:
        yield
    finally:
        hook.remove()


def operation(node: torch.autograd.graph.Node) -> str:
    """Its name, such as "Sigmoid" of SigmoidBackward0."""
    return re.sub(r"Backward\d*$", "", node.name())


def as_code(name: str) -> str:
    """A layer as one writes it: "main.12" is D.main[12]."""
    return "D" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))


def wants_logits(loss: Loss) -> bool:
    """Is D's loss finite for all numbers, and lower for some outside [0, 1] than for any inside?

    The loss of least squares is not, for its targets are 0 and 1; nor is one that takes the logarithm of what it gets.
    """
    losses = {}
    for real in INSIDE + OUTSIDE:
        for fake in INSIDE + OUTSIDE:
            try:
                value = loss.d(torch.full((2,), real), torch.full((2,), fake)).sum().item()
            except Exception:  # a stranger's loss, as BCELoss, which refuses numbers outside
                return False
            if value != value or (value == -torch.inf):
                return False
            losses[real, fake] = value
    inside = min(value for (real, fake), value in losses.items() if real in INSIDE and fake in INSIDE)
    return min(losses.values()) < inside - 1e-6
