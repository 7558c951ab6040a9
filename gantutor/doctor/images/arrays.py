"""Anyone's arrays of pictures, brought to one form: float32 (N, C, H, W) on the CPU, real images in [-1, 1].

Every change made on the way is noted in one sentence; what cannot be put right is a `BadInput`.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.data import Images
from gantutor.doctor import measures
from gantutor.errors import BadInput

MIN_IMAGES = 64  # samples, and real images: fewer do not allow a verdict
MAX_IMAGES = 10_000  # samples, and real images, that are examined; copies are looked for among all real images
MAX_VALUES = 50_000_000  # of them all: fewer images are examined where they are large
MIN_SIDE = 8  # pixels

Pictures = Images | Tensor | np.ndarray


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


def are_floats(x: Pictures) -> bool:
    return not isinstance(x, Images) and (x.is_floating_point() if isinstance(x, Tensor) else x.dtype.kind == "f")


def are_bools(x: Pictures) -> bool:
    return not isinstance(x, Images) and "bool" in str(x.dtype)  # NumPy's or torch's
