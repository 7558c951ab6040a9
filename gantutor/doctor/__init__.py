"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)
    print(doctor.examine(generator=G, discriminator=D, real=loader))  # your own nets and data, as they are
    print(doctor.examine(history="log.csv"))
    monitor = doctor.Monitor(G, D, real)  # and monitor.step(d_loss=…, g_loss=…) in the loop

`examination` runs it, and `monitor` watches a training by `glances`. What is examined has a room each: `images`, `nets`
and `logs`. `measures` has the numbers they share, `findings` the words for what was found, and `specimens` keeps what a
report shows (`publish.write_report`).
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.doctor.examination import examine
    from gantutor.doctor.findings import AILMENTS, Diagnosis, Evidence, Finding
    from gantutor.doctor.monitor import Event, Monitor
    from gantutor.doctor.nets.weights import load_weights

__all__ = ["AILMENTS", "Diagnosis", "Event", "Evidence", "Finding", "Monitor", "examine", "load_weights"]
__getattr__ = lazy.importer(__name__)
