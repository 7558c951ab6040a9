"""Lesson 01: the minimax game on paper."""

import math

import numpy as np
import torch
from torch.nn.functional import softplus

from gantutor import losses, theory
from gantutor.checks.exercise import Calls, Exercise, Mistake, as_number
from gantutor.checks.training_loops import LOOP
from gantutor.errors import BadInput

ONE_PLACE = np.array([0.25]), np.array([0.75])
P, Q = np.array([0.3, 0.1, 0.4, 0.0]), np.array([0.1, 0.1, 0.0, 0.2])
REAL, FAKE = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-1.0, 0.4, 3.0])
SURE = torch.tensor([200.0, -200.0, 0.0])

# ---------------------------------------------------------------- 01.1


def best_of_unequal(p: np.ndarray, q: np.ndarray, share: float) -> np.ndarray:
    """D's best answers if a share of the examples is real."""
    return share * p / (share * p + (1 - share) * q)


BEST_D = Exercise(
    id="01.1",
    title="the best discriminator for unequal classes",
    hints=(
        "How many real examples, and how many fakes, does D meet near x, out of all that it sees? Both counts are "
        "proportional to a density times a share.",
        "At one place the loss to minimise is −share·p·log d − (1 − share)·q·log(1 − d). Set its derivative in d to "
        "zero.",
        "share·p·(1 − d) = (1 − share)·q·d. Solve for d.",
    ),
    observe=Calls((P, Q, 0.5), (P, Q, 0.75), (*ONE_PLACE, 0.2)),
    right=best_of_unequal,
    mistakes=(
        Mistake(
            lambda p, q, share: p / (p + q),
            "That is right for half real, half fake. If real examples are three times as frequent, should D not say "
            "“real” more readily?",
        ),
        Mistake(
            lambda p, q, share: best_of_unequal(q, p, 1 - share),
            "That is the probability that x is fake. D gives the probability that x is real.",
        ),
        Mistake(
            lambda p, q, share: best_of_unequal(p, q, 1 - share),
            "The idea is right, but the share stands at the wrong density: it is the share of the real examples.",
        ),
        Mistake(
            lambda p, q, share: share * p / (p + q),
            "The share is in the numerator only. Where there are no fakes (q = 0), D should say 1.",
        ),
        Mistake(
            lambda p, q, share: share + 0 * p,
            "That is the best answer where p = q. Elsewhere the densities tell D more.",
        ),
    ),
    praise="D* is the real share of everything that D meets at x. A D that gets unequal batches is shifted everywhere: "
    "its best logit is larger by log(share / (1 − share)).",
)

# ---------------------------------------------------------------- 01.2

EQUILIBRIUM = Exercise(
    id="01.2",
    title="D's loss when G is perfect and three in four are real",
    hints=(
        "p = q everywhere. What does 01.1 say D answers then, with a share of ¾?",
        "It answers ¾, always. Three quarters of the examples are real and cost −log ¾ each. What do the others cost?",
        "The mean is −¾·log ¾ − ¼·log ¼.",
    ),
    observe=as_number,
    right=-0.75 * math.log(0.75) - 0.25 * math.log(0.25),
    mistakes=(
        Mistake(
            0.0, "A loss of 0 means that D is certain and right. But when the fakes are perfect, D can only guess."
        ),
        Mistake(
            math.log(4),
            "That is the sum of two means, for a D that answers ½. Here D can do better, because real examples are "
            "more frequent, and the loss is one mean over all examples.",
        ),
        Mistake(
            math.log(2),
            "That is what ½ costs on every example. D can do better, because it knows that real examples are more "
            "frequent.",
        ),
        Mistake(0.75, "That is D's answer, a probability. The loss is made of its logarithms."),
        Mistake(
            -math.log(0.75), "That is what a real example costs. One example in four is a fake, and it costs more."
        ),
        Mistake(
            -math.log(0.75) - math.log(0.25),
            "Both terms are right, but they are not equally frequent: take the mean over all examples.",
        ),
        Mistake(
            -0.75 * math.log2(0.75) - 0.25 * math.log2(0.25),
            "The idea is right, but you took the logarithm to base 2. GAN losses use the natural one: np.log.",
        ),
        Mistake(
            0.75 * math.log(0.75) + 0.25 * math.log(0.25),
            "The size is right. But a mean of −log of probabilities is never negative.",
        ),
    ),
    otherwise="Not yet. Let D answer ¾ for every example, and average what that costs over all of them.",
    tolerance=5e-3,
    praise="It is 0.562, the entropy of a ¾ to ¼ choice, and below log 2 although D knows nothing. So the level of D's "
    "loss that means “I can only guess” depends on how its batches are mixed.",
)

# ---------------------------------------------------------------- 01.3


