"""How pytest runs here: see workers.py."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import workers

ROOT = Path(__file__).resolve().parents[1]
SEEN = 'import os\nassert (os.environ["OMP_NUM_THREADS"], os.environ["GANTUTOR_BUDGET"]) == ("{}", "{}")\n'
TEST = """
import os, pathlib, subprocess, sys
import pytest, torch
SEEN = {seen!r}

def test_it():
    exec(SEEN)
    assert torch.get_num_threads() == {threads}
    subprocess.run([sys.executable, "-c", SEEN], check=True)

@pytest.mark.parametrize("number", range(4))
def test_who_runs_it(number):
    pathlib.Path(f"{{__name__}} {{number}} by").write_text(os.environ.get("PYTEST_XDIST_WORKER", "nobody"))
"""


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["a.py"], 0),
        (["a.py::test_one", "a.py::test_two[x::y]"], 0),
        (["a.py", "b.ipynb"], 2),
        (["a.py", "b.ipynb", "c.py", "d.py"], 3),
        (["a.py", "folder"], None),
        (["folder"], None),
    ],
)
def test_a_file_needs_no_workers_and_no_worker_is_without_a_file(arguments, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "CORES", 3)
    Path("folder").mkdir()
    for name in ("a.py", "b.ipynb", "c.py", "d.py"):
        Path(name).touch()
    assert workers.pytest_xdist_auto_num_workers(SimpleNamespace(args=arguments)) == number


def run(folder: Path, *options: str, **given: str) -> list[set[str]]:
    """Run two files of tests and a notebook with the settings of pyproject.toml. Returns who ran each of the two."""
    files = [folder / "test_one.py", folder / "test_two.py", folder / "three.ipynb"]
    seen = SEEN.format(given.get("OMP_NUM_THREADS", "1"), given.get("GANTUTOR_BUDGET", "quick"))
    for file in files[:2]:
        file.write_text(TEST.format(seen=seen, threads=given.get("OMP_NUM_THREADS", "1")))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(seen)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, files[2])
    unset = ("OMP_NUM_THREADS", "GANTUTOR_BUDGET")
    env = {name: value for name, value in os.environ.items() if name not in unset and "PYTEST" not in name}
    settings = ["-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *settings, *options, *files]
    done = subprocess.run(command, cwd=folder, env=env | given, capture_output=True, text=True)
    assert "11 passed" in done.stdout, done.stdout + done.stderr
    return [{path.read_text() for path in folder.glob(f"{file.stem} * by")} for file in files[:2]]


@pytest.mark.slow
def test_each_worker_has_one_thread_and_a_file_stays_with_its_worker(tmp_path):
    if workers.CORES == 1:
        pytest.skip("one core has one worker")
    assert all(len(who) == 1 and who < {"gw0", "gw1", "gw2", "gw3"} for who in run(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("options", [("-n", "0"), ("-p", "no:xdist"), ("--pdb",)], ids=" ".join)
def test_one_may_do_without_workers(options, tmp_path):
    assert run(tmp_path, *options) == [{"nobody"}] * 2


@pytest.mark.slow
def test_what_is_set_is_left(tmp_path):
    assert run(tmp_path, "-n", "0", OMP_NUM_THREADS="2", GANTUTOR_BUDGET="full")
