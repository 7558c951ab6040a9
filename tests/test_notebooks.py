"""The committed form of the notebooks. nbval executes them; it accepts unrun cells and never looks at a picture."""

import base64
import copy
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from gantutor import data
from gantutor.data import download, images

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
APPENDIX, SOLUTIONS = (sorted((NOTEBOOKS / folder).glob("*.ipynb")) for folder in ("appendix", "solutions"))
COMMITTED = [*LESSONS, *APPENDIX, *SOLUTIONS]
NEW = [path for path in LESSONS if path.stem[:2] in ("00", "01", "02")]  # in the new style: see `style_faults`
LARGEST, LARGEST_NEW = 600_000, 3_000_000  # bytes

# A folder of somebody's computer, but not the path of a URL: what stands before it is no letter, digit or dot.
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|work|workspace|content|mnt|opt|usr/lib|Users|private|var/folders)/"
    r"|[A-Za-z]:\\+Users\\|site-packages[/\\]"
)
SUBSTITUTE = "strokes, drawn by the program, takes its place"  # what data.load_or_strokes prints without a network
TIMING = {"execution", "ExecuteTime", "execution_time", "papermill"}
WIDGET = "application/vnd.jupyter.widget-view+json"


def faults(notebook: dict) -> list[str]:
    """What keeps a notebook (nbformat 4) from being committed."""
    return [*metadata_faults(notebook), *cell_faults(notebook)]


def metadata_faults(notebook: dict) -> Iterator[str]:
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "its kernel is not python3"
    if "widgets" in notebook["metadata"]:
        yield "it holds widget states"


def cell_faults(notebook: dict) -> Iterator[str]:
    executed = 0
    for number, cell in enumerate(notebook["cells"]):
        if TIMING & set(cell["metadata"]):
            yield f"cell {number} holds the time of its execution"
        if path := MACHINE_PATH.search(cell["source"]):
            yield f"cell {number} names a folder of one computer ({path[0]})"
        if not cell["source"].strip():
            yield f"cell {number} is empty"
        elif cell["cell_type"] == "code":
            executed += 1
            if cell["execution_count"] != executed:
                yield f"cell {number} was executed as number {cell['execution_count']} instead of {executed}"
        for output in cell.get("outputs", []):
            yield from (f"cell {number}: {fault}" for fault in output_faults(output))


def output_faults(output: dict) -> Iterator[str]:
    if output["output_type"] == "error":
        yield f"an error is stored: {output['ename']}"
    if WIDGET in output.get("data", {}):
        yield "a widget is stored, which a static view cannot show"
    if output.get("name") == "stderr":
        yield f"something was written to stderr: {output['text'][:80]!r}"
    texts = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if not is_binary(k))]
    for text in texts:
        if path := MACHINE_PATH.search(str(text)):
            yield f"the output names a folder of one computer ({path[0]})"
        if SUBSTITUTE in str(text):
            yield "it was executed without the real images"


def is_binary(kind: str) -> bool:
    """Base64 may hold any letters and slashes."""
    return kind.startswith("image/") and kind != "image/svg+xml"


