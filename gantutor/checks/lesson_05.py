"""Lesson 05: noticing that variety is gone."""

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
    """The package's own."""
    return metrics.label_coverage(labels, len(expected), expected).reverse_kl


def class_shares(labels: Tensor, expected: Tensor) -> Tensor:
    return labels.bincount(minlength=len(expected)) / len(labels)


def kl(a: Tensor, b: Tensor) -> Tensor:
    """Sum of a·log(a/b), 0 where a is 0."""
    return (torch.xlogy(a, a) - torch.xlogy(a, b)).sum()


CLASS_KL = Exercise(
    id="05.1",
    title="the KL of the classes",
    hints=(
        "First the histogram: which share q of the samples does each class have? Count the empty classes too.",
        "Then q·log(q/p), class by class, and the sum. An empty class adds 0, but 0·log 0 is NaN on a computer.",
        "labels.bincount(minlength=len(expected)) / len(labels) gives q. Keep only the classes with q > 0 in the sum.",
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
            "That is the other direction: it begins with the expected shares, and one empty class makes it infinite. "
            "What G makes comes first.",
        ),
        Mistake(
            lambda labels, p: kl(class_shares(labels, p), torch.full_like(p, 1 / len(p))),
            "You compare with equal shares. Here the classes are not equally frequent: use expected.",
        ),
        Mistake(
            lambda labels, p: (class_shares(labels, p) * (class_shares(labels, p) / p).log()).sum(),
            "Right while every class occurs, and NaN as soon as one is empty: 0·log 0. Such a class should add 0.",
        ),
        Mistake(
            lambda labels, p: kl(class_shares(labels, p), p) / math.log(2),
            "That is in bits. The lesson's KL uses the natural logarithm.",
        ),
        Mistake(
            lambda labels, p: (class_shares(labels, p) - p).abs().sum() / 2,
            "That is the total variation: it sees the same faults, on another scale. The KL needs logarithms.",
        ),
        Mistake(
            lambda labels, p: kl(len(labels) * class_shares(labels, p), p),
            "You have put counts in the place of shares. Divide by the number of samples.",
        ),
    ),
    praise="It is the reverse_kl of metrics.label_coverage, and it stays finite where a class is lost.",
)

# ---------------------------------------------------------------- 05.2

FIVE = 5.0
EVEN = 0.01  # how far a class's share may be from 1/10


def score_of_table(answer: object) -> dict[str, float]:
    """The inception score of a table, and how far its most and least frequent class is from a tenth."""
    table = answer if isinstance(answer, Tensor) else as_table(answer)
    if table.ndim != 2 or table.shape[1] != 10:
        raise BadInput(f"the table has shape {tuple(table.shape)}: give a row for each image, with ten probabilities.")
    if (table < 0).any():
        raise BadInput(f"the rows must be ≥ 0 and each add up to 1: one number is {brief(table.min())}.")
    sums = table.double().sum(1)
    if wrong := ((sums - 1).abs() > 1e-2).nonzero().flatten().tolist():
        total = brief(sums[wrong[0]])
        raise BadInput(f"the rows must be ≥ 0 and each add up to 1: table[{wrong[0]}] adds up to {total}.")
    score = metrics.inception_score(table)
    return {"score": score, "uneven": (table.double().mean(0) - 0.1).abs().max().item()}


def describe_score(table: object) -> str:
    """The score of a table and its mean row, or what is wrong with it: for the sheet."""
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
        raise BadInput("hand in the table: a tensor (N, 10), a row of probabilities for each image.") from None


EYE = torch.eye(10)
HALVES = (EYE + EYE.roll(1, 1)) / 2

