"""Neighbours and clusters against scikit-learn."""

import pytest
import torch

from gantutor.data import toy
from gantutor.metrics import neighbours

RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def _same_numbers():
    RANDOM.manual_seed(0)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_neighbours_agree_with_scikit_learn(exclude_self):
    from sklearn.neighbors import NearestNeighbors

    base = torch.randn(300, 5, generator=RANDOM, dtype=torch.float64)
    queries = base if exclude_self else torch.randn(200, 5, generator=RANDOM, dtype=torch.float64)
    oracle = NearestNeighbors(n_neighbors=4, algorithm="kd_tree").fit(base.numpy())
    expected, index = oracle.kneighbors(None if exclude_self else queries.numpy())
    found = neighbours.nearest_neighbours(queries, base, 4, exclude_self)
    assert found[0].numpy() == pytest.approx(expected, rel=1e-12)
    assert (found[1].numpy() == index).all()


def test_copies_are_at_distance_zero_even_far_from_the_origin():
    base = torch.randn(500, 64, generator=RANDOM, dtype=torch.float64) + 1e8
    distances, index = neighbours.nearest_neighbours(base[100:200], base)
    assert (distances == 0).all()
    assert torch.equal(index[:, 0], torch.arange(100, 200))
    one = torch.ones(20, 3)
    distances, index = neighbours.nearest_neighbours(one, one, 3, exclude_self=True)
    assert (distances == 0).all()
    assert (index != torch.arange(20)[:, None]).all()


def test_of_equally_near_examples_the_first_comes_first():
    base = torch.tensor([[2.0], [0.0], [2.0], [5.0]])
    distances, index = neighbours.nearest_neighbours(torch.tensor([[1.0], [4.0]]), base, 3)
    assert index.tolist() == [[0, 1, 2], [3, 0, 2]]
    assert distances.tolist() == [[1, 1, 1], [1, 2, 2]]


def test_no_block_is_larger_than_allowed():
    for rows, columns in ((10_000, 10_000), (60_000, 10_000), (3, 10**7)):
        blocks = list(neighbours.in_blocks(rows, columns))
        assert sum(b.stop - b.start for b in blocks) == rows
        assert max(b.stop - b.start for b in blocks) * columns <= max(neighbours.BLOCK, columns)


def test_clusters_are_as_good_as_those_of_scikit_learn():
    from sklearn.cluster import KMeans

    x = torch.rand(1000, 4, generator=RANDOM, dtype=torch.float64)
    spread = neighbours.nearest_neighbours(x, neighbours.clusters(x, 20))[0].square().sum().item()
    theirs = [KMeans(20, n_init=1, random_state=seed).fit(x.numpy()).inertia_ for seed in range(5)]
    assert spread == pytest.approx(sum(theirs) / len(theirs), rel=0.05)


def test_clusters_find_clear_modes():
    modes = toy.grid()
    centres = neighbours.clusters(modes.sample(2000, 0), 25)
    distances, index = neighbours.nearest_neighbours(modes.means, centres)
    assert distances.max() < 0.05
    assert len(index.unique()) == 25
    assert torch.equal(centres, neighbours.clusters(modes.sample(2000, 0), 25, seed=0))
    assert len(neighbours.clusters(torch.eye(3).repeat(9, 1), 10)) == 3
