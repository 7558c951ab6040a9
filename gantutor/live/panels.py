"""The parts that every explorer is made of: the panel with its picture, controls, the pad, and what plays by itself.

Callbacks may come on another thread than the one that runs the cells: JupyterLab delivers them on a subshell where it
can. So what a training loop looks at is a plain attribute, and what must not run beside it is handed to the kernel's
loop (`Home.do`).
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

TIME_SHARE = 0.025  # the part of the training time that displaying may take; the loop's own looks come on top
POLL = 0.02  # seconds between two looks at whether somebody pressed a button
TURN_GAP = 0.005  # seconds that a player leaves to others between two turns
TURN_LENGTH = 0.03  # seconds that a player works without a look
PICTURE_GAP = 0.125  # seconds between two pictures of a player, at least
IDLE_LIMIT = 300.0  # seconds after which a player that nobody touched pauses


# ---------------------------------------------------------------- one place on the page, redrawn


class Frame:
    """One picture of the live display with its line of text; where no picture can be shown, the text alone."""

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
    """When to do something next: after `every` seconds, later where doing it would take over `part` of the time."""

    def __init__(self, every: float, part: float = TIME_SHARE):
        self.every, self.part = real_number("every", every, least=0), part
        self.next = time.perf_counter() + min(self.every, 0.1)

    def tick(self, began: float) -> None:
        now = time.perf_counter()
        self.next = now + max(self.every, (now - began) / self.part)


class Screen:
    """One place on the page whose content is replaced. Plain Python has no such place: it prints a line now and then.

    The lines come after 10 s at the earliest, and the later the longer it goes on: a tenth of the time spent.
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
    """Whether there is a kernel, and so a page that can be drawn on."""
    return getattr(get_ipython(), "kernel", None) is not None


# ---------------------------------------------------------------- one thread


class KernelThread:
    """Where it was made: a thread, and the loop that runs there. In plain Python there is no loop."""

    def __init__(self):
        self.thread, self.waiting = threading.get_ident(), set()  # what was asked for and is not done yet
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None

    def do(self, action: Callable[[], None]) -> None:
        """Do it now, or on the loop where this is another thread: never beside a step of training.

        What waits already is not asked for twice: so a slider that is dragged draws as often as there is time.
        """
        if self.loop is None or threading.get_ident() == self.thread:
            action()
        elif action not in self.waiting:
            self.waiting.add(action)
            self.loop.call_soon_threadsafe(self.now, action)

    def now(self, action: Callable[[], None]) -> None:
        self.waiting.discard(action)
        action()


# ---------------------------------------------------------------- the panel


class Panel(widgets.VBox):
    """The common base: `.picture` (a widgets.Image), `.message` (a line) and `.controls` {name: widget}.

    Where widgets are not shown, in a saved notebook or on a forge, the picture stands in for the panel.
    """

    def __init__(self, controls: dict[str, widgets.Widget] | None = None, picture: widgets.Image | None = None):
        self.controls = controls or {}
        self.picture, self.message = image() if picture is None else picture, widgets.Label()
        super().__init__()

    def still(self) -> bytes:
        """The present picture as the bytes of a PNG file, empty while there is none."""
        return self.picture.value

    def _repr_mimebundle_(self, **options: object) -> dict:
        bundle = super()._repr_mimebundle_(**options)
        if picture := self.still():
            bundle["image/png"] = base64.b64encode(picture).decode()
        return bundle

    def attempt(self, act: Callable[[], None]) -> None:
        """Do what was asked for on the page, or say there why it cannot be done: nobody would see the error."""
        try:
            act()
        except Exception as error:
            own = isinstance(error, GantutorError)
            self.message.value = str(error) if own else f"{type(error).__name__}: {reason(error)}."

    def close(self) -> None:
        """Take the panel and all its parts off the kernel's list of widgets."""
        for part in (self.picture, self.message, *self.controls.values()):
            close_children(part)
            part.close()
        close_children(self)
        super().close()


def close_children(widget: widgets.Widget) -> None:
    """Close what a widget holds: its children with all they hold, its layout and its style."""
    for part in list(descendants(widget)):
        part.close()


