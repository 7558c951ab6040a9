"""Figures of an experiment's record: curves with their intervals, the seeds one by one, and a training as a film."""

from collections.abc import Sequence

import numpy as np

from gantutor.errors import BadInput, unknown
from gantutor.experiments import Record, interval
from gantutor.show.style import DPI, FAKE, GREY, NEUTRAL, STYLES, Figure, log_scale, new_axes

LABELS = {
    "frechet": "Fréchet distance",
    "confident": "share of clear images",
    "d_loss": "D's loss",
    "g_loss": "G's loss",
    "modes": "modes found",
    "clusters": "clusters found",
}
UNITS = ((1e12, "10¹²"), (1e9, "10⁹"), (1e6, "10⁶"))


def record(
    found: Record,
    score: str,
    rows: Sequence[str] | None = None,
    *,
    over: str = "compute",
    each: bool = False,
    log: bool = False,
    ylim: tuple[float, float] | None = None,
    title: str = "",
    size: tuple[float, float] = (8, 4),
) -> Figure:
    """A score along the way: the mean over the seeds, and its 95% interval as a band (Student's, for each look alone).

    A curve ends where one of its seeds diverged. A single row under a title has no legend.

    Args:
        found: what `experiments.load` gives.
        score: one of its scores, such as "frechet".
        rows: those to draw, at most seven; None means all.
        over: "compute" (multiply-adds) or "steps".
        each: draw the seeds one by one instead, where a mean would hide what they do. Those of a single row have a
            colour each.
        log: logarithmic y axis.
        ylim: lowest and highest y.
        size: width and height in inches of 100 pixels.

    Raises:
        BadInput: the record has no such row or score, or there are more than seven rows.
    """
    if over not in ("compute", "steps"):
        raise unknown("axis", over, ("compute", "steps"))
    names = chosen(found, score, rows)
    if len(names) > len(NEUTRAL):
        raise BadInput(f"there are {len(names)} rows, but curves can be told apart for {len(NEUTRAL)}: choose some.")
    unit, power = unit_of(max(found.rows[name].compute[-1] for name in names))
    label = "step" if over == "steps" else f"compute ({power} multiply-adds)"
    picture, axes = new_axes(size, title=title, xlabel=label, ylabel=LABELS.get(score, score))
    for i, name in enumerate(names):
        row = found.rows[name]
        x = row.steps if over == "steps" else row.compute / unit
        values = row.values[score]  # (S, L)
        x, values = x[np.isfinite(values).all(0)], values[:, np.isfinite(values).all(0)]
        if each:
            for j, line in enumerate(values):
                own = NEUTRAL[i] if len(names) > 1 else NEUTRAL[j % len(NEUTRAL)]
                axes.plot(x, line, color=own, ls=STYLES[i], lw=1.3, label="" if j else name)
            continue
        axes.plot(x, values.mean(0), color=NEUTRAL[i], ls=STYLES[i], lw=2, label=name)
        if len(row.seeds) > 1:
            bounds = np.array([interval(look) for look in values.T]).reshape(-1, 3)
            axes.fill_between(x, bounds[:, 1], bounds[:, 2], color=NEUTRAL[i], alpha=0.15, lw=0)
    if ylim:
        axes.set_ylim(*ylim)
    if log:
        log_scale(axes, "y")
    if len(names) > 1 or not title:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return picture


def seeds(
    found: Record,
    score: str,
    rows: Sequence[str] | None = None,
    *,
    compute: float | None = None,
    marked: Sequence[str] = (),
    bars: bool = True,
    log: bool = False,
    title: str = "",
    width: float = 8,
) -> Figure:
    """A score at the end, or at so many multiply-adds: each seed a dot, and the mean with its 95% interval.

    A line shows the mean of the base.

    Args:
        rows: those to draw, from the top; by default all, the base first.
        marked: rows to be seen first. The others are grey then.
        bars: draw the mean and its interval, which say little of counts that are mostly 0 or all.

    The other arguments are those of `record`. Raises `BadInput` as `record` does.
    """
    for name in marked:
        if name not in found.rows:
            raise unknown("row", name, found.rows)
    base_first, values = chosen(found, score, rows), found.at(score, compute)
    names = base_first if rows is None else list(rows)
    label = LABELS.get(score, score) + " (lower is better)" * (score == "frechet")
    picture, axes = new_axes((width, 1.2 + 0.32 * len(names)), title=title, xlabel=label)
    colours = {**dict.fromkeys(marked, NEUTRAL[3]), found.base: NEUTRAL[0]}
    for y, name in enumerate(names):
        x = values[name][np.isfinite(values[name])]
        colour = colours.get(name, GREY if marked else NEUTRAL[1])
        heights = y + 0.2 * np.linspace(-1, 1, len(x)) if len(x) > 1 else [y]  # so that equal values can be told apart
        axes.plot(x, heights, "o", color=colour, ms=5, alpha=0.6, mew=0)
        if bars and len(x) > 1:
            mean, low, high = interval(x)
            axes.errorbar(mean, y, xerr=[[mean - low], [high - mean]], fmt="|", color="black", capsize=4, ms=12)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    if found.base in names:
        axes.axvline(np.nanmean(values[found.base]), color=NEUTRAL[0], lw=1, ls=":", zorder=0)
    if log:
        log_scale(axes, "x")
    return picture


