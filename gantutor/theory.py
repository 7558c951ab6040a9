"""The game on paper: V, D*, the Jensen-Shannon divergence, the gradient that G receives, and the Dirac-GAN.

Densities are arrays of values on a grid whose cells have size `dx` (a length in 1-D, an area in 2-D), so an integral is
the sum over the cells times `dx`. `p` is always the data's density and `q` the generator's. NumPy only.
"""

import math

import numpy as np

from gantutor.errors import BadInput, real_number, unknown, whole_number

SIGNALS = ("saturating", "non-saturating")
DIRAC_LOSSES = ("gan", "nsgan", "wgan")
DIRAC_PENALTIES = ("r1", "consensus", "wgan-gp")
UPDATES = ("simultaneous", "alternating")


# ---------------------------------------------------------------- densities, V and D*


def gaussian(x, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """The density of N(mean, std²) at every point of `x` (any shape)."""
    std = real_number("std", std, above=0)
    u = (np.asarray(x, dtype=float) - real_number("mean", mean)) / std
    return np.exp(-0.5 * u**2) / (std * math.sqrt(2 * math.pi))


def optimal_discriminator(p, q) -> np.ndarray:
    """D*(x) = p(x) / (p(x) + q(x)), the best response of D to a fixed generator.

    Where both densities are 0 no sample ever falls, so any value is as good as another; there D* is 0.5.

    Args:
        p, q: densities of data and generator on one grid, ≥ 0, of equal shape.
    Returns: array of that shape, in [0, 1].
    Raises `BadInput` for negative, infinite or NaN densities and for shapes that do not match.
    Source: Goodfellow et al. 2014, Proposition 1.
    """
    return smoothed_discriminator(p, q)


def smoothed_discriminator(p, q, alpha: float = 1.0, beta: float = 0.0) -> np.ndarray:
    """The best response when D's targets are α on real and β on fake images: (αp + βq) / (p + q).

    One-sided label smoothing is α = 0.9, β = 0. Where p = q = 0 the value is 0.5, as in `optimal_discriminator`.

    Args:
        p, q: densities on one grid, ≥ 0, of equal shape.
        alpha, beta: in [0, 1].
    Source: Salimans et al. 2016, section 3.4.
    """
    p, q = _densities(p, q)
    alpha, beta = (real_number(name, v, least=0, most=1) for name, v in (("alpha", alpha), ("beta", beta)))
    total = p + q
    return np.divide(alpha * p + beta * q, total, out=np.full(total.shape, 0.5), where=total > 0)


def value(p, q, d, dx) -> float:
    """V(D, G) = ∫ p log D + q log(1 − D) dx in nats, with 0·log 0 = 0 (and −∞ where D is certain and wrong).

    Where q is lost in the rounding of p (or the reverse) it counts as 0, because D* is exactly 1.0 there and not wrong.

    Args:
        p, q: densities on one grid, ≥ 0, of equal shape.
        d: D's probability "this is real" on that grid (or one number), in [0, 1].
        dx: size of a grid cell, > 0.
    Source: Goodfellow et al. 2014, equation 1.
    """
    p, q = _densities(p, q)
    d = _probabilities(d)
    if np.broadcast_shapes(p.shape, d.shape) != p.shape:
        raise BadInput(f"d has shape {d.shape} but the densities have {p.shape}: give D on the same grid.")
    return float(np.sum(_x_log_y(p, d, q) + _x_log_y(q, 1 - d, p)) * real_number("dx", dx, above=0))


def jensen_shannon(p, q, dx) -> float:
    """JSD(p‖q) = ½KL(p‖m) + ½KL(q‖m) with m = (p+q)/2, in nats: 0 for equal densities, log 2 for disjoint ones.

    Args:
        p, q: densities on one grid, ≥ 0, of equal shape.
        dx: size of a grid cell, > 0.
    Source: Goodfellow et al. 2014, equation 6: V(D*, G) = −log 4 + 2·JSD(p‖q).
    """
    p, q = _densities(p, q)
    d = optimal_discriminator(p, q)  # p/m = 2·D*, q/m = 2·(1 − D*)
    one_minus_d = optimal_discriminator(q, p)
    return float(0.5 * np.sum(_x_log_y(p, 2 * d, q) + _x_log_y(q, 2 * one_minus_d, p)) * real_number("dx", dx, above=0))


# ---------------------------------------------------------------- the gradient that G receives


def generator_signal(loss: str, *, d=None, logit=None) -> np.ndarray:
    """The derivative of G's loss on one fake image, with respect to D's probability or to D's logit.

    | loss | minimised by G | by D | by the logit s, D = σ(s) |
    |-|-|-|-|
    | "saturating" | log(1 − D) | −1/(1 − D) | −σ(s) = −D |
    | "non-saturating" | −log D | −1/D | −σ(−s) = −(1 − D) |

    Gradients reach G's weights through the logit, so the last column is the gradient that G receives.

    Args:
        loss: "saturating" or "non-saturating".
        d: probabilities in [0, 1] (any shape), or
        logit: logits (any shape); give exactly one of the two.
    Source: Goodfellow et al. 2014, section 3.
    """
    if loss not in SIGNALS:
        raise unknown("generator loss", loss, SIGNALS)
    if (d is None) == (logit is None):
        raise BadInput("generator_signal needs either d=… (probabilities) or logit=…: give exactly one of them.")
    if logit is not None:
        return -sigmoid(logit if loss == "saturating" else -np.asarray(logit, dtype=float))
    d = _probabilities(d)
    with np.errstate(divide="ignore"):
        return -1 / (1 - d) if loss == "saturating" else -1 / d


def sigmoid(t) -> np.ndarray:
    """The logistic function σ(t) = 1/(1 + e^−t), without overflow and accurate in both tails."""
    t = np.asarray(t, dtype=float)
    e = np.exp(-np.abs(t))
    return np.where(t >= 0, 1.0, e) / (1 + e)


# ---------------------------------------------------------------- the smallest GAN


def dirac_field(loss: str, theta, psi, *, penalty: str | None = None, gamma: float = 0.0) -> tuple:
    """The directions (θ̇, ψ̇) in which G and D of the Dirac-GAN move.

    The data is a single point at 0, the generator a single point at θ, and the discriminator the line x ↦ ψx. The game
    is L(θ, ψ) = f(ψθ) + f(0) with f(t) = −log(1 + e^−t) (f(t) = t for WGAN); θ descends on it and ψ ascends. In the
    paper's convention, which is used here, the logit is high on *fake*.

    - "gan": θ̇ = −ψσ(−θψ), ψ̇ = θσ(−θψ); "nsgan": θ̇ = −ψσ(θψ), ψ̇ as in "gan"; "wgan": θ̇ = −ψ, ψ̇ = θ.
    - penalty "r1" adds −γψ to ψ̇; "wgan-gp" adds −γ·sign(ψ)(|ψ| − 1) to ψ̇; "consensus" turns the field v into
      v − γ∇½‖v‖².

    Args:
        loss: "gan", "nsgan" or "wgan".
        theta, psi: numbers or arrays that broadcast together.
        penalty: None, "r1", "consensus" or "wgan-gp".
        gamma: strength of the penalty, ≥ 0.
    Returns: (dθ, dψ), arrays of the broadcast shape.
    Source: Mescheder, Geiger, Nowozin 2018 (arXiv 1801.04406), section 2 and appendix.
    """
    _check_dirac(loss, penalty, gamma)
    theta, psi = np.broadcast_arrays(np.asarray(theta, dtype=float), np.asarray(psi, dtype=float))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return _field(loss, theta, psi, penalty, gamma)


def dirac_trajectory(
    loss: str,
    lr: float,
    steps: int,
    *,
    updates: str = "simultaneous",
    d_steps: int = 1,
    penalty: str | None = None,
    gamma: float = 0.0,
    clip: float | None = None,
    momentum: float = 0.0,
    start: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Train the Dirac-GAN by gradient steps along `dirac_field`, and return every point on its way.

    Args:
        loss, penalty, gamma: as in `dirac_field`.
        lr: step size of both players, > 0.
        steps: number of steps, ≥ 0.
        updates: "simultaneous" (both move from the old values) or "alternating" (θ moves once, then ψ moves `d_steps`
            times against the new θ).
        d_steps: steps of ψ per step of θ, ≥ 1; more than 1 needs alternating updates.
        clip: ψ is clipped to [−clip, clip] after each of its steps (Wasserstein GAN); None for no clipping.
        momentum: heavy-ball momentum of each player, velocity ← momentum·velocity + lr·direction, in (−1, 1).
        start: (θ, ψ) before the first step.
    Returns: array (steps + 1, 2) of (θ, ψ). If a run overflows floating point, it is inf from there on.
    Raises `BadInput` for a value outside these ranges.
    """
    _check_dirac(loss, penalty, gamma)
    if updates not in UPDATES:
        raise unknown("kind of updates", updates, UPDATES)
    steps, d_steps = whole_number("steps", steps, least=0), whole_number("d_steps", d_steps, least=1)
    if updates == "simultaneous" and d_steps > 1:
        raise BadInput(f"d_steps is {d_steps}, but in simultaneous updates D moves once: use updates='alternating'.")
    lr, momentum = real_number("lr", lr, above=0), real_number("momentum", momentum, above=-1, below=1)
    limit = math.inf if clip is None else real_number("clip", clip, above=0)
    theta, psi = _start(start)

    path = np.full((steps + 1, 2), np.inf)
    path[0] = theta, psi
    theta_velocity = psi_velocity = 0.0
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for i in range(1, steps + 1):
            old_theta = theta
            theta_velocity = momentum * theta_velocity + lr * _field(loss, theta, psi, penalty, gamma)[0]
            theta = theta + theta_velocity
            for _ in range(d_steps):
                opponent = old_theta if updates == "simultaneous" else theta
                psi_velocity = momentum * psi_velocity + lr * _field(loss, opponent, psi, penalty, gamma)[1]
                psi = np.clip(psi + psi_velocity, -limit, limit)
            if not (np.isfinite(theta) and np.isfinite(psi)):
                break
            path[i] = theta, psi
    return path


def _field(loss, theta, psi, penalty, gamma):
    t = theta * psi
    plus, minus = sigmoid(t), sigmoid(-t)
    derivative = plus * minus  # σ′(t)
    one, zero = np.ones_like(t), np.zeros_like(t)
    # θ̇ = −ψ·a(t), ψ̇ = θ·b(t), with the derivatives a′(t) and b′(t)
    a, b, da, db = {
        "gan": (minus, minus, -derivative, -derivative),
        "nsgan": (plus, minus, derivative, -derivative),
        "wgan": (one, one, zero, zero),
    }[loss]
    d_theta, d_psi = -psi * a, theta * b
    if penalty == "r1":
        return d_theta, d_psi - gamma * psi
    if penalty == "wgan-gp":
        return d_theta, d_psi - gamma * np.sign(psi) * (np.abs(psi) - 1)
    if penalty == "consensus":  # ∇½‖v‖² = Jᵀv, with J the Jacobian of v
        gradient_theta = d_theta * (-(psi**2) * da) + d_psi * (b + t * db)
        gradient_psi = d_theta * (-a - t * da) + d_psi * (theta**2 * db)
        return d_theta - gamma * gradient_theta, d_psi - gamma * gradient_psi
    return d_theta, d_psi


# ---------------------------------------------------------------- checks of arguments


def _check_dirac(loss, penalty, gamma):
    if loss not in DIRAC_LOSSES:
        raise unknown("Dirac-GAN loss", loss, DIRAC_LOSSES)
    if penalty is not None and penalty not in DIRAC_PENALTIES:
        raise unknown("penalty", penalty, DIRAC_PENALTIES)
    gamma = real_number("gamma", gamma, least=0)
    if penalty is None and gamma:
        raise BadInput(f"gamma is {gamma:g}, but there is no penalty: name one of {', '.join(DIRAC_PENALTIES)}.")


def _start(start):
    try:
        theta, psi = start
    except (TypeError, ValueError):
        raise BadInput(f"start is {start!r}: give two numbers (θ, ψ).") from None
    return np.float64(real_number("start θ", theta)), np.float64(real_number("start ψ", psi))


def _densities(p, q):
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    if p.shape != q.shape:
        raise BadInput(f"p has shape {p.shape} and q has {q.shape}: give both densities on the same grid.")
    for name, density in (("p", p), ("q", q)):
        if not (np.isfinite(density).all() and (density >= 0).all()):
            raise BadInput(
                f"{name} holds a negative, infinite or NaN value: a density has to be finite and at least 0."
            )
    return p, q


def _probabilities(d):
    d = np.asarray(d, dtype=float)
    if not ((d >= 0) & (d <= 1)).all():
        raise BadInput("d holds a value outside [0, 1]: give D's probabilities, σ(logit), instead of its logits.")
    return d


def _x_log_y(x, y, other):
    """x·log y, but 0 where y is 0 and x is 0 too, or too small beside `other` for floating point."""
    lost = (y == 0) & (x <= np.finfo(float).eps * other)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0, x * np.log(np.where(lost, 1.0, y)), 0.0)
