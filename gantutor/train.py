"""Training: a `Recipe` says how, a `Run` holds everything that changes, and ``for step in run.steps(n)`` does it.

The loop yields after every step and keeps no log: whoever wants a curve or a picture looks at what it yields.

    G, D = models.mlp()
    run = Run(G, D, data.load("mnist"), seed=0)
    curve = [(step.index, step.d_loss.item(), step.g_loss.item()) for step in run.steps(1000)]
    images = run.sample(64)

A conditional pair (`models.mlp(classes=10)`) is trained by the same loop: it gets the labels of its `Images`, and
``run.sample(64, labels=7)`` draws sevens.
"""

import contextlib
import copy
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from gantutor import fast, fitting, losses, penalties
from gantutor.data import Images, floats, place
from gantutor.errors import BadInput, real, whole
from gantutor.labels import check_labels, classes_of, told
from gantutor.models import NETS, evaluating, pack_of

SAMPLING = 0x5A4D504C  # added to the seed of a sample, so that it never repeats the noise of training


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
        average: decay of the exponential moving average of G's weights (Yazıcı et al. 2019); 0 copies G. Early on the
            decay is lower, see `ramp`, so that the average forgets the random start.
        decay_from: share of `run.steps(...)` after which the learning rates fall linearly to 0; 1 never.
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
    average: float = 0.999
    decay_from: float = 0.75
    unroll: int = 0

    def __post_init__(self):
        if not isinstance(self.loss, losses.Loss):
            raise BadInput(f"loss is {self.loss!r}: give a losses.Loss, such as losses.LOSSES['hinge'].")
        if not (self.penalty is None or callable(self.penalty)):
            raise BadInput(f"penalty is {self.penalty!r}: give None, or a function such as penalties.r1.")
        for name in ("batch_size", "penalty_every", "d_steps"):
            whole(name, getattr(self, name), least=1)
        for name in ("lr_g", "lr_d"):
            real(name, getattr(self, name), above=0)
        whole("unroll", self.unroll)
        real("gamma", self.gamma, least=0)
        real("average", self.average, least=0, below=1)
        real("decay_from", self.decay_from, least=0, most=1)
        if not isinstance(self.betas, Sequence) or len(self.betas) != 2:
            raise BadInput(f"betas is {self.betas!r}: give two numbers, such as (0.0, 0.999).")
        for beta in self.betas:
            real("betas", beta, least=0, below=1)

    def all_ours(self) -> bool:
        """Whether loss and penalty are the package's own."""
        return self.loss in losses.LOSSES.values() and self.penalty in (None, *penalties.PENALTIES.values())


R3GAN = Recipe(loss=losses.RELATIVISTIC, penalty=penalties.r1_r2, penalty_every=1)
"""Relativistic pairing with R1 and R2 at every step, for nets without normalisation (Huang et al. 2024)."""

