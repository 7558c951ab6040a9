"""How images come to the doctor: arrays, files and generators of anyone's, brought to one form.

That form is float32 (N, C, H, W) on the CPU, real images in [-1, 1]. Whatever is changed on the way is noted in one
sentence; what cannot be helped is a `BadInput`.
"""

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor import data
from gantutor.data import Images
from gantutor.data.folder import hidden
from gantutor.doctor import measures
from gantutor.errors import BadInput, reason
from gantutor.metrics import Classifier, classifier

LEAST = 64  # samples, and real images: fewer say nothing
MOST = 10_000  # samples, and real images, that are looked at; copies are looked for among all real ones
SMALLEST = 8  # pixels a side

Pictures = Images | Tensor | np.ndarray
Labels = Tensor | np.ndarray | Sequence[int]


@dataclass
class Eyes:
    """What turns images into features (N, d) and, where it knows classes, into class logits (N, K) (else None)."""

    name: str
    look: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    classes: tuple[str, ...] = ()  # their names
    values: tuple[int, ...] = ()  # the label of each
    accuracy: float = 1.0  # share of real images whose label they see

    def features(self, x: Tensor) -> Tensor:
        return self.look(x)[0]


@dataclass
class Patient:
    """Everything that the doctor looks at, images of one shape."""

    raw: Tensor  # samples as they came
    x: Tensor  # the finite ones
    train: Tensor  # all real images given
    others: Tensor  # those of them that are not in `held`
    real: Tensor  # some of those, in random order
    held: Tensor  # real images that were not trained on, in random order
    data: str
    eyes: Eyes
    labels: Tensor | None  # of x: what G was asked for
    notes: list[str] = field(default_factory=list)


# --- arrays ----------------------------------------------------------------------------------------------------------


def to_images(x: Pictures, what: str, notes: list[str]) -> Tensor:
    """Float32 (N, C, H, W) on the CPU from (N, H, W) or (N, C, H, W).

    Floats stay as they are, whole numbers are / 127.5 - 1, False and True become -1 and 1.
    """
    if isinstance(x, Images):
        return x.pixels.cpu()
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        x = torch.from_numpy(np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("=")).astype(_kind(x.dtype)))
    if not isinstance(x, Tensor) or x.is_complex():
        kind = f"{type(x).__name__} of {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
        raise BadInput(f"{what} are a {kind}: give an array of numbers, (N, C, H, W) or (N, H, W).")
    x = x.detach().cpu()
    x = x.float() * 2 - 1 if x.dtype == torch.bool else x
    x = x.unsqueeze(1) if x.ndim == 3 else x
    if x.ndim != 4 or not x.numel():
        raise BadInput(f"{what} have the shape {tuple(x.shape)}: give images (N, C, H, W) or (N, H, W).")
    if x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        notes.append(f"{what[0].upper()}{what[1:]} came as (N, H, W, C): the channels were moved to the front.")
        x = x.permute(0, 3, 1, 2)
    if min(x.shape[2:]) < SMALLEST:
        raise BadInput(f"{what} are {x.shape[2]}×{x.shape[3]} pixels: give at least {SMALLEST} on a side.")
    return x.float().contiguous() if x.is_floating_point() else x.float() / 127.5 - 1


def _kind(dtype: np.dtype) -> str:
    """A type that torch knows too."""
    return "float64" if dtype.kind == "f" else "int64"


def to_labels(y: Labels | None, count: int, what: str) -> Tensor | None:
    """Int64 (N,), or None. Raises `BadInput` unless there is a whole number, 0 or more, for each image."""
    if y is None:
        return None
    try:
        y = torch.as_tensor(y).detach().cpu()
        fits = y.shape == (count,) and not y.is_complex() and bool((y == y.long()).all()) and y.min() >= 0
    except (TypeError, ValueError, RuntimeError):
        fits = False
    if not fits:
        shape = f" of shape {tuple(y.shape)}" if isinstance(y, Tensor) else ""
        raise BadInput(f"{what}{shape} do not fit: give one whole number, 0 or more, for each of the {count} images.")
    return y.long()


def alike(x: Tensor, real: Tensor, notes: list[str]) -> Tensor:
    """Samples with the channels and the size of the real images, with a note where they had others."""
    have, want = tuple(x.shape[1:]), tuple(real.shape[1:])
    if have[0] != want[0]:
        if {have[0], want[0]} != {1, 3}:
            raise BadInput(
                f"the samples have {have[0]} channels and the real images {want[0]}: bring both to one form."
            )
        x = x.mean(1, keepdim=True) if want[0] == 1 else x.expand(-1, 3, -1, -1)
        notes.append(f"The samples have {have[0]} channel(s), the real images {want[0]}: they were converted.")
    if have[1:] != want[1:]:
        sizes = [f"{h}×{w}" for h, w in (have[1:], want[1:])]
        notes.append(f"The samples are {sizes[0]} pixels and were resized to the {sizes[1]} of the real images.")
        x = F.interpolate(x, want[1:], mode="bilinear", antialias=True)
    return x