SCORE_FIVE = Exercise(
    id="05.2",
    title="another way to a score of 5",
    hints=(
        "The mean row stays flat: ten times 0.1. What is left to change is how sure each row is.",
        "With a flat mean the score is 10 / exp(H), where H is the mean entropy of the rows. Which H gives 5?",
        "H = log 2: the judge wavers between two classes, half and half, in every row. Each class must get its turn.",
    ),
    observe=score_of_table,
    right=HALVES,
    accepts=lambda seen: abs(seen["score"] - FIVE) < 0.02 and seen["uneven"] < EVEN,
    mistakes=(
        Mistake(
            EYE[:5].tolist(),
            "The score is 5, but some classes come more often than others: that is the first way. Make all ten equally "
            "frequent on average.",
            sign=lambda seen: abs(seen["score"] - FIVE) < 0.02,
        ),
        Mistake(
            torch.full((20, 10), 0.1).tolist(),
            "A score of 1: the judge says the same of every image. It must see some difference.",
            sign=lambda seen: seen["score"] < 1.01,
        ),
        Mistake(
            EYE.tolist(),
            "All classes are there, but the score is above 5: the judge is too sure of each image.",
            sign=lambda seen: seen["score"] > FIVE and seen["uneven"] < EVEN,
        ),
        Mistake(
            (0.5 * EYE + 0.05).tolist(),
            "All classes are there, but the score is below 5: the judge is too unsure of each image.",
            sign=lambda seen: seen["score"] < FIVE and seen["uneven"] < EVEN,
        ),
        Mistake(
            [*HALVES[:6].tolist(), *EYE[:1].tolist()],
            "Neither yet: the score is not 5, and the classes are not equally frequent. Begin with the mean row.",
            sign=lambda seen: seen["uneven"] >= EVEN,
        ),
    ),
    praise="Half of the classes lost, or every image torn between two: the score is 5 for both. It does not say which.",
)

# ---------------------------------------------------------------- 05.3


def support(draws: Tensor) -> float:
    """From the counts c of each thing: it makes c(c − 1)/2 pairs of twins."""
    counts = draws.unique(return_counts=True)[1].double()  # (different,)
    twins = (counts * (counts - 1) / 2).sum().item()
    return len(draws) * (len(draws) - 1) / 2 / twins if twins else math.inf


def ordered_twins(draws: Tensor) -> Tensor:
    """All pairs with equal values, both ways round and each with itself."""
    return (draws[:, None] == draws).double().sum()


def pair_count(draws: Tensor) -> float:
    return len(draws) * (len(draws) - 1) / 2


SUPPORT = Exercise(
    id="05.3",
    title="how many different things are there?",
    hints=(
        "How many pairs can be formed from n draws? Each is a pair of twins with probability 1/M.",
        "So n(n − 1)/2 pairs hold about n(n − 1)/2M twins. Count the twins and turn this round.",
        "draws[:, None] == draws compares all with all: it finds each pair twice, and each draw with itself.",
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
            "That is how many different things you have *seen*. There may be many more: let the twins tell.",
        ),
        Mistake(
            lambda draws: pair_count(draws) / ordered_twins(draws),
            "Each draw counts as its own twin here, and each pair twice. Without repetition there should be no twin.",
        ),
        Mistake(
            lambda draws: pair_count(draws) / (ordered_twins(draws) - len(draws)),
            "Half of what is right: you count the possible pairs once, and each pair of twins twice.",
        ),
        Mistake(
            lambda draws: torch.tensor(pair_count(draws)) / (len(draws) - len(draws.unique())),
            "Right for twins, wrong for triplets: three equal draws are three pairs, and you count two.",
        ),
        Mistake(
            lambda draws: 2 * pair_count(draws) / ((ordered_twins(draws) - len(draws)) / 2),
            "Twice too large: n(n − 1) counts each pair of draws in both orders.",
        ),
        Mistake(
            lambda draws: len(draws) ** 2 / ((ordered_twins(draws) - len(draws)) / 2),
            "Twice too large, or a little more: n draws do not form n² pairs.",
        ),
    ),
    praise="You use all pairs. The test of Arora and Zhang asks only whether there is one. Both see repetition.",
)

# ---------------------------------------------------------------- 05.4

DATA = torch.randn(40, 2, generator=fixed(1), dtype=torch.float64)
NARROW = 0.5 * torch.randn(30, 2, generator=fixed(2), dtype=torch.float64) + 0.4


