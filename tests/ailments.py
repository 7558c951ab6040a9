"""Images with a known ailment: the doctor's exam paper.

`planted` takes sound images that G was not trained on and spoils them in some seventy ways, or leaves them sound and
gives them wrong labels, sick nets or sick curves. ``python tests/ailments.py`` examines all of them;
``--write`` writes the table `tests/ailments.md`. ``--data FOLDER`` does so with pictures of your own.
"""

import argparse
import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantutor import data, doctor, models
from gantutor.data import Images
from gantutor.doctor import Diagnosis, measures
from gantutor.doctor.images import extractors
from gantutor.metrics import classifier

TABLE = Path(__file__).with_suffix(".md")
HEAD = """# The doctor's exam

Each row is one way to spoil {n} sound images, or sound images with sick labels, nets or curves, or healthy ones: images
held out, and samples of GANs that the package trained. Each column is a data set and what the samples are compared
with: `named`, the whole train split; `file`, 10,000 images of it, with or without labels. Faces are in colour, 32×32.
A tick: the first finding is the planted one. Otherwise the cell holds the first finding, or `healthy`. A cell is empty
where images cannot be spoiled so.

Made by `python tests/ailments.py --n {n} --seed 20 --generators FOLDER --write`. FOLDER holds 10,000 samples each as
`MODEL-DATA.npz`: of `gantutor train MODEL --data DATA` with `--steps 8000` (mlp), 6000 (dcgan) or 4000 (cdcgan), and as
`shipped-DATA.npz` of the generators that `gantutor sample` has for the digits, the clothes and the strokes.

"""


class Unfit(Exception):
    """Images of this kind cannot be spoiled so."""


