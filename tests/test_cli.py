"""The command line, called as a function where that shows the same, and as a process for signals."""

import argparse
import errno
import html
import importlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import digits
from PIL import Image

from gantutor import cli, data, files, models, museum, train
from gantutor.cli import common, sample
from gantutor.data import faces, strokes
from gantutor.errors import BadInput
from gantutor.runs import checkpoint
from gantutor.train import Recipe, Run, accelerate, augment

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
CPU = "--device", "cpu"  # where the runs are made that the tests compare with


@pytest.fixture(scope="module")
def images() -> data.Images:
    return digits(200, 0, "strokes")


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


@pytest.fixture(scope="module")
def clothes(images) -> data.Images:
    return data.Images("fashion-mnist", images.pixels, images.labels, data.CLASSES["fashion-mnist"])


@pytest.fixture(scope="module")
def conditional(clothes, tmp_path_factory) -> Path:
    """A conditional run of three steps, made without the command line."""
    run = Run(*models.mlp(classes=10), clothes)
    list(run.steps(3))
    return checkpoint.save(run, tmp_path_factory.mktemp("conditional")).parent


def assert_same_progress(run: Run, images: data.Images, steps: int, of: int, seed: int = 0, nets=None, **options):
    """`run` is where the first `steps` of a training of `of` steps lead."""
    other = Run(*(nets or models.mlp(seed=seed)), images, seed=seed, **options)
    for step in other.steps(of):
        if step.index == steps:
            break
    assert run.step == other.step == steps
    for name in ("G", "D", "G_ema"):
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
    def interrupted(self, *args):
        if self.step == 4:  # the fifth
            signal.raise_signal(number)
            signal.raise_signal(number)  # an impatient person
        return d_step(self, *args)

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


@pytest.mark.parametrize(
    ("model", "make"),
    [
        ("dcgan", lambda: models.dcgan()),
        ("cmlp", lambda: models.mlp(classes=10)),
        ("cdcgan", lambda: models.dcgan(classes=10)),
    ],
)
def test_each_model_is_the_pair_of_its_name(few, capsys, model, make):
    assert cli.main(["train", model, "--data", "strokes", "--steps", "2", "--batch-size", "8", *CPU]) == 0
    run = checkpoint.load(Path("runs", f"{model}-strokes"), few)
    assert_same_progress(run, few, steps=2, of=2, nets=make(), recipe=Recipe(batch_size=8))
    assert ("--per-class 8" in capsys.readouterr().out) == model.startswith("c")


def test_the_batch_size_and_the_precision_are_those_asked_for(few, capsys):
    asked = "train mlp --steps 3 --batch-size 32 --precision bf16 --out here"
    assert cli.main([*asked.split(), *CPU]) == 0
    assert "(200 images of 28×28, cpu, bf16)" in capsys.readouterr().err
    run = checkpoint.load("here", few)
    assert_same_progress(run, few, steps=3, of=3, recipe=Recipe(batch_size=32), precision="bf16")
    with pytest.raises(AssertionError):
        assert_same_progress(run, few, steps=3, of=3, recipe=Recipe(batch_size=32))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"precision": "fp32", "compile": False, "capture": None}),
        (["--no-capture"], {"precision": "fp32", "compile": False, "capture": False}),
        (["--compile", "--precision", "bf16"], {"precision": "bf16", "compile": True, "capture": None}),
    ],
)
def test_the_speed_options_reach_the_run(few, monkeypatch, capsys, options, expected):
    class Enough(BaseException):
        pass

    def run(*args, **given):
        assert {name: given[name] for name in expected} == expected
        raise Enough

    importlib.import_module("gantutor.scale.distributed")  # derives a class from Run, which is replaced now
    monkeypatch.setattr(train, "Run", run)
    monkeypatch.setattr(accelerate, "check_compile", lambda device: None)
    with pytest.raises(Enough):
        cli.main(["train", "mlp", "--steps", "1", *options, *CPU])


