"""Classes that a file beside the pictures gives.

That is `dataset.json`, as StyleGAN's tools write it, `{"labels": [["00000/img00000000.png", 6], ...]}`, or
`metadata.jsonl` or `metadata.csv` of a Hugging Face image folder, with a column `file_name` and one called `label`,
`class` or `category`. Names of pictures are relative to the folder of the file.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from gantutor.data import memory
from gantutor.data.listing import File, Listing, Unusable, some

MOST_BYTES = 2**26  # of a label file: a million labels take less
OBJECTS = 20  # bytes of memory that one of the file may take
COLUMNS = ("label", "class", "category")
SEPARATORS = ",;\t"
UNLABELLED = 0.05  # share of the pictures that may lack a label; with more of them there are no classes
NONE = ("", None)  # labels that say nothing

Label = str | None
Pairs = list[tuple[str, Label]]  # a picture's name, and the name of its class, if it has one


class Unreadable(Exception):
    """Why a label file gives no classes, worded so as to follow its name."""


def add_classes(listing: Listing) -> None:
    """Give the pictures of a listing the classes of a label file, if there is one and their folders name none.

    `notes` says what was read, or why nothing was: a file that is broken, too large, names too few of the pictures, or
    more values than classes have. A file without any labels is one of the `others`, like any that is no picture.
    """
    if len(listing.classes) > 1:
        return
    folders = {file.parts[:depth] for file in listing.files for depth in range(len(file.parts))}
    for name, read in READERS.items():
        found = [file for file in listing.others if file.parts[-1].lower() == name and file.parts[:-1] in folders]
        try:
            labels = _joined(found, read)
            if labels and _apply(listing, labels, name):
                listing.others = [file for file in listing.others if file not in found]
                return
        except Unreadable as error:
            listing.notes.append(f"{found[0].name} {error}, so that it gives no classes.")


def _joined(found: list[File], read: Callable[[str], Pairs]) -> dict[str, Label]:
    """The label of each picture, by its name in the listing."""
    labels: dict[str, Label] = {}
    for file in found:
        folder = PurePosixPath(*file.parts[:-1])
        for name, label in _pairs(file, read):
            path = str(folder / name.replace("\\", "/"))
            if labels.setdefault(path, label) != label:
                raise Unreadable(f"has two labels for {path}")
    return labels


def _pairs(file: File, read: Callable[[str], Pairs]) -> Pairs:
    try:
        with file.open() as opened:
            content = opened.read(MOST_BYTES + 1)
    except Unusable as error:
        raise Unreadable(f"is {error}") from None
    except Exception as error:  # a damaged .zip has many
        raise Unreadable("cannot be read") from error
    if len(content) > MOST_BYTES or OBJECTS * len(content) > memory.free():
        raise Unreadable("is too large")
    try:
        return read(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None
    except (ValueError, RecursionError, csv.Error):  # of JSON, numbers, and CSV
        raise Unreadable("is broken") from None


def _apply(listing: Listing, labels: dict[str, Label], name: str) -> bool:
    """Put these labels into the listing, and say so; False if there are none at all."""
    known = {path: label for path, label in labels.items() if label is not None}
    if not known:
        return False
    given = [known.get(file.name) for file in listing.files]
    without = given.count(None)
    classes = _in_order({label for label in given if label is not None})
    if without > UNLABELLED * len(given):
        raise Unreadable(f"has labels for {len(given) - without:,} of {len(given):,} pictures only")
    if 2 * len(classes) > len(given):
        raise Unreadable(f"has {len(classes):,} different labels for {len(given):,} pictures: these are no classes")
    shown = some([str(one)[:40] for one in classes])
    sentence = f"The classes of {len(given) - without:,} pictures are those of {name}: {shown}."
    if without:
        sentence += f" Left out {without:,} without a label."
    if missing := len(known) - (len(given) - without):
        sentence += f" {missing:,} of its labels are for other files."
    listing.notes.append(sentence)
    listing.classes = tuple(classes)
    listing.files = [file for file, label in zip(listing.files, given, strict=True) if label is not None]
    numbers = {one: number for number, one in enumerate(classes)}
    listing.labels = [numbers[label] for label in given if label is not None]
    return True


def _in_order(classes: Iterable[str]) -> list[str]:
    """Numbers by their value, other names by the alphabet."""
    classes = sorted(classes)
    return sorted(classes, key=int) if all(one.isascii() and one.isdigit() for one in classes) else classes


# --- formats ---------------------------------------------------------------------------------------------------------


def _read_dataset_json(text: str) -> Pairs:
    content = json.loads(text)
    rows = content.get("labels") if isinstance(content, dict) else content
    if rows is None:
        return []
    if isinstance(rows, dict):
        rows = [[file, label] for file, label in rows.items()]
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 2 for row in rows):
        raise Unreadable('must hold "labels", a list of pairs of a file and its class')
    return [(_as_name(file), _as_label(label)) for file, label in rows]


def _read_jsonl(text: str) -> Pairs:
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise Unreadable("must hold an object in each line")
    return _from_rows(rows)


def _read_csv(text: str) -> Pairs:
    header = text.partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    return _from_rows(list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)))


def _from_rows(rows: list[dict]) -> Pairs:
    """The label of each picture from the rows of a table. None where no column holds any."""
    names = {str(name).strip().lower(): name for row in rows for name in row}
    if rows and "file_name" not in names:
        raise Unreadable("has no column file_name")
    column = next((names[name] for name in COLUMNS if name in names), None)
    if column is None:
        return []
    return [(_as_name(row.get(names["file_name"])), _as_label(row.get(column))) for row in rows]


def _as_name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Unreadable("lacks the name of a file in some place")
    return value


def _as_label(value: object) -> Label:
    """The name of a class: a string as it is, a number as its digits."""
    if value in NONE or value != value:  # NaN, as pandas writes an empty place
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():  # as pandas writes whole numbers beside empty places
        value = int(value)
    if isinstance(value, int | str):
        return str(value)
    raise Unreadable(f"has labels like {str(value)[:40]}, which are no classes")


READERS: dict[str, Callable[[str], Pairs]] = {
    "dataset.json": _read_dataset_json, "metadata.jsonl": _read_jsonl, "metadata.csv": _read_csv,
}  # fmt: skip
