"""Save a run, load it again: one file of tensors and plain values only, so that loading it never runs code."""

import contextlib
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from gantutor import files, models
from gantutor.data import Images
from gantutor.errors import BadInput, DamagedRun, whole_number
from gantutor.train import Recipe, Run
from gantutor.train import augment as augments
from gantutor.train.augment import Augment

FILE = "run.pt"
PREVIOUS = "run.previous.pt"
FORMAT = 3
KEYS = {"members", "nets", "recipe", "data", "flags", "step", "plan", "device", "G", "D", "G_ema", "opt_g", "opt_d"}
KEYS |= {"order", "randomness"}


def save(
    run: Run, folder: str | PathLike, *, flags: Mapping[str, str | int] | None = None, keep_previous: bool = False
) -> Path:
    """Write everything that `load` needs to go on from here to `folder/run.pt`, whole or not at all.

    Args:
        run: a `Run`, or an ensemble of the package's own nets. Saving leaves no trace in it.
        flags: plain values to be kept with it, such as the flags of the command line; `read` gives them back.
        keep_previous: the file that was there stays, as `folder/run.previous.pt`.

    Raises:
        BadInput: the loss or penalty is not the package's, nor the nets of an ensemble, or the folder cannot be written
            to.
    """
    state = {
        "format": FORMAT,
        "members": run.members,
        "nets": {"G": _describe(run.G), "D": _describe(run.D)},
        "recipe": run.recipe.as_plain(),
        "data": run.data.name if isinstance(run.data, Images) else "",
        "classes": list(run.data.classes) if isinstance(run.data, Images) else [],
        "flags": dict(flags or {}),
        "step": run.step,
        "plan": run.plan and list(run.plan),
        "device": run.device.type,
        "G": run.G.state_dict(),
        "D": run.D.state_dict(),
        "G_ema": run.G_ema.state_dict(),
        "opt_g": _optimizer(run.opt_g),
        "opt_d": _optimizer(run.opt_d),
        "frozen": [name for name, weight in run.D.named_parameters() if not weight.requires_grad],
        "augment": run.augment and {"name": run.augment.name, **run.augment.state()},
        "order": [generator.get_state() for generator in run.source.generators()],
        "randomness": run.randomness.state,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = Path(folder) / FILE
    with files.replacing(path, path.with_name(PREVIOUS) if keep_previous else None) as temporary:
        temporary.write_bytes(sealed(buffer.getvalue()))
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
    accumulate: int = 1,
    augment: Augment | None = None,
) -> Run:
    """The run as it was saved, ready for more `steps`. Nets that are not the package's own are passed in as G and D.

    An augmentation of your own is passed in too.

    On the kind of device it was saved on, it goes on bit for bit; on another, with random numbers of its own. How the
    steps are computed is not part of the file: `device`, `precision`, `compile`, `capture` and `accumulate` are those
    of `Run`. An ensemble is loaded by `scale.load_ensemble`.

    Raises:
        BadInput: there is no run, the file is damaged or holds code, or it belongs to other nets or other data.
    """
    path, state = read_state(folder, data)
    with blaming(path):
        if state["members"]:
            raise BadInput("it holds an ensemble: load it with scale.load_ensemble.")
        G, D = _net(path, state, "G", G), _net(path, state, "D", D)
        seed = state["step"]  # where the saved streams do not fit the device
        run = Run(G, D, data, Recipe.from_plain(state["recipe"]), seed=seed, device=device, precision=precision,
                  compile=compile, capture=capture, accumulate=accumulate,
                  augment=_augment(state, augment))  # fmt: skip
        restore(run, path, state)
    return run


def _augment(state: dict[str, Any], given: Augment | None) -> Augment | None:
    """The augmentation of the saved run, where it had got to."""
    saved = state.get("augment")
    if not saved:
        if given is not None:
            raise BadInput("the run was not augmented: leave augment out.")
        return None
    augment = augments.made(saved["name"]) if given is None else given
    if augment.name != saved["name"]:
        raise BadInput(f"the run was augmented by {saved['name']!r}, not by {augment.name!r}.")
    augment.restore({name: value for name, value in saved.items() if name != "name"})
    return augment


