"""One training by several processes, the ranks, each with its part of every batch: ``torchrun -m gantutor train …``.

Every rank holds both nets. All draw the order and the noise of the whole batch from the same streams, and each takes
its own rows. The losses are means over examples, so the gradients of the whole batch are the mean of the ranks'
gradients: they are averaged just before each step of an optimizer. So the weights of all ranks are the same at all
times, and those of one process at the same batch size, however many ranks there are. Two differences remain:

- Batch norm looks at the examples of its rank only. Its running statistics are averaged: the mean is that of the whole
  batch, the variance leaves out how far the ranks' means are apart.
- A net that draws random numbers of its own, as dropout does, draws others on each rank.

`DistributedDataParallel` averages in hooks of the backward pass, as soon as each gradient is there, which saves time
where nets are large. It expects one pass forward and one backward. A turn of a GAN has more: D sees two batches, then a
third while it is frozen, and a penalty differentiates twice, past the wrapper. So here it is done by hand, in one go.
"""

import contextlib
import copy
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gantutor.data import Images
from gantutor.errors import BadInput, GantutorError, RankLost, reason
from gantutor.models import NORMALISING, with_labels
from gantutor.penalties import Discriminator
from gantutor.scale.ensemble import OwnStreams
from gantutor.state import Randomness
from gantutor.train import Recipe, Run, Step, validate

PATIENCE = timedelta(minutes=10)  # with a rank that does not answer
LAST_PATIENCE = timedelta(seconds=10)  # once a signal asks to end: torchrun kills half a minute after it
LOOK = timedelta(seconds=1)  # how often a waiting rank looks for a signal
T = TypeVar("T")


