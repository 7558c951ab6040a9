"""`show`: pictures are checked by their pixels and by what the figures hold."""

import io
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gantutor import show, theory
from gantutor.doctor import Diagnosis, Evidence, Finding
from gantutor.errors import BadInput
from gantutor.show import pictures, reports, style


def test_grid_puts_every_pixel_where_it_belongs():
    images = torch.linspace(-1, 1, 3 * 2 * 4).reshape(3, 1, 2, 4)  # 3 images, 2 high, 4 wide
    picture = show.grid(images, columns=2, scale=3, gap=1)
    assert (picture.mode, picture.size) == ("L", (2 * (4 * 3 + 1) + 1, 2 * (2 * 3 + 1) + 1))
    sheet = np.asarray(picture)
    for n, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
        for y in range(2):
            for x in range(4):
                got = sheet[1 + row * 7 + 3 * y + 1, 1 + column * 13 + 3 * x + 1]
                assert got == round((images[n, 0, y, x].item() + 1) / 2 * 255)
    assert (sheet[8:14, 14:26] == 255).all()  # the place without an image is white


def test_grid_keeps_colours_and_ends_of_the_range():
    red = torch.tensor([1.0, -1.0, -1.0]).reshape(1, 3, 1, 1).expand(1, 3, 5, 5)
    picture = show.grid(red, scale=1, gap=0)
    assert picture.mode == "RGB"
    assert (np.asarray(picture) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (torch.zeros(4, 28, 28), "(4, 28, 28)"),
        (torch.zeros(4, 2, 8, 8), "(4, 2, 8, 8)"),
        (torch.zeros(0, 1, 8, 8), "(0, 1, 8, 8)"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.full((4, 1, 8, 8), 1.5), "1.5"),
        (torch.full((4, 1, 8, 8), math.nan), "nan"),
        ("a picture", "str"),
    ],
)
def test_grid_names_what_is_wrong(bad, word):
    with pytest.raises(BadInput, match="give") as error:
        show.grid(bad)
    assert word in str(error.value)


@pytest.mark.parametrize("setting", [{"columns": -1}, {"scale": 0}, {"scale": 1.5}, {"gap": -2}])
def test_grid_refuses_sizes_that_mean_nothing(setting):
    with pytest.raises(BadInput, match=next(iter(setting))):
        show.grid(torch.zeros(4, 1, 8, 8), **setting)


def test_grid_frames_and_marks_images():
    x = torch.full((3, 1, 20, 20), -1.0)
    plain = np.asarray(show.grid(x, columns=2, scale=2, gap=8))
    picture = show.grid(x, columns=2, scale=2, gap=8, frames=[show.REAL, show.FAKE, show.REAL], marks=["", "×", ""])
    pixels = np.asarray(picture).astype(int)
    assert pixels.shape == (*plain.shape, 3)
    blue, orange = ((pixels == colour).all(2) for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)))
    assert [int(part.sum()) for part in (blue, orange)] == [2 * 4 * 4 * 44, 4 * 4 * 44]  # each 4 wide, around 40×40
    assert (plain[blue | orange] >= 200).all()  # on the lines, and not on the images
    white = (pixels[8:48] > 250).all(2)
    assert not white[:, :48].any()
    assert np.argwhere(white[:, 56:96]).mean(0)[1] > 25  # in the right part of the second one
    for wrong in ({"frames": [show.REAL]}, {"marks": [""] * 4}):
        with pytest.raises(BadInput, match="there are 3 images and [14]"):
            show.grid(x, **wrong)


def test_a_figure_is_a_png_of_its_own_size_without_pyplot():
    figure = show.curves([0, 1, 2], {"a": [1, 2, 3]})
    image = Image.open(io.BytesIO(show.png(figure)))
    assert (image.format, image.size) == ("PNG", (800, 300))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_losses_draws_both_curves_and_the_levels_of_a_guessing_discriminator():
    history = [(i, 1.0 + i / 1000, 3.0) for i in range(1, 401)]
    (axes,) = show.losses(history).axes
    lines = {line.get_label(): line for line in axes.lines}
    drawn = lines["D loss"].get_ydata()
    np.testing.assert_allclose(drawn[5:-5], [d for _, d, _ in history[5:-5]])  # the mean of a straight line is itself
    assert drawn[0] == pytest.approx(1 + (1 + 2 + 3 + 4 + 5 + 6) / 6 / 1000)  # of 400 entries, of 11 each
    np.testing.assert_allclose(lines["G loss"].get_ydata(), 3.0)
    flat = [line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 2]
    np.testing.assert_allclose(sorted(flat), [math.log(2), math.log(4)])
    assert len(show.losses(history[:50], guides=False).axes[0].lines) == 2