def by_balls(points_first: bool, itself: bool, axis: int = 1):
    """Precision and recall with what can go wrong in them: the roles, a centre as its own neighbour, the axis."""

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
        "Who has the balls, and who is looked for in them? For precision the balls are those of the real examples.",
        "How far is the nearest centre from a centre? Print the smallest number in torch.cdist(centres, centres).",
        "Exchange the two calls, and look for the (k + 1)-th value in a row, for the first is the centre itself.",
    ),
    observe=Calls((DATA, NARROW, 3), (DATA, NARROW, 1), (NARROW[:20], DATA, 2)),
    right=lambda real, fake, k: metrics.precision_and_recall(real, fake, k),
    mistakes=(
        Mistake(
            by_balls(False, True),
            "It still does what the broken one does. Give it fakes that are ten copies of one real point, and ask "
            "what the two numbers should be.",
        ),
        Mistake(
            by_balls(True, True),
            "The roles are right now. But the balls are too small: with k = 1 they have no size at all. Who is the "
            "nearest neighbour of a point in its own set?",
        ),
        Mistake(
            by_balls(False, False),
            "The balls are right now. But a narrow G should have a high precision and a low recall, and here it is the "
            "other way round.",
        ),
        Mistake(
            by_balls(True, False, axis=0),
            "You count the balls that hold a point: that is the thought of coverage. Count the points that lie in a "
            "ball.",
        ),
    ),
    praise="The exchanged roles are exhibit 28b of the museum: both numbers look sensible, and say the opposite.",
)

# ---------------------------------------------------------------- 05.5


def in_frame(images: Tensor) -> Tensor:
    """Small images in the middle of larger black ones: (N, 1, h, w) -> (N, 1, h + 6, w + 6)."""
    return pad(images, (3, 3, 3, 3), value=-1.0)


KNOWN = in_frame(2 * torch.rand(4, 1, 4, 4, generator=fixed(3), dtype=torch.float64) - 1)
NEW = in_frame(2 * torch.rand(1, 1, 4, 4, generator=fixed(4), dtype=torch.float64) - 1)
MOVED = torch.cat([KNOWN[:1].roll((1, 1), (2, 3)), KNOWN[1:2].roll(1, 3), KNOWN[2:3].roll((-1, 1), (2, 3)),
                   KNOWN[:1].roll((-1, -1), (2, 3)), KNOWN[3:], KNOWN[1:2].roll(2, 3), NEW])  # fmt: skip


def nearest_moved(fakes: Tensor, known: Tensor) -> Tensor:
    """By windows: each fake in a frame of one black pixel, and every 3 × 3 place in it where a known image fits."""
    windows = pad(fakes, (1, 1, 1, 1), value=-1.0).unfold(2, fakes.shape[2], 1).unfold(3, fakes.shape[3], 1)
    offset = windows.flatten(1, 3).flatten(2)[:, :, None] - known.flatten(1)  # (N, 9, M, pixels)
    return offset.square().sum(3).sqrt().flatten(1).amin(1)


