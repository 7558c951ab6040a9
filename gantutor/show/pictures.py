"""Pictures that are redrawn during training, with Pillow: a few milliseconds each."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gantutor import errors
from gantutor.errors import BadInput
from gantutor.show.style import (
    FAKE,
    GREY,
    LOG_2,
    LOG_4,
    REAL,
    History,
    Picture,
    as_image,
    as_numbers,
    check_images,
    check_points,
    font,
    running_mean,
)

if TYPE_CHECKING:
    from PIL import Image, ImageDraw


def grid(
    images: Tensor,
    columns: int | None = None,
    scale: int = 2,
    gap: int = 2,
    *,
    frames: Sequence[str] | None = None,
    marks: Sequence[str] | None = None,
) -> "Image.Image":
    """Images in rows, from left to right, with thin light lines between them.

    Args:
        images: a floating-point tensor (N, C, H, W) in [-1, 1], grey (C = 1) or RGB (C = 3), on any device.
        columns: images per row; by default as square as possible.
        scale: pixels of the picture for each pixel of an image, a whole number.
        gap: width of the lines, in pixels of the picture.
        frames: a colour for each image, in which half of the line around it is drawn.
        marks: a letter for each image, or "", in its upper right corner.

    Raises:
        BadInput: any other shape or type, values that are NaN or outside [-1, 1], not as many frames or marks.
    """
    from PIL import Image, ImageDraw

    check_images(images)
    for name, value, least in (("columns", columns or 1, 1), ("scale", scale, 1), ("gap", gap, 0)):
        if not isinstance(value, int) or value < least:
            raise BadInput(f"{name} is {value!r}: give a whole number, {least} or more.")
    n, c, h, w = images.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    levels = ((images.detach().cpu().float() + 1) * 127.5).round().to(torch.uint8)  # (N, C, H, W), 0…255
    pixels = levels.permute(0, 2, 3, 1).numpy().repeat(scale, 1).repeat(scale, 2)  # (N, h, w, C), enlarged
    h, w = h * scale + gap, w * scale + gap
    places = np.full((rows * columns, h, w, c), 200, np.uint8)
    places[:n, gap:, gap:] = pixels
    places[n:] = 255  # empty ones are white
    sheet = places.reshape(rows, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, c)
    sheet = np.pad(sheet, ((0, gap), (0, gap), (0, 0)), constant_values=200)  # the lines at the right and at the bottom
    picture = Image.fromarray(sheet[:, :, 0] if c == 1 else sheet)
    for what, given in (("frames", frames), ("marks", marks)):
        if given is not None and len(given) != n:
            raise BadInput(f"there are {n} images and {len(given)} {what}: give one for each.")
    if frames is None and marks is None:
        return picture
    picture = picture.convert("RGB")
    draw, half = ImageDraw.Draw(picture), gap // 2
    for i in range(n):
        top, left = i // columns * h + half, i % columns * w + half
        if frames is not None and half:
            draw.rectangle((left, top, left + w - 1, top + h - 1), outline=frames[i], width=half)
        if marks is not None:
            draw.text((left + w - half - 4, top + half), marks[i], fill="white", anchor="ra", font=font(h // 5, True))
    return picture


def dots(real: Tensor | None, fake: Tensor, limit: float | None = None, size: int = 320) -> "Image.Image":
    """Points in the plane, real (blue) under generated (orange), drawn fast; `points` draws them with axes.

    Args:
        real, fake: (N, 2) and (M, 2); `real` may be None.
        limit: the picture shows [-limit, limit] on both axes; by default all of `real`, or else of `fake`, with a
            margin.
        size: width and height in pixels.
    """
    from PIL import Image, ImageDraw

    clouds = [(check_points(cloud), colour) for cloud, colour in ((real, REAL), (fake, FAKE)) if cloud is not None]
    limit = limit or 1.35 * max(float(np.abs(clouds[0][0]).max(initial=0)), 1e-9)
    image = Image.new("RGB", (2 * size, 2 * size), "white")  # drawn at twice the size and reduced for smooth edges
    draw = ImageDraw.Draw(image)
    for cloud, colour in clouds:
        for x, y in ((cloud * (1, -1) / limit + 1) * size).clip(-9, 2 * size + 9).tolist():
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    draw.rectangle((0, 0, 2 * size - 1, 2 * size - 1), outline="#c8c8c8", width=2)
    return image.resize((size, size), Image.Resampling.BOX)


def game(real: Tensor | None, fake: Tensor | None, belief: np.ndarray | None = None,
         moves: tuple[Tensor, Tensor] | None = None, *, circles: tuple[Tensor, float] | None = None,
         limit: float = 2.5, size: int = 400) -> "Image.Image":  # fmt: skip
    """The state of a GAN in the plane, drawn fast: D's output, real (blue) and generated points (orange), G's moves.

    How many generated points lie outside is written in a corner.

    Args:
        real, fake: (N, 2) and (M, 2), or None.
        belief: D's probabilities (side, side) as `surface` returns them: 1 is blue, ½ white, 0 orange.
        moves: where arrows begin and where they end, (A, 2) each. Arrows that are not finite are left out.
        circles: their centres (K, 2) and one radius, > 0, such as three standard deviations around each cluster.
        limit: the picture shows [-limit, limit] on both axes.
        size: width and height in pixels. Raises `BadInput` for a limit of 0 or less, and for arrows whose starts and
    ends differ in number.
    """
    from PIL import Image, ImageDraw

    limit = errors.real_number("limit", limit, above=0)
    image = Image.new("RGB", (2 * size, 2 * size), "white")  # drawn at twice the size and reduced for smooth edges
    if belief is not None:
        image = Image.fromarray(heat(belief)).resize(image.size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)

    def pixels(cloud: Tensor | np.ndarray) -> list:
        return ((check_points(cloud) * (1, -1) / limit + 1) * size).clip(-99, 2 * size + 99).tolist()

    radius = max(4.0, size / 100)
    for cloud, colour in ((real, REAL), (fake, FAKE)):
        for x, y in pixels(cloud) if cloud is not None else ():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline="white")
    if moves is not None:
        begin, end = (as_numbers("the moves", part) for part in moves)
        if begin.shape != end.shape:
            raise BadInput(
                f"the moves have starts of shape {begin.shape} and ends of shape {end.shape}: give both as (A, 2)."
            )
        sound = np.isfinite(begin).all(1) & np.isfinite(end).all(1)
        arrows = zip(pixels(begin[sound]), pixels(end[sound]), strict=True) if sound.any() else ()
        for start, stop in arrows:
            _arrow(draw, start, stop)
    if circles is not None:
        around = errors.real_number("the radius of the circles", circles[1], above=0) * size / limit
        for x, y in pixels(circles[0]):
            draw.ellipse((x - around, y - around, x + around, y + around), outline="black", width=max(2, size // 200))
    outside = 0 if fake is None else int((np.abs(check_points(fake)) > limit).any(1).sum())
    if outside:
        letters = font(max(24, size // 14))
        draw.text((2 * size - 14, 2 * size - 10), f"{outside} outside", fill=FAKE, anchor="rd", font=letters)
    draw.rectangle((0, 0, 2 * size - 1, 2 * size - 1), outline="#c8c8c8", width=2)
    return image.reduce(2)


def heat(belief: np.ndarray) -> np.ndarray:
    """Probabilities (side, side), lowest row first, as colours (side, side, 3) uint8, top row first. NaN is grey."""
    p = np.nan_to_num(belief, nan=0.5)[::-1, :, None].clip(0, 1)
    blue, orange = np.array([120.0, 178, 214]), np.array([238.0, 168, 120])  # `REAL` and `FAKE`, paler
    strength = np.abs(2 * p - 1) ** 0.6  # makes small deviations from ½ visible too
    colours = 255 + strength * (np.where(p > 0.5, blue, orange) - 255)
    return np.where(np.isnan(belief)[::-1, :, None], 200, colours).round().astype(np.uint8)


def _arrow(draw: "ImageDraw.ImageDraw", start: Sequence[float], end: Sequence[float]) -> None:
    """A black arrow, with a small head if it is short."""
    (x, y), (u, v) = start, end
    length = math.hypot(u - x, v - y)
    draw.line((x, y, u, v), fill="black", width=2)
    if length > 3:
        head = min(12.0, length / 2) / length
        back, across = (u - head * (u - x), v - head * (v - y)), (head * (v - y) / 2, -head * (u - x) / 2)
        corners = [(u, v), *((back[0] + sign * across[0], back[1] + sign * across[1]) for sign in (1, -1))]
        draw.polygon(corners, fill="black")


def chart(history: History, width: int = 420, height: int = 320) -> "Image.Image":
    """The loss curves as a small picture, drawn fast for live displays; `losses` draws them to study.

    They are pale, with their running mean on top.
    """
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (2 * width, 2 * height), "white")
    draw = ImageDraw.Draw(image)
    left, right, top, bottom = 80, 2 * width - 20, 60, 2 * height - 60
    values = np.array(history, dtype=float).reshape(-1, 3)
    values = values[np.isfinite(values).all(axis=1)]
    high = max(2.0, float(np.quantile(values[:, 1:], 0.98)) * 1.15) if len(values) else 2.0
    low = min(0.0, float(np.quantile(values[:, 1:], 0.02)) * 1.15) if len(values) else 0.0
    last = max(float(values[-1, 0]) if len(values) else 1.0, 1.0)

    def y_of(v):
        return bottom - (np.clip(v, low, high) - low) / (high - low) * (bottom - top)

    ends = {end: _short(end) for end, far in ((low, low < 0), (high, high > 4)) if far}
    named: list[float] = []  # heights of the labels; where two would overlap, the first one stays
    for level, name in {**ends, 0.0: "0", LOG_4: "log 4", LOG_2: "log 2"}.items():
        y = float(y_of(level))
        draw.line((left, y, right, y), fill="#c8c8c8", width=2)
        if all(abs(y - other) > 26 for other in named):
            draw.text((left - 8, y), name, fill=GREY, anchor="rm", font=font(22))
            named.append(y)
    thin = max(1, len(values) // 2000)  # more points than pixels only cost time
    x = (left + values[:, 0] / last * (right - left))[::thin]
    curves = ((1, REAL, "#bcd9e9", "D loss", left), (2, FAKE, "#f4d3bc", "G loss", left + 150))

    def line(y: np.ndarray, colour: str, width: int) -> None:
        if len(y) > 1:
            path = np.stack([x, y_of(y[::thin])], 1)
            draw.line([tuple(p) for p in path.tolist()], fill=colour, width=width, joint="curve")

    for column, _, pale, _, _ in curves:
        line(values[:, column], pale, 2)
    for column, colour, _, name, place in curves:
        line(running_mean(values[:, column]) if len(values) else values[:, column], colour, 3)
        draw.text((place, 16), name, fill=colour, font=font(26))
    draw.text((right, bottom + 10), f"step {last:,.0f}", fill=GREY, anchor="ra", font=font(24))
    return image.resize((width, height), Image.Resampling.BOX)


def _short(value: float) -> str:
    """A number in a few characters: -3.2, 57, -101k."""
    size = abs(value)
    return f"{value / 1000:.0f}k" if size >= 1000 else f"{value:.0f}" if size >= 10 else f"{value:.1f}"


def strip(frames: Sequence[Picture], titles: Sequence[str] | None = None, height: int | None = None) -> "Image.Image":
    """Pictures side by side, each under its title.

    Args:
        frames: Pillow images or figures.
        titles: a line of text for each, or None.
        height: the height of all pictures in pixels; by default they keep their size.
    """
    from PIL import Image, ImageDraw

    if not frames or (titles is not None and len(titles) != len(frames)):
        raise BadInput(
            f"strip got {len(frames)} frames and {len(titles or [])} titles: give at least one frame, and a "
            "title for each or none."
        )
    images = [as_image(frame) for frame in frames]
    if height:
        images = [im.resize((round(im.width * height / im.height), height), Image.Resampling.LANCZOS) for im in images]
    above, gap = (24 if titles else 0), 10
    titles = list(titles or [""] * len(images))
    widths = [max(im.width, math.ceil(font(14).getlength(t)) + 4) for im, t in zip(images, titles, strict=True)]
    row = Image.new("RGB", (sum(widths) + gap * (len(images) - 1), above + max(im.height for im in images)), "white")
    draw, x = ImageDraw.Draw(row), 0
    for image, title, width in zip(images, titles, widths, strict=True):
        row.paste(image, (x + (width - image.width) // 2, above))
        draw.text((x + width / 2, above / 2), title, fill="black", anchor="mm", font=font(14))
        x += width + gap
    return row


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
