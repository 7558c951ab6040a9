"""Widgets in a real JupyterLab, driven by a headless browser. Needs `pip install playwright` and Chromium or Chrome."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome here")]

CARD = """
from PIL import Image
from gantutor import live, museum
e = museum.exhibit("images-as-logits")
live.spot(e.code(), Image.new("RGB", (60, 40), "black"), ["the weather", e.title], e.title, e.cause)
"""


@pytest.fixture
def lab(tmp_path) -> Iterator[str]:
    """The address of a notebook with one card, in a JupyterLab of its own."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CARD.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    root = tmp_path / "root"
    root.mkdir()
    nbformat.write(notebook, root / "card.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    homes = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    env = {**os.environ, **{name: str(tmp_path / name) for name in homes}}
    options = f"--no-browser --allow-root --port={port} --ServerApp.root_dir={root} --LabApp.expose_app_in_browser=True"
    with open(tmp_path / "log", "w") as log:
        command = [sys.executable, "-m", "jupyterlab", *options.split(), "--IdentityProvider.token=t"]
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_port(process, port, tmp_path / "log")
        yield f"http://127.0.0.1:{port}/lab/tree/card.ipynb?token=t"
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
def page(lab):
    """The notebook in the browser, its cells run."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 1200})
        page.goto(lab, timeout=60_000)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_function("document.body.innerText.includes('| Idle')", timeout=60_000)
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        yield page
        browser.close()


def test_a_card_answers_a_guess_and_reveals(page):
    page.wait_for_selector("input[type=radio]", timeout=60_000)
    card = page.locator(".jp-OutputArea-output").last
    assert "softplus(fake)" in card.inner_text()
    assert "D is never consulted" not in card.inner_text()
    page.get_by_label("the weather", exact=True).check()
    page.wait_for_function("document.body.innerText.includes('Not that')", timeout=20_000)
    page.get_by_role("button", name="Reveal").click()
    page.wait_for_function("document.body.innerText.includes('D is never consulted')", timeout=20_000)
    assert re.search(r"It is: G's loss computed on its images", card.inner_text())
    page.get_by_label("G's loss computed on its images as if they were logits").check()
    page.wait_for_function("document.body.innerText.includes('Yes: G')", timeout=20_000)
