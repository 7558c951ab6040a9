"""How images reach the doctor: anyone's arrays, files and generators, brought to one form.

That form is float32 (N, C, H, W) on the CPU, with real images in [-1, 1]. Every change made on the way is noted in one
sentence; what cannot be put right is a `BadInput`.
"""

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor import data
from gantutor.data import Images, floats
from gantutor.doctor import measures
from gantutor.errors import BadInput, reason
from gantutor.metrics import Classifier, classifier

MIN_IMAGES = 64  # samples, and real images: fewer do not allow a verdict
MAX_IMAGES = 10_000  # samples, and real images, that are examined; copies are looked for among all real images
MAX_VALUES = 50_000_000  # of them all: fewer images are examined where they are large
MIN_SIDE = 8  # pixels

Pictures = Images | Tensor | np.ndarray
Labels = Tensor | np.ndarray | Sequence[int]


class Extracted(NamedTuple):
    """What a feature extractor returns for N images."""

    features: Tensor  # (N, d)
    logits: Tensor | None  # (N, K), or None where the extractor knows no classes
    factors: Mapping[str, Tensor] = MappingProxyType({})  # logits (N, values) of each factor, where it knows several


@dataclass
class FeatureExtractor:
    """Turns images into features and, where it knows classes, into class logits."""

    name: str
    extract: Callable[[Tensor], Extracted]
    classes: tuple[str, ...] = ()  # their names
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the values of each factor that it knows
    labels: tuple[int, ...] = ()  # the label by which the data call each class
    accuracy: float = 1.0  # share of real images that are assigned their own label

    def features(self, x: Tensor) -> Tensor:
        return self.extract(x).features


@dataclass
class Case:
    """Everything that the doctor examines; all images have one shape."""

    raw: Tensor  # the samples as they were given
    samples: Tensor  # the finite ones among them
    train: Tensor  # all real images that were given, as float32 or as bytes
    rest: Tensor  # int64: which of them are not in `held_out`, in random order
    real: Tensor  # some of these, in the same order
    held_out: Tensor  # real images that G was not trained on, in random order
    data: str  # the name of the real images
    extractor: FeatureExtractor
    labels: Tensor | None  # int64, the class that G was asked for in each of `samples`
    closeups: tuple[Tensor, Tensor] | None = None  # of samples and of real images: cut out at full size, for texture
    notes: list[str] = field(default_factory=list)
    copies: tuple[Tensor, Tensor] | None = None  # if samples are copies: what `CopySearch.nearest` returned for them

    def keep(self, good: Tensor) -> None:
        """Examine only those samples any more for which `good` (N,) is true."""
        self.samples = self.samples[good]
        self.labels = None if self.labels is None else self.labels[good]

    def treat_real(self, treatment: Callable[[Tensor], Tensor]) -> None:
        """Do the same to all real images, float32 -> float32, a few at a time."""
        self.real, self.held_out = treatment(self.real), treatment(self.held_out)
        parts = [treatment(floats(part)) for part in self.train.split(1000)]
        if not self.train.is_floating_point():
            parts = [((part + 1) * 127.5).round().byte() for part in parts]
        self.train = torch.cat(parts)


# --- arrays ----------------------------------------------------------------------------------------------------------


def to_images(x: Pictures, what: str, notes: list[str]) -> Tensor:
    """Float32 (N, C, H, W) on the CPU from (N, H, W) or (N, C, H, W).

    Floats keep their values, a whole number x becomes x / 127.5 - 1, and False and True become -1 and 1.
    """
    if isinstance(x, Images):
        return x.pixels.cpu()
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        x = torch.from_numpy(np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("=")).astype(_torch_dtype(x.dtype)))
    if not isinstance(x, Tensor) or x.is_complex():
        kind = f"{type(x).__name__} of {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
        raise BadInput(f"{what} are a {kind}: give an array of numbers, (N, C, H, W) or (N, H, W).")
    x = x.detach().cpu()
    x = x.float() * 2 - 1 if x.dtype == torch.bool else x
    x = x.unsqueeze(1) if x.ndim == 3 else x
    if x.ndim != 4 or not x.numel():
        raise BadInput(f"{what} have the shape {tuple(x.shape)}: give images (N, C, H, W) or (N, H, W).")
    if x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        notes.append(f"{_capitalised(what)} came as (N, H, W, C): the channels were moved to the front.")
        x = x.permute(0, 3, 1, 2)
    check_size(x, what)
    return x.float().contiguous() if x.is_floating_point() else x.float() / 127.5 - 1