PLANE = Recipe(batch_size=128, lr_g=2e-3, lr_d=2e-3, betas=(0.0, 0.99), gamma=0.1, penalty_every=1, decay_from=0.3)
"""For `models.plane` on points divided by their `Mixture.spread`: no mode is lost, and with the falling rate the points
settle in them. R1 at every step, for the modes are narrow."""


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
        self.accumulate = whole("accumulate", accumulate, least=1)
        self.data = data
        examples = fitting.check_examples(data, self.recipe.batch_size)
        self.examples = examples if device is None else place(examples, device)  # (N, *shape), as they are stored
        self.device, self.dtype = self.examples.device, floats(self.examples[:1]).dtype
        self.labels = fitting.check_labelled(G, D, data, self.device)  # (N,), or None
        with fast.telling_memory(self.device, self.recipe.batch_size):
            self.G, self.D = self.settle(G, D)
        self.check_parts()
        self.precision = precision
        fast.check_precision(precision, self.device)
        ours = self.recipe.all_ours() and self.ours(G, D) and self.accumulate == 1
        self.capture = fitting.choose_capture(capture, self.device, ours)
        if self.capture and self.accumulate > 1:
            raise BadInput(
                f"accumulate is {accumulate}: such steps are not recorded as a CUDA graph; leave capture out."
            )

        self.G_average = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.pass_g, self.pass_d = self.G, self.D  # what the batches go through
        if compile:
            fast.check_compile(self.device)
            self.pass_g, self.pass_d = torch.compile(self.G), torch.compile(self.D)
        self.opt_g, self.opt_d = (
            adam(net, lr, self.recipe.betas, self.capture)
            for net, lr in ((self.G, self.recipe.lr_g), (self.D, self.recipe.lr_d))
        )
        self.step = 0
        self.plan: tuple[int, int] | None = None  # first and last step of the steps(n) that is under way
        self.order = torch.Generator(self.device).manual_seed(whole("seed", seed if order_seed is None else order_seed))
        self.randomness = Randomness(whole("seed", seed if noise_seed is None else noise_seed), self.device)
        zero = torch.zeros((), device=self.device, dtype=self.dtype)
        self.recent = zero if self.capture else 0.0  # weight of G in the average
        self.captured: dict[bool, fast.Captured] = {}  # with the penalty, and without

    def settle(self, G: nn.Module, D: nn.Module) -> tuple[nn.Module, nn.Module]:
        """The nets on the device, after a look at whether they fit the data."""
        G, D = G.to(self.device), D.to(self.device)
        fitting.check_nets(G, D, self.few(D), self.labels, self.recipe.batch_size)
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
        fitting.check_parts(self.G, self.D, self.recipe, self.accumulate, f"{self.accumulate} parts", self.labels)

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
            self.plan, seconds = None, real("seconds", seconds, above=0)
        elif n is not None:
            self.plan = (self.step, self.step + whole("the number of steps", n))
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
        recent = 1 - min(self.recipe.average, ramp(self.step))
        self.recent = self.recent.fill_(recent) if self.capture else recent
        with self.randomness, fast.telling_memory(self.device, self.recipe.batch_size):
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
        update_average(self.G_average, self.G, self.recent)
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
            total = loss + recipe.gamma * recipe.penalty_every * self.penalty(told(self.D, y), real, fake)
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
        update_average(self.G_average, self.G, self.recent)
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
            states, stream = [generator.get_state() for generator in self.generators()], self.randomness.read()
            try:
                with fast.traceless((self.G, self.D, self.G_average), (self.opt_g, self.opt_d)):
                    turn = partial(self.turn, penalise)
                    self.captured[penalise] = fast.Captured(turn, self.generators(), self.device)
            finally:
                for generator, state in zip(self.generators(), states, strict=True):
                    generator.set_state(state)
                self.randomness.write(stream)
        return [tensor.clone() for tensor in self.captured[penalise]()]

    def generate(self, y: Tensor | None) -> Tensor:
        """What G makes of new noise: (batch_size, *shape)."""
        return self.make(self.noise(), y)

    def make(self, z: Tensor, y: Tensor | None) -> Tensor:
        """What G makes of latents: (B, latent_dim) -> (B, *shape)."""
        with fast.autocast(self.precision, self.device):
            return told(self.pass_g, y)(z).to(z.dtype)

    def logits(self, x: Tensor, y: Tensor | None, through: Callable[..., Tensor] | None = None) -> Tensor:
        """The logits (B,) of examples (B, *shape), from D or from what takes its place."""
        with fast.autocast(self.precision, self.device):
            return told(self.pass_d if through is None else through, y)(x).flatten().to(x.dtype)

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
        return sample(self.G_average if averaged else self.G, n, seed=seed, labels=labels)


def sample(
    G: nn.Module,
    n: int,
    *,
    seed: int = 0,
    labels: int | Sequence[int] | Tensor | None = None,
    batch_size: int = 1000,
) -> Tensor:
    """Draw (n, *shape) from a generator in eval mode, on its own device; the mode is put back afterwards.

    The same seed gives the same latents. `labels`, for a conditional G: one class for all, or n of them; without,
    the classes take turns, 0, 1, 2, ….
    """
    z, y, weight = latents(G, n, seed), wanted_labels(G, n, labels), next(G.parameters(), torch.empty(0))
    labels = itertools.repeat(None) if y is None else y.to(weight.device).split(batch_size)
    parts = zip(z.split(whole("batch_size", batch_size, least=1)), labels, strict=False)
    with evaluating(G), torch.no_grad():
        return torch.cat([told(G, y)(part.to(weight)) for part, y in parts])


def wanted_labels(G: nn.Module, n: int, labels: int | Sequence[int] | Tensor | None = None) -> Tensor | None:
    """The labels (n,) that `sample` gives to a conditional G, on the CPU; None for any other.

    Raises `BadInput` for labels that do not fit.
    """
    classes = classes_of(G)
    if labels is None:
        return torch.arange(n) % classes if classes else None
    if not classes:
        raise BadInput(f"labels are {labels!r}, but this generator is not conditional: leave them out.")
    try:
        y = torch.as_tensor(labels).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(f"labels are {labels!r}: give one class, or {n} of them.") from None
    y = y.expand(n) if y.ndim == 0 else y
    whole_numbers = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
    y = y.long() if whole_numbers else y
    check_labels(y, n, classes)
    return y


