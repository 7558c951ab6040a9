"""What lessons show: figures with titles and captions, films, diagrams, loops that are watched, and proofs."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from gantutor import live, show
from gantutor.checks import proof
from gantutor.errors import BadInput
from gantutor.live import panels
from gantutor.show import diagrams, films, lesson, style

RED, GREEN = Image.new("RGB", (300, 80), "#ff0000"), Image.new("RGB", (200, 120), "#00ff00")


def opened(shown) -> tuple[Image.Image, dict]:
    data, about = shown._repr_mimebundle_()
    return Image.open(io.BytesIO(base64.b64decode(data["image/png"]))), about["image/png"]


def place_of(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what has exactly this colour."""
    rows, columns = np.nonzero((np.asarray(picture.convert("RGB")) == colour).all(2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


# --- figures ---------------------------------------------------------------------------------------------------------


def test_a_figure_has_its_pictures_side_by_side_and_is_shown_at_half_its_size():
    picture, about = opened(show.figure([RED, GREEN], "What they show", ["one", "another"]))
    red, green = place_of(picture, (255, 0, 0)), place_of(picture, (0, 255, 0))
    assert (red[2] - red[0], red[3] - red[1]) == RED.size
    assert (green[2] - green[0], green[3] - green[1]) == GREEN.size
    assert red[2] < green[0]
    assert red[1] == green[1] > lesson.TITLE  # below the title
    assert picture.height > green[3] + lesson.TEXT  # the caption below it
    assert about["width"] == -(-picture.width // 2)
    assert about["alt"] == "What they show. one; another."


def test_a_figure_in_rows():
    picture, _ = opened(show.figure([RED, GREEN], "t", columns=1))
    red, green = place_of(picture, (255, 0, 0)), place_of(picture, (0, 255, 0))
    assert red[3] < green[1]
    assert abs((red[0] + red[2]) - (green[0] + green[2])) <= 2  # both in the middle


def test_one_picture_may_stand_alone_and_its_alternative_text_be_given():
    shown = show.figure(RED, "A title.", alt="Red.")
    picture, about = opened(shown)
    assert place_of(picture, (255, 0, 0))[2] > 0
    assert about["alt"] == str(shown) == shown._repr_mimebundle_()[0]["text/plain"] == "Red."


def test_a_long_title_is_broken_into_lines_that_fit():
    title = "a title that is much longer than the picture is wide, and goes on and on " * 3
    picture, _ = opened(show.figure(RED, title))
    assert picture.width <= max(RED.width, 16 * lesson.TITLE) + 2
    assert picture.height > 5 * lesson.TITLE + RED.height


def test_figures_of_matplotlib_are_twice_as_dense_as_the_page():
    drawn = show.curves([0, 1], {"a": [0, 1]}, title="It rises", size=(7, 3))
    picture, about = opened(drawn)
    assert picture.size == (1400, 600)
    assert about == {"width": 700, "alt": "It rises"}
    assert Image.open(io.BytesIO(show.png(drawn))).size == (700, 300)  # as part of other pictures
    assert opened(show.figure(drawn, "t"))[0].width == 1400


def test_rows_have_their_names_at_the_left_and_their_pictures_below_each_other():
    picture = show.rows({"one": RED, "another one": GREEN})
    red, green = place_of(picture, (255, 0, 0)), place_of(picture, (0, 255, 0))
    assert red[3] < green[1]
    assert (red[2] - red[0], green[3] - green[1]) == (RED.width, GREEN.height)
    ink = np.asarray(picture.convert("L")) < 60
    names = ink[:, : min(red[0], green[0])]
    for top, bottom in ((red[1], red[3]), (green[1], green[3])):
        written = np.flatnonzero(names[top:bottom].any(1))
        assert len(written) > 10
        assert abs(written.mean() - (bottom - top) / 2) < 10  # in the middle of the row
    with pytest.raises(BadInput, match="rows got no pictures"):
        show.rows({})


@pytest.mark.parametrize(("pictures", "captions"), [([], None), ([RED], []), ([RED, GREEN], ["one"])])
def test_captions_that_do_not_fit_are_refused(pictures, captions):
    with pytest.raises(BadInput, match=f"{len(pictures)} pictures and {len(captions or [])} captions"):
        show.figure(pictures, "t", captions)


# --- films -----------------------------------------------------------------------------------------------------------


def frame(i: int) -> Image.Image:
    """A bar of the real data's blue that grows."""
    picture = Image.new("RGB", (320, 60), "white")
    picture.paste(style.REAL, (0, 0, 10 + 10 * i, 60))
    return picture


def test_a_film_plays_and_rests_on_its_last_frame():
    shown = show.play([frame(i) for i in range(12)], "It grows", fps=10, hold=2)
    film, about = opened(shown)
    assert film.n_frames == 13  # the first stands still where films do not play
    assert film.default_image
    lengths, times = [], []
    for i in range(1, 13):
        film.seek(i)
        left, _, right, _ = place_of(film, (0, 0x72, 0xB2))
        lengths.append(right - left)
        times.append(film.info["duration"])
    assert lengths == [10 + 10 * i for i in range(12)]
    assert times == [100] * 11 + [2000]
    assert film.info["loop"] == 0
    assert about["width"] == film.width == max(320, 16 * (lesson.TITLE // 2))
    assert about["alt"] == "A film: It grows."


@pytest.mark.parametrize(("hold", "whole"), [(2, [10, 70, 140, 200]), (0, [10, 60, 110, 150])])
def test_the_still_of_a_film_holds_four_of_its_frames(hold, whole):
    film, _ = opened(show.play([frame(i) for i in range(20)], "It grows", hold=hold))
    film.seek(0)
    still = (np.asarray(film.convert("RGB")).astype(int) - (0, 0x72, 0xB2)).__abs__().sum(2) < 60
    bars = set()
    for row in still:  # where blue begins and ends in it
        edges = np.flatnonzero(np.diff(np.pad(row, 1).astype(int)))
        bars |= {int(end - begin) for begin, end in zip(edges[::2], edges[1::2], strict=True)}
    shown, whole = np.array(sorted(bars)), np.array(whole)  # where a film does not rest, its end is its beginning
    assert np.abs(shown / shown[-1] - whole / whole[-1]).max() < 0.03
    ink = (np.asarray(film.convert("L")) < 60) & ~still
    assert np.flatnonzero(ink.any(1)).max() < 1.5 * lesson.TITLE  # a single title, above them


def test_the_colours_of_the_house_are_exact_in_a_film():
    names = [style.REAL, style.FAKE, "#ffffff", "#000000"]
    picture = Image.new("RGB", (320, 64))
    noise = torch.randint(240, 256, (64, 320, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    picture.paste(Image.fromarray(noise.numpy()))
    for i, name in enumerate(names):
        picture.paste(name, (10 + 40 * i, 10, 40 + 40 * i, 50))
    film, _ = opened(show.play([picture, picture.copy()], "t"))
    film.seek(1)
    kept = film.convert("RGB").crop((0, film.height - 64, film.width, film.height))
    left = (film.width - 320) // 2
    assert ["#{:02x}{:02x}{:02x}".format(*kept.getpixel((left + 20 + 40 * i, 30))) for i in range(4)] == [
        name.lower() for name in names
    ]


def test_a_film_may_be_shown_larger_than_it_is():
    film, about = opened(show.play([RED, RED.copy()], "t", scale=2))
    assert about["width"] == 2 * film.width


def test_a_film_has_few_colours_and_a_grey_one_fewer():
    noise = torch.rand(6, 1, 60, 200, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tinted = noise.repeat(1, 3, 1, 1) * torch.tensor([1, 0.2, 0.1])[:, None, None]

    def colours(images):
        film, _ = opened(show.play([show.grid(x[None], scale=1) for x in images], "t"))
        film.seek(3)
        return len(np.unique(np.asarray(film.convert("RGB")).reshape(-1, 3), axis=0))

    assert 8 < colours(noise) <= films.GREYS < colours(tinted) <= films.SHADES


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([], "there are 0 frames: a film needs two or more"),
        ([RED], "there are 1 frames"),
        ([RED, GREEN], r"frame 2 is \(200, 120\), but the first is \(300, 80\)"),
    ],
)
def test_a_film_needs_two_frames_of_one_size(frames, said):
    with pytest.raises(BadInput, match=said):
        show.play(frames, "t")


@pytest.mark.parametrize("name", ["fps", "scale", "hold"])
def test_impossible_times_of_a_film_are_refused(name):
    with pytest.raises(BadInput, match=f"{name} is -1"):
        show.play([RED, RED.copy()], "t", **{name: -1})


def test_the_last_frame_is_never_shorter_than_the_others():
    film, _ = opened(show.play([frame(0), frame(1)], "t", fps=2, hold=0))
    film.seek(2)
    assert film.info["duration"] == 500


def test_what_is_transparent_is_laid_on_white():
    glass = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    glass.paste((255, 0, 0, 255), (0, 0, 20, 30))
    laid = style.as_image(glass)
    assert (laid.getpixel((10, 10)), laid.getpixel((30, 10))) == ((255, 0, 0), (255, 255, 255))


# --- diagrams --------------------------------------------------------------------------------------------------------


def test_the_diagram_of_a_gan_is_svg_and_png_and_says_what_it_shows():
    made, real = torch.zeros(1, 28, 28), torch.ones(3, 64, 64)
    data, about = diagrams.gan(made, real)._repr_mimebundle_()
    assert data["image/svg+xml"].startswith("<svg")
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width == 2 * about["image/png"]["width"]
    for kind in ("image/svg+xml", "image/png"):
        assert all(word in about[kind]["alt"] for word in ("generator G", "discriminator D", "real"))
    drawn = {text.get_text() for text in diagrams.gan(made, real).paper.texts}
    assert {"generator G", "discriminator D", "real data"} <= drawn


def test_nothing_of_the_diagram_lies_outside_it():
    drawn = diagrams.gan(torch.zeros(1, 28, 28), torch.zeros(1, 28, 28))
    drawn.draw_without_rendering()
    width, height = drawn.bbox.width, drawn.bbox.height
    for part in [*drawn.paper.texts, *drawn.paper.patches]:
        box = part.get_window_extent()
        assert box.x0 >= 0, part
        assert box.y0 >= 0, part
        assert box.x1 <= width, part
        assert box.y1 <= height, part


# --- loops and proofs ------------------------------------------------------------------------------------------------


@pytest.fixture
def places(monkeypatch) -> list[list]:
    """What is shown in each place of a page."""
    found: list[list] = []

    class Place:
        def __init__(self, first):
            found.append([first])
            self.update = found[-1].append

    monkeypatch.setattr(panels, "display", lambda content, display_id: Place(content))
    monkeypatch.setattr(panels, "in_notebook", lambda: True)
    return found


def test_a_loop_is_watched_and_becomes_a_film(places, monkeypatch):
    monkeypatch.setenv("GANTUTOR_BUDGET", "full")
    seen = []
    steps = list(live.steps(100, lambda: frame(len(seen)), title="It grows", frames=5))
    assert steps == list(range(1, 101))
    ((*pictures, film),) = places
    assert [re.search(r"step (\d+) of 100", str(picture))[1] for picture in pictures] == ["0", "6", "25", "56", "100"]
    assert opened(film)[0].n_frames == 6


def test_the_picture_is_drawn_after_the_step(places, monkeypatch):
    monkeypatch.setenv("GANTUTOR_BUDGET", "full")
    done, drawn = [0], []
    for step in live.steps(9, lambda: drawn.append(done[0]) or frame(done[0]), title="t", frames=4):
        done[0] = step
    assert drawn == [0, 1, 4, 9]


def test_the_quick_budget_takes_a_quarter_of_the_steps(places, monkeypatch):
    monkeypatch.setenv("GANTUTOR_BUDGET", "quick")
    assert list(live.steps(10, lambda: RED, title="t")) == [1, 2, 3]
    assert sum(1 for _ in live.steps(400, lambda: RED, title="t")) == 100
    assert opened(places[-1][-1])[0].n_frames == 1 + 8  # the still, and eight pictures


def test_a_loop_that_ends_early_leaves_the_film_so_far(places, monkeypatch):
    monkeypatch.setenv("GANTUTOR_BUDGET", "full")

    def train():
        for step in live.steps(100, lambda: RED, title="t", frames=5):
            if step == 30:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert opened(places[0][-1])[0].n_frames == 4  # steps 0, 6 and 25


def test_what_cannot_become_a_film_is_refused_before_the_first_step(places):
    with pytest.raises(BadInput, match="draw is 3: give a function"):
        live.steps(10, 3, title="t")
    with pytest.raises(BadInput, match="the number of steps is 0"):
        live.steps(0, lambda: RED, title="t")
    with pytest.raises(BadInput, match="fps is 0"):
        live.steps(10, lambda: RED, title="t", fps=0)
    assert places == []


def test_pictures_of_another_size_end_the_loop_at_once(places, monkeypatch):
    monkeypatch.setenv("GANTUTOR_BUDGET", "full")
    pictures = iter([RED, GREEN])
    with pytest.raises(BadInput, match=r"at step 6 draw gave a picture of another size"):
        list(live.steps(100, lambda: next(pictures), title="t", frames=5))


def test_a_proof_prints_its_claim_or_stops_with_it(capsys):
    proof("one is less than two", torch.tensor(1) < 2)
    assert capsys.readouterr().out == "checked: one is less than two\n"
    with pytest.raises(AssertionError, match=r"on this computer it does not hold: two is less than one\."):
        proof("two is less than one", torch.tensor(2) < 1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("holds", [(True, True), torch.tensor([True, False]), torch.tensor(1.0), float("nan"), all, 1])
def test_a_proof_takes_nothing_that_is_true_by_accident(holds, capsys):
    with pytest.raises(BadInput, match="whether it holds is given by .*: give True or False"):
        proof("it holds", holds)
    assert capsys.readouterr().out == ""


def test_a_proof_takes_the_truth_of_numpy(capsys):
    proof("it holds", np.bool_(True))
    assert capsys.readouterr().out == "checked: it holds\n"