def test_the_lessons_of_the_readme_are_there():
    named = re.findall(r"\(notebooks/(\w+\.ipynb)\)", (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8"))
    assert "00_start_here.ipynb" in named
    assert sorted(set(named)) == [path.name for path in LESSONS]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_lesson_is_committed_executed_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert faults(notebook) == []
    assert path.stat().st_size < (LARGEST_NEW if path in NEW else LARGEST)


@pytest.mark.parametrize("path", NEW, ids=lambda path: path.stem)
def test_a_lesson_keeps_to_the_style_of_the_course(path):
    assert style_faults(nbformat.read(path, as_version=4)) == []


def style_faults(notebook: nbformat.NotebookNode) -> list[str]:
    """Where a lesson is too long, shows machinery, or has a picture that is not sharp, untold or too narrow."""
    found = [f"it has {len(notebook.cells)} cells"] if len(notebook.cells) > 45 else []
    for number, cell in enumerate(notebook.cells):
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
        if cell.cell_type == "code" and not hidden:
            if len(cell.source.splitlines()) > 25:
                found.append(f"cell {number} has {len(cell.source.splitlines())} lines")
            if word := re.search(r"\bbudget\b|\bif full\b|\bassert\b|\bproof\b", cell.source):
                found.append(f"cell {number} shows machinery ({word[0]})")
        if "slider appears" in str(cell):
            found.append(f"cell {number} speaks of a slider that is not there")
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                found += [f"cell {number}: {fault}" for fault in picture_faults(output)]
    return found


def picture_faults(output: dict) -> Iterator[str]:
    picture = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
    about = output["metadata"].get("image/png", {})
    if len(about.get("alt", "").split()) < 4:
        yield f"the alternative text of a picture is {about.get('alt')!r}"
    if about.get("width", 0) < 640:
        yield f"a picture is {about.get('width')} pixels wide"
    if not getattr(picture, "is_animated", False) and picture.width < 2 * about.get("width", 0) - 1:
        yield f"a picture of {picture.width} pixels is shown {about['width']} pixels wide"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
@pytest.mark.parametrize("command", ["check", "format --check"])
def test_a_lesson_is_ruff_clean(path, command):
    ruff = [sys.executable, "-m", "ruff", *command.split(), str(path)]
    run = subprocess.run(ruff, cwd=NOTEBOOKS.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


# --- the check itself ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean() -> nbformat.NotebookNode:
    new = nbformat.v4
    stream, picture = new.new_output("stream", text="see https://example.org/home/x\n"), new.new_output("display_data")
    picture["data"] = {"image/png": "iVBORw0KGgo+/tmp/site-packages/AAAA", "text/plain": "<Figure>"}
    cells = [
        new.new_markdown_cell("# Lesson"),
        new.new_code_cell("print(1)", execution_count=1, outputs=[stream]),
        new.new_code_cell("picture", execution_count=2, outputs=[picture]),
    ]
    return new.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def test_a_clean_notebook_has_no_faults(clean):
    assert faults(clean) == []


def error(cell):
    cell["outputs"].append(nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[]))


def text(words):
    return lambda nb: nb.cells[1]["outputs"][0].update(text=words)


SPOILERS = {
    "not executed": lambda nb: nb.cells[1].update(execution_count=None),
    "out of order": lambda nb: nb.cells[2].update(execution_count=3),
    "empty cell": lambda nb: nb.cells.append(nbformat.v4.new_code_cell(" ")),
    "error": lambda nb: error(nb.cells[2]),
    "widget state": lambda nb: nb.metadata.update(widgets={}),
    "widget view": lambda nb: nb.cells[2]["outputs"][0]["data"].update({WIDGET: {"model_id": "1"}}),
    "timing": lambda nb: nb.cells[1]["metadata"].update(execution={"iopub.execute_input": "2026-01-01"}),
    "kernel": lambda nb: nb.metadata["kernelspec"].update(name="my-env"),
    "stderr": lambda nb: nb.cells[1]["outputs"][0].update(name="stderr"),
    "Linux path": text("in /home/ann/course/x.py"),
    "root path": text("'/root/.cache'"),
    "temporary path": text("File /tmp/ipykernel_1/2.py"),
    "Mac path": text("(/Users/ann/x)"),
    "Windows path": text("C:\\Users\\ann\\x"),
    "repr of a Windows path": text(repr("d:\\Users\\ann\\x")),
    "path in a picture's text": lambda nb: nb.cells[2]["outputs"][0]["data"].update(
        {"text/html": "<a href='/work/x'>"}
    ),
    "system path": text("/usr/lib/python3/x.py"),
    "path of an installed program": text("/opt/python/x.py"),
    "mounted path": text("/mnt/disk/x"),
    "path of a hosted notebook": text("/content/x.csv"),
    "path of a container": text("in /workspace/x"),
    "path of a package": text(".venv/lib/python3.12/site-packages/torch/x.py"),
    "strokes instead of MNIST": text(
        "No mirror of mnist can be reached: strokes, drawn by the program, takes its place. (For the real images …)"
    ),
    "path in source": lambda nb: nb.cells[1].update(source='open("/home/ann/x")'),
    "path in prose": lambda nb: nb.cells[0].update(source="see /home/ann/x"),
}


def styled() -> nbformat.NotebookNode:
    """A notebook in the style of the course."""
    stored = io.BytesIO()
    Image.new("L", (1400, 20)).save(stored, "PNG")
    data = {"image/png": base64.b64encode(stored.getvalue()).decode()}
    about = {"image/png": {"width": 700, "alt": "Four words at least."}}
    output = nbformat.v4.new_output("display_data", data, metadata=about)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("draw()", outputs=[output])])


STYLE_SPOILERS = {
    "too many cells": lambda nb: nb.cells.extend(nbformat.v4.new_markdown_cell("x") for _ in range(45)),
    "a long cell": lambda nb: nb.cells[0].update(source="x\n" * 26),
    "a budget": lambda nb: nb.cells[0].update(source="n = budget.pick(quick=1, full=2)"),
    "an assertion": lambda nb: nb.cells[0].update(source="assert x"),
    "a promised slider": lambda nb: nb.cells.append(nbformat.v4.new_markdown_cell("A slider appears here")),
    "no alternative text": lambda nb: nb.cells[0].outputs[0].metadata["image/png"].pop("alt"),
    "a narrow picture": lambda nb: nb.cells[0].outputs[0].metadata["image/png"].update(width=639),
    "a picture that is not sharp": lambda nb: nb.cells[0].outputs[0].metadata["image/png"].update(width=1400),
}


@pytest.mark.parametrize("spoil", STYLE_SPOILERS.values(), ids=STYLE_SPOILERS)
def test_each_fault_of_style_is_seen(spoil):
    notebook = styled()
    assert style_faults(notebook) == []
    spoil(notebook)
    assert len(style_faults(notebook)) == 1


