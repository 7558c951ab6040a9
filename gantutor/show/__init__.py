"""Pictures. The only room that imports matplotlib; its functions return a picture and neither print nor open a window.

Pictures that are redrawn during training are made with Pillow (`grid`, `dots`, `game`, `chart`: a few milliseconds
each); pictures to study are matplotlib figures (`losses`, `curves`, `densities`, `field`, `points`, `clouds`, `record`,
`seeds`: about 0.1 s each). In a lesson they stand in a `figure` with a title and captions, some of them in `rows` with
names, or `play` as a film; `diagrams` draws structures. A notebook shows either as the last line of a cell, or with
``display(picture)``. The figures are not registered with pyplot, so none is shown twice and none needs to be closed.

Colours: real data and D are blue, generated data and G are orange (from the palette of Okabe and Ito, which
colour-blind readers can distinguish).
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.show.films import play, save_film, walk
    from gantutor.show.lesson import Shown, figure, rows
    from gantutor.show.pictures import chart, dots, game, grid, stack, strip
    from gantutor.show.plots import clouds, curves, densities, field, losses, points, surface
    from gantutor.show.records import film, record, seeds
    from gantutor.show.reports import COLOURS, card, comparison, evidence
    from gantutor.show.style import FAKE, GREY, NEUTRAL, PALETTE, REAL, Figure, History, Picture, png

__all__ = [
    "COLOURS",
    "FAKE",
    "GREY",
    "NEUTRAL",
    "PALETTE",
    "REAL",
    "Figure",
    "History",
    "Picture",
    "Shown",
    "card",
    "chart",
    "clouds",
    "comparison",
    "curves",
    "densities",
    "dots",
    "evidence",
    "field",
    "figure",
    "film",
    "game",
    "grid",
    "losses",
    "play",
    "png",
    "points",
    "record",
    "rows",
    "save_film",
    "seeds",
    "stack",
    "strip",
    "surface",
    "walk",
]
__getattr__ = lazy.importer(__name__)
