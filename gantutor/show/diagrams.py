"""Diagrams of structures, drawn with the same few shapes: boxes are nets, pictures are examples, arrows carry numbers.

Blue is what is real, and D; orange what is made, and G.
"""

import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from torch import Tensor

from gantutor.show.style import DPI, FAKE, INK, REAL, Figure, check_images

LETTERS = 12  # points, on the page


class Diagram(Figure):
    """A figure without axes, in inches from the lower left corner, which a notebook shows as SVG, or else as PNG.

    Args:
        size: width and height in inches of 100 pixels.
        alt: what it shows, in words.
    """

    def __init__(self, size: tuple[float, float], alt: str):
        super().__init__(figsize=size, dpi=DPI)
        self.alt, self.paper = alt, self.add_axes((0, 0, 1, 1))
        self.paper.set(xlim=(0, size[0]), ylim=(0, size[1]), aspect="equal")
        self.paper.axis("off")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data, about = super()._repr_mimebundle_()
        file = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": "gantutor"}):  # the same text for the same diagram
            self.savefig(file, format="svg", metadata={"Date": None, "Title": self.alt})
        svg = file.getvalue()[file.getvalue().index("<svg") :]
        about["image/svg+xml"] = {"alt": self.alt}
        about["image/png"]["alt"] = self.alt
        return {**data, "image/svg+xml": svg, "text/plain": self.alt}, about

    def write(self, x: float, y: float, text: str, colour: str = INK, **options: Any) -> None:
        self.paper.text(x, y, text, color=colour, fontsize=LETTERS, **{"ha": "center", "va": "center", **options})

    def net(self, x: float, y: float, name: str, what: str, colour: str, width: float = 1.5) -> None:
        """A box round its middle with the name of a net, and what it does."""
        shape = FancyBboxPatch((x - width / 2, y - 0.45), width, 0.9, boxstyle="round,pad=0,rounding_size=0.12",
                               fc=colour, ec="none")  # fmt: skip
        self.paper.add_patch(shape)
        self.write(x, y + 0.14, name, "white", weight="bold")
        self.write(x, y - 0.2, what, "white")

    def arrow(self, *corners: tuple[float, float], colour: str = INK, dashed: bool = False) -> None:
        """A line through its corners that ends in a head."""
        style: dict[str, Any] = {
            "arrowstyle": "-|>",
            "mutation_scale": 16,
            "lw": 1.8,
            "ls": (0, (3, 2)) if dashed else "-",
        }
        self.paper.add_patch(FancyArrowPatch(path=Path(corners), fc=colour, ec=colour, **style))

    def picture(self, x: float, y: float, image: Tensor, colour: str, side: float = 1.0) -> None:
        """An image (C, H, W) in a frame round its middle, `side` inches wide."""
        check_images(image[None])
        levels = (image.detach().cpu().float().permute(1, 2, 0).numpy() + 1) / 2
        levels = np.repeat(levels, 3, 2) if levels.shape[2] == 1 else levels
        place = OffsetImage(levels.clip(0, 1), zoom=72 * side / image.shape[-1], interpolation="nearest")
        frame = {"edgecolor": colour, "linewidth": 2.5, "boxstyle": "square,pad=0.05"}
        self.paper.add_artist(AnnotationBbox(place, (x, y), frameon=True, pad=0.1, bboxprops=frame))


def gan(made: Tensor, real: Tensor) -> Diagram:
    """z → G → what it made; that or a real example → D → its verdict; and what each player learns from it.

    Args:
        made, real: an image (C, H, W) each, in [-1, 1].
    """
    drawn = Diagram((7.4, 3.5), "Noise z enters the generator G, which makes a picture. The discriminator D is shown "
                    "this picture or a real one, and says how likely it is to be real. From the verdict D learns to "
                    "be right, and through D the generator learns what would have looked more real.")  # fmt: skip
    drawn.write(0.55, 2.45, "random\nnumbers z")
    drawn.arrow((1.0, 2.45), (1.32, 2.45))
    drawn.net(2.1, 2.45, "generator G", "draws", FAKE)
    drawn.arrow((2.85, 2.45), (3.15, 2.45), colour=FAKE)
    drawn.picture(3.75, 2.45, made, FAKE)
    drawn.picture(3.75, 0.85, real, REAL)
    drawn.write(3.05, 0.85, "real data", REAL, ha="right")
    drawn.arrow((4.35, 2.3), (4.8, 1.9), colour=FAKE)
    drawn.arrow((4.35, 1.0), (4.8, 1.4), colour=REAL)
    drawn.net(5.7, 1.65, "discriminator D", "judges", REAL, width=1.75)
    drawn.arrow((6.58, 1.65), (6.82, 1.65))
    drawn.write(7.1, 1.65, "real\nor\nfake?")
    drawn.arrow((5.7, 2.13), (5.7, 3.15), (2.1, 3.15), (2.1, 2.93), colour=FAKE, dashed=True)
    drawn.write(3.9, 3.36, "through D back to G: what would have looked more real?", FAKE)
    drawn.arrow((7.1, 1.2), (7.1, 0.75), (5.7, 0.75), (5.7, 1.17), colour=REAL, dashed=True)
    drawn.write(6.1, 0.45, "what was the right answer?", REAL)
    return drawn
