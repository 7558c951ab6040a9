import pytest
import torch

from gantutor import penalties

REAL = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]], dtype=torch.float64)
FAKE = torch.tensor([[-1.0, 0.0], [2.0, 2.0], [0.5, 0.5]], dtype=torch.float64)
WEIGHT = torch.tensor([0.6, -1.2], dtype=torch.float64)


def linear(x):
    return x @ WEIGHT


def quadratic(x):
    """D(x) = ½‖x‖², whose gradient is x itself."""
    return x.square().sum(1) / 2


def test_linear_d_has_the_gradient_of_its_weights():
    squared = WEIGHT.square().sum().item()
    assert penalties.r1(linear, REAL, FAKE).item() == pytest.approx(squared / 2)
    assert penalties.r2(linear, REAL, FAKE).item() == pytest.approx(squared / 2)
    assert penalties.wgan_gp(linear, REAL, FAKE).item() == pytest.approx((squared**0.5 - 1) ** 2)


def test_r1_looks_at_real_and_r2_at_fake():
    assert penalties.r1(quadratic, REAL, FAKE).item() == pytest.approx(REAL.square().sum(1).mean().item() / 2)
    assert penalties.r2(quadratic, REAL, FAKE).item() == pytest.approx(FAKE.square().sum(1).mean().item() / 2)


def test_wgan_gp_looks_on_the_segments_between_real_and_fake():
    """With D = ½‖x‖² the norm is ‖x̂‖, which the segment from (0, 0) to (4, 0) spreads evenly over [0, 4]."""
    n = 20_000
    real, fake = torch.zeros(n, 2, dtype=torch.float64), torch.tensor([[4.0, 0.0]], dtype=torch.float64).repeat(n, 1)
    torch.manual_seed(0)
    expected = 7 / 3  # ∫₀⁴ (t − 1)² dt / 4
    assert penalties.wgan_gp(quadratic, real, fake).item() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_penalties_are_differentiable_in_the_weights_of_d(name):
    """For a linear D every penalty is a function of ‖w‖, so autograd must give its derivative times w/‖w‖."""
    w = WEIGHT.clone().requires_grad_()
    penalties.PENALTIES[name](lambda x: x @ w, REAL, FAKE).backward()
    norm = WEIGHT.norm()
    slope = 2 * (norm - 1) if name == "wgan-gp" else norm
    torch.testing.assert_close(w.grad, slope * WEIGHT / norm, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_a_flat_d_gives_a_finite_gradient(name):
    """√ at 0 has an infinite derivative: a plain norm turns a D of zeros into NaN."""
    naive = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    naive.square().sum().sqrt().backward()
    assert naive.grad.isnan().all()  # the broken twin
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    penalties.PENALTIES[name](lambda x: x @ w, REAL, FAKE).backward()
    assert w.grad.isfinite().all()


def test_the_batches_are_left_alone():
    real = REAL.clone()
    penalties.r1(quadratic, real, FAKE)
    assert not real.requires_grad
