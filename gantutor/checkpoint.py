"""Save a run, load it again: one file of tensors and plain values only, so that loading it never runs code."""

import contextlib
import io
import pickle
import zipfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantutor import files, losses, models, penalties
from gantutor.data import Images
from gantutor.errors import BadInput, whole
from gantutor.train import Recipe, Run

FILE = "run.pt"
FORMAT = 1
KEYS = {"nets", "recipe", "data", "step", "plan", "device", "G", "D", "G_average", "opt_g", "opt_d"}
KEYS |= {"order", "randomness"}


def save(run: Run, folder: str | PathLike) -> Path:
    """Write everything that `load` needs to go on from here to `folder/run.pt`, whole or not at all.

    Raises:
        BadInput: the loss or penalty is not the package's, this is an ensemble, or the folder cannot be written to.
    """
    if not isinstance(run.order, torch.Generator):
        raise BadInput("a checkpoint holds one run, and this is an ensemble: save its samples, or members, yourself.")
    state = {
        "format": FORMAT,
        "nets": {"G": _describe(run.G), "D": _describe(run.D)},
        "recipe": _plain(run.recipe),
        "data": run.data.name if isinstance(run.data, Images) else "",
        "step": run.step,
        "plan": run.plan and list(run.plan),
        "device": run.device.type,
        "G": run.G.state_dict(),
        "D": run.D.state_dict(),
        "G_average": run.G_average.state_dict(),
        "opt_g": _optimizer(run.opt_g),
        "opt_d": _optimizer(run.opt_d),
        "order": run.order.get_state(),
        "randomness": run.randomness.state,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = Path(folder) / FILE
    with files.replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return path


def load(
    folder: str | PathLike,
    data: Images | Tensor,
    *,
    G: nn.Module | None = None,
    D: nn.Module | None = None,
    device: str | torch.device | None = None,
    precision: str = "fp32",
    compile: bool = False,
    capture: bool | None = None,
) -> Run:
    """The run as it was saved, ready for more `steps`. Nets that are not the package's own are passed in as G and D.

    On the kind of device it was saved on, it goes on bit for bit; on another, with random numbers of its own. How the
    steps are computed is not part of the file: `device`, `precision`, `compile` and `capture` are those of `Run`.

    Raises:
        BadInput: there is no run, the file is damaged or holds code, or it belongs to other nets or other data.
    """
    path, state = read(folder)
    if isinstance(data, Images) and state["data"] not in ("", data.name):
        raise BadInput(f"{path} was trained on {state['data']!r}, not on {data.name!r}: load that data set.")
    with _blaming(path):
        G, D = _net(path, state, "G", G), _net(path, state, "D", D)
        run = Run(G, D, data, _recipe(state), seed=whole("step", state["step"]), device=device, precision=precision,
                  compile=compile, capture=capture)  # fmt: skip
        _fill(path, "averaged generator", run.G_average, state["G_average"])
        for name, optimizer in (("opt_g", run.opt_g), ("opt_d", run.opt_d)):
            own = optimizer.state_dict()["param_groups"]  # the options of the saved run may not fit this device
            optimizer.load_state_dict({"state": state[name]["state"], "param_groups": own})
            _lay_out(optimizer)
        if state["device"] == run.device.type:
            run.order.set_state(state["order"])
            run.randomness.state = [torch.Generator(d).set_state(s).get_state() for d, s in _streams(run, state)]
        run.plan = state["plan"] and tuple(whole("plan", step) for step in state["plan"])
        run.step = state["step"]
    return run


def load_generator(folder: str | PathLike, G: nn.Module | None = None) -> nn.Module:
    """The averaged generator of a saved run, in eval mode on the CPU. Pass in as G a net that is not the package's."""
    path, state = read(folder)
    with _blaming(path):
        return _net(path, state, "G", G, weights="G_average").eval().requires_grad_(False)


def read(folder: str | PathLike) -> tuple[Path, dict[str, Any]]:
    """The path of the run in `folder`, and what it holds; nothing in it is trusted but its shape."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise BadInput(f"there is no run in {folder}: {path} is missing. Make one with `gantutor train`.")
    try:
        if not zipfile.is_zipfile(path):  # as every file of torch.save is; a bare pickle is not even looked at
            raise pickle.UnpicklingError
        with zipfile.ZipFile(path) as archive:
            if part := archive.testzip():  # torch.load does not look at the checksums
                raise _damaged(path, f"the checksum of {part} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{path} is not a run of gantutor: it is damaged, or holds something other than tensors and plain values, "
            "which could be code. It was not loaded. Delete it and train again, or ask for a fresh copy."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error
    if not isinstance(state, dict) or "format" not in state:
        raise BadInput(f"{path} is not a run of gantutor: it was made by another program. Choose another folder.")
    if state["format"] != FORMAT:
        raise BadInput(
            f"{path} has format {state['format']!r}, this gantutor reads {FORMAT}: use the one that wrote it."
        )
    if missing := KEYS - state.keys():
        raise _damaged(path, f"it lacks {', '.join(sorted(missing))}")
    return path, state


def _describe(net: nn.Module) -> dict[str, Any]:
    return {"class": type(net).__name__, "config": getattr(net, "config", None)}


def _net(path: Path, state: dict, name: str, given: nn.Module | None, weights: str | None = None) -> nn.Module:
    """The given net, or the package's own made again from its config, with the saved weights."""
    saved = state["nets"][name]
    if given is None and saved["class"] not in models.NETS:
        raise BadInput(f"{path} was trained with a net of your own, {saved['class']}: pass it in, as {name}=….")
    net = given if given is not None else models.NETS[saved["class"]](**saved["config"])
    _fill(path, f"{name} ({saved['class']})", net, state[weights or name])
    return net


def _fill(path: Path, name: str, net: nn.Module, weights: dict[str, Tensor]) -> None:
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise BadInput(f"the weights of {name} in {path} do not fit {type(net).__name__}: {detail}") from error


def _optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state, its learning rates as plain numbers: in a captured run they are tensors on the device."""
    state = optimizer.state_dict()
    return {**state, "param_groups": [{**group, "lr": float(group["lr"])} for group in state["param_groups"]]}


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give every mean the shape and the memory layout of its weight: fused Adam walks through both side by side."""
    for weight, means in optimizer.state.items():
        for name, value in means.items():
            if name != "step":
                means[name] = torch.empty_like(weight).copy_(value.view(weight.shape))


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe with its functions replaced by their names."""
    named = {function: name for name, function in penalties.PENALTIES.items()}
    if losses.LOSSES.get(recipe.loss.name) is not recipe.loss:
        raise BadInput(f"the loss {recipe.loss.name!r} is not one of the package's, and a checkpoint holds no code.")
    if recipe.penalty is not None and recipe.penalty not in named:
        raise BadInput(f"the penalty {recipe.penalty} is not one of the package's, and a checkpoint holds no code.")
    plain = {field: getattr(recipe, field) for field in recipe.__dataclass_fields__}
    return models.native(**{**plain, "loss": recipe.loss.name, "penalty": named.get(recipe.penalty)})


def _recipe(state: dict) -> Recipe:
    plain = dict(state["recipe"])
    loss, penalty = losses.LOSSES[plain["loss"]], plain["penalty"] and penalties.PENALTIES[plain["penalty"]]
    return Recipe(**{**plain, "loss": loss, "penalty": penalty, "betas": tuple(plain["betas"])})


def _streams(run: Run, state: dict) -> list[tuple[torch.device | str, Tensor]]:
    """The devices whose random streams the run has, each with its saved state."""
    devices = ["cpu"] if run.device.type == "cpu" else ["cpu", run.device]
    return list(zip(devices, state["randomness"], strict=True))


@contextlib.contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turn whatever the contents of a file set off into one sentence that names the file."""
    try:
        yield
    except BadInput as error:
        if str(path) in str(error):
            raise
        raise BadInput(f"{path}: {error}") from error
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: object) -> BadInput:
    detail = (str(reason) or type(reason).__name__).splitlines()[0]
    return BadInput(f"{path} is damaged ({detail}): delete it and train again, or ask for a fresh copy.")
