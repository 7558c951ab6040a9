"""What is given out: what stands in it, that it runs alone, and the pages and formulas that come with it."""

import os
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from extras import BROWSER, needs_browser, skip_without

from gantutor import cli
from gantutor.data import download
from gantutor.errors import BadInput
from gantutor.publish import handout, mathml, pages, slides

COURSE = Path(__file__).resolve().parents[1]
LESSONS = sorted((COURSE / "notebooks").glob("*.ipynb"))
needs_math = skip_without(find_spec("latex2mathml") is not None, 'latex2mathml is missing: pip install -e ".[teach]"')
needs_reveal = skip_without(find_spec("sphinx_revealjs") is not None, 'no sphinx-revealjs: pip install -e ".[teach]"')


def make(out: Path, *options: str) -> int:
    return cli.main(["handout", str(out), *options])


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A handout as a folder, with all lessons, and with the data that is at hand."""
    out = tmp_path_factory.mktemp("class") / "given"
    assert make(out) == 0
    return out


# --- what stands in it -----------------------------------------------------------------------------------------------


def test_a_handout_holds_what_a_learner_needs(given):
    names = {path.relative_to(given).as_posix() for path in given.rglob("*") if path.is_file()}
    for path in LESSONS:
        assert f"notebooks/{path.name}" in names
        assert (given / "notebooks" / path.name).read_bytes() == path.read_bytes()
    for path in (COURSE / "notebooks" / "exercises").glob("*.ipynb"):
        assert f"notebooks/exercises/{path.name}" in names
    assert {"notebooks/appendix/words.ipynb", "notebooks/appendix/history.ipynb"} <= names
    assert {"README.md", "LICENSE", "requirements.txt", "start.py", "data/classifiers/mnist.pt"} <= names
    assert not any("solutions" in name or "__pycache__" in name or "TEACHING" in name for name in names)


def test_no_cell_of_a_handout_holds_a_solution(given):
    for path in given.rglob("*.ipynb"):
        assert "BEGIN SOLUTION" not in path.read_text(encoding="utf-8")


def test_the_teacher_gets_more(tmp_path):
    assert make(tmp_path / "t", "--teacher", "--data") == 0
    assert (tmp_path / "t" / "TEACHING.md").is_file()
    source, copied = COURSE / "notebooks" / "solutions", tmp_path / "t" / "notebooks" / "solutions"
    assert [path.name for path in copied.glob("*.ipynb")] == [path.name for path in source.glob("*.ipynb")]


def test_the_requirements_are_those_of_the_package_in_the_tested_versions(given):
    text = (COURSE / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)[1]
    required = (given / "requirements.txt").read_text(encoding="utf-8").split()
    assert [line.partition("==")[0] for line in required] == re.findall(r'"([\w-]+)>=', listed)
    assert set(required) <= set((COURSE / "constraints.txt").read_text(encoding="utf-8").splitlines())
    assert "torch==2.13.0" in required
    assert handout.read_requirements(given) == required  # who has a handout can make another


def test_the_program_that_starts_it_is_python(given):
    compile((given / "start.py").read_text(encoding="utf-8"), "start.py", "exec")
    assert "python3 start.py" in (given / "README.md").read_text(encoding="utf-8")


def test_data_sets_come_with_their_licence(given):
    text = (given / "README.md").read_text(encoding="utf-8")
    for name, licence in (("mnist", "CC BY-SA 3.0"), ("fashion-mnist", "MIT licence")):
        if (given / "data" / name).is_dir():
            assert sorted(path.name for path in (given / "data" / name).iterdir()) == sorted(download.SHA256[name])
            assert licence in text
        else:
            assert f"{name} is not included" in text


def test_data_that_is_not_here_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("GANTUTOR_DATA", raising=False)
    monkeypatch.setattr(download, "ROOT", tmp_path)
    monkeypatch.setattr(download, "_cache_folder", lambda: tmp_path)
    assert make(tmp_path / "h", "--data", "mnist", "--lessons", "1") == 0
    assert "mnist is not in the handout" in capsys.readouterr().err
    assert "gantutor fetch mnist" in (tmp_path / "h" / "README.md").read_text(encoding="utf-8")
    assert not (tmp_path / "h" / "data" / "mnist").exists()


def test_a_zip_holds_chosen_lessons_in_a_folder(tmp_path):
    assert make(tmp_path / "course.zip", "--lessons", "01", "3", "--data") == 0
    with zipfile.ZipFile(tmp_path / "course.zip") as archive:
        names = archive.namelist()
    assert all(name.startswith("course/") for name in names)
    lessons = [Path(name).name[:2] for name in names if re.fullmatch(r"course/notebooks/[^/]+\.ipynb", name)]
    assert sorted(lessons) == ["00", "01", "03"]
    assert not any("data/mnist" in name for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["course.zip"]  # no temporary file is left


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["x", "--lessons", "12"], "unknown lesson '12'"),
        (["x", "--data", "cifar"], "unknown data set 'cifar'"),
        (["there"], "there exists: choose another name"),
        (["file.zip"], "file.zip exists: choose another name"),
        (["file.zip/h"], "cannot write file.zip/h"),
        ([], "name a folder or a .zip to write"),
        (["x", "--check"], "--exercises"),
        (["x", "--exercises"], "leave x out"),
    ],
)
def test_what_cannot_be_done_is_reported_in_a_sentence(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "file.zip").write_text("mine")
    assert cli.main(["handout", *options]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.zip", "there"]
    assert (tmp_path / "file.zip").read_text() == "mine"


def test_wheels_that_cannot_be_had_leave_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(handout, "read_requirements", lambda course: ["gantutor-has-no-such-package==1"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert make(tmp_path / "h", "--wheels", "--data", "--lessons", "0") == 2
    assert "no matching distribution" in capsys.readouterr().err.lower()
    assert list(tmp_path.iterdir()) == []


def test_with_wheels_the_readme_installs_from_them(tmp_path, monkeypatch):
    def pip(command, **options):
        folder = Path(command[command.index("--dest") + 1])
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert Path(command[command.index("--requirement") + 1]).read_text(encoding="utf-8").startswith("torch")
        folder.mkdir()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(handout.subprocess, "run", pip)
    assert make(tmp_path / "h", "--wheels", "--data", "--lessons", "0") == 0
    text = (tmp_path / "h" / "README.md").read_text(encoding="utf-8")
    assert "pip install --no-index --find-links wheels -r requirements.txt" in text


def test_exercises_are_checked_against_their_solutions(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gantutor.cli.handout.find_course", lambda: tmp_path)
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("### BEGIN SOLUTION\nforty_two\n### END SOLUTION")]
    )
    nbformat.write(notebook, tmp_path / "notebooks" / "solutions" / "01_x.ipynb")
    assert cli.main(["handout", "--exercises", "--check"]) == 1
    assert "01_x.ipynb: differs" in capsys.readouterr().out
    assert cli.main(["handout", "--exercises"]) == 0
    assert cli.main(["handout", "--exercises", "--check"]) == 0
    assert "forty_two" not in (tmp_path / "notebooks" / "exercises" / "01_x.ipynb").read_text(encoding="utf-8")


def test_a_course_folder_for_nbgrader(tmp_path, capsys):
    assert cli.main(["handout", str(tmp_path / "g"), "--nbgrader"]) == 0
    assert "nbgrader generate_assignment lesson_" in capsys.readouterr().out
    assert (tmp_path / "g" / "nbgrader_config.py").is_file()
    assert list((tmp_path / "g" / "source").glob("lesson_*/*.ipynb"))


# --- it runs alone ---------------------------------------------------------------------------------------------------

NO_NETWORK = """
import socket
connect = socket.socket.connect
def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in ("127.0.0.1", "localhost", "::1"):
        raise OSError(f"the network was asked for: {address}")
    return connect(self, address)