def to_real(x: Pictures, what: str, notes: list[str]) -> Tensor:
    """Real images in [-1, 1]; [0, 1] and [0, 255] are rescaled with a note. As the measure they must be sound.

    Raises `BadInput` for NaN, for values outside these ranges, and for images that are all the same.
    """
    x = to_images(x, what, notes)
    if is_bits(x):
        notes.append(f"{what[0].upper()}{what[1:]} hold nothing but 0 and 1, which were read as black and white.")
        x = from_bits(x)
    if not x.isfinite().all():
        raise BadInput(f"{what} hold NaN or infinite values: remove those images first.")
    low, high = (edge.item() for edge in x.aminmax())
    if low == high or (len(x) > 1 and bool((x == x[:1]).all())):
        raise BadInput(f"{what} are all the same: give the images that G was trained on.")
    if low >= 0 and high > 0:
        top = 1 if high <= 1 else 255
        notes.append(f"{what[0].upper()}{what[1:]} lie in [{low:g}, {high:g}] and were read as [0, {top}].")
        x = x / (top / 2) - 1
        high = x.max().item()
    if low < -1.01 or high > 1.01:
        raise BadInput(f"{what} lie in [{low:g}, {high:g}]: scale them to [-1, 1].")
    return x


def is_bits(x: Tensor) -> bool:
    """Were these bytes that hold nothing but 0 and 1?"""
    return bool(((x == -1) | (x == BIT)).all()) and x.max().item() == BIT


def from_bits(x: Tensor) -> Tensor:
    return torch.where(x == BIT, 1.0, -1.0)


BIT = (torch.ones((), dtype=torch.uint8).float() / 127.5 - 1).item()  # what a byte of 1 becomes


# --- the patient -----------------------------------------------------------------------------------------------------


