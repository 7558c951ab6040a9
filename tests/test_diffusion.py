"""The diffusion model against Gaussian data, for which the best denoiser and everything it draws are known."""

import math

import pytest
import torch
from torch import nn

from gantutor.errors import BadInput
from gantutor.models import diffusion


class Oracle(diffusion.Denoiser):
    """The mean of x given the noisy x at time t, for x ~ N(0, I): cos(πt/2) times it."""

    def forward(self, x, t):
        return diffusion.levels(t)[0][:, None] * x


def test_example_and_noise_keep_the_variance():
    a, s = diffusion.levels(torch.linspace(0, 1, 11))
    assert torch.allclose(a**2 + s**2, torch.ones(11))
    assert (a[0], s[0]) == (1, 0)
    assert a[-1].abs() < 1e-6


def test_the_loss_of_the_best_denoiser():
    """The variance that is left of x at time t is sin²(πt/2), which is ½ on average."""
    torch.manual_seed(0)
    assert math.isclose(diffusion.loss(Oracle(4), torch.randn(100_000, 4)), 0.5, abs_tol=0.005)


@pytest.mark.parametrize("passes", [1, 2, 20])
def test_what_the_best_denoiser_draws(passes):
    """Each pass multiplies the sample by the cosine of the angle that it goes back."""
    drawn = diffusion.sample(Oracle(3), 500, passes=passes, seed=3)
    noise = torch.randn(500, 3, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(drawn, math.cos(math.pi / 2 / passes) ** passes * noise, atol=1e-5)


def test_it_learns_a_gaussian():
    torch.manual_seed(0)
    net = diffusion.Denoiser(2, width=32, blocks=1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(400):
        loss = diffusion.loss(net, torch.tensor([1.0, -1.0]) + torch.tensor([0.5, 1.0]) * torch.randn(256, 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    drawn = diffusion.sample(net, 5000)
    assert torch.allclose(drawn.mean(0), torch.tensor([1.0, -1.0]), atol=0.15)
    assert torch.allclose(drawn.std(0), torch.tensor([0.5, 1.0]), atol=0.15)


def test_the_seed_fixes_weights_and_samples():
    a, b = (diffusion.Denoiser(2, 8, seed=5) for _ in range(2))
    assert torch.equal(diffusion.sample(a, 3), diffusion.sample(b, 3))
    assert not torch.equal(diffusion.sample(a, 3), diffusion.sample(a, 3, seed=1))
    assert a.training  # left as it was


def test_numbers_that_make_no_sense():
    net: nn.Module = diffusion.Denoiser(2)
    with pytest.raises(BadInput, match="passes is 0"):
        diffusion.sample(net, 3, passes=0)
    with pytest.raises(BadInput, match="d"):
        diffusion.Denoiser(0)
