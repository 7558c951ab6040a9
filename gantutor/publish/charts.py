"""Charts as HTML and SVG that grow with the page, take their colours from its style, and tell in words what they show.

`gauge` shows a number beside its healthy range, `plot` a curve of a training. `STYLE` belongs into the page; the
colours in it are the page's own variables.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from string import ascii_uppercase
from typing import TYPE_CHECKING, NamedTuple

from gantutor.doctor.findings import short

if TYPE_CHECKING:
    from gantutor.doctor import Evidence

STYLE = """
.gauge svg { display: block; overflow: visible; }
.gauge .track { fill: var(--line); }
.gauge .band { fill: var(--good); }
.gauge .usual { stroke: var(--ink); stroke-width: 2; }
.gauge .value { fill: var(--bad); stroke: var(--paper); stroke-width: 2; }
.gauge.context .value { fill: var(--soft); }
.gauge text { fill: var(--soft); font-size: 0.8rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem 2rem; }
.plot { margin: 0; break-inside: avoid; }
.plot .frame { position: relative; height: 11rem; margin: 1.3rem 0.4rem 0 3.4rem; }
.plot svg { position: absolute; width: 100%; height: 100%; overflow: visible; }
.plot polyline, .plot line { fill: none; vector-effect: non-scaling-stroke; }
.plot .grid { stroke: var(--line); }
.plot .raw { stroke-width: 1; opacity: 0.4; }
.plot .mean { stroke-width: 2; }
.plot .D { stroke: var(--real); } .plot .G { stroke: var(--fake); } .plot .other { stroke: var(--ink); }
.plot .broken { stroke: var(--bad); stroke-width: 1; }
.plot .when { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; }
.plot .frame span { position: absolute; font-size: 0.8rem; line-height: 1; color: var(--soft); white-space: nowrap; }
.plot .y { right: 100%; margin-right: 0.5rem; transform: translateY(-50%); }
.plot .frame .moment { color: var(--bad); font-weight: 650; bottom: 100%; transform: translateX(-50%);
                       padding-bottom: 0.2rem; }
.moments { list-style: none; padding: 0; color: var(--bad); }
.plot .steps { display: flex; justify-content: space-between; margin: 0.3rem 0.4rem 0 3.4rem; font-size: 0.8rem;
               color: var(--soft); }
"""
WIDTH, HEIGHT = 1000, 200  # of a plot, in units of its own


# --- a number and its healthy range ----------------------------------------------------------------------------------


def gauge(evidence: "Evidence") -> str:
    """A bar with the healthy range, a dot where the value is, and a stroke where real images are."""
    left, right = span(evidence)

    def place(x: float) -> float:
        share = (x - left) / (right - left) if math.isfinite(x) else float(x > 0)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    start = 0.0 if evidence.low is None else place(evidence.low)
    end = 100.0 if evidence.high is None else place(evidence.high)
    start, end = min(start, 98.5), max(end, min(start, 98.5) + 1.5)  # a range of one value can be seen, too
    parts = ['<rect class="track" y="7" width="100%" height="6" rx="3"/>']
    if evidence.healthy:
        parts.append(f'<rect class="band" x="{start}%" y="5" width="{end - start:.2f}%" height="10" rx="3"/>')
    if evidence.usual is not None:
        x = place(evidence.usual)
        parts.append(f'<line class="usual" x1="{x}%" x2="{x}%" y1="2" y2="18"/>')
    if not math.isnan(evidence.value):
        parts.append(f'<circle class="value" cx="{place(evidence.value)}%" cy="10" r="7"/>')
    parts += ticks_of_a_range(evidence, start, end)
    kind = "gauge context" if evidence.context else "gauge"
    picture = f'<svg width="100%" height="34" aria-hidden="true">{"".join(parts)}</svg>'
    return f'<div class="{kind}" role="img" aria-label="{escape(str(evidence))}">{picture}</div>'


def span(evidence: "Evidence") -> tuple[float, float]:
    """The ends of a gauge: it shows the value, the healthy range with some room where it is open, and 0 if not far."""
    told = (evidence.value, evidence.low, evidence.high, evidence.usual)
    points = [float(x) for x in told if x is not None and math.isfinite(x)] or [0.0]
    low, high = min(points), max(points)
    positive = low >= 0
    low = 0.0 if positive and low < high / 2 else low
    room = 0.25 * (high - low or abs(high) or 1.0)
    low -= room * (evidence.low is None or evidence.value < evidence.low)
    high += room * (evidence.high is None or evidence.value > evidence.high)
    low = max(low, 0.0) if positive else low
    return low, max(high, low + room)


def ticks_of_a_range(evidence: "Evidence", start: float, end: float) -> Iterator[str]:
    """The numbers at the ends of a healthy range, beside each other where it is narrow."""
    ends = {start: evidence.low, end: evidence.high}
    if evidence.low == evidence.high:
        ends = {start: evidence.low}
    for place, number in ends.items():
        if number is not None:
            narrow = len(ends) == 2 and None not in ends.values() and end - start < 12
            first = place == start and narrow
            anchor = "end" if place > 94 or first else "start" if place < 6 or narrow else "middle"
            yield f'<text x="{place}%" y="32" text-anchor="{anchor}">{short(number)}</text>'


# --- the curves of a training ----------------------------------------------------------------------------------------


def plots(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], moments: Mapping[str, float] | None = None
) -> str:
    """Each curve in a frame of its own, because their scales differ, with the moments marked in all of them.

    Args:
        curves: {name: (steps, values)}, the steps in order. Values that are not finite are marked.
        moments: {what happened: at which step}, at most 26.
    """
    in_order = sorted((moments or {}).items(), key=lambda moment: moment[1])
    named = [(letter, what, step) for letter, (what, step) in zip(ascii_uppercase, in_order, strict=False)]
    items = "".join(f"<li><b>{letter}</b> step {short(step)}: {escape(what)}</li>" for letter, what, step in named)
    marks = {letter: step for letter, _, step in named}
    legend = f'<ul class="moments">{items}</ul>' if items else ""
    frames = "".join(plot(name, *curve, marks) for name, curve in curves.items())
    return f'{legend}<div class="plots">{frames}</div>'


def plot(name: str, steps: Sequence[float], values: Sequence[float], marks: Mapping[str, float]) -> str:
    """One curve, pale with its running mean on top; see `plots`."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return f"<p>{escape(name)}: none of its values is finite.</p>"
    frame = Frame.around(steps, finite)
    marks = {letter: step for letter, step in marks.items() if frame.first <= step <= frame.last}
    lines = [*frame.grid(), *drawn(frame, whose(name), steps, values), *map(frame.upright("when"), marks.values())]
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{"".join(lines)}</svg>'
    note = "; logarithmic scale" * frame.log
    note += "; the strokes at the bottom mark values that are not finite" * (len(finite) < len(values))
    told = f"{name} from step {short(frame.first)} to {short(frame.last)}: {short(finite[0])} at first, "
    told += f"{short(finite[-1])} at the end, between {short(min(finite))} and {short(max(finite))}{note}"
    return (
        f'<figure class="plot"><figcaption><b>{escape(name)}</b>{note}</figcaption>'
        f'<div class="frame" role="img" aria-label="{escape(told)}">{svg}{"".join(frame.labels(marks))}</div>'
        f'<div class="steps"><span>step {short(frame.first)}</span><span>{short(frame.last)}</span></div></figure>'
    )


