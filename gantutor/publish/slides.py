"""Slides of the lessons, made from their cells by fixed rules, which need no server and no network.

nbconvert makes them, and reveal.js, which comes with the package sphinx-revealjs, shows them.
"""

import copy
import re
import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from gantutor.errors import BadInput
from gantutor.publish import pages

STYLE = """
.reveal .slides { text-align: left; font-size: 25px; line-height: 1.45; }
.reveal .slides section { height: 100%; box-sizing: border-box; padding: 0 10px 40px; overflow-y: auto; }
.reveal .slides section.stack { padding: 0; overflow: visible; }
h1 { font-size: 1.7em; } h2 { font-size: 1.4em; } h3 { font-size: 1.15em; }
h1, h2, h3 { margin: 0.2em 0 0.5em; }
p, ul, ol { margin: 0.5em 0; }
pre { font-size: 17px; }
table { font-size: 0.8em; margin: 0.5em 0; }
.output img { max-height: 440px; }
.input ~ .output_wrapper img { max-height: 400px; }
.reveal .slide-number { left: 8px; right: auto; color: #5b6475; background: none; }
"""
TEMPLATE = """{%- extends 'classic/base.html.j2' -%}
{%- block any_cell scoped -%}
{%- if cell.metadata.slide_start -%}<section>{%- endif -%}
{%- if cell.metadata.subslide_start -%}<section>{%- endif -%}
{{ super() }}
{%- if cell.metadata.subslide_end -%}</section>{%- endif -%}
{%- if cell.metadata.slide_end -%}</section>{%- endif -%}
{%- endblock any_cell -%}
"""
REVEAL = '<link rel="stylesheet" href="reveal.js/dist/reveal.css">\n'
INITIALIZE = """<script src="reveal.js/dist/reveal.js"></script>
<script>
Reveal.initialize({width: 1100, height: 720, margin: 0.04, center: false, hash: true, slideNumber: "c/t",
                   transition: "none"});
</script>"""
FULL = 150  # most words on a slide
SMALL = 25  # fewer words than this get no slide of their own
BESIDE = 60  # most words under a picture
TALL = 14  # most lines of code on a slide
ROWS = 9  # most rows of a table on a slide
SHOWN, HIDDEN = "slide", "skip-slide"  # tags of cells that override the rules


def write_slides(lessons: Sequence[Path], folder: Path) -> list[Path]:
    """Write slides of each notebook, an `index.html`, and a copy of reveal.js, which shows them. Returns the pages.

    Raises `BadInput` if a formula cannot be translated or a package is missing.
    """
    copy_reveal(folder / "reveal.js")
    notebooks = {path.stem: pages.load_notebook(path) for path in lessons}
    titles = {name: pages.title(notebook) for name, notebook in notebooks.items()}
    exporter = pages.with_mathml("SlidesExporter")(raw_template=TEMPLATE)
    written = []
    for name, notebook in notebooks.items():
        notebook.cells = list(slide_cells(notebook.cells))
        body = pages.relink(exporter.from_notebook_node(notebook)[0], titles)
        body = f'<div class="reveal"><div class="slides">{body}</div></div>\n{INITIALIZE}'
        written.append(pages.write_page(folder / f"{name}.html", titles[name], body, STYLE, REVEAL))
    return [*written, pages.write_page(folder / "index.html", "A course on GANs", pages.index_body(titles))]


def copy_reveal(folder: Path) -> None:
    """Copy reveal.js, which comes with sphinx-revealjs, into a folder."""
    spec = find_spec("sphinx_revealjs")
    if spec is None or spec.origin is None:
        raise BadInput("slides need reveal.js, which comes with sphinx-revealjs: pip install sphinx-revealjs.")
    source = Path(spec.origin).parent / "_static" / "revealjs"
    (folder / "dist").mkdir(parents=True)
    for file in ("LICENSE", "dist/reveal.css", "dist/reveal.js"):
        shutil.copyfile(source / file, folder / file)


