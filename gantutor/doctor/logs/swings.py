"""The doctor's tests of training logs for unrest: swings, cycles, sudden changes, and a gradient that fades away."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, grade
from gantutor.doctor.logs.training_log import Curve

FEWEST = 40  # entries: fewer show neither cycles nor sudden changes
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


def find_oscillation(curves: Mapping[str, Curve]) -> Finding | None:
    """Is a large part of a curve's variation one regular cycle?"""
    found = {
        curve.name: measures.strongest_oscillation(torch.from_numpy(curve.values))
        for role, curve in curves.items()
        if role in LOSSES and len(curve.values) >= FEWEST
    }
    if not found:
        return None
    name, worst = max(found.items(), key=lambda item: item[1].share)
    if worst.share <= 0.4 or worst.excess <= 14 or worst.amplitude <= 0.02:
        return None
    evidence = (
        Evidence(f"share of the variance of {name} that is one regular oscillation", worst.share, high=0.3),
        Evidence("cycles in the whole curve", worst.cycles, context=True),
    )
    return Finding("oscillation", grade(worst.share, 0.6, 0.8), evidence)


# --- sudden changes --------------------------------------------------------------------------------------------------


def find_sudden_change(curves: Mapping[str, Curve]) -> Finding | None:
    """Does a curve change its level from one entry to the next, as after a resume that lost a part of the state?

    A large change of one curve counts, or a smaller one that both losses show in the same place.
    """
    found = {role: jump for role in (*LOSSES, "distance") if role in curves
             and (jump := largest_jump(curves[role])) is not None}  # fmt: skip
    together = len({"d_loss", "g_loss"} & set(found)) == 2 and (
        abs(found["d_loss"].place - found["g_loss"].place) < 0.02
    )
    jumps = {role: jump for role, jump in found.items()
             if (jump.relative > 0.35 and jump.noise > 8) or (together and role in LOSSES)}  # fmt: skip
    if not jumps:
        return None
    role, jump = max(jumps.items(), key=lambda item: item[1].relative)
    name = curves[role].name
    evidence = (
        Evidence(f"change of {name} from one entry to the next, over its level", jump.relative, high=0.1),
        Evidence("the same change, over the standard deviation of the entries around it", jump.noise, high=4),
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
    noise: float  # the change, over the standard deviation of the entries around each level


def largest_jump(curve: Curve) -> Jump | None:
    """The largest sudden change of level after the first 15% of a curve, if it is beyond chance.

    Long curves are reduced to about a thousand medians first. The levels before and after are medians of windows of a
    twenty-fifth of the curve; most of the change must lie between the three entries on each side.
    """
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
