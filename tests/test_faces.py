import math
import os

import pytest
import torch

from gantutor.data import faces, portrait
from gantutor.data.portrait import FACTORS, SHARES
from gantutor.errors import BadInput


@pytest.fixture(scope="module")
def drawn():
    return faces.draw(1000, seed=3)


def grid(n=400):
    axis = ((torch.arange(n) + 0.5) / n * 2 - 1).double()
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x[None], y[None]


# --- the draw --------------------------------------------------------------------------------------------------------


def test_a_seed_gives_one_set_of_faces_on_any_number_of_processors(drawn, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    again = faces.draw(1000, seed=3)
    assert torch.equal(drawn.pixels, again.pixels)
    assert all(torch.equal(drawn.factors[name], again.factors[name]) for name in FACTORS)
    assert all(torch.equal(drawn.measures[name], again.measures[name]) for name in faces.MEASURES)
    assert not torch.equal(faces.draw(1000, seed=4).pixels, drawn.pixels)


def test_shapes_and_types(drawn):
    assert drawn.pixels.shape == (1000, 3, 64, 64)
    assert drawn.pixels.dtype == torch.uint8
    assert set(drawn.factors) == set(FACTORS)
    assert set(drawn.measures) == set(faces.MEASURES)
    assert len(drawn) == 1000
    assert len(faces.draw(0, seed=0).pixels) == 0


def test_small_faces_are_the_large_ones_averaged(drawn):
    small = faces.draw(1000, seed=3, size=32)
    assert torch.equal(small.factors["hat"], drawn.factors["hat"])
    blocks = drawn.pixels.double().unflatten(3, (32, 2)).unflatten(2, (32, 2)).mean((3, 5))
    assert (small.pixels - blocks).abs().max() <= 1  # rounded once here, and twice there


def test_every_value_is_as_frequent_as_its_share_and_factors_are_independent(drawn):
    for name, shares in SHARES.items():
        assert sum(shares.values()) == 100
        counts = torch.bincount(drawn.factors[name], minlength=len(shares))
        assert torch.equal(counts, torch.tensor([10 * share for share in shares.values()])), name
    names = list(FACTORS)
    for i, one in enumerate(names):
        for other in names[:i]:
            table = torch.zeros(len(FACTORS[one]), len(FACTORS[other]), dtype=torch.float64)
            table.index_put_((drawn.factors[one], drawn.factors[other]), torch.tensor(1.0).double(), accumulate=True)
            expected = table.sum(1, keepdim=True) * table.sum(0) / 1000
            freedom = (len(table) - 1) * (table.shape[1] - 1)
            chi_square = ((table - expected) ** 2 / expected).sum().item()
            assert chi_square < freedom + 5 * math.sqrt(2 * freedom), (one, other)


def test_measures_lie_where_they_are_said_to_lie(drawn):
    smile, mouth = drawn.measures["smile"], drawn.factors["mouth"]
    assert smile.abs().max() <= 1
    highest = [smile[mouth == k].max() for k in range(3)]
    lowest = [smile[mouth == k].min() for k in range(3)]
    assert highest[0] < lowest[1]  # sad, straight, smiling do not overlap
    assert highest[1] < lowest[2]
    assert abs(drawn.measures["tilt"].mean()) < 0.01


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_that_is_fixed_changes_the_pictures_and_nothing_else_of_their_table(drawn, name):
    same = [faces.draw(60, seed=1, fixed={name: value}) for value in FACTORS[name]]
    for other in set(FACTORS) - {name}:
        assert all(torch.equal(one.factors[other], same[0].factors[other]) for one in same)
    for i, one in enumerate(same):
        assert (one.factors[name] == i).all()
        for another in same[:i]:
            seen = one.visible(name) & another.visible(name)
            apart = (one.pixels[seen].int() - another.pixels[seen].int()).abs().amax(1) > 15  # clearly
            assert apart.sum((1, 2)).min() >= 4


@pytest.mark.parametrize(("name", "value"), [("eyes", "round"), ("ears", "large"), ("hair-color", "blue")])
def test_what_is_called_invisible_cannot_be_seen(name, value):
    covering = {"eyes": {"glasses": "dark"}, "ears": {"hair": "long"}, "hair-color": {"hair": "bald"}}[name]
    fixed = {**covering, "beard": "none"}
    one, other = faces.draw(40, seed=2, fixed=fixed), faces.draw(40, seed=2, fixed={**fixed, name: value})
    assert not one.visible(name).any()
    differing = (one.pixels.int() - other.pixels.int()).abs().sum(1) > 30
    assert differing.double().mean() < (0.03 if name == "hair-color" else 1e-9)  # the brows


def test_glasses_lie_over_the_eyes_and_nowhere_else():
    plain = faces.draw(80, seed=6, fixed={"glasses": "none"})
    for kind in FACTORS["glasses"][1:]:
        changed = (faces.draw(80, seed=6, fixed={"glasses": kind}).pixels != plain.pixels).any(1).any(0)
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        assert rows.min() > 16
        assert rows.max() < 48
        assert columns.min() > 8
        assert columns.max() < 56


def test_a_smile_turns_the_corners_of_the_mouth_up():
    """By the darkest row of the mouth's line, at its middle and at its ends."""
    plain = {"mouth": "", "beard": "none", "skin": "porcelain", "glasses": "none"}
    heights = {}
    for mood in ("sad", "smiling"):
        drawn = faces.draw(60, seed=8, fixed={**plain, "mouth": mood})
        middle = drawn.measures["tilt"].abs() < 0.05
        dark = 255 - drawn.pixels[middle, 1, 40:52].double()  # (m, 12, 64)
        row = torch.arange(12.0).double()[:, None]
        centre = (dark**4 * row).sum(1) / (dark**4).sum(1)  # (m, 64), from the top
        heights[mood] = (centre[:, 31:33].mean(1) - centre[:, [28, 35]].mean(1)).mean()
    assert heights["smiling"] > 0.5
    assert heights["sad"] < -0.5


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"n": -1, "seed": 0}, "n is -1"),
        ({"n": 1, "seed": 0.5}, "seed is 0.5"),
        ({"n": 1, "seed": 0, "size": 128}, "size is 128: faces are drawn at 64 or at 32 pixels."),
        ({"n": 1, "seed": 0, "fixed": {"glases": "round"}}, "unknown factor 'glases': did you mean 'glasses'?"),
        ({"n": 1, "seed": 0, "fixed": {"hat": "bald"}}, "unknown value of hat 'bald'"),
    ],
)
def test_bad_input_is_named(asked, says):
    with pytest.raises(BadInput, match=says.replace("?", r"\?").replace(".", r"\.")):
        faces.draw(**asked)


