"""Generators that are already trained, for the explorers and for classes without time to train.

::

    from gantutor import show, train
    from gantutor.runs import pretrained
    G = pretrained.generator("digits")                   # or "clothes", "strokes", "faces"
    show.grid(train.sample(G, 64, labels=7))             # sevens

They ship with the package. Train them again, each in about five minutes of CPU time, faces in fifty, with ``python -m
gantutor.runs.pretrained NAME``.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from gantutor import data, metrics, models, train
from gantutor.errors import BadInput, unknown
from gantutor.metrics import classifier
from gantutor.models import shipped


class Shipped(NamedTuple):
    """A shipped file of weights: where it comes from and how good it is."""

    data: str  # the name of the training data set
    score: float  # Fréchet distance of 10,000 samples to the test images, in the judge's features: `metrics.score`
    digest: str  # SHA-256 of the file
    digest_of_d: str = ""  # where the discriminator ships as well, to be trained further
    steps: int = 8000


# `python -m gantutor.runs.pretrained NAME` prints these.
SHIPPED = {
    "digits": Shipped("mnist", 0.29, "5d7aa51f6b6f8f152b106331525b9e07e73284759ffab62d6803d230f647e2ea"),
    "clothes": Shipped("fashion-mnist", 0.39, "d74025e5fbd0ea2042810b2c8e83695b072eeb34c471dec13c630c21de5ff3f3"),
    "strokes": Shipped("strokes", 0.07, "75059636ec9cabe79681f08e82ec41b685f0bbabf798b126966954b803991a9a"),
    "faces": Shipped(
        "faces",
        30.76,
        "e21cc00c1c836384824a357a9178520352de304c97a22d7ad5dd464579ba5e1e",
        "b940d2475889f0c8121ec3abad87ea21e3353fa7d847743e09ce7a2fb20fb7c2",
        steps=20_000,
    ),
}


def generator(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """A generator in eval mode with frozen weights.

    Args:
        name: "digits" (trained on MNIST), "clothes" (Fashion-MNIST) or "strokes", which are conditional: G(z, y),
            z (B, 64), y (B,) -> (B, 1, 28, 28). Or "faces", without classes: G(z), z (B, 64) -> (B, 3, 64, 64);
            `metrics.attribute_directions` finds the directions in z that change one factor of a face.

    Raises:
        BadInput: the name is unknown, or the file of weights is missing or differs from the shipped one.
    """
    if name not in SHIPPED:
        raise unknown("generator", name, SHIPPED)
    path = shipped.intact("generators", name, SHIPPED[name].digest)
    return from_file(path).to(device).eval().requires_grad_(False)


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """The averaged G and the last D of a shipped training, to be trained further. So far only "faces" has its D.

    Raises `BadInput` as `generator` does, and where no D ships.
    """
    whole = [known for known, made in SHIPPED.items() if made.digest_of_d]
    if name in SHIPPED and name not in whole:
        raise BadInput(f"{name} ships without its discriminator: start from {' or '.join(whole)}, or from a run.")
    G, D = generator(name), from_file(shipped.intact("generators", of_d(name), SHIPPED[name].digest_of_d))
    return G.train().requires_grad_(True), D


def of_d(name: str) -> str:
    return f"{name}-discriminator"


def from_file(path: Path) -> nn.Module:
    """The net in a file of shipped weights."""
    state = shipped.load_half(path)
    net = models.NETS[state.get("kind", "DCGANGenerator")](**state["config"])
    net.load_state_dict(state["weights"])
    return net


def fit(images: data.Images, steps: int, seed: int = 0) -> train.Run:
    """Train a DCGAN: a conditional one, but one without labels where several factors of the images are known."""
    shape = tuple(images.stored.shape[1:])
    nets = models.for_images(shape, seed=seed, classes=0 if images.factors else len(images.classes))
    run = train.Run(*nets, images, train.Recipe.for_images(shape, len(images)), seed=seed)
    for _ in run.steps(steps):
        pass
    return run


def score(G: nn.Module, name: str) -> float:
    """The Fréchet distance between 10,000 samples and the test images of a data set, in its judge's features."""
    j = classifier.load(name)
    reference = classifier.features_and_logits(j, data.load(name, "test").pixels)[0]
    return metrics.score(lambda n: train.sample(G, n), j, reference)


def write(net: nn.Module, name: str) -> Path:
    path = shipped.folder("generators") / f"{name}.pt"
    kind = {} if isinstance(net, models.DCGANGenerator) else {"kind": type(net).__name__}
    shipped.save_half(net, path, **kind, config=vars(net)["config"])
    return path


def main() -> None:
    """Train a generator and write it to the file from which `generator` loads it."""
    parser = argparse.ArgumentParser(prog="python -m gantutor.runs.pretrained", description=main.__doc__)
    parser.add_argument("name", choices=SHIPPED)
    parser.add_argument("--steps", type=int, help="instead of as many as before")
    args = parser.parse_args()
    name, before = args.name, SHIPPED[args.name]
    images, steps = data.load(before.data), args.steps or before.steps
    began = time.perf_counter()
    run = fit(images, steps)
    seconds, whole = time.perf_counter() - began, score(run.G_ema, before.data)
    path = write(run.G_ema, name)
    of_both = shipped.digest(path), shipped.digest(write(run.D, of_d(name))) if images.factors else ""
    facts = [before.data, round(score(from_file(path).eval(), before.data), 2), *of_both, steps]
    print(f'"{name}": Shipped({", ".join(map(repr, facts))}),  # put this into SHIPPED')
    print(f"trained in {seconds:.0f} s; {path.stat().st_size:,} bytes; score {whole:.3f} before halving")


if __name__ == "__main__":
    main()