def test_the_title_of_losses_is_its_alternative_text():
    assert show.losses([(1, 1.0, 1.0)], title="They fall")._repr_mimebundle_()[1]["image/png"]["alt"] == "They fall"


def test_losses_of_nothing_is_refused():
    with pytest.raises(BadInput, match="at least one"):
        show.losses([])


def test_losses_survives_a_run_that_blew_up():
    show.png(show.losses([(1, 1.0, 1.0), (2, math.inf, math.nan), (3, 2.0, 0.5)]))


def test_curves_holds_what_it_was_given():
    x = torch.linspace(0, 1, 5)
    (axes,) = show.curves(x, {"a": x**2, "b": 2 * x}, log=True, ylim=(0.1, 3)).axes
    np.testing.assert_allclose(axes.lines[1].get_ydata(), 2 * x)
    assert (axes.get_yscale(), axes.get_ylim()) == ("log", (0.1, 3))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    (alone,) = show.curves(x, {"a": x}).axes
    assert alone.get_legend() is None
    assert alone.get_ylabel() == "a"
    with pytest.raises(BadInput, match="'a' has shape"):
        show.curves(x, {"a": [1, 2]})
    with pytest.raises(BadInput, match="numbers"):
        show.curves(x, {"a": ["one"] * 5})


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (5, 60, ["5", "10", "20", "50"]),
        (0.5, 2000, ["1", "10", "100", "1,000"]),
        (0.002, 0.03, ["0.002", "0.01"]),
        (1e-9, 2, ["10⁻⁶", "0.01", "1"]),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(low, high, ticks):
    picture = show.curves([0, 1], {"a": [low, high]}, log=True, ylim=(low, high))
    picture.canvas.draw()
    (axes,) = picture.axes
    told = [text.get_text() for text in axes.get_yticklabels()]
    inside = [text for text, at in zip(told, axes.get_yticks(), strict=True) if low <= at <= high]
    assert set(ticks) <= set(inside)
    assert not any("$" in text for text in told)
    assert not any(text.get_text() for text in axes.get_yticklabels(minor=True))


def test_clouds_draws_means_and_ellipses_of_two_standard_deviations():
    spread = torch.tensor([[2.0, 0.0], [0.0, 0.5]]) @ torch.tensor([[0.8, 0.6], [-0.6, 0.8]])  # turned by 37°
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    real = signs @ spread * math.sqrt(3 / 4)  # the covariance divides by N - 1
    (axes,) = show.clouds(real, real + torch.tensor([1.0, 2.0])).axes
    cloud, ellipse, middle, _, shifted, moved = axes.lines
    assert len(cloud.get_xdata()) == 4
    far = np.hypot(ellipse.get_xdata(), ellipse.get_ydata())
    assert (far.max(), far.min()) == pytest.approx((4, 1), rel=1e-3)
    tip = far.argmax()
    assert abs(ellipse.get_ydata()[tip] / ellipse.get_xdata()[tip]) == pytest.approx(0.75, rel=0.05)
    assert (middle.get_xdata()[0], middle.get_ydata()[0]) == pytest.approx((0, 0), abs=1e-6)
    assert (moved.get_xdata()[0], moved.get_ydata()[0]) == pytest.approx((1, 2), abs=1e-6)
    np.testing.assert_allclose(shifted.get_xdata() - ellipse.get_xdata(), 1, atol=1e-5)
    with pytest.raises(BadInput, match="the fake cloud has 1 finite points"):
        show.clouds(real, real[:1])


def test_densities_shades_the_area_under_p_and_q_only():
    x = np.linspace(-3, 3, 50)
    p, q = theory.gaussian(x), theory.gaussian(x, 1)
    (axes,) = show.densities(x, {"p": p, "q": q, "D*": theory.optimal_discriminator(p, q)}).axes
    assert (len(axes.lines), len(axes.collections)) == (3, 2)


