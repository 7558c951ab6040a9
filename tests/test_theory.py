"""Oracles: the values of the papers and closed forms, SciPy-free quadrature, and torch's automatic differentiation."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gantutor import theory
from gantutor.errors import BadInput

X = np.linspace(-14, 18, 6401)
DX = X[1] - X[0]
P = theory.gaussian(X)

LOSSES = ("gan", "nsgan", "wgan")
PENALTIES = (None, "r1", "consensus", "wgan-gp")


def dirac(loss, h=0.2, steps=500, **options):
    return theory.dirac_trajectory(loss, h, steps, **options)


def final_radius(*args, **options):
    return float(np.hypot(*dirac(*args, **options)[-1]))


def eigenvalues(loss, **options):
    """Of the field's Jacobian at the equilibrium (0, 0), by central differences."""
    return np.linalg.eigvals(
        central_jacobian(lambda point: np.array(theory.dirac_field(loss, *point, **options), dtype=float))
    )


def step_modulus(**options):
    """The largest modulus of an eigenvalue of one training step, linearised at the equilibrium."""
    step = lambda point: theory.dirac_trajectory("gan", steps=1, start=point, **options)[-1]  # noqa: E731
    return np.abs(np.linalg.eigvals(central_jacobian(step))).max()


def central_jacobian(function, e=1e-5):
    return np.stack([(function(d) - function(-d)) / (2 * e) for d in e * np.eye(2)], axis=1)


# ---------------------------------------------------------------- densities, V and D*


def test_gaussian_is_that_of_torch():
    mean, std = torch.tensor([0.7, 0.3], dtype=torch.float64)
    expected = torch.distributions.Normal(mean, std).log_prob(torch.tensor(X)).exp().numpy()
    np.testing.assert_allclose(theory.gaussian(X, 0.7, 0.3), expected, rtol=1e-11, atol=1e-300)


def test_no_other_discriminator_does_better_than_the_optimal_one():
    q = theory.gaussian(X, 1.0, 0.6)
    d = theory.optimal_discriminator(P, q)
    candidates = np.linspace(0.001, 0.999, 999)[:, None]  # (999, 1), tried at every x on its own
    best = candidates[np.argmax(P * np.log(candidates) + q * np.log(1 - candidates), axis=0), 0]
    seen = P + q > 1e-6
    assert np.abs(best - d)[seen].max() < 1.1e-3
    np.testing.assert_allclose(theory.optimal_discriminator([0, 1, 0, 3], [0, 0, 2, 1]), [0.5, 1, 0, 0.75])


@pytest.mark.parametrize(
    ("mu", "cost"), [(0.0, -1.386294), (0.5, -1.325672), (1, -1.163451), (2, -0.712633), (4, -0.120854)]
)
def test_cost_of_a_shifted_gaussian(mu, cost):
    q = theory.gaussian(X, mu)
    assert theory.value(P, q, theory.optimal_discriminator(P, q), DX) == pytest.approx(cost, abs=6e-7)
    assert -math.log(4) + 2 * theory.jensen_shannon(P, q, DX) == pytest.approx(cost, abs=6e-7)


def test_value_of_a_constant_discriminator_and_of_certainty():
    q = theory.gaussian(X, 1.0)
    assert theory.value(P, q, 0.3, DX) == pytest.approx(math.log(0.3) + math.log(0.7), abs=1e-9)
    assert theory.value([1, 0], [0, 1], [1, 0], 1.0) == 0.0  # right and certain, 0·log 0 = 0
    assert theory.value([1, 0], [0, 1], [0, 0], 1.0) == -math.inf  # certain and wrong
    assert theory.value([0, 0], [0, 0], [0, 1], 1.0) == 0.0
    assert theory.value([1], [1e-6], [1], 1.0) == -math.inf


def test_jensen_shannon_ends_and_a_hand_computed_middle():
    assert theory.jensen_shannon(P, P, DX) == pytest.approx(0, abs=1e-12)
    assert theory.jensen_shannon([2, 0], [0, 2], 0.5) == pytest.approx(math.log(2))
    # p = (½, ½), q = (1, 0), m = (¾, ¼)
    by_hand = 0.5 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2)) + 0.5 * math.log(4 / 3)
    assert theory.jensen_shannon([0.5, 0.5], [1, 0], 1.0) == pytest.approx(by_hand)
    tiny = np.array([5e-324, 1.0])
    assert math.isfinite(theory.jensen_shannon(tiny, tiny[::-1], 1.0))


