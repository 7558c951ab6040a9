import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gantutor.data import faces, strokes
from gantutor.errors import BadInput


@pytest.fixture(scope="module")
def drawn():
    return strokes.draw(6000, seed=3)


def of_style(drawn, digit, style):
    return (drawn.digit == digit) & (drawn.style == style)


def moments(drawn):
    """Centre (n, 2) of the ink as (x, y) in pixels from the image's centre, and cov(x, y) / var(y), by pixel sums."""
    ink = drawn.pixels[:, 0].double()
    ink = ink / ink.sum((1, 2), keepdim=True)
    grid = torch.arange(28, dtype=torch.float64) - 13.5
    x, y = (ink.sum(1) * grid).sum(1), (ink.sum(2) * grid).sum(1)
    dx, dy = grid - x[:, None], grid - y[:, None]  # (n, 28) each
    covariance = (dy[:, None] @ ink @ dx[..., None]).flatten()
    return torch.stack([x, y], dim=1), covariance / (ink.sum(2) * dy**2).sum(1)


def slope(x, y):
    x, y = x.double() - x.double().mean(), y.double() - y.double().mean()
    return ((x * y).sum() / (x * x).sum()).item()


# ---- the draw --------------------------------------------------------------------------------------------------------


def test_a_seed_gives_one_set_of_images_at_any_thread_count(drawn):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = strokes.draw(6000, seed=3)
        assert torch.get_num_threads() == 3  # what was borrowed is returned
    finally:
        torch.set_num_threads(threads)
    for name in ("pixels", "digit", "style", "slant", "thickness", "shift", "scale"):
        assert torch.equal(getattr(drawn, name), getattr(again, name)), name


@pytest.mark.parametrize("drawing", [strokes, faces])
def test_the_draw_leaves_torchs_own_random_numbers_alone(drawing):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drawing.draw(20, seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_gives_other_images(drawn):
    other = strokes.draw(6000, seed=4)
    assert not torch.equal(drawn.digit, other.digit)
    both = torch.cat([drawn.pixels, other.pixels]).flatten(1)
    assert len(torch.unique(both, dim=0)) == 12_000  # and no image twice: a test split shares none with its training


def test_shapes_and_types(drawn):
    assert len(drawn) == 6000
    assert (drawn.pixels.shape, drawn.pixels.dtype) == ((6000, 1, 28, 28), torch.uint8)
    assert (drawn.shift.shape, drawn.shift.dtype) == ((6000, 2), torch.float32)
    assert all(t.dtype == torch.int64 and t.shape == (6000,) for t in (drawn.digit, drawn.style))
    assert all(t.dtype == torch.float32 and t.shape == (6000,) for t in (drawn.slant, drawn.thickness, drawn.scale))
    assert strokes.draw(0, seed=0).pixels.shape == (0, 1, 28, 28)
    assert strokes.draw(1, seed=0).pixels.shape == (1, 1, 28, 28)


def test_the_digits_are_balanced_and_mixed(drawn):
    assert torch.bincount(drawn.digit).tolist() == [600] * 10
    assert torch.bincount(strokes.draw(23, seed=0).digit, minlength=10).tolist() == [3] * 3 + [2] * 7
    assert (drawn.digit[1:] == drawn.digit[:-1]).float().mean() == pytest.approx(0.1, abs=0.02)


def test_the_factors_fill_their_ranges_and_are_independent(drawn):
    factors = {"slant": drawn.slant, "thickness": drawn.thickness, "scale": drawn.scale}
    factors |= {"right": drawn.shift[:, 0], "down": drawn.shift[:, 1]}
    ranges = {"slant": (-0.3, 0.5), "thickness": (1.5, 4.0), "scale": (0.8, 1.0), "right": (-1, 1), "down": (-1, 1)}
    for name, (low, high) in ranges.items():
        values = factors[name]
        assert low <= values.min() < low + 0.05 * (high - low), name
        assert high >= values.max() > high - 0.05 * (high - low), name
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low)), name
    table = torch.stack([*factors.values(), drawn.digit.float()])
    assert (torch.corrcoef(table) - torch.eye(len(table))).abs().max() < 0.06


@pytest.mark.parametrize("digit", range(10))
def test_every_digit_is_written_in_several_ways(drawn, digit):
    counts = torch.bincount(drawn.style[drawn.digit == digit])
    assert len(counts) == len(strokes.STYLES[digit]) >= 2
    assert counts.min() > 0.8 * 600 / len(counts)
    means = [drawn.pixels[of_style(drawn, digit, s), 0].float().mean(0) / 255 for s in range(len(counts))]
    assert all((a - b).abs().max() > 0.2 for i, a in enumerate(means) for b in means[:i])  # and they look different


