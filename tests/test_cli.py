"""The command line, called as a function where that shows the same, and as a process for signals."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantutor import checkpoint, cli, data, files, models, strokes
from gantutor.errors import BadInput
from gantutor.train import Run, Step

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
CPU = "--device", "cpu"  # where the runs are made that the tests compare with


@pytest.fixture(scope="module")
def images() -> data.Images:
    drawn = strokes.draw(200, seed=0)
    return data.Images("strokes", drawn.pixels / 127.5 - 1, drawn.digit, tuple("0123456789"))


@pytest.fixture
def few(images, monkeypatch, tmp_path) -> data.Images:
    """200 images instead of 60,000, and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: images)
    return images


@pytest.fixture(scope="module")
def saved(images, tmp_path_factory) -> Path:
    """A run of three steps, made without the command line."""
    run = Run(*models.mlp(), images)
    list(run.steps(3))
    return checkpoint.save(run, tmp_path_factory.mktemp("saved")).parent


def assert_same_progress(run: Run, images: data.Images, steps: int, of: int, seed: int = 0):
    """`run` is where the first `steps` of a training of `of` steps lead."""
    other = Run(*models.mlp(seed=seed), images, seed=seed)
    for step in other.steps(of):
        if step.index == steps:
            break
    assert run.step == other.step == steps
    for name in ("G", "D", "G_average"):
        for a, b in zip(getattr(run, name).parameters(), getattr(other, name).parameters(), strict=True):
            assert torch.equal(a, b), name


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


# --- train -----------------------------------------------------------------------------------------------------------


def test_train_takes_the_steps_of_the_package_and_saves_them(few, tmp_path, capsys):
    assert cli.main(["train", "mlp", "--data", "strokes", "--steps", "4", "--seed", "7", "--out", "here", *CPU]) == 0
    assert_same_progress(checkpoint.load("here", few), few, steps=4, of=4, seed=7)
    said = capsys.readouterr()
    assert "4 steps" in said.out
    assert f"gantutor sample here --count 64 --out {Path('here', 'images.png')}" in said.out
    assert os.listdir("here") == ["run.pt"]


def test_the_default_folder_is_named_after_model_and_data(few, capsys):
    assert cli.main(["train", "mlp", "--data", "strokes", "--steps", "1", *CPU]) == 0
    assert checkpoint.load(Path("runs", "mlp-strokes"), few).step == 1


def test_seconds_do_not_count_loading(images, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: time.sleep(0.5) or images)
    assert cli.main(["train", "mlp", "--seconds", "0.2", "--out", str(tmp_path), *CPU]) == 0
    assert checkpoint.load(tmp_path, images).step >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_step_lets_the_step_end(few, monkeypatch, capsys, number):
    def interrupted(self, real, z):
        if self.step == 4:  # the fifth
            signal.raise_signal(number)
            signal.raise_signal(number)  # an impatient person
        return d_step(self, real, z)

    d_step, before = Run.d_step, signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "d_step", interrupted)
        assert cli.main(["train", "mlp", "--steps", "1000", "--out", "here", *CPU]) == 0
    assert signal.getsignal(number) is before
    assert "Stopped early: 5 steps" in capsys.readouterr().out
    assert_same_progress(checkpoint.load("here", few), few, steps=5, of=1000)


def test_a_signal_while_the_run_is_being_saved_does_not_stop_the_saving(few, monkeypatch, capsys):
    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:  # the first is the trial before training
            signal.raise_signal(signal.SIGINT)
        torch_save(*args)

    torch_save, calls = torch.save, []
    monkeypatch.setattr(torch, "save", interrupted)
    assert cli.main(["train", "mlp", "--steps", "2", "--out", "here", *CPU]) == 0
    assert len(calls) == 2
    assert checkpoint.load("here", few).step == 2