def check_size(x: Tensor, what: str) -> None:
    if min(x.shape[2:]) < MIN_SIDE:
        raise BadInput(f"{what} are {x.shape[2]}×{x.shape[3]} pixels: give at least {MIN_SIDE} on a side.")


def check_varied(x: Tensor, what: str) -> None:
    if x.min() == x.max() or (len(x) > 1 and bool((x == x[:1]).all())):
        raise BadInput(f"{what} are all the same: give the images that G was trained on.")


def _torch_dtype(dtype: np.dtype) -> str:
    """A dtype that torch knows too and that holds the values of `dtype`."""
    return "float64" if dtype.kind == "f" else "int64"


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


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
    return torch.as_tensor(y).long()


def match_shape(x: Tensor, real: Tensor, notes: list[str]) -> Tensor:
    """The samples `x` with the channels and the size of the real images; a note says what was converted."""
    have, want = tuple(x.shape[1:]), tuple(real.shape[1:])
    if have[0] != want[0]:
        if {have[0], want[0]} != {1, 3}:
            raise BadInput(
                f"the samples have {have[0]} channels and the real images {want[0]}: give both the same number."
            )
        x = x.mean(1, keepdim=True) if want[0] == 1 else x.expand(-1, 3, -1, -1)
        notes.append(f"The samples have {have[0]} channel(s), the real images {want[0]}: they were converted.")
    if have[1:] != want[1:]:
        sizes = [f"{h}×{w}" for h, w in (have[1:], want[1:])]
        notes.append(f"The samples are {sizes[0]} pixels and were resized to the {sizes[1]} of the real images.")
        x = resize(x, want[1:])
    return x


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", antialias=True)


def resized_like(x: Tensor, size: Sequence[int]) -> Tensor:
    """Images that lose the same detail as those which come to their size from another one."""
    return x if x.shape[2:] == torch.Size(size) else resize(resize(x, size), x.shape[2:])


BYTE_ONE = (torch.ones((), dtype=torch.uint8).float() / 127.5 - 1).item()  # what `to_images` makes of a byte of 1


def is_binary(x: Tensor) -> bool:
    """Were these bytes that hold nothing but 0 and 1?"""
    return bool(((x == -1) | (x == BYTE_ONE)).all()) and x.max().item() == BYTE_ONE


def black_and_white(x: Tensor) -> Tensor:
    """Binary images, as `is_binary` recognises them, with 0 as -1 and 1 as 1."""
    return torch.where(x == BYTE_ONE, 1.0, -1.0)


def to_real_images(x: Pictures, what: str, notes: list[str]) -> Tensor:
    """Real images in [-1, 1]; those in [0, 1] or [0, 255] are rescaled with a note.

    Samples are measured against them, so they have to be sound: raises `BadInput` for NaN, for values outside these
    ranges, and for images that are all the same.
    """
    x = to_images(x, what, notes)
    if is_binary(x):
        notes.append(f"{_capitalised(what)} hold nothing but 0 and 1, which were read as black and white.")
        x = black_and_white(x)
    if not x.isfinite().all():
        raise BadInput(f"{what} hold NaN or infinite values: remove those images first.")
    check_varied(x, what)
    low, high = (edge.item() for edge in x.aminmax())
    if low >= 0 and high > 0:
        top = 1 if high <= 1 else 255
        notes.append(f"{_capitalised(what)} lie in [{low:g}, {high:g}] and were read as [0, {top}].")
        x = x / (top / 2) - 1
        high = x.max().item()
    if low < -1.01 or high > 1.01:
        raise BadInput(f"{what} lie in [{low:g}, {high:g}]: scale them to [-1, 1].")
    return x


def to_training_images(x: Pictures, notes: list[str]) -> Tensor:
    """The same for all the real images, except that the bytes of `Images` stay bytes, because they may be many."""
    if not isinstance(x, Images) or x.stored.is_floating_point() or x.stored.max() <= 1:
        return to_real_images(x, "the real images", notes)
    check_size(x.stored, "the real images")
    check_varied(x.stored, "the real images")
    return x.stored.cpu()


