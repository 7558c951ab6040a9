"""Watching a run train: ``history = await live.train(run, 2000)`` in a notebook cell."""

import asyncio
import time
import weakref
from collections.abc import Callable, Mapping

import ipywidgets as widgets
import torch

from gantutor import show
from gantutor import train as training
from gantutor.errors import BadInput, reason
from gantutor.live.panels import (  # fmt: skip
    POLL,
    TIME_SHARE,
    Clock,
    Frame,
    Screen,
    TextLine,
    button,
    close_children,
    displayable,
    menu,
    pause_others,
)
from gantutor.models import classes_of

SPEEDS = {"full speed": 0, **{f"{n} step{'s' * (n > 1)}/s": n for n in (100, 30, 10, 3, 1)}}
METRICS_EVERY = 5.0  # least seconds between two measurements of the metrics
MOST_ENTRIES = 2000  # entries of a history

Metrics = Mapping[str, Callable[[training.Run], float]]

# run -> first step, number of steps and losses of the training watched last, so that an interrupted one can continue
watched: "weakref.WeakKeyDictionary[training.Run, tuple[int, int | None, Losses]]" = weakref.WeakKeyDictionary()


async def train(run: training.Run, steps: int | None = None, *, seconds: float | None = None, every: float = 0.5,
                look: Callable | None = None, metrics: Metrics | None = None) -> show.History:  # fmt: skip
    """Train the run and watch it: ``history = await live.train(run, 2000)`` in a notebook cell.

    Samples of the averaged generator from fixed latents, and both losses, are shown in a place that is redrawn; below
    it are Pause, Stop and the speed. Stopping early, with Stop or by interrupting the kernel (■ in the toolbar), keeps
    what was learned, and the cells below still run. The same call then continues the same plan to its end: the curves
    go on, and the learning rates fall as they would have. In front ends other than JupyterLab the buttons may react
    only after the cell; interrupt the kernel there.

    Args:
        run: a `train.Run`; for images (N, C, H, W) and points in the plane (N, 2) it is known how to draw samples.
        steps, seconds: how long, as in `run.steps`. Without either, the remaining steps of an interrupted run. Pauses
            count as `seconds`.
        every: least seconds between two pictures; more if drawing would cost over 2.5% of the training time.
        look: run -> Pillow image or figure, shown in place of the samples.
        metrics: {name: run -> number}, measured at the beginning, then at most every 5 s, and at the end of the whole
            plan. Metrics and pictures then share the 2.5% equally. Stop takes effect within a step, or after the `look`
            or the metric that is being computed.
    Returns: [(step, D's loss, G's loss), …] of the whole plan, at most 2,000 entries: for each step, or if there are
        more, for every 2nd, 4th, ….

    In plain Python it prints a line from time to time. Raises `BadInput` for metrics that are not functions of the run
    returning a number.
    """
    watch = Watch(run, steps, seconds, every, look or samples, dict(metrics or {}))
    await watch.run_training()
    return list(watch.losses.entries)


