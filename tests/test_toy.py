"""Oracles: geometry, the χ² law of the distance to a mode's centre, and torch's own mixture distribution."""

import math

import pytest
import torch

from gantutor.data import toy
from gantutor.errors import BadInput

MIXTURES = [toy.ring(), toy.grid(), toy.line()]


def nearest(mixture, x):
    """Distance to, and number of, the nearest mean: two tensors (N,)."""
    return torch.cdist(x.double(), mixture.means.double()).min(dim=1)


def test_the_ring_has_eight_distinct_modes_on_the_circle():
    ring = toy.ring()
    assert len(ring) == 8
    assert torch.allclose(ring.means.norm(dim=1), torch.ones(8))
    distances = torch.pdist(ring.means)
    assert distances.min().item() == pytest.approx(2 * math.sin(math.pi / 8))  # neighbours
    assert distances.max().item() == pytest.approx(2)  # opposite modes
    assert torch.allclose(ring.means[1], torch.full((2,), math.sqrt(0.5)))
    assert toy.ring(7, radius=3).means.norm(dim=1).tolist() == pytest.approx([3.0] * 7)


def test_grid_and_line_are_centred():
    assert {tuple(m) for m in toy.grid().means.tolist()} == {
        (a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)
    }
    assert toy.line(4, spacing=1.0).means.tolist() == [[-1.5, 0], [-0.5, 0], [0.5, 0], [1.5, 0]]
    assert len(toy.grid(side=1)) == 1
    assert [m.std for m in MIXTURES] == [0.01, 0.05, 0.05]


@pytest.mark.parametrize("mixture", MIXTURES, ids=lambda m: m.name)
def test_samples_have_the_stated_modes_and_width(mixture):
    n = 40_000
    x = mixture.sample(n, seed=3)
    assert x.shape == (n, 2)
    assert x.dtype == torch.float32
    distance, mode = nearest(mixture, x)
    counts = torch.bincount(mode, minlength=len(mixture)).double()
    share = 1 / len(mixture)
    assert (counts - n * share).abs().max() < 5 * math.sqrt(n * share * (1 - share))
    # distance²/std² is χ² with 2 degrees of freedom: P(distance < 3 std) = 1 − e^−4.5, mean of its square 2
    close = (distance < 3 * mixture.std).double().mean().item()
    assert abs(close - (1 - math.exp(-4.5))) < 5 * math.sqrt(math.exp(-4.5) / n)
    assert (distance / mixture.std).square().mean().item() == pytest.approx(2, abs=5 * 2 / math.sqrt(n))


def test_samples_depend_on_the_seed_alone():
    ring = toy.ring()
    first = ring.sample(50, seed=1)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(ring.sample(50, seed=1), first)
    assert not torch.equal(ring.sample(50, seed=2), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert ring.sample(0, seed=1).shape == (0, 2)


@pytest.mark.parametrize("mixture", MIXTURES, ids=lambda m: m.name)
def test_density_is_that_of_torch(mixture):
    x = torch.cat([mixture.sample(100, seed=0), mixture.means + 1.5 * mixture.std, torch.zeros(1, 2)]).double()
    modes = torch.distributions.Independent(torch.distributions.Normal(mixture.means.double(), mixture.std), 1)
    weights = torch.distributions.Categorical(torch.ones(len(mixture)))
    expected = torch.distributions.MixtureSameFamily(weights, modes).log_prob(x).exp()
    assert torch.allclose(mixture.density(x), expected, rtol=1e-6)
    assert mixture.density(x.float()).dtype == torch.float32


def test_density_integrates_to_one():
    ring = toy.ring(std=0.1)
    axis = torch.linspace(-2, 2, 401, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    assert (ring.density(points).sum() * 0.01**2).item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: toy.ring(modes=0), "modes is 0"),
        (lambda: toy.ring(modes=2.5), "modes is 2.5"),
        (lambda: toy.ring(std=0), "std is 0"),
        (lambda: toy.ring(radius=math.nan), "radius is nan"),
        (lambda: toy.grid(side=-1), "side is -1"),
        (lambda: toy.grid(spacing="wide"), "spacing is 'wide'"),
        (lambda: toy.line(spacing=math.inf), "spacing is inf"),
        (lambda: toy.ring().sample(-1, seed=0), "n is -1"),
        (lambda: toy.ring().sample(1, seed=None), "seed is None"),
        (lambda: toy.ring().density(torch.zeros(3)), r"shape \(3,\)"),
        (lambda: toy.ring().density(torch.zeros(3, 2, dtype=torch.int64)), "torch.int64"),
        (lambda: toy.Mixture("own", torch.zeros(3), 1.0), r"shape \(3,\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(BadInput, match=message):
        call()


@pytest.mark.parametrize("make", [toy.ring, toy.grid, toy.line])
def test_the_spread_is_that_of_many_points(make):
    mixture = make()
    points = mixture.sample(200_000, 0).double()
    assert mixture.spread == pytest.approx(points.var(0).mean().sqrt().item(), rel=0.01)


def test_the_spread_in_closed_form():
    assert toy.ring(std=0.01).spread == pytest.approx((0.5 + 0.01**2) ** 0.5)  # E cos² = ½
    assert toy.grid().spread == pytest.approx((8 + 0.05**2) ** 0.5)  # (16 + 4 + 0 + 4 + 16) / 5
