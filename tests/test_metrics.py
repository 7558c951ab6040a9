import numpy as np
import pytest
import torch
from torch import nn

from gantutor import data, metrics, models
from gantutor.data import strokes, toy
from gantutor.errors import BadInput
from gantutor.metrics import classifier, neighbours, novelty

RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def random_numbers_that_do_not_depend_on_the_order_of_the_tests():
    RANDOM.manual_seed(0)


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
    j = classifier.Classifier("untrained").eval()
    images = torch.rand(300, 1, 28, 28, generator=RANDOM) * 2 - 1
    reference = classifier.features_and_logits(j, images)[0]
    assert metrics.score(lambda n: images[:n], j, reference, n=300) == pytest.approx(0, abs=1e-6)
    for few in (lambda n: images[:5], lambda n: None):
        with pytest.raises(BadInput, match="when 300 images were asked for"):
            metrics.score(few, j, reference, n=300)
    dark = metrics.score(lambda n: images[:n] * 0 - 1, j, reference, n=300)
    assert dark == pytest.approx(metrics.frechet(classifier.features_and_logits(j, images * 0 - 1)[0], reference))
    assert dark > 0.005


# --- conditional nets ------------------------------------------------------------------------------------------------


def test_accuracy_counts_the_images_taken_for_the_class_asked_for():
    logits = torch.tensor([[3.0, 1, 2], [0, -1, -2], [5, 6, 7], [1, 9, 2]])  # taken for 0, 0, 2, 1
    assert metrics.accuracy(logits, torch.tensor([0, 1, 2, 2])) == 0.5
    assert metrics.accuracy(logits, torch.tensor([0, 0, 2, 1])) == 1.0
    assert metrics.accuracy(logits, torch.tensor([1, 2, 0, 0])) == 0.0


def test_accuracy_of_real_images_is_the_classifiers_own():
    j, images = classifier.load("strokes"), data.load("strokes", "test")
    few = data.Images("few", images.pixels[:500] * 0.3, images.labels[:500], images.classes)  # pale: some are mistaken
    logits = classifier.features_and_logits(j, few.pixels)[1]
    assert metrics.accuracy(logits, few.labels) == pytest.approx(classifier.accuracy(j, few), abs=1e-6)
    assert metrics.accuracy(logits, (few.labels + 1) % 10) < 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(4, 3), torch.tensor([0, 1, 2, 3]), "go from 0 to 3: give int64 of shape \\(4,\\), from 0 to 2"),
        (torch.zeros(4, 3), torch.tensor([0, -1, 2, 2]), "go from -1 to 2"),
        (torch.zeros(4, 3), torch.zeros(3, dtype=torch.int64), r"of shape \(3,\): give int64 of shape \(4,\)"),
        (torch.zeros(4, 3), torch.zeros(4), "float32"),
        (torch.zeros(4, 3), [0, 1, 2, 0], "labels are a list"),
        (torch.zeros(4, 3), None, "labels are a NoneType"),
        ([[0.0, 1.0]], torch.zeros(1, dtype=torch.int64), "logits are a list"),
        (torch.zeros(4), torch.zeros(4, dtype=torch.int64), r"logits are of shape \(4,\)"),
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
        with pytest.raises(BadInput, match="does not distinguish labels"):
            metrics.label_response(Rule(D.rule, classes), SHOWN, Y)
    with pytest.raises(BadInput, match="does not distinguish labels"):
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


# --- kernel distance and inception score -----------------------------------------------------------------------------


def test_kernel_distance_agrees_with_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    a, b = torch.randn(200, 7, generator=RANDOM).double(), torch.rand(200, 7, generator=RANDOM).double() * 2
    assert metrics.kernel_distance(a, b) == pytest.approx(poly_mmd(a, b).item(), rel=1e-9)


def test_kernel_distance_by_hand_at_unequal_counts():
    """k(x, y) = (xy + 1)³. Within {0, 1}: 1; within {1, 2, 3}: (3³ + 4³ + 7³)/3; across: (3·1 + 2³ + 3³ + 4³)/6."""
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0], [3.0]])
    expected = 1 + (27 + 64 + 343) / 3 - 2 * (3 + 8 + 27 + 64) / 6
    assert metrics.kernel_distance(a, b) == pytest.approx(expected)
    assert metrics.kernel_distance(b, a) == pytest.approx(expected)


