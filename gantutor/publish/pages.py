"""Executed lessons as web pages that need no server, no network and no script.

nbconvert makes them. Its own templates load MathJax, require.js and more from the web, but ours load nothing: formulas
are MathML, the style is part of the page, and every picture has an alternative text.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gantutor.errors import BadInput
from gantutor.files import replacing
from gantutor.publish import mathml

PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
LABEL = re.compile(r'\b(?:title|label|xlabel|ylabel)="([^"{]+)"')  # texts that the code writes into a picture
LINK = re.compile(r'href="([^":]*?)\.ipynb(#[^"]*)?"')

STYLE = """
:root { color-scheme: light; --ink: #1d2433; --line: #d9dee7; --code: #f5f7fa; --mono: ui-monospace, SFMono-Regular,
        Menlo, Consolas, "DejaVu Sans Mono", monospace; }
body { color: var(--ink); background: white; font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1, h2, h3 { line-height: 1.25; }
a { color: #0057a8; }
.prompt { display: none; }
pre, code { font-family: var(--mono); }
code { font-size: 0.9em; background: var(--code); padding: 0.1em 0.25em; border-radius: 3px; }
pre { line-height: 1.45; overflow-x: auto; margin: 0.6em 0; padding: 0.7em 0.9em; }
pre code { background: none; padding: 0; }
.input pre { background: var(--code); border-left: 3px solid #9fb3cc; }
.output pre { border-left: 3px solid var(--line); }
.output img { max-width: 100%; height: auto; }
table { display: block; overflow-x: auto; border-collapse: collapse; margin: 1em 0; font-size: 0.95em; }
th, td { border-bottom: 1px solid var(--line); padding: 0.35em 0.7em; text-align: left; vertical-align: top; }
details { margin: 0.8em 0; padding: 0.4em 0.9em; border: 1px solid var(--line); border-radius: 6px; }
summary { cursor: pointer; color: #0057a8; }
math { font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", "STIX Math", math; font-size: 1.05em; }
.formula { display: block; overflow-x: auto; overflow-y: hidden; padding: 0.3em 0; }
"""
PAGE_STYLE = """
body { margin: 0 auto; max-width: 52rem; padding: 1rem; font-size: 1.05rem; line-height: 1.6; }
h1, h2, h3 { margin: 2rem 0 0.8rem; }
pre { font-size: 0.85rem; }
nav { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0.5rem 1.5rem; font-size: 0.95rem; }
@media print { details { border: none } pre { white-space: pre-wrap } }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_html(lessons: Sequence[Path], folder: Path) -> list[Path]:
    """Write each executed notebook as a page, and an `index.html` with links to them. Returns the files.

    Raises `BadInput` if a formula cannot be translated or a package is missing.
    """
    pages = {path: load_notebook(path) for path in lessons}
    titles = {path.stem: title(notebook) for path, notebook in pages.items()}
    written = []
    for number, (path, notebook) in enumerate(pages.items()):
        before, after = ([*titles][i] if 0 <= i < len(titles) else "index" for i in (number - 1, number + 1))
        names = {"index": "All lessons", **titles}
        steps = f'<nav><a href="{before}.html">← {escape(names[before])}</a>'
        steps += f'<a href="{after}.html">{escape(names[after])} →</a></nav>'
        body = relink(body_of(notebook), titles)
        written.append(
            write_page(folder / f"{path.stem}.html", titles[path.stem], f"{steps}\n<main>\n{body}\n</main>\n{steps}")
        )
    return [*written, write_page(folder / "index.html", "A course on GANs", index_body(titles))]


def index_body(titles: dict[str, str]) -> str:
    links = "".join(f'<li><a href="{name}.html">{escape(text)}</a></li>' for name, text in titles.items())
    return f'<main><h1>A course on GANs</h1>\n<ul style="list-style: none; padding: 0">{links}</ul></main>'


def write_page(path: Path, heading: str, body: str, style: str = PAGE_STYLE, head: str = "") -> Path:
    text = PAGE.format(title=escape(heading), style=STYLE + style + highlighting(), body=body, head=head)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def highlighting() -> str:
    """The style sheet for the colours of code."""
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="default").get_style_defs(".highlight")


def relink(html: str, there: dict[str, str]) -> str:
    """The page with links to other notebooks turned into links to their pages, or removed where there is no page."""
    html = LINK.sub(lambda m: f'href="{m[1]}.html{m[2] or ""}"' if m[1] in there else "data-elsewhere", html)
    return re.sub(r"<a data-elsewhere>(.*?)</a>", r"\1", html, flags=re.DOTALL)


# --- one notebook ----------------------------------------------------------------------------------------------------


def load_notebook(path: Path):
    """Load a notebook and give each of its pictures an alternative text."""
    try:
        import nbformat
    except ModuleNotFoundError:
        raise BadInput("pages need nbconvert: pip install jupyterlab.") from None
    notebook = nbformat.read(path, as_version=4)
    add_alternative_texts(notebook)
    return notebook


def title(notebook: Mapping) -> str:
    """The heading of a notebook, loaded by `load_notebook` or as plain JSON: "01 · The minimax game"."""
    return "".join(notebook["cells"][0]["source"]).strip().splitlines()[0].lstrip("# ")


def body_of(notebook) -> str:
    """The cells of a notebook as HTML, without the page around them."""
    exporter = with_mathml("HTMLExporter")(template_name="basic")
    return exporter.from_notebook_node(notebook)[0]


def with_mathml(name: str) -> type:
    """nbconvert's exporter of this name, "HTMLExporter" or "SlidesExporter", changed to set formulas as MathML."""
    try:
        from nbconvert import exporters
        from nbconvert.exporters.html import contextfilter
        from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
    except ModuleNotFoundError:
        raise BadInput("pages need nbconvert: pip install jupyterlab.") from None

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return mathml.mathml(body)

        def block_math(self, body: str) -> str:
            return f'<span class="formula">{mathml.mathml(body, block=True)}</span>'

    base: Any = getattr(exporters, name)

    class Exporter(base):
        @contextfilter
        def markdown2html(self, context, source):
            return MarkdownWithMath(renderer=Renderer(escape=False, exclude_anchor_links=True)).render(source)

    return Exporter


# --- alternative texts -----------------------------------------------------------------------------------------------


def add_alternative_texts(notebook) -> None:
    """Store an alternative text in the metadata of each picture of a notebook that has none yet.

    Of a picture that is there as SVG and as PNG the PNG stays, because nbconvert forgets the text of the other.
    """
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("image/svg+xml", None)
            for kind in set(PICTURES) & set(output.get("data", {})):
                about = output.metadata.setdefault(kind, {})
                about.setdefault("alt", alternative_text(notebook.cells, number))


def alternative_text(cells: Sequence, number: int) -> str:
    """A guess at what a picture in cell `number` shows: the heading above it, its labels, and a sentence about it.

    The sentence is the first one after "Notice" in the text below, or else the last one above that is not a question.
    """
    above = [cell.source for cell in cells[:number] if cell.cell_type == "markdown"]
    heading = next((line for text in reversed(above) for line in reversed(headings(text))), "")
    below = next((cell.source for cell in cells[number + 1 :] if cell.cell_type == "markdown"), "")
    noticed = re.search(r"\*\*Notice[^*]*\*\*:?(.*)", below, re.DOTALL)
    statements = [text for text in sentences(noticed[1] if noticed else "".join(above[-1:])) if not text.endswith("?")]
    labels = dict.fromkeys(LABEL.findall(cells[number].source))  # each once, in order
    labelled = ", labelled " + ", ".join(f"“{label}”" for label in [*labels][:6]) if labels else ""
    sentence = (statements[:1] if noticed else statements[-1:]) or [""]
    return f"Picture in “{plain_text(heading)}”{labelled}. {sentence[0][:1].upper()}{sentence[0][1:]}".strip()


def headings(text: str) -> list[str]:
    return [line.lstrip("# ") for line in text.splitlines() if re.match(r"#+ ", line)]


def sentences(text: str) -> list[str]:
    """The sentences of a Markdown text as plain text, without headings, tables, code and folds."""
    text = re.sub(r"<details>.*?</details>|```.*?```|\$\$.*?\$\$", " ", text, flags=re.DOTALL)
    lines = [re.sub(r"^\s*([-*]|\d+\.)\s+", "", line) for line in text.splitlines() if not re.match(r"\s*(#|\|)", line)]
    found = re.split(r"(?<=[.?!])\s+", re.sub(r"\([^()]*[.?!]\)", "", plain_text(" ".join(lines))))
    return [sentence for sentence in found if len(sentence) > 3]


def plain_text(text: str) -> str:
    """Markdown as plain text in one line."""
    parts = re.split(r"(\$\$.+?\$\$|\$.+?\$)", text, flags=re.DOTALL)  # text, formula, text, …
    parts[1::2] = [mathml.plain(formula.strip("$")) for formula in parts[1::2]]
    parts[::2] = [re.sub(r"<[^>]+>|[*`\\]|!?\[(?=[^\]]*\]\()|\]\([^)]*\)", "", words) for words in parts[::2]]
    return " ".join("".join(parts).split())
