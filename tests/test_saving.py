"""What saving and augmentation do to pictures, each undone or repeated by hand."""

import numpy as np
import pytest
import torch
from drawn import digits
from torch.nn import functional as F

from gantutor.data import faces
from gantutor.doctor.images import augmentation, image_tests, inputs, saving


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_wrapping_is_numpys(x):
    values = (x * 255).numpy()
    torch.testing.assert_close(
        saving.wrapped(x * 255), torch.from_numpy(values.astype(np.int64).astype(np.uint8)) / 127.5 - 1
    )


def test_stretched_images_have_the_full_range_each(x):
    stretched = saving.stretched(x * 0.3 + 0.1)
    assert stretched.amin((1, 2, 3)).eq(-1).all()
    torch.testing.assert_close(stretched.amax((1, 2, 3)), torch.ones(20))
    torch.testing.assert_close(saving.stretched(x), saving.stretched(0.5 * x - 0.2), atol=1e-5, rtol=0)


def test_reshapes_are_undone(x):
    assert torch.equal(saving.channels_first(x.permute(0, 2, 3, 1).reshape(x.shape)), x)
    assert torch.equal(saving.channels_last(x.reshape(20, 8, 8, 3).permute(0, 3, 1, 2)), x)


def test_each_turn_undoes_one_of_the_seven(x):
    images = [y if turned is None else y.rot90(turned, (2, 3)) for y in (x, x.flip(3)) for turned in range(4)]
    undone = [turn.undo(y) for y in images[1:] for turn in augmentation.TURNS]
    assert sum(torch.equal(y, x) for y in undone) == 7


