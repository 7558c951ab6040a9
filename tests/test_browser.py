"""Widgets in a real JupyterLab, driven by a headless browser. Needs `pip install playwright` and Chromium or Chrome.

Without them the tests are skipped, but not in .ci/run.
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from extras import BROWSER, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

CARD = """
from PIL import Image
from gantutor import live, museum
e = museum.exhibit("images-as-logits")
live.spot(e.code(), Image.new("RGB", (60, 40), "black"), ["the weather", e.title], e.title, e.cause)
"""

RUN = """
from gantutor import live, models, train
from gantutor.data import toy
ring = toy.ring(std=0.05)
run = train.Run(*models.plane(0), ring.sample(2000, 0) / ring.spread, train.PLANE)
"""
# When the button was pressed, as the kernel saw it: its callback sets a plain attribute.
WATCH = """
from gantutor.live import watch
pressed = []
request_stop = watch.Buttons.request_stop
def noted(self):
    pressed.append(run.step)
    request_stop(self)
watch.Buttons.request_stop = noted
history = await live.train(run, 1_000_000, metrics={"points": lambda run: len(run.examples)})
"""
AFTER = """
print("usable", tuple(run.sample(3).shape), 0 <= run.step - history[-1][0] < 64)
print("steps after the press:", run.step - pressed[-1])
"""
LAB = "lab = live.lab('ring')\nlab"
LATENT = """
from gantutor import data
from gantutor.data import strokes
drawn = strokes.draw(300, 0)
images = data.Images("strokes", drawn.pixels / 127.5 - 1, drawn.digit, tuple("0123456789"))
digits = train.Run(*models.mlp(classes=10), images)
for step in digits.steps(20):
    pass
explorer = live.latent(digits)
explorer
"""
MONITOR = """
import time
import torch
from torch import nn
from gantutor import doctor, live
from gantutor.data import strokes
real = strokes.draw(600, 0).pixels / 127.5 - 1
G = nn.Sequential(nn.Linear(8, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))
G.latent_dim = 8
D = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
monitor = doctor.Monitor(G, D, real, every=10, say=None)
live.monitor(monitor)
"""
LOOP = """
while monitor.steps < 1000:  # a loop that nobody awaits, as people have them
    monitor.step(d_loss=1.3 if monitor.steps < 60 else float("nan"), g_loss=0.9)
    time.sleep(0.02)
