"""Weights from files as people have them: with other names in front, among an optimizer's state, of several nets."""

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, reason
from gantutor.models.inspection import latent_sizes, unwrapped

Net = TypeVar("Net", bound=nn.Module)
Weights = Mapping[str, Tensor]


def load_weights(net: Net, source: str | PathLike[str] | Mapping[str, object], key: str | None = None) -> Net:
    """Fill a net with the weights of a file, such as `netG.pth`, and return it.

    ::

        G = doctor.load_weights(Generator(), "netG.pth")

    Names in front, such as ``module.`` (`nn.DataParallel`), ``_orig_mod.`` (`torch.compile`) and ``generator.``
    (Lightning), do not matter. The file is read with ``weights_only=True``, so that no code in it is executed.

    Args:
        net: one of the class, and of the sizes, that the weights come from.
        source: a file written by `torch.save`, or what it held: a state dict, or a dict with state dicts in it.
        key: the name of the state dict, where several fit the net: "G_ema", or "nets.G" further inside.

    Raises:
        BadInput: the file cannot be read, holds code, or no weights in it, or several, fit the net.
    """
    if not isinstance(net, nn.Module):
        kind = f"the class {net.__name__}" if isinstance(net, type) else f"a {type(net).__name__}"
        raise BadInput(f"net is {kind}: give a net to be filled, such as Generator().")
    path = "the state dict" if isinstance(source, Mapping) else fspath(source)
    content = source if isinstance(source, Mapping) else read(Path(source).expanduser())
    groups = {name: weights for name, weights in state_dicts(content) if key in (None, name)}
    if not groups:
        wanted = "no weights" if key is None else f"no weights named {key!r}"
        held = ", ".join(map(repr, content)) if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise BadInput(f"{path} holds {wanted}, but {held}: save them with torch.save(G.state_dict(), file).")
    inner = unwrapped(net)
    wanted_shapes = {plain(name): tuple(value.shape) for name, value in inner.state_dict().items()}
    fitting = {name: found for name, weights in groups.items() if (found := fit(weights, wanted_shapes)) is not None}
    if not fitting:
        raise misfit(path, groups, wanted_shapes, inner)
    if len(fitting) > 1:
        names = " and ".join(map(repr, fitting))
        raise BadInput(f"{path} holds several weights that fit, {names}: say which, key={list(fitting)[-1]!r}.")
    (found,) = fitting.values()
    inner.load_state_dict({name: found.get(plain(name), value) for name, value in inner.state_dict().items()})
    return net


def read(path: Path) -> object:
    """What `torch.save` wrote, without executing anything."""
    if not path.is_file():
        raise BadInput(f"there is no file {str(path)!r}: give the file of weights, such as netG.pth.")
    if path.suffix == ".safetensors":
        raise BadInput(f"{path} is in the safetensors format: give safetensors.torch.load_file({str(path)!r}).")
    try:
        with warnings.catch_warnings(action="ignore"):  # what it thinks of a file that is no file of weights
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if (code := re.search(r"GLOBAL (\S+)", str(error))) is None:
            raise unreadable(path, "it is no file of torch.save") from None
        raise BadInput(
            f"{path} holds more than weights, {code[1]}, and to read that would execute code from it: where you trust "
            "the file, read it yourself and save the weights alone, torch.save(G.state_dict(), file)."
        ) from None
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, AttributeError, BadZipFile) as error:
        raise unreadable(path, reason(error)) from None


def unreadable(path: Path, why: str) -> BadInput:
    return BadInput(f"{path} cannot be read as weights ({why}): save them again with torch.save.")


def state_dicts(content: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, Weights]]:
    """Every state dict in what a file held, and its name: "" for the file itself, "nets.G" for one inside."""
    if not isinstance(content, Mapping) or depth > 3:
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield name, tensors
    for key, value in content.items():
        yield from state_dicts(value, f"{name}.{key}" if name else str(key), depth + 1)


def plain(name: str) -> str:
    """The name of a weight without what `torch.compile` puts into it."""
    return name.replace("_orig_mod.", "")


def fit(weights: Weights, wanted: Mapping[str, tuple[int, ...]]) -> Weights | None:
    """The weights by the names that the net wants, whatever stands in front of them; None unless all fit.

    Counters of batch norm, which old files lack, need not be there.
    """
    weights = {plain(name): value for name, value in weights.items()}
    for start in prefixes(weights, wanted):
        found = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
        needed = {name for name in wanted if name in found or not name.endswith("num_batches_tracked")}
        if found.keys() == needed and all(tuple(found[name].shape) == wanted[name] for name in found):
            return found
    return None


def prefixes(weights: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What may stand in front of the names: "", "module.", "generator.", …."""
    first = next(iter(wanted), "")
    ends = [name.removesuffix(first) for name in weights if name.endswith(first)]
    return list(dict.fromkeys(start for start in ends if not start or start.endswith(".")))


def misfit(path: str, groups: Mapping[str, Weights], wanted: Mapping[str, tuple[int, ...]], net: nn.Module) -> BadInput:
    """Why no state dict fits: by what differs in the one that comes nearest."""

    def common(weights: Mapping[str, Tensor]) -> tuple[int, str]:
        counts = {start: len({name.removeprefix(start) for name in weights} & set(wanted))
                  for start in [*prefixes(weights, wanted), ""]}  # fmt: skip
        start = max(counts, key=lambda start: counts[start])
        return counts[start], start

    weights = max(({plain(name): x for name, x in each.items()} for each in groups.values()), key=common)
    start = common(weights)[1]
    found = {name.removeprefix(start): tuple(x.shape) for name, x in weights.items() if name.startswith(start)}
    says = f"{path} does not fit this {type(net).__name__}"
    for name, shape in wanted.items():
        if name in found and found[name] != shape:
            sizes = latent_sizes(weights)[:1] if name == next(iter(wanted)) else []
            hint = "".join(f" (noise of length {size})" for size in sizes)
            return BadInput(f"{says}: {name} is {found[name]} there{hint} and {shape} in the net. Make the net with "
                            "the sizes that it was trained with.")  # fmt: skip
    missing, extra = ([name for name in a if name not in b] for a, b in ((wanted, found), (found, wanted)))
    differs = [f"lacks {name}" for name in missing[:1]] + [f"has {name}, which the net has not" for name in extra[:1]]
    return BadInput(f"{says}: it {' and '.join(differs)}. Give a net of the class that it comes from.")
