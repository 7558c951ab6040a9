"""Labels as people have them, as numbers from 0, and matched by the names of the classes."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from gantutor.data import Images
from gantutor.data.listing import some
from gantutor.doctor.images.arrays import Pictures
from gantutor.errors import BadInput

Labels = Tensor | np.ndarray | Sequence[int] | Sequence[str]


def to_labels(y: Labels | None, count: int, what: str) -> Tensor | None:
    """Int64 (N,), or None, from (N,), (N, 1) or one-hot rows (N, K).

    Raises `BadInput` unless there is a whole number, 0 or more, for each image.
    """
    if y is None:
        return None
    try:
        y = torch.as_tensor(y).detach().cpu()
        if y.ndim == 2 and y.shape[1] > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all()):
            y = y.float().argmax(1)
        y = y.squeeze(1) if y.ndim == 2 and y.shape[1] == 1 else y
        fits = y.shape == (count,) and not y.is_complex() and bool((y == y.long()).all()) and y.min() >= 0
    except (TypeError, ValueError, RuntimeError):
        fits = False
    if not fits:
        shape = f" of shape {tuple(y.shape)}" if isinstance(y, Tensor) else ""
        raise BadInput(f"{what}{shape} do not fit: give one whole number, 0 or more, for each of the {count} images.")
    return torch.as_tensor(y).long()


def are_names(y: Labels | None) -> TypeGuard[np.ndarray | Sequence[str]]:
    """Do these labels name classes, rather than number them?"""
    return y is not None and not isinstance(y, Tensor) and np.asarray(y).dtype.kind == "U"


def numbered(y: Labels) -> tuple[tuple[str, ...], Tensor]:
    """The names in the order of the alphabet, and for each label, (N,) or (N, 1), which of them it is."""
    names, numbers = np.unique(np.asarray(y).ravel(), return_inverse=True)
    return tuple(names.tolist()), torch.from_numpy(numbers)


def match_names(
    samples: Pictures,
    real: Pictures,
    labels: Labels | None,
    real_labels: Labels | None,
    notes: list[str],
    left_open: list[str],
) -> Tensor | None:
    """The labels of the samples, numbered as those of the real images are.

    Classes that come from folders, or have names for labels, are matched by their names, and numbers with folders that
    numbers name. Where they do not match, that is left open, and there are no labels: the folders of samples may
    also be steps or runs.
    """
    names = real.classes if isinstance(real, Images) and real_labels is None and len(real.classes) > 1 else ()
    if isinstance(labels, Tensor):
        numbers = {int(name): number for number, name in enumerate(names) if name.isdecimal()}
        if not numbers or len(numbers) < len(names) or not set(labels.tolist()) <= set(numbers):
            return labels
        return torch.tensor([numbers[label] for label in labels.tolist()])
    if labels is not None:
        mine, which = numbered(labels)
    elif isinstance(samples, Images) and len(samples.classes) > 1:
        mine, which = samples.classes, samples.labels
    else:
        return None
    known = {name: number for number, name in enumerate(names)}
    if are_names(real_labels):
        known = {name: number for number, name in enumerate(numbered(real_labels)[0])}
    elif real_labels is not None:
        given = to_labels(real_labels, len(real), "the labels of the real images")
        known = {str(label): label for label in ([] if given is None else given.unique().tolist())}
    if not set(mine) <= set(known):
        theirs = f"those of the real images are {some(list(known))}" if known else "the real images have none"
        left_open.append(
            f"whether G obeys its labels, because the classes of the samples are {some(mine)}, but {theirs}"
        )
        return None
    if missing := [name for name in known if name not in mine]:
        notes.append(f"Of the classes of the real images the samples lack {some(missing)}.")
    return torch.tensor([known[name] for name in mine])[which]
