"""The doctor's tests of training logs: what the losses and other curves of a game show, whatever kind of loss it has.

Each test looks at medians over stretches of the training, so that neither noise nor the rate of logging matters, and
asks for a state that lasts until the end. The limits were set on simulated and on real trainings: `tests/histories.py`.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gantutor.data.listing import some
from gantutor.doctor.findings import Evidence, Finding, grade, telling
from gantutor.doctor.logs import roles, swings
from gantutor.doctor.logs.training_log import MOST_NAMES, Curve, Log

FEWEST = 12  # entries of a curve: fewer do not allow a verdict
STRETCHES = 50  # at most
FEWEST_ZEROS = 3  # with which a loss begins that is switched on later

LOG4, LOG2 = math.log(4), math.log(2)


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
            log.open += open_questions(to_game(sound))
        yield from findings


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


def examine_game(curves: Mapping[str, Curve]) -> Iterator[Finding]:
    """What the curves of one game show; worse scores only where nothing explains them."""
    game = to_game(curves)
    first = find_divergence(game)
    if first is None:  # what is off every scale tells no more about who wins
        unstable = swings.find_instability(curves, game.loss)
        first = unstable or find_lost_balance(game) or swings.find_sudden_change(curves)
    others = swings.find_vanishing_gradient(curves), find_falling_diversity(game), swings.find_oscillation(curves)
    found = [finding for finding in (first, *others) if finding is not None]
    yield from found or filter(None, (find_lost_quality(game),))


# --- one form for all logs -------------------------------------------------------------------------------------------


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


# --- divergence ------------------------------------------------------------------------------------------------------


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
            since = game.lasting(size > 10 * max(before, 1.0))
        elif not may_drift and end > 1000 and end > 20 * lowest:
            before, since = lowest, game.lasting(size > 10 * lowest)
        else:
            continue
        evidence = Evidence(f"size of {whose} at the end, over that at the beginning", end / before, high=20)
        return Finding("divergence", "severe", (evidence,), f"{whose} has reached {end:,.0f}.", since)
    return None


def at_the_limit(d: np.ndarray) -> np.ndarray:
    """Where D's loss is as large as PyTorch's cross-entropy can be, which cuts off -log 0 at 100."""
    halved = np.isclose(d, 50, atol=0.5)  # the mean of two halves, one of which is sound
    near: np.ndarray = np.isclose(d, 100, atol=1) | halved
    return near


# --- who wins --------------------------------------------------------------------------------------------------------


def find_lost_balance(game: Game) -> Finding | None:
    """Has D won or lost, or does it tell nothing apart? At most one of these."""
    tests = d_is_fooled, d_calls_all_alike, d_has_won, d_says_one_half, d_is_constant
    return next((finding for test in tests if (finding := test(game)) is not None), None)


SOUND = {  # where the numbers of a sound game with a cross-entropy lie; D's outputs are probabilities here
    "d_loss": ("D's loss at the end", 0.3, 1.4),
    "g_loss": ("G's loss at the end", 0.5, 5),
    "d_real": ("D's probability for real images, at the end", 0.5, 0.95),
    "d_fake": ("D's probability for samples, at the end", 0.05, 0.5),
    "d_acc": ("D's accuracy at the end", 0.3, 0.95),
    "d_acc_real": ("D's accuracy on real images, at the end", 0.3, 0.95),
    "d_acc_fake": ("D's accuracy on samples, at the end", 0.3, 0.95),
}


def finding_since(name: str, game: Game, since: float | None, detail: str = "") -> Finding | None:
    """A finding on who wins, with those of the game's numbers at the end that are out of range."""
    if since is None:
        return None
    losses = {role: game.medians[role] for role in ("d_loss", "g_loss") if role in game.medians}
    outputs = dict(zip(("d_real", "d_fake"), probabilities(game) or (), strict=False))
    numbers = {**losses, **outputs, **accuracies(game)} if game.loss != "wasserstein" else {}
    end = game.steps >= max(since, game.steps[-max(2, len(game.steps) // 4)])
    evidence = (Evidence(told, float(np.median(numbers[role][end])), low=low, high=high)
                for role, (told, low, high) in SOUND.items() if role in numbers)  # fmt: skip
    return Finding(name, "severe", telling(*evidence), detail, since)


def probabilities(game: Game) -> tuple[np.ndarray, np.ndarray] | None:
    """D's mean probabilities for real images and for samples, (B,) each, if its outputs were logged."""
    real, fake = game.medians.get("d_real"), game.medians.get("d_fake")
    if real is None or fake is None or game.loss == "wasserstein":
        return None
    together = np.concatenate([real, fake])
    if together.min() >= 0 and together.max() <= 1:
        return real, fake
    return 1 / (1 + np.exp(-real.clip(-50, 50))), 1 / (1 + np.exp(-fake.clip(-50, 50)))


def accuracies(game: Game) -> dict[str, np.ndarray]:
    """D's accuracies by role, (B,) each, from 0 to 1, if they were logged and can be believed.

    Keras counts answers to smoothed labels as wrong, all of them: an accuracy that never leaves 0 needs D's loss to
    confirm it. So does a low one that is the second number of a pair, which may be another loss.
    """
    found = {role: x for role, x in game.medians.items() if role.startswith("d_acc")}
    highest = max((x.max() for x in found.values()), default=0)
    if game.loss == "wasserstein" or highest > 100 or min((x.min() for x in found.values()), default=0) < 0:
        return {}
    found = {role: x / 100 if highest > 1.5 else x for role, x in found.items()}
    d = late(game.medians["d_loss"]) if "d_loss" in game.medians else math.inf
    return {role: x for role, x in found.items() if d > (LOG4 if x.max() == 0 else 0.6) or late(x) > 0.5}


def called_real(game: Game) -> tuple[np.ndarray, np.ndarray] | None:
    """The shares of real images and of samples that D calls real, (B,) each, if its accuracies were logged."""
    found = accuracies(game)
    real, fake = found.get("d_acc_real", found.get("d_acc")), found.get("d_acc_fake", found.get("d_acc"))
    return None if real is None or fake is None else (real, 1 - fake)


def d_is_fooled(game: Game) -> Finding | None:
    """D takes samples for real images, or its loss is stuck at the limit of the cross-entropy.

    A low loss of G alone does not say so, because some weigh it: the loss that D has from its samples must fit.
    """
    condition = extreme = unopposed = nowhere(game)
    d, g = game.medians.get("d_loss"), game.medians.get("g_loss")
    if d is not None and game.loss != "wasserstein":
        if g is None:
            condition = extreme = at_the_limit(d)
        elif game.loss != "cross-entropy":
            condition = (d > 4) & (g < -1.5) & fits_when_fooled(d, g, 4.0 if game.loss == "hinge" else 1.2)
        else:  # D's loss may be the mean of its two halves
            condition = (g < 0.1) & (d > 1.5) & (d > 0.9 * opposite(g) / 2)
            extreme = (at_the_limit(d) & (g < 2.2)) | ((d > 20) & (g < 0.1))
            unopposed = (d < 0.05) & (g < 5e-4 * opposite(d))  # no weight of G's loss is so small
            condition |= unopposed
    if (outputs := probabilities(game)) is not None:
        real, fake = outputs
        wrong = (fake - real > 0.35) & (real < 0.5) & (fake > 0.5)
        if g is not None:  # G's loss is low then, unless the labels are exchanged: 0 for real images, 1 for samples
            wrong &= g < 1
        condition, extreme = condition & (fake > real), extreme & (fake > real)
        condition |= ((real < 0.3) & (fake > 0.7)) | wrong
    if (shares := called_real(game)) is not None:
        real, fake = shares
        condition = condition | ((real < 0.1) & (fake > 0.9))
    since = game.lasting(condition, extreme)
    detail = ""
    if since is not None and unopposed[game.steps >= since].mean() > 0.5:
        detail = "Both losses are next to 0, so the players do not oppose each other."
    return finding_since("discriminator_fooled", game, since, detail)


def opposite(loss: np.ndarray) -> np.ndarray:
    """The least cross-entropy that one player has from the samples where the other has this one.

    From -log p it makes -log(1 - p), and because that is convex, no average of them is less (Jensen).
    """
    least: np.ndarray = -np.log(-np.expm1(-loss.clip(1e-12)))
    return least


def d_calls_all_alike(game: Game) -> Finding | None:
    """D calls everything generated, or everything real.

    The losses say so if they were ordinary once or are at a limit: high ones alone may be sums, over a batch, over
    several Ds or over the classes, or have a scale of their own.
    """
    condition = extreme = everything_real = nowhere(game)
    d, g = game.medians.get("d_loss"), game.medians.get("g_loss")
    if d is not None and game.loss == "cross-entropy":
        high = (d > 3.5 if g is None else (d > 3.5) & (g > 2.2)) & (d < 200)
        extreme = high & at_the_limit(d)
        was_ordinary = early(d) < 2.5 or (g is not None and late(g) > 1.5 * early(g))
        condition = high if was_ordinary and late(d) > 2 * early(d) else extreme
    for shares, low, high in ((probabilities(game), 0.2, 0.85), (called_real(game), 0.1, 0.9)):
        if shares is not None:
            real, fake = shares
            all_real = (real > high) & (fake > high)
            condition = condition | all_real | ((real < low) & (fake < low))
            everything_real = everything_real | all_real
    if d is not None:
        extreme = extreme | (everything_real & at_the_limit(d))
    since = game.lasting(condition, extreme)
    real_since = since is not None and everything_real[game.steps >= since].mean() > 0.5
    detail = "It calls everything real." if real_since else "It calls everything generated."
    return finding_since("discriminator_blind", game, since, detail)


def d_has_won(game: Game) -> Finding | None:
    """D tells real from generated without any doubt.

    D's loss alone does not say so, because least-squares Ds, as CycleGAN's are, do well at 0.04. G's loss has to be
    high too, and not falling, or next to 0 where it saturates.
    """
    condition = nowhere(game)
    d, g = game.medians.get("d_loss"), game.medians.get("g_loss")
    stays_high = g is None or game.loss != "cross-entropy" or late(g) > 0.75 * np.median(g[: max(2, len(g) // 4)])
    if d is not None and game.loss != "wasserstein":
        if g is None:
            condition = d < 0.03
        elif game.loss == "saturating":
            condition = (d < 0.05) & (g > -0.05)
        elif game.loss == "hinge":
            condition = (d < 0.02) & (g > 2)
        else:
            condition = (d < 0.003) | (stays_high & (((d < 0.05) & (g > 4)) | ((d < 0.12) & (g > 10))))
    if (outputs := probabilities(game)) is not None:
        real, fake = outputs
        condition = condition | ((real > 0.95) & (fake < 0.05))
        if g is not None and stays_high:  # where labels of real images are below 1, D's outputs for them stay there
            condition |= (real > 0.75) & (fake < 0.02) & (g > 6)
    if (shares := called_real(game)) is not None and stays_high:
        real, fake = shares
        sure = (real > 0.985) & (fake < 0.015)
        condition = condition | (sure if d is None else sure & (d < LOG2))
    return finding_since("discriminator_saturated", game, game.lasting(condition))


UNDECIDED = {  # D's and G's loss where D always says ½, or 0 as a score; D's may be a sum or a mean of its two halves
    "cross-entropy": ((LOG4, LOG2), (LOG2, LOG2), (0.5, 0.25), (0.25, 0.25), (0.25, 0.125)),  # or least squares
    "hinge": ((2.0, 0.0), (1.0, 0.0)),
}


def d_says_one_half(game: Game) -> Finding | None:
    """Both losses are pinned where a D that cannot decide puts them, in most of the training."""
    d, g = game.medians.get("d_loss"), game.medians.get("g_loss")
    if d is None or game.loss not in UNDECIDED:
        return None
    for of_d, of_g in UNDECIDED[game.loss]:
        pinned = np.abs(d - of_d) < 0.01 * of_d
        if g is not None:
            pinned &= np.abs(g - of_g) < 0.015
        most = slice(round(0.4 * len(d)), None)
        off = abs(float(np.median(d[most])) / of_d - 1)
        if pinned[most].mean() >= 0.95 and off <= 0.004 and (g is not None or of_d in (LOG4, LOG2)):
            evidence = Evidence("distance of D's loss from that of a D that cannot decide, as a share", off, low=0.02)
            detail = "It says the same to everything."
            return Finding("discriminator_blind", "severe", (evidence,), detail, game.lasting(pinned))
    return None


def d_is_constant(game: Game) -> Finding | None:
    """In the second half of the training, D's loss or its outputs do not change at all."""
    for name, parts, limit in (("D's loss", ("d_loss",), 1e-4), ("D's outputs", ("d_real", "d_fake"), 1e-3)):
        if all(role in game.medians for role in parts):
            values = np.concatenate([game.medians[role][len(game.steps) // 2 :] for role in parts])
            spread = float(values.std() / max(abs(values.mean()), 1e-9))
            if spread < limit:
                evidence = Evidence(f"standard deviation of {name} in the second half, over the mean", spread, low=0.01)
                return Finding("discriminator_blind", "severe", (evidence,), "Its answer never changes.")
    return None


def nowhere(game: Game) -> np.ndarray:
    return np.zeros(len(game.steps), dtype=bool)


def open_questions(game: Game) -> Iterator[str]:
    """What the losses of a game without findings leave open, because sound trainings have such losses too."""
    d, g = game.medians.get("d_loss"), game.medians.get("g_loss")
    if d is None or game.loss != "cross-entropy" or probabilities(game) is not None or called_real(game) is not None:
        return
    cure = "log D's mean outputs for real images and for samples"
    if g is not None and late(g) < 0.02 and any(abs(late(d) - loss) < 0.1 * loss for loss in (0.5, 1.0)):
        yield (
            f"whether D is fooled: if the losses are least squares, then D's {late(d):.2f} and G's {late(g):.2g} are "
            f"those of a D that takes samples for real images; {cure}"
        )
    elif late(d) > 3.5:
        yield (
            f"whether D tells anything apart: its loss ends at {late(d):.3g}, and one that only guesses has "
            f"{LOG4:.2f}, unless it is a sum of several; {cure}"
        )


def early(x: np.ndarray) -> float:
    """The lowest of the first tenth: a state may set in soon."""
    return float(x[: max(2, len(x) // 10)].min())


def late(x: np.ndarray) -> float:
    """The median of the last quarter."""
    return float(np.median(x[-max(2, len(x) // 4) :]))


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
