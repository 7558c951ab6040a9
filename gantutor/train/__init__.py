"""Training: a `Recipe` says how, a `Run` holds everything that changes, and ``for step in run.steps(n)`` does it.

The loop yields after every step and keeps no log: whoever wants a curve or a picture looks at what it yields.

    G, D = models.mlp()
    run = Run(G, D, data.load("mnist"), seed=0)
    curve = [(step.index, step.d_loss.item(), step.g_loss.item()) for step in run.steps(1000)]
    images = run.sample(64)

A conditional pair (`models.mlp(classes=10)`) is trained by the same loop: it gets the labels of its `Images`, and
``run.sample(64, labels=7)`` draws sevens.

`step` is the game on one screen, `recipe` says how it is played, and `run` plays it; `sampling` draws. What wraps a
turn from outside: `accelerate` makes it faster, `accumulate` smaller, `unrolled` lets G look ahead, and `augment`
changes what D sees, where there are few pictures. `validate` checks before the first step that everything fits
together: `pairs` that the nets do, `probabilities` that D gives what the loss wants. `invert` goes back from a picture
to its latent.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.train.recipe import PLANE, R3GAN, Recipe, decay, ramp, share
    from gantutor.train.run import Run, Step, set_learning_rate
    from gantutor.train.sampling import latents, sample, wanted_labels
    from gantutor.train.step import d_step, g_step, update_ema

__all__ = ["PLANE", "R3GAN", "Recipe", "Run", "Step", "d_step", "decay", "g_step", "latents", "ramp", "sample",
           "set_learning_rate", "share", "update_ema", "wanted_labels"]  # fmt: skip
__getattr__ = lazy.importer(__name__)