socket.socket.connect = refuse
"""
RUN = """
import os, sys
from gantutor import cli
from gantutor.cli import lab
lab.hand_over = lambda command: 0
assert cli.main(["lab"]) == 0  # what follows runs as JupyterLab would
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read("notebooks/00_start_here.ipynb", as_version=4)
found = "import gantutor; print(gantutor.__file__, data.load_or_strokes('mnist').name)"
notebook.cells.append(nbformat.v4.new_code_cell(found))
NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": "notebooks"}}).execute()
print("found", notebook.cells[-1].outputs[0].text)
"""


@pytest.mark.slow
def test_a_handout_runs_by_itself_without_a_network(given, tmp_path):
    """Lesson 00 in a process that knows neither this checkout, nor its data, nor the network, nor the home folder."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    left_out = ("PYTHONPATH", "GANTUTOR_DATA", "XDG_CACHE_HOME", "GANTUTOR_SEED")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    env |= {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "PYTHONPATH": str(tmp_path / "hook"),
            "GANTUTOR_BUDGET": "quick", "MPLCONFIGDIR": str(tmp_path)}  # fmt: skip
    run = subprocess.run([sys.executable, "-c", RUN], cwd=given, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    file, name = run.stdout.split("found ")[1].split()
    assert Path(file).is_relative_to(given)
    assert name == ("mnist" if (given / "data" / "mnist").is_dir() else "strokes")


# --- formulas --------------------------------------------------------------------------------------------------------


def formulas(path: Path) -> list[tuple[str, bool]]:
    """The formulas of a lesson, and whether each stands on a line of its own."""
    text = "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    return [(m[1] or m[2], bool(m[1])) for m in re.finditer(r"\$\$(.+?)\$\$|\$(.+?)\$", text, re.DOTALL)]


@needs_math
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_formula_of_a_lesson_becomes_mathml(path):
    found = formulas(path)
    assert len(found) >= 10
    for tex, block in found:
        made = mathml.mathml(tex, block)
        assert made.startswith(f'<math display="{"block" if block else "inline"}">')
        assert not re.search(r"\\|merror", made)
        for word in re.findall(r"\\text\{([^{}$]+)\}", tex):  # what is written in words is kept
            assert re.sub(r"\s", "", word) in re.sub(r"\s| ", "", re.sub(r"<[^>]+>", "", made)).replace("&#160;", "")


@needs_math
@pytest.mark.parametrize(
    ("tex", "wanted"),
    [
        (r"\mathbb E", "<mi>𝔼</mi>"),
        (r"x = -1", '<mo form="prefix">−</mo>'),
        (r"x - 1", '<mo form="infix">−</mo>'),
        (r"2\log 3", 'lspace="0.1667em" rspace="0.1667em">log</mo>'),
        (r"(\log(3))", 'lspace="0" rspace="0">log</mo>'),
        (r"\boxed{a}", "border"),
        (r"\Big\lfloor a", "⌊"),
        (r"\arg\min_G V", ">arg</mo>"),
        (r"\lVert x\rVert", "‖"),
        (r"a \pm b", '<mo form="infix">±</mo>'),
    ],
)
def test_what_the_translator_lacks_is_put_right(tex, wanted):
    assert wanted in mathml.mathml(tex)


@needs_math
def test_limits_stand_under_min_in_a_formula_of_its_own():
    assert "munder" in mathml.mathml(r"\min_G V", block=True)
    assert "munder" not in mathml.mathml(r"\min_G V")


@needs_math
@pytest.mark.parametrize(("tex", "words"), [(r"\nosuch x", "nosuch"), (r"{a", "cannot be translated")])
def test_a_formula_that_is_not_understood_is_named(tex, words):
    with pytest.raises(BadInput, match=words):
        mathml.mathml(tex)


@needs_math
def test_without_the_translator_one_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    with pytest.raises(BadInput, match="pip install latex2mathml"):
        mathml.mathml("x")


# --- pages -----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page loads, where its links lead, and its pictures."""

    def __init__(self, path: Path):
        super().__init__()
        self.loaded, self.links, self.ids, self.alts, self.tags = [], [], set(), [], []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        if tag == "a":
            self.links += [attributes["href"]] if "href" in attributes else []
        else:
            self.loaded += [attributes[key] for key in ("src", "href", "data", "srcset") if key in attributes]
        if tag == "img":
            self.alts.append(attributes.get("alt") or "")

    def handle_data(self, data):
        self.text += data if self.tags[-1:] not in (["style"], ["script"]) else ""


def loads_from_the_web(path: Path) -> list[str]:
    """The addresses outside of its folder that a page, or a style sheet or script, loads."""
    text = path.read_text(encoding="utf-8")
    from_css = re.findall(r"@import\s+[^;]+|url\(\s*['\"]?(?:https?:)?//[^)]+", text)
    loaded = Page(path).loaded if path.suffix == ".html" else []
    return [*from_css, *(address for address in loaded if re.match(r"(https?:)?//", address))]


def broken_links(folder: Path) -> list[str]:
    """The relative addresses in all pages of a folder that lead to no file, or to no place in it."""
    found = {path.resolve(): Page(path) for path in folder.rglob("*.html")}
    broken = []
    for path, page in found.items():
        for address in [*page.links, *page.loaded]:
            to = urlsplit(address)
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            if to.scheme or to.netloc:
                continue
            fragment = unquote(to.fragment)
            if not target.is_file() or (fragment and target in found and fragment not in found[target].ids):
                broken.append(f"{path.name}: {address}")
    return broken


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("html")
    pages.write_html([path for path in LESSONS if path.name[:2] in ("00", "01", "05")], folder)
    return folder


@needs_math
@pytest.mark.slow
def test_the_pages_load_nothing_and_lead_somewhere(html):
    assert sorted(path.name[:2] for path in html.iterdir()) == ["00", "01", "05", "in"]
    for path in html.iterdir():
        assert loads_from_the_web(path) == []
        assert "script" not in Page(path).tags
    assert broken_links(html) == []
    assert Page(html / "index.html").links == [f"{p.stem}.html" for p in LESSONS if p.name[:2] in ("00", "01", "05")]


@needs_math
@pytest.mark.slow
@pytest.mark.parametrize("number", ["00", "01", "05"])
def test_a_page_shows_all_of_its_lesson(html, number):
    (path,) = html.glob(f"{number}*.html")
    (lesson,) = (path for path in LESSONS if path.name.startswith(number))
    page, notebook = Page(path), nbformat.read(lesson, 4)
    assert page.tags.count("math") == len(formulas(lesson))
    pictures = [o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(page.alts) == len(pictures) > 3
    assert all(len(alt) > 20 for alt in page.alts)
    assert "No description has been provided" not in path.read_text(encoding="utf-8")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert re.sub(r"\s", "", cell.source) in re.sub(r"\s", "", page.text)
        for output in cell.get("outputs", []):
            assert re.sub(r"\s", "", output.get("text", "")) in re.sub(r"\s", "", page.text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('<link rel="stylesheet" href="https://a.b/c.css">', 1),
        ('<script src="//a.b/c.js"></script>', 1),
        ("<style>@import 'x.css';</style>", 1),
        ("<style>a { background: url(http://a.b/c.png) }</style>", 1),
        ('<a href="https://a.b">a</a><img src="data:image/png;base64,AA" alt="a">', 0),
    ],
)
def test_the_check_sees_what_is_loaded(text, seen, tmp_path):
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    assert len(loads_from_the_web(tmp_path / "a.html")) == seen


def test_the_check_sees_links_that_are_broken(tmp_path):
    text = '<a id="x" href="b.html">b</a><a href="a.html#x">x</a><a href="#y">y</a><img src="c.png" alt="c">'
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    assert broken_links(tmp_path) == ["a.html: b.html", "a.html: #y", "a.html: c.png"]


def cells(*texts: str) -> list:
    return [nbformat.v4.new_code_cell(text[1:]) if text[0] == ">" else nbformat.v4.new_markdown_cell(text)
            for text in texts]  # fmt: skip


@needs_math
@pytest.mark.parametrize(
    ("texts", "number", "wanted"),
    [
        (["# T\n\n## 1 · $D^*$\n\nIt is so.", '>plot(title="fake")', "**Notice:** *all* is flat. And so on."], 1,
         "Picture in “1 · D*”, labelled “fake”. All is flat."),
        (["## A\n\nFirst. Second is `x`. *Predict:* why?", ">plot()"], 1, "Picture in “A”. Second is x."),
        (["## A\n\nIt is.", ">x", ">plot()", "## B\n\nOther."], 2, "Picture in “A”. It is."),
    ],
)  # fmt: skip
def test_an_alternative_text_says_where_and_what(texts, number, wanted):
    assert pages.alternative_text(cells(*texts), number) == wanted


# --- slides ----------------------------------------------------------------------------------------------------------


def test_text_is_cut_between_paragraphs_and_nothing_is_lost():
    fold = "<details><summary>A</summary>\n\none\n\ntwo\n</details>"
    table = "| a |\n|-|\n" + "\n".join(f"| {i} |" for i in range(20))
    text = "\n\n".join(
        ["## One", "word " * 100, "$$\nx\n\ny\n$$", fold, "```\na\n\nb\n```", "word " * 80, "### Two", table]
    )
    parts = slides.chunks(text)
    assert [part.split()[0] for part in parts] == ["##", "word", "###", "|", "|"]
    assert fold in parts[0]
    assert "```\na\n\nb\n```" in parts[0]
    assert [part.count("|-|") for part in parts] == [0, 0, 1, 1, 1]
    rows = [line for line in "\n".join(parts).splitlines() if re.match(r"\| \d+ \|", line)]
    assert rows == [f"| {i} |" for i in range(20)]
    assert " ".join(parts).count("word") == 180


def code(source: str, *outputs, tags: tuple = ()):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def picture(name: str = "png"):
    return nbformat.v4.new_output("display_data", data={f"image/{name}": "AA"})


def printed(text: str = "1\n"):
    return nbformat.v4.new_output("stream", text=text)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (code("plot()", picture()), "whole"),
        (code("x = 1\n" * 20, picture()), "output"),
        (code("print(1)", printed()), "whole"),
        (code("print(1)\n" * 10, printed("1\n" * 30)), "output"),
        (code("x = f(1)"), "whole"),
        (code("x = f(1)\n" * 20), "not"),
        (code("assert x\nassert y"), "not"),
        (code("import math\nprint(1)", printed()), "not"),
        (code("assert x", tags=("slide",)), "whole"),
        (code("x = 1\n" * 20, tags=("slide",)), "whole"),
        (code("plot()", picture(), tags=("skip-slide",)), "not"),
    ],
)
def test_which_code_goes_on_a_slide(cell, shown):
    made = list(slides.slide_cells([cell]))
    hidden = made and made[0].metadata.get("transient", {}).get("remove_source", False)
    assert ("not" if not made else "output" if hidden else "whole") == shown


