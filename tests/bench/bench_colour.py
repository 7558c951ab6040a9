"""How good do colour pictures get, and how soon? Prints a line for each look and writes a sheet of 100 samples.

    python tests/bench/bench_colour.py                                  # faces at 64×64, ten minutes of training
    python tests/bench/bench_colour.py --size 32 --seconds 240
    python tests/bench/bench_colour.py --data FOLDER --seconds 900      # your own pictures
    python tests/bench/bench_colour.py --device cuda --g-width 160 --d-width 160 --seconds 300 --precision bf16

The score is the Fréchet distance in the features of the judge of faces, of as many samples as there are held-out
pictures (2,500 at most; of a folder a sixth is held out). Its floor is that of pictures that were trained on. For faces
it also counts the values of factors whose share is less than half or more than twice that among held-out faces. Loading
and scoring do not count as training time.
"""

import argparse
import time
from pathlib import Path

import torch
from bench_train import changed, speed
from torch import Tensor

from gantutor import data, metrics, models, show
from gantutor.cli import common
from gantutor.metrics import classifier
from gantutor.models import summary
from gantutor.train import Recipe, Run, accelerate

HELD_OUT = 2500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="faces", help="faces, or a folder of pictures")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--steps", type=int, help="instead of --seconds")
    parser.add_argument("--looks", type=int, default=6)
    parser.add_argument("--g-width", type=int, default=16)
    parser.add_argument("--d-width", type=int, default=16)
    parser.add_argument("--up", default="blur", choices=("blur", "transposed", "resize"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", choices=accelerate.PRECISIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("samples.png"))
    args = parser.parse_args()
    device = common.choose_device(args.device)
    images, held_out = pictures(args.data, args.size)
    shape = tuple(images.stored.shape[1:])
    recipe = changed(Recipe.for_images(shape, len(images)), args.set)
    judge = classifier.load("faces", device, size=args.size)
    there, floor = (classifier.features_and_logits(judge, x)[0] for x in (held_out, images[: len(held_out)]))
    print(f"{len(images):,} pictures of {args.data}, {device}, {args.precision}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, seed {args.seed}, batch {recipe.batch_size}, gamma {recipe.gamma}")
    floor_score = metrics.frechet(floor, there)
    print(f"floor (pictures trained on against those held out): {floor_score:.2f}")

    options = dict(seed=args.seed, device=device, precision=args.precision)
    kept = images.to(device)

    def new_run() -> Run:
        nets = models.for_images(shape, args.seed, g_width=args.g_width, d_width=args.d_width, up=args.up)
        return Run(*nets, kept, recipe, **options)

    steps = args.steps or round(args.seconds * speed(new_run().steps(10**9), 1, seconds=10, warm_up=5))
    run, trained, began = new_run(), 0.0, time.perf_counter()
    print(f"weights: {summary.parameters(run.G):,} of G, {summary.parameters(run.D):,} of D")
    for step in run.steps(steps):
        if step.index * args.looks // steps == (step.index - 1) * args.looks // steps:
            continue
        step.d_loss.item()  # waits for the device
        trained += time.perf_counter() - began
        samples = run.sample(len(held_out), seed=1)
        score = metrics.frechet(classifier.features_and_logits(judge, samples)[0], there)
        rate = step.index * recipe.batch_size / trained
        line = f"step {step.index:6,}  {trained:5.0f} s  {rate:6,.0f} images/s  Fréchet {score:7.2f}, "
        line += f"{score / floor_score:5.1f} times the floor"
        print(line + (f"; {off_balance(judge, samples, held_out)}" if args.data == "faces" else ""), flush=True)
        began = time.perf_counter()
    show.grid(run.sample(100, seed=2), columns=10).save(args.out)
    print(f"a hundred samples: {args.out}")


def pictures(name: str, size: int) -> tuple[data.Images, Tensor]:
    """What is trained on, and floats that are held out."""
    if name == "faces":
        return data.load("faces", size=size), data.load("faces", "test", size=size)[:HELD_OUT]
    every = data.from_folder(name, size, grey=False)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))
    aside = min(len(every) // 6, HELD_OUT)
    kept = order[aside:]
    return data.Images(every.name, every.stored[kept], every.labels[kept], every.classes), every[order[:aside]]


def off_balance(judge: classifier.Classifier, samples: Tensor, real: Tensor) -> str:
    """How many values of factors are less than half or more than twice as frequent as they should be."""
    mine, theirs = classifier.factor_shares(judge, samples), classifier.factor_shares(judge, real)
    off = [
        f"{judge.factors[name][i]} {100 * mine[name][i]:.0f} for {100 * theirs[name][i]:.0f}%"
        for name, which in classifier.off_balance(mine, theirs).items()
        for i in which.nonzero().flatten().tolist()
    ]
    count = sum(map(len, judge.factors.values()))
    return f"{len(off)} of {count} values off balance" + (f": {', '.join(off[:6])}" if off else "")


if __name__ == "__main__":
    main()
