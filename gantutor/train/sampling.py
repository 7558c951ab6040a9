"""Drawing: the batches and the noise of a training, and samples from a generator."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from gantutor.data import floats
from gantutor.errors import BadInput, whole_number
from gantutor.models import check_labels, classes_of, with_labels
from gantutor.state import evaluating

SAMPLING = 0x5A4D504C  # added to the seed of a sample, so that it never repeats the noise of training


class Draws(Protocol):
    """What a run gets its batches and its noise from: a `Source`, or what stands for one."""

    def batch(self) -> tuple[Tensor, Tensor | None]: ...

    def noise(self) -> Tensor: ...

    def generators(self) -> list[torch.Generator]: ...


class Source:
    """The batches and the noise of a run. A batch is an index.

    Args:
        examples: (N, *shape), floats or bytes.
        labels: (N,), or None.
        batch_size: B.
        latent_dim: length of the noise for one example.
        seed: of the order. The noise comes from torch's global stream.
    """

    def __init__(self, examples: Tensor, labels: Tensor | None, batch_size: int, latent_dim: int, seed: int):
        self.examples, self.labels, self.shape = examples, labels, (batch_size, latent_dim)
        self.dtype = floats(examples[:1]).dtype
        self.order = torch.Generator(examples.device).manual_seed(seed)

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """Examples (B, *shape) as floats, drawn with replacement, and their labels (B,) or None."""
        return self.pick(self.index())

    def index(self) -> Tensor:
        """Which examples make up the next batch, (B,)."""
        n, size = len(self.examples), self.shape[:1]
        return torch.randint(n, size, generator=self.order, device=self.examples.device)

    def pick(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """The examples (B, *shape) of an index (B,), as floats, and their labels or None."""
        return floats(self.examples[index]), None if self.labels is None else self.labels[index]

    def noise(self) -> Tensor:
        """Latents (B, latent_dim) from N(0, I)."""
        return torch.randn(self.shape, device=self.examples.device, dtype=self.dtype)

    def generators(self) -> list[torch.Generator]:
        """The streams of its own that it draws from."""
        return [self.order]


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
    batch_size = whole_number("batch_size", batch_size, least=1)
    z, y, weight = latents(G, n, seed), wanted_labels(G, n, labels), next(G.parameters(), torch.empty(0))
    parts = z.split(batch_size)
    labels_of = [None] * len(parts) if y is None else y.to(weight.device).split(batch_size)
    with evaluating(G), torch.no_grad():
        return torch.cat([with_labels(G, y)(part.to(weight)) for part, y in zip(parts, labels_of, strict=True)])


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
    n, seed = whole_number("the number of samples", n, least=1), whole_number("seed", seed)
    rounded = -(-n // 16) * 16  # torch draws in blocks of 16: so the first samples do not depend on how many there are
    stream = torch.Generator().manual_seed((seed + SAMPLING) % 2**63)
    return torch.randn(rounded, length_of_latents(G), generator=stream)[:n]


def length_of_latents(G: nn.Module) -> int:
    """The attribute `latent_dim` of a generator. Raises `BadInput` where it is missing, or no whole number."""
    length = getattr(G, "latent_dim", None)
    if not isinstance(length, int):
        raise BadInput("G has no attribute latent_dim: set it to the length of the latent vectors that G takes.")
    return length
