"""Experiments: what is measured once, with seeds and equal budgets, apart from the lessons that show it.

`speedrun` holds the races: how many seconds of training until the images are good enough?
"""

from gantutor import lazy

__getattr__ = lazy.importer(__name__)
