"""Imports go one way, the light parts stay light, and training needs torch and numpy only."""

import ast
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import gantutor
from gantutor import lazy

PACKAGE = Path(__file__).resolve().parents[1] / "gantutor"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}

# --- the order of imports: contracts in pyproject.toml ----------------------------------------------------------------


def contracts(folder: Path) -> str:
    """What import-linter says of the package in a folder."""
    program, settings = Path(sys.executable).with_name("lint-imports"), PACKAGE.parent / "pyproject.toml"
    command = [program, "--no-cache", "--config", settings]
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True).stdout


def test_imports_go_one_way():
    assert " 0 broken" in contracts(PACKAGE.parent)


# One line that is forbidden, in a module; and the contract that forbids it.
FORBIDDEN = [
    ("data/images.py", "from gantutor import train", "A room imports only those below it"),
    ("train/run.py", "def f():\n    import gantutor.metrics", "A room imports only those below it"),
    ("data/toy.py", "from gantutor.data.folder import from_folder", "Inside data"),
    ("models/layers.py", "from gantutor.models.dense import mlp", "Inside models"),
    ("museum/settings.py", "from gantutor.museum import exhibits", "Inside museum"),
    ("live/panels.py", "from gantutor.live.watch import train", "Inside live"),
    ("metrics/modes.py", "def f():\n    import matplotlib", "Only show draws with matplotlib"),
    ("show/plots.py", "def f():\n    from IPython.display import display", "Only live meets Jupyter"),
    ("nobody.py", "", "A room imports only those below it"),  # a new module without a place in the order
]


