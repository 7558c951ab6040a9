"""What the doctor says, as data: evidence, findings and the diagnosis, which prints as text and exports JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gantutor.doctor.specimens import Specimens


class Ailment(NamedTuple):
    """What there is to say about an ailment in any GAN."""

    meaning: str
    to_try: tuple[str, ...]
    lesson: str  # the notebook that explains it


AILMENTS = {
    "non_finite": Ailment(
        "There are NaN or infinite values: the training has broken down, and nothing after that point can be trusted.",
        (
            "go back to the last sound checkpoint",
            "write losses on logits with softplus, not log of a sigmoid",
            "keep square roots in penalties away from 0, and use bf16 or fp32, not fp16",
            "lower the learning rates",
        ),
        "07_bug_museum",
    ),
    "divergence": Ailment(
        "A loss grows without end: the players no longer answer each other, and their outputs run away.",
        (
            "go back to a checkpoint from before the growth, and lower the learning rates",
            "bound D's slope: a gradient penalty, spectral norm, or clipped weights for a Wasserstein critic",
            "check the signs of the losses: D's and G's must pull in opposite directions",
        ),
        "01_minimax_game",
    ),
    "range_mismatch": Ailment(
        "The pixel values are not on the scale of the real images, and this difference hides all others, from D too.",
        (
            "scale data and samples alike to [-1, 1]: x / 127.5 - 1 for bytes",
            "let G end in tanh, which gives [-1, 1]",
            "undo the scaling once, and only once, before you save or show images",
        ),
        "07_bug_museum",
    ),
    "saved_wrongly": Ailment(
        "The samples were spoiled on the way to the file: G may be sound, and no training helps against this.",
        (
            "bring G's output from [-1, 1] to bytes in one place: ((x + 1) * 127.5).round().clamp(0, 255).byte()",
            "with save_image, write save_image(x, path, normalize=True, value_range=(-1, 1)), without scale_each",
            "(N, H, W, C) from (N, C, H, W) is x.permute(0, 2, 3, 1), never reshape, view or .T",
            "read one saved picture back, and compare it with the tensor that it was made from",
        ),
        "07_bug_museum",
    ),
    "channel_order": Ailment(
        "The colour channels are in another order than those of the real images.",
        (
            "read and write images with the same library: OpenCV puts blue first, nearly all others red",
            "put the channels right with x[:, [2, 1, 0]] for (N, C, H, W), or x[..., ::-1] where they come last",
        ),
        "07_bug_museum",
    ),
    "train_eval_gap": Ailment(
        "G makes different images in train mode and in eval mode, or other images than those given.",
        (
            "sample in eval mode, from the weights that were trained",
            "train longer, or with larger batches, so that batch norm's running statistics settle",
            "use G's own statistics with G's weights, and the averaged ones with the averaged weights",
        ),
        "07_bug_museum",
    ),
    "augmentation_leak": Ailment(
        "G draws what the augmentation did to its training images: it takes the changes for a part of the data.",
        (
            "augment real and generated images alike, in D's steps and in G's, and differentiably (DiffAugment)",
            "change each image with a probability below 0.8, as ADA does: then the unchanged ones stand out",
            "leave out what is not true of the data: turns, mirroring and other colours, if they do not occur there",
            "if only real images are augmented, nothing but mirroring is safe",
        ),
        "06_remedies",
    ),
    "total_collapse": Ailment(
        "All samples are the same image apart from noise: G ignores z.",
        (
            "take a checkpoint from before the collapse, and lower G's learning rate",
            "penalise D's gradient (R1), or let D see several samples at once (packing, minibatch std)",
            "check that z is drawn anew for every batch",
        ),
        "05_mode_collapse",
    ),
    "memorisation": Ailment(
        "Samples are copies of training images: they lie nearer to them than held-out images ever do.",
        (
            "train on more images, or augment them",
            "make G smaller, or stop earlier",
            "check that no real images got among the samples",
        ),
        "05_mode_collapse",
    ),
    "checkerboard": Ailment(
        "The images carry a regular pattern of a few pixels that real images do not have.",
        (
            "use a kernel size that is divisible by the stride (4 with stride 2), or resize and then convolve",
            "look for the pattern in G's output before any training: it comes from the architecture",
        ),
        "03_dcgan",
    ),
    "noisy": Ailment(
        "The images are rougher than real ones: they carry noise on single pixels.",
        (
            "train longer, and sample from averaged weights",
            "use a convolutional G: a fully connected one has to learn every pixel on its own",
            "check that no noise is added on the way to the file",
        ),
        "03_dcgan",
    ),
    "blurred": Ailment(
        "The images lack the fine detail of real ones.",
        (
            "make sure that D is trained on the images at full size",
            "use a stronger D, or a weaker penalty on it: a D that does not see fine detail cannot teach it",
            "look for a pixel loss (L1, L2) beside the adversarial one: it rewards averaging",
        ),
        "05_mode_collapse",
    ),
    "low_fidelity": Ailment(
        "Samples lie where real images do not: too many of them are not convincing as any class.",
        (
            "train longer, if the score still falls",
            "use a better pair of nets: convolutional, or conditional on the class",
            "sample from averaged weights",
            "check that samples and real images are of the same kind, and the same way up",
        ),
        "03_dcgan",
    ),
    "partial_collapse": Ailment(
        "G hardly ever makes some kinds of image, or it makes the same few images again and again.",
        (
            "penalise D's gradient (R1; relativistic loss with R1 and R2)",
            "let D see several samples at once: packing, minibatch standard deviation",
            "use a stronger D, or a larger batch",
        ),
        "05_mode_collapse",
    ),
    "mode_imbalance": Ailment(
        "All kinds of image are there, but not in the proportions of the data.",
        (
            "average G's weights, and lower the learning rates towards the end",
            "use packing, or a larger batch: D has to see proportions before it can teach them",
            "compare with the proportions of the data that G was really trained on",
        ),
        "05_mode_collapse",
    ),
    "labels_ignored": Ailment(
        "The images are not of the classes that were asked for.",
        (
            "check that real images and labels are shuffled together",
            "give D the labels too (projection), because otherwise nothing makes G obey them",
            "check that the label G gets is the one D sees with that image, and that class numbers start from 0",
        ),
        "04_conditional_gan",
    ),
    "discriminator_blind": Ailment(
        "D gives real images and samples the same logits, so it can teach G nothing.",
        (
            "check that D's optimizer holds D's weights, and that its step is taken",
            "check that real and generated images reach D, on the same scale, with the right targets",
            "raise D's learning rate, or weaken its penalty",
        ),
        "01_minimax_game",
    ),
    "discriminator_fooled": Ailment(
        "D has lost: it takes samples for real images, or real images for samples, and what it tells G is wrong.",
        (
            "check the targets, or the signs, of D's loss: they may be exchanged",
            "check that D's optimizer holds D's weights, that its step is taken, and that detach() is not on D's side",
            "raise D's learning rate, or train it more often",
        ),
        "01_minimax_game",
    ),
    "discriminator_overfitting": Ailment(
        "D has memorised its training images: it takes real images that it has not seen for generated ones.",
        (
            "train on more images, or augment what D sees, real and generated alike",
            "penalise D's gradient more (a larger gamma), or make D smaller",
            "stop when D's logits on held-out images fall",
        ),
        "06_remedies",
    ),
    "discriminator_saturated": Ailment(
        "D tells real from generated images without any doubt, so G no longer learns which way to go.",
        (
            "penalise D's gradient (R1), or lower D's learning rate",
            "use the non-saturating loss for G",
            "check whether the samples are off scale or collapsed, which makes D's task easy",
        ),
        "01_minimax_game",
    ),
    "instability": Ailment(
        "The training leaps up and down over the whole scale: each step overshoots.",
        (
            "divide both learning rates by ten, and by ten again if that is not enough (0.0002 suits most DCGANs)",
            "penalise D's gradient (R1)",
            "check the scale of the images: [-1, 1], not [0, 255]",
        ),
        "01_minimax_game",
    ),
    "sudden_change": Ailment(
        "From one step to the next the training is on another level: what changed was not what it learned.",
        (
            "if the run was resumed there, restore the optimizers, the averaged weights and the step too",
            "look for what else changed there: data, batch size, learning rate, precision, a phase of the schedule",
            "compare samples from before and after, with the same z",
        ),
        "09_scaling_up",
    ),
    "vanishing_generator_signal": Ailment(
        "The gradient that reaches G has all but vanished, so G stands still.",
        (
            "use the non-saturating loss: the minimax loss saturates where D is certain",
            "weaken D, or penalise its gradient",
            "check that no detach, no_grad or clamp cuts G off from its loss",
        ),
        "01_minimax_game",
    ),
    "oscillation": Ailment(
        "The players chase each other in circles instead of settling.",
        (
            "penalise D's gradient (R1), which turns the circle into a spiral",
            "lower the learning rates, and switch Adam's momentum off (beta1 = 0)",
            "average G's weights: the centre of the circle is better than its rim",
        ),
        "01_minimax_game",
    ),
}


@dataclass(frozen=True)
class Evidence:
    """One measured number, and the range in which it lies when all is well.

    Attributes:
        name: what was measured.
        value: what it is here; may be NaN or infinite.
        low, high: the ends of the healthy range, which belong to it; None where it is open.
        usual: the same number for real images, where they were measured too.
        context: told although it is not out of range, because it helps to understand the finding.
    """

    name: str
    value: float
    _: KW_ONLY
    low: float | None = None
    high: float | None = None
    usual: float | None = None
    context: bool = False

    @property
    def in_range(self) -> bool:
        """NaN never is."""
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)

    @property
    def healthy(self) -> str:
        """The healthy range in words, such as "0.6 to 1.4" or "at most 0.1; real images: 0.02"; may be empty."""
        low, high = (None if end is None else short(end) for end in (self.low, self.high))
        if low is None or high is None:
            text = f"at most {high}" if high else f"at least {low}" if low else ""
        else:
            text = low if low == high else f"{low} to {high}"
        real = "" if self.usual is None else f"real images: {short(self.usual)}"
        return "; ".join(filter(None, (text, real)))

    @property
    def deviation(self) -> str:
        """How far out of range, as "too high by a factor of 10" or "too low by 0.4"; empty if that says nothing."""
        if self.in_range or not math.isfinite(self.value):
            return ""
        side, end = ("high", self.high) if self.high is not None and self.value > self.high else ("low", self.low)
        if not end:  # the distance from 0 is the number itself
            return ""
        near, far = sorted((abs(self.value), abs(end)))
        if self.value * end > 0 and far >= 2 * near:
            return f"too {side} by a factor of {short(far / near, 2)}"
        return f"too {side} by {short(abs(self.value - end), 2)}"

    def __str__(self) -> str:
        remarks = [f"healthy: {self.healthy}" if self.healthy else "", self.deviation]
        aside = "; ".join(filter(None, remarks))
        return f"{self.name}: {short(self.value)}" + f" ({aside})" * bool(aside)

    def as_dict(self) -> dict[str, object]:
        numbers = {name: getattr(self, name) for name in ("value", "low", "high", "usual")}
        finite = {name: x if x is not None and math.isfinite(x) else None for name, x in numbers.items()}
        return {"name": self.name, **finite, "healthy": self.healthy, "context": self.context}


def short(x: float, digits: int = 3) -> str:
    """A number as people write it, with so many digits, or all before the point: 0.0123, 1.5, 12,345."""
    return f"{x:,.0f}" if 10**digits <= abs(x) < 1e9 else f"{x:.{digits}g}"


def telling(*evidence: Evidence) -> tuple[Evidence, ...]:
    """What tells something: the numbers that are out of range, and the context."""
    return tuple(each for each in evidence if each.context or not each.in_range)


@dataclass(frozen=True)
class Finding:
    """One ailment that was found.

    Attributes:
        name: one of `AILMENTS`.
        severity: "mild", "moderate" or "severe".
        evidence: what was measured and is out of range, and numbers marked as context.
        detail: what exactly was found, in a sentence; may be empty.
        since: the step of the training at which it began, if a curve shows it.
    """

    name: str
    severity: str
    evidence: tuple[Evidence, ...]
    detail: str = ""
    since: float | None = None

    @property
    def title(self) -> str:
        """Its name as a heading: "Partial collapse"."""
        return self.name.replace("_", " ").replace("non ", "non-").capitalize()

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
    """What `examine` found; a GAN without findings is healthy.

    Attributes:
        findings: the cause first.
        data: the real images that the samples were compared with; "" where only a log was examined.
        judge: the classifier, or other feature extractor, that they were seen by; "" as well.
        notes: what was done to the images and read in the log, or could not be examined, one sentence each.
        specimens: some of the images, for a report.
        curves: the curves of the training as (steps, values) by name, thinned to what a picture can show.
        open: what could not be decided, and what it would take: clauses that begin with "whether" or "what".
    """

    findings: tuple[Finding, ...]
    data: str
    judge: str
    notes: tuple[str, ...] = ()
    specimens: "Specimens | None" = field(default=None, compare=False, repr=False)
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(
        default_factory=dict, compare=False, repr=False
    )
    open: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return not self.findings

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(finding.name for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The diagnosis in a sentence: what the first finding means."""
        if self.findings:
            return AILMENTS[self.names[0]].meaning
        return "Healthy, as far as could be seen: nothing was found." if self.open else "Healthy: nothing was found."

    def as_dict(self) -> dict[str, object]:
        """Plain lists, strings and numbers; a number that is not finite becomes None."""
        findings = [_as_dict(finding) for finding in self.findings]
        return {"data": self.data, "judge": self.judge, "notes": list(self.notes), "open": list(self.open),
                "findings": findings}  # fmt: skip

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        seen = (
            f"Compared with {self.data}; seen by {self.judge}." if self.data else "Only the training log was examined."
        )
        lines = [seen, *self.notes]
        if self.healthy:
            lines.append(self.verdict)
        lines += [f"Left open: {question}." for question in self.open]
        for number, finding in enumerate(self.findings, 1):
            lines += ["", f"{number}. {finding.name} ({finding.severity})", f"   {finding.meaning}"]
            lines += [f"   since: step {finding.since:,.0f}"] if finding.since is not None else []
            lines += [f"   {'context' if each.context else 'evidence'}: {each}" for each in finding.evidence]
            lines += [f"   try: {advice}" for advice in finding.to_try]
            lines.append(f"   lesson: {finding.lesson}")
        return "\n".join(lines)


def _as_dict(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name, "severity": finding.severity, "since": finding.since,
        "evidence": [evidence.as_dict() for evidence in finding.evidence], "meaning": finding.meaning,
        "try": list(finding.to_try), "lesson": finding.lesson,
    }  # fmt: skip


def grade(value: float, moderate: float, severe: float) -> str:
    """The severity of a value, where larger is worse."""
    return "severe" if value >= severe else "moderate" if value >= moderate else "mild"