def players_losses(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """D's loss and G's, from `losses`."""
    loss = losses.NON_SATURATING
    return loss.d(real_logits, fake_logits), loss.g(real_logits, fake_logits)


def losses_from_probabilities(
    real_logits: torch.Tensor, fake_logits: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    d_real, d_fake = real_logits.sigmoid(), fake_logits.sigmoid()
    return -d_real.log().mean() - (1 - d_fake).log().mean(), -d_fake.log().mean()


LOSSES = Exercise(
    id="01.3",
    title="both losses from logits",
    hints=(
        "−log σ(s) = softplus(−s), and −log(1 − σ(s)) = softplus(s). Use torch.nn.functional.softplus.",
        "D wants high logits for real images and low ones for fakes. G wants high ones for its fakes.",
        "D: softplus(−real_logits).mean() + softplus(fake_logits).mean(). G: the same idea, with one term.",
    ),
    observe=Calls((REAL, FAKE), (SURE, SURE)),
    right=players_losses,
    mistakes=(
        Mistake(
            losses_from_probabilities,
            "It is right for small logits and infinite for large ones, because σ(200) rounds to 1 and log(1 − 1) is "
            "−∞. Apply softplus to the logits directly.",
        ),
        Mistake(
            lambda r, f: (softplus(-r).mean() + softplus(f).mean(), -softplus(f).mean()),
            "D's loss is right. G's is the saturating one, log(1 − D), whose gradient vanishes when D is confident. "
            "Take −log D.",
        ),
        Mistake(
            lambda r, f: (softplus(-r).mean() + softplus(f).mean(), softplus(f).mean()),
            "D's loss is right. G's has the same sign as D's, so a G that minimises it makes fakes that are easier to "
            "detect.",
        ),
        Mistake(
            lambda r, f: (softplus(r).mean() + softplus(-f).mean(), softplus(-f).mean()),
            "G's loss is right. This D is rewarded for calling real images fake and fakes real: flip both signs.",
        ),
        Mistake(
            lambda r, f: (-softplus(-r).mean() - softplus(f).mean(), softplus(-f).mean()),
            "G's loss is right. D's is V itself, which D maximises; its loss, which it minimises, is −V.",
        ),
        Mistake(
            lambda r, f: players_losses(r, f)[::-1],
            "The two losses are swapped: D's comes first.",
        ),
        Mistake(
            lambda r, f: (softplus(-r).sum() + softplus(f).sum(), softplus(-f).sum()),
            "The terms are right, but you sum over the batch. Take means, so that the batch size does not matter.",
        ),
        Mistake(
            lambda r, f: (softplus(-torch.cat([r, -f])).mean(), softplus(-f).mean()),
            "D's loss is half of the formula's, because your mean runs over real and fake logits together. Add two "
            "means.",
        ),
    ),
    praise="These are the losses in losses.NON_SATURATING, with which every lesson trains.",
)

# ---------------------------------------------------------------- 01.5


def dirac_step(theta: float, psi: float, h: float, gamma: float) -> tuple[float, float]:
    """One alternating step of the Dirac-GAN with R1 (Mescheder et al. 2018): G moves, then D answers the new G."""
    theta = theta - h * psi * sigma(-theta * psi)
    return theta, psi + h * (theta * sigma(-theta * psi) - gamma * psi)


def sigma(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def simultaneous(theta: float, psi: float, h: float, gamma: float) -> tuple[float, float]:
    s = sigma(-theta * psi)
    return theta - h * psi * s, psi + h * (theta * s - gamma * psi)


def d_first(theta: float, psi: float, h: float, gamma: float) -> tuple[float, float]:
    psi = psi + h * (theta * sigma(-theta * psi) - gamma * psi)
    return theta - h * psi * sigma(-theta * psi), psi


def stale(theta: float, psi: float, h: float, gamma: float) -> tuple[float, float]:
    s = sigma(-theta * psi)
    theta = theta - h * psi * s
    return theta, psi + h * (theta * s - gamma * psi)


def with_gamma(change: float):
    return lambda theta, psi, h, gamma: dirac_step(theta, psi, h, change * gamma)


R1_STEP = Exercise(
    id="01.5",
    title="one step of the Dirac-GAN with R1",
    hints=(
        "L(θ, ψ) = f(ψθ) + f(0) with f'(t) = σ(−t). G descends in θ, D ascends in ψ.",
        "R1 is γ/2 · ψ² here. D minimises it, so its derivative γψ is subtracted from D's direction.",
        "θ ← θ − hψσ(−θψ). Then, with this new θ: ψ ← ψ + h(θσ(−θψ) − γψ).",
    ),
    observe=Calls((1.0, 1.0, 0.2, 0.0), (1.0, 1.0, 0.2, 0.5), (-0.5, 2.0, 0.1, 1.0)),
    right=dirac_step,
    mistakes=(
        Mistake(
            simultaneous, "D answers the old G. That is a simultaneous step, which drifts outwards. Use the new θ."
        ),
        Mistake(
            with_gamma(-1.0),
            "Your R1 pushes ψ away from 0, but a penalty has to pull it towards 0: flip the sign of γψ.",
        ),
        Mistake(
            with_gamma(0.0),
            "The step without R1 is right, but gamma changes nothing: the penalty is missing from D's step.",
        ),
        Mistake(with_gamma(0.5), "R1 is γ/2 · ψ². D's step uses its derivative in ψ, in which the ½ cancels."),
        Mistake(
            lambda theta, psi, h, gamma: (theta, psi + h * (theta * sigma(-theta * psi) - gamma * psi)),
            "D moves and G does not. G's move comes first: θ − hψσ(−θψ).",
        ),
        Mistake(d_first, "D has moved first. Here G moves first, and D answers the new G."),
        Mistake(stale, "D uses the new θ, but its σ(−θψ) is still the old one. Compute it again."),
        Mistake(
            lambda theta, psi, h, gamma: (
                dirac_step(theta, psi, h, 0)[0],
                dirac_step(theta, psi, h, 0)[1] - gamma * psi,
            ),
            "R1 is part of D's direction, so multiply it by h like the rest.",
        ),
    ),
    praise="It is one step of theory.dirac_trajectory with penalty='r1'.",
)

# ---------------------------------------------------------------- 01.6

NEAR, STEPS = 0.001, 60


def distance_after(answer: object) -> dict[str, float]:
    """How far the Dirac-GAN is from the solution after `STEPS` steps of 0.2 with the settings handed in."""
    known = {"updates", "gamma", "momentum"}
    if not isinstance(answer, dict) or not set(answer) <= known:
        raise BadInput('hand in a dict such as {"updates": "alternating", "gamma": 0.1, "momentum": 0.0}.')
    gamma, momentum = as_number(answer.get("gamma", 0.0), "gamma"), as_number(answer.get("momentum", 0.0), "momentum")
    path = theory.dirac_trajectory(
        "gan", 0.2, STEPS, updates=answer.get("updates", "alternating"), penalty="r1", gamma=gamma, momentum=momentum
    )
    distance = float(np.hypot(*path[-1]))
    return {"distance": distance if math.isfinite(distance) else math.inf, "gamma": gamma, "momentum": momentum}


SETTLE = Exercise(
    id="01.6",
    title="make the Dirac-GAN converge quickly",
    hints=(
        "Begin with R1 alone. Which γ brought the players home in section 7? Try values above it.",
        "Section 7 tried a momentum of 0.5 without R1 and with it. Try some of it with a stronger R1, negative and "
        "positive.",
        "Try a gamma near 0.9 and a momentum near 0.5.",
    ),
    observe=distance_after,
    right={"updates": "alternating", "gamma": 0.9, "momentum": 0.5},
    accepts=lambda seen: seen["distance"] < NEAR,
    mistakes=(
        Mistake(
            {"gamma": 0.0},
            "Without R1 no setting converges in 60 steps. Give gamma a value above 0.",
            sign=lambda seen: seen["gamma"] == 0,
        ),
        Mistake(
            {"gamma": 12.0},
            "With steps of 0.2 such a strong penalty overshoots, and D oscillates. Lower gamma.",
            sign=lambda seen: seen["gamma"] > 1.2 and seen["distance"] > 2,
        ),
        Mistake(
            {"gamma": 4.0},
            "Such a strong penalty holds D so close to 0 that it hardly answers G, and G moves slowly. Lower gamma.",
            sign=lambda seen: seen["gamma"] > 1.2,
        ),
        Mistake(
            {"gamma": 0.1, "momentum": 0.5, "updates": "simultaneous"},
            "The players have not converged after 60 steps, because the penalty is too weak for these settings. Raise "
            "gamma.",
            sign=lambda seen: seen["gamma"] < 0.5,
        ),
        Mistake(
            {"gamma": 0.9, "momentum": -0.5},
            "Without R1 a negative momentum damps the rotation. With R1 it only slows convergence: try the other sign.",
            sign=lambda seen: seen["momentum"] < 0,
        ),
        Mistake(
            {"gamma": 1.0, "momentum": 0.9},
            "So much momentum carries the players past the solution again and again. Use less.",
            sign=lambda seen: seen["momentum"] > 0.7,
        ),
        Mistake(
            {"gamma": 0.9, "momentum": 0.0},
            "Close, and about as close as R1 alone can come. What section 7 says about momentum alone holds only "
            "without R1.",
            sign=lambda seen: seen["momentum"] == 0 and seen["distance"] < 0.05,
        ),
    ),
    otherwise="It is not within 0.001 of the solution after 60 steps. Vary one setting at a time.",
    praise="Without a penalty momentum drives the players outwards; with R1 a little of it speeds convergence up.",
)

EXERCISES = (BEST_D, EQUILIBRIUM, LOSSES, LOOP, R1_STEP, SETTLE)
