"""The course's own recipe taken apart: short trainings."""

from gantutor.experiments.recipe_ablation import experiment

EXPERIMENT = experiment(400)
