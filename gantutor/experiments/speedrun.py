"""The speed run: how many seconds of training until the images are good enough?

A race with fixed rules. Everybody gets the same images, judge and goals. The clock runs from the first step on while
the nets train, and stands still while they are judged. A goal on recall keeps out who draws the easy images only.

    finish = speedrun.run("unconditional", seed=0)  # with the best entry so far
    finish = speedrun.run("unconditional", speedrun.Entry(my_nets, my_recipe, steps=3000, looks=(2500, 3000)))
    print(finish.seconds, finish.looks[-1].scores)
"""

import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gantutor import __version__, data, metrics, models
from gantutor.errors import BadInput, unknown, whole_number
from gantutor.files import replacing
from gantutor.metrics import classifier
from gantutor.models import classes_of
from gantutor.train import Recipe, Run

Scores = dict[str, float]
Measure = Callable[[Tensor], Scores]  # samples, their classes taking turns -> a number for each goal

HEADER = """\
# Records of the speed run

`gantutor speedrun RACE --seeds K --record tests/bench/records.md` adds a row: seconds of training until every goal of
the race was met, the median over the seeds, the lowest and the highest. *scores*: those of the seed in the middle.

| date | race | seconds | seeds | steps | scores | computer | versions |
|-|-|-|-|-|-|-|-|
"""


@dataclass(frozen=True)
class Race:
    """What to draw, and how well.

    Attributes:
        about: in a few words.
        most, least: the goals: the highest and the lowest value that will do, by the name of the score.
        conditional: whether the nets are told the class of each image. Where not, they must do without labels.
        images: the data set.
        count: how many samples are judged.
        stacked: three digits in a picture, which makes 1,000 modes.
    """

    about: str
    most: Mapping[str, float]
    least: Mapping[str, float]
    conditional: bool = False
    images: str = "mnist"
    count: int = 10_000
    stacked: bool = False

    def meets(self, scores: Scores) -> bool:
        """Whether every goal is met."""
        low_enough = all(scores[name] <= limit for name, limit in self.most.items())
        return low_enough and all(scores[name] >= limit for name, limit in self.least.items())

    def goals(self) -> str:
        limits = [("≤", self.most), ("≥", self.least)]
        return ", ".join(f"{name} {sign} {limit:g}" for sign, goals in limits for name, limit in goals.items())

    def start(self, device: str | torch.device | None) -> tuple[data.Images, Measure]:
        """The images to train on, and what measures samples."""
        images, j = data.load(self.images, device=device), classifier.load(self.images, device or "cpu")
        if self.stacked:
            return data.stacked(images, len(images), seed=0), partial(read_stacked, j)
        test, _ = classifier.features_and_logits(j, data.load(self.images, "test").pixels)
        return images, partial(compare, j, test, self.conditional)


def compare(j: classifier.Classifier, test: Tensor, conditional: bool, samples: Tensor) -> Scores:
    """The Fréchet distance and the recall of samples against test features; the share of classes that came as asked."""
    features, logits = classifier.features_and_logits(j, samples)
    pair = test.cpu(), features.cpu()
    scores = {"frechet": metrics.frechet(*pair), "recall": metrics.precision_and_recall(*pair).recall}
    if conditional:
        scores["accuracy"] = metrics.accuracy(logits.cpu(), torch.arange(len(samples)) % logits.shape[1])
    return scores


def read_stacked(j: classifier.Classifier, samples: Tensor) -> Scores:
    """How many of the 1,000 modes there are, and how unequal they are."""
    found = metrics.label_coverage(classifier.stacked_modes(j, samples), len(j.classes) ** 3)
    return {"reverse_kl": found.reverse_kl, "modes": found.modes}


@dataclass(frozen=True)
class Entry:
    """Who runs.

    Attributes:
        nets: seed -> (G, D).
        recipe: how they are trained.
        steps: how many at most; by them the learning rates fall.
        looks: the steps after which the samples of the averaged generator are judged, in order.
        precision, compile: as in `train.Run`.
    """

    nets: Callable[[int], tuple[nn.Module, nn.Module]]
    recipe: Recipe
    steps: int
    looks: Sequence[int]
    precision: str = "fp32"
    compile: bool = False

    def __post_init__(self):
        whole_number("steps", self.steps, least=1)
        looks = [whole_number("looks", look, least=1) for look in self.looks]
        if not looks or looks != sorted(set(looks)) or looks[-1] > self.steps:
            raise BadInput(f"looks are {tuple(looks)}: give one or more steps in order, the last at most {self.steps}.")


def pair(seed: int, **options: Any) -> tuple[nn.Module, nn.Module]:
    """A DCGAN pair of that seed."""
    return models.dcgan(seed=seed, **options)


RACES = {
    "unconditional": Race("MNIST, on two CPU cores", {"frechet": 5.5}, {"recall": 0.7}),
    "conditional": Race("MNIST by class, on two CPU cores", {"frechet": 2.5}, {"recall": 0.6, "accuracy": 0.95}, True),
    "fine": Race("MNIST, on one GPU", {"frechet": 2}, {"recall": 0.75}),
    "stacked": Race("three digits in a picture, on one GPU", {"reverse_kl": 0.06}, {"modes": 1000}, count=26_000,
                    stacked=True),
}  # fmt: skip

