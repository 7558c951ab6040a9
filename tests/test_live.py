"""`live.train` on a fake page to draw on, its buttons pressed while it trains; and the clock and the samples."""

import asyncio
import base64
import io
import itertools
import re
import signal
import threading
import time

import nbclient
import nbformat
import numpy as np
import pytest
import shades
import torch
from ipywidgets.widgets import widget
from PIL import Image
from waiting import until

from gantutor import live, losses, models, train
from gantutor.data import toy
from gantutor.errors import BadInput
from gantutor.live import panels, watch


class Place:
    """One place of the page: everything that was shown in it."""

    def __init__(self, first):
        self.shown = [first]

    def update(self, content):
        self.shown.append(content)


class Page(list):
    """Stands for the notebook page: its places, in the order in which they came."""

    def display(self, content, display_id):
        assert display_id
        self.append(Place(content))
        return self[-1]

    @property
    def frames(self) -> list:
        return self[0].shown if self else []

    def buttons(self) -> watch.Buttons:
        return self[1].shown[0]


@pytest.fixture
def page(monkeypatch):
    page = Page()
    monkeypatch.setattr(panels, "display", page.display)
    monkeypatch.setattr(panels, "in_notebook", lambda: True)
    return page


def make_run(seed=0):
    G, D = models.mlp((2,), latent_dim=4, g_hidden=(16,), d_hidden=(16,), output="linear", seed=seed)
    return train.Run(G, D, toy.ring().sample(500, 0), train.Recipe(batch_size=32))


def test_train_takes_the_same_steps_as_the_plain_loop_and_returns_their_losses(page):
    watched, plain = make_run(), make_run()
    history = asyncio.run(live.train(watched, 40, every=0.0))
    expected = [(s.index, s.d_loss.item(), s.g_loss.item()) for s in plain.steps(40)]
    np.testing.assert_allclose(history, expected, rtol=1e-6)
    assert all(
        torch.equal(a, b)
        for a, b in zip(watched.G_ema.state_dict().values(), plain.G_ema.state_dict().values(), strict=True)
    )
    assert len(page.frames) >= 3  # first, last and some between
    assert str(page.frames[-1]).startswith("step 40 of 40 ")
    assert Image.open(io.BytesIO(page.frames[-1]._repr_png_())).size[0] > 600


def test_train_returns_every_step_of_a_short_history_and_goes_on_where_it_stopped(page):
    run = make_run()
    history = asyncio.run(live.train(run, 300))
    assert [h[0] for h in history] == list(range(1, 301))
    assert asyncio.run(live.train(run, 2))[-1][0] == 302
    assert asyncio.run(live.train(run, seconds=0.05))[-1][0] > 302
    assert len(history) == 300  # what was returned stays
    assert asyncio.run(live.train(run, 0)) == []


def test_a_long_history_is_thinned_evenly_and_an_interrupted_one_is_not_empty(page, monkeypatch):
    monkeypatch.setattr(watch, "MOST_ENTRIES", 40)
    run = make_run()
    for length in ({"steps": 10**6}, {"seconds": 60.0}):
        first = run.step

        async def stop(enough=first + 150):
            await until(lambda: run.step >= enough)
            page[-1].shown[0].stop.click()

        page.clear()
        history, _ = asyncio.run(pressing(live.train(run, **length), stop()))
        indices = [h[0] for h in history]
        gap = indices[1] - indices[0]
        assert gap in (4, 8, 16)
        assert indices == [i for i in range(first + 1, run.step + 1) if i % gap == 0]
        assert 18 <= len(indices) <= 40
    assert indices[0] > 150


def test_losses_wait_in_bounded_number(monkeypatch):
    monkeypatch.setattr(watch, "MOST_ENTRIES", 8)
    losses = watch.Losses()
    for index in range(1, 101):
        losses.add(train.Step(index, torch.tensor(float(index)), torch.tensor(-float(index)), None, None))
        assert len(losses.waiting) <= 8
    losses.fetch()
    assert losses.entries == [(i, float(i), -float(i)) for i in range(16, 101, 16)]


@pytest.mark.parametrize(
    "length", [{}, {"steps": -1}, {"steps": 1.5}, {"seconds": 0}, {"steps": 1, "seconds": 1}, {"steps": 1, "every": -1}]
)
def test_train_shows_nothing_when_it_cannot_begin(page, length):
    with pytest.raises(BadInput):
        asyncio.run(live.train(make_run(), **length))
    assert page.frames == []