def test_a_turn_of_the_hue_by_a_third_exchanges_the_channels(x):
    torch.testing.assert_close(augmentation.hue_turned(120)(x), x[:, [2, 0, 1]], atol=1e-5, rtol=0)
    grey = x[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(augmentation.hue_turned(60)(grey), grey, atol=1e-5, rtol=0)


def test_the_longest_straight_edge_of_an_even_area():
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    x[0, :, 3:12, 5:9] = -1  # nine pixels high, four wide
    edges = augmentation.longest_edges(x)
    assert edges.length.tolist()[0] == 8  # steps
    assert edges.length.tolist()[1] < 3
    assert augmentation.longest_edges(x.transpose(2, 3)).length[0] == 8


def test_the_largest_right_angle_of_an_even_area():
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    x[0, :, 3:12, 5:9] = -1  # nine pixels high, four wide
    x[1, :, 3:12] = -1  # a band has no corner
    x[2, :, 10:, 9:] = -1  # one corner is inside, six high and seven wide
    for turned in (x, x.flip(2), x.flip(3), x.flip(2, 3), x.transpose(2, 3)):
        assert augmentation.largest_corners(turned).length.tolist()[::2] == [3, 5]
        assert augmentation.largest_corners(turned).length[1] < 2


def test_how_many_in_a_row_are_true():
    mask = torch.tensor([[[1, 1, 0, 1], [0, 1, 0, 1]]]).bool()
    assert augmentation.run_lengths(mask, 2).tolist() == [[[2, 1, 0, 1], [0, 1, 0, 1]]]
    assert augmentation.run_lengths(mask, 1).tolist() == [[[1, 2, 0, 2], [0, 1, 0, 1]]]


def test_blocks_have_their_edges_in_a_grid():
    cut, view = torch.arange(100) < 90, torch.arange(100) % 3
    for place, found in ((torch.arange(100) * 4 + 3, True), (torch.arange(100), False), (20 + view, True)):
        assert augmentation.in_one_grid(augmentation.Outline(place, place, view), cut) == found


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_cut_outs_show_where_real_images_have_long_straight_edges(value):
    """Cartoon faces are drawn with a ruler, and a box reaches over the border as often as not."""
    real, sound = (faces.draw(n, seed, 32).pixels for n, seed in ((600, 0), (300, 1)))
    boxes, hole = sound.clone(), sound.clone()
    white, draw = (value + 1) * 127.5, torch.Generator().manual_seed(0)
    for image, top, left in zip(boxes[::3], *torch.randint(-8, 24, (2, 100), generator=draw).tolist(), strict=True):
        image[:, max(top, 0) : top + 16, max(left, 0) : left + 16] = white
    hole[:, :, 10:21, 9:20] = white  # always in one place: this is no augmentation
    found = []
    for x in (sound, boxes, hole):
        torch.manual_seed(0)
        found.append(augmentation.find_boxes(inputs.prepare(x, real, None, None, None, None)))
    assert [finding is not None for finding in found] == [False, True, False]


def test_all_real_images_of_a_case_are_treated_alike():
    drawn = digits(300, 0, "drawn")
    for train in (drawn, inputs.Images("", drawn.pixels.add(1).mul(127.5).round().byte(), drawn.labels, drawn.classes)):
        torch.manual_seed(0)
        case = inputs.prepare(drawn.pixels[:80], train, None, None, None, None)
        whole = inputs.floats(case.train)
        case.treat_real(torch.neg)
        torch.testing.assert_close(inputs.floats(case.train), -whole, atol=0.01, rtol=0)
        torch.testing.assert_close(case.real, -whole[case.rest], atol=0.01, rtol=0)


def test_samples_that_are_left_out_take_what_is_known_of_them_along():
    drawn = digits(300, 0, "drawn")
    case = inputs.prepare(drawn.pixels[:80], drawn, torch.arange(80), None, None, None)
    case.copies = torch.rand(60), case.labels[:60]  # of the first ones, each of the image that it is
    even = case.labels % 2 == 0
    case.keep(even)
    assert len(case.samples) == 40
    assert torch.equal(case.copies[1], case.labels[: int(even[:60].sum())])
    assert len(case.copies[0]) == len(case.copies[1])
    assert all(torch.equal(image, drawn.pixels[label]) for image, label in zip(case.samples, case.labels, strict=True))


def test_straight_edges_of_other_things_are_no_cut_outs():
    drawn = digits(600, 0, "drawn")
    sound = digits(200, 1, "drawn").pixels
    waves = torch.sin(torch.arange(28.0) / 3)[:, None] * torch.cos(torch.arange(28.0) / 4)  # nothing like digits
    others = waves + 0.3 * torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    found = []
    for x in (sound.clone(), others.clamp(-1, 1)):
        for i in range(0, 200, 3):
            x[i, :, i % 11 : i % 11 + 14, i % 13 : i % 13 + 14] = 0.5
        torch.manual_seed(0)
        found.append(augmentation.find_boxes(inputs.prepare(x, drawn, None, None, None, None)))
    assert found[0].name == "augmentation_leak"
    assert found[1] is None


def test_straight_edges_of_blurred_images_are_no_cut_outs():
    draw = torch.Generator().manual_seed(0)
    x = -0.9 + 0.05 * torch.randn(800, 1, 28, 28, generator=draw)  # rough, so that no area is even
    for image, top, left in zip(x, *torch.randint(2, 10, (2, 800), generator=draw).tolist(), strict=True):
        image[:, top : top + 15, left : left + 15] += 1
    smooth = F.avg_pool2d(x[:200], 3, 1, 1, count_include_pad=False).clamp(-1, 1)
    torch.manual_seed(0)
    case = inputs.prepare(smooth, x[200:].clamp(-1, 1), None, None, None, None)
    longest = [augmentation.longest_edges(y).length.double().mean() for y in (case.samples, case.real)]
    assert longest[0] > 2 * longest[1]
    assert augmentation.find_boxes(case) is None


def test_what_resembles_an_image_whatever_its_contrast():
    x = digits(200, 0, "drawn").pixels
    for changed in (saving.gamma(x, 2.2), 0.3 * x, 0.5 * x + 0.5):
        assert (saving.resembling(changed[:50], x) == x[:50]).flatten(1).all(1).double().mean() > 0.9


def test_a_few_images_again_and_again_are_told_from_many():
    x = digits(400, 0, "drawn").pixels
    base = augmentation.measures.thumbnails(x, 10)
    assert augmentation.few_images(x[:5].repeat(20, 1, 1, 1), base)
    assert not augmentation.few_images(x[:100], base)


def test_some_grey_samples_are_a_leak_and_all_of_them_are_not():
    draw = torch.Generator().manual_seed(0)
    real = torch.rand(400, 3, 16, 16, generator=draw) * 2 - 1
    for grey, found in ((30, True), (100, False)):
        samples = torch.rand(100, 3, 16, 16, generator=draw) * 2 - 1
        samples[:grey] = samples[:grey].mean(1, keepdim=True)
        torch.manual_seed(0)
        case = inputs.prepare(samples, real, None, None, None, None)
        assert (augmentation.find_grey(case) is not None) == found


@pytest.mark.parametrize(("copied", "found"), [(2, False), (5, True)])
def test_one_or_two_copies_among_few_images_may_be_chance(copied, found):
    drawn, others = digits(800, 0, "drawn").pixels, digits(500, 1, "drawn").pixels
    few = torch.cat([others[: 60 - copied], drawn[:copied]]).repeat(2, 1, 1, 1)
    torch.manual_seed(0)
    case = inputs.prepare(few, drawn, None, None, others[100:], None)
    assert (image_tests.find_copies(case) is not None) == found


@pytest.mark.parametrize("kind", ["smeared", "upside down"])
def test_the_range_is_named_however_badly_the_images_are_drawn(kind):
    drawn, x = digits(1200, 0, "drawn"), digits(300, 1, "drawn").pixels
    x = {"smeared": torch.maximum(x.roll(3, 3), x.roll(2, 2)), "upside down": x.flip(2)}[kind]
    for samples, found in ((x / 2 + 0.5, True), (((x / 2 + 1.5) * 127.5).byte(), True), (0.6 * x + 0.4, False)):
        torch.manual_seed(0)
        case = inputs.prepare(samples, drawn, None, None, None, None)
        assert saving.correct_treatment(case) is None
        finding = saving.correct_range(case)
        assert ("in [0, 1]" in finding.detail if finding is not None else False) == found
        if found:
            torch.testing.assert_close(case.samples.mean(), x.mean(), atol=0.02, rtol=0)


def test_images_with_their_white_did_not_wrap_around():
    real, others = digits(400, seed=0).pixels, digits(400, seed=1).pixels
    wrapped = saving.wrapped(128 * (real + 1))  # white became 256, and 256 is 0
    assert (real == 1).double().mean() > 0.01
    assert saving.has_edges_like(saving.wrapped(128 * (others + 1)), wrapped, real)
    assert not saving.has_edges_like(others, wrapped, real)
    assert saving.has_edges_like(0.99 * others, wrapped, real)  # of a G that ends in tanh: nothing is quite white
