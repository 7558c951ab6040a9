"""Each remedy for mode collapse alone, on the ring of eight modes."""

from gantutor.experiments.remedies import experiment

EXPERIMENT = experiment("ring", 10_000, "the ring")