def how_many(x: Tensor) -> int:
    """How many images like these are examined at most."""
    return min(MAX_IMAGES, max(1000, MAX_VALUES // x[0].numel()))


# --- one case from everything that was given -------------------------------------------------------------------------


def prepare(
    samples: Pictures,
    real: Pictures,
    labels: Labels | None,
    real_labels: Labels | None,
    held_out: Pictures | None,
    judge: Classifier | None,
    closeups: tuple[Pictures, Pictures] | None = None,
) -> Case:
    """Bring all images to one form and choose a feature extractor. Draws from torch's global random stream."""
    notes: list[str] = []
    if (
        labels is None
        and isinstance(samples, Images)
        and isinstance(real, Images)
        and len(real.classes) > 1
        and samples.classes == real.classes
    ):
        labels = samples.labels  # only with the same classes, because subfolders may also be steps or runs
    raw = to_images(samples, "the samples", notes)
    labels = to_labels(labels, len(raw), "the labels")
    train = to_training_images(real, notes)
    black, white = (-1, 1) if train.is_floating_point() else (0, 255)
    if is_binary(raw) and bool(((train == black) | (train == white)).all()):
        notes.append("The samples hold nothing but 0 and 1, as the real images do, and were read as black and white.")
        raw = black_and_white(raw)
    size = raw.shape[2:]
    raw = match_shape(raw, train, notes)
    for what, count in (("samples", len(raw)), ("real images", len(train))):
        if count < MIN_IMAGES:
            raise BadInput(f"there are {count} {what}: give at least {MIN_IMAGES}, better 500 or more.")
    if isinstance(real, Images) and real_labels is None:
        real_labels = real.labels
    real_labels = to_labels(real_labels, len(train), "the labels of the real images")

    held_out, order = hold_out(train, held_out, notes)
    most = how_many(train)
    chosen = order[:most]
    shown = floats(train[chosen])
    name = f"{real.name}, {len(train)} images" if isinstance(real, Images) else f"{len(train)} real images"
    chosen_labels = None if real_labels is None else real_labels[chosen]
    extractor = choose_extractor(real, shown, chosen_labels, judge, notes)

    keep = torch.randperm(len(raw))
    keep = keep[raw[keep].flatten(1).isfinite().all(1)][:most]
    return Case(
        raw=raw, samples=raw[keep], train=train, rest=order, real=resized_like(shown, size),
        held_out=resized_like(held_out, size), data=name, extractor=extractor,
        labels=None if labels is None else labels[keep], closeups=check_closeups(closeups, notes), notes=notes,
    )  # fmt: skip


def check_closeups(closeups: tuple[Pictures, Pictures] | None, notes: list[str]) -> tuple[Tensor, Tensor] | None:
    """Closeups of samples and of real images, of one shape, as `to_images` returns them; None if they are too few."""
    if closeups is None:
        return None
    mine, theirs = (to_images(x, f"the closeups of the {what}", notes)
                    for x, what in zip(closeups, ("samples", "real images"), strict=True))  # fmt: skip
    if mine.shape[1:] != theirs.shape[1:]:
        raise BadInput(f"closeups have the shapes {tuple(mine.shape)} and {tuple(theirs.shape)}: cut them out alike.")
    if min(len(mine), len(theirs)) < MIN_IMAGES:
        return None
    notes.append(f"Fine detail was judged on the middle of {len(mine)} samples at full size.")
    return mine, theirs


def hold_out(train: Tensor, held_out: Pictures | None, notes: list[str]) -> tuple[Tensor, Tensor]:
    """Held-out images in random order, and the indices (M,) of the rest of `train`, in random order as well.

    Without held-out images a fifth of `train` is set aside.
    """
    order, most = torch.randperm(len(train)), how_many(train)
    if held_out is None:
        aside, order = order[: len(train) // 5], order[len(train) // 5 :]
        return floats(train[aside[:most]]), order
    held_out = match_shape(to_real_images(held_out, "the held-out images", notes), train, notes)
    held_out = held_out[torch.randperm(len(held_out))[:most]]
    if len(held_out) < MIN_IMAGES:
        raise BadInput(f"there are {len(held_out)} held-out images: give at least {MIN_IMAGES}, or none.")
    return held_out, order


def choose_extractor(
    source: Pictures, real: Tensor, labels: Tensor | None, judge: Classifier | None, notes: list[str]
) -> FeatureExtractor:
    """The classifier given; else a shipped one; else one trained on the labels; else random convolutions."""
    if judge is not None:
        if not isinstance(judge, Classifier):
            raise BadInput(
                f"judge is a {type(judge).__name__}: give a Classifier, such as metrics.classifier.fit(images) returns."
            )
        if judge.shape != tuple(real.shape[1:]):
            raise BadInput(
                f"judge takes images of shape {judge.shape}, but these are {tuple(real.shape[1:])}: "
                "give a classifier of such images."
            )
        return from_classifier(judge, "the classifier given", *match_labels(judge, real, labels))
    if isinstance(source, Images) and (named := classifier.of(source)) is not None:
        values, accuracy = match_labels(named, real, labels)
        if accuracy > 0.8:  # otherwise the images share only the name of the data set
            return from_classifier(named, f"the shipped classifier of {source.name}", values, accuracy)
    if (found := classifier.recognise(real[:2000])) is not None:
        values, accuracy = match_labels(found, real, labels)
        if accuracy > 0.8:
            name = f"the shipped classifier of {found.name}, because the real images look like its own"
            return from_classifier(found, name, values, accuracy)
    if labels is not None and len(labels.unique()) > 1:
        if (trained := train_classifier(real, labels)) is not None:
            return from_classifier(trained[0], "a classifier trained on the labels of the real images", *trained[1:])
        notes.append("A classifier trained on the labels of the real images could not tell their classes apart.")
    random_features = measures.RandomFeatures(real)
    return FeatureExtractor("random convolutions (no classes are known)", lambda x: Extracted(random_features(x), None))


def from_classifier(net: Classifier, name: str, labels: tuple[int, ...], accuracy: float) -> FeatureExtractor:
    def extract(x: Tensor) -> Extracted:
        features, logits = classifier.features_and_logits(net, x)
        with torch.no_grad():
            factors = net.by_factor(features) if net.factors else {}
        return Extracted(features.cpu(), logits.cpu(), {name: part.cpu() for name, part in factors.items()})

    return FeatureExtractor(name, extract, net.classes, net.factors, labels, accuracy)


def match_labels(net: Classifier, real: Tensor, labels: Tensor | None) -> tuple[tuple[int, ...], float]:
    """The label (K values) that these real images have for each class of a classifier, and the share of them that fit.

    The classifier may number its classes in another order than the labels do. Without labels: 0, 1, 2, ….
    """
    values = list(range(len(net.classes)))
    if labels is None:
        return tuple(values), 1.0
    predicted, labels = classifier.features_and_logits(net, real[:2000])[1].argmax(1).cpu(), labels[:2000]
    for c in predicted.unique().tolist():
        values[c] = int(labels[predicted == c].mode().values)
    return tuple(values), (torch.tensor(values)[predicted] == labels).double().mean().item()


def train_classifier(real: Tensor, labels: Tensor) -> tuple[Classifier, tuple[int, ...], float] | None:
    """A classifier of these classes, their labels, and its accuracy on a fifth of the images, kept out of its training.

    None if there are too few images, or if it does not learn.
    """
    values, labels = labels.unique(return_inverse=True)
    if len(values) > len(labels) // 20 or len(labels) < 64:
        return None
    names, cut = tuple(str(value.item()) for value in values), len(real) // 5
    seen, unseen = (Images("", real[part], labels[part], names) for part in (slice(cut, None), slice(cut)))
    trained = classifier.fit(seen, epochs=max(3, min(40, 40_000 // len(seen))))
    accuracy = classifier.accuracy(trained, unseen)
    return (trained, tuple(values.tolist()), accuracy) if accuracy > 0.6 else None


# --- files -----------------------------------------------------------------------------------------------------------


def load_images(path: str | os.PathLike[str]) -> tuple[np.ndarray | Images, np.ndarray | None]:
    """Images and labels (or None) from a .npz (keys images, labels), a .npy, or a folder or .zip of pictures.

    Raises:
        BadInput: there is no such file, it has another format, or it is damaged.
    """
    path = Path(path).expanduser()
    if path.is_dir() or path.suffix.lower() == ".zip":
        return data.from_folder(path), None
    if not path.is_file():
        raise BadInput(f"there is no file or folder {str(path)!r}: give a .npz, a .npy or a folder of pictures.")
    if path.suffix not in (".npz", ".npy"):
        raise BadInput(f"{path} is neither .npz nor .npy: give one of these, or a folder or .zip of pictures.")
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