class Watch:
    """One call of `train`: what it shows, and the loop that polls the buttons."""

    def __init__(self, run: training.Run, steps: int | None, seconds: float | None, every: float, look: Callable,
                 metrics: dict):  # fmt: skip
        if bad := [name for name, value in metrics.items() if not callable(value)]:
            raise BadInput(f"the metric {bad[0]!r} is {metrics[bad[0]]!r}: give a function of the run.")
        self.clock = Clock(every, TIME_SHARE / 2 if metrics else TIME_SHARE)
        self.slow_clock = Clock(METRICS_EVERY, TIME_SHARE / 2)
        self.run, self.seconds, self.look, self.metrics = run, seconds, look, metrics
        plan = run.plan if seconds is None and (steps is None or was_interrupted(run, steps)) else None  # to continue
        self.steps_left = run.steps() if plan else run.steps(steps, seconds=seconds)  # checks both arguments
        self.first: int = plan[0] if plan else run.step
        self.steps: int | None = plan[1] - plan[0] if plan else steps
        known = watched.get(run) if plan else None
        self.losses = known[2] if known and known[:2] == (self.first, self.steps) else Losses()
        watched[run] = self.first, self.steps, self.losses
        self.values: dict[str, float] = {}
        self.measured = -1  # the step of `values`
        self.start, self.began, self.drawn = run.step, time.perf_counter(), -1
        self.rested = 0.0  # seconds spent paused
        self.screen, self.below, self.buttons = Screen(), Screen(), Buttons()

    async def run_training(self) -> None:
        """Train, draw and poll the buttons until the steps are done or somebody stops it."""
        pause_others(None)
        ended = False
        try:
            began = time.perf_counter()
            self.update_metrics()
            self.slow_clock.tick(began)
            self.draw()
            if not self.below.plain:
                self.below.show(self.buttons)
            ended = await self.take_steps()
        except (KeyboardInterrupt, asyncio.CancelledError):
            pass  # stopped by the user: keep what was learned
        finally:
            if self.below.handle:  # remove the buttons, also after an error
                self.below.show(TextLine(""))
            self.buttons.close()
        self.screen.next = self.below.next = 0.0  # in plain Python, print the last lines in any case
        failed = self.update_metrics_at_end() if ended else ""
        self.draw()
        self.below.show(TextLine(f"{self.closing_line(ended)} {failed}".rstrip()))

    async def take_steps(self) -> bool:
        """Take the steps. Returns whether all of them were taken."""
        looked = time.perf_counter()
        for step in self.steps_left:
            self.losses.add(step)
            now = time.perf_counter()
            if now > self.clock.next:
                self.refresh(now)
            if now > looked + POLL or self.buttons.active:
                await asyncio.sleep(0)  # lets Jupyter deliver the clicks
                await self.wait(looked)
                looked = time.perf_counter()
            if self.buttons.stopped:
                return False
        return True

    async def wait(self, before: float) -> None:
        """Wait while paused, and at a limited speed until the next step, after the one at `before`, is due."""
        while not self.buttons.stopped:
            now, paused = time.perf_counter(), self.buttons.paused
            wait = POLL
            if paused and self.drawn != self.run.step:
                self.draw()  # show the state in which it was paused
            elif not paused:
                wait = before + 1 / self.buttons.rate - now if self.buttons.rate else 0
                if wait <= 0:
                    return
            await asyncio.sleep(min(POLL, wait))
            self.rested += time.perf_counter() - now if paused else 0

    def refresh(self, now: float) -> None:
        """Draw a new picture, after new metrics if they are due."""
        if self.metrics and now > self.slow_clock.next:
            self.update_metrics()
            self.slow_clock.tick(now)
            now = time.perf_counter()
        self.draw()
        self.clock.tick(now)

    def update_metrics(self) -> None:
        """Measure the metrics, unless this step has been measured."""
        if self.measured != self.run.step:
            self.values = {name: metric_value(name, value, self.run) for name, value in self.metrics.items()}
            self.measured = self.run.step

    def update_metrics_at_end(self) -> str:
        """Measure a last time, or say which metric fails and keep its old value: the training itself is done."""
        try:
            self.update_metrics()
        except BadInput as error:
            return f"Not measured: {error}"
        return ""

    def draw(self) -> None:
        self.losses.fetch()
        line, numbers = self.progress(), " · ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        picture = show.strip([self.look(self.run), show.chart(self.losses.entries)])
        for text in (numbers, line):
            picture = show.strip([picture], [text]) if text else picture
        self.screen.show(Frame(picture, f"{line} · {numbers}" if numbers else line))
        self.drawn = self.run.step

    def position(self) -> str:
        """The progress in words: "step 40 of 2,000"."""
        return f"step {self.run.step - self.first:,}" + (f" of {self.steps:,}" if self.steps else "")

    def progress(self) -> str:
        spent, done = time.perf_counter() - self.began, self.run.step - self.start
        goal = f" in {spent:.0f} of {self.seconds:g} s" if self.seconds else ""
        busy = spent - self.rested
        speed = f" · {done * self.run.recipe.batch_size / busy:,.0f} examples/s" if done and busy > 0.2 else ""
        last = self.losses.entries[-1:]
        loss = f" · D loss {last[0][1]:.2f} · G loss {last[0][2]:.2f}" if last else ""
        return f"{self.position()}{goal}{speed}{loss}"

    def closing_line(self, ended: bool) -> str:
        if ended:
            return f"Done: {self.position()}."
        if self.seconds:
            return f"Stopped at {self.position()}. What was learned stays."
        return f"Stopped at {self.position()}: run this cell again to go on."


