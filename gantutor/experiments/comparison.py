"""Do two rows of an experiment differ, and by how much? Intervals and tests for a handful of seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gantutor.errors import BadInput, real_number

Values = Sequence[float] | np.ndarray

NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)


class Difference(NamedTuple):
    """The mean of `a` minus the mean of `b`, with its confidence interval."""

    difference: float
    low: float
    high: float
    p: float  # of Welch's test that the means are equal, two-sided; Holm's correction included where there are several

    def __str__(self) -> str:
        return f"{self.difference:+.3g} ({self.low:+.3g} to {self.high:+.3g}), p = {self.p:.2g}"


def compare(a: Values, b: Values, confidence: float = 0.95) -> Difference:
    """Welch's comparison of two means, for samples of different variances (Welch 1947).

    Args:
        a, b: one value for each seed, at least two of each.
        confidence: of the interval, between 0 and 1.

    Raises:
        BadInput: there are fewer than two values, or one is not finite.
    """
    a, b = checked("a", a), checked("b", b)
    variances = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error, difference = math.sqrt(sum(variances)), float(a.mean() - b.mean())
    if error == 0:
        return Difference(difference, difference, difference, 1.0 if difference == 0 else 0.0)
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / (len(a) - 1) + variances[1] ** 2 / (len(b) - 1))
    reach = error * t_quantile(confidence, freedom)
    p = 2 * (1 - t_below(abs(difference) / error, freedom))
    return Difference(difference, difference - reach, difference + reach, p)


def compare_all(rows: Mapping[str, Values], base: str, confidence: float = 0.95) -> dict[str, Difference]:
    """Each row minus the row `base`; the p of all of them together corrected as in Holm (1979).

    After the correction, the chance that any p is at most α although its row equals the base is at most α. The
    intervals are not widened: each holds for its row alone.

    Raises:
        BadInput: as `compare`, or there is no such base.
    """
    if base not in rows:
        raise BadInput(f"the base is {base!r}, which is none of the rows: {', '.join(rows)}.")
    found = {name: compare(values, rows[base], confidence) for name, values in rows.items() if name != base}
    corrected = holm([difference.p for difference in found.values()])
    return {name: found[name]._replace(p=p) for name, p in zip(found, corrected, strict=True)}


def holm(p: Sequence[float]) -> list[float]:
    """The p-values of several tests, corrected for their number: step-down Bonferroni (Holm 1979)."""
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = least
    return corrected


def interval(values: Values, confidence: float = 0.95) -> tuple[float, float, float]:
    """Student's confidence interval of the mean: (mean, low, high).

    Raises:
        BadInput: there are fewer than two values, or one is not finite.
    """
    x = checked("values", values)
    reach = t_quantile(confidence, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return float(x.mean()), float(x.mean()) - reach, float(x.mean()) + reach


# --- Student's distribution ------------------------------------------------------------------------------------------


def t_below(t: float, freedom: float) -> float:
    """The probability that Student's t with `freedom` > 0 degrees of freedom is below t ≥ 0.

    With t = √freedom · tan θ the density becomes cos^(freedom − 1) θ, up to its constant: smooth, on a finite interval.
    """
    half = math.atan(t / math.sqrt(freedom)) / 2
    integral = half * float(WEIGHTS @ np.cos(half * (NODES + 1)) ** (freedom - 1))
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return 0.5 + constant * integral


def t_quantile(confidence: float, freedom: float) -> float:
    """The t > 0 between whose negative and itself Student's t lies with this probability."""
    confidence = real_number("confidence", confidence, above=0, below=1)
    low, high = 0.0, 1.0
    while 2 * t_below(high, freedom) - 1 < confidence:
        high *= 2
    for _ in range(60):  # halves the interval each time
        middle = (low + high) / 2
        low, high = (middle, high) if 2 * t_below(middle, freedom) - 1 < confidence else (low, middle)
    return (low + high) / 2


def checked(name: str, values: Values) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise BadInput(f"{name} is {values!r}: give at least two finite numbers, one for each seed.")
    return x
