"""What do all metrics, each with its floor, cost? 10,000 examples against 10,000 in 64 features, normal numbers.

The goals: 15 s together on two cores, and 2.5 GB at the highest. ``--count`` and ``--features`` take other sizes.
"""

import argparse
import resource
import sys
import time

import torch

from gantutor import metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=64)
    options = parser.parse_args()
    draw = torch.Generator().manual_seed(0)
    fake, real, held_out = torch.randn(3, options.count, options.features, generator=draw)
    p, q = torch.randn(2, options.count, 10, generator=draw).softmax(2)
    same = metrics.same_image(real)
    parts = {
        "frechet": lambda: metrics.frechet(fake, real),
        "kernel_distance": lambda: metrics.kernel_distance(fake, real),
        "precision_recall": lambda: metrics.precision_and_recall(real, fake),
        "density_coverage": lambda: metrics.density_and_coverage(real, fake),
        "inception_score": lambda: metrics.inception_score(p),
        "different_bins": lambda: metrics.different_bins(real, fake),
        "same_image": lambda: metrics.same_image(real),
        "birthday": lambda: metrics.birthday(fake, same),
        "memorisation": lambda: metrics.memorisation(fake, real, held_out),
        "diversity": lambda: metrics.diversity(fake),
        "report: all of them, and floors": lambda: metrics.report(
            fake, real, held_out, probabilities=p, held_out_probabilities=q
        ),
    }
    n, threads = f"{options.count:,}", torch.get_num_threads()
    print(f"{n} against {n} in {options.features} features, threads: {threads}\n")
    print("| metric | seconds |\n|-|-|")
    for name, measure in parts.items():
        began = time.perf_counter()
        measure()
        print(f"| {name} | {time.perf_counter() - began:.2f} |", flush=True)
    print(f"\nHighest memory of the whole program: {peak():.2f} GB")


def peak() -> float:
    """Gigabytes, torch itself included. macOS counts in bytes, Linux in units of 1024."""
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / 1e9 if sys.platform == "darwin" else highest * 1024 / 1e9


if __name__ == "__main__":
    main()
