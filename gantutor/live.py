"""In JupyterLab: watch a run train, and move sliders. The only module that imports IPython and ipywidgets.

Everything also works where nobody watches (nbconvert, nbval, plain Python): the last picture stays in the notebook.
Widgets cannot be seen in a saved notebook; put a precomputed `show.strip` beside each.
"""

import asyncio
import html
import math
import time
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import torch
from IPython.display import display
from torch import Tensor, nn

from gantutor import models, show, theory
from gantutor import train as training
from gantutor.data import Images
from gantutor.errors import BadInput
from gantutor.labels import classes_of, told

SHARE = 0.05  # the part of the training time that displaying may take
NAP = 0.005  # seconds between two looks at whether somebody pressed stop


# ---------------------------------------------------------------- watching a run train


class Frame:
    """One picture of the live display with its line of text; where no picture can be shown, the text alone."""

    def __init__(self, picture, text: str):
        self.png, self.text = show.png(picture), text

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return self.text


async def train(run: training.Run, steps: int | None = None, *, seconds: float | None = None, every: float = 0.5,
                look: Callable | None = None) -> show.History:  # fmt: skip
    """Train the run and watch it: ``history = await live.train(run, 2000)`` in a notebook cell.

    What the averaged generator makes of the same latents, and both losses, are shown in one place that is redrawn.
    Interrupt the kernel (■ in the toolbar) to stop early: the run keeps what it has learned, and the cells below go on.

    Args:
        run: a `train.Run`; images (N, C, H, W) and points in the plane (N, 2) each have their picture.
        steps, seconds: how long, as in `run.steps`.
        every: seconds between two pictures, at least; longer where drawing would cost over 5% of the training time.
        look: run -> Pillow image or figure, to be shown in place of the samples.
    Returns: [(step, D's loss, G's loss), …], at most about 1,000 entries for a number of steps, each step for seconds.
    """
    loop = run.steps(steps, seconds=seconds)  # checks both
    look, clock, screen = look or samples, Clock(every), Screen()
    first, began = run.step, time.perf_counter()
    keep = math.ceil((steps or 1) / 1000)
    history, waiting, napped = [], [], began

    def draw() -> None:
        history.extend(read(waiting))
        waiting.clear()
        done = run.step - first
        text = progress(run, done, steps, seconds, time.perf_counter() - began, history)
        frame = show.strip([look(run), show.chart(history)])
        screen.show(Frame(show.strip([frame], [text]), text))

    draw()
    try:
        for step in loop:
            if step.index % keep == 0:
                waiting.append(step)
            now = time.perf_counter()
            if now > clock.next:
                draw()
                clock.tick(now)
            if now > napped + NAP:
                await asyncio.sleep(0)  # let Jupyter see an interrupt
                napped = now
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass  # stopped by the person: keep what was learned
    draw()
    screen.close()
    return history


class Clock:
    """When to draw next: after `every` seconds, later where the last drawing was so slow that it would pass `SHARE`."""

    def __init__(self, every: float):
        if not every >= 0:
            raise BadInput(f"every is {every!r}: give the seconds between two pictures, 0 or more.")
        self.every, self.next = every, time.perf_counter() + min(every, 0.1)

    def tick(self, began: float) -> None:
        now = time.perf_counter()
        self.next = now + max(self.every, (now - began) * (1 / SHARE - 1))


class Screen:
    """One place on the page whose content is replaced. Plain Python has no such place: the last text is printed."""

    def __init__(self):
        self.handle = self.frame = None

    def show(self, frame: Frame) -> None:
        if self.frame is None:
            self.handle = display(frame, display_id=True)  # None in plain Python, which prints the text
        elif self.handle:
            self.handle.update(frame)
        self.frame = frame

    def close(self) -> None:
        if not self.handle:
            print(self.frame)


