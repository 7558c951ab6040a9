"""Lesson 02: a GAN from dense layers."""

import dataclasses
import math

import torch
from torch import Tensor

from gantutor import losses, metrics, train
from gantutor.checks.exercise import Calls, Exercise, Mistake, Seen, as_number, blank, brief, same
from gantutor.checks.training_loops import WRONG_LINE
from gantutor.checks.training_turns import TURN
from gantutor.errors import BadInput

# ---------------------------------------------------------------- 02.1

CHANGES = ("shifted", "wider", "mirrored")


def predicted_distances(answer: object) -> dict[str, float] | None:
    """The three predicted distances by name; None while none is filled in."""
    if not isinstance(answer, tuple | list) or len(answer) != len(CHANGES):
        raise BadInput(f"the answer is {brief(answer)}: hand in three numbers, (shifted, wider, mirrored).")
    if blank(answer):
        return None
    if missing := [name for name, value in zip(CHANGES, answer, strict=True) if blank(value)]:
        raise BadInput(f"write a number for each of the three: {missing[0]} is still None.")
    return {name: as_number(value, name) for name, value in zip(CHANGES, answer, strict=True)}


def near(value: float, goal: float) -> bool:
    return same(value, goal, 1e-2)


FRECHET = Exercise(
    id="02.1",
    title="three changes, three distances",
    hints=(
        "Ask two questions about each change: where does the mean go, and what happens to the covariance?",
        "A shift moves the mean and keeps the covariance. Doubling the width makes the covariance 4A. For the mirror, "
        "(-1)² = 1.",
        "‖(1, …, 1)‖² over 64 features; then tr(A + 4A - 2·2A); the last change leaves mean and covariance as they "
        "are.",
    ),
    observe=predicted_distances,
    right=(64.0, 10.0, 0.0),
    mistakes=(
        Mistake(
            (1.0, 10.0, 0.0),
            "shifted: 1 is the contribution of a single feature, and there are 64 of them. The squares add up.",
            sign=lambda seen: near(seen["shifted"], 1),
        ),
        Mistake(
            (8.0, 10.0, 0.0),
            "shifted: 8 is the length of the shift, √64. The Fréchet distance is reported as d², without the root.",
            sign=lambda seen: near(seen["shifted"], 8),
        ),
        Mistake(
            (64.0, 10.0, 40.0),
            "mirrored: does the mean or the covariance of the mirrored cloud change? The formula depends on nothing "
            "else.",
            sign=lambda seen: near(seen["shifted"], 64) and not near(seen["mirrored"], 0),
        ),
        Mistake(
            (64.0, 0.0, 0.0),
            "wider: the mean stays the same but the covariance does not, because every deviation from the mean "
            "doubles.",
            sign=lambda seen: near(seen["shifted"], 64) and near(seen["wider"], 0),
        ),
        Mistake(
            (64.0, 30.0, 0.0),
            "wider: 30 is the difference of the two traces. The formula compares standard deviations, so the root "
            "comes first: (2s - s)² for each direction, not (2s)² - s².",
            sign=lambda seen: near(seen["shifted"], 64) and near(seen["wider"], 30),
        ),
        Mistake(
            (64.0, 50.0, 0.0),
            "wider: 50 is tr(A) + tr(4A). The last term of the formula is missing, -2 tr((AB)^½).",
            sign=lambda seen: near(seen["shifted"], 64) and near(seen["wider"], 50),
        ),
        Mistake(
            (0.0, 10.0, 0.0),
            "shifted: a shift moves the mean by 1 in every one of the 64 features.",
            sign=lambda seen: not near(seen["shifted"], 64),
        ),
    ),
    otherwise="shifted and mirrored are right. wider: insert B = 4A into the formula. What is the root of A·4A?",
    tolerance=1e-2,
    praise="The Fréchet distance sees only mean and covariance. The mirrored cloud scores 0, although it has negative "
    "features, which no picture has.",
)

# ---------------------------------------------------------------- 02.2

CLOUD = torch.tensor([[0.0, 1, 2], [2, 1, 0], [4, 5, 0], [1, 0, 3], [3, 3, 5]])
PLACE = torch.tensor([1.0, 4.0, 0.5])