def test_interrupted_before_training_leaves_nothing(monkeypatch, tmp_path, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", interrupted)
    assert cli.main(["train", "mlp", "--steps", "2"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted."
    assert tree(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a process group there")
def test_ctrl_c_ends_a_real_training(tmp_path):
    command = [
        sys.executable,
        "-m",
        "gantutor",
        "train",
        "mlp",
        "--data",
        "strokes",
        "--seconds",
        "600",
        "--out",
        "run",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=ENV, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr.readline().startswith("Training mlp on strokes")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Stopped early" in out
    assert "Traceback" not in err
    assert checkpoint.read(tmp_path / "run")[1]["step"] > 0


# --- the progress line -----------------------------------------------------------------------------------------------


class Loss:
    """Stands in for a 0-d tensor and counts how often it was fetched from the device."""

    fetched = 0

    def item(self) -> float:
        Loss.fetched += 1
        return 0.5


class Clock:
    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def ticking(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cli.time, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(Loss, "fetched", 0)
    return clock


def show_steps(line: cli.ProgressLine, clock: Clock, steps: int, seconds_each: float):
    for index in range(1, steps + 1):
        clock.now += seconds_each
        line.show(Step(index, Loss(), Loss(), None, None))


def test_in_a_log_a_line_comes_every_ten_seconds(ticking, capsys):
    line = cli.ProgressLine(steps=1000, seconds=None, batch_size=64)
    show_steps(line, ticking, 200, seconds_each=0.125)  # 25 s: lines at 10 s and 20 s
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert Loss.fetched == 2 * len(lines)
    assert lines[1] == "step 160  512 img/s  D 0.500  G 0.500  1:45 left"  # 64 / 0.125 s; 840 steps × 0.125 s


def test_on_a_terminal_one_line_is_rewritten(ticking, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = cli.ProgressLine(steps=None, seconds=60, batch_size=64)
    show_steps(line, ticking, 100, seconds_each=0.0101)  # just over 1 s: at most 5 lines
    line.close()
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said.count("\n") == 1
    first, *lines = said[:-1].split("\r")
    assert first == ""
    assert 4 <= len(lines) <= 5
    assert all(len(text) == 39 for text in lines)  # a full line would wrap, and leave copies behind
    assert "left" not in lines[0]  # cut off at 39
    assert Loss.fetched == 2 * len(lines) + 1  # and once to wait for the device at the end


def test_the_time_left_of_a_training_in_seconds(ticking, capsys):
    line = cli.ProgressLine(steps=None, seconds=60, batch_size=1)
    show_steps(line, ticking, 2, seconds_each=10)
    assert [text.split()[-2] for text in capsys.readouterr().err.splitlines()] == ["0:50", "0:40"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (75, "1:15"), (59.6, "1:00"), (3700, "1:01:40"), (90061, "25:01:01")]
)
def test_clock(seconds, text):
    assert cli.clock(seconds) == text


# --- sample ----------------------------------------------------------------------------------------------------------


def test_sample_npz_holds_the_averaged_generators_images(saved, images, tmp_path, capsys):
    assert cli.main(["sample", str(saved), "--count", "5", "--seed", "3", "--out", str(tmp_path / "x.npz")]) == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays.files == ["images"]  # no labels: the model knows none
        pixels = arrays["images"]
    assert pixels.dtype == np.uint8
    assert pixels.shape == (5, 1, 28, 28)
    expected = checkpoint.load(saved, images).sample(5, seed=3)  # in [-1, 1]
    assert np.abs(pixels / 127.5 - 1 - expected.numpy()).max() <= 0.5 / 127.5 + 1e-6
    assert pixels.std() > 0


def test_sample_twice_is_the_same_and_another_seed_is_not(saved, tmp_path, capsys):
    for name, seed in [("a", "1"), ("b", "1"), ("c", "2")]:
        assert (
            cli.main(["sample", str(saved), "--count", "4", "--seed", seed, "--out", str(tmp_path / f"{name}.npz")])
            == 0
        )
    a, b, c = (np.load(tmp_path / f"{name}.npz")["images"] for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sample_png_is_a_picture_of_the_grid(saved, tmp_path, capsys):
    assert cli.main(["sample", str(saved), "--count", "16", "--out", str(tmp_path / "deep" / "x.PNG")]) == 0
    with Image.open(tmp_path / "deep" / "x.PNG") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 4 * 28


@pytest.mark.parametrize("file", ["x.npz", "x.png"])
def test_sample_of_a_run_that_blew_up_or_makes_no_images_is_refused(images, tmp_path, monkeypatch, capsys, file):
    monkeypatch.chdir(tmp_path)
    blown_up = Run(*models.mlp(), images)
    next(blown_up.G_average.parameters()).data.fill_(float("nan"))
    checkpoint.save(blown_up, "nan")
    plane = models.mlp((2,), g_hidden=(8,), d_hidden=(8,), output="linear")
    checkpoint.save(Run(*plane, torch.zeros(64, 2)), "plane")
    for folder, said in {
        "nan": "nan makes NaN or infinite pixels",
        "plane": "plane makes examples of shape (2,)",
    }.items():
        assert cli.main(["sample", folder, "--out", file]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert not Path(file).exists()


def test_a_full_disk_leaves_the_old_sample(saved, tmp_path, monkeypatch, capsys):
    (tmp_path / "x.npz").write_bytes(b"old")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert cli.main(["sample", str(saved), "--out", str(tmp_path / "x.npz")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert tree(tmp_path) == {str(tmp_path / "x.npz"): b"old"}


# --- fetch, devices --------------------------------------------------------------------------------------------------


def test_fetch_names_the_folder_of_each(monkeypatch, capsys):
    from gantutor import download

    asked = []
    monkeypatch.setattr(download, "fetch", lambda name: asked.append(name) or Path("somewhere", name))
    assert cli.main(["fetch"]) == 0
    assert asked == ["mnist", "fashion-mnist"]
    assert str(Path("somewhere", "mnist")) in capsys.readouterr().out
    assert cli.main(["fetch", "fashion-mnist"]) == 0
    assert asked[2:] == ["fashion-mnist"]


def test_fetch_fetches_nothing_when_one_name_is_wrong(monkeypatch, capsys):
    from gantutor import download

    monkeypatch.setattr(download, "fetch", lambda name: pytest.fail("fetched"))
    assert cli.main(["fetch", "mnist", "fashion-minst"]) == 2
    assert "did you mean 'fashion-mnist'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("working", "best"), [(("cuda", "mps", "cpu"), "cuda"), (("mps", "cpu"), "mps"), (("cpu",), "cpu")]
)
def test_auto_takes_the_best_device_that_works(monkeypatch, working, best):
    def ones(size, device):
        if device not in working:
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device")
        return torch_ones(size)

    torch_ones = torch.ones
    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as a GPU that is there but too old says
    assert cli.choose_device("auto") == best
    if "cuda" not in working:
        with pytest.raises(BadInput, match=f"--device cuda: .* It can use: {', '.join(working)}"):
            cli.choose_device("cuda")


# --- errors ----------------------------------------------------------------------------------------------------------

BAD = [
    ("trian", "unknown command 'trian': did you mean 'train'?"),
    ("train", "required: MODEL"),
    ("train mpl --steps 1", "unknown model 'mpl': did you mean 'mlp'?"),
    ("train mlp --data minst --steps 1", "unknown data set 'minst': did you mean 'mnist'?"),
    ("train mlp", "--steps N or --seconds S"),
    ("train mlp --steps 0", "--steps is 0"),
    ("train mlp --steps -3", "--steps is -3"),
    ("train mlp --steps 2.5", "'2.5'"),
    ("train mlp --seconds 0", "--seconds is 0"),
    ("train mlp --seconds -1", "--seconds is -1"),
    ("train mlp --seconds nan", "--seconds is nan"),
    ("train mlp --seconds inf", "--seconds is inf"),
    ("train mlp --steps 1 --seconds 1", "not allowed with"),
    ("train mlp --steps 1 --seed -1", "'-1' is no seed"),
    ("train mlp --steps 1 --seed 99999999999999999999", "is no seed"),
    ("train mlp --steps 1 --device gpu", "unknown device 'gpu': did you mean 'cpu'?"),
    ("train mlp --steps 1 --device cpu:x", "--device cpu:x"),
    ("train mlp --steps 1 --out file/run", "--out file/run: no run can be saved there"),
    ("train mlp --steps 1 --out old", "old already holds a run"),
    ("train mlp --steps 1 --colour", "unrecognized arguments: --colour"),
    ("sample nothing --out x.npz", "there is no run in nothing"),
    ("sample broken --out x.npz", "run.pt"),
    ("sample old --out x.jpg", "'x.jpg': give a file that ends in .npz or .png"),
    ("sample old", "required: --out"),
    ("sample old --count 0 --out x.npz", "--count is 0: give a whole number"),
    ("sample old --count -1 --out x.png", "--count is -1: give a whole number"),
    ("fetch strokes", "'strokes' has no files to fetch"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[line for line, _ in BAD])
def test_each_error_is_one_sentence_and_changes_nothing(few, saved, tmp_path, capsys, line, said):
    (tmp_path / "file").write_text("a file")
    for folder, contents in {"old": (saved / "run.pt").read_bytes(), "broken": b"PK\3\4 no more"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "run.pt").write_bytes(contents)
    before = tree(tmp_path)
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert said.replace("/", os.sep) in err
    assert err.count("\n") == 1
    assert not out
    assert tree(tmp_path) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has CUDA")
def test_a_device_that_is_not_there(few, capsys):
    assert cli.main(["train", "mlp", "--steps", "1", "--device", "cuda"]) == 2
    err = capsys.readouterr().err
    assert "--device cuda" in err
    assert "It can use:" in err


def test_a_folder_with_a_run_is_refused_before_anything_is_loaded(saved, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("old").mkdir()
    Path("old", "run.pt").write_bytes((saved / "run.pt").read_bytes())
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: pytest.fail("loaded"))
    assert cli.main(["train", "mlp", "--steps", "1", "--out", "old"]) == 2


def test_a_full_disk_is_found_out_before_training(few, monkeypatch, tmp_path, capsys):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    monkeypatch.setattr(Run, "take_step", lambda self: pytest.fail("trained"))
    assert cli.main(["train", "mlp", "--steps", "1", "--out", "deep/er"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert tree(tmp_path) == {}


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_found_out_before_training(few, monkeypatch, tmp_path, capsys):
    Path("locked").mkdir(mode=0o500)
    monkeypatch.setattr(Run, "take_step", lambda self: pytest.fail("trained"))
    assert cli.main(["train", "mlp", "--steps", "1", "--out", "locked/run"]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch, capsys, few):
    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'PIL'", name="PIL")

    monkeypatch.setattr(data, "load", missing)
    assert cli.main(["train", "mlp", "--steps", "1"]) == 2
    assert "'PIL' is missing" in capsys.readouterr().err


def test_other_errors_are_not_hidden(monkeypatch, few):
    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(data, "load", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "mlp", "--steps", "1"])


def test_lab_without_the_notebooks_says_how_to_get_them(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "site-packages" / "gantutor" / "cli.py"))
    assert cli.main(["lab"]) == 2
    assert "git clone" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in ("lab", "fetch", "train", "sample"))


def test_bad_input_raised_inside_a_command_ends_with_status_2(monkeypatch, few, capsys):
    def unfit(*args, **kwargs):
        raise BadInput("the pixels lie in [0, 255].")

    monkeypatch.setattr(data, "load", unfit)
    assert cli.main(["train", "mlp", "--steps", "1"]) == 2
    assert capsys.readouterr().err == "gantutor: the pixels lie in [0, 255].\n"
