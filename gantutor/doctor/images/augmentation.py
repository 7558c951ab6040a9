"""Did the augmentation of the training images leak into the samples? Turned, mirrored, cut out, other colours.

Unlike mistakes of saving these befall only a part of the samples, which is left out of the rest of the examination.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, grade
from gantutor.doctor.images.arrays import MIN_IMAGES
from gantutor.doctor.images.inputs import Case
from gantutor.metrics import nearest_neighbours

SOME, MANY = 600, 1500  # samples and real images that are compared
STEP, EVEN = 0.15, 0.03  # differences between neighbouring pixels at an edge at least, and within an even area at most
CLEARLY = 0.85  # a changed image is nearer to real ones by so much once the change is undone


class Change(NamedTuple):
    """Something that augmentation does to an image, and how to undo it: (N, C, H, W) -> the same."""

    name: str  # follows "are"
    undo: Callable[[Tensor], Tensor]


TURNS = (
    Change("exchanged in height and width (transposed)", lambda x: x.transpose(2, 3)),
    Change("turned by a quarter", lambda x: x.rot90(1, (2, 3))),
    Change("turned by a quarter", lambda x: x.rot90(-1, (2, 3))),
    Change("upside down", lambda x: x.rot90(2, (2, 3))),
    Change("mirrored upside down", lambda x: x.flip(2)),
    Change("mirrored left to right", lambda x: x.flip(3)),
    Change("turned by a quarter and mirrored", lambda x: x.rot90(1, (2, 3)).flip(3)),
)


def hue_turned(degrees: float) -> Callable[[Tensor], Tensor]:
    """Turns the colours (R, G, B) around the axis of greys."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    shift = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    turn = c * torch.eye(3) + (1 - c) / 3 + s / math.sqrt(3) * shift  # Rodrigues' formula
    return lambda x: torch.einsum("ij,njhw->nihw", turn, x).clamp(-1, 1)


def exchanged(order: list[int], x: Tensor) -> Tensor:
    return x[:, order]


COLOURS = (
    *(Change("of another hue", hue_turned(degrees)) for degrees in (60, 120, 180, 240, 300)),
    *(Change("in another order of channels", partial(exchanged, order)) for order in ([0, 2, 1], [1, 0, 2], [2, 1, 0])),
    Change("inverted", lambda x: -x),
)  # fmt: skip


def find_leaks(case: Case) -> Iterator[Finding]:
    """Samples that are turned, mirrored, of other colours or cut out. Those are left out of what follows."""
    for find in (find_turns, find_colours, find_grey, find_boxes):
        if len(case.samples) >= MIN_IMAGES and (finding := find(case)) is not None:
            yield finding


def find_turns(case: Case) -> Finding | None:
    """Is a part of the samples turned or mirrored?"""
    seen = look_for(case, turns_of(case))
    if seen is None or seen.all_alike:
        return None
    return leave_out(case, seen.changed, seen.evidence, f"Many are {seen.main.name}.", seen.share)


def turn_all(case: Case) -> Finding | None:
    """Are all samples turned in one way? If so, turn them back. Exchanged axes come from saving, the others do not."""
    seen = look_for(case, turns_of(case))
    if seen is None or not seen.all_alike:
        return None
    case.samples = seen.main.undo(case.samples)
    case.notes.append("The samples were turned back for the rest of the examination.")
    name = "saved_wrongly" if seen.main is TURNS[0] else "low_fidelity"
    return Finding(name, "severe", seen.evidence, f"They look like real images that are {seen.main.name}.")


def turns_of(case: Case) -> Sequence[Change]:
    square = case.real.shape[2] == case.real.shape[3]
    return [turn for turn in TURNS if square or turn.undo(case.real[:1]).shape == case.real[:1].shape]


def find_colours(case: Case) -> Finding | None:
    """Has a part of the samples other colours?"""
    seen = look_for(case, COLOURS if case.real.shape[1] == 3 else COLOURS[-1:])
    if seen is None or seen.share > 0.95:  # all of them: that is no accident of training
        return None
    return leave_out(case, seen.changed, seen.evidence, f"Many are {seen.main.name}.", seen.share)


class Seen(NamedTuple):
    """Samples that look like changed real images."""

    changed: Tensor  # bool (N,), of all samples
    share: float  # of the samples, estimated: not every change shows
    main: Change  # the most frequent one
    all_alike: bool  # are all samples changed so?
    evidence: tuple[Evidence, ...]


