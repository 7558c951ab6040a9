"""The README's commands are commands, its links lead somewhere, and its ten lines of Python run."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantutor import __version__
from gantutor.cli import program
from gantutor.runs import checkpoint

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Every command in the README's sh blocks, split into words; without comments."""
    lines = "\n".join(blocks("sh")).splitlines()
    words = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    return [command for command in words if command]


@pytest.mark.parametrize("words", [c for c in commands() if c[:1] == ["gantutor"]], ids=" ".join)
def test_a_command_is_understood(words):
    assert program.make_parser().parse_args(words[1:]).command == words[1]


def test_every_python_file_named_in_a_command_is_there():
    named = [words[1] for words in commands() if words[0] == "python" and words[1].endswith(".py")]
    assert len(named) >= 2
    assert all((ROOT / name).is_file() for name in named)


def test_the_check_of_a_change_installs_what_the_readme_says():
    (install,) = [c for c in commands() if c[:2] == ["pip", "install"] and ".[test]" in c]
    script = [line.split("#")[0] for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]
    line, further = [shlex.split(line) for line in script if "pip install" in line]
    assert line[: len(install) + 2] == ["python", "-m", *install]
    assert ".[browser,teach,docs]" in further
    assert any(".[browser,teach,docs]" in c for c in commands())


def test_the_citation_is_of_this_version():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_links_and_pictures_lead_to_files():
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert len(targets) >= 5
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_ten_lines_run(tmp_path, monkeypatch, capsys):
    (code,) = blocks("python")
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
