import numpy as np
import pytest
import torch
from torch import nn

from gantutor import data, judge, metrics, models
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


# --- conditional nets ------------------------------------------------------------------------------------------------


def test_accuracy_counts_the_images_taken_for_the_class_asked_for():
    logits = torch.tensor([[3.0, 1, 2], [0, -1, -2], [5, 6, 7], [1, 9, 2]])  # taken for 0, 0, 2, 1
    assert metrics.accuracy(logits, torch.tensor([0, 1, 2, 2])) == 0.5
    assert metrics.accuracy(logits, torch.tensor([0, 0, 2, 1])) == 1.0
    assert metrics.accuracy(logits, torch.tensor([1, 2, 0, 0])) == 0.0


def test_accuracy_of_real_images_is_the_judges_own():
    j, images = judge.load("strokes"), data.load("strokes", "test")
    few = data.Images("few", images.pixels[:500] * 0.3, images.labels[:500], images.classes)  # pale: some are mistaken
    logits = judge.look(j, few.pixels)[1]
    assert metrics.accuracy(logits, few.labels) == pytest.approx(judge.accuracy(j, few), abs=1e-6)
    assert metrics.accuracy(logits, (few.labels + 1) % 10) < 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]), "go from 0 to 3: give int64 of shape \\(4,\\), from 0 to 2"),
        (torch.zeros(4, 3), torch.tensor([0, -1, 2, 2]), "go from -1 to 2"),
        (torch.zeros(4, 3), torch.zeros(3, dtype=torch.int64), r"of shape \(3,\): give int64 of shape \(4,\)"),
        (torch.zeros(4, 3), torch.zeros(4), "float32"),
        (torch.zeros(4, 3), [0, 1, 2, 0], r"labels are \[0, 1, 2, 0\]"),
        (torch.zeros(4), torch.zeros(4, dtype=torch.int64), r"logits of shape \(4,\)"),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), "at least one image"),
        (torch.full((4, 3), float("nan")), torch.zeros(4, dtype=torch.int64), "NaN"),
    ],
)
def test_accuracy_names_what_does_not_fit(logits, labels, message):
    with pytest.raises(BadInput, match=message):
        metrics.accuracy(logits, labels)


def test_frechet_by_class_in_closed_form_whatever_the_order_of_the_examples():
    """Class k: N(0, I) against N(m, s²I) with its own m and s: d·m² + d(1 − s)². Class 1 does not occur."""
    d, eye, cases = 4, torch.eye(4, dtype=torch.float64), {0: (0.0, 1.0), 2: (1.0, 1.0), 5: (0.5, 3.0)}
    a = torch.cat([exactly(20 + k, 0 * eye[0], eye) for k in cases])
    b = torch.cat([exactly(30 + k, 0 * eye[0] + m, s**2 * eye) for k, (m, s) in cases.items()])
    a_labels, b_labels = (torch.cat([torch.full((n + k,), k) for k in cases]) for n in (20, 30))
    i, j = torch.randperm(len(a), generator=RANDOM), torch.randperm(len(b), generator=RANDOM)
    found = metrics.frechet_by_class(a[i], a_labels[i], b[j], b_labels[j])
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([d * m**2 + d * (1 - s) ** 2 for m, s in cases.values()], abs=1e-6)


def test_frechet_by_class_agrees_with_torchmetrics_class_by_class():
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Features(nn.Module):
        num_features = 8

        def forward(self, x):
            return x.flatten(1)[:, :8].float() / 255

    torch.manual_seed(0)
    real, fake = (torch.randint(0, high, (300, 1, 3, 3), dtype=torch.uint8) for high in (256, 180))
    labels, others = torch.randint(0, 3, (300,)), torch.randint(0, 3, (300,))
    ours = metrics.frechet_by_class(Features()(real), labels, Features()(fake), others.to(torch.uint8))
    for k in range(3):
        theirs = FrechetInceptionDistance(feature=Features())
        theirs.update(real[labels == k], real=True)
        theirs.update(fake[others == k], real=False)
        assert ours[k].item() == pytest.approx(theirs.compute().item(), rel=1e-3)