def test_kernel_distance_is_unbiased():
    """Small samples of one distribution: 0 on average, and below 0 about as often as above."""
    draws = [metrics.kernel_distance(*torch.randn(2, 20, 4, generator=RANDOM)) for _ in range(300)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / 300**0.5
    assert 0.3 < np.mean(np.array(draws) < 0) < 0.8


def test_inception_score_agrees_with_torchmetrics():
    from torchmetrics.image.inception import InceptionScore

    with pytest.warns(UserWarning, match="buffer"):
        theirs = InceptionScore(feature=nn.Flatten(), splits=1)
    logits = torch.randn(300, 6, generator=RANDOM) * 2
    theirs.update(logits)
    with pytest.warns(UserWarning, match="std"):
        expected = theirs.compute()[0].item()
    assert metrics.inception_score(logits.softmax(1)) == pytest.approx(expected, rel=1e-5)


def test_inception_score_goes_from_one_to_the_number_of_classes():
    certain = torch.eye(10)
    assert metrics.inception_score(certain) == pytest.approx(10)  # one image of each class, memorised
    assert metrics.inception_score(certain.repeat(50, 1)) == pytest.approx(10)
    assert metrics.inception_score(certain[[3]].repeat(50, 1)) == 1.0
    assert metrics.inception_score(torch.full((50, 10), 0.1)) == pytest.approx(1)
    assert metrics.inception_score(certain[[0, 0, 0, 1]]) == pytest.approx(4 / 3**0.75)  # exp of H(¾, ¼)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (torch.zeros(5, 3), "not probabilities"),
        (torch.tensor([[1.5, -0.5], [0.5, 0.5]]), "not probabilities"),
        (torch.randn(5, 3), "softmax"),
        (torch.full((5, 3), float("nan")), "not probabilities"),
        (torch.ones(1, 1), "at least two"),
        (torch.ones(5), r"shape \(5,\)"),
        ([[1.0]], "a list"),
    ],
)
def test_bad_probabilities_are_named(p, message):
    with pytest.raises(BadInput, match=message):
        metrics.inception_score(p)


# --- neighbours ------------------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_the_size_of_the_blocks(monkeypatch):
    real, fake = torch.randn(230, 6, generator=RANDOM), torch.randn(170, 6, generator=RANDOM) * 0.8
    fake[:20] = real[:20]

    def everything():
        distances, index = metrics.nearest_neighbours(fake, real, 3)
        born = metrics.birthday(torch.cat([fake, real]), 0.4)
        return [
            distances.flatten().tolist(), index.flatten().tolist(), born.pairs.tolist(), born[:3],
            metrics.precision_and_recall(real, fake), metrics.density_and_coverage(real, fake),
            metrics.memorisation(fake, real, real[:100] + 0.1)[:5], metrics.different_bins(real, fake, 10)[:2],
        ], metrics.kernel_distance(real, fake)  # fmt: skip

    whole, kernel = everything()
    for block in (1, 1000, 229 * 7):
        monkeypatch.setattr(neighbours, "BLOCK", block)
        parts, other = everything()
        assert parts == whole
        assert other == pytest.approx(kernel, rel=1e-9)


def test_nothing_of_the_size_of_all_pairs_is_held():
    """The largest single allocation of 3000 against 3000 stays below half of the 72 MB of their distances."""
    from torch.profiler import ProfilerActivity, profile

    a, b = torch.randn(3000, 4, generator=RANDOM), torch.randn(3000, 4, generator=RANDOM)
    for metric in (
        metrics.kernel_distance, metrics.precision_and_recall, metrics.density_and_coverage, metrics.nearest_neighbours,
        lambda a, b: metrics.birthday(a, 0.05), lambda a, b: metrics.memorisation(a, b, a[:100]),
        metrics.clipped_density_and_coverage, metrics.image_retrieval, metrics.authenticity,
        lambda a, b: metrics.data_copying(a, b, a[:100]), lambda a, b: metrics.vendi(a),
    ):  # fmt: skip
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:  # or 2.11 warns
            metric(a, b)
        assert max(event.cpu_memory_usage for event in seen.events()) < 36e6


# --- precision and recall, density and coverage ----------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_four_agree_with_prdc(shift, capsys):
    from prdc import compute_prdc

    real, fake = np.random.default_rng(0).normal(size=(2, 300, 8))
    fake = fake * 0.8 + shift
    found = {}
    for k in (3, 5):
        theirs = compute_prdc(real, fake, k)
        pr = metrics.precision_and_recall(*map(torch.from_numpy, (real, fake)), k)
        dc = metrics.density_and_coverage(*map(torch.from_numpy, (real, fake)), k)
        found[k] = {**pr._asdict(), **dc._asdict()}
        assert found[k] == pytest.approx(theirs, abs=1e-12)
    assert found[3] != found[5]
    assert found[3]["precision"] != found[3]["recall"]


