"""One training by several processes, the ranks, each with its part of every batch: ``torchrun -m gantutor train …``.

Every rank holds both nets. All draw the order and the noise of the whole batch from the same streams, and each takes
its own rows. The losses are means over examples, so the gradients of the whole batch are the mean of the ranks'
gradients: they are averaged just before each step of an optimizer. So the weights of all ranks are the same at all
times, and those of one process at the same batch size, however many ranks there are. Two differences remain:

- Batch norm looks at the examples of its rank only. Its running statistics are averaged: the mean is that of the whole
  batch, the variance leaves out how far the ranks' means are apart.
- A net that draws random numbers of its own, as dropout does, draws others on each rank.

A rank that has ended, or does not answer within the timeout of the process group, makes the others raise `RankLost`.
They then end, and ``torchrun --max-restarts=3 …`` starts all of them again, from the last save.

`DistributedDataParallel` averages in hooks of the backward pass, as soon as each gradient is there, which saves time
where nets are large. It expects one pass forward and one backward. A turn of a GAN has more: D sees two batches, then a
third while it is frozen, and a penalty differentiates twice, past the wrapper. So here it is done by hand, in one go.
"""

import contextlib
import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gantutor import penalties
from gantutor.errors import BadInput, GantutorError, RankLost, reason
from gantutor.models import NORMALISING, with_labels
from gantutor.scale.ensemble import OwnStreams
from gantutor.state import Randomness
from gantutor.train import Run, validate
from gantutor.train.accelerate import Pass
from gantutor.train.run import Outcome, Turn
from gantutor.train.sampling import Source

TIMEOUT = 60.0  # seconds until a rank that does not answer counts as lost
SETTING_UP = timedelta(minutes=10)  # the same while they start, and while one of them downloads for all
T = TypeVar("T")


class SharedError(GantutorError):
    """An error that all ranks raise, and that one of them should report."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together. Alone, a process is rank 0 of 1, and all that is asked of it is trivial.

    Args:
        rank: the number of this process, from 0.
        size: how many there are.
        local: its number on its own machine; with CUDA, that of its GPU.
        group: all ranks, as they train: with the timeout that holds there. The default group is for setting up.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    group: dist.ProcessGroup | None = None

    def part(self, whole: Tensor) -> Tensor:
        """This rank's rows of what belongs to a whole batch: (B, …) -> (B / size, …)."""
        return whole.chunk(self.size)[self.rank]

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over the ranks into the tensors, in one go. Raises `RankLost`."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.detach().flatten() for t in tensors])
        with noticing():
            dist.all_reduce(flat, group=self.group)
        flat /= self.size
        for t, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.detach().copy_(mean.view(t.shape))

    def max(self, value: float) -> float:
        """The largest value that any rank gives, on all of them. Raises `RankLost`."""
        if self.size == 1:
            return value
        largest = torch.tensor(float(value), dtype=torch.float64)
        with noticing():
            dist.all_reduce(largest, dist.ReduceOp.MAX, self.group)
        return largest.item()

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Put what rank 0 has into the tensors of all. Raises `RankLost`."""
        for t in tensors if self.size > 1 else ():
            content = t.detach().contiguous()
            with noticing():
                dist.broadcast(content, 0, self.group)
            t.detach().copy_(content)

    def broadcast_bytes(self, content: bytes) -> bytes:
        """What rank 0 gives, on all of them. Raises `RankLost`."""
        size = int(self.max(len(content) if self.rank == 0 else 0))
        buffer = bytearray(content if self.rank == 0 else size)
        if buffer:
            self.broadcast([torch.frombuffer(buffer, dtype=torch.uint8)])
        return bytes(buffer)

    def run_on_all(self, work: Callable[[], T]) -> T:
        """Do something that needs no other rank. Where it fails on any, all raise a `SharedError` that says where."""
        if self.size == 1:
            return work()
        result, error = None, None
        try:
            result = work()
        except GantutorError as problem:
            error = problem
        complaints: list[str] = [""] * self.size
        with noticing():
            dist.all_gather_object(complaints, str(error or ""))
        if any(complaints):
            lines = [f"rank {rank}: {text}" for rank, text in enumerate(complaints) if text]
            raise SharedError(complaints[0] if len({*complaints}) == 1 else "\n".join(lines)) from error
        return cast(T, result)

    def meet(self) -> None:
        """Wait until all have come here. Raises `RankLost`."""
        if self.size > 1:
            with noticing():
                dist.monitored_barrier()


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """Turn the complaints of the backend into a `RankLost`."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost("the connection to another rank is broken: it has ended, or does not answer.") from error


@contextlib.contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[Ranks]:
    """The ranks that torchrun, or what does its work, has started: gloo connects CPUs, and NCCL GPUs.

    Args:
        timeout: seconds until a rank that does not answer counts as lost.

    Raises:
        RankLost: they do not find each other.
    """
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=SETTING_UP))
        store = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", ""), store)  # may outlive a restart
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=SETTING_UP)
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        group = dist.new_group(backend=backend, timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError) as error:
        raise RankLost(f"the ranks do not find each other ({reason(error)}): start them with torchrun.") from error
    try:
        yield Ranks(rank, size, int(os.environ.get("LOCAL_RANK", "0")), group)
    finally:
        dist.destroy_process_group()


