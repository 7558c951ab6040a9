"""What can be seen of anyone's net from outside: its wrapping, how long its noise may be, what it has to be given."""

import inspect
from collections.abc import Callable, Mapping

from torch import Tensor, nn

LATENT_NAMES = {"latentdim", "latentsize", "nz", "zdim", "zsize", "dimz", "noisedim", "noisesize", "nlatent", "nnoise"}
SIZES = 8  # that are worth trying


def unwrapped(net: nn.Module) -> nn.Module:
    """The net inside `nn.DataParallel`, `DistributedDataParallel` and what `torch.compile` returns."""
    while True:
        parallel = isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inner = getattr(net, "module" if parallel else "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return net
        net = inner


def latent_sizes(net: nn.Module | Mapping[str, object]) -> list[int]:
    """How long the latent vectors of a generator, or of a state dict, may be, the likeliest first.

    First come attributes such as `latent_dim`, `nz` and `z_dim`, then what each layer takes: of weights (out, in) the
    second size; of weights (a, b, h, w) the first, which a transposed convolution takes, then the second. Last come
    these less the size of an embedding, for where the noise is joined to that of a label.
    """
    found: list[object] = []
    embedded: list[int] = []
    if isinstance(net, nn.Module):
        net = unwrapped(net)
        held = {**vars(type(net)), **vars(net)}
        found += [value for name, value in held.items() if name.lower().replace("_", "") in LATENT_NAMES]
        embedded = [layer.embedding_dim for layer in net.modules() if isinstance(layer, nn.Embedding)]
        net = net.state_dict()
    for weight in net.values():
        shape = weight.shape if isinstance(weight, Tensor) else ()
        found += [shape[1]] if len(shape) == 2 else shape[:2] if len(shape) == 4 else []
    sizes = list(dict.fromkeys(size for size in found if isinstance(size, int) and size > 0))[:SIZES]
    less = [size - part for size in sizes for part in embedded if size > part]
    return list(dict.fromkeys([*sizes, *less]))


def required_arguments(net: Callable[..., object]) -> list[str]:
    """The names of the arguments that have to be given when a net, or a function, is called."""
    try:
        given = inspect.signature(unwrapped(net).forward if isinstance(net, nn.Module) else net).parameters.values()
    except (TypeError, ValueError):  # it does not tell, as what is compiled to machine code
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in given if p.kind in positional and p.default is p.empty]


def takes_pictures(net: nn.Module) -> bool:
    """Is the first layer with weights a convolution, as where one picture is turned into another?"""
    layers = (module for module in net.modules() if isinstance(getattr(module, "weight", None), Tensor))
    return isinstance(next(layers, None), nn.Conv2d)
