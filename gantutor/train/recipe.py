"""How to train, as data."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from gantutor import losses, penalties
from gantutor.errors import BadInput, real_number, whole_number
from gantutor.models import plain_values
from gantutor.models.arguments import check_sizes
from gantutor.models.convolutional import GROUP


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults suit the pairs of `models` on 28×28 images; vary them with `dataclasses.replace`.

    Attributes:
        loss: one of `losses.LOSSES`, or a `losses.Loss` of your own.
        batch_size: real examples, and generated ones, per step.
        lr_g, lr_d: Adam's learning rates at the start.
        betas: Adam's β1 and β2, for both nets. β1 = 0 switches momentum off.
        penalty: a function of `penalties`, or None.
        gamma: weight of the penalty.
        penalty_every: apply it every so many steps, that many times as strongly (lazy regularisation,
            Karras et al. 2020, appendix B).
        d_steps: D steps for each G step.
        ema_decay: decay of the exponential moving average of G's weights (Yazıcı et al. 2019); 0 copies G. Early on the
            decay is lower, see `ramp`, so that the average forgets the random start.
        decay_from: share of `run.steps(...)` after which the learning rates fall linearly to 0; 1 never. Dense pairs do
            better with 1: in the experiment `dense_recipe` the Fréchet distance is then 4.8 instead of 6.1. For
            convolutional ones `recipe_medium` and `recipe_long` show no difference. The default is 0.75 because the
            course's other measurements were made with it.
        unroll: G looks at D as it would be after so many further steps on the same batch, and G's gradient goes through
            those steps (Metz et al. 2017, eq. 8). D itself is not changed by it. The further steps are those of Adam
            and leave the penalty out. 0 switches it off; each one costs about as much as two steps of D.
    """

    loss: losses.Loss = losses.NON_SATURATING
    batch_size: int = 64
    lr_g: float = 1.5e-3
    lr_d: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.999)
    penalty: penalties.Penalty | None = penalties.r1
    gamma: float = 1.0
    penalty_every: int = 16
    d_steps: int = 1
    ema_decay: float = 0.999
    decay_from: float = 0.75
    unroll: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.loss, losses.Loss):
            raise BadInput(f"loss is {self.loss!r}: give a losses.Loss, such as losses.LOSSES['hinge'].")
        if not (self.penalty is None or callable(self.penalty)):
            raise BadInput(f"penalty is {self.penalty!r}: give None, or a function such as penalties.r1.")
        for name in ("batch_size", "penalty_every", "d_steps"):
            whole_number(name, getattr(self, name), least=1)
        for name in ("lr_g", "lr_d"):
            real_number(name, getattr(self, name), above=0)
        whole_number("unroll", self.unroll)
        real_number("gamma", self.gamma, least=0)
        real_number("ema_decay", self.ema_decay, least=0, below=1)
        real_number("decay_from", self.decay_from, least=0, most=1)
        if not isinstance(self.betas, Sequence) or len(self.betas) != 2:
            raise BadInput(f"betas is {self.betas!r}: give two numbers, such as (0.0, 0.999).")
        for beta in self.betas:
            real_number("betas", beta, least=0, below=1)

    @classmethod
    def for_images(cls, shape: Sequence[int], n: int, batch_size: int | None = None) -> "Recipe":
        """The recipe for `n` images (C, H, W), to go with the pair of `models.for_images`.

        For 28×28 it is the default. What differs for larger ones the experiment `larger_images` has measured on drawn
        faces of 64×64 (five seeds, the compute of 2,000 steps):

        - `batch_size`, unless it is given, is 32: the same compute then has twice the steps that 64 has. The Fréchet
          distance is 50, and 58 in batches of 64, which five seeds cannot tell from chance; the recall is higher, and
          that is no chance. Where n is smaller, it is the largest multiple of 8 up to n, because D compares eight
          images at a time; below 8, n.
        - `gamma` is H · W / (64 · batch_size), 2 for 64×64 in batches of 32. With a tenth of that the distance is 69,
          and the recall is lower. That gamma should grow with the pixels and fall with the batch is a rule of thumb in
          the code of StyleGAN2-ADA (Karras et al. 2020), which has 0.0002 in the place of 1/64.

        Raises:
            BadInput: `shape` is not that of an image, `n` or `batch_size` is no whole number above 0, or D cannot
                divide a batch of this size into groups.
        """
        check_sizes(shape=shape)
        if len(shape) != 3:
            raise BadInput(f"the shape is {tuple(shape)}: give that of an image, (C, H, W).")
        n = whole_number("the number of images", n, least=1)
        given = None if batch_size is None else whole_number("batch_size", batch_size, least=1)
        if tuple(shape[1:]) == (28, 28):
            return cls(batch_size=given or min(64, n))
        size = given or min(32, n // GROUP * GROUP) or n
        if size > GROUP and size % GROUP:
            raise BadInput(f"batch_size is {size}, but D compares images of more than 28×28 in groups of {GROUP}: give "
                           f"a multiple of {GROUP}.")  # fmt: skip
        return cls(batch_size=size, gamma=shape[1] * shape[2] / (64 * size))

    def all_ours(self) -> bool:
        """Whether loss and penalty are the package's own."""
        return self.loss in losses.LOSSES.values() and self.penalty in (None, *penalties.PENALTIES.values())

    def as_plain(self) -> dict[str, Any]:
        """The fields with the names of loss and penalty in their place: what a file may hold.

        Raises `BadInput` where one is not the package's.
        """
        named = {function: name for name, function in penalties.PENALTIES.items()}
        if losses.LOSSES.get(self.loss.name) is not self.loss:
            raise BadInput(f"the loss {self.loss.name!r} is not one of the package's, and a checkpoint holds no code.")
        if self.penalty is not None and self.penalty not in named:
            raise BadInput(f"the penalty {self.penalty} is not one of the package's, and a checkpoint holds no code.")
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain_values(**{**plain, "loss": self.loss.name, "penalty": self.penalty and named[self.penalty]})

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Recipe":
        """The recipe of which `as_plain` has given this."""
        loss, penalty = losses.LOSSES[plain["loss"]], plain["penalty"] and penalties.PENALTIES[plain["penalty"]]
        return cls(**{**plain, "loss": loss, "penalty": penalty, "betas": tuple(plain["betas"])})


R3GAN = Recipe(loss=losses.RELATIVISTIC, penalty=penalties.r1_r2, penalty_every=1)
"""Relativistic pairing with R1 and R2 at every step, for nets without normalisation (Huang et al. 2024)."""

PLANE = Recipe(batch_size=128, lr_g=2e-3, lr_d=2e-3, betas=(0.0, 0.99), gamma=0.1, penalty_every=1, decay_from=0.3)
"""For `models.plane` on points divided by their `Mixture.spread`: no mode is lost, and with the falling rate the points
settle in them. R1 at every step, for the modes are narrow."""


def decay(done: float, start: float) -> float:
    """1 until `done` reaches `start`, then falling linearly to 0 at 1."""
    return 1.0 if done <= start else (1 - done) / (1 - start)


def share(step: int, first: int, last: int) -> float:
    """How much of the way from step `first` to step `last` is done."""
    return (step - first) / (last - first) if last > first else 1.0


def ramp(step: int) -> float:
    """The largest decay of the average at a step: 0.1 at first, 0.91 at step 90, 0.991 at 990, 0.999 at 8990."""
    return (1 + step) / (10 + step)