def latents(G: nn.Module, n: int, seed: int) -> Tensor:
    """The latents (n, latent_dim) that `sample` uses for a seed, on the CPU: the same for every device."""
    n, seed = whole("the number of samples", n, least=1), whole("seed", seed)
    rounded = -(-n // 16) * 16  # torch draws in blocks of 16: so the first samples do not depend on how many there are
    return torch.randn(rounded, G.latent_dim, generator=torch.Generator().manual_seed((seed + SAMPLING) % 2**63))[:n]


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, recent: float | Tensor) -> None:
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


def foreseen(
    adam: torch.optim.Adam, D: nn.Module, loss: Callable[[dict[str, Tensor]], Tensor], steps: int
) -> dict[str, Tensor]:
    """D's weights after further steps of Adam down a loss, differentiable in whatever else the loss depends on.

    They start from Adam's present state, which stays as it is, and so do D's weights.

    Args:
        adam: D's optimizer.
        loss: a function of D's weights by name. One number, or several to be summed.

    Raises:
        BadInput: the optimizer is not Adam, or has options that these steps do not know.
    """
    group = {id(p): group for group in adam.param_groups for p in group["params"]}
    named = {name: p for name, p in D.named_parameters() if p.requires_grad and id(p) in group}
    if type(adam) is not torch.optim.Adam or any(g["weight_decay"] or g["amsgrad"] for g in adam.param_groups):
        raise BadInput(f"D's optimizer is {type(adam).__name__}, and only plain Adam can be unrolled: set unroll=0.")
    weights = {name: p.detach().requires_grad_() for name, p in named.items()}
    moments = {name: adam.state.get(p) or fresh(p) for name, p in named.items()}
    for _ in range(steps):
        slopes = torch.autograd.grad(loss(weights).sum(), list(weights.values()), create_graph=True)
        for (name, p), slope in zip(named.items(), slopes, strict=True):
            weights[name], moments[name] = adam_step(weights[name], slope, moments[name], group[id(p)])
    return weights


def fresh(weight: Tensor) -> dict[str, Tensor]:
    """Adam's state of a weight before the first step."""
    zero = torch.zeros_like(weight)
    return {"step": torch.zeros(()), "exp_avg": zero, "exp_avg_sq": zero}


def adam_step(
    weight: Tensor, slope: Tensor, state: dict[str, Tensor], options: dict
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of Adam (Kingma & Ba 2015, algorithm 1) as a function: the new weight and the new state."""
    (beta1, beta2), step = options["betas"], state["step"] + 1
    mean = state["exp_avg"].lerp(slope, 1 - beta1)
    square = state["exp_avg_sq"].lerp(slope.square(), 1 - beta2)
    unbiased = square / (1 - beta2 ** step.double()) + torch.finfo(square.dtype).tiny  # √ has no slope at 0
    change = mean / (1 - beta1 ** step.double()) / (unbiased.sqrt() + options["eps"])
    return weight - options["lr"] * change, {"step": step, "exp_avg": mean, "exp_avg_sq": square}


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["lr"].fill_(lr) if isinstance(group["lr"], Tensor) else lr


@contextlib.contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Compute no gradients for this net's weights inside the block; each weight gets its own setting back."""
    trainable = [p for p in net.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trainable:
            p.requires_grad_(True)


class Randomness:
    """A private stream for torch's global random functions: inside ``with`` they draw from it, outside they do not.

    It covers what takes no generator argument: `torch.randn`, dropout inside a net, the random points of WGAN-GP.
    `state` is a list of byte tensors: the stream of the CPU and, on CUDA or MPS, that of the device.
    """

    def __init__(self, seed: int, device: torch.device):
        self.device = device
        devices = ["cpu"] if device.type == "cpu" else ["cpu", device]
        self.state = [torch.Generator(d).manual_seed(seed).get_state() for d in devices]

    def __enter__(self) -> None:
        self.outside = self.read()
        self.write(self.state)

    def __exit__(self, *error: object) -> None:
        self.state = self.read()
        self.write(self.outside)

    def read(self) -> list[Tensor]:
        if self.device.type == "cuda":
            return [torch.get_rng_state(), torch.cuda.get_rng_state(self.device)]
        return [torch.get_rng_state(), *([torch.mps.get_rng_state()] if self.device.type == "mps" else [])]

    def write(self, state: list[Tensor]) -> None:
        torch.set_rng_state(state[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state[1], self.device)
        elif self.device.type == "mps":
            torch.mps.set_rng_state(state[1])
