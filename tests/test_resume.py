"""Killed at any moment and resumed, a training ends where it would have ended: bit for bit, on the CPU.

The trainings are processes of their own, killed without a chance to tidy up. They are made small: 200 images, few
weights. All of them, the unbroken one too, run with the same number of threads.
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from drawn import digits
from states import parts

from gantutor import cli, data, models
from gantutor.runs import checkpoint
from gantutor.scale import ensemble
from gantutor.train import Recipe

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
CONTEXT = multiprocessing.get_context(METHOD)
if METHOD == "forkserver":
    SLOW_IMPORTS = (
        "pytest",
        "torch._dynamo",
        "gantutor.runs.autosave",
        "gantutor.runs.nan_guard",
    )  # once for all processes
    CONTEXT.set_forkserver_preload([*SLOW_IMPORTS])

TOO_LONG = (pytest.mark.slow, pytest.mark.hours)  # for every change
SMALL = {
    "mlp": partial(models.mlp, g_hidden=(32,), d_hidden=(32,)),
    "dcgan": partial(models.dcgan, g_width=2, d_width=2, hidden=8),
}


# --- in the process that is killed -----------------------------------------------------------------------------------


def few(*args, **kwargs) -> data.Images:
    return digits(200, 0, "strokes")


def run_command(folder: Path, line: str, point: tuple[str, int] | None) -> None:
    """Run the command line on small nets and few images, and die at a point of its saving."""
    os.chdir(folder)
    data.load = few
    models.mlp, models.dcgan = SMALL["mlp"], SMALL["dcgan"]
    die_at(point)
    sys.exit(cli.main(line.split()))


def run_ensemble(folder: Path, out: str, steps: int, point: tuple[str, int] | None) -> None:
    """Train an ensemble in Python and save it every few steps, going on with what is there."""
    os.chdir(folder)
    die_at(point)
    if checkpoint.run_file(out):
        run = ensemble.load_ensemble(out, few())
    else:
        pairs = [SMALL["mlp"](seed=seed) for seed in (0, 2, 4)]
        run = ensemble.Ensemble(pairs, few(), Recipe(batch_size=16, penalty_every=3), seeds=1)
        run.plan = 0, steps
    for step in run.steps():
        if step.index % 3 == 0:
            checkpoint.save(run, out, keep_previous=True)
    checkpoint.save(run, out, keep_previous=True)
    sys.exit(0)


def die_at(point: tuple[str, int] | None) -> None:
    """Let the process be killed in the n-th call of a function that saving goes through."""
    if point is None:
        return
    (name, number), calls = point, []
    owner, function = {
        "write": (Path, Path.write_bytes),
        "fsync": (os, os.fsync),
        "replace": (os, os.replace),
    }[name]

    def dying(*args):
        calls.append(args)
        if len(calls) < number:
            return function(*args)
        if name == "write":  # half of it
            path, content = args
            function(path, content[: len(content) // 2])
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(9)

    setattr(owner, function.__name__, dying)


# --- here ------------------------------------------------------------------------------------------------------------


def finish(target: Callable, *args) -> None:
    process = CONTEXT.Process(target=target, args=args)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def killed_at_a_point(target: Callable, *args) -> None:
    process = CONTEXT.Process(target=target, args=args)
    process.start()
    process.join(120)
    assert process.exitcode not in (None, 0, 1, 2), "it was to be killed"


def killed_at_random(dice: random.Random, file: Path, target: Callable, *args) -> None:
    """Kill the process some time after it has saved something new."""
    process, before = CONTEXT.Process(target=target, args=args), stamp(file)
    process.start()
    deadline = time.monotonic() + 60
    while stamp(file) == before:
        assert process.is_alive() or process.exitcode is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(dice.random() * 0.05)
    process.kill()
    process.join(60)
    assert process.exitcode not in (None, 0, 1, 2), "it ended before it was killed"


def stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def assert_same_end(folder: Path) -> None:
    """Weights, averaged weights, optimizers, random streams and samples of both runs are equal, bit for bit."""
    whole, broken = (parts(checkpoint.read_state(folder / name)[1]) for name in ("whole", "broken"))
    assert [a[0] for a, b in zip(whole, broken, strict=True) if a != b] == []
    names = {part[0].split(".")[1].partition("[")[0] for part in whole}
    assert {"G", "D", "G_ema", "opt_g", "opt_d", "order", "randomness", "step", "plan"} <= names
    load = ensemble.load_ensemble if checkpoint.read_state(folder / "whole")[1]["members"] else checkpoint.load
    a, b = (load(folder / name, few()).sample(20) for name in ("whole", "broken"))
    assert torch.equal(a, b)
    assert a.std() > 0
    litter = {*os.listdir(folder / "broken")} - {"run.pt", "run.previous.pt"}
    assert not litter or not hasattr(signal, "SIGKILL")


# In the trial before the training there is one write, fsync and replace. A save has one more replace where it keeps the
# one before. So these are: half a file; a whole one that has not got its name; and no run.pt, between the two renames.
POINTS = [("write", 3), ("fsync", 3), ("replace", 3)]


@pytest.mark.parametrize(
    ("options", "kills"),
    [
        ("mlp --steps 240", 3),
        ("cmlp --steps 90 --batch-size 16", 1),
        pytest.param("mlp --steps 900", 20, marks=pytest.mark.slow),
        pytest.param("cmlp --steps 900 --seed 4", 20, marks=TOO_LONG),
        pytest.param("cdcgan --steps 600 --batch-size 16", 20, marks=TOO_LONG),
        pytest.param("mlp --steps 600 --precision bf16", 20, marks=TOO_LONG),
    ],
)
def test_killed_and_resumed_it_ends_where_it_would_have_ended(tmp_path, options, kills):
    """The default recipe: a lazy penalty every 16 steps, learning rates that fall over the last quarter."""
    dice, line = random.Random(kills), f"train {options} --data strokes --device cpu"
    finish(run_command, tmp_path, f"{line} --out whole", None)
    again = f"{line} --out broken --resume --save-every"
    if kills > 1:
        for point in POINTS:
            killed_at_a_point(run_command, tmp_path, f"{again} 5", point)
        assert not (tmp_path / "broken" / "run.pt").exists()
    for _ in range(kills):
        args = tmp_path, f"{again} {dice.choice((1, 2, 7))}", None
        killed_at_random(dice, tmp_path / "broken" / "run.pt", run_command, *args)
    assert (
        0 < checkpoint.read_state(tmp_path / "broken")[1]["step"] < checkpoint.read_state(tmp_path / "whole")[1]["step"]
    )
    finish(run_command, tmp_path, f"{again} 50", None)
    assert_same_end(tmp_path)


@pytest.mark.parametrize(("steps", "kills"), [(60, 1), pytest.param(700, 20, marks=TOO_LONG)])
def test_a_killed_ensemble_ends_where_it_would_have_ended(tmp_path, steps, kills):
    dice = random.Random(steps)
    finish(run_ensemble, tmp_path, "whole", steps, None)
    for point in (("write", 3), ("replace", 2)):
        killed_at_a_point(run_ensemble, tmp_path, "broken", steps, point)
    for _ in range(kills):
        killed_at_random(dice, tmp_path / "broken" / "run.pt", run_ensemble, tmp_path, "broken", steps, None)
    finish(run_ensemble, tmp_path, "broken", steps, None)
    for part in (tmp_path / "broken").glob(".*.part"):
        part.unlink()  # without the command line nobody sweeps
    assert_same_end(tmp_path)
