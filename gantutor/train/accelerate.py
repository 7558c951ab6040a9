"""What makes a step faster and leaves the game as it is: 16-bit arithmetic, `torch.compile`, CUDA graphs."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, OutOfMemory, reason, unknown
from gantutor.models import with_labels

if TYPE_CHECKING:
    from gantutor.train.run import Outcome, Run

PRECISIONS = ("fp32", "bf16")
WARM_UP = 3  # steps before a CUDA graph is recorded: libraries load, buffers and optimizer states come to be


@dataclass(frozen=True)
class Pass:
    """A net as a step calls it: in a precision, perhaps compiled, with its labels filled in.

    Attributes:
        net: the net itself, whose weights are trained.
        function: what a batch goes through: the net, its compiled form, or something in its place.
        precision: "fp32", or "bf16"; what comes out has the type of what goes in.
        shape: of the result, (-1,) for logits (B,); None leaves it as it is.
        labels: y (B,) for a conditional net.
    """

    net: nn.Module
    function: Callable[..., Tensor]
    precision: str = "fp32"
    shape: tuple[int, ...] | None = None
    labels: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        with autocast(self.precision, x.device):
            result = with_labels(self.function, self.labels)(x).to(x.dtype)
        return result if self.shape is None else result.reshape(self.shape)

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.net.parameters()

    def given(self, y: Tensor | None) -> "Pass":
        """The same for a batch with these labels."""
        return replace(self, labels=y)

    def through(self, function: Callable[..., Tensor]) -> "Pass":
        """The same with something else in the place of the net."""
        return replace(self, function=function)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Inside the block "bf16" multiplies matrices in 16 bits; weights, losses and optimizers stay in 32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `BadInput` unless the device computes in this precision."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "fp32":
        return
    try:
        if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
            raise RuntimeError("this GPU has no such arithmetic")
        with autocast(precision, device):
            (torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).sum().item()
    except RuntimeError as error:
        raise BadInput(f"precision bf16 cannot be used on {device}: {reason(error)}. Use fp32.") from error


@cache
def check_compile(device: torch.device) -> None:
    """Raise `BadInput` unless `torch.compile` works on the device: it needs a C++ compiler (CPU) or Triton (GPU)."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # what it raises differs from one cause and version to the next
        raise BadInput(f"torch.compile does not work here on {device}: {reason(error)}. Train without it.") from error


@contextlib.contextmanager
def telling_memory(device: torch.device, batch_size: int) -> Iterator[None]:
    """Turn torch's complaint that memory ran out into an `OutOfMemory` that names the batch size."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(
            words in str(error) for words in ("out of memory", "can't allocate memory", "ALLOC_FAILED")
        ):
            raise
        hint = f"try {batch_size // 2}" if batch_size > 1 else "try a smaller net"
        raise OutOfMemory(f"{device} ran out of memory at batch size {batch_size}: {hint}.") from error


def explained(error: RuntimeError) -> Exception:
    """Why a recording failed. What reaches us may be the failure to end it; the cause is then its context."""
    cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
    if isinstance(cause, torch.OutOfMemoryError) or "captur" not in f"{cause} {error}":
        return cause
    return BadInput(f"the step cannot be recorded as a CUDA graph ({reason(cause)}): use capture=False, --no-capture.")


class Captured:
    """A function of no arguments, recorded once as a CUDA graph: called, it replays all its kernels in one launch.

    What it reads and writes (weights, learning rates, random streams) must be tensors that stay where they are; Python
    numbers and decisions are those of the moment of recording. The tensors that it returns are overwritten by the next
    call.

    Args:
        function: does the work, entirely on the device.
        generators: random generators that it draws from, beside the device's default one.
        device: the CUDA device on which all of it happens.

    Raises:
        BadInput: the function does something that cannot be recorded.
    """

    def __init__(
        self, function: Callable[[], Sequence[Tensor]], generators: Iterable[torch.Generator], device: torch.device
    ):
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):  # also makes its device the current one
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*capturable=True")  # Adam: why is this not captured?
                for _ in range(WARM_UP):
                    function()
            self.graph = torch.cuda.CUDAGraph()
            for generator in generators:
                self.graph.register_generator_state(generator)
            try:
                with torch.cuda.graph(self.graph, stream=aside):
                    self.result = function()
            except RuntimeError as error:
                raise explained(error) from error
        torch.cuda.current_stream(device).wait_stream(aside)

    def __call__(self) -> Sequence[Tensor]:
        self.graph.replay()
        return self.result


class CapturedTurn:
    """Takes a run's turns from CUDA graphs, one with the penalty and one without, recorded when first needed."""

    def __init__(self) -> None:
        self.recorded: dict[bool, Captured] = {}

    def __call__(self, run: "Run", penalise: bool) -> "Outcome":
        if penalise not in self.recorded:
            self.recorded[penalise] = self.record(run, penalise)
        d_loss, g_loss, real_logits, fake_logits = (tensor.clone() for tensor in self.recorded[penalise]())
        return d_loss, g_loss, real_logits, fake_logits

    def record(self, run: "Run", penalise: bool) -> Captured:
        """Record a turn; neither the run nor its random streams show a trace of it."""
        generators = run.source.generators()
        states, stream = [generator.get_state() for generator in generators], run.randomness.capture()
        try:
            with traceless((run.G, run.D, run.G_ema), (run.opt_g, run.opt_d)):
                return Captured(partial(run.train_step, penalise), generators, run.device)
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            run.randomness.restore(stream)


@contextlib.contextmanager
def traceless(nets: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
    """Weights, buffers and optimizer states are afterwards what they were, in the very same tensors."""

    def states() -> list[Tensor]:
        return [value for optimizer in optimizers for state in optimizer.state.values() for value in state.values()]

    before = [*(value for net in nets for value in net.state_dict().values()), *states()]
    kept = [value.detach().clone() for value in before]
    try:
        yield
    finally:
        with torch.no_grad():
            for value in states():
                value.zero_()  # Adam's states begin as zeros
            for value, old in zip(before, kept, strict=True):
                value.copy_(old)


def placed(net: nn.Module, examples: Tensor) -> nn.Module:
    """The net on the device of the examples; for images channels-last, in which convolutions are faster.

    Tensor cores read them so, and CPUs gain 7 to 21% (tests/bench/README.md).
    """
    net = net.to(examples.device)
    stacked = hasattr(net, "member")  # its kernels have a dimension more
    images = examples.ndim == 4 and examples.device.type in ("cuda", "cpu") and not stacked
    return net.to(memory_format=torch.channels_last) if images else net  # type: ignore[call-overload]