def test_field_points_its_arrows_along_the_field_and_draws_paths_while_finite():
    path = np.array([[1.0, 0.0], [0.5, 0.5], [np.inf, np.inf]])
    (axes,) = show.field(lambda x, y: (-y, x), {"path": path}, limit=2).axes
    (arrows,) = [c for c in axes.collections if hasattr(c, "U")]
    places = arrows.get_offsets()
    np.testing.assert_allclose(arrows.U * places[:, 0] + arrows.V * places[:, 1], 0, atol=1e-9)  # across the radius
    outside = np.hypot(*places.T) > 0
    np.testing.assert_allclose(np.hypot(arrows.U, arrows.V)[outside], 1)
    assert len(axes.lines[0].get_xdata()) == 2
    inks = arrows.get_facecolors()[:, 3]
    assert np.all(np.diff(inks[np.argsort(np.hypot(*places.T))]) >= -1e-9)  # paler where it is slower
    with pytest.raises(BadInput, match="'path' has shape"):
        show.field(lambda x, y: (-y, x), {"path": [1, 2, 3]})


def test_surface_is_the_probability_at_each_place_and_keeps_the_mode_of_D():
    D = torch.nn.Sequential(torch.nn.Dropout(0.9), torch.nn.Linear(2, 1), torch.nn.Flatten(0))
    with torch.no_grad():
        D[1].weight.copy_(torch.tensor([[1.0, 3.0]]))
        D[1].bias.zero_()
    picture = show.surface(D, limit=2, side=5)
    axis = np.linspace(-2, 2, 5)
    x, y = np.meshgrid(axis, axis)
    np.testing.assert_allclose(picture, theory.sigmoid(x + 3 * y), atol=1e-6)
    assert D.training


def test_points_draws_both_clouds_and_the_surface():
    real, fake = torch.rand(30, 2), torch.rand(20, 2)
    axes = show.points(real, fake, lambda x: x[:, 0], limit=2).axes[0]
    clouds = [c.get_offsets() for c in axes.collections if len(c.get_offsets()) in (20, 30)]
    np.testing.assert_allclose(clouds[0], real)
    np.testing.assert_allclose(clouds[1], fake)
    assert axes.images[0].get_array().shape == (80, 80)
    for bad in ((None, None), (torch.zeros(3, 3), None), (torch.zeros(0, 2), None)):
        with pytest.raises(BadInput, match="points"):
            show.points(*bad)


def test_dots_puts_a_point_where_it_is():
    picture = show.dots(None, torch.tensor([[0.5, 0.75]]), limit=1, size=200)
    image = np.asarray(picture).astype(int)
    ys, xs = np.nonzero(np.abs(image - (213, 94, 0)).sum(2) < 30)
    assert abs(xs.mean() - 150) < 1.5
    assert abs(ys.mean() - 25) < 1.5
    show.dots(torch.zeros(2, 2), torch.tensor([[math.nan, 0.0], [1e30, -1e30]]))  # a run that blew up


