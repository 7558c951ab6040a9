"""A wheel, installed with its dependencies in an empty environment far from the checkout, does what the checkout does.

The wheel is built and everything is installed with pip, as a user would.
"""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantutor.experiments import record
from gantutor.runs import pretrained

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = "Scripts" if os.name == "nt" else "bin"

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, fails: bool = False) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GANTUTOR", "PYTHON"))}
    env |= {"XDG_CACHE_HOME": str(cwd / "cache"), "LOCALAPPDATA": str(cwd / "cache")}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("gantutor-*.whl")
    return built


@pytest.fixture(scope="module")
def bin_folder(wheel, tmp_path_factory) -> Path:
    """Where `python` and `gantutor` of the new environment lie."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    tested = ROOT / "constraints.txt"
    run(folder / SCRIPTS / "python", "-m", "pip", "install", "--quiet", wheel, "-c", tested, cwd=folder)
    return folder / SCRIPTS


def test_the_wheel_holds_the_package_with_its_weights_and_records_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gantutor").rglob("*.py")}
    assert modules <= names
    assert {"gantutor/py.typed", "gantutor/cli/jupyter/labconfig/default_setting_overrides.json"} <= names
    assert {f"gantutor/assets/classifiers/{name}.pt" for name in ("strokes", "mnist", "fashion-mnist")} <= names
    assert {f"gantutor/assets/generators/{name}.pt" for name in pretrained.SHIPPED} <= names
    assert "gantutor/assets/generators/faces-discriminator.pt" in names
    assert {f"gantutor/assets/experiments/{name}.json" for name in record.names()} <= names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"gantutor"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 6_000_000


JUDGES = """
import json, gantutor
from pathlib import Path
from gantutor import data
from gantutor.metrics import classifier
test = data.load("strokes", "test")
judges = [classifier.load(name) for name in ("strokes", "mnist", "fashion-mnist")]
print(json.dumps({
    "place": gantutor.__file__,
    "classes": [len(j.classes) for j in judges],
    "accuracy": classifier.accuracy(judges[0], test),
}))
"""


def test_the_shipped_judges_judge(bin_folder, tmp_path):
    said = json.loads(run(bin_folder / "python", "-c", JUDGES, cwd=tmp_path).stdout)
    assert Path(said["place"]).is_relative_to(bin_folder.parent)
    assert said["classes"] == [10, 10, 10]
    assert said["accuracy"] >= 0.99


def test_train_and_sample(bin_folder, tmp_path):
    gantutor = bin_folder / "gantutor"
    train = "train mlp --data strokes --steps 20 --device cpu --out run"
    trained = run(gantutor, *train.split(), cwd=tmp_path)
    assert "20 steps" in trained.stdout
    run(gantutor, "sample", "run", "--count", "9", "--out", "x.npz", cwd=tmp_path)
    assert np.load(tmp_path / "x.npz")["images"].shape == (9, 1, 28, 28)
    run(gantutor, "sample", "run", "--count", "9", "--out", "x.png", cwd=tmp_path)
    with Image.open(tmp_path / "x.png") as picture:
        assert min(picture.size) >= 3 * 28


def test_a_shipped_generator_draws(bin_folder, tmp_path):
    run(bin_folder / "gantutor", "sample", "digits", "--label", "7", "--out", "x.png", cwd=tmp_path)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.getextrema()[1] == 255


def test_lab_says_how_to_get_the_notebooks(bin_folder, tmp_path):
    refused = run(bin_folder / "gantutor", "lab", cwd=tmp_path, fails=True)
    assert refused.returncode == 2
    assert "git clone" in refused.stderr


CACHE = """
from gantutor.data import download
def store(name, file, folder, mirrors):  # stands in for the network
    print(folder)
    raise SystemExit
download._download = store
download.fetch("mnist")
"""


def test_downloads_go_to_the_cache_of_the_user(bin_folder, tmp_path):
    said = run(bin_folder / "python", "-c", CACHE, cwd=tmp_path).stdout
    folder = Path(said.strip())
    assert folder.parts[-2:] == ("gantutor", "mnist")
    if sys.platform != "darwin":  # whose cache is always below the home folder
        assert folder == tmp_path / "cache" / "gantutor" / "mnist"
    assert not folder.is_relative_to(bin_folder.parent)
