"""The doctor's tests of training logs: what the losses and other curves of a game show, whatever kind of loss it has.

Each test asks for a state that lasts until the end. The limits were set on simulated and on real trainings:
`tests/histories.py`.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from gantutor.data.listing import some
from gantutor.doctor.findings import Evidence, Finding, grade
from gantutor.doctor.logs import balance, swings
from gantutor.doctor.logs.game import (
    FEWEST,
    LOSSES,
    Game,
    at_the_limit,
    judged,
    kind_of_loss,
    late,
    start_of_game,
    to_game,
)
from gantutor.doctor.logs.training_log import MOST_NAMES, Curve, Log


def examine_log(log: Log) -> Iterator[Finding]:
    """Judge every game of a log, and say what is left open."""
    if short := [curve.name for game in log.games.values() for curve in game.values() if len(curve.values) < FEWEST]:
        log.open.append(f"what {some(short, MOST_NAMES)} would show: {FEWEST} entries or more can be judged")
    for name, curves in log.games.items():
        if (start := start_of_game(curves)) is not None:
            log.notes.append(
                f"A loss is 0 until step {start:,.0f}: what comes before is taken for a warm-up, not judged."
            )
        if not (sound := judged(curves)):
            continue
        if "d_loss" in sound or "g_loss" in sound:
            of_game = f" of the game {name!r}" if name else ""
            log.notes.append(f"Judging by its values, the loss{of_game} is {LOSSES[kind_of_loss(sound)]}.")
        findings = list(examine_game(sound))
        if not findings:
            log.open += balance.open_questions(to_game(sound))
        yield from findings


def examine_game(curves: Mapping[str, Curve]) -> Iterator[Finding]:
    """What the curves of one game show; worse scores only where nothing explains them."""
    game = to_game(curves)
    first = find_divergence(game)
    if first is None:  # what is off every scale tells no more about who wins
        unstable = swings.find_instability(curves, game.loss)
        first = unstable or balance.find_lost_balance(game) or swings.find_sudden_change(curves)
    others = swings.find_vanishing_gradient(curves), find_falling_diversity(game), swings.find_oscillation(curves)
    found = [finding for finding in (first, *others) if finding is not None]
    yield from found or filter(None, (find_lost_quality(game),))


# --- divergence


def find_divergence(game: Game) -> Finding | None:
    """Does a loss grow without end? Its logarithm still rises steeply, or it is far above everything it was before.

    A slow drift is none: a loss that grows linearly only doubles in the second half of the training. But only a critic
    has reason to drift: without one a loss in the thousands is far above what it was, however steadily it came there.
    """
    may_drift = game.loss in ("wasserstein", "hinge")
    for role, whose in (("g_loss", "G's loss"), ("d_loss", "D's loss")):
        if role not in game.medians:
            continue
        size = np.abs(game.medians[role])
        n = len(size)
        half, three_quarters = (np.median(size[i - 1 : i + 2]) for i in (n // 2, 3 * n // 4))
        first, end = size[: max(2, n // 5)], float(np.median(size[-max(2, n // 10) :]))
        before, lowest = max(float(np.median(first)), 1e-3), max(float(first.min()), 1.0)
        stands = at_the_limit(size[-max(2, n // 20) :]).all()  # it cannot grow any more
        exponential = end > 4 * half and end > 1.7 * three_quarters and end > 100 and not stands
        if (exponential and end > 30 * before) or (end > 200 and end > 100 * before):
            most = 30 if exponential else 100
            since = game.lasting(size > 10 * max(before, 1.0))
        elif not may_drift and end > 1000 and end > 20 * lowest:
            before, most = lowest, 20
            since = game.lasting(size > 10 * lowest)
        else:
            continue
        evidence = Evidence(f"size of {whose} at the end, over that at the beginning", end / before, high=most)
        return Finding("divergence", "severe", (evidence,), f"{whose} has reached {end:,.0f}.", since)
    return None


# --- diversity -------------------------------------------------------------------------------------------------------


def find_falling_diversity(game: Game) -> Finding | None:
    """Does a measure of diversity fall, and stay far below what it once was? G's loss may well look better then.

    Where the log says how alike samples are, such as by their MS-SSIM, diversity is what that lacks to 1. It has to be
    small as such too, because an untrained G's noise is less alike than any images.
    """
    diversity, alike = game.medians.get("diversity"), game.medians.get("similarity")
    unlike = None if alike is None or alike.max() > 1 else 1 - alike
    for values, small in ((diversity, math.inf), (unlike, 0.4)):
        if values is None:
            continue
        highest = max(float(values.max()), 1e-9)
        since = game.lasting(values < min(0.5 * highest, small))
        if since is not None:
            kept = late(values) / highest
            evidence = Evidence("diversity at the end, over its highest", kept, low=0.7)
            name = "total_collapse" if kept < 0.1 else "partial_collapse"
            detail = "The measure of diversity in the log says so."
            return Finding(name, grade(1 - kept, 0.6, 0.8), (evidence,), detail, since)
    return None


# --- quality ---------------------------------------------------------------------------------------------------------


def find_lost_quality(game: Game) -> Finding | None:
    """Do the scores end far worse than they once were, by a factor of two and for good?

    They must have become better before, and lost a good part of that again, beyond their noise: a distance near 0
    doubles by chance, and a score that was best at the beginning may have praised noise.
    """
    for role, what in (("distance", "distance to the data"), ("quality", "score")):
        values = game.medians.get(role)
        if values is None or values.min() <= 0:
            continue
        badness = values if role == "distance" else 1 / values
        best = int(badness.argmin())
        gained, lost = badness[: best + 1].max() - badness[best], badness - badness[best]
        beyond_noise = lost > max(0.2 * gained, 4 * np.median(np.abs(np.diff(badness, 2))))
        worse = beyond_noise & (np.arange(len(values)) > best) & (gained > 0.25 * badness[best])
        since = game.lasting(worse & (badness > 2 * badness[best]), worse & (badness > 3 * badness[best]))
        if since is not None:
            ratio = late(badness) / float(badness[best])
            told = f"how many times worse the {what} in the log is at the end than at its best"
            evidence = Evidence(told, ratio, high=1.5)
            then = f"{values[best]:.3g} near step {game.steps[best]:,.0f}"
            detail = f"The {what} in the log has gone from {then} to {late(values):.3g}: take a checkpoint from there."
            return Finding("low_fidelity", grade(ratio, 3, 5), (evidence,), detail, since)
    return None
