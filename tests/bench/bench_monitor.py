"""What `doctor.Monitor` costs: steps per second with it and without, in turn. Prints a line for each model.

    python tests/bench/bench_monitor.py                  # mlp and dcgan on the best device
    python tests/bench/bench_monitor.py mlp --rounds 9 --seconds 10 --device cpu

Each round times both on one and the same run, the one that goes first taking turns. The cost is 1 less the median of
the rounds' ratios. Beside it stands what one look takes, and what storing the losses takes in each step.
"""

import argparse
import statistics
import time

from bench_steps import MODELS, new_run, synchronize

from gantutor import doctor
from gantutor.cli import common
from gantutor.train import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of steps for each figure")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = common.choose_device(args.device)
    print(f"{'model':10} {'steps/s without':>16} {'with':>8} {'cost':>7} {'looks':>6} {'a look':>9} {'storing':>10}")
    for model in args.models or ("mlp", "dcgan"):
        run = new_run(model, device)
        list(run.steps(2 * run.recipe.penalty_every + 2))
        monitor = doctor.Monitor(lambda n, run=run: run.sample(n), None, run.data, say=None)
        ratios, rates = [], {False: [], True: []}
        for i in range(args.rounds):
            for watched in (i % 2 == 1, i % 2 == 0):
                rates[watched].append(rate(run, args.seconds, monitor if watched else None))
            ratios.append(rates[True][-1] / rates[False][-1])
        bare, with_it = (statistics.median(rates[watched]) for watched in (False, True))
        print(f"{model:10} {bare:16,.1f} {with_it:8,.1f} {1 - statistics.median(ratios):7.2%} {len(monitor.rows):6} "
              f"{monitor.cost * 1e3:6.0f} ms {storing(monitor, run) * 1e6:7.1f} µs", flush=True)  # fmt: skip


def rate(run: Run, seconds: float, monitor: doctor.Monitor | None) -> float:
    """Steps per second."""
    first = run.step
    synchronize()
    began = time.perf_counter()
    for step in run.steps(seconds=seconds):
        if monitor is not None:
            monitor.step(d_loss=step.d_loss, g_loss=step.g_loss)
    synchronize()
    return (run.step - first) / (time.perf_counter() - began)


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