def test_precision_and_recall_by_hand():
    """Real 0, 1, 2, 10 with k = 1 have the radii 1, 1, 1, 8: the balls [−1, 3] and [2, 18]. Fakes 3, 20, 21, 22.

    Precision: 3 lies on an edge, the others outside (20 > 18). Fakes' radii 17, 1, 1, 1: [−14, 20] holds all real ones.
    """
    real, fake = torch.tensor([[0.0], [1], [2], [10]]), torch.tensor([[3.0], [20], [21], [22]])
    assert metrics.precision_and_recall(real, fake, 1) == (0.25, 1.0)
    assert metrics.precision_and_recall(fake, real, 1) == (1.0, 0.25)


def test_an_edge_counts_for_precision_and_not_for_density():
    real = torch.tensor([[0.0, 0], [3, 4], [100, 0]])  # radii 5, 5 and √(97² + 4²)
    edge = torch.tensor([[-3.0, -4], [-3, 4]])  # 5 from (0, 0), farther than 5 from (3, 4)
    assert metrics.precision_and_recall(real[:2], edge, 1).precision == 1.0
    assert metrics.density_and_coverage(real[:2], edge, 1) == (0.0, 0.0)
    inside = edge * 0.999
    assert metrics.density_and_coverage(real[:2], inside, 1) == (1.0, 0.5)


def test_reference_numbers_of_equal_distributions():
    """Coverage of as many fakes: 1 − ∏ (N − i)/(2N − i), i = 1 … k, about 1 − 2^−k, in any dimension; density 1."""
    n, draws = 500, 10
    for d, k in ((2, 3), (20, 5)):
        found = [
            metrics.density_and_coverage(*torch.randn(2, n, d, generator=RANDOM, dtype=torch.float64), k)
            for _ in range(draws)
        ]
        expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
        assert expected == pytest.approx(1 - 2**-k, abs=6e-3)
        assert np.mean([x.coverage for x in found]) == pytest.approx(expected, abs=0.015)
        assert np.mean([x.density for x in found]) == pytest.approx(1, abs=0.06)


@pytest.mark.slow
def test_published_numbers_in_a_thousand_dimensions():
    """N(0, I₁₀₀₀), 10,000 each, k = 5: P .4772, R .4705, D 1.0555, C .9735 (Naeem et al. 2020, the authors' code)."""
    real, fake = torch.randn(2, 10_000, 1000, generator=RANDOM)
    assert metrics.precision_and_recall(real, fake, 5) == pytest.approx((0.4772, 0.4705), abs=0.03)
    assert metrics.density_and_coverage(real, fake, 5) == pytest.approx((1.0555, 0.9735), abs=0.06)


def test_what_precision_and_coverage_see():
    real = torch.cat([torch.randn(200, 3, generator=RANDOM) + 20 * k for k in (0, 1)])
    one_mode, noisy = torch.randn(400, 3, generator=RANDOM), torch.randn(400, 3, generator=RANDOM) * 40
    lost = metrics.precision_and_recall(real, one_mode), metrics.density_and_coverage(real, one_mode)
    assert lost[0].precision > 0.85
    assert 0.35 < lost[0].recall <= 0.5
    assert 0.4 < lost[1].coverage <= 0.5
    assert metrics.precision_and_recall(real, noisy).precision < 0.2
    assert metrics.density_and_coverage(real, real)[0] == 1.0  # k − 1 neighbours and itself are inside, k in all
    assert metrics.density_and_coverage(real, real)[1] == 1.0


def test_constant_and_repeated_samples_give_finite_numbers():
    real, same = torch.randn(200, 4, generator=RANDOM), torch.zeros(200, 4)
    for a, b in ((real, same), (same, real), (same, same), (real, real[:100].repeat(2, 1))):
        numbers = [
            metrics.frechet(a, b), metrics.kernel_distance(a, b), *metrics.precision_and_recall(a, b),
            *metrics.density_and_coverage(a, b), metrics.diversity(b), *metrics.different_bins(a, b, 20)[:2],
            *metrics.birthday(b, 0.01)[:3], *metrics.clipped_density_and_coverage(a, b), *metrics.image_retrieval(b, a),
            metrics.vendi(b), metrics.data_copying(b, a, real).statistic,
        ]  # fmt: skip
        assert np.isfinite(numbers).all()
    assert metrics.precision_and_recall(same, same) == (1.0, 1.0)
    assert metrics.different_bins(same, real, 20)[:2] == (0, 1)


