"""Pictures as a lesson shows them: sharp on a dense screen, with a title, captions and an alternative text.

    show.figure([show.grid(digits, scale=6), show.grid(faces, scale=4)], "Nobody drew these", ["digits", "faces"])
    show.play(show.walk(G, labels=3), "From three to three")

Each is twice as large as it is displayed, but for films. What a saved notebook shows is a PNG; films are animated ones,
which play in JupyterLab, on a forge and on a web page without a kernel.
"""

import base64
import io
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gantutor.errors import BadInput, real_number, whole_number
from gantutor.show.style import DENSITY, FAKE, GREY, REAL, Picture, as_image, bundle, font

if TYPE_CHECKING:
    from PIL import Image

TEXT, TITLE, SPACE = 28, 32, 24  # heights of letters, and the space between parts, in pixels of the picture
SHADES, GREYS = 56, 25  # colours of a film, and of one that is grey …
TINTS = ("#78b2d6", "#a7cce4", "#d3e5f1", "#eea878", "#f4c7a8", "#fae3d4")  # of `game`, where D is more or less sure
HOUSE = (REAL, FAKE, GREY, "#1d2433", "#c8c8c8", "black", "white", *TINTS)  # … and those that it has in any case


class Shown:
    """What `figure` and `play` return: a notebook shows it, with its alternative text.

    Attributes:
        png: the bytes of a PNG file, animated if it is a film.
        width: as displayed, in pixels of a page.
        alt: what it shows, in words.
    """

    def __init__(self, png: bytes, width: int, alt: str):
        self.png, self.width, self.alt = png, width, alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return bundle(base64.b64encode(self.png).decode(), self.width, self.alt)

    def __repr__(self) -> str:
        return self.alt


def figure(
    pictures: "Picture | Sequence[Picture]",
    title: str,
    captions: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    alt: str = "",
) -> Shown:
    """Pictures in a row, or in several, under a title that says what they show.

    Args:
        pictures: Pillow images at twice the size at which they are to be seen, or figures.
        title: the finding.
        captions: a text under each picture.
        columns: pictures in a row; by default all.
        alt: what can be seen, for those who cannot see it; by default title and captions.

    Raises:
        BadInput: there are no pictures, or not as many captions.
    """
    listed = list(pictures) if isinstance(pictures, Sequence) else [pictures]
    texts = [""] * len(listed) if captions is None else list(captions)
    if not listed or len(texts) != len(listed):
        raise BadInput(
            f"figure got {len(listed)} pictures and {len(texts)} captions: give a caption for each, or none."
        )
    cells = [captioned(as_image(picture, DENSITY), text) for picture, text in zip(listed, texts, strict=True)]
    sheet = titled(in_rows(cells, columns or len(cells)), title)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    said = " ".join(f"{part.rstrip('.')}." for part in (title, "; ".join(filter(None, texts))) if part)
    return Shown(file.getvalue(), math.ceil(sheet.width / DENSITY), alt or said)


