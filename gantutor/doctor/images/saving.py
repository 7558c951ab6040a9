"""What becomes of pictures on their way to a file: another range, clamped values, channels exchanged.

No training helps against these, so they are looked for first. Each is put right for the rest of the examination; where
values were lost, the real images are treated in the same way instead.
"""

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, telling
from gantutor.doctor.images.augmentation import turn_all
from gantutor.doctor.images.inputs import Case
from gantutor.metrics import nearest_neighbours

COLLAPSED = 0.06  # all is one image if samples vary so little, compared with held-out images
SOME = 1500  # samples, and real images, that are compared
EDGE = 1 - 0.5 / 127.5  # what a byte of 255 becomes, or more


def correct_saving(case: Case) -> Iterator[Finding]:
    """Was something done to the samples when they were saved? The case is put right on the way."""
    for correct in (correct_treatment, correct_range, correct_layout, turn_all, correct_channels):
        if (finding := correct(case)) is not None:
            yield finding


# --- values that were lost -------------------------------------------------------------------------------------------


class Treatment(NamedTuple):
    """A way to spoil pictures that cannot be undone: images in [-1, 1] -> the same."""

    name: str  # follows "they look like real images"
    apply: Callable[[Tensor], Tensor]
    least: float = 0.025  # difference between pixel values that is worth a word: other images may be bolder than these


def as_floats(x: Tensor) -> Tensor:
    """From [0, 1] to [-1, 1], cut off at both ends."""
    return x.clamp(0, 1) * 2 - 1


def wrapped(x: Tensor) -> Tensor:
    """What NumPy's conversion to bytes makes of any number: the fraction is cut off, and 256 becomes 0."""
    return x.trunc().remainder(256) / 127.5 - 1


def gamma(x: Tensor, exponent: float) -> Tensor:
    return 2 * ((x + 1) / 2) ** exponent - 1


def stretched(x: Tensor) -> Tensor:
    """Each image by itself to the full range."""
    low, high = (edge(x.flatten(1), 1)[:, None, None, None] for edge in (torch.amin, torch.amax))
    return 2 * (x - low) / (high - low).clamp(min=1e-6) - 1


def without_colour(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True).expand_as(x)


TREATMENTS = (
    Treatment("whose values below 0 were cut off: they lie in [-1, 1] and were saved as if in [0, 1]", as_floats),
    Treatment("whose values below 0 were cut off (clamped at 0)", lambda x: x.clamp(min=0)),
    Treatment("that wrapped around in bytes: in [-1, 1], multiplied by 255", lambda x: wrapped(255 * x), 0.01),
    Treatment("that wrapped around in bytes: in [-1, 1], multiplied by 127.5", lambda x: wrapped(127.5 * x), 0.01),
    Treatment("that wrapped around in bytes: white became 256, and 256 is 0", lambda x: wrapped(128 * (x + 1)), 0.01),
    Treatment("washed out: 0.5 x + 1 instead of 0.5 x + 0.5, cut off at 1", lambda x: as_floats(0.5 * x + 1)),
    Treatment("washed out: 0.5 x + 1, cut off at 1", lambda x: (0.5 * x + 1).clamp(max=1)),
    Treatment("washed out: twice as bright, cut off at white", lambda x: as_floats(x + 1)),
    Treatment("darkened: 0.5 x instead of 0.5 x + 0.5, cut off at 0", lambda x: as_floats(0.5 * x)),
    Treatment("standardised as for ImageNet, cut off at 0 and 1", lambda x: as_floats((x + 0.1) / 0.45)),
    Treatment("washed out by a gamma of 2.2", lambda x: gamma(x, 1 / 2.2)),
    Treatment("darkened by a gamma of 2.2", lambda x: gamma(x, 2.2)),
    Treatment("stretched picture by picture to the full range", stretched),
    Treatment("without their colours", without_colour),
)


