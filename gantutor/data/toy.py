"""Distributions in the plane whose modes are known exactly: a first test for any GAN.

`ring` and `grid` are the data of PacGAN (Lin et al. 2018) and VEEGAN (Srivastava et al. 2017).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gantutor.errors import BadInput, real_number, whole_number


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equally likely round Gaussians in the plane.

    Args:
        name: what to call it.
        means: float32 (K, 2), the centres of the K modes.
        std: standard deviation of every mode along each axis, > 0.
    """

    name: str
    means: Tensor
    std: float

    def __post_init__(self):
        shape = tuple(getattr(self.means, "shape", ()))
        good = isinstance(self.means, Tensor) and len(shape) == 2 and shape[0] >= 1 and shape[1] == 2
        if not (good and torch.isfinite(self.means).all()):
            given = f"have shape {shape}" if isinstance(self.means, Tensor) else f"are a {type(self.means).__name__}"
            raise BadInput(f"the means {given}: give a tensor (modes, 2) of finite numbers.")
        object.__setattr__(self, "means", self.means.to(torch.float32))
        object.__setattr__(self, "std", real_number("std", self.std, above=0))

    def __len__(self) -> int:
        """The number of modes."""
        return len(self.means)

    @property
    def spread(self) -> float:
        """Standard deviation of all points along an axis, averaged over both axes: √(½ E‖mean − centre‖² + std²)."""
        return math.sqrt(self.means.double().var(0, correction=0).mean().item() + self.std**2)

    def sample(self, n: int, seed: int) -> Tensor:
        """`n` independent points, float32 (n, 2), the same for the same seed."""
        n, seed = whole_number("n", n, least=0), whole_number("seed", seed, least=0)
        generator = torch.Generator().manual_seed(seed)
        mode = torch.randint(len(self), (n,), generator=generator)
        noise = torch.randn(n, 2, generator=generator)
        return self.means[mode] + self.std * noise.to(self.means.device)

    def density(self, x: Tensor) -> Tensor:
        """The exact probability density (N,) at the points `x` (N, 2), per unit of area."""
        if x.ndim != 2 or x.shape[1] != 2 or not x.is_floating_point():
            raise BadInput(f"x is {x.dtype} of shape {tuple(x.shape)}: give floating-point points (N, 2).")
        offset = (x[:, None, :] - self.means.to(x)) / self.std  # (N, K, 2)
        peak = 1 / (2 * math.pi * self.std**2 * len(self))
        return peak * torch.exp(-0.5 * offset.square().sum(2)).sum(1)  # (N,)


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Mixture:
    """`modes` distinct Gaussians evenly spaced on a circle: the angles are 2πi/modes, i = 0 … modes−1.

    (`linspace(0, 2π, modes)`, which is found in public code, has the angle 0 twice and therefore one mode fewer.)
    """
    angles = 2 * math.pi * torch.arange(whole_number("modes", modes, least=1), dtype=torch.float64) / modes
    means = real_number("radius", radius, above=0) * torch.stack([angles.cos(), angles.sin()], dim=1)  # (K, 2)
    return Mixture("ring", means, std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """`side`² Gaussians on a square grid centred at the origin: by default the means are {−4, −2, 0, 2, 4}²."""
    steps = _centred(whole_number("side", side, least=1), spacing)
    return Mixture("grid", torch.cartesian_prod(steps, steps), std)


def line(modes: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """`modes` Gaussians on the first axis, `spacing` apart, centred at the origin."""
    steps = _centred(whole_number("modes", modes, least=1), spacing)
    return Mixture("line", torch.stack([steps, torch.zeros_like(steps)], dim=1), std)


def _centred(count, spacing):
    return real_number("spacing", spacing, above=0) * (torch.arange(count, dtype=torch.float64) - (count - 1) / 2)
