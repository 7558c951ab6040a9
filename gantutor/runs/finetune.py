"""Start from the weights of another run: a GAN for few pictures learns faster from one that has seen many.

    G, D = finetune.start_from("runs/dcgan-faces", freeze=2)
    run = Run(G, D, my_pictures, Recipe.for_images((3, 64, 64), len(my_pictures)))

The averaged G and the latest D are taken. "faces" in the place of a folder is a pair that ships. Freezing the first
layers of D keeps what it knows about edges and colours (Freeze-D, Mo et al. 2020).
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from gantutor.errors import BadInput, whole_number
from gantutor.models.layers import NORMALISING, WEIGHTED
from gantutor.runs import checkpoint, pretrained

FREE = ("seed", "init_std")  # of the initial weights, which are replaced


class Saved(NamedTuple):
    """A net that was trained before."""

    kind: str  # the name of its class
    config: dict
    weights: dict[str, Tensor]


def start_from(
    folder: str | PathLike, G: nn.Module | None = None, D: nn.Module | None = None, freeze: int = 0
) -> tuple[nn.Module, nn.Module]:
    """G and D with the weights of a saved run, or of a pair that ships.

    Args:
        folder: of the run. Where no folder of this name holds a run, "faces" is the pair of `pretrained.pair`.
        G, D: the nets that are given these weights, of the same kind, sizes and classes as those of the run. They may
            be left out where they are the package's own.
        freeze: how many of D's first layers with weights are not trained from now on.

    Raises:
        BadInput: there is no run, its nets differ from those given, or `freeze` leaves nothing of D to be trained.
    """
    path, saved = shipped_pair(str(folder)) or saved_run(folder)
    with checkpoint.blaming(path):
        nets = [fitting(path, *each) for each in zip("GD", (G, D), saved, strict=True)]
        check_layers(nets[1], freeze)
        for name, net, before in zip("GD", nets, saved, strict=True):
            checkpoint.fill(path, name, net, before.weights)
    freeze_first(nets[1], freeze)
    return nets[0], nets[1]


def shipped_pair(name: str) -> tuple[Path, tuple[Saved, Saved]] | None:
    if name not in pretrained.SHIPPED or checkpoint.run_file(name):
        return None
    G, D = (Saved(type(net).__name__, vars(net)["config"], net.state_dict()) for net in pretrained.pair(name))
    return Path(name), (G, D)


def saved_run(folder: str | PathLike) -> tuple[Path, tuple[Saved, Saved]]:
    path, state = checkpoint.read_state(folder)
    with checkpoint.blaming(path):
        if state["members"]:
            raise BadInput("it holds an ensemble: load it with scale.load_ensemble, and save one of its members.")
        G, D = (
            Saved(state["nets"][name]["class"], state["nets"][name]["config"] or {}, state[weights])
            for name, weights in (("G", "G_ema"), ("D", "D"))
        )
    return path, (G, D)


def fitting(path: Path, name: str, net: nn.Module | None, saved: Saved) -> nn.Module:
    """The given net, or else one of the package's that is made like the saved one.

    Raises `BadInput`, which names the first difference, unless the given one is of the same kind and size.
    """
    if net is None:
        return checkpoint.made_again(path, name, saved.kind, saved.config, saved.weights)
    mine = getattr(net, "config", None) or {}
    check_alike(path, name, net, saved.kind, saved.config, [key for key in mine if key not in FREE])
    return net


def check_alike(
    path: str | PathLike, name: str, net: nn.Module, kind: str, config: Mapping[str, Any], keys: Sequence[str]
) -> None:
    """Raise `BadInput`, which names the first difference, unless a net is of this class and agrees in these keys."""
    if kind != type(net).__name__:
        raise BadInput(
            f"{path} holds a net of class {kind}, but {name} is a {type(net).__name__} here: take the same model."
        )
    mine = vars(net)["config"] if keys else {}
    for key in keys:
        if config.get(key) != mine[key]:
            what = {"shape": "image size", "classes": "number of classes"}.get(key, key)
            raise BadInput(f"the {what} of {name} in {path} is {config.get(key)}, here it is {mine[key]}: make both "
                           "the same.")  # fmt: skip


def check_layers(D: nn.Module, layers: int) -> int:
    """The number of layers to be frozen. Raises `BadInput` unless some are left to be trained."""
    layers = whole_number("the number of frozen layers", layers)
    beside = getattr(D, "table", None)  # the projection of the labels, which stands beside the last layer
    count = sum(isinstance(module, WEIGHTED) and module is not beside for module in D.modules())
    if layers and layers >= count:
        raise BadInput(f"{layers} layers of D are to be frozen, but it has {count}: leave some to be trained.")
    return layers


def freeze_first(D: nn.Module, layers: int) -> None:
    """Do not train the first layers of D that have weights, nor the weights of the batch norms between them.

    The statistics of these go on changing. The order is that in which a net made its layers; an embedding of labels
    that is joined to the image comes first.
    """
    left = check_layers(D, layers)
    for module in D.modules():
        if isinstance(module, WEIGHTED):
            if not left:
                return
            left -= 1
        if isinstance(module, (*WEIGHTED, *NORMALISING)) and layers:
            module.requires_grad_(False)