def correct_treatment(case: Case) -> Finding | None:
    """Do the samples look like real images after one of `TREATMENTS`, and not as they are? If so, treat these alike.

    What is compared are the quantiles of all pixel values. Those of a G that is too dark or too bright match no
    treatment closely, and its images do not lie among the treated ones.
    """
    x, real, held_out = case.samples[:SOME], case.real[:SOME], case.held_out[:SOME]
    if x.abs().max() > 1.05 or relative_variance(case, x) < 0.01:
        return None
    values = measures.quantiles(x)
    gap, chance = (distance(values, real), distance(measures.quantiles(held_out), real))
    if gap < 0.01 + chance:
        return None
    lefts = [distance(values, treatment.apply(real)) / gap for treatment in TREATMENTS]
    left, treatment = min(zip(lefts, TREATMENTS, strict=True), key=lambda pair: pair[0])
    if (
        gap < treatment.least + chance
        or left > (0.2 if gap < 0.1 else 0.35)
        or left > least_left_by_rescaling(values, real) / gap
        or (gap < 0.1 and distance(values, resembling(x, real)) < 0.35 * gap)  # too many of one kind, and no treatment
    ):
        return None
    treated = treatment.apply(real)
    if not has_edges_like(x, treated, real):
        return None
    mine, theirs = (measures.thumbnail_distance(y[:500], treated) for y in (x, treatment.apply(held_out)))
    if mine > 1.35 * theirs:
        return None
    case.treat_real(treatment.apply)
    case.notes.append("The real images were treated in the same way for the rest of the examination.")
    evidence = (
        Evidence(
            "mean difference between the pixel values of samples and of real images", gap, high=treatment.least + chance
        ),
        Evidence("share of it that is left when the real images are treated in the same way", left, context=True),
    )
    return Finding("saved_wrongly", "severe", evidence, f"They look like real images {treatment.name}.")


def has_edges_like(x: Tensor, treated: Tensor, real: Tensor) -> bool:
    """Are black and white as frequent as after a treatment, wherever it changes how frequent they are?"""
    mine, theirs, sound = (torch.stack([y <= -EDGE, y >= EDGE]).flatten(1).double().mean(1) for y in (x, treated, real))
    changed = (theirs - sound).abs() > 0.2 * sound
    return bool(((mine - theirs).abs() < (mine - sound).abs())[changed].all())


def least_left_by_rescaling(values: Tensor, real: Tensor) -> float:
    """The least distance to the quantiles of real images that were brought to another range, and not cut off."""
    theirs = measures.quantiles(real)
    ranges = [(theirs - known.b) / known.a for known in measures.candidate_rescalings(real, real)]
    return min((values - other.sort().values).abs().mean().item() for other in ranges)


def resembling(x: Tensor, real: Tensor) -> Tensor:
    """The real image that is most like each of some images, whatever their brightness and contrast."""

    def shapes(images: Tensor) -> Tensor:
        small = measures.thumbnails(images, 10)
        return F.normalize(small - small.mean(1, keepdim=True))

    return real[nearest_neighbours(shapes(x), shapes(real))[1][:, 0]]


def distance(values: Tensor, real: Tensor) -> float:
    """Mean difference between quantiles and those of real images."""
    return (values - measures.quantiles(real)).abs().mean().item()


# --- range of the pixel values ---------------------------------------------------------------------------------------


def correct_range(case: Case) -> Finding | None:
    """Do the samples have another range of pixel values? If so, put them right for the rest of the examination."""
    x = case.samples
    outside = (x.abs() > 1.05).double().mean().item()
    low, high = (edge.item() for edge in x.aminmax())
    bits = low < high < -0.98 and bool(((x == low) | (x == high)).all())  # bytes that hold 0 and 1
    suspicious = outside > 0.001 or bits or relative_variance(case, x.clamp(-1, 1)) > 0.02
    best, left = best_rescaling(case) if suspicious else (None, 1.0)
    if outside <= 0.001 and not bits and best is None:
        return find_few_grey_levels(case)
    detail = f"They go from {low:.3g} to {high:.3g}"
    detail += f"; they look like real images {best.name}." if best is not None else "."
    case.samples = best.undo(x) if best is not None else x.clamp(-1, 1)
    case.notes.append("The samples were brought to [-1, 1] before the rest of the examination.")
    evidence = [Evidence("share of pixel values outside [-1, 1]", outside, high=0.001)]
    if bits:
        evidence.append(Evidence("highest pixel value", high, low=-0.98))
    if best is not None:
        before = measures.value_gap(x[:2000], case.real[:2000])
        evidence += [
            Evidence("mean difference between the quantiles of their pixel values and of real ones", before, high=0.08),
            Evidence("share of this difference that goes when they are rescaled", 1 - left, context=True),
        ]
    return Finding("range_mismatch", "severe", telling(*evidence), detail)


def find_few_grey_levels(case: Case) -> Finding | None:
    """Have the samples only a few of the grey values that real images have?"""
    mine, theirs = measures.grey_levels(case.samples[:SOME]), measures.grey_levels(case.real[:SOME])
    if mine >= 0.2 * theirs or theirs < 50 or relative_variance(case, case.samples) < 0.06:
        return None
    evidence = Evidence("grey values between black and white, of 190", mine, low=0.2 * theirs, usual=theirs)
    return Finding("range_mismatch", "moderate", (evidence,), "They are rounded to a few grey values.")