COLLAPSED = Exercise(
    id="02.2",
    title="the price of collapse",
    hints=(
        "All fakes are the same point c. What are their mean and their covariance?",
        "The covariance of a single point is all zeros: B = 0. Insert that into the formula. What remains of the "
        "trace?",
        "‖c - μ‖² + tr(A). The trace is the sum of the variances: features.var(0).sum().",
    ),
    observe=Calls((PLACE, CLOUD), (CLOUD.mean(0), CLOUD), (CLOUD[0], CLOUD[:3])),
    right=lambda c, features: metrics.frechet(c.expand(2, -1), features),
    mistakes=(
        Mistake(
            lambda c, features: (c - features.mean(0)).square().sum(),
            "That is the cost of the mean alone. The real cloud has a width and the fakes have none, which costs "
            "something too.",
        ),
        Mistake(
            lambda c, features: features.var(0).sum(),
            "That is the cost of having no width. It does not depend on c, but the formula's first term does.",
        ),
        Mistake(
            lambda c, features: (c - features.mean(0)).square().sum() + features.std(0).sum(),
            "The term of the means is right. The trace of a covariance adds up variances, but you added standard "
            "deviations.",
        ),
        Mistake(
            lambda c, features: (c - features.mean(0)).square().mean() + features.var(0).mean(),
            "Right except that you average over the features: ‖ ‖² and the trace are sums.",
        ),
        Mistake(
            lambda c, features: (features - c).square().sum(1).mean(),
            "Very close: up to one detail the answer is the mean squared distance to c. But torch.cov, as in the "
            "lesson, divides by M - 1 and not by M, and so does var.",
        ),
        Mistake(
            lambda c, features: ((c - features.mean(0)).square().sum() + features.var(0).sum()).sqrt(),
            "That is the root. The Fréchet distance is reported as d².",
        ),
    ),
    praise="Except for M − 1 instead of M, it is the mean squared distance from the real points to c. No single "
    "picture can score below the trace, which is the cost of having no variety.",
)

# ---------------------------------------------------------------- 02.3

PICTURES, SHARE = 100, 0.95


def accuracy_and_loss(answer: object) -> dict[str, float] | None:
    """How often a D with these logits is right, and its loss; None while the answer is empty."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise BadInput(f"the answer is {brief(answer)}: hand in two tensors, (real_logits, fake_logits).")
    if blank(answer):
        return None
    real, fake = (as_logits(name, part) for name, part in zip(("real_logits", "fake_logits"), answer, strict=True))
    loss = losses.NON_SATURATING.d(real, fake).item()
    return {"real": (real > 0).double().mean().item(), "fake": (fake < 0).double().mean().item(), "loss": loss}


def as_logits(name: str, values: object) -> Tensor:
    try:
        logits = torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"the answer for {name} is {brief(values)}: hand in a tensor of {PICTURES} logits.") from error
    if logits.shape != (PICTURES,):
        raise BadInput(
            f"the tensor {name} has shape {tuple(logits.shape)}: hand in ({PICTURES},), one logit for each picture."
        )
    if not logits.isfinite().all():
        raise BadInput(f"the tensor {name} contains NaN or infinite values: hand in finite logits.")
    return logits


def symmetric_logits(right: float, wrong: float, errors: int = 5) -> tuple[list[float], list[float]]:
    """Logits of a D that is wrong about `errors` real images and as many fakes."""
    real = [right] * (PICTURES - errors) + [wrong] * errors
    return real, [-s for s in real]


DOUBT = Exercise(
    id="02.3",
    title="nearly always right, with a bad loss",
    hints=(
        "What does one real picture with logit s add to D's loss? Look at softplus(-s) for s = 5, 0, -5 and -50.",
        "A right answer costs almost nothing, a wrong one about |s|, without bound. You may choose five wrong ones.",
        "95 real logits at 1 and 5 at -100; the fakes with the opposite signs.",
    ),
    observe=accuracy_and_loss,
    right=symmetric_logits(1.0, -100.0),
    accepts=lambda seen: min(seen["real"], seen["fake"]) >= SHARE and seen["loss"] > math.log(4),
    mistakes=(
        Mistake(
            symmetric_logits(-1.0, 100.0),
            "This D is hardly ever right. A logit above 0 means real, one below 0 means fake, and 0 means neither.",
            sign=lambda seen: max(seen["real"], seen["fake"]) < 0.5,
        ),
        Mistake(
            ([3.0] * PICTURES, [3.0] * PICTURES),
            "This D is right about one kind of picture and wrong about the other. It has to be right on at least 95 of "
            "each.",
            sign=lambda seen: min(seen["real"], seen["fake"]) < 0.5,
        ),
        Mistake(
            symmetric_logits(0.01, -50.0, errors=20),
            "D is wrong too often: it may be wrong about at most 5 of each kind, and a logit of 0 does not count as "
            "right.",
            sign=lambda seen: min(seen["real"], seen["fake"]) < SHARE,
        ),
        Mistake(
            symmetric_logits(0.01, -50.0, errors=0),
            "D is right on all 200, so its loss is below log 4 however unsure it is. You may let it be wrong "
            "sometimes.",
            sign=lambda seen: min(seen["real"], seen["fake"]) == 1,
        ),
        Mistake(
            symmetric_logits(5.0, -5.0),
            "D is right often enough, but its few errors are too mild to cost log 4 on average. How confident may D be "
            "when it is wrong?",
            sign=lambda seen: seen["loss"] <= math.log(4),
        ),
    ),
    praise="A few answers that are confident and wrong dominate a mean of logarithms. Loss and accuracy measure two "
    "different things.",
)

# ---------------------------------------------------------------- 02.6

PARTS = ("no averaging", "no R1", "R1 in every step", "rates never fall", "rates fall from the start", "β₁ 0.5",
         "G as fast as D", "D as fast as G", "no batch norm in G")  # fmt: skip
WORDS = ("better", "worse", "open")
FOUND = dict.fromkeys(PARTS, "open") | dict.fromkeys(
    ("R1 in every step", "rates fall from the start", "G as fast as D", "no batch norm in G"), "worse"
)
FOUND["D as fast as G"] = "better"


def judgement(answer: object) -> dict[str, Seen] | None:
    """The verdict on each part, and the fields in which the recipe differs from the default."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise BadInput(f"the answer is {brief(answer)}: hand in two things, (verdicts, recipe).")
    verdicts, recipe = answer
    if blank(verdicts) and blank(recipe):
        return None
    if not isinstance(verdicts, dict) or set(verdicts) != set(PARTS):
        raise BadInput(f"the verdicts are {brief(verdicts)}: hand in a dict with one of {WORDS} for each of the nine.")
    if wrong := [name for name in PARTS if verdicts[name] not in WORDS]:
        raise BadInput(f"the verdict on {wrong[0]!r} is {brief(verdicts[wrong[0]])}: choose one of {WORDS}.")
    if not isinstance(recipe, train.Recipe):
        raise BadInput(f"the recipe is {brief(recipe)}: hand in a train.Recipe, such as train.Recipe(gamma=2.0).")
    default = train.Recipe()
    changed = [f.name for f in dataclasses.fields(recipe) if getattr(recipe, f.name) != getattr(default, f.name)]
    return {**{name: verdicts[name] for name in PARTS}, "changed": changed, "equal rates": recipe.lr_d == recipe.lr_g}