def test_where_slides_begin():
    long = code("x = 1\n" * 20, picture())
    text = cells("# T\n\nwords", "## A\n\nwords"), cells("**Notice:** up.", "more"), cells("**Notice:** down.")
    given = [*text[0], long, *text[1], code("plot()", picture()), *text[2]]
    marks = [cell.metadata["slideshow"]["slide_type"] for cell in slides.slide_cells(given)]
    assert marks == ["slide", "slide", "subslide", "-", "subslide", "subslide", "subslide"]


def test_slides_without_reveal_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install sphinx-revealjs"):
        slides.write_slides([], tmp_path)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    slides.write_slides([path for path in LESSONS if path.name[:2] in ("01", "05", "07")], folder)
    return folder


@needs_math
@needs_reveal
@pytest.mark.slow
def test_slides_load_nothing_from_the_web(shown):
    for path in [*shown.glob("*.html"), *shown.rglob("*.css")]:
        assert loads_from_the_web(path) == []
    assert broken_links(shown) == []
    for number in ("01", "05"):
        (lesson,), (path,) = (list(folder.glob(f"{number}*")) for folder in (COURSE / "notebooks", shown))
        headings = [line for line in "\n".join(c.source for c in nbformat.read(lesson, 4).cells).splitlines()
                    if line.startswith("## ")]  # fmt: skip
        page = Page(path)
        assert page.tags.count("h2") == len(headings)
        assert all(len(alt) > 20 for alt in page.alts)


