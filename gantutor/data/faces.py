"""Cartoon faces drawn by the program: colour pictures with the true factors of every one.

    from gantutor.data import faces
    drawn = faces.draw(20_000, seed=0)
    drawn.pixels                 # (20000, 3, 64, 64) uint8
    drawn.factors["hair"]        # (20000,) int64, numbers of faces.FACTORS["hair"]
    drawn.measures["smile"]      # (20000,) float32, from -1, sad, to 1

`portrait` says what they are made of, and paints them.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from gantutor.data.portrait import COVERING_EARS, FACTORS, SHARES, Painting
from gantutor.errors import BadInput, unknown, whole_number
from gantutor.state import one_thread

SIZES = (64, 32)
THREADS = 8  # at most
CHUNK = 64  # faces drawn at once: few enough for the processor's cache

MEASURES = ("smile", "tilt", "scale", "shift right", "shift down")


@dataclass(frozen=True, eq=False)
class Faces:
    """Pictures and what made them.

    Attributes:
        pixels: uint8 (n, 3, size, size).
        factors: name -> int64 (n,), the number of the value in ``FACTORS[name]``. All are independent of each other.
        measures: name -> float32 (n,): ``smile`` from −1 to 1, ``tilt`` in radians, positive to the right, ``scale``
            about 1, ``shift right`` and ``shift down`` in pictures' widths.
    """

    pixels: Tensor
    factors: Mapping[str, Tensor]
    measures: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.pixels)

    def visible(self, name: str) -> Tensor:
        """bool (n,): whether a factor's value can be seen for certain: not eyes and brows behind dark glasses, nor ears
        under hair.
        """
        if name in ("eyes", "brows"):
            return self.factors["glasses"] != FACTORS["glasses"].index("dark")
        if name == "ears":
            covering = torch.tensor([FACTORS["hair"].index(style) for style in COVERING_EARS])
            return ~torch.isin(self.factors["hair"], covering)
        if name == "hair-color":  # brows are of the hair's colour, but too thin to tell it by
            return (self.factors["hair"] != FACTORS["hair"].index("bald")) | (self.factors["beard"] != 0)
        return torch.ones(len(self), dtype=torch.bool)

    def seen(self, name: str) -> Tensor:
        """int64 (n,): the values of a factor, -1 where it is not visible."""
        return self.factors[name].where(self.visible(name), -1)


def draw(n: int, seed: int, size: int = 64, fixed: Mapping[str, str] | None = None) -> Faces:
    """`n` faces, every factor independent of the others and as frequent as `SHARES` says, to within one face.

    The same `n` and `seed` give the same faces, at each size and for any number of threads: those of 32 pixels are
    those of 64, each block of four pixels averaged. 20,000 take about 15 seconds on two slow cores.

    Args:
        n: number of faces.
        seed: fixes all of them.
        size: 64 or 32, pixels a side.
        fixed: factors that have one value in all faces, such as ``{"glasses": "round"}``; all else is as without it.

    Raises:
        BadInput: another size, an unknown factor or value, or `n` or `seed` is not a whole number of 0 or more.
    """
    n, seed, size = whole_number("n", n), whole_number("seed", seed), whole_number("size", size)
    if size not in SIZES:
        raise BadInput(f"size is {size!r}: faces are drawn at 64 or at 32 pixels.")
    rng = torch.Generator().manual_seed(seed)
    factors = {name: _shuffled(n, list(shares.values()), rng) for name, shares in SHARES.items()}
    for name, value in (fixed or {}).items():
        if name not in FACTORS:
            raise unknown("factor", name, FACTORS)
        if value not in FACTORS[name]:
            raise unknown(f"value of {name}", value, FACTORS[name])
        factors[name] = torch.full((n,), FACTORS[name].index(value))
    measures = _measures(n, factors["mouth"], rng)
    jitter = torch.randn(n, 8, generator=rng)
    pixels = torch.empty(n, 3, size, size, dtype=torch.uint8)
    order = factors["hair"].argsort(stable=True)  # so that most chunks have one style

    def fill(chosen: Tensor) -> None:
        painting = Painting(
            {name: values[chosen] for name, values in factors.items()},
            {name: values[chosen] for name, values in measures.items()},
            jitter[chosen],
        ).finished()
        if size == 32:
            painting = torch.nn.functional.avg_pool2d(painting, 2)
        pixels[chosen] = painting.mul(255).round_().to(torch.uint8)

    with one_thread(), ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:
        list(pool.map(fill, order.split(CHUNK)))
    return Faces(pixels, factors, measures)


def _shuffled(n: int, shares: list[int], rng: torch.Generator) -> Tensor:
    """int64 (n,): each value as often as its share of a hundred says, in random order."""
    edges = torch.tensor(shares).cumsum(0)
    places = ((torch.arange(n) + 0.5) * 100 / max(n, 1)).floor().clamp(max=99)
    return torch.searchsorted(edges, places.long(), right=True)[torch.randperm(n, generator=rng)]


def _measures(n: int, mouth: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=rng)

    middle = torch.tensor([-0.7, 0.0, 0.7, 0.8])[mouth]
    spread = torch.tensor([0.3, 0.12, 0.3, 0.2])[mouth]
    return {
        "smile": middle + spread * uniform(-1, 1),
        "tilt": uniform(-0.14, 0.14),
        "scale": uniform(0.93, 1.05),
        "shift right": uniform(-0.03, 0.03),
        "shift down": uniform(-0.025, 0.025),
    }
