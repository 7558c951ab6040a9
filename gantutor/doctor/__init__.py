"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)
    print(doctor.examine(generator=G, discriminator=D, real=loader))  # your own nets and data, as they are

`examination` runs it: `inputs` brings images to one form, and `collected` those that come one by one; `generators` and
`discriminators` call anyone's `nets`, which `weights` fills from files. `measures` has the numbers, `image_tests` and
`net_tests` judge what was measured on the images and on the nets, and `findings` explains what was found.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.doctor.examination import examine
    from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding
    from gantutor.doctor.weights import load_weights

__all__ = ["AILMENTS", "Diagnosis", "Evidence", "Finding", "examine", "load_weights"]
__getattr__ = lazy.importer(__name__)
