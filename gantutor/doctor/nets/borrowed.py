"""Anyone's nets, borrowed: which ones a callable uses, in what mode they are, and what comes of trying them."""

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, reason
from gantutor.models.inspection import latent_sizes


class Failed(NamedTuple):
    """What `attempt` returns where there is no output: why."""

    why: str

    def __str__(self) -> str:
        return self.why


def attempt(net: Callable[..., object], *arguments: object) -> list[Tensor] | Failed:
    """The tensors that a user's net returns, in order, computed without gradients and brought to the CPU."""
    try:
        with torch.no_grad():
            output = net(*arguments)
            tensors = [tensor.detach().cpu() for tensor in tensors_in(output)]
    except Exception as error:  # a stranger's net: anything may happen
        return Failed(f"{type(error).__name__}: {reason(error)}")
    kind = type(output).__name__
    return tensors or Failed(f"it returned a {kind}, which holds neither a tensor nor a NumPy array of numbers")


def check_kind(name: str, net: object, form: str) -> None:
    """Raise `BadInput` where this is no net but its weights, a file of them, its class, or something else."""
    load = f"{name}=doctor.load_weights(net, {{}}), where net is one of the class that it was trained as"
    if isinstance(net, Mapping):
        sizes = [f" (for noise of length {size}, it seems)" for size in latent_sizes(net)[:1] if name == "generator"]
        raise BadInput(
            f"the {name} is a {type(net).__name__}, weights without a net{''.join(sizes)}: "
            f"give {load.format('weights')}."
        )
    if isinstance(net, str | PathLike):
        raise BadInput(f"the {name} is the name of a file: give {load.format(repr(str(net)))}.")
    if isinstance(net, type):
        raise BadInput(f"the {name} is the class {net.__name__}: give a net, {name}={net.__name__}(…).")
    if not callable(net):
        raise BadInput(f"the {name} is a {type(net).__name__}: give the net, or a function {form}.")


def tensors_in(output: object) -> list[Tensor]:
    """The tensors of an output, in order: itself, or those in the tuples, lists and dicts that it is made of.

    NumPy's arrays count as tensors.
    """
    if isinstance(output, np.ndarray) and output.dtype.kind in "biuf":
        output = torch.from_numpy(output.astype(output.dtype.newbyteorder("="), order="C"))
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return [tensor for part in output for tensor in tensors_in(part)]
    return [output] if isinstance(output, Tensor) else []


def weight_of(nets: Sequence[nn.Module]) -> Tensor:
    """A floating-point weight, which shows the type and the device on which these nets compute."""
    weights = (parameter for net in nets for parameter in net.parameters() if parameter.is_floating_point())
    return next(weights, torch.empty(0))


# --- which nets a callable uses --------------------------------------------------------------------------------------


def nets_of(function: Callable[..., object]) -> list[nn.Module]:
    """The nets that a callable uses, as far as can be seen: itself, its object's, those that it refers to by name."""
    found: list[nn.Module] = []
    seen: list[object] = []

    def visit(thing: object, depth: int) -> None:
        if any(thing is other for other in seen) or depth > 3:
            return
        seen.append(thing)
        if isinstance(thing, nn.Module):
            found.append(thing)
        elif isinstance(thing, functools.partial):
            for part in (thing.func, *thing.args, *thing.keywords.values()):
                visit(part, depth + 1)
        elif inspect.ismethod(thing):
            visit(thing.__self__, depth + 1)
            visit(thing.__func__, depth + 1)
        elif inspect.isfunction(thing):
            for part in references(thing):
                visit(part, depth + 1)
        elif isinstance(thing, list | tuple | dict):
            for part in thing.values() if isinstance(thing, dict) else thing:
                visit(part, depth + 1)
        elif hasattr(thing, "__dict__") and not inspect.ismodule(thing) and not inspect.isclass(thing):
            for part in vars(thing).values():
                if isinstance(part, nn.Module):
                    visit(part, depth + 1)
            visit(vars(type(thing)).get("__call__"), depth + 1)

    visit(function, 0)
    return found


def references(function: types.FunctionType) -> Iterator[object]:
    """What a function refers to: closed-over variables, its defaults, and globals by name, in inner functions too."""

    def names(code: types.CodeType) -> set[str]:
        inner = (names(part) for part in code.co_consts if isinstance(part, types.CodeType))
        return set(code.co_names).union(*inner)

    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a variable that has no value yet
            yield cell.cell_contents
    for name in sorted(names(function.__code__) & set(function.__globals__)):
        yield function.__globals__[name]
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


@contextlib.contextmanager
def in_mode(nets: Sequence[nn.Module], training: bool) -> Iterator[None]:
    """Nets in train or eval mode inside the block; afterwards their modes and buffers are as before."""
    modes = [(module, module.training) for net in nets for module in net.modules()]
    buffers = [(buffer, buffer.clone()) for net in nets for buffer in net.buffers() if buffer.device.type != "meta"]
    for net in nets:
        net.train(training)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
        for module, mode in modes:
            module.training = mode