def test_game_puts_points_beliefs_and_moves_where_they_are():
    belief = np.full((10, 10), 0.5)
    belief[:, 5:] = 1.0  # the right half is real to D
    belief[:5, :5] = 0.0  # below on the left is fake to it
    picture = show.game(torch.tensor([[1.0, 1.0]]), torch.tensor([[-1.0, -1.0]]), belief, limit=2.0, size=200)
    assert picture.size == (200, 200)

    def colour(x, y):
        return np.array(picture.getpixel((round((x + 2) * 50), round((2 - y) * 50))), dtype=int)

    for place, name in (((1, 1), show.REAL), ((-1, -1), show.FAKE)):
        exact = [int(name[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(colour(*place) - exact).max() < 12
    blue, white, orange = colour(1.5, -1), colour(-1.2, 1.2), colour(-1.5, -0.7)
    assert blue[2] > blue[0] + 40  # pale
    assert orange[0] > orange[2] + 40
    assert white.min() > 245
    moved = show.game(
        None, None, belief, (torch.tensor([[-1.0, 1.0]]), torch.tensor([[-0.2, 1.0]])), limit=2.0, size=200
    )
    changed = np.argwhere((np.asarray(moved) != np.asarray(show.game(None, None, belief, limit=2.0, size=200))).any(2))
    assert np.abs(changed.min(0) - (48, 50)).max() <= 2  # the line from (50, 50), the head's half width above it
    assert np.abs(changed.max(0) - (52, 90)).max() <= 2


def test_game_counts_the_points_that_lie_outside():
    def drawn(places):
        pixels = np.asarray(show.game(None, torch.tensor(places), limit=2, size=200)).astype(int)
        return (np.abs(pixels - (0xD5, 0x5E, 0)).sum(2) < 200)[170:, 100:].sum()

    assert drawn([[0.0, 0.0], [1.0, 1.5]]) == 0
    assert drawn([[0.0, 0.0], [5.0, 0.0]]) > 20


def test_game_draws_circles_where_they_are_asked_for():
    picture = np.asarray(show.game(None, None, circles=(torch.tensor([[1.0, 0.0]]), 0.5), limit=2, size=200))
    dark = np.argwhere(picture.max(2) < 150)  # rows and columns; the frame is lighter
    assert np.abs(dark.min(0) - (75, 125)).max() <= 1  # 25 pixels around (100, 150)
    assert np.abs(dark.max(0) - (125, 175)).max() <= 1
    with pytest.raises(BadInput, match="radius of the circles"):
        show.game(None, None, circles=(torch.tensor([[1.0, 0.0]]), 0.0))


def test_game_takes_what_is_not_finite():
    lost = torch.full((3, 2), math.nan)
    blank = show.game(lost, None, np.full((4, 4), math.nan), (lost, lost), size=50)
    assert np.unique(np.asarray(blank)[3:-3, 3:-3]).tolist() == [200]  # grey


def test_points_that_are_all_nan_are_an_empty_picture():
    all_nan = torch.full((5, 2), math.nan)
    show.png(show.points(None, all_nan))
    show.png(show.points(all_nan, torch.zeros(3, 2)))
    assert show.dots(None, all_nan, size=100).size == (100, 100)


def test_chart_draws_higher_losses_higher_and_takes_any_history():
    image = np.asarray(show.chart([(i, 1.5, 0.3) for i in range(100)], 300, 200)).astype(int)
    blue = np.nonzero(np.abs(image[40:] - (0, 114, 178)).sum(2) < 60)[0].mean()
    orange = np.nonzero(np.abs(image[40:] - (213, 94, 0)).sum(2) < 60)[0].mean()
    assert blue < orange - 30  # rows count from above
    for history in ([], [(1, 1.0, 1.0)], [(1, math.nan, math.inf), (2, 1.0, 2.0)], [(1, -5.0, 90.0)] * 3):
        assert show.chart(history).size == (420, 320)


def test_chart_draws_a_long_history_from_the_left_edge_to_the_right():
    image = np.asarray(show.chart([(i, 1.5, 0.3) for i in range(1, 10_001)], 300, 200)).astype(int)
    columns = np.nonzero(np.abs(image[40:] - (0, 114, 178)).sum(2) < 60)[1]
    assert columns.min() <= 42  # the axis begins at 40
    assert columns.max() >= 287  # and ends at 290


def test_chart_draws_the_mean_of_a_noisy_loss():
    noise = np.random.default_rng(0).normal(size=2000)
    image = np.asarray(show.chart([(i, 1.5 + noise[i], 0.0) for i in range(2000)], 300, 200)).astype(int)
    strong, pale = ((np.abs(image[40:] - colour).sum(2) < 60) for colour in ((0, 114, 178), (188, 217, 233)))
    assert np.ptp(np.nonzero(strong)[0]) < 0.4 * np.ptp(np.nonzero(pale)[0])


def test_a_running_mean_takes_a_40th_of_the_values_round_each_and_fewer_at_the_ends():
    few, many = np.array([1.0, 2, 6, 3]), np.arange(160.0) ** 2
    assert style.running_mean(few).tolist() == few.tolist()
    ends = style.running_mean(many)[[0, 1, 80, 159]]
    assert ends == pytest.approx([5 / 3, 14 / 4, many[78:83].mean(), many[157:].mean()])


@pytest.mark.parametrize(("value", "text"), [(-3.21, "-3.2"), (57.4, "57"), (-101_234.0, "-101k"), (999.4, "999")])
def test_the_ends_of_an_axis_are_named_in_few_characters(value, text):
    assert pictures._short(value) == text


def test_strip_sets_pictures_side_by_side_under_titles():
    red, blue = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (60, 40), "blue")
    row = show.strip([red, blue], ["a", "b"])
    assert row.size == (40 + 10 + 60, 24 + 40)
    assert row.getpixel((20, 30)) == (255, 0, 0)
    assert row.getpixel((80, 60)) == (0, 0, 255)
    assert [row.getpixel((x, 30)) for x in (45, 50)] == [(255, 255, 255), (0, 0, 255)]  # the gap, then blue
    assert show.strip([red, blue], height=20).size == (40 + 10 + 30, 20)
    assert show.strip([show.curves([0, 1], {"a": [0, 1]})]).size == (800, 300)
    for bad in (([], None), ([red], ["a", "b"]), (["red"], None)):
        with pytest.raises(BadInput, match="give"):
            show.strip(*bad)


# --- the doctor's card -----------------------------------------------------------------------------------------------


def finding(name: str, severity: str) -> Finding:
    return Finding(name, severity, (Evidence("something", 0.5, high=0.1),), "In detail.")


def test_a_card_grows_with_its_findings_and_wears_the_worst_colour():
    healthy = Diagnosis((), "the data", "the judge")
    ailing = Diagnosis((finding("noisy", "mild"), finding("low_fidelity", "severe")), "the data", "the judge")
    cards = [show.card(d, width=500) for d in (healthy, ailing)]
    assert [card.width for card in cards] == [500, 500]
    assert cards[1].height > 2 * cards[0].height
    for card, severity in zip(cards, ("healthy", "severe"), strict=True):
        wanted = tuple(int(show.COLOURS[severity][i : i + 2], 16) for i in (1, 3, 5))
        assert card.getpixel((2, card.height // 2)) == wanted


def test_a_card_says_it_all_within_its_width(monkeypatch):
    d = Diagnosis((finding("blurred", "moderate"),), "the data", "the judge", ("A note.",), open=("whether it is so",))
    lines = list(reports._card_lines(d, 300))
    text = " ".join(line for line, _, _ in lines)
    notes = [d.data, d.judge, *d.notes, "Left open: whether it is so."]
    said = [*notes, "blurred", "moderate", d.findings[0].meaning, str(d.findings[0].evidence[0])]
    for part in (*said, d.findings[0].to_try[0], d.findings[0].lesson):
        assert part in text
    assert all(style.font(size).getlength(line) <= 300 for line, size, _ in lines)


def test_a_card_shows_samples_of_any_range_with_their_shape():
    samples = torch.full((20, 3, 28, 28), 1.0)
    samples[:, 1:] = -1  # red
    card = show.card(Diagnosis((), "the data", "the judge"), samples)
    sheet = np.asarray(card)
    assert ((sheet == (255, 0, 0)).all(2)).sum() >= 16 * 28 * 28
    show.card(Diagnosis((), "the data", "the judge"), samples * 3 + math.nan)  # a sick patient has no less


# --- the museum ------------------------------------------------------------------------------------------------------


def side(samples, d_loss, g_loss):
    run = SimpleNamespace(examples=torch.zeros(10, 2))
    return SimpleNamespace(samples=samples, history={"d_loss": d_loss, "g_loss": g_loss}, run=run)


def test_evidence_shows_samples_as_they_are_and_the_curves():
    white, ill = torch.ones(30, 1, 28, 28), torch.ones(30, 1, 28, 28)
    ill[:, :, :14] = math.nan
    ill[:, :, 14:] = 7.0
    curves = [1.0, 2.0], [0.5, math.nan]
    good, bad = (np.asarray(show.evidence(side(x, *curves)).convert("L")) for x in (white, ill))
    assert good.shape == bad.shape
    assert good[20, 20] == 255
    assert bad[15, 20] == 128  # NaN is grey
    assert bad[50, 20] == 255  # too bright is white
    points = show.evidence(side(torch.zeros(10, 2), *curves))
    assert points.height == 176


def test_comparison_puts_the_broken_version_above_the_sound_one():
    black, white = -torch.ones(24, 1, 28, 28), torch.ones(24, 1, 28, 28)
    outcome = SimpleNamespace(
        exhibit=SimpleNamespace(symptom=SimpleNamespace(name="brightness")),
        broken=side(black, [1.0], [1.0]),
        sound=side(white, [1.0], [1.0]),
        measured=lambda: {"broken": -1.0, "sound": 1.0},
    )
    picture = np.asarray(show.comparison(outcome).convert("L"))
    half = len(picture) // 2
    assert picture[half // 2, 20] == 0
    assert picture[half + half // 2, 20] == 255
