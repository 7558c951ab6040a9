"""gantutor: a course on generative adversarial networks, and the small package behind it.

Modules are imported by name (``from gantutor import data, models, train``); importing the package
itself loads neither torch nor matplotlib.
"""

__version__ = "0.1.0"