def restore(run: Run, path: Path, state: dict[str, Any]) -> None:
    """Put what `read_state` found into a run that was made alike."""
    for name, net in (("G", run.G), ("D", run.D), ("G_ema", run.G_ema)):
        fill(path, name, net, state[name])
    for name, optimizer in (("opt_g", run.opt_g), ("opt_d", run.opt_d)):
        own = optimizer.state_dict()["param_groups"]  # the options of the saved run may not fit this device
        optimizer.load_state_dict({"state": state[name]["state"], "param_groups": own})
        _lay_out(optimizer)
    if "frozen" in state:
        for name, weight in run.D.named_parameters():
            weight.requires_grad_(name not in state["frozen"])
    if state["device"] == run.device.type:
        for generator, saved in zip(run.source.generators(), state["order"], strict=True):
            generator.set_state(saved)
        run.randomness.state = [torch.Generator(d).set_state(s).get_state() for d, s in _streams(run, state)]
    run.plan, run.step = state["plan"], state["step"]


def load_generator(folder: str | PathLike, G: nn.Module | None = None) -> nn.Module:
    """The averaged generator of a saved run, in eval mode on the CPU. Pass in as G a net that is not the package's."""
    path, state = read_state(folder)
    if state["members"]:
        raise BadInput(f"{path} holds an ensemble: load it with scale.load_ensemble, and take one of its members.")
    with blaming(path):
        net = _net(path, state, "G", G)
        fill(path, "G", net, state["G_ema"])
        return net.eval().requires_grad_(False)


def read_state(folder: str | PathLike, data: Images | Tensor | None = None) -> tuple[Path, dict[str, Any]]:
    """The path of the run in `folder`, and what it holds; nothing in it is trusted but its shape.

    Raises `BadInput` as `load` does; with `data` also where the run was trained on other images.
    """
    path = run_file(folder)
    if path is None:
        raise BadInput(
            f"there is no run in {folder}: {Path(folder) / FILE} is missing. Make one with `gantutor train`."
        )
    content = path.read_bytes()
    state = _opened(path, content)
    if not isinstance(state, dict) or "format" not in state:
        raise BadInput(f"{path} is not a run of gantutor: it was made by another program. Choose another folder.")
    if state["format"] != FORMAT:
        raise BadInput(
            f"{path} has format {state['format']!r}, this gantutor reads {FORMAT}: use the one that wrote it."
        )
    if not is_sealed(content):
        raise _damaged(path, "the checksum of the whole is missing")
    if missing := KEYS - state.keys():
        raise _damaged(path, f"it lacks {', '.join(sorted(missing))}")
    if isinstance(data, Images) and state["data"] not in ("", data.name):
        raise BadInput(f"{path} was trained on {state['data']!r}, not on {data.name!r}: load that data set.")
    with blaming(path):
        return path, {**state, "step": whole_number("step", state["step"]), "plan": _plan(state["plan"])}


def run_file(folder: str | PathLike) -> Path | None:
    """The file of the run in a folder: run.pt, or the one before where a process was killed between the two renames."""
    return next((path for name in (FILE, PREVIOUS) if (path := Path(folder) / name).is_file()), None)


def recover(folder: str | PathLike) -> str:
    """Put the run before in the place of a damaged run.pt, which is set aside. Returns what was done, "" for nothing.

    Raises:
        BadInput: the run before is damaged as well, or there is none.
    """
    try:
        read_state(folder)
        return ""
    except DamagedRun:
        path, previous, aside = (Path(folder) / name for name in (FILE, PREVIOUS, "run.damaged.pt"))
        if not (path.is_file() and previous.is_file()):
            raise
        _opened(previous, _content(previous))
        os.replace(path, aside)
        os.replace(previous, path)
        return f"{path} is damaged: it is now {aside.name}, and the run before it has taken its place."


# --- the file --------------------------------------------------------------------------------------------------------

MARK = b"sha256 "
END = b"PK\5\6"  # of the record, 22 bytes long, with which a zip archive without a comment ends
SEAL = len(MARK) + 64  # bytes


