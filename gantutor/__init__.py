"""gantutor: a course on generative adversarial networks, and the small library behind it.

What is needed first is here: `load` images, make a pair of nets with `mlp` or `dcgan`, train it in a `Run`, `sample`
from it and `examine` the samples. Everything else is in its sub-package: `data`, `models`, `train`, `runs`, `scale`,
`metrics`, `doctor`, `museum`, `experiments`, `checks`, `show`, `live`, `publish`, `cli`. Importing the package loads
neither torch nor matplotlib, because each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.data.folder import from_folder
    from gantutor.data.images import Images, load
    from gantutor.doctor.examination import examine
    from gantutor.models.convolutional import dcgan
    from gantutor.models.dense import mlp
    from gantutor.train.recipe import Recipe
    from gantutor.train.run import Run
    from gantutor.train.sampling import sample

__version__ = "0.1.0"

__all__ = ["Images", "Recipe", "Run", "dcgan", "examine", "from_folder", "load", "mlp", "sample"]
__getattr__ = lazy.importer(__name__)
