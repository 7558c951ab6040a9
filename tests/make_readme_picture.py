"""Make data/readme.png: what the MLP generator draws from the same latents, before training and as it learns.

python tests/make_readme_picture.py [STEPS]
"""

import sys
from pathlib import Path

from gantutor import data, models, show
from gantutor.files import replacing
from gantutor.train import Run

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
run = Run(*models.mlp(), data.load("mnist"))
looks = [0, 100, 1000, steps]
pictures = [show.grid(run.sample(36), columns=6)]
for step in run.steps(steps):
    if step.index in looks:
        pictures.append(show.grid(run.sample(36), columns=6))
with replacing(Path(__file__).resolve().parent.parent / "data" / "readme.png") as temporary:
    show.strip(pictures, [f"{n:,} steps" for n in looks]).save(temporary, "PNG", optimize=True)
