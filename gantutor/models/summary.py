"""A net as a table: what each layer gives, and how much it learns."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gantutor.models.conditioning import Join
from gantutor.state import evaluating

# --- tools -----------------------------------------------------------------------------------------------------------


class LayerRow(NamedTuple):
    """One line of `table`."""

    layer: str
    shape: tuple[int, ...]  # of what the layer gives for one example
    parameters: int


def rows(net: nn.Module, *inputs: Tensor) -> list[LayerRow]:
    """What each layer of a net gives, and its parameters, as `inputs` (B, …) pass through it in eval mode.

    Layers that keep their own layers (`nn.Sequential`) or are never called are left out.
    """
    found, handles = [], []

    def look(layer: nn.Module, arguments: tuple, result: Tensor) -> None:
        found.append(
            LayerRow(type(layer).__name__.removeprefix("Parametrized"), tuple(result.shape[1:]), parameters(layer))
        )

    for name, layer in net.named_modules():
        inner = {child for child, _ in layer.named_children()} - {"parametrizations"}
        idle = isinstance(layer, Join) and layer.width == layer.shape[0]
        if not (inner or idle or "parametrizations" in name):
            handles.append(layer.register_forward_hook(look))
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
    title = f"{'layer':16} {'gives':>14} {'parameters':>11}"
    return "\n".join([title, *lines, f"{'together':31} {parameters(net):11,}"])


def parameters(net: nn.Module) -> int:
    """How many numbers of a net are learned."""
    return sum(p.numel() for p in net.parameters())
