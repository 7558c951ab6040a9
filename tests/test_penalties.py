import pytest
import torch

from gantutor import models, penalties

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
    assert penalties.r1_r2(linear, REAL, FAKE).item() == pytest.approx(squared)
    assert penalties.wgan_gp(linear, REAL, FAKE).item() == pytest.approx((squared**0.5 - 1) ** 2)


def test_r1_looks_at_real_and_r2_at_fake():
    assert penalties.r1(quadratic, REAL, FAKE).item() == pytest.approx(REAL.square().sum(1).mean().item() / 2)
    assert penalties.r2(quadratic, REAL, FAKE).item() == pytest.approx(FAKE.square().sum(1).mean().item() / 2)
    both = REAL.square().sum(1).mean() + FAKE.square().sum(1).mean()
    assert penalties.r1_r2(quadratic, REAL, FAKE).item() == pytest.approx(both.item() / 2)


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
    slope = {"r1": norm, "r2": norm, "r1-r2": 2 * norm, "wgan-gp": 2 * (norm - 1)}[name]
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


# --- packs -----------------------------------------------------------------------------------------------------------


class Packed:
    """A function of packs, (B / pack, pack · 2) -> (B / pack,), as a D of examples (B, 2)."""

    def __init__(self, function, pack):
        self.function, self.pack = function, pack

    def __call__(self, x):
        return self.function(torch.stack([torch.cat(list(part)) for part in x.split(self.pack)]))


def test_packs_of_a_linear_d_have_the_gradient_of_all_its_weights():
    w = torch.tensor([0.6, -1.2, 0.3, 2.0, 0.1, -0.7], dtype=torch.float64)  # of three examples
    D, squared = Packed(lambda x: x @ w, 3), w.square().sum().item()
    real, fake = REAL.repeat(2, 1), FAKE.repeat(2, 1)
    assert penalties.squared_gradient_norm(D, real).tolist() == pytest.approx([squared] * 2)
    assert penalties.r1(D, real, fake).item() == pytest.approx(squared / 2)
    assert penalties.r1_r2(D, real, fake).item() == pytest.approx(squared)
    assert penalties.wgan_gp(D, real, fake).item() == pytest.approx((squared**0.5 - 1) ** 2)


def test_the_norm_is_that_of_each_pack():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    assert penalties.squared_gradient_norm(Packed(quadratic, 2), x).tolist() == pytest.approx([30.0, 5.0])


def test_a_pack_is_one_point_between_real_and_fake():
    """Between (0, 0) twice and (4, 0) twice the norm is at, a = 4√2: ∫₀¹ (at − 1)² dt = a²/3 − a + 1. (Examples that
    went each its own way would give 5.55.)"""
    n, a = 20_000, 4 * 2**0.5
    real, fake = torch.zeros(n, 2, dtype=torch.float64), torch.tensor([[4.0, 0.0]], dtype=torch.float64).repeat(n, 1)
    torch.manual_seed(0)
    got = penalties.wgan_gp(Packed(quadratic, 2), real, fake).item()
    assert got == pytest.approx(a**2 / 3 - a + 1, rel=0.03)


def test_a_packed_net_of_the_package():
    D = models.MLPDiscriminator((), (2,), pack=3)  # linear
    squared = D.net[-1].weight.square().sum().item()
    for name, expected in {"r1": squared / 2, "r1-r2": squared, "wgan-gp": (squared**0.5 - 1) ** 2}.items():
        got = penalties.PENALTIES[name](D, REAL.float().repeat(2, 1), FAKE.float().repeat(2, 1))
        assert got.item() == pytest.approx(expected, rel=1e-4)
