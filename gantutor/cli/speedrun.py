"""`gantutor speedrun`: the races."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from gantutor.cli.common import Parser, capital, check_counts, choose_device
from gantutor.cli.sample import write_npz
from gantutor.errors import unknown


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "race: how many seconds of training does it take until the images are good enough?"
    command = add(
        help=text,
        description=f"{capital(text)} All entries get the same images, judge and goals. Exit status 1: a run did not "
        "reach the goals.",
    )
    command.add_argument("race", metavar="RACE", nargs="?", help="the name of a race; without it, list them")
    command.add_argument("--seeds", type=int, metavar="K", default=3, help="run with seeds 0 to K - 1 (default 3)")
    command.add_argument("--device", default="auto", help="as in train")
    command.add_argument("--precision", default="fp32", help="as in train: bf16 is faster on CPUs that support it")
    command.add_argument("--samples", metavar="DIR", type=Path,
                         help="save the images that were judged last as SEED.npz, for other metrics")  # fmt: skip
    command.add_argument("--record", metavar="FILE", type=Path, help="add a row to this file of records (.md)")


def run(args: argparse.Namespace) -> int:
    check_counts(args, "seeds")

    from gantutor.experiments import speedrun

    if args.race is None:
        for name, race in speedrun.RACES.items():
            print(f"{name:14} {race.about}: {race.goals()}")
        return 0
    if args.race not in speedrun.RACES:
        raise unknown("race", args.race, speedrun.RACES)
    device, race = choose_device(args.device), speedrun.RACES[args.race]
    entry = replace(speedrun.ENTRIES[args.race], precision=args.precision)
    if args.record:
        speedrun.add_records(args.record)  # fail now rather than after the race
    name = args.race if args.precision == "fp32" else f"{args.race}, {args.precision}"
    print(f"{name}: {race.goals()}. On {speedrun.describe_computer(device)}.")
    finishes = []
    for seed in range(args.seeds):
        finish = speedrun.run(race, entry, seed=seed, device=device, report=partial(report, seed))
        if args.samples:
            save_samples(args.samples / f"{seed}.npz", finish.G, race.count)
        finishes.append(finish)
    print(f"Seconds of training: {speedrun.summary(finishes)}.")
    if args.record:
        speedrun.add_records(args.record, speedrun.record_row(name, finishes, device))
    return 0 if all(finish.reached for finish in finishes) else 1


def report(seed: int, evaluation) -> None:
    print(f"seed {seed} {evaluation}", flush=True)


def save_samples(path: Path, G, count: int) -> None:
    from gantutor import train
    from gantutor.files import replacing

    with replacing(path) as temporary:
        write_npz(temporary, train.sample(G, count).cpu(), train.wanted_labels(G, count), None)
