"""Images to train on, each set as one tensor: published sets, drawn ones, and your own pictures.

    images = data.load("mnist")                    # or "fashion-mnist", or "strokes", which needs no download
    images.pixels, images.labels, images.classes   # (60000, 1, 28, 28) float32, (60000,) int64, ("0", …, "9")
    mine = data.from_folder("my pictures", size=32)

`images` holds them, `download` finds and checks the published files, `folder` reads pictures, `strokes` draws digits
with known factors, and `toy` has points in the plane.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.data.download import fetch
    from gantutor.data.folder import from_folder
    from gantutor.data.images import CLASSES, NAMES, Images, floats, load, load_or_strokes, place, stacked

__all__ = [
    "CLASSES",
    "NAMES",
    "Images",
    "fetch",
    "floats",
    "from_folder",
    "load",
    "load_or_strokes",
    "place",
    "stacked",
]
__getattr__ = lazy.importer(__name__)
