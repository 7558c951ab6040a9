"""Pictures that come one by one or in batches: a `DataLoader`, a `Dataset`, a list. They are joined into one tensor."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gantutor.data import Images
from gantutor.doctor.images.arrays import Pictures, note, to_images
from gantutor.doctor.images.classes import Labels
from gantutor.errors import BadInput, reason

MOST = 60_000  # pictures that are read
MOST_VALUES = 300_000_000  # numbers in them: 1.2 GB of floats
CHANNELS = (1, 3, 4)
LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y")


class Item(NamedTuple):
    """What a source gives at once."""

    picture: Tensor  # one, or several
    labels: list[int] | None
    place: str = ""  # where in the item the picture is, if there are several


def collect(source: Any, labels: Labels | None, what: str, notes: list[str]) -> tuple[Any, Labels | None]:
    """The pictures of a source as one tensor, and their labels: those given, else those of the source, else None.

    What is one already, and None, is returned as it is. Where there are more than can be read, a
    data set with a length gives random ones of them, by torch's global stream, and anything else the first.

    Raises:
        BadInput: the source holds something else than pictures, or pictures of several sizes, or it fails.
    """
    if source is None or isinstance(source, Pictures):
        return source, labels
    if isinstance(source, str | PathLike):
        read = f"data.from_folder({str(source)!r})"
        raise BadInput(f"{what} are a {type(source).__name__}, {str(source)!r}: read a folder first, with {read}.")
    if isinstance(source, Mapping):
        held = ", ".join(map(repr, source)) or "nothing"
        raise BadInput(f"{what} are a {type(source).__name__} that holds {held}: give the array of pictures itself.")
    if not isinstance(source, Iterable) and not is_indexed(source):
        raise BadInput(f"{what} are a {type(source).__name__}: give an array of numbers, (N, C, H, W) or (N, H, W).")
    pair = isinstance(source, tuple) and (item := taken_apart(source)) is not None and item.labels is not None
    pictures, found, whole = joined([source] if pair else source, what, notes)
    if labels is not None and not whole:
        raise BadInput(f"{what} are more than can be read, so that the labels given do not fit: leave them out.")
    return pictures, found if labels is None else labels


def joined(source: Any, what: str, notes: list[str]) -> tuple[Tensor, list[int] | None, bool]:
    """All pictures in one tensor (N, …), their labels where every one has one, and whether these are all there are."""
    batched = isinstance(source, DataLoader) and source.batch_sampler is not None
    parts: list[Tensor] = []
    labels: list[int] = []
    whole, count = True, 0
    for number, given in enumerate(walk(source, what, notes)):
        item = taken_apart(given)
        part = None if item is None else as_batch(item.picture, batched)
        if item is None or part is None:
            raise BadInput(f"{what} hold {described(given)} in place {number}: give pictures (C, H, W), or pairs of a "
                           "picture and its label.")  # fmt: skip
        if parts and part.shape[1:] != parts[0].shape[1:]:
            sizes = " and ".join(str(tuple(x.shape[1:])) for x in (parts[0], part))
            raise BadInput(f"{what} are of several sizes, {sizes}: bring them to one size in the data set.")
        if item.place:
            note(notes, f"Of each item of {what}, {item.place} was read.")
        if count + len(part) > most(part[0]) and not is_indexed(source):
            whole = False
            note(notes, f"Only the first {count} of {what} were read.")
            break
        parts.append(part)
        count += len(part)
        labels += item.labels or []
    if not parts:
        raise BadInput(f"{what} are empty: give pictures (N, C, H, W).")
    every = len(labels) == count and min(labels) >= 0
    return torch.cat(parts), labels if every else None, whole and not (is_indexed(source) and len(parts) < len(source))


def is_indexed(source: Any) -> bool:
    """Has it a length and items by number, as a list has and a map-style `Dataset`?"""
    return isinstance(source, Sized) and hasattr(source, "__getitem__")


def most(picture: Tensor) -> int:
    """How many pictures like this one are read."""
    return min(MOST, max(1000, MOST_VALUES // max(picture.numel(), 1)))


def walk(source: Any, what: str, notes: list[str]) -> Iterator[Any]:
    """What the source gives, one after the other; of a data set with a length that is too large, random ones."""
    try:
        if not is_indexed(source):
            yield from source
            return
        n, first = len(source), taken_apart(source[0]) if len(source) else None
        some = n if first is None else min(n, most(first.picture))
        if some < n:
            note(notes, f"There are {n} pictures in {what}: {some} of them, chosen at random, were read.")
        for i in range(n) if some == n else torch.randperm(n)[:some].sort().values.tolist():
            yield source[i]
    except Exception as error:  # a stranger's data set: anything may happen
        why = f"{type(error).__name__}: {reason(error)}"
        raise BadInput(f"{what} cannot be read ({why}): repair what they come from.") from error


# --- one item --------------------------------------------------------------------------------------------------------


def taken_apart(given: Any) -> Item | None:
    """The picture of an item and its label, or those of a batch. None where it holds no picture."""
    named = dict(given) if isinstance(given, Mapping) else {}
    values = list(named.values()) if named else list(given) if isinstance(given, list | tuple) else [given]
    pictures = [(i, picture) for i, value in enumerate(values) if (picture := as_picture(value)) is not None]
    if not pictures:
        return None
    i, picture = pictures[0]
    labelled = [value for key, value in named.items() if str(key).lower() in LABEL_NAMES] if named else values[i + 1 :]
    labels = next((found for value in labelled if (found := as_labels(value)) is not None), None)
    place = repr(list(named)[i]) if named else f"number {i}"
    return Item(picture, labels, place if len(pictures) > 1 else "")


def as_picture(value: Any) -> Tensor | None:
    """A tensor, an array or a picture of Pillow's as a tensor on the CPU; None for anything else."""
    if hasattr(value, "convert") and hasattr(value, "mode"):  # Pillow's, without a need to import it
        value = np.asarray(value if value.mode in ("L", "RGB") else value.convert("L" if value.mode == "1" else "RGB"))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        known = np.dtype(np.int32) if value.dtype == np.uint16 else value.dtype.newbyteorder("=")
        value = torch.from_numpy(np.array(value, known))
    if not isinstance(value, Tensor) or value.ndim < 2 or value.is_complex():
        return None
    value = value.detach().cpu().as_subclass(Tensor)
    return value.float() if value.is_floating_point() else value


