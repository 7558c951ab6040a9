"""Cards: "spot the bug", and the doctor's diagnosis."""

import html
from collections.abc import Sequence

import ipywidgets as widgets
from torch import Tensor

from gantutor import show
from gantutor.doctor import Diagnosis, Finding
from gantutor.errors import BadInput
from gantutor.live.panels import Panel, button, menu


def spot(code: str, picture: show.Picture, choices: Sequence[str], answer: str, why: str) -> "Card":
    """A "spot the bug" card: code and its picture, a list of guesses, and the answer behind a button.

    A saved notebook shows only the picture of the card, so repeat the answer in a fold in the text below.

    Args:
        code: shown as it is.
        choices: two or more guesses, one of them the answer.
        why: the explanation, shown with the answer.
    Returns: the card to display; from code, set `.guess.value` or call `.reveal.click()`, and read `.verdict.value`.
    Raises `BadInput` for choices that lack the answer or have fewer than two different guesses.
    """
    choices = list(choices)
    if answer not in choices or not len(set(choices)) == len(choices) >= 2:
        raise BadInput(
            f"choices are {choices!r}: give two or more different guesses, among them the answer, {answer!r}."
        )
    return Card(code, picture, choices, answer, why)


class Card(Panel):
    """What `spot` returns: `.guess` (a list to choose from), `.reveal` (a button), `.verdict` (a line of HTML)."""

    def __init__(self, code: str, picture: show.Picture, choices: list[str], answer: str, why: str):
        super().__init__()
        self.answer, self.why, self.revealed = answer, why, False
        self.picture.value = show.png(picture)
        self.guess = widgets.RadioButtons(options=choices, value=None, layout={"width": "auto"})
        self.reveal, self.verdict = button("Reveal", self.show_answer), widgets.HTML()
        self.guess.observe(self.check_guess, names="value")
        listing = widgets.HTML(f"<pre style='line-height:1.3'>{html.escape(code)}</pre>")
        question = widgets.HTML("<b>What is wrong?</b>")
        self.children = [listing, self.picture, question, self.guess, self.reveal, self.verdict]

    def check_guess(self, change: object = None) -> None:
        if self.guess.value == self.answer:
            self.show_answer()
        elif self.guess.value is not None and not self.revealed:
            self.verdict.value = f"Not that: <i>{html.escape(self.guess.value)}</i>. Look again, or reveal the answer."

    def show_answer(self) -> None:
        self.revealed = True
        found = "Yes" if self.guess.value == self.answer else "It is"
        self.verdict.value = f"<b>{found}: {html.escape(self.answer)}.</b> {html.escape(self.why)}"


def findings(diagnosis: Diagnosis, samples: Tensor | None = None) -> "Findings":
    """The doctor's card: the diagnosis as a picture, and a menu to read each finding.

    Args:
        diagnosis: what `doctor.examine` returns.
        samples: images (N, C, H, W) in [-1, 1]; up to 16 are shown.
    Returns: the card to display; `.controls["finding"].value = 1` opens the second finding, and `.details.value` is its
        text.
    """
    return Findings(diagnosis, samples)


class Findings(Panel):
    """What `findings` returns: a panel with `.details` (HTML). Without a finding it has no menu."""

    def __init__(self, diagnosis: Diagnosis, samples: Tensor | None):
        names = {f"{n}. {f.name} ({f.severity})": n - 1 for n, f in enumerate(diagnosis.findings, 1)}
        super().__init__({"finding": menu("finding", names, 0)} if names else {})
        self.diagnosis, self.details = diagnosis, widgets.HTML()
        self.picture.value = show.png(show.card(diagnosis, samples))
        self.children = [self.picture, *self.controls.values(), self.details]
        for chosen in self.controls.values():
            chosen.observe(self.show_finding, names="value")
        self.show_finding()

    def show_finding(self, change: object = None) -> None:
        """Show the finding selected in the menu."""
        if self.diagnosis.healthy:
            self.details.value = "Healthy: nothing was found."
        else:
            self.details.value = finding_html(self.diagnosis.findings[self.controls["finding"].value])


def finding_html(finding: Finding) -> str:
    """The meaning, the evidence and the remedies of a finding, as HTML."""

    def items(entries: Sequence[object]) -> str:
        return "".join(f"<li>{html.escape(str(entry))}</li>" for entry in entries)

    return (
        f"<p>{html.escape(finding.meaning)}</p><b>Evidence</b><ul>{items(finding.evidence)}</ul>"
        f"<b>What to try</b><ul>{items(finding.to_try)}</ul><p>Lesson: {html.escape(finding.lesson)}</p>"
    )
