"""A handout for a class: a folder or a zip with lessons, exercises, data, and a program that starts the course.

It needs only Python, and with `wheels` no network either. Its README lists what it contains and what is missing.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gantutor.data import download
from gantutor.errors import BadInput, DataUnavailable, reason, unknown
from gantutor.publish import pages

ASSETS = ("classifiers", "experiments", "generators")  # folders of data/ that the package needs at run time
LICENCES = {
    "mnist": "MNIST: Yann LeCun and Corinna Cortes, made from NIST's Special Databases 1 and 3. Widely stated to be "
    "under CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0/).",
    "fashion-mnist": "Fashion-MNIST: Zalando SE (Han Xiao, Kashif Rasul, Roland Vollgraf 2017). MIT licence "
    "(https://github.com/zalandoresearch/fashion-mnist).",
}
START = '''"""Start the course: python3 start.py (on Windows: py start.py). The first start installs what it needs."""

import os
import subprocess
import sys
import venv
from pathlib import Path

here = Path(__file__).resolve().parent
if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
folder = here / ".venv"
python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
ready = folder / "ready"
if not ready.exists():
    print("Making a virtual environment in .venv and installing the requirements. This takes some minutes, once.")
    venv.create(folder, with_pip=True, clear=True)
    local = ["--no-index", "--find-links", str(here / "wheels")] if (here / "wheels").is_dir() else []
    command = [str(python), "-m", "pip", "install", *local, "-r", str(here / "requirements.txt")]
    if subprocess.run(command).returncode:
        sys.exit("The requirements could not be installed: see the lines above, and the README.")
    ready.touch()
try:
    sys.exit(subprocess.run([str(python), "-m", "gantutor", "lab", *sys.argv[1:]], cwd=here).returncode)
except KeyboardInterrupt:
    pass
'''
README = """# GANs, hands on

A course on generative adversarial networks, to run on your own computer.

## Start here

