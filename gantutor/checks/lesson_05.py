"""Lesson 05: detecting a loss of variety."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from gantutor import metrics
from gantutor.checks.exercise import Calls, Exercise, Mistake, brief
from gantutor.data import strokes
from gantutor.errors import BadInput


def fixed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- 05.1


def class_kl(labels: Tensor, expected: Tensor) -> float:
    """The KL of the package."""
    return metrics.label_coverage(labels, len(expected), expected).reverse_kl


def class_shares(labels: Tensor, expected: Tensor) -> Tensor:
    return labels.bincount(minlength=len(expected)) / len(labels)


def kl(a: Tensor, b: Tensor) -> Tensor:
    """KL(a ‖ b), the sum of a·log(a/b); terms with a = 0 count as 0."""
    return (torch.xlogy(a, a) - torch.xlogy(a, b)).sum()


CLASS_KL = Exercise(
    id="05.1",
    title="the KL of the classes",
    hints=(
        "First the histogram: what share q of the samples does each class have? Include the empty classes.",
        "Then sum q·log(q/p) over the classes. An empty class contributes 0, but 0·log 0 is NaN on a computer.",
        "labels.bincount(minlength=len(expected)) / len(labels) gives q. Sum only over the classes with q > 0.",
    ),
    observe=Calls(
        (torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0.25, 0.25, 0.5])),
        (torch.tensor([0, 0, 1, 1]), torch.tensor([0.2, 0.3, 0.5])),
        (torch.tensor([3, 3, 1, 3, 1]), torch.tensor([0.1, 0.2, 0.3, 0.3, 0.1])),
    ),
    right=class_kl,
    mistakes=(
        Mistake(
            lambda labels, p: kl(p, class_shares(labels, p)),
            "That is the other direction, KL(p ‖ q), which a single empty class makes infinite. The distribution of G "
            "comes first.",
        ),
        Mistake(
            lambda labels, p: kl(class_shares(labels, p), torch.full_like(p, 1 / len(p))),
            "You compare with equal shares, but the classes are not equally frequent here: use expected.",
        ),
        Mistake(
            lambda labels, p: (class_shares(labels, p) * (class_shares(labels, p) / p).log()).sum(),
            "Right while every class occurs, but NaN as soon as one is empty, because of 0·log 0. Such a class should "
            "contribute 0.",
        ),
        Mistake(
            lambda labels, p: kl(class_shares(labels, p), p) / math.log(2),
            "That is in bits. The lesson's KL uses the natural logarithm.",
        ),
        Mistake(
            lambda labels, p: (class_shares(labels, p) - p).abs().sum() / 2,
            "That is the total variation, which measures the same faults on another scale. The KL needs logarithms.",
        ),
        Mistake(
            lambda labels, p: kl(len(labels) * class_shares(labels, p), p),
            "You used counts instead of shares. Divide by the number of samples.",
        ),
    ),
    praise="It is the reverse_kl of metrics.label_coverage, which stays finite when a class is lost.",
)

# ---------------------------------------------------------------- 05.2

FIVE = 5.0
EVEN = 0.01  # how far the share of a class may be from 1/10


def score_of_table(answer: object) -> dict[str, float]:
    """The inception score of a table (N, 10), and how far the share of any class is from a tenth."""
    table = answer if isinstance(answer, Tensor) else as_table(answer)
    if table.ndim != 2 or table.shape[1] != 10:
        raise BadInput(
            f"the table has shape {tuple(table.shape)}: give (N, 10), a row of ten probabilities for each image."
        )
    if (table < 0).any():
        raise BadInput(f"the table contains {brief(table.min())}: its rows must be ≥ 0 and each add up to 1.")
    sums = table.double().sum(1)
    if wrong := ((sums - 1).abs() > 1e-2).nonzero().flatten().tolist():
        total = brief(sums[wrong[0]])
        raise BadInput(f"row {wrong[0]} of the table adds up to {total}: the rows must be ≥ 0 and each add up to 1.")
    score = metrics.inception_score(table)
    return {"score": score, "uneven": (table.double().mean(0) - 0.1).abs().max().item()}


def describe_score(table: object) -> str:
    """The score of a table and its mean row, or what is wrong with it, as text for the exercise sheet."""
    try:
        score = score_of_table(table)["score"]
    except BadInput as error:
        return str(error)
    mean = as_table(table).mean(0).tolist()
    return f"inception score {score:.3f}\nthe mean row: {' '.join(f'{share:.2f}' for share in mean)}"


def as_table(answer: object) -> Tensor:
    try:
        return torch.as_tensor(answer, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise BadInput("hand in the table: a tensor (N, 10) with a row of probabilities for each image.") from None


EYE = torch.eye(10)
HALVES = (EYE + EYE.roll(1, 1)) / 2

SCORE_FIVE = Exercise(
    id="05.2",
    title="another table with a score of 5",
    hints=(
        "The mean row stays uniform, ten times 0.1. What you can change is how confident each row is.",
        "With a uniform mean row the score is 10 / exp(H), where H is the mean entropy of the rows. Which H gives 5?",
        "H = log 2: in every row the judge splits its probability equally between two classes. Each class must occur "
        "equally often.",
    ),
    observe=score_of_table,
    right=HALVES,
    accepts=lambda seen: abs(seen["score"] - FIVE) < 0.02 and seen["uneven"] < EVEN,
    mistakes=(
        Mistake(
            EYE[:5].tolist(),
            "The score is 5, but some classes are more frequent than others, which is the first way. Make all ten "
            "equally frequent on average.",
            sign=lambda seen: abs(seen["score"] - FIVE) < 0.02,
        ),
        Mistake(
            torch.full((20, 10), 0.1).tolist(),
            "The score is 1, because the judge gives every image the same probabilities. They must differ between "
            "images.",
            sign=lambda seen: seen["score"] < 1.01,
        ),
        Mistake(
            EYE.tolist(),
            "All classes occur, but the score is above 5, because the judge is too confident about each image.",
            sign=lambda seen: seen["score"] > FIVE and seen["uneven"] < EVEN,
        ),
        Mistake(
            (0.5 * EYE + 0.05).tolist(),
            "All classes occur, but the score is below 5, because the judge is too uncertain about each image.",
            sign=lambda seen: seen["score"] < FIVE and seen["uneven"] < EVEN,
        ),
        Mistake(
            [*HALVES[:6].tolist(), *EYE[:1].tolist()],
            "The score is not 5, and the classes are not equally frequent. Begin with the mean row.",
            sign=lambda seen: seen["uneven"] >= EVEN,
        ),
    ),
    praise="With half of the classes lost, or with every image undecided between two, the score is 5, so it cannot "
    "tell the two apart.",
)

# ---------------------------------------------------------------- 05.3


def support(draws: Tensor) -> float:
    """The estimate of the number M of different things, from the counts c of each: c(c − 1)/2 pairs of twins."""
    counts = draws.unique(return_counts=True)[1].double()  # (different,)
    twins = (counts * (counts - 1) / 2).sum().item()
    return len(draws) * (len(draws) - 1) / 2 / twins if twins else math.inf


def ordered_twins(draws: Tensor) -> Tensor:
    """The number of ordered pairs with equal values, in which each draw is also paired with itself."""
    return (draws[:, None] == draws).double().sum()


def pair_count(draws: Tensor) -> float:
    return len(draws) * (len(draws) - 1) / 2


SUPPORT = Exercise(
    id="05.3",
    title="how many different things are there?",
    hints=(
        "How many pairs can be formed from n draws? Each is a pair of twins with probability 1/M.",
        "So n(n − 1)/2 pairs contain about n(n − 1)/2M twins. Count the twins and solve for M.",
        "draws[:, None] == draws compares all draws with all: it finds each pair twice, and each draw equal to itself.",
    ),
    observe=Calls(
        (torch.tensor([0, 1, 1, 3, 3, 3]),),
        (torch.tensor([4, 8, 15, 16]),),
        (torch.randint(50, (60,), generator=fixed(0)),),
    ),
    right=support,
    mistakes=(
        Mistake(
            lambda draws: len(draws.unique()),
            "That is how many different things you have *seen*. There may be many more: estimate them from the twins.",
        ),
        Mistake(
            lambda draws: pair_count(draws) / ordered_twins(draws),
            "Here each draw counts as its own twin, and each pair counts twice. Without repetition there should be no "
            "twins.",
        ),
        Mistake(
            lambda draws: pair_count(draws) / (ordered_twins(draws) - len(draws)),
            "This is half of the right result, because you count each possible pair once but each pair of twins twice.",
        ),
        Mistake(
            lambda draws: torch.tensor(pair_count(draws)) / (len(draws) - len(draws.unique())),
            "Right for twins but wrong for triplets: three equal draws form three pairs, and you count two.",
        ),
        Mistake(
            lambda draws: 2 * pair_count(draws) / ((ordered_twins(draws) - len(draws)) / 2),
            "This is twice the right result, because n(n − 1) counts each pair of draws in both orders.",
        ),
        Mistake(
            lambda draws: len(draws) ** 2 / ((ordered_twins(draws) - len(draws)) / 2),
            "This is a little more than twice the right result, because n draws do not form n² pairs.",
        ),
    ),
    praise="You use all pairs, while the test of Arora and Zhang asks only whether there is one. Both detect "
    "repetition.",
)

# ---------------------------------------------------------------- 05.4

DATA = torch.randn(40, 2, generator=fixed(1), dtype=torch.float64)
NARROW = 0.5 * torch.randn(30, 2, generator=fixed(2), dtype=torch.float64) + 0.4


def by_balls(points_first: bool, itself: bool, axis: int = 1):
    """Precision and recall with the usual mistakes as options: swapped roles, self as neighbour, the wrong axis."""

    def share(points: Tensor, centres: Tensor, k: int) -> float:
        radius = torch.cdist(centres, centres).kthvalue(k if itself else k + 1, dim=1).values
        return (torch.cdist(points, centres) <= radius).any(axis).double().mean().item()

    def both(real: Tensor, fake: Tensor, k: int) -> tuple[float, float]:
        precise, complete = share(fake, real, k), share(real, fake, k)
        return (precise, complete) if points_first else (complete, precise)

    return both


PRECISION_RECALL = Exercise(
    id="05.4",
    title="precision and recall, repaired",
    hints=(
        "Which set has the balls, and which set is looked up in them? For precision the balls are around the real "
        "examples.",
        "How far is a centre from the nearest centre? Print the smallest number in torch.cdist(centres, centres).",
        "Swap the two calls, and take the (k + 1)-th smallest value of a row, because the smallest is the centre "
        "itself.",
    ),
    observe=Calls((DATA, NARROW, 3), (DATA, NARROW, 1), (NARROW[:20], DATA, 2)),
    right=lambda real, fake, k: metrics.precision_and_recall(real, fake, k),
    mistakes=(
        Mistake(
            by_balls(False, True),
            "It still does what the broken function does. Try fakes that are ten copies of one real point: what should "
            "the two numbers be?",
        ),
        Mistake(
            by_balls(True, True),
            "The roles are right now. But the balls are too small: with k = 1 their radius is 0. Which point of a set "
            "is nearest to a point of the same set?",
        ),
        Mistake(
            by_balls(False, False),
            "The balls are right now. But a narrow G should have high precision and low recall, and here it is the "
            "other way round.",
        ),
        Mistake(
            by_balls(True, False, axis=0),
            "You count the balls that contain a point, which is the idea of coverage. Count the points that lie in a "
            "ball.",
        ),
    ),
    praise="The swapped roles are exhibit 28b of the museum: both numbers look plausible but mean the opposite.",
)

# ---------------------------------------------------------------- 05.5


def in_frame(images: Tensor) -> Tensor:
    """Images with a black border of three pixels: (N, 1, h, w) -> (N, 1, h + 6, w + 6)."""
    return pad(images, (3, 3, 3, 3), value=-1.0)


KNOWN = in_frame(2 * torch.rand(4, 1, 4, 4, generator=fixed(3), dtype=torch.float64) - 1)
NEW = in_frame(2 * torch.rand(1, 1, 4, 4, generator=fixed(4), dtype=torch.float64) - 1)
MOVED = torch.cat([KNOWN[:1].roll((1, 1), (2, 3)), KNOWN[1:2].roll(1, 3), KNOWN[2:3].roll((-1, 1), (2, 3)),
                   KNOWN[:1].roll((-1, -1), (2, 3)), KNOWN[3:], KNOWN[1:2].roll(2, 3), NEW])  # fmt: skip


def nearest_moved(fakes: Tensor, known: Tensor) -> Tensor:
    """The right distances by sliding windows: in a fake with one more black pixel around, an image fits 3 × 3 times."""
    windows = pad(fakes, (1, 1, 1, 1), value=-1.0).unfold(2, fakes.shape[2], 1).unfold(3, fakes.shape[3], 1)
    offset = windows.flatten(1, 3).flatten(2)[:, :, None] - known.flatten(1)  # (N, 9, M, pixels)
    return offset.square().sum(3).sqrt().flatten(1).amin(1)


def moving(moves: list[tuple[int, int]], among: str = "amin", power: float = 1.0):
    """The distance to the nearest known image for each of these moves; over the moves take "amin", "amax" or "mean"."""

    def nearest(fakes: Tensor, known: Tensor) -> Tensor:
        flat = fakes.flatten(1)
        all_moves = [torch.cdist(flat, known.roll(move, (2, 3)).flatten(1)).amin(1) for move in moves]
        return getattr(torch.stack(all_moves), among)(0) ** power

    return nearest


STEPS = (-1, 0, 1)
ALL_MOVES = [(down, right) for down in STEPS for right in STEPS]

MOVED_COPIES = Exercise(
    id="05.5",
    title="a copy that moved by a pixel",
    hints=(
        "known.roll((1, 0), (2, 3)) moves all images down by one pixel. How many such moves are there, including none?",
        "Nine: down by −1, 0 or 1, and to the right by −1, 0 or 1. Which known image is nearest for each move?",
        "torch.cdist(fakes.flatten(1), moved.flatten(1)).amin(1) for each of the nine, then the smallest of the nine.",
    ),
    observe=Calls((MOVED, KNOWN), (NEW, KNOWN[:2])),
    right=nearest_moved,
    mistakes=(
        Mistake(
            moving([(0, 0)]),
            "This finds only copies that did not move. Move the known images along their last two axes, (2, 3).",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if 0 in move]),
            "You cover up, down, left and right, but a copy can also move down *and* to the right.",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if -1 not in move]),
            "You move the images only down and to the right, but copies may move up and to the left as well.",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if 1 not in move]),
            "You move only up and to the left: range(-1, 1) ends before 1.",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if move != (0, 0)]),
            "You cover all eight directions, but a copy need not move at all.",
        ),
        Mistake(moving(ALL_MOVES, "mean"), "That is the mean over the moves, but a single move that fits is enough."),
        Mistake(moving(ALL_MOVES, power=2.0), "These are squared distances: take the root."),
    ),
    praise="You can often teach a metric what it misses: compare with every version that should count as the same.",
)

# ---------------------------------------------------------------- 05.6

ILLNESSES = {
    "A": "few images",
    "B": "a class missing",
    "C": "copies",
    "D": "blurred",
    "E": "healthy",
    "F": "one style per class",
}
NARROWER = "few images", "a class missing", "one style per class"
PATIENT_SIZE, TRAINED_ON = 400, 1200


def ward() -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Training images (1200, 1, 28, 28), held-out images (400, …), and the samples (400, …) of six patients by letter.

    All are in [-1, 1]. No GAN was trained for this: each fault is built into images of `strokes`.
    """
    drawn = strokes.draw(4000, 5)
    images = drawn.pixels.float() / 127.5 - 1
    known, held_out = images[:TRAINED_ON], images[TRAINED_ON : TRAINED_ON + PATIENT_SIZE]
    rest = slice(TRAINED_ON + PATIENT_SIZE, None)
    pool, digit, style = images[rest], drawn.digit[rest], drawn.style[rest]

    def some(choices: int) -> Tensor:
        return torch.randint(choices, (PATIENT_SIZE,), generator=fixed(6))

    patients = {
        "healthy": pool[-PATIENT_SIZE:],
        "blurred": avg_pool2d(pad(pool[:PATIENT_SIZE], (1, 1, 1, 1), value=-1.0), 3, 1),
        "a class missing": pool[digit != 4][:PATIENT_SIZE],
        "one style per class": pool[style == 0][:PATIENT_SIZE],
        "few images": pool[some(60)],
        "copies": known[some(TRAINED_ON)],
    }
    return known, held_out, {letter: patients[illness] for letter, illness in ILLNESSES.items()}


