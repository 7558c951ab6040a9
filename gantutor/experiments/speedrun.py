"""The speed run: how many seconds of training does it take until the images are good enough?

A race has fixed rules: all entries get the same images, the same judge and the same goals. The clock starts with the
first step and stops while samples are judged. A goal for recall excludes generators that draw only the easy images.

    finish = speedrun.run("unconditional", seed=0)  # with the best entry so far
    finish = speedrun.run("unconditional", speedrun.Entry(my_nets, my_recipe, steps=3000, judged_after=(2500, 3000)))
    print(finish.seconds, finish.evaluations[-1].scores)
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
Measure = Callable[[Tensor], Scores]  # samples, whose classes take turns -> a score for each goal

HEADER = """\
# Records of the speed run

`gantutor speedrun RACE --seeds K --record tests/bench/records.md` adds a row: seconds of training until every goal of
the race was met, the median over the seeds, the lowest and the highest. *scores*: those of the median seed.

| date | race | seconds | seeds | steps | scores | computer | versions |
|-|-|-|-|-|-|-|-|
"""


@dataclass(frozen=True)
class Race:
    """The rules of a race: what to draw, and how well.

    Attributes:
        about: the race in a few words.
        most, least: the goals, as the highest and the lowest acceptable value by the name of the score.
        conditional: whether both nets get the class labels; if not, neither may.
        images: the name of the data set.
        count: how many samples are judged.
        stacked: three digits in each picture, which makes 1,000 modes.
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
        """The training images, and a function that scores samples."""
        images, j = data.load(self.images, device=device), classifier.load(self.images, device or "cpu")
        if self.stacked:
            return data.stacked(images, len(images), seed=0), partial(score_stacked, j)
        test, _ = classifier.features_and_logits(j, data.load(self.images, "test").pixels)
        return images, partial(score_images, j, test, self.conditional)


def score_images(j: classifier.Classifier, test: Tensor, conditional: bool, samples: Tensor) -> Scores:
    """The Fréchet distance and the recall of samples against test features; if conditional, the label accuracy too."""
    features, logits = classifier.features_and_logits(j, samples)
    features_pair = test.cpu(), features.cpu()
    scores = {"frechet": metrics.frechet(*features_pair), "recall": metrics.precision_and_recall(*features_pair).recall}
    if conditional:
        scores["accuracy"] = metrics.accuracy(logits.cpu(), torch.arange(len(samples)) % logits.shape[1])
    return scores


def score_stacked(j: classifier.Classifier, samples: Tensor) -> Scores:
    """How many of the 1,000 modes occur, and how unequally."""
    found = metrics.label_coverage(classifier.stacked_modes(j, samples), len(j.classes) ** 3)
    return {"reverse_kl": found.reverse_kl, "modes": found.modes}


@dataclass(frozen=True)
class Entry:
    """What takes part in a race: nets, a recipe, and when to judge.

    Attributes:
        nets: seed -> (G, D).
        recipe: how they are trained.
        steps: how many at most; the schedule of the learning rates is based on them.
        judged_after: the steps after which samples of the averaged generator are judged, in ascending order.
        precision, compile: as in `train.Run`.
    """

    nets: Callable[[int], tuple[nn.Module, nn.Module]]
    recipe: Recipe
    steps: int
    judged_after: Sequence[int]
    precision: str = "fp32"
    compile: bool = False

    def __post_init__(self):
        whole_number("steps", self.steps, least=1)
        steps = [whole_number("judged_after", step, least=1) for step in self.judged_after]
        if not steps or steps != sorted(set(steps)) or steps[-1] > self.steps:
            raise BadInput(
                f"judged_after is {tuple(steps)}: give one or more steps in ascending order, at most {self.steps}."
            )


def dcgan_pair(seed: int, **options: Any) -> tuple[nn.Module, nn.Module]:
    """A DCGAN pair with this seed."""
    return models.dcgan(seed=seed, **options)


RACES = {
    "unconditional": Race("MNIST, on two CPU cores", {"frechet": 5.5}, {"recall": 0.7}),
    "conditional": Race("MNIST by class, on two CPU cores", {"frechet": 2.5}, {"recall": 0.6, "accuracy": 0.95}, True),
    "fine": Race("MNIST, on one GPU", {"frechet": 2}, {"recall": 0.75}),
    "stacked": Race("three digits in a picture, on one GPU", {"reverse_kl": 0.06}, {"modes": 1000}, count=26_000,
                    stacked=True),
}  # fmt: skip

FAST = Recipe(lr_g=3e-3, lr_d=2e-3, betas=(0.0, 0.99), decay_from=0.5)
"""Twice the default learning rates, which fall from the middle on. At four times the default D's loss explodes."""

ENTRIES = {
    "unconditional": Entry(dcgan_pair, FAST, steps=2000, judged_after=range(1000, 2001, 100)),
    "conditional": Entry(partial(dcgan_pair, classes=10), FAST, steps=1200, judged_after=range(400, 1201, 50)),
    "fine": Entry(partial(dcgan_pair, d_width=32), Recipe(batch_size=256), steps=20_000,
                  judged_after=range(1000, 20_001, 1000)),
    "stacked": Entry(partial(dcgan_pair, shape=(3, 28, 28), g_width=64, d_width=32), Recipe(batch_size=256),
                     steps=50_000, judged_after=range(2500, 50_001, 2500)),
}  # fmt: skip


