"""Your own pictures: a folder, or a .zip of one, as one tensor.

`listing` finds the files and the classes that folders name, `label_files` those that a file names, `pictures` reads
one, `sheets` tells how a contact sheet is laid out, and `memory` says how much there is.
"""

import operator
import os
import statistics
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from gantutor.data import label_files, memory, pictures, sheets, tiles
from gantutor.data.images import Factor, Images
from gantutor.data.listing import File, Listing, Unusable, files_in, list_pictures, name_of
from gantutor.data.pictures import SMALLEST, Header
from gantutor.data.tiles import Grid
from gantutor.errors import BadInput, OutOfMemory, unknown

LARGEST = 1024  # pixels a side
USUAL = 64  # pixels a side, at most, if no size is asked for
THREADS = 8  # at most: each may hold a large photograph
BLOCK = 32  # files that a thread takes at a time
LOOKED_AT = 8  # pictures that tell whether all are contact sheets
FEW_PICTURES, LARGE = 64, 96  # so few pictures with so many pixels a side may be contact sheets for all that
RESIZED = "resized"
GROUNDS = ("white", "black")
FEW = 200  # sheets; of more files no one is called a spoiled sheet


def tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def from_folder(
    path: str | os.PathLike,
    size: int | list[int] | None = None,
    grey: bool | None = None,
    say: Callable[[str], None] = tell,
    split: str = "train",
    most: int = USUAL,
    ground: str = "white",
) -> Images:
    """A folder of pictures, or a .zip of one, each cropped to its central square and resized to `size` × `size`.

    Subfolders, if there are any, are classes (in alphabetical order), with pictures at any depth; otherwise all
    pictures are one class, named after the folder. A folder around everything is no class, nor are `train` and `test`,
    nor numbered parts of one set (`00000`, `00001`). Where folders name no classes, StyleGAN's `dataset.json` or
    Hugging Face's `metadata.jsonl` or `metadata.csv` may. Pictures are turned upright according to their EXIF data,
    laid on white if they are transparent, and converted to 8 bits a channel, grey values of 16 bits from the least
    to the greatest of them all, except rare ones far away (hot pixels); of an animation the first frame is taken.
    Contact sheets, as `torchvision.utils.save_image` writes them, are cut up. The pictures are stored as bytes: 50,000
    in colour of 64×64 pixels take 614 MB. Several threads decode them at once.

    Hidden files are skipped in silence. Files that are no pictures, or broken, smaller than 8 pixels a side or larger
    than 80 million, are left out, and so are pictures beside class folders. A .zip is read without being unpacked.

    Args:
        path: of the folder or the .zip; a contact sheet alone will do as well.
        size: height and width to resize to, 8 to 1024 pixels; by default those of most pictures, at most `most`. Of
            several the largest is taken that most pictures have, or else the smallest.
        grey: return (N, 1, size, size) instead of RGB, (N, 3, size, size); by default if all pictures are grey.
        say: takes one sentence about each thing that was left out or changed; by default stderr shows them.
        split: "train", "test" or "val": which of the folders so called is read, where there are such.
        most: the largest size if none is asked for.
        ground: "white" or "black": what shows through where pictures are transparent.

    Raises:
        BadInput: no folder, a broken .zip or one with paths that lead out of it, no picture that can be read, nothing
            but copies of one picture, contact sheets that cannot be cut up, more than fits into the memory, or another
            `size`.
    """
    if ground not in GROUNDS:
        raise unknown("ground", ground, GROUNDS)
    sizes = [_checked_size(one) for one in ([] if size is None else size if isinstance(size, list) else [size])]
    path = Path(path).expanduser()
    with files_in(path) as files, warnings.catch_warnings():  # here, for threads share the filters
        warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # `MOST_PIXELS` is ours
        listing = list_pictures(path, files, split)
        label_files.add_classes(listing)
        batch = _look_at(path, listing)
        batch.ground = ground
        batch.grey = all(item.header.grey for item in batch.items) if grey is None else grey
        grids = _find_sheets(path, batch)
        usual = _usual_side([grids[item.shape].side if grids else item.header.side for item in batch.items])
        side = max([s for s in sizes if s <= usual] or [min(sizes, default=min(usual, most))])
        pixels, numbers = _read_sheets(batch, grids, side) if grids else _read_pictures(batch, side)
    if not numbers:
        raise _nothing_to_use(path, listing, batch)
    if isinstance(size, int):
        del batch.facts[RESIZED]  # as was asked for
    for sentence in (*listing.notes, *_left_out(listing, batch), *_changed(batch, len(numbers), side, grey)):
        say(sentence)
    labels, classes = torch.tensor(listing.labels)[numbers], listing.classes
    present = labels.unique().tolist()
    if missing := [name for number, name in enumerate(classes) if number not in present]:
        say(f"No picture of {', '.join(missing)} can be used, so that there is no class of this name.")
        labels, classes = torch.searchsorted(labels.unique(), labels), tuple(classes[number] for number in present)
    if len(pixels) > 1 and all(np.array_equal(picture, pixels[0]) for picture in pixels):
        raise BadInput(f"the {len(pixels):,} pictures in {path} are all the same: give different ones.")
    return Images(name_of(path), torch.from_numpy(pixels), labels, classes)


