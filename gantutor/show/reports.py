"""Pictures of a museum exhibit's outcome and of a diagnosis."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from gantutor.show.pictures import chart, dots, grid, stack, strip
from gantutor.show.style import GREY, font, wrapped

if TYPE_CHECKING:
    from PIL import Image

    from gantutor.doctor import Diagnosis
    from gantutor.museum import Outcome
    from gantutor.museum.settings import Side


# ---------------------------------------------------------------- the museum


def comparison(outcome: "Outcome", height: int = 176) -> "Image.Image":
    """An exhibit's broken version above its sound one: samples, loss curves and the value of the symptom.

    Args:
        outcome: what `museum.exhibit(…).run()` returns.
        height: the height of each row in pixels.
    """
    symptom, rows = outcome.exhibit.symptom, []
    for name, value in outcome.measured().items():
        title = f"{name}: {symptom.name} {value:.3g}"
        rows.append(strip([evidence(getattr(outcome, name), height)], [title]))
    return stack(rows)


def evidence(side: "Side", height: int = 176) -> "Image.Image":
    """One version of an exhibit: its samples, even outside [-1, 1] (NaN is grey), and its loss curves."""
    samples = side.samples.detach().cpu().float().nan_to_num(0)
    pictures = samples.ndim == 4
    picture = grid(samples[:24].clamp(-1, 1), 8) if pictures else dots(side.run.examples[:1000], samples)
    columns = side.history["d_loss"], side.history["g_loss"]
    history = [(step, d, g) for step, (d, g) in enumerate(zip(*columns, strict=True), 1)]
    return strip([picture, chart(history)], height=height)


# ---------------------------------------------------------------- the doctor's card

COLOURS = {"mild": "#56B4E9", "moderate": "#E69F00", "severe": "#D55E00", "healthy": "#009E73"}


def card(diagnosis: "Diagnosis", samples: Tensor | None = None, width: int = 720) -> "Image.Image":
    """A diagnosis as a card: each finding with its evidence and what to try first, and samples on the right.

    Args:
        samples: images (N, C, H, W), of which up to 16 are shown; values are clamped to [-1, 1], and NaN is grey.
        width: the width of the card in pixels.
    """
    from PIL import Image, ImageDraw

    picture = None
    if samples is not None:
        samples = samples[:16].detach().float().nan_to_num(0).clamp(-1, 1)
        picture = grid(samples, 4, scale=max(1, 200 // (4 * samples.shape[2])))
    room = width - 40 - (picture.width + 20 if picture else 0)
    lines = list(_card_lines(diagnosis, room))
    heights = [size + 7 for _, size, _ in lines]
    height = max(sum(heights), picture.height if picture else 0) + 40
    sheet = Image.new("RGB", (width, height), "white")
    draw, y = ImageDraw.Draw(sheet), 20
    worst = max((f.severity for f in diagnosis.findings), key=list(COLOURS).index, default="healthy")
    draw.rectangle((0, 0, 7, height), fill=COLOURS[worst])
    for (text, size, colour), step in zip(lines, heights, strict=True):
        draw.text((20, y), text, fill=colour, font=font(size))
        y += step
    if picture:
        sheet.paste(picture.convert("RGB"), (width - picture.width - 20, 20))
    return sheet


def _card_lines(diagnosis: "Diagnosis", room: int) -> Iterator[tuple[str, int, str]]:
    """The lines of a card, wrapped to `room` pixels, as (text, size, colour)."""
    for text in (f"Compared with {diagnosis.data}; seen by {diagnosis.judge}.", *diagnosis.notes):
        yield from ((line, 12, GREY) for line in wrapped(text, room, 12))
    if diagnosis.healthy:
        yield diagnosis.verdict, 18, COLOURS["healthy"]
    for question in diagnosis.open:
        yield from ((line, 13, "black") for line in wrapped(f"Left open: {question}.", room, 13))
    for number, finding in enumerate(diagnosis.findings, 1):
        yield f"{number}. {finding.name} ({finding.severity})", 18, COLOURS[finding.severity]
        texts = [
            finding.meaning,
            *map(str, finding.evidence),
            f"Try: {finding.to_try[0]}.",
            f"Lesson: {finding.lesson}",
        ]
        for text in texts:
            yield from ((line, 13, "black") for line in wrapped(text, room, 13))
