"""What does watching cost? Plain steps against `live.train` at its default rate, in one run, by turns.

As in a notebook there is a page to draw on, which takes every picture and throws it away. Aimed at: ≤ 1.05 for every
pair, with ``--metrics`` too. The ratio of the processor's time is the one to read where other programs run.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable

import torch

from gantutor import data, live, metrics, models, train
from gantutor.data import toy
from gantutor.live import panels


class Page:
    """Takes every picture as bytes and throws it away, as fast as a page can."""

    def __init__(self, content: object):
        self.pictures = 0

    def update(self, content: object) -> None:
        self.pictures += isinstance(content, panels.Frame) and len(content._repr_png_()) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12, help="of each turn, about")
    parser.add_argument("--turns", type=int, default=5, help="of each kind; the median counts")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--metrics", action="store_true", help="show two numbers as well")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    panels.in_notebook = lambda: True
    panels.display = lambda content, display_id: Page(content)
    print(f"threads: {torch.get_num_threads()}\n\n| run | steps | plain, s | watched, s | ratio | of processor time |")
    print("|-|-|-|-|-|-|")
    for name, make in RUNS.items():
        n = steps_in(make(), options.seconds)
        plain, watched = [], []
        for _ in range(options.turns):
            plain.append(timed(make(), lambda run, n=n: walk(run, n)))
            numbers = NUMBERS if options.metrics else None
            watched.append(timed(make(), lambda run, n=n, m=numbers: asyncio.run(live.train(run, n, metrics=m))))
        (a, a_used), (b, b_used) = (map(statistics.median, zip(*times, strict=True)) for times in (plain, watched))
        print(f"| {name} | {n:,} | {a:.2f} | {b:.2f} | {b / a:.3f} | {b_used / a_used:.3f} |", flush=True)


def digits() -> train.Run:
    return train.Run(*models.mlp(), data.load_or_strokes("mnist"))


def plane() -> train.Run:
    return train.Run(*models.plane(), RING.sample(10_000, 0) / RING.spread, train.PLANE)


RING = toy.ring()
RUNS = {"MLP on 28×28 images": digits, "points in the plane": plane}
NUMBERS = {
    "diversity": lambda run: metrics.diversity(run.sample(200).flatten(1)),
    "mean": lambda run: run.sample(200).mean(),
}


def walk(run: train.Run, n: int) -> None:
    for _ in run.steps(n):
        pass


def steps_in(run: train.Run, seconds: float) -> int:
    """How many steps take about so long."""
    walk(run, 50)
    return max(100, round(200 * seconds / timed(run, lambda run: walk(run, 200))[0]))


def timed(run: train.Run, what: Callable[[train.Run], None]) -> tuple[float, float]:
    """Seconds by the clock, and those of the processor."""
    began, used = time.perf_counter(), time.process_time()
    what(run)
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