def test_diversity_is_that_of_a_single_class():
    x = torch.randn(50, 6, generator=RANDOM) * 3
    assert metrics.diversity(x) == metrics.diversity_by_class(x, torch.zeros(50, dtype=torch.int64)).item()
    assert metrics.diversity(x) == pytest.approx((torch.pdist(x.double()) ** 2).mean().item() ** 0.5)


PAIRED = [metrics.frechet, metrics.kernel_distance, metrics.precision_and_recall, metrics.density_and_coverage,
          metrics.nearest_neighbours, lambda a, b: metrics.different_bins(a, b, 2),
          lambda a, b: metrics.memorisation(a, b, b), metrics.clipped_density_and_coverage, metrics.image_retrieval,
          metrics.authenticity, lambda a, b: metrics.data_copying(a, b, b, 2)]  # fmt: skip


@pytest.mark.parametrize("metric", PAIRED)
def test_every_pair_of_features_is_checked(metric):
    fine = torch.randn(120, 3, generator=RANDOM)
    holed = fine.clone()
    holed[7, 1] = float("inf")
    for a, message in (
        (fine[:0], "at least"),
        (fine[:, :2], "columns"),
        (holed, "NaN or infinite"),
        (fine[:, None], r"shape \(120, 1, 3\)"),
        (fine[:, :0], r"\(120, 0\)"),
        (fine.tolist(), "a list"),
    ):
        for pair in ((a, fine), (fine, a)):
            with pytest.raises(BadInput, match=message):
                metric(*pair)


def test_too_few_examples_say_how_many_are_needed():
    x = torch.randn(50, 3, generator=RANDOM)
    for measure, message in (
        (lambda: metrics.precision_and_recall(x, x[:3]), "at least 4 examples"),
        (lambda: metrics.density_and_coverage(x[:5], x), "at least 6 examples"),
        (lambda: metrics.different_bins(x, x), r"at least 500 examples \(100 bins need five for each\)"),
        (lambda: metrics.memorisation(x, x, x), "50 held-out examples: a quantile of 0.01 needs 100"),
        (lambda: metrics.nearest_neighbours(x, x, 50, True), "there are 49"),
        (lambda: metrics.nearest_neighbours(x, x + 1, 1, True), "exclude_self compares a set with itself"),
        (lambda: metrics.floor(metrics.frechet, x, 26), "takes 52 real examples, but there are 50"),
        (lambda: metrics.report(x, x), "at least 200"),
        (lambda: metrics.same_image(x[:1].repeat(9, 1)), "all the same"),
        (lambda: metrics.memorisation(x, x[:1].repeat(9, 1), x.repeat(2, 1)), "all the same"),
        (lambda: metrics.precision_and_recall(x, x, 0), "k is 0"),
        (lambda: metrics.different_bins(x, x, 5, alpha=1), "alpha is 1"),
        (lambda: metrics.birthday(x, -1), "threshold is -1"),
        (lambda: metrics.clipped_density_and_coverage(x[:5], x), "at least 6 examples"),
        (lambda: metrics.data_copying(x, x, x), r"at least 200 examples \(20 for each of 10 cells\)"),
        (lambda: metrics.authenticity(x, x[:1].repeat(9, 1)), "all the same"),
        (lambda: metrics.image_retrieval(x, x, confidence=1), "confidence is 1"),
    ):
        with pytest.raises(BadInput, match=message):
            measure()


# --- modes -----------------------------------------------------------------------------------------------------------


def test_mixture_coverage_by_hand():
    """Means 0 and 10 (and 20, never hit), std 1: six points near the first, two near the second, two far from all."""
    mixture = toy.Mixture("three", torch.tensor([[0.0, 0], [10, 0], [20, 0]]), 1.0)
    near = [[0, 0], [3, 0], [0, -3], [2, 2], [-1, 0], [0, 1], [10, 0], [12, 1]]
    far = [[0, 3.1], [5, 0]]
    found = metrics.mixture_coverage(torch.tensor(near + far, dtype=torch.float32), mixture)
    assert found[:3] == (2, 3, 0.8)
    assert found.counts.tolist() == [6, 2, 0]
    assert found.reverse_kl == pytest.approx(0.75 * np.log(0.75 * 3) + 0.25 * np.log(0.25 * 3))
    assert metrics.mixture_coverage(torch.tensor(far), mixture, within=6).high_quality == 1