def test_a_folded_cell_may_show_machinery():
    notebook = styled()
    notebook.cells[0].update(source="assert budget\n" * 30, metadata={"jupyter": {"source_hidden": True}})
    assert style_faults(notebook) == []


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_each_fault_is_seen(clean, spoil):
    notebook = copy.deepcopy(clean)
    spoil(notebook)
    assert len(faults(notebook)) == 1


def test_the_rule_about_strokes_knows_what_the_package_prints(monkeypatch, capsys):
    def offline(*args, **kwargs):
        raise download.NoMirror("no network")

    monkeypatch.setattr(images, "locate", offline)
    monkeypatch.setattr(images, "_chosen", {})
    images._choose("mnist")
    assert SUBSTITUTE in capsys.readouterr().out


# --- the program that brings notebooks into this form ----------------------------------------------------------------


@pytest.fixture
def committed(clean, tmp_path, monkeypatch) -> Path:
    """The clean notebook as a file, where refresh_notebooks looks for it."""
    import refresh_notebooks

    monkeypatch.setattr(refresh_notebooks, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    notebook = copy.deepcopy(clean)
    notebook.cells[2].outputs.clear()  # its picture is none
    nbformat.write(notebook, tmp_path / "notebooks" / "01.ipynb")
    return tmp_path / "notebooks" / "01.ipynb"


def test_refreshing_writes_a_notebook_with_the_line_ends_of_unix(committed):
    import refresh_notebooks

    committed.write_bytes(committed.read_bytes().replace(b"\n", b"\r\n"))
    assert refresh_notebooks.main(["--clean-only"]) == 0
    assert b"\r" not in committed.read_bytes()
    assert faults(nbformat.read(committed, as_version=4)) == []


@pytest.mark.parametrize("name", ["not executed", "out of order", "stderr", "system path", "strokes instead of MNIST"])
def test_refreshing_leaves_a_notebook_with_a_fault_as_it_was(committed, name, capsys):
    import refresh_notebooks

    notebook = nbformat.read(committed, as_version=4)
    SPOILERS[name](notebook)
    nbformat.write(notebook, committed)
    before = committed.read_bytes()
    assert refresh_notebooks.main(["--clean-only"]) == 1
    assert committed.read_bytes() == before
    assert [path.name for path in committed.parent.iterdir()] == ["01.ipynb"]


def test_a_card_and_the_picture_of_it_in_the_next_cell_are_stored_once():
    import refresh_notebooks

    pictures = {shade: png(shade) for shade in (0, 255)}
    card = {WIDGET: {}, "text/plain": "Card()", "image/png": pictures[0]}
    other = {WIDGET: {}, "text/plain": "Card()", "image/png": pictures[255]}
    notebook = notebook_of([card, other], [{"text/plain": "<Image>", "image/png": pictures[0]}])
    refresh_notebooks.clean(notebook)
    first, second = notebook.cells
    assert ["image/png" in output.data for output in first.outputs] == [False, True]
    assert "image/png" in second.outputs[0].data


def test_a_film_and_the_width_of_a_picture_are_kept():
    import refresh_notebooks

    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 100, 200)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    film = base64.b64encode(file.getvalue()).decode()
    notebook = notebook_of([{"image/png": film}])
    about = {"image/png": {"width": 700, "alt": "A film.", "needs_background": "light"}, "text/plain": {"x": 1}}
    notebook.cells[0].outputs[0].metadata = nbformat.from_dict(about)
    refresh_notebooks.clean(notebook)
    (output,) = notebook.cells[0].outputs
    assert output.data["image/png"] == film
    assert output.metadata == {"image/png": {"width": 700, "alt": "A film."}}


def test_a_grey_picture_is_packed_into_64_greys_and_stays_as_it_is_then():
    import refresh_notebooks

    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    once = refresh_notebooks.pack(base64.b64encode(file.getvalue()).decode())
    packed = np.asarray(Image.open(io.BytesIO(base64.b64decode(once))))
    assert len(np.unique(packed)) == 64
    assert (packed.min(), packed.max()) == (0, 255)
    assert np.abs(packed - ramp.astype(int)).max() <= 2
    assert refresh_notebooks.pack(once) == once


def png(shade: int) -> str:
    stored = io.BytesIO()
    Image.new("L", (2, 2), shade).save(stored, "PNG")
    return base64.b64encode(stored.getvalue()).decode()


def notebook_of(*cells: list[dict]) -> nbformat.NotebookNode:
    """One code cell for each list of output bundles."""
    display = nbformat.v4.new_output
    code = [nbformat.v4.new_code_cell("…", outputs=[display("display_data", b) for b in cell]) for cell in cells]
    return nbformat.v4.new_notebook(cells=code)


def test_refreshing_executes_nothing_without_mnist(committed, monkeypatch):
    import nbclient
    import refresh_notebooks

    def offline(name, *args, **kwargs):
        raise download.NoMirror(name)

    monkeypatch.setattr(data, "load", offline)
    monkeypatch.setattr(nbclient, "NotebookClient", lambda *args, **kwargs: pytest.fail("executed"))
    with pytest.raises(download.NoMirror, match="mnist"):
        refresh_notebooks.main([])
