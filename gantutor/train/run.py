"""The training loop: a `Run` holds everything that changes, and ``for step in run.steps(n)`` trains."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from gantutor import losses, penalties
from gantutor.data import Images, floats, place
from gantutor.errors import BadInput, real_number, whole_number
from gantutor.models import NETS, pack_of, with_labels
from gantutor.state import Randomness, frozen
from gantutor.train import accelerate, validate
from gantutor.train.recipe import Recipe
from gantutor.train.sampling import sample
from gantutor.train.unrolled import foreseen


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
        accumulate: work through each batch in so many equal parts, and add up their gradients: a large batch with the
            memory of a small one. The result is that of the whole batch where the loss and the penalty are means over
            examples and the nets look at each example by itself. G makes its fakes twice, once for each player. Batch
            norm sees one part at a time, and counts G's parts twice in its running statistics; spectral norm takes a
            step of its iteration for each part, so it is nearer to the truth.

    Raises `BadInput` when the data, the nets and the recipe do not fit together or this computer cannot do it.
    """

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
    ):
        self.recipe = recipe or Recipe()
        self.accumulate = whole_number("accumulate", accumulate, least=1)
        self.data = data
        examples = validate.check_examples(data, self.recipe.batch_size)
        self.examples = examples if device is None else place(examples, device)  # (N, *shape), as they are stored
        self.device, self.dtype = self.examples.device, floats(self.examples[:1]).dtype
        self.labels = validate.check_labelled(G, D, data, self.device)  # (N,), or None
        with accelerate.telling_memory(self.device, self.recipe.batch_size):
            self.G, self.D = self.settle(G, D)
        self.check_parts()
        self.precision = precision
        accelerate.check_precision(precision, self.device)
        ours = self.recipe.all_ours() and self.ours(G, D) and self.accumulate == 1
        self.capture = validate.choose_capture(capture, self.device, ours)
        if self.capture and self.accumulate > 1:
            raise BadInput(
                f"accumulate is {accumulate}: such steps are not recorded as a CUDA graph; leave capture out."
            )

        self.G_ema = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.pass_g, self.pass_d = self.G, self.D  # what the batches go through
        if compile:
            accelerate.check_compile(self.device)
            self.pass_g, self.pass_d = torch.compile(self.G), torch.compile(self.D)
        self.opt_g, self.opt_d = (
            adam(net, lr, self.recipe.betas, self.capture)
            for net, lr in ((self.G, self.recipe.lr_g), (self.D, self.recipe.lr_d))
        )
        self.step = 0
        self.plan: tuple[int, int] | None = None  # first and last step of the steps(n) that is under way
        self.order = torch.Generator(self.device).manual_seed(
            whole_number("seed", seed if order_seed is None else order_seed)
        )
        self.randomness = Randomness(whole_number("seed", seed if noise_seed is None else noise_seed), self.device)
        zero = torch.zeros((), device=self.device, dtype=self.dtype)
        self.recent = zero if self.capture else 0.0  # weight of G in the average
        self.captured: dict[bool, accelerate.Captured] = {}  # with the penalty, and without

    def settle(self, G: nn.Module, D: nn.Module) -> tuple[nn.Module, nn.Module]:
        """The nets on the device, after a look at whether they fit the data."""
        G, D = G.to(self.device), D.to(self.device)
        validate.check_nets(G, D, self.few(D), self.labels, self.recipe.batch_size)
        if self.device.type == "cuda" and self.examples.ndim == 4:  # tensor cores read channels-last
            G, D = (net.to(memory_format=torch.channels_last) for net in (G, D))
        return G, D

    def few(self, D: nn.Module) -> Tensor:
        """The first examples, enough for two packs of D."""
        return floats(self.examples[: 2 * pack_of(D)])

    def check_parts(self) -> None:
        """Raise `BadInput` unless the batches can be worked through in parts as asked for."""
        for name in ("turn", "d_step", "g_step", "generate"):
            if self.accumulate > 1 and getattr(type(self), name) is not getattr(Run, name):
                raise BadInput(f"accumulate is {self.accumulate}, but this run has a {name} of its own: leave it out.")
        validate.check_parts(self.G, self.D, self.recipe, self.accumulate, f"{self.accumulate} parts", self.labels)

    def ours(self, G: nn.Module, D: nn.Module) -> bool:
        """Whether the run and its nets are the package's own."""
        return type(self) is Run and {type(G), type(D)} <= set(NETS.values())

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
        while (done := share(self.step, *plan) if plan else self.agreed((time.perf_counter() - began) / seconds)) < 1:
            self.set_rates(done)
            yield self.take_step()

    def agreed(self, wish: float) -> float:
        """What to go by where a clock or a signal decides. (Several processes that train together must agree on it.)"""
        return wish

    def set_rates(self, done: float) -> None:
        """Give both optimizers the learning rates for when a share of the training is done, from 0 to 1."""
        rate = decay(done, self.recipe.decay_from)
        set_learning_rate(self.opt_g, self.recipe.lr_g * rate)
        set_learning_rate(self.opt_d, self.recipe.lr_d * rate)

    def take_step(self) -> Step:
        """One turn of the game, and what it was like."""
        penalise = self.recipe.penalty is not None and self.step % self.recipe.penalty_every == 0
        recent = 1 - min(self.recipe.ema_decay, ramp(self.step))
        self.recent = self.recent.fill_(recent) if self.capture else recent
        with self.randomness, accelerate.telling_memory(self.device, self.recipe.batch_size):
            turn = self.replay if self.capture else self.turn if self.accumulate == 1 else self.turn_in_parts
            result = turn(penalise)
        self.step += 1
        return Step(self.step, *result)

    def turn(self, penalise: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """D improves `d_steps` times, then G once, then the average follows G. Returns a `Step` without its index."""
        self.G.train()
        self.D.train()
        for _ in range(self.recipe.d_steps):
            real, y = self.batch()  # (B, *shape), (B,) or None
            fake = self.generate(y)  # (B, *shape)
            d_loss, real_logits, fake_logits = self.d_step(real, fake.detach(), y, penalise)
        g_loss = self.g_step(real, fake, y)  # the same fakes, looked at by the improved D: one pass through G saved
        update_ema(self.G_ema, self.G, self.recent)
        return d_loss, g_loss, real_logits, fake_logits

    def d_step(
        self, real: Tensor, fake: Tensor, y: Tensor | None = None, penalise: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Lower D's loss on one batch of each kind. Returns the loss and the logits, detached."""
        self.opt_d.zero_grad()
        result = self.d_backward(real, fake, y, penalise)
        self.opt_d.step()
        return result

    def d_backward(self, real: Tensor, fake: Tensor, y: Tensor | None, penalise: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Add the slopes of D's loss on a batch, or a part of one, to the gradients. Returns what `d_step` does."""
        recipe = self.recipe
        real_logits, fake_logits = self.both_logits(real, fake, y)  # (B,), (B,)
        loss = total = self.loss.d(real_logits, fake_logits)
        if penalise:  # by D itself: torch.compile has no second derivative
            total = loss + recipe.gamma * recipe.penalty_every * self.penalty(with_labels(self.D, y), real, fake)
        (total.sum() / self.accumulate).backward()  # one number already, but in an ensemble one for each member
        return loss.detach(), real_logits.detach(), fake_logits.detach()

    def g_step(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Tensor:
        """Lower G's loss on the batch it made, D held fixed. Returns the loss, detached."""
        self.opt_g.zero_grad()
        loss = self.g_backward(real, fake, y)
        self.opt_g.step()
        return loss

    def g_backward(self, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        """Add the slopes of G's loss on a batch, or a part of one, to the gradients. Returns the loss, detached."""
        through = self.unrolled(real, fake, y) if self.recipe.unroll else self.pass_d
        with frozen(self.D):
            fake_logits = self.logits(fake, y, through)  # (B,)
            unseen = torch.full_like(fake_logits, float("nan"))  # shows at once if a loss forgot to say it is paired
            real_logits = self.logits(real, y, through) if self.loss.paired else unseen
            loss = self.loss.g(real_logits, fake_logits)
            (loss.sum() / self.accumulate).backward()
        return loss.detach()

    def turn_in_parts(self, penalise: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `turn` does, with the memory for one part of a batch at a time: the gradients of the parts add up."""
        self.G.train()
        self.D.train()
        for _ in range(self.recipe.d_steps):
            (real, y), z = self.batch(), self.noise()
            parts = list(zip(*(self.parts(whole) for whole in (real, z, y)), strict=True))
            self.opt_d.zero_grad()
            seen = [self.d_backward(real, self.make(z, y).detach(), y, penalise) for real, z, y in parts]
            self.opt_d.step()
        self.opt_g.zero_grad()
        g_losses = [self.g_backward(real, self.make(z, y), y) for real, z, y in parts]
        self.opt_g.step()
        update_ema(self.G_ema, self.G, self.recent)
        d_losses, real_logits, fake_logits = zip(*seen, strict=True)
        mean = [torch.stack(losses).mean(0) for losses in (d_losses, g_losses)]
        return *mean, torch.cat(real_logits), torch.cat(fake_logits)

    def parts(self, whole: Tensor | None) -> Sequence[Tensor | None]:
        """A whole batch (B, …) in `accumulate` parts, (B / accumulate, …) each."""
        return [None] * self.accumulate if whole is None else whole.chunk(self.accumulate)

    def unrolled(self, real: Tensor, fake: Tensor, y: Tensor | None = None) -> Callable[..., Tensor]:
        """D as it would be after `recipe.unroll` further steps on this batch, differentiable in the fakes.

        The buffers are copies, and D itself is asked, for torch.compile has no second derivative.
        """
        buffers = {name: buffer.clone() for name, buffer in self.D.named_buffers()}

        def with_weights(weights: dict[str, Tensor]) -> Callable[..., Tensor]:
            return lambda *inputs: torch.func.functional_call(self.D, (weights, buffers), inputs)

        def d_loss(weights: dict[str, Tensor]) -> Tensor:
            D = with_weights(weights)
            return self.loss.d(self.logits(real, y, D), self.logits(fake, y, D))

        return with_weights(foreseen(self.opt_d, self.D, d_loss, self.recipe.unroll))

    @property
    def loss(self) -> losses.Loss:
        """The recipe's loss. In an ensemble, one for each member."""
        return self.recipe.loss

    def penalty(self, D: penalties.Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        """The recipe's penalty on one batch."""
        return self.recipe.penalty(D, real, fake)

    def replay(self, penalise: bool) -> list[Tensor]:
        """What `turn` does, from its CUDA graph; the first time, record it."""
        if penalise not in self.captured:
            states, stream = [generator.get_state() for generator in self.generators()], self.randomness.capture()
            try:
                with accelerate.traceless((self.G, self.D, self.G_ema), (self.opt_g, self.opt_d)):
                    turn = partial(self.turn, penalise)
                    self.captured[penalise] = accelerate.Captured(turn, self.generators(), self.device)
            finally:
                for generator, state in zip(self.generators(), states, strict=True):
                    generator.set_state(state)
                self.randomness.restore(stream)
        return [tensor.clone() for tensor in self.captured[penalise]()]

    def generate(self, y: Tensor | None) -> Tensor:
        """What G makes of new noise: (batch_size, *shape)."""
        return self.make(self.noise(), y)

    def make(self, z: Tensor, y: Tensor | None) -> Tensor:
        """What G makes of latents: (B, latent_dim) -> (B, *shape)."""
        with accelerate.autocast(self.precision, self.device):
            return with_labels(self.pass_g, y)(z).to(z.dtype)

    def logits(self, x: Tensor, y: Tensor | None, through: Callable[..., Tensor] | None = None) -> Tensor:
        """The logits (B,) of examples (B, *shape), from D or from what takes its place."""
        with accelerate.autocast(self.precision, self.device):
            return with_labels(self.pass_d if through is None else through, y)(x).flatten().to(x.dtype)

    def both_logits(self, real: Tensor, fake: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """D's logits of a batch of each kind, (B,) and (B,)."""
        return self.logits(real, y), self.logits(fake, y)

    def generators(self) -> Iterable[torch.Generator]:
        """The streams of its own that a turn draws from."""
        return [self.order]

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """A batch is an index: examples (batch_size, *shape), drawn with replacement, and their labels or None."""
        index = torch.randint(len(self.examples), (self.recipe.batch_size,), generator=self.order, device=self.device)
        return self.pick(index)

    def pick(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """The examples (B, *shape) of an index (B,), as floats, and their labels or None."""
        return floats(self.examples[index]), None if self.labels is None else self.labels[index]

    def noise(self) -> Tensor:
        shape = self.recipe.batch_size, self.G.latent_dim
        return torch.randn(shape, device=self.device, dtype=self.dtype)  # (B, latent_dim)

    def sample(
        self, n: int, *, seed: int = 0, averaged: bool = True, labels: int | Sequence[int] | Tensor | None = None
    ) -> Tensor:
        """`n` examples (n, *shape) from the averaged generator, or from G itself; `labels` as in `sample` below."""
        return sample(self.G_ema if averaged else self.G, n, seed=seed, labels=labels)


@torch.no_grad()
def update_ema(average: nn.Module, net: nn.Module, recent: float | Tensor) -> None:
    """average ← (1 − recent) · average + recent · net for the weights; batch norm's running statistics are copied."""
    for a, b in zip(average.parameters(), net.parameters(), strict=True):
        a.lerp_(b, recent)
    for a, b in zip(average.buffers(), net.buffers(), strict=True):
        a.copy_(b)


def decay(done: float, start: float) -> float:
    """1 until `done` reaches `start`, then falling linearly to 0 at 1."""
    return 1.0 if done <= start else (1 - done) / (1 - start)


def share(step: int, first: int, last: int) -> float:
    """How much of the way from step `first` to step `last` is done."""
    return (step - first) / (last - first) if last > first else 1.0


def ramp(step: int) -> float:
    """The decay of the average at a step, at most: 0.1 at first, 0.91 at step 90, 0.991 at 990, 0.999 at 8990."""
    return (1 + step) / (10 + step)


def adam(net: nn.Module, lr: float, betas: tuple[float, float], capture: bool) -> torch.optim.Adam:
    """Adam, fused where there is such a kernel; to be captured, its learning rate is a tensor on the device."""
    if next(net.parameters(), None) is None:
        raise BadInput(f"this {type(net).__name__} has no parameters to train: give nets with weights.")
    device = next(net.parameters()).device
    if capture:
        lr = torch.tensor(lr, device=device)
    betas = float(betas[0]), float(betas[1])
    return torch.optim.Adam(net.parameters(), lr, betas=betas, fused=device.type in ("cpu", "cuda"), capturable=capture)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr"].fill_(lr) if isinstance(group["lr"], Tensor) else lr
