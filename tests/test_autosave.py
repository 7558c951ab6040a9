"""What a training goes through in its folder: locks, full disks, folders that vanish, NaN. And how it is resumed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
import torch
from drawn import digits

from gantutor import cli, data, files, models
from gantutor.errors import BadInput
from gantutor.runs import autosave, checkpoint, nan_guard
from gantutor.train import Run

TRAIN = "train mlp --data strokes --device cpu --out here --steps"


@pytest.fixture(scope="module")
def drawn() -> data.Images:
    return digits(200, 0, "strokes")


@pytest.fixture
def few(drawn, monkeypatch, tmp_path) -> data.Images:
    """200 images instead of 60,000, small nets, and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "mlp", partial(models.mlp, g_hidden=(32,), d_hidden=(32,)))
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: drawn)
    return drawn


def command(line: str) -> int:
    return cli.main(line.split())


def train(line: str) -> int:
    return command(f"{TRAIN} {line}")


def unbroken(images: data.Images, steps: int, of: int | None = None, seed: int = 0) -> Run:
    """The run after some steps of a training, made without the command line."""
    run = Run(*models.mlp(seed=seed), images, seed=seed)
    for step in run.steps(of or steps):
        if step.index == steps:
            break
    return run


def assert_same(run: Run, other: Run) -> None:
    assert run.step == other.step
    for name in ("G", "D", "G_ema"):
        states = getattr(run, name).state_dict(), getattr(other, name).state_dict()
        assert all(torch.equal(a, b) for a, b in zip(*map(dict.values, states), strict=True)), name
    for a, b in ((run.opt_g, other.opt_g), (run.opt_d, other.opt_d)):
        for mine, theirs in zip(a.state.values(), b.state.values(), strict=True):
            assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert torch.equal(run.source.order.get_state(), other.source.order.get_state())
    assert torch.equal(run.sample(5), other.sample(5))


def at_step(monkeypatch, number: int, function, method: str = "take_step") -> None:
    """Let something happen before the step of that number, each time that it is taken."""
    original = getattr(Run, method)

    def patched(self, *args):
        if self.step == number - 1:
            function(self)
        return original(self, *args)

    monkeypatch.setattr(Run, method, patched)


def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


# --- resume ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_it_is_the_unbroken_run(few, monkeypatch, capsys, number):
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda run: signal.raise_signal(number))
        assert train("12") == 0
    assert "with --resume" in capsys.readouterr().out
    assert_same(checkpoint.load("here", few), unbroken(few, 5, of=12))
    assert train("12 --resume") == 0
    out, err = capsys.readouterr()
    assert "Going on from step 5 of 12." in err
    assert "Done: 12 steps, the last 7 in" in out
    assert_same(checkpoint.load("here", few), unbroken(few, 12))
    assert sorted(os.listdir("here")) == ["run.previous.pt", "run.pt"]


def test_a_finished_run_says_so_and_nothing_changes(few, monkeypatch, capsys):
    assert train("3") == 0
    before = Path("here", "run.pt").read_bytes()
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: pytest.fail("loaded"))
    for line in ("3 --resume", "2 --resume"):
        assert train(line) == 0
        assert f"is finished: it has 3 steps, and {line[0]} were asked for" in capsys.readouterr().out
    assert cli.main(["train", "mlp", "--out", "here", "--resume"]) == 0
    assert Path("here", "run.pt").read_bytes() == before
    assert os.listdir("here") == ["run.pt"]


def test_where_there_is_no_run_resume_starts_one(few, capsys):
    assert train("4 --resume --save-every 2") == 0
    assert_same(checkpoint.load("here", few), unbroken(few, 4))
    assert command("train mlp --resume --out nowhere") == 2
    assert "say how long to train" in capsys.readouterr().err
    assert not Path("nowhere").exists()


