"""The course's own recipe taken apart: long trainings."""

from gantutor.experiments.recipe_ablation import experiment

# What the shorter trainings have decided is left out, but for the momentum, which might catch up.
DECIDED = ("R1 in every step", "rates fall from the start", "G as fast as D", "no batch norm in G")
EXPERIMENT = experiment(2400, left_out=DECIDED)
