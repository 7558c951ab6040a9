"""What the watch for NaN and infinity costs: images per second with it and without, in turn. Prints a table.

    python tests/bench/bench_guard.py                  # every model on the best device
    python tests/bench/bench_guard.py mlp dcgan --rounds 9 --seconds 1 --device cpu

Each round times both, the one that goes first taking turns, on one and the same run. The cost is 1 less the median of
the rounds' ratios: the machine's moods hit both alike. Beside it stand what one look and one copy take, and the cost
that these add up to: a look each 100 steps (500 of a CUDA graph), a copy each second. It is the better figure on a
machine that has other work to do.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from bench_steps import MODELS, new_run, synchronize

from gantutor.cli import common
from gantutor.runs import nan_guard
from gantutor.train import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2, help="of steps for each figure")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = common.choose_device(args.device)
    print(f"{'model':10} {'img/s without':>14} {'with':>10} {'cost':>7} {'a look':>9} {'a copy':>9} {'sum':>7}")
    for model in args.models or MODELS:
        run = new_run(model, device)
        list(run.steps(2 * run.recipe.penalty_every + 2))
        pairs = [measured(run, args.seconds, watched_first=i % 2 == 1) for i in range(args.rounds)]
        bare, watched = (statistics.median(rates) for rates in zip(*pairs, strict=True))
        cost = 1 - statistics.median(w / b for b, w in pairs)
        watch = nan_guard.Watch(run)
        look, copy = time_of(watch.look), time_of(watch.sound.take)
        seconds = run.recipe.batch_size / bare  # of a step
        total = look / (watch.every * seconds) + copy / max(nan_guard.PAUSE, copy / nan_guard.SHARE)
        print(f"{model:10} {bare:14,.0f} {watched:10,.0f} {cost:7.2%} {look * 1e3:6.2f} ms {copy * 1e3:6.2f} ms "
              f"{total:7.2%}", flush=True)  # fmt: skip


def measured(run: Run, seconds: float, watched_first: bool) -> tuple[float, float]:
    """Images per second without the watch, and with it."""
    rates = {watched: rate(run, seconds, watched) for watched in (watched_first, not watched_first)}
    return rates[False], rates[True]


def rate(run: Run, seconds: float, watched: bool) -> float:
    first, steps = run.step, run.steps(seconds=seconds)
    synchronize()
    began = time.perf_counter()
    for _ in nan_guard.watched(run, steps) if watched else steps:
        pass
    synchronize()
    return (run.step - first) * run.recipe.batch_size / (time.perf_counter() - began)


def time_of(function: Callable[[], None], calls: int = 20) -> float:
    function()
    synchronize()
    began = time.perf_counter()
    for _ in range(calls):
        function()
    synchronize()
    return (time.perf_counter() - began) / calls


if __name__ == "__main__":
    main()