class Frame(NamedTuple):
    """The axes of a plot: its first and last step, its lowest and highest value, and whether the values' is a log."""

    first: float
    last: float
    low: float
    high: float
    log: bool

    @classmethod
    def around(cls, steps: Sequence[float], finite: Sequence[float]) -> "Frame":
        low, high = min(finite), max(finite)
        ordered = sorted(finite)
        usual_low, usual_high = ordered[len(ordered) // 50], ordered[-1 - len(ordered) // 50]
        log = low > 0 and usual_high > 300 * usual_low
        if not log and low >= 0 and low < high / 2:
            low = 0.0
        return cls(steps[0], steps[-1], low, high if high > low else low + (abs(low) or 1.0), log)

    def x(self, step: float) -> float:
        share = (step - self.first) / ((self.last - self.first) or 1)
        return round(WIDTH * min(max(share, 0.0), 1.0), 1)

    def y(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return round(HEIGHT * (high - value) / (high - low), 1)

    def ticks(self) -> list[float]:
        """Two to six round numbers on the axis of the values; powers of ten where it is logarithmic."""
        if self.log:
            ends = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(ends[0], ends[1] + 1, 1 + (ends[1] - ends[0]) // 5)]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        return [k * step for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]

    def grid(self) -> Iterator[str]:
        for tick in self.ticks():
            yield f'<line class="grid" x1="0" x2="{WIDTH}" y1="{self.y(tick)}" y2="{self.y(tick)}"/>'

    def upright(self, kind: str, top: int = 0) -> Callable[[float], str]:
        """Draws an upright line at a step."""

        def line(step: float) -> str:
            return f'<line class="{kind}" x1="{self.x(step)}" x2="{self.x(step)}" y1="{top}" y2="{HEIGHT}"/>'

        return line

    def labels(self, marks: Mapping[str, float]) -> Iterator[str]:
        for tick in self.ticks():
            yield f'<span class="y" style="top: {self.y(tick) / HEIGHT:.1%}">{short(tick)}</span>'
        for letter, step in marks.items():
            yield f'<span class="moment" style="left: {self.x(step) / WIDTH:.1%}">{letter}</span>'


def drawn(frame: Frame, kind: str, steps: Sequence[float], values: Sequence[float]) -> Iterator[str]:
    """Its finite stretches, pale, with their running mean on top; a short stroke where a value is not finite."""
    for finite, points in groupby(zip(steps, values, strict=True), key=lambda point: math.isfinite(point[1])):
        along, stretch = map(list, zip(*points, strict=True))
        if not finite:
            yield from map(frame.upright("broken", HEIGHT - 20), along)
            continue
        for style, heights in (("raw", stretch), ("mean", smooth(stretch))):
            path = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in zip(along, heights, strict=True))
            yield f'<polyline class="{style} {kind}" points="{path}"/>'


def smooth(values: Sequence[float]) -> list[float]:
    """The mean over a 40th of the values around each; up to 100 values stay as they are."""
    reach = len(values) // 80 if len(values) > 100 else 0
    near = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return [sum(part) / len(part) for part in near]


def whose(name: str) -> str:
    """ "D", "G" or "other": blue is for D and what is real, orange for G and what is generated."""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]", name)}
    if {"g", "gen", "generator", "fake"} & words:
        return "G"
    return "D" if {"d", "disc", "discriminator", "critic", "real"} & words else "other"