@pytest.mark.parametrize("n", [-1, 2.0, "10", None, True, 10**30])
def test_a_count_that_is_none_is_refused(n):
    with pytest.raises(BadInput, match=r"n is .*: give a whole number, 0 or more\."):
        strokes.draw(n, seed=0)


@pytest.mark.parametrize("seed", [-1, 0.5, None, 2**63])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(BadInput, match=r"seed is .*: give a whole number"):
        strokes.draw(1, seed=seed)


# ---- the factors, measured on the pixels -----------------------------------------------------------------------------


def test_shift_is_where_the_ink_lies(drawn):
    centre, _ = moments(drawn)
    error = centre - drawn.shift
    assert error.std(0).max() < 0.25
    assert error.mean(0).abs().max() < 0.1
    assert all(slope(drawn.shift[:, k], centre[:, k]) == pytest.approx(1, abs=0.03) for k in (0, 1))


@pytest.mark.parametrize("digit", range(10))
def test_slant_is_the_shear_of_the_ink(drawn, digit):
    """Shearing x by −tan(slant)·y, with y down, adds −tan(slant) to cov(x, y) / var(y).

    Somewhat less comes out: the pen itself is round, and a sheared curve is longer where it leans, in a 0 most.
    """
    _, shear = moments(drawn)
    for style in range(len(strokes.STYLES[digit])):
        these = of_style(drawn, digit, style)
        slant = drawn.slant[these].tan()
        assert slope(slant, -shear[these]) == pytest.approx(0.9, abs=0.15)
        assert torch.corrcoef(torch.stack([slant, -shear[these].float()]))[0, 1] > 0.7


def test_thickness_is_the_width_of_the_ink(drawn):
    """A stick is scale·(20 − thickness) high along its middle: its area over its length is its width.

    Round ends would add π/4·thickness², for the widest pen a quarter of the slope.
    """
    stick = of_style(drawn, 1, 0)
    area = drawn.pixels[stick].double().sum((1, 2, 3)) / 255
    thickness = drawn.thickness[stick]
    length = drawn.scale[stick] * (20 - thickness) / drawn.slant[stick].cos()
    assert (area / length / thickness).mean() == pytest.approx(1.04, abs=0.04)
    assert slope(thickness, area / length) == pytest.approx(1.15, abs=0.15)


@pytest.mark.parametrize("digit", range(10))
def test_ink_grows_with_thickness(drawn, digit):
    thickness = drawn.thickness[drawn.digit == digit]
    ink = drawn.pixels[drawn.digit == digit].float().mean((1, 2, 3))
    bins = torch.bucketize(thickness, torch.tensor([2.25, 2.75, 3.25]))
    means = [ink[bins == b].mean() for b in range(4)]
    assert all(b > 1.08 * a for a, b in pairwise(means))


def test_scale_is_the_height_of_the_ink(drawn):
    rows = (drawn.pixels[:, 0].amax(2) > 127).sum(1)
    assert (rows / (20 * drawn.scale)).mean() == pytest.approx(1, abs=0.05)
    assert slope(20 * drawn.scale, rows) == pytest.approx(0.9, abs=0.1)  # what bends is no higher for it


def test_the_border_cuts_nothing_off(drawn):
    ink = drawn.pixels[:, 0].float()
    inside = ink[:, 1:-1, 1:-1].sum()
    assert (ink.sum() - inside) / ink.sum() < 2e-4
    edge = torch.cat([ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]], dim=1).amax(1)
    assert (edge > 127).float().mean() < 2e-3


# ---- the pen ---------------------------------------------------------------------------------------------------------


def line(start, end, dashes=60):
    """One straight line as dashes: middles (1, P, 2) and lengths (1, P)."""
    start, end = torch.tensor(start), torch.tensor(end)
    t = (torch.arange(dashes)[:, None] + 0.5) / dashes
    return (start + t * (end - start))[None], torch.full((1, dashes), ((end - start).norm() / dashes).item())


