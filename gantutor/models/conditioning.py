"""How a conditional net is given the class of what it makes or sees: labels y, int64 (B,), counted from 0."""

import math
import operator
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput
from gantutor.models.arguments import check_choices

G_LABELS, D_LABELS = ("concat", "embed"), ("concat", "embed", "projection")


class Join(nn.Module):
    """[v; y]: joins its label to a vector or an image, before the first layer of a conditional net.

    Args:
        classes: how many there are; with 0 nothing is joined, and labels are refused.
        how: "concat": y one-hot (Mirza & Osindero 2014); "embed": y as a learned vector of length `embed_dim`;
            "projection": nothing here, because the label enters at the end of D.
        shape: of one example without its batch, (d,) or (C, H, W). An image gets its label as further channels:
            `classes` constant ones for "concat", one learned image for "embed".
        embed_dim: length of the learned vector.
    """

    def __init__(self, classes: int, how: str, shape: Sequence[int], embed_dim: int = 16):
        super().__init__()
        self.classes, self.how, self.shape = classes, how, tuple(shape)
        self.table = None
        if classes and how == "embed":
            self.table = nn.Embedding(classes, embed_dim if len(shape) == 1 else math.prod(shape[1:]))
        added = classes and {"concat": classes, "embed": embed_dim if len(shape) == 1 else 1, "projection": 0}[how]
        self.width = shape[0] + added  # of the output: length of the vector, or number of channels

    def forward(self, v: Tensor, y: Tensor | None) -> Tensor:
        check_labels(y, len(v), self.classes)
        if y is None or self.how == "projection":
            return v
        code = (one_hot(y, self.classes) if self.table is None else self.table(y)).to(v.dtype)  # (B, K) or (B, e)
        if v.ndim == 2:
            return torch.cat([v, code], 1)  # (B, d + K)
        planes = code[:, :, None, None] if self.table is None else code.unflatten(1, (1, *self.shape[1:]))
        return torch.cat([v, planes.expand(-1, -1, *self.shape[1:])], 1)  # (B, C + K, H, W) or (B, C + 1, H, W)


def projected(net: nn.Sequential, embedding: nn.Module | None, x: Tensor, y: Tensor | None) -> Tensor:
    """Logits (B,) of a net that ends in Linear(features, 1), plus ⟨embedding of y, features⟩ (Miyato & Koyama 2018)."""
    h = net[:-1](x)  # (B, features)
    logits = net[-1](h).squeeze(1)  # (B,)
    return logits if embedding is None else logits + (embedding(y) * h).sum(1)


def one_hot(y: Tensor, classes: int) -> Tensor:
    """Labels (B,) -> (B, K), true at the label. (PyTorch's own has to wait for the values, which no CUDA graph can.)"""
    return y[:, None] == torch.arange(classes, device=y.device)


def classes_of(net: nn.Module) -> int:
    """The number of classes that a net is conditional on; 0 for none, also where `classes` is a list of names."""
    try:
        return operator.index(getattr(net, "classes", 0))
    except TypeError:
        return 0


def check_labels(y: Tensor | None, n: int, classes: int) -> None:
    """Raise `BadInput` unless y holds n labels from 0 to classes − 1, or is None if there are no classes."""
    if y is None and not classes:
        return
    if not classes:
        raise BadInput("this net is not conditional, so it takes no labels: leave them out, or make it with classes=….")
    wanted = f"int64 of shape ({n},), from 0 to {classes - 1}"
    if y is None:
        raise BadInput(f"this net is conditional, but the labels are missing: give them too, {wanted}.")
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != (n,):
        given = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else repr(y)
        raise BadInput(f"the labels are {given}: give {wanted}.")
    if (
        y.device.type == "cpu" and not torch.compiler.is_compiling() and n
    ):  # on a GPU the check would have to wait for the values
        low, high = (edge.item() for edge in y.aminmax())
        if not 0 <= low <= high < classes:
            raise BadInput(f"the labels go from {low} to {high}: give {wanted}.")


def with_labels(net: Callable, y: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The net as a function of one argument, with the labels filled in; the net itself if there are none."""
    return net if y is None else lambda x: net(x, y)


def g_label(label: str) -> str:
    """How G is given the class if D is given it by `label`: the same way, but G has no projection."""
    check_choices(label=(label, D_LABELS))
    return "concat" if label == "projection" else label
