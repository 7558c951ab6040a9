"""Execute notebooks under the full budget and put them into the form that is committed.

    python tests/refresh_notebooks.py                     # all of notebooks/
    python tests/refresh_notebooks.py 00_start_here 01    # those whose names begin so
    python tests/refresh_notebooks.py solutions           # the solved exercises; solutions/01: one sheet; or appendix
    python tests/refresh_notebooks.py --clean-only 01     # keep the outputs that are there

The committed form: every code cell executed, in order 1…n; no widget state, no timing; one PNG per picture; where a
widget was, its picture and a line of text. It stops, and leaves the notebook as it was, at an error, where MNIST is
missing, and at whatever tests/test_notebooks.py would not accept.
"""

import argparse
import base64
import io
import itertools
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from test_notebooks import faults

from gantutor.files import replacing
from gantutor.show.films import palette, reduced

ROOT = Path(__file__).resolve().parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
INSTEAD = "A slider or a card appears here when you run this cell."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names; none means every notebook")
    parser.add_argument("--clean-only", action="store_true", help="do not execute")
    options = parser.parse_args(arguments)
    paths = [path for path in notebooks() if chosen(path, options.names)]
    for path in paths:
        began = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        if not options.clean_only:
            execute(notebook, path.parent)
        clean(notebook)
        if found := faults(notebook):
            print(f"{path.name} is left as it was:", *found, sep="\n  ", file=sys.stderr)
            return 1
        text = nbformat.writes(notebook, version=4) + "\n"
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        print(f"{path.relative_to(ROOT)}: {time.perf_counter() - began:.0f} s, {len(text) / 1000:.0f} kB")
    return 0 if paths else 2


def notebooks() -> list[Path]:
    """The lessons, the appendix, and the exercises with their solutions."""
    return [
        path
        for folder in ("", "appendix", "solutions")
        for path in sorted((ROOT / "notebooks" / folder).glob("*.ipynb"))
    ]


def chosen(path: Path, beginnings: list[str]) -> bool:
    name = path.relative_to(ROOT / "notebooks").as_posix()
    return not beginnings or name.startswith(tuple(b.removeprefix("notebooks/") for b in beginnings))


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run every cell in a fresh kernel, under the full budget with seed 0."""
    from nbclient import NotebookClient

    from gantutor import data

    data.load("mnist", "test")  # an error here, before the notebooks take strokes for it
    os.environ["GANTUTOR_BUDGET"] = "full"
    os.environ.pop("GANTUTOR_SEED", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=resources, record_timing=False,
                   coalesce_streams=True, store_widget_state=False).execute()  # fmt: skip


def clean(notebook: nbformat.NotebookNode) -> None:
    """Change the notebook in place into its committed form."""
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    })  # fmt: skip
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
            if "data" in output:
                output.data, output.metadata = clean_bundle(output.data), clean_metadata(output.metadata)
    drop_repeated_pictures(notebook)
    for cell in notebook.cells:
        kept = {k: v for k, v in cell.metadata.items() if k in ("tags", "jupyter") and v}  # jupyter: a folded cell
        cell.metadata = nbformat.from_dict(kept)


def drop_repeated_pictures(notebook: nbformat.NotebookNode) -> None:
    """A widget's picture is dropped where the very next cell shows the same one without a widget."""
    code = [[o.data for o in cell.outputs if "data" in o] for cell in notebook.cells if cell.cell_type == "code"]
    for here, following in itertools.pairwise(code):
        shown = [data.get("image/png") for data in following]
        for data in here:
            if data.get("text/plain") == INSTEAD and data.get("image/png") in shown:
                data.pop("image/png", None)


def clean_bundle(data: dict) -> nbformat.NotebookNode:
    """One picture or text per output: no widget view, no JPEG twin of a PNG, PNGs packed tightly."""
    if WIDGET in data:
        picture = {"image/png": pack(data["image/png"])} if "image/png" in data else {}
        return nbformat.from_dict({"text/plain": INSTEAD, **picture})
    data = {kind: value for kind, value in data.items() if kind != "image/jpeg" or "image/png" not in data}
    if "image/png" in data:
        data["image/png"] = pack(data["image/png"])
    if "text/plain" in data:
        data["text/plain"] = re.sub(r" at 0x[0-9a-fA-F]+", "", data["text/plain"])
    return nbformat.from_dict(data)


def clean_metadata(metadata: dict) -> nbformat.NotebookNode:
    """How wide a picture is on the page, and its alternative text."""
    kept = {kind: {key: value[key] for key in ("alt", "width") if key in value}
            for kind, value in metadata.items() if kind.startswith("image/")}  # fmt: skip
    return nbformat.from_dict({kind: value for kind, value in kept.items() if value})


def pack(png: str) -> str:
    """The same picture as a PNG in 64 greys, or with a palette of 256 colours: a third of the size, and looks alike.

    A film is left as it is.
    """
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if getattr(image, "is_animated", False):
        return png
    red, green, blue = image.convert("RGB").split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        image = red.point([round(round(level * 63 / 255) * 255 / 63) for level in range(256)])
    elif image.mode in ("RGB", "RGBA"):
        image = image.convert("RGB")
        image = reduced(image, palette(image, 256))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    sys.exit(main())
