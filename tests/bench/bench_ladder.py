"""What did each change of the speed run buy? One change after the other, each raced like an entry. Prints a table.

    python tests/bench/bench_ladder.py                    # all rungs, about a quarter of an hour
    python tests/bench/bench_ladder.py --seconds 60 --seed 1

A rung gets `--seconds` of training, measured beforehand as steps, so that the learning rates can fall by then. Times
are those of the processor on one thread, so other programs disturb them little.
"""

import argparse
import time
from dataclasses import replace

import torch

from gantutor import models
from gantutor.experiments import speedrun
from gantutor.experiments.speedrun import ENTRIES, RACES, Entry
from gantutor.train import Recipe, Run

PAPER = Recipe(lr_g=2e-4, lr_d=2e-4, betas=(0.5, 0.999), penalty=None, ema_decay=0.0, decay_from=1.0)
NARROW = ENTRIES["unconditional"].nets


def paper(seed: int):
    """DCGAN as published: batch norm in D too, no further layer; half the paper's width, as tutorials have it."""
    return models.DCGANGenerator(100, 64, seed=seed), models.DCGANDiscriminator(64, norm="batch", seed=seed + 1)


RUNGS = {  # what changes -> entry, but for its steps
    "DCGAN as in tutorials": Entry(paper, PAPER, 1, (1,)),
    "narrow nets, D without batch norm": Entry(NARROW, PAPER, 1, (1,)),
    "averaged weights": Entry(NARROW, replace(PAPER, ema_decay=0.999), 1, (1,)),
    "no momentum, rates 7 times as high": Entry(NARROW, replace(Recipe(), penalty=None, decay_from=1.0), 1, (1,)),
    "R1 every 16 steps": Entry(NARROW, replace(Recipe(), decay_from=1.0), 1, (1,)),
    "rates that fall from the middle on": Entry(NARROW, replace(Recipe(), decay_from=0.5), 1, (1,)),
    "rates twice as high, β2 0.99": Entry(NARROW, ENTRIES["unconditional"].recipe, 1, (1,)),
    "bf16": Entry(NARROW, ENTRIES["unconditional"].recipe, 1, (1,), precision="bf16"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=45, help="of training for each rung, about")
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    race = RACES["unconditional"]
    print(f"{speedrun.describe_computer('cpu')}, torch {torch.__version__}, seed {args.seed}; {race.goals()}\n")
    print("| change | ms/step | arrived after, s | Fréchet, recall at the end | steps |\n|-|-|-|-|-|")
    images, _ = race.start("cpu")
    for change, rung in RUNGS.items():
        each = seconds_of_a_step(rung, images)
        steps = round(args.seconds / each)
        judged_after = sorted({steps * n // args.evaluations for n in range(1, args.evaluations + 1)})
        finish = speedrun.run(race, replace(rung, steps=steps, judged_after=judged_after), seed=args.seed)
        last, scores = finish.evaluations[-1], finish.evaluations[-1].scores
        arrived = f"{last.step * each:.0f}" if finish.reached else "not"
        end = f"{scores['frechet']:.1f}, {scores['recall']:.2f} | {last.step:,}"
        print(f"| {change} | {1e3 * each:.0f} | {arrived} | {end} |", flush=True)


def seconds_of_a_step(entry: Entry, images, n: int = 48) -> float:
    run = Run(*entry.nets(0), images, entry.recipe, precision=entry.precision)
    for _ in run.steps(10):
        pass
    began = time.process_time()
    for _ in run.steps(n):
        pass
    return (time.process_time() - began) / n


if __name__ == "__main__":
    main()