def share(run: Run, ranks: Ranks) -> Run:
    """The run, with its batches shared among ranks: all make it alike, and take its steps together.

    `recipe.batch_size` is that of all ranks together, and the losses in a `Step` are those of the whole batch; the
    logits are the rank's own. A loss or penalty of one's own must be a mean over examples, pairs or packs, and a
    penalty may draw with `torch.rand` and `torch.randn`, one row for each example or pack. The weights are from now on
    those of rank 0.

    Args:
        run: made with the same arguments on all ranks, but for the device, which is the rank's own; with
            ``capture=False``. Each rank divides its own part of a batch into the run's `accumulate` parts.
        ranks: from `joined`.

    Raises:
        BadInput: the batch cannot be shared among so many, or the run is captured.
        RankLost: another process has ended.
    """
    check_share(run, ranks)
    ranks.broadcast([t for net in (run.G, run.D, run.G_ema) for t in net.state_dict().values()])
    whole = cast(Source, run.source)
    run.source = OwnPart(whole, ranks)
    if run.penalty is not None:
        run.penalty = partial(row_by_row, ranks, run.penalty)
    run.opt_d.register_step_pre_hook(lambda *_: ranks.average(gradients(run.D)))
    run.opt_g.register_step_pre_hook(lambda *_: ranks.average([*gradients(run.G), *statistics(run.G, run.D)]))
    run.turn, run.agreed_max, run.shared = partial(turn_together, ranks, run.turn), ranks.max, True
    own = Randomness((whole.order.initial_seed() + 1 + ranks.rank) % 2**63, run.device)
    with own:  # a look, which leaves no trace in the stream of all
        index = torch.arange(run.recipe.batch_size, device=run.device)
        (real, y), z = whole.pick(ranks.part(index)), run.source.noise()
    run.G_pass = apart(run.G_pass, own, z, y)
    run.D_pass = apart(run.D_pass, own, real, y)
    return run


def check_share(run: Run, ranks: Ranks) -> None:
    """Raise `BadInput` unless the run's batches can be shared among the ranks. This needs no other rank."""
    if run.capture:
        raise BadInput("capture is True: what several ranks do is not recorded as a CUDA graph; make the run without.")
    if run.augment and ranks.size > 1:
        raise BadInput("images cannot be augmented on several ranks: train on one, or leave augment out.")
    what = f"{ranks.size} ranks" if run.parts == 1 else f"{ranks.size} ranks with {run.parts} parts each"
    validate.check_parts(run.G, run.D, run.recipe, ranks.size * run.parts, what, run.labels)


# --- what ranks put in the place of a run's own ----------------------------------------------------------------------


class OwnPart:
    """This rank's rows of the batches and the noise of all.

    Args:
        whole: the source of the run.
        ranks: which of them this is.
    """

    def __init__(self, whole: Source, ranks: Ranks):
        self.whole, self.ranks = whole, ranks

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """Examples (B / ranks, *shape), and their labels or None."""
        return self.whole.pick(self.ranks.part(self.whole.index()))

    def noise(self) -> Tensor:
        """Latents (B / ranks, latent_dim)."""
        return self.ranks.part(self.whole.noise())

    def generators(self) -> list[torch.Generator]:
        return self.whole.generators()


def turn_together(ranks: Ranks, turn: Turn, run: Run, penalise: bool) -> Outcome:
    """A turn of this rank, and the losses of the whole batch."""
    d_loss, g_loss, real_logits, fake_logits = turn(run, penalise)
    losses = torch.stack([d_loss, g_loss])
    ranks.average([losses])
    return losses[0], losses[1], real_logits, fake_logits


def row_by_row(
    ranks: Ranks, penalty: penalties.Penalty, D: penalties.Discriminator, real: Tensor, fake: Tensor
) -> Tensor:
    with OwnRows(ranks):
        return penalty(D, real, fake)


def gradients(net: nn.Module) -> list[Tensor]:
    return [p.grad for p in net.parameters() if p.grad is not None]


def statistics(*nets: nn.Module) -> list[Tensor]:
    """The running means and variances of batch norm."""
    layers = [m for net in nets for m in net.modules() if isinstance(m, NORMALISING)]
    return [t for m in layers if m.track_running_stats for t in (m.running_mean, m.running_var) if t is not None]


def apart(through: Pass, own: Randomness, x: Tensor, y: Tensor | None) -> Pass:
    """A net that draws random numbers in its passes draws them from this rank's own stream; others stay as they are."""
    before = own.state
    with own, torch.no_grad():
        with_labels(copy.deepcopy(through.net).train(), y)(x)
    if all(map(torch.equal, before, own.state)):
        return through

    def from_own_stream(*inputs: Tensor) -> Tensor:
        with own:
            return through.function(*inputs)

    return through.through(from_own_stream)


class OwnRows(OwnStreams):
    """Inside the block, what `torch.rand` and `randn` give are this rank's rows of what a whole batch would get."""

    where = "on several ranks"

    def __init__(self, ranks: Ranks):
        super().__init__([])
        self.ranks = ranks

    def rows(self, function: Callable[..., Tensor], size: Sequence[int], options: dict) -> Tensor:
        return self.ranks.part(function((size[0] * self.ranks.size, *size[1:]), **options))
