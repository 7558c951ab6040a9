"""How fast do we train, how good does it get, and what does our loop save? Prints tables; pytest does not collect it.

    python tests/bench/bench_train.py                                # MNIST, 60 s of training, then the comparison
    python tests/bench/bench_train.py --model cdcgan --precision bf16 --compare 0
    python tests/bench/bench_train.py --data strokes --seconds 20 --set gamma=0.1 --set loss=hinge
    python tests/bench/bench_train.py --seconds 0                    # the comparison alone

The score is the Fréchet distance in the features of the package's judge, 10,000 samples against the test images;
training images against test images give its floor. Loading and scoring do not count as training time.
"""

import argparse
import ast
import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from bench_steps import MODELS, synchronize
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gantutor import data, losses, metrics, models
from gantutor.cli import common
from gantutor.metrics import classifier
from gantutor.train import Recipe, Run, accelerate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mlp", choices=common.MODELS)
    parser.add_argument("--data", default="mnist", choices=data.NAMES)
    parser.add_argument("--seconds", type=float, default=60, help="of training, for the score over time; 0 skips it")
    parser.add_argument("--compare", type=float, default=10, help="seconds for each loop compared; 0 skips it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", choices=accelerate.PRECISIONS)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-capture", action="store_true", help="no CUDA graph, on CUDA")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device, recipe = common.choose_device(args.device), changed(Recipe(), args.set)
    images = data.load(args.data, device=device)
    print(f"{args.model} on {args.data}, {device}, {args.precision}, {torch.get_num_threads()} threads")
    print(f"torch {torch.__version__}, seed {args.seed}")
    fields = {name: getattr(recipe, name) for name in recipe.__dataclass_fields__}
    print(", ".join(f"{k} {getattr(v, 'name', getattr(v, '__name__', v))}" for k, v in fields.items()))
    if args.seconds:
        capture = False if args.no_capture else None
        options = dict(device=device, precision=args.precision, compile=args.compile, capture=capture, seed=args.seed)
        score_over_time(args.model, images, recipe, args.seconds, options)
    if args.compare:
        compare_loops(images, device, args.compare)


def changed(recipe: Recipe, settings: list[str]) -> Recipe:
    """The recipe with the fields given as "name=value"; the value is a Python literal or the name of a loss."""
    for setting in settings:
        name, _, value = setting.partition("=")
        value = losses.LOSSES[value] if name == "loss" else ast.literal_eval(value)
        recipe = dataclasses.replace(recipe, **{name: value})
    return recipe


# --- score over time -------------------------------------------------------------------------------------------------


def score_over_time(
    model: str, images: data.Images, recipe: Recipe, seconds: float, options: dict, looks: int = 6
) -> None:
    """Train for about `seconds` of pure training, stopping the clock for `looks` scores on the way."""
    j = classifier.load(images.name, options["device"])
    test, _ = classifier.features_and_logits(j, data.load(images.name, "test", device=options["device"]).pixels)
    train, _ = classifier.features_and_logits(j, images.pixels[:10_000])
    print(f"\nfloor (10,000 training images against the test images): {metrics.frechet(train, test):.2f}")

    run = new_run(model, images, recipe, **options)
    steps = round(seconds * speed(new_run(model, images, recipe, **options).steps(10**9), 1, seconds=3))
    print(f"{'seconds':>8} {'steps':>8} {'images/s':>9} {'D loss':>7} {'G loss':>7} {'score':>8}")
    trained, began = 0.0, time.perf_counter()
    for step in run.steps(steps):
        if step.index * looks // steps > (step.index - 1) * looks // steps:
            d_loss, g_loss = step.d_loss.item(), step.g_loss.item()  # waits for the device
            trained += time.perf_counter() - began
            score = metrics.score(run.sample, j, test)
            rate = step.index * recipe.batch_size / trained
            print(f"{trained:8.1f} {step.index:8,} {rate:9,.0f} {d_loss:7.3f} {g_loss:7.3f} {score:8.2f}", flush=True)
            began = time.perf_counter()


def new_run(model: str, images: data.Images, recipe: Recipe, seed: int = 0, **options) -> Run:
    G, D = MODELS[model][0](tuple(images.pixels.shape[1:]), seed=seed)
    return Run(G, D, images, recipe, seed=seed, **options)


def speed(steps: Iterator, items_per_step: int, seconds: float, warm_up: int = 20) -> float:
    """Items per second of a loop that yields once a step."""
    for _ in range(warm_up):
        next(steps)
    synchronize()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        next(steps)
        count += 1
    synchronize()
    return count * items_per_step / (time.perf_counter() - began)


# --- our loop and the plain one --------------------------------------------------------------------------------------


def compare_loops(images: data.Images, device: str, seconds: float, rounds: int = 2) -> None:
    """The same nets, loss and batch size in three loops, in turn and twice, so that a busy moment hits all of them."""
    full = Recipe()
    bare = dataclasses.replace(full, penalty=None, ema_decay=0.0, decay_from=1.0)
    loops: dict[str, Callable[[], Iterator]] = {
        "ours, with R1, averaging, decay": lambda: new_run("mlp", images, full, device=device).steps(10**9),
        "ours, without them": lambda: new_run("mlp", images, bare, device=device).steps(10**9),
        "plain (DataLoader, transforms, .item())": lambda: plain_loop(images, full.batch_size, device),
    }
    results = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            results[name].append(speed(loop(), full.batch_size, seconds / rounds))
    print(f"\n{'loop':42} {'images/s':>9}")
    for name, rates in results.items():
        print(f"{name:42} {np.mean(rates):9,.0f}   ({', '.join(f'{rate:,.0f}' for rate in rates)})")


class Pictures(Dataset):
    """One image at a time, as tutorials do it: a picture, to tensor, normalised."""

    def __init__(self, images: data.Images):
        self.bytes = images.pixels.cpu().add(1).mul(127.5).round().byte().squeeze(1).numpy()  # (N, 28, 28)

    def __len__(self) -> int:
        return len(self.bytes)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        picture = Image.fromarray(self.bytes[index])
        x = torch.from_numpy(np.array(picture)).unsqueeze(0).float().div(255)  # (1, 28, 28) in [0, 1]
        return x.sub(0.5).div(0.5)


def plain_loop(images: data.Images, batch_size: int, device: str) -> Iterator[tuple[float, float]]:
    """The loop of early tutorials, on the nets of the package; yields both losses, as numbers, after every step."""
    G, D = (net.to(device) for net in models.mlp(shape=tuple(images.pixels.shape[1:])))
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, 0.99)) for net in (G, D))
    bce = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(batch_size, device=device), torch.zeros(batch_size, device=device)
    while True:
        for real in DataLoader(Pictures(images), batch_size, shuffle=True, drop_last=True):
            real, z = real.to(device), torch.randn(batch_size, G.latent_dim, device=device)
            fake = G(z)
            opt_g.zero_grad()
            g_loss = bce(D(fake), ones)
            g_loss.backward()
            opt_g.step()
            opt_d.zero_grad()
            d_loss = bce(D(real), ones) + bce(D(fake.detach()), zeros)
            d_loss.backward()
            opt_d.step()
            yield d_loss.item(), g_loss.item()


if __name__ == "__main__":
    main()