# --- shapes ----------------------------------------------------------------------------------------------------------


def area(distance):
    return (distance <= 0).double().mean().item() * 4


def test_areas_of_shapes():
    x, y = grid()
    assert area(portrait.disc(x, y, 0.5)) == pytest.approx(math.pi / 4, rel=3e-3)
    assert area(portrait.ellipse(x, y, 0.8, 0.3)) == pytest.approx(math.pi * 0.24, rel=3e-3)
    assert area(portrait.box(x, y, 0.6, 0.4, 0.1)) == pytest.approx(0.96 - (4 - math.pi) * 0.01, rel=3e-3)
    assert area(portrait.stroke(x, y, 0.6, 0.0, 0.1)) == pytest.approx(0.12 + math.pi * 0.0025, rel=2e-2)


def test_distances_against_the_nearest_point_of_the_edge():
    x, y = grid(40)
    angle = torch.linspace(0, 2 * math.pi, 4000).double()
    edge = torch.stack([0.7 * angle.cos(), 0.4 * angle.sin()], dim=1)  # of the ellipse
    points = torch.stack([x.flatten(), y.flatten()], dim=1)
    exact = torch.cdist(points, edge).min(1).values
    found = portrait.ellipse(x, y, 0.7, 0.4).flatten()
    near = exact < 0.05
    assert (found[near].abs() - exact[near]).abs().max() < 0.01
    assert torch.equal(found < 0, (points[:, 0] / 0.7) ** 2 + (points[:, 1] / 0.4) ** 2 < 1)
    square = torch.linspace(-1, 1, 801).double()
    sides = [torch.stack([0.5 * square, torch.full_like(square, s * 0.3)], 1) for s in (-1, 1)]
    sides += [torch.stack([torch.full_like(square, s * 0.5), 0.3 * square], 1) for s in (-1, 1)]
    exact = torch.cdist(points, torch.cat(sides)).min(1).values
    assert (portrait.box(x, y, 0.5, 0.3, 0.0).flatten().abs() - exact).abs().max() < 2e-3


def test_a_pixel_takes_the_colour_of_a_part_as_far_as_it_is_covered():
    """The paint of a disc weighs as much as its area, wherever it lies between the pixels."""
    chunk = faces.draw(4, seed=0)
    painting = portrait.Painting(chunk.factors, chunk.measures, torch.zeros(4, 8))
    painting.canvas = torch.zeros(4, 3, 64, 64)
    centre = torch.tensor([0.0, 0.004, 0.011, 0.017])[:, None, None]
    axis = (torch.arange(64) + 0.5) / 32 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    painting.paint(portrait.disc(x - centre, y + centre, 0.4), (255, 255, 255))
    assert painting.canvas[:, 0].sum((1, 2)) / 32**2 == pytest.approx([math.pi * 0.16] * 4, rel=2e-3)
    assert 0.1 < ((painting.canvas > 0.02) & (painting.canvas < 0.98)).double().sum() / 4 / 3 / (2 * math.pi * 12.8) < 2
