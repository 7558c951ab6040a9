"""How good are the samples? Metrics on features (N, d), in the order in which the questions come up.

1. Do the distributions of real and generated examples agree? `frechet`, `kernel_distance` (both near 0).
2. Are the samples good (precision, density), and is everything there (recall, coverage)? `precision_and_recall`,
   `density_and_coverage`, `clipped_density_and_coverage`, `image_retrieval`, `diversity`, `vendi`.
3. Which modes are missing or too rare? `mixture_coverage`, `label_coverage`, `strokes_coverage`, `different_bins`, and
   `inception_score`, which asks nothing but a classifier.
4. Are they new? `birthday` estimates how many different images there are; `memorisation`, `data_copying` and
   `authenticity` look for copies of training images.
5. Conditional nets: does G make the class that it is asked for (`accuracy`), as well as it should (`frechet_by_class`)
   and in more than one way (`diversity_by_class`), and does D use the label (`label_response`)?
6. What would a perfect generator get? `floor`, and `report` for all of them at once.

Every metric is blind to something and has a floor; its docstring states both. Everything is computed in float64 on the
CPU and in blocks, so that nothing of size N×N is ever held in memory. Each family has a file, and the features come
from a small `classifier` per data set.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.metrics.classifier import Classifier
    from gantutor.metrics.conditional import (
        LabelResponse,
        accuracy,
        diversity_by_class,
        frechet_by_class,
        label_response,
    )
    from gantutor.metrics.directions import attribute_directions
    from gantutor.metrics.distances import diversity, frechet, kernel_distance, score, vendi
    from gantutor.metrics.modes import (
        DifferentBins,
        ModeCoverage,
        different_bins,
        inception_score,
        label_coverage,
        mixture_coverage,
        strokes_coverage,
    )
    from gantutor.metrics.neighbours import clusters, nearest_neighbours
    from gantutor.metrics.novelty import (
        Birthday,
        DataCopying,
        Memorisation,
        authenticity,
        birthday,
        data_copying,
        memorisation,
        same_image,
    )
    from gantutor.metrics.overview import Row, floor, report
    from gantutor.metrics.precision_recall import (
        ClippedDensityCoverage,
        DensityCoverage,
        PrecisionRecall,
        clipped_density_and_coverage,
        density_and_coverage,
        precision_and_recall,
    )
    from gantutor.metrics.retrieval import Retrieval, image_retrieval

__all__ = [
    "Birthday",
    "Classifier",
    "ClippedDensityCoverage",
    "DataCopying",
    "DensityCoverage",
    "DifferentBins",
    "LabelResponse",
    "Memorisation",
    "ModeCoverage",
    "PrecisionRecall",
    "Retrieval",
    "Row",
    "accuracy",
    "attribute_directions",
    "authenticity",
    "birthday",
    "clipped_density_and_coverage",
    "clusters",
    "data_copying",
    "density_and_coverage",
    "different_bins",
    "diversity",
    "diversity_by_class",
    "floor",
    "frechet",
    "frechet_by_class",
    "image_retrieval",
    "inception_score",
    "kernel_distance",
    "label_coverage",
    "label_response",
    "memorisation",
    "mixture_coverage",
    "nearest_neighbours",
    "precision_and_recall",
    "report",
    "same_image",
    "score",
    "strokes_coverage",
    "vendi",
]
__getattr__ = lazy.importer(__name__)