def sealed(archive: bytes) -> bytes:
    """A zip archive whose comment is the SHA-256 of all that is before the comment.

    The archive's own checksums leave gaps: a flipped bit in its directory can give a tensor another place.
    """
    if archive[-22:-18] != END:
        raise AssertionError("torch.save has written something other than a zip archive without a comment")
    content = archive[:-2] + SEAL.to_bytes(2, "little")
    return content + MARK + hashlib.sha256(content).hexdigest().encode()


def is_sealed(content: bytes) -> bool:
    """Whether a file ends in the SHA-256 of all that is before."""
    return content[-SEAL:] == MARK + hashlib.sha256(content[:-SEAL]).hexdigest().encode()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def _opened(path: Path, content: bytes) -> Any:
    """What the file holds. Raises `BadInput` for a damaged one, or one with anything but tensors and plain values."""
    try:
        if not zipfile.is_zipfile(io.BytesIO(content)):  # as torch.save's are; a bare pickle is not even looked at
            raise pickle.UnpicklingError
        if not is_sealed(content):  # of format 1, or not ours
            if MARK in content[-SEAL:]:
                raise _damaged(path, "its SHA-256 is wrong")
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if part := archive.testzip():  # torch.load does not look at the checksums
                    raise _damaged(path, f"the checksum of {part} is wrong")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except BadInput:
        raise
    except pickle.UnpicklingError as error:
        raise DamagedRun(
            f"{path} is not a run of gantutor: it is damaged, or holds something other than tensors and plain values, "
            "which could be code. It was not loaded. Delete it and train again, or ask for a fresh copy."
        ) from error
    except Exception as error:  # what a broken archive or pickle sets off is without bounds
        raise _damaged(path, error) from error


# --- its parts -------------------------------------------------------------------------------------------------------


def _describe(net: nn.Module) -> dict[str, Any]:
    """The class of a net and its config; of stacked nets, the list of the members' configs."""
    if not hasattr(net, "member"):
        return {"class": type(net).__name__, "config": getattr(net, "config", None)}
    kind = cast(type[nn.Module], net.kind)
    if kind not in models.NETS.values():
        raise BadInput(f"an ensemble of {kind.__name__}s cannot be saved: only the package's own nets can.")
    return {"class": kind.__name__, "config": net.configs}


def _net(path: Path, state: dict, name: str, given: nn.Module | None) -> nn.Module:
    """The given net, or the package's own made again from its config. It does not have the saved weights yet."""
    saved = state["nets"][name]
    return given if given is not None else made_again(path, name, saved["class"], saved["config"], state[name])


def made_again(path: Path, name: str, kind: str, config: dict, weights: dict[str, Tensor]) -> nn.Module:
    """A net of the package, once it is sure that the weights fit: a short file could ask for a net of any size.

    Raises `BadInput` where they do not, or where the net is not the package's.
    """
    if kind not in models.NETS:
        raise BadInput(f"{path} was trained with a net of your own, {kind}: pass it in, as {name}=….")
    with torch.device("meta"):  # shapes without memory
        shell = models.NETS[kind](**config)
    fill(path, name, shell, dict(weights), assign=True)  # a copy, for torch writes into it that they are assigned
    return models.NETS[kind](**config)


def fill(path: Path, name: str, net: nn.Module, weights: dict[str, Tensor], assign: bool = False) -> None:
    """Give a net saved weights. Raises `BadInput` where they do not fit."""
    try:
        net.load_state_dict(weights, assign=assign)
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


def _plan(plan: list[int] | None) -> tuple[int, int] | None:
    if plan is None:
        return None
    first, last = plan
    return whole_number("plan", first), whole_number("plan", last)


def _streams(run: Run, state: dict) -> list[tuple[torch.device | str, Tensor]]:
    """The devices whose random streams the run has, each with its saved state."""
    devices: list[torch.device | str] = ["cpu"] if run.device.type == "cpu" else ["cpu", run.device]
    return list(zip(devices, state["randomness"], strict=True))


@contextlib.contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn whatever the contents of a file set off into one sentence that names the file."""
    try:
        yield
    except BadInput as error:
        if str(path) in str(error):
            raise
        raise BadInput(f"{path}: {error}") from error
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: object) -> DamagedRun:
    detail = (str(reason) or type(reason).__name__).splitlines()[0]
    return DamagedRun(f"{path} is damaged ({detail}): delete it and train again, or ask for a fresh copy.")