def descendants(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    for child in getattr(widget, "children", ()):
        yield from descendants(child)
        yield child
    yield from (getattr(widget, name) for name in ("layout", "style") if name in widget.keys)


def displayable(images: Tensor) -> Tensor:
    """Images (N, C, H, W) that can be shown, whatever a net that diverges makes: in [-1, 1], NaN in the middle."""
    return images.nan_to_num(0).clamp(-1, 1)


def image() -> widgets.Image:
    """An empty picture in its own size, reduced where the page is too narrow."""
    return widgets.Image(format="png", layout={"max_width": "100%", "align_self": "flex-start"})  # else stretched


def row(*children: widgets.Widget) -> widgets.Box:
    """Widgets from left to right, in further lines where they do not fit."""
    return widgets.Box(children, layout={"flex_flow": "row wrap"})


def button(name: str, press: Callable[[], None], icon: str = "", tooltip: str = "") -> widgets.Button:
    """A button, as wide as its name, that calls `press` without arguments."""
    made = widgets.Button(description=name, icon=icon, tooltip=tooltip or name, layout={"width": "auto"})
    made.on_click(lambda _: press())
    return made


# ---------------------------------------------------------------- controls


def explore(draw: Callable, **controls: object) -> "Explorer":
    """Sliders above a picture that is drawn again whenever one moves.

    Args:
        draw: called with one value per control, by name; returns a Pillow image or a figure. Keep it under 0.1 s.
        controls: name=(low, high, step, start) for a slider (over whole numbers if all four are), name=[1, 10, 100]
            for a slider over these numbers, name=["a", "b"] or name={"text": value, …} for a menu, name=True or False
            for a tick box, or a widget. Lists and menus start at the first entry. Underscores are shown as spaces.
    Returns: the box to show; `box.controls[name].value = …` moves a slider from code.

    What `draw` raises for the first values is raised; later it is said under the picture.
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
            widget.observe(lambda change: self.home.do(self.follow), names="value")

    def follow(self) -> None:
        """Draw for the values that the controls show now, or say why they cannot be drawn."""
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
    raise BadInput(f"the control {name!r} is {spec!r}: give (low, high, step, start), a list, True or False.")


def menu(name: str, options: Sequence | dict, start: object) -> widgets.Dropdown:
    """A menu with its name in front that begins at `start`."""
    return widgets.Dropdown(
        options=options, value=start, description=name, style={"description_width": "initial"}, layout={"width": "auto"}
    )


def slider(name: str, values: Sequence[float], start: float) -> widgets.SelectionSlider:
    """A slider over these numbers that begins at `start`."""
    made = control(name, list(values))
    made.value = start
    return made


# ---------------------------------------------------------------- the pad


class Pad(widgets.GridBox):
    """A picture that can be clicked: a grid of transparent buttons laid over it.

    Args:
        width, height: in pixels.
        cells: buttons in a row and in a column.
        click: called with the place (x, y) of a click, both in [-1, 1], y upwards: the middle of a cell.

    `.picture` is the picture below the buttons; it should have this size. `.press(x, y)` clicks from code.
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
        """Row by row from the top. All share one layout and one style, so that they are light."""
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
        """Where the middle of a cell lies, counted from the left or from below."""
        return (2 * cell + 1) / self.cells - 1

    def press(self, x: float, y: float) -> None:
        """Click the cell in which the place lies."""
        column, line = (min(self.cells - 1, max(0, int((v + 1) / 2 * self.cells))) for v in (x, y))
        self.buttons.children[(self.cells - 1 - line) * self.cells + column].click()


# ---------------------------------------------------------------- what plays by itself


class Player(KernelThread):
    """Plays in the background of the kernel: short turns on its loop, so that other cells keep working.

    Args:
        turn: called again and again while it plays; should take about `SLICE` seconds.
        changed: called whenever playing begins or ends, with a sentence where it ended by itself, else "".
        pause: seconds between two turns.
        instead: what to do in plain Python, where nothing plays.

    In a kernel at most one plays: who starts, or is made, pauses the one before. A player that nobody touches pauses
    after `PATIENCE` seconds, for a page that was closed cannot say so.
    """

    playing: "weakref.ref[Player] | None" = None

    def __init__(
        self, turn: Callable[[], None], changed: Callable[[str], None], pause: float = TURN_GAP, instead: str = ""
    ):
        super().__init__()
        self.turn, self.changed, self.rest, self.instead = turn, changed, pause, instead
        self.task, self.touched = None, time.perf_counter()
        pause_others(None)

    @property
    def on(self) -> bool:
        return self.task is not None

    def do(self, action: Callable[[], None]) -> None:
        self.touched = time.perf_counter()
        super().do(action)

    def toggle(self) -> None:
        if self.on:
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        if self.loop is None:
            self.changed(f"This takes a running notebook. {self.instead}".rstrip())
        elif not self.on:
            pause_others(self)
            Player.playing, self.touched = weakref.ref(self), time.perf_counter()
            self.task = self.loop.create_task(self.play())
            self.changed("")

    def stop(self, why: str = "") -> None:
        task, self.task = self.task, None
        if task is not None:
            if not task.done() and task is not current_task():
                task.cancel()
            self.changed(why)

    async def play(self) -> None:
        """Turns until somebody stops it, or a turn fails."""
        why = ""
        try:
            while self.on:
                if time.perf_counter() > self.touched + IDLE_LIMIT:
                    why = f"Paused after {IDLE_LIMIT / 60:.0f} minutes without a touch. Press Play to go on."
                    break
                self.turn()
                await asyncio.sleep(self.rest)
        except GantutorError as error:
            why = str(error)
        except Exception as error:
            why = f"Stopped by {type(error).__name__}: {reason(error)}."
            raise
        finally:
            if self.task is current_task():  # neither stopped nor started anew
                self.stop(why)


def current_task() -> asyncio.Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def pause_others(me: Player | None) -> None:
    """Pause what plays, unless that is `me`."""
    other = Player.playing and Player.playing()
    if other is not None and other is not me:
        other.stop()
