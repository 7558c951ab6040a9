"""What makes a step faster and leaves the game as it is: 16-bit arithmetic, `torch.compile`, CUDA graphs."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from gantutor.errors import BadInput, OutOfMemory, reason, unknown

PRECISIONS = ("fp32", "bf16")
WARM_UP = 3  # steps before a CUDA graph is recorded: libraries load, buffers and optimizer states come to be


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


def explained(error: RuntimeError) -> RuntimeError:
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