You need Python 3.11 or newer ([python.org](https://www.python.org/downloads/); on Debian and Ubuntu also
`apt install python3-venv`). In a terminal, in this folder:

```sh
python3 start.py        # Windows: py start.py
```

The first start installs what the course needs{network}.
Then JupyterLab opens on the first lesson. Later starts take seconds. Ctrl-C in the terminal ends it.

By hand, in a Python environment of your own: `{install}`, then
`python -m gantutor lab` in this folder.

## What is here

{contents}

## The images

{data}

## If something goes wrong

- *Python is too old, or not found*: install 3.11 or newer, and open a new terminal.
- *The installation stopped*: delete the folder `.venv` and start again.{platform}
- *The port is taken*: `python3 start.py --port 8890`.
- *A cell shows an error*: choose "Restart Kernel and Run All Cells" in the menu "Kernel".

The course is under the MIT licence, see LICENSE.
"""


@dataclass(frozen=True)
class Options:
    """What goes into a handout.

    Args:
        lessons: their numbers, such as "01"; all of them if empty. Lesson 00, which opens the course, is always
            included.
        data: data sets to include, of "mnist" and "fashion-mnist".
        html, slides: whether to include the lessons as web pages, and as slides.
        teacher: whether to include the teacher's page and the solutions.
        wheels: whether to include the required packages, for this operating system and this version of Python.
    """

    lessons: Sequence[str] = ()
    data: Sequence[str] = tuple(LICENCES)
    html: bool = False
    slides: bool = False
    teacher: bool = False
    wheels: bool = False


def make(course: Path, out: Path, options: Options) -> list[str]:
    """Write the handout of a course, which is a checkout of the repository. Returns sentences about what is missing.

    Args:
        out: a folder that does not exist yet, or a .zip.
    Raises:
        BadInput: `out` exists, or cannot be written; a lesson or a data set is unknown; a package that the pages need
            is missing; the required packages could not be downloaded.
    """
    if os.path.lexists(out):
        raise BadInput(f"{out} exists: choose another name, or remove it first.")
    lessons = select_lessons(course, options.lessons)
    for name in options.data:
        if name not in LICENCES:
            raise unknown("data set", name, LICENCES)
    folder = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    inside = folder / out.stem if out.suffix.lower() == ".zip" else folder
    try:
        inside.mkdir(parents=True)
        missing = write_contents(course, inside, lessons, options)
        if inside is folder:
            os.replace(folder, out)
        else:
            packed = shutil.make_archive(str(folder / "packed"), "zip", folder, out.stem)
            os.replace(packed, out)
    except OSError as error:
        raise BadInput(f"cannot write {out}: {error.strerror or error}. Choose another place, or make room.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return missing


def select_lessons(course: Path, numbers: Sequence[str]) -> list[Path]:
    """The lessons with these numbers ("01" or "1") and lesson 00, in order; all lessons if there are no numbers."""
    there = {path.name[:2]: path for path in sorted((course / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    for number in numbers:
        if number.zfill(2) not in there:
            raise unknown("lesson", number, there)
    wanted = {"00", *(number.zfill(2) for number in numbers)} if numbers else set(there)
    return [path for number, path in there.items() if number in wanted]


def write_contents(course: Path, to: Path, lessons: list[Path], options: Options) -> list[str]:
    """Write everything into the folder `to`. Returns sentences about what is missing."""
    copy_course(course, to, lessons, options.teacher)
    data, missing = copy_data(to, options.data)
    requirements = read_requirements(course)
    (to / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    (to / "start.py").write_text(START, encoding="utf-8")
    if options.wheels:
        download_wheels(to)
    if options.html:
        pages.write_html(lessons, to / "html")
    if options.slides:
        from gantutor.publish import slides

        slides.write_slides(lessons, to / "slides")
    (to / "README.md").write_text(readme(to, data, options.wheels), encoding="utf-8")
    return missing


# --- the parts -------------------------------------------------------------------------------------------------------


def copy_course(course: Path, to: Path, lessons: list[Path], teacher: bool) -> None:
    notebooks, left_out = course / "notebooks", shutil.ignore_patterns("__pycache__")
    shutil.copytree(course / "gantutor", to / "gantutor", ignore=left_out)
    for name in ASSETS:
        if (course / "data" / name).is_dir():
            shutil.copytree(course / "data" / name, to / "data" / name)
    for file in ("LICENSE", "pyproject.toml", "constraints.txt"):  # by pyproject.toml the package knows its course
        shutil.copy(course / file, to / file)
    chosen = {path.name[:2] for path in lessons}
    for folder in ("", "exercises", *["solutions"] * teacher):
        for path in sorted((notebooks / folder).glob("*.ipynb")):
            if path.name[:2] in chosen:
                (to / "notebooks" / folder).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to / "notebooks" / folder / path.name)
    if (notebooks / "appendix").is_dir():
        shutil.copytree(notebooks / "appendix", to / "notebooks" / "appendix", ignore=shutil.ignore_patterns(".*"))
    if teacher:
        shutil.copy(notebooks / "TEACHING.md", to / "TEACHING.md")


def copy_data(to: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Copy the data sets that are on this computer into `to`/data.

    Returns the README's line about each, and sentences about those that are missing.
    """
    notes, missing = [], []
    for name in names:
        try:
            source = download.locate(name, download.SHA256[name], download=False)
        except DataUnavailable as error:
            missing.append(f"{name} is not in the handout: {reason(error)}.")
            notes.append(f"- {name} is not included. To download it: `python -m gantutor fetch {name}`.")
            continue
        (to / "data" / name).mkdir(parents=True)
        for file in download.SHA256[name]:
            path = download.find_file(source, file)
            assert path is not None, "`locate` has found every file"
            shutil.copyfile(path, to / "data" / name / path.name)
        notes.append(f"- `data/{name}`. {LICENCES[name]}")
    return notes, missing


def read_requirements(course: Path) -> list[str]:
    """What the package needs, in the tested versions: every computer of a class gets the same."""
    needed = tomllib.loads((course / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    lines = (course / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {line.partition("==")[0]: line.strip() for line in lines if "==" in line}
    return [tested[re.split(r"[^\w.-]", requirement, maxsplit=1)[0]] for requirement in needed]


def download_wheels(to: Path) -> None:
    """Put the required packages, and what these require, into `to`/wheels."""
    command = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", "--dest", str(to / "wheels"),
               "--requirement", str(to / "requirements.txt")]  # fmt: skip
    run = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True)  # 2: its progress is no result
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise BadInput(f"--wheels: the required packages could not be downloaded ({lines[-1]}). Is there a network?")


def readme(to: Path, data: list[str], wheels: bool) -> str:
    notebooks = sorted((to / "notebooks").glob("*.ipynb"))
    titles = [pages.title(json.loads(path.read_text(encoding="utf-8"))) for path in notebooks]
    lessons = [f"- {title}: `notebooks/{path.name}`" for title, path in zip(titles, notebooks, strict=True)]
    parts = {
        "notebooks/exercises": "exercises that check themselves: `notebooks/exercises/`",
        "notebooks/appendix": "words and symbols, history, and your computer: `notebooks/appendix/`",
        "notebooks/solutions": "the exercises with solutions: `notebooks/solutions/`",
        "TEACHING.md": "the teacher's page: `TEACHING.md`",
        "html": "the lessons to read in a browser, without Python: `html/index.html`",
        "slides": "slides: `slides/index.html` (arrow keys; F fills the screen, Esc gives an overview)",
        "gantutor": "the package behind the course, meant to be read: `gantutor/`",
    }
    lessons += [f"- {words}" for part, words in parts.items() if (to / part).exists()]
    strokes = "- `strokes`: digits that the program draws itself. They replace data sets that are not included."
    return README.format(
        network=" from the folder `wheels`, without a network" if wheels else " from the network",
        install="pip install " + "--no-index --find-links wheels " * wheels + "-r requirements.txt",
        contents="\n".join(lessons),
        data="\n".join([*data, strokes]),
        platform=f"\n  `wheels` is for {sys.platform} and Python {sys.version_info[0]}.{sys.version_info[1]}; on other "
        "computers remove that folder and use the network." if wheels else "",
    )  # fmt: skip
