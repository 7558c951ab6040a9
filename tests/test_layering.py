"""Imports go one way, the light parts stay light, and training needs torch and numpy only."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gantutor"

# Reading order: a module imports only those before it.
ORDER = [
    "errors", "budget", "files", "theory", "toy", "strokes", "download", "data", "labels", "models", "vae", "losses",
    "penalties", "fast", "fitting", "train", "ensemble", "distributed", "guard", "checkpoint", "keeper", "judge",
    "nearest", "metrics", "speedrun", "pretrained", "ailments", "diagnosis", "symptoms", "intake", "imaging", "vitals",
    "doctor",
    "museum.parts", "museum.measures", "museum.checks", "museum.exhibits", "museum.room_losses", "museum.room_data",
    "museum.room_plumbing", "museum.room_normalisation", "museum.room_conditioning", "museum.room_evaluation", "museum",
    "checks.exercise", "checks.lesson_00", "checks.lesson_01", "checks.lesson_02", "checks.lesson_03",
    "checks.lesson_04", "checks.lesson_05", "checks.lesson_06", "checks.lesson_07",
    "checks.lesson_08", "checks.lesson_09", "checks", "exercise_sheets",
    "show", "live.parts", "live.watch", "live.cards", "live.portraits", "live.explorer", "live.laboratory", "live",
    "mathml", "pages", "slides", "handout", "progress", "cli", "__main__",
]  # fmt: skip
LIVE = {name for name in ORDER if name.split(".")[0] == "live"}
LIGHT = [
    "errors", "budget", "files", "download", "ailments", "diagnosis", "exercise_sheets", "mathml", "pages", "slides",
    "handout", "progress", "cli", "__main__",
]  # fmt: skip
# What runs when a module is imported needs nothing but this (and the standard library).
OUTSIDE = {name: {"torch", "numpy"} for name in ORDER} | {
    **{name: set() for name in LIGHT},
    "theory": {"numpy"},
    "show": {"torch", "numpy", "matplotlib", "PIL"},
    **{name: {"torch", "PIL", "ipywidgets", "IPython"} for name in LIVE},
}
ONLY_IN = {"matplotlib": {"show"}, "ipywidgets": LIVE, "IPython": {"live.parts"}}

Import = tuple[
    str, bool
]  # a dotted name such as "gantutor.data" or "torch.nn", and whether importing the module runs it


def imports(source: str) -> list[Import]:
    return list(_imports(ast.parse(source), runs=True))


def _imports(node: ast.AST, runs: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((name.name, runs) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: relative import"
            names = [f"{child.module}.{name.name}" for name in child.names]
            packages = "gantutor", "gantutor.museum", "gantutor.checks"
            yield from ((name, runs) for name in (names if child.module in packages else [child.module]))
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(child, runs=False)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, runs and not function)


def faults(module: str, source: str) -> list[str]:
    """What `module` imports and should not."""
    found = []
    for name, runs in imports(source):
        top, _, rest = name.partition(".")
        if top == "gantutor":
            inside = next((name for name in (rest, rest.rpartition(".")[0], rest.split(".")[0]) if name in ORDER), None)
            if inside is not None and ORDER.index(inside) >= ORDER.index(module):
                found.append(f"{module} imports {inside}, which comes after it")
        elif runs and top not in sys.stdlib_module_names and top not in OUTSIDE[module]:
            found.append(f"{module} imports {top} when it is imported")
        elif top in ONLY_IN and module not in ONLY_IN[top]:
            found.append(f"{module} imports {top}")
    return found


def name_of(path: Path) -> str:
    """What a file of the package is called: "data", "museum.parts", and "museum" for its __init__."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {name_of(path): path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"}


def test_every_module_has_its_place():
    assert set(FILES) == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_imports_go_one_way(module):
    assert faults(module, FILES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("data", "from gantutor import strokes, train"),
        ("data", "def f():\n    from gantutor.train import Run"),
        ("train", "import gantutor.metrics"),
        ("train", "import matplotlib.pyplot as plt"),
        ("metrics", "def f():\n    import matplotlib"),
        ("show", "def f():\n    from IPython.display import display"),
        ("theory", "import torch"),
        ("data", "class A:\n    from PIL import Image"),
        ("errors", "try:\n    import numpy\nexcept ImportError:\n    pass"),
        ("train", "from gantutor import museum"),
        ("museum.parts", "from gantutor.museum import exhibits"),
        ("museum.measures", "from gantutor.museum.exhibits import Side"),
        ("live.parts", "from gantutor.live.watch import train"),
        ("live.cards", "from IPython.display import display"),
    ],
)
def test_the_check_sees_what_is_forbidden(module, source):
    assert len(faults(module, source)) == 1


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
from gantutor import cli, data, strokes
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
