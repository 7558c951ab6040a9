"""Colours, fonts and figures, and checks of what is to be drawn."""

import base64
import io
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import matplotlib
import numpy as np
from matplotlib import figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from gantutor.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image, ImageFont


REAL, FAKE, GREY = "#0072B2", "#D55E00", "#6b6b6b"  # blue: real data and D; orange: generated data and G
INK = "#1d2433"  # of titles and captions
PALETTE = (REAL, FAKE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Neither blue nor orange, for what is neither real nor generated; from the palettes of Okabe and Ito, and Tol.
NEUTRAL = ("#000000", "#009E73", "#CC79A7", "#882255", "#999933", "#332288", "#6b6b6b")
STYLES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1)), ":")
LOG_4, LOG_2 = math.log(4), math.log(2)
DENSITY = 2  # pixels of a picture in a notebook for each pixel of the page
DPI = 100  # of a figure on the page
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

History = Sequence[tuple[int, float, float]]  # (step, D's loss, G's loss)


class Figure(figure.Figure):
    """A matplotlib figure that a notebook shows twice as dense as the page; its titles are its alternative text."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        titles = [self.get_suptitle(), *(axes.get_title(side) for axes in self.axes for side in ("left", "center"))]
        content = base64.b64encode(png(self, DENSITY)).decode()
        return bundle(content, round(DPI * self.get_figwidth()), ". ".join(filter(None, titles)))


def bundle(png: str, width: int, alt: str) -> tuple[dict, dict]:
    """What a notebook keeps of a picture: its content in base64, its width on the page, and its alternative text."""
    return {"image/png": png, "text/plain": alt}, {"image/png": {"width": width, **({"alt": alt} if alt else {})}}


Picture: TypeAlias = "Image.Image | Figure"


def png(picture: Picture, density: int = 1) -> bytes:
    """A picture, Pillow image or figure, as the bytes of a PNG file; a figure so many times as dense as the page."""
    file = io.BytesIO()
    if isinstance(picture, figure.Figure):
        picture.savefig(file, format="png", dpi=density * picture.dpi)
    else:
        picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def as_image(picture: Picture, density: int = 1) -> "Image.Image":
    """A picture as a Pillow image in RGB; figures are rendered, see `png`. Raises `BadInput` for anything else."""
    from PIL import Image

    if isinstance(picture, figure.Figure):
        picture = Image.open(io.BytesIO(png(picture, density)))
    if isinstance(picture, Image.Image) and picture.mode in ("RGBA", "LA", "PA"):  # on white, like a page
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    if not isinstance(picture, Image.Image):
        raise BadInput(f"the picture is a {type(picture).__name__}: give a Pillow image or a figure of gantutor.show.")
    return picture.convert("RGB")


@cache
def font(size: int, bold: bool = False) -> "ImageFont.FreeTypeFont":
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"  # this font has σ, θ, − and ×
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)


def wrapped(text: str, room: int, size: int, bold: bool = False) -> Iterator[str]:
    """The lines of a text in which none but a single word is longer than `room` pixels."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font(size, bold).getlength(longer) > room:
            yield line
            longer = word
        line = longer
    yield line


def running_mean(values: np.ndarray) -> np.ndarray:
    """The mean over a 40th of the values around each, (N,) -> (N,); near the ends, over those that are there.

    Up to 100 values are left as they are.
    """
    window = np.ones(2 * (len(values) // 80) + 1 if len(values) > 100 else 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def new_axes(size: tuple[float, float] = (8, 3), *, title: str = "", xlabel: str = "", ylabel: str = ""):
    picture = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = picture.subplots()
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(xlabel, fontsize=11)
    axes.set_ylabel(ylabel, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return picture, axes


def log_scale(axes: "Axes", which: str) -> None:
    """A logarithmic scale on the "x" or "y" axis, with plain numbers at its ticks, such as 20 and 50. Comes last."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter(lambda value, _: tick(value))
    axis.set_minor_formatter(NullFormatter())


def tick(value: float) -> str:
    """A number at an axis: 20 or 0.005 as it is, and a millionth as 10⁻⁶."""
    if abs(value) >= 1e-3:
        return f"{value:,.12g}"
    digits, exponent = f"{value:.0e}".split("e")
    return f"{digits}·".removeprefix("1·") + "10" + str(int(exponent)).translate(SUPERSCRIPTS)


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
    if not (low >= -1.001 and high <= 1.001):  # also refuses NaN
        raise BadInput(f"the images have values from {low:g} to {high:g}: give values in [-1, 1].")


def check_points(cloud: Tensor | np.ndarray) -> np.ndarray:
    """The points as an array (N, 2), without those that are not finite. Raises `BadInput` for any other shape."""
    array = as_numbers("the points", cloud)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise BadInput(f"the points have shape {array.shape}: give points in the plane, (N, 2).")
    return array[np.isfinite(array).all(1)]


def as_numbers(name: str, values) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise BadInput(f"{name} cannot be read as numbers: give an array, a tensor or a list of numbers.") from None
