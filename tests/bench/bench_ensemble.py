"""What an ensemble costs: S members in one step, against one run and against S runs one after the other.

    python tests/bench/bench_ensemble.py                 # 10 members on points, two hidden layers of 128
    python tests/bench/bench_ensemble.py --device cuda   # the same on a GPU
    python tests/bench/bench_ensemble.py --members 5 --width 256 --seconds 20

The three take turns, a few steps each, and of each the fastest turn counts: what else the computer does then disturbs
them alike, and least.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from gantutor import models
from gantutor.cli import common
from gantutor.data import toy
from gantutor.scale import Ensemble
from gantutor.train import R3GAN, Recipe, Run

TURN = 32  # steps; two rounds of the lazy penalty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--width", type=int, default=128, help="of the two hidden layers of G and D")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10, help="for each line")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = common.choose_device(args.device)
    name = torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"{device} ({name}), torch {torch.__version__}; {args.members} members, batch {args.batch_size}; ms per step")
    print(f"{'recipe':8} {'one run':>8} {'ensemble':>9} {'all alone':>10} {'ensemble/one':>13} {'alone/ensemble':>15}")
    for title, recipe in (
        ("default", Recipe(batch_size=args.batch_size)),
        ("R3GAN", replace(R3GAN, batch_size=args.batch_size)),
    ):
        one, together, alone = compare(recipe, args.members, args.width, device, args.seconds)
        print(f"{title:8} {one:8.2f} {together:9.2f} {alone:10.2f} {together / one:13.2f} {alone / together:15.2f}",
              flush=True)  # fmt: skip


def compare(recipe: Recipe, members: int, width: int, device: str, seconds: float) -> tuple[float, float, float]:
    """Milliseconds for a step of one run, of the ensemble, and of all its members as runs of their own."""
    points = toy.ring().sample(100_000, 0)
    pairs = [
        models.mlp((2,), 2, (width, width), (width, width), batch_norm=False, output="linear", seed=2 * i)
        for i in range(members)
    ]
    together = Ensemble(pairs, points, recipe, seeds=0, device=device)
    runs = [Run(*pair, points, recipe, seed=i, device=device) for i, pair in enumerate(pairs)]

    def alone():
        for run in runs:
            run.take_step()

    contestants = runs[0].take_step, together.take_step, alone
    for take_step in contestants:
        time_of(take_step, device)  # warm-up: memory, and on CUDA the recording
    best, end = [float("inf")] * 3, time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = [min(old, time_of(take_step, device)) for old, take_step in zip(best, contestants, strict=True)]
    return tuple(best)


def time_of(take_step: Callable[[], object], device: str) -> float:
    """Milliseconds per step, over one turn."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    began = time.perf_counter()
    for _ in range(TURN):
        take_step()
    wait()
    return (time.perf_counter() - began) / TURN * 1000


if __name__ == "__main__":
    main()
