"""Lesson 02: a GAN from dense layers."""

import math
from functools import cache

import torch
from torch import Tensor, nn

from gantutor import losses, metrics, models, train
from gantutor.checks.exercise import (
    Answer,
    Calls,
    Exercise,
    Mistake,
    Seen,
    as_number,
    blank,
    brief,
    check_callable,
    same,
)
from gantutor.checks.training_turns import TURN
from gantutor.data import strokes
from gantutor.errors import BadInput
from gantutor.metrics import classifier

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

# ---------------------------------------------------------------- 02.5

PLACES = 21


def measures_of_walk(answer: object) -> dict[str, float] | None:
    """How far a walk between latents misses its ends, how long its latents are, and how far it jumps."""
    check_callable(answer)
    start, end = torch.randn(2, 500, 64)
    latents: list[Seen] = [latents_at(answer, start, end, i / (PLACES - 1)) for i in range(PLACES)]
    if blank(latents):
        return None
    path = torch.stack(latents)  # (PLACES, 500, 64)
    lengths, usual = path.norm(dim=2).mean(1), start.norm(dim=1).mean()  # (PLACES,), ()
    steps = (path[1:] - path[:-1]).norm(dim=2).mean(1)
    far = (end - start).norm(dim=1).mean()
    return {
        "begins off": ((path[0] - start).norm(dim=1).mean() / far).item(),
        "ends off": ((path[-1] - end).norm(dim=1).mean() / far).item(),
        "turned round": ((path[0] - end).norm(dim=1).mean() / far).item() < 0.01,
        "shortest": (lengths.min() / usual).item(),
        "longest": (lengths.max() / usual).item(),
        "jump": (steps.max() / far).item(),
    }


def latents_at(answer, start: Tensor, end: Tensor, t: float) -> Tensor | None:
    """The latents (B, 64) of the walk at t."""
    z = answer(start.clone(), end.clone(), t)
    if z is None:
        return None
    if not isinstance(z, Tensor) or z.shape != start.shape:
        given = tuple(z.shape) if isinstance(z, Tensor) else brief(z)
        raise BadInput(
            f"at t = {t:g} the walk returns {given}: return latents, here a tensor of shape {tuple(start.shape)}."
        )
    if not z.isfinite().all():
        raise BadInput(f"at t = {t:g} the walk returns NaN or infinite values: look for a division by 0.")
    return z.detach().float()


def lengths_kept(seen: dict[str, float]) -> bool:
    return seen["shortest"] > 0.97 and seen["longest"] < 1.03


def great_circle(z0: Tensor, z1: Tensor, t: float) -> Tensor:
    """Spherical interpolation (White 2016, arXiv 1609.04468), with norms interpolated linearly."""
    a, b = z0.norm(dim=1, keepdim=True), z1.norm(dim=1, keepdim=True)  # (B, 1)
    return arc(z0, z1, t) * a.lerp(b, t)


def arc(z0: Tensor, z1: Tensor, t: float) -> Tensor:
    """The same walk with latents of length 1."""
    u, v = nn.functional.normalize(z0), nn.functional.normalize(z1)
    angle = (u * v).sum(1, keepdim=True).arccos()  # (B, 1)
    return (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)


WALK = Exercise(
    id="02.5",
    title="a walk that stays where G was trained",
    hints=(
        "The straight line has the right ends but becomes too short in the middle. What is the variance of one entry "
        "of (1 - t)·z0 + t·z1?",
        "It is (1 - t)² + t², because z0 and z1 are independent. What do you divide by to make it 1 again?",
        "((1 - t) * z0 + t * z1) / ((1 - t)**2 + t**2) ** 0.5",
    ),
    observe=measures_of_walk,
    right=great_circle,
    accepts=lambda seen: max(seen["begins off"], seen["ends off"]) < 1e-3 and lengths_kept(seen) and seen["jump"] < 0.3,
    mistakes=(
        Mistake(
            lambda z0, z1, t: torch.lerp(z1, z0, t),
            "At t = 0 the walk is at z1 and at t = 1 it is at z0, so it runs backwards.",
            sign=lambda seen: seen["turned round"],
        ),
        Mistake(
            lambda z0, z1, t: 2**0.5 * torch.lerp(z0, z1, t),
            "The middle is right now, but the latents at the ends are too long. The factor must depend on t.",
            sign=lambda seen: min(seen["begins off"], seen["ends off"]) > 0.2 and 1.35 < seen["longest"] < 1.5,
        ),
        Mistake(
            torch.lerp,
            "That is the straight line. Halfway along, its latents are only about 0.7 times as long as they should be.",
            sign=lambda seen: max(seen["begins off"], seen["ends off"]) < 1e-3 and 0.65 < seen["shortest"] < 0.75,
        ),
        Mistake(
            lambda z0, z1, t: ((1 - t) * z0 + t * z1) / ((1 - t) ** 2 + t**2),
            "Now the latents are too long in the middle. Your divisor is the variance: which power of it scales the "
            "entries themselves?",
            sign=lambda seen: max(seen["begins off"], seen["ends off"]) < 1e-3 and 1.35 < seen["longest"] < 1.5,
        ),
        Mistake(
            arc,
            "All your latents have length 1, but G was trained on latents of length about 8.",
            sign=lambda seen: seen["shortest"] > 0.11 and seen["longest"] < 0.14,
        ),
        Mistake(
            lambda z0, z1, t: 8 * torch.lerp(z0, z1, t) / torch.lerp(z0, z1, t).norm(),
            "Your latents are much too short. Does norm() treat each row separately (dim=1)?",
            sign=lambda seen: seen["longest"] < 0.3,
        ),
        Mistake(
            lambda z0, z1, t: 8 * arc(z0, z1, t),
            "The lengths are right on average, but the walk does not begin exactly at z0 and end exactly at z1, "
            "because each latent has its own length.",
            sign=lambda seen: (
                1e-3 <= max(seen["begins off"], seen["ends off"]) < 0.2 and seen["jump"] < 0.3 and lengths_kept(seen)
            ),
        ),
        Mistake(
            lambda z0, z1, t: t * z1,
            "The walk does not begin at z0: print walk(z0, z1, 0.0) - z0.",
            sign=lambda seen: seen["begins off"] >= 1e-3,
        ),
        Mistake(
            lambda z0, z1, t: z0 + t * z1,
            "The walk does not end at z1: print walk(z0, z1, 1.0) - z1.",
            sign=lambda seen: seen["ends off"] >= 1e-3,
        ),
        Mistake(
            lambda z0, z1, t: z0 if t < 0.5 else z1,
            "Every latent has the right length, but the walk jumps from one end to the other. It should move in small "
            "steps.",
            sign=lambda seen: seen["jump"] >= 0.3,
        ),
    ),
    otherwise="The ends are right, but somewhere in between the latents are too short or too long. Look at the curve.",
    praise="There are many such walks, the great circle among them. What matters is that G sees only latents like "
    "those it was trained on.",
)