def admit(
    samples: Pictures,
    real: Pictures,
    labels: Labels | None,
    real_labels: Labels | None,
    held_out: Pictures | None,
    known: Classifier | None,
) -> Patient:
    """Bring all images to one form and choose the eyes to see them with. Draws from torch's global random stream."""
    notes: list[str] = []
    both = isinstance(samples, Images) and isinstance(real, Images)
    if labels is None and both and len(real.classes) > 1 and samples.classes == real.classes:
        labels = samples.labels  # other folders may be steps or runs
    raw = to_images(samples, "the samples", notes)
    labels = to_labels(labels, len(raw), "the labels")
    train = to_real(real, "the real images", notes)
    if is_bits(raw) and bool((train.abs() == 1).all()):
        notes.append("The samples hold nothing but 0 and 1, as the real images do: read as black and white.")
        raw = from_bits(raw)
    raw = alike(raw, train, notes)
    for what, count in (("samples", len(raw)), ("real images", len(train))):
        if count < LEAST:
            raise BadInput(f"there are {count} {what}: give at least {LEAST}, better 500 or more.")
    if isinstance(real, Images) and real_labels is None:
        real_labels = real.labels
    real_labels = to_labels(real_labels, len(train), "the labels of the real images")

    order = torch.randperm(len(train))
    if held_out is None:
        aside, order = order[: len(train) // 5], order[len(train) // 5 :]
        held, others = train[aside[:MOST]], train[order]
    else:
        held = alike(to_real(held_out, "the held-out images", notes), train, notes)
        held, others = held[torch.randperm(len(held))[:MOST]], train
        if len(held) < LEAST:
            raise BadInput(f"there are {len(held)} held-out images: give at least {LEAST}, or none.")
    chosen = order[:MOST]
    name = f"{real.name}, {len(train)} images" if isinstance(real, Images) else f"{len(train)} real images"
    eyes = choose_eyes(real, train[chosen], None if real_labels is None else real_labels[chosen], known, notes)

    keep = torch.randperm(len(raw))
    keep = keep[raw[keep].flatten(1).isfinite().all(1)][:MOST]
    return Patient(
        raw=raw, x=raw[keep], train=train, others=others, real=train[chosen], held=held, data=name, eyes=eyes,
        labels=None if labels is None else labels[keep], notes=notes,
    )  # fmt: skip


def choose_eyes(
    source: Pictures, real: Tensor, labels: Tensor | None, known: Classifier | None, notes: list[str]
) -> Eyes:
    """The judge given; else a shipped one; else one trained on the labels; else random convolutions."""
    if known is not None:
        if not isinstance(known, Classifier):
            raise BadInput(f"judge is a {type(known).__name__}: give a judge.Judge, such as judge.fit(images) makes.")
        if known.shape != tuple(real.shape[1:]):
            raise BadInput(f"the judge looks at images of shape {known.shape}, but these are {tuple(real.shape[1:])}.")
        return eyes_of(known, "the judge given", *meanings(known, real, labels))
    if isinstance(source, Images) and source.name in classifier.SHIPPED and tuple(real.shape[1:]) == (1, 28, 28):
        named = classifier.load(source.name)
        values, accuracy = meanings(named, real, labels)
        if accuracy > 0.8:  # else they have only the name
            return eyes_of(named, f"the shipped judge of {source.name}", values, accuracy)
    if (found := classifier.recognise(real[:2000])) is not None:
        values, accuracy = meanings(found, real, labels)
        if accuracy > 0.8:
            name = f"the shipped judge of {found.name}, for the real images look like its own"
            return eyes_of(found, name, values, accuracy)
    if labels is not None and len(labels.unique()) > 1:
        if (trained := train_judge(real, labels)) is not None:
            return eyes_of(trained[0], "a judge trained on the labels of the real images", *trained[1:])
        notes.append("A judge trained on the labels of the real images could not tell their classes apart.")
    features = measures.RandomFeatures(real)
    return Eyes("random convolutions (no classes are known)", lambda x: (features(x), None))


def eyes_of(j: Classifier, name: str, values: tuple[int, ...], accuracy: float) -> Eyes:
    return Eyes(
        name, lambda x: tuple(part.cpu() for part in classifier.features_and_logits(j, x)), j.classes, values, accuracy
    )


def meanings(j: Classifier, real: Tensor, labels: Tensor | None) -> tuple[tuple[int, ...], float]:
    """Which label (K values) each of the judge's classes has among these real images, and in what share it fits.

    The judge may count its classes in another order than the labels do. Without labels: 0, 1, 2, ….
    """
    values = list(range(len(j.classes)))
    if labels is None:
        return tuple(values), 1.0
    seen, labels = classifier.features_and_logits(j, real[:2000])[1].argmax(1).cpu(), labels[:2000]
    for c in seen.unique().tolist():
        values[c] = labels[seen == c].mode().values.item()
    return tuple(values), (torch.tensor(values)[seen] == labels).double().mean().item()


def train_judge(real: Tensor, labels: Tensor) -> tuple[Classifier, tuple[int, ...], float] | None:
    """A judge of these classes, their labels, and its accuracy on a fifth of the images; None if it does not learn."""
    values, labels = labels.unique(return_inverse=True)
    if len(values) > len(labels) // 20 or len(labels) < 64:
        return None
    names, cut = tuple(str(value.item()) for value in values), len(real) // 5
    seen, unseen = (Images("", real[part], labels[part], names) for part in (slice(cut, None), slice(cut)))
    trained = classifier.fit(seen, epochs=max(3, min(40, 40_000 // len(seen))))
    accuracy = classifier.accuracy(trained, unseen)
    return (trained, tuple(values.tolist()), accuracy) if accuracy > 0.6 else None


# --- files -----------------------------------------------------------------------------------------------------------


def load_images(path: str | os.PathLike) -> tuple[np.ndarray | Images, np.ndarray | None]:
    """Images and labels (or None) from a .npz (keys images, labels), a .npy, or a folder of pictures.

    A folder is read as `from_folder` says.

    Raises:
        BadInput: there is no such file, it is none of these, or it is damaged.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return from_folder(path), None
    if not path.is_file():
        raise BadInput(f"there is no file or folder {str(path)!r}: give a .npz, a .npy or a folder of pictures.")
    if path.suffix not in (".npz", ".npy"):
        raise BadInput(f"{path} is neither .npz nor .npy: give one of these, or a folder of pictures.")
    try:
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray) and content.ndim:
                return content, None
            if isinstance(content, np.ndarray):
                raise BadInput(f"{path} holds a single number: save images (N, C, H, W) or (N, H, W).")
            if "images" not in content:
                held = ", ".join(content.files) or "nothing"
                raise BadInput(f"{path} holds {held}: it must hold an array named images, (N, C, H, W) or (N, H, W).")
            return content["images"], content.get("labels")
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"{path} cannot be read ({reason(error)}): save it again with numpy.savez or numpy.save."
        ) from error


def from_folder(path: Path) -> Images:
    """A folder of pictures as `Images`, at the size of its first picture (8 to 64), grey if all are."""
    from PIL import Image

    size, grey = None, True
    try:
        for file in (file for file in sorted(path.rglob("*")) if file.is_file() and not hidden(file, path)):
            with Image.open(file) as picture:
                size = size or min(max(min(picture.size), SMALLEST), 64)
                grey = picture.mode in ("1", "L", "I;16", "I", "F")
            if not grey:
                break
    except (OSError, Image.DecompressionBombError):
        grey = False  # `data.from_folder` says what is wrong
    return data.from_folder(path, size or 64, grey)