def look_for(case: Case, changes: Sequence[Change]) -> Seen | None:
    """Are more samples than held-out images clearly nearer to real ones once a change is undone?

    After that they must also be as near as nine of ten held-out images are: what looks like no image in any position
    was not turned.
    """
    base = measures.thumbnails(case.real[:MANY], 10)
    mine, theirs = (distances(x, changes, base) for x in (case.samples[:SOME], case.held_out[:SOME]))  # (1 + K, N)
    near = theirs[0].quantile(0.9)
    undone, usual = (nearer_undone(d, near) for d in (mine, theirs))
    share, chance = undone.double().mean().item(), share_among_alike(usual, case)
    most = most_by_chance(chance, len(undone), len(usual), least=0.05)
    if share < most:
        return None
    mean = mine[1:].mean(1)
    mean[0] *= 0.99  # of equals the first
    main = int(mean.argmin())
    if few_images(changes[main].undo(case.samples[:SOME][undone]), base):
        return None
    shows = (theirs[0] < CLEARLY * theirs[1 + main]).double().mean().item()  # of changed images, how many are noticed
    estimate = min(1.0, (share - chance) / max(shows - chance, 0.05))
    all_alike = estimate > 0.85 and bool(mean[main] < 1.2 * theirs[0].mean())
    every = nearer_undone(distances(case.samples, changes, base), near)
    name = "share of samples that are nearer to real images once a change is undone"
    evidence = Evidence(name, share, high=most, usual=chance)
    return Seen(every, estimate, changes[main], all_alike, (evidence,))


def few_images(x: Tensor, base: Tensor) -> bool:
    """Are these the same few images again and again? Then the one that looks changed by chance counts many times."""
    return len(nearest_neighbours(measures.thumbnails(x, 10), base)[1][:, 0].unique()) < max(4, len(x) / 8)


def share_among_alike(usual: Tensor, case: Case) -> float:
    """Share of held-out images that something is true of, `usual` (M,), or of those that look like samples, if larger.

    A G that draws nothing but zeros turns none of them, although a zero is as near to others when it is turned.
    """
    samples, held_out = (measures.thumbnails(x, 10) for x in (case.samples[:SOME], case.held_out[: len(usual)]))
    alike = nearest_neighbours(samples, held_out)[1][:, 0]
    return max(usual.double().mean().item(), usual[alike].double().mean().item())


def most_by_chance(usual: float, n: int, m: int, least: float) -> float:
    """The share of n samples that exceeds that of m real images, `usual`, by `least` and by four standard errors."""
    return usual + max(least, 4 * math.sqrt(max(usual, 1 / m) * (1 / n + 1 / m)))


def distances(x: Tensor, changes: Sequence[Change], base: Tensor) -> Tensor:
    """Distance of each image to the nearest real one, as it is and with each of K changes undone: (1 + K, N)."""
    views = [x, *(change.undo(x) for change in changes)]
    return torch.stack([nearest_neighbours(measures.thumbnails(view, 10), base)[0][:, 0] for view in views])


def nearer_undone(d: Tensor, near: Tensor) -> Tensor:
    """Is an image clearly nearer with a change undone? bool (N,)."""
    least = d[1:].amin(0)
    return (least < CLEARLY * d[0]) & (least <= near)


def find_grey(case: Case) -> Finding | None:
    """Have many samples no colours at all, but not all of them, although hardly any real image is grey?"""
    if case.samples.shape[1] != 3:
        return None
    mine, theirs = (is_grey(x) for x in (case.samples, case.held_out))
    share, usual = mine.double().mean().item(), theirs.double().mean().item()
    if usual > 0.02 or share < 0.05 or share > 0.95:
        return None
    evidence = Evidence("share of samples without any colour", share, high=0.05, usual=usual)
    return leave_out(case, mine, (evidence,), "Samples are grey.", share)


def is_grey(x: Tensor) -> Tensor:
    return (x - x.mean(1, keepdim=True)).abs().flatten(1).amax(1) < 0.02


# --- boxes -----------------------------------------------------------------------------------------------------------


def find_boxes(case: Case) -> Finding | None:
    """Have the samples areas of one value with a straight edge, or a right angle, larger than any in real images?

    Pixel art, clothes and the background of digits have long edges, but hardly a right angle inside the picture whose
    sides are long. Blurred images have more of both, so held-out images are compared blurred as well. Where the samples
    without boxes do not resemble the real images either, these are edges of something else.
    """
    real = case.real[:MANY]
    side = min(real.shape[2:])
    smooth = F.avg_pool2d(case.held_out[:MANY], 3, 1, 1, count_include_pad=False)
    for outlines, least, what in ((longest_edges, 0.3, "a straight line"), (largest_corners, 0.2, "a right angle")):
        mine, theirs, held_out = (outlines(x) for x in (case.samples, real, case.held_out[:MANY]))
        limit = max(theirs.length.double().quantile(0.98).item(), least * side)
        usual = max(share_among_alike(edges.length > limit, case) for edges in (held_out, outlines(smooth)))
        cut = mine.length > limit
        share, most = cut.double().mean().item(), most_by_chance(usual, len(cut), len(held_out.length), least=0.06)
        if share >= most and not in_one_grid(mine, cut) and others_are_near(case, cut):
            name = f"share of samples with an even area that ends in {what} of over {limit + 1:.0f} pixels"
            evidence = Evidence(name, share, high=most, usual=usual)
            return leave_out(case, cut, (evidence,), "Many have boxes or bands of one value, as from cut-outs.", share)
    return None