@pytest.mark.parametrize(("alpha", "beta"), [(0.9, 0.0), (1.0, 0.2), (0.7, 0.1)])
def test_smoothed_optimum_is_the_minimum_of_the_smoothed_cross_entropy(alpha, beta):
    p, q = torch.tensor([0.7, 0.2, 0.05]), torch.tensor([0.1, 0.2, 0.9])
    logit = torch.zeros(3, requires_grad=True)
    real, fake = torch.full((3,), alpha), torch.full((3,), beta)
    for _ in range(2000):
        loss = p * F.binary_cross_entropy_with_logits(logit, real, reduction="none")
        loss = loss + q * F.binary_cross_entropy_with_logits(logit, fake, reduction="none")
        (grad,) = torch.autograd.grad(loss.sum(), logit)
        logit = (logit - 2.0 * grad).detach().requires_grad_()
    expected = torch.sigmoid(logit).detach().numpy()
    np.testing.assert_allclose(theory.smoothed_discriminator(p, q, alpha, beta), expected, atol=2e-4)


# ---------------------------------------------------------------- what G hears from D


@pytest.mark.parametrize("loss", ["saturating", "non-saturating"])
def test_generator_signals_are_torch_gradients(loss):
    s = torch.linspace(-12, 12, 97, dtype=torch.float64, requires_grad=True)
    d = torch.sigmoid(s)
    cost = {"saturating": (1 - d).log(), "non-saturating": -d.log()}[loss]
    by_d, by_logit = torch.autograd.grad(cost.sum(), [d, s])
    np.testing.assert_allclose(theory.generator_signal(loss, d=d.detach()), by_d, rtol=1e-9)
    np.testing.assert_allclose(theory.generator_signal(loss, logit=s.detach()), by_logit, rtol=1e-9)


def test_generator_signal_when_d_is_certain():
    assert theory.generator_signal("non-saturating", d=0.0) == -math.inf
    assert theory.generator_signal("saturating", d=0.0) == -1
    assert theory.generator_signal("saturating", logit=-1000.0) == 0
    assert theory.generator_signal("saturating", logit=-50.0) == pytest.approx(-math.exp(-50))
    assert theory.generator_signal("non-saturating", logit=-1000.0) == -1


def test_sigmoid_has_no_overflow_and_exact_tails():
    np.testing.assert_allclose(theory.sigmoid([-1e4, -40, 0, 40, 1e4]), [0, math.exp(-40), 0.5, 1, 1], rtol=1e-15)
    beta, x = 1.7, np.linspace(-3, 3, 31)
    np.testing.assert_allclose(0.5 * (np.tanh(beta * x) + 1), theory.sigmoid(2 * beta * x), rtol=1e-10)


# ---------------------------------------------------------------- the Dirac-GAN


@pytest.mark.parametrize(
    ("options", "radius"),
    [
        ({"loss": "gan"}, 3.097),
        ({"loss": "gan", "updates": "alternating"}, 1.421),
        ({"loss": "nsgan"}, 0.640),
        ({"loss": "wgan", "clip": 1.0}, 1.002),
        ({"loss": "gan", "penalty": "r1", "gamma": 0.3}, 2.6e-6),
        ({"loss": "gan", "penalty": "r1", "gamma": 0.3, "updates": "alternating"}, 2.3e-7),
        ({"loss": "gan", "penalty": "r1", "gamma": 1.0}, 9.5e-22),
    ],
)
def test_final_radius_after_500_steps(options, radius):
    digits = len(f"{radius:g}".split("e")[0].replace(".", "").lstrip("0"))
    assert float(f"{final_radius(**options):.{digits - 1}e}") == pytest.approx(radius)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_field_is_the_gradient_of_the_game(loss, penalty):
    """θ descends its loss and ψ ascends its own, both by autograd; ψ's penalties and consensus likewise."""
    gamma = 0.0 if penalty is None else 0.7
    f = (lambda t: t) if loss == "wgan" else F.logsigmoid
    for point in ((1.0, 1.0), (-0.4, 2.0), (3.0, -1.5), (0.2, 0.0)):
        theta, psi = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in point)
        g_loss = -f(-psi * theta) if loss == "nsgan" else f(psi * theta)
        d_gain = f(psi * theta)
        if penalty == "r1":
            d_gain = d_gain - gamma / 2 * psi**2
        if penalty == "wgan-gp" and point[1] != 0:
            d_gain = d_gain - gamma / 2 * (psi.abs() - 1) ** 2
        (v_theta,) = torch.autograd.grad(-g_loss, theta, create_graph=True)
        (v_psi,) = torch.autograd.grad(d_gain, psi, create_graph=True)
        if penalty == "consensus":
            pull = torch.autograd.grad(0.5 * (v_theta**2 + v_psi**2), [theta, psi])
            v_theta, v_psi = v_theta - gamma * pull[0], v_psi - gamma * pull[1]
        field = theory.dirac_field(loss, *point, penalty=penalty, gamma=gamma)
        np.testing.assert_allclose(field, [v_theta.item(), v_psi.item()], rtol=1e-12, atol=1e-14)


