"""A diagnosis as a page that one can read, print and send: one file, without a script and without a network.

publish.write_report(doctor.examine(samples, real), "report.html")
"""

import base64
import io
import math
import os
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from gantutor import __version__
from gantutor.files import replacing
from gantutor.publish import charts

if TYPE_CHECKING:
    from torch import Tensor

    from gantutor.doctor import Diagnosis, Evidence, Finding
    from gantutor.doctor.specimens import Specimens

SHEET = 510  # pixels of the page that a sheet of images is wide at most
CELL = 84  # and each image at least, if it is not larger itself
FINE = {"checkerboard", "noisy", "blurred"}  # findings that are seen from near
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
STYLE = """
:root { --ink: #1d2433; --soft: #5a6376; --paper: #ffffff; --panel: #f5f7fa; --line: #dce1e9; --good: #7fd1b0;
        --bad: #b23c00; --real: #0072b2; --fake: #d55e00; --link: #0057a8;
        --mild: #1f6f9f; --moderate: #8a5a00; --severe: #b23c00; --healthy: #00714f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #a7b0c0; --paper: #14181f; --panel: #1d232d; --line: #37404e; --good: #1f7a5c;
          --bad: #ff9a5c; --real: #56b4e9; --fake: #ff8a3d; --link: #8cc8ff;
          --mild: #7cc4ee; --moderate: #f0b84a; --severe: #ff9a5c; --healthy: #5fd3a8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1.25rem 3rem; color: var(--ink); background: var(--paper);
       overflow-wrap: anywhere;
       font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: clamp(1.5rem, 4vw, 2.2rem); line-height: 1.2; margin: 0.3rem 0 0.8rem; text-wrap: balance; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 0.6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 0.5rem; }
p, ol, ul { margin: 0.5rem 0; max-width: 46rem; text-wrap: pretty; }
li::first-letter { text-transform: uppercase; }
a { color: var(--link); }
header { border-left: 0.5rem solid var(--severity); padding: 0.1rem 0 0.1rem 1.25rem; }
section { margin-top: 2.5rem; }
.kicker, .about, figcaption, .range { color: var(--soft); font-size: 0.9rem; }
.kicker { margin: 0; }
.mild { --severity: var(--mild); } .moderate { --severity: var(--moderate); }
.severe { --severity: var(--severe); } .healthy { --severity: var(--healthy); }
.badge { display: inline-block; border: 1px solid var(--severity); color: var(--severity); border-radius: 1rem;
         padding: 0 0.7rem; font-size: 0.85rem; font-weight: 600; line-height: 1.6; vertical-align: middle; }
nav ol { list-style: none; display: flex; flex-wrap: wrap; gap: 0.4rem 1.5rem; padding: 0; max-width: none; }
.finding { border: 1px solid var(--line); border-top: 4px solid var(--severity); border-radius: 6px;
           padding: 1.25rem 1.5rem 1.5rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 0 3rem; }
.sheets { display: flex; flex-wrap: wrap; gap: 1.25rem 2rem; margin-top: 0.8rem; }
figure { margin: 0; max-width: 100%; break-inside: avoid; }
figcaption { margin-bottom: 0.35rem; }
figcaption b { color: var(--ink); }
img { display: block; max-width: 100%; height: auto; image-rendering: pixelated; }
.pairs { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 0.8rem; }
.pairs img { outline: 2px solid var(--fake); margin: 2px; }
.pairs img + img { outline-color: var(--real); margin-top: 0.5rem; }
.key::before { content: ""; display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.35em;
               border: 2px solid var(--key); }
.evidence { list-style: none; padding: 0; max-width: none; }
.evidence li { margin: 0 0 1.1rem; break-inside: avoid; }
.evidence li:last-child { margin: 0; }
.number { font-weight: 650; white-space: nowrap; }
.deviation { color: var(--bad); }
.range { margin: 0; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.35rem 1.5rem; margin: 0.5rem 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
code { font: 0.9em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: 0; padding: 0.6rem 0.9rem; background: var(--panel); border-radius: 6px; white-space: pre-wrap; }
@media (max-width: 40rem) { .finding { padding: 1rem; } dl { grid-template-columns: 1fr; gap: 0; }
                            dd { margin-bottom: 0.6rem; } }
@media print {
  @page { margin: 1.6cm; }
  :root { --ink: #000; --soft: #444; --paper: #fff; --panel: #f2f2f2; --line: #ccc; --good: #8fd3b8; --bad: #a33600;
          --real: #0072b2; --fake: #d55e00; --link: #000;
          --mild: #1f6f9f; --moderate: #8a5a00; --severe: #a33600; --healthy: #00714f; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  html { font-size: 10pt; }
  body { padding: 0; max-width: none; }
  .columns, .plots { grid-template-columns: 1fr 1fr; }
  section { margin-top: 1.5rem; }
  h2, h3 { break-after: avoid; }
  .sheets figure { max-width: 48%; } .sheets { gap: 1rem 2%; flex-wrap: nowrap; }
  .pairs { gap: 0.6rem; } .pairs img { max-width: 22mm; }
  nav { display: none; } }
"""