# ---------------------------------------------------------------- 02.6

STEPS, BATCH, GOAL = 120, 64, 100.0


@cache
def digits() -> tuple[Tensor, classifier.Classifier, Tensor]:
    """Training images (2000, 1, 28, 28), the judge, and its features (1000, 64) of held-out images."""
    learn, held_out = (strokes.draw(n, seed).pixels / 127.5 - 1 for n, seed in ((2000, 0), (1000, 1)))
    j = classifier.load("strokes")
    return learn, j, classifier.features_and_logits(j, held_out)[0]


def short_run(recipe: train.Recipe) -> train.Run:
    """A small GAN on drawn digits after `STEPS` steps. Raises `BadInput` for a recipe that exceeds the budget."""
    if not isinstance(recipe, train.Recipe):
        raise BadInput(f"the answer is {brief(recipe)}: hand in a recipe, such as train.Recipe(lr_g=1e-3, lr_d=1e-3).")
    if recipe.batch_size > BATCH or recipe.d_steps > 1 or recipe.unroll:
        raise BadInput(
            f"this recipe exceeds the budget: use a batch_size of at most {BATCH}, one D step for each G "
            "step, and no unrolling."
        )
    G, D = models.mlp(latent_dim=32, g_hidden=(128,), d_hidden=(128,), seed=0)
    run = train.Run(G, D, digits()[0], recipe, seed=0)
    for _ in run.steps(STEPS):
        pass
    return run


def score(run: train.Run) -> float:
    """The Fréchet distance between 1,000 samples and held-out digits, in the judge's features."""
    _, j, reference = digits()
    return metrics.score(run.sample, j, reference, len(reference))


def short_score(recipe: Answer) -> dict[str, float]:
    """The score of the recipe, and what distinguishes the usual mistakes."""
    found = score(short_run(recipe))
    return {"score": found, "G": recipe.lr_g, "D": recipe.lr_d, "momentum": recipe.betas[0]}


SHORT = Exercise(
    id="02.6",
    title="the best recipe for 120 steps",
    hints=(
        "The lesson's recipe was made for thousands of steps. With so few, each step can be larger.",
        "Raise both learning rates to about twice their values, and keep G's above D's. Leave the momentum at 0.",
        "lr_g near 4e-3 and lr_d near 2e-3.",
    ),
    observe=short_score,
    right=train.Recipe(lr_g=4e-3, lr_d=2e-3),
    accepts=lambda seen: seen["score"] < GOAL,
    mistakes=(
        Mistake(
            train.Recipe(lr_g=4e-3, lr_d=2e-3, betas=(0.5, 0.999)),
            "Momentum is on. It makes the players overshoot, as in lesson 01, and costs more than the learning rates "
            "gain. Set betas[0] to 0 first.",
            sign=lambda seen: seen["momentum"] > 0.2,
        ),
        Mistake(
            train.Recipe(lr_g=1e-4, lr_d=1e-2),
            "D learns far faster than G, which cannot keep up. Which of the two learns faster in the lesson's recipe?",
            sign=lambda seen: seen["G"] < 0.6 * seen["D"],
        ),
        Mistake(
            train.Recipe(lr_g=1e-2, lr_d=1e-3),
            "G learns far faster than the D that provides its gradient. Let D learn faster too.",
            sign=lambda seen: seen["G"] > 4 * seen["D"],
        ),
        Mistake(
            train.Recipe(lr_g=0.1, lr_d=0.1),
            "These steps are so large that the players overshoot. Try learning rates between these and the lesson's.",
            sign=lambda seen: seen["G"] > 5.5e-3,
        ),
        Mistake(
            train.Recipe(),
            "These learning rates suit a long training run, and 120 such steps do not get far. Which settings "
            "determine the size of a step?",
            sign=lambda seen: seen["G"] < 3e-3,
        ),
    ),
    otherwise="This may be better than the lesson's recipe, but it does not reach the goal. Look at the two learning "
    "rates again: how far apart are they? Try D at about half of G's.",
    praise="A recipe is good for a certain length of training, so state the length whenever you compare two recipes.",
)

EXERCISES = (FRECHET, COLLAPSED, DOUBT, TURN, WALK, SHORT)
