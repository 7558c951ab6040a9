"""Small weight files: those that ship with the package, stored in 16 bits."""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gantutor.errors import BadInput
from gantutor.files import ROOT, replacing


def folder(kind: str) -> Path:
    """The folder of a kind of shipped weights: package assets in a wheel, the repository's `data` in a checkout."""
    packed = ROOT / "gantutor" / "assets" / kind
    return packed if packed.is_dir() else ROOT / "data" / kind


def intact(kind: str, name: str, expected: str) -> Path:
    """The file of shipped weights with that name. Raises `BadInput` unless its SHA-256 is the expected one."""
    path = folder(kind) / f"{name}.pt"
    if not path.is_file() or digest(path) != expected:
        raise BadInput(f"the weights {path} are missing or damaged: install gantutor again, or restore the file.")
    return path


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_half(net: nn.Module, path: Path, **facts: object) -> None:
    """Write a net's weights in 16 bits, and beside them plain facts by name."""
    weights = {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"weights": weights, **facts}, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_half(path: Path) -> dict[str, Any]:
    """What `save_half` wrote, with the weights in 32 bits again."""
    state = torch.load(path, weights_only=True)
    state["weights"] = {k: v.float() if v.is_floating_point() else v for k, v in state["weights"].items()}
    return state
