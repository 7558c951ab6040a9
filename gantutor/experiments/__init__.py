"""Experiments: what is measured once, with several seeds and equal compute, for the lessons to show.

    record = experiments.load("ring_momentum")
    show.record(record, "modes")
    print(record.compare("modes"))

Each experiment is a file that states its question and its rows, which differ in one factor: `find` gives it by name.
`perform` measures it, seed by seed, and `load` reads what was found. `compare` tells how far two sets of seeds differ.
The races of `speedrun` ask how many seconds of training it takes until the images are good enough.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.experiments.catalogue import NAMES, find
    from gantutor.experiments.comparison import Difference, compare, compare_all, holm, interval
    from gantutor.experiments.execution import perform
    from gantutor.experiments.experiment import Experiment
    from gantutor.experiments.record import Curves, Record, load

__all__ = [
    "NAMES",
    "Curves",
    "Difference",
    "Experiment",
    "Record",
    "compare",
    "compare_all",
    "find",
    "holm",
    "interval",
    "load",
    "perform",
]
__getattr__ = lazy.importer(__name__)
