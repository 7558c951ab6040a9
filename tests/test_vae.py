"""The VAE pair and its bound, against torch.distributions, Monte Carlo, and a model whose log p(x) is known."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from gantutor import models
from gantutor.errors import BadInput
from gantutor.models import vae


def some(d=5, n=4):
    """Means and log variances of n bell curves in d dimensions, none of them the standard one."""
    generator = torch.Generator().manual_seed(0)
    mean, log_var = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    return mean, log_var - 0.5


def test_shapes_and_parameter_counts():
    E, G = vae.pair(shape=(3, 4, 4), latent_dim=5, e_hidden=(11, 7), g_hidden=(6,))
    mean, log_var = E(torch.zeros(2, 3, 4, 4))
    assert mean.shape == log_var.shape == (2, 5)
    assert G(mean).shape == (2, 3, 4, 4)
    assert models.parameters(E) == (48 + 1) * 11 + (11 + 1) * 7 + (7 + 1) * 10


def test_the_generator_is_that_of_the_gan_and_the_seed_fixes_all_weights():
    E, G = vae.pair(seed=3)
    same_E, other_E = vae.pair(seed=3)[0], vae.pair(seed=4)[0]
    of_a_gan = models.mlp(seed=3)[0]
    assert all(torch.equal(a, b) for a, b in zip(G.parameters(), of_a_gan.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(E.parameters(), same_E.parameters(), strict=True))
    assert not torch.equal(E.net[1].weight, other_E.net[1].weight)
    again = vae.MLPEncoder(**E.config)
    assert all(torch.equal(a, b) for a, b in zip(E.parameters(), again.parameters(), strict=True))


def test_the_encoder_is_its_layers_one_after_the_other():
    E = vae.MLPEncoder(2, (5,), (3,))
    x = torch.randn(4, 3)
    (W, b), (V, c) = ((layer.weight, layer.bias) for layer in (E.net[1], E.net[-1]))
    h = x @ W.T + b
    out = torch.where(h > 0, h, 0.2 * h) @ V.T + c
    for part, expected in zip(E(x), (out[:, :2], out[:, 2:]), strict=True):
        torch.testing.assert_close(part, expected)


def test_an_untrained_encoder_guesses_almost_the_prior():
    E, _ = vae.pair()
    with torch.no_grad():
        mean, log_var = E(torch.rand(50, 1, 28, 28) * 2 - 1)
    assert vae.kl(mean, log_var).max() < 1


def test_the_kl_agrees_with_torch_and_with_monte_carlo():
    mean, log_var = some()
    q, prior = Normal(mean, (log_var / 2).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    closed = vae.kl(mean, log_var)
    torch.testing.assert_close(closed, kl_divergence(q, prior).sum(1))
    torch.manual_seed(0)
    z = q.sample((200_000,))
    torch.testing.assert_close(closed, (q.log_prob(z) - prior.log_prob(z)).sum(2).mean(0), atol=0.03, rtol=0)
    assert vae.kl(torch.zeros(1, 7), torch.zeros(1, 7)).item() == 0


def test_draws_have_the_mean_and_the_spread_that_was_asked_for():
    mean, log_var = some(d=2, n=1)
    torch.manual_seed(0)
    z = vae.draw(mean.expand(200_000, -1), log_var.expand(200_000, -1))
    torch.testing.assert_close(z.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(z.std(0), (log_var[0] / 2).exp(), rtol=0.01, atol=0)


def test_draws_have_slopes_in_both():
    """E z² = mean² + exp(log_var): the slopes are 2·mean and exp(log_var)."""
    mean, log_var = (part.expand(200_000, -1).requires_grad_() for part in some(d=1, n=1))
    torch.manual_seed(0)
    slopes = torch.autograd.grad(vae.draw(mean, log_var).square().sum() / 200_000, (mean, log_var))
    assert slopes[0].sum().item() == pytest.approx(2 * mean[0].item(), abs=0.02)
    assert slopes[1].sum().item() == pytest.approx(log_var[0].exp().item(), abs=0.02)


def test_the_likelihood_is_that_of_torch():
    torch.manual_seed(0)
    x, made = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    expected = Normal(made, 0.3).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(vae.log_likelihood(x, made, 0.3), expected)


@pytest.fixture
def linear():
    """z ~ N(0, I₂), x given z ~ N(Wz + c, s²I₃), with the exact posterior as its encoder: E, G, s, p(x)."""
    torch.manual_seed(0)
    s, W, c = 0.7, torch.randn(3, 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    W = torch.linalg.qr(W)[0] * torch.tensor([2.0, 0.5])  # orthogonal columns: the posterior has no correlations
    E, G = (net.double() for net in vae.pair((3,), 2, (), (), batch_norm=False, output="linear"))
    variances = s**2 / (s**2 + W.square().sum(0))  # (2,)
    with torch.no_grad():
        G.net[0].weight.copy_(W), G.net[0].bias.copy_(c)
        to_mean = W.T * (variances / s**2)[:, None]  # (2, 3)
        E.net[1].weight.copy_(torch.cat([to_mean, torch.zeros(2, 3)]))
        E.net[1].bias.copy_(torch.cat([-to_mean @ c, variances.log()]))
    return E, G, s, MultivariateNormal(c, W @ W.T + s**2 * torch.eye(3))


def mean_bound(E, G, x, s, n=100_000):
    torch.manual_seed(1)
    with torch.no_grad():
        return vae.elbo(E, G, x.expand(n, -1), s).total.mean().item()


def test_the_bound_is_log_p_where_the_guess_is_the_posterior_and_below_it_elsewhere(linear):
    E, G, s, p = linear
    for x in p.sample((3,)):
        exact = p.log_prob(x).item()
        assert mean_bound(E, G, x, s) == pytest.approx(exact, abs=0.02)
    with torch.no_grad():
        E.net[1].bias += 0.5  # now q is another bell curve, and the bound is lower by KL(q ‖ posterior)
    variances = (E.net[1].bias[2:] - 0.5).exp().detach()
    gap = (math.exp(0.5) - 1 - 0.5 + 0.25 / variances).sum().item() / 2
    assert mean_bound(E, G, x, s) == pytest.approx(exact - gap, abs=0.03)


def test_training_climbs_the_bound():
    torch.manual_seed(0)
    data = torch.randn(512, 1) @ torch.randn(1, 6) + 0.1 * torch.randn(512, 6)  # a line in six dimensions
    E, G = vae.pair((6,), 2, (16,), (16,), batch_norm=False, output="linear")
    optimizer = torch.optim.Adam([*E.parameters(), *G.parameters()], 1e-2)
    before = vae.elbo(E, G, data, 0.1).total.mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        (-vae.elbo(E, G, data, 0.1).total.mean()).backward()
        optimizer.step()
    bound = vae.elbo(E, G, data, 0.1)
    exact = MultivariateNormal(data.mean(0), torch.cov(data.T) + 1e-6 * torch.eye(6)).log_prob(data).mean().item()
    assert before < bound.total.mean().item() < exact + 0.1
    assert bound.total.mean().item() > exact - 3
    assert bound.kl.mean() > 1  # z is used


def test_wrong_arguments_are_named():
    E, G = vae.pair((3,), 2, (4,), (4,))
    for noise in (0, -1.0, math.nan):
        with pytest.raises(BadInput, match="noise"):
            vae.elbo(E, G, torch.zeros(2, 3), noise)
    with pytest.raises(BadInput, match="length 2, but G takes 5"):
        vae.elbo(E, models.MLPGenerator(5, (4,), (3,)), torch.zeros(2, 3), 1.0)
    with pytest.raises(BadInput, match=r"images of shape \(4,\), but E takes \(3,\)"):
        vae.elbo(E, G, torch.zeros(2, 4), 1.0)
    with pytest.raises(BadInput, match=r"G makes images of shape \(1,\), but x holds \(3,\)"):  # they would broadcast
        vae.elbo(E, models.MLPGenerator(2, (4,), (1,)), torch.zeros(2, 3), 1.0)
    for wrong in (dict(latent_dim=0), dict(hidden=16), dict(shape=(1, 2.5))):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            vae.MLPEncoder(**wrong)