def as_batch(picture: Tensor, batched: bool) -> Tensor | None:
    """One picture as a batch of one, several as they are; None where it can be neither."""
    if batched:
        return picture if picture.ndim in (3, 4) else None
    single = picture.ndim == 2 or (picture.ndim == 3 and {picture.shape[0], picture.shape[2]} & set(CHANNELS))
    return picture[None] if single else picture if picture.ndim in (3, 4) else None


def as_labels(value: Any) -> list[int] | None:
    """A whole number, or a row of them, as a list; None for anything else."""
    try:
        y = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    whole = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    return y.reshape(-1).tolist() if whole and y.ndim <= 1 else None


def described(given: Any) -> str:
    shape = getattr(given, "shape", None)
    return f"a {type(given).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")


# --- the real images as they were given ------------------------------------------------------------------------------


def few_of(real: Pictures) -> Tensor:
    """Two of the real images, float32 (2, C, H, W). Raises `BadInput` where there are no images."""
    return to_images(real[:2] if getattr(real, "shape", (2,)) else real, "the real images", [])


def top_of(real: Pictures) -> float:
    """1 or 255 where real images were given as floats in [0, 1] or [0, 255]; 0 for any others."""
    if isinstance(real, Images) or (isinstance(real, np.ndarray) and real.dtype.kind != "f"):
        return 0
    low, high = (float(edge) for edge in (real.min(), real.max())) if len(real) else (0, 0)
    is_float = isinstance(real, np.ndarray) or real.is_floating_point()
    return 0 if not is_float or not 0 <= low < high else 1 if high <= 1 else 255
