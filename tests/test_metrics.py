import pytest
import torch
from torch import nn

from gantutor import judge, metrics
from gantutor.errors import BadInput

RANDOM = torch.Generator().manual_seed(0)


def exactly(n, mean, covariance):
    """`n` points whose sample mean and covariance are exactly as given: white noise, whitened once more."""
    d = len(mean)
    x = torch.randn(n, d, dtype=torch.float64, generator=RANDOM)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T).reshape(d, d))).T
    return x @ torch.linalg.cholesky(covariance).T + mean


@pytest.mark.parametrize(("d", "s"), [(1, 2.0), (5, 0.3), (64, 1.7)])
def test_closed_form_of_two_round_gaussians(d, s):
    """N(0, I) against N(m, s²I): ‖m‖² + d(1 − s)² (reference value of Heusel et al. 2017, eq. 6)."""
    eye, m = torch.eye(d, dtype=torch.float64), torch.linspace(-1, 1, d, dtype=torch.float64) + 0.5
    a, b = exactly(500, torch.zeros(d, dtype=torch.float64), eye), exactly(300, m, s**2 * eye)
    expected = m.square().sum().item() + d * (1 - s) ** 2
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=1e-6)
    assert metrics.frechet(b, a) == pytest.approx(expected, rel=1e-6)


def test_closed_form_where_the_covariances_do_not_commute():
    """In two dimensions tr (AB)^½ = √(tr AB + 2√det AB), for any A and B."""
    A = torch.tensor([[2.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    B = torch.tensor([[1.0, -0.7], [-0.7, 3.0]], dtype=torch.float64)
    AB = A @ B
    expected = A.trace() + B.trace() - 2 * (AB.trace() + 2 * AB.det().sqrt()).sqrt()
    zero = torch.zeros(2, dtype=torch.float64)
    assert metrics.frechet(exactly(50, zero, A), exactly(60, zero, B)) == pytest.approx(expected.item(), rel=1e-6)


def test_agrees_with_torchmetrics_on_the_same_features():
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Features(nn.Module):
        num_features = 16

        def forward(self, x):
            return x.flatten(1)[:, :16].float() / 255

    torch.manual_seed(0)
    real, fake = (torch.randint(0, high, (200, 1, 4, 4), dtype=torch.uint8) for high in (256, 180))
    theirs = FrechetInceptionDistance(feature=Features())
    theirs.update(real, real=True)
    theirs.update(fake, real=False)
    ours = metrics.frechet(Features()(real), Features()(fake))
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-3)


def test_floor_at_ten_thousand_samples():
    """Two samples of N(0, I₆₄) are .22 apart, not 0 (reference value)."""
    a, b = (torch.randn(10_000, 64, generator=RANDOM) for _ in range(2))
    assert metrics.frechet(a, b) == pytest.approx(0.22, abs=0.03)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_fewer_examples_than_features_is_a_number_not_nan():
    a, b = torch.randn(10, 64, generator=RANDOM), torch.randn(12, 64, generator=RANDOM)
    assert 0 < metrics.frechet(a, b) < 1000


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (torch.zeros(1, 3), "at least two"),
        (torch.zeros(5), r"shape \(5,\)"),
        (torch.full((5, 3), float("nan")), "NaN"),
        (torch.zeros(5, 4), "4 and 3 columns"),
    ],
)
def test_bad_features_are_named(a, message):
    with pytest.raises(BadInput, match=message):
        metrics.frechet(a, torch.zeros(5, 3))


def test_score_is_the_distance_of_the_samples_features():
    j = judge.Judge("untrained").eval()
    images = torch.rand(300, 1, 28, 28, generator=RANDOM) * 2 - 1
    reference = judge.look(j, images)[0]
    assert metrics.score(lambda n: images[:n], j, reference, n=300) == pytest.approx(0, abs=1e-6)
    dark = metrics.score(lambda n: images[:n] * 0 - 1, j, reference, n=300)
    assert dark == pytest.approx(metrics.frechet(judge.look(j, images * 0 - 1)[0], reference))
    assert dark > 0.005
