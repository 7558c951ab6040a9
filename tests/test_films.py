"""Films: what is in them, and what they are written as."""

import os
import stat
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from gantutor import cli, models, show
from gantutor.errors import BadInput
from gantutor.runs import pretrained
from gantutor.show import films


@pytest.fixture(scope="module")
def G():
    return pretrained.generator("digits")


def frames_of(path) -> list[np.ndarray]:
    with Image.open(path) as film:
        frames = []
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(np.asarray(film.convert("L")))
        return frames


def test_a_walk_in_one_row(G):
    wide, square = (next(show.walk(G, frames=2, count=4, scale=1, columns=c)) for c in (4, None))
    assert (wide.width > 3 * wide.height, square.width) == (True, square.height)


def test_a_walk_ends_where_it_began_and_steps_are_even(G):
    pictures = list(show.walk(G, frames=40, count=4, seed=3, labels=5, scale=1))
    assert len(pictures) == 40
    x = torch.tensor(np.stack([np.asarray(picture) for picture in pictures])).double()
    steps = (x - x.roll(-1, 0)).abs().mean((1, 2))  # the last one leads to the first
    assert steps.max() < 2 * steps.mean()
    assert (x[0] - x[20]).abs().mean() > 3 * steps.mean()


def test_the_latents_of_a_walk_are_as_likely_as_any():
    class Showing(torch.nn.Module):
        latent_dim = 64
        seen: list[torch.Tensor] = []  # noqa: RUF012

        def forward(self, z):
            self.seen.append(z)
            return torch.zeros(len(z), 1, 8, 8)

    list(show.walk(Showing(), frames=6, count=50))
    for z in Showing.seen:
        assert z.std() == pytest.approx(1, abs=0.05)
        assert z.mean().abs() < 0.05
    assert not torch.allclose(Showing.seen[0], Showing.seen[3], atol=0.5)


def test_the_mode_of_the_generator_is_put_back():
    G, _ = models.mlp()
    G.train()
    list(show.walk(G, frames=2, count=1))
    assert G.training


def test_grey_images_beside_colours_get_no_tint():
    grey = np.random.default_rng(0).integers(0, 256, (60, 60, 1), np.uint8).repeat(3, 2)
    coloured = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    picture = Image.fromarray(np.concatenate([grey, coloured], 1))
    shown = np.asarray(films.reduced(picture, films.palette(picture)).convert("RGB")).astype(int)
    assert np.ptp(shown[:, :60], axis=2).max() <= 1
    assert abs(shown[:, :60] - grey).max() <= 14
    assert np.ptp(shown[:, 60:], axis=2).max() > 100


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_films_hold_their_pictures_in_order_and_play_without_end(tmp_path, ending):
    pictures = [Image.new("L", (8, 6), 25 * i) for i in range(10)]
    show.save_film(pictures, tmp_path / f"x.{ending}", fps=15)
    frames = frames_of(tmp_path / f"x.{ending}")
    assert [int(frame[3, 3]) for frame in frames] == [25 * i for i in range(10)]
    with Image.open(tmp_path / f"x.{ending}") as film:
        assert film.info["loop"] == 0
        times = []
        for i in range(film.n_frames):
            film.seek(i)
            times.append(film.info["duration"])
    assert sum(times) == pytest.approx(10 / 15 * 1000, abs=6)
    assert max(times) - min(times) <= 10


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """A program of that name that writes its arguments and the count of bytes that it was given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'w').write(f'{{len(sys.stdin.buffer.read())}} ' + "
        "' '.join(sys.argv[1:]))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(folder))
    return program


def test_a_film_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "MOST_BYTES", 1000)
    drawn = []

    def frames():
        for i in range(100):
            drawn.append(i)
            yield Image.new("RGB", (10, 10), i)

    with pytest.raises(BadInput, match="take fewer frames"):
        show.save_film(frames(), tmp_path / "x.png")
    assert len(drawn) == 4
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
def test_mp4_is_left_to_ffmpeg(tmp_path, ffmpeg):
    show.save_film([Image.new("L", (9, 6), 0)] * 5, tmp_path / "x.mp4", fps=12.5)
    size, *words = (tmp_path / "x.mp4").read_text().split()
    assert int(size) == 5 * 9 * 6 * 3
    assert words[words.index("-s") + 1] == "9x6"
    assert words[words.index("-r") + 1] == "12.5"
    assert words[words.index("-c:v") + 1] == "libx264"
    ffmpeg.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('Unknown encoder')\n")

    def slowly(side):
        for _ in range(50):
            yield Image.new("L", (side, side), 0)
            time.sleep(0.01)

    for side in (400, 20):  # those of 20 stay in a buffer for a while
        with pytest.raises(BadInput, match=r"ffmpeg could not write the film \(Unknown encoder\)"):
            show.save_film(slowly(side), tmp_path / "y.mp4")
    assert not (tmp_path / "y.mp4").exists()


def test_films_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    pictures = [Image.new("L", (8, 8), 0)] * 2
    for path, said in (("x.mp4", "needs ffmpeg, which is not installed"), ("x.avi", "unknown ending of a film '.avi'")):
        with pytest.raises(BadInput, match=said):
            show.save_film(pictures, tmp_path / path)
    for few in (0, 1):
        with pytest.raises(BadInput, match=f"there are {few} frames: a film needs two or more"):
            show.save_film(pictures[:few], tmp_path / "x.gif")
    with pytest.raises(BadInput, match=r"frame 2 is \(9, 8\), but the first is \(8, 8\)"):
        show.save_film([pictures[0], Image.new("L", (9, 8), 0)], tmp_path / "x.gif")
    with pytest.raises(BadInput, match="fps is 90"):
        show.save_film(pictures, tmp_path / "x.gif", fps=90)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_film_of_one_class(tmp_path, capsys):
    line = ["film", "clothes", "--label", "sneaker", "--frames", "3", "--count", "4", "--scale", "1", "--out"]
    assert cli.main([*line, str(tmp_path / "walk.png")]) == 0
    assert "3 frames of 4 images of class sneaker, 0.2 s:" in capsys.readouterr().out
    frames = frames_of(tmp_path / "walk.png")
    assert len(frames) == 3
    expected = show.walk(pretrained.generator("clothes"), 3, 4, labels=7, scale=1)
    assert all(np.array_equal(frame, np.asarray(picture)) for frame, picture in zip(frames, expected, strict=True))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--count", "101"], "--count is 101: give at most 100"),
        (["--frames", "0"], "--frames is 0"),
        (["--fps", "nan"], "--fps is nan"),
        (["--label", "shoe"], "unknown class 'shoe'"),
    ],
)
def test_the_command_refuses_in_a_sentence(tmp_path, capsys, flags, said):
    assert cli.main(["film", "clothes", *flags, "--out", str(tmp_path / "x.gif")]) == 2
    assert said in capsys.readouterr().err