@pytest.mark.parametrize(("mixture", "kl"), [(toy.ring(), 0.0014), (toy.grid(), 0.0048)], ids=["ring", "grid"])
def test_ceilings_and_floors_of_a_perfect_generator(mixture, kl):
    """2,500 points: high quality 98.89% ± .21%, reverse KL (K − 1)/2n."""
    found = [metrics.mixture_coverage(mixture.sample(2500, seed), mixture) for seed in range(40)]
    assert {(x.modes, x.of) for x in found} == {(len(mixture), len(mixture))}
    quality, kls = ([x[i] for x in found] for i in (2, 3))
    assert np.mean(quality) == pytest.approx(0.9889, abs=4 * 0.0021 / 40**0.5)
    assert np.std(quality) == pytest.approx(0.0021, rel=0.5)
    assert np.mean(kls) == pytest.approx(kl, rel=0.25)


def test_no_sample_of_high_quality_is_a_number():
    found = metrics.mixture_coverage(torch.full((10, 2), 50.0), toy.ring())
    assert found[:3] == (0, 8, 0.0)
    assert found.reverse_kl == pytest.approx(np.log(8))


def test_label_coverage_against_scipy_and_the_floor_of_stacked_digits():
    from scipy.stats import entropy

    labels = torch.randint(0, 7, (500,), generator=RANDOM) // 2 * 2
    expected = torch.rand(7, generator=RANDOM) + 0.1
    found = metrics.label_coverage(labels, 7, expected)
    assert found[:3] == (4, 7, 1.0)
    assert found.reverse_kl == pytest.approx(entropy(labels.bincount(minlength=7), expected / expected.sum()), rel=1e-6)
    stacked = metrics.label_coverage(torch.randint(0, 1000, (26_000,), generator=RANDOM), 1000)
    assert stacked.reverse_kl == pytest.approx(0.0193, abs=0.004)
    assert stacked.modes == 1000
    masked = metrics.label_coverage(
        torch.tensor([0, 1, 2, 2]), 3, high_quality=torch.tensor([True, True, False, False])
    )
    assert masked[:3] == (2, 3, 0.5)
    assert masked.reverse_kl == pytest.approx(np.log(1.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.tensor([0, 3]), 3), "from 0 to 3"),
        ((torch.tensor([0.0, 1]), 3), "float32"),
        (([0, 1], 3), "labels are a list"),
        ((None, 3), "labels are a NoneType"),
        ((torch.tensor([], dtype=torch.int64), 3), "no labels"),
        ((torch.tensor([0, 1]), 3, torch.tensor([1.0, 1, 0])), "3 finite numbers, all above 0"),
        ((torch.tensor([0, 1]), 3, torch.ones(2)), "expected shares"),
        ((torch.tensor([0, 1]), 3, [1, 2, "a"]), "expected shares"),
        ((torch.tensor([0, 1]), 3, None, torch.tensor([1, 0])), "one bool for each of the 2"),
        ((torch.tensor([0, 1]), 0), "classes is 0"),
    ],
)
def test_labels_that_cannot_be_counted_are_named(arguments, message):
    with pytest.raises(BadInput, match=message):
        metrics.label_coverage(*arguments)


def test_points_that_do_not_fit_a_mixture_are_named():
    for points, message in ((torch.full((5, 2), float("nan")), "NaN"), (torch.zeros(5, 3), "3 and 2 columns")):
        with pytest.raises(BadInput, match=message):
            metrics.mixture_coverage(points, toy.ring())


def test_strokes_coverage_sees_a_style_that_is_missing_within_a_digit():
    j = classifier.load("strokes")
    reference, drawn = strokes.draw(3000, 5), strokes.draw(1500, 6)
    known, x = (classifier.features_and_logits(j, d.pixels / 127.5 - 1)[0] for d in (reference, drawn))
    perfect = metrics.strokes_coverage(x, known, reference)
    assert perfect[:2] == (30, 30)
    assert perfect.high_quality == pytest.approx(0.99, abs=0.012)
    assert perfect.reverse_kl < 0.025  # its floor: 29/3000
    keep = ~((drawn.digit == 3) & (drawn.style == 1))
    lost = metrics.strokes_coverage(x[keep], known, reference)
    assert lost.reverse_kl > 2 * perfect.reverse_kl
    assert lost.counts.argmin() == 10  # digits 0, 1 and 2 have three styles each
    assert lost.counts[10] < 0.3 * perfect.counts[10]
    few = metrics.strokes_coverage(known[reference.digit == 7], known, reference)
    assert few.modes == 3
    assert few.counts[21:24].sum() == (reference.digit == 7).sum()
    with pytest.raises(BadInput, match="10 reference features and 3000 factors"):
        metrics.strokes_coverage(x, known[:10], reference)
    with pytest.raises(BadInput, match="of the 30 styles are missing"):
        metrics.strokes_coverage(x, known[:10], strokes.draw(10, 0))


