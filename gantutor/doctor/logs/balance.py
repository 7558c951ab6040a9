"""Who wins the game, as its curves show: a D that is fooled, one that has won, or one that says the same to all."""

import math
from collections.abc import Iterator

import numpy as np

from gantutor.doctor.findings import Evidence, Finding, telling
from gantutor.doctor.logs.game import Game, at_the_limit, early, fits_when_fooled, late

LOG4, LOG2 = math.log(4), math.log(2)


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
