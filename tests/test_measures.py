"""What the doctor measures, each against a closed form, another library or a case made by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gantutor.data import strokes
from gantutor.doctor import measures


def draw(n: int, seed: int) -> torch.Tensor:
    return strokes.draw(n, seed).pixels / 127.5 - 1


@pytest.fixture(scope="module")
def real() -> torch.Tensor:
    return draw(1000, 0)


@pytest.fixture(scope="module")
def sound() -> torch.Tensor:
    return draw(300, 1)


def normal(x: torch.Tensor, std: float) -> torch.Tensor:
    return (x + std * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


def blurred(x: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        x = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return x


# --- pixels ----------------------------------------------------------------------------------------------------------


def test_thumbnail_variance_is_the_variance_of_blocks_and_hardly_sees_single_pixels():
    x = torch.tensor([-0.5, 0.5]).view(2, 1, 1, 1).expand(2, 1, 28, 28)
    assert measures.thumbnail_variance(x) == pytest.approx(49 * 0.5)  # each of 49 places: variance 0.5 of -0.5 and 0.5
    noise = torch.randn(2000, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    # The mean of 4×4 pixels has 1/16 of the variance.
    assert measures.thumbnail_variance(noise) == pytest.approx(49 / 16, rel=0.05)


def test_quantiles_of_an_even_ramp():
    ramp = torch.linspace(0, 1, 1001)[torch.randperm(1001)].view(1, 1, 1, -1)
    torch.testing.assert_close(measures.quantiles(ramp, 5), torch.tensor([0, 0.25, 0.5, 0.75, 1]))


def test_each_rescaling_is_undone(real):
    x = real[:100]
    spoiled = {
        "in [0, 1]": (x + 1) / 2, "in [0, 255]": (x + 1) * 127.5, "in [-0.5, 0.5]": x / 2, "in [-1, 0]": (x - 1) / 2,
        "inverted": -x, "inverted, in [0, 1]": (1 - x) / 2, "inverted, in [0, 255]": (1 - x) * 127.5,
        "in [0, 1], stored as bytes": (x + 1) / 2 / 127.5 - 1,
        "standardised": (x - real.mean()) / real.std(),
    }  # fmt: skip
    known = {rescaling.name: rescaling for rescaling in measures.candidate_rescalings(x, real)}
    for name, y in spoiled.items():
        torch.testing.assert_close(known[name].undo(y), x, atol=1e-4, rtol=0)
        assert known[name].share_cut_off(y) == 0
    assert measures.Rescaling("", 2, -1).share_cut_off(x) == pytest.approx((x < -0.05).double().mean().item())
    stretched = measures.candidate_rescalings(x * 0.3 + 0.2, x)[-1]
    torch.testing.assert_close(stretched.undo(x * 0.3 + 0.2), x, atol=0.02, rtol=0)


def test_grey_levels_are_counted():
    ramp = torch.linspace(-1, 1, 28 * 28).view(1, 1, 28, 28)
    assert 180 <= measures.grey_levels(ramp) <= 190
    assert measures.grey_levels(torch.where(ramp > 0, 1.0, -1.0)) == 0
    assert measures.grey_levels((ramp * 2).round() / 2) == 3  # -0.5, 0, 0.5


# --- texture ---------------------------------------------------------------------------------------------------------


def test_texture_difference_grows_with_noise_and_falls_with_blur(real, sound):
    roughness = [measures.texture_difference(normal(sound, std), real) for std in (0, 0.1, 0.3)]
    for measure in ("corner", "residual", "flat"):
        values = [getattr(difference, measure) for difference in roughness]
        assert values[0] < values[1] < values[2]
    smooth = [measures.texture_difference(blurred(sound, times), real) for times in (0, 1, 3)]
    for measure in ("middle", "high", "corner"):
        values = [getattr(difference, measure) for difference in smooth]
        assert values[0] > values[1] > values[2]
    assert all(abs(value) < 0.35 for value in smooth[0])  # sound images


def test_frequency_bands_hold_the_power_of_a_wave():
    t = torch.arange(28.0)
    for cycles, band in ((5, 0), (11, 1)):  # of 14 half periods: 0.36 and 0.79 of the highest frequency
        wave = torch.cos(2 * math.pi * cycles * t / 28).expand(1, 1, 28, 28)
        power = measures.band_power(wave)[0]
        assert power[band] > 1e6 * (power.sum() - power[band])


def test_flat_areas_are_measured_separately():
    x = torch.zeros(1, 1, 28, 28)
    x[..., 18:] = torch.randn(28, 10, generator=torch.Generator().manual_seed(0))
    everywhere, flat = measures.roughness(x)[0].tolist()
    assert everywhere > 0.1
    assert flat == 0
    x[..., :14] += torch.tensor([0.1, -0.1]).repeat(7)  # stripes, whose median is one of the two values
    assert measures.roughness(x)[0, 1] > 0.05


def test_median_is_numpys(sound):
    x = sound[:2]
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    np.testing.assert_array_equal(measures.median_filter(x).numpy(), np.median(windows, axis=(4, 5)))


@pytest.mark.parametrize(("rows", "columns", "direction"), [(1, 1, "both ways"), (0, 1, "across"), (1, 0, "down")])
def test_a_pattern_is_found_with_its_period_and_direction(real, sound, rows, columns, direction):
    i = torch.arange(28)
    pattern = 1.0 - 2.0 * ((rows * i[:, None] + columns * i) % 2)
    found = measures.periodic_pattern(sound + 0.1 * pattern, real)
    assert (found.period, found.direction) == (2, direction)
    assert found.excess > 1
    assert measures.periodic_pattern(sound, real).excess < 0.4


def test_pictures_made_of_blocks_have_a_gap_where_others_need_a_peak():
    """Pixel art: its power at a period of two pixels is 0, so that anything at all would stand out beside it."""
    generator = torch.Generator().manual_seed(0)
    blocks = (torch.rand(300, 1, 14, 14, generator=generator) * 2 - 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    real, other = blocks[:150], blocks[150:]
    nearly = other + 0.02 * torch.randn(other.shape, generator=generator)
    assert measures.periodic_pattern(nearly, real).excess < 0.4
    checks = 1.0 - 2.0 * ((torch.arange(28)[:, None] + torch.arange(28)) % 2)
    assert measures.periodic_pattern(nearly + 0.05 * checks, real).excess > 1


def test_a_peak_stands_out_by_the_power_put_there():
    power = torch.ones(28, 28)
    assert measures.peak_height(power, 14, 14) == pytest.approx(0, abs=1e-6)
    power[14, 14] = 1000
    assert measures.peak_height(power, 14, 14) == pytest.approx(3, abs=1e-5)


@pytest.mark.parametrize(("rows", "columns", "period", "share"), [(1, 1, 2, 1), (0, 1, 2, 1), (1, 0, 4, 0.5)])
def test_the_strength_of_a_pattern_is_its_root_mean_square(rows, columns, period, share):
    i, j = torch.meshgrid(torch.arange(32.0), torch.arange(24.0), indexing="ij")
    power = measures.power_spectrum(0.3 * torch.cos(2 * math.pi * (rows * i + columns * j) / period)[None, None])
    found = measures.pattern_strength(power, rows * 32 // period, columns * 24 // period)
    assert found == pytest.approx(0.3 * math.sqrt(share), rel=1e-4)


def test_a_pattern_that_nobody_sees_is_none(sound):
    smooth = blurred(sound, 4)
    checks = 1.0 - 2.0 * ((torch.arange(28)[:, None] + torch.arange(28)) % 2)
    faint = measures.periodic_pattern(smooth + 0.004 * checks, smooth)
    assert faint.excess > 1
    assert faint.strength == pytest.approx(0.004, rel=0.1)
    assert measures.periodic_pattern(smooth + 0.004 * checks, smooth, least=0.01).excess < 0
    assert measures.periodic_pattern(smooth + 0.02 * checks, smooth, least=0.01).excess > 1


def test_blocks_of_four_pixels_and_no_single_seam(real, sound):
    small = torch.nn.functional.avg_pool2d(sound, 4)
    found = measures.block_pattern(torch.nn.functional.interpolate(small, scale_factor=4), real)
    assert found.period in (4, 8)
    assert found.excess > 1
    seam = torch.cat([sound[..., :14], sound.roll(1, 0)[..., 14:]], 3)
    assert max(measures.block_pattern(x, real).excess for x in (sound, seam, blurred(sound, 1))) < 0.25


def test_dead_pixels_are_counted_and_shapes_are_not(real, sound):
    x = sound.clone()
    for place in ((12, 12), (14, 15), (16, 13)):
        x[:, 0, place[0], place[1]] = -1
    assert measures.dead_pixel_share(x, real) == pytest.approx(3 / 784)
    hole = sound.clone()
    hole[..., 10:16, 10:16] = -1
    assert measures.dead_pixel_share(hole, real) == measures.dead_pixel_share(sound, real) == 0


# --- copies and repetitions ------------------------------------------------------------------------------------------


def test_ratio_to_the_second_nearest_by_hand():
    base = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 8.0]])
    ratio, index = measures.lowe_ratio(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 7.0]]), base)
    torch.testing.assert_close(ratio, torch.tensor([1 / 2, 0, 1 / 7], dtype=torch.float64))
    assert index.tolist() == [0, 0, 2]
    twice = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    assert measures.lowe_ratio(twice[:1], twice)[0].tolist() == [0]  # the training set holds it twice


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x.roll((2, -1), (2, 3)),
        lambda x: (x + 1) * 0.7 - 1,
        lambda x: x.flip(3),
        lambda x: normal(x, 0.1),
    ],
    ids=["as it is", "shifted", "darker", "mirrored", "noisy"],
)
def test_copies_are_recognised_in_any_pose(real, sound, change):
    search = measures.CopySearch(real)
    ratio, index = search.nearest(change(real[:100]))
    assert (ratio < 0.4).double().mean() > 0.9
    assert (index == torch.arange(100)).double().mean() > 0.9
    assert (search.nearest(change(sound))[0] < 0.4).double().mean() < 0.02


def test_what_has_one_target_counts_once():
    hit, target = torch.tensor([True, True, True, False, True]), torch.tensor([7, 7, 7, 3, 5])
    share, targets = measures.share_by_target(hit, target)
    assert (share, targets) == (pytest.approx(2 / 3), 3)


def test_repetition_ratio_is_zero_for_repeats_and_one_for_sound_images(real, sound):
    few = sound[:30].repeat(10, 1, 1, 1)
    assert measures.repetition_ratio(few, real).max() == 0
    assert measures.repetition_ratio(sound, real).median().item() == pytest.approx(1, abs=0.1)


def test_outlier_ratio_by_hand():
    """On a line: real images at 0, 1 and 10, each image one grey value."""
    real = torch.tensor([0.0, 1.0, 10.0]).view(3, 1, 1, 1).expand(3, 1, 14, 14)
    x = torch.tensor([0.5, 12.0, -3.0]).view(3, 1, 1, 1).expand(3, 1, 14, 14)
    torch.testing.assert_close(measures.outlier_ratio(x, real), torch.tensor([0.5, 2 / 9, 3.0], dtype=torch.float64))


def test_outlier_ratio_is_one_for_the_same_kind_and_more_for_another(real, sound):
    assert measures.outlier_ratio(sound, real).median().item() == pytest.approx(1, abs=0.08)
    overlaid = torch.maximum(sound, sound.roll(1, 0))
    assert measures.outlier_ratio(overlaid, real).median().item() > 1.2


# --- features --------------------------------------------------------------------------------------------------------


def test_random_features_keep_their_seed_and_the_stream(real):
    state = torch.get_rng_state()
    one, two = measures.RandomFeatures(real), measures.RandomFeatures(real)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one(real[:9]), two(real[:9]))
    assert one(real[:9]).shape == (9, 64)
    torch.testing.assert_close(one(real).mean(0), torch.zeros(64), atol=1e-3, rtol=0)


def confused(n: int, shares: list[float], seed: int) -> torch.Tensor:
    """Exact log posteriors, under equal priors, of points from three overlapping Gaussians with these shares."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(shares), n, replacement=True, generator=g)
    means = torch.tensor([0.0, 1.5, 3.0])
    x = means[labels] + torch.randn(n, generator=g)
    return -(x[:, None] - means).square() / 2


