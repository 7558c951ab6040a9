"""Mode coverage in the plane: PacGAN's ring and grid, with its nets and with the package's own recipe.

    python tests/bench/bench_modes.py                                # PacGAN's nets; a shortened run
    python tests/bench/bench_modes.py --steps 400000 --device cuda   # as long as in the paper
    python tests/bench/bench_modes.py --ours --members 5 --seconds 120

Data and metric are those of Lin et al. 2018 (PacGAN), section 4.1: 100,000 training points, 2,500 samples, high quality
within three standard deviations, reverse KL against the uniform histogram. So are nets and optimizer, except in the
lines that say "ours": there, our recipe (points divided by their spread), once with the paper's nets, once with
`models.plane`. Every number is a mean over the members of an ensemble, ± its standard error.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from gantutor import metrics, models
from gantutor.data import toy
from gantutor.scale import Ensemble
from gantutor.train import PLANE, Recipe

PAPER = {  # pack -> modes, high quality in %, reverse KL: PacGAN, tables 1 and 2, 10 trials, 400,000 steps
    "ring": {1: "6.3±.5  98.2±.2   .45±.09", 2: "7.9±.1  95.6±2.0  .07±.03", 3: "7.8±.1  97.7±.3   .10±.02",
             4: "7.8±.1  95.9±1.4  .07±.02"},
    "grid": {1: "17.3±.8  94.8±.7  .70±.07", 2: "23.8±.7  91.3±.8  .13±.04", 3: "24.6±.4  94.2±.4  .06±.02",
             4: "24.8±.2  93.6±.6  .04±.01"},
}  # fmt: skip
PACGAN = Recipe(lr_g=1e-4, lr_d=1e-4, betas=(0.8, 0.999), penalty=None, ema_decay=0.0, decay_from=1.0)


def paper_nets(seed: int, pack: int = 1) -> tuple[nn.Module, nn.Module]:
    """G 4×400 with batch norm, D 3×200 of maxout with 5 pieces."""
    G = models.MLPGenerator(2, (400,) * 4, (2,), output="linear", seed=seed, init_std=0.02)
    return G, models.MLPDiscriminator((200,) * 3, (2,), seed=seed + 1, init_std=0.02, maxout=5, pack=pack)


def pacgan(members: int, pack: int, mixture: toy.Mixture, device: str) -> Ensemble:
    """As in the paper, with 100 packs in a batch."""
    pairs, recipe = [paper_nets(2 * s, pack) for s in range(members)], replace(PACGAN, batch_size=100 * pack)
    return Ensemble(pairs, mixture.sample(100_000, 0), recipe, seeds=0, device=device)


def ours(members: int, mixture: toy.Mixture, device: str, nets: Callable = models.plane) -> Ensemble:
    pairs = [nets(seed=2 * s) for s in range(members)]
    return Ensemble(pairs, mixture.sample(100_000, 0) / mixture.spread, PLANE, seeds=0, device=device)


def measure(
    ensemble: Ensemble, mixture: toy.Mixture, steps: int | None, seconds: float | None, scale: float = 1
) -> str:
    began = time.perf_counter()
    for _ in ensemble.steps(steps, seconds=seconds):
        pass
    taken = time.perf_counter() - began
    found = [metrics.mixture_coverage(points.cpu(), mixture) for points in scale * ensemble.sample(2500, seed=1)]
    parts = []
    for name, unit, digits in (("modes", 1, 1), ("high_quality", 100, 1), ("reverse_kl", 1, 3)):
        values = unit * torch.tensor([float(getattr(c, name)) for c in found])
        error = values.std() / len(values) ** 0.5 if len(values) > 1 else float("nan")
        parts.append(f"{values.mean():.{digits}f}±{error:.{digits}f}")
    fewest = min(c.modes for c in found)
    return f"{'  '.join(parts)}   fewest modes {fewest}   {ensemble.step:,} steps, {taken:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixtures", nargs="+", choices=("ring", "grid"), default=("ring", "grid"))
    parser.add_argument("--packs", nargs="+", type=int, default=(1, 2, 3, 4))
    parser.add_argument("--members", type=int, default=10)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int)
    length.add_argument("--seconds", type=float, help="for each line of the table")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ours", action="store_true", help="only the package's own recipe")
    args = parser.parse_args()
    if args.steps is None and args.seconds is None:
        args.seconds = 120.0
    for name in args.mixtures:
        mixture = getattr(toy, name)()
        print(f"{name}: modes, high quality in %, reverse KL; {args.members} members", flush=True)
        for pack in () if args.ours else args.packs:
            method = "GAN" if pack == 1 else f"PacGAN{pack}"
            line = measure(pacgan(args.members, pack, mixture, args.device), mixture, args.steps, args.seconds)
            print(f"  {method:18} {line}\n  {'paper':18} {PAPER[name][pack]}   400,000 steps", flush=True)
        for title, nets in (("ours, paper's nets", paper_nets), ("ours, our nets", models.plane))[args.ours :]:
            ensemble = ours(args.members, mixture, args.device, nets)
            line = measure(ensemble, mixture, args.steps, args.seconds, mixture.spread)
            print(f"  {title:18} {line}", flush=True)
    if not args.ours and (args.steps or 0) < 400_000:
        print("These runs are shorter than the paper's: compare the methods with each other, not with its numbers.")


if __name__ == "__main__":
    main()
