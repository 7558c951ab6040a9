"""Images to train on, each set as one tensor: published sets, drawn ones, and your own pictures.

    images = data.load("mnist")                    # or "fashion-mnist"; "strokes" and "faces" need no download
    images.pixels, images.labels, images.classes   # (60000, 1, 28, 28) float32, (60000,) int64, ("0", …, "9")
    mine = data.from_folder("my pictures", size=32)  # or a .zip of them

`images` holds them, `download` finds and checks the published files, `folder` reads pictures and `detail` their middle
at full size, `strokes` draws digits and `faces` faces with known factors, and `toy` has points in the plane.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.data.detail import closeups
    from gantutor.data.download import fetch
    from gantutor.data.folder import from_folder, mirrored
    from gantutor.data.images import (
        CLASSES,
        NAMES,
        Factor,
        Images,
        check_name,
        floats,
        load,
        load_or_strokes,
        place,
        stacked,
    )

__all__ = [
    "CLASSES",
    "NAMES",
    "Factor",
    "Images",
    "check_name",
    "closeups",
    "fetch",
    "floats",
    "from_folder",
    "load",
    "load_or_strokes",
    "mirrored",
    "place",
    "stacked",
]
__getattr__ = lazy.importer(__name__)