def was_interrupted(run: training.Run, steps: int) -> bool:
    """Whether the run's plan had this many steps and not all of them were taken."""
    if run.plan is None:
        return False
    first, last = run.plan
    return first <= run.step < last and last - first == steps


def metric_value(name: str, metric: Callable[[training.Run], float], run: training.Run) -> float:
    """The value of a metric. Raises a `BadInput` that names the metric if it fails or does not return a number."""
    try:
        return float(metric(run))
    except Exception as error:
        raise BadInput(f"the metric {name!r}: {reason(error)}: give a function that returns one number.") from error


class Losses:
    """The losses of every `keep`-th step as `entries` (step, D's, G's). Above `MOST_ENTRIES` entries `keep` doubles."""

    def __init__(self):
        self.entries: list[tuple[int, float, float]] = []
        self.keep = 1
        self.waiting: list[training.Step] = []  # not fetched from the device yet

    def add(self, step: training.Step) -> None:
        if step.index % self.keep == 0:
            self.waiting.append(step)
        if len(self.waiting) >= MOST_ENTRIES:
            self.fetch()

    def fetch(self) -> None:
        """Turn the waiting losses into numbers, with a single synchronisation of the device."""
        if self.waiting:
            values = torch.stack([torch.stack([step.d_loss, step.g_loss]) for step in self.waiting]).float().tolist()
            self.entries += [(step.index, d, g) for step, (d, g) in zip(self.waiting, values, strict=True)]
            self.waiting.clear()
        while len(self.entries) > MOST_ENTRIES:
            self.keep *= 2
            self.entries = [entry for entry in self.entries if entry[0] % self.keep == 0]


class Buttons(widgets.HBox):
    """Pause, Stop and the speed. They only set flags, which is safe on any thread.

    Attributes: `.paused`, `.stopped`; `.rate`, steps per second, 0 for full speed.
    """

    def __init__(self):
        self.paused, self.stopped, self.rate = False, False, 0
        self.pause = button("Pause", self.toggle, "pause")
        self.stop = button("Stop", self.request_stop, "stop", "Stop: what was learned stays")
        self.speed = menu("speed", SPEEDS, 0)
        self.speed.observe(self.set_rate, names="value")
        super().__init__([self.pause, self.stop, self.speed])

    @property
    def active(self) -> bool:
        """Whether the loop has to do anything but take the next step."""
        return self.paused or self.stopped or self.rate > 0

    def toggle(self) -> None:
        self.paused = not self.paused
        self.pause.description, self.pause.icon = ("Resume", "play") if self.paused else ("Pause", "pause")

    def request_stop(self) -> None:
        self.stopped = True

    def set_rate(self, change: object = None) -> None:
        self.rate = self.speed.value

    def close(self) -> None:
        """Remove all widgets from the kernel's list, so that a saved notebook contains none of them."""
        close_children(self)
        super().close()


def samples(run: training.Run) -> show.Picture:
    """Samples of the run's averaged generator: 64 images, or 1,000 points over as many of the data.

    A conditional run with 2 to 16 classes gets a column for each class, and at most 80 images.
    """
    if run.examples.ndim == 4:
        classes = classes_of(run.G)
        columns = classes if 2 <= classes <= 16 else 8
        n = 64 if columns != classes else columns * min(10, 80 // columns)  # the classes take turns
        return show.grid(displayable(run.sample(n)), columns, scale=max(1, 480 // (8 * run.examples.shape[-1])))
    if run.examples.shape[1:] == (2,):
        return show.dots(run.examples[:1000], run.sample(1000))
    raise BadInput(
        f"there is no picture for data of shape {tuple(run.examples.shape[1:])}: pass look=…, a function of "
        "the run that draws it."
    )