def others_are_near(case: Case, cut: Tensor) -> bool:
    """Are the samples that were not cut about as near to real images as held-out ones are?"""
    if cut.all():
        return True
    mine, usual = (measures.thumbnail_distance(x[:SOME], case.real[:MANY]) for x in (case.samples[~cut], case.held_out))
    return mine < 1.6 * usual


class Outline(NamedTuple):
    """The longest straight edge, or the largest right angle, of an even area in each image."""

    length: Tensor  # int64 (N,), steps from pixel to pixel along it; of an angle the shorter side
    place: Tensor  # int64 (N,), its row or column
    view: Tensor  # int64 (N,), which of the four sides or corners of the area it is


def longest_edges(x: Tensor) -> Outline:
    """The longest horizontal or vertical line with one value along two pixels on one side, and others beyond it."""
    found = []
    for y in (x, x.flip(3), x.transpose(2, 3), x.flip(2).transpose(2, 3)):  # the even area is on the left of each
        across, along = steps_between(y)
        at_edge = (across[:, :, 1:] > STEP) & (across[:, :, :-1] < EVEN)  # (N, H, W - 2)
        at_edge[:, 1:] &= along[:, :, 1:-1] < EVEN
        found.append(run_lengths(at_edge, 1).amax(1).max(1))
    return longest(found)


def largest_corners(x: Tensor) -> Outline:
    """The largest right angle inside each image with one value along both sides within it, and others beyond them."""
    found = []
    for y in (x, x.flip(2), x.flip(3), x.flip(2, 3)):  # the corner is at the top left of each
        across, down = steps_between(y)
        at_top = (down[:, :-1] > STEP) & (down[:, 1:] < EVEN)  # (N, H - 2, W)
        at_left = (across[:, :, :-1] > STEP) & (across[:, :, 1:] < EVEN)  # (N, H, W - 2)
        right = run_lengths(at_top[:, :, :-1] & (across[:, 1:-1] < EVEN), 2)[:, :, 1:]  # (N, H - 2, W - 2)
        downwards = run_lengths(at_left[:, :-1] & (down[:, :, 1:-1] < EVEN), 1)[:, 1:]  # the same
        found.append(torch.minimum(right, downwards).amax(2).max(1))
    return longest(found)


def steps_between(x: Tensor) -> tuple[Tensor, Tensor]:
    """Largest difference, of all channels, between neighbours in a row (N, H, W - 1) and in a column (N, H - 1, W)."""
    across, down = (x.diff(dim=axis).abs().amax(1) for axis in (3, 2))
    return across, down


def run_lengths(mask: Tensor, axis: int) -> Tensor:
    """How many values of a bool (N, H, W) in a row are true, from each place on along an axis: int16 (N, H, W)."""
    lengths = mask.short()
    places = lengths.unbind(axis)
    for before, after in zip(reversed(places[:-1]), reversed(places[1:]), strict=True):
        before.mul_(after + 1)
    return lengths


def longest(found: Sequence[tuple[Tensor, Tensor]]) -> Outline:
    """Of the lengths and places in four views of each image, those of the longest."""
    lengths, places = (torch.stack(parts).long() for parts in zip(*found, strict=True))  # (4, N) each
    length, view = lengths.max(0)
    return Outline(length, places.gather(0, view[None])[0], view)


def in_one_grid(outline: Outline, cut: Tensor) -> bool:
    """Do nearly all edges lie at multiples of a few pixels, as in pictures of square blocks, or all in one place?

    Of the areas' sides, or corners, the one that is found most often is looked at.
    """
    view = outline.view[cut].mode().values
    place = outline.place[cut & (outline.view == view)]
    return any(torch.bincount(place % period).max() > 0.8 * len(place) for period in (2, 4, 8))


def leave_out(case: Case, changed: Tensor, evidence: tuple[Evidence, ...], detail: str, share: float) -> Finding:
    """The finding; the changed samples are not examined any further, if enough others are there."""
    if (~changed).sum() >= MIN_IMAGES:
        case.keep(~changed)
        case.notes.append(f"{int(changed.sum())} samples with traces of augmentation were left out of what follows.")
    return Finding("augmentation_leak", grade(share, 0.15, 0.35), evidence, detail)