def moving(moves: list[tuple[int, int]], among: str = "amin", power: float = 1.0):
    """The distances to the known images, moved so; over the moves take the least, the most or the mean."""

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
        "known.roll((1, 0), (2, 3)) moves all images down by one pixel. How many such moves are there, with no move?",
        "Nine: down by −1, 0 or 1, and to the right by −1, 0 or 1. For each move, who is nearest?",
        "torch.cdist(fakes.flatten(1), moved.flatten(1)).amin(1) for each of the nine, then the smallest of the nine.",
    ),
    observe=Calls((MOVED, KNOWN), (NEW, KNOWN[:2])),
    right=nearest_moved,
    mistakes=(
        Mistake(
            moving([(0, 0)]),
            "Only copies that did not move are found. Move the known images along their last two axes, (2, 3).",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if 0 in move]),
            "Up, down, left and right are there. A copy can also move down *and* to the right.",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if -1 not in move]),
            "You move the images down and to the right only. Copies may go up and to the left as well.",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if 1 not in move]),
            "You move up and to the left only. range(-1, 1) ends before 1.",
        ),
        Mistake(
            moving([move for move in ALL_MOVES if move != (0, 0)]),
            "All eight directions are there, but a copy need not move at all.",
        ),
        Mistake(moving(ALL_MOVES, "mean"), "That is the mean over the moves. One move that fits is enough."),
        Mistake(moving(ALL_MOVES, power=2.0), "These are squared distances: take the root."),
    ),
    praise="What a metric cannot see, you can often show it: compare with all that should count as the same.",
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
    """Images to learn from (1200, 1, 28, 28), held-out ones (400, …), and six patients (400, …) under a letter each.

    All in [-1, 1]. Nobody here was trained: each illness is planted into images of `strokes`.
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
        raise BadInput(f"hand in a dict with an illness for each of the letters {', '.join(ILLNESSES)}.")
    names = sorted(ILLNESSES.values())
    for letter, name in answer.items():
        if name not in names:
            raise BadInput(f"{letter} is {name!r}: choose among {', '.join(names)}.")
    return dict(answer)


def taken_for(illness: str, wrong: str):
    """Whether the patient with this illness was given the wrong name."""
    letter = next(letter for letter, name in ILLNESSES.items() if name == illness)
    return lambda seen: seen[letter] == wrong


def exchanged(one: str, other: str) -> dict[str, str]:
    swap = {one: other, other: one}
    return {letter: swap.get(name, name) for letter, name in ILLNESSES.items()}


WARD = Exercise(
    id="05.6",
    title="name the illness",
    hints=(
        "Go patient by patient, and mark what is clearly worse than the floor. Two of them have almost no mark.",
        "Which metric is made for what? Memorisation: training images. Support: repetition. Classes: a whole class. "
        "Precision: quality.",
        "All classes are there, the quality is good, and recall and coverage are low all the same: then variety is "
        "missing within the classes.",
    ),
    observe=as_diagnosis,
    right=ILLNESSES,
    mistakes=(
        Mistake(
            dict.fromkeys(ILLNESSES, "healthy"),
            "One that you call healthy has lost variety: its recall and its coverage are clearly below the floor.",
            sign=lambda seen: any(name == "healthy" for letter, name in seen.items() if ILLNESSES[letter] in NARROWER),
        ),
        Mistake(
            exchanged("blurred", "healthy"),
            "One that you call healthy makes worse images than real ones: look at precision and density.",
            sign=taken_for("blurred", "healthy"),
        ),
        Mistake(
            exchanged("copies", "healthy"),
            "One that you call healthy has nearly everything as good as real images, and one number far too high. Most "
            "metrics like this illness.",
            sign=taken_for("copies", "healthy"),
        ),
        Mistake(
            exchanged("copies", "few images"),
            "Repeating oneself and repeating the training images are two things. Compare support and memorisation.",
            sign=lambda seen: taken_for("few images", "copies")(seen) or taken_for("copies", "few images")(seen),
        ),
        Mistake(
            exchanged("a class missing", "one style per class"),
            "You have mixed up a lost class with a lost style. Only one of these two shows in the histogram of the "
            "classes.",
            sign=lambda seen: (
                taken_for("a class missing", "one style per class")(seen)
                or taken_for("one style per class", "a class missing")(seen)
            ),
        ),
        Mistake(
            exchanged("blurred", "few images"),
            "A patient whose single images are bad has lost precision as well. One with few good images has not.",
            sign=lambda seen: taken_for("few images", "blurred")(seen) or taken_for("blurred", "few images")(seen),
        ),
        Mistake(
            exchanged("blurred", "one style per class"),
            "Bad images are not missing variety. Which of the two has a low precision and density?",
            sign=lambda seen: (
                taken_for("one style per class", "blurred")(seen) or taken_for("blurred", "one style per class")(seen)
            ),
        ),
    ),
    otherwise="Not all six. Begin with those that have one number very far from its floor, and ask what it sees.",
    praise="No single column would have told all six. You read pairs: good but narrow, complete but copied.",
)

EXERCISES = (CLASS_KL, SCORE_FIVE, SUPPORT, PRECISION_RECALL, MOVED_COPIES, WARD)
