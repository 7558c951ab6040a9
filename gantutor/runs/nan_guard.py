"""Watch a training for NaN and infinity: it stops within a few steps, and is told where it began.

One NaN is in every weight of both nets a step or two later. So the watch keeps a copy of the last sound state; when
something is wrong it goes back there, takes the same steps again, and looks after each.
"""

import contextlib
import math
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice

import torch
from torch import Tensor, nn

from gantutor.errors import Diverged, whole_number
from gantutor.train import Run, Step, share

PAUSE = 1.0  # seconds between two copies, at least
SHARE = 0.003  # the part of the time that copying may take


def watched(run: Run, steps: Iterable[Step], every: int | None = None) -> Iterator[Step]:
    """The steps of the run, as they come: ``for step in guard.watched(run, run.steps(1000))``.

    Args:
        run: a `Run` or `Ensemble`.
        steps: what its `steps` gives.
        every: look after so many steps; None is 100, or 500 where they are replayed as a CUDA graph. The losses of all
            steps are looked at, and so are all gradients, for Adam's mean of their squares never forgets an infinite
            one.

    Raises:
        Diverged: NaN or infinity in a loss, gradient or weight. The error names the step, the net and the layer; the
            run is then as it was at the last sound copy, a second or so earlier.
    """
    yield from Watch(run, every).over(steps)