def _checked_size(size: object) -> int:
    try:
        pixels = operator.index(size)  # type: ignore[arg-type]
    except TypeError:
        raise BadInput(f"size is {size!r}: give a whole number of pixels.") from None
    if not SMALLEST <= pixels <= LARGEST:
        raise BadInput(f"size is {size}: give {SMALLEST} to {LARGEST} pixels.")
    return pixels


def mirrored(images: Images) -> Images:
    """The images and, after them, all of them mirrored, left to right: twice as many where left and right are alike."""
    factors = {name: Factor(known.values, known.labels.repeat(2)) for name, known in images.factors.items()}
    pixels = torch.cat([images.stored, images.stored.flip(3)])
    return Images(images.name, pixels, images.labels.repeat(2), images.classes, factors)


# --- before the pictures are unpacked --------------------------------------------------------------------------------


class Item(NamedTuple):
    """A file whose header promises a usable picture."""

    number: int  # its place in the listing
    file: File
    header: Header

    @property
    def shape(self) -> tuple[int, int]:
        return self.header.height, self.header.width


@dataclass
class Batch:
    """The pictures that are to be read, and what there is to say about them."""

    items: list[Item]
    reasons: dict[int, str]  # what is wrong with the other files, by their place in the listing
    deep: tuple[int, int] = (0, 65535)  # the values that become black and white in those of more than 8 bits
    deep_extremes: tuple[int, int] = (0, 65535)  # the least and the greatest value of these
    ground: str = "white"  # where they are transparent
    grey: bool = False  # whether all are read as grey
    sheets: Grid | None = None  # how most of them are laid out, if they are contact sheets
    framed: int = 0  # how many were looked at and have the same frame around them, if they all have
    facts: Counter[str] = field(default_factory=Counter)  # what was done to how many pictures


def _look_at(path: Path, listing: Listing) -> Batch:
    """Read all headers. Raises `BadInput` unless there is a usable one."""
    batch = Batch([], {})
    for number, found in enumerate(_in_threads(partial(_or_reason, pictures.look), listing.files)):
        if isinstance(found, str):
            batch.reasons[number] = found
        else:
            batch.items.append(Item(number, listing.files[number], found))
    if not batch.items:
        raise _nothing_to_use(path, listing, batch)
    deep = [item.file for item in batch.items if item.header.deep]
    values = [v for v in _in_threads(partial(_or_reason, pictures.deep_values), deep) if not isinstance(v, str)]
    if values:
        low, high = batch.deep_extremes = min(v.min() for v in values), max(v.max() for v in values)
        batch.deep = pictures.usual_range(np.concatenate(values)) if low < high else (min(0, low), max(65535, high))
    return batch


def _nothing_to_use(path: Path, listing: Listing, batch: Batch) -> BadInput:
    number, reason = min(batch.reasons.items())
    return BadInput(f"{path} holds no pictures that can be used: {listing.files[number].name} is {reason}.")


def _or_reason(function: Callable, file):
    """What a function returns for a file, or why the file is unusable."""
    try:
        return function(file)
    except Unusable as error:
        return str(error)
    except MemoryError:
        raise OutOfMemory("there is no room to unpack a picture: close other programs.") from None


def _in_threads(function: Callable, files: list) -> list:
    """The function of each of the files, in their order; decoders let other threads run."""

    def some(start: int) -> list:
        return [function(file) for file in files[start : start + BLOCK]]

    with ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:
        return [result for block in pool.map(some, range(0, len(files), BLOCK)) for result in block]


