"""How images reach the doctor: anyone's arrays, brought to one form. (`files` reads them from files.)

That form is float32 (N, C, H, W) on the CPU, with real images in [-1, 1]. Every change made on the way is noted in one
sentence; what cannot be put right is a `BadInput`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.data import Images, floats
from gantutor.data.listing import some
from gantutor.doctor import measures
from gantutor.doctor.images.extractors import FeatureExtractor, choose_extractor
from gantutor.errors import BadInput
from gantutor.metrics import Classifier

MIN_IMAGES = 64  # samples, and real images: fewer do not allow a verdict
MAX_IMAGES = 10_000  # samples, and real images, that are examined; copies are looked for among all real images
MAX_VALUES = 50_000_000  # of them all: fewer images are examined where they are large
MIN_SIDE = 8  # pixels
MAYBE_SHEETS = (
    "The samples are at least twice as large as the real images: if each is a contact sheet, which holds several "
    "images, nothing here says how G is; save each image on its own."
)

Pictures = Images | Tensor | np.ndarray
Labels = Tensor | np.ndarray | Sequence[int] | Sequence[str]


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


# --- arrays ----------------------------------------------------------------------------------------------------------


def to_images(x: Pictures, what: str, notes: list[str]) -> Tensor:
    """Float32 (N, C, H, W) on the CPU from (N, H, W), (N, C, H, W), (N, H, W, C), or flat (N, D).

    Floats keep their values, a whole number x becomes x / 127.5 - 1, and False and True become -1 and 1. What is
    transparent is laid on white.
    """
    x = to_tensor(x, what, notes)
    return x if x.is_floating_point() else x.float().div_(127.5).sub_(1)


def to_tensor(x: Pictures, what: str, notes: list[str], like: Tensor | None = None) -> Tensor:
    """The same, except that whole numbers stay what they are.

    What is transparent is laid on black where images on black are more `like` others (M, C, H, W).
    """
    if isinstance(x, Images):
        return x.stored.cpu()
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        kind = "float32" if x.dtype.kind == "f" else "uint8" if x.dtype.itemsize == 1 else "int64"  # which torch knows
        kind = x.dtype.name if x.dtype.name in ("bool", "int8") else kind
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, which is a finding
            x = torch.from_numpy(np.require(x, kind, ["C", "W"]))
    if not isinstance(x, Tensor) or x.is_complex():
        kind = f"{type(x).__name__} of {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
        raise BadInput(f"{what} are a {kind}: give an array of numbers, (N, C, H, W) or (N, H, W).")
    x = x.detach().cpu()
    x = x.float() * 2 - 1 if x.dtype == torch.bool else x.float() if x.is_floating_point() else x
    x = unflatten(x, what, notes) if x.ndim == 2 else x.unsqueeze(1) if x.ndim == 3 else x
    cure = how_to_reorder(x.shape)
    if x.ndim != 4 or not x.numel() or cure:
        raise BadInput(f"{what} have the shape {tuple(x.shape)}: give images (N, C, H, W) or (N, H, W){cure}.")
    if x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        notes.append(f"{_capitalised(what)} came as (N, H, W, C): the channels were moved to the front.")
        x = x.permute(0, 3, 1, 2)
    check_size(x, what)
    return (lay_on_ground(x, what, notes, like) if x.shape[1] == 4 else x).contiguous()


def how_to_reorder(shape: Sequence[int]) -> str:
    """What brings an array of this shape to (N, C, H, W), if it is in another usual order: it ends a sentence."""
    if len(shape) == 5:
        rest = ", ".join(map(str, shape[2:]))
        return f"; if these are batches, reshape(-1, {rest}) joins them"
    if len(shape) != 4:
        return ""
    if shape[2] in (1, 3, 4) and shape[3] >= MIN_IMAGES and min(shape[:2]) >= MIN_SIDE:
        return "; if this is (H, W, C, N), transpose it by (3, 2, 0, 1)"
    if shape[0] in (1, 3, 4) and shape[1] >= MIN_IMAGES and min(shape[2:]) >= MIN_SIDE:
        return "; if this is (C, N, H, W), transpose it by (1, 0, 2, 3)"
    return ""


def unflatten(x: Tensor, what: str, notes: list[str]) -> Tensor:
    """Square images (N, C, H, W) from flat ones (N, D), where D is that of a grey or a coloured square.

    Whether the channels came first or last is told by the colour, which changes little from pixel to pixel.
    """
    count, length = x.shape
    for channels in (1, 3):
        side = math.isqrt(length // channels)
        if side >= MIN_SIDE and channels * side * side == length and count != length:
            notes.append(f"{_capitalised(what)} came flat and were read as {channels} × {side} × {side}.")
            first, last = x.reshape(-1, channels, side, side), x.reshape(-1, side, side, channels).permute(0, 3, 1, 2)
            return min((first, last), key=_roughness)
    return x


def _roughness(x: Tensor) -> float:
    return x[:100].float().diff(dim=3).abs().mean().item()


def lay_on_ground(x: Tensor, what: str, notes: list[str], like: Tensor | None = None) -> Tensor:
    """(N, 3, H, W) from red, green, blue and opacity on one scale: [-1, 1], [0, 1] or [0, 255].

    Other values are no colours, but may be the latents of another net, and stay as they are.
    """
    low, high = (edge.item() for edge in x.aminmax())
    start, end = (0, 255) if not x.is_floating_point() or high > 1.5 else (-1, 1) if low < -0.01 else (0, 1)
    if not (low >= start - 0.01 and high <= end + 0.01):  # also NaN
        return x
    colour, opacity = x[:, :3], (x[:, 3:].float() - start) / (end - start)
    if opacity.min() == 1:
        notes.append(f"{_capitalised(what)} have a fourth channel, which says that they are opaque: it was left out.")
        return colour
    shown = colour.float() * opacity
    on_white, on_black = (shown + ground * (1 - opacity) for ground in (end, start))
    black = like is not None and is_on_black(like, on_white, on_black)
    notes.append(f"{_capitalised(what)} are transparent in parts and were laid on {BLACK if black else 'white'}.")
    laid = on_black if black else on_white
    return laid if x.is_floating_point() else laid.round().to(x.dtype)


def is_on_black(x: Tensor, on_white: Tensor, on_black: Tensor) -> bool:
    """Are images, in whatever range, much more like others on black than like the same on white?"""
    mine, white, black = (_stretched(images[:500].float()) for images in (x, on_white, on_black))
    return bool((mine - black).abs().mean() < 0.5 * (mine - white).abs().mean())


def _stretched(x: Tensor) -> Tensor:
    """The quantiles of the pixel values, brought to [0, 1]."""
    values = measures.quantiles(x[x.isfinite()]) if x.isfinite().any() else torch.zeros(512)
    return (values - values[0]) / (values[-1] - values[0]).clamp(min=1e-6)


def on_fitting_ground(samples: Pictures, on_white: Pictures, on_black: Pictures, notes: list[str]) -> Pictures:
    """Transparent real pictures as they were laid on white, or on black if the samples look so, with a note."""
    few, white, black = (x.stored[:500] if isinstance(x, Images) else x[:500] for x in (samples, on_white, on_black))
    if not is_on_black(*(to_images(x, "the samples", []) for x in (few, white, black))):
        return on_white
    notes.append(f"The transparent parts of the real images were laid on {BLACK}, and not on white.")
    return on_black


def check_size(x: Tensor, what: str) -> None:
    if min(x.shape[2:]) < MIN_SIDE:
        raise BadInput(f"{what} are {x.shape[2]}×{x.shape[3]} pixels: give at least {MIN_SIDE} on a side.")


def check_varied(x: Tensor, what: str) -> None:
    if x.min() == x.max() or (len(x) > 1 and bool((x == x[:1]).all())):
        raise BadInput(f"{what} are all the same: give the images that G was trained on.")


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


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


BLACK = "black, because the samples look so"
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
        top = top_of(x)
        notes.append(f"{_capitalised(what)} lie in [{low:g}, {high:g}] and were read as [0, {top}].")
        x = x / (top / 2) - 1
        high = x.max().item()
    if low < -1.01 or high > 1.01:
        raise BadInput(f"{what} lie in [{low:g}, {high:g}]: scale them to [-1, 1].")
    return x


def top_of(x: Tensor) -> int:
    """The value of white in images that are not negative: 1 or 255."""
    return 1 if x.max() <= 1 else 255


def to_training_images(x: Pictures, notes: list[str], like: Tensor | None = None) -> tuple[Tensor, int | None]:
    """The same for all the real images, except that bytes stay bytes, because they may be many.

    And the value of white if black was 0, unless they are `Images`, which are in [-1, 1] for whoever uses them.
    """
    what, ours = "the real images", isinstance(x, Images)
    pixels = to_tensor(x, what, notes, like)
    if pixels.dtype == torch.uint8 and pixels.max() > 1:
        check_size(pixels, what)
        check_varied(pixels, what)
        return pixels, None if ours else 255
    if not pixels.is_floating_point() and (pixels.max() > 255 or pixels.min() < 0):
        low, high = (int(edge) for edge in pixels.aminmax())
        raise BadInput(f"{what} hold whole numbers from {low} to {high}: bring them and the samples to [-1, 1], "
                       f"2 * (x - {low}) / {high - low} - 1.")  # fmt: skip
    black_was_0 = not ours and (are_bools(x) or (pixels.min() >= 0 and pixels.max() > 0))
    top = top_of(pixels) if black_was_0 else None
    return to_real_images(pixels, what, notes), top


def read_alike(raw: Tensor, top: int | None, notes: list[str]) -> Tensor:
    """Samples on the scale [0, top] that the real images came on, if they are on it too, in [-1, 1]."""
    finite = raw[raw.isfinite()]
    if top is None or not finite.numel():
        return raw
    low, high = (edge.item() for edge in finite.aminmax())
    outside = ((finite < -0.1 * top) | (finite > 1.1 * top)).double().mean().item()
    if outside > 0.002 or (top == 255 and high <= 2):
        return raw
    notes.append(f"The samples lie in [{low:.4g}, {high:.4g}] and were read as [0, {top}], as the real images were.")
    return raw / (top / 2) - 1


def note(notes: list[str], text: str) -> None:
    """Add a note, unless it is there."""
    if text not in notes:
        notes.append(text)


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


def are_floats(x: Pictures) -> bool:
    return not isinstance(x, Images) and (x.is_floating_point() if isinstance(x, Tensor) else x.dtype.kind == "f")


def are_bools(x: Pictures) -> bool:
    return not isinstance(x, Images) and "bool" in str(x.dtype)  # NumPy's or torch's


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