def test_field_takes_arrays_of_points():
    theta, psi = np.meshgrid(np.linspace(-2, 2, 5), np.linspace(-1, 1, 3))
    d_theta, d_psi = theory.dirac_field("gan", theta, psi, penalty="consensus", gamma=0.5)
    assert d_theta.shape == d_psi.shape == (3, 5)
    one = theory.dirac_field("gan", theta[1, 4], psi[1, 4], penalty="consensus", gamma=0.5)
    assert (d_theta[1, 4], d_psi[1, 4]) == one


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"loss": "gan"}, [0.5j, -0.5j]),
        ({"loss": "nsgan"}, [0.5j, -0.5j]),
        ({"loss": "wgan"}, [1j, -1j]),
        ({"loss": "gan", "penalty": "consensus", "gamma": 0.8}, [-0.2 + 0.5j, -0.2 - 0.5j]),
        ({"loss": "nsgan", "penalty": "consensus", "gamma": 0.8}, [-0.2 + 0.5j, -0.2 - 0.5j]),
        ({"loss": "gan", "penalty": "r1", "gamma": 0.6}, [-0.3 + 0.4j, -0.3 - 0.4j]),
        ({"loss": "gan", "penalty": "r1", "gamma": 2.6}, [-0.1, -2.5]),
    ],
)
def test_eigenvalues_at_the_equilibrium(options, expected):
    found = eigenvalues(**options)
    assert min(np.abs(found - order).max() for order in itertools.permutations(expected)) < 1e-8


def test_r1_stops_turning_at_gamma_1():
    imaginary = [np.abs(eigenvalues("gan", penalty="r1", gamma=g).imag).max() for g in (0.98, 1.02)]
    assert imaginary[0] > 0.05
    assert imaginary[1] == 0


def test_modulus_of_one_step():
    assert step_modulus(lr=0.2) == pytest.approx(1.00499, abs=1e-5)
    assert step_modulus(lr=0.7) == pytest.approx(math.sqrt(1 + 0.35**2), abs=1e-8)
    assert step_modulus(lr=0.2, updates="alternating") == pytest.approx(1, abs=1e-8)
    assert step_modulus(lr=3.9, updates="alternating") == pytest.approx(1, abs=1e-8)
    assert step_modulus(lr=4.1, updates="alternating") > 1.2


def test_first_steps_by_hand():
    half, start = 0.1, {"start": (0.0, 1.0)}  # σ(0) = ½ makes the first step easy: h·ψ·½
    np.testing.assert_allclose(dirac("gan", steps=1, **start)[-1], [-half, 1.0])
    psi = 1 + 0.2 * -half / (1 + math.exp(-half))
    np.testing.assert_allclose(dirac("gan", steps=1, updates="alternating", **start)[-1], [-half, psi])
    psi += 0.2 * -half / (1 + math.exp(-half * psi))
    two = dirac("gan", steps=1, updates="alternating", d_steps=2, **start)[-1]
    np.testing.assert_allclose(two, [-half, psi])


def test_alternating_wgan_with_clipping_and_three_d_steps_by_hand():
    path = dirac("wgan", steps=2, updates="alternating", d_steps=3, clip=0.5, start=(1.0, 0.0))
    # θ: 1 − 0·0.2 = 1; ψ: 0.2, 0.4, 0.6 → 0.5. θ: 1 − 0.1 = 0.9; ψ: 0.68 → 0.5 three times
    np.testing.assert_allclose(path, [[1, 0], [1, 0.5], [0.9, 0.5]])


def test_gradient_penalty_of_wgan_pulls_the_slope_to_one():
    np.testing.assert_allclose(dirac("wgan", steps=1, penalty="wgan-gp", gamma=2.0, start=(0.0, 3.0))[-1], [-0.6, 2.2])
    np.testing.assert_allclose(dirac("wgan", steps=1, penalty="wgan-gp", gamma=2.0, start=(0.0, -0.5))[-1], [0.1, -0.7])


