"""Figures to study, with matplotlib: about 0.1 s each."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gantutor import state
from gantutor.errors import BadInput
from gantutor.show.style import (
    FAKE,
    GREY,
    LOG_2,
    LOG_4,
    NEUTRAL,
    REAL,
    STYLES,
    Figure,
    History,
    as_numbers,
    check_points,
    log_scale,
    new_axes,
    running_mean,
)


def losses(history: History, *, guides: bool = True, title: str = "", smooth: bool = True) -> Figure:
    """D's and G's loss over the steps.

    Args:
        history: (step, D's loss, G's loss) tuples, as `live.train` returns them.
        guides: mark the losses for a D that can only guess: log 4 for D, log 2 for a non-saturating G.
        smooth: for more than 100 entries, draw them pale with their running mean on top.
    """
    values = np.asarray(history, dtype=float)
    if values.ndim != 2 or values.shape[1] != 3 or not len(values):
        raise BadInput(f"history has shape {values.shape}: give (step, D's loss, G's loss) tuples, at least one.")
    picture, axes = new_axes(xlabel="step", ylabel="loss")
    axes.set_title(title, fontsize=12, loc="left")  # the legend is on the right
    for column, colour, name in ((1, REAL, "D loss"), (2, FAKE, "G loss")):
        if smooth and len(values) > 100:
            axes.plot(values[:, 0], values[:, column], color=colour, lw=0.8, alpha=0.3)
        mean = running_mean(values[:, column]) if smooth else values[:, column]
        axes.plot(values[:, 0], mean, color=colour, lw=1.8, label=name, zorder=3)
    finite = values[:, 1:][np.isfinite(values[:, 1:])]
    if finite.size:
        low, high = np.quantile(finite, [0.005, 0.995])
        axes.set_ylim(min(0, low * 1.1), max(1.6, high * 1.1))
    if guides:
        for level, name, colour in ((LOG_4, "log 4", REAL), (LOG_2, "log 2", FAKE)):
            axes.axhline(level, color=colour, lw=1, ls=":")
            axes.annotate(name, (1.005, level), xycoords=("axes fraction", "data"), color=colour, va="center")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False
    )  # above the axes, where no curve can be
    return picture


def curves(x, lines: Mapping[str, object], *, title: str = "", xlabel: str = "", ylabel: str = "", log: bool = False,
           ylim: tuple[float, float] | None = None, size: tuple[float, float] = (8, 3),
           colours: Sequence[str] = NEUTRAL) -> Figure:  # fmt: skip
    """Curves over a common x axis, with a legend where there are several. The name of a single one is at the y axis.

    Args:
        x: (N,) values, as an array, a tensor or a list.
        lines: {label: (N,) values}.
        log: logarithmic y axis.
        ylim: lowest and highest y.
        size: width and height in inches of 100 pixels.
        colours: of the lines in order, from the beginning again where there are more lines. Blue is for what is real
            or D's, orange for what is generated or G's; by default neither.
    """
    x = as_numbers("x", x)
    only = next(iter(lines)) if len(lines) == 1 else ""
    picture, axes = new_axes(size, title=title, xlabel=xlabel, ylabel=ylabel or only)
    for i, (label, y) in enumerate(lines.items()):
        y = as_numbers(label, y)
        if x.shape != y.shape or x.ndim != 1:
            raise BadInput(f"the curve {label!r} has shape {y.shape} over x of shape {x.shape}: give both as (N,).")
        axes.plot(x, y, color=colours[i % len(colours)], ls=STYLES[i % 7], lw=2, label=label)
    if ylim:
        axes.set_ylim(*ylim)
    if log:
        log_scale(axes, "y")
    if len(lines) > 1:
        axes.legend(loc="best")
    return picture


def densities(x, lines: Mapping[str, object], *, title: str = "", ylim: tuple[float, float] | None = None,
              size: tuple[float, float] = (8, 3)) -> Figure:  # fmt: skip
    """Densities on a line, the first two shaded: real (blue), generated (orange), and then D and others (black, grey).

    Args: as for `curves`; a typical call is ``densities(x, {"p": p, "q": q, "D*": d})``.
    """
    picture = curves(x, lines, title=title, xlabel="x", ylim=ylim, size=size, colours=(REAL, FAKE, "black", GREY))
    (axes,) = picture.axes
    for line in axes.lines[:2]:
        axes.fill_between(line.get_xdata(), line.get_ydata(), color=line.get_color(), alpha=0.12, lw=0)
    return picture


def field(direction: Callable, paths: Mapping[str, object] | None = None, *, limit: float = 2.0,
          xlabel: str = "θ (generator)", ylabel: str = "ψ (discriminator)", title: str = "",
          size: tuple[float, float] = (4.6, 4.6)) -> Figure:  # fmt: skip
    """A vector field, with paths that begin at a hollow ring and end at a dot.

    All arrows have the same length, and the slower the field, the paler they are.

    Args:
        direction: (x, y) -> (dx, dy) for arrays of equal shape, such as ``lambda theta, psi: theory.dirac_field("gan",
            theta, psi)``.
        paths: {label: (N, 2)} points in order. Points that are not finite are left out.
        limit: the picture shows [-limit, limit] on both axes.
    """
    picture, axes = new_axes(size, title=title, xlabel=xlabel, ylabel=ylabel)
    axis = np.linspace(-limit, limit, 17)
    x, y = np.meshgrid(axis, axis)
    dx, dy = (np.asarray(d, dtype=float) for d in direction(x, y))
    length = np.maximum(np.hypot(dx, dy), 1e-12)
    speed = (length / length.max()).ravel() ** 0.5
    inks = [(0.25, 0.25, 0.25, 0.15 + 0.6 * share) for share in speed]
    axes.quiver(x, y, dx / length, dy / length, color=inks, scale=26, width=0.004, pivot="mid")
    for i, (label, path) in enumerate((paths or {}).items()):
        path = as_numbers(label, path)
        if path.ndim != 2 or path.shape[1] != 2:
            raise BadInput(f"the path {label!r} has shape {path.shape}: give points in order, (N, 2).")
        path = path[np.isfinite(path).all(1)]
        axes.plot(*path.T, color=NEUTRAL[i % 7], lw=1.4, marker=".", ms=2.5, label=label)
        axes.plot(*path[0], "o", color=NEUTRAL[i % 7], mfc="white", ms=8)
        axes.plot(*path[-1], "o", color=NEUTRAL[i % 7], ms=7)
    axes.axhline(0, color="#d0d0d0", lw=1, zorder=0)
    axes.axvline(0, color="#d0d0d0", lw=1, zorder=0)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.grid(visible=False)
    if paths and any(paths):
        axes.legend(loc="upper right")
    return picture


def clouds(real: Tensor, fake: Tensor, *, limit: float = 5, title: str = "") -> Figure:
    """Points in the plane, real (blue) and generated (orange), with what the Fréchet distance knows of each cloud.

    That is the mean, drawn as a cross, and the covariance, drawn as the ellipse of two standard deviations.

    Args:
        real, fake: (N, 2) and (M, 2), at least two of each. Points that are not finite are left out.
        limit: the picture shows [-limit, limit] on both axes.
    """
    picture, axes = new_axes((2.9, 2.9), title=title)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, 200)
    for name, cloud, colour in (("real", real, REAL), ("fake", fake, FAKE)):
        places = check_points(cloud)
        if len(places) < 2:
            raise BadInput(f"the {name} cloud has {len(places)} finite points: give at least two.")
        axes.plot(*places.T, ".", color=colour, ms=2.5, alpha=0.35)
        variances, axes_of_cloud = np.linalg.eigh(np.cov(places.T))
        outline = places.mean(0)[:, None] + 2 * (axes_of_cloud * np.sqrt(variances.clip(0))) @ circle
        axes.plot(*outline, color=colour, lw=2.5)
        axes.plot(*places.mean(0), "X", color=colour, ms=11, mec="white")
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    return picture


def points(real: Tensor | None, fake: Tensor | None, D: Callable[[Tensor], Tensor] | None = None, *,
           limit: float | None = None, title: str = "") -> Figure:  # fmt: skip
    """Points in the plane, real (blue) and generated (orange), over a map of D's output.

    Args:
        real, fake: (N, 2) and (M, 2), or None.
        D: maps points (K, 2) to logits (K,); its probability that they are real, σ(logit), is drawn as a heat map.
        limit: the picture shows [-limit, limit] on both axes; by default all of `real` (else of `fake`) with a margin.
    """
    clouds = [
        (check_points(cloud), colour, label)
        for cloud, colour, label in ((real, REAL, "data"), (fake, FAKE, "generator"))
        if cloud is not None
    ]
    if not clouds:
        raise BadInput("points got neither real nor fake points: give at least one of the two.")
    limit = limit or 1.35 * max(float(np.abs(clouds[0][0]).max(initial=0)), 1e-9)
    picture, axes = new_axes((5.6, 4.4) if D else (4.4, 4.4), title=title)
    if D is not None:
        box = (-limit, limit, -limit, limit)
        belief = surface(D, limit)
        heat = axes.imshow(belief, extent=box, origin="lower", cmap="gray", vmin=0, vmax=1, alpha=0.7)
        axes.contour(belief, levels=[0.5], extent=box, colors="black", linewidths=0.8)
        picture.colorbar(heat, label="D(x): probability that x is real", shrink=0.8)
    for cloud, colour, label in clouds:
        axes.scatter(*cloud.T, s=6, color=colour, alpha=0.6, lw=0, label=label)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.grid(visible=False)
    axes.legend(loc="upper right", markerscale=2.5)
    return picture


def surface(D: Callable[[Tensor], Tensor], limit: float, side: int = 80) -> np.ndarray:
    """σ(D) on a square grid over [-limit, limit]², as (side, side) with the lowest y first. D keeps its mode."""
    axis = torch.linspace(-limit, limit, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)  # (side², 2)
    if not isinstance(D, nn.Module):
        return torch.sigmoid(D(places)).detach().reshape(side, side).numpy()
    with state.evaluating(D), torch.no_grad():
        places = places.to(next((p.device for p in D.parameters()), "cpu"))
        return torch.sigmoid(D(places)).cpu().reshape(side, side).numpy()