def read(steps: list[training.Step]) -> list[tuple[int, float, float]]:
    """The losses of these steps as numbers. The device is waited for once."""
    if not steps:
        return []
    values = torch.stack([torch.stack([step.d_loss, step.g_loss]) for step in steps]).float().tolist()
    return [(step.index, d, g) for step, (d, g) in zip(steps, values, strict=True)]


def samples(run: training.Run) -> show.Picture:
    """What the run's generator makes now: 64 images, or 1,000 points over as many of the data.

    A conditional run of 2 to 16 classes has a column for each class and at most 80 images.
    """
    if run.examples.ndim == 4:
        classes = classes_of(run.G)
        columns = classes if 2 <= classes <= 16 else 8
        n = 64 if columns != classes else columns * min(10, 80 // columns)  # the classes take turns
        return show.grid(run.sample(n), columns, scale=max(1, 480 // (8 * run.examples.shape[-1])))
    if run.examples.shape[1:] == (2,):
        return show.dots(run.examples[:1000], run.sample(1000))
    raise BadInput(f"the data has shape {tuple(run.examples.shape[1:])}: say with look=… how to draw it.")


def progress(run, done: int, steps: int | None, seconds: float | None, spent: float, history) -> str:
    goal = f" of {steps:,}" if steps else f" in {spent:.0f} of {seconds:g} s" if seconds else ""
    speed = f" · {done * run.recipe.batch_size / spent:,.0f} examples/s" if done and spent > 0.2 else ""
    loss = f" · D loss {history[-1][1]:.2f} · G loss {history[-1][2]:.2f}" if history else ""
    return f"step {done:,}{goal}{speed}{loss}"


# ---------------------------------------------------------------- sliders


def explore(draw: Callable, **controls: object) -> widgets.VBox:
    """Sliders above a picture that is drawn again whenever one moves.

    Args:
        draw: called with one value per control, by name; returns a Pillow image or a figure. Keep it under 0.1 s.
        controls: name=(low, high, step, start) for a slider (over whole numbers if all four are), name=[1, 10, 100]
            for a slider over these numbers, name=["a", "b"] or name={"text": value, …} for a menu, name=True or False
            for a tick box, or a widget. Lists and menus start at the first entry. Underscores are shown as spaces.
    Returns: the box to show; `box.controls[name].value = …` moves a slider from code.
    """
    box = Explorer(draw, {name: control(name.replace("_", " "), spec) for name, spec in controls.items()})
    box.redraw()
    return box


class Explorer(widgets.VBox):
    """What `explore` returns: `.controls` {name: widget}, `.picture` (a widgets.Image) and `.message`."""

    def __init__(self, draw: Callable, controls: dict[str, widgets.Widget]):
        self.draw, self.controls = draw, controls
        self.picture, self.message = widgets.Image(format="png"), widgets.Label()
        self.picture.layout.max_width, self.picture.layout.align_self = "100%", "flex-start"  # else it is stretched
        panel = widgets.Box(list(controls.values()), layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([panel, self.picture, self.message])
        for widget in controls.values():
            widget.observe(self.redraw, names="value")

    def redraw(self, change: object = None) -> None:
        """Draw for the values that the controls show now; say under the picture why a value cannot be drawn."""
        try:
            picture = self.draw(**{name: widget.value for name, widget in self.controls.items()})
            self.picture.value, self.message.value = show.png(picture), ""
        except BadInput as error:
            self.message.value = str(error)


def control(name: str, spec: object) -> widgets.Widget:
    """The widget for one control of `explore`."""
    look = {"description": name, "style": {"description_width": "initial"}}
    if isinstance(spec, widgets.Widget):
        return spec
    if isinstance(spec, bool):
        return widgets.Checkbox(spec, **look)
    if isinstance(spec, list) and spec and all(isinstance(value, int | float) for value in spec):
        return widgets.SelectionSlider(options=[(f"{value:,}", value) for value in spec], value=spec[0], **look)
    if isinstance(spec, list | dict) and spec:
        return widgets.Dropdown(
            options=spec, value=next(iter(spec.values() if isinstance(spec, dict) else spec)), **look
        )
    if isinstance(spec, tuple) and len(spec) == 4:
        low, high, step, start = spec
        kind = widgets.IntSlider if all(isinstance(v, int) for v in spec) else widgets.FloatSlider
        if low <= start <= high and step > 0:
            return kind(start, min=low, max=high, step=step, **look)
    raise BadInput(f"the control {name!r} is {spec!r}: give (low, high, step, start), a list, True or False.")


# ---------------------------------------------------------------- cards


def spot(code: str, picture: show.Picture, choices: Sequence[str], answer: str, why: str) -> "Card":
    """A "spot the bug" card: code and its picture, a list of guesses, and the answer on the back.

    It cannot be seen in a saved notebook: fold the answer into the text below.

    Args:
        code: shown as it is.
        choices: two guesses or more, one of them the answer.
        why: shown with the answer.
    Returns: the card to show; `.guess.value = …` and `.reveal.click()` play it from code, `.verdict.value` answers.
    """
    choices = list(choices)
    if answer not in choices or not len(set(choices)) == len(choices) >= 2:
        raise BadInput(
            f"choices are {choices!r}: give two or more, no two alike, and among them the answer, {answer!r}."
        )
    return Card(code, picture, choices, answer, why)


class Card(widgets.VBox):
    """What `spot` returns: `.guess` (a list to choose from), `.reveal` (a button), `.verdict` (a line of HTML)."""

    def __init__(self, code: str, picture: show.Picture, choices: list[str], answer: str, why: str):
        self.answer, self.why, self.revealed = answer, why, False
        image = widgets.Image(value=show.png(picture), format="png")
        image.layout.max_width, image.layout.align_self = "100%", "flex-start"
        self.guess = widgets.RadioButtons(options=choices, value=None, layout={"width": "auto"})
        self.reveal, self.verdict = widgets.Button(description="Reveal"), widgets.HTML()
        self.guess.observe(self.judge, names="value")
        self.reveal.on_click(self.turn_over)
        listing = widgets.HTML(f"<pre style='line-height:1.3'>{html.escape(code)}</pre>")
        question = widgets.HTML("<b>What is wrong?</b>")
        super().__init__([listing, image, question, self.guess, self.reveal, self.verdict])

    def judge(self, change: object = None) -> None:
        if self.guess.value == self.answer:
            self.turn_over()
        elif self.guess.value is not None and not self.revealed:
            self.verdict.value = f"Not that: <i>{html.escape(self.guess.value)}</i>. Look again, or reveal."

    def turn_over(self, button: object = None) -> None:
        self.revealed = True
        found = "Yes" if self.guess.value == self.answer else "It is"
        self.verdict.value = f"<b>{found}: {html.escape(self.answer)}.</b> {html.escape(self.why)}"


# ---------------------------------------------------------------- explorers


def dirac(steps: int = 300) -> widgets.VBox:
    """The Dirac-GAN: one number against one number, its vector field and the path that training takes from (1, 1)."""
    return explore(
        lambda **setting: dirac_portrait(steps=steps, **setting),
        loss=["gan", "nsgan", "wgan"],
        updates=["simultaneous", "alternating"],
        lr=(0.02, 0.5, 0.02, 0.2),
        r1_gamma=(0.0, 2.0, 0.05, 0.0),
        momentum=(-0.5, 0.9, 0.1, 0.0),
    )


def dirac_portrait(loss: str = "gan", updates: str = "simultaneous", lr: float = 0.2, r1_gamma: float = 0.0,
                   momentum: float = 0.0, steps: int = 300) -> show.Figure:  # fmt: skip
    """One picture of `dirac`: the field of `theory.dirac_field` and the path of `theory.dirac_trajectory`."""
    penalty = {"penalty": "r1", "gamma": r1_gamma} if r1_gamma > 0 else {}
    path = theory.dirac_trajectory(loss, lr, steps, updates=updates, momentum=round(momentum, 6), **penalty)
    radius = float((path[-1] ** 2).sum() ** 0.5)
    return show.field(
        lambda theta, psi: theory.dirac_field(loss, theta, psi, **penalty),
        {f"{steps} steps": path},
        title=f"{loss}, {updates}: distance 1.41 → {radius:.3g}",
    )


def density() -> widgets.VBox:
    """The data p = N(0, 1) and a generator q = N(mean, std²), with the best discriminator D* and V(D*, G)."""
    return explore(density_portrait, q_mean=(-4.0, 4.0, 0.1, 2.0), q_std=(0.3, 3.0, 0.1, 1.0))


def density_portrait(q_mean: float = 2.0, q_std: float = 1.0) -> show.Figure:
    """One picture of `density`."""
    x = torch.linspace(-12, 12, 4801, dtype=torch.float64).numpy()
    p, q, dx = theory.gaussian(x), theory.gaussian(x, q_mean, q_std), x[1] - x[0]
    d = theory.optimal_discriminator(p, q)
    title = f"V(D*, G) = {theory.value(p, q, d, dx):.3f}   JSD = {theory.jensen_shannon(p, q, dx):.3f}"
    seen = slice(1200, 3601, 4)  # -6 … 6
    lines = {"p(x): data": p[seen], "q(x): generator": q[seen], "D*(x)": d[seen]}
    return show.densities(x[seen], lines, title=title, ylim=(0, 1.4))


def latent(run: training.Run | nn.Module) -> widgets.VBox:
    """Walk from one latent to another and watch the image. Takes a run (its averaged generator) or a generator.

    A conditional one gets a menu of its classes too, by name for a run on `Images`.
    """
    G, data = (run.G_average, run.data) if isinstance(run, training.Run) else (run, None)
    classes = classes_of(G)
    names = data.classes if isinstance(data, Images) else map(str, range(classes))
    menu = {"label": dict(zip(names, range(classes), strict=True))} if classes else {}

    def draw(start: int, end: int, way: float, label: int | None = None) -> show.Picture:
        image = walk(G, start, end, torch.tensor([way]), label)
        return show.grid(image, scale=max(1, 224 // image.shape[-1]), gap=0)

    return explore(draw, way=(0.0, 1.0, 0.02, 0.5), start=(0, 50, 1, 0), end=(0, 50, 1, 1), **menu)


def walk(G: nn.Module, start: int, end: int, way: Tensor, label: int | None = None) -> Tensor:
    """Images (T, *shape) along the great circle between two seeds of `train.sample`, at places `way` (T,) in [0, 1].

    A conditional G draws all of them in the class `label`, which it cannot do without.

    A latent z ~ N(0, I) of length d has a norm near √d. A straight line between two would pass far inside that shell,
    where G was never trained; the great circle stays on it (White 2016, arXiv 1609.04468).
    """
    if label is None and (classes := classes_of(G)):
        raise BadInput(f"G is conditional, and label is None: give the class to walk in, 0 to {classes - 1}.")
    device, y = next(G.parameters()).device, training.wanted_labels(G, len(way), label)  # y: (T,), or None
    a, b = (training.latents(G, 1, s)[0] for s in (start, end))  # (latent_dim,)
    angle = torch.arccos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    way = way[:, None].to(a)  # (T, 1)
    direction = torch.sin((1 - way) * angle) * a / a.norm() + torch.sin(way * angle) * b / b.norm()  # (T, latent_dim)
    if start == end:
        direction = a.expand(len(way), -1)
    z = direction / direction.norm(dim=1, keepdim=True) * a.norm().lerp(b.norm(), way)
    with models.evaluating(G), torch.no_grad():
        return told(G, None if y is None else y.to(device))(z.to(device))