@pytest.mark.parametrize("length", [{"steps": 500, "every": -1}, {"steps": 500, "every": "x"},
                                    {"steps": 500, "every": float("nan")}, {"steps": 600, "seconds": 1}])  # fmt: skip
def test_a_refused_call_leaves_the_plan_as_it_was(page, length):
    run = make_run()
    for _ in zip(range(30), run.steps(600), strict=False):
        pass
    step = run.step
    with pytest.raises(BadInput):
        asyncio.run(live.train(run, **length))
    assert (run.step, run.plan) == (step, (0, 600))
    assert page == []


def test_a_plan_that_is_done_stays_done(page):
    run = make_run()
    history = asyncio.run(live.train(run, 60))
    assert asyncio.run(live.train(run)) == history
    assert run.step == len(history) == 60
    assert str(page[3].shown[-1]) == "Done: step 60 of 60."


@pytest.fixture
def interruptible():
    """In a job that a shell started in the background Python ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_keeps_what_was_learned(page, interruptible):
    run = make_run()

    def interrupt():
        while run.step < 20:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    history = asyncio.run(live.train(run, 10**7))
    assert 20 <= run.step < 10**6
    assert 0 <= run.step - history[-1][0] <= 64  # thinned by then, where the computer is fast
    assert str(page.frames[-1]).startswith(f"step {run.step:,} of 10,000,000")
    assert str(page[1].shown[-1]) == f"Stopped at step {run.step:,} of 10,000,000: run this cell again to go on."


def test_an_interrupt_inside_a_step_keeps_what_was_learned(page):
    run = make_run()

    def steps(n, seconds=None):
        yield from train.Run.steps(run, 5)
        raise KeyboardInterrupt

    run.steps = steps
    assert [h[0] for h in asyncio.run(live.train(run, 100))] == [1, 2, 3, 4, 5]


def test_plain_python_prints_few_lines_and_no_buttons(capsys):
    asyncio.run(live.train(make_run(), 400, every=0.01))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 0 of 400"
    assert lines[-2].startswith("step 400 of 400 ")
    assert lines[1:] == [lines[-2], "Done: step 400 of 400."]


def test_a_place_in_plain_python_prints_ever_less_often(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(panels.time, "perf_counter", lambda: now[0])
    screen = panels.Screen()
    for second in range(3600):
        now[0] = float(second)
        screen.show(second)
    printed = [int(line) for line in capsys.readouterr().out.split()]
    assert printed[:4] == [0, 10, 20, 30]
    assert all(later - earlier >= max(10, earlier / 10) for earlier, later in itertools.pairwise(printed))
    assert 30 < len(printed) < 60


SAVED = """
from gantutor import live, models, train
from gantutor.data import toy
run = train.Run(*models.plane(), toy.ring().sample(500, 0), train.PLANE)
history = await live.train(run, 30)
"""


@pytest.mark.slow
def test_a_saved_notebook_holds_the_last_pictures():
    cells = [nbformat.v4.new_code_cell(source) for source in (SAVED, "live.lab('ring')", "live.density()")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    picture, line = (output.data for output in notebook.cells[0].outputs)
    assert set(picture) == {"image/png", "text/plain"}
    assert picture["text/plain"].startswith("step 30 of 30 ")
    assert line == {"text/plain": "Done: step 30 of 30."}
    for cell, size in ((1, (400, 400)), (2, (800, 300))):
        (output,) = notebook.cells[cell].outputs
        assert set(output.data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
        assert Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).size == size


# --- buttons ---------------------------------------------------------------------------------------------------------


async def pressing(training, script):
    """The history, and how long it took; `script` runs beside the training and presses."""
    began = time.perf_counter()
    beside = asyncio.ensure_future(script)
    history = await asyncio.wait_for(training, 120)
    spent = time.perf_counter() - began
    await beside
    return history, spent


def test_stop_ends_it_soon_and_the_same_call_goes_on_to_the_same_end(page):
    run, plain = make_run(), make_run()
    pressed = []

    async def stop():
        await until(lambda: run.step >= 30)
        page.buttons().stop.click()
        pressed.append(run.step)

    history, _ = asyncio.run(pressing(live.train(run, 600), stop()))
    assert [run.step] == pressed
    assert 30 <= run.step < 600
    assert [h[0] for h in history] == list(range(1, run.step + 1))
    assert str(page[1].shown[-1]) == f"Stopped at step {run.step} of 600: run this cell again to go on."
    assert len(run.sample(5)) == 5

    whole = asyncio.run(live.train(run, 600))
    expected = [(s.index, s.d_loss.item(), s.g_loss.item()) for s in plain.steps(600)]
    np.testing.assert_allclose(whole, expected, rtol=1e-6)  # the rates fell as they would have
    assert len(history) < 600  # what was returned first is not touched
    assert str(page[3].shown[-1]) == "Done: step 600 of 600."
    assert asyncio.run(live.train(run, 600))[0][0] == 601  # that plan is done: another one


def test_other_steps_after_a_stop_are_a_new_plan(page):
    run = make_run()
    for _ in zip(range(10), run.steps(600), strict=False):
        pass
    assert [h[0] for h in asyncio.run(live.train(run, 20))] == list(range(11, 31))
    for _ in zip(range(10), run.steps(50), strict=False):
        pass
    assert [h[0] for h in asyncio.run(live.train(run))] == list(
        range(41, 81)
    )  # what was broken off, unwatched till then


def test_the_buttons_leave_no_widget_behind(page):
    before = set(widget._instances)
    asyncio.run(live.train(make_run(), 5))
    assert isinstance(page[1].shown[0], watch.Buttons)
    assert str(page[1].shown[-1]) == "Done: step 5 of 5."
    assert set(widget._instances) <= before


def test_an_error_on_the_way_takes_the_buttons_away(page):
    run = make_run()

    def look(run):
        if run.step:
            raise ValueError("no picture")
        return live.samples(run)

    with pytest.raises(ValueError, match="no picture"):
        asyncio.run(live.train(run, 10**5, look=look))
    assert str(page[1].shown[-1]) == ""


def test_pause_rests_and_resume_goes_on(page):
    run, rested = make_run(), []

    async def pause():
        await until(lambda: run.step >= 10)
        page.buttons().pause.click()
        assert page.buttons().pause.description == "Resume"
        await asyncio.sleep(0.1)
        rested.append(run.step)
        await asyncio.sleep(0.2)
        rested.append(run.step)
        rested.append(str(page.frames[-1]))
        page.buttons().pause.click()

    history, _ = asyncio.run(pressing(live.train(run, 400), pause()))
    assert rested[0] == rested[1] < 400
    assert rested[2].startswith(f"step {rested[0]} of 400 ")  # what is looked at is where it rests
    assert len(history) == run.step == 400


def test_stop_works_while_it_is_paused(page):
    run, paused = make_run(), []

    async def stop():
        await until(lambda: run.step >= 10)
        page.buttons().pause.click()
        paused.append(run.step)
        await asyncio.sleep(0.05)
        page.buttons().stop.click()

    asyncio.run(pressing(live.train(run, 10**6), stop()))
    assert [run.step] == paused


def test_a_pause_does_not_slow_the_examples_per_second(page):
    run = make_run()

    async def pause():
        await until(lambda: run.step >= 10)
        page.buttons().pause.click()
        await asyncio.sleep(1)
        page.buttons().pause.click()

    _, spent = asyncio.run(pressing(live.train(run, 800), pause()))
    speed = float(re.search(r"([\d,]+) examples/s", str(page.frames[-1]))[1].replace(",", ""))
    assert 800 * 32 / (spent - 0.8) < speed


def test_stop_does_not_wait_for_the_next_step(page):
    run, pressed = make_run(), []

    async def stop():
        await until(lambda: run.step >= 5)
        page.buttons().rate = 1e-4  # the next step would come after hours
        await asyncio.sleep(0.1)
        page.buttons().stop.click()
        pressed.append(run.step)

    asyncio.run(pressing(live.train(run, 10**6), stop()))
    assert [run.step] == pressed


def test_the_speed_is_what_the_menu_says(page, monkeypatch):
    now, at, real_sleep = [0.0], [], asyncio.sleep

    async def sleep(seconds):
        now[0] += seconds
        await real_sleep(0)

    def timed(steps):
        for step in steps:
            now[0] += 0.013  # what a step takes
            at.append(now[0])
            yield step

    monkeypatch.setattr(panels.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(asyncio, "sleep", sleep)
    watching = watch.Watch(make_run(), 30, None, 1e9, live.samples, {})
    watching.buttons.speed.value = 10
    watching.steps_left = timed(watching.steps_left)
    assert asyncio.run(watching.take_steps())
    np.testing.assert_allclose(np.diff(at), 0.1, rtol=1e-9)


def test_flags_may_be_set_from_another_thread(page):
    run = make_run()

    def press():
        while run.step < 20:
            time.sleep(0.001)
        page.buttons().stop.click()

    thread = threading.Thread(target=press)
    thread.start()
    asyncio.run(live.train(run, 10**6))
    thread.join()
    assert 20 <= run.step < 10**6


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_are_shown_at_the_beginning_and_at_the_end_but_seldom_between(page):
    run, asked = make_run(), []

    def where(run):
        asked.append(run.step)
        return 2 * run.step

    asyncio.run(
        live.train(run, 300, every=0.0, metrics={"twice the step": where, "pi": lambda run: torch.tensor(3.14159)})
    )
    assert asked == [0, 300]  # every 5 s
    assert str(page.frames[0]) == "step 0 of 300 · twice the step 0 · pi 3.142"
    assert str(page.frames[-1]).endswith(" · twice the step 600 · pi 3.142")
    heights = {Image.open(io.BytesIO(frame._repr_png_())).size[1] for frame in (page.frames[0], page.frames[-1])}
    asyncio.run(live.train(run, 1))
    assert heights == {Image.open(io.BytesIO(page[2].shown[0]._repr_png_())).size[1] + 24}  # a line more


def test_metrics_are_measured_again_when_they_are_due_and_once_a_step(page, monkeypatch):
    monkeypatch.setattr(watch, "METRICS_EVERY", 0.0)
    monkeypatch.setattr(watch, "TIME_SHARE", 1e6)  # always due
    asked = []
    asyncio.run(live.train(make_run(), 40, every=0.0, metrics={"n": lambda run: asked.append(run.step) or 0}))
    assert asked[0] == 0
    assert asked[-1] == 40
    assert asked == sorted(set(asked))
    assert len(asked) >= 4


def test_metrics_are_not_looked_at_after_stop(page):
    run, asked = make_run(), []

    async def stop():
        await until(lambda: run.step >= 20)
        page.buttons().stop.click()

    metrics = {"n": lambda run: asked.append(run.step) or 7}
    asyncio.run(pressing(live.train(run, 10**6, metrics=metrics), stop()))
    assert asked == [0]
    assert str(page.frames[-1]).endswith(" · n 7")


@pytest.mark.parametrize(("value", "why"), [(None, "argument must be a string or a real number, not 'NoneType'"),
                                            (torch.ones(2), "element")])  # fmt: skip
def test_a_metric_that_gives_no_number_is_named(page, value, why):
    with pytest.raises(BadInput, match=f"^the metric 'm': .*{why}.*: give a function that returns one number.$"):
        asyncio.run(live.train(make_run(), 5, metrics={"m": lambda run: value}))


def test_a_metric_that_fails_at_the_end_leaves_the_old_number(page):
    def late(run):
        if run.step == 50:
            raise ZeroDivisionError("nothing there.")
        return 3

    assert len(asyncio.run(live.train(make_run(), 50, metrics={"m": late}))) == 50
    assert str(page.frames[-1]).endswith(" · m 3")
    expected = (
        "Done: step 50 of 50. Not measured: the metric 'm': nothing there: give a function that returns one number."
    )
    assert str(page[1].shown[-1]) == expected


def test_a_metric_that_is_no_function_is_named(page):
    with pytest.raises(BadInput, match="the metric 'fid' is 3: give a function of the run"):
        asyncio.run(live.train(make_run(), 5, metrics={"fid": 3}))
    assert page == []


@pytest.mark.parametrize(("part", "drawn"), [(0.04, 38), (0.02, 19)])
def test_the_clock_keeps_drawing_within_its_share_of_the_time(monkeypatch, part, drawn):
    now = [0.0]
    monkeypatch.setattr(panels.time, "perf_counter", lambda: now[0])
    clock = live.Clock(0.5, part)
    spent, frames = 0.0, 0
    while now[0] < 100:
        now[0] += 0.01  # a step
        if now[0] > clock.next:
            began, cost = now[0], 0.1
            now[0] += cost
            clock.tick(began)
            spent, frames = spent + cost, frames + 1
    assert drawn <= frames <= drawn + 2
    assert spent / (now[0] - spent) < part * 1.03


@pytest.mark.parametrize("metrics", [False, True])
def test_a_slow_look_takes_its_share_of_the_training_time_only(page, monkeypatch, metrics):
    now, drawing = [0.0], [0.0]
    monkeypatch.setattr(panels.time, "perf_counter", lambda: now[0])
    run, zero = make_run(), torch.zeros(())

    def take_step():
        now[0] += 0.02
        run.step += 1
        return train.Step(run.step, zero, zero, zero, zero)

    def slow(cost, result):
        now[0] += cost
        drawing[0] += cost
        return result

    monkeypatch.setattr(run, "take_step", take_step)
    numbers = {"m": lambda run: slow(0.5, 1)} if metrics else None
    blank = Image.new("RGB", (9, 9))
    asyncio.run(live.train(run, 10_000, look=lambda run: slow(0.1, blank), metrics=numbers))
    assert 0.015 < drawing[0] / now[0] <= 0.05


# --- samples ---------------------------------------------------------------------------------------------------------


def test_samples_of_images_are_a_grid_and_other_data_needs_a_look(page):
    G, D = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))
    run = train.Run(G, D, torch.rand(100, 1, 8, 8) * 2 - 1)
    assert live.samples(run).size == (8 * (8 * 7 + 2) + 2,) * 2  # the largest whole scale within 480 pixels
    G, D = models.mlp((3,), g_hidden=(16,), d_hidden=(16,))
    run = train.Run(G, D, torch.rand(100, 3))
    with pytest.raises(BadInput, match="look="):
        asyncio.run(live.train(run, 1))
    asyncio.run(live.train(run, 1, look=lambda run: Image.new("RGB", (9, 9))))


def test_samples_of_points_are_blue_for_the_data_and_orange_for_the_generator(monkeypatch):
    run = make_run()
    run.examples = torch.tensor([[1.0, 1.0]]).expand(20, 2)
    monkeypatch.setattr(run, "sample", lambda n: torch.tensor([[-1.0, -1.0]]).expand(n, 2))
    picture = live.samples(run)
    near = (1 - 1 / 1.35) / 2 * 320  # pixels from the edge
    assert picture.getpixel((320 - near, near)) == (0, 114, 178)
    assert picture.getpixel((near, 320 - near)) == (213, 94, 0)


def test_samples_of_a_run_that_diverged_can_be_shown():
    G, D = models.mlp((1, 8, 8), g_hidden=(16,), d_hidden=(16,))
    run = train.Run(G, D, torch.rand(100, 1, 8, 8) * 2 - 1)
    for value, grey in ((float("nan"), 128), (float("inf"), 255), (-5.0, 0)):
        run.sample = lambda n, value=value: torch.full((n, 1, 8, 8), value)
        assert abs(live.samples(run).getpixel((30, 30)) - grey) <= 1


@pytest.mark.parametrize(("classes", "rows"), [(2, 10), (10, 8), (16, 5)])
def test_samples_of_a_conditional_run_have_a_column_for_each_class(classes, rows):
    picture = np.asarray(live.samples(shades.run(classes)), dtype=int)
    middles = picture[30::58, 30::58]  # one pixel of each image: 8 × 7 wide, and a line of 2
    assert middles.shape == (rows, classes)
    assert np.abs(middles - (np.arange(classes) / classes + 1) * 127.5).max() <= 1


def test_samples_of_many_classes_come_as_they_are():
    middles = np.asarray(live.samples(shades.run(17)), dtype=int)[30::58, 30::58]
    assert middles.shape == (8, 8)
    assert np.abs(middles.flatten() - (np.arange(64) % 17 / 17 + 1) * 127.5).max() <= 1


def test_every_loss_can_be_watched(page):
    for loss in losses.LOSSES.values():
        G, D = models.mlp((2,), g_hidden=(8,), d_hidden=(8,), output="linear")
        run = train.Run(G, D, toy.ring().sample(100, 0), train.Recipe(loss=loss))
        asyncio.run(live.train(run, 3))
