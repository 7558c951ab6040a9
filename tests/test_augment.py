"""Augmentations against hand-made images and matrices, and in a run."""

import math
from functools import reduce

import pytest
import torch
from torch.nn import functional as F

from gantutor import losses, models, penalties
from gantutor.data import faces
from gantutor.errors import BadInput
from gantutor.runs import checkpoint, nan_guard
from gantutor.scale import distributed
from gantutor.state import seeded
from gantutor.train import Recipe, Run, augment


@pytest.fixture(scope="module")
def pictures():
    return faces.draw(200, seed=0, size=32).pixels / 127.5 - 1


def pair(seed=0):
    return models.dcgan((3, 32, 32), g_width=4, d_width=4, hidden=16, seed=seed)


# --- DiffAugment -----------------------------------------------------------------------------------------------------


def test_translation_moves_by_whole_pixels_and_lets_grey_in():
    x = torch.rand(300, 1, 16, 16) + 1
    with seeded(0):
        moved = augment.translation(x)
    shifts = set()
    for before, after in zip(x[:, 0], moved[:, 0], strict=True):
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(F.pad(before, (2, 2, 2, 2))[2 - dy : 18 - dy, 2 - dx : 18 - dx], after)
        ]
        assert len(fits) == 1
        shifts.update(fits)
    assert len(shifts) == 25


def test_cutout_hides_a_square_of_half_the_side():
    x = torch.ones(500, 3, 16, 16)
    with seeded(0):
        kept = augment.cutout(x)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    hidden = 1 - kept
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    rows, columns = hidden[:, 0].amax(2).sum(1), hidden[:, 0].amax(1).sum(1)
    assert torch.equal(hidden[:, 0].sum((1, 2)), rows * columns)  # a rectangle
    assert rows.max() == 8
    assert rows.min() == 4  # half of it reaches out
    share = (9 * 8 + 2 * (4 + 5 + 6 + 7)) / 17 / 16  # of a side, over the 17 places of the middle
    assert hidden.mean() == pytest.approx(share**2, rel=0.1)


@pytest.mark.parametrize(("n", "side"), [(10, 5), (30, 15), (33, 17), (28, 14)])
def test_the_square_is_half_the_side_also_where_that_is_odd(n, side):
    with seeded(0):
        hidden = 1 - augment.cutout(torch.ones(400, 1, n, n))[:, 0]
    assert hidden.amax(2).sum(1).max() == side
    assert hidden.amax(2).sum(1).min() == side - side // 2  # the rest reaches out
    first = hidden.amax(2).argmax(1)[hidden.amax(2).sum(1) == side]  # of those that lie inside
    assert set(first.tolist()) == set(range(n - side + 1))


def test_colours_change_by_the_amounts_of_the_paper(pictures):
    with seeded(0):
        changed = augment.color(pictures)
    middle = changed.mean((1, 2, 3)) - pictures.mean((1, 2, 3))
    assert middle.abs().max() <= 0.5
    assert middle.std() == pytest.approx(1 / math.sqrt(12), rel=0.1)
    grey = pictures.mean(1, keepdim=True), changed.mean(1, keepdim=True)
    deviation = [(x - x.mean((1, 2, 3), keepdim=True)).square().mean((1, 2, 3)).sqrt() for x in grey]
    contrast = deviation[1] / deviation[0]
    assert contrast.min() >= 0.499
    assert contrast.max() <= 1.501
    assert contrast.std() == pytest.approx(1 / math.sqrt(12), rel=0.1)
    chroma = [(x - g).square().mean((1, 2, 3)).sqrt() for x, g in zip((pictures, changed), grey, strict=True)]
    saturation = chroma[1] / chroma[0] / contrast
    assert saturation.max() <= 2.001
    assert saturation.std() == pytest.approx(2 / math.sqrt(12), rel=0.1)
    assert saturation.mean() == pytest.approx(1, abs=0.15)


# --- ADA -------------------------------------------------------------------------------------------------------------


