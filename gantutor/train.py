"""Training: a `Recipe` says how, a `Run` holds everything that changes, and ``for step in run.steps(n)`` does it.

The loop yields after every step and keeps no log: whoever wants a curve or a picture looks at what it yields.

    G, D = models.mlp()
    run = Run(G, D, data.load("mnist"), seed=0)
    curve = [(step.index, step.d_loss.item(), step.g_loss.item()) for step in run.steps(1000)]
    images = run.sample(64)
"""

import contextlib
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gantutor import losses, penalties
from gantutor.data import Images, place
from gantutor.errors import BadInput, real, whole
from gantutor.models import evaluating

SAMPLING = 0x5A4D504C  # added to the seed of a sample, so that it never repeats the noise of training


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults suit the MLP pair on 28×28 images; vary them with `dataclasses.replace`.

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

    def __post_init__(self):
        if not isinstance(self.loss, losses.Loss):
            raise BadInput(f"loss is {self.loss!r}: give a losses.Loss, such as losses.LOSSES['hinge'].")
        if not (self.penalty is None or callable(self.penalty)):
            raise BadInput(f"penalty is {self.penalty!r}: give None, or a function such as penalties.r1.")
        for name in ("batch_size", "penalty_every", "d_steps"):
            whole(name, getattr(self, name), least=1)
        for name in ("lr_g", "lr_d"):
            real(name, getattr(self, name), above=0)
        real("gamma", self.gamma, least=0)
        real("average", self.average, least=0, below=1)
        real("decay_from", self.decay_from, least=0, most=1)
        if len(self.betas) != 2:
            raise BadInput(f"betas is {self.betas!r}: give two numbers, such as (0.0, 0.999).")
        for beta in self.betas:
            real("betas", beta, least=0, below=1)


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
        D: maps examples (B, *shape) to one logit each, (B,) or (B, 1).
        data: `Images`, or a float tensor (N, *shape). Image values lie in [-1, 1]; points in the plane may be anything.
        recipe: how to train.
        seed: fixes the order of the examples, the noise, and everything random inside the nets and penalties
            (the initial weights are fixed by the models' own seed).
        order_seed, noise_seed: vary only the order, or only the noise.
        device: "cpu", "cuda", "mps", …; None leaves everything where the data is.

    Raises `BadInput` when the data, the nets and the recipe do not fit together.
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
    ):
        self.recipe = recipe or Recipe()
        self.data = data
        examples = data.pixels if isinstance(data, Images) else data
        check_examples(examples, self.recipe.batch_size)
        self.examples = examples if device is None else place(examples, device)  # (N, *shape)
        self.device = self.examples.device
        self.G, self.D = G.to(self.device), D.to(self.device)
        check_nets(self.G, self.D, self.examples)

        self.G_average = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.opt_g, self.opt_d = (
            torch.optim.Adam(net.parameters(), lr, betas=self.recipe.betas, fused=self.device.type in ("cpu", "cuda"))
            for net, lr in ((self.G, self.recipe.lr_g), (self.D, self.recipe.lr_d))
        )
        self.step = 0
        self.plan: tuple[int, int] | None = None  # first and last step of the steps(n) that is under way
        self.order = torch.Generator(self.device).manual_seed(whole("seed", seed if order_seed is None else order_seed))
        self.randomness = Randomness(whole("seed", seed if noise_seed is None else noise_seed), self.device)

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
        while (done := share(self.step, *plan) if plan else (time.perf_counter() - began) / seconds) < 1:
            rate = decay(done, self.recipe.decay_from)
            set_learning_rate(self.opt_g, self.recipe.lr_g * rate)
            set_learning_rate(self.opt_d, self.recipe.lr_d * rate)
            yield self.take_step()

    def take_step(self) -> Step:
        """One turn of the game: D improves `d_steps` times, then G once, then the average follows G."""
        recipe = self.recipe
        self.G.train()
        self.D.train()
        with self.randomness:
            for _ in range(recipe.d_steps):
                real, fake = self.batch(), self.G(self.noise())  # (B, *shape) each
                d_loss, real_logits, fake_logits = self.d_step(real, fake.detach())
            g_loss = self.g_step(real, fake)  # the same fakes, looked at by the improved D: one pass through G saved
            update_average(self.G_average, self.G, min(recipe.average, ramp(self.step)))
        self.step += 1
        return Step(self.step, d_loss, g_loss, real_logits, fake_logits)

    def d_step(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lower D's loss on one batch of each kind. Returns the loss and the logits, detached."""
        recipe = self.recipe
        real_logits, fake_logits = self.D(real).flatten(), self.D(fake).flatten()  # (B,), (B,)
        loss = total = recipe.loss.d(real_logits, fake_logits)
        if recipe.penalty and self.step % recipe.penalty_every == 0:
            total = loss + recipe.gamma * recipe.penalty_every * recipe.penalty(self.D, real, fake)
        self.opt_d.zero_grad()
        total.backward()
        self.opt_d.step()
        return loss.detach(), real_logits.detach(), fake_logits.detach()

    def g_step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Lower G's loss on the batch it made, D held fixed. Returns the loss, detached."""
        with frozen(self.D):
            fake_logits = self.D(fake).flatten()  # (B,)
            unseen = torch.full_like(fake_logits, float("nan"))  # shows at once if a loss forgot to say it is paired
            real_logits = self.D(real).flatten() if self.recipe.loss.paired else unseen
            loss = self.recipe.loss.g(real_logits, fake_logits)
            self.opt_g.zero_grad()
            loss.backward()
        self.opt_g.step()
        return loss.detach()

    def batch(self) -> Tensor:
        """A batch is an index: (batch_size, *shape), drawn with replacement."""
        index = torch.randint(len(self.examples), (self.recipe.batch_size,), generator=self.order, device=self.device)
        return self.examples[index]

    def noise(self) -> Tensor:
        shape = self.recipe.batch_size, self.G.latent_dim
        return torch.randn(shape, device=self.device, dtype=self.examples.dtype)  # (B, latent_dim)

    def sample(self, n: int, *, seed: int = 0, averaged: bool = True) -> Tensor:
        """`n` examples (n, *shape) from the averaged generator, or from G itself. The same seed, the same latents."""
        return sample(self.G_average if averaged else self.G, n, seed=seed)


def sample(G: nn.Module, n: int, *, seed: int = 0, batch_size: int = 1000) -> Tensor:
    """Draw (n, *shape) from a generator in eval mode, on its own device; the mode is put back afterwards."""
    z, weight = latents(G, n, seed), next(G.parameters())
    with evaluating(G), torch.no_grad():
        return torch.cat([G(part.to(weight)) for part in z.split(batch_size)])


def latents(G: nn.Module, n: int, seed: int) -> Tensor:
    """The latents (n, latent_dim) that `sample` uses for a seed, on the CPU: the same for every device."""
    n, seed = whole("the number of samples", n, least=1), whole("seed", seed)
    rounded = -(-n // 16) * 16  # torch draws in blocks of 16: so the first samples do not depend on how many there are
    return torch.randn(rounded, G.latent_dim, generator=torch.Generator().manual_seed((seed + SAMPLING) % 2**63))[:n]


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 − decay) · net for the weights; batch norm's running statistics are copied."""
    for a, b in zip(average.parameters(), net.parameters(), strict=True):
        a.lerp_(b, 1 - decay)
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


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


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
        self.outside = self._read()
        self._write(self.state)

    def __exit__(self, *error: object) -> None:
        self.state = self._read()
        self._write(self.outside)

    def _read(self) -> list[Tensor]:
        if self.device.type == "cuda":
            return [torch.get_rng_state(), torch.cuda.get_rng_state(self.device)]
        return [torch.get_rng_state(), *([torch.mps.get_rng_state()] if self.device.type == "mps" else [])]

    def _write(self, state: list[Tensor]) -> None:
        torch.set_rng_state(state[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state[1], self.device)
        elif self.device.type == "mps":
            torch.mps.set_rng_state(state[1])


def check_examples(x: Tensor, batch_size: int) -> None:
    """Raise `BadInput` unless x can be trained on: (N, *shape), float, finite, pixels within [-1, 1], N ≥ batch."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2:
        kind = f"a {x.dtype} tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise BadInput(f"the data is {kind}: give Images, or a float tensor (N, *shape) such as (60000, 1, 28, 28).")
    if len(x) < batch_size:
        raise BadInput(f"batch_size is {batch_size}, but there are only {len(x)} examples: choose a smaller batch.")
    low, high = (v.item() for v in x.aminmax())
    if not x.isfinite().all():
        raise BadInput("the data holds NaN or infinite values: remove those examples before training.")
    if x.ndim >= 3 and (low < -1 or high > 1):
        raise BadInput(
            f"the pixels lie in [{low:g}, {high:g}], outside [-1, 1]: rescale them; for 0…255 that is x / 127.5 - 1."
        )


def check_nets(G: nn.Module, D: nn.Module, x: Tensor) -> None:
    """Raise `BadInput` unless G makes examples shaped like x and D gives one logit for each; both are tried on two."""
    if not isinstance(getattr(G, "latent_dim", None), int):
        raise BadInput("G has no attribute latent_dim: set it to the length of the latent vectors that G takes.")
    weight = next(G.parameters(), x)
    if weight.dtype != x.dtype:
        raise BadInput(f"the data is {x.dtype}, but the weights of G are {weight.dtype}: bring both to one dtype.")
    two = x[:2].repeat(2, *[1] * (x.ndim - 1))[:2]
    with evaluating(G), evaluating(D), torch.no_grad():
        made = _try("G", G, torch.zeros(2, G.latent_dim, device=x.device, dtype=x.dtype))
        if made.shape != two.shape:
            raise BadInput(f"G makes examples of shape {tuple(made.shape[1:])}, but the data has {tuple(x.shape[1:])}.")
        logits = _try("D", D, two)
        if logits.numel() != 2:
            raise BadInput(f"D turns 2 examples into {tuple(logits.shape)}: it must give one logit each, (2,).")


def _try(name: str, net: nn.Module, argument: Tensor) -> Tensor:
    try:
        return net(argument)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{name} cannot take an input of shape {tuple(argument.shape)}: {reason}.") from error
