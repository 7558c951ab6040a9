"""What is borrowed and given back: torch's random streams, a net's mode, its weights' gradients."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from gantutor.errors import whole_number


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the block's random numbers from `seed`, and leave torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(whole_number("seed", seed))  # torch.manual_seed would seed GPUs too
        yield


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; every module gets its own mode back."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class HasWeights(Protocol):
    """An `nn.Module`, or something that knows the weights of one."""

    def parameters(self) -> Iterator[nn.Parameter]: ...


@contextlib.contextmanager
def frozen(net: HasWeights) -> Iterator[None]:
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