def test_frechet_by_class_sees_exchanged_labels_that_the_whole_does_not():
    a = torch.cat([torch.randn(50, 3, generator=RANDOM), torch.randn(50, 3, generator=RANDOM) + 4])
    y = torch.arange(100) // 50
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet_by_class(a, y, a, y).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert metrics.frechet_by_class(a, y, a, 1 - y).min() > 30  # the means are about √48 apart


def test_diversity_is_the_root_of_the_mean_squared_distance_of_all_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)) * (1, 5, 0.1, 2, 1, 3), rng.integers(0, 3, 40) * 2
    expected = []
    for k in (0, 2, 4):
        group = x[y == k]
        squares = [((a - b) ** 2).sum() for i, a in enumerate(group) for j, b in enumerate(group) if i != j]
        expected.append(np.mean(squares) ** 0.5)
    found = metrics.diversity_by_class(torch.from_numpy(x), torch.from_numpy(y))
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_diversity_in_closed_form():
    """N(m, s²I) in d dimensions: √(2d)·s wherever the mean lies; one image, repeated: 0."""
    x = torch.cat([exactly(30, torch.full((8,), 7.0), 9 * torch.eye(8, dtype=torch.float64)), torch.full((5, 8), 2.0)])
    y = torch.tensor([0] * 30 + [1] * 5)
    assert metrics.diversity_by_class(x, y).tolist() == pytest.approx([4 * 3, 0])


FINE, TWO_EACH = torch.zeros(6, 3), torch.tensor([0, 0, 1, 1, 3, 3])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 0, 1, 1, 3, 4]), r"class 3 has too few examples \(.*1.*\)"),
        (torch.tensor([0, 0, 1, 1, 1, -1]), "a label is -1"),
        (TWO_EACH.float(), r"float32 \(6,\)"),
        (TWO_EACH.bool(), "torch.bool"),
        (TWO_EACH[:5], r"int64 \(5,\): give one whole number for each example, \(6,\)"),
        (TWO_EACH[:, None], r"\(6, 1\)"),
        ([0, 0, 1, 1, 3, 3], "one whole number for each"),
    ],
)
def test_labels_of_features_that_do_not_fit_are_named(labels, message):
    for measure in (
        lambda: metrics.diversity_by_class(FINE, labels),
        lambda: metrics.frechet_by_class(FINE, labels, FINE, TWO_EACH),
        lambda: metrics.frechet_by_class(FINE, TWO_EACH, FINE, labels),
    ):
        with pytest.raises(BadInput, match=message):
            measure()


def test_a_class_on_one_side_only_is_named():
    with pytest.raises(BadInput, match=r"class 3 has too few examples \(2 and 0\)"):
        metrics.frechet_by_class(FINE, TWO_EACH, FINE, torch.tensor([0, 0, 1, 1, 1, 1]))
    with pytest.raises(BadInput, match=r"class 1 has too few examples \(0 and 2\)"):
        metrics.frechet_by_class(FINE[:4], torch.tensor([0, 0, 3, 3]), FINE, TWO_EACH)
    with pytest.raises(BadInput, match="4 and 3 columns"):
        metrics.frechet_by_class(torch.zeros(6, 4), TWO_EACH, FINE, TWO_EACH)
    with pytest.raises(BadInput, match="NaN"):
        metrics.diversity_by_class(FINE / 0, TWO_EACH)


class Rule(nn.Module):
    """A D whose logits follow a rule, (x, y) -> (B,) or (B, 1); it notes how it was called."""

    def __init__(self, rule, classes=5):
        super().__init__()
        self.rule, self.classes, self.calls = rule, classes, []

    def forward(self, x, y):
        self.calls.append((len(x), y, self.training, torch.is_grad_enabled()))
        return self.rule(x, y)