def test_at_probability_zero_nothing_changes_and_at_one_everything(pictures):
    change = augment.ADA()
    torch.testing.assert_close(change(pictures), pictures, rtol=0, atol=1e-5)
    change.p.fill_(1.0)
    with seeded(0):
        changed = change(pictures)
    assert (changed - pictures).flatten(1).abs().amax(1).min() > 0.05


def test_the_share_of_changed_pictures_is_that_of_the_probabilities():
    """No flip, turn, shift, scale, turn, stretch, turn, shift, nor colour: with its chance to be the unit besides."""
    pictures = faces.draw(64, seed=0, size=32).pixels / 127.5 - 1
    change = augment.ADA()
    change.p.fill_(0.1)
    with seeded(0):
        same = torch.cat([(change(pictures) - pictures).abs().amax((1, 2, 3)) < 1e-4 for _ in range(60)])
    kept = 1 - 0.1
    geometry = (1 - 0.1 / 2) * (1 - 0.1 * 3 / 4) * kept * kept * kept * kept * kept  # the two turns make one
    colour = kept * kept * (1 - 0.1 / 2) * kept * kept
    assert same.double().mean() == pytest.approx(geometry * colour, abs=0.025)


@pytest.fixture
def drawn(monkeypatch):
    """What each of ADA's changes is made of, by the order in which they are asked for."""
    seen = []

    def with_probability(x, p, change, otherwise=None):
        seen.append((change, p))
        return change

    monkeypatch.setattr(augment, "with_probability", with_probability)
    return seen


def test_the_moves_have_the_sizes_of_the_paper(drawn):
    x, p = torch.zeros(20_000, 1, 16, 16), torch.tensor(0.36)
    with seeded(0):
        augment.geometric_transform(x, p)
    flip, quarter, whole, scale, first, stretch, second, fraction = (change for change, _ in drawn)
    assert [round(float(q), 4) for _, q in drawn] == [0.36] * 4 + [0.2, 0.36, 0.2, 0.36]  # 1 − √(1 − p)
    assert set(flip[:, 0, 0].tolist()) == {-1.0, 1.0}
    assert (flip[:, 1, 1] == 1).all()
    assert flip[:, 0, 0].mean().abs() < 0.05
    turns = torch.atan2(quarter[:, 1, 0], quarter[:, 0, 0]) / (math.pi / 2)
    assert torch.bincount((turns.round().long() % 4), minlength=4).min() > 4700
    pixels = whole[:, :2, 2] * 8  # the image spans 2
    assert torch.equal(pixels, pixels.round())
    assert pixels.abs().max() == 2
    assert scale[:, 0, 0].log2().std() == pytest.approx(0.2, rel=0.05)
    assert torch.equal(scale[:, 0, 0], scale[:, 1, 1])
    for turn in (first, second):
        angle = torch.atan2(turn[:, 1, 0], turn[:, 0, 0])
        assert angle.std() == pytest.approx(2 * math.pi / math.sqrt(12), rel=0.05)
    assert stretch[:, 0, 0].log2().std() == pytest.approx(0.2, rel=0.05)
    torch.testing.assert_close(stretch[:, 0, 0] * stretch[:, 1, 1], torch.ones(20_000))
    assert fraction[:, :2, 2].std() == pytest.approx(0.25, rel=0.05)  # an eighth of the side


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_changed_by_the_matrices_of_the_paper(drawn, channels):
    """In homogeneous coordinates, one after the other: brightness, contrast, luma flip, hue, saturation."""
    x = torch.rand(5000, channels, 2, 2, dtype=torch.float64) * 2 - 1
    with seeded(0):
        changed = augment.color_transform(x, torch.tensor(1.0))
    brightness, contrast, flip = (change for change, _ in drawn[:3])
    assert brightness.std() == pytest.approx(0.2, rel=0.05)
    assert contrast.log2().std() == pytest.approx(0.5, rel=0.05)
    assert flip.mean() == pytest.approx(0.5, abs=0.03)
    v = torch.full((3,), 3**-0.5, dtype=torch.float64)
    unit, grey = torch.eye(3, dtype=torch.float64), torch.outer(v, v)
    steps = x.expand(-1, 3, -1, -1) + brightness.view(-1, 1, 1, 1)
    steps = (contrast.view(-1, 1, 1, 1) * steps).flatten(2)
    steps = (unit - 2 * grey * flip[:, None, None]) @ steps
    if channels == 3:
        hue, saturation = (change for change, _ in drawn[3:])
        assert saturation.log2().std() == pytest.approx(1, rel=0.05)
        torch.testing.assert_close(hue @ hue.mT, unit.expand(5000, 3, 3))
        steps = (grey + saturation[:, None, None] * (unit - grey)) @ hue @ steps
    torch.testing.assert_close(changed, steps.view(5000, 3, 2, 2)[:, :channels])


