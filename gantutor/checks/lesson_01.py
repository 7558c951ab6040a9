"""Lesson 01: the minimax game on paper."""

import math

import numpy as np
import torch
from torch.nn.functional import softplus

from gantutor import losses, theory
from gantutor.checks.exercise import Calls, Exercise, Mistake, as_number, same
from gantutor.errors import BadInput

ONE_PLACE = np.array([0.25]), np.array([0.75])
P, Q = np.array([0.3, 0.1, 0.4, 0.0]), np.array([0.1, 0.1, 0.0, 0.2])
REAL, FAKE = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-1.0, 0.4, 3.0])
SURE = torch.tensor([200.0, -200.0, 0.0])

# ---------------------------------------------------------------- 01.1

BEST_D = Exercise(
    id="01.1",
    title="the best discriminator",
    hints=(
        "At one place x, D collects p·log d + q·log(1 − d). Where is its derivative in d zero?",
        "The derivative is p/d − q/(1 − d). Set it to zero and multiply by d(1 − d).",
        "That gives p(1 − d) = q d. Solve for d.",
    ),
    observe=Calls((P, Q), ONE_PLACE),
    right=theory.optimal_discriminator,
    mistakes=(
        Mistake(
            lambda p, q: q / (p + q), "That is the probability that x is fake. D gives the probability that x is real."
        ),
        Mistake(
            lambda p, q: p / q,
            "A ratio of densities can be any number from 0 to infinity. D's answer is a probability: divide by "
            "everything found at x, real and fake together.",
            sign=lambda seen: all(
                same(np.asarray(mine)[q > 0], (p / np.where(q > 0, q, 1))[q > 0], 1e-4)
                for mine, (p, q) in zip(seen, ((P, Q), ONE_PLACE), strict=True)
                if np.shape(mine) == p.shape
            ),
        ),
        Mistake(
            lambda p, q: np.where(p > q, 1.0, 0.0),
            "This D is always certain, so its loss has no bound where it is wrong. Where is the derivative zero?",
        ),
        Mistake(lambda p, q: p, "That is the density of the data alone. D's answer must also depend on q."),
        Mistake(lambda p, q: 0.5 + 0 * p, "½ is right only where p = q. Elsewhere D can do better than guess."),
    ),
    praise="D* is the real share of everything found at x, so a trained D estimates a ratio of densities.",
)

# ---------------------------------------------------------------- 01.2

EQUILIBRIUM = Exercise(
    id="01.2",
    title="D's loss when G is perfect",
    hints=(
        "What does D answer for every image when p = q?",
        "It answers ½, for real images and for fakes. D's loss has a term for each of the two.",
        "Add −log ½ for the real images and −log(1 − ½) for the fakes.",
    ),
    observe=as_number,
    right=math.log(4),
    mistakes=(
        Mistake(
            0.0, "A loss of 0 means that D is certain and right. But when the fakes are perfect, D can only guess."
        ),
        Mistake(math.log(2), "That is one of the two terms. D's loss counts real images and fakes."),
        Mistake(0.5, "That is D's output, a probability. The loss is made of its logarithms."),
        Mistake(
            2.0, "The idea is right, but you took the logarithm to base 2. GAN losses use the natural one: np.log."
        ),
        Mistake(
            2 * math.log10(2), "The idea is right, but you took the logarithm to base 10. Use the natural one: np.log."
        ),
        Mistake(-math.log(4), "That is V, which D maximises. Its loss, which it minimises, is −V."),
    ),
    otherwise="Not yet. Let D answer ½ for every image and write its loss down term by term.",
    tolerance=5e-3,
    praise="It is log 4. So a loss near 1.39 means that D can only guess, and a loss near 0 is bad news for G.",
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

# ---------------------------------------------------------------- 01.4

LOGITS = np.array([-8.0, -2.0, 0.0, 2.0, 8.0])
GENERATOR_GRADIENTS = Exercise(
    id="01.4",
    title="the gradient G receives",
    hints=(
        "Both are derivatives with respect to the logit s, and D = σ(s) has the derivative D(1 − D).",
        "d log(1 − D)/ds = −1/(1 − D) · D(1 − D). The other one works the same way.",
        "The saturating loss gives −D, the non-saturating one −(1 − D).",
    ),
    observe=Calls((LOGITS,)),
    right=lambda s: tuple(theory.generator_signal(loss, logit=s) for loss in ("saturating", "non-saturating")),
    mistakes=(
        Mistake(
            lambda s: (-1 / (1 - theory.sigmoid(s)), -1 / theory.sigmoid(s)),
            "These are derivatives with respect to D. Multiply by the derivative of the sigmoid, D(1 − D).",
        ),
        Mistake(
            lambda s: (-(1 - theory.sigmoid(s)), -theory.sigmoid(s)),
            "The two are swapped. Which one should be near 0 when D is confident that an image is fake (s = −8)?",
        ),
        Mistake(
            lambda s: (theory.sigmoid(s), 1 - theory.sigmoid(s)),
            "The magnitudes are right, but the signs are wrong. G lowers its loss by raising the logit, so the "
            "derivative is negative.",
        ),
        Mistake(
            lambda s: (np.log(1 - theory.sigmoid(s)), -np.log(theory.sigmoid(s))),
            "These are the losses themselves. G moves along their gradients.",
        ),
    ),
    praise="At s = −8 the saturating gradient is −0.0003 and the non-saturating one −0.9997, which is why the latter "
    "is used.",
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
        "Begin with R1 alone. Which γ did best in the table of section 9? Try values a little above and below it.",
        "Section 9 tried momentum without R1. Try a little of it together with R1, negative and positive.",
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
            "Close, and about as close as R1 alone can come. What section 9 says about momentum holds without R1.",
            sign=lambda seen: seen["momentum"] == 0 and seen["distance"] < 0.05,
        ),
    ),
    otherwise="It is not within 0.001 of the solution after 60 steps. Vary one setting at a time.",
    praise="Without a penalty momentum drives the players outwards; with R1 a little of it speeds convergence up.",
)

EXERCISES = (BEST_D, EQUILIBRIUM, LOSSES, GENERATOR_GRADIENTS, R1_STEP, SETTLE)
