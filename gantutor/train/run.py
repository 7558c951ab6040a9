"""The training loop: a `Run` holds everything that changes, and ``for step in run.steps(n)`` trains.

It draws a batch and noise, lets both players take their `step`, and yields what came of it. Whatever makes a step
faster, smaller or shared wraps it from outside: it is put into an attribute of the run, at the end of `Run.__init__`.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gantutor.data import Images, floats
from gantutor.errors import BadInput, real_number, whole_number
from gantutor.models import with_labels
from gantutor.state import Randomness
from gantutor.train import accelerate, sampling, step, unrolled, validate
from gantutor.train.accumulate import in_parts
from gantutor.train.augment import Augment
from gantutor.train.recipe import Recipe, decay, ramp, share

Outcome = tuple[Tensor, Tensor, Tensor, Tensor]  # the fields of a `Step`, without its index


@dataclass(frozen=True)
class Step:
    """What one step did. Everything but `index` is a detached tensor on the device: `.item()` waits for it there."""

    index: int  # counts from 1 over the whole run
    d_loss: Tensor  # 0-d, without the penalty
    g_loss: Tensor  # 0-d
    real_logits: Tensor  # (B,) from D's (last) step
    fake_logits: Tensor  # (B,)


class Run:
    """A training run: two nets, their optimizers, the averaged generator, the examples and the random streams.

    Args:
        G: maps latents (B, latent_dim) to examples (B, *shape); has an attribute `latent_dim`.
        D: maps examples (B, *shape) to one logit each, (B,) or (B, 1). Where G and D have an attribute `classes` above
            0, both take the labels, int64 (B,), as a second argument; real and fake of a batch share their labels.
        data: `Images`, or a float tensor (N, *shape). Image values lie in [-1, 1]; points in the plane may be anything.
            Where they fill only [0, 1], and G makes other values too, a warning says so.
        recipe: how to train.
        seed: fixes the order of the examples, the noise, and everything random inside the nets and penalties
            (the initial weights are fixed by the models' own seed).
        order_seed, noise_seed: vary only the order, or only the noise.
        device: "cpu", "cuda", "mps", …; None leaves everything where the data is.
        precision: "fp32", or "bf16" for 16-bit passes through the nets (the penalty stays in 32).
        compile: pass both nets through `torch.compile`: the first steps take long, the others less.
        capture: record the whole step as a CUDA graph and replay it. None does so on CUDA where nets, loss and penalty
            are the package's own: yours must not wait for the device (`.item()`), nor decide or count anything in
            Python. A captured run keeps its recipe, and its nets and optimizers must stay where they are.
        accumulate: work through each batch in so many equal parts; see `accumulate`.
        augment: changes the images before D sees them, where there are few; see `augment`.

    Raises `BadInput` when the data, the nets and the recipe do not fit together or this computer cannot do it.
    """

    # Each class says so for itself: a subclass may do in its steps what a CUDA graph cannot record.
    can_be_captured = True
    checks_nets = True  # whether G and D are tried on the data before the first step
    members = 0  # of an ensemble
    shared = False  # among ranks

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        data: Images | Tensor,
        recipe: Recipe | None = None,
        *,
        seed: int = 0,
        order_seed: int | None = None,
        noise_seed: int | None = None,
        device: str | torch.device | None = None,
        precision: str = "fp32",
        compile: bool = False,
        capture: bool | None = None,
        accumulate: int = 1,
        augment: Augment | None = None,
    ):
        self.data, self.recipe = data, recipe or Recipe()
        found = validate.check_run(
            type(self), G, D, data, self.recipe, device, precision=precision, compile=compile, capture=capture,
            parts=accumulate, augment=augment,
        )  # fmt: skip
        self.examples, self.labels = found.examples, found.labels  # (N, *shape), as they are stored; (N,) or None
        self.device, self.dtype = self.examples.device, floats(self.examples[:1]).dtype
        self.compile, self.capture, self.parts, self.augment = compile, found.capture, accumulate, augment

        self.G, self.D = (accelerate.placed(net, self.examples) for net in (G, D))
        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.opt_g, self.opt_d = (
            adam(net, lr, self.recipe.betas, self.capture)
            for net, lr in ((self.G, self.recipe.lr_g), (self.D, self.recipe.lr_d))
        )
        self.step = 0
        self.plan: tuple[int, int] | None = None  # first and last step of the steps(n) that is under way
        length = sampling.length_of_latents(self.G)
        order = whole_number("seed", seed if order_seed is None else order_seed)
        self.source: sampling.Draws = sampling.Source(self.examples, self.labels, self.recipe.batch_size, length, order)
        self.randomness = Randomness(whole_number("seed", seed if noise_seed is None else noise_seed), self.device)
        self.ema_weight = self.examples.new_zeros((), dtype=self.dtype) if self.capture else 0.0  # of G, in G_ema

        # How a turn is taken. Ensembles, ranks and the like put something else in the place of these.
        self.turn: Turn = type(self).train_step
        through_g, through_d = (torch.compile(net) if compile else net for net in (self.G, self.D))
        self.seen: Callable[[Tensor], Tensor] = lambda x: x  # by D, of images
        if augment:
            augment.move_to(self.device)
            self.seen, whole_d = augment, through_d
            through_d = lambda x, *y: whole_d(augment(x), *y)  # noqa: E731
        self.G_pass = accelerate.Pass(self.G, through_g, precision)
        self.D_pass = accelerate.Pass(self.D, through_d, precision, shape=(-1,))
        self.d_in_its_step: View = Run.d_as_it_is
        self.d_in_gs_step: View = unrolled.d_ahead if self.recipe.unroll else Run.d_as_it_is
        self.loss, self.penalty = self.recipe.loss, self.recipe.penalty
        self.agreed_max: Callable[[float], float] = float  # over all processes that train together
        if self.capture:
            self.turn = accelerate.CapturedTurn()
        if self.parts > 1:
            self.turn = in_parts

    def steps(self, n: int | None = None, *, seconds: float | None = None) -> Iterator[Step]:
        """Train for `n` more steps, or for `seconds` more seconds, yielding a `Step` after each.

        Break out of the loop whenever you like. Without arguments, go on with the `n` steps that were broken off: the
        learning rates fall as they would have.
        """
        if n is not None and seconds is not None:
            raise BadInput(f"n is {n!r} and seconds is {seconds!r}: say how long to train in one way.")
        if seconds is not None:
            self.plan, seconds = None, real_number("seconds", seconds, above=0)
        elif n is not None:
            self.plan = (self.step, self.step + whole_number("the number of steps", n))
        elif self.plan is None:
            raise BadInput("say how long to train: a number of steps, or seconds=….")
        return self._loop(self.plan, seconds)

    def _loop(self, plan: tuple[int, int] | None, seconds: float | None) -> Iterator[Step]:
        began = time.perf_counter()
        while (done := self._done(plan, seconds, began)) < 1:
            self.set_rates(done)
            yield self.take_step()

    def _done(self, plan: tuple[int, int] | None, seconds: float | None, began: float) -> float:
        if seconds is not None:
            return self.agreed_max((time.perf_counter() - began) / seconds)
        return share(self.step, *plan) if plan else 1.0

    def set_rates(self, done: float) -> None:
        """Give both optimizers the learning rates for when a share of the training is done, from 0 to 1."""
        rate = decay(done, self.recipe.decay_from)
        set_learning_rate(self.opt_g, self.recipe.lr_g * rate)
        set_learning_rate(self.opt_d, self.recipe.lr_d * rate)

    def take_step(self) -> Step:
        """Take one turn of the game; what it was like."""
        penalise = self.recipe.penalty is not None and self.step % self.recipe.penalty_every == 0
        weight = 1 - min(self.recipe.ema_decay, ramp(self.step))
        self.ema_weight = self.ema_weight.fill_(weight) if isinstance(self.ema_weight, Tensor) else weight
        with self.randomness, accelerate.telling_memory(self.device, self.recipe.batch_size):
            outcome = self.turn(self, penalise)
        if self.augment:
            self.augment.adapt(outcome[2], self.recipe.batch_size * self.recipe.d_steps)
        self.step += 1
        return Step(self.step, *outcome)

    def train_step(self, penalise: bool) -> Outcome:
        """D improves `d_steps` times, then G once, then the average follows G."""
        self.G.train()
        self.D.train()
        for _ in range(self.recipe.d_steps):
            real, y = self.batch()  # (B, *shape), (B,) or None
            fake = self.generate(y)  # (B, *shape)
            d_loss, real_logits, fake_logits = self.d_step(real, fake.detach(), y, penalise)
        g_loss = self.g_step(real, fake, y)  # the same fakes, looked at by the improved D: one pass through G saved
        step.update_ema(self.G_ema, self.G, self.ema_weight)
        return d_loss, g_loss, real_logits, fake_logits

    def d_step(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, penalise: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Lower D's loss on one batch of each kind. Returns the loss and the logits, detached."""
        D = self.d_in_its_step(self, real, fake, y)
        return step.d_step(D, self.opt_d, self.loss, real, fake, self.weighted_penalty(y) if penalise else None)

    def g_step(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
        """Lower G's loss on the batch it made, D held fixed. Returns the loss, detached."""
        return step.g_step(self.d_in_gs_step(self, real, fake, y), self.opt_g, self.loss, real, fake)

    def weighted_penalty(self, y: Tensor | None) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The penalty of a batch, times its weight. D itself is asked: torch.compile has no second derivative."""
        penalty, weight = self.penalty, self.recipe.gamma * self.recipe.penalty_every
        return penalty and (
            lambda real, fake: weight * penalty(with_labels(self.D, y), self.seen(real), self.seen(fake))
        )

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """Examples (B, *shape), drawn with replacement, and their labels (B,) or None."""
        return self.source.batch()

    def noise(self) -> Tensor:
        """Latents (B, latent_dim)."""
        return self.source.noise()

    def generate(self, y: Tensor | None) -> Tensor:
        """What G makes of new noise: (B, *shape)."""
        return self.G_pass.given(y)(self.noise())

    def d_as_it_is(self, real: Tensor, fake: Tensor, y: Tensor | None) -> step.Discriminator:
        """D for a batch and its labels: examples (B, *shape) -> logits (B,)."""
        return self.D_pass.given(y)

    def sample(
        self, n: int, *, seed: int = 0, averaged: bool = True, labels: int | Sequence[int] | Tensor | None = None
    ) -> Tensor:
        """`n` examples (n, *shape) from the averaged generator, or from G itself; `labels` as in `train.sample`."""
        return sampling.sample(self.G_ema if averaged else self.G, n, seed=seed, labels=labels)


Turn = Callable[[Run, bool], Outcome]
View = Callable[[Run, Tensor, Tensor, Tensor | None], step.Discriminator]


def adam(net: nn.Module, lr: float, betas: tuple[float, float], capture: bool) -> torch.optim.Adam:
    """Adam, fused where there is such a kernel; to be captured, its learning rate is a tensor on the device."""
    if next(net.parameters(), None) is None:
        raise BadInput(f"this {type(net).__name__} has no parameters to train: give nets with weights.")
    device = next(net.parameters()).device
    rate = torch.tensor(lr, device=device) if capture else lr
    betas = float(betas[0]), float(betas[1])
    return torch.optim.Adam(net.parameters(), rate, betas, fused=device.type in ("cpu", "cuda"), capturable=capture)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr"].fill_(lr) if isinstance(group["lr"], Tensor) else lr