def as_diagnosis(answer: object) -> dict[str, str]:
    if not isinstance(answer, Mapping) or set(answer) != set(ILLNESSES):
        raise BadInput(f"hand in a dict with a diagnosis for each of the letters {', '.join(ILLNESSES)}.")
    names = sorted(ILLNESSES.values())
    for letter, name in answer.items():
        if name not in names:
            raise BadInput(f"{letter} is {name!r}: choose from {', '.join(names)}.")
    return dict(answer)


def taken_for(illness: str, wrong: str):
    """A function: seen -> whether the patient with this illness was given that wrong name."""
    letter = next(letter for letter, name in ILLNESSES.items() if name == illness)
    return lambda seen: seen[letter] == wrong


def exchanged(one: str, other: str) -> dict[str, str]:
    swap = {one: other, other: one}
    return {letter: swap.get(name, name) for letter, name in ILLNESSES.items()}


WARD = Exercise(
    id="05.6",
    title="make the diagnosis",
    hints=(
        "Go through the patients one by one and mark every number that is clearly worse than its floor. Two patients "
        "have almost no marks.",
        "What does each metric detect? Memorisation: copied training images. Support: repetition. Classes: a missing "
        "class. Precision: poor quality.",
        "If all classes occur and the quality is good, but recall and coverage are low, then variety is missing within "
        "the classes.",
    ),
    observe=as_diagnosis,
    right=ILLNESSES,
    mistakes=(
        Mistake(
            dict.fromkeys(ILLNESSES, "healthy"),
            "One patient that you call healthy has lost variety: its recall and its coverage are clearly below the "
            "floor.",
            sign=lambda seen: any(name == "healthy" for letter, name in seen.items() if ILLNESSES[letter] in NARROWER),
        ),
        Mistake(
            exchanged("blurred", "healthy"),
            "One patient that you call healthy makes images that are worse than real ones: look at precision and "
            "density.",
            sign=taken_for("blurred", "healthy"),
        ),
        Mistake(
            exchanged("copies", "healthy"),
            "One patient that you call healthy matches real images in nearly every number, but one number is far too "
            "high. Most metrics reward this fault.",
            sign=taken_for("copies", "healthy"),
        ),
        Mistake(
            exchanged("copies", "few images"),
            "Repeating its own images and repeating training images are two different faults. Compare support and "
            "memorisation.",
            sign=lambda seen: taken_for("few images", "copies")(seen) or taken_for("copies", "few images")(seen),
        ),
        Mistake(
            exchanged("a class missing", "one style per class"),
            "You have confused a lost class with a lost style. Only one of the two shows in the class histogram.",
            sign=lambda seen: (
                taken_for("a class missing", "one style per class")(seen)
                or taken_for("one style per class", "a class missing")(seen)
            ),
        ),
        Mistake(
            exchanged("blurred", "few images"),
            "A patient whose individual images are bad also has a low precision. One with only a few good images has "
            "not.",
            sign=lambda seen: taken_for("few images", "blurred")(seen) or taken_for("blurred", "few images")(seen),
        ),
        Mistake(
            exchanged("blurred", "one style per class"),
            "Bad images and missing variety are two different faults. Which of the two patients has a low precision "
            "and density?",
            sign=lambda seen: (
                taken_for("one style per class", "blurred")(seen) or taken_for("blurred", "one style per class")(seen)
            ),
        ),
    ),
    otherwise="Not all six are right. Begin with those that have one number very far from its floor, and ask what that "
    "number detects.",
    praise="No single metric would have identified all six. You combined them: good but narrow, complete but copied.",
)

EXERCISES = (CLASS_KL, SCORE_FIVE, SUPPORT, PRECISION_RECALL, MOVED_COPIES, WARD)
