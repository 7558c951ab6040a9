"""Coloured discs and bars before a coloured background: pictures that no classifier knows, of two kinds."""

import torch
from torch import Tensor


def draw(n: int, seed: int, kinds: tuple[int, ...] = (0, 1), side: int = 32) -> Tensor:
    """Float32 (n, 3, side, side) in [-1, 1]; kind 0 is a disc, kind 1 a turned bar of the same area."""
    generator = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.rand(shape, generator=generator)  # noqa: E731
    axis = torch.linspace(-1, 1, side)
    angle, radius = 6.3 * random(n, 1, 1), 0.35 + 0.2 * random(n, 1, 1)
    x, y = axis - 0.6 * random(n, 1, 1) + 0.3, axis[:, None] - 0.6 * random(n, 1, 1) + 0.3
    u, v = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    disc, bar = (u**2 + v**2).sqrt() - radius, torch.maximum(u.abs() / 1.8, v.abs() * 2.2) - radius
    kind = torch.tensor(kinds)[torch.randint(len(kinds), (n,), generator=generator)]
    inside = torch.sigmoid(-25 * torch.where(kind[:, None, None] == 0, disc, bar))[:, None]  # (n, 1, side, side)
    front, back = random(n, 3, 1, 1) * torch.tensor([1, 0.6, 0.2]).view(3, 1, 1), random(n, 3, 1, 1)
    ground = back * (0.7 + 0.3 * axis[:, None]) * torch.tensor([0.3, 0.7, 1]).view(3, 1, 1)
    picture = (
        (front + 0.2) * inside + ground * (1 - inside) + 0.012 * torch.randn(n, 3, side, side, generator=generator)
    )
    return picture.clamp(0, 1) * 2 - 1