def test_the_contracts_see_what_is_forbidden(tmp_path):
    for number, (module, line, contract) in enumerate(FORBIDDEN):
        folder = tmp_path / str(number)
        shutil.copytree(PACKAGE, folder / "gantutor", ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
        with open(folder / "gantutor" / module, "a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
        said = contracts(folder)
        assert "KEPT" not in re.search(rf"{contract} \w+|$", said)[0], said
        assert " 0 broken" not in said


# --- what a module needs when it is imported --------------------------------------------------------------------------

LIGHT = {"errors", "budget", "files", "lazy", "data.download", "doctor.findings", "__main__", "__init__"}
LIGHT |= {name for name in FILES if name.startswith(("publish.", "cli.")) or name.endswith("__init__")}
NEEDED = {name: set() if name in LIGHT else {"torch", "numpy"} for name in FILES} | {"theory": {"numpy"}}
NEEDED |= {"runs.autosave": {"torch", "numpy", "filelock"}}
NEEDED |= {name: {"torch", "numpy", "matplotlib", "PIL"} for name in FILES if re.match(r"show\.(?!__)", name)}
NEEDED |= {name: {"torch", "PIL", "ipywidgets", "IPython"} for name in FILES if re.match(r"live\.(?!__)", name)}


def imported(node: ast.AST) -> Iterator[str]:
    """The top-level names of what is imported when a module is; what a function imports comes later."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (name.name.partition(".")[0] for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative import"
            yield child.module.partition(".")[0]
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imported(child)


def too_much(module: str, source: str) -> set[str]:
    return set(imported(ast.parse(source))) - NEEDED[module] - {"gantutor", *sys.stdlib_module_names}


@pytest.mark.parametrize("module", FILES)
def test_a_module_imports_little_when_it_is_imported(module):
    assert too_much(module, FILES[module].read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("train.run", "import matplotlib.pyplot as plt"),
        ("theory", "import torch"),
        ("data.folder", "class A:\n    from PIL import Image"),
        ("errors", "try:\n    import numpy\nexcept ImportError:\n    pass"),
        ("live.cards", "import matplotlib"),
        ("cli.train", "import torch"),
        ("train.__init__", "import torch"),
    ],
)
def test_the_check_sees_what_is_too_much(module, source):
    assert len(too_much(module, source)) == 1


# --- what a room exports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_a_room_names_what_it_exports(room):
    """Each name can be had, and none of them is that of a module of the room."""
    package = importlib.import_module(f"gantutor.{room}".rstrip("."))
    exported = set(getattr(package, "__all__", ()))
    assert exported == set(lazy.exports(package.__name__))
    assert all(not inspect.ismodule(getattr(package, name)) for name in exported)
    assert not exported & {path.stem for path in Path(package.__file__).parent.glob("*.py")}
    assert len(package.__doc__.split()) > 15
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        _ = package.nothing


def test_what_a_newcomer_needs_first_is_on_the_package():
    names = ["load", "Images", "from_folder", "mlp", "dcgan", "Recipe", "Run", "sample", "examine"]
    assert sorted(names) == sorted(gantutor.__all__)
    assert gantutor.Run is gantutor.train.Run is importlib.import_module("gantutor.train.run").Run
    assert all(inspect.ismodule(getattr(gantutor, room)) for room in [*ROOMS, "losses", "penalties", "theory", "state"])


# --- what is loaded when ---------------------------------------------------------------------------------------------

HEAVY = ("torch", "numpy", "matplotlib", "PIL", "IPython", "ipywidgets", "jupyterlab")
JUPYTER = (
    "IPython",
    "ipykernel",
    "ipywidgets",
    "jupyter_client",
    "jupyter_core",
    "jupyterlab",
    "nbformat",
    "traitlets",
)


REPORT = "print('\\nloaded', *{name.partition('.')[0] for name in sys.modules})"


def loaded(code: str, *arguments: str, cwd: Path | None = None) -> list[set[str]]:
    """The top-level names in sys.modules wherever `code`, in a new Python, says REPORT."""
    command = [sys.executable, "-c", code.replace("REPORT", REPORT), *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return [set(line.split()[1:]) for line in run.stdout.splitlines() if line.startswith("loaded ")]


def test_importing_the_package_loads_nothing_heavy():
    (names,) = loaded("import sys, gantutor\nREPORT")
    assert "gantutor" in names
    assert not names & set(HEAVY)


HELP = """
import sys
from gantutor import cli
try:
    cli.main(sys.argv[1:])
except SystemExit:
    REPORT
"""


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments):
    (names,) = loaded(HELP, *arguments)
    assert "gantutor" in names
    assert not names & set(HEAVY)


COMMANDS = """
import sys
from gantutor import cli, data
from gantutor.data import strokes
def few(*args, **kwargs):
    drawn = strokes.draw(100, 0)
    return data.Images("strokes", drawn.pixels / 127.5 - 1, drawn.digit, tuple("0123456789"))
data.load = few
for command in sys.argv[1:]:
    assert cli.main(command.split()) == 0
    REPORT
"""


@pytest.mark.slow
def test_train_and_sample_import_no_jupyter_package(tmp_path):
    commands = "train mlp --steps 2 --device cpu --out run", "sample run --out x.npz", "sample run --out x.png"
    train, npz, png = loaded(COMMANDS, *commands, cwd=tmp_path)
    assert "torch" in train
    assert not npz & {*JUPYTER, "matplotlib", "PIL"}
    assert not png & set(JUPYTER)


# --- a machine with torch and numpy only -----------------------------------------------------------------------------

# Imported by Python when it starts: from then on no other package than the listed ones can be found.
BLOCK = """
import json, os, sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

allowed = {*json.loads(os.environ["ALLOWED"]), *sys.stdlib_module_names}

class Only(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in allowed or top.startswith("_"):
            return super().find_spec(name, path, target)

sys.meta_path = [BuiltinImporter, FrozenImporter, Only]
"""


def with_requirements(package: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The names of a distribution and of all that it needs and that is installed here, extras left out."""
    found = {package.lower().replace("_", "-")}
    for line in metadata.requires(package) or []:
        name = line.partition(";")[0].strip()
        for sign in "<>=!~[ (":
            name = name.partition(sign)[0]
        if "extra ==" not in line and name.lower() not in seen:
            try:
                found |= with_requirements(name, seen | found)
            except metadata.PackageNotFoundError:
                continue  # for another platform
    return found


def allowed_modules() -> list[str]:
    wanted = with_requirements("torch") | with_requirements("numpy")
    owners = metadata.packages_distributions()
    return ["gantutor"] + [m for m, names in owners.items() if {n.lower().replace("_", "-") for n in names} & wanted]


def bare(arguments: list[str], tmp_path: Path) -> subprocess.CompletedProcess:
    """Run Python in a copy of the package, in which only torch, numpy and what these need can be imported."""
    checkout, hook = tmp_path / "checkout", tmp_path / "hook"
    if not checkout.exists():
        shutil.copytree(PACKAGE, checkout / "gantutor", ignore=shutil.ignore_patterns("__pycache__"))
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(BLOCK, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(hook), "ALLOWED": json.dumps(allowed_modules()), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=checkout, env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_train_runs_uninstalled_where_only_torch_and_numpy_exist(tmp_path):
    blocked = bare(["-c", "import matplotlib"], tmp_path)
    assert "No module named 'matplotlib'" in blocked.stderr
    where = bare(["-c", "import gantutor; print(gantutor.__file__)"], tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(tmp_path / "checkout")

    train = "-m gantutor train mlp --data strokes --steps 20 --device cpu --out run"
    trained = bare(train.split(), tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "20 steps" in trained.stdout
    assert "python -m gantutor sample run" in trained.stdout  # there is no command `gantutor` here
    sampled = bare(["-m", "gantutor", "sample", "run", "--out", "x.npz"], tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    picture = bare(["-m", "gantutor", "sample", "run", "--out", "x.png"], tmp_path)
    assert picture.returncode == 2
    assert "is missing: install it" in picture.stderr
