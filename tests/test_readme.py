"""The commands of README and CONTRIBUTING are commands, their links lead somewhere, and the ten lines of Python run."""

import contextlib
import importlib
import inspect
import os
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gantutor
from gantutor import __version__, doctor, experiments
from gantutor.cli import program
from gantutor.runs import checkpoint

ROOT = Path(__file__).resolve().parents[1]
README, CONTRIBUTING, CHANGELOG = (
    (ROOT / f"{name}.md").read_text(encoding="utf-8") for name in ("README", "CONTRIBUTING", "CHANGELOG")
)
ROOMS = sorted(path.parent.name for path in (ROOT / "gantutor").glob("*/__init__.py"))


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every command in the sh blocks, split into words; without comments."""
    lines = "\n".join([*blocks("sh"), *blocks("sh", CONTRIBUTING)]).splitlines()
    words = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [command for command in words if command]


@pytest.mark.parametrize("words", [c for c in commands() if c[:1] == ["gantutor"]], ids=" ".join)
def test_a_command_is_understood(words):
    assert program.make_parser().parse_args(words[1:]).command == words[1]


@pytest.mark.parametrize(("label", "way"), [("from scratch", "plain"), ("with `--augment ada`", "ada"),
                                            ("with `--augment diff`", "diff"),
                                            ("from a GAN that draws other faces, `--from`", "fine-tuned")])  # fmt: skip
def test_the_table_of_few_pictures_is_that_of_the_record(label, way):
    (row,) = re.findall(rf"^\| {re.escape(label)} \|(.*)\|$", README, re.MULTILINE)
    found = experiments.load("small_data").rows
    scores = [found[f"{n:,} pictures, {way}"].values["frechet"][:, -1].mean() for n in (100, 300, 1000, 2500)]
    assert [int(cell) for cell in row.split("|")] == [round(score) for score in scores]


def test_every_python_file_named_in_a_command_is_there():
    named = [words[1] for words in commands() if words[0] == "python" and words[1].endswith(".py")]
    assert len(named) >= 2
    assert all((ROOT / name).is_file() for name in named)


def test_the_check_of_a_change_installs_what_the_readme_says():
    (install,) = [c for c in commands() if c[:2] == ["pip", "install"] and ".[test]" in c]
    assert install[-2:] == ["-c", "constraints.txt"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line.split("#")[0].replace("$versions", "constraints.txt") for line in script.splitlines()]
    line, further, tools = [shlex.split(line) for line in lines if "pip install" in line]
    assert line == ["python", "-m", *install, "--quiet"]
    assert ".[browser,teach,docs]" in further
    assert ".[dev]" in tools
    assert "tested) versions=constraints.txt" in script
    assert '"${GANTUTOR_VERSIONS:-tested}"' in script
    for extra in (".[browser,teach,docs]", ".[dev]"):
        assert any(extra in c for c in commands())


def test_every_command_takes_the_tested_versions():
    for command in commands():
        if command[:2] == ["pip", "install"]:
            assert command[-2:] == ["-c", "constraints.txt"]


def test_the_tree_has_every_room_in_the_order_of_the_contract():
    (tree,) = [block for block in blocks("text") if block.startswith("gantutor/")]
    named = [name for line in tree.splitlines()[1:] for name in re.findall(r"\w+", line.strip().split("   ")[0])]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    height = {name: -number for number, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    assert set(named) == set(height) - {"__main__"}
    heights = [height[name] for name in named if name in ROOMS]
    assert heights == sorted(heights)
    assert len(heights) == len(ROOMS)


def test_what_was_renamed_has_a_new_name():
    rows = re.findall(r"^\| (`.*) \| (`.*) \|$", CHANGELOG, re.MULTILINE)
    assert len(rows) > 40
    for old, new in rows:
        for name in re.findall(r"`(\w[\w./]*)", new):
            assert (ROOT / name).exists() if "/" in name else is_there(name), name
        for name in re.findall(r"`(gantutor\.\w+)`", old):
            assert importlib.util.find_spec(name) is None, name


def is_there(name: str) -> bool:
    """Whether the package has a module, function, class or method of that name, or a class sets that attribute."""
    place = gantutor
    for part in name.removeprefix("gantutor.").split("."):
        if inspect.isclass(place) and not hasattr(place, part):
            return bool(re.search(rf"self\.{part}(: .+)? = ", inspect.getsource(place)))
        if inspect.ismodule(place) and hasattr(place, "__path__"):  # a package has a module only once it is imported
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"{place.__name__}.{part}")
        if not hasattr(place, part):
            return False
        place = getattr(place, part)
    return True


def test_the_note_for_contributors_is_short():
    assert len(CONTRIBUTING.splitlines()) <= 60


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_links_and_pictures_lead_to_files():
    text = README + CONTRIBUTING + CHANGELOG
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert len(targets) >= 5
    headings = {"#" + title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", README, re.MULTILINE)}
    assert [target for target in targets if target not in headings and not (ROOT / target).exists()] == []


def test_the_ten_lines_run(tmp_path, monkeypatch, capsys):
    (code,) = [block for block in blocks("python") if "Run(" in block]
    few = code.replace("run.steps(5000)", "run.steps(4)").replace("% 500", "% 2")
    assert few.count("(4)") == few.count("% 2 ") == 1
    monkeypatch.chdir(tmp_path)
    os.mkdir("my pictures")
    random = np.random.default_rng(0)
    for number in range(64):
        picture = Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8))
        picture.save(Path("my pictures", f"{number}.png"))

    names = {}
    exec(compile(few, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["2", "4"]
    assert lines[2].startswith("Compared with my pictures, 64 images; seen by ")
    with Image.open("samples.png") as picture:
        assert min(picture.size) >= 8 * 32
    again = checkpoint.load("runs/mine", names["images"], G=names["G"], D=names["D"])
    assert again.step == 4


def test_the_doctor_says_of_a_log_what_is_shown():
    epoch = np.arange(60)
    log = {"epoch": epoch, "D_loss": 1.2 * np.exp(-epoch / 8), "G_loss": 1 + 0.4 * epoch}
    (shown,) = [block for block in blocks("text") if "discriminator_saturated" in block]
    said = str(doctor.examine(history=log)).splitlines()
    assert [line for line in shown.splitlines() if line not in said] == []


def test_the_lines_for_the_doctor_run(capsys):
    (code,) = [block for block in blocks("python") if "Monitor(" in block]
    real = torch.rand(200, 1, 16, 16) * 2 - 1
    G = nn.Sequential(nn.Linear(8, 256), nn.Tanh(), nn.Unflatten(1, (1, 16, 16)))
    D = nn.Sequential(nn.Flatten(), nn.Linear(256, 1))
    losses = {"d_losses": [90.0] * 50, "g_losses": [0.0] * 50, "d_loss": torch.tensor(1.2), "g_loss": 0.7}
    exec(code, {"G": G, "D": D, "real": real, "loader": DataLoader(TensorDataset(real), 50), **losses})
    assert "discriminator_fooled" in capsys.readouterr().out
