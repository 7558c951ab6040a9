"""The experiments by name. Each is a module of this package with an `EXPERIMENT`."""

from importlib import import_module

from gantutor.errors import unknown
from gantutor.experiments.experiment import Experiment

NAMES = (
    "slow_discriminator",
    "ring_momentum",
    "remedies_ring",
    "remedies_grid",
    "plane_recipe",
    "stacked_digits",
    "dcgan_guidelines",
    "dcgan_guidelines_ours",
    "fading_classes",
    "telling_the_label",
    "fast_discriminator",
    "dense_recipe",
    "recipe_short",
    "recipe_medium",
    "recipe_long",
    "growth",
    "larger_images",
    "rivals",
    "detectors",
    "extra_data",
    "museum_sides",
    "small_data",
    "sanity_checks",
)


def find(name: str) -> Experiment:
    """The experiment with this name; hyphens do for underscores.

    Raises:
        BadInput: there is none.
    """
    module = name.replace("-", "_")
    if module not in NAMES:
        raise unknown("experiment", name, NAMES)
    found: Experiment = import_module(f"gantutor.experiments.{module}").EXPERIMENT
    return found
