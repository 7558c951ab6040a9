"""Pictures. The only module that imports matplotlib; it opens no window and prints nothing, it returns the picture.

Pictures that are redrawn while a net trains are made with Pillow (`grid`, `dots`, `game`, `chart`: some milliseconds
each); pictures to study are matplotlib figures (`losses`, `curves`, `densities`, `field`, `points`: about 0.1 s each).
A notebook shows either by naming it in the last line of a cell, or with ``display(picture)``. The figures are not
registered with pyplot: nothing is shown twice and nothing needs closing.

Colours: the data is blue, the generator orange (Okabe & Ito's palette, told apart by colour-blind readers).
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch
from matplotlib import figure
from torch import Tensor, nn

from gantutor import errors, train
from gantutor.errors import BadInput

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    from gantutor.diagnosis import Diagnosis
    from gantutor.museum.exhibits import Outcome
    from gantutor.museum.parts import Side

REAL, FAKE, GREY = "#0072B2", "#D55E00", "#6b6b6b"  # blue: data, D; orange: generator
PALETTE = (REAL, FAKE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1)), ":")
LOG_4, LOG_2 = math.log(4), math.log(2)

History = Sequence[tuple[int, float, float]]  # (step, D's loss, G's loss)


class Figure(figure.Figure):
    """A matplotlib figure that a notebook shows as a PNG, whether or not pyplot was ever imported."""

    def _repr_png_(self) -> bytes:
        return png(self)


Picture = "Image.Image | Figure"


def png(picture: Picture) -> bytes:
    """The picture, a Pillow image or a figure, as the bytes of a PNG file."""
    file = io.BytesIO()
    if isinstance(picture, figure.Figure):
        picture.savefig(file, format="png")
    else:
        picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


# ---------------------------------------------------------------- images of tensors, by Pillow


def grid(images: Tensor, columns: int | None = None, scale: int = 2, gap: int = 2) -> "Image.Image":
    """Lay images out in rows, from left to right, with thin light lines between them.

    Args:
        images: floating-point tensor (N, C, H, W) in [-1, 1], grey (C = 1) or RGB (C = 3), on any device.
        columns: images per row; by default as square as possible.
        scale: pixels of the picture per pixel of an image, a whole number.
        gap: width of the lines, in pixels of the picture.
    Raises `BadInput` for any other shape or type, and for values that are NaN or outside [-1, 1].
    """
    from PIL import Image

    check_images(images)
    for name, value, least in (("columns", columns or 1, 1), ("scale", scale, 1), ("gap", gap, 0)):
        if not isinstance(value, int) or value < least:
            raise BadInput(f"{name} is {value!r}: give a whole number, {least} or more.")
    n, c, h, w = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    pixels = ((images.detach().cpu().float() + 1) * 127.5).round().to(torch.uint8)  # (N, C, H, W), 0…255
    pixels = pixels.permute(0, 2, 3, 1).numpy().repeat(scale, 1).repeat(scale, 2)  # (N, h, w, C), enlarged
    h, w = h * scale + gap, w * scale + gap
    sheet = np.full((rows * columns, h, w, c), 200, np.uint8)
    sheet[:n, gap:, gap:] = pixels
    sheet[n:] = 255  # places left empty
    sheet = sheet.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
    sheet = np.pad(sheet, ((0, gap), (0, gap), (0, 0)), constant_values=200)  # the lines on the right and below
    return Image.fromarray(sheet[:, :, 0] if c == 1 else sheet)


def dots(real: Tensor | None, fake: Tensor, limit: float | None = None, size: int = 320) -> "Image.Image":
    """Points in the plane, data (blue) under generator (orange), drawn fast; `points` draws them with axes.

    Args:
        real, fake: (N, 2) and (M, 2); `real` may be None.
        limit: the picture shows [-limit, limit] on both axes; by default all of `real` (else of `fake`) with a margin.
        size: width and height in pixels.
    """
    from PIL import Image, ImageDraw

    clouds = [(check_points(cloud), colour) for cloud, colour in ((real, REAL), (fake, FAKE)) if cloud is not None]
    limit = limit or 1.35 * max(float(np.abs(clouds[0][0]).max(initial=0)), 1e-9)
    image = Image.new("RGB", (2 * size, 2 * size), "white")  # drawn twice as large, then reduced: smooth edges
    draw = ImageDraw.Draw(image)
    for cloud, colour in clouds:
        for x, y in ((cloud * (1, -1) / limit + 1) * size).clip(-9, 2 * size + 9).tolist():
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    draw.rectangle((0, 0, 2 * size - 1, 2 * size - 1), outline="#c8c8c8", width=2)
    return image.resize((size, size), Image.Resampling.BOX)


def game(real: Tensor | None, fake: Tensor | None, belief: np.ndarray | None = None,
         moves: tuple[Tensor, Tensor] | None = None, *, limit: float = 2.5,
         size: int = 400) -> "Image.Image":  # fmt: skip
    """A two-dimensional game as it stands, drawn fast: what D believes, data (blue), generator (orange), G's moves.

    Args:
        real, fake: (N, 2) and (M, 2), or None.
        belief: (side, side) probabilities "real" as `surface` returns them: 1 is blue, ½ white, 0 orange.
        moves: where each arrow begins and where it ends, (A, 2) each. Those with a number that is not finite are left
            out.
        limit: the picture shows [-limit, limit] on both axes.
        size: width and height in pixels.
    Raises `BadInput` for a limit of 0 or less, and where not as many arrows end as begin.
    """
    from PIL import Image, ImageDraw

    limit = errors.real("limit", limit, above=0)
    image = Image.new("RGB", (2 * size, 2 * size), "white")  # drawn twice as large, then reduced: smooth edges
    if belief is not None:
        image = Image.fromarray(heat(belief)).resize(image.size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)

    def pixels(cloud: Tensor | np.ndarray) -> list:
        return ((check_points(cloud) * (1, -1) / limit + 1) * size).clip(-99, 2 * size + 99).tolist()

    for cloud, colour in ((real, REAL), (fake, FAKE)):
        for x, y in pixels(cloud) if cloud is not None else ():
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour, outline="white")
    if moves is not None:
        begin, end = (_numbers("the moves", part) for part in moves)
        if begin.shape != end.shape:
            raise BadInput(f"the moves begin at {begin.shape} and end at {end.shape}: give (A, 2) twice.")
        sound = np.isfinite(begin).all(1) & np.isfinite(end).all(1)
        arrows = zip(pixels(begin[sound]), pixels(end[sound]), strict=True) if sound.any() else ()
        for start, stop in arrows:
            _arrow(draw, start, stop)
    draw.rectangle((0, 0, 2 * size - 1, 2 * size - 1), outline="#c8c8c8", width=2)
    return image.reduce(2)


def heat(belief: np.ndarray) -> np.ndarray:
    """Probabilities (side, side), first row lowest, as colours (side, side, 3) uint8, first row on top. NaN is grey."""
    p = np.nan_to_num(belief, nan=0.5)[::-1, :, None].clip(0, 1)
    blue, orange = np.array([120.0, 178, 214]), np.array([238.0, 168, 120])  # `REAL` and `FAKE`, paler
    strength = np.abs(2 * p - 1) ** 0.6  # so that a slight doubt can be seen too
    colours = 255 + strength * (np.where(p > 0.5, blue, orange) - 255)
    return np.where(np.isnan(belief)[::-1, :, None], 200, colours).round().astype(np.uint8)


def _arrow(draw: "ImageDraw.ImageDraw", start: Sequence[float], end: Sequence[float]) -> None:
    """A black line with a head, which is small on a short one."""
    (x, y), (u, v) = start, end
    length = math.hypot(u - x, v - y)
    draw.line((x, y, u, v), fill="black", width=2)
    if length > 3:
        head = min(12.0, length / 2) / length
        back, across = (u - head * (u - x), v - head * (v - y)), (head * (v - y) / 2, -head * (u - x) / 2)
        corners = [(u, v), *((back[0] + sign * across[0], back[1] + sign * across[1]) for sign in (1, -1))]
        draw.polygon(corners, fill="black")


def chart(history: History, width: int = 420, height: int = 320) -> "Image.Image":
    """The loss curves as a small picture drawn fast, for live displays; `losses` draws them to be studied."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (2 * width, 2 * height), "white")
    draw = ImageDraw.Draw(image)
    left, right, top, bottom = 80, 2 * width - 20, 60, 2 * height - 60
    values = np.array(history, dtype=float).reshape(-1, 3)
    values = values[np.isfinite(values).all(axis=1)]
    high = max(2.0, float(np.quantile(values[:, 1:], 0.98)) * 1.15) if len(values) else 2.0
    low = min(0.0, float(np.quantile(values[:, 1:], 0.02)) * 1.15) if len(values) else 0.0
    last = max(float(values[-1, 0]) if len(values) else 1.0, 1.0)
    values = values[:: max(1, len(values) // 2000)]  # more points than pixels would only cost time

    def y_of(v):
        return bottom - (np.clip(v, low, high) - low) / (high - low) * (bottom - top)

    ends = {end: _short(end) for end, far in ((low, low < 0), (high, high > 4)) if far}
    named = []  # heights at which there is a name: where two would touch, the first one stays
    for level, name in {**ends, 0.0: "0", LOG_4: "log 4", LOG_2: "log 2"}.items():
        y = float(y_of(level))
        draw.line((left, y, right, y), fill="#c8c8c8", width=2)
        if all(abs(y - other) > 26 for other in named):
            draw.text((left - 8, y), name, fill=GREY, anchor="rm", font=_font(22))
            named.append(y)
    for column, colour, name, place in ((1, REAL, "D loss", left), (2, FAKE, "G loss", left + 150)):
        path = np.stack([left + values[:, 0] / last * (right - left), y_of(values[:, column])], 1)
        if len(path) > 1:
            draw.line([tuple(p) for p in path.tolist()], fill=colour, width=3, joint="curve")
        draw.text((place, 16), name, fill=colour, font=_font(26))
    draw.text((right, bottom + 10), f"step {last:,.0f}", fill=GREY, anchor="ra", font=_font(24))
    return image.resize((width, height), Image.Resampling.BOX)


def _short(value: float) -> str:
    """A number in few characters: -3.2, 57, -101k."""
    size = abs(value)
    return f"{value / 1000:.0f}k" if size >= 1000 else f"{value:.0f}" if size >= 10 else f"{value:.1f}"


def strip(frames: Sequence[Picture], titles: Sequence[str] | None = None, height: int | None = None) -> "Image.Image":
    """Pictures side by side, each under its title: what a slider would show, for a page where sliders do not move.

    Args:
        frames: Pillow images or figures.
        titles: one line of text for each, or None.
        height: make all pictures this high, in pixels; by default they keep their size.
    """
    from PIL import Image, ImageDraw

    if not frames or (titles is not None and len(titles) != len(frames)):
        raise BadInput(f"strip got {len(frames)} frames and {len(titles or [])} titles: give one title for each frame.")
    images = [as_image(frame) for frame in frames]
    if height:
        images = [im.resize((round(im.width * height / im.height), height), Image.Resampling.LANCZOS) for im in images]
    above, gap = (24 if titles else 0), 10
    titles = list(titles or [""] * len(images))
    widths = [max(im.width, math.ceil(_font(14).getlength(t)) + 4) for im, t in zip(images, titles, strict=True)]
    row = Image.new("RGB", (sum(widths) + gap * (len(images) - 1), above + max(im.height for im in images)), "white")
    draw, x = ImageDraw.Draw(row), 0
    for image, title, width in zip(images, titles, widths, strict=True):
        row.paste(image, (x + (width - image.width) // 2, above))
        draw.text((x + width / 2, above / 2), title, fill="black", anchor="mm", font=_font(14))
        x += width + gap
    return row


def as_image(picture: Picture) -> "Image.Image":
    """A Pillow image as it is (in RGB), a figure rendered."""
    from PIL import Image

    if isinstance(picture, figure.Figure):
        picture = Image.open(io.BytesIO(png(picture)))
    if not isinstance(picture, Image.Image):
        raise BadInput(f"the picture is a {type(picture).__name__}: give a Pillow image or a figure of gantutor.show.")
    return picture.convert("RGB")


@cache
def _font(size: int) -> "ImageFont.FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)  # has σ, θ, − and ×


# ---------------------------------------------------------------- figures to study, by matplotlib


def losses(history: History, *, guides: bool = True, title: str = "", smooth: bool = True) -> Figure:
    """D's and G's loss over the steps.

    Args:
        history: (step, D's loss, G's loss) tuples, as `live.train` returns them.
        guides: draw where the losses lie while D can only guess: log 4 for D, log 2 for a non-saturating G.
        smooth: with over 100 entries, draw the entries pale and their running mean over them.
    """
    values = np.asarray(history, dtype=float)
    if values.ndim != 2 or values.shape[1] != 3 or not len(values):
        raise BadInput(f"history has shape {values.shape}: give (step, D's loss, G's loss) tuples, at least one.")
    picture, axes = _axes(title=title, xlabel="step", ylabel="loss")
    for column, colour, name in ((1, REAL, "D loss"), (2, FAKE, "G loss")):
        window = max(1, len(values) // 40) if smooth and len(values) > 100 else 1
        mean = np.convolve(values[:, column], np.ones(window) / window, "valid")
        if window > 1:
            axes.plot(values[:, 0], values[:, column], color=colour, lw=0.8, alpha=0.3)
        axes.plot(values[window // 2 : window // 2 + len(mean), 0], mean, color=colour, lw=1.8, label=name)
    finite = values[:, 1:][np.isfinite(values[:, 1:])]
    if finite.size:
        low, high = np.quantile(finite, [0.005, 0.995])
        axes.set_ylim(min(0, low * 1.1), max(1.6, high * 1.1))
    if guides:
        for level, name, colour in ((LOG_4, "log 4", REAL), (LOG_2, "log 2", FAKE)):
            axes.axhline(level, color=colour, lw=1, ls=":")
            axes.annotate(name, (1.005, level), xycoords=("axes fraction", "data"), color=colour, va="center")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)  # above, where no curve can be
    return picture


def curves(x, lines: Mapping[str, object], *, title: str = "", xlabel: str = "", ylabel: str = "", log: bool = False,
           ylim: tuple[float, float] | None = None, size: tuple[float, float] = (8, 3)) -> Figure:  # fmt: skip
    """Curves over one x axis, with a legend.

    Args:
        x: (N,) values, array, tensor or list.
        lines: {label: (N,) values}.
        log: logarithmic y axis.
        ylim: lowest and highest y.
        size: width and height in inches, at 100 pixels each.
    """
    x = _numbers("x", x)
    picture, axes = _axes(size, title=title, xlabel=xlabel, ylabel=ylabel)
    for i, (label, y) in enumerate(lines.items()):
        y = _numbers(label, y)
        if x.shape != y.shape or x.ndim != 1:
            raise BadInput(f"the curve {label!r} has shape {y.shape} over x of shape {x.shape}: give both as (N,).")
        axes.plot(x, y, color=PALETTE[i % 7], ls=STYLES[i % 7], lw=2, label=label)
    if log:
        axes.set_yscale("log")
    if ylim:
        axes.set_ylim(*ylim)
    if lines:
        axes.legend(loc="best")
    return picture


def densities(x, lines: Mapping[str, object], *, title: str = "", ylim: tuple[float, float] | None = None) -> Figure:
    """Densities on a line, the area under the first two shaded: data (blue) and generator (orange); D after them.

    Args: as `curves`, of which this is a special case: ``densities(x, {"p": p, "q": q, "D*": d})``.
    """
    picture = curves(x, lines, title=title, xlabel="x", ylim=ylim)
    (axes,) = picture.axes
    for line in axes.lines[:2]:
        axes.fill_between(line.get_xdata(), line.get_ydata(), color=line.get_color(), alpha=0.12, lw=0)
    return picture


def field(direction: Callable, paths: Mapping[str, object] | None = None, *, limit: float = 2.0,
          xlabel: str = "θ (generator)", ylabel: str = "ψ (discriminator)", title: str = "") -> Figure:  # fmt: skip
    """A vector field as arrows of equal length, and paths through it: hollow ring at the start, dot at the end.

    Args:
        direction: (x, y) -> (dx, dy), on arrays of equal shape, such as
            ``lambda theta, psi: theory.dirac_field("gan", theta, psi)``.
        paths: {label: (N, 2)} points in order. A path is drawn as far as it is finite.
        limit: the picture shows [-limit, limit] on both axes.
    """
    picture, axes = _axes((4.6, 4.6), title=title, xlabel=xlabel, ylabel=ylabel)
    axis = np.linspace(-limit, limit, 17)
    x, y = np.meshgrid(axis, axis)
    dx, dy = (np.asarray(d, dtype=float) for d in direction(x, y))
    length = np.maximum(np.hypot(dx, dy), 1e-12)
    axes.quiver(x, y, dx / length, dy / length, color="#9a9a9a", scale=26, width=0.004, pivot="mid")
    for i, (label, path) in enumerate((paths or {}).items()):
        path = _numbers(label, path)
        if path.ndim != 2 or path.shape[1] != 2:
            raise BadInput(f"the path {label!r} has shape {path.shape}: give points in order, (N, 2).")
        path = path[np.isfinite(path).all(1)]
        axes.plot(*path.T, color=PALETTE[i % 7], lw=1.4, marker=".", ms=2.5, label=label)
        axes.plot(*path[0], "o", color=PALETTE[i % 7], mfc="white", ms=8)
        axes.plot(*path[-1], "o", color=PALETTE[i % 7], ms=7)
    axes.axhline(0, color="#d0d0d0", lw=1, zorder=0)
    axes.axvline(0, color="#d0d0d0", lw=1, zorder=0)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.grid(visible=False)
    if paths and any(paths):
        axes.legend(loc="upper right")
    return picture


def points(real: Tensor | None, fake: Tensor | None, D: Callable[[Tensor], Tensor] | None = None, *,
           limit: float | None = None, title: str = "") -> Figure:  # fmt: skip
    """Points in the plane: data (blue) and generator (orange), over what D believes where.

    Args:
        real, fake: (N, 2) and (M, 2), or None.
        D: maps points (K, 2) to logits (K,); its probability "real", σ(logit), is drawn as a heat map.
        limit: the picture shows [-limit, limit] on both axes; by default all of `real` (else of `fake`) with a margin.
    """
    clouds = [
        (check_points(cloud), colour, label)
        for cloud, colour, label in ((real, REAL, "data"), (fake, FAKE, "generator"))
        if cloud is not None
    ]
    if not clouds:
        raise BadInput("points got neither real nor fake points: give at least one of the two.")
    limit = limit or 1.35 * max(float(np.abs(clouds[0][0]).max(initial=0)), 1e-9)
    picture, axes = _axes((5.6, 4.4) if D else (4.4, 4.4), title=title)
    if D is not None:
        box = (-limit, limit, -limit, limit)
        belief = surface(D, limit)
        heat = axes.imshow(belief, extent=box, origin="lower", cmap="gray", vmin=0, vmax=1, alpha=0.7)
        axes.contour(belief, levels=[0.5], extent=box, colors="black", linewidths=0.8)
        picture.colorbar(heat, label="D(x): probability that x is real", shrink=0.8)
    for cloud, colour, label in clouds:
        axes.scatter(*cloud.T, s=6, color=colour, alpha=0.6, lw=0, label=label)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.grid(visible=False)
    axes.legend(loc="upper right", markerscale=2.5)
    return picture


def surface(D: Callable[[Tensor], Tensor], limit: float, side: int = 80) -> np.ndarray:
    """σ(D) on a square grid over [-limit, limit]², as (side, side); the first row is the lowest y. D's mode is kept."""
    axis = torch.linspace(-limit, limit, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)  # (side², 2)
    if not isinstance(D, nn.Module):
        return torch.sigmoid(D(places)).detach().reshape(side, side).numpy()
    with train.evaluating(D), torch.no_grad():
        places = places.to(next((p.device for p in D.parameters()), "cpu"))
        return torch.sigmoid(D(places)).cpu().reshape(side, side).numpy()


# ---------------------------------------------------------------- the museum


def comparison(outcome: "Outcome", height: int = 176) -> "Image.Image":
    """An exhibit's broken version above its sound twin: samples, loss curves and the symptom's value.

    Args:
        outcome: what `museum.exhibit(…).run()` returns.
        height: of each row, in pixels.
    """
    symptom, rows = outcome.exhibit.symptom, []
    for name, value in outcome.measured().items():
        title = f"{name}: {symptom.name} {value:.3g}"
        rows.append(strip([evidence(getattr(outcome, name), height)], [title]))
    return stack(rows)


def evidence(side: "Side", height: int = 176) -> "Image.Image":
    """One side of an exhibit: its samples, whatever their values are (NaN is grey), and its loss curves."""
    samples = side.samples.detach().cpu().float().nan_to_num(0)
    pictures = samples.ndim == 4
    picture = grid(samples[:24].clamp(-1, 1), 8) if pictures else dots(side.run.examples[:1000], samples)
    columns = side.history["d_loss"], side.history["g_loss"]
    history = [(step, d, g) for step, (d, g) in enumerate(zip(*columns, strict=True), 1)]
    return strip([picture, chart(history)], height=height)


def stack(pictures: Sequence[Picture]) -> "Image.Image":
    """Pictures one above the other, on white."""
    from PIL import Image

    if not pictures:
        raise BadInput("stack got no pictures: give at least one.")
    images = [as_image(picture) for picture in pictures]
    sheet = Image.new("RGB", (max(im.width for im in images), sum(im.height for im in images)), "white")
    y = 0
    for image in images:
        sheet.paste(image, (0, y))
        y += image.height
    return sheet


# ---------------------------------------------------------------- the doctor's card

COLOURS = {"mild": "#56B4E9", "moderate": "#E69F00", "severe": "#D55E00", "healthy": "#009E73"}


def card(diagnosis: "Diagnosis", samples: Tensor | None = None, width: int = 720) -> "Image.Image":
    """A diagnosis as a card: each finding with its evidence and what to try first; samples on the right.

    Args:
        samples: images (N, C, H, W) in [-1, 1], of which up to 16 are shown; others are cut off, NaN is grey.
        width: of the card, in pixels.
    """
    from PIL import Image, ImageDraw

    picture = None
    if samples is not None:
        samples = samples[:16].detach().float().nan_to_num(0).clamp(-1, 1)
        picture = grid(samples, 4, scale=max(1, 200 // (4 * samples.shape[2])))
    room = width - 40 - (picture.width + 20 if picture else 0)
    lines = list(_card_lines(diagnosis, room))
    heights = [_font(size).size + 7 for _, size, _ in lines]
    height = max(sum(heights), picture.height if picture else 0) + 40
    sheet = Image.new("RGB", (width, height), "white")
    draw, y = ImageDraw.Draw(sheet), 20
    worst = max((f.severity for f in diagnosis.findings), key=list(COLOURS).index, default="healthy")
    draw.rectangle((0, 0, 7, height), fill=COLOURS[worst])
    for (text, size, colour), step in zip(lines, heights, strict=True):
        draw.text((20, y), text, fill=colour, font=_font(size))
        y += step
    if picture:
        sheet.paste(picture.convert("RGB"), (width - picture.width - 20, 20))
    return sheet


def _card_lines(diagnosis: "Diagnosis", room: int) -> Iterator[tuple[str, int, str]]:
    """The text of a card, wrapped to `room` pixels: (text, size, colour)."""
    for text in (f"Compared with {diagnosis.data}; seen by {diagnosis.judge}.", *diagnosis.notes):
        yield from ((line, 12, GREY) for line in _wrapped(text, 12, room))
    if diagnosis.healthy:
        yield "Healthy: nothing was found.", 18, COLOURS["healthy"]
    for number, finding in enumerate(diagnosis.findings, 1):
        yield f"{number}. {finding.name} ({finding.severity})", 18, COLOURS[finding.severity]
        texts = [
            finding.meaning,
            *map(str, finding.evidence),
            f"Try: {finding.to_try[0]}.",
            f"Lesson: {finding.lesson}",
        ]
        for text in texts:
            yield from ((line, 13, "black") for line in _wrapped(text, 13, room))


def _wrapped(text: str, size: int, room: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and _font(size).getlength(longer) > room:
            yield line
            longer = word
        line = longer
    yield line


def _axes(size: tuple[float, float] = (8, 3), *, title: str = "", xlabel: str = "", ylabel: str = ""):
    picture = Figure(figsize=size, dpi=100, layout="constrained")
    axes = picture.subplots()
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(xlabel, fontsize=11)
    axes.set_ylabel(ylabel, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return picture, axes


# ---------------------------------------------------------------- checks of arguments


def check_images(images: Tensor) -> None:
    """Raise `BadInput` unless these are images: floating point, (N, 1 or 3, H, W), N ≥ 1, in [-1, 1]."""
    shape = tuple(getattr(images, "shape", ()))
    if not isinstance(images, Tensor) or len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
        kind = f"a tensor of shape {shape}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise BadInput(f"the images are {kind}: give a tensor (N, C, H, W) with C = 1 (grey) or 3 (RGB).")
    if not images.is_floating_point():
        raise BadInput(f"the images are {images.dtype}: give floating-point values in [-1, 1], such as x / 127.5 - 1.")
    low, high = (v.item() for v in images.detach().aminmax())
    if not (low >= -1.001 and high <= 1.001):  # false for NaN too
        raise BadInput(f"the images hold values from {low:g} to {high:g}: give values in [-1, 1].")


def check_points(cloud: Tensor) -> np.ndarray:
    """The points as an array (N, 2). Raises `BadInput` unless they are that; those that are not finite are left out."""
    array = _numbers("the points", cloud)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise BadInput(f"the points have shape {array.shape}: give points in the plane, (N, 2).")
    return array[np.isfinite(array).all(1)]


def _numbers(name: str, values) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise BadInput(f"{name} cannot be read as numbers: give an array, a tensor or a list of numbers.") from None
