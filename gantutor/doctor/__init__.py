"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)

`examination` runs it: `inputs` brings everything to one form, `measures` has the numbers, `image_tests` and
`net_tests` judge what was measured on the images and on the nets, `findings` explains what was found, and `specimens`
keeps some of the images for a report, which `publish.write_report` writes.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.doctor.examination import examine
    from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding

__all__ = ["AILMENTS", "Diagnosis", "Evidence", "Finding", "examine"]
__getattr__ = lazy.importer(__name__)