# --- different bins --------------------------------------------------------------------------------------------------


def test_different_bins_agree_with_the_chi_squared_test_of_scipy():
    """z² of two proportions is Pearson's χ² of the 2 × 2 table, without Yates's correction. Unequal counts."""
    from scipy.stats import chi2_contingency

    real, fake = torch.randn(600, 2, generator=RANDOM), torch.randn(400, 2, generator=RANDOM) * 0.8 + 0.2
    found = metrics.different_bins(real, fake, bins=20)
    n, m = 600, 400
    tables = [[[round(p * n), round((1 - p) * n)], [round(q * m), round((1 - q) * m)]]
              for p, q in zip(found.real_share.tolist(), found.fake_share.tolist(), strict=True)]  # fmt: skip
    expected = sum(chi2_contingency(table, correction=False).pvalue < 0.05 for table in tables)
    assert found.different == expected > 2
    assert found.real_share.sum() == pytest.approx(1)
    assert found.fake_share.sum() == pytest.approx(1)


def test_different_bins_of_a_perfect_generator_are_alpha_times_the_bins():
    """4.6 ± 2.0 of 100 (reference value)."""
    found = [
        metrics.different_bins(*torch.randn(2, 2000, 3, generator=RANDOM), bins=100, seed=s).different
        for s in range(12)
    ]
    assert np.mean(found) == pytest.approx(4.6, abs=4 * 2.0 / 12**0.5)
    assert np.mean(found) > 1


def test_different_bins_name_what_is_missing():
    real = toy.ring().sample(800, 0)
    fake = real[metrics.nearest_neighbours(real, toy.ring().means)[1][:, 0] != 3]
    found = metrics.different_bins(real, fake, bins=8)
    centre = metrics.clusters(real, 8)[(found.fake_share - found.real_share).argmin()]
    assert metrics.nearest_neighbours(centre[None], toy.ring().means)[1].item() == 3
    assert found.different >= 1


# --- birthday --------------------------------------------------------------------------------------------------------


def test_twenty_three_people_and_365_birthdays():
    """1 − ∏ (1 − i/365) passes ½ at 23 people."""
    days = torch.randint(0, 365, (5000, 1), generator=RANDOM)
    found = metrics.birthday(days, 0.5, trials=2000)
    assert abs(found.batch - 23) <= 2
    assert found.support == found.batch**2
    assert 0.5 <= found.probability < 0.6
    assert not found.at_least
    assert (days[found.pairs[:, 0]] == days[found.pairs[:, 1]]).all()
    assert (found.pairs[:, 0] != found.pairs[:, 1]).all()


@pytest.mark.parametrize(("n", "threshold"), [(50, 0.0), (300, 1.0)])
def test_the_pairs_are_all_pairs_within_the_threshold(n, threshold):
    x = torch.randint(0, 40, (n, 2), generator=RANDOM)
    found = metrics.birthday(x, threshold)
    distances = (x[:, None] - x).double().norm(dim=2)
    expected = {frozenset(pair) for pair in (distances <= threshold).triu(1).nonzero().tolist()}
    assert {frozenset(pair) for pair in found.pairs.tolist()} == expected
    lengths = (x[found.pairs[:, 0]] - x[found.pairs[:, 1]]).double().norm(dim=1)
    assert (lengths.diff() >= 0).all()


def test_without_a_collision_the_support_is_bounded_from_below():
    x = torch.arange(300.0)[:, None]
    found = metrics.birthday(x, 0.5)
    assert found[:4] == (300, 15_000.0, 0.0, True)
    assert found.pairs.shape == (0, 2)
    # the bound: of 15,000 equally likely images, 300 draws are all different 5% of the times
    assert np.exp(np.log1p(-np.arange(300) / 15_000).sum()) == pytest.approx(0.05, abs=0.003)


