"""The building blocks of all explorers: the panel with its picture, controls, the pad, and background players.

Callbacks may arrive on another thread than the one that runs the cells, because JupyterLab delivers them on a subshell
where it can. So a training loop reads plain attributes that callbacks set, and whatever must not run concurrently with
it is passed to the kernel's event loop (`KernelThread.call`).
"""

import asyncio
import base64
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display
from torch import Tensor

from gantutor import show
from gantutor.errors import BadInput, GantutorError, real_number, reason, whole_number

TIME_SHARE = 0.025  # the share of the training time that displaying may take; polling the buttons comes on top
POLL = 0.02  # seconds between two polls of the buttons
TURN_GAP = 0.005  # seconds that a player leaves to other tasks between two turns
TURN_LENGTH = 0.03  # seconds that a player works without polling
PICTURE_GAP = 0.125  # least seconds between two pictures of a player
IDLE_LIMIT = 300.0  # seconds without a touch after which a player pauses


# ---------------------------------------------------------------- a redrawn place on the page


class Frame:
    """A picture of the live display with its line of text; where pictures cannot be shown, the text alone."""

    def __init__(self, picture: show.Picture, text: str):
        self.png, self.text = show.png(picture), text

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return self.text


class TextLine:
    """A line of text, shown without quotation marks."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Clock:
    """Schedules something every `every` seconds, or less often where it would take more than `part` of the time."""

    def __init__(self, every: float, part: float = TIME_SHARE):
        self.every, self.part = real_number("every", every, least=0), part
        self.next = time.perf_counter() + min(self.every, 0.1)

    def tick(self, began: float) -> None:
        now = time.perf_counter()
        self.next = now + max(self.every, (now - began) / self.part)


class Screen:
    """A place on the page whose content is replaced. In plain Python lines are printed instead.

    They come at least 10 s apart, and at increasing intervals of a tenth of the elapsed time.
    """

    def __init__(self):
        self.handle, self.plain = None, not in_notebook()
        self.began = self.next = time.perf_counter()

    def show(self, content: object) -> None:
        now = time.perf_counter()
        if not self.plain and self.handle is None:
            self.handle = display(content, display_id=True)
        elif not self.plain:
            self.handle.update(content)
        elif now >= self.next:
            print(content, flush=True)
            self.next = now + max(10.0, (now - self.began) / 10)


def in_notebook() -> bool:
    """Whether there is a kernel, and therefore a page to draw on."""
    return getattr(get_ipython(), "kernel", None) is not None


# ---------------------------------------------------------------- the kernel's thread


class KernelThread:
    """The thread and the event loop in which the object was made. In plain Python there is no loop."""

    def __init__(self):
        self.thread, self.waiting = threading.get_ident(), set()  # actions that were requested but not done yet
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None

    def call(self, action: Callable[[], None]) -> None:
        """Run the action now, or on the loop if this is another thread, so that it never runs during a step.

        An action that is already waiting is not queued twice, so dragging a slider redraws only as often as time
        allows.
        """
        if self.loop is None or threading.get_ident() == self.thread:
            action()
        elif action not in self.waiting:
            self.waiting.add(action)
            self.loop.call_soon_threadsafe(self.call_waiting, action)

    def call_waiting(self, action: Callable[[], None]) -> None:
        self.waiting.discard(action)
        action()


# ---------------------------------------------------------------- the panel


class Panel(widgets.VBox):
    """The base of all panels: `.picture` (a widgets.Image), `.message` (a line) and `.controls` {name: widget}.

    Where widgets are not shown, in a saved notebook or on a forge, the picture takes the place of the panel.
    """

    def __init__(self, controls: dict[str, widgets.Widget] | None = None, picture: widgets.Image | None = None):
        self.controls = controls or {}
        self.picture, self.message = image() if picture is None else picture, widgets.Label()
        super().__init__()

    def snapshot(self) -> bytes:
        """The current picture as the bytes of a PNG file, empty while there is none."""
        return self.picture.value

    def _repr_mimebundle_(self, **options: object) -> dict:
        bundle = super()._repr_mimebundle_(**options)
        if picture := self.snapshot():
            bundle["image/png"] = base64.b64encode(picture).decode()
        return bundle

    def attempt(self, act: Callable[[], None]) -> None:
        """Run an action requested on the page; if it fails, show the error there, where it can be seen."""
        try:
            act()
        except Exception as error:
            own = isinstance(error, GantutorError)
            self.message.value = str(error) if own else f"{type(error).__name__}: {reason(error)}."

    def close(self) -> None:
        """Remove the panel and everything it contains from the kernel's list of widgets."""
        for part in (self.picture, self.message, *self.controls.values()):
            close_children(part)
            part.close()
        close_children(self)
        super().close()


