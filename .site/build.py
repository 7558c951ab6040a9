"""Build the static site: python .site/build.py OUT. Needs `pip install -e ".[docs]"`, and no network.

The pages are gathered in a temporary folder, since Sphinx wants them in one place: the lessons, each picture with an
alternative text; the exercises and the appendix; the teacher's page; and a page for each module of the package.

Where `pyproject.toml` names a repository on GitHub, as Repository under [project.urls], each lesson has links that open
it in Colab and in Binder.
"""

import argparse
import re
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from gantutor import show  # noqa: E402
from gantutor.publish import pages  # noqa: E402
from gantutor.runs import pretrained  # noqa: E402

GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
ROW = re.compile(r"^\| (\d\d) \| \[(.+?)\]\((\S+)\.ipynb\) \| (.+?) \|$", re.MULTILINE)  # of the README's table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="a folder for the pages")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "source")
        gather(source)
        options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(Path(temporary, "trees"))]
        return sphinx([*options, str(source), str(out)])


def gather(source: Path) -> None:
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("__pycache__", "build.py"))
    shutil.copy(ROOT / "notebooks" / "TEACHING.md", source)
    (source / "diagnose.md").write_text(section("Diagnose your own GAN"), encoding="utf-8")
    film = faces()
    (source / "faces.png").write_bytes(film.png)
    index = source / "index.md"
    index.write_text(index.read_text(encoding="utf-8").format(alt=film.alt, width=film.width, lessons=lessons()),
                     encoding="utf-8")  # fmt: skip
    repository = github(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    for folder in (Path("notebooks"), Path("notebooks", "exercises"), Path("notebooks", "appendix")):
        (source / folder).mkdir()
        for path in sorted((ROOT / folder).glob("*.ipynb")):
            notebook = described(path)
            if repository and folder == Path("notebooks"):
                notebook.cells.insert(1, nbformat.v4.new_markdown_cell(links(repository, path.name), id="links"))
            nbformat.write(notebook, source / folder / path.name)
    (source / "reference").mkdir()
    for name, text in reference().items():
        (source / "reference" / f"{name}.rst").write_text(text, encoding="utf-8")


def section(title: str) -> str:
    """A section of the README as a page of its own."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    body = text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return f"# {title}\n{body}"


def faces() -> show.Shown:
    """The film of the first page."""
    walk = show.walk(pretrained.generator("faces"), frames=40, count=6, columns=6, seed=3)
    return show.play(walk, "Faces that a GAN of this course has learned to draw", fps=6, hold=0)


def lessons() -> str:
    """The README's table of lessons as a list."""
    found = ROW.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return "\n".join(f"- [{number} {title}]({path}.ipynb): {question}" for number, title, path, question in found)


def github(project: dict) -> str | None:
    """Owner and name of the repository on GitHub that `pyproject.toml` names, if it does."""
    address = GITHUB.fullmatch(project["project"].get("urls", {}).get("Repository", ""))
    return address and address[1]


def links(repository: str, name: str) -> str:
    """Where a lesson runs on somebody else's computer. In Colab the package has to be installed first."""
    colab = f"https://colab.research.google.com/github/{repository}/blob/HEAD/notebooks/{name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=notebooks/{name}"
    install = f"%pip install git+https://github.com/{repository}"
    return f"[Open in Binder]({binder}) · [Open in Colab]({colab}), and run `{install}` in a cell of its own first"


def described(path: Path) -> nbformat.NotebookNode:
    """A notebook whose pictures have alternative texts, and their widths, where myst-nb looks for them."""
    notebook = pages.load_notebook(path)
    for cell in notebook.cells:
        about = [output.metadata[kind] for output in cell.get("outputs", [])
                 for kind in output.get("data", {}) if kind == "image/png"]  # fmt: skip
        if about:
            widths = [picture["width"] for picture in about if "width" in picture]
            cell.metadata["mystnb"] = {"image": {"alt": " ".join(dict.fromkeys(picture["alt"] for picture in about)),
                                                 **({"width": f"{max(widths)}px"} if widths else {})}}  # fmt: skip
    return notebook


def reference() -> dict[str, str]:
    """A page for each module, by name, and an index; not of the exercises' checks, which hold the answers."""
    paths = [path for path in sorted((ROOT / "gantutor").rglob("*.py")) if path.stem != "__main__"]
    paths = [path for path in paths if not path.stem.startswith("lesson_")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    found = {}
    for name in names:
        members = "" if name == "gantutor" else "   :members:\n"
        found[name] = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n{members}"
    listed = "".join(f"   {name}\n" for name in found)
    found["index"] = f"Reference\n=========\n\n.. toctree::\n   :maxdepth: 1\n\n{listed}"
    return found


if __name__ == "__main__":
    sys.exit(main())
