"""The doctor's tests of training logs for unrest: swings, cycles, sudden changes, and a gradient that fades away."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, grade
from gantutor.doctor.logs.training_log import Curve

FEWEST = 40  # entries: fewer show no sudden changes
FEWEST_IN_CYCLES = 24
FEWEST_CHANGES = 5  # of a curve that changes in every so many entries
FEWEST_IN_STEP = 12  # cycles that keep step with the entries
LONGEST_RHYTHM = 10  # entries between two steps of what is done now and then
IN_STEP = 0.95  # the share of the cycles' sizes that is left in their sum
LOSSES = {"d_loss": "D's loss", "g_loss": "G's loss"}


def find_instability(curves: Mapping[str, Curve], loss: str) -> Finding | None:
    """Do the losses leap up and down over the whole scale, as under learning rates that are far too high?"""
    for role, whose in LOSSES.items():
        if role not in curves:
            continue
        values, steps = np.abs(curves[role].values), curves[role].steps
        low, high = map(float, np.quantile(values[len(values) // 3 :], [0.1, 0.9]))
        limit = largest_sound(role, curves[role].values[len(values) // 3 :], loss)
        above = values > math.sqrt(max(low, 1e-3) * high)
        leaps = int((above[1:] != above[:-1]).sum())  # a single step up makes one
        if high > limit and low < high / 5 and leaps >= max(4, len(values) // 50):
            first = int(np.flatnonzero(values > limit)[0])
            detail = "They have done so nearly from the start, so the learning rates are probably far too high."
            evidence = (
                Evidence(f"{whose} in the tenth of all entries in which it is largest, at least", high, high=limit),
                Evidence(f"{whose} in the tenth in which it is smallest, at most", low, context=True),
            )
            return Finding("instability", "severe", evidence, detail * (first < len(values) / 5), float(steps[first]))
    return None


def largest_sound(role: str, values: np.ndarray, loss: str) -> float:
    """How large a loss may be now and then in a sound training."""
    if loss != "wasserstein":
        return 8.0 if role == "d_loss" else 30.0
    changes_sign = role == "d_loss" and 0.2 < (values > 0).mean() < 0.8  # as a critic's loss seldom does
    return 20.0 if changes_sign else max(50.0, 10 * float(np.median(np.abs(values))))


def find_vanishing_gradient(curves: Mapping[str, Curve]) -> Finding | None:
    """Has the norm of G's gradient fallen to next to nothing?"""
    if "g_grad_norm" not in curves or len(curves["g_grad_norm"].values) < FEWEST:
        return None
    norms = torch.from_numpy(curves["g_grad_norm"].values)
    early, late = measures.outer_quarter_medians(norms)
    eighths = [part.median().item() for part in norms.chunk(8)]  # medians, so that no spike counts
    before = max(early, 0.1 * max(eighths))
    if late >= 0.01 * before and late >= 1e-6:
        return None
    evidence = Evidence("norm of G's gradient, last quarter over before", late / max(before, 1e-30), low=0.05)
    return Finding("vanishing_generator_signal", "severe", (evidence,))


def without_repeats(curve: Curve) -> Curve:
    """A curve without its repeats, if it only changes in every so many entries, as one that is carried forward does.

    The repeats would pass for levels without any noise.
    """
    changes = np.flatnonzero(np.diff(curve.values)) + 1
    apart = int(np.gcd.reduce(np.diff(changes))) if len(changes) >= FEWEST_CHANGES else 1
    every = slice(changes[0] % apart, None, apart) if apart > 1 else slice(None)
    return Curve(curve.name, curve.steps[every], curve.values[every])


# --- cycles ----------------------------------------------------------------------------------------------------------


def find_oscillation(curves: Mapping[str, Curve]) -> Finding | None:
    """Is a large part of a loss's variation one regular cycle?"""
    values = {curve.name: without_repeats(curve).values for role, curve in curves.items() if role in LOSSES}
    found = {name: cycle for name, x in values.items() if (cycle := strongest_oscillation(x)) is not None}
    found = {name: cycle for name, cycle in found.items()
             if cycle.share > 0.4 and cycle.amplitude > 0.02 and cycle.regularity > cycle.chance
             and not is_schedule(values[name], len(values[name]) / cycle.cycles)}  # fmt: skip
    if not found:
        return None
    name, worst = max(found.items(), key=lambda item: item[1].share)
    evidence = (
        Evidence(f"share of the variance of {name} that is one regular oscillation", worst.share, high=0.3),
        Evidence("cycles in the whole curve", round(worst.cycles, 1), context=True),
    )
    return Finding("oscillation", grade(worst.share, 0.6, 0.8), evidence)


