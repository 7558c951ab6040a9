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
METRICS_EVERY = 5.0  # seconds between two looks at the metrics, at least
MOST_ENTRIES = 2000  # entries of a history

Metrics = Mapping[str, Callable[[training.Run], float]]

# Run -> first step, number of steps and losses of what was watched last, so that a broken-off training goes on.
watched: "weakref.WeakKeyDictionary[training.Run, tuple[int, int | None, Losses]]" = weakref.WeakKeyDictionary()


async def train(run: training.Run, steps: int | None = None, *, seconds: float | None = None, every: float = 0.5,
                look: Callable | None = None, metrics: Metrics | None = None) -> show.History:  # fmt: skip
    """Train the run and watch it: ``history = await live.train(run, 2000)`` in a notebook cell.

    What the averaged generator makes of the same latents, and both losses, are shown in one place that is redrawn;
    below it are Pause, Stop and the speed. Stopping early, by Stop or by an interrupt of the kernel (■ in the toolbar),
    keeps what was learned, and the cells below go on. The same call again then goes on to the end of the same plan:
    the curves continue, and the learning rates fall as they would have. In other front ends than JupyterLab the buttons
    may act only after the cell: there interrupt the kernel.

    Args:
        run: a `train.Run`; images (N, C, H, W) and points in the plane (N, 2) each have their picture.
        steps, seconds: how long, as in `run.steps`. Without both, the steps that were broken off. Pauses count for
            `seconds`.
        every: seconds between two pictures, at least; longer where drawing would cost over 2.5% of the training time.
        look: run -> Pillow image or figure, to be shown in place of the samples.
        metrics: {name: run -> number}, shown as numbers: at the beginning, every 5 s at most, and once more at the end
            of the whole plan. They and the pictures then share the 2.5% evenly. Stop acts within a step, or after the
            `look` or the one metric that is under way.
    Returns: [(step, D's loss, G's loss), …] of the whole plan, at most 2,000 entries: of each step, or where that would
        be more, of every 2nd, 4th, ….

    Plain Python prints a line now and then.
    """
    watch = Watch(run, steps, seconds, every, look or samples, dict(metrics or {}))
    await watch.follow()
    return list(watch.losses.entries)


class Watch:
    """One call of `train`: what it shows, and the loop that looks at the buttons."""

    def __init__(self, run: training.Run, steps: int | None, seconds: float | None, every: float, look: Callable,
                 metrics: dict):  # fmt: skip
        if bad := [name for name, value in metrics.items() if not callable(value)]:
            raise BadInput(f"the metric {bad[0]!r} is {metrics[bad[0]]!r}: give a function of the run.")
        self.clock = Clock(every, TIME_SHARE / 2 if metrics else TIME_SHARE)
        self.slow_clock = Clock(METRICS_EVERY, TIME_SHARE / 2)
        self.run, self.seconds, self.look, self.metrics = run, seconds, look, metrics
        again = seconds is None and run.plan is not None and (steps is None or was_interrupted(run, steps))
        self.steps_left = run.steps() if again else run.steps(steps, seconds=seconds)  # checks both
        self.first, self.steps = (run.plan[0], run.plan[1] - run.plan[0]) if again else (run.step, steps)
        known = watched.get(run) if again else None
        self.losses = known[2] if known and known[:2] == (self.first, self.steps) else Losses()
        watched[run] = self.first, self.steps, self.losses
        self.values: dict[str, float] = {}
        self.start, self.began, self.drawn = run.step, time.perf_counter(), -1
        self.rested = 0.0  # seconds spent paused
        self.screen, self.below, self.buttons = Screen(), Screen(), Buttons()

    async def follow(self) -> None:
        """Train, look and listen until it is done or somebody stops it."""
        pause_others(None)
        ended = False
        try:
            began = time.perf_counter()
            self.measure()
            self.slow_clock.tick(began)
            self.draw()
            if not self.below.plain:
                self.below.show(self.buttons)
            ended = await self.listen()
        except (KeyboardInterrupt, asyncio.CancelledError):
            pass  # stopped by the person: keep what was learned
        finally:
            if self.below.handle:  # an error takes the buttons away too
                self.below.show(TextLine(""))
            self.buttons.close()
        self.screen.next = self.below.next = 0.0  # where lines are printed, these in any case
        failed = self.measure_last() if ended else ""
        self.draw()
        self.below.show(TextLine(f"{self.farewell(ended)} {failed}".rstrip()))

    async def listen(self) -> bool:
        """The loop. Returns whether it came to its end."""
        looked = time.perf_counter()
        for step in self.steps_left:
            self.losses.note(step)
            now = time.perf_counter()
            if now > self.clock.next:
                self.refresh(now)
            if now > looked + POLL or self.buttons.busy:
                await asyncio.sleep(0)  # let Jupyter deliver what was pressed
                await self.hold(looked)
                looked = time.perf_counter()
            if self.buttons.stopped:
                return False
        return True

    async def hold(self, before: float) -> None:
        """Wait while it is paused, and where steps shall be slow until the one after that at `before` is due."""
        while not self.buttons.stopped:
            now, paused = time.perf_counter(), self.buttons.paused
            wait = POLL
            if paused and self.drawn != self.run.step:
                self.draw()  # what is being looked at is the state in which it rests
            elif not paused:
                wait = before + 1 / self.buttons.rate - now if self.buttons.rate else 0
                if wait <= 0:
                    return
            await asyncio.sleep(min(POLL, wait))
            self.rested += time.perf_counter() - now if paused else 0

    def refresh(self, now: float) -> None:
        """A new picture; where their time has come, new metrics first."""
        if self.metrics and now > self.slow_clock.next:
            self.measure()
            self.slow_clock.tick(now)
            now = time.perf_counter()
        self.draw()
        self.clock.tick(now)

    def measure(self) -> None:
        self.values = {name: metric_value(name, value, self.run) for name, value in self.metrics.items()}

    def measure_last(self) -> str:
        """Look at the metrics, or say which one fails and keep the old numbers: the training is done in any case."""
        try:
            self.measure()
        except BadInput as error:
            return f"Not measured: {error}"
        return ""

    def draw(self) -> None:
        self.losses.read()
        line, numbers = self.progress(), " · ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        picture = show.strip([self.look(self.run), show.chart(self.losses.entries)])
        for text in (numbers, line):
            picture = show.strip([picture], [text]) if text else picture
        self.screen.show(Frame(picture, f"{line} · {numbers}" if numbers else line))
        self.drawn = self.run.step

    def place(self) -> str:
        """How far it has come: "step 40 of 2,000"."""
        return f"step {self.run.step - self.first:,}" + (f" of {self.steps:,}" if self.steps else "")

    def progress(self) -> str:
        spent, done = time.perf_counter() - self.began, self.run.step - self.start
        goal = f" in {spent:.0f} of {self.seconds:g} s" if self.seconds else ""
        busy = spent - self.rested
        speed = f" · {done * self.run.recipe.batch_size / busy:,.0f} examples/s" if done and busy > 0.2 else ""
        last = self.losses.entries[-1:]
        loss = f" · D loss {last[0][1]:.2f} · G loss {last[0][2]:.2f}" if last else ""
        return f"{self.place()}{goal}{speed}{loss}"

    def farewell(self, ended: bool) -> str:
        if ended:
            return f"Done: {self.place()}."
        if self.seconds:
            return f"Stopped at {self.place()}. What was learned stays."
        return f"Stopped at {self.place()}: run this cell again to go on."


