"""One form for all training logs: the curves of a game as medians over the same stretches of the training.

So neither noise nor the rate of logging matters to the tests that look at them.
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gantutor.doctor.logs import roles
from gantutor.doctor.logs.training_log import Curve, Log

FEWEST = 12  # entries of a curve: fewer do not allow a verdict
STRETCHES = 50  # at most
FEWEST_ZEROS = 3  # with which a loss begins that is switched on later


class Game(NamedTuple):
    """The curves of one game, as medians over the same stretches of the training: (B,) each, by role."""

    medians: Mapping[str, np.ndarray]
    steps: np.ndarray  # (B,): the first step of each stretch
    loss: str  # the kind of loss

    def lasting(self, condition: np.ndarray, extreme: np.ndarray | None = None) -> float | None:
        """The step from which a condition (B,) holds for good: in nine of ten stretches, and in the last ones.

        These are the last quarter, or only the last tenth for an extreme condition, which no sound training comes near.
        """
        last = max(2, len(condition) // 4)
        if condition[-last:].mean() < 0.75:
            if extreme is None or extreme[-(last := max(2, len(condition) // 10)) :].mean() < 0.75:
                return None
            condition = extreme
        holds = [i for i in range(len(condition) - last + 1) if condition[i] and condition[i:].mean() >= 0.9]
        return float(self.steps[holds[0] if holds else len(condition) - last])


def judged(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Those curves of a game that can be judged, from its start: long enough, and all finite."""
    start = start_of_game(curves)
    if start is not None:
        curves = {role: curve.since(start) for role, curve in curves.items()}
    return {role: curve for role, curve in curves.items()
            if len(curve.values) >= FEWEST and np.isfinite(curve.values).all()}  # fmt: skip


def start_of_game(curves: Mapping[str, Curve]) -> float | None:
    """The step at which a loss that is exactly 0 at first is switched on, as VQGAN's is; None if all losses are."""
    starts = []
    for curve in (curves[role] for role in ("d_loss", "g_loss") if role in curves):
        played = np.flatnonzero(curve.values)
        if len(played) and played[0] >= FEWEST_ZEROS:
            starts.append(float(curve.steps[played[0]]))
    return max(starts, default=None)


def to_game(curves: Mapping[str, Curve]) -> Game:
    """Medians over at most 50 stretches, each of which has an entry of every curve, or nearly so."""
    counts = [len(curve.values) for curve in curves.values()]
    stretches = max(6, min(STRETCHES, min(counts) // 2))
    steps = np.unique(np.concatenate([curve.steps for curve in curves.values()]))
    edges = np.linspace(steps[0], steps[-1], stretches + 1)
    medians = {}
    for role, curve in curves.items():
        parts = [curve.values[(curve.steps >= a) & (curve.steps <= b)] for a, b in itertools.pairwise(edges)]
        medians[role] = filled(np.array([np.median(part) if len(part) else np.nan for part in parts]))
    return Game(medians, steps[np.searchsorted(steps, edges[:-1])], kind_of_loss(curves))


def filled(x: np.ndarray) -> np.ndarray:
    """NaN replaced by the value before it, or after it at the beginning."""
    known = np.flatnonzero(~np.isnan(x))
    return x[known[np.maximum(np.searchsorted(known, np.arange(len(x)), side="right") - 1, 0)]]


LOSSES = {
    "wasserstein": "a Wasserstein loss (D's falls below 0, or is a distance on a scale of its own)",
    "hinge": "a hinge loss, or another one whose G's loss is not bounded below",
    "saturating": "the saturating minimax loss (G's is never positive)",
    "cross-entropy": "a cross-entropy or least-squares loss",
}


def kind_of_loss(curves: Mapping[str, Curve]) -> str:
    """Guess the kind of loss from the signs of its values, and from their size where these leave it open.

    Some log the distance that a Wasserstein critic sees as a positive number. It has a scale of its own, whereas the
    loss of a D that is fooled follows from that of G.
    """
    d, g = (curves[role].values if role in curves else np.zeros(1) for role in ("d_loss", "g_loss"))
    named_critic = "d_loss" in curves and roles.is_critic(curves["d_loss"].name)
    if (d < -1e-6).mean() > 0.02 or d.min() < -0.5:
        return "wasserstein"
    if (g < -1e-6).mean() > 0.02:
        least, of_g = np.asarray(np.quantile(d[len(d) // 2 :], 0.1)), np.asarray(np.median(g[len(g) // 2 :]))
        large = least > 4 or (least > 0.5 and abs(of_g) > 20)  # and does not swing
        if large and (named_critic or not fits_when_fooled(least, of_g)):
            return "wasserstein"
        return "saturating" if g.max() <= 1e-6 else "hinge"
    return "wasserstein" if named_critic and min(np.median(d), np.median(g)) > 2.5 else "cross-entropy"


def fits_when_fooled(d: np.ndarray, g: np.ndarray, most: float = 4.0) -> np.ndarray:
    """Where D's loss can be that of a D that takes samples for real images, whose output is minus G's loss.

    The samples alone cost it 1 - g, or half of that if its loss is a mean, and with the real images at most so many
    times that. In a sound game with the minimax loss D's is about twice as large as G's, on any scale.
    """
    fits: np.ndarray = (g < 0) & (d > 0.4 * (1 - g)) & (d < most * (1 - g))
    return fits


def is_critic(log: Log) -> bool:
    """Is D a Wasserstein critic, whose outputs have a scale of their own and are no logits?"""
    return any(kind_of_loss(curves) == "wasserstein" for curves in log.games.values())


def at_the_limit(d: np.ndarray) -> np.ndarray:
    """Where D's loss is as large as PyTorch's cross-entropy can be, which cuts off -log 0 at 100."""
    halved = np.isclose(d, 50, atol=0.5)  # the mean of two halves, one of which is sound
    near: np.ndarray = np.isclose(d, 100, atol=1) | halved
    return near


def early(x: np.ndarray) -> float:
    """The lowest of the first tenth: a state may set in soon."""
    return float(x[: max(2, len(x) // 10)].min())


def late(x: np.ndarray) -> float:
    """The median of the last quarter."""
    return float(np.median(x[-max(2, len(x) // 4) :]))
