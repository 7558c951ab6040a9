"""Stacked digits, a thousand modes: a plain GAN with a narrow D, the cures, and the modern recipe.

    python tests/bench/bench_stacked.py                                  # on a CPU: the collapse test
    python tests/bench/bench_stacked.py --data strokes --seconds 120
    python tests/bench/bench_stacked.py --device cuda --width 64 --d-width 64 --methods R3GAN --steps 50000

G is a DCGAN; D has a quarter of its width, as in the collapse test of Metz et al. 2017. Of 26,000 samples the shipped
judge reads each channel; the KL is that of their histogram against equal shares.
"""

import argparse
import time
from dataclasses import replace

import torch

from gantutor import data, metrics
from gantutor.cli import common
from gantutor.experiments.stacked_digits import METHODS, RECIPE, pair
from gantutor.metrics import classifier
from gantutor.train import Run

PAPERS = """\
papers, 26,000 samples, their own nets: DCGAN 99 modes, KL 3.40; PacDCGAN4 1000, .07; R3GAN 1000, .029
papers, D at a quarter of the width:    DCGAN 78.5 modes, KL 5.21; PacDCGAN4 667.4, 1.81"""
COUNT = 26_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("mnist", "strokes"), default="mnist")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--width", type=int, default=16, help="of G's last hidden layer")
    parser.add_argument("--d-width", type=int, help="of D's first layer; without, a quarter of --width")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int)
    length.add_argument("--seconds", type=float, help="for each run; 60 without --steps")
    parser.add_argument("--runs", type=int, default=1, help="of each method, with seeds 0, 1, …")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    if args.steps is None and args.seconds is None:
        args.seconds = 60.0
    device, widths = common.choose_device(args.device), (args.width, args.d_width or max(1, args.width // 4))
    images, j = data.load(args.data), classifier.load(args.data)
    pictures = data.stacked(images, 60_000, seed=0)
    real = metrics.label_coverage(classifier.stacked_modes(j, pictures.pixels[:COUNT]), 1000)
    print(f"stacked {args.data}, G {widths[0]} wide, D {widths[1]}, {device}; {COUNT:,} samples")
    print(f"{'real pictures':14} {real.modes:5} modes   KL {real.reverse_kl:.3f}")
    for name in args.methods:
        for seed in range(args.runs):
            print(f"{name:14} {measure(name, seed, pictures.pixels, widths, j, device, args)}", flush=True)
    print(PAPERS)


def measure(
    name: str,
    seed: int,
    pixels: torch.Tensor,
    widths: tuple[int, int],
    j: classifier.Classifier,
    device: str,
    args: argparse.Namespace,
) -> str:
    recipe, g, d = METHODS[name]
    run = Run(*pair(g, d, *widths, 2 * seed), pixels, replace(RECIPE, **recipe), seed=seed, device=device)
    began = time.perf_counter()
    for _ in run.steps(args.steps, seconds=args.seconds):
        pass
    taken = time.perf_counter() - began
    found = metrics.label_coverage(classifier.stacked_modes(j, run.sample(COUNT).cpu()), 1000)
    return f"{found.modes:5} modes   KL {found.reverse_kl:.3f}   {run.step:,} steps, {taken:.0f} s"


if __name__ == "__main__":
    main()