class SharedError(GantutorError):
    """An error that all ranks raise, and that one of them should tell."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together. Alone, a process is rank 0 of 1, and all that is asked of it is trivial.

    Args:
        rank: the number of this process, from 0.
        size: how many there are.
        local: its number on its own machine; with CUDA, that of its GPU.
        asked: the signals that have asked this process to end, written here by whoever handles them.
        unanswered: what it gave up waiting for, and what will never be done.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    asked: list[int] = field(default_factory=list)
    unanswered: list[dist.Work] = field(default_factory=list)

    def part(self, whole: Tensor) -> Tensor:
        """This rank's rows of what belongs to a whole batch: (B, …) -> (B / size, …)."""
        return whole.chunk(self.size)[self.rank]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over the ranks into the tensors, in one go. Raises `RankLost`."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.detach().flatten() for t in tensors])
        self.wait(dist.all_reduce, flat)
        flat /= self.size
        for t, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.detach().copy_(mean.view(t.shape))

    def most(self, value: float) -> float:
        """The largest value that any rank gives, on all of them. Raises `RankLost`."""
        if self.size == 1:
            return value
        most = torch.tensor(float(value), dtype=torch.float64)
        self.wait(dist.all_reduce, most, dist.ReduceOp.MAX)
        return most.item()

    def hand_out(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """Put what the source, a rank, has into the tensors. Raises `RankLost`."""
        for t in tensors if self.size > 1 else ():
            mine = t.detach().contiguous()
            self.wait(dist.broadcast, mine, source)
            t.detach().copy_(mine)

    def given(self, content: bytes, source: int = 0) -> bytes:
        """What the source, by default rank 0, gives, on all of them. Raises `RankLost`."""
        size = int(self.most(len(content) if self.rank == source else 0))
        mine = bytearray(content if self.rank == source else size)
        if size:
            self.hand_out([torch.frombuffer(mine, dtype=torch.uint8)], source)
        return bytes(mine)

    def together(self, work: Callable[[], T]) -> T:
        """Do something that needs no other rank. Where it fails on any, all raise a `SharedError` that says where."""
        if self.size == 1:
            return work()
        result, error = None, None
        try:
            result = work()
        except GantutorError as problem:
            error = problem
        complaint = str(error or "").encode()
        complaints = [self.given(complaint, source).decode() for source in range(self.size)]
        if any(complaints):
            lines = [f"rank {rank}: {text}" for rank, text in enumerate(complaints) if text]
            raise SharedError(complaints[0] if len({*complaints}) == 1 else "\n".join(lines)) from error
        return result

    def meet(self) -> None:
        """Wait until all have come here, or are gone."""
        with contextlib.suppress(RankLost):
            self.most(0)

    def wait(self, operation: Callable[..., dist.Work], tensor: Tensor, *args) -> None:
        """Do what all ranks do together. Raises `RankLost`.

        gloo mostly complains at once where a rank has ended. Where it ended in the middle of an operation, gloo may
        wait for it: then only the signal that torchrun sends to the others tells of it.
        """
        with noticing():
            work = operation(tensor, *args, async_op=True)
            if tensor.is_cuda:
                work.wait()
                return
            asked = None
            while True:
                try:
                    work.wait(LOOK)
                    return
                except RuntimeError:
                    if work.is_completed():
                        raise
                    asked = asked or (time.monotonic() if self.asked else None)
                    if asked and time.monotonic() - asked > LAST_PATIENCE.total_seconds():
                        self.unanswered.append(work)
                        raise


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """Turn the complaints of the backend into a `RankLost`."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost("the connection to another rank is broken: it has ended, or does not answer.") from error


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun, or what does its work, has started: gloo connects CPUs, and NCCL GPUs.

    Where a rank does not answer, leaving the block ends the process, with status 2.

    Raises:
        RankLost: they do not find each other.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise RankLost(f"the ranks do not find each other ({reason(error)}): start them with torchrun.") from error
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))
    try:
        yield ranks
    finally:
        if ranks.unanswered:  # gloo, and with it the end of Python, would wait for the answer
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(2)
        dist.destroy_process_group()


class SharedRun(Run):
    """A run whose batches are shared among ranks: all make it alike, and take its steps together.

    `recipe.batch_size` is that of all ranks together, and the losses in a `Step` are those of the whole batch; the
    logits are the rank's own. A loss or penalty of one's own must be a mean over examples, pairs or packs, and a
    penalty may draw with `torch.rand` and `torch.randn`, one row for each example or pack. The first weights are those
    of rank 0.

    Args:
        ranks: from `joined`.
        device: the rank's own.
        capture: None or False.
        accumulate: into so many parts each rank divides its own.
        Everything else is as for `Run`, and the same on all ranks.

    Raises:
        BadInput: the batch cannot be shared among so many; or as for `Run`.
        RankLost: another process has ended.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        data: Images | Tensor,
        recipe: Recipe | None = None,
        *,
        ranks: Ranks,
        seed: int = 0,
        order_seed: int | None = None,
        noise_seed: int | None = None,
        device: str | torch.device | None = None,
        precision: str = "fp32",
        compile: bool = False,
        capture: bool | None = None,
        accumulate: int = 1,
    ):
        if capture:
            raise BadInput("capture is True: what several ranks do is not recorded as a CUDA graph; leave it out.")
        self.ranks = ranks
        super().__init__(G, D, data, recipe, seed=seed, order_seed=order_seed, noise_seed=noise_seed, device=device,
                         precision=precision, compile=compile, accumulate=accumulate)  # fmt: skip
        self.opt_d.register_step_pre_hook(lambda *_: ranks.average(gradients(self.D)))
        self.opt_g.register_step_pre_hook(lambda *_: ranks.average([*gradients(self.G), *self.statistics()]))
        self.own = Randomness((seed + 1 + ranks.rank) % 2**63, self.device)
        with self.own:  # a look, which leaves no trace in the stream of all
            index = torch.arange(self.recipe.batch_size, device=self.device)
            (real, y), z = self.pick(ranks.part(index)), self.noise()
        self.pass_g = self.apart(self.pass_g) if self.draws(self.G, z, y) else self.pass_g
        self.pass_d = self.apart(self.pass_d) if self.draws(self.D, real, y) else self.pass_d

    # --- where it differs from a run ---

    def check_parts(self) -> None:
        ranks, each = self.ranks.size, self.accumulate
        what = f"{ranks} ranks" if each == 1 else f"{ranks} ranks with {each} parts each"
        validate.check_parts(self.G, self.D, self.recipe, ranks * each, what, self.labels)

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """This rank's rows of the batch of all: examples (batch_size / ranks, *shape), and their labels or None."""
        size = (self.recipe.batch_size,)
        index = torch.randint(len(self.examples), size, generator=self.order, device=self.device)
        return self.pick(self.ranks.part(index))

    def noise(self) -> Tensor:
        return self.ranks.part(super().noise())  # (batch_size / ranks, latent_dim)

    def penalty(self, D: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
        with OwnRows(self.ranks):
            return super().penalty(D, real, fake)

    def _loop(self, plan: tuple[int, int] | None, seconds: float | None) -> Iterator[Step]:
        nets = self.G, self.D, self.G_ema
        self.ranks.hand_out([t for net in nets for t in net.state_dict().values()])
        yield from super()._loop(plan, seconds)

    def take_step(self) -> Step:
        step = super().take_step()
        losses = torch.stack([step.d_loss, step.g_loss])
        self.ranks.average([losses])
        return replace(step, d_loss=losses[0], g_loss=losses[1])

    def agreed(self, wish: float) -> float:
        """The largest wish of any rank."""
        return self.ranks.most(wish)

    def statistics(self) -> list[Tensor]:
        """The running means and variances of batch norm, in both nets."""
        layers = [m for net in (self.G, self.D) for m in net.modules() if isinstance(m, NORMALISING)]
        return [t for m in layers if m.track_running_stats for t in (m.running_mean, m.running_var)]

    # --- nets with random numbers of their own ---

    def draws(self, net: nn.Module, x: Tensor, y: Tensor | None) -> bool:
        """Whether a pass through the net draws random numbers."""
        before = self.own.state
        with self.own, torch.no_grad():
            with_labels(copy.deepcopy(net).train(), y)(x)
        return not all(map(torch.equal, before, self.own.state))

    def apart(self, net: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The net, drawing from this rank's own stream."""

        def through(*inputs: Tensor) -> Tensor:
            with self.own:
                return net(*inputs)

        return through


class OwnRows(OwnStreams):
    """Inside the block, what `torch.rand` and `randn` give are this rank's rows of what a whole batch would get."""

    where = "on several ranks"

    def __init__(self, ranks: Ranks):
        super().__init__([])
        self.ranks = ranks

    def rows(self, function: Callable[..., Tensor], size: Sequence[int], options: dict) -> Tensor:
        return self.ranks.part(function((size[0] * self.ranks.size, *size[1:]), **options))


def gradients(net: nn.Module) -> list[Tensor]:
    return [p.grad for p in net.parameters() if p.grad is not None]
