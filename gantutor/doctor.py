"""The doctor: examine a GAN, anyone's, or only its samples; name what ails it, with evidence and what to try.

::

    diagnosis = doctor.examine(run.sample(2000), data.load("mnist"), held_out=data.load("mnist", "test"))
    print(diagnosis)

`intake` brings everything to one form, `symptoms` measures, `ailments` explains; this module judges. Each examination
is a function that looks at the measurements and yields findings. The limits were set on planted ailments and on healthy
generators, and are checked on others: `tests/ailments.py`, `tests/test_doctor.py`.
"""

import copy
import functools
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gantutor import metrics, symptoms
from gantutor.ailments import AILMENTS
from gantutor.errors import BadInput, reason, whole
from gantutor.intake import LEAST, Labels, Patient, Pictures, admit, alike, to_images
from gantutor.judge import Judge

CLOSE = 1500  # samples looked at closely: grain, copies, repetitions


@dataclass(frozen=True)
class Evidence:
    """One number, and where it lies when all is well."""

    name: str
    value: float
    healthy: str  # such as "at most 0.1"

    def __str__(self) -> str:
        return f"{self.name}: {self.value:.3g} (healthy: {self.healthy})"


@dataclass(frozen=True)
class Finding:
    """One ailment.

    Attributes:
        name: one of `ailments.AILMENTS`.
        severity: "mild", "moderate" or "severe".
        evidence: what was measured.
        detail: what exactly was found, in a sentence; may be empty.
    """

    name: str
    severity: str
    evidence: tuple[Evidence, ...]
    detail: str = ""

    @property
    def meaning(self) -> str:
        return f"{AILMENTS[self.name].meaning} {self.detail}".rstrip()

    @property
    def to_try(self) -> tuple[str, ...]:
        return AILMENTS[self.name].to_try

    @property
    def lesson(self) -> str:
        return AILMENTS[self.name].lesson


@dataclass(frozen=True)
class Diagnosis:
    """What `examine` found. No finding means healthy.

    Attributes:
        findings: the cause first.
        data: what the samples were compared with.
        judge: whose eyes they were seen with.
        notes: what was done to the images, or could not be examined, one sentence each.
    """

    findings: tuple[Finding, ...]
    data: str
    judge: str
    notes: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return not self.findings

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(finding.name for finding in self.findings)

    def as_dict(self) -> dict:
        """Plain lists, strings and numbers; a number that is not finite becomes None."""
        return {"data": self.data, "judge": self.judge, "findings": [_as_dict(finding) for finding in self.findings]}

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        lines = [f"Compared with {self.data}; seen by {self.judge}.", *self.notes]
        if self.healthy:
            lines.append("Healthy: nothing was found.")
        for number, finding in enumerate(self.findings, 1):
            lines += ["", f"{number}. {finding.name} ({finding.severity})", f"   {finding.meaning}"]
            lines += [f"   evidence: {evidence}" for evidence in finding.evidence]
            lines += [f"   try: {advice}" for advice in finding.to_try]
            lines.append(f"   lesson: {finding.lesson}")
        return "\n".join(lines)


def _as_dict(finding: Finding) -> dict:
    evidence = [
        {"name": e.name, "value": e.value if math.isfinite(e.value) else None, "healthy": e.healthy}
        for e in finding.evidence
    ]
    return {
        "name": finding.name, "severity": finding.severity, "evidence": evidence, "meaning": finding.meaning,
        "try": list(finding.to_try), "lesson": finding.lesson,
    }  # fmt: skip