class Watch:
    """What `watched` does, for a loop that also wants to `look` in between. Holds a copy of the run's state.

    Args:
        run, every: as for `watched`.
    """

    def __init__(self, run: Run, every: int | None = None):
        self.run = run
        self.every = (500 if run.capture else 100) if every is None else whole_number("every", every, least=1)
        self.losses: list[tuple[int, Tensor, Tensor]] = []  # step, D's and G's, since the last look
        self.sound, self.copied = Copy(run), time.perf_counter()
        self.pause = PAUSE

    def over(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The steps as they come, with a look after every so many and at the end."""
        for step in steps:
            self.losses.append((step.index, step.d_loss, step.g_loss))
            if len(self.losses) >= self.every:
                self.look()
            yield step
        self.look()

    def look(self) -> None:
        """Raise `Diverged` unless all is finite. This waits for the device."""
        losses = [loss.flatten() for _, *pair in self.losses for loss in pair]
        if self.run.agreed_max(not finite([*tensors(self.run), *([torch.cat(losses)] if losses else [])])):
            raise self.search()
        self.losses.clear()
        now = time.perf_counter()
        if self.run.agreed_max(now > self.copied + self.pause):
            self.sound.take()
            self.copied = time.perf_counter()
            self.pause = max(PAUSE, (self.copied - now) / SHARE)

    def search(self) -> Diverged:
        """Take the steps since the last sound copy again, one by one, to see where it begins. Returns the error."""
        run, last = self.run, self.run.step
        found, why = self.seen(), " It does not come back when these steps are taken again: something from outside?"
        self.sound.restore()
        with outputs(run) as broken:
            while run.step < last:
                if run.plan:
                    run.set_rates(share(run.step, *run.plan))
                step = run.take_step()
                if facts := [*broken[:1], *faults(run, step.d_loss, step.g_loss)]:
                    found = f"at step {step.index:,} {' and '.join(facts)}"
                    why = " Lower the learning rates, or look at the loss."
                    break
        self.sound.restore()
        return Diverged(f"the training diverged: {found}.{why}")

    def seen(self) -> str:
        """What can be said without going back."""
        for index, d_loss, g_loss in self.losses:
            if not finite([d_loss, g_loss]):
                return f"at step {index:,} {' and '.join(faults(self.run, d_loss, g_loss))}"
        return f"by step {self.run.step:,} {' and '.join(faults(self.run))}"


# --- what is looked at -----------------------------------------------------------------------------------------------


def tensors(run: Run) -> Iterator[Tensor]:
    """All that has to be finite, but the losses."""
    for net, optimizer in ((run.D, run.opt_d), (run.G, run.opt_g)):
        yield from (t for part in gradients(net, optimizer).values() for t in part.values())
        yield from values(net).values()
    yield from values(run.G_ema).values()


def gradients(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """By the names of the weights: the last gradient, and what Adam remembers of the ones before; each by its name."""
    found = {}
    for name, p in net.named_parameters():
        part = {"gradient": p.grad, "mean squared gradient": optimizer.state.get(p, {}).get("exp_avg_sq")}
        found[name] = {what: t for what, t in part.items() if t is not None}
    return found


def values(net: nn.Module) -> dict[str, Tensor]:
    """The weights and the buffers that are no counters, by name."""
    return {name: t for name, t in chain(net.named_parameters(), net.named_buffers()) if t.is_floating_point()}


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether there is no NaN and no infinity in any of them."""
    tensors = [t.detach() for t in tensors]
    if math.isfinite(torch.nn.utils.get_total_norm(tensors)):  # ten times as fast as a look at each number
        return True
    return all(t.isfinite().all() for t in tensors)  # squares may overflow where the numbers do not


# --- what is wrong ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def outputs(run: Run) -> Iterator[list[str]]:
    """Inside the block, what layers give that is not finite is written into the list, in words.

    Ensembles, compiled nets and CUDA graphs do not go through their layers one by one, and ranks must not differ in
    what they see: there the list stays empty.
    """
    found: list[str] = []
    handles = []
    if not (run.members or run.shared or run.compile or run.capture):
        for name, net in (("G", run.G), ("D", run.D)):
            for place, part in net.named_modules():
                if not list(part.children()):
                    handles.append(part.register_forward_hook(partial(note, found, f"{name}'s {place}")))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def note(found: list[str], where: str, part: nn.Module, inputs: tuple, output: Tensor) -> None:
    if isinstance(output, Tensor) and not finite([output]):
        found.append(f"{where} ({type(part).__name__}) gives {'NaN' if output.isnan().any() else 'infinity'}")


def faults(run: Run, d_loss: Tensor | None = None, g_loss: Tensor | None = None) -> list[str]:
    """What is not finite, in words. D comes first, for its step does; and of G only if D is sound."""
    for name, net, loss, optimizer in (("D", run.D, d_loss, run.opt_d), ("G", run.G, g_loss, run.opt_g)):
        found = [] if loss is None or finite([loss]) else [f"{name}'s loss is {kind(run, loss)}"]
        parts = reversed(gradients(net, optimizer).items())  # they come to be from the last layer to the first
        slopes = ((f"the {what} of ", weight, t) for weight, part in parts for what, t in part.items())
        weights = (("", weight, t) for weight, t in values(net).items())
        for places in (slopes, weights):
            broken = ((what, weight, t) for what, weight, t in places if not finite([t]))
            found += [f"{what}{name}'s {layer(net, weight)} is {kind(run, t)}" for what, weight, t in islice(broken, 1)]
        if found:
            return found
    return []


def layer(net: nn.Module, name: str) -> str:
    """The name that a weight has in the net, or in each member of an ensemble."""
    return name.removeprefix("net.") if hasattr(net, "member") else name


def kind(run: Run, t: Tensor) -> str:
    """NaN or infinite; in an ensemble also of which member."""
    word = "NaN" if t.isnan().any() else "infinite"
    if not run.members:
        return word
    sound = t.isfinite().flatten(1).all(1) if t.ndim > 1 else t.isfinite()  # (S,)
    return f"{word} in member {sound.tolist().index(False)}"


# --- the way back ----------------------------------------------------------------------------------------------------


class Copy:
    """A copy of all that changes in a run. Restoring it puts the values back into the very same tensors."""

    def __init__(self, run: Run):
        self.run = run
        self.kept: list[Tensor] = []
        self.take()

    def take(self) -> None:
        live = [*self.weights(), *self.moments()]
        if len(live) != len(self.kept):  # an optimizer has no state before its first step
            self.kept = [t.detach().clone() for t in live]
        else:
            for old, t in zip(self.kept, live, strict=True):
                old.copy_(t)
        self.streams = [generator.get_state() for generator in self.run.source.generators()]
        self.randomness, self.step = self.run.randomness.state, self.run.step
        self.augment = self.run.augment.state() if self.run.augment else {}

    @torch.no_grad()
    def restore(self) -> None:
        for t in self.moments():
            t.zero_()  # as they are before the first step
        for p in chain(self.run.G.parameters(), self.run.D.parameters()):
            if p.grad is not None:
                p.grad.zero_()
        for t, old in zip([*self.weights(), *self.moments()], self.kept, strict=False):
            t.copy_(old)
        for generator, state in zip(self.run.source.generators(), self.streams, strict=True):
            generator.set_state(state)
        self.run.randomness.state, self.run.step = self.randomness, self.step
        if self.run.augment:
            self.run.augment.restore(self.augment)

    def weights(self) -> list[Tensor]:
        return [t for net in (self.run.G, self.run.D, self.run.G_ema) for t in net.state_dict().values()]

    def moments(self) -> list[Tensor]:
        optimizers = self.run.opt_g, self.run.opt_d
        return [t for optimizer in optimizers for state in optimizer.state.values() for t in state.values()]
