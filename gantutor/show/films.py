"""Films: animated PNG and GIF, which play everywhere, and MP4 where ffmpeg is installed.

`save_film` writes one to a file; `play` shows one in a notebook, where it plays without a kernel, also on a forge and
on a web page: ``show.play(show.walk(G, labels=3), "From three to three")``.
"""

import contextlib
import io
import itertools
import math
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from gantutor import train
from gantutor.errors import BadInput, real_number, unknown, whole_number
from gantutor.files import replacing
from gantutor.models import with_labels
from gantutor.show.lesson import SPACE, TITLE, Shown, below, in_rows, sentences, written
from gantutor.show.pictures import grid, strip
from gantutor.show.style import FAKE, GREY, INK, NEUTRAL, REAL, Picture, as_image
from gantutor.state import evaluating

if TYPE_CHECKING:
    from PIL import Image

KINDS = (".png", ".gif", ".mp4")
SHADES, GREYS = 56, 27  # colours of a film in a notebook, and of one that is grey …
TINTED = 0.05  # share of grey pixels in a coloured film from which on it needs greys of its own
TINTS = ("#78b2d6", "#a7cce4", "#d3e5f1", "#eea878", "#f4c7a8", "#fae3d4")  # of `game`, where D is more or less sure
HOUSE = (REAL, FAKE, GREY, INK, "#c8c8c8", "white", *NEUTRAL[:3], *TINTS)  # … and those that it has in any case
MOST_BYTES = 2**29  # of all frames of a film that has to be in memory as a whole; writing it takes twice as much more


def walk(
    G: nn.Module,
    frames: int = 60,
    count: int = 9,
    *,
    seed: int = 0,
    labels: int | Sequence[int] | Tensor | None = None,
    scale: int = 2,
    columns: int | None = None,
) -> "Iterator[Image.Image]":
    """A latent walk that ends where it began: `frames` grids of `count` images, each on its own path.

    Each path is cos(t)·z₁ + sin(t)·z₂ with normal z₁ and z₂, so that every latent on it is normal too. The frames are
    drawn one by one, as they are asked for.

    Args:
        G: an averaged generator; put into eval mode for this.
        labels: as for `train.sample`.
        scale: pixels of the picture for each pixel of an image.
        columns: images in a row; by default the grid is as square as possible.
    """
    whole_number("frames", frames, least=2)
    first, second = train.latents(G, 2 * whole_number("count", count, least=1), seed).chunk(2)
    y, weight = train.wanted_labels(G, count, labels), next(G.parameters(), torch.empty(0))
    net = with_labels(G, None if y is None else y.to(weight.device))

    def frame(i: int) -> "Image.Image":
        t = 2 * math.pi * i / frames
        with evaluating(G), torch.no_grad():
            return grid(net((math.cos(t) * first + math.sin(t) * second).to(weight)), columns, scale)

    return map(frame, range(frames))


def save_film(frames: "Iterable[Image.Image]", path: str | Path, fps: float = 15) -> int:
    """Write frames of one size as a film that begins again at its end; how many there were.

    Args:
        path: ends in .png (animated), .gif or .mp4.
        fps: frames per second, 1 to 50. GIF counts hundredths of a second: there the frames' times are rounded, and
            only their sum is right.

    Raises:
        BadInput: another ending, fewer than two frames, frames of several sizes, more than half a gigabyte of them
            (but for .mp4), or .mp4 where ffmpeg is missing or fails.
    """
    path, fps = Path(path), real_number("fps", fps, least=1, most=50)
    check_kind(path)
    each = checked(frames)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".mp4":
            return write_mp4(each, temporary, fps)
        pictures = list(held_in_memory(each))
        unit = 10 if path.suffix.lower() == ".gif" else 1  # milliseconds
        ends = [unit * round(1000 / unit * (i + 1) / fps) for i in range(len(pictures))]
        pictures[0].save(temporary, path.suffix[1:].upper(), save_all=True, append_images=pictures[1:], loop=0,
                         duration=[end - begin for begin, end in zip([0, *ends], ends, strict=False)])  # fmt: skip
        return len(pictures)


