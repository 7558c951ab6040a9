"""A net as a table: the output shape and the number of parameters of each layer."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gantutor.models.conditioning import Join
from gantutor.state import evaluating


class LayerRow(NamedTuple):
    """One line of `table`."""

    layer: str
    shape: tuple[int, ...]  # of the output for one example
    parameters: int


def rows(net: nn.Module, *inputs: Tensor) -> list[LayerRow]:
    """The output shape and the parameters of each layer, recorded as `inputs` (B, …) pass through the net in eval mode.

    Layers that contain other layers (`nn.Sequential`) or are never called are left out.
    """
    found, handles = [], []

    def record(layer: nn.Module, arguments: tuple, output: Tensor) -> None:
        name = type(layer).__name__.removeprefix("Parametrized")
        found.append(LayerRow(name, tuple(output.shape[1:]), parameters(layer)))

    for name, layer in net.named_modules():
        inner = {child for child, _ in layer.named_children()} - {"parametrizations"}
        idle = isinstance(layer, Join) and layer.width == layer.shape[0]
        if not (inner or idle or "parametrizations" in name):
            handles.append(layer.register_forward_hook(record))
    try:
        with evaluating(net), torch.no_grad():
            net(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def table(net: nn.Module, *inputs: Tensor) -> str:
    """`rows` as text to print, with the sum of all parameters: ``print(models.table(G, torch.zeros(1, 64)))``."""
    lines = [f"{row.layer:16} {' × '.join(map(str, row.shape)) or '1':>14} {row.parameters:11,}"
             for row in rows(net, *inputs)]  # fmt: skip
    title = f"{'layer':16} {'output':>14} {'parameters':>11}"
    return "\n".join([title, *lines, f"{'total':31} {parameters(net):11,}"])


def parameters(net: nn.Module) -> int:
    """The number of learned parameters of a net."""
    return sum(p.numel() for p in net.parameters())
