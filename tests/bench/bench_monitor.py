"""What `doctor.Monitor` costs: steps per second with it and without, in turn. Prints a line for each model.

    python tests/bench/bench_monitor.py                  # mlp and dcgan on the best device
    python tests/bench/bench_monitor.py mlp --rounds 9 --seconds 10 --device cpu

Each round times both on one and the same run, the one that goes first taking turns. The cost is 1 less the ratio of
the two speeds over all rounds, with the standard error of the rounds. Beside it stand the part of the time spent within
`Monitor.step`, what one look takes, and what storing the losses takes in each step. (On a GPU a look also waits for the
training steps before it, so there the part within `step` is too high.)
"""

import argparse
import time
from typing import NamedTuple

import numpy as np
from bench_steps import MODELS, new_run, synchronize

from gantutor import doctor
from gantutor.cli import common
from gantutor.train import Run

PAUSED: dict[doctor.Monitor, float] = {}  # when the last measurement with each monitor ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=6, help="of steps for each figure")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = common.choose_device(args.device)
    print(f"{'model':10} {'steps/s without':>16} {'with':>8} {'cost':>15} {'in step()':>10} {'looks':>6} {'a look':>9} "
          f"{'storing':>10}")  # fmt: skip
    for model in args.models or ("mlp", "dcgan"):
        run = new_run(model, device)
        list(run.steps(2 * run.recipe.penalty_every + 2))
        monitor = doctor.Monitor(lambda n, run=run: run.sample(n), None, run.data, say=None)
        bare, watched = [], []
        for i in range(args.rounds):
            for turn in (bare, watched) if i % 2 == 0 else (watched, bare):
                turn.append(measure(run, args.seconds, monitor if turn is watched else None))
        speeds = [sum(x.steps for x in turn) / sum(x.seconds for x in turn) for turn in (bare, watched)]
        ratios = [y.steps / y.seconds / (x.steps / x.seconds) for x, y in zip(bare, watched, strict=True)]
        error = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
        inside = sum(x.inside for x in watched) / sum(x.seconds for x in watched)
        looks = len(monitor.rows)
        print(f"{model:10} {speeds[0]:16,.1f} {speeds[1]:8,.1f} {1 - speeds[1] / speeds[0]:7.2%} ± {error:5.2%} "
              f"{inside:10.2%} {looks:6} {monitor.cost * 1e3:6.0f} ms {storing(monitor, run) * 1e6:7.1f} µs",
              flush=True)  # fmt: skip


class Measured(NamedTuple):
    steps: int
    seconds: float
    inside: float  # seconds within `Monitor.step`


def measure(run: Run, seconds: float, monitor: doctor.Monitor | None) -> Measured:
    first, inside = run.step, 0.0
    synchronize()
    began = time.perf_counter()
    if monitor is not None:
        monitor.looked_until += began - PAUSED.get(monitor, began)  # the time without it is no time since its last look
    for step in run.steps(seconds=seconds):
        if monitor is not None:
            entered = time.perf_counter()
            monitor.step(d_loss=step.d_loss, g_loss=step.g_loss)
            inside += time.perf_counter() - entered
    synchronize()
    ended = time.perf_counter()
    if monitor is not None:
        PAUSED[monitor] = ended
    return Measured(run.step - first, ended - began, inside)


def storing(monitor: doctor.Monitor, run: Run) -> float:
    """Seconds that a step of the monitor takes without a look."""
    (step,) = run.steps(1)
    monitor.every = 10**9
    began = time.perf_counter()
    for _ in range(1000):
        monitor.step(d_loss=step.d_loss, g_loss=step.g_loss)
    return (time.perf_counter() - began) / 1000


if __name__ == "__main__":
    main()
