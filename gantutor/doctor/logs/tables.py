"""The tables in which people keep the numbers of a training: columns of cells, from objects and from files."""

import codecs
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

from gantutor.errors import BadInput, reason

Table = dict[str, list[object]]

LARGEST = 500_000_000  # bytes of a file
FORMS = ".csv, .tsv, .json, .jsonl, .txt or .log, or TensorBoard's event files"


def tables_of(history: object, notes: list[str]) -> Iterator[Mapping[str, object]]:
    """The tables of a history, by columns.

    Args:
        history: a mapping, a pandas frame, a list of mappings (one a step), or files.
        notes: gets a sentence on each thing that was passed over.

    Raises:
        BadInput: it is nothing of these, or a file cannot be read.
    """
    history = getattr(history, "history", history)  # what Keras' fit returns
    if isinstance(history, str | PathLike):
        yield from from_path(Path(history), notes)
    elif isinstance(history, Mapping):
        yield flattened({name: with_steps(column) for name, column in history.items()})
    elif hasattr(history, "columns") and hasattr(history, "__getitem__"):  # a frame of pandas or polars
        yield {str(name): history[name] for name in history.columns}
    elif isinstance(history, list | tuple) and history and all(isinstance(part, str | PathLike) for part in history):
        for part in history:
            yield from from_path(Path(part), notes)
    elif isinstance(history, list | tuple) and all(isinstance(row, Mapping) for row in history):
        yield from_rows(history)
    else:
        raise BadInput(
            f"history is a {type(history).__name__}: give a dict of lists, such as {{'d_loss': [...]}}, a list of "
            f"dicts, one for each step, a pandas frame, or a file ({FORMS})."
        )


