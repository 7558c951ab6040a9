import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from gantutor import losses, theory

REAL = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
FAKE = torch.tensor([-0.5, 0.25, 1.5], dtype=torch.float64)


def value_and_gradients(function, real=REAL, fake=FAKE):
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    loss = function(real, fake)
    gradients = torch.autograd.grad(loss, (real, fake), allow_unused=True, materialize_grads=True)
    return loss.detach(), *gradients


def mean_of(*terms):
    return sum(terms) / len(terms)


# What each loss is, written a second time in another way: with torch's cross-entropy, or number by number.
ORACLES = {
    "minimax": (
        lambda r, f: bce(r, torch.ones_like(r)) + bce(f, torch.zeros_like(f)),
        lambda r, f: -bce(f, torch.zeros_like(f)),
    ),
    "non-saturating": (
        lambda r, f: bce(r, torch.ones_like(r)) + bce(f, torch.zeros_like(f)),
        lambda r, f: bce(f, torch.ones_like(f)),
    ),
    "least-squares": (
        lambda r, f: mean_of(*[(a - 1) ** 2 / 2 for a in r]) + mean_of(*[b**2 / 2 for b in f]),
        lambda r, f: mean_of(*[(b - 1) ** 2 / 2 for b in f]),
    ),
    "hinge": (
        lambda r, f: mean_of(*[(1 - a).clamp(min=0) for a in r]) + mean_of(*[(1 + b).clamp(min=0) for b in f]),
        lambda r, f: -mean_of(*f),
    ),
    "wasserstein": (lambda r, f: mean_of(*f) - mean_of(*r), lambda r, f: -mean_of(*f)),
    "relativistic": (lambda r, f: bce(r - f, torch.ones_like(r)), lambda r, f: bce(f - r, torch.ones_like(r))),
}


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("player", [0, 1], ids=["d", "g"])
def test_values_and_gradients_agree_with_a_second_writing(name, player):
    loss = losses.LOSSES[name]
    ours = value_and_gradients((loss.d, loss.g)[player])
    theirs = value_and_gradients(ORACLES[name][player])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_paired_says_whether_the_generator_looks_at_real_logits(name):
    _, to_real, to_fake = value_and_gradients(losses.LOSSES[name].g)
    assert bool(to_real.any()) == losses.LOSSES[name].paired
    assert to_fake.any()


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_step_down_moves_real_and_fake_logits_the_right_way(name):
    """D pushes real up and fake down; G pushes fake up."""
    loss = losses.LOSSES[name]
    inside = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)  # where no loss is flat or past its target
    _, d_real, d_fake = value_and_gradients(loss.d, inside, inside + 0.1)
    _, _, g_fake = value_and_gradients(loss.g, inside, inside + 0.1)
    assert (d_real < 0).all()
    assert (d_fake > 0).all()
    assert (g_fake < 0).all()


def test_d_loss_is_minus_v_of_the_theory():
    """On a finite world of two values the expectations are exact: reals are (a, a, a, b), fakes (a, b, b, b)."""
    logit = {"a": 0.7, "b": -0.4}
    real, fake = (torch.tensor([logit[v] for v in world], dtype=torch.float64) for world in ("aaab", "abbb"))
    d = np.array([1 / (1 + math.exp(-t)) for t in logit.values()])
    v = theory.value(np.array([0.75, 0.25]), np.array([0.25, 0.75]), d, 1.0)
    assert losses.MINIMAX.d(real, fake).item() == pytest.approx(-v, rel=1e-12)


def test_losses_of_a_d_that_knows_nothing():
    zero = torch.zeros(5)
    assert losses.MINIMAX.d(zero, zero).item() == pytest.approx(math.log(4))
    assert losses.MINIMAX.g(zero, zero).item() == pytest.approx(-math.log(2))
    assert losses.NON_SATURATING.g(zero, zero).item() == pytest.approx(math.log(2))
    assert losses.RELATIVISTIC.d(zero, zero).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", ["minimax", "non-saturating", "relativistic"])
def test_extreme_logits_stay_finite_where_log_of_sigmoid_does_not(name):
    extreme = torch.tensor([-1e4, 1e4])
    assert torch.sigmoid(extreme).log().isinf().any()  # the broken twin
    for function in losses.LOSSES[name].d, losses.LOSSES[name].g:
        for value in value_and_gradients(function, extreme, extreme.flip(0)):
            assert value.isfinite().all()