def close_children(widget: widgets.Widget) -> None:
    """Close everything a widget contains: its children and theirs, its layout and its style."""
    for part in list(descendants(widget)):
        part.close()


def descendants(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    for child in getattr(widget, "children", ()):
        yield from descendants(child)
        yield child
    yield from (getattr(widget, name) for name in ("layout", "style") if name in widget.keys)


def displayable(images: Tensor) -> Tensor:
    """The images (N, C, H, W) made displayable, even those of a diverged net: clamped to [-1, 1], with 0 for NaN."""
    return images.nan_to_num(0).clamp(-1, 1)


def image() -> widgets.Image:
    """An empty image widget that keeps its own size, or shrinks where the page is too narrow."""
    return widgets.Image(
        format="png", layout={"max_width": "100%", "align_self": "flex-start"}
    )  # otherwise it is stretched


def row(*children: widgets.Widget) -> widgets.Box:
    """Widgets from left to right, wrapped into further lines where they do not fit."""
    return widgets.Box(children, layout={"flex_flow": "row wrap"})


def button(name: str, press: Callable[[], None], icon: str = "", tooltip: str = "") -> widgets.Button:
    """A button, as wide as its name, that calls `press` without arguments."""
    made = widgets.Button(description=name, icon=icon, tooltip=tooltip or name, layout={"width": "auto"})
    made.on_click(lambda _: press())
    return made


# ---------------------------------------------------------------- controls


def explore(draw: Callable, **controls: object) -> "Explorer":
    """Controls above a picture that is redrawn whenever one of them changes.

    Args:
        draw: called with the value of each control, by name; returns a Pillow image or a figure. It should take less
            than 0.1 s.
        controls: name=(low, high, step, start) for a slider (over whole numbers if all four are), name=[1, 10, 100] for
            a slider over these numbers, name=["a", "b"] or name={"text": value, …} for a menu, name=True or False for a
            tick box, or a widget. Lists and menus start with the first entry. Underscores are shown as spaces.
    Returns: the box to display; set `box.controls[name].value` to move a slider from code.

    An error of `draw` for the first values is raised; later errors are shown under the picture.
    """
    box = Explorer(draw, {name: control(name.replace("_", " "), spec) for name, spec in controls.items()})
    box.redraw()
    return box


class Explorer(Panel):
    """What `explore` returns."""

    def __init__(self, draw: Callable, controls: dict[str, widgets.Widget]):
        super().__init__(controls)
        self.draw, self.home = draw, KernelThread()
        self.children = [row(*controls.values()), self.picture, self.message]
        for widget in controls.values():
            widget.observe(lambda change: self.home.call(self.follow), names="value")

    def follow(self) -> None:
        """Redraw for the current values of the controls, or show why that failed."""
        self.attempt(self.redraw)

    def redraw(self) -> None:
        picture = self.draw(**{name: widget.value for name, widget in self.controls.items()})
        self.picture.value, self.message.value = show.png(picture), ""


def control(name: str, spec: object) -> widgets.Widget:
    """The widget for one control of `explore`."""
    look = {"description": name, "style": {"description_width": "initial"}}
    if isinstance(spec, widgets.Widget):
        return spec
    if isinstance(spec, bool):
        return widgets.Checkbox(spec, indent=False, layout={"width": "auto"}, **look)
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
    raise BadInput(
        f"the control {name!r} is {spec!r}: give (low, high, step, start) with low ≤ start ≤ high and step "
        "> 0, a list, a dict, True or False."
    )


def menu(name: str, options: Sequence | dict, start: object) -> widgets.Dropdown:
    """A menu with its name in front, at `start`."""
    return widgets.Dropdown(
        options=options, value=start, description=name, style={"description_width": "initial"}, layout={"width": "auto"}
    )


def slider(name: str, values: Sequence[float], start: float) -> widgets.SelectionSlider:
    """A slider over these numbers, at `start`."""
    made = control(name, list(values))
    made.value = start
    return made


# ---------------------------------------------------------------- the pad


class Pad(widgets.GridBox):
    """A picture that can be clicked: a grid of transparent buttons laid over it.

    Args:
        width, height: in pixels.
        cells: buttons in a row and in a column.
        click: called with (x, y) when a cell is clicked: its middle, both in [-1, 1], y upwards.

    `.picture` is the image below the buttons, which should have this size. `.press(x, y)` clicks from code.
    """

    def __init__(self, width: int, height: int, cells: int, click: Callable[[float, float], None]):
        self.cells, self.click = whole_number("cells", cells, least=1), click
        size = {"width": f"{width}px", "height": f"{height}px"}
        place = {**size, "grid_area": "all", "margin": "0"}
        self.picture = widgets.Image(format="png", layout=place)
        across, down = (f"repeat({cells}, {length / cells:.6f}px)" for length in (width, height))
        self.buttons = widgets.GridBox(
            self._buttons(),
            layout={**place, "grid_template_columns": across, "grid_template_rows": down, "grid_gap": "0"},
        )
        layout = {**size, "grid_template_areas": "'all'", "flex": "0 0 auto", "overflow": "hidden"}
        super().__init__([self.picture, self.buttons], layout=layout)

    def _buttons(self) -> list[widgets.Button]:
        """The buttons row by row from the top. To save memory all share one layout and one style."""
        layout = widgets.Layout(width="auto", height="auto", margin="0", padding="0", min_width="0", border="0")
        style, made = widgets.ButtonStyle(button_color="transparent"), []
        for y in reversed(range(self.cells)):
            for x in range(self.cells):
                place = self.middle(x), self.middle(y)
                cell = widgets.Button(
                    layout=layout, style=style, tabbable=False, tooltip=f"({place[0]:.2f}, {place[1]:.2f})"
                )
                cell.on_click(lambda _, place=place: self.click(*place))
                made.append(cell)
        return made

    def middle(self, cell: int) -> float:
        """The middle of a cell in [-1, 1]; cells are counted from the left or from below."""
        return (2 * cell + 1) / self.cells - 1

    def press(self, x: float, y: float) -> None:
        """Click the cell that contains (x, y)."""
        column, line = (min(self.cells - 1, max(0, int((v + 1) / 2 * self.cells))) for v in (x, y))
        self.buttons.children[(self.cells - 1 - line) * self.cells + column].click()


# ---------------------------------------------------------------- playing in the background


class Player(KernelThread):
    """Plays in the background of the kernel, in short turns on its event loop, so that other cells still run.

    Args:
        turn: called again and again while it plays; should take about `SLICE` seconds.
        changed: called whenever playing begins or ends, with a sentence if it ended by itself, else with "".
        pause: seconds between two turns.
        instead: what to tell the user to do in plain Python, where nothing can play.

    At most one player plays in a kernel: starting or making one pauses the previous one. A player pauses after
    `IDLE_LIMIT` seconds without a touch, because a page that was closed sends no message.
    """

    active: "weakref.ref[Player] | None" = None

    def __init__(
        self, turn: Callable[[], None], changed: Callable[[str], None], pause: float = TURN_GAP, instead: str = ""
    ):
        super().__init__()
        self.turn, self.changed, self.rest, self.instead = turn, changed, pause, instead
        self.task, self.touched = None, time.perf_counter()
        pause_others(None)

    @property
    def is_playing(self) -> bool:
        return self.task is not None

    def call(self, action: Callable[[], None]) -> None:
        self.touched = time.perf_counter()
        super().call(action)

    def toggle(self) -> None:
        if self.is_playing:
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        if self.loop is None:
            self.changed(f"Playing needs a running notebook. {self.instead}".rstrip())
        elif not self.is_playing:
            pause_others(self)
            Player.active, self.touched = weakref.ref(self), time.perf_counter()
            self.task = self.loop.create_task(self.play())
            self.changed("")

    def stop(self, why: str = "") -> None:
        task, self.task = self.task, None
        if task is not None:
            if not task.done() and task is not current_task():
                task.cancel()
            self.changed(why)

    async def play(self) -> None:
        """Take turns until it is stopped or a turn fails."""
        why = ""
        try:
            while self.is_playing:
                if time.perf_counter() > self.touched + IDLE_LIMIT:
                    why = f"Paused after {IDLE_LIMIT / 60:.0f} minutes without a touch. Press Play to continue."
                    break
                self.turn()
                await asyncio.sleep(self.rest)
        except GantutorError as error:
            why = str(error)
        except Exception as error:
            why = f"Stopped by {type(error).__name__}: {reason(error)}."
            raise
        finally:
            if self.task is current_task():  # neither stopped nor restarted meanwhile
                self.stop(why)


def current_task() -> asyncio.Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def pause_others(me: Player | None) -> None:
    """Pause the active player, unless it is `me`."""
    other = None if Player.active is None else Player.active()
    if other is not None and other is not me:
        other.stop()
