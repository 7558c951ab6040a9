"""Everything that the doctor is given, as one case of images that have one form."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gantutor.data import Images, floats
from gantutor.data.listing import some
from gantutor.doctor.images.arrays import (
    MIN_IMAGES,
    Pictures,
    are_floats,
    black_and_white,
    how_many,
    is_binary,
    match_shape,
    read_alike,
    resized_like,
    to_images,
    to_real_images,
    to_training_images,
)
from gantutor.doctor.images.classes import Labels, are_names, match_names, numbered, to_labels
from gantutor.doctor.images.extractors import FeatureExtractor, choose_extractor
from gantutor.errors import BadInput
from gantutor.metrics import Classifier

MAYBE_SHEETS = (
    "The samples are at least twice as large as the real images: if each is a contact sheet, which holds several "
    "images, nothing here says how G is; save each image on its own."
)


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
    open: list[str] = field(default_factory=list)  # what could not be decided, as `Diagnosis.open` has it
    resized: bool = False  # were the samples of another size than the real images?
    sheets: bool = False  # were they so much larger that each may hold several images?
    copies: tuple[Tensor, Tensor] | None = None  # if samples are copies: what `CopySearch.nearest` returned for them

    def keep(self, good: Tensor) -> None:
        """Examine only those samples any more for which `good` (N,) is true."""
        self.samples = self.samples[good]
        self.labels = None if self.labels is None else self.labels[good]
        if self.copies is not None:
            seen = good[: len(self.copies[0])]
            self.copies = self.copies[0][seen], self.copies[1][seen]

    def treat_real(self, treatment: Callable[[Tensor], Tensor]) -> None:
        """Do the same to all real images, float32 -> float32, a few at a time."""
        self.real, self.held_out = treatment(self.real), treatment(self.held_out)
        parts = [treatment(floats(part)) for part in self.train.split(1000)]
        if not self.train.is_floating_point():
            parts = [((part + 1) * 127.5).round().byte() for part in parts]
        self.train = torch.cat(parts)


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
    left_open: list[str] = []
    raw = to_images(samples, "the samples", notes)
    if not are_names(labels):
        labels = to_labels(labels, len(raw), "the labels")
    labels = match_names(samples, real, labels, real_labels, notes, left_open)
    train, top = to_training_images(real, notes, like=raw)
    raw = read_alike(raw, top, notes) if are_floats(samples) else raw
    black, white = (-1, 1) if train.is_floating_point() else (0, 255)
    if is_binary(raw) and bool(((train == black) | (train == white)).all()):
        notes.append("The samples hold nothing but 0 and 1, as the real images do, and were read as black and white.")
        raw = black_and_white(raw)
    size = raw.shape[2:]
    sheets = min(size) >= 2 * min(train.shape[2:])
    raw = match_shape(raw, train, notes)
    if sheets:
        notes.append(MAYBE_SHEETS)
    for what, count in (("samples", len(raw)), ("real images", len(train))):
        if count < MIN_IMAGES:
            raise BadInput(f"there are {count} {what}: give at least {MIN_IMAGES}, better 500 or more.")
    if isinstance(real, Images) and real_labels is None:
        real_labels = real.labels
    elif are_names(real_labels):
        names, real_labels = numbered(real_labels)
        notes.append(f"The classes of the real images were numbered from 0 in the order {some(names)}.")
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
        open=left_open, resized=size != train.shape[2:], sheets=sheets,
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
