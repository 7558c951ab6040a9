"""What the doctor says, as data: evidence, findings, the diagnosis. It prints as text and exports JSON."""

import json
import math
from dataclasses import dataclass

from gantutor.ailments import AILMENTS


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


def grade(value: float, moderate: float, severe: float) -> str:
    """How bad a value is, where larger is worse."""
    return "severe" if value >= severe else "moderate" if value >= moderate else "mild"