class Evaluation(NamedTuple):
    """The scores at one moment of a run."""

    step: int
    seconds: float  # of training so far
    scores: Scores

    def __str__(self) -> str:
        scores = "  ".join(f"{name} {value:.3g}" for name, value in self.scores.items())
        return f"{self.seconds:6.1f} s   step {self.step:6,}   {scores}"


@dataclass(frozen=True, eq=False)
class Finish:
    """The result of a run. `seconds` is the training time until the last evaluation."""

    reached: bool
    evaluations: tuple[Evaluation, ...]
    G: nn.Module  # the averaged generator that was judged last

    @property
    def seconds(self) -> float:
        return self.evaluations[-1].seconds


def run(
    race: str | Race,
    entry: Entry | None = None,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    report: Callable[[Evaluation], object] = lambda evaluation: None,
) -> Finish:
    """Run a race once, until every goal is met or the entry was judged for the last time.

    Args:
        race: a name of `RACES`, or a `Race`.
        entry: what takes part; by default `ENTRIES[race]`.
        seed: for the nets and the training.
        device: where to train; None is the CPU.
        report: called with each evaluation.

    Raises:
        BadInput: the race is unknown, or the nets do not fit it.
    """
    if not isinstance(race, Race):
        if race not in RACES:
            raise unknown("race", race, RACES)
        entry, race = entry or ENTRIES[race], RACES[race]
    if entry is None:
        raise BadInput("there is no default entry for a race of your own: pass an entry.")
    images, measure = race.start(device)
    G, D = entry.nets(seed)
    wanted = len(images.classes) if race.conditional else 0
    if classes_of(G) != wanted or classes_of(D) != wanted:
        rule = f"both must be conditional on {wanted} classes" if wanted else "neither net may get the labels"
        raise BadInput(
            f"G has {classes_of(G)} classes and D has {classes_of(D)}, but in this race {rule}: give other nets."
        )
    training = Run(G, D, images, entry.recipe, seed=seed, device=device, precision=entry.precision,
                   compile=entry.compile)  # fmt: skip
    evaluations, seconds, began = [], 0.0, time.perf_counter()
    for step in training.steps(entry.steps):
        if step.index not in entry.judged_after:
            continue
        step.g_loss.item()  # waits for the device to finish
        seconds += time.perf_counter() - began
        evaluations.append(Evaluation(step.index, seconds, measure(training.sample(race.count))))
        report(evaluations[-1])
        if race.meets(evaluations[-1].scores) or step.index == entry.judged_after[-1]:
            break
        began = time.perf_counter()
    return Finish(race.meets(evaluations[-1].scores), tuple(evaluations), training.G_ema)


# --- records ---------------------------------------------------------------------------------------------------------


def summary(finishes: Sequence[Finish]) -> str:
    """The median and the range of the seconds, and how many runs did not reach the goals."""
    seconds = sorted(finish.seconds for finish in finishes if finish.reached)
    late = f"{len(finishes) - len(seconds)} of {len(finishes)} did not reach the goals"
    if not seconds:
        return late
    words = f"{statistics.median(seconds):.1f} ({seconds[0]:.1f} to {seconds[-1]:.1f})"
    return words if len(seconds) == len(finishes) else f"{words}; {late}"


def record_row(name: str, finishes: Sequence[Finish], device: str | torch.device | None) -> str:
    """The row of the records for these runs."""
    middle = sorted(finishes, key=lambda finish: finish.seconds)[(len(finishes) - 1) // 2].evaluations[-1]
    scores = ", ".join(f"{score} {value:.3g}" for score, value in middle.scores.items())
    versions = f"gantutor {__version__}, torch {torch.__version__}"
    today = datetime.date.today().isoformat()
    cells = [
        today,
        name,
        summary(finishes),
        str(len(finishes)),
        f"{middle.step:,}",
        scores,
        describe_computer(device),
        versions,
    ]
    return f"| {' | '.join(cells)} |"


def add_records(path: str | os.PathLike, *rows: str) -> None:
    """Add rows to a file of records, which is created if it is missing.

    Raises:
        BadInput: the file cannot be read or written.
    """
    path = Path(path)
    with replacing(path) as temporary:
        before = path.read_text(encoding="utf-8") if path.is_file() else HEADER
        temporary.write_text("".join(f"{line}\n" for line in [*before.splitlines(), *rows]), encoding="utf-8")


def describe_computer(device: str | torch.device | None) -> str:
    """The hardware of the training: "2 threads, AMD EPYC 9R14 (2 cores)", or the name of the GPU."""
    device = torch.device(device or "cpu")
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = Path("/proc/cpuinfo")  # where it exists, it is more specific than Python's `platform`
    lines = known.read_text(encoding="utf-8").splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{torch.get_num_threads()} threads, {name} ({os.cpu_count()} cores)" if device.type == "cpu" else name