def slide_cells(cells: Sequence) -> Iterator:
    """The cells arranged on slides, each with nbconvert's mark of the slide that it begins.

    A heading of the first or second level begins a new column of slides, and text is split where a slide is full. A
    picture stays below its code if that is short; otherwise it stands above the text that begins with "Notice".
    Imports, long code, and code that only asserts are left out. A cell with the tag "slide" is shown as it is, one with
    "skip-slide" is not.
    """
    picture_alone = False
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if HIDDEN in tags or (cell.cell_type == "code" and not worth_showing(cell) and SHOWN not in tags):
            continue
        hidden = cell.cell_type == "code" and too_tall(cell) and SHOWN not in tags
        parts = chunks(cell.source) if cell.cell_type == "markdown" else [cell.source]
        for number, source in enumerate(parts):
            made = copy.deepcopy(cell)
            made.source, made.id = source, f"{cell.get('id', 'cell')}-{number}"
            beside = picture_alone and number == 0 and source.startswith("**Notice") and weight(source) <= BESIDE
            mark = "-" if beside else "slide" if re.match("##? ", source) else "subslide"
            made.metadata["slideshow"] = {"slide_type": mark}
            if hidden:
                made.metadata["transient"] = {"remove_source": True}
            yield made
        picture_alone = hidden and has_picture(cell)


def has_picture(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def too_tall(cell) -> bool:
    """Whether the code with its output does not fit on one slide."""
    printed = sum(len(o.get("text", "").splitlines()) for o in cell.outputs)
    pictures = sum("image/png" in o.get("data", {}) for o in cell.outputs)
    return len(cell.source.splitlines()) > TALL - 5 * pictures or len(cell.source.splitlines()) + printed > TALL + 8


def worth_showing(cell) -> bool:
    """Whether a code cell has a picture or printed text, or is short and does more than import and assert."""
    lines = [line for line in cell.source.splitlines() if line.strip()]
    if re.match(r"(import|from) ", lines[0]) and not has_picture(cell):
        return False
    if has_picture(cell) or any(output.output_type == "stream" for output in cell.outputs):
        return True
    busy = [line for line in lines if not re.match(r"(assert|#)\b", line)]
    return not cell.outputs and bool(busy) and len(lines) <= TALL


def chunks(text: str) -> list[str]:
    """A Markdown text split between paragraphs into one part for each slide; a heading begins a new part."""
    parts: list[str] = []
    filled = 0.0
    for block in (part for whole in blocks(text) for part in split_table(whole)):
        size = weight(block)
        heading_alone = bool(parts) and parts[-1].startswith("#") and "\n" not in parts[-1]
        if not parts or block.startswith("#") or (filled + (size if size > SMALL else 0) > FULL and not heading_alone):
            parts.append(block)
            filled = size
        else:
            parts[-1] += "\n\n" + block
            filled += size
    return parts


def blocks(text: str) -> Iterator[str]:
    """The paragraphs of a text; formulas, code and folds stay together, headings are separate, long lists are split."""
    held: list[str] = []
    for line in text.splitlines():
        whole = "\n".join(held)
        open_ = whole.count("<details>") > whole.count("</details>") or whole.count("```") % 2 or whole.count("$$") % 2
        item = re.match(r"([-*]|\d+\.) ", line) and weight(whole) > FULL / 2
        if not open_ and held and (not line.strip() or item or line.startswith("#") or whole.startswith("#")):
            yield whole
            held = []
        if line.strip() or open_:
            held.append(line)
    if held:
        yield "\n".join(held)


def split_table(block: str) -> list[str]:
    """A long table as several tables, each with its header; anything else unchanged."""
    lines = block.splitlines()
    if not all(line.startswith("|") for line in lines) or len(lines) <= ROWS + 2:
        return [block]
    return ["\n".join([*lines[:2], *lines[i : i + ROWS]]) for i in range(2, len(lines), ROWS)]


def weight(block: str) -> float:
    """The size of a paragraph on a slide, in words; a formula or a row of a table counts as a dozen."""
    block = re.sub(r"<details>.*?</details>", "fold " * 5, block, flags=re.DOTALL)
    formulas, rows = block.count("$$") // 2, sum(line.startswith("|") for line in block.splitlines())
    words = len(re.sub(r"\$\$.*?\$\$|^\|.*$", "", block, flags=re.DOTALL | re.MULTILINE).split())
    return words + 12 * formulas + max(12 * rows, 0.7 * len(block.split()) * (rows > 0))
