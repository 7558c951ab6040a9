"""What a curve has to look like to pass a sanity check (Räisä et al. 2025): thresholds on means over seeds.

A criterion takes the curve of a metric, (L,), one value for each setting, and says whether it passes. Where samples are
spread wider than the real examples, diversity may be called high (all is covered) or low (most samples are elsewhere);
then it says "high" or "low".
"""

from collections.abc import Callable, Sequence

import numpy as np

Verdict = bool | str
Criterion = Callable[[np.ndarray], Verdict]

CLOSE = 0.05  # to a value that is expected, or to a constant
SLACK = 0.1  # by which a curve may leave the shape that is expected
CLEAR = 0.2  # what it has to rise or fall at least


def near(target: float, at: int) -> Criterion:
    return lambda y: bool(abs(y[at] - target) <= CLOSE)


def level(y: np.ndarray) -> bool:
    return bool(np.ptp(y) <= CLOSE)


def settles(y: np.ndarray) -> bool:
    """Constant from the middle setting on."""
    return level(y[len(y) // 2 :])


def falls(y: np.ndarray) -> bool:
    return bool(y[0] - y[-1] >= CLEAR and y.max() - y[0] <= SLACK and y[-1] - y.min() <= SLACK)


def rises(y: np.ndarray) -> bool:
    return falls(y[::-1])


def falls_before(at: int) -> Criterion:
    """Falls, and some of it before the end."""
    return lambda y: falls(y) and bool(y[0] - y[at] >= SLACK)


def bell(y: np.ndarray) -> bool:
    """Highest in the middle, low at both ends, and at one of them lowest."""
    middle, ends = y[len(y) // 2], y[[0, -1]]
    return bool(middle - ends.max() >= CLEAR and y.max() - middle <= SLACK and ends.min() - y.min() <= SLACK)


def either(low: Criterion, high: Criterion) -> Criterion:
    return lambda y: "low" if low(y) else "high" if high(y) else False


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict from several: a metric that calls the same thing high here and low there fails."""
    kinds = {verdict for verdict in verdicts if isinstance(verdict, str)}
    if not all(verdicts) or len(kinds) > 1:
        return False
    return kinds.pop() if kinds else True