def test_copies_collide_at_once_and_repeatably():
    same = torch.zeros(5000, 3)
    assert metrics.birthday(same, 0)[:4] == (2, 4.0, 1.0, False)
    x = torch.randn(500, 1, generator=RANDOM)
    assert metrics.birthday(x, 1e-3)[:4] == metrics.birthday(x, 1e-3)[:4]


def test_same_image_is_a_quantile_of_the_nearest_distances_of_different_examples():
    x = torch.arange(1.0, 101)[:, None] ** 2  # the nearest of n² is (n − 1)², 2n − 1 away; of 1, 4
    expected = np.quantile([3, *(2 * n - 1 for n in range(2, 101))], 0.25)
    assert metrics.same_image(torch.cat([x, x[:30]]), 0.25) == pytest.approx(expected)


# --- memorisation ----------------------------------------------------------------------------------------------------


def test_memorisation_by_hand():
    """Train 0, 0, 10, 30: the fake 1 has the ratio 1/9, the fake 12 has 2/12, the fake 0 has 0."""
    train = torch.tensor([[0.0], [10], [0], [30]])
    held_out = torch.linspace(2, 8, 100)[:, None]  # the smallest ratios, at both ends: 2/8
    found = metrics.memorisation(torch.tensor([[1.0], [12], [0], [5]]), train, held_out)
    assert found.ratios.tolist() == pytest.approx([1 / 9, 1 / 6, 0, 1])
    assert found.threshold == pytest.approx(2 / 8, rel=1e-5)
    assert found.share == 0.75
    assert found.baseline in (0.01, 0.02)
    assert found.copied == 2
    assert found.nearest.tolist()[:3] == [0, 1, 0]


def test_chance_agrees_with_fishers_exact_test():
    from scipy.stats import fisher_exact

    for hits, n, base, others in ((5, 100, 1, 100), (30, 2000, 10, 1000), (0, 50, 3, 60), (50, 50, 1, 100)):
        table = [[hits, n - hits], [base, others - base]]
        expected = fisher_exact(table, alternative="greater").pvalue
        assert novelty._fisher(hits, n, base, others) == pytest.approx(expected, rel=1e-7)


def test_honest_samples_are_not_blamed_and_copies_are():
    """Two modes of very different density, as digit 1 among digits: equally many examples, one 50 times as narrow."""

    def mode(n):
        x = torch.randn(n, 8, generator=RANDOM)
        return torch.where(torch.arange(n)[:, None] % 2 == 0, x / 50 + 5, x)

    train, held_out = mode(2000), mode(1000)
    honest = [metrics.memorisation(mode(1000), train, held_out) for _ in range(8)]
    assert np.mean([x.share for x in honest]) == pytest.approx(0.01, abs=0.005)
    assert min(x.p_value for x in honest) > 0.001
    typical = metrics.memorisation(mode(1000)[::2] * 0.2 + 4, train, held_out)  # all in the middle of the narrow mode
    assert typical.share < 0.05
    for share in (0.05, 1.0):
        fake = mode(1000)
        copies = int(1000 * share)
        fake[:copies] = train[:copies] + train[:copies].std() * 1e-5
        found = metrics.memorisation(fake, train, held_out)
        assert found.share == pytest.approx(share + (1 - share) * 0.01, abs=0.01)
        assert found.p_value < 1e-6
        assert found.copied >= 0.95 * copies
        assert torch.equal(found.nearest[:copies], torch.arange(copies))
    few = metrics.memorisation(train[:3].repeat(300, 1), train.repeat(2, 1), held_out)
    assert few[:2] == (1.0, 0.01)
    assert few.copied == 3


def test_held_out_examples_that_are_copies_themselves_raise_the_baseline():
    train, held_out = torch.randn(2, 400, 3, generator=RANDOM)
    held_out[:20] = train[:20]
    found = metrics.memorisation(train[200:], train, held_out)
    assert found[:2] == (1.0, 0.05)
    assert found.threshold == 0
    assert metrics.memorisation(held_out, train, held_out)[:3] == pytest.approx((0.05, 0.05, 0.563), abs=1e-2)


# --- floors and the report -------------------------------------------------------------------------------------------


def test_floor_is_the_metric_between_disjoint_random_sets():
    seen = []
    value = metrics.floor(lambda a, b: seen.append((a, b)) or 7.0, torch.arange(20), 8, seed=3)
    assert value == 7.0
    a, b = seen[0]
    assert len(a) == len(b) == 8
    assert len(torch.cat([a, b]).unique()) == 16
    metrics.floor(lambda a, b: seen.append((a, b)), torch.arange(20), 8, seed=4)
    assert not torch.equal(seen[1][0], a)
    features = torch.randn(20_000, 16, generator=RANDOM)
    assert metrics.floor(metrics.frechet, features, 10_000) == pytest.approx(
        0.016, abs=0.006
    )  # reference value, d = 16