def test_what_is_left_out_is_as_it_was(few, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda run: signal.raise_signal(signal.SIGINT))
        assert train("6 --seed 7 --batch-size 64") == 0
    assert command("train mlp --resume --device cpu --out here") == 0
    assert_same(checkpoint.load("here", few), unbroken(few, 6, seed=7))
    flags = checkpoint.read_state("here")[1]["flags"]
    given = {"model": "mlp", "data": "strokes", "seed": 7, "batch_size": 64}
    assert flags == {**cli.train.FLAGS, **given}
    older = {name: flags[name] for name in (*given, "precision")}  # a run of before there were as many flags
    checkpoint.save(checkpoint.load("here", few), "here", flags=older)
    assert command("train mlp --resume --steps 7 --device cpu --out here") == 0
    assert checkpoint.read_state("here")[1]["flags"] == {**cli.train.FLAGS, **given}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train cmlp --steps 9", "MODEL is cmlp, but the run in here has 'mlp'"),
        ("train mlp --data mnist --steps 9", "--data is mnist, but the run in here has 'strokes'"),
        ("train mlp --seed 1 --steps 9", "--seed is 1, but the run in here has 0"),
        ("train mlp --batch-size 32 --steps 9", "--batch-size is 32, but the run in here has 64"),
        ("train mlp --precision bf16 --steps 9", "--precision is bf16, but the run in here has 'fp32'"),
        ("train mlp --seconds 9", "--seconds and --resume"),
        ("train mlp --steps 9 --save-every 0", "--save-every is 0"),
    ],
)
def test_a_flag_that_does_not_fit_the_run_is_refused(few, capsys, line, said):
    assert train("2") == 0
    before = Path("here", "run.pt").read_bytes()
    capsys.readouterr()
    assert cli.main([*line.split(), "--resume", "--device", "cpu", "--out", "here"]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert not out
    assert Path("here", "run.pt").read_bytes() == before
    assert os.listdir("here") == ["run.pt"]


def test_a_longer_total_says_what_becomes_of_the_learning_rate(few, capsys):
    assert train("6") == 0
    assert train("8 --resume") == 0
    assert "planned for 6 steps: from here the learning rate follows the new total" in capsys.readouterr().err
    expected = unbroken(few, 6)
    expected.plan = 0, 8
    list(expected.steps())
    assert_same(checkpoint.load("here", few), expected)


def test_a_run_for_seconds_goes_on_to_a_number_of_steps(few, capsys):
    assert command("train mlp --seconds 0.05 --device cpu --out here") == 0
    steps = checkpoint.read_state("here")[1]["step"]
    assert command("train mlp --resume --device cpu --out here") == 2
    assert "say how long" in capsys.readouterr().err
    assert train(f"{steps + 3} --data mnist --resume") == 0
    assert checkpoint.read_state("here")[1]["step"] == steps + 3


def test_a_run_saved_in_python_is_not_resumed_by_the_command(few, capsys):
    checkpoint.save(unbroken(few, 2), "here")
    assert train("5 --resume") == 2
    assert "go on with it in Python, with checkpoint.load" in capsys.readouterr().err


def test_a_damaged_run_is_resumed_from_the_one_before(few, capsys):
    assert train("6 --save-every 4") == 0
    path = Path("here", "run.pt")
    path.write_bytes(path.read_bytes()[:-9])
    assert train("6 --resume") == 0
    assert "is damaged" in capsys.readouterr().err
    assert_same(checkpoint.load("here", few), unbroken(few, 6))


def test_a_folder_with_only_the_run_before_holds_a_run(few, capsys):
    """As a process leaves it that is killed between the two renames."""
    assert train("6 --save-every 4") == 0
    os.remove(Path("here", "run.pt"))
    assert train("6") == 2
    assert "already holds a run: go on with it with --resume" in capsys.readouterr().err
    assert train("6 --resume") == 0
    assert_same(checkpoint.load("here", few), unbroken(few, 6))


# --- saving now and then ---------------------------------------------------------------------------------------------


def test_the_last_two_saves_are_kept(few, monkeypatch, capsys):
    assert train("8 --save-every 3") == 0
    assert sorted(os.listdir("here")) == ["run.previous.pt", "run.pt"]
    assert checkpoint.read_state("here")[1]["step"] == 8
    os.replace(Path("here", "run.previous.pt"), Path("here", "run.pt"))
    assert_same(checkpoint.load("here", few), unbroken(few, 6, of=8))
    assert train("8 --resume --save-every 4") == 0  # what was saved at the last step is not saved again
    os.replace(Path("here", "run.previous.pt"), Path("here", "run.pt"))
    assert checkpoint.read_state("here")[1]["step"] == 6


def test_without_a_number_of_steps_the_clock_says_when(few, monkeypatch, capsys):
    monkeypatch.setattr(autosave, "PAUSE", 0.0)
    assert train("4") == 0
    os.replace(Path("here", "run.previous.pt"), Path("here", "run.pt"))
    assert checkpoint.read_state("here")[1]["step"] == 3


def test_a_full_disk_pauses_the_saving_and_not_the_training(few, monkeypatch, capsys):
    fsync = os.fsync
    at_step(monkeypatch, 3, lambda run: monkeypatch.setattr(files.os, "fsync", full))
    at_step(monkeypatch, 7, lambda run: monkeypatch.setattr(files.os, "fsync", fsync))
    assert train("9 --save-every 1") == 0
    err = capsys.readouterr().err
    assert err.count("Saving pauses at step 3: ") == err.count("No space left on device") == 1
    assert err.count("Saving works again: step 7 is saved.") == 1
    assert_same(checkpoint.load("here", few), unbroken(few, 9))
    assert sorted(os.listdir("here")) == ["run.previous.pt", "run.pt"]


def test_a_folder_that_vanishes_and_comes_back(few, monkeypatch, capsys):
    at_step(monkeypatch, 4, lambda run: os.rename("here", "away"))
    at_step(monkeypatch, 7, lambda run: os.rename("away", "here"))
    assert train("9 --save-every 1") == 0
    err = capsys.readouterr().err
    assert err.count("Saving pauses at step 4: the folder here has vanished. The training goes on.") == 1
    assert err.count("Saving works again: step 7") == 1
    assert_same(checkpoint.load("here", few), unbroken(few, 9))
    assert sorted(os.listdir("here")) == ["run.previous.pt", "run.pt"]


def test_a_folder_that_stays_away_is_made_again_at_the_end(few, monkeypatch, capsys):
    at_step(monkeypatch, 4, lambda run: shutil.rmtree("here"))
    assert train("6 --save-every 1") == 0
    assert_same(checkpoint.load("here", few), unbroken(few, 6))


@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_cannot_be_saved_at_the_end_is_saved_elsewhere(few, monkeypatch, tmp_path, capsys, elsewhere):
    def in_the_way(run):
        shutil.rmtree("here")
        Path("here").write_text("a file")
        if not elsewhere:
            monkeypatch.setattr(files.os, "fsync", full)

    expected, spare = unbroken(few, 5), tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    at_step(monkeypatch, 3, in_the_way)
    assert train("5") == 2
    out, err = capsys.readouterr()
    assert not out
    sentence = err.splitlines()[-1]
    assert str(Path("here", "run.pt")) in sentence
    (folder,) = spare.iterdir()
    if elsewhere:
        assert f"The run is saved in {folder / 'run.pt'} instead" in sentence
        assert_same(checkpoint.load(folder, few), expected)
    else:
        assert "It is lost" in sentence
    assert Path("here").read_text() == "a file"


# --- NaN -------------------------------------------------------------------------------------------------------------


def test_a_training_that_diverges_stops_and_keeps_the_last_sound_save(few, monkeypatch, capsys):
    def poison(run):
        run.G.net[0].weight.data[0, 0] = float("nan")

    with monkeypatch.context() as patch:
        at_step(patch, 38, poison, "train_step")
        assert train("60 --save-every 15") == 2
    out, err = capsys.readouterr()
    assert not out
    sentence = err.splitlines()[-1]
    assert "diverged: at step 38 " in sentence
    assert " net." in sentence
    assert f"The first 30 steps are saved in {Path('here', 'run.pt')}" in sentence
    assert_same(checkpoint.load("here", few), unbroken(few, 30, of=60))
    assert train("60 --resume") == 0  # the cause is gone
    assert_same(checkpoint.load("here", few), unbroken(few, 60))


def test_a_training_that_diverges_on_a_full_disk_tells_both(few, monkeypatch, tmp_path, capsys):
    def poison(run):
        run.G.net[0].weight.data[0, 0] = float("nan")
        monkeypatch.setattr(files.os, "fsync", full)

    monkeypatch.setattr(nan_guard, "PAUSE", 0.0)
    monkeypatch.setattr(nan_guard, "SHARE", float("inf"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    at_step(monkeypatch, 138, poison, "train_step")
    assert train("200") == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "diverged: at step 138" in sentence
    assert "No space left on device" in sentence
    assert "It is lost" in sentence


def test_a_broken_state_is_not_saved_though_nobody_has_looked_at_it_yet(few, monkeypatch, capsys):
    def poison(run):
        run.G.net[0].weight.data[0, 0] = float("nan")

    at_step(monkeypatch, 20, poison, "train_step")
    assert train("50 --save-every 7") == 2
    state = checkpoint.read_state("here")[1]
    assert state["step"] == 14
    assert all(t.isfinite().all() for name in ("G", "D", "G_ema") for t in state[name].values())


def test_a_stop_after_nan_is_no_quiet_end(few, monkeypatch, capsys):
    def poison(run):
        run.G.net[0].weight.data[0, 0] = float("nan")
        signal.raise_signal(signal.SIGINT)

    at_step(monkeypatch, 5, poison, "train_step")
    assert train("50") == 2
    assert "at step 5" in capsys.readouterr().err
    assert os.listdir() == []  # nothing sound was there to be saved


# --- the lock --------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from gantutor.runs import autosave
with autosave.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_of_a_living_process_is_in_the_way_and_that_of_a_dead_one_is_not(few, capsys):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, "here"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        assert train("2") == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "here is in use" in err
        told = json.loads(Path("here", "run.owner").read_text())
        assert told["pid"] == process.pid
        assert f"in use by process {told['pid']} on {told['host']}, started {told['started']}: " in err
    finally:
        process.kill()
        process.communicate()
    assert sorted(os.listdir("here")) == ["run.lock", "run.owner"]
    assert train("2") == 0
    assert os.listdir("here") == ["run.pt"]


def test_a_lock_file_without_a_process_is_only_a_file(few, capsys):
    here = Path("here")
    here.mkdir()
    for content in (b"", b"\xff\xfe not json", json.dumps({"pid": os.getpid(), "host": "here"}).encode()):
        for name in ("run.lock", "run.owner"):
            (here / name).write_bytes(content)
        with autosave.held(here):
            assert json.loads((here / "run.owner").read_text())["pid"] == os.getpid()
            with pytest.raises(BadInput, match=f"in use by process {os.getpid()} on"), autosave.held(here):
                pytest.fail("held twice")
            (here / "run.owner").write_bytes(content)
            with pytest.raises(BadInput, match="^here is in use: wait for it"), autosave.held(here):
                pytest.fail("held twice")
        assert os.listdir("here") == []


def test_a_folder_made_for_the_lock_goes_with_it_when_it_stays_empty(tmp_path):
    with autosave.held(tmp_path / "a" / "b"):
        assert sorted(os.listdir(tmp_path / "a" / "b")) == ["run.lock", "run.owner"]
    assert os.listdir(tmp_path) == []
    with pytest.raises(ZeroDivisionError), autosave.held(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / ".run.pt.0badcafe.part").write_text("half")
    (tmp_path / ".trial").mkdir()
    (tmp_path / ".trial" / "run.pt").write_text("trial")
    (tmp_path / "mine.part").write_text("not ours")
    with autosave.held(tmp_path):
        assert sorted(os.listdir(tmp_path)) == ["mine.part", "run.lock", "run.owner"]


@pytest.mark.skipif(os.name == "nt", reason="the lock of other systems")
@pytest.mark.parametrize("number", autosave.NO_LOCKS, ids=errno.errorcode.get)
def test_on_a_disk_without_locks_one_can_train(few, monkeypatch, capsys, number):
    def unknown(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", unknown)
    for line in ("2", "4 --resume"):
        assert train(line) == 0
        assert "lock" not in capsys.readouterr().err
    assert sorted(os.listdir("here")) == ["run.previous.pt", "run.pt"]


@pytest.mark.skipif(os.name == "nt", reason="the lock of other systems")
def test_a_disk_that_fails_otherwise_is_told(few, monkeypatch, capsys):
    def broken(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    assert train("2") == 2
    assert "no run can be saved there (Input/output error)" in capsys.readouterr().err


def test_a_disk_too_full_to_sign_is_told_and_leaves_nothing(few, monkeypatch, capsys):
    monkeypatch.setattr(autosave, "sign", full)
    assert train("2") == 2
    assert "no run can be saved there (No space left on device)" in capsys.readouterr().err
    assert os.listdir() == []