FAST = Recipe(lr_g=3e-3, lr_d=2e-3, betas=(0.0, 0.99), decay_from=0.5)
"""Twice the usual learning rates, which fall from the middle on. At four times the usual D's loss explodes."""

ENTRIES = {
    "unconditional": Entry(pair, FAST, steps=2000, looks=range(1000, 2001, 100)),
    "conditional": Entry(partial(pair, classes=10), FAST, steps=1200, looks=range(400, 1201, 50)),
    "fine": Entry(partial(pair, d_width=32), Recipe(batch_size=256), steps=20_000, looks=range(1000, 20_001, 1000)),
    "stacked": Entry(partial(pair, shape=(3, 28, 28), g_width=64, d_width=32), Recipe(batch_size=256), steps=50_000,
                     looks=range(2500, 50_001, 2500)),
}  # fmt: skip


class Look(NamedTuple):
    """What the judge saw, and when."""

    step: int
    seconds: float  # of training so far
    scores: Scores

    def __str__(self) -> str:
        scores = "  ".join(f"{name} {value:.3g}" for name, value in self.scores.items())
        return f"{self.seconds:6.1f} s   step {self.step:6,}   {scores}"


@dataclass(frozen=True, eq=False)
class Finish:
    """How one run went. `seconds` of training, until the last look."""

    reached: bool
    looks: tuple[Look, ...]
    G: nn.Module  # the averaged generator as it was judged last

    @property
    def seconds(self) -> float:
        return self.looks[-1].seconds


def run(
    race: str | Race,
    entry: Entry | None = None,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    tell: Callable[[Look], object] = lambda look: None,
) -> Finish:
    """Run a race once, until every goal is met or the entry has no more steps.

    Args:
        race: a name of `RACES`, or a `Race`.
        entry: who runs; by default `ENTRIES[race]`.
        seed: of the nets and of the training.
        device: where; None is the CPU.
        tell: is called with each look.

    Raises:
        BadInput: an unknown race, or nets that do not fit it.
    """
    if not isinstance(race, Race):
        if race not in RACES:
            raise unknown("race", race, RACES)
        entry, race = entry or ENTRIES[race], RACES[race]
    if entry is None:
        raise BadInput("this race is your own, so give it an entry.")
    images, measure = race.start(device)
    G, D = entry.nets(seed)
    wanted = len(images.classes) if race.conditional else 0
    if classes_of(G) != wanted or classes_of(D) != wanted:
        rule = f"G and D are told which of {wanted} classes to draw" if wanted else "nobody is told the class"
        raise BadInput(f"G has {classes_of(G)} classes and D {classes_of(D)}, but in this race {rule}.")
    training = Run(G, D, images, entry.recipe, seed=seed, device=device, precision=entry.precision,
                   compile=entry.compile)  # fmt: skip
    looks, seconds, began = [], 0.0, time.perf_counter()
    for step in training.steps(entry.steps):
        if step.index not in entry.looks:
            continue
        step.g_loss.item()  # waits for the device
        seconds += time.perf_counter() - began
        looks.append(Look(step.index, seconds, measure(training.sample(race.count))))
        tell(looks[-1])
        if race.meets(looks[-1].scores) or step.index == entry.looks[-1]:
            break
        began = time.perf_counter()
    return Finish(race.meets(looks[-1].scores), tuple(looks), training.G_ema)


# --- records ---------------------------------------------------------------------------------------------------------


def summary(finishes: Sequence[Finish]) -> str:
    """The median of the seconds and their range; how many did not arrive."""
    seconds = sorted(finish.seconds for finish in finishes if finish.reached)
    late = f"{len(finishes) - len(seconds)} of {len(finishes)} did not arrive"
    if not seconds:
        return late
    told = f"{statistics.median(seconds):.1f} ({seconds[0]:.1f} to {seconds[-1]:.1f})"
    return told if len(seconds) == len(finishes) else f"{told}; {late}"


def row(name: str, finishes: Sequence[Finish], device: str | torch.device | None) -> str:
    """The line of the records that tells of these runs."""
    middle = sorted(finishes, key=lambda finish: finish.seconds)[(len(finishes) - 1) // 2].looks[-1]
    scores = ", ".join(f"{score} {value:.3g}" for score, value in middle.scores.items())
    versions = f"gantutor {__version__}, torch {torch.__version__}"
    today = datetime.date.today().isoformat()
    cells = [today, name, summary(finishes), str(len(finishes)), f"{middle.step:,}", scores, computer(device), versions]
    return f"| {' | '.join(cells)} |"


def record(path: str | os.PathLike, *rows: str) -> None:
    """Add rows to a file of records, which is made if it is missing.

    Raises:
        BadInput: the file cannot be read or written.
    """
    path = Path(path)
    with replacing(path) as temporary:
        before = path.read_text(encoding="utf-8") if path.is_file() else HEADER
        temporary.write_text("".join(f"{line}\n" for line in [*before.splitlines(), *rows]), encoding="utf-8")


def computer(device: str | torch.device | None) -> str:
    """What the training runs on: "2 threads, AMD EPYC 9R14 (2 cores)", or the name of the GPU."""
    device = torch.device(device or "cpu")
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = Path("/proc/cpuinfo")  # where there is one, it says more than Python does
    lines = known.read_text(encoding="utf-8").splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{torch.get_num_threads()} threads, {name} ({os.cpu_count()} cores)" if device.type == "cpu" else name