def write_report(diagnosis: "Diagnosis", path: str | os.PathLike, *, command: str = "") -> Path:
    """Write a diagnosis as one HTML file that needs nothing else, and return its path.

    Args:
        diagnosis: what `doctor.examine` returns.
        command: the command line that made it, which the report repeats.

    Raises:
        BadInput: the file cannot be written.
    """
    path = Path(path)
    text = report_html(diagnosis, command=command)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def report_html(diagnosis: "Diagnosis", *, command: str = "") -> str:
    """The same as a text."""
    parts = [heading(diagnosis)]
    if diagnosis.specimens is not None:
        parts.append(sheets(diagnosis.specimens))
    parts += [section(number, finding, diagnosis) for number, finding in enumerate(diagnosis.findings, 1)]
    if diagnosis.curves:
        moments = {finding.title: finding.since for finding in diagnosis.findings if finding.since is not None}
        parts.append(f"<section><h2>The training</h2>{charts.plots(diagnosis.curves, moments)}</section>")
    parts.append(origin(diagnosis, command))
    body = "\n".join([parts[0], "<main>", *parts[1:], "</main>"])
    return PAGE.format(title=escape(f"Diagnosis: {diagnosis.verdict}"), style=STYLE + charts.STYLE, body=body)


def heading(diagnosis: "Diagnosis") -> str:
    """The verdict, what to try first, and links to the findings."""
    findings = diagnosis.findings
    severity = findings[0].severity if findings else "healthy"
    count = f"{diagnosis.specimens.given:,} samples, compared" if diagnosis.specimens else "Compared"
    about = f"{count} with {diagnosis.data}; seen by {diagnosis.judge}." if diagnosis.data else "Of its training log."
    detail = f"<p>{escape(findings[0].detail)}</p>" if findings and findings[0].detail else ""
    first = f"<p><b>Try first:</b> {escape(findings[0].to_try[0])}.</p>" if findings else ""
    left_open = "".join(f"<p><b>Left open:</b> {escape(question)}.</p>" for question in diagnosis.open)
    links = "".join(f'<li class="{finding.severity}"><a href="#finding-{number}">{number}. {finding.title}</a> '
                    f"{badge(finding)}</li>" for number, finding in enumerate(findings, 1))  # fmt: skip
    contents = f'<nav aria-label="Findings"><ol>{links}</ol></nav>' if findings else ""
    return (f'<header class="{severity}"><p class="kicker">Diagnosis of a GAN</p><h1>{escape(diagnosis.verdict)}</h1>'
            f'{detail}{first}{left_open}<p class="about">{escape(about)}</p>{contents}</header>')  # fmt: skip


def badge(finding: "Finding") -> str:
    return f'<span class="badge">{finding.severity}</span>'


def section(number: int, finding: "Finding", diagnosis: "Diagnosis") -> str:
    """One finding: what it means, what it looks like, the evidence, and what to try."""
    specimens, pictures = diagnosis.specimens, ""
    if specimens is not None and len(specimens.copies) and finding.name == "memorisation":
        pictures = pairs(specimens)
    elif specimens is not None and len(specimens.details) and finding.name in FINE:
        pictures = close_up(specimens)
    since = f" It begins at step {finding.since:,.0f}." if finding.since is not None else ""
    evidence = "".join(f"<li>{measured(each)}</li>" for each in finding.evidence if not each.context)
    context = "".join(f"<li>{measured(each)}</li>" for each in finding.evidence if each.context)
    remedies = "".join(f"<li>{escape(advice)}</li>" for advice in finding.to_try)
    return (
        f'<section class="finding {finding.severity}" id="finding-{number}">'
        f"<h2>{number}. {finding.title} {badge(finding)}</h2><p>{escape(finding.meaning + since)}</p>{pictures}"
        f'<div class="columns"><div><h3>Evidence: what is out of range</h3><ul class="evidence">{evidence}</ul>'
        + f'<h3>For context</h3><ul class="evidence">{context}</ul>'
        * bool(context)
        + f"</div><div><h3>What to try, in this order</h3><ol>{remedies}</ol>"
        f"<p>Explained in lesson <code>{finding.lesson}</code> of the course.</p></div></div></section>"
    )