def _usual_side(sides: list[int]) -> int:
    """The most frequent one; of several the middle one."""
    counts = Counter(sides)
    return statistics.median_low(side for side, count in counts.items() if count == max(counts.values()))


# --- pixels ----------------------------------------------------------------------------------------------------------


def _room_for(count: int, side: int, grey: bool) -> np.ndarray:
    """Room for so many pictures, bytes (N, C, side, side)."""
    channels = 1 if grey else 3
    memory.check(count * channels * side * side, f"{count:,} pictures of {side}×{side}")
    try:
        return np.empty((count, channels, side, side), np.uint8)
    except MemoryError:
        raise OutOfMemory(f"there is no room for {count:,} pictures of {side}×{side}: take a smaller size.") from None


def _read_pictures(batch: Batch, side: int) -> tuple[np.ndarray, list[int]]:
    """The pictures that can be read, bytes (N, C, side, side), and their places in the listing."""
    pixels = _room_for(len(batch.items), side, batch.grey)

    def fill(place: int) -> list[str]:
        picture = pictures.read(batch.items[place].file, side, batch.grey, batch.deep, batch.ground)
        pixels[place] = picture.pixels.reshape(side, side, -1).transpose(2, 0, 1)
        return picture.facts

    done = _in_threads(partial(_or_reason, fill), list(range(len(batch.items))))
    numbers: list[int] = []
    for place, (item, facts) in enumerate(zip(batch.items, done, strict=True)):
        if isinstance(facts, str):
            batch.reasons[item.number] = facts
            continue
        batch.facts.update(facts)
        batch.facts[RESIZED] += item.header.side != side
        if place > len(numbers):  # moved together where they are, because a second copy may not fit
            pixels[len(numbers)] = pixels[place]
        numbers.append(item.number)
    return pixels[: len(numbers)], numbers


def _find_sheets(path: Path, batch: Batch) -> dict[tuple[int, int], Grid]:
    """How each contact sheet is laid out, by its shape; nothing where they are single pictures."""
    by_shape: dict[tuple[int, int], list[Item]] = {}
    for item in batch.items:
        by_shape.setdefault(item.shape, []).append(item)
    grids: dict[tuple[int, int], Grid] = {}
    for shape, items in sorted(by_shape.items(), key=lambda pair: -len(pair[1])):
        grid = _layout(path, items, batch)
        if grid is None and not grids:
            if path.is_file() and path.suffix.lower() != ".zip":
                raise BadInput(f"{str(path)!r} is not a folder, nor a .zip, nor a contact sheet: give one of these.")
            return {}
        usual = next(iter(grids.values()), grid)
        if grid is not None and usual is not None and (grid.height, grid.width) == (usual.height, usual.width):
            grids[shape] = grid
        else:
            batch.reasons.update((item.number, "no contact sheet like the others") for item in items)
    batch.items = [item for item in batch.items if item.shape in grids]
    batch.sheets = next(iter(grids.values()))
    return grids


