"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)
    print(doctor.examine(generator=G, discriminator=D, real=loader))  # your own nets and data, as they are
    print(doctor.examine(history="log.csv"))
    monitor = doctor.Monitor(G, D, real)  # and monitor.step(d_loss=…, g_loss=…) in the loop

`examination` runs it, and `monitor` watches a training by `glances`. What they use:

- images: `files` reads them, `inputs` and `collected` bring them to one form, `extractors` chooses what sees them, and
  `measures` has the numbers. `saving` judges what became of them on the way to a file, `augmentation` what leaked into
  them, `proportions` which kinds are missing, and `image_tests` everything else;
- nets: `generators` and `discriminators` call anyone's `nets`, `weights` fills these from files, `net_tests` judges;
- training logs: `tables` reads them, `roles` knows what names mean, `logs` makes curves, `curves` and `swings` judge;
- words: `findings` says what was found, and `specimens` keeps what a report shows (`publish.write_report`).
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
