"""What the doctor says, as data: evidence, findings and the diagnosis, which prints as text and exports JSON."""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple


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
        "02_mlp_gan",
    ),
    "range_mismatch": Ailment(
        "The pixel values are not on the scale of the real images, and this difference hides all others, from D too.",
        (
            "scale data and samples alike to [-1, 1]: x / 127.5 - 1 for bytes",
            "let G end in tanh, which gives [-1, 1]",
            "undo the scaling once, and only once, before you save or show images",
        ),
        "02_mlp_gan",
    ),
    "channel_order": Ailment(
        "The colour channels are in another order than those of the real images.",
        (
            "read and write images with the same library: OpenCV puts blue first, nearly all others red",
            "put the channels right with x[:, [2, 1, 0]] for (N, C, H, W), or x[..., ::-1] where they come last",
        ),
        "02_mlp_gan",
    ),
    "train_eval_gap": Ailment(
        "G makes different images in train mode and in eval mode, or other images than those given.",
        (
            "sample in eval mode, from the weights that were trained",
            "train longer, or with larger batches, so that batch norm's running statistics settle",
            "use G's own statistics with G's weights, and the averaged ones with the averaged weights",
        ),
        "02_mlp_gan",
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
    """One measured number, and the range in which it lies when all is well."""

    name: str
    value: float
    healthy: str  # such as "at most 0.1"

    def __str__(self) -> str:
        return f"{self.name}: {self.value:.3g} (healthy: {self.healthy})"


@dataclass(frozen=True)
class Finding:
    """One ailment that was found.

    Attributes:
        name: one of `AILMENTS`.
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
    """What `examine` found; a GAN without findings is healthy.

    Attributes:
        findings: the cause first.
        data: the real images that the samples were compared with.
        judge: the classifier, or other feature extractor, that they were seen by.
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

    def as_dict(self) -> dict[str, object]:
        """Plain lists, strings and numbers; a number that is not finite becomes None."""
        findings = [_as_dict(finding) for finding in self.findings]
        return {"data": self.data, "judge": self.judge, "notes": list(self.notes), "findings": findings}

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


def _as_dict(finding: Finding) -> dict[str, object]:
    evidence = [
        {"name": e.name, "value": e.value if math.isfinite(e.value) else None, "healthy": e.healthy}
        for e in finding.evidence
    ]
    return {
        "name": finding.name, "severity": finding.severity, "evidence": evidence, "meaning": finding.meaning,
        "try": list(finding.to_try), "lesson": finding.lesson,
    }  # fmt: skip


def grade(value: float, moderate: float, severe: float) -> str:
    """The severity of a value, where larger is worse."""
    return "severe" if value >= severe else "moderate" if value >= moderate else "mild"
