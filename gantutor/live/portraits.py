"""Explorers of the theory: the Dirac-GAN, and two densities with their optimal discriminator."""

import torch

from gantutor import show, theory
from gantutor.live.panels import Explorer, explore


def dirac(steps: int = 300) -> Explorer:
    """The Dirac-GAN, in which each player has one parameter: its vector field and the path of training from (1, 1)."""
    return explore(
        lambda **setting: dirac_portrait(steps=steps, **setting),
        loss=["gan", "nsgan", "wgan"],
        updates=["simultaneous", "alternating"],
        lr=(0.02, 0.5, 0.02, 0.2),
        r1_gamma=(0.0, 2.0, 0.05, 0.0),
        momentum=(-0.5, 0.9, 0.1, 0.0),
    )


def dirac_portrait(loss: str = "gan", updates: str = "simultaneous", lr: float = 0.2, r1_gamma: float = 0.0,
                   momentum: float = 0.0, steps: int = 300) -> show.Figure:  # fmt: skip
    """A picture of `dirac`: the field of `theory.dirac_field` and the path of `theory.dirac_trajectory`."""
    penalty, gamma = ("r1", r1_gamma) if r1_gamma > 0 else (None, 0.0)
    path = theory.dirac_trajectory(
        loss, lr, steps, updates=updates, penalty=penalty, gamma=gamma, momentum=round(momentum, 6)
    )
    radius = float((path[-1] ** 2).sum() ** 0.5)
    return show.field(
        lambda theta, psi: theory.dirac_field(loss, theta, psi, penalty=penalty, gamma=gamma),
        {f"{steps} steps": path},
        title=f"{loss}, {updates}: distance 1.41 → {radius:.3g}",
    )


def density() -> Explorer:
    """The data p = N(0, 1) and a generator q = N(mean, std²), with the optimal discriminator D* and V(D*, G)."""
    return explore(density_portrait, q_mean=(-4.0, 4.0, 0.1, 2.0), q_std=(0.3, 3.0, 0.1, 1.0))


def density_portrait(q_mean: float = 2.0, q_std: float = 1.0) -> show.Figure:
    """A picture of `density`."""
    x = torch.linspace(-12, 12, 4801, dtype=torch.float64).numpy()
    p, q, dx = theory.gaussian(x), theory.gaussian(x, q_mean, q_std), x[1] - x[0]
    d = theory.optimal_discriminator(p, q)
    title = f"V(D*, G) = {theory.value(p, q, d, dx):.3f}   JSD = {theory.jensen_shannon(p, q, dx):.3f}"
    seen = slice(1200, 3601, 4)  # -6 … 6
    lines = {"p(x): data": p[seen], "q(x): generator": q[seen], "D*(x)": d[seen]}
    return show.densities(x[seen], lines, title=title, ylim=(0, 1.4))
