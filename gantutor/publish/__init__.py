"""The course for a class and for the web: handouts, exercise sheets, pages and slides.

`handout` writes a folder or a zip, `exercise_sheets` makes the exercises from their solutions, `pages` and `slides`
write what a browser shows, and `mathml` typesets their formulas.
"""

from gantutor import lazy

__getattr__ = lazy.importer(__name__)