@pytest.mark.parametrize("thickness", [1.5, 2.0, 3.3, 4.0])
@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.0, 1.0), (0.6, 0.8), (-0.8, 0.6)])
def test_the_edge_of_a_line_is_a_ramp_one_pixel_wide(thickness, direction):
    """Ink as a function of the exact distance from the line, to two grey levels."""
    across = torch.tensor([-direction[1], direction[0]])
    foot = torch.tensor([13.3, 14.1])
    ends = [(foot + s * torch.tensor(direction)).tolist() for s in (-30, 30)]
    ink = strokes._ink(*line(*ends), torch.tensor([thickness]))[0]
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    distance = ((torch.stack([x, y], dim=-1) - foot) @ across).abs()
    expected = 255 * (0.5 + thickness / 2 - distance).clamp(0, 1)
    assert (ink - expected).abs().max() <= 2


@pytest.mark.parametrize("thickness", [1.5, 2.0, 3.0, 4.0])
def test_a_line_of_known_length_leaves_length_times_thickness_of_ink(thickness):
    """To within the area of its two ends, were they round."""
    middles, lengths = line((5.2, 8.0), (21.2, 20.0))  # 16 right, 12 down: 20 pixels long
    area = strokes._ink(middles, lengths, torch.tensor([thickness])).double().sum() / 255
    assert area == pytest.approx(20 * thickness, abs=math.pi * thickness**2 / 4)


def test_images_are_anti_aliased_and_reach_full_ink(drawn):
    grey = (drawn.pixels > 25) & (drawn.pixels < 230)
    assert 0.25 < grey.sum() / (drawn.pixels > 25).sum() < 0.6
    assert (drawn.pixels.amax((1, 2, 3)) == 255).all()
    assert (drawn.pixels == 0).float().mean() > 0.6


def test_a_lifted_pen_draws_nothing(monkeypatch):
    """Two upright bars: written without lifting the pen, a diagonal through the centre would join them."""
    monkeypatch.setattr(strokes, "_curve", strokes._curve.__wrapped__)  # not the curves of the real digits
    monkeypatch.setattr(strokes, "_noise_count", lambda: 5 + 6)
    middle = []
    for text in ("-20,0 -20,50 -20,100 | 120,0 120,50 120,100", "-20,0 -20,50 -20,100 / 120,0 / 120,50 120,100"):
        monkeypatch.setattr(strokes, "STYLES", ((text,),) * 10)
        middle.append(strokes.draw(200, seed=0).pixels[:, 0, 12:16, 12:16].amax((1, 2)))
    assert (middle[0] == 0).all()
    assert (middle[1] > 150).all()


def test_curves_pass_through_their_points_and_keep_to_their_lengths():
    angles = torch.linspace(0, math.pi / 2, 5)
    quarter = torch.stack([angles.cos(), angles.sin()], dim=1)
    curve = strokes._spline(quarter, 40)
    assert torch.allclose(curve[::40], quarter, atol=1e-6)
    assert curve.diff(dim=0).norm(dim=1).sum() == pytest.approx(math.pi / 2, rel=5e-3)  # of a circle
    # The stick: one box height, in dashes of equal length from end to end.
    control, to_middles, to_steps = strokes._curve(1, 0)
    lengths = (to_steps @ control).norm(dim=1)
    assert lengths.sum() == pytest.approx(1, abs=1e-5)
    assert lengths.max() < 1.2 * lengths.min()
    assert (to_middles @ control)[:, 1].diff().min() > 0


# ---- the digits can be told apart ------------------------------------------------------------------------------------


def test_a_linear_classifier_reads_most_digits(drawn):
    """Ridge regression of one-hot labels on pixels, in closed form; chance is 10%."""
    x = torch.cat([drawn.pixels.flatten(1).double() / 255, torch.ones(6000, 1)], dim=1)
    train, test = x[:4500], x[4500:]
    targets = F.one_hot(drawn.digit[:4500], 10).double()
    weights = torch.linalg.solve(train.T @ train + 10 * torch.eye(785), train.T @ targets)
    accuracy = ((test @ weights).argmax(1) == drawn.digit[4500:]).float().mean()
    assert accuracy > 0.85


@pytest.mark.slow
def test_a_small_conv_net_reads_99_of_100_unseen_digits():
    train, test = strokes.draw(60_000, seed=0), strokes.draw(10_000, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()]
        net = nn.Sequential(*layers, nn.Linear(16 * 49, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=900)
        for batch in torch.randint(60_000, (900, 128)):
            loss = F.cross_entropy(net(train.pixels[batch] / 255), train.digit[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        accuracy = (net(test.pixels / 255).argmax(1) == test.digit).float().mean()
    assert accuracy >= 0.99