FITS = """() => Reveal.getSlides().map(slide => {
    const at = Reveal.getIndices(slide);
    Reveal.slide(at.h, at.v);
    const place = slide.getBoundingClientRect();
    return {text: slide.innerText.slice(0, 50), out: place.right > innerWidth + 1 || place.bottom > innerHeight + 1,
            wide: slide.scrollWidth - slide.clientWidth, tall: slide.scrollHeight - slide.clientHeight,
            scrolls: getComputedStyle(slide).overflowY == "auto"};
})"""


@needs_math
@needs_reveal
@needs_browser
@pytest.mark.slow
def test_slides_fit(shown):
    """Nothing leaves a slide: it is as large as the window, and what is too long for it scrolls, which is rare."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        view = window.new_page(viewport={"width": 1280, "height": 800})
        for path in sorted(shown.glob("0*.html")):
            view.goto(path.as_uri())
            view.wait_for_function("Reveal.isReady()")
            measured = view.evaluate(FITS)
            assert len(measured) > 40
            assert [slide for slide in measured if slide["wide"] > 2 or slide["out"]] == []
            tall = [slide for slide in measured if slide["tall"] > 2]
            assert all(slide["scrolls"] for slide in tall)
            assert len(tall) <= 8
        window.close()


# --- the teacher's page ----------------------------------------------------------------------------------------------


def test_the_teachers_page_knows_every_lesson():
    text = (COURSE / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d) \|", text, re.MULTILINE)
    assert sorted(set(rows)) == [path.name[:2] for path in LESSONS]
    assert all(f"### {path.name[:2]} " in text for path in LESSONS)
