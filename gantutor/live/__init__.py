"""In JupyterLab: watch a run train, and move sliders. The only part that imports IPython and ipywidgets.

Everything also works where nobody watches (nbconvert, nbval, plain Python): the last picture stays in the notebook.
Widgets cannot be seen in a saved notebook; each leaves its present picture there in its place.

`parts` is what all are made of; then `watch` (train), `cards`, `portraits` (of the theory), `explorer` (of latents)
and the `laboratory`.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.live.cards import Card, Findings, findings, spot
    from gantutor.live.explorer import LatentExplorer, latent, walk
    from gantutor.live.laboratory import Lab, lab
    from gantutor.live.panels import Clock, Explorer, Frame, Pad, Panel, control, explore
    from gantutor.live.portraits import density, density_portrait, dirac, dirac_portrait
    from gantutor.live.watch import samples, train

__all__ = [
    "Card", "Clock", "Explorer", "Findings", "Frame", "Lab", "LatentExplorer", "Pad", "Panel", "control", "density",
    "density_portrait", "dirac", "dirac_portrait", "explore", "findings", "lab", "latent", "samples", "spot", "train",
    "walk",
]  # fmt: skip
__getattr__ = lazy.face(__name__)
