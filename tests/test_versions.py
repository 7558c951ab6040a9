"""The versions: what pyproject.toml allows, what constraints.txt says was tested, and what both mean to CI."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LISTS = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
REQUIRED = {line: Requirement(line) for lines in LISTS for line in lines if not line.startswith("gantutor")}


def pins(text: str) -> dict[str, str]:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    pairs = [re.fullmatch(r"([\w-]+)==([\w.]+)", line).groups() for line in lines if line]
    assert len(pairs) == len(dict(pairs)), "named twice"
    return dict(pairs)


TESTED = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", REQUIRED)
def test_what_is_required_was_tested_in_a_version_that_will_do(line):
    required = REQUIRED[line]
    assert required.specifier.contains(TESTED[required.name])
    assert required.marker is None  # the same everywhere


def test_nothing_else_is_constrained():
    assert TESTED.keys() == {required.name for required in REQUIRED.values()}


def test_no_torch_is_forbidden_because_it_is_new():
    (torch,) = (required for required in REQUIRED.values() if required.name == "torch")
    assert torch.specifier.contains("99.0")
    assert not torch.specifier.contains("2.10.1")


def test_the_lowest_versions_are_those_that_are_allowed():
    """As CI installs them once a week: the bound itself, of everything."""
    said = subprocess.run(
        [sys.executable, ROOT / ".ci" / "lowest.py"], capture_output=True, text=True, check=True
    ).stdout
    lowest = pins(said)
    assert lowest.keys() == TESTED.keys()
    for required in REQUIRED.values():
        (bound,) = (each.version for each in required.specifier if each.operator == ">=")
        assert lowest[required.name] == bound


# --- what CI does with them ------------------------------------------------------------------------------------------

RUN, LINT, WORKFLOW, HOOKS = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in (".ci/run", ".ci/lint", ".github/workflows/ci.yml", ".pre-commit-config.yaml")
)


def test_the_workflow_asks_for_versions_that_the_script_knows():
    asked = re.findall(r"versions: (\w+)", WORKFLOW)
    assert sorted(asked) == ["lowest", "newest"]
    assert all(re.search(rf"^  {name}\) versions=", RUN, re.MULTILINE) for name in ["tested", *asked])


def test_what_the_workflow_names_is_there():
    named = re.findall(r"bash (\S+)|hashFiles\('(\S+)'\)|^ +(\S+\.(?:txt|toml))$", WORKFLOW, re.MULTILINE)
    named = {name for names in named for name in names if name}
    assert named == {".ci/lint", ".ci/run", "constraints.txt", "gantutor/data/download.py", "pyproject.toml"}
    assert all((ROOT / name).is_file() for name in named)


def test_a_commit_is_asked_what_the_short_job_asks():
    commands = re.findall(r"^(.+) \|\| status=1$", LINT, re.MULTILINE)
    entries = re.findall(r"entry: (.+)$", HOOKS, re.MULTILINE)
    short = [re.sub(r" (--check|--force-exclude|\.)(?= |$)", "", line) for line in [*commands, *entries]]
    assert short[:4] == short[4:] == ["ruff check", "ruff format", "lint-imports", "mypy"]
