"""A run on disk: saved whole or not at all, resumed exactly, watched for NaN; and generators that are shipped.

    checkpoint.save(run, "runs/mine")
    run = checkpoint.load("runs/mine", images)

`checkpoint` writes and reads the file, `autosave` saves while a training goes on, `nan_guard` stops one that diverges
and says where it began, `finetune` starts from the weights of another run, and `pretrained` has generators that are
trained already.
"""

from gantutor import lazy

__getattr__ = lazy.importer(__name__)
