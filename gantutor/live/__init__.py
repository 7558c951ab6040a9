"""In JupyterLab: watch a run train, and explore with sliders. The only room that imports IPython and ipywidgets.

Everything also works without a front end (nbconvert, nbval, plain Python), where the last picture stays in the
notebook. A saved notebook does not show widgets; in their place it shows the picture they had last.

`panels` has the building blocks; `watch` trains a run, `loops` watches a loop of one's own, and `monitors` shows what
the doctor says meanwhile; `cards` are question cards and diagnoses, `portraits` explore the theory, `explorer` the
latent space, `attribute_sliders` what a face may have, and `laboratory` is a GAN in the plane.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.live.attribute_sliders import attributes
    from gantutor.live.cards import Card, Findings, findings, spot
    from gantutor.live.explorer import LatentExplorer, latent, walk
    from gantutor.live.laboratory import Lab, lab
    from gantutor.live.loops import steps
    from gantutor.live.monitors import MonitorCard, monitor
    from gantutor.live.panels import Clock, Explorer, Frame, Pad, Panel, control, explore
    from gantutor.live.portraits import density, density_portrait, dirac, dirac_portrait
    from gantutor.live.watch import samples, train

__all__ = [
    "Card", "Clock", "Explorer", "Findings", "Frame", "Lab", "LatentExplorer", "MonitorCard", "Pad", "Panel",
    "attributes", "control", "density", "density_portrait", "dirac", "dirac_portrait", "explore", "findings", "lab",
    "latent", "monitor", "samples", "spot", "steps", "train", "walk",
]  # fmt: skip
__getattr__ = lazy.importer(__name__)