class Oscillation(NamedTuple):
    """The most regular oscillation of a curve."""

    share: float  # of the variance around the trend, 0 to 1
    regularity: float  # the same without the noise of single entries
    cycles: float  # over the whole curve
    amplitude: float  # standard deviation of the oscillation

    @property
    def chance(self) -> float:
        """The regularity that a curve without cycles does not reach.

        Whatever wanders slowly looks like a few cycles now and then, but not like many.
        """
        return 0.5 + 1.3 / self.cycles


def strongest_oscillation(curve: np.ndarray) -> Oscillation | None:
    """How well do sines of one period fit a curve, four cycles at a time, each with a phase of its own?

    A cycle that is not quite regular drifts out of step with any sine that runs through the whole curve. The windows of
    four cycles overlap by half and have quadratic trends of their own. Half of them have to fit, also of the last ones.
    Periods from five entries to a third of the curve are tried; so that noise counts less the longer the period is,
    entries are averaged first, to between 12 and 24 for each cycle.

    Returns:
        None for curves with fewer than `FEWEST_IN_CYCLES` entries.
    """
    best, entries = None, len(curve)
    means, within, size = curve, np.zeros(entries), 1  # of blocks of so many entries: their means and variances
    period = 5.0
    while period <= entries / 3.4 and entries >= FEWEST_IN_CYCLES:
        if period >= 24 * size:
            pairs, variances = (x[: len(x) // 2 * 2].reshape(-1, 2) for x in (means, within))
            means, within, size = pairs.mean(1), variances.mean(1) + pairs.var(1), 2 * size
        length = min(round(4 * period / size), len(means))
        count = min(64, math.ceil(2 * (len(means) - length) / length) + 1)
        starts = np.linspace(0, len(means) - length, count).round().astype(int)
        places = starts[:, None] + np.arange(length)  # (windows, length)
        cycle, around = fit_of_sines(means[places], period / size)
        fits, last = cycle / around, -max(1, count // 4)
        each = Oscillation(math.nan, min(median(fits), median(fits[last:])), entries / period, math.nan)
        if best is None or each.regularity - each.chance > best.regularity - best.chance:
            best, measured = each, (cycle, around, within[places])
        period *= 1.05
    if best is None:
        return None
    cycle, around, inside = measured
    amplitude = math.sqrt(median(cycle) / inside.shape[1])
    return best._replace(share=median(cycle / (around + inside.sum(1))), amplitude=amplitude)


def is_schedule(curve: np.ndarray, period: float) -> bool:
    """Does a short cycle keep step with a whole number of entries through the whole curve?

    So does what the program does in every few steps, such as five steps of D for one of G. Players that chase each
    other have no reason to. Over fewer cycles than this asks for, other periods keep step with a whole number too.
    """
    whole = round(period)
    cycles = len(curve) // whole
    if whole > LONGEST_RHYTHM or cycles < max(FEWEST_IN_STEP, 2 * whole):
        return False
    count = cycles // 4
    windows = curve[: 4 * whole * count].reshape(count, 4 * whole)
    phases = windows @ trend_and_sine(4 * whole, whole)[:, 3:]  # (count, 2)
    return bool(np.hypot(*phases.sum(0)) > IN_STEP * np.hypot(*phases.T).sum())


def fit_of_sines(windows: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """The sums of squares (K,) of a sine fitted to each window (K, L), and of all that is around its trend."""
    parts = (windows @ trend_and_sine(windows.shape[1], period)) ** 2
    return parts[:, 3:].sum(1), (windows**2).sum(1) - parts[:, :3].sum(1) + 1e-30


@lru_cache(maxsize=1024)
def trend_and_sine(length: int, period: float) -> np.ndarray:
    """An orthonormal basis (length, 5): three columns for quadratic trends, two for a sine of this period."""
    t = np.linspace(-1, 1, length)
    angle = 2 * math.pi / period * np.arange(length)
    basis, _ = np.linalg.qr(np.stack([t**0, t, t**2, np.cos(angle), np.sin(angle)], axis=1))
    return basis


def median(values: np.ndarray) -> float:
    """The same as NumPy's, which takes ten times as long for a few values."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    return float(ordered[half] + ordered[~half]) / 2


# --- sudden changes --------------------------------------------------------------------------------------------------


def find_sudden_change(curves: Mapping[str, Curve]) -> Finding | None:
    """Does a curve change its level from one entry to the next, as after a resume that lost a part of the state?

    A large change of one curve counts, or a smaller one that both losses show in the same place. It may be hidden among
    noisy entries, if the levels before and after it are as even as that noise allows.
    """
    found = {role: jump for role in (*LOSSES, "distance") if role in curves
             and (jump := largest_jump(curves[role])) is not None}  # fmt: skip
    together = len({"d_loss", "g_loss"} & set(found)) == 2 and (
        abs(found["d_loss"].place - found["g_loss"].place) < 0.02
    )
    jumps = {role: jump for role, jump in found.items()
             if (jump.relative > 0.35 and jump.noise > 8) or (together and role in LOSSES)}  # fmt: skip
    jumps = jumps or lasting_shift({role: curves[role] for role in LOSSES if role in curves})
    if not jumps:
        return None
    role, jump = max(jumps.items(), key=lambda item: item[1].relative)
    name = curves[role].name
    evidence = (
        Evidence(f"change of {name} from one entry to the next, over its level", jump.relative, high=0.1),
        Evidence("the same change, over the standard deviation of what is around it", jump.noise, high=4),
    )
    detail = f"There {name} goes from {jump.before:.3g} to {jump.after:.3g}."
    return Finding("sudden_change", grade(jump.relative, 0.4, 0.7), evidence, detail, jump.step)


class Jump(NamedTuple):
    """A change of level between two entries of a curve."""

    step: float
    place: float  # the same, as a share of the entries
    before: float
    after: float
    relative: float  # the change, over the larger of the two levels
    noise: float  # the change, over the standard deviation of the entries around each level, or of what chance adds


def largest_jump(curve: Curve) -> Jump | None:
    """The largest sudden change of level after the first 15% of a curve, if it is beyond chance.

    Long curves are reduced to about a thousand medians first. The levels before and after are medians of windows of a
    twenty-fifth of the curve; most of the change must lie between the three entries on each side.
    """
    curve = without_repeats(curve)
    whole, n = curve.values, len(curve.values)
    if n < FEWEST:
        return None
    size = max(1, n // 1000)
    x = np.median(whole[: n // size * size].reshape(-1, size), axis=1)
    width = max(10, len(x) // 25)
    windows = np.lib.stride_tricks.sliding_window_view(x, width)  # (len(x) - width + 1, width)
    levels = np.median(windows, axis=1)
    spread = 1.4826 * np.median(np.abs(windows - levels[:, None]), axis=1)
    near = np.median(np.lib.stride_tricks.sliding_window_view(x, 3), axis=1)
    at = np.arange(max(width, int(0.15 * len(x))), len(x) - width + 1)  # the entry after the jump
    if not len(at):
        return None
    change, sharp = levels[at] - levels[at - width], near[at] - near[at - 3]
    noise = np.hypot(spread[at], spread[at - width]) / np.sqrt(2) + 1e-3 * np.abs(x).max()
    relative = np.abs(change) / np.maximum(np.abs(levels[at]), np.abs(levels[at - width])).clip(1e-9)
    sudden = (np.abs(change) > 5 * noise) & (sharp / np.where(change == 0, 1, change) > 0.7) & (relative > 0.12)
    sudden &= np.abs(change) > 4 * np.median(np.abs(change))  # a curve that wanders changes everywhere
    if not sudden.any():
        return None
    best = int(np.argmax(np.where(sudden, np.abs(change) / noise, 0)))
    k = int(at[best])
    return Jump(float(curve.steps[k * size]), k * size / n, float(levels[k - width]), float(levels[k]),
                float(relative[best]), float(np.abs(change[best]) / noise[best]))  # fmt: skip


BLOCKS = 30  # for which the level of a noisy curve is told
FEWEST_IN_NOISE = 600  # entries: in fewer, what wanders looks too much like it


def lasting_shift(losses: Mapping[str, Curve]) -> dict[str, Jump]:
    """A sudden and lasting change of level, small beside the noise of single entries but beyond chance, by role.

    Both losses are judged together, as the weighted sum that shows the change best. What wanders or falls gradually has
    such changes too, so two even levels have to explain the curve far better than a gradual change does, and the level
    has to change at one entry, as far as the noise allows to see that.
    """
    lengths = {len(curve.values) for curve in losses.values()}
    if len(lengths) != 1 or (n := lengths.pop()) < FEWEST_IN_NOISE:
        return {}
    x = np.stack([curve.values for curve in losses.values()])[:, n // 10 :]  # (R, T)
    x = x.clip(*np.quantile(x, [0.02, 0.98], axis=1)[:, :, None])
    edges = np.linspace(0, x.shape[1], BLOCKS + 1).round().astype(int)
    means = np.add.reduceat(x, edges[:-1], axis=1) / np.diff(edges)  # (R, BLOCKS)
    split = max((Split.at(means, block) for block in range(5, BLOCKS - 5)), key=lambda split: split.t)
    levels = np.stack([means[:, : split.block].mean(1), means[:, split.block + 1 :].mean(1)])  # (2, R)
    relative = np.abs(levels[1] - levels[0]) / np.abs(levels).max(0).clip(1e-9)
    far = relative.max() > 0.35 or (len(relative) == 2 and relative.min() > 0.12)
    if not far or split.t < 8 * math.sqrt(1 + len(losses)):  # chance has a choice of sums
        return {}
    levels_of_sum = np.delete(split.weights @ means, split.block)
    if rest_around_gradual_change(levels_of_sum, split.block) < 1.5 * split.rest:
        return {}
    start, end = edges[split.block - 1], edges[split.block + 2]
    entry = sharpest_step(split.weights @ x, start, end)
    if entry is None:
        return {}
    at = entry + n // 10
    return {role: Jump(float(curve.steps[at]), at / n, *map(float, (*levels[:, i], relative[i], split.t)))
            for i, (role, curve) in enumerate(losses.items())}  # fmt: skip


class Split(NamedTuple):
    """A change of level of several curves between the blocks on both sides of one."""

    block: int
    t: float  # Student's, for the weighted sum of the curves
    rest: float  # the sum of squares around both levels
    weights: np.ndarray  # (R,)

    @classmethod
    def at(cls, means: np.ndarray, block: int) -> "Split":
        sides = means[:, :block], means[:, block + 1 :]
        change = sides[1].mean(1) - sides[0].mean(1)
        rest = [side - side.mean(1, keepdims=True) for side in sides]
        weights = change / np.concatenate(rest, axis=1).var(1).clip(1e-30)
        whole, parts = float(weights @ change) + 1e-30, [weights @ part for part in rest]
        both = np.concatenate(parts)
        scale = float(both @ both) + 1e-30
        t = whole / math.sqrt(scale / (len(both) - 2) * sum(1 / len(part) for part in parts))
        return cls(block, t, scale, weights)


def rest_around_gradual_change(levels: np.ndarray, gap: int) -> float:
    """The sum of squares of blocks (BLOCKS - 1,) around the best change that takes its time, without the block `gap`.

    It is an exponential approach, as trainings often show, or a ramp over a third of the curve or more.
    """
    t = np.delete(np.arange(BLOCKS), gap)
    shapes = [np.exp(-t / pace) for pace in (2, 3, 5, 8, 13, 21)]
    shapes += [((t - start) / width).clip(0, 1) for width in (9, 14, 20) for start in range(1 - width // 2, BLOCKS - 4)]
    explained = max(np.corrcoef(levels, shape)[0, 1] ** 2 for shape in shapes)
    return float((1 - explained) * ((levels - levels.mean()) ** 2).sum())


def sharpest_step(x: np.ndarray, start: int, end: int) -> int | None:
    """The entry between two at which a curve goes up from its level before to that after; None if it does not jump."""
    width = (end - start) // 3
    before, after = x[max(0, start - 3 * width) : start].mean(), x[end : end + 3 * width].mean()
    part = x[start:end]
    gain = np.cumsum((part - after) ** 2 - (part - before) ** 2)
    entry = start + int(np.argmax(gain)) + 1  # where the squares around both levels are smallest
    noise = math.sqrt(np.minimum((part - before) ** 2, (part - after) ** 2).mean())
    sizes = [2**k for k in range(1, max(2, int(width).bit_length()))]
    for size in sizes:
        change = x[entry : entry + size].mean() - x[entry - size : entry].mean()
        if change < 0.7 * (after - before) - 1.5 * noise * math.sqrt(2 / size):
            return None
    return entry