def examine(
    samples: Pictures | None,
    real: Pictures,
    *,
    labels: Labels | None = None,
    real_labels: Labels | None = None,
    held_out: Pictures | None = None,
    judge: Judge | None = None,
    generator: Callable[[int], Tensor] | None = None,
    discriminator: Callable[[Tensor], Tensor] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Name what ails a GAN, with evidence, the cause first.

    Args:
        samples: generated images (N, C, H, W) or (N, H, W), 500 or more for good eyesight, at least 64; floats in
            [-1, 1] (another range is a finding) or bytes. None: 2,000 are taken from `generator`.
        real: real images (M, C, H, W), best the whole training set, for copies are looked for in it.
        labels: the classes that G was asked for, (N,), if it is conditional.
        real_labels: classes of the real images, (M,); `Images` bring them along.
        held_out: real images that were not trained on; without them a fifth of `real` is set apart.
        judge: a classifier of this data. Without one a shipped judge is taken where the data is known, else one is
            trained where labels are, else random convolutions have to do. The diagnosis says which.
        generator: n -> n images. What its nets make in train mode is compared with what they make in eval mode.
        discriminator: images (B, C, H, W) in [-1, 1] -> logits.
        history: numbers over the steps, by name: d_loss, g_loss, d_real and d_fake (logits or probabilities),
            g_grad_norm; others are looked at for NaN only.
        seed: of the doctor's own choices. The same seed gives the same diagnosis.

    Raises:
        BadInput: too few images, shapes that do not fit, a net that fails.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(whole("seed", seed))
        if samples is None:
            if generator is None:
                raise BadInput("there are neither samples nor a generator: give one of them.")
            samples = ask("generator", generator, 2000)
        if not isinstance(history or {}, Mapping):
            raise BadInput(f"history is a {type(history).__name__}: give a dict of lists, such as {{'d_loss': [...]}}.")
        p = admit(samples, real, labels, real_labels, held_out, judge)
        curves = {name: curve(name, values) for name, values in (history or {}).items()}
        findings = list(infinities(p, curves))
        if len(p.x) >= LEAST:
            findings += images(p)
            findings += modes(p, generator, sound=not findings)
        findings += verdicts(p, discriminator)
        findings += course(curves)
    order = list(AILMENTS)
    findings = {finding.name: finding for finding in reversed(findings)}.values()  # the first of each name
    ranked = sorted(findings, key=lambda finding: order.index(finding.name))
    return Diagnosis(tuple(ranked), p.data, p.eyes.name, tuple(p.notes))


def grade(value: float, moderate: float, severe: float) -> str:
    """How bad a value is, where larger is worse."""
    return "severe" if value >= severe else "moderate" if value >= moderate else "mild"


def exceeds(share: float, usual: float, n: int, m: int, least: float) -> bool:
    """Is a share of n samples above the usual one, seen in m real images, by `least` and by four standard errors?"""
    return share > usual + max(least, 4 * math.sqrt(max(usual, 1 / m) * (1 / n + 1 / m)))


# --- the images, by their pixels -------------------------------------------------------------------------------------


def infinities(p: Patient, curves: Mapping[str, Tensor]) -> Iterator[Finding]:
    ill = (~p.raw.flatten(1).isfinite().all(1)).double().mean().item()
    evidence = [Evidence("share of samples with NaN or infinite pixels", ill, "0")] if ill else []
    for name, values in curves.items():
        if not values.isfinite().all():
            first = int((~values.isfinite()).nonzero()[0]) + 1
            evidence.append(Evidence(f"first entry of {name} that is not finite", first, "none"))
    if evidence:
        yield Finding("non_finite", "severe", tuple(evidence))
    if len(p.x) < LEAST:
        p.notes.append(f"Only {len(p.x)} samples are finite: the others cannot be examined.")


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
    bits = low < high < -0.98  # bytes that hold 0 and 1
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
    mine, theirs = symptoms.levels(p.x[:CLOSE]), symptoms.levels(p.real[:CLOSE])
    if mine >= 0.2 * theirs or theirs < 50 or varied(p, p.x) < 0.06:
        return None
    evidence = Evidence("grey values between black and white, of 190", mine, f"about {theirs}, as for real images")
    return Finding("range_mismatch", "moderate", (evidence,), "They are rounded to few grey values.")


def rescaling(p: Patient) -> tuple[symptoms.Scale | None, float]:
    """The change of scale that makes the samples like real images, if one does, and how much of the gap it leaves.

    The gap is between the quantiles of the pixel values. What is undone must lie in [-1, 1] and be as varied as real
    images are: shrunk to black, anything fits. And it must bring the samples clearly nearer to real images.
    """
    x, there = p.x[:2000], p.real[:4000]
    usual = symptoms.distance_to(p.held[:500], there)
    values, before = symptoms.quantiles(p.real[:2000]), symptoms.distance_to(x[:500], there)
    gap, variety = (symptoms.quantiles(x) - values).abs().mean(), varied(p, x)
    best, least = None, 1.0
    if gap < 0.08:  # a wrong scale leaves 0.13 and more
        return best, least
    for candidate in symptoms.scales(x, p.real[:2000]):
        now = candidate.undo(x)
        left = ((symptoms.quantiles(now) - values).abs().mean() / gap).item()
        fits = left < 0.4 or candidate.a == -1
        if fits and left < least - 0.03 and candidate.outside(x) < 0.02 and 0.3 < varied(p, now) < 3:
            exact = left < 0.1 and gap > 0.1
            flat = exact and variety < 0.4 and 0.75 < varied(p, now) < 1.33  # dark images are near to other dark ones
            limit = 1.15 * usual if flat else min(0.75 * before, 1.35 * usual) if exact else 0.5 * before
            if symptoms.distance_to(now[:500], there) < limit:
                best, least = candidate, left
    return best, least


def varied(p: Patient, x: Tensor) -> float:
    """How much images differ, over how much held-out ones do."""
    return symptoms.spread(x) / symptoms.spread(p.held)


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
    everything = symptoms.Memory(p.train)
    others = everything if p.others is p.train else symptoms.Memory(p.others)
    mine, theirs = everything.copying(p.x[:1000]), others.copying(p.held[:1000])
    for limit, least in ((0.3, 0.01), (0.6, 0.03)):
        (share, n), (usual, m) = (symptoms.by_target(ratio < limit, nearest) for ratio, nearest in (mine, theirs))
        if exceeds(share, usual, n, m, least):
            evidence = Evidence(f"share of samples {1 / limit:.1f} times nearer to one training image than to the next",
                                share, f"about {usual:.2g}, as for held-out images")  # fmt: skip
            return Finding("memorisation", grade(share, 0.1, 0.5), (evidence,))
    return None


def texture(p: Patient) -> Iterator[Finding]:
    """Patterns, noise and blur."""
    x, real = p.x[:CLOSE], p.real[:4000]
    pattern, edges = symptoms.periodic(x, real), symptoms.blocks(x, real)
    grain, dead = symptoms.grain(x, real), symptoms.dead(x, real)
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
    if grain.high < -0.9 and grain.high - grain.middle < -0.7 and grain.corner < -1.2:
        evidence = Evidence("power of fine detail, over that of real images, as a logarithm", grain.high, "-0.6 to 0.6")
        yield Finding("blurred", grade(-grain.high, 2, 4), (evidence,))


# --- the images, by what they show -----------------------------------------------------------------------------------


Seen = Mapping[str, tuple[Tensor, Tensor | None]]  # of "x", "real" and "held": features and class logits


def contents(p: Patient, unspoiled: bool) -> Iterator[Finding]:
    """Are the images convincing, are all kinds there, and in due proportion?"""
    seen = {name: p.eyes.look(x) for name, x in (("x", p.x), ("real", p.real), ("held", p.held))}
    density, *findings = fidelity(p, seen)
    if unspoiled:
        yield from findings
    if (density >= 0.5 or not unspoiled) and (finding := repetitive(p)) is not None:
        yield finding
    if density >= 0.25:
        yield from (by_cluster if seen["x"][1] is None else by_class)(p, seen)
        yield from obedience(p, seen["x"][1])


def fidelity(p: Patient, seen: Seen) -> Iterator[float | Finding]:
    """The density of the samples among real images, over that of held-out ones; then a finding if they are strange.

    They are if they lie off the real images in pixels, or if precision, density and the judge's certainty together say
    so in features.
    """
    base, numbers = seen["real"][0][:4000], []
    strange = [symptoms.strangeness(x[:500], p.real[:8000]).median().item() for x in (p.x, p.held)]
    for name in ("x", "held"):
        mine, logits = (part if part is None else part[:2000] for part in seen[name])
        sure = [] if logits is None else [logits.softmax(1).amax(1).mean().item()]
        numbers.append(
            [metrics.precision_recall(base, mine).precision, metrics.density_coverage(base, mine).density, *sure]
        )
    shares = [a / max(b, 1e-6) for a, b in zip(*numbers, strict=True)]
    yield shares[1]
    off, convincing = strange[0] / max(strange[1], 0.8), sum(shares) / len(shares)  # less than 0.8: held-out copies
    if off > 1.18 or convincing < 0.65:
        names = "precision", "density", "certainty of the judge"
        evidence = [Evidence("distance to real images, over that of held-out ones", off, "0.9 to 1.15")]
        for name, value in zip(names, shares, strict=False):
            evidence.append(Evidence(f"{name}, over that of held-out images", value, "0.6 to 1.2"))
        yield Finding("low_fidelity", grade(max(off - 1, 1 - convincing), 0.35, 0.6), tuple(evidence))


def repetitive(p: Patient) -> Finding | None:
    """The same few images again and again, though there are several."""
    mine, theirs = symptoms.repeating(p.x[:CLOSE], p.real), symptoms.repeating(p.held[:CLOSE], p.real)
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
    mine, theirs = (symptoms.shares(logits, prior) for logits in (seen["x"][1], known))
    error = symptoms.share_errors(known, prior, theirs) * math.sqrt(1 + len(known) / len(p.x))
    names = p.eyes.classes or tuple(map(str, range(len(mine))))
    yield from proportions(mine, theirs, error, names, rare=0.12, least=0.02, few=0.45, many=1.8, shift=0.12)


def by_cluster(p: Patient, seen: Seen) -> Iterator[Finding]:
    """Without known classes: clusters of the real images take their place, so only gross errors are named."""
    count = max(5, min(30, len(p.real) // 100, len(p.x) // 30))
    known = torch.cat([seen["real"][0], seen["held"][0]])  # (M, d)
    centres = metrics.clusters(seen["real"][0][:5000], count)
    mine, theirs = (
        torch.bincount(metrics.neighbours(features, centres)[1][:, 0], minlength=count).double() / len(features)
        for features in (seen["x"][0], known)
    )
    error = (theirs * (1 - theirs) * (1 / len(p.x) + 1 / len(known))).sqrt()
    names = tuple(f"cluster {k}" for k in range(count))
    yield from proportions(mine, theirs, error, names, rare=0.2, least=0.25, few=0, many=math.inf, shift=0.35)


def proportions(
    mine: Tensor,
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
    off below `few` or above `many` times its share, and all of them are if they differ by `shift` in total.
    """
    ratio = mine / theirs.clamp(min=1e-9)
    apart = ((mine - theirs).abs() > 3 * error + 0.25 * theirs) & (theirs > 0.004)
    missing, off = apart & (ratio < rare), apart & ((ratio < few) | (ratio > many))
    lost = theirs[missing].sum().item()
    if lost > least:
        kinds = ", ".join(names[k] for k in missing.nonzero().flatten().tolist())
        evidence = (
            Evidence("kinds of image that are hardly there", int(missing.sum()), "0"),
            Evidence("their share of the real images", lost, f"at most {least}"),
        )
        yield Finding("partial_collapse", grade(lost, 0.15, 0.4), evidence, f"Hardly there: {kinds}.")
        return
    variation = ((mine - theirs).abs().sum() / 2).item()
    if off.any() or variation > shift + 0.4 * error.sum():  # 0.4: E|normal| / 2
        worst = max((theirs > 0.004).nonzero().flatten().tolist(), key=lambda k: abs(math.log(ratio[k] + 1e-9)))
        evidence = (
            Evidence(f"share of {names[worst]}, over that of the real images", ratio[worst].item(), "0.7 to 1.4"),
            Evidence("total variation between the proportions", variation, "at most 0.1"),
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
    if obeyed < 0.7:
        evidence = Evidence(
            "share of samples of the class that was asked for", obeyed, f"0.85 to 1; chance is {chance:.2g}"
        )
        yield Finding("labels_ignored", grade(1 - obeyed, 0.5, 0.7), (evidence,))


# --- the nets --------------------------------------------------------------------------------------------------------


def ask(name: str, net: Callable, argument: object) -> Tensor:
    """What a net of the user's makes of something, without gradients; its failure told in one sentence."""
    try:
        with torch.no_grad():
            answer = net(argument)
            answer = answer.detach().cpu() if isinstance(answer, Tensor) else answer
    except Exception as error:  # a stranger's net: anything may happen
        given = tuple(argument.shape) if isinstance(argument, Tensor) else argument
        raise BadInput(
            f"the {name} failed on {given} ({type(error).__name__}: {reason(error)}): mend it first."
        ) from error
    if not isinstance(answer, Tensor):
        raise BadInput(f"the {name} gave a {type(answer).__name__}: it must give a tensor.")
    return answer


def nets_of(function: Callable) -> list[nn.Module]:
    """The nets that a callable uses, as far as can be seen: itself, its object's, those that it refers to by name."""
    found, seen = [], set()

    def look(thing: object, depth: int) -> None:
        if id(thing) in seen or depth > 3:
            return
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            found.append(thing)
        elif isinstance(thing, functools.partial):
            for part in (thing.func, *thing.args, *thing.keywords.values()):
                look(part, depth + 1)
        elif inspect.ismethod(thing):
            look(thing.__self__, depth + 1)
            look(thing.__func__, depth + 1)
        elif inspect.isfunction(thing):
            names = inspect.getclosurevars(thing)
            for part in (*names.nonlocals.values(), *names.globals.values(), *(thing.__defaults__ or ())):
                look(part, depth + 1)
        elif isinstance(thing, list | tuple | dict):
            for part in thing.values() if isinstance(thing, dict) else thing:
                look(part, depth + 1)
        elif depth and hasattr(thing, "__dict__") and not inspect.ismodule(thing) and not inspect.isclass(thing):
            for part in vars(thing).values():
                if isinstance(part, nn.Module):
                    look(part, depth + 1)

    look(function, 0)
    return found


def modes(p: Patient, generator: Callable[[int], Tensor] | None, sound: bool) -> Iterator[Finding]:
    """Does the generator make in train mode what it makes in eval mode, and what was given as sound samples?"""
    if generator is None:
        return
    nets = nets_of(generator)
    count = min(1000, max(LEAST, len(p.x)))
    pictures = {}
    for name in ("train", "eval"):
        with in_mode(nets, name == "train"):
            torch.manual_seed(0)
            x = alike(to_images(ask("generator", generator, count), "the generator's images", []), p.real, [])
        if len(x) != count:
            raise BadInput(f"the generator gave {len(x)} images when {count} were asked for: mend it first.")
        pictures[name] = x
    if not all(x.isfinite().all() for x in pictures.values()):
        bad = [name for name, x in pictures.items() if not x.isfinite().all()]
        evidence = Evidence(f"share of finite images in {bad[0]} mode", finite_share(pictures[bad[0]]), "1")
        yield Finding("train_eval_gap" if len(bad) == 1 else "non_finite", "severe", (evidence,))
        return
    gap = unlike(p, pictures["train"], pictures["eval"])
    given = min(unlike(p, p.x[:count], x) for x in pictures.values())
    if gap > 0.12 or (given > 0.3 and sound):
        evidence = (
            Evidence(
                "Fréchet distance between train and eval mode, over the spread of real images", gap, "at most 0.1"
            ),
            Evidence("the same between the samples and the nearer mode", given, "at most 0.2"),
        )
        yield Finding("train_eval_gap", grade(max(gap, given), 0.3, 0.6), evidence)


def finite_share(x: Tensor) -> float:
    return x.flatten(1).isfinite().all(1).double().mean().item()


def unlike(p: Patient, a: Tensor, b: Tensor) -> float:
    """Fréchet distance between two sets of images in the eyes' features, over the summed variances of real ones."""
    spread = p.eyes.features(p.held).var(0).sum().item()
    return metrics.frechet(p.eyes.features(a.clamp(-1, 1)), p.eyes.features(b.clamp(-1, 1))) / spread


class in_mode:
    """Nets in train or eval mode inside the block; afterwards modes, weights and buffers are as before."""

    def __init__(self, nets: Sequence[nn.Module], training: bool):
        self.nets, self.training = nets, training

    def __enter__(self) -> None:
        self.before = [(module, module.training) for net in self.nets for module in net.modules()]
        self.states = [copy.deepcopy(net.state_dict()) for net in self.nets]
        for net in self.nets:
            net.train(self.training)

    def __exit__(self, *error: object) -> None:
        for net, state in zip(self.nets, self.states, strict=True):
            net.load_state_dict(state)
        for module, training in self.before:
            module.training = training


def verdicts(p: Patient, discriminator: Callable[[Tensor], Tensor] | None) -> Iterator[Finding]:
    """What D says to real images that it was trained on, to others, and to samples."""
    if discriminator is None or not len(p.x):
        return
    sets = {"real": p.real[:1000], "held": p.held[:1000], "fake": p.x[:1000]}
    logits = {name: logits_of(discriminator, x) for name, x in sets.items()}
    together = torch.cat([logits["real"], logits["fake"]])
    if not torch.cat(list(logits.values())).isfinite().all():
        yield Finding(
            "non_finite", "severe", (Evidence("share of finite logits of D", finite_share(together[:, None]), "1"),)
        )
        return
    told, known = (symptoms.separation(logits[name], logits["fake"]) for name in ("held", "real"))
    recognised = symptoms.separation(logits["real"], logits["held"])
    spread = together.std().item()
    sighted = symptoms.separation(logits["real"], logits_of(discriminator, symptoms.halved(sets["real"])))
    told_apart = Evidence("share of pairs in which D rates the real image above the sample", known, "0.5 to 0.95")
    if spread < 0.05 or (abs(known - 0.5) < 0.1 and sighted < 0.65) or known < 0.2:
        evidence = (
            told_apart,
            Evidence("the same against images put together from the halves of two real ones", sighted, "0.8 to 1"),
            Evidence("standard deviation of D's logits", spread, "above 0.1"),
        )
        yield Finding("discriminator_blind", "severe", evidence)
    elif recognised > 0.7:
        evidence = (
            Evidence(
                "share of pairs in which D rates a training image above a held-out one", recognised, "0.45 to 0.6"
            ),
            Evidence("share of pairs in which D rates a held-out image above a sample", told, "0.5 to 0.95"),
        )
        yield Finding("discriminator_overfitting", grade(recognised, 0.8, 0.9), evidence)
    elif certain(logits["held"].median(), logits["fake"].median()) and told > 0.98:
        evidence = (
            told_apart,
            Evidence("D's median probability for real images", logits["held"].median().sigmoid().item(), "below 0.95"),
            Evidence("D's median probability for samples", logits["fake"].median().sigmoid().item(), "above 0.05"),
        )
        yield Finding("discriminator_saturated", "severe", evidence)


def certain(real: Tensor, fake: Tensor) -> bool:
    """Are these logits beyond doubt, 95% or more on both sides?"""
    return real.item() > math.log(19) and fake.item() < -math.log(19)


def logits_of(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """D's logits (N,), float64; its nets are asked in eval mode and on their own device."""
    nets = nets_of(discriminator)
    weight = next((parameter for net in nets for parameter in net.parameters()), x)
    with in_mode(nets, False):
        parts = [ask("discriminator", discriminator, part.to(weight)).flatten() for part in x.split(200)]
    logits = torch.cat(parts).double()
    if not len(logits):
        raise BadInput("the discriminator gave nothing: it must give one logit for each image.")
    return logits


# --- the course of training ------------------------------------------------------------------------------------------


def curve(name: str, values: Sequence[float | None]) -> Tensor:
    """One series of the history, float64 (T,), without the steps at which it was not measured (None)."""
    try:
        numbers = [value.item() if isinstance(value, Tensor) else value for value in values]
        return torch.tensor([float(number) for number in numbers if number is not None], dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(
            f"history[{name!r}] is no series of numbers: give a list of floats, one for each step."
        ) from None


def course(curves: Mapping[str, Tensor]) -> Iterator[Finding]:
    """What the curves of a training show. They need 40 finite entries."""
    curves = {name: values for name, values in curves.items() if len(values) >= 40 and values.isfinite().all()}
    yield from duel(curves)
    if "g_grad_norm" in curves:
        early, late = symptoms.windows(curves["g_grad_norm"])
        highest = curves["g_grad_norm"].max().item()
        if late < 0.01 * max(early, 0.1 * highest) or late < 1e-6:
            evidence = Evidence("norm of G's gradient, last quarter over first", late / max(early, 1e-30), "above 0.05")
            yield Finding("vanishing_generator_signal", "severe", (evidence,))
    swings = {name: symptoms.swing(values) for name, values in curves.items() if name in SWINGING}
    name, worst = max(swings.items(), key=lambda item: item[1].share, default=("", None))
    if worst is not None and worst.share > 0.4 and worst.excess > 14 and worst.amplitude > 0.02:
        evidence = (
            Evidence(f"share of the variance of {name} that is one regular swing", worst.share, "at most 0.3"),
            Evidence("cycles in the whole curve", worst.cycles, "none"),
        )
        yield Finding("oscillation", grade(worst.share, 0.6, 0.8), evidence)


SWINGING = ("d_loss", "g_loss", "d_real", "d_fake")


def duel(curves: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Is D too sure, or as good as absent?"""
    if "d_loss" in curves:
        losses = curves["d_loss"]
        late = symptoms.windows(losses)[1]
        if losses.min() >= 0 and late < 0.05:
            yield Finding("discriminator_saturated", "severe", (Evidence("D's loss at the end", late, "0.3 to 1.4"),))
            return
        if losses.std() < 1e-3:
            evidence = Evidence("standard deviation of D's loss over the training", losses.std().item(), "above 0.01")
            yield Finding("discriminator_blind", "severe", (evidence,))
            return
    if {"d_real", "d_fake"} <= set(curves):
        real, fake = (as_logits(curves[name], curves) for name in ("d_real", "d_fake"))
        spread = torch.cat([real, fake]).std().item()
        if spread < 1e-3:
            evidence = Evidence("standard deviation of D's logits over the training", spread, "above 0.1")
            yield Finding("discriminator_blind", "severe", (evidence,))
        elif certain(real[-len(real) // 4 :].median(), fake[-len(fake) // 4 :].median()):
            evidence = tuple(
                Evidence(
                    f"D's probability for {what}, at the end", side[-len(side) // 4 :].median().sigmoid().item(), limits
                )
                for what, side, limits in (("real images", real, "below 0.95"), ("samples", fake, "above 0.05"))
            )
            yield Finding("discriminator_saturated", "severe", evidence)


def as_logits(values: Tensor, curves: Mapping[str, Tensor]) -> Tensor:
    """Logits as they are; numbers that all lie in [0, 1] are taken for probabilities."""
    both = torch.cat([curves["d_real"], curves["d_fake"]])
    return torch.logit(values, eps=1e-6) if both.min() >= 0 and both.max() <= 1 else values
