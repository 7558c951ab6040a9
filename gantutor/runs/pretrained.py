"""Generators that are already trained, for the explorers and for classes without time to train.

::

    from gantutor import show, train
    from gantutor.runs import pretrained
    G = pretrained.generator("digits")                   # or "clothes", or "strokes"
    show.grid(train.sample(G, 64, labels=7))             # sevens

They ship with the package. Train them again, each in about five minutes of CPU time, with ``python -m
gantutor.runs.pretrained NAME``.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from gantutor import data, metrics, models, train
from gantutor.errors import unknown
from gantutor.metrics import classifier
from gantutor.models import shipped


class Shipped(NamedTuple):
    """A shipped file of weights: where it comes from and how good it is."""

    data: str  # the name of the training data set
    score: float  # Fréchet distance of 10,000 samples to the test images, in the judge's features: `metrics.score`
    digest: str  # SHA-256 of the file


# These lines are printed by `python -m gantutor.runs.pretrained NAME`.
SHIPPED = {
    "digits": Shipped("mnist", 0.29, "5d7aa51f6b6f8f152b106331525b9e07e73284759ffab62d6803d230f647e2ea"),
    "clothes": Shipped("fashion-mnist", 0.39, "d74025e5fbd0ea2042810b2c8e83695b072eeb34c471dec13c630c21de5ff3f3"),
    "strokes": Shipped("strokes", 0.07, "75059636ec9cabe79681f08e82ec41b685f0bbabf798b126966954b803991a9a"),
}
STEPS = 8000


def generator(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """A conditional DCGAN generator in eval mode with frozen weights: G(z, y), z (B, 64), y (B,) -> (B, 1, 28, 28).

    Args:
        name: "digits" (trained on MNIST), "clothes" (Fashion-MNIST) or "strokes".

    Raises:
        BadInput: the name is unknown, or the file of weights is missing or differs from the shipped one.
    """
    if name not in SHIPPED:
        raise unknown("generator", name, SHIPPED)
    return from_file(shipped.intact("generators", name, SHIPPED[name].digest)).to(device)


def from_file(path: Path) -> nn.Module:
    """The generator in a file of shipped weights, in eval mode and frozen."""
    state = shipped.load_half(path)
    G = models.DCGANGenerator(**state["config"])
    G.load_state_dict(state["weights"])
    return G.eval().requires_grad_(False)


def fit(images: data.Images, steps: int = STEPS, seed: int = 0) -> nn.Module:
    """Train a conditional DCGAN and return its averaged generator."""
    G, D = models.dcgan(tuple(images.pixels.shape[1:]), seed=seed, classes=len(images.classes))
    run = train.Run(G, D, images, seed=seed)
    for _ in run.steps(steps):
        pass
    return run.G_ema


def score(G: nn.Module, name: str) -> float:
    """The Fréchet distance between 10,000 samples and the test images of a data set, in its judge's features."""
    j = classifier.load(name)
    reference = classifier.features_and_logits(j, data.load(name, "test").pixels)[0]
    return metrics.score(lambda n: train.sample(G, n), j, reference)


def main() -> None:
    """Train a generator and write it to the file from which `generator` loads it."""
    parser = argparse.ArgumentParser(prog="python -m gantutor.runs.pretrained", description=main.__doc__)
    parser.add_argument("name", choices=SHIPPED)
    parser.add_argument("--steps", type=int, default=STEPS)
    name, steps = vars(parser.parse_args()).values()
    source, path = SHIPPED[name].data, shipped.folder("generators") / f"{name}.pt"
    images = data.load(source)
    began = time.perf_counter()
    G = fit(images, steps)
    seconds = time.perf_counter() - began
    shipped.save_half(G, path, config=G.config)
    written = score(from_file(path), source)
    print(f'"{name}": Shipped("{source}", {written:.2f}, "{shipped.digest(path)}"),  # put this line into SHIPPED')
    print(f"trained in {seconds:.0f} s; {path.stat().st_size:,} bytes; score {score(G, source):.3f} before halving, "
          f"{written:.3f} after")  # fmt: skip


if __name__ == "__main__":
    main()