def from_rows(rows: Sequence[Mapping[object, object]]) -> Table:
    """Columns from rows; what a row does not have is None.

    Rows of (step, name, value) are put beside each other: {"step": 1, "tag": "d_loss", "value": 1.2}.
    """
    rows = [flattened(row) for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = {name: [row.get(name) for row in rows] for name in names}
    return unfolded(table) or table


def flattened(row: Mapping[object, object]) -> dict[str, object]:
    """{"losses": {"D": 1}} as {"losses/D": 1}; of {"num": …, "mean": …, "std": …}, as StyleGAN logs it, the mean."""
    flat: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and "mean" in value:
            flat[str(name)] = value["mean"]
        elif isinstance(value, Mapping):
            flat |= {f"{name}/{inner}": content for inner, content in flattened(value).items()}
        else:
            flat[str(name)] = value
    return flat


def with_steps(column: object) -> object:
    """{0: 1.2, 50: 1.1}, as a frame's to_dict gives it, as pairs of a step and a value; anything else as it is."""
    by_step = isinstance(column, Mapping) and len(column) > 1 and all(isinstance(key, int) for key in column)
    return [*column.items()] if isinstance(column, Mapping) and by_step else column


STEPS = "step", "epoch", "iteration", "iter"
TAGS = {"tag", "key", "metric", "name", "variable", "metric_name", "scalar"}


def unfolded(table: Table) -> Table | None:
    """A table with a row for each number, as MLflow writes it, with a column for each name; None if it is none."""
    by_small = {name.lower().strip(): name for name in table}
    tag = next((by_small[name] for name in by_small if name in TAGS), None)
    if tag is None or "value" not in by_small:
        return None
    step = next((by_small[name] for name in STEPS if name in by_small), None)
    values = table[by_small["value"]]
    order = table[step] if step else list(range(len(values)))
    places: dict[object, int] = {}  # the row of each step
    if step and all(map(is_number, order)):  # names often come one after the other
        places = {at: row for row, at in enumerate(sorted(dict.fromkeys(order), key=lambda at: float(str(at))))}
    wide: Table = {}
    for at, name, value in zip(order, table[tag], values, strict=True):
        row = places.setdefault(at, len(places))
        column = wide.setdefault(str(name), [])
        column += [None] * (row + 1 - len(column))
        column[row] = value
    steps: list[object] = list(places)
    rows = {name: column + [None] * (len(steps) - len(column)) for name, column in wide.items()}
    return {"step": steps, **rows} if step else rows


# --- files -----------------------------------------------------------------------------------------------------------


def from_path(path: Path, notes: list[str]) -> Iterator[Mapping[str, object]]:
    if not path.exists():
        raise BadInput(f"there is no log {str(path)!r}: give the path of one ({FORMS}).")
    if path.is_dir() and not any(path.rglob("*tfevents*")) and (exports := sorted(path.glob("*.csv"))):
        for export in exports:  # TensorBoard's, one curve each
            yield from from_path(export, notes)
        return
    if path.is_dir() or ".tfevents." in path.name:
        yield from_tensorboard(path)
        return
    if (size := path.stat().st_size) > LARGEST:
        raise BadInput(f"{path} has {size / 1e6:,.0f} MB: give a log of at most {LARGEST / 1e6:,.0f} MB.")
    readers = {".csv": from_csv, ".tsv": from_csv, ".json": from_json, ".jsonl": from_json_lines,
               ".ndjson": from_json_lines, ".txt": from_text, ".log": from_text, ".out": from_text}  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{path.name} is no log that can be read: give {FORMS}.")
    try:
        content = path.read_bytes()
        utf16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # PowerShell writes it
        text = content.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({reason(error)}).") from None
    if not text.strip() or "\0" in text:
        raise BadInput(f"{path} {'holds no text' if text.strip() else 'is empty'}: give a log ({FORMS}).")
    table = reader(text, path, notes)
    if not any(table.values()):
        raise BadInput(f"there are no numbers in {path}: give a log with a row for each step.")
    yield table


def from_csv(text: str, path: Path, notes: list[str]) -> Table:
    """A table with names in its first row; a curve that is only called "value" is named after the file."""
    lines = (line for line in text.splitlines() if line.strip())
    text = "\n".join(line for line in lines if not line.startswith("#") and not line.lower().startswith("sep="))
    head = text.split("\n", 1)[0]
    delimiter = max("\t;,|", key=head.count) if any(map(head.count, "\t;,|")) else " "
    rows = list(csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True))
    names = unique([cell.strip() for cell in rows[0]])
    if all(is_number(name) for name in names if name):
        raise BadInput(f"{path} has numbers in its first row: put names of columns there, such as d_loss,g_loss.")
    width = len(names)
    odd = sum(len(row) != width for row in rows[1:])
    if odd:
        notes.append(f"{odd} rows of {path.name} have more or fewer cells than the first one.")
    table: Table = {name: [row[i].strip() or None if i < len(row) else None for row in rows[1:]]
                    for i, name in enumerate(names)}  # fmt: skip
    if delimiter == ";":  # where commas are for decimals
        table = {name: [cell.replace(",", ".") if isinstance(cell, str) else cell for cell in cells]
                 for name, cells in table.items()}  # fmt: skip
    small = [name.lower() for name in names]
    if "value" in small and set(small) <= {"value", "wall time", *STEPS}:  # as TensorBoard exports a curve
        table[path.stem.rsplit("tag-", 1)[-1]] = table.pop(names[small.index("value")])
    return unfolded(table) or table


