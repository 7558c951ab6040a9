"""Contact sheets are told from single pictures and cut up; folders are listed as people arrange them."""

import io

import matplotlib.style
import numpy as np
import pytest
import torch
from drawn import digits
from matplotlib.figure import Figure
from PIL import Image

from gantutor import data
from gantutor.data import faces, sheets, tiles
from gantutor.errors import BadInput

DIGITS = ((digits(200, 0, "drawn").pixels + 1) * 127.5).round().byte().numpy().transpose(0, 2, 3, 1).repeat(3, 3)
FACES = faces.draw(200, seed=0, size=32).pixels.numpy().transpose(0, 2, 3, 1)


def sheet(pictures, columns, gap, value, margin=None):
    """As torchvision.utils.make_grid lays pictures out; a margin of its own is put around, if one is given."""
    n, h, w, c = pictures.shape
    margin = gap if margin is None else margin
    rows = -(-n // columns)
    shape = (2 * margin + rows * (h + gap) - gap, 2 * margin + columns * (w + gap) - gap, c)
    made = np.full(shape, value, np.uint8)
    for k, picture in enumerate(pictures):
        y, x = margin + k // columns * (h + gap), margin + k % columns * (w + gap)
        made[y : y + h, x : x + w] = picture
    return made


@pytest.mark.parametrize("pictures", [DIGITS, FACES], ids=["digits", "faces"])
@pytest.mark.parametrize(("gap", "value"), [(2, 0), (2, 255), (2, 128), (5, 77), (1, 255)])
@pytest.mark.parametrize(("count", "columns"), [(64, 8), (25, 5), (20, 8), (16, 4)])
def test_sheets_with_lines_are_cut_into_what_they_were_made_of(pictures, gap, value, count, columns):
    made = sheet(pictures[:count], columns, gap, value)
    grid = sheets.find_grid([made])
    assert (grid.columns, grid.gap, grid.margin) == (columns, gap, gap)
    np.testing.assert_array_equal(tiles.cut(made, grid), pictures[:count])


@pytest.mark.parametrize("gap", [0, 1, 2, 4])
def test_several_sheets_of_four_whose_lines_are_as_black_as_the_digits_ground(gap):
    made = [sheet(DIGITS[k * 4 : k * 4 + 4], 2, gap, 0) for k in range(8)]
    assert sheets.find_grid(made) == tiles.Grid(2, 2, 28, 28, gap, gap)


def test_plotted_digits_on_a_dark_ground_are_not_cut_across():
    with matplotlib.style.context("dark_background"):
        shown = [plotted(DIGITS[k * 25 : k * 25 + 25], 5, 5) for k in range(2)]
    assert sheets.find_grid(shown) is None


@pytest.mark.parametrize("margin", [0, 2, 4])
@pytest.mark.parametrize("columns", [5, 8])
def test_sheets_without_lines(margin, columns):
    made = [sheet(FACES[k * 40 : k * 40 + 40], columns, 0, 0, margin) for k in range(4)]
    grid = sheets.find_grid(made)
    assert (grid.rows, grid.columns, grid.height, grid.margin, grid.gap) == (40 // columns, columns, 32, margin, 0)
    np.testing.assert_array_equal(tiles.cut(made[1], grid), FACES[40:80])


@pytest.mark.parametrize("pictures", [DIGITS, FACES], ids=["digits", "faces"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_single_pictures_are_no_sheets(pictures, scale):
    for k in range(0, 60, 3):
        for count in (1, 3, 8):
            large = [p.repeat(scale, 0).repeat(scale, 1) for p in pictures[k : k + count]]
            smooth = [np.asarray(Image.fromarray(p).resize((len(p) * scale,) * 2)) for p in pictures[k : k + count]]
            for shown in (large, smooth):
                assert sheets.find_grid(shown) is None
                assert not sheets.is_spoiled_sheet(shown)


def save(folder, pictures, name="{:03}.png", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / name.format(i), **options)


def read(path, **options):
    said = []
    return data.from_folder(path, say=said.append, **options), said


def test_a_folder_of_sheets_and_a_sheet_alone(tmp_path):
    save(
        tmp_path / "many",
        [sheet(FACES[k * 64 : k * 64 + 64], 8, 2, 0) for k in range(3)] + [sheet(FACES[192:], 8, 2, 0)],
    )
    images, said = read(tmp_path / "many")
    np.testing.assert_array_equal(images.stored.numpy().transpose(0, 2, 3, 1), FACES)
    assert said == ["Cut 4 contact sheets of 8×8 pictures of 32×32 pixels into 200 pictures."]
    assert len(read(tmp_path / "many" / "000.png")[0]) == 64


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("quality", [75, 90])
def test_sheets_saved_as_jpeg(tmp_path, padding, quality):
    save(tmp_path, [sheet(FACES[k * 64 : k * 64 + 64], 8, padding, 0) for k in range(3)], "{}.jpg", quality=quality)
    images, said = read(tmp_path)
    assert images.stored.shape == (192, 3, 32, 32)
    error = (images.stored.numpy().transpose(0, 2, 3, 1).astype(int) - FACES[:192]).astype(float)
    assert abs(error).mean() < 12  # one pixel beside the place it is above 20
    assert said == [
        "Cut 3 contact sheets of 8×8 pictures of 32×32 pixels into 192 pictures.",
        "3 of 3 sheets are JPEGs, whose compression blurs the pictures and can pass for low fidelity: .png keeps them "
        "as they are.",
    ]


@pytest.mark.parametrize("pictures", [DIGITS, FACES], ids=["digits", "faces"])
@pytest.mark.parametrize(("gap", "value"), [(1, 255), (2, 255), (1, 0), (2, 0)])
@pytest.mark.parametrize("quality", [60, 75])
@pytest.mark.parametrize("count", [1, 3])
def test_lines_that_jpeg_has_blurred(tmp_path, pictures, gap, value, quality, count):
    made = [sheet(pictures[k * 64 : k * 64 + 64], 8, gap, value) for k in range(count)]
    save(tmp_path, made, "{}.jpg", quality=quality)
    shown = [np.asarray(Image.open(file)) for file in sorted(tmp_path.iterdir())]
    side = pictures.shape[1]
    assert sheets.find_grid(shown) == tiles.Grid(8, 8, side, side, gap, gap)


def test_lines_of_the_colour_of_the_background_belong_to_no_tile():
    strokes = (data.load("strokes", "test").pixels[:256, 0] + 1) * 127.5
    drawn = strokes.round().byte().numpy()[..., None].repeat(3, 3)
    for k in range(4):
        made = sheet(drawn[k * 64 : k * 64 + 64], 8, 2, 0)
        assert sheets.find_grid([made]) == tiles.Grid(8, 8, 28, 28, 2, 2)


def test_sheets_that_cannot_be_cut_up_are_called_so(tmp_path):
    large = Image.fromarray(sheet(FACES[:16], 4, 8, 255)).resize((391, 391), Image.Resampling.NEAREST)
    save(tmp_path / "plotted", [np.asarray(large)])
    with pytest.raises(BadInput, match="looks like a contact sheet"):
        read(tmp_path / "plotted")


def plotted(pictures, rows, size, adjust=None, tight=False, title=None, names=False):
    """Pictures as matplotlib plots them, each in a plot of its own."""
    figure = Figure((size, size))
    for axes, picture in zip(figure.subplots(rows, rows).flat, pictures, strict=False):
        axes.imshow(picture)
        axes.axis("off")
        if names:
            axes.set_title("7")
    if adjust is not None:
        figure.subplots_adjust(wspace=adjust, hspace=adjust)
    if tight:
        figure.tight_layout()
    figure.suptitle(title)
    return drawn_by(figure)


def drawn_by(figure, **options):
    figure.savefig(written := io.BytesIO(), **options)
    return np.asarray(Image.open(written).convert("RGB"))


def plotted_sheet(pictures, columns, gap, title, plots=1, ticks=False):
    """Contact sheets in a plot, or in several beside each other."""
    figure = Figure((5 * plots, 5))
    for axes in figure.subplots(1, plots, squeeze=False).flat:
        axes.imshow(sheet(pictures, columns, gap, 0))
        axes.set_axis_on() if ticks else axes.set_axis_off()
        axes.set_title(title)
    return drawn_by(figure)


PLOTTED = {
    "each in its own plot": lambda p: plotted(p, 4, 4),
    "tight": lambda p: plotted(p, 4, 4, tight=True),
    "close to each other": lambda p: plotted(p, 8, 8, adjust=0.02),
    "with a title": lambda p: plotted(p, 4, 6, title="Epoch 12"),
    "each with a title": lambda p: plotted(p, 4, 6, names=True),
    "a sheet": lambda p: plotted_sheet(p[:64], 8, 2, None),
    "a sheet with a title": lambda p: plotted_sheet(p[:64], 8, 2, "epoch 3"),
    "a sheet with axes": lambda p: plotted_sheet(p[:64], 8, 2, "epoch 3", ticks=True),
    "two sheets": lambda p: plotted_sheet(p[:64], 8, 5, "Fake Images", plots=2),
    "a sheet without lines": lambda p: plotted_sheet(p[:25], 5, 0, "Generated"),
}


@pytest.mark.parametrize("pictures", [DIGITS, FACES], ids=["digits", "faces"])
@pytest.mark.parametrize("plot", PLOTTED)
def test_plotted_sheets_are_called_so(tmp_path, pictures, plot):
    save(tmp_path, [PLOTTED[plot](pictures)])
    with pytest.raises(BadInput, match="looks like a contact sheet"):
        read(tmp_path)


def plot_of_one(picture, size=(4, 4), tight=None, ticks=True, title=None):
    """A picture as matplotlib plots it alone."""
    figure = Figure(size)
    axes = figure.subplots()
    axes.imshow(picture)
    axes.set_axis_on() if ticks else axes.set_axis_off()
    axes.set_title(title)
    return drawn_by(figure, bbox_inches=tight)


@pytest.mark.parametrize("pictures", [DIGITS, FACES], ids=["digits", "faces"])
@pytest.mark.parametrize(
    "options", [{}, {"ticks": False}, {"size": (6.4, 4.8)}, {"title": "7"}, {"tight": "tight"}], ids=str
)
def test_pictures_that_were_plotted_one_by_one(tmp_path, pictures, options):
    shown = [plot_of_one(picture, **options) for picture in pictures[:12]]
    save(tmp_path, shown)
    made, said = read(tmp_path)
    assert len(made) == 12
    assert any("the 6 that were looked at have the same frame" in sentence for sentence in said)
    assert not sheets.are_plotted(shown[:3])  # three may be alike by chance


@pytest.mark.parametrize("pictures", [DIGITS, FACES], ids=["digits", "faces"])
def test_neither_pictures_nor_sheets_of_them_are_called_plotted(pictures):
    for scale in (1, 4):
        for k in range(0, 64, 8):
            assert not sheets.are_plotted([p.repeat(scale, 0).repeat(scale, 1) for p in pictures[k : k + 8]])
    for gap in (0, 2):
        assert not sheets.are_plotted([sheet(pictures[k * 16 : k * 16 + 16], 4, gap, 255) for k in range(8)])


def test_few_large_pictures_may_be_sheets_for_all_that(tmp_path):
    save(tmp_path, [np.asarray(Image.fromarray(face).resize((96, 96))) for face in FACES[:5]])
    assert "Each of the 5 files was read as one picture: if it is a contact sheet" in " ".join(read(tmp_path)[1])
    save(tmp_path, [np.asarray(Image.fromarray(face).resize((96, 96))) for face in FACES[:64]])
    assert "contact sheet" not in " ".join(read(tmp_path)[1])


def walls(seed, brick, size):
    """Bricks, each of its own shade, with mortar between them and noise on all."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(size // brick + 1):
        shades = rng.normal(120, 25, size // brick + 2).repeat(brick)
        shades[brick - 1 :: brick] = 200
        row = shades[(i % 2) * brick // 2 :][:size][None].repeat(brick, 0)
        row[-1] = 200
        rows.append(row)
    return (np.concatenate(rows)[:size] + rng.normal(0, 4, (size, size))).clip(0, 255).astype(np.uint8)


def facades(seed, n, size, noise):
    """Windows, lit or dark, in rows and columns on a plain wall."""
    rng = np.random.default_rng(seed)
    pitch = size // n
    wall = np.full((size, size), 170.0)
    for y, x in np.ndindex(n, n):
        pane = wall[y * pitch + pitch // 4 : (y + 1) * pitch - pitch // 5, x * pitch + pitch // 4 :][:, : pitch // 2]
        pane[:] = rng.choice([30, rng.integers(60, 250)])
        pane[len(pane) // 2] = 90
    return (wall + rng.normal(0, noise, wall.shape)).clip(0, 255).astype(np.uint8)


def checkers(seed, cell, size):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size // cell, size // cell)).astype(np.uint8).repeat(cell, 0).repeat(cell, 1)


@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize(
    "draw",
    [
        *(lambda seed, size, brick=brick: walls(seed, brick, size) for brick in (16, 32)),
        *(lambda seed, size, n=n, noise=noise: facades(seed, n, size, noise) for n in (4, 8) for noise in (0, 4)),
        *(lambda seed, size, cell=cell: checkers(seed, cell, size) for cell in (8, 16, 32)),
    ],
)
def test_patterns_are_no_sheets(draw, size):
    for count in (1, 8):
        shown = [draw(seed, size) for seed in range(count)]
        assert sheets.find_grid(shown) is None
        assert not sheets.is_spoiled_sheet(shown)
        assert not sheets.are_plotted(shown)


# --- folders ---------------------------------------------------------------------------------------------------------


def test_other_files_are_counted(tmp_path):
    save(tmp_path, FACES[:20])
    for name in ("000.txt", "statistics.csv", "run.json", "Thumbs.db", "index.html"):
        (tmp_path / name).write_text("x")
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions" / "1.txt").write_text("a face")
    images, said = read(tmp_path)
    assert (len(images), len(images.classes)) == (20, 1)
    assert said == ["Left out 6 of 26 files: 6 not a picture (000.txt)."]


@pytest.mark.parametrize("around", ["", "img_align/img_align"])
def test_splits_are_no_classes(tmp_path, around):
    for k, split in enumerate(("train", "test")):
        for j, name in enumerate(("cats", "dogs")):
            save(tmp_path / around / split / name, FACES[20 * k + 10 * j :][: 10 - k])
    images, said = read(tmp_path)
    assert images.classes == ("cats", "dogs")
    assert images.labels.bincount().tolist() == [10, 10]
    assert said == [
        "Read train only, and not test: these are parts of one set, not classes.",
        "The 2 folders cats, dogs were read as classes.",
    ]
    assert read(tmp_path, split="test")[0].labels.bincount().tolist() == [9, 9]


@pytest.mark.parametrize(
    ("folders", "name", "restart", "counts", "classes"),
    [
        (("00000", "00001"), "img{:08}.png", False, (10, 10), 1),
        (("00000", "00001"), "{:03}.png", True, (10, 7), 1),
        (("00000", "00001"), "{:03}.png", True, (10, 12), 2),  # road signs: 43 classes, named so
        (("part-0", "part-1"), "{:03}.png", True, (10, 12), 1),
        (("0", "1"), "img{:08}.png", False, (10, 10), 2),
        (("000", "001"), "{:03}.png", True, (10, 10), 2),
    ],
)
def test_numbered_parts_are_no_classes(tmp_path, folders, name, restart, counts, classes):
    for k, (folder, count) in enumerate(zip(folders, counts, strict=True)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.fromarray(FACES[30 * k + i]).save(tmp_path / folder / name.format(i if restart else 30 * k + i))
    images, said = read(tmp_path)
    assert (len(images), len(images.classes)) == (sum(counts), classes)
    assert ("parts of one set" in " ".join(said)) == (classes == 1)


def test_a_class_without_pictures_is_named(tmp_path):
    save(tmp_path / "cats", FACES[:5])
    save(tmp_path / "dogs", FACES[5:10])
    (tmp_path / "birds").mkdir()
    (tmp_path / "newts").mkdir()
    (tmp_path / "newts" / "1.png").write_text("no picture")
    images, said = read(tmp_path)
    assert (images.classes, images.labels.tolist()) == (("cats", "dogs"), [0] * 5 + [1] * 5)
    assert said[0] == "The 3 folders cats, dogs, newts were read as classes."
    assert "birds" in said[1]
    assert "newts" in said[-1]


def test_linked_classes_one_level_deeper(tmp_path):
    save(tmp_path / "store" / "shapes", FACES[:5])
    save(tmp_path / "store" / "faces", FACES[5:9])
    (tmp_path / "mine" / "deeper").mkdir(parents=True)
    for name in ("shapes", "faces"):
        (tmp_path / "mine" / "deeper" / name).symlink_to(tmp_path / "store" / name)
    images, said = read(tmp_path / "mine")
    assert (images.classes, tuple(images.stored.shape)) == (("faces", "shapes"), (9, 3, 32, 32))
    assert said == ["The 2 folders faces, shapes were read as classes."]


def test_one_odd_picture_does_not_decide_the_size(tmp_path):
    save(tmp_path, FACES[:20])
    Image.fromarray(FACES[0]).resize((12, 12)).save(tmp_path / "000.png")
    images, said = read(tmp_path)
    assert images.stored.shape == (20, 3, 32, 32)
    assert said == ["Resized 1 of 20 pictures to 32×32 pixels."]


def test_grey_values_of_16_bits_are_stretched_by_the_range_of_all(tmp_path):
    for k in range(4):
        values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 4 + 100 + k
        Image.fromarray(values).save(tmp_path / f"{k}.png")
    images, said = read(tmp_path)
    exact = (np.arange(256) * 4 + np.arange(4)[:, None]) * 255 / (255 * 4 + 3)
    np.testing.assert_allclose(images.stored.flatten(1), exact, atol=0.51)
    assert said == ["4 of 4 files have 16 bits a pixel: 100 became black, and 1123 white."]


@pytest.mark.parametrize(
    ("low", "high", "odd", "far"),
    [
        (200, 2700, [65_535], "65535"),
        (200, 2700, [20_000, 65_535], "65535"),
        (200, 2700, [65_535] * 18, "65535"),  # a label in a corner
        (0, 30_000, [65_535], "65535"),
        (1000, 1800, [0], "0"),
        (20_000, 28_000, [0, 65_535], "0 and 65535"),
    ],
)
def test_hot_and_dead_pixels_do_not_darken_all_others(tmp_path, low, high, odd, far):
    ramps = np.linspace(low, high, 2560).round().astype(np.uint16).reshape(10, 256)
    exact = ((ramps[0].astype(int) - low) * 255 / (high - low)).round()
    ramps[3, : len(odd)] = odd
    for k, ramp in enumerate(ramps):
        Image.fromarray(ramp.reshape(16, 16)).save(tmp_path / f"{k}.png")
    images, said = read(tmp_path)
    np.testing.assert_array_equal(images.stored[0].flatten(), exact)
    assert said == [
        f"10 of 10 files have 16 bits a pixel: {low} became black, and {high} white; rare values far from these, up "
        f"to {far}, were cut off."
    ]


def test_values_that_are_rare_but_not_far_are_kept(tmp_path):
    """Stars: most of the sky is dark, and a few pixels are of any brightness."""
    rng = np.random.default_rng(0)
    for k in range(20):
        sky = rng.normal(300, 20, (32, 32))
        sky.flat[rng.integers(1024, size=9)] += 60_000 * rng.random(9) ** 4
        Image.fromarray(sky.round().astype(np.uint16)).save(tmp_path / f"{k}.png")
    assert "cut off" not in read(tmp_path)[1][0]
    for k in range(20):
        ink = np.where(rng.random((32, 32)) < 0.01, 65_535, 0)
        Image.fromarray(ink.astype(np.uint16)).save(tmp_path / f"{k}.png")
    assert "0 became black, and 65535 white." in read(tmp_path)[1][0]


def test_what_is_done_to_pictures_is_said(tmp_path):
    save(tmp_path, FACES[:8])
    clear = np.dstack([FACES[0], np.full((32, 32), 9, np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    Image.fromarray(FACES[1]).save(tmp_path / "film.gif", save_all=True, append_images=[Image.fromarray(FACES[2])])
    Image.fromarray(FACES[3]).convert("L").save(tmp_path / "grey.png")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    images, said = read(tmp_path)
    assert len(images) == 11
    assert said == [
        "Left out 1 of 12 files: 1 HEIC, which takes the package pillow-heif to read (a.heic).",
        "1 of 11 pictures are transparent in parts and were laid on white.",
        "1 of 11 pictures show the first frame of several.",
        "1 of 11 files are grey and were read as colour, like the others.",
    ]
    assert torch.equal(images.stored[8, :, 0, 0], images.stored[8, :, 0, 0].clamp(min=240))  # nearly white
    images, said = read(tmp_path, ground="black")
    assert "laid on black" in said[1]
    assert images.stored[8].max() < 12
    with pytest.raises(BadInput, match="unknown ground 'grey'"):
        read(tmp_path, ground="grey")


def test_more_pictures_than_fit_are_not_read(tmp_path, monkeypatch):
    save(tmp_path, FACES[:8])
    monkeypatch.setattr("gantutor.data.memory.free", lambda: 10_000)
    with pytest.raises(BadInput, match=r"8 pictures of 32×32 would take 24.6 kB"):
        read(tmp_path)


def test_a_folder_of_arrays_is_told_where_they_are(tmp_path):
    np.savez(tmp_path / "samples.npz", images=FACES)
    with pytest.raises(BadInput, match=r"holds no pictures, but samples.npz: give the path of that file"):
        read(tmp_path)