def verdicts(**changes: str) -> dict[str, str]:
    """The right verdicts but for those given, with underscores for spaces."""
    return FOUND | {name.replace("_", " "): word for name, word in changes.items()}


D_FASTER = train.Recipe(lr_d=1.5e-3)
BY_MEANS = verdicts(no_averaging="worse", no_R1="better", rates_never_fall="better") | {"β₁ 0.5": "worse"}
BY_INTERVALS = verdicts(no_R1="better") | {"β₁ 0.5": "worse"}

CHOICE = Exercise(
    id="02.6",
    title="choose a recipe, and defend it",
    hints=(
        "Nine changes are compared with one default, so nine intervals have a chance to exclude 0 by luck. Which "
        "number of `compare` allows for that?",
        "“better” or “worse” only where p is below 0.05; everything else is open. Five are clear.",
        "Only one change makes the recipe better beyond doubt: a D that is as fast as G. Both rates are then 1.5e-3.",
    ),
    observe=judgement,
    right=(FOUND, D_FASTER),
    accepts=lambda seen: (
        all(seen[name] == FOUND[name] for name in PARTS) and seen["changed"] == ["lr_d"] and seen["equal rates"]
    ),
    mistakes=(
        Mistake(
            (BY_MEANS, D_FASTER),
            "You have judged by the means alone. Five seeds of the very same recipe differ, too: which differences are "
            "larger than that?",
            sign=lambda seen: seen["no averaging"] != "open" and seen["no R1"] != "open",
        ),
        Mistake(
            (BY_INTERVALS, D_FASTER),
            "An interval that excludes 0 would do for one comparison. Here are nine, and among nine one may exclude 0 "
            "by luck: use the p that is corrected for that.",
            sign=lambda seen: seen["no R1"] == "better" or seen["β₁ 0.5"] == "worse",
        ),
        Mistake(
            ({name: {"worse": "better", "better": "worse"}.get(word, word) for name, word in FOUND.items()}, D_FASTER),
            "The signs are turned round: a Fréchet distance that is larger than the default's is worse.",
            sign=lambda seen: seen["no batch norm in G"] == "better" or seen["D as fast as G"] == "worse",
        ),
        Mistake(
            (dict.fromkeys(PARTS, "open"), train.Recipe()),
            "Some differences are far beyond luck, even if one allows for nine comparisons: look for p below 0.05.",
            sign=lambda seen: any(seen[name] == "open" != FOUND[name] for name in PARTS),
        ),
        Mistake(
            (FOUND, train.Recipe()),
            "The verdicts are right. One change is better beyond doubt: use it in the recipe.",
            sign=lambda seen: all(seen[name] == FOUND[name] for name in PARTS) and not seen["changed"],
        ),
        Mistake(
            (FOUND, train.Recipe(lr_d=1.5e-3, penalty=None)),
            "The verdicts are right. The recipe should change what the record supports, and nothing else.",
            sign=lambda seen: all(seen[name] == FOUND[name] for name in PARTS),
        ),
    ),
    otherwise="Compare your verdicts with p once more, part by part.",
    praise="For 400 steps, that is. After 1,200 steps the same change is no longer told from chance, and nobody has "
    "shown it for dense networks or other data: say so when you defend it.",
)

EXERCISES = (FRECHET, COLLAPSED, DOUBT, TURN, WRONG_LINE, CHOICE)