def test_in_16_bits_the_changes_are_computed_in_32():
    pictures = faces.draw(20, seed=0).pixels / 127.5 - 1
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(augment.ADA()(pictures), pictures, rtol=0, atol=1e-5)


def test_moves_are_those_of_their_matrices():
    """A dot goes where the inverse of the matrix sends it."""
    n = 33
    x = torch.zeros(1, 1, n, n)
    x[0, 0, 10, 22] = 1.0
    at = torch.tensor([(22 + 0.5) * 2 / n - 1, (10 + 0.5) * 2 / n - 1, 1.0])  # right, down
    for matrix in (
        augment.rotation(torch.tensor([math.pi / 2])),
        augment.scaling(torch.tensor([-1.0]), torch.tensor([1.0])),
        augment.shift(torch.tensor([[4 * 2 / n, -3 * 2 / n]])),
        augment.rotation(torch.tensor([0.7])),
    ):
        places = F.affine_grid(matrix[:, :2], [1, 1, n, n], align_corners=False)
        moved = F.grid_sample(x, places, align_corners=False)[0, 0]
        row, column = (moved == moved.max()).nonzero()[0].tolist()
        found = torch.tensor([(column + 0.5) * 2 / n - 1, (row + 0.5) * 2 / n - 1])
        expected = (matrix[0].inverse() @ at)[:2]
        assert (found - expected).abs().max() < 1.1 * 2 / n


