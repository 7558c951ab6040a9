"""The doctor's look at samples: each examination looks at the measurements of `symptoms` and yields findings.

The limits were set on planted ailments and on healthy generators, and are checked on others: `tests/ailments.py`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gantutor import metrics
from gantutor.doctor import measures
from gantutor.doctor.findings import Evidence, Finding, grade
from gantutor.doctor.inputs import Patient
from gantutor.metrics import clusters, nearest_neighbours

CLOSE = 1500  # samples looked at closely: grain, copies, repetitions


def images(p: Patient) -> Iterator[Finding]:
    """All that the images themselves tell, until a finding makes the rest pointless."""
    if (finding := scale(p)) is not None:
        yield finding
    if (collapse := one_image(p)) is not None:
        yield collapse
    if (copies := copied(p)) is not None:
        yield copies
    if collapse is not None:
        return
    spoiled = list(texture(p))
    yield from spoiled
    yield from contents(p, unspoiled=not spoiled)


def scale(p: Patient) -> Finding | None:
    """Are the pixel values those of another range? If so, the rest of the examination sees them put right."""
    outside = (p.x.abs() > 1.05).double().mean().item()
    low, high = (edge.item() for edge in p.x.aminmax())
    bits = low < high < -0.98 and bool(((p.x == low) | (p.x == high)).all())  # bytes that hold 0 and 1
    best, left = rescaling(p) if outside > 0.001 or bits or varied(p, p.x.clamp(-1, 1)) > 0.02 else (None, 1.0)
    if outside <= 0.001 and not bits and best is None:
        return stepped(p)
    detail = f"They go from {low:.3g} to {high:.3g}"
    detail += f"; they look like real images {best.name}." if best is not None else "."
    p.x = best.undo(p.x) if best is not None else p.x.clamp(-1, 1)
    p.notes.append("The samples were brought to [-1, 1] before the rest of the examination.")
    evidence = [Evidence("share of pixel values outside [-1, 1]", outside, "at most 0.001")] * (outside > 0.001)
    if best is not None or not evidence:
        name = "difference from the pixel values of real images that rescaling leaves, as a share"
        evidence.append(Evidence(name, left, "above 0.4"))
    return Finding("range_mismatch", "severe", tuple(evidence), detail)


def stepped(p: Patient) -> Finding | None:
    """Have the samples only a few of the grey values that real images have?"""
    mine, theirs = measures.levels(p.x[:CLOSE]), measures.levels(p.real[:CLOSE])
    if mine >= 0.2 * theirs or theirs < 50 or varied(p, p.x) < 0.06:
        return None
    evidence = Evidence("grey values between black and white, of 190", mine, f"about {theirs}, as for real images")
    return Finding("range_mismatch", "moderate", (evidence,), "They are rounded to few grey values.")


def rescaling(p: Patient) -> tuple[measures.Scale | None, float]:
    """The change of scale that makes the samples like real images, if one does, and how much of the gap it leaves.

    The gap is between the quantiles of the pixel values. What is undone must lie in [-1, 1] and be as varied as real
    images are: shrunk to black, anything fits. And it must bring the samples clearly nearer to real images.
    """
    x, there = p.x[:2000], p.real[:4000]
    usual = measures.distance_to(p.held[:500], there)
    values, before = measures.quantiles(p.real[:2000]), measures.distance_to(x[:500], there)
    gap, variety = (measures.quantiles(x) - values).abs().mean(), varied(p, x)
    best, least = None, 1.0
    if gap < 0.08:  # a wrong scale leaves 0.13 and more
        return best, least
    for candidate in measures.scales(x, p.real[:2000]):
        now = candidate.undo(x)
        left = ((measures.quantiles(now) - values).abs().mean() / gap).item()
        fits = left < 0.4 or candidate.a == -1
        if fits and left < least - 0.03 and candidate.outside(x) < 0.02 and 0.3 < varied(p, now) < 3:
            exact = left < 0.1 and gap > 0.1
            flat = exact and variety < 0.4 and 0.75 < varied(p, now) < 1.33  # dark images are near to other dark ones
            limit = 1.15 * usual if flat else min(0.75 * before, 1.35 * usual) if exact else 0.5 * before
            if measures.distance_to(now[:500], there) < limit:
                best, least = candidate, left
    return best, least


def varied(p: Patient, x: Tensor) -> float:
    """How much images differ, over how much held-out ones do."""
    return measures.spread(x) / max(measures.spread(p.held), 1e-9)


def one_image(p: Patient) -> Finding | None:
    share = varied(p, p.x)
    if share > 0.06:
        return None
    evidence = Evidence("variance between samples, over that of real images", share, "0.6 to 1.4")
    return Finding("total_collapse", "severe", (evidence,))


def copied(p: Patient) -> Finding | None:
    """Nearer to one training image than to all others, more often than images held out.

    Each training image that is some sample's nearest counts once: one image made often is a collapse, not a memory.
    """
    everything = measures.Memory(p.train)
    others = everything if p.others is p.train else measures.Memory(p.others)
    mine, theirs = everything.copying(p.x[:1000]), others.copying(p.held[:1000])
    for limit, least in ((0.3, 0.01), (0.6, 0.03)):
        (share, n), (usual, m) = (measures.by_target(ratio < limit, nearest) for ratio, nearest in (mine, theirs))
        if exceeds(share, usual, n, m, least):
            evidence = Evidence(f"share of samples {1 / limit:.1f} times nearer to one training image than to the next",
                                share, f"about {usual:.2g}, as for held-out images")  # fmt: skip
            return Finding("memorisation", grade(share, 0.1, 0.5), (evidence,))
    return None


def texture(p: Patient) -> Iterator[Finding]:
    """Patterns, noise and blur."""
    x, real = p.x[:CLOSE], p.real[:4000]
    pattern, edges = measures.periodic(x, real), measures.blocks(x, real)
    grain, dead = measures.grain(x, real), measures.dead(x, real)
    if pattern.excess > (0.75 if min(x.shape[2:]) >= 16 else 1):  # in small images little surrounds a peak
        evidence = Evidence(f"power at a period of {pattern.period} pixels, {pattern.direction}, over that of real "
                            "images, in powers of ten", pattern.excess, "at most 0.5")  # fmt: skip
        yield Finding("checkerboard", grade(pattern.excess, 1.5, 2.5), (evidence,))
    elif edges.excess > 0.3:
        evidence = Evidence(f"strength of edges at every {edges.period}th pixel, over that beside them, as a logarithm",
                            edges.excess, "at most 0.15")  # fmt: skip
        yield Finding("checkerboard", grade(edges.excess, 0.7, 1.4), (evidence,), "They are made of square blocks.")
    elif dead > 0.005:
        evidence = Evidence("share of single pixels that are the same in all samples", dead, "0")
        yield Finding("noisy", grade(dead, 0.02, 0.05), (evidence,), "Some pixels hardly ever change.")
    elif grain.flat > 0.035 and grain.corner > 0.25 and grain.residual > 0.15:
        evidence = (
            Evidence("roughness of flat areas, beyond that of real images", grain.flat, "at most 0.02"),
            Evidence(
                "power of the finest detail, over that of real images, as a logarithm", grain.corner, "-0.7 to 0.7"
            ),
        )
        yield Finding("noisy", grade(grain.flat, 0.1, 0.25), evidence)
    fading = grain.high - grain.middle < -0.7 and grain.corner < -1.2  # the finer, the weaker
    if grain.high < -0.9 and (fading or grain.corner < -4):  # a strong blur takes the middle away as well
        evidence = Evidence("power of fine detail, over that of real images, as a logarithm", grain.high, "-0.6 to 0.6")
        yield Finding("blurred", grade(-grain.high, 2, 4), (evidence,))


def exceeds(share: float, usual: float, n: int, m: int, least: float) -> bool:
    """Is a share of n samples above the usual one, seen in m real images, by `least` and by four standard errors?"""
    return share > usual + max(least, 4 * math.sqrt(max(usual, 1 / m) * (1 / n + 1 / m)))


# --- what the images show -------------------------------------------------------------------------------------------


Seen = Mapping[str, tuple[Tensor, Tensor | None]]  # of "x", "real" and "held": features and class logits


def contents(p: Patient, unspoiled: bool) -> Iterator[Finding]:
    """Are the images convincing, are all kinds there, and in due proportion?"""
    seen = {name: p.eyes.look(x) for name, x in (("x", p.x), ("real", p.real), ("held", p.held))}
    repeated = repetitive(p)
    density, *findings = fidelity(p, seen, repeats=repeated is not None)
    if unspoiled:
        yield from findings
    if repeated is not None and (density >= 0.5 or not unspoiled):
        yield repeated
    if density >= 0.25:
        yield from (by_cluster if seen["x"][1] is None else by_class)(p, seen)
        yield from obedience(p, seen["x"][1])


def fidelity(p: Patient, seen: Seen, repeats: bool) -> Iterator[float | Finding]:
    """The density of the samples among real images, over that of held-out ones; then a finding if they are strange.

    They are if they lie off the real images in pixels, or if precision, density and the judge's certainty together say
    so in features. Where these are only rather low, the judge's Fréchet distance decides, for a GAN trained for too
    short a time is a little off everywhere; but of few images that repeat each other it says nothing.
    """
    base, numbers = seen["real"][0][:4000], []
    apart = [measures.strangeness(x[:500], p.real[:8000]).median().item() for x in (p.x, p.held)]
    for name in ("x", "held"):
        mine, logits = (part if part is None else part[:2000] for part in seen[name])
        sure = [] if logits is None else [logits.softmax(1).amax(1).mean().item()]
        numbers.append(
            [
                metrics.precision_and_recall(base, mine).precision,
                metrics.density_and_coverage(base, mine).density,
                *sure,
            ]
        )
    shares = [a / max(b, 1e-6) for a, b in zip(*numbers, strict=True)]
    yield shares[1]
    off, convincing = apart[0] / max(apart[1], 0.8), sum(shares) / len(shares)  # less than 0.8: held-out copies
    distance, floor = distances(p, seen) if not repeats and convincing < 0.87 and len(shares) == 3 else (0.0, 0.0)
    far = distance > floor + max(0.07, floor)
    strange = off > 1.18 or convincing < 0.65
    if strange or far:
        evidence = [Evidence("distance to real images, over that of held-out ones", off, "0.9 to 1.15")]
        names = "precision", "density", "certainty of the judge"
        for name, value in zip(names, shares, strict=False):
            evidence.append(Evidence(f"{name}, over that of held-out images", value, "0.6 to 1.2"))
        if far:
            name = "Fréchet distance to real images, over their spread"
            evidence.append(Evidence(name, distance, f"about {floor:.2g}, as for held-out images"))
        detail = "" if strange else "They are a little off in every respect, as those of a half-trained G."
        yield Finding("low_fidelity", grade(max(off - 1, 1 - convincing), 0.35, 0.6), tuple(evidence), detail)


def distances(p: Patient, seen: Seen) -> tuple[float, float]:
    """Fréchet distances of the samples and of as many held-out images to the real ones, over the spread of these."""
    real, held, mine = seen["real"][0], seen["held"][0], seen["x"][0]
    spread = real.var(0).sum().item()
    return tuple(metrics.frechet(real, x[: len(p.x)]) / spread for x in (mine, held))


def repetitive(p: Patient) -> Finding | None:
    """The same few images again and again, though there are several."""
    mine, theirs = measures.repeating(p.x[:CLOSE], p.real), measures.repeating(p.held[:CLOSE], p.real)
    for limit, least in ((0.1, 0.02), (0.4, 0.06)):
        share, usual = ((ratio < limit).double().mean().item() for ratio in (mine, theirs))
        if exceeds(share, usual, len(mine), len(theirs), least):
            evidence = Evidence(f"share of samples {1 / limit:.3g} times nearer to another sample than to real images",
                                share, f"about {usual:.2g}, as for held-out images")  # fmt: skip
            return Finding("partial_collapse", grade(share, 0.2, 0.5), (evidence,), "Samples repeat each other.")
    return None


def by_class(p: Patient, seen: Seen) -> Iterator[Finding]:
    """The shares of the classes, as the eyes see them, against those of all real images."""
    prior = seen["real"][1].double().softmax(1).mean(0)
    known = torch.cat([seen["real"][1], seen["held"][1]])  # (M, K)
    mine, theirs = (measures.shares(logits, prior) for logits in (seen["x"][1], known))
    error = measures.share_errors(known, prior, theirs) * math.sqrt(1 + len(known) / len(p.x))
    named, usual = (torch.bincount(x.argmax(1), minlength=len(mine)) / len(x) for x in (seen["x"][1], known))
    counted = theirs * named / usual.clamp(min=1e-9)
    yield from proportions(
        mine, counted, theirs, error, p.eyes.classes, rare=0.12, least=0.02, few=0.45, many=1.8, shift=0.12
    )


def by_cluster(p: Patient, seen: Seen) -> Iterator[Finding]:
    """Without known classes: clusters of the real images take their place, so only gross errors are named."""
    count = max(5, min(30, len(p.real) // 100, len(p.x) // 30))
    known = torch.cat([seen["real"][0], seen["held"][0]])  # (M, d)
    centres = clusters(seen["real"][0][:5000], count)
    mine, theirs = (
        torch.bincount(nearest_neighbours(features, centres)[1][:, 0], minlength=count).double() / len(features)
        for features in (seen["x"][0], known)
    )
    error = (theirs * (1 - theirs) * (1 / len(p.x) + 1 / len(known))).sqrt()
    names = tuple(f"cluster {k}" for k in range(count))
    yield from proportions(mine, mine, theirs, error, names, rare=0.2, least=0.25, few=0, many=math.inf, shift=0.35)


def proportions(
    mine: Tensor,
    counted: Tensor,
    theirs: Tensor,
    error: Tensor,
    names: Sequence[str],
    rare: float,
    least: float,
    few: float,
    many: float,
    shift: float,
) -> Iterator[Finding]:
    """Compare shares of kinds (K,) of samples and of real images; what is within three standard errors is chance.

    Kinds below `rare` times their share are missing, a collapse if they make up `least` of the real images. A kind is
    off below `few` or above `many` times its share, and all of them are if they differ by `shift` in total; so must
    say both estimates of the samples' shares, `mine` and `counted`, for images that are hard to read mislead the first.
    """
    ratio, counts = (x / theirs.clamp(min=1e-9) for x in (mine, counted))
    common = theirs > min(0.004, 0.4 / len(theirs))
    apart = ((mine - theirs).abs() > 3 * error + 0.25 * theirs) & common
    missing = apart & (ratio < rare)
    off = apart & (((ratio < few) & (counts < few)) | ((ratio > many) & (counts > many)))
    lost = theirs[missing].sum().item()
    if lost > least:
        kinds = ", ".join(names[k] for k in missing.nonzero().flatten().tolist())
        evidence = (
            Evidence("kinds of image that are hardly there", int(missing.sum()), "0"),
            Evidence("their share of the real images", lost, f"at most {least}"),
        )
        yield Finding("partial_collapse", grade(lost, 0.15, 0.4), evidence, f"Hardly there: {kinds}.")
        return
    variation = min(((x - theirs).abs().sum() / 2).item() for x in (mine, counted))
    if off.any() or variation > shift + 0.4 * error.sum():  # 0.4: E|normal| / 2
        worst = max(common.nonzero().flatten().tolist(), key=lambda k: abs(math.log(ratio[k] + 1e-9)))
        evidence = (
            Evidence(f"share of {names[worst]}, over that of the real images", ratio[worst].item(), "0.7 to 1.4"),
            Evidence("total variation between the proportions", variation, f"at most {shift}"),
        )
        yield Finding("mode_imbalance", grade(variation, 0.2, 0.35), evidence)


def obedience(p: Patient, logits: Tensor | None) -> Iterator[Finding]:
    """Are the images of the classes that were asked for?"""
    if p.labels is None:
        return
    if logits is None:
        p.notes.append("Whether G obeys its labels cannot be seen without a judge: give real_labels.")
        return
    values = torch.tensor(p.eyes.values)
    seen = values[logits.argmax(1)]
    obeyed = (seen == p.labels).double().mean().item()
    chance = (torch.bincount(p.labels).double() / len(seen)).square().sum().item()
    limit = min(0.7, 0.8 * p.eyes.accuracy)
    if obeyed < limit:
        healthy = f"above {limit:.2g}; chance is {chance:.2g}"
        evidence = Evidence("share of samples of the class that was asked for", obeyed, healthy)
        yield Finding("labels_ignored", grade(1 - obeyed, 0.5, 0.7), (evidence,))