@dataclass
class Ward:
    """Where the images of an exam come from: sound ones, the training set, and images of another kind."""

    sound: Images
    train: Images
    other: Images
    n: int
    draw: torch.Generator

    def some(self, n: int | None = None, of: Images | None = None) -> Tensor:
        """n different sound images, as far as there are so many."""
        pixels = (of or self.sound).pixels
        index = torch.randperm(len(pixels), generator=self.draw)[: n or self.n]
        return pixels[index.repeat(-(-(n or self.n) // len(index)))[: n or self.n]].clone()

    def weighted(self, weights: list[float]) -> Tensor:
        """Sound images, each class as many times as frequent as its weight says."""
        labels = self.sound.labels
        counts = torch.bincount(labels, minlength=len(weights))
        shares = torch.tensor(weights) * counts
        wanted = (self.n * shares / shares.sum()).round().long()
        parts = []
        for c, count in enumerate(torch.minimum(wanted, counts).tolist()):
            members = (labels == c).nonzero().flatten()
            parts.append(members[torch.randperm(len(members), generator=self.draw)[:count]])
        index = torch.cat(parts)
        return self.sound.pixels[index[torch.randperm(len(index), generator=self.draw)]].clone()

    def repeated(self, few: Tensor) -> Tensor:
        return few[torch.randint(len(few), (self.n,), generator=self.draw)]

    def normal(self, x: Tensor, std: float) -> Tensor:
        return (x + std * torch.randn(x.shape, generator=self.draw)).clamp(-1, 1)

    def overlaid(self) -> Tensor:
        return torch.maximum(self.some(), self.some())

    def kinds(self) -> int:
        """The number of classes."""
        if len(self.sound.classes) < 4:
            raise Unfit
        return len(self.sound.classes)

    def chosen(self, count: int) -> list[float]:
        """Weights that keep `count` classes; all but so many if it is below 0."""
        weights = torch.zeros(self.kinds())
        weights[torch.randperm(len(weights), generator=self.draw)[:count]] = 1
        return weights.tolist()

    def colored(self) -> Tensor:
        if self.sound.stored.shape[1] != 3:
            raise Unfit
        return self.some()


def blur(x: Tensor, std: float) -> Tensor:
    r = max(1, round(3 * std))
    kernel = torch.exp(-(torch.arange(-r, r + 1.0) ** 2) / (2 * std**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(F.pad(x, (r, r, r, r), mode="replicate"), kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])


def tiles(x: Tensor, *phases: int) -> Tensor:
    """A pattern of ±1 over the image: checks for (1, 1), upright stripes for (0, 1)."""
    rows, columns = (torch.arange(size) for size in x.shape[2:])
    return 1.0 - 2.0 * ((phases[0] * rows[:, None] + phases[1] * columns) % 2)


def spoil(x: Tensor, where: Tensor, value: float | Tensor) -> Tensor:
    x[where] = value
    return x


def salted(w: Ward, share: float) -> Tensor:
    x = w.some()
    hit = torch.rand(x.shape, generator=w.draw) < share
    x[hit] = (torch.rand(x.shape, generator=w.draw)[hit] > 0.5).float() * 2 - 1
    return x


def mixed(w: Ward, share: float) -> Tensor:
    """Copies of training images among sound ones."""
    x = w.some()
    k = round(share * w.n)
    x[:k] = w.some(k, w.train)
    return x


def shuffled_tiles(x: Tensor) -> Tensor:
    h, v = x.shape[2] // 2, x.shape[3] // 2
    y = x.clone()
    y[..., :h, :v], y[..., -h:, -v:] = x[..., -h:, -v:], x[..., :h, :v]
    return y


def halves(w: Ward) -> Tensor:
    x = w.some()
    x[..., : x.shape[2] // 2, :] = w.some()[..., : x.shape[2] // 2, :]
    return x


def holed(x: Tensor) -> Tensor:
    h, v = x.shape[2] // 3, x.shape[3] // 3
    x[..., h : 2 * h, v : 2 * v] = -1
    return x


def as_bytes(x: Tensor) -> Tensor:
    return x.round() / 127.5 - 1


def stretched(w: Ward) -> Tensor:
    """Each image to the full range, where they do not have it anyway."""
    x = w.some()
    low, high = (edge(x, (1, 2, 3), keepdim=True) for edge in (torch.amin, torch.amax))
    if ((low < -0.98) & (high > 0.9)).double().mean() > 0.5:
        raise Unfit
    return as_bytes((x - low) / (high - low) * 255)


def boxes(w: Ward, value: float) -> Tensor:
    """Half of the images with a square of one value."""
    x = w.some()
    side = x.shape[2] // 2
    for image in x[::2]:
        top, left = torch.randint(side, (2,), generator=w.draw).tolist()
        image[:, top : top + side, left : left + side] = value
    return x


def in_part(w: Ward, share: float, change: Callable[[Tensor], Tensor], x: Tensor | None = None) -> Tensor:
    """A share of the images is changed."""
    x = w.some() if x is None else x
    hit = torch.rand(len(x), generator=w.draw) < share
    return spoil(x, hit, change(x[hit]))


def per_class(w: Ward, count: int, noise: float) -> Tensor:
    """The same few images of each class."""
    labels = w.sound.labels
    members = [(labels == c).nonzero().flatten()[:count] for c in range(w.kinds())]
    return w.normal(w.repeated(w.sound.pixels[torch.cat(members)]), noise)


def geometric(w: Ward, factor: float) -> list[float]:
    return [factor**c for c in range(w.kinds())]


def lean(w: Ward, factor: float) -> list[float]:
    """Every second class is so many times as frequent as it should be."""
    return [factor ** (c % 2) for c in range(w.kinds())]


def one_heavy(w: Ward, share: float) -> list[float]:
    """One class gets this share of the samples."""
    weights = [1.0] * w.kinds()
    kind = int(torch.randint(len(weights), (), generator=w.draw))
    now = (w.sound.labels == kind).double().mean().item()
    weights[kind] = share / (1 - share) * (1 - now) / now
    return weights


def dimmed(w: Ward) -> Tensor:
    return w.some() * 0.1 + w.train.pixels[:2000].mean(0, keepdim=True) * 0.9


def labelled(w: Ward, right: float) -> dict:
    """Sound images with the labels that G was asked for, of which a share is right and the others are exchanged."""
    index = torch.randperm(len(w.sound), generator=w.draw)[: w.n]
    labels = w.sound.labels[index].clone()
    w.kinds()  # there have to be classes
    wrong = slice(0, round((1 - right) * len(index)))
    labels[wrong] = labels[wrong].roll(1)
    return {"samples": w.sound.pixels[index].clone(), "labels": labels}


class Album(nn.Module):
    """A generator that shows sound images through batch norm, in eval mode with these errors in its statistics."""

    def __init__(self, pixels: Tensor, shift: float = 0.0, scale: float = 1.0):
        super().__init__()
        self.pixels, self.norm = pixels, nn.BatchNorm2d(pixels.shape[1])
        self.norm.weight.data.fill_(pixels.std())
        self.norm.bias.data.fill_(pixels.mean())
        self.norm.running_mean.fill_(pixels.mean() + shift)
        self.norm.running_var.fill_(pixels.var() * scale)

    def forward(self, n: int) -> Tensor:
        return self.norm(self.pixels[torch.arange(n) % len(self.pixels)]).clamp(-1, 1)


def album(w: Ward, **errors: float) -> dict:
    x = w.some()
    return {"samples": x, "generator": Album(x, **errors)}


def duel(w: Ward, discriminator: Callable[[Tensor], Tensor]) -> dict:
    return {"samples": w.some(), "discriminator": discriminator}


def untrained(w: Ward, make: Callable) -> dict:
    shape = tuple(w.sound.stored.shape[1:])
    return duel(w, make(shape=shape, seed=int(torch.randint(1000, (), generator=w.draw)))[1])


def watermarked(w: Ward, certainty: float) -> dict:
    """Sound samples that differ in one pixel, which D has found out."""
    x = w.some()
    x[:, :, 0, 0] = -0.9  # hardly any real image has this there; digits are black
    return {"samples": x, "discriminator": lambda y: certainty * (1 - 2.0 * ((y[:, 0, 0, 0] + 0.9).abs() < 0.01))}


def remembering_d(w: Ward, noise: float) -> dict:
    """D knows its training images by heart; of others, which have to be given, it has a vague opinion."""
    known = key_of(w.train.pixels).sort().values

    def discriminator(y: Tensor) -> Tensor:
        key = key_of(y)
        place = torch.searchsorted(known, key).clamp(1, len(known) - 1)
        near = torch.minimum((known[place] - key).abs(), (known[place - 1] - key).abs()) < 1e-6
        return 3.0 * near + noise * torch.sin(1e4 * key)

    return {**duel(w, discriminator), "held_out": w.sound.pixels}


def key_of(x: Tensor) -> Tensor:
    """Images -> a number each, float64 (N,), that hardly any two share."""
    x = x.flatten(1)
    weights = torch.linspace(-1, 1, x.shape[1], dtype=torch.float64).sin()
    return torch.cat([part.double() @ weights for part in x.split(1000)])


def trained(w: Ward, name: str, curve: Callable[[Tensor, Tensor], Tensor]) -> dict:
    """Sound images with a curve of 600 steps, made from the time in [0, 1) and unit noise."""
    return {"samples": w.some(), "history": {name: curve(torch.arange(600) / 600, torch.randn(600, generator=w.draw))}}


def pulse(period: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, noise: 1.2 + 0.3 * torch.sin(2 * math.pi * t / period) + 0.1 * noise


Plant = Callable[[Ward], Tensor | dict]

PLANTS: dict[str, dict[str, Plant]] = {
    "healthy": {"held-out images": lambda w: w.some()},
    "non_finite": {
        "NaN in 5%": lambda w: spoil(w.some(), torch.arange(max(1, w.n // 20)), float("nan")),
        "one infinite pixel": lambda w: spoil(w.some(), torch.tensor(0), float("inf")),
        "all NaN": lambda w: w.some() * float("nan"),
    },
    "range_mismatch": {
        "[0, 1]": lambda w: (w.some() + 1) / 2,
        "[0, 255]": lambda w: (w.some() + 1) * 127.5,
        "[-0.5, 0.5]": lambda w: w.some() / 2,
        "standardised": lambda w: (lambda x: (x - x.mean()) / x.std())(w.some()),
        "inverted": lambda w: -w.some(),
        "inverted, [0, 1]": lambda w: (1 - w.some()) / 2,
        "0 and 1 as bytes": lambda w: ((w.some() + 1) / 2).round() / 127.5 - 1,
    },
    "saved_wrongly": {
        "clamped at 0": lambda w: as_bytes(w.some().clamp(min=0) * 255),
        "wrapped around": lambda w: as_bytes((w.some() * 127.5).trunc().remainder(256)),
        "washed out, 0.5 x + 1": lambda w: as_bytes((0.5 * w.some() + 1).clamp(0, 1) * 255),
        "stretched one by one": stretched,
        "transposed": lambda w: w.some().transpose(2, 3),
        "channels last, reshaped": lambda w: w.colored().permute(0, 2, 3, 1).reshape(-1, *w.sound.stored.shape[1:]),
    },
    "channel_order": {
        "blue, green, red": lambda w: w.colored()[:, [2, 1, 0]],
        "green, red, blue": lambda w: w.colored()[:, [1, 0, 2]],
    },
    "total_collapse": {
        "one image": lambda w: w.some(1).expand(w.n, -1, -1, -1).clone(),
        "one image, noise 0.02": lambda w: w.normal(w.some(1).expand(w.n, -1, -1, -1), 0.02),
        "one image, noise 0.1": lambda w: w.normal(w.some(1).expand(w.n, -1, -1, -1), 0.1),
        "one image, noise 0.3": lambda w: w.normal(w.some(1).expand(w.n, -1, -1, -1), 0.3),
        "one training image": lambda w: w.some(1, w.train).expand(w.n, -1, -1, -1).clone(),
        "black": lambda w: torch.full_like(w.some(), -1),
        "grey": lambda w: torch.zeros_like(w.some()),
        "near the mean image": dimmed,
    },
    "memorisation": {
        "5 training images": lambda w: w.repeated(w.some(5, w.train)),
        "50 training images": lambda w: w.repeated(w.some(50, w.train)),
        "2,000 training images": lambda w: w.repeated(w.some(2000, w.train)),
        "as many as there are": lambda w: w.some(None, w.train),
        "with noise 0.05": lambda w: w.normal(w.some(None, w.train), 0.05),
        "with noise 0.1": lambda w: w.normal(w.some(None, w.train), 0.1),
        "15% copies": lambda w: mixed(w, 0.15),
        "50% copies": lambda w: mixed(w, 0.5),
    },
    "augmentation_leak": {
        "boxes of half the size, grey": lambda w: boxes(w, 0.0),
        "boxes of half the size, white": lambda w: boxes(w, 1.0),
        "quarter turns": lambda w: in_part(w, 0.5, lambda x: x.rot90(1, (2, 3))),
        "half of them upside down": lambda w: in_part(w, 0.5, lambda x: x.flip(2)),
        "a third with other colours": lambda w: in_part(w, 0.33, lambda x: x[:, [1, 2, 0]], w.colored()),
    },
    "checkerboard": {
        "checks 0.1": lambda w: (w.some() + 0.1 * tiles(w.sound.pixels, 1, 1)).clamp(-1, 1),
        "checks 0.3": lambda w: (w.some() + 0.3 * tiles(w.sound.pixels, 1, 1)).clamp(-1, 1),
        "checks 0.6": lambda w: (w.some() + 0.6 * tiles(w.sound.pixels, 1, 1)).clamp(-1, 1),
        "stripes 0.2": lambda w: (w.some() + 0.2 * tiles(w.sound.pixels, 0, 1)).clamp(-1, 1),
        "on the ink, 0.25": lambda w: ((w.some() + 1) * (1 + 0.25 * tiles(w.sound.pixels, 1, 1)) - 1).clamp(-1, 1),
        "on the ink, 0.5": lambda w: ((w.some() + 1) * (1 + 0.5 * tiles(w.sound.pixels, 1, 1)) - 1).clamp(-1, 1),
        "dots 0.4": lambda w: (
            (w.some() + 1) * (1 - 0.1 * (1 + tiles(w.sound.pixels, 0, 1)) * (1 + tiles(w.sound.pixels, 1, 0))) - 1
        ),
    },
    "noisy": {
        "normal 0.1": lambda w: w.normal(w.some(), 0.1),
        "normal 0.2": lambda w: w.normal(w.some(), 0.2),
        "normal 0.4": lambda w: w.normal(w.some(), 0.4),
        "normal 0.8": lambda w: w.normal(w.some(), 0.8),
        "salt and pepper 3%": lambda w: salted(w, 0.03),
        "salt and pepper 10%": lambda w: salted(w, 0.1),
        "nothing but noise": lambda w: torch.rand(w.some().shape, generator=w.draw) * 2 - 1,
    },
    "blurred": {
        "normal 0.7 px": lambda w: blur(w.some(), 0.7),
        "normal 1 px": lambda w: blur(w.some(), 1.0),
        "normal 1.5 px": lambda w: blur(w.some(), 1.5),
        "normal 2.5 px": lambda w: blur(w.some(), 2.5),
        "normal 4 px": lambda w: blur(w.some(), 4.0),
        "mean of 3×3": lambda w: F.avg_pool2d(F.pad(w.some(), (1, 1, 1, 1), mode="replicate"), 3, 1),
        "half the size and back": lambda w: F.interpolate(F.avg_pool2d(w.some(), 2), scale_factor=2, mode="bilinear"),
    },
    "low_fidelity": {
        "turned by 90°": lambda w: w.some().rot90(1, (2, 3)),
        "quarters exchanged": lambda w: shuffled_tiles(w.some()),
        "two images overlaid": lambda w: w.overlaid(),
        "mean of two images": lambda w: (w.some() + w.some()) / 2,
        "halves of two images": halves,
        "half of them overlaid": lambda w: spoil(w.some(), torch.arange(w.n // 2), w.overlaid()[: w.n // 2]),
        "a hole in the middle": lambda w: holed(w.some()),
        "another data set": lambda w: w.some(None, w.other),
    },
    "partial_collapse": {
        "1 class": lambda w: w.weighted(w.chosen(1)),
        "3 classes": lambda w: w.weighted(w.chosen(3)),
        "half of the classes": lambda w: w.weighted(w.chosen(w.kinds() // 2)),
        "all classes but 2": lambda w: w.weighted(w.chosen(-2)),
        "all classes but 1": lambda w: w.weighted(w.chosen(-1)),
        "30 images": lambda w: w.repeated(w.some(30)),
        "100 images": lambda w: w.repeated(w.some(100)),
        "one per class, noise 0.05": lambda w: per_class(w, 1, 0.05),
        "three per class": lambda w: per_class(w, 3, 0.0),
    },
    "mode_imbalance": {
        "one class 50%": lambda w: w.weighted(one_heavy(w, 0.5)),
        "one class 30%": lambda w: w.weighted(one_heavy(w, 0.3)),
        "half of them a third": lambda w: w.weighted(lean(w, 0.33)),
        "each 3/4 of the last": lambda w: w.weighted(geometric(w, 0.75)),
    },
    "labels_ignored": {
        "all labels exchanged": lambda w: labelled(w, 0),
        "half of them": lambda w: labelled(w, 0.5),
    },
    "train_eval_gap": {
        "batch norm's mean off by 0.6": lambda w: album(w, shift=0.6),
        "its mean off by 0.9": lambda w: album(w, shift=0.9),
        "its variance twice too large": lambda w: album(w, scale=2.0),
        "its variance 5 times too large": lambda w: album(w, scale=5.0),
    },
    "discriminator_saturated": {
        "certain": lambda w: watermarked(w, 4.0),
        "quite certain": lambda w: watermarked(w, 40.0),
        "its loss near 0": lambda w: trained(w, "d_loss", lambda t, noise: (1.4 - 4 * t).clamp(min=0.02) * noise.exp()),
    },
    "discriminator_blind": {
        "always 0": lambda w: duel(w, lambda x: torch.zeros(len(x))),
        "at random": lambda w: duel(w, lambda x: torch.randn(len(x))),
        "untrained MLP": lambda w: untrained(w, models.mlp),
        "untrained DCGAN": lambda w: untrained(w, models.dcgan),
        "its loss always 2 log 2": lambda w: trained(w, "d_loss", lambda t, noise: 2 * math.log(2) + 0 * t),
    },
    "discriminator_overfitting": {
        "knows its images by heart": lambda w: remembering_d(w, 0.5),
        "not all of them surely": lambda w: remembering_d(w, 2.0),
    },
    "vanishing_generator_signal": {
        "fading": lambda w: trained(w, "g_grad_norm", lambda t, noise: torch.exp(-8 * t + 0.2 * noise)),
        "gone from the start": lambda w: trained(w, "g_grad_norm", lambda t, noise: 1e-8 * noise.exp()),
    },
    "oscillation": {
        "12 cycles in D's loss": lambda w: trained(w, "d_loss", pulse(1 / 12)),
        "40 cycles in D's loss": lambda w: trained(w, "d_loss", pulse(1 / 40)),
    },
}  # fmt: skip


Case = tuple[str, str, dict]  # ailment, variant, what `doctor.examine` is given


def planted(ward: Ward, seed: int) -> Iterator[Case]:
    """Each plant that these images admit; the same for the same seed, whichever are left out."""
    for i, (ailment, variants) in enumerate(PLANTS.items()):
        for j, (variant, plant) in enumerate(variants.items()):
            ward.draw.manual_seed(seed * 10_000 + i * 100 + j)
            try:
                made = plant(ward)
            except Unfit:
                continue
            yield ailment, variant, made if isinstance(made, dict) else {"samples": made}


# --- the table -------------------------------------------------------------------------------------------------------

REFERENCES = ("named", "file with labels", "file", "unknown file with labels")


def loaded(name: str) -> tuple[Images, Images]:
    """Images to train on and others, all as floats. Of a folder's pictures the half."""
    if name in data.NAMES:
        parts = [data.load(name, split, size=32 if name == "faces" else None) for split in ("train", "test")]
        return tuple(Images(part.name, part.pixels, part.labels, part.classes) for part in parts)
    pictures = data.from_folder(name, 32)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    return tuple(Images("", pictures[half], pictures.labels[half], pictures.classes) for half in halves)


def alike(x: Tensor, shape: torch.Size) -> Tensor:
    """Images with the size and the channels of others."""
    return F.interpolate(x, shape[2:], mode="bilinear").expand(-1, shape[1], -1, -1)


@dataclass
class Exam:
    """One data set, one kind of reference."""

    name: str  # or a folder of pictures
    reference: str
    n: int
    seed: int
    generators: Path | None = None

    def __post_init__(self):
        train, self.test = loaded(self.name)
        self.real, self.options = train, {"held_out": self.test}
        if self.reference != "named":
            draw = torch.Generator().manual_seed(self.seed)
            chosen = torch.randperm(len(train), generator=draw)[:10_000]
            train = Images("", train[chosen], train.labels[chosen], train.classes)
            self.real = train.pixels
            self.options = {"real_labels": train.labels} if "labels" in self.reference else {}
        other = data.load("fashion-mnist" if self.name != "fashion-mnist" else "mnist", "test")
        other = Images("", alike(other[:5000], train.stored.shape), other.labels[:5000], other.classes)
        self.ward = Ward(self.test, train, other, self.n, torch.Generator())

    def examine(self, **given: object) -> Diagnosis:
        with contextlib.ExitStack() as stack:
            for module, name in REMEMBERED:
                stack.enter_context(mock.patch.object(module, name, remembering(getattr(module, name))))
            if self.reference.startswith("unknown"):
                stack.enter_context(mock.patch.object(classifier, "recognise", return_value=None))
            return doctor.examine(real=self.real, **{**self.options, **given})


# What an exam asks again and again about the same real images is worked out once.
REMEMBERED = (
    (extractors, "train_classifier"), (classifier, "features_and_logits"), (measures, "CopySearch"),
    (measures, "lowe_ratio"), (measures, "texture"),
)  # fmt: skip
ANSWERS: dict[tuple, object] = {}


def remembering(function: Callable) -> Callable:
    def ask(*args):
        key = (function.__name__, *map(fingerprint, args))
        if key not in ANSWERS:
            if len(ANSWERS) > 60:
                ANSWERS.pop(next(iter(ANSWERS)))
            ANSWERS[key] = function(*args)
        ANSWERS[key] = ANSWERS.pop(key)  # the latest last
        return ANSWERS[key]

    return ask


def fingerprint(x: object) -> object:
    if isinstance(x, classifier.Classifier):
        return fingerprint(x.head.weight)
    if not isinstance(x, Tensor):
        return id(x)
    some = x.detach().flatten()
    some = torch.cat([some[:: max(1, len(some) // 20_011)], some[:1000]]).double()
    return tuple(x.shape), some.sum().item(), some.square().sum().item(), (some * torch.arange(len(some))).sum().item()


def healthy(exam: Exam) -> Iterator[Case]:
    """Sound sets that are no random choice: consecutive images, and good generators whose samples lie in a folder."""
    pixels = exam.test.pixels
    for i in range(6):
        start = i * (len(pixels) - exam.n) // 5
        yield "healthy", f"held-out images from {start:,}", {"samples": pixels[start : start + exam.n]}
    draw = torch.Generator().manual_seed(exam.seed)
    for path in sorted(exam.generators.glob(f"*{exam.name}*.npz")) if exam.generators else ():
        if exam.name == "mnist" and "fashion" in path.name:
            continue
        x = torch.from_numpy(np.load(path)["images"]).float() / 127.5 - 1
        model = path.stem.replace(exam.name, "").strip("-").replace("--", "-")
        yield "healthy", f"generator {model}", {"samples": x[torch.randperm(len(x), generator=draw)[: exam.n]]}


def table(results: dict[tuple[str, str], dict[tuple[str, str], str]]) -> str:
    """Markdown: a row for each case, a column for each data set and reference, with ✓ or the wrong first finding."""
    columns = list(results)
    rows = list(dict.fromkeys(case for column in results.values() for case in column))
    lines = ["| ailment | variant | " + " | ".join(f"{name}, {kind}" for name, kind in columns) + " |"]
    lines.append("|-" * (len(columns) + 2) + "|")
    for case in rows:
        cells = [results[column].get(case, "") for column in columns]
        marks = ["✓" if cell == case[0] else cell for cell in cells]
        lines.append(f"| {case[0]} | {case[1]} | " + " | ".join(marks) + " |")
    right = [sum(first == case[0] for case, first in results[column].items()) for column in columns]
    totals = [f"{count} of {len(results[column])}" for count, column in zip(right, columns, strict=True)]
    return "\n".join([*lines, "| **right** | | " + " | ".join(totals) + " |", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=list(classifier.SHIPPED), help="data sets, or folders of pictures")
    parser.add_argument("--references", nargs="+", default=REFERENCES[:3])
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the first exam; the next ones count on")
    parser.add_argument("--only", nargs="+", default=list(PLANTS), help="ailments")
    parser.add_argument("--generators", type=Path, help="folder of .npz files with the data set in their names")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    args = parser.parse_args()
    results, seed = {}, args.seed
    for name in args.data:
        for reference in args.references:
            exam = Exam(name, reference, args.n, seed, args.generators)
            results[name, reference] = {}
            for case in itertools.chain(planted(exam.ward, seed), healthy(exam)):
                if case[0] in args.only:
                    results[name, reference][case[:2]] = show(exam, case)
            seed += 1
            if args.write:
                TABLE.write_text(HEAD.format(n=args.n) + table(results), encoding="utf-8")
    firsts = [(case[0], first) for column in results.values() for case, first in column.items()]
    print(f"{sum(a == b for a, b in firsts)} of {len(firsts)} right", file=sys.stderr)


def show(exam: Exam, case: Case) -> str:
    """Examine, print a line (and the evidence where it is wrong), and give the first finding."""
    ailment, variant, given = case
    began = time.perf_counter()
    d = exam.examine(**given)
    first = d.names[0] if d.names else "healthy"
    verdict, took = "ok " if first == ailment else "BAD", time.perf_counter() - began
    print(verdict, exam.name, exam.reference, ailment, variant, "->", *d.names, f"{took:.1f}s", flush=True)
    if first != ailment:
        print(*(f"        {f.name}: {e}" for f in d.findings[:2] for e in f.evidence), sep="\n")
    return first


if __name__ == "__main__":
    main()
