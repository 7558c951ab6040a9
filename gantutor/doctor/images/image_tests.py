"""The doctor's tests of samples: each one judges numbers of `measures` and yields what it finds.

The limits were set on planted ailments and on healthy generators, and are checked on others: `tests/ailments.py`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from gantutor import metrics
from gantutor.data.listing import some
from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, grade, telling
from gantutor.doctor.images.arrays import MIN_SIDE
from gantutor.doctor.images.augmentation import find_leaks, most_by_chance
from gantutor.doctor.images.extractors import Extracted
from gantutor.doctor.images.inputs import Case
from gantutor.doctor.images.proportions import judge_shapes
from gantutor.doctor.images.saving import COLLAPSED, correct_saving, relative_variance
from gantutor.metrics import clusters, nearest_neighbours

CLOSE = 1500  # samples that are examined closely, for texture, copies and repetitions
VISIBLE = 0.01  # root mean square of a pattern in [-1, 1], 1.3 of 255 grey values: a weaker one is not seen


def examine_images(case: Case) -> Iterator[Finding]:
    """All that the images themselves show, until a finding makes the rest pointless."""
    misread = list(correct_saving(case))
    yield from misread
    if (collapse := find_total_collapse(case)) is not None:
        yield collapse
    if (copies := find_copies(case)) is not None:
        yield copies
    if collapse is not None:
        return
    yield from find_leaks(case)
    spoiled = list(find_texture_faults(case.samples[:CLOSE], case.real[:4000]))
    if case.closeups is not None and not misread:
        spoiled += find_texture_faults(*case.closeups)
    repetition = find_repetition(case)
    if repetition is not None:  # the pattern may be in the few pictures that come again and again
        spoiled = [finding for finding in spoiled if (finding.name, finding.severity) != ("checkerboard", "mild")]
    yield from spoiled
    yield from examine_content(case, repetition, spoiled)


# --- collapse, copies and texture ------------------------------------------------------------------------------------


def find_total_collapse(case: Case) -> Finding | None:
    share = relative_variance(case, case.samples)
    if share > COLLAPSED:
        return None
    evidence = Evidence("variance between samples, over that of real images", share, low=0.6, high=1.4)
    doubt = "Unless they are contact sheets, which look alike at this size: see the notes." if case.sheets else ""
    return Finding("total_collapse", "severe", (evidence,), doubt)


def find_copies(case: Case) -> Finding | None:
    """Are samples much nearer to one training image than to all others, and more often than held-out images are?

    Each training image that is the nearest of some sample counts once, because one image made often is a collapse and
    no memory of the training set.
    """
    search = measures.CopySearch(case.train)
    mine, theirs = search.nearest(case.samples[:1000]), search.among(case.rest).nearest(case.held_out[:1000])
    for limit, least in ((0.3, 0.01), (0.6, 0.03)):
        (share, n), (usual, m) = (measures.share_by_target(ratio < limit, index) for ratio, index in (mine, theirs))
        if share > (most := most_by_chance(usual, n, m, least)) and share * n > 2.5:  # one or two may be chance
            name = f"share of samples {1 / limit:.1f} times nearer to one training image than to the next"
            evidence = Evidence(name, share, high=most, usual=usual)
            case.copies = mine
            return Finding("memorisation", grade(share, 0.1, 0.5), (evidence,))
    return None


def find_texture_faults(x: Tensor, real: Tensor) -> Iterator[Finding]:
    """Regular patterns, noise and blur."""
    pattern, edges = measures.periodic_pattern(x, real, VISIBLE), measures.block_pattern(x, real)
    texture, dead = measures.texture_difference(x, real), measures.dead_pixel_share(x, real)
    if pattern.excess > (0.75 if min(x.shape[2:]) >= 16 else 1):  # in small images few frequencies surround a peak
        name = f"power at a period of {pattern.period} pixels, {pattern.direction}, over that of real images"
        evidence = (
            Evidence(name, 10**pattern.excess, high=3),
            Evidence("root mean square of this pattern, in [-1, 1]", pattern.strength, high=VISIBLE),
        )
        # Beside the empty frequencies of smooth images a faint pattern stands out as well: both have to be large.
        yield Finding("checkerboard", grade(min(pattern.excess / 1.5, pattern.strength / 0.04), 1, 1.7), evidence)
    elif edges.excess > 0.3:
        name = f"strength of edges at every {edges.period}th pixel, over that beside them"
        evidence = Evidence(name, math.exp(edges.excess), high=1.15)
        yield Finding("checkerboard", grade(edges.excess, 0.7, 1.4), (evidence,), "They are made of square blocks.")
    elif dead > 0.005:
        evidence = Evidence("share of single pixels that are the same in all samples", dead, high=0.005)
        yield Finding("noisy", grade(dead, 0.02, 0.05), (evidence,), "Some pixels hardly ever change.")
    elif texture.flat > 0.035 and texture.corner > 0.25 and texture.residual > 0.15:
        name = "power of the finest detail, over that of real images"
        evidence = telling(
            Evidence("roughness of flat areas, beyond that of real images", texture.flat, high=0.02),
            Evidence(name, math.exp(texture.corner), low=0.5, high=2),
        )
        yield Finding("noisy", grade(texture.flat, 0.1, 0.25), evidence)
    fading = texture.high - texture.middle < -0.7 and texture.corner < -1.2  # the finer the detail, the weaker
    if texture.high < -0.9 and (fading or texture.corner < -4):  # a strong blur weakens the middle frequencies as well
        name = "power of fine detail, over that of real images"
        evidence = Evidence(name, math.exp(texture.high), low=0.55, high=1.8)
        yield Finding("blurred", grade(-texture.high, 2, 4), (evidence,))


# --- what the images show -------------------------------------------------------------------------------------------


AllExtracted = Mapping[str, Extracted]  # by "samples", "real" and "held_out"


def examine_content(case: Case, repetition: Finding | None, spoiled: Sequence[Finding]) -> Iterator[Finding]:
    """Are the images convincing, are all kinds of image there, and in the right proportions?

    Args:
        repetition: what `find_repetition` found.
        spoiled: the faults of their texture, which hide what else is wrong with them.
    """
    unspoiled = not spoiled
    sets = {"samples": case.samples, "real": case.real, "held_out": case.held_out}
    extracted = {name: case.extractor.extract(x) for name, x in sets.items()}
    fidelity = judge_fidelity(case, extracted, repeats=repetition is not None)
    by_class = extracted["samples"].logits is not None
    if unspoiled and fidelity.finding is not None:
        yield fidelity.finding
    elif not (unspoiled or by_class) and (from_afar := judge_from_afar(case, spoiled)) is not None:
        yield from_afar
    if repetition is not None and (fidelity.density >= 0.5 or not unspoiled):
        yield repetition
    if fidelity.density >= 0.25:
        if by_class:
            yield from find_class_imbalance(case, extracted)
        else:
            lost = find_lost_variety(extracted) if unspoiled else None
            yield from [lost] if lost is not None else find_cluster_imbalance(case, extracted)
        yield from find_ignored_labels(case, extracted["samples"].logits)
    if unspoiled and not by_class and repetition is None and fidelity.finding is None:
        yield from filter(None, [judge_shapes(case)])


def find_repetition(case: Case) -> Finding | None:
    """Do the samples repeat the same few images again and again?"""
    mine = measures.repetition_ratio(case.samples[:CLOSE], case.real)
    theirs = measures.repetition_ratio(case.held_out[:CLOSE], case.real)
    for limit, least in ((0.1, 0.02), (0.4, 0.06)):
        share, usual = ((ratio < limit).double().mean().item() for ratio in (mine, theirs))
        if share > (most := most_by_chance(usual, len(mine), len(theirs), least)):
            name = f"share of samples {1 / limit:.3g} times nearer to another sample than to real images"
            evidence = Evidence(name, share, high=most, usual=usual)
            return Finding("partial_collapse", grade(share, 0.2, 0.5), (evidence,), "Samples repeat each other.")
    return None


class Fidelity(NamedTuple):
    """How convincing the samples are."""

    density: float  # their density among real images, over that of held-out images
    finding: Finding | None  # low_fidelity, if they are not


def judge_fidelity(case: Case, extracted: AllExtracted, repeats: bool) -> Fidelity:
    """Do the samples lie among the real images?

    They do not if their pixels lie off those of real images, or if precision, density and the classifier's certainty
    together say so in features. Where these three are only rather low, the Fréchet distance decides, because a GAN
    trained for too short a time is a little off everywhere; but it says nothing about a few images that repeat.
    """
    off, nearby = (measures.outlier_ratio(x[:500], case.real[:8000]).median().item()
                   for x in (case.samples, case.held_out))  # fmt: skip
    off /= max(nearby, 0.8)  # less than 0.8: there are copies among the held-out images
    mine, theirs = (fidelity_scores(extracted["real"].features[:4000], extracted[name])
                    for name in ("samples", "held_out"))  # fmt: skip
    shares = {name: value / max(theirs[name], 1e-6) for name, value in mine.items()}
    convincing = sum(shares.values()) / len(shares)
    borderline = not repeats and convincing < 0.87 and len(shares) == 3
    distance, floor = relative_frechet(case, extracted) if borderline else (0.0, 0.0)
    limit = floor + max(0.07, floor)
    far = distance > limit
    strange = off > 1.18 or convincing < 0.65
    if not (strange or far):
        return Fidelity(shares["density"], None)
    evidence = telling(
        Evidence("distance to real images, over that of held-out ones", off, high=1.15),
        *(Evidence(f"{name}, over that of held-out images", value, low=0.7) for name, value in shares.items()),
        Evidence("Fréchet distance to real images, over their spread", distance, high=limit, usual=floor),
    )
    detail = "" if strange else "They are a little off in every respect, like those of a half-trained G."
    severity = grade(max(off - 1, 1 - convincing), 0.35, 0.6)
    return Fidelity(shares["density"], Finding("low_fidelity", severity, evidence, detail))


def judge_from_afar(case: Case, spoiled: Sequence[Finding]) -> Finding | None:
    """Where the texture is at fault and no classifier knows the images: do they look right at half their size?

    A pattern, noise or a blur hardly shows there, and not at all if it is mild: it leaves the precision in random
    features as it is. What a half-trained G draws does not look right from afar either.
    """
    if min(case.real.shape[2:]) < 4 * MIN_SIDE:
        return None
    sets = {"samples": case.samples[:1000], "real": case.real[:4000], "held_out": case.held_out[:1000]}
    small = {name: F.avg_pool2d(x, 2) for name, x in sets.items()}
    features = measures.RandomFeatures(small["real"])
    of_real, off, precision = features(small["real"]), {}, {}
    for name in ("samples", "held_out"):
        off[name] = measures.outlier_ratio(small[name][:500], small["real"]).median().item()
        precision[name] = metrics.precision_and_recall(of_real, features(small[name])).precision
    further, kept = off["samples"] / max(off["held_out"], 0.8), precision["samples"] / max(precision["held_out"], 1e-6)
    if kept / further >= (0.83 if all(finding.severity == "mild" for finding in spoiled) else 0.7):
        return None
    evidence = telling(
        Evidence("at half their size: distance to real images, over that of held-out ones", further, high=1.1),
        Evidence("at half their size: precision, over that of held-out images", kept, low=0.9),
    )
    detail = "Their texture is at fault, and their shapes are, too, like those of a half-trained G."
    return Finding("low_fidelity", grade(1 - kept / further, 0.45, 0.6), evidence, detail)


def find_lost_variety(extracted: AllExtracted) -> Finding | None:
    """Where no classes are known: are the samples convincing, but nowhere near a large part of the real images?"""
    count = min(len(extracted["samples"].features), len(extracted["held_out"].features), 2000)  # recall depends on it
    real = extracted["real"].features[:4000]
    mine, theirs = (metrics.precision_and_recall(real, extracted[name].features[:count])
                    for name in ("samples", "held_out"))  # fmt: skip
    precision, recall = (x / max(y, 1e-6) for x, y in zip(mine, theirs, strict=True))
    if count < 200 or precision <= 0.9 or recall >= 0.7:
        return None
    evidence = (
        Evidence("recall, over that of as many held-out images", recall, low=0.8),
        Evidence("precision, over that of as many held-out images", precision, low=0.9, context=True),
    )
    detail = "They are like real images, but only like some of them."
    return Finding("partial_collapse", grade(1 - recall, 0.45, 0.7), evidence, detail)


def fidelity_scores(real: Tensor, images: Extracted) -> dict[str, float]:
    """Precision and density of images among real ones, and how certain the classifier is of them, by name."""
    features = images.features[:2000]
    scores = {
        "precision": metrics.precision_and_recall(real, features).precision,
        "density": metrics.density_and_coverage(real, features).density,
    }
    if images.logits is not None:
        scores["certainty of the classifier"] = images.logits[:2000].softmax(1).amax(1).mean().item()
    return scores


def relative_frechet(case: Case, extracted: AllExtracted) -> tuple[float, float]:
    """Fréchet distance of the samples, and of as many held-out images, to the real ones, over the variance of these."""
    real = extracted["real"].features
    variance, count = real.var(0).sum().item(), len(case.samples)
    mine, usual = (metrics.frechet(real, extracted[name].features[:count]) for name in ("samples", "held_out"))
    return mine / variance, usual / variance


# --- proportions of classes ------------------------------------------------------------------------------------------


class Limits(NamedTuple):
    """How far the proportions of samples may differ from those of real images.

    A kind of image below `rare` times its share is missing, and those that are missing make a collapse if they are more
    than `least` of the real images. A kind below `few` or above `many` times its share is out of proportion, and so are
    all kinds together if their total variation exceeds `shift`.
    """

    rare: float
    least: float
    few: float
    many: float
    shift: float


BY_CLASS = Limits(rare=0.12, least=0.02, few=0.45, many=1.8, shift=0.12)
BY_CLUSTER = Limits(rare=0.2, least=0.25, few=0, many=math.inf, shift=0.35)  # clusters only show gross errors


def find_class_imbalance(case: Case, extracted: AllExtracted) -> Iterator[Finding]:
    """Compare the shares of the classes, or of the values of every factor, as the classifier sees them, with those of
    all real images.
    """
    known = case.extractor.factors
    for factor, values in known.items():
        by_set = {name: extracted[name].factors[factor] for name in extracted}
        yield from compare_classes(by_set, tuple(f"{factor} {value}" for value in values))
    if not known:
        # Where the extractor knows classes, it gives logits of all images.
        yield from compare_classes(
            {name: cast(Tensor, extracted[name].logits) for name in extracted}, case.extractor.classes
        )


def compare_classes(logits: Mapping[str, Tensor], names: Sequence[str]) -> Iterator[Finding]:
    """The same for one set of classes, from logits (N, K) of the samples, the real and the held-out images."""
    mine_logits, real = logits["samples"], logits["real"]
    prior = real.double().softmax(1).mean(0)
    reference = torch.cat([real, logits["held_out"]])  # (M, K)
    mine, theirs = (measures.class_shares(x, prior) for x in (mine_logits, reference))
    error = measures.class_share_errors(reference, prior, theirs) * math.sqrt(1 + len(reference) / len(mine_logits))
    predicted, usual = (torch.bincount(x.argmax(1), minlength=len(mine)) / len(x) for x in (mine_logits, reference))
    counted = theirs * predicted / usual.clamp(min=1e-9)
    yield from compare_shares(mine, counted, theirs, error, names, BY_CLASS)


def find_cluster_imbalance(case: Case, extracted: AllExtracted) -> Iterator[Finding]:
    """Where no classes are known, compare the shares of clusters of the real images."""
    real = extracted["real"].features
    count = max(5, min(30, len(real) // 100, len(case.samples) // 30))
    reference = torch.cat([real, extracted["held_out"].features])  # (M, d)
    centres = clusters(real[:5000], count)
    mine, theirs = (
        torch.bincount(nearest_neighbours(features, centres)[1][:, 0], minlength=count).double() / len(features)
        for features in (extracted["samples"].features, reference)
    )
    error = (theirs * (1 - theirs) * (1 / len(case.samples) + 1 / len(reference))).sqrt()
    yield from compare_shares(mine, mine, theirs, error, tuple(f"cluster {k}" for k in range(count)), BY_CLUSTER)


def compare_shares(
    mine: Tensor, counted: Tensor, theirs: Tensor, error: Tensor, names: Sequence[str], limits: Limits
) -> Iterator[Finding]:
    """Compare the shares (K,) of the kinds of image; differences within three standard errors are put down to chance.

    The samples' shares come as two estimates, `mine` and `counted`, because images that are hard to classify mislead
    the first one: a kind is only called out of proportion if both say so.
    """
    ratio, counts = (x / theirs.clamp(min=1e-9) for x in (mine, counted))
    common = theirs > min(0.004, 0.4 / len(theirs))
    apart = ((mine - theirs).abs() > 3 * error + 0.25 * theirs) & common
    missing = apart & (ratio < limits.rare)
    too_few = (ratio < limits.few) & (counts < limits.few)
    too_many = (ratio > limits.many) & (counts > limits.many)
    lost = theirs[missing].sum().item()
    if lost > limits.least:
        kinds = ", ".join(names[k] for k in missing.nonzero().flatten().tolist())
        evidence = (
            Evidence("kinds of image that are missing, or nearly so", int(missing.sum()), low=0, high=0),
            Evidence("their share of the real images", lost, high=limits.least),
        )
        yield Finding("partial_collapse", grade(lost, 0.15, 0.4), evidence, f"Missing, or nearly so: {kinds}.")
        return
    variation = min(((x - theirs).abs().sum() / 2).item() for x in (mine, counted))
    most = limits.shift + 0.4 * error.sum().item()  # 0.4: E|N(0, 1)| / 2
    if (apart & (too_few | too_many)).any() or variation > most:
        worst = max(common.nonzero().flatten().tolist(), key=lambda k: abs(math.log(ratio[k] + 1e-9)))
        evidence = telling(
            Evidence(f"share of {names[worst]}, over that of the real images", ratio[worst].item(), low=0.7, high=1.4),
            Evidence("total variation between the proportions", variation, high=most),
        )
        yield Finding("mode_imbalance", grade(variation, 0.2, 0.35), evidence)


def find_ignored_labels(case: Case, logits: Tensor | None) -> Iterator[Finding]:
    """Are the images of the classes that G was asked for?"""
    if case.labels is None:
        return
    if logits is None:
        case.open.append("whether G obeys its labels; without a classifier it cannot be seen: give real_labels")
        return
    predicted = torch.tensor(case.extractor.labels)[logits.argmax(1)]
    obeyed = (predicted == case.labels).double().mean().item()
    chance = (torch.bincount(case.labels).double() / len(predicted)).square().sum().item()
    limit = min(0.7, 0.8 * case.extractor.accuracy)
    if obeyed < limit and (order := renumbering(case.labels, predicted, limit)):
        names = dict(zip(case.extractor.labels, case.extractor.classes, strict=True))
        pairs = some([f"{asked} is {names[shown]}" for asked, shown in order.items()])
        case.notes.append(f"G obeys its labels, but they are numbered otherwise than the classes: {pairs}.")
    elif obeyed < limit:
        name = f"share of samples of the class that was asked for, where chance gives {chance:.2g}"
        evidence = Evidence(name, obeyed, low=limit)
        yield Finding("labels_ignored", grade(1 - obeyed, 0.5, 0.7), (evidence,))


def renumbering(asked: Tensor, shown: Tensor, least: float) -> dict[int, int] | None:
    """The class that is shown for each label (N,) that was asked for, if it is another one for each.

    None if at least two labels share a class, or if fewer than a share `least` of the images are of these classes.
    """
    order = {label: int(shown[asked == label].mode().values) for label in asked.unique().tolist()}
    fitting = torch.tensor([order[label] for label in asked.tolist()]) == shown
    one_to_one = 1 < len(order) == len(set(order.values()))
    return order if one_to_one and fitting.double().mean() >= least else None