Y = torch.arange(2500) % 5
SHOWN = Y[:, None] + torch.zeros(1, 3)  # an example that carries its own class


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (lambda x, y: (x[:, 0] == y).float(), (1.0, 0.0, 1.0)),
        (lambda x, y: (x[:, :1] != y[:, None]).float() * 3, (0.0, 3.0, 0.0)),  # (B, 1)
        (lambda x, y: x[:, 0], (2.0, 2.0, 0.5)),  # ignores y: every comparison is a tie
        (lambda x, y: torch.where(x[:, 0] < 2, (x[:, 0] == y) * 1.0, 7.0), (4.6, 4.2, 0.7)),  # 2 of 5 classes looked at
    ],
)
def test_label_response_of_known_discriminators(rule, expected):
    assert metrics.label_response(Rule(rule), SHOWN, Y) == pytest.approx(expected)


def test_label_response_shows_every_example_with_its_own_and_with_another_label():
    D = Rule(lambda x, y: x[:, 0])
    metrics.label_response(D, SHOWN, Y)
    half = len(D.calls) // 2
    own, other = (torch.cat([y for _, y, _, _ in calls]) for calls in (D.calls[:half], D.calls[half:]))
    assert torch.equal(own, Y)
    assert not (other == Y).any()
    counts = ((other - Y) % 5).bincount(minlength=5)  # 2500 draws from 4 others: 625 ± 4 deviations of 22
    assert counts[0] == 0
    assert (counts[1:] - 625).abs().max() < 88
    assert max(n for n, *_ in D.calls) <= 1000
    assert not any(training or grad for _, _, training, grad in D.calls)
    assert D.training


def test_label_response_is_repeatable_and_leaves_modes_and_the_random_state_alone():
    _, D = models.mlp(shape=(3,), d_hidden=(8,), classes=5, seed=1)
    D.net[2].eval()  # one layer in another mode
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, again, other = (metrics.label_response(D, SHOWN, Y, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(2), expected)
    assert first == again
    assert first.own == other.own
    assert first.other != other.other
    assert (D.training, D.net[1].training, D.net[2].training) == (True, True, False)


def test_a_discriminator_that_was_taught_the_labels_prefers_them():
    """D learns from pairs (x, y) where y is the sign of x, against pairs with the other y."""
    x = torch.randn(400, 2, generator=RANDOM)
    y = (x[:, 0] > 0).long()
    D = models.MLPDiscriminator((16,), (2,), classes=2)
    before, exchanged = metrics.label_response(D, x, y), metrics.label_response(D, x, 1 - y)
    assert exchanged == pytest.approx((before.other, before.own, 1 - before.preferred))  # there are only two labels
    optimizer = torch.optim.Adam(D.parameters(), 0.02)
    for _ in range(60):
        loss = nn.functional.softplus(-D(x, y)).mean() + nn.functional.softplus(D(x, 1 - y)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    response = metrics.label_response(D, x, y)
    assert response.preferred > 0.9
    assert response.own > 1 > -1 > response.other


def test_label_response_names_what_does_not_fit():
    D = Rule(lambda x, y: x[:, 0])
    for classes in (0, 1, ("a", "b")):
        with pytest.raises(BadInput, match="tells no labels apart"):
            metrics.label_response(Rule(D.rule, classes), SHOWN, Y)
    with pytest.raises(BadInput, match="tells no labels apart"):
        metrics.label_response(nn.Linear(3, 1), SHOWN, Y)
    with pytest.raises(BadInput, match="go from 0 to 5"):
        metrics.label_response(D, SHOWN[:6], torch.arange(6))
    with pytest.raises(BadInput, match="labels are missing"):
        metrics.label_response(D, SHOWN, None)
    with pytest.raises(BadInput, match="no examples"):
        metrics.label_response(D, SHOWN[:0], Y[:0])
    with pytest.raises(BadInput, match="seed is -1"):
        metrics.label_response(D, SHOWN, Y, seed=-1)
    with pytest.raises(BadInput, match="NaN or infinite"):
        metrics.label_response(D, SHOWN * float("nan"), Y)