def test_a_picture_is_moved_by_all_steps_in_their_order_and_reflected_at_its_edges(monkeypatch):
    """Where a pixel comes from is worked out by hand, and the four around that place are mixed."""
    n, steps = 12, []

    def with_probability(x, p, change, otherwise=None):
        steps.append(change)
        return change

    monkeypatch.setattr(augment, "with_probability", with_probability)
    x = torch.rand(6, 2, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with seeded(3):
        moved = augment.geometric_transform(x, torch.tensor(1.0))
    matrices = torch.stack([reduce(torch.matmul, (step[i] for step in steps)) for i in range(len(x))])
    middle = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
    down, right = torch.meshgrid(middle, middle, indexing="ij")
    places = torch.stack([right, down, torch.ones_like(right)], 2)  # (n, n, 3)
    for image, matrix, found in zip(x, matrices, moved, strict=True):
        source = (places @ matrix.T)[..., :2]  # from −1 to 1
        place = ((source + 1) * n / 2) % (2 * n)
        place = torch.where(place > n, 2 * n - place, place) - 0.5  # reflected, in pixels
        place = place.clamp(0, n - 1)
        low = place.floor().long().clamp(max=n - 2)
        share = place - low
        (a, b), (s, t) = low.unbind(2), share.unbind(2)
        mixed = sum(
            weight * image[:, b + j, a + i]
            for i, j, weight in ((0, 0, (1 - s) * (1 - t)), (1, 0, s * (1 - t)), (0, 1, (1 - s) * t), (1, 1, s * t))
        )
        torch.testing.assert_close(found, mixed, rtol=0, atol=1e-9)


def test_hues_turn_about_the_axis_of_grey():
    turn = augment.rotation_about_grey(torch.tensor([2 * math.pi / 3, 0.0]))
    cycled = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # a third of a turn takes red to green
    torch.testing.assert_close(turn[0], cycled, rtol=0, atol=1e-6)
    torch.testing.assert_close(turn[1], torch.eye(3), rtol=0, atol=1e-6)


def test_grey_pictures_keep_their_channel(pictures):
    change = augment.ADA()
    change.p.fill_(0.8)
    assert change(pictures[:, :1]).shape == (200, 1, 32, 32)
    assert change(pictures[:, :1]).isfinite().all()


def test_mirror_images_do_not_leak():
    """Two pictures that mirror each other, one three times as frequent. What D sees is the matrix
    [[1 − p/2, p/2], [p/2, 1 − p/2]] times their frequencies: up to p < 1 only the true ones give it.
    """
    one = torch.zeros(1, 1, 4, 4)
    one[..., 0] = 1.0
    x = torch.cat([one.expand(30_000, 1, 4, 4), one.flip(3).expand(10_000, 1, 4, 4)])
    p = torch.tensor(0.8)
    with seeded(1):
        mirrored = augment.with_probability(
            x, p, augment.scaling(1 - 2 * augment.random_integers(x, 2), x.new_ones(len(x)))
        )
    seen = F.grid_sample(x, F.affine_grid(mirrored[:, :2], list(x.shape), align_corners=False), align_corners=False)
    frequent = torch.tensor([(seen[:, 0, 0, 0] > 0.5).double().mean(), (seen[:, 0, 0, 3] > 0.5).double().mean()])
    leak = torch.tensor([[1 - 0.4, 0.4], [0.4, 1 - 0.4]], dtype=torch.float64)
    assert frequent[0] == pytest.approx(0.6 * 0.75 + 0.4 * 0.25, abs=0.01)
    assert torch.linalg.solve(leak, frequent)[0] == pytest.approx(0.75, abs=0.05)


def test_the_probability_follows_the_sign_of_the_logits():
    change = augment.ADA(target=0.6, images=1000)
    sure, unsure = torch.tensor([1.0] * 9 + [-1.0]), torch.tensor([1.0] * 7 + [-1.0] * 3)  # means 0.8 and 0.4
    for _ in range(5):
        change.adapt(sure, 10)
    assert change.p.item() == pytest.approx(0.05)
    for _ in range(2):
        change.adapt(unsure, 10)
    assert change.p.item() == pytest.approx(0.03)
    for _ in range(10):
        change.adapt(unsure, 10)
    assert change.p.item() == 0
    for _ in range(200):
        change.adapt(sure, 10)
    assert change.p.item() == pytest.approx(change.p_max)


# --- in a run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [augment.DiffAugment, lambda: started(0.5)])
def test_gradients_pass_through_to_g_and_both_penalties_work(pictures, make):
    for penalty in (penalties.r1, penalties.wgan_gp, None):
        G, D = pair()
        before = [p.clone() for p in G.parameters()]
        run = Run(G, D, pictures, Recipe(batch_size=8, penalty=penalty, penalty_every=1), augment=make())
        (step,) = run.steps(1)
        assert step.d_loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in run.G.parameters())
        assert any(not torch.equal(old, new) for old, new in zip(before, run.G.parameters(), strict=True))


def started(p: float) -> augment.ADA:
    change = augment.ADA()
    change.p.fill_(p)
    return change


def test_d_sees_changed_pictures_only(pictures):
    class Marked(augment.Augment):
        name = "marked"

        def __call__(self, x):
            return 0 * x + 0.25

    seen = []

    class Watching(models.DCGANDiscriminator):
        def forward(self, x, y=None):
            seen.append(x.detach())
            return super().forward(x, y)

    G, _ = pair()
    D = Watching(4, (3, 32, 32), hidden=16)
    run = Run(G, D, pictures, Recipe(batch_size=8, penalty=penalties.r1_r2, penalty_every=1), augment=Marked())
    seen.clear()  # of the trial before the first step
    for _ in run.steps(1):
        pass
    assert len(seen) == 5  # real, fake, both again for the penalty, and G's
    assert all((x == 0.25).all() for x in seen)


