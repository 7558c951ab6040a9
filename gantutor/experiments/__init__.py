"""Experiments: what is measured once, with several seeds and equal budgets, for the lessons to show.

`speedrun` contains the races: how many seconds of training does it take until the images are good enough?
"""

from gantutor import lazy

__getattr__ = lazy.importer(__name__)