def test_report_holds_every_metric_with_the_one_of_held_out_examples():
    real, held_out = torch.randn(2, 400, 5, generator=RANDOM)
    fake = torch.randn(400, 5, generator=RANDOM) + 1
    p = torch.eye(4)[torch.arange(400) % 2]
    q = torch.eye(4)[torch.arange(400) % 4]
    rows = {row.name: row for row in metrics.report(fake, real, held_out, probabilities=p, held_out_probabilities=q)}
    assert {row.count for row in rows.values()} == {400}
    expected = {
        "frechet": metrics.frechet,
        "kernel distance": metrics.kernel_distance,
        "precision": lambda x, real: metrics.precision_and_recall(real, x).precision,
        "recall": lambda x, real: metrics.precision_and_recall(real, x).recall,
        "density": lambda x, real: metrics.density_and_coverage(real, x).density,
        "coverage": lambda x, real: metrics.density_and_coverage(real, x).coverage,
        "clipped density": lambda x, real: metrics.clipped_density_and_coverage(real, x).density,
        "clipped coverage": lambda x, real: metrics.clipped_density_and_coverage(real, x).coverage,
        "image retrieval": lambda x, real: metrics.image_retrieval(x, real).score,
        "diversity": lambda x, real: metrics.diversity(x),
        "Vendi score": lambda x, real: metrics.vendi(x),
        "authenticity": metrics.authenticity,
        "data copying": lambda x, real: metrics.data_copying(x, real, held_out).statistic,
    }
    for name, metric in expected.items():
        assert rows[name].value == pytest.approx(metric(fake, real), rel=1e-6), name
        assert rows[name].floor == pytest.approx(metric(held_out, real), rel=1e-6, abs=1e-9), name
    assert set(rows) - set(expected) == {
        "different bins", "support", "memorisation", "inception score", "classes", "class KL"
    }  # fmt: skip
    assert rows["different bins"].value > 0.5 > rows["different bins"].floor
    assert rows["memorisation"].floor == 0.01
    assert rows["inception score"][1:3] == pytest.approx((2, 4))
    assert rows["classes"][1:3] == (2, 4)
    assert rows["class KL"][1:3] == pytest.approx((np.log(2), 0))


def test_report_takes_random_parts_of_ordered_examples():
    """Half of the reference is held out, and of more fakes as many are counted: not the first of either."""
    real = torch.randn(600, 3, generator=RANDOM)
    real[:300] += 10  # in the order of their class
    rows = {row.name: row for row in metrics.report(real[torch.randperm(600, generator=RANDOM)], real)}
    assert rows["frechet"].floor < 5 < metrics.frechet(real[:300], real[300:])
    p = torch.eye(2)[(torch.arange(600) >= 300).long()]  # the first 300 are of one class
    given = dict(held_out=real[::2], probabilities=p, held_out_probabilities=p[::2])
    rows = {row.name: row for row in metrics.report(real, real[1::2], **given)}
    assert rows["classes"].value == 2
    assert rows["class KL"].value < 0.1


def test_report_of_equal_examples_says_what_to_do():
    with pytest.raises(BadInput, match="give the features of different real images"):
        metrics.report(torch.randn(200, 3, generator=RANDOM), torch.ones(200, 3), torch.ones(200, 3))


def test_report_cuts_to_one_count_and_splits_the_reference_where_nothing_is_held_out():
    real = torch.randn(500, 3, generator=RANDOM)
    rows = metrics.report(real[:150], real)
    assert {row.count for row in rows} == {150}
    assert rows == metrics.report(real[:150], real)
    memory = next(row for row in rows if row.name == "memorisation")
    assert memory.value > 0.3  # half of the copied examples are in the half that counts as training set
    assert {row.count for row in metrics.report(real, real)} == {250}
    p = torch.full((500, 4), 0.25)
    uneven = {"probabilities": p[:150], "held_out_probabilities": p[:200]}
    assert {row.count for row in metrics.report(real[:150], real, real[:200], **uneven)} == {150}
    for arguments in ({"probabilities": p}, {"probabilities": p[:9], "held_out_probabilities": p, "held_out": real}):
        with pytest.raises(BadInput, match="probabilities"):
            metrics.report(real, real, **arguments)
