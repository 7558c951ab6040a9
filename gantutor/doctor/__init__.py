"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)
    print(doctor.examine(generator=G, discriminator=D, real=loader))  # your own nets and data, as they are
    print(doctor.examine(history="log.csv"))
    monitor = doctor.Monitor(G, D, real)  # and monitor.step(d_loss=…, g_loss=…) in the loop

`examination` runs it. For images, `inputs` brings them to one form, and `collected` those that come one by one;
`measures` has the numbers and `image_tests` judges them. For nets, `generators` and `discriminators` call anyone's
`nets`, which `weights` fills from files, and `net_tests` judges what they do. For training logs, `tables` reads them,
`roles` knows what names mean, `logs` makes curves of them, and `curves` and `swings` judge these. `findings` explains
what was found, and `specimens` keeps what a report shows, which `publish.write_report` writes. `monitor` watches while
a GAN trains, by `glances`.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.doctor.examination import examine
    from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding
    from gantutor.doctor.monitor import Event, Monitor
    from gantutor.doctor.weights import load_weights

__all__ = ["AILMENTS", "Diagnosis", "Event", "Evidence", "Finding", "Monitor", "examine", "load_weights"]
__getattr__ = lazy.importer(__name__)