def play(
    frames: "Iterable[Image.Image]", title: str, *, fps: float = 12, hold: float = 1.5, scale: float = 1, alt: str = ""
) -> Shown:
    """A film under a title that says what happens in it. It repeats, and rests on its last frame for `hold` seconds.

    Where films do not play, as on paper, it is a sheet of nine of its frames.

    Args:
        frames: Pillow images of one size, two at least.
        fps: frames a second, 1 to 50.
        scale: how much larger than its frames it is displayed.
        alt: as for `figure`.

    Raises:
        BadInput: there are fewer than two frames, or they are of several sizes.
    """
    from PIL import Image

    fps, hold = real_number("fps", fps, least=1, most=50), real_number("hold", hold, least=0)
    each = [titled(frame.convert("RGB"), title, TITLE // 2, SPACE // 2) for frame in frames]
    if len(each) < 2 or len({frame.size for frame in each}) > 1:
        raise BadInput(f"there are {len(each)} frames of {len({f.size for f in each})} sizes: a film needs two or more "
                       "frames of one size.")  # fmt: skip
    moments = [each[round(i * (len(each) - 1) / 8)] for i in range(9)]
    still = Image.new("RGB", each[0].size, "white")
    still.paste(contact_sheet(moments, still.size))
    shades = palette(in_rows(moments, 1, 0))
    first, *rest = (reduced(frame, shades) for frame in (still, *each))
    times = [round(1000 / fps)] * (len(rest) - 1) + [round(1000 * hold)]
    file = io.BytesIO()
    first.save(file, "PNG", save_all=True, append_images=rest, default_image=True, loop=0, duration=times)
    return Shown(file.getvalue(), round(scale * still.width), alt or f"A film: {title.rstrip('.')}.")


# --- layout ----------------------------------------------------------------------------------------------------------


def captioned(image: "Image.Image", text: str) -> "Image.Image":
    """A picture with a text below, or the picture itself where there is no text."""
    return below(image, written(text, max(image.width, 12 * TEXT), TEXT), SPACE // 2) if text else image


def titled(image: "Image.Image", title: str, size: int = TITLE, space: int = SPACE) -> "Image.Image":
    whole_number("the size of the title", size, least=1)
    return below(written(title, max(image.width, 16 * size), size, bold=True), image, space)


def written(text: str, width: int, size: int, bold: bool = False) -> "Image.Image":
    """A text, in lines of at most `width` pixels, on white."""
    from PIL import Image, ImageDraw

    face = font(size, bold)
    each = max(face.getlength(text) / max(len(text), 1), 1)
    lines = textwrap.wrap(text, max(int(width / each), 1)) or [""]
    while len(lines) > 1 and max(face.getlength(line) for line in lines) > width:
        each *= 1.05
        lines = textwrap.wrap(text, max(int(width / each), 1))
    step = round(1.35 * size)
    picture = Image.new("RGB", (math.ceil(max(map(face.getlength, lines))) + 2, step * len(lines)), "white")
    draw = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        draw.text((picture.width / 2, step * (i + 0.5)), line, fill="#1d2433", anchor="mm", font=face)
    return picture


def below(upper: "Image.Image", lower: "Image.Image", space: int) -> "Image.Image":
    from PIL import Image

    both = Image.new("RGB", (max(upper.width, lower.width), upper.height + space + lower.height), "white")
    both.paste(upper, ((both.width - upper.width) // 2, 0))
    both.paste(lower, ((both.width - lower.width) // 2, upper.height + space))
    return both


def in_rows(cells: "Sequence[Image.Image]", columns: int, space: int = SPACE) -> "Image.Image":
    """Pictures in rows of `columns`, each in the middle of its place in the row, with their upper edges in line."""
    from PIL import Image

    columns = min(whole_number("columns", columns, least=1), len(cells))
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    widths = [max(row[c].width for row in rows if c < len(row)) for c in range(columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    size = sum(widths) + space * (columns - 1), sum(heights) + space * (len(rows) - 1)
    sheet, y = Image.new("RGB", size, "white"), 0
    for row, height in zip(rows, heights, strict=True):
        x = 0
        for cell, width in zip(row, widths, strict=False):
            sheet.paste(cell, (x + (width - cell.width) // 2, y))
            x += width + space
        y += height + space
    return sheet


def contact_sheet(frames: "Sequence[Image.Image]", size: tuple[int, int]) -> "Image.Image":
    """Pictures of one size, in the rows that leave them largest within a size."""
    width, height = frames[0].size

    def enlarged(columns: int) -> float:
        return min(size[0] / (columns * width), size[1] / (math.ceil(len(frames) / columns) * height))

    columns = max(range(1, len(frames) + 1), key=enlarged)
    small = max(int(enlarged(columns) * width), 1), max(int(enlarged(columns) * height), 1)
    return in_rows([frame.resize(small) for frame in frames], columns, 0)


def palette(picture: "Image.Image", count: int | None = None) -> "Image.Image":
    """The colours that stand for those of a picture, and with them those of the house, as Pillow's `quantize` wants.

    Args:
        count: of all colours together; by default as many as a film has.
    """
    from PIL import Image, ImageColor

    found = (count or (GREYS if is_grey(picture) else SHADES)) - len(HOUSE)
    own = picture.quantize(found, Image.Quantize.MEDIANCUT).getpalette() or []
    shades = Image.new("P", (1, 1))
    shades.putpalette([*(value for name in HOUSE for value in ImageColor.getrgb(name)), *own[: 3 * found]])
    return shades


def reduced(picture: "Image.Image", shades: "Image.Image") -> "Image.Image":
    """A picture in the colours of a `palette`. Those of the house stay exactly what they are."""
    from PIL import Image, ImageColor

    nearest = np.asarray(picture.quantize(palette=shades, dither=Image.Dither.NONE)).copy()
    pixels = as_numbers(np.asarray(picture))
    for number, name in enumerate(HOUSE):  # Pillow's own search is quick, and not exact
        nearest[pixels == as_numbers(np.array(ImageColor.getrgb(name)))] = number
    result = Image.fromarray(nearest, "P")
    result.putpalette(shades.getpalette() or [])
    return result


def as_numbers(colours: np.ndarray) -> np.ndarray:
    """Colours (…, 3), 0 to 255, as one number each."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def is_grey(picture: "Image.Image") -> bool:
    """Whether all of a picture is grey, but for the letters of its title."""
    return np.asarray(picture.convert("HSV").split()[1].reduce(4)).max() < 128