def film(found: Record, row: str, looks: Sequence[int] | None = None, *, title: str = "") -> Figure:
    """The first seed of a row, a line for each look: ten samples from the same latents, and the shares of the classes.

    Shares below 1% are orange. They are those of all samples that were judged, not of the ten that are shown.

    Args:
        looks: those to draw, counted from 0; None means all.

    Raises:
        BadInput: the record has no such row or look, or keeps no film of it.
    """
    from PIL import Image

    if row not in found.rows:
        raise unknown("row", row, found.rows)
    steps, values = found.rows[row].steps, found.rows[row].values
    shares = np.stack([values[name][0] for name in values if name.startswith("class ")] or [[]], 1)  # (L, K)
    sheet = np.asarray(Image.open(found.sheets[row])) if row in found.sheets else np.empty((0, 10))
    side = sheet.shape[1] // 10
    if not shares.size or sheet.shape[0] != side * len(steps):
        raise BadInput(f"there is no film of {row!r} in the record {found.name!r}: its experiment keeps none.")
    kept = list(range(len(steps)) if looks is None else looks)
    if not kept or any(look not in range(len(steps)) for look in kept):
        raise BadInput(f"the looks are {kept}: give at least one whole number from 0 to {len(steps) - 1}.")
    return film_of(sheet.reshape(len(steps), side, *sheet.shape[1:])[kept], shares[kept], steps[kept], title)


def film_of(lines: np.ndarray, shares: np.ndarray, steps: np.ndarray, title: str) -> Figure:
    """Lines of images (L, side, width), with shares (L, K) beside them. Each pixel is drawn twice as large, exactly."""
    (L, side, width), K = lines.shape[:3], shares.shape[1]
    before, above, below, gap, cell = 80, 34, 28, 20, 32  # pixels
    size = before + 2 * width + gap + cell * K + 10, above + 2 * side * L + below
    picture = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    picture.set_layout_engine("none")  # whatever the defaults are

    def axes_at(x: float, wide: float):
        return picture.add_axes((x / size[0], below / size[1], wide / size[0], 2 * side * L / size[1]))

    left, right = axes_at(before, 2 * width), axes_at(before + 2 * width + gap, cell * K)
    greys = np.round(lines.reshape(L * side, *lines.shape[2:]) / 17) * 17  # 16 of them: a third of the file
    left.imshow(greys.astype(np.uint8), cmap="gray", vmin=0, vmax=255, extent=(0, 10, L, 0), aspect="auto",
                interpolation="nearest")  # fmt: skip
    left.set_xticks([])
    left.set_yticks(np.arange(L) + 0.5, [f"{step:,}" for step in steps])
    left.set_ylabel("training step", fontsize=11)
    left.set_title(title, fontsize=12)
    right.imshow(shares, cmap="Greys", vmin=0, vmax=0.6, extent=(0, K, L, 0), aspect="auto")
    for (y, x), share in np.ndenumerate(shares):
        colour = FAKE if share < 0.01 else "white" if share > 0.3 else "black"
        right.text(x + 0.5, y + 0.5, f"{100 * share:.0f}", ha="center", va="center", fontsize=10, color=colour)
    right.set_xticks(np.arange(K) + 0.5, range(K))
    right.set_yticks([])
    right.set_title("share of each class, %", fontsize=12)
    for axes in (left, right):
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return picture


def chosen(found: Record, score: str, rows: Sequence[str] | None) -> list[str]:
    """The rows to draw: those that have the score."""
    having = found.at(score)
    for name in rows or ():
        if name not in having:
            raise unknown("row", name, having)
    names = list(having if rows is None else rows)
    return sorted(names, key=lambda name: name != found.base)  # the base comes first


def unit_of(most: float) -> tuple[float, str]:
    return next((pair for pair in UNITS if most >= 2 * pair[0]), UNITS[-1])
