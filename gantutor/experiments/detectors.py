"""Detectors of generated digits: each is trained on the samples of one generator, and tried on those of each."""

import io
from collections.abc import Callable
from functools import cache, lru_cache, partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantutor import models, train
from gantutor.data import Images
from gantutor.doctor.measures import roc_auc
from gantutor.experiments import material
from gantutor.experiments.classifying import Classifying, Task
from gantutor.experiments.experiment import Budget, Experiment, Row
from gantutor.experiments.rivals import Autoencoder
from gantutor.metrics import classifier
from gantutor.state import seeded

FAKES, STEPS = 12_000, 2000  # on which a detector is trained, and for how long
GENERATOR_STEPS = 2000
SOURCES = ("dense GAN", "its twin", "DCGAN", "VAE")


def as_bytes(x: Tensor) -> Tensor:
    """Images as a file holds them: 256 levels."""
    return ((x + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def blurred(x: Tensor) -> Tensor:
    kernel = torch.tensor([1.0, 2.0, 1.0])
    return F.conv2d(F.pad(x, (1, 1, 1, 1), value=-1), (kernel[:, None] * kernel)[None, None] / 16)


def noisy(x: Tensor) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    return (x + 0.15 * noise).clamp(-1, 1)


def resaved(x: Tensor) -> Tensor:
    """As JPEG files of quality 75."""
    from PIL import Image

    pictures = []
    for pixels in ((x + 1) * 127.5).round().byte()[:, 0]:
        file = io.BytesIO()
        Image.fromarray(pixels.numpy()).save(file, "JPEG", quality=75)
        pictures.append(torch.from_numpy(np.array(Image.open(file))))
    return torch.stack(pictures)[:, None] / 127.5 - 1


HANDLING: dict[str, Callable[[Tensor], Tensor]] = {"blurred": blurred, "noisy": noisy, "resaved": resaved}


@lru_cache(len(SOURCES))  # those of one seed
def generator(name: str, seed: int, budget: Budget) -> nn.Module:
    """A generator, trained on MNIST."""
    images = material.load("mnist", budget).examples
    assert isinstance(images, Images)
    steps = budget.steps(GENERATOR_STEPS)
    if name == "VAE":
        model = Autoencoder(images, seed)
        with seeded(seed):
            for step in range(steps):
                model.step(step / steps)
        return model.G
    number = 1000 * seed + 500 * (name == "its twin")
    G, D = models.dcgan(seed=number) if name == "DCGAN" else models.mlp(seed=number)
    run = train.Run(G, D, images, seed=number)
    for _ in run.steps(steps):
        pass
    return run.G_ema


@cache
def real(split: str, budget: Budget) -> Tensor:
    images = material.published("mnist", split, budget.tiny)
    return images.pixels if split == "train" else images.pixels[: budget.samples // 2]


def suspicion(net: classifier.Classifier, x: Tensor) -> Tensor:
    logits = classifier.features_and_logits(net, as_bytes(x))[1]
    return logits[:, 1] - logits[:, 0]  # above 0: generated


def prepare(source: str, seed: int, budget: Budget) -> Task:
    genuine, tried = real("train", budget), real("test", budget)
    fakes = as_bytes(train.sample(generator(source, seed, budget), min(FAKES, len(genuine)), seed=5))
    others = {name: train.sample(generator(name, seed, budget), len(tried), seed=7) for name in SOURCES}

    def draw() -> tuple[Tensor, Tensor]:
        x = genuine[torch.randint(len(genuine), (32,))], fakes[torch.randint(len(fakes), (32,))]
        return torch.cat(x), torch.arange(2).repeat_interleave(32)

    def score(net: classifier.Classifier) -> dict[str, float]:
        of_real = suspicion(net, tried)
        found = {f"AUC {name}": roc_auc(suspicion(net, x), of_real) for name, x in others.items()}
        for name, change in HANDLING.items():
            of_changed = suspicion(net, change(tried))
            found[f"AUC {name}"] = roc_auc(suspicion(net, change(others[source])), of_changed)
            found[f"false alarms {name}"] = (of_changed > 0).double().mean().item()
        return {**found, "false alarms": (of_real > 0).double().mean().item()}

    return Task(("real", "generated"), draw, score)


def rows() -> dict[str, Row]:
    about = {"generator steps": GENERATOR_STEPS, "fakes": FAKES}
    return {
        f"trained on {name}": Classifying(partial(prepare, name), {"source": name, **about}, STEPS, 2e-3)
        for name in SOURCES
        if name != "its twin"
    }


EXPERIMENT = Experiment(
    question="Does a detector of generated digits know other generators than its own, and blurred or resaved images?",
    rows=rows,
    base="trained on dense GAN",
)