def test_shares_undo_the_confusions_of_the_classifier():
    logits, prior, true = confused(20_000, [0.7, 0.3, 0.0], 0), torch.full((3,), 1 / 3), torch.tensor([0.7, 0.3, 0])
    counted = torch.bincount(logits.argmax(1), minlength=3) / len(logits)
    found = measures.class_shares(logits, prior)
    assert (counted - true).abs().max() > 0.03
    torch.testing.assert_close(found.float(), true, atol=0.02, rtol=0)


def test_errors_of_the_shares_are_those_of_many_trials():
    prior, true = torch.full((3,), 1 / 3), [0.5, 0.3, 0.2]
    trials = torch.stack([measures.class_shares(confused(400, true, seed), prior) for seed in range(150)])
    logits = confused(400, true, 999)
    stated = measures.class_share_errors(logits, prior, measures.class_shares(logits, prior))
    torch.testing.assert_close(stated, trials.std(0), rtol=0.3, atol=0)
    sure = torch.eye(3)[torch.arange(300) % 3] * 50  # no confusion: the binomial error remains
    thirds = measures.class_share_errors(sure, prior, torch.full((3,), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(thirds, torch.full((3,), math.sqrt(2 / 9 / 300), dtype=torch.float64))


# --- nets and curves -------------------------------------------------------------------------------------------------


def test_roc_auc_is_scikit_learns_area_under_the_curve():
    g = torch.Generator().manual_seed(0)
    for shift in (0.0, 0.5, 3.0):
        high = (torch.randn(300, generator=g) + shift).round(decimals=1)  # with ties
        low = torch.randn(200, generator=g).round(decimals=1)
        truth = roc_auc_score([1] * 300 + [0] * 200, torch.cat([high, low]).numpy())
        assert measures.roc_auc(high, low) == pytest.approx(truth, abs=1e-12)
    assert measures.roc_auc(torch.zeros(5), torch.zeros(9)) == 0.5


def test_mismatched_halves_put_two_images_together(sound):
    y = measures.mismatched_halves(sound)
    assert torch.equal(y[1, :, :, :14], sound[1, :, :, :14])
    assert torch.equal(y[1, :, :, 14:], sound[0, :, :, 14:])


def test_outer_quarter_medians_are_medians_of_the_outer_quarters():
    assert measures.outer_quarter_medians(torch.tensor([1.0, 3, 2, 9, 9, 9, 9, 9, 9, 4, 50, 6])) == (2, 6)


def test_quantiles_of_more_numbers_than_a_float32_can_count():
    x = torch.zeros(2**24 + 2)
    x[-1] = 1
    assert measures.quantiles(x)[-1] == 1


def test_copies_are_found_though_the_base_holds_images_twice():
    base = torch.rand(100, 50, generator=torch.Generator().manual_seed(0))
    queries = base[:10] + 0.01
    once, nearest = measures.lowe_ratio(queries, base)
    twice, _ = measures.lowe_ratio(queries, torch.cat([base, base]))
    assert (once < 0.1).all()
    assert nearest.tolist() == list(range(10))
    torch.testing.assert_close(twice, once)
