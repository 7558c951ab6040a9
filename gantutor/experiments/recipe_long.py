"""The course's own recipe taken apart: long trainings."""

from gantutor.experiments.recipe_ablation import experiment

EXPERIMENT = experiment(3600)