def test_what_the_device_cannot_do_is_told_before_anything_is_loaded(monkeypatch, tmp_path, capsys):
    def cannot(*args):
        raise RuntimeError("no such arithmetic")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: pytest.fail("loaded"))
    monkeypatch.setattr(accelerate, "autocast", cannot)
    accelerate.check_compile.cache_clear()
    monkeypatch.setattr(torch, "compile", cannot)
    for options, said in {
        "--precision bf16": "precision bf16 cannot be used on cpu: no such arithmetic. Use fp32.",
        "--precision fp16": "unknown precision 'fp16'",
        "--compile": "torch.compile does not work here on cpu: no such arithmetic. Train without it.",
        "--batch-size 0": "--batch-size is 0: give a whole number, 1 or more.",
    }.items():
        assert cli.main(["train", "mlp", "--steps", "1", *options.split(), *CPU]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert tree(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler itself
def test_a_compiled_training_learns_what_a_plain_one_does(few, capsys):
    assert cli.main(["train", "mlp", "--steps", "2", "--compile", "--out", "here", *CPU]) == 0
    assert "cpu, compiled)" in capsys.readouterr().err
    compiled, plain = checkpoint.load("here", few), Run(*models.mlp(), few)
    list(plain.steps(2))
    torch.testing.assert_close(compiled.sample(8), plain.sample(8), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps_before", [0, 3])
def test_where_the_memory_runs_out_what_was_learned_is_saved(few, monkeypatch, tmp_path, capsys, steps_before):
    def hungry(self, penalise):
        if self.step == steps_before:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return turn(self, penalise)

    turn = Run.train_step
    with monkeypatch.context() as patch:
        patch.setattr(Run, "train_step", hungry)
        assert cli.main(["train", "mlp", "--steps", "9", "--batch-size", "40", "--out", "here", *CPU]) == 2
    out, err = capsys.readouterr()
    sentence = err.splitlines()[-1]
    assert sentence.startswith("gantutor: cpu ran out of memory at batch size 40: try 20.")
    assert "--batch-size" in sentence
    assert not out
    if steps_before:
        assert f"saved in {Path('here', 'run.pt')}" in sentence
        assert_same_progress(checkpoint.load("here", few), few, steps=3, of=9, recipe=Recipe(batch_size=40))
    else:
        assert "saved" not in sentence
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
    assert checkpoint.read_state(tmp_path / "run")[1]["step"] > 0


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


@pytest.mark.parametrize(
    ("options", "labels", "said"),
    [
        ("--count 4 --label 7", [7] * 4, "4 images of class sneaker: "),
        ("--count 3 --label Sneaker", [7] * 3, "3 images of class sneaker: "),
        ("--label t-shirt/TOP", [0] * 64, "64 images of class T-shirt/top: "),
        ("--per-class 2", [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9], "20 images, 2 of each of 10"),
        ("--count 12", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1], "12 images, the classes in turn: "),
    ],
)
def test_sample_draws_the_classes_asked_for(conditional, tmp_path, capsys, options, labels, said):
    file = tmp_path / "x.npz"
    assert cli.main(["sample", str(conditional), *options.split(), "--seed", "5", "--out", str(file)]) == 0
    assert said in capsys.readouterr().out
    with np.load(file) as arrays:
        pixels, drawn = arrays["images"], arrays["labels"]
    assert drawn.dtype == np.int64
    assert drawn.tolist() == labels
    G = checkpoint.load_generator(conditional)
    expected = G(train.latents(G, len(labels), 5), torch.tensor(labels))
    assert np.abs(pixels / 127.5 - 1 - expected.numpy()).max() <= 0.5 / 127.5 + 1e-6


def test_a_run_on_data_of_ones_own_knows_its_classes(images, tmp_path, capsys):
    mine = data.Images("mine", images.pixels, images.labels, data.CLASSES["fashion-mnist"])
    path = checkpoint.save(Run(*models.mlp(classes=10), mine), tmp_path)
    sample = ["sample", str(tmp_path), "--out", str(tmp_path / "x.npz"), "--label"]
    assert cli.main([*sample, "sneaker"]) == 0
    assert "of class sneaker" in capsys.readouterr().out
    state = torch.load(path, weights_only=True)
    del state["classes"]  # as it was saved before
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(checkpoint.sealed(buffer.getvalue()))
    assert cli.main([*sample, "sneaker"]) == 2
    assert "unknown class 'sneaker': The choices are: 0, 1, 2" in capsys.readouterr().err
    assert cli.main([*sample, "7"]) == 0
    assert "of class 7" in capsys.readouterr().out


# --- pictures of one's own -------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of 60 faces, as PNG, in two folders of classes, with what file managers leave behind."""
    drawn = faces.draw(60, seed=0, size=32)
    for i, picture in enumerate(drawn.pixels.permute(0, 2, 3, 1).numpy()):
        folder = tmp_path / "my faces" / ("bald" if i < 30 else "hairy")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{i:02}.png")
    (tmp_path / "my faces" / ".DS_Store").write_text("hidden")
    (tmp_path / "my faces" / "bald" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my faces"


def test_train_and_sample_on_a_folder(pictures, capsys):
    assert cli.main(["train", "cdcgan", "--data", "my faces", "--size", "28", "--flip", "--steps", "2", *CPU]) == 0
    said = capsys.readouterr()
    assert "Left out 1 of 61 files: 1 not a picture (bald/notes.txt)." in said.err
    assert "Training cdcgan on my faces (120 images of 28×28 in colour, cpu)" in said.err
    run = Path("runs", "cdcgan-my faces")
    assert cli.main(["sample", str(run), "--label", "hairy", "--count", "5", "--out", "x.npz"]) == 0
    assert "of class hairy" in capsys.readouterr().out
    assert np.load("x.npz")["images"].shape == (5, 3, 28, 28)
    assert cli.main(["train", "cdcgan", "--data", "my faces", "--steps", "3", "--resume", *CPU]) == 0  # flags are kept
    assert "120 images of 28×28" in capsys.readouterr().err
    shutil.make_archive("packed", "zip", pictures)
    line = ["--data", "packed.zip", "--augment", "ada", "--steps", "1", *CPU]
    assert cli.main(["train", "dcgan", *line]) == 0
    made = checkpoint.load("runs/dcgan-packed", data.from_folder("packed.zip", 32))
    assert made.augment.name == "ada"
    assert made.recipe == Recipe.for_images((3, 32, 32), 60)
    assert made.G.config["up"] == "blur"
    said = capsys.readouterr().err
    assert "the batch has" not in said
    assert "There are 60 pictures, which is few." in said
    assert cli.main(["train", "dcgan", *line, "--out", "odd", "--batch-size", "50"]) == 2
    assert "batch_size is 50, but D compares images of more than 28×28 in groups of 8" in capsys.readouterr().err
    assert cli.main(["train", "mlp", *line]) == 0
    assert "There are 60 pictures, so the batch has 60 and not 64." in capsys.readouterr().err
    assert cli.main(["train", "dcgan", *line, "--from", "runs/dcgan-packed", "--out", "started"]) == 0
    assert "which is few" not in capsys.readouterr().err


def test_train_on_drawn_faces(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gantutor.data.images.FACES", {"train": (100, 0), "test": (50, 1)})
    line = ["train", "cmlp", "--data", "faces:glasses", "--size", "32", "--steps", "1", *CPU]
    assert cli.main(line) == 0
    assert "100 images of 32×32 in colour" in capsys.readouterr().err
    sample = ["sample", str(Path("runs", "cmlp-faces-glasses")), "--label", "dark", "--out", "x.png"]
    assert cli.main(sample) == 0
    assert "of class dark" in capsys.readouterr().out
    assert cli.main([*sample[:3], "yes", "--count", "7", "--out", "y.npz"]) == 0
    assert "7 images, of round, square, dark in turn" in capsys.readouterr().out
    assert np.load("y.npz")["labels"].tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert cli.main([*sample[:3], "no", "--out", "n.npz"]) == 2  # the class is called none
    assert "unknown class 'no'" in capsys.readouterr().err


@pytest.mark.parametrize("names", [(), ("none",), ("none", "yes"), ("round", "dark")])
def test_a_label_that_says_yes_needs_a_class_that_says_no(names):
    args = argparse.Namespace(run="r", label="yes", count=3)
    if "yes" in names:
        assert cli.sample.choose_classes(args, len(names), names) == (3, 1, " of class yes")
    else:
        with pytest.raises(BadInput, match="unknown class 'yes'"):
            cli.sample.choose_classes(args, max(1, len(names)), names)


def test_the_augmentations_of_the_command_are_those_of_the_package():
    assert set(cli.train.AUGMENTS) == {"none", *augment.AUGMENTS}


def refused(folder: Path, capsys) -> str:
    assert cli.main(["train", "cdcgan", "--data", folder.name, "--steps", "1", *CPU]) == 2
    assert not list(folder.parent.rglob("*.pt"))
    return capsys.readouterr().err


def test_a_folder_needs_fifty_pictures_and_two_of_each_class(pictures, capsys):
    kept = sorted((pictures / "hairy").glob("*.png"))
    for path in kept[19:]:
        path.unlink()
    assert "my faces holds 49 pictures: a GAN needs 50 at least" in refused(pictures, capsys)
    for path in sorted((pictures / "bald").glob("*.png"))[1:]:
        path.unlink()
    for i in range(40):
        Image.new("RGB", (16, 16), (i, 0, 0)).save(pictures / "hairy" / f"more{i}.png")
    said = "the class 'bald' in my faces has 1 picture: give it more, or move its folder away."
    assert said in refused(pictures, capsys)
    shutil.rmtree(pictures)
    assert "unknown data set or folder 'my faces'" in refused(pictures, capsys)


@pytest.mark.parametrize(("per_class", "columns"), [(3, 3), (25, 25), (31, 16), (100, 25)])
def test_in_a_png_each_class_begins_a_row(tmp_path, per_class, columns):
    shades = torch.tensor([-1.0, 0.0]).repeat_interleave(per_class).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    sample.write_png(tmp_path / "x.png", shades, None, per_class)
    with Image.open(tmp_path / "x.png") as picture:
        middles = np.asarray(picture)[6::10, 6::10].astype(int)  # one pixel of each place: 8 wide, and a line of 2
    rows = -(-per_class // columns)
    assert middles.shape == (2 * rows, columns)
    filled = np.full((2, rows * columns), 255)
    filled[:, :per_class] = [[0], [128]]
    assert np.abs(middles - filled.reshape(2 * rows, columns)).max() <= 1


@pytest.mark.parametrize("file", ["x.npz", "x.png"])
def test_sample_of_a_run_that_blew_up_or_makes_no_images_is_refused(images, tmp_path, monkeypatch, capsys, file):
    monkeypatch.chdir(tmp_path)
    blown_up = Run(*models.mlp(), images)
    next(blown_up.G_ema.parameters()).data.fill_(float("nan"))
    checkpoint.save(blown_up, "nan")
    plane = models.mlp((2,), g_hidden=(8,), d_hidden=(8,), output="linear")
    checkpoint.save(Run(*plane, torch.zeros(64, 2)), "plane")
    for folder, said in {
        "nan": "nan generates NaN or infinite pixels",
        "plane": "plane generates examples of shape (2,)",
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
    from gantutor.data import download

    asked = []
    monkeypatch.setattr(download, "fetch", lambda name: asked.append(name) or Path("somewhere", name))
    assert cli.main(["fetch"]) == 0
    assert asked == ["mnist", "fashion-mnist"]
    assert str(Path("somewhere", "mnist")) in capsys.readouterr().out
    assert cli.main(["fetch", "fashion-mnist"]) == 0
    assert asked[2:] == ["fashion-mnist"]


def test_fetch_fetches_nothing_when_one_name_is_wrong(monkeypatch, capsys):
    from gantutor.data import download

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
    assert common.choose_device("auto") == best
    if "cuda" not in working:
        with pytest.raises(BadInput, match=f"--device cuda: .* Choose one that it can use: {', '.join(working)}"):
            common.choose_device("cuda")


# --- errors ----------------------------------------------------------------------------------------------------------

BAD = [
    ("trian", "unknown command 'trian': did you mean 'train'?"),
    ("train", "required: MODEL"),
    ("train mpl --steps 1", "unknown model 'mpl': did you mean 'mlp'?"),
    ("train mlp --data minst --steps 1", "unknown data set or folder 'minst': did you mean 'mnist'?"),
    ("train mlp", "--steps N or --seconds S"),
    ("train mlp --steps 0", "--steps is 0"),
    ("train mlp --steps -3", "--steps is -3"),
    ("train mlp --steps 2.5", "'2.5'"),
    ("train mlp --seconds 0", "--seconds is 0"),
    ("train mlp --seconds -1", "--seconds is -1"),
    ("train mlp --seconds nan", "--seconds is nan"),
    ("train mlp --seconds inf", "--seconds is inf"),
    ("train mlp --steps 1 --seconds 1", "not allowed with"),
    ("train mlp --steps 1 --seed -1", "'-1' is not a seed"),
    ("train mlp --steps 1 --seed 99999999999999999999", "is not a seed"),
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
    ("sample old --count 1000001 --out x.npz", "these are 1,000,001 images: draw at most 1,000,000 into one file"),
    ("sample dressed --per-class 1000000000 --out x.npz", "these are 10,000,000,000 images: draw at most 1,000,000"),
    ("train mlp --steps 1 --batch-size 1", "batch_size is 1, and batch norm needs at least two"),
    ("train mlp --steps 1 --batch-size -2", "--batch-size is -2: give a whole number"),
    ("train mlp --steps 1 --batch-size 201", "batch_size is 201, but there are only 200 examples"),
    ("train mlp --steps 1 --precision fp8", "unknown precision 'fp8'"),
    ("sample old --label 7 --out x.npz", "old was trained without classes: leave out --label"),
    ("sample old --per-class 7 --out x.npz", "old was trained without classes: leave out --per-class"),
    ("sample dressed --label 10 --out x.npz", "unknown class '10': the choices are: T-shirt/top, trouser"),
    ("sample dressed --label -1 --out x.npz", "unknown class '-1'"),
    ("sample dressed --label sneker --out x.npz", "unknown class 'sneker': did you mean 'sneaker'?"),
    ("sample dressed --per-class 0 --out x.npz", "--per-class is 0: give a whole number, 1 or more"),
    ("sample dressed --per-class 3 --count 3 --out x.npz", "leave out --count and --label"),
    ("sample dressed --per-class 3 --label 0 --out x.npz", "leave out --count and --label"),
    ("fetch strokes", "'strokes' has no files to fetch"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[line for line, _ in BAD])
def test_each_error_is_one_sentence_and_changes_nothing(few, saved, conditional, tmp_path, capsys, line, said):
    (tmp_path / "file").write_text("a file")
    runs = {"old": (saved / "run.pt").read_bytes(), "dressed": (conditional / "run.pt").read_bytes()}
    for folder, contents in {**runs, "broken": b"PK\3\4 no more"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "run.pt").write_bytes(contents)
    before = tree(tmp_path)
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert said in err or said.replace("/", os.sep) in err
    assert err.count("\n") == 1
    assert not out
    assert tree(tmp_path) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has CUDA")
def test_a_device_that_is_not_there(few, capsys):
    assert cli.main(["train", "mlp", "--steps", "1", "--device", "cuda"]) == 2
    err = capsys.readouterr().err
    assert "--device cuda" in err
    assert "Choose one that it can use:" in err


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


def test_other_errors_are_not_hidden(monkeypatch, few, capsys):
    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(data, "load", broken)
    assert cli.main(["train", "mlp", "--steps", "1"]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_lab_without_the_notebooks_says_how_to_get_them(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common, "ROOT", tmp_path / "site-packages")
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


# --- diagnose --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> Path:
    """A folder with samples and references in every form that `diagnose` reads."""
    folder = tmp_path_factory.mktemp("patients")
    drawn = strokes.draw(1200, seed=5)
    x = drawn.pixels.numpy()
    np.save(folder / "real.npy", x[:900])
    np.savez(folder / "sound.npz", images=x[900:], labels=drawn.digit[900:].numpy())
    np.savez(folder / "disobedient.npz", images=x[900:], labels=drawn.digit[900:].numpy()[::-1])
    np.save(folder / "half.npy", x[900:] / 255)
    np.save(folder / "nan.npy", np.full((300, 28, 28), np.nan))
    np.save(folder / "black.npy", np.zeros((300, 28, 28), dtype=np.uint8))
    np.save(folder / "one.npy", x[:1])
    np.savez(folder / "short.npz", images=x[900:], labels=[1, 2])
    np.savez(folder / "other.npz", latents=np.zeros((300, 9)))
    (folder / "empty").mkdir()
    (folder / "pictures").mkdir()
    for i, image in enumerate(x[900:1000, 0]):
        Image.fromarray(image).save(folder / "pictures" / f"{i:03}.png")
    return folder


@pytest.mark.parametrize(
    ("samples", "status", "names"),
    [
        ("sound.npz", 0, []),
        ("pictures", 0, []),
        ("disobedient.npz", 1, ["labels_ignored"]),
        ("half.npy", 1, ["range_mismatch"]),
        ("nan.npy", 1, ["non_finite"]),
        ("black.npy", 1, ["total_collapse"]),
    ],
)
def test_diagnose_prints_json_and_nothing_else(patients, capsys, samples, status, names):
    args = "diagnose", str(patients / samples), "--against", str(patients / "real.npy")
    assert cli.main([*args, "--json"]) == status
    out, err = capsys.readouterr()
    found = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert [finding["name"] for finding in found["findings"]] == names
    assert list(found) == ["data", "judge", "notes", "open", "findings"]
    assert "Examining" in err


def test_diagnose_tells_what_was_done_to_the_files(patients, capsys):
    (patients / "noted").mkdir()
    for i in range(70):
        (patients / "noted" / f"{i}.png").write_bytes((patients / "pictures" / f"{i:03}.png").read_bytes())
    (patients / "noted" / "index.html").write_text("<p>")
    cli.main(["diagnose", str(patients / "noted"), "--against", str(patients / "real.npy"), "--json"])
    assert (
        json.loads(capsys.readouterr().out)["notes"][0]
        == "noted: Left out 1 of 71 files: 1 not a picture (index.html)."
    )


@pytest.mark.parametrize(
    "labels", [-np.ones(300), np.full(300, 0.5), np.eye(40)[:2].repeat(150, 0).cumsum(1), np.array([None] * 300)]
)
def test_diagnose_leaves_out_labels_that_are_no_classes(patients, capsys, labels):
    images = np.load(patients / "sound.npz")["images"]
    np.savez(patients / "odd.npz", images=images, labels=labels)
    assert cli.main(["diagnose", str(patients / "odd.npz"), "--against", str(patients / "real.npy"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["notes"][0]
    assert "one whole number, 0 or more, for each image, and were not used" in said or "'labels' were not used" in said


@pytest.mark.parametrize(("ground", "said"), [(0, True), (255, False)])
def test_diagnose_lays_transparent_pictures_on_the_ground_of_the_samples(tmp_path, capsys, ground, said):
    drawn = (digits(900, 5, "drawn").pixels[:, 0].numpy() + 1) / 2
    (tmp_path / "sprites").mkdir()
    for i, ink in enumerate(drawn[:600]):
        coloured = np.stack([ink * 180, ink * 120, ink * 60, ink * 255], 2)
        Image.fromarray(coloured.round().astype(np.uint8)).save(tmp_path / "sprites" / f"{i}.png")
    ink = drawn[600:, None]
    samples = ink**2 * np.array([180, 120, 60])[:, None, None] + ground * (1 - ink)
    np.save(tmp_path / "samples.npy", samples.round().astype(np.uint8))
    cli.main(["diagnose", str(tmp_path / "samples.npy"), "--against", str(tmp_path / "sprites"), "--json"])
    diagnosis = json.loads(capsys.readouterr().out)
    assert diagnosis["findings"] == []
    assert ("laid on black, because the samples look so, and not on white" in " ".join(diagnosis["notes"])) == said


@pytest.mark.parametrize("name", ["log.csv", "my metrics.jsonl", "events.out.tfevents.1"])
def test_diagnose_says_how_to_give_a_log(tmp_path, capsys, name):
    (tmp_path / name).write_text("step,d_loss,g_loss")
    assert cli.main(["diagnose", str(tmp_path / name)]) == 2
    assert "give it as --history " in capsys.readouterr().err
    assert cli.main(["diagnose", str(tmp_path / name), "--against", "mnist"]) == 2
    assert "give it as --history " in capsys.readouterr().err


def test_a_crash_is_not_the_exit_status_of_an_ailment(patients, capsys, monkeypatch):
    def crash(*args, **options):
        raise RuntimeError("a wire came loose")

    monkeypatch.setattr("gantutor.doctor.images.files.load", crash)
    assert cli.main(["diagnose", str(patients / "sound.npz"), "--against", str(patients / "real.npy")]) == 70
    assert "a wire came loose" in capsys.readouterr().err


def test_diagnose_prints_text_for_people(patients, capsys):
    assert cli.main(["diagnose", str(patients / "half.npy"), "--against", str(patients / "real.npy")]) == 1
    out = capsys.readouterr().out
    for part in ("1. range_mismatch (severe)", "in [0, 1]", "evidence:", "try:", "lesson: 07_bug_museum"):
        assert part in out


def test_diagnose_writes_a_report_as_well(patients, capsys, tmp_path):
    page = tmp_path / "new folder" / "report.html"
    args = ["diagnose", str(patients / "half.npy"), "--against", str(patients / "real.npy"), "--html", str(page)]
    assert cli.main([*args, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["findings"][0]["name"] == "range_mismatch"  # stdout is as it would be without
    assert f'The report is "{page}".' in err
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert f"gantutor {shlex.join([*args, '--json'])}" in text
    assert "The pixel values are not on the scale of the real images" in text
    assert cli.main([*args[:-1], str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert "is a folder" in err
    assert "Examining" not in err  # before the work


def test_diagnose_against_a_named_set_uses_its_test_split(patients, capsys, monkeypatch):
    asked = []

    def load(name, split="train"):
        asked.append((name, split))
        return digits(900, len(asked), name)

    monkeypatch.setattr(data, "load", load)
    assert cli.main(["diagnose", str(patients / "sound.npz"), "--against", "strokes"]) == 0
    assert asked == [("strokes", "train"), ("strokes", "test")]
    assert "the shipped classifier of strokes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("samples", "against", "word"),
    [
        ("one.npy", "real.npy", "1 samples: give at least 64"),
        ("short.npz", "real.npy", "the labels of shape (2,)"),
        ("other.npz", "real.npy", "holds latents"),
        ("missing.npz", "real.npy", "missing.npz"),
        ("empty", "real.npy", "empty"),
        ("sound.npz", "black.npy", "all the same"),
        ("sound.npz", "minst", "did you mean 'mnist'"),
    ],
)
def test_diagnose_names_what_it_cannot_use(patients, capsys, samples, against, word):
    against = str(patients / against) if "." in against else against
    assert cli.main(["diagnose", str(patients / samples), "--against", against, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert word in err
    assert err.splitlines()[-1].startswith("gantutor: ")


# --- museum ----------------------------------------------------------------------------------------------------------


def test_the_museum_lists_its_exhibits_one_a_line(capsys):
    assert cli.main(["museum"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(museum.CATALOGUE)
    for line, e in zip(lines, museum.CATALOGUE.values(), strict=True):
        assert line.split()[:2] == [e.number, e.id]
        assert e.title in line


@pytest.fixture
def some(monkeypatch, tmp_path) -> None:
    """2,500 images instead of 60,000, and an empty folder to work in."""
    images = digits(2500, 0, "strokes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: images)


def test_the_museum_runs_an_exhibit_and_prints_its_verdict(some, capsys):
    line = "museum images-as-logits --data strokes --steps 60 --out both.png"
    assert cli.main(line.split()) == 0
    out = capsys.readouterr().out
    assert "verdict: the symptom shows, and the check catches the bug" in out
    assert "fails on the broken one, passes on the sound one" in out
    with Image.open("both.png") as picture:
        assert picture.width > 300


def test_the_museum_says_with_its_status_that_nothing_shows(some, capsys):
    assert cli.main(["museum", "reversed-discriminator", "--data", "strokes", "--steps", "60"]) == 0
    assert cli.main(["museum", "range-0-1", "--data", "strokes", "--steps", "1"]) == 1
    assert "not as expected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("museum double-sigmod", "did you mean 'double-sigmoid'"),
        ("museum common-loss --steps 0", "--steps is 0"),
        ("museum common-loss --data minst", "did you mean 'mnist'"),
        ("museum common-loss --out a.jpg", "ends in .png"),
    ],
)
def test_the_museum_says_what_it_cannot_do(capsys, line, said):
    assert cli.main(line.split()) == 2
    assert said in capsys.readouterr().err


def test_the_museum_trains_nothing_for_a_picture_that_cannot_be_written(some, capsys, monkeypatch):
    monkeypatch.setattr(museum.Exhibit, "run", lambda *args, **kwargs: pytest.fail("trained"))
    Path("file").write_text("")
    assert cli.main(["museum", "common-loss", "--data", "strokes", "--out", "file/both.png"]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert Path("file").read_text() == ""


def test_an_interrupted_museum_leaves_no_half_picture(some, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(museum.Exhibit, "run", interrupt)
    assert cli.main(["museum", "common-loss", "--data", "strokes", "--out", "new/both.png"]) == 130
    assert list(Path.cwd().iterdir()) == []


# --- logs, and watching ----------------------------------------------------------------------------------------------


def test_a_log_alone_is_diagnosed(tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text("epoch,d_loss,g_loss\n" + "".join(f"{i},90.0,0.0\n" for i in range(30)))
    assert cli.main(["diagnose", "--history", str(log), "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["name"] == "discriminator_fooled"
    log.write_text("epoch,d_loss,g_loss\n" + "".join(f"{i},{1.2 + i % 3 / 10},0.9\n" for i in range(30)))
    assert cli.main(["diagnose", "--history", str(log), "--html", str(tmp_path / "report.html")]) == 0
    assert "Only the training log was examined" in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "there is nothing to examine"),
        (["--against", "mnist"], "there is nothing to examine"),
        (["samples.npz"], "no real images to compare with"),
        (["--history", "none.csv"], "there is no log"),
    ],
)
def test_what_is_missing_for_a_diagnosis_is_told(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["diagnose", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_training_is_watched_if_asked_for(few, monkeypatch, capsys):
    watched = []

    class Monitor:
        def __init__(self, G, D, real, *, say):
            self.G, self.say, self.real = G, say, real

        def step(self, **losses):
            watched.append(losses)
            if len(watched) == 2:
                assert self.G(3).shape == (3, *self.real.stored.shape[1:])
                self.say("step 2: something is wrong")

    monkeypatch.setattr("gantutor.doctor.Monitor", Monitor)
    assert cli.main(["train", "mlp", "--data", "strokes", "--steps", "3", "--watch", "--out", "here", *CPU]) == 0
    assert [set(losses) for losses in watched] == [{"d_loss", "g_loss"}] * 3
    assert "something is wrong" in capsys.readouterr().err
