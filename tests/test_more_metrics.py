"""Clipped density and coverage, image retrieval, data copying, authenticity and the Vendi score, with their oracles."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from gantutor import metrics
from gantutor.metrics.precision_recall import expected_clipped_coverage

RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def the_same_random_numbers_in_any_order():
    RANDOM.manual_seed(0)


def normal(n, d):
    return torch.randn(n, d, generator=RANDOM, dtype=torch.float64)


# --- clipped density and coverage ------------------------------------------------------------------------------------


def test_clipped_density_by_hand():
    """Real 0, 1, 3, 10 with k = 1 have the radii 1, 1, 2, 7; their median, 1.5, clips them to 1, 1, 1.5, 1.5.

    Real examples in the balls of others: 0 in one, 1 in one, 3 and 10 in none (1 is 2 from 3): mean ½. Of the fakes,
    0.5 is in two balls and counts once, 4.5 is on the edge of one and counts, 8 is in the unclipped ball of 10 only.
    """
    real = torch.tensor([[0.0], [1], [3], [10]])
    assert metrics.clipped_density_and_coverage(real, torch.tensor([[0.5], [4.5], [8], [8]]), 1).density == 1
    assert metrics.clipped_density_and_coverage(real, torch.tensor([[0.5], [8], [8], [8]]), 1).density == 0.5
    assert metrics.clipped_density_and_coverage(real, torch.tensor([[0.5], [0.5], [0.5], [0.5]]), 1).density == 1  # cut


def test_clipped_coverage_by_hand():
    """Real 0, 1, 10, 11 with k = 2 have the radii 10, 9, 9, 10. A fake at 1.5 is in all balls, each half covered;
    −5 is in those of 0 and 1, −8.5 in that of 0 only, 99 in none.

    A right fake is in a ball with the probability U ~ Beta(2, 2), whose mean is ½ and whose E U³ is ⅕: m = 1, 2 and 3
    of them cover ¼, ½ and (3/2 − ⅕)/2.
    """
    real, k = torch.tensor([[0.0], [1], [10], [11]]), 2
    assert expected_clipped_coverage(4, 3, k) == pytest.approx([0, 0.25, 0.5, 0.65])
    for fakes, share in (
        ([99, 99, 99], 0),
        ([-5, 99, 99], 1 / 3),  # ¼ covered, as by one of three
        ([1.5, 99, 99], 2 / 3),
        ([1.5, -8.5, 99], (2 + 0.125 / 0.15) / 3),  # ⅝ covered, between two and three
        ([1.5, 1.5, 1.5], 1),
    ):
        found = metrics.clipped_density_and_coverage(real, torch.tensor(fakes)[:, None], k)
        assert found.coverage == pytest.approx(share)


@pytest.mark.parametrize(("N", "M", "k"), [(10, 7, 1), (50, 80, 5), (1000, 300, 3)])
def test_the_calibration_is_that_of_the_beta_binomial_distribution(N, M, k):
    found = expected_clipped_coverage(N, M, k)
    for m in (0, 1, k, M // 2, M):
        inside = stats.betabinom(m, k, N - k).pmf(range(m + 1))
        assert found[m] == pytest.approx((inside * np.minimum(range(m + 1), k)).sum() / k, rel=1e-9, abs=1e-12)


def test_the_calibration_is_what_real_examples_cover():
    """Fakes of the same distribution, 60 real ones, k = 4: in one dimension and in ten, by simulation."""
    for d in (1, 10):
        covered = []
        for _ in range(150):
            real, fake = normal(60, d), normal(40, d)
            radii = torch.cdist(real, real).sort(1).values[:, 4]
            inside = (torch.cdist(real, fake) < radii[:, None]).sum(1)
            covered.append(inside.clamp(max=4).double().mean().item() / 4)
        error = np.std(covered) / math.sqrt(len(covered))
        assert abs(np.mean(covered) - expected_clipped_coverage(60, 40, 4)[40]) < 3 * error


@pytest.mark.parametrize("good", [0.2, 0.5, 0.8])
def test_the_clipped_ones_are_the_share_of_good_samples(good):
    found = []
    for _ in range(5):
        real, fake = normal(400, 6), normal(400, 6)
        fake[int(good * 400) :] += 50
        found.append(metrics.clipped_density_and_coverage(real, fake))
    assert np.mean(found, 0) == pytest.approx([good, good], abs=0.04)


def test_the_clipped_ones_are_what_their_definition_says():
    real, fake, k = normal(80, 3), 0.8 * normal(60, 3) + 0.3, 5
    among = torch.cdist(real, real)
    radii = among.sort(1).values[:, k]
    small = torch.tensor([min(r, np.median(radii)) for r in radii.tolist()])
    in_balls = [min(int((torch.cdist(real, x[None])[:, 0] <= small).sum()), k) / k for x in fake]
    others = [min(int((among[:, i] <= small).sum()) - 1, k) / k for i in range(80)]
    found = metrics.clipped_density_and_coverage(real, fake, k)
    assert found.density == pytest.approx(min(1, np.mean(in_balls) / np.mean(others)))
    covered = np.mean([min(int((torch.cdist(x[None], fake)[0] < r).sum()), k) / k for x, r in zip(real, radii)])  # noqa: B905
    expected = [stats.betabinom(m, k, 80 - k).expect(lambda j: np.minimum(j, k)) / k for m in range(61)]
    below = max(m for m in range(61) if expected[m] <= covered)
    assert below / 60 <= found.coverage <= (below + 1) / 60


def test_what_the_clipped_ones_see_and_what_not():
    cloud, outlier = normal(300, 2), torch.full((1, 2), 8.0, dtype=torch.float64)
    rubbish = normal(300, 2) * 0.7 + 5
    real = torch.cat([cloud, outlier])
    assert metrics.precision_and_recall(real, rubbish).precision > 0.9  # one outlier lets them all in …
    assert metrics.clipped_density_and_coverage(real, rubbish).density < 0.02  # … but not here
    modes = torch.cat([cloud, cloud + 50])
    rare = torch.cat([normal(500, 2), normal(100, 2) + 50])  # the second mode is made in a sixth of the samples
    found = metrics.clipped_density_and_coverage(modes, rare)
    assert found.density > 0.9
    assert found.coverage < 0.8
    assert metrics.density_and_coverage(modes, rare).coverage > 0.85
    assert metrics.clipped_density_and_coverage(modes, modes) == (1, 1)  # copies score best


# --- image retrieval -------------------------------------------------------------------------------------------------


def boxes(s, n):
    """The distribution of the number of occupied boxes, by counting all ways in which n balls fall into s boxes."""
    ways = Counter(len(set(balls)) for balls in itertools.product(range(s), repeat=n))
    return {k: ways[k] / s**n for k in ways}


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_score_is_the_most_likely_number_of_boxes(k):
    """Four samples, six training examples: all 6⁴ ways are counted."""
    train = 10 * torch.arange(6.0)[:, None]
    fake = train[[*range(k), *[0] * (4 - k)]] + 0.1
    found = metrics.image_retrieval(fake, train)
    likely = {s: boxes(s, 4).get(k, 0) for s in range(1, 7)}
    assert found.retrieved == k
    assert found.score == max(likely, key=likely.get) / 6
    assert 0 < found.low <= found.score <= found.high <= 1


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """G knows 300 of 1,000 examples; 400 samples retrieve about 221 of them, and 221/1,000 is no estimate."""
    train = torch.arange(1000.0)[:, None]
    found = [
        metrics.image_retrieval(train[torch.randint(300, (400,), generator=RANDOM)], train, 0.9) for _ in range(300)
    ]
    assert np.mean([x.retrieved for x in found]) == pytest.approx(300 * (1 - (1 - 1 / 300) ** 400), abs=1)
    assert np.mean([x.score for x in found]) == pytest.approx(0.3, abs=0.005)
    assert np.mean([x.low <= 0.3 <= x.high for x in found]) == pytest.approx(0.9, abs=0.05)


def test_retrieval_without_repetition_knows_no_limit():
    train = torch.arange(50.0)[:, None]
    assert metrics.image_retrieval(train[:20], train)[:2] == (20, 1.0)
    assert metrics.image_retrieval(train[:20], train).high == 1.0
    assert metrics.image_retrieval(train[:1].repeat(20, 1), train)[:2] == (1, 1 / 50)


def test_what_retrieval_sees_and_what_not():
    """A missing half, but neither quality nor copies."""
    train, held_out = normal(600, 4), normal(600, 4)
    floor = metrics.image_retrieval(held_out, train).score
    half = held_out[held_out[:, 0] > 0].repeat(2, 1)[:600]
    assert metrics.image_retrieval(half, train).score < 0.6 * floor
    assert metrics.image_retrieval(held_out + 0.5 * normal(600, 4), train).score > 0.8 * floor
    assert metrics.image_retrieval(train, train).score == 1


# --- copies ----------------------------------------------------------------------------------------------------------


def test_data_copying_is_the_weighted_mean_of_rank_statistics():
    train, held_out, fake = normal(300, 3), normal(200, 3), 0.9 * normal(150, 3)
    found = metrics.data_copying(fake, train, held_out, cells=3)
    cell = [torch.cdist(x, found.centres).argmin(1) for x in (fake, held_out)]
    nearest = [torch.cdist(x, train).min(1).values for x in (fake, held_out)]
    z, share = [], []
    for c in range(3):
        a, b = (d[i == c].numpy() for d, i in zip(nearest, cell, strict=True))
        share.append(len(b) / 200)
        spread = math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
        z.append((stats.mannwhitneyu(a, b).statistic - len(a) * len(b) / 2) / spread)
    assert found.cells.tolist() == pytest.approx(z)
    assert found.statistic == pytest.approx(np.dot(z, share))


def test_data_copying_of_equal_distributions_is_about_normal():
    """Mean 0, and in K equal cells the standard deviation 1/√K."""
    centres = 30 * torch.eye(4, dtype=torch.float64)

    def draw(n):
        return centres[torch.arange(n) % 4] + normal(n, 4)

    found = [metrics.data_copying(draw(200), draw(400), draw(200), cells=4).statistic for _ in range(150)]
    assert np.mean(found) == pytest.approx(0, abs=3 * 0.5 / math.sqrt(150))
    assert np.std(found) == pytest.approx(0.5, abs=0.1)


def test_data_copying_has_a_sign_and_a_least_value():
    train, held_out = normal(500, 5), normal(300, 5)
    copies = metrics.data_copying(train[:300] + 1e-3, train, held_out, cells=1).statistic
    assert copies == pytest.approx(-math.sqrt(3 * 300 * 300 / 601))
    assert metrics.data_copying(3 * held_out, train, held_out, cells=1).statistic > 8
    mixed = torch.cat([train[:150], 3 * held_out[:150]])
    assert abs(metrics.data_copying(mixed, train, held_out, cells=1).statistic) < 1  # the blind spot
    same = metrics.data_copying(held_out, train, held_out)
    assert same.statistic == pytest.approx(0, abs=1e-12)


def test_data_copying_leaves_out_what_it_cannot_compare():
    """Two clusters: in the second there are too few fakes, in the third no held-out example."""
    train = torch.cat([normal(100, 2), normal(100, 2) + 50, normal(10, 2) - 50])
    held_out = torch.cat([normal(60, 2), normal(40, 2) + 50])
    fake = torch.cat([normal(80, 2), normal(19, 2) + 50])
    found = metrics.data_copying(fake, train, held_out, cells=3)
    assert len(found.centres) == 2
    assert found.cells.isnan().sum() == 1
    assert found.statistic == found.cells[found.cells.isfinite()].item()


@pytest.mark.parametrize(("d", "floor"), [(1, 1 / 3), (2, 1 - math.pi / (4 * math.pi / 3 + math.sqrt(3) / 2))])
def test_the_floor_of_authenticity_is_that_of_mutual_neighbours(d, floor):
    """Uniform on a circle and on a sphere. A new example is the nearest of its nearest with the volume of a ball over
    that of two balls of the same radius, each through the centre of the other: ⅔ on a line, .6215 in a plane.
    """
    found = []
    for _ in range(4):
        fake, train = (torch.nn.functional.normalize(normal(2000, d + 1)) for _ in range(2))
        found.append(metrics.authenticity(fake, train))
    assert np.mean(found) == pytest.approx(floor, abs=0.02)


def test_authenticity_by_hand():
    """Training examples 0, 1, 5 (twice): distances to the nearest other one 1, 1, 4. Fakes: 0 is a copy, 0.4 is nearer
    to 0 than 1 is, −2 is farther, 8 is nearer to 5 than 1 is, 10 is farther.
    """
    train = torch.tensor([[0.0], [1], [5], [5]])
    assert metrics.authenticity(torch.tensor([[0.0], [0.4], [-2], [8], [10]]), train) == 0.4
    assert metrics.authenticity(train, train) == 0
    assert metrics.authenticity(torch.tensor([[-1.0]]), train) == 0  # as far is not farther


# --- Vendi -----------------------------------------------------------------------------------------------------------


def test_the_vendi_score_counts_kinds_at_right_angles():
    kinds = torch.eye(5)[torch.tensor([0, 1, 2] * 20)]
    assert metrics.vendi(kinds) == pytest.approx(3)
    assert metrics.vendi(torch.eye(7)) == pytest.approx(7)
    assert metrics.vendi(3 * kinds) == pytest.approx(3)  # lengths do not matter
    assert metrics.vendi(torch.ones(9, 4)) == pytest.approx(1)
    assert metrics.vendi(torch.zeros(9, 4)) == pytest.approx(1)  # all alike
    assert metrics.vendi(torch.cat([kinds, torch.zeros(20, 5)])) == pytest.approx(4)  # one kind more
    shares = np.array([0.5, 0.3, 0.2])
    uneven = torch.eye(3).repeat_interleave(torch.tensor([50, 30, 20]), 0)
    assert metrics.vendi(uneven) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))


def test_the_vendi_score_is_the_entropy_of_the_similarities():
    """From the N×N matrix of the definition; two vectors at the angle θ have the eigenvalues (1 ± cos θ)/2."""
    x = normal(40, 6) + 1
    K = torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=2).numpy() / 40
    assert metrics.vendi(x) == pytest.approx(math.exp(stats.entropy(np.linalg.eigvalsh(K).clip(0))))
    half = (1 + math.cos(1)) / 2
    pair = torch.tensor([[1.0, 0], [math.cos(1), math.sin(1)]], dtype=torch.float64)
    assert metrics.vendi(pair) == pytest.approx(math.exp(stats.entropy([half, 1 - half])))