@pytest.mark.parametrize("momentum", [0.0, 0.5, -0.4])
def test_simultaneous_steps_with_momentum_are_torch_sgd(momentum):
    players = [torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64)) for _ in range(2)]
    sgd = torch.optim.SGD(players, lr=0.2)  # torch's own momentum must be ≥ 0: kept by hand here as the recurrence
    path = dirac("nsgan", steps=40, momentum=momentum)
    before = [p.item() for p in players]
    for point in path[1:]:
        theta, psi = players
        sgd.zero_grad()
        theta.grad, psi.grad = torch.autograd.grad(F.logsigmoid(-psi * theta), [theta, psi])
        theta.grad.neg_()
        (psi.grad,) = torch.autograd.grad(-F.logsigmoid(psi * theta), [psi])
        now = [p.item() for p in players]
        sgd.step()
        with torch.no_grad():
            for p, old, current in zip(players, before, now, strict=True):
                p += momentum * (current - old)
        before = now
        np.testing.assert_allclose(point, [theta.item(), psi.item()], rtol=1e-10)


def test_momentum_heats_and_cools_the_alternating_game():
    radius = {m: final_radius("gan", updates="alternating", momentum=m) for m in (0.5, 0.0, -0.5)}
    assert radius[0.5] > 1.2 * radius[0.0] > 1.2 * 1.2 * radius[-0.5]


def test_divergence_ends_in_inf_without_a_warning():
    path = dirac("wgan", h=50.0, steps=500)  # pytest turns warnings into errors
    assert path.shape == (501, 2)
    assert np.isinf(path[-1]).all()
    assert not np.isnan(path).any()
    assert np.isfinite(dirac("gan", h=1e6, steps=50)).all()
    assert dirac("gan", steps=0).tolist() == [[1.0, 1.0]]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.optimal_discriminator([-1.0], [1.0]), "p holds a negative"),
        (lambda: theory.optimal_discriminator([1.0], [math.nan]), "q holds a negative, infinite or NaN"),
        (lambda: theory.jensen_shannon([1.0, 2.0], [1.0], 1.0), r"\(2,\) and q has \(1,\)"),
        (lambda: theory.value([1.0], [1.0], [2.0], 1.0), r"outside \[0, 1\].*instead of its logits"),
        (lambda: theory.value([1.0], [1.0], [math.nan], 1.0), r"outside \[0, 1\]"),
        (lambda: theory.value([1.0], [1.0], [0.5, 0.5], 1.0), "same grid"),
        (lambda: theory.value([1.0], [1.0], 0.5, 0.0), "dx is 0: .*> 0"),
        (lambda: theory.gaussian([0.0], std=-1), "std is -1"),
        (lambda: theory.smoothed_discriminator([1.0], [1.0], alpha=1.5), "alpha is 1.5"),
        (lambda: theory.generator_signal("saturatin", d=0.5), "did you mean 'saturating'"),
        (lambda: theory.generator_signal("saturating"), "exactly one"),
        (lambda: theory.generator_signal("saturating", d=0.5, logit=0.0), "exactly one"),
        (lambda: theory.dirac_field("gann", 0, 0), "did you mean 'gan'"),
        (lambda: theory.dirac_field("gan", 0, 0, penalty="r3"), "did you mean 'r1'"),
        (lambda: theory.dirac_field("gan", 0, 0, gamma=1.0), "no penalty"),
        (lambda: dirac("gan", penalty="r1", gamma=-1.0), "gamma is -1"),
        (lambda: dirac("gan", h=0.0), "lr is 0"),
        (lambda: dirac("gan", h=math.inf), "lr is inf"),
        (lambda: dirac("gan", h="fast"), "lr is 'fast'"),
        (lambda: dirac("gan", steps=-1), "steps is -1"),
        (lambda: dirac("gan", steps=2.5), "steps is 2.5"),
        (lambda: dirac("gan", updates="simultanous"), "did you mean 'simultaneous'"),
        (lambda: dirac("gan", updates="alternating", d_steps=0), "d_steps is 0"),
        (lambda: dirac("gan", d_steps=2), "updates='alternating'"),
        (lambda: dirac("wgan", clip=-1.0), "clip is -1"),
        (lambda: dirac("gan", momentum=1.0), "momentum is 1"),
        (lambda: dirac("gan", start=(1.0,)), "two numbers"),
        (lambda: dirac("gan", start=(1.0, math.nan)), "start ψ is nan"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(BadInput, match=message):
        call()
