"""The course's own recipe taken apart: medium trainings."""

from gantutor.experiments.recipe_ablation import experiment

EXPERIMENT = experiment(1200)
