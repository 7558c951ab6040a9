"""The course for a class and for the web: handouts, exercise sheets, pages and slides; and the doctor's report.

`handout` writes a folder or a zip, `exercise_sheets` makes the exercises from their solutions, `pages` and `slides`
write what a browser shows, and `mathml` typesets their formulas. `report` writes a diagnosis as a page, with the
`charts` in it.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.publish.report import report_html, write_report

__all__ = ["report_html", "write_report"]
__getattr__ = lazy.importer(__name__)