def measured(evidence: "Evidence") -> str:
    """A number with its name, how far out of range it is, and a gauge."""
    from gantutor.doctor.findings import short

    out = f' <span class="deviation">{evidence.deviation}</span>' if evidence.deviation else ""
    healthy = f'<p class="range">healthy: {escape(evidence.healthy)}</p>' if evidence.healthy else ""
    picture = charts.gauge(evidence) if evidence.healthy else ""
    return f'{escape(evidence.name)}: <span class="number">{short(evidence.value)}</span>{out}{picture}{healthy}'


# --- pictures --------------------------------------------------------------------------------------------------------


def sheets(specimens: "Specimens") -> str:
    """Samples beside real images; where samples had to be put right, both ways."""
    kinds = [("Samples", "as they were given", specimens.samples)]
    if len(specimens.mended):
        kinds.append(("The same samples", "put right, as they were examined", specimens.mended))
    kinds.append(("Real images", "to compare", specimens.real))
    figures = "".join(f"<figure><figcaption><b>{name}</b>, {remark}</figcaption>{sheet(images, name)}</figure>"
                      for name, remark, images in kinds)  # fmt: skip
    return f'<section><h2>Samples and real images</h2><div class="sheets">{figures}</div></section>'


def sheet(images: "Tensor", name: str) -> str:
    scale = scale_of(images, CELL)
    columns = max(1, min(SHEET // (scale * (images.shape[3] + 1)), math.isqrt(len(images))))
    images = images[: columns * min(len(images) // columns, columns + 1)]  # whole rows
    return image(images, columns, scale, f"{len(images)} images in rows of {columns}: {name.lower()}")


def pairs(specimens: "Specimens") -> str:
    """Copies above the training images that they are copies of."""
    both = zip(specimens.copies.split(1), specimens.originals.split(1), strict=True)
    scale = scale_of(specimens.copies, CELL)
    nearest = "The training image nearest to it"
    columns = "".join(
        f"<div>{image(mine, 1, scale, f'Sample {n}')}{image(theirs, 1, scale, nearest)}</div>"
        for n, (mine, theirs) in enumerate(both, 1)
    )
    key = ('<span class="key" style="--key: var(--fake)">Above: samples.</span> <span class="key" '
           'style="--key: var(--real)">Below: the training images nearest to them.</span>')  # fmt: skip
    return f'<figure><figcaption>{key}</figcaption><div class="pairs">{columns}</div></figure>'


def close_up(specimens: "Specimens") -> str:
    """The middle of some samples, enlarged, beside that of the real images most like them."""
    kinds = (("Samples from near", specimens.details), ("The real images most like them", specimens.real_details))
    figures = "".join(
        f"<figure><figcaption><b>{name}</b></figcaption>"
        f"{image(images, len(images), scale_of(images, 110), f'{name}: {len(images)} images, each pixel enlarged')}"
        "</figure>"
        for name, images in kinds
    )
    return f'<div class="sheets">{figures}</div>'


def scale_of(images: "Tensor", least: int) -> int:
    """How many pixels of the page each pixel gets, so that an image is at least so wide, and stays sharp."""
    return -(-least // images.shape[3])


def image(images: "Tensor", columns: int, scale: int, alt: str) -> str:
    """Images, bytes (n, C, H, W), in rows, as a picture within the page."""
    from gantutor import show
    from gantutor.data import floats

    picture = show.grid(floats(images), columns, scale=1, gap=int(len(images) > 1))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    content = base64.b64encode(file.getvalue()).decode()
    width, height = scale * picture.width, scale * picture.height
    return f'<img src="data:image/png;base64,{content}" width="{width}" height="{height}" alt="{escape(alt)}">'


# --- where it comes from ---------------------------------------------------------------------------------------------


def origin(diagnosis: "Diagnosis", command: str) -> str:
    """What was examined and how, and what made the report."""
    rows = dict(facts(diagnosis, command))
    entries = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items())
    return f"<section><h2>How this report was made</h2><dl>{entries}</dl></section>"


def facts(diagnosis: "Diagnosis", command: str) -> Iterator[tuple[str, str]]:
    """Names, and values as HTML."""
    if (specimens := diagnosis.specimens) is not None:
        height, width = specimens.size
        yield "Samples", f"{specimens.given:,}, examined at {height}×{width} pixels"
    if diagnosis.data:
        yield "Compared with", escape(diagnosis.data)
        yield "Seen by", escape(diagnosis.judge)
    if diagnosis.notes:
        yield "Notes", "<br>".join(map(escape, diagnosis.notes))
    yield "Command", f"<pre><code>{escape(command)}</code></pre>" if command else "none: made in Python"
    yield "Made by", f"gantutor {__version__}, {time.strftime('%d %B %Y, %H:%M')}"