def play(
    frames: "Iterable[Picture]", title: str, *, fps: float = 6, hold: float = 2, scale: float = 1, alt: str = ""
) -> Shown:
    """A film for a lesson, under a title that says what happens. It repeats, and rests on its last frame.

    Where films do not play, as on paper, it is a sheet of four of its frames. It has few colours, and is not twice as
    large as it is displayed, because a lesson holds several.

    Args:
        frames: pictures of one size, two at least.
        fps: frames a second, 1 to 50.
        hold: seconds for which the last frame stays, but never shorter than the others.
        scale: how much larger than its frames it is displayed, > 0.
        alt: what can be seen, for those who cannot see it; by default the title.

    Raises:
        BadInput: there are fewer than two frames, they are of several sizes, or more than half a gigabyte of them.
    """

    fps, hold, scale = check_timing(fps, hold, scale)
    pictures = list(held_in_memory(checked(map(as_image, frames))))
    heading = written(title, max(pictures[0].width, 8 * TITLE), TITLE // 2, bold=True)
    each = [below(heading, picture, SPACE // 2) for picture in pictures]
    end = (len(pictures) - 1) * (1 if hold else 0.75)  # a film that does not rest ends where it began
    moments = [pictures[round(i * end / 3)] for i in range(4)]
    still = below(heading, contact_sheet(moments, pictures[0].size), SPACE // 2)
    still = still.crop((0, 0, *each[0].size))  # white where the sheet is smaller
    shades = palette(in_rows(pictures[:: max(len(pictures) // 9, 1)], 1, 0))
    first, *rest = (reduced(frame, shades) for frame in (still, *each))
    one = 1000 / fps
    times = [round(one)] * (len(rest) - 1) + [round(max(one, 1000 * hold))]
    file = io.BytesIO()
    first.save(file, "PNG", save_all=True, append_images=rest, default_image=True, loop=0, duration=times)
    return Shown(file.getvalue(), round(scale * still.width), alt or sentences(f"A film: {title}"))


def labelled(picture: "Image.Image", text: str, longest: int) -> "Image.Image":
    """A frame under its label. It is as wide as a label of `longest` letters, so that all frames are of one size."""
    from PIL import Image

    row = strip([picture], [text])
    frame = Image.new("RGB", (max(row.width, 12 * longest), row.height), "white")
    frame.paste(row, ((frame.width - row.width) // 2, 0))
    return frame


def check_timing(fps: float, hold: float, scale: float) -> tuple[float, float, float]:
    """The arguments of `play` as numbers. Raises `BadInput` where one is out of range."""
    return (
        real_number("fps", fps, least=1, most=50),
        real_number("hold", hold, least=0),
        real_number("scale", scale, above=0),
    )


def checked(frames: "Iterable[Image.Image]") -> "Iterator[Image.Image]":
    """The frames as they come. Raises `BadInput` for another size than the first one's, and for fewer than two."""
    size, count = None, 0
    for count, frame in enumerate(frames, 1):
        size = size or frame.size
        if frame.size != size:
            raise BadInput(f"frame {count} is {frame.size}, but the first is {size}: give frames of one size.")
        yield frame
    if count < 2:
        raise BadInput(f"there are {count} frames: a film needs two or more.")


def held_in_memory(frames: "Iterator[Image.Image]") -> "Iterator[Image.Image]":
    """The frames, as long as they fit into the memory together. Raises `BadInput` for more."""
    total = 0
    for frame in frames:
        total += frame.width * frame.height * len(frame.getbands())
        if total > MOST_BYTES:
            raise BadInput(
                f"the frames take more than {MOST_BYTES >> 20} MB, which .png and .gif need at once: take fewer "
                "frames, fewer images in each or a smaller scale, or write .mp4."
            )
        yield frame


def check_kind(path: Path) -> None:
    """Raise `BadInput` unless a film can be written to this path on this computer."""
    if path.suffix.lower() not in KINDS:
        raise unknown("ending of a film", path.suffix, KINDS)
    if path.suffix.lower() == ".mp4" and not shutil.which("ffmpeg"):
        raise BadInput(f"{path.name}: .mp4 needs ffmpeg, which is not installed: install it, or write .png or .gif.")


def write_mp4(frames: "Iterator[Image.Image]", path: Path, fps: float) -> int:
    """As H.264, frame by frame. It needs even sides: a black row or column may be added."""
    first = next(frames, None)
    if first is None:
        raise BadInput("there are 0 frames: a film needs two or more.")
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
               "-s", f"{first.width}x{first.height}", "-r", f"{fps:g}", "-i", "-", "-c:v", "libx264",
               "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-f", "mp4", str(path)]  # fmt: skip
    count = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stderr is not None
        try:
            for frame in itertools.chain([first], frames):
                count += 1
                program.stdin.write(frame.convert("RGB").tobytes())
            program.stdin.close()
        except BrokenPipeError:  # it has ended early, and says why
            with contextlib.suppress(BrokenPipeError):  # what is still in the buffer cannot be written either
                program.stdin.close()
        except BaseException:
            program.kill()
            raise
        said = program.stderr.read().decode(errors="replace").strip().splitlines()
    if program.returncode:
        raise BadInput(f"ffmpeg could not write the film ({(said or ['it gave no reason'])[-1]}): write .png or .gif.")
    return count


# --- few colours -----------------------------------------------------------------------------------------------------


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

    Where grey images stand beside colours, half of what is left are greys, so that the images get no tint.

    Args:
        count: of all colours together; by default as many as a film has.
    """
    from PIL import Image, ImageColor

    all_grey = is_grey(picture)
    found = (count or (GREYS if all_grey else SHADES)) - len(HOUSE)
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    grey = np.ptp(pixels.astype(np.int16), axis=1) == 0
    own: list[int] = []
    if (grey & (pixels[:, 0] > 0) & (pixels[:, 0] < 255)).mean() > TINTED and not all_grey:
        own = [level for level in np.linspace(0, 255, found // 2).round().astype(int).tolist() for _ in "rgb"]
        picture = Image.fromarray(pixels[~grey][None])
    own += picture.quantize(found - len(own) // 3, Image.Quantize.MEDIANCUT).getpalette() or []
    shades = Image.new("P", (1, 1))
    shades.putpalette([*(value for name in HOUSE for value in ImageColor.getrgb(name)), *own[: 3 * found]])
    return shades


def reduced(picture: "Image.Image", shades: "Image.Image") -> "Image.Image":
    """A picture in the colours of a `palette`. Those of the house stay exactly what they are."""
    from PIL import Image, ImageColor

    nearest = np.asarray(picture.quantize(palette=shades, dither=Image.Dither.NONE)).copy()
    pixels = as_codes(np.asarray(picture))
    for number, name in enumerate(HOUSE):  # Pillow's own search is quick, and not exact
        nearest[pixels == as_codes(np.array(ImageColor.getrgb(name)))] = number
    result = Image.fromarray(nearest, "P")
    result.putpalette(shades.getpalette() or [])
    return result


def as_codes(colours: np.ndarray) -> np.ndarray:
    """Colours (…, 3), 0 to 255, as one number each."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def is_grey(picture: "Image.Image") -> bool:
    pixels = np.asarray(picture)
    return bool((pixels.max(2) - pixels.min(2)).max() < 16)