def best_rescaling(case: Case) -> tuple[measures.Rescaling | None, float]:
    """The rescaling that makes the samples look like real images, if there is one, and the share of the gap it leaves.

    The gap is the mean difference between the quantiles of the pixel values. Because anything fits once it is shrunk
    to black, the rescaled samples must also lie in [-1, 1], be as varied as real images are, and lie clearly nearer to
    them than before; except where their values begin at 0 (see `begins_at_0`): then they may look like anything.
    """
    x, real = case.samples[:2000], case.real[:4000]
    usual = measures.thumbnail_distance(case.held_out[:500], real)
    values, before = case.real[:2000], measures.thumbnail_distance(x[:500], real)
    gap, variety = measures.value_gap(x, values), relative_variance(case, x)
    best, least, from_0 = None, 1.0, begins_at_0(x, values)
    if gap < 0.08:  # a wrong range leaves 0.13 and more
        return best, least
    for candidate in measures.candidate_rescalings(x, values):
        now = candidate.undo(x)
        left = measures.value_gap(now, values) / gap
        fits = left < 0.4 or candidate.a == -1
        if (
            fits
            and left < least - 0.03
            and candidate.share_cut_off(x) < 0.02
            and 0.3 < relative_variance(case, now) < 3
        ):
            exact = left < 0.1 and gap > 0.1
            # Dark images lie near to other dark ones, so that nearness says little about them.
            flat = exact and variety < 0.4 and 0.75 < relative_variance(case, now) < 1.33
            close = min(0.75 * before, 1.35 * usual) if exact else min(0.5 * before, 2.5 * usual)
            limit = 1.15 * usual if flat else close
            if from_0 or measures.thumbnail_distance(now[:500], real) < limit:
                best, least = candidate, left
    return best, least


def begins_at_0(x: Tensor, real: Tensor) -> bool:
    """Is the lowest value of the samples 0, while real images have many below it?

    So it is if they lie in [0, 1], however badly G draws. Samples that are only too bright end anywhere.
    """
    return -0.005 < x.min().item() < 0.02 and (real < -0.1).double().mean().item() > 0.1


def relative_variance(case: Case, x: Tensor) -> float:
    """How much images differ, over how much held-out ones do."""
    return measures.thumbnail_variance(x) / max(measures.thumbnail_variance(case.held_out), 1e-9)


def channels_first(x: Tensor) -> Tensor:
    """Undoes a reshape of (N, H, W, C) to (N, C, H, W)."""
    return x.reshape(len(x), *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2).contiguous()


def channels_last(x: Tensor) -> Tensor:
    """Undoes a reshape of (N, C, H, W) to (N, H, W, C)."""
    return x.permute(0, 2, 3, 1).reshape(x.shape)


def correct_layout(case: Case) -> Finding | None:
    """Were the axes of the samples reshaped, not permuted? Then undoing that makes them as smooth as real images."""
    x, real = case.samples[:500], case.real[:4000]
    if x.shape[1] == 1 or relative_variance(case, x) <= COLLAPSED:
        return None
    usual = measures.thumbnail_distance(case.held_out[:500], real)
    for undo in (channels_first, channels_last):
        smoother = steps(undo(x)) / steps(x)
        if (
            smoother < 0.8
            and steps(undo(x)) < 1.3 * steps(case.held_out)
            and measures.thumbnail_distance(undo(x), real) < 1.35 * usual
        ):
            case.samples = undo(case.samples)
            case.notes.append("The axes of the samples were put in order before the rest of the examination.")
            evidence = Evidence("steps between pixels with the axes put right, over those as they are", smoother, low=1)
            return Finding("saved_wrongly", "severe", (evidence,), "Their axes were reshaped instead of permuted.")
    return None


def steps(x: Tensor) -> float:
    """Mean difference between neighbouring pixels."""
    return (x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean()).item()


def correct_channels(case: Case) -> Finding | None:
    """Are the samples much more like real images with their colour channels in another order? If so, change it."""
    x, real = case.samples[:500], case.real[:4000]
    if x.shape[1] != 3 or relative_variance(case, case.samples) <= COLLAPSED:  # one picture alone may be like any
        return None
    orders = [list(order) for order in permutations(range(3))]
    distances = [measures.thumbnail_distance(x[:, order], real) for order in orders]
    best = min(range(len(orders)), key=distances.__getitem__)
    gained = distances[best] / max(distances[0], 1e-9)
    if best == 0 or gained > 0.85:
        return None
    case.samples = case.samples[:, orders[best]]
    case.notes.append("The channels of the samples were put in order before the rest of the examination.")
    evidence = Evidence("distance to real images with the channels exchanged, over that as they are", gained, low=1)
    names = ", ".join(("red", "green", "blue")[channel] for channel in orders[best])
    return Finding("channel_order", "severe", (evidence,), f"Their {names} look like red, green, blue.")