print("the loop has ended")
"""
NOTEBOOKS = {
    "card": [CARD],
    "train": [RUN, WATCH, AFTER],
    "lab": [RUN, LAB, "print('other cells work', 6 * 7)"],
    "latent": [RUN, LATENT],
    "monitor": [MONITOR, LOOP],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A browser without a window, or the word that it is missing, before anything else is started."""
    from playwright import sync_api

    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab with all the notebooks."""
    home = tmp_path_factory.mktemp("jupyter")
    root = home / "root"
    root.mkdir()
    for name, cells in NOTEBOOKS.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, root / f"{name}.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    homes = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    env = {**os.environ, **{name: str(home / name) for name in homes}}
    options = f"--no-browser --allow-root --port={port} --ServerApp.root_dir={root} --LabApp.expose_app_in_browser=True"
    with open(home / "log", "w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options.split(), "--IdentityProvider.token=t"]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_port(process, port, home / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()
        process.wait()


def wait_for_port(process: subprocess.Popen, port: int, log: Path) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def page(request, browser, server) -> Iterator[object]:
    """The notebook that the test names, in the browser, its cells running."""
    page = browser.new_page(viewport={"width": 1200, "height": 1200})
    page.set_default_timeout(30_000)
    workspace = request.param  # of its own, or JupyterLab opens the notebooks of the tests before too
    page.goto(f"{server}/lab/workspaces/{workspace}/tree/{request.param}.ipynb?token=t")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function("document.body.innerText.includes('| Idle')")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")  # not waiting for its end
    yield page
    page.close()


def notebook(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", [name], indirect=True)


def outputs(page) -> str:
    return "\n".join(page.locator(".jp-OutputArea-output").all_inner_texts())


def says(page, text: str) -> str:
    """Wait until the outputs hold this text; returns them."""
    return until(lambda: text in outputs(page) and outputs(page), f"no output says {text!r}")


def until(condition, otherwise: str, limit: float = 30):
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)
    return found


DIGEST = """
async image => {
    const bytes = await (await fetch(image.src)).arrayBuffer();
    return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))).join();
}
"""


def content(image) -> str:
    """A hash of what an <img> shows."""
    return image.evaluate(DIGEST)


def changes(image, act) -> str:
    """Do it, and wait until the picture is another one."""
    before = content(image)
    act()
    return until(lambda: (now := content(image)) != before and now, "the picture has not changed")


def press(page, name: str):
    return lambda: page.locator(f".jp-OutputArea-output button:has-text('{name}')").click()


def slider(page, name: str):
    """The handle of the slider that is called so; it takes arrow keys."""
    return page.locator(".widget-hslider", has=page.get_by_text(name, exact=True)).locator(".noUi-handle")


def cells_of_pad(page):
    return page.locator(".jp-OutputArea-output .widget-gridbox .widget-gridbox button")


@notebook("card")
def test_a_card_answers_a_guess_and_reveals(page):
    page.wait_for_selector("input[type=radio]")
    card = page.locator(".jp-OutputArea-output").last
    assert "softplus(fake)" in card.inner_text()
    assert "D is never consulted" not in card.inner_text()
    page.get_by_label("the weather", exact=True).check()
    says(page, "Not that")
    page.get_by_role("button", name="Reveal").click()
    says(page, "D is never consulted")
    assert re.search(r"It is: G's loss computed on its images", card.inner_text())
    page.get_by_label("G's loss computed on its images as if they were logits").check()
    says(page, "Yes: G")


@notebook("train")
def test_a_training_is_paused_slowed_and_stopped_at_once(page):
    page.wait_for_selector("button:has-text('Stop')")
    frame = page.locator(".jp-RenderedImage img")
    for _ in range(3):  # three times a new picture, in the same place
        changes(frame, lambda: None)
        assert page.locator(".jp-OutputArea-output").count() == 2
    press(page, "Pause")()
    page.wait_for_selector("button:has-text('Resume')")
    time.sleep(0.5)
    rests = content(frame)
    time.sleep(1.5)
    assert content(frame) == rests
    changes(frame, press(page, "Resume"))
    page.locator(".jp-OutputArea-output select").select_option("10 steps/s")
    changes(frame, lambda: None)
    press(page, "Stop")()
    text = says(page, "steps after the press: ")
    assert re.search(r"Stopped at step [\d,]+ of 1,000,000: run this cell again to go on\.", text)
    assert "usable (3, 2) True" in text
    assert int(re.search(r"after the press: (\d+)", text)[1]) <= 1  # at 10 a second
    assert page.locator(".jp-OutputArea-output button").count() == 0
    assert page.locator(".jp-RenderedImage img").count() == 1


@notebook("lab")
def test_the_laboratory_steps_plays_listens_to_the_keyboard_and_is_drawn_in(page):
    page.wait_for_selector("button:has-text('D step')")
    picture = page.locator(".widget-gridbox img")
    changes(picture, press(page, "D step"))
    assert re.search(r"step\s+0\s", outputs(page))
    changes(picture, press(page, "G step"))
    assert re.search(r"step\s+1\s", outputs(page))
    changes(picture, press(page, "Play"))
    says(page, "8 of 8")
    press(page, "Pause")()
    page.wait_for_selector("button:has-text('Play')")

    slider(page, "R1 γ").focus()
    page.keyboard.press("Home")
    says(page, "Without R1 the game may circle")
    page.keyboard.press("ArrowRight")
    until(lambda: "Without R1" not in outputs(page), "the advice has not gone")

    page.locator(".jp-OutputArea-output select").first.select_option("drawn")
    says(page, "0 of 0")
    for count, cell in ((1, 50), (2, 144)):
        changes(picture, cells_of_pad(page).nth(cell).click)
        says(page, f"of {count}")
    assert "other cells work 42" in outputs(page)  # and ran while the laboratory was there


@notebook("monitor")
def test_the_card_of_a_monitor_is_drawn_anew_while_the_loop_runs(page):
    until(lambda: re.search(r"step [2-9]\d: nothing wrong so far", outputs(page)), "no look was shown")
    picture = page.locator(".jp-OutputArea-output img").first
    changes(picture, lambda: None)
    text = says(page, "non finite")
    assert "the loop has ended" not in text
    step = int(re.search(r"step ([\d,]+): [^\n]*non finite", text)[1].replace(",", ""))
    assert 60 <= step < 1000
    assert re.search(r"\nstep \d+: D gives", text)  # the list of what it has said


@notebook("latent")
def test_the_latent_explorer_follows_pad_menu_and_keyboard(page):
    page.wait_for_selector("button:has-text('Walk')")
    output = page.locator(".jp-OutputArea-output").last
    shown, chart = output.locator("img").last, output.locator("img").first
    seen = {content(shown), changes(shown, cells_of_pad(page).nth(3).click)}
    seen.add(changes(shown, lambda: output.locator("select").select_option("7")))
    slider(page, "direction 3").focus()
    seen.add(changes(shown, lambda: page.keyboard.press("ArrowRight")))
    seen.add(changes(shown, page.get_by_label("nearest training images").check))
    assert len(seen) == 5
    changes(chart, press(page, "Walk"))
    press(page, "Pause")()
    page.wait_for_selector("button:has-text('Walk')")
