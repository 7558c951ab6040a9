"""Pictures as a lesson shows them: sharp on a dense screen, with a title, captions and an alternative text.

    show.figure([show.grid(digits, scale=6), show.grid(faces, scale=4)], "Nobody drew these", ["digits", "faces"])

A figure is twice as large as it is displayed. `films.play` shows what changes.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gantutor.errors import BadInput, whole_number
from gantutor.show.style import DENSITY, INK, Picture, as_image, bundle, font, wrapped

if TYPE_CHECKING:
    from PIL import Image

TEXT, TITLE, SPACE = 28, 32, 24  # heights of letters, and the space between parts, in pixels of the picture


class Shown:
    """What `figure` and `films.play` return: a notebook shows it, with its alternative text.

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
    return Shown(
        file.getvalue(), math.ceil(sheet.width / DENSITY), alt or sentences(title, "; ".join(filter(None, texts)))
    )


def rows(pictures: "Mapping[str, Picture]") -> "Image.Image":
    """Pictures one below the other, each with its name at the left, for a `figure`.

    Args:
        pictures: as for `figure`, by name.

    Raises:
        BadInput: there are no pictures.
    """
    if not pictures:
        raise BadInput("rows got no pictures: give at least one.")
    cells = []
    for name, picture in pictures.items():
        image, label = as_image(picture, DENSITY), written(name, 16 * TEXT, TEXT)
        cells += [padded(label, image.height, SPACE // 2), image]
    return in_rows(cells, 2, SPACE // 2)


def padded(image: "Image.Image", height: int, sides: int = 0) -> "Image.Image":
    """A picture in the middle of a white one that is at least so high, and has so many more pixels on each side."""
    from PIL import Image

    sheet = Image.new("RGB", (image.width + 2 * sides, max(height, image.height)), "white")
    sheet.paste(image, (sides, (sheet.height - image.height) // 2))
    return sheet


def sentences(*texts: str) -> str:
    """Texts one after the other, each with a full stop unless it ends in a mark of its own; without empty ones."""
    return " ".join(text if text[-1] in ".?!" else f"{text}." for text in texts if text)


# --- layout ----------------------------------------------------------------------------------------------------------


def captioned(image: "Image.Image", text: str) -> "Image.Image":
    """A picture with a text below, or the picture itself where there is no text."""
    return below(image, written(text, max(image.width, 12 * TEXT), TEXT), SPACE // 2) if text else image


def titled(image: "Image.Image", title: str) -> "Image.Image":
    return below(written(title, max(image.width, 16 * TITLE), TITLE, bold=True), image, SPACE)


def written(text: str, width: int, size: int, bold: bool = False) -> "Image.Image":
    """A text, in lines of at most `width` pixels, on white."""
    from PIL import Image, ImageDraw

    face, lines, step = font(size, bold), list(wrapped(text, width, size, bold)), round(1.35 * size)
    picture = Image.new("RGB", (math.ceil(max(map(face.getlength, lines))) + 2, step * len(lines)), "white")
    draw = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        draw.text((picture.width / 2, step * (i + 0.5)), line, fill=INK, anchor="mm", font=face)
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