def unique(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that come again."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return result


def is_number(cell: object) -> bool:
    try:
        float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def from_json(text: str, path: Path, notes: list[str]) -> Table:
    """A JSON object of lists, also of nested ones, or a list of objects, alone or in a field."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return from_json_lines(text, path, notes)
    if isinstance(content, list) and content and all(isinstance(row, Mapping) for row in content):
        return from_rows(content)
    if isinstance(content, Mapping):
        columns = {name: value for name, value in flattened(content).items() if isinstance(value, list) and value}
        for rows in columns.values():
            if all(isinstance(row, Mapping) for row in rows):  # such as Trainer's log_history
                return from_rows(rows)
        if columns:
            return columns
    raise BadInput(f'{path} is JSON, but no log: give {{"d_loss": [...], "g_loss": [...]}}, or a list of objects.')


def from_json_lines(text: str, path: Path, notes: list[str]) -> Table:
    """One JSON object a line; lines that are none, such as the last one of a run that was killed, are counted."""
    rows, bad = [], 0
    for line in text.splitlines():
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, Mapping):
                rows.append(row)
            else:
                bad += 1
    if not rows:
        raise BadInput(f'{path} is no JSON: give one object a line, such as {{"d_loss": 1.2, "g_loss": 0.9}}.')
    if bad:
        notes.append(f"{bad} lines of {path.name} are no JSON objects and were passed over.")
    return from_rows(rows)


NAME = r"(?P<name>[A-Za-z][A-Za-z0-9_./]*(?:\((?:[^()]|\([^()]*\))*\))?(?: [A-Za-z][A-Za-z0-9_.]*)?)"
VALUE = (
    r"(?:(?:tf\.|np\.)?(?:[Tt]ensor|array|float\d*)\(|\[)*"
    r"(?P<value>[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)\b)"
)
PRINTED = re.compile(NAME + r"['\"]?\s*[:=]\s*" + VALUE)
PRINTED_WITHOUT_SIGNS = re.compile(NAME + r"\s*[|\s]\s*" + VALUE)  # "step 50 d_loss 0.93", "| d_loss | 0.93 |"
NO_NAMES = re.compile(r"\x1b\[[0-9;]*m|\b(?:DEBUG|INFO|WARNING|ERROR)\b")  # colours, and levels of messages
TENSORFLOW = re.compile(r"<tf\.Tensor:[^<>]*numpy=([^<>]*)>")


def from_text(text: str, path: Path, notes: list[str]) -> Table:
    """What a training printed, such as "[0/5][50/1583] Loss_D: 0.41 Loss_G: 2.9 D(x): 0.8": names before numbers.

    A line counts as a row if it has at least half as many names as the line with the most.
    """
    text = TENSORFLOW.sub(r"\1", NO_NAMES.sub("", text))
    rows = [printed(line, PRINTED) for line in text.splitlines()]
    if max(map(len, rows)) < 2:
        rows = max(
            rows, [printed(line, PRINTED_WITHOUT_SIGNS) for line in text.splitlines()], key=lambda x: sum(map(len, x))
        )
    if not any(rows):  # a table without commas
        return from_csv(re.sub(r"[ \t]+", " ", text), path, notes)
    most = max(map(len, rows))
    return from_rows([row for row in rows if row and 2 * len(row) >= most])


HALF = re.compile(r"real|fake", re.IGNORECASE)


def printed(line: str, form: re.Pattern[str]) -> dict[object, object]:
    """The numbers in a line by name; in "accuracy real: 80%, fake: 70%" the second name is that of an accuracy too."""
    row: dict[object, object] = {}
    whole = ""
    for found in form.finditer(line):
        name = found["name"].strip()
        name = HALF.sub(name, whole) if HALF.fullmatch(name) and HALF.search(whole) else name
        row[name], whole = found["value"], name
    return row


def from_tensorboard(path: Path) -> Table:
    """The scalars of TensorBoard's event files in a folder, or of one file.

    Raises:
        BadInput: TensorBoard is not installed, or there are no scalars.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise BadInput(
            f"{path} is TensorBoard's: install tensorboard to read it (pip install tensorboard), or export a .csv."
        ) from None
    if path.is_dir() and not any(path.glob("*tfevents*")):
        below = sorted({file.parent for file in path.rglob("*tfevents*")})
        hint = f" Below it, {below[0]} has some." if below else ""
        raise BadInput(f"there are no TensorBoard event files in {path}: give the folder that holds them.{hint}")
    rows: list[dict[object, object]] = [
        {"step": step, "tag": tag, "value": value} for tag, step, value in scalars(path)
    ]
    folders = {file.parent for file in path.glob("*/*tfevents*")} if path.is_dir() else set()
    for folder in sorted(folders):
        for tag, step, value in scalars(folder):
            if (name := name_of_one(tag, folder.name)) is not None:
                rows.append({"step": step, "tag": name, "value": value})
    if not rows:
        raise BadInput(f"there are no scalars in the TensorBoard events of {path}: log d_loss and g_loss there.")
    return from_rows(rows)


def scalars(part: Path) -> Iterator[tuple[str, int, float]]:
    """The scalars of an event file, or of all that lie in a folder: tag, step and value."""
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = event_accumulator.EventAccumulator(str(part), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    for tag in tags["scalars"]:
        yield from ((tag, event.step, event.value) for event in events.Scalars(tag))
    for tag in tags["tensors"]:  # TensorFlow 2 writes scalars as tensors
        for event in events.Tensors(tag):
            value = make_ndarray(event.tensor_proto)
            if value.size == 1 and value.dtype.kind in "fiu":
                yield tag, event.step, float(value.item())


def name_of_one(tag: str, folder: str) -> str | None:
    """PyTorch's add_scalars("Loss", {"D": …}) writes "Loss" to a folder Loss_D: "Loss/D"; None for any other folder."""
    start = tag.replace("/", "_") + "_"
    return f"{tag}/{folder.removeprefix(start)}" if folder.startswith(start) else None
