"""Each remedy for mode collapse alone, on the grid of twenty-five modes."""

from gantutor.experiments.remedies import experiment

EXPERIMENT = experiment("grid", 10_000, "the grid")