def was_interrupted(run: training.Run, steps: int) -> bool:
    """Whether so many steps were planned and not all of them taken."""
    first, last = run.plan
    return first <= run.step < last and last - first == steps


def metric_value(name: str, metric: Callable[[training.Run], float], run: training.Run) -> float:
    """What a metric says of the run. Raises `BadInput` that names the metric where it fails or is no number."""
    try:
        return float(metric(run))
    except Exception as error:
        raise BadInput(f"the metric {name!r}: {reason(error)}: give a function that returns one number.") from error


class Losses:
    """The losses of every `keep`-th step as `entries` (step, D's, G's); `keep` doubles when there are over `MOST`."""

    def __init__(self):
        self.entries: list[tuple[int, float, float]] = []
        self.keep = 1
        self.waiting: list[training.Step] = []  # not read yet

    def note(self, step: training.Step) -> None:
        if step.index % self.keep == 0:
            self.waiting.append(step)
        if len(self.waiting) >= MOST_ENTRIES:
            self.read()

    def read(self) -> None:
        """Make numbers of what waits. The device is waited for once."""
        if self.waiting:
            values = torch.stack([torch.stack([step.d_loss, step.g_loss]) for step in self.waiting]).float().tolist()
            self.entries += [(step.index, d, g) for step, (d, g) in zip(self.waiting, values, strict=True)]
            self.waiting.clear()
        while len(self.entries) > MOST_ENTRIES:
            self.keep *= 2
            self.entries = [entry for entry in self.entries if entry[0] % self.keep == 0]


class Buttons(widgets.HBox):
    """Pause, Stop and the speed. They set flags only, which any thread may do.

    Attributes: `.paused`, `.stopped`; `.rate`, steps per second, 0 for full speed.
    """

    def __init__(self):
        self.paused, self.stopped, self.rate = False, False, 0
        self.pause = button("Pause", self.toggle, "pause")
        self.stop = button("Stop", self.end, "stop", "Stop: what was learned stays")
        self.speed = menu("speed", SPEEDS, 0)
        self.speed.observe(self.change, names="value")
        super().__init__([self.pause, self.stop, self.speed])

    @property
    def busy(self) -> bool:
        """Whether a step is not simply followed by the next."""
        return self.paused or self.stopped or self.rate > 0

    def toggle(self) -> None:
        self.paused = not self.paused
        self.pause.description, self.pause.icon = ("Resume", "play") if self.paused else ("Pause", "pause")

    def end(self) -> None:
        self.stopped = True

    def change(self, change: object = None) -> None:
        self.rate = self.speed.value

    def close(self) -> None:
        """Take all parts off the kernel's list of widgets: a saved notebook holds none of them."""
        close_children(self)
        super().close()


def samples(run: training.Run) -> show.Picture:
    """What the run's generator makes now: 64 images, or 1,000 points over as many of the data.

    A conditional run of 2 to 16 classes has a column for each class and at most 80 images.
    """
    if run.examples.ndim == 4:
        classes = classes_of(run.G)
        columns = classes if 2 <= classes <= 16 else 8
        n = 64 if columns != classes else columns * min(10, 80 // columns)  # the classes take turns
        return show.grid(displayable(run.sample(n)), columns, scale=max(1, 480 // (8 * run.examples.shape[-1])))
    if run.examples.shape[1:] == (2,):
        return show.dots(run.examples[:1000], run.sample(1000))
    raise BadInput(f"the data has shape {tuple(run.examples.shape[1:])}: say with look=… how to draw it.")
