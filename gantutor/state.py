"""State that is borrowed and restored: torch's random streams and threads, a net's mode, whether its weights get
gradients."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from gantutor.errors import whole_number


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the random numbers drawn inside the block, and leave torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(whole_number("seed", seed))  # torch.manual_seed would seed GPUs too
        yield


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; afterwards every module has its own mode again."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for each of torch's operations: a second one costs small steps more than it helps, and changes sums.

    Several Python threads may still work beside each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class HasWeights(Protocol):
    """An `nn.Module`, or something that knows the weights of one."""

    def parameters(self) -> Iterator[nn.Parameter]: ...


@contextlib.contextmanager
def frozen(net: HasWeights) -> Iterator[None]:
    """No gradients for this net's weights inside the block; afterwards each weight has its own setting again."""
    trainable = [p for p in net.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trainable:
            p.requires_grad_(True)


class Randomness:
    """A private stream of random numbers, from which torch's global random functions draw inside ``with``.

    It is for everything that takes no generator as an argument: `torch.randn`, dropout inside a net, the random
    points of WGAN-GP. `state` is a list of byte tensors: the stream of the CPU and, on CUDA or MPS, that of the device.
    """

    def __init__(self, seed: int, device: torch.device):
        self.device = device
        devices: list[str | torch.device] = ["cpu"] if device.type == "cpu" else ["cpu", device]
        self.state = [torch.Generator(d).manual_seed(seed).get_state() for d in devices]

    def __enter__(self) -> None:
        self.outside = self.capture()
        self.restore(self.state)

    def __exit__(self, *error: object) -> None:
        self.state = self.capture()
        self.restore(self.outside)

    def capture(self) -> list[Tensor]:
        """The current state of torch's global streams."""
        if self.device.type == "cuda":
            return [torch.get_rng_state(), torch.cuda.get_rng_state(self.device)]
        return [torch.get_rng_state(), *([torch.mps.get_rng_state()] if self.device.type == "mps" else [])]

    def restore(self, state: list[Tensor]) -> None:
        """Set torch's global streams to a state that was captured."""
        torch.set_rng_state(state[0])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state[1], self.device)
        elif self.device.type == "mps":
            torch.mps.set_rng_state(state[1])