def _layout(path: Path, items: list[Item], batch: Batch) -> Grid | None:
    """How these pictures of one shape are laid out. Raises `BadInput` for sheets that cannot be cut up."""
    chosen = items[:: -(-len(items) // LOOKED_AT)]
    found = [_or_reason(partial(pictures.read, size=None, grey=True, deep=batch.deep), item.file) for item in chosen]
    shown = [picture.pixels for picture in found if not isinstance(picture, str)]
    shown = [pixels for pixels in shown if pixels.shape == shown[0].shape]
    if not shown:
        return None
    if sheets.are_plotted(shown):
        batch.framed = len(shown)
        return None
    if grid := sheets.find_grid(shown):
        return grid
    if len(batch.items) < FEW and sheets.is_spoiled_sheet(shown):
        raise BadInput(
            f"{chosen[0].file.name} in {path} looks like a contact sheet of many pictures, but cannot be cut up, "
            "because they do not fall on whole pixels: save each picture on its own, or the sheet as .png with "
            "torchvision's save_image."
        )
    return None


def _read_sheets(batch: Batch, grids: dict[tuple[int, int], Grid], side: int) -> tuple[np.ndarray, list[int]]:
    """The tiles of contact sheets, bytes (N, C, side, side), and the place of each one's sheet in the listing."""
    from PIL import Image, ImageOps

    pixels = _room_for(sum(grids[item.shape].tiles for item in batch.items), side, batch.grey)
    numbers: list[int] = []
    for item in batch.items:
        sheet = _or_reason(
            partial(pictures.read, size=None, grey=batch.grey, deep=batch.deep, ground=batch.ground), item.file
        )
        if isinstance(sheet, str):
            batch.reasons[item.number] = sheet
            continue
        batch.facts.update(sheet.facts)
        for tile in tiles.cut(sheet.pixels, grids[item.shape]):
            fitted = np.asarray(ImageOps.fit(Image.fromarray(tile), (side, side), Image.Resampling.BICUBIC))
            pixels[len(numbers)] = fitted.reshape(side, side, -1).transpose(2, 0, 1)
            batch.facts[RESIZED] += min(tile.shape[:2]) != side
            batch.facts[pictures.CUT] += tile.shape[0] != tile.shape[1]
            numbers.append(item.number)
    return pixels[: len(numbers)], numbers


# --- what there is to say --------------------------------------------------------------------------------------------


def _left_out(listing: Listing, batch: Batch) -> Iterator[str]:
    """A sentence about what was left out, where there is anything."""
    left_out, examples = Counter(batch.reasons.values()), {}
    for number, reason in sorted(batch.reasons.items()):
        examples[reason] = listing.files[number].name
    for file in listing.others:
        left_out["not a picture"] += 1
        examples.setdefault("not a picture", file.name)
    if listing.beside:
        left_out["beside the folders of the classes"] = listing.beside
    if left_out:
        parts = [f"{n} {why}" + (f" ({examples[why]})" if why in examples else "") for why, n in left_out.most_common()]
        count = len(listing.files) + len(listing.others) + listing.beside
        yield f"Left out {left_out.total():,} of {count:,} files: {', '.join(parts)}."


def _changed(batch: Batch, count: int, side: int, grey: bool | None) -> Iterator[str]:
    """A sentence about each thing that was done to the pictures."""
    facts, of_all = +batch.facts, f"of {count:,} pictures"
    if sheet := batch.sheets:
        yield (
            f"Cut {len(batch.items):,} contact sheets of {sheet.rows}×{sheet.columns} pictures of "
            f"{sheet.height}×{sheet.width} pixels into {count:,} pictures."
        )
        if lossy := sum(item.header.lossy for item in batch.items):
            yield (
                f"{lossy:,} of {len(batch.items):,} sheets are JPEGs, whose compression blurs the pictures and can "
                "pass for low fidelity: .png keeps them as they are."
            )
    elif batch.framed:
        yield (
            f"The pictures seem to be plots: the {batch.framed} that were looked at have the same frame around them, "
            "which counts as part of them. If savefig wrote them, save the pictures themselves, with plt.imsave or "
            "torchvision's save_image."
        )
    elif len(batch.items) < FEW_PICTURES and min(item.header.side for item in batch.items) >= LARGE:
        read = "The file" if len(batch.items) == 1 else f"Each of the {len(batch.items):,} files"
        yield (
            f"{read} was read as one picture: if it is a contact sheet that holds many, save it as .png with lines "
            "between the pictures, or each picture on its own."
        )
    if cut := facts.pop(pictures.CUT, 0):
        yield f"Cut {cut:,} {of_all} to their middle square."
    if resized := facts.pop(RESIZED, 0):
        yield f"Resized {resized:,} {of_all} to {side}×{side} pixels."
    for fact, number in facts.items():
        if fact != pictures.MADE_GREY or grey is None:  # otherwise it was asked for
            yield f"{number:,} {of_all} {fact}."
    if deep := sum(item.header.deep for item in batch.items):
        (low, high), (least, most) = batch.deep, batch.deep_extremes
        far = [str(value) for value, is_far in ((least, least < low), (most, most > high)) if is_far]
        rest = f"; rare values far from these, up to {' and '.join(far)}, were cut off" if far else ""
        count = f"{deep:,} of {len(batch.items):,} files"
        yield f"{count} have 16 bits a pixel: {low} became black, and {high} white{rest}."
    some_grey = sum(item.header.grey for item in batch.items)
    if grey is None and not batch.grey and some_grey:
        yield f"{some_grey:,} of {len(batch.items):,} files are grey and were read as colour, like the others."