def test_a_run_is_the_same_again_and_goes_on_after_it_was_saved(pictures, tmp_path):
    def run_of(steps):
        run = Run(*pair(), pictures, Recipe(batch_size=8), seed=1, augment=augment.ADA(images=200))
        return run, [step.d_loss.item() for step in run.steps(steps)]

    whole, losses_ = run_of(6)
    assert run_of(6)[1] == losses_
    assert 0 <= whole.augment.p <= 6 * 8 / 200
    part = Run(*pair(), pictures, Recipe(batch_size=8), seed=1, augment=augment.ADA(images=200))
    steps = part.steps(6)
    for _ in range(3):
        next(steps)
    checkpoint.save(part, tmp_path)
    again = checkpoint.load(tmp_path, pictures)
    assert isinstance(again.augment, augment.ADA)
    assert again.augment.images == 200
    assert again.augment.p == part.augment.p
    assert [step.d_loss.item() for step in again.steps()] == losses_[3:]
    with pytest.raises(BadInput, match="augmented by 'ada', not by 'diff'"):
        checkpoint.load(tmp_path, pictures, augment=augment.DiffAugment())


@pytest.mark.parametrize("parts", [1, 2])
def test_an_augmentation_learns_from_the_logits_of_every_step(pictures, parts):
    class Listening(augment.DiffAugment):
        def __init__(self):
            self.heard, self.changed = [], 0

        def __call__(self, x):
            self.changed += len(x)
            return super().__call__(x)

        def adapt(self, real_logits, images):
            self.heard.append(real_logits)
            assert images == 8

    run = Run(*pair(), pictures, Recipe(batch_size=8, penalty=None), augment=Listening(), accumulate=parts)
    steps = list(run.steps(3))
    assert all(torch.equal(step.real_logits, heard) for step, heard in zip(steps, run.augment.heard, strict=True))
    assert run.augment.changed == 3 * 3 * 8  # real, fake, and the fakes again for G


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"augment": "ada"}, "augment is 'ada': give None, or an augmentation"),
        ({"augment": augment.ADA(), "recipe": Recipe(loss=losses.WASSERSTEIN)}, "with the wasserstein loss"),
        ({"augment": augment.ADA(), "recipe": Recipe(loss=losses.RELATIVISTIC)}, "with the relativistic loss"),
        ({"augment": augment.ADA(), "recipe": Recipe(loss=losses.LEAST_SQUARES)}, "with the least-squares loss"),
        ({"augment": augment.DiffAugment(), "recipe": Recipe(unroll=2)}, "unroll is 2"),
    ],
)
def test_what_does_not_go_together_is_told(pictures, given, said):
    with pytest.raises(BadInput, match=said):
        Run(*pair(), pictures, **given)


def test_only_square_images_can_be_augmented():
    G, D = models.mlp((3, 8, 16))
    with pytest.raises(BadInput, match="the images are 8×16: only square ones"):
        Run(G, D, torch.zeros(80, 3, 8, 16), augment=augment.DiffAugment())


def test_several_ranks_do_not_augment(pictures):
    run = Run(*pair(), pictures, Recipe(batch_size=8), augment=augment.DiffAugment())
    distributed.check_share(run, distributed.Ranks())
    with pytest.raises(BadInput, match="images cannot be augmented on several ranks"):
        distributed.check_share(run, distributed.Ranks(rank=0, size=2))


def test_a_copy_of_a_run_holds_the_probability(pictures):
    run = Run(*pair(), pictures, Recipe(batch_size=8), augment=started(0.3))
    copy = nan_guard.Copy(run)
    for _ in run.steps(3):
        pass
    run.augment.p.fill_(0.5)
    copy.restore()
    assert run.augment.p.item() == pytest.approx(0.3)


def test_points_cannot_be_augmented():
    with pytest.raises(BadInput, match=r"the shape \(2,\): only images"):
        Run(*models.plane(), torch.randn(500, 2), augment=augment.DiffAugment())


@pytest.mark.parametrize("bad", [{"target": 1.0}, {"target": -1}, {"images": 0}])
def test_settings_that_will_not_do(bad):
    with pytest.raises(BadInput, match=f"{next(iter(bad))} is"):
        augment.ADA(**bad)
    with pytest.raises(BadInput, match="unknown augmentation 'dif': did you mean 'diff'?"):
        augment.made("dif")
