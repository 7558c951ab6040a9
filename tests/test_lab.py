"""`gantutor lab`: what it hands over to Jupyter, and Jupyter itself, started for real."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from extras import BROWSER, needs_browser

from gantutor import cli
from gantutor.cli import common, lab

COURSE = Path(__file__).resolve().parents[1]


class Handover(BaseException):
    """Stands in for the end of this process."""


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """An installed package, and a course in the current folder."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_start_here.ipynb").write_text("{}")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")  # and put back afterwards
    monkeypatch.setattr(common, "ROOT", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def handed_over(monkeypatch, *options: str, user: int = 1000) -> list[str]:
    """The command that replaces this process."""

    def execv(program, command):
        assert program == sys.executable
        raise Handover(command)

    monkeypatch.setattr(lab.os, "execv", execv)
    monkeypatch.setattr(lab.signal, "signal", lambda *args: None)  # what comes before exec is not for this process
    monkeypatch.setattr(lab.os, "name", "posix")
    monkeypatch.setattr(lab.os, "geteuid", lambda: user, raising=False)
    with pytest.raises(Handover) as caught:
        cli.main(["lab", *options])
    return caught.value.args[0]


@pytest.mark.skipif(os.name == "nt", reason="a path cannot be made for another system")
def test_lab_becomes_jupyterlab_with_the_repository_as_root(course, monkeypatch, capsys):
    command = handed_over(monkeypatch, "--no-browser", "--port", "8890", "--ServerApp.ip=0.0.0.0")
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={course}" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command
    assert command[-4:] == ["--no-browser", "--port", "8890", "--ServerApp.ip=0.0.0.0"]
    assert "--allow-root" not in command
    assert capsys.readouterr() == ("", "")
    assert os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep) == ["mine", str(lab.SETTINGS)]


@pytest.mark.skipif(os.name == "nt", reason="a path cannot be made for another system")
def test_lab_as_root_says_what_it_adds(course, monkeypatch, capsys):
    assert handed_over(monkeypatch, user=0).count("--allow-root") == 1
    assert "--allow-root" in capsys.readouterr().err
    assert handed_over(monkeypatch, "--allow-root", user=0).count("--allow-root") == 1
    assert capsys.readouterr().err == ""


def test_lab_without_jupyter_says_so(course, monkeypatch, capsys):
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    assert cli.main(["lab"]) == 2
    assert "JupyterLab is not installed" in capsys.readouterr().err


def test_on_windows_lab_waits_for_jupyter_through_ctrl_c(monkeypatch):
    class Jupyter:
        waits = 0

        def __init__(self, command):
            assert command == ["jupyter"]

        def wait(self):
            self.waits += 1
            if self.waits == 1:
                raise KeyboardInterrupt
            return 7

    with monkeypatch.context() as patch:
        patch.setattr(lab.os, "name", "nt")
        patch.setattr(lab.os, "execv", lambda *args: pytest.fail("exec"))
        patch.setattr(lab.subprocess, "Popen", Jupyter)
        status = lab.hand_over(["jupyter"])
    assert status == 7


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_lab_is_ours(option, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["lab", option])
    assert ended.value.code == 0
    assert "All options go to Jupyter" in capsys.readouterr().out


# --- the real thing --------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[subprocess.Popen, str]]:
    """A running `gantutor lab`, started in another folder, and the URL that it printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    homes = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    env = {**os.environ, **{name: str(tmp_path / name) for name in homes}}
    command = [sys.executable, "-m", "gantutor", "lab", "--no-browser", "--port", str(port)]
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        for _ in range(300):
            if found := re.search(rf"http://127\.0\.0\.1:{port}/\S+", log.read_text(errors="replace")):
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"no URL was printed:\n{log.read_text()}")
        yield process, found[0]
    finally:
        process.kill()
        process.wait()


def opened(url: str):
    """The answer to a request; Jupyter prints its URL a moment before it listens."""
    for _ in range(50):
        with contextlib.suppress(urllib.error.URLError):
            return urllib.request.urlopen(url, timeout=30)
        time.sleep(0.2)
    pytest.fail(f"{url} cannot be opened")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals reach a process group there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lab_opens_the_course_and_ends_on_a_signal(server, number):
    process, url = server
    token = urlsplit(url).query
    assert urlsplit(url).path == "/lab/tree/notebooks/00_start_here.ipynb"
    with opened(url) as page:
        assert page.status == 200
        assert "jupyter-config-data" in page.read().decode()
    base = url.partition("/lab")[0]
    with urllib.request.urlopen(f"{base}/api/contents/?{token}", timeout=30) as answer:
        names = {entry["name"] for entry in json.load(answer)["content"]}
    assert {"notebooks", "gantutor", "README.md"} <= names  # the root is the repository
    with urllib.request.urlopen(f"{base}/api/contents/notebooks/00_start_here.ipynb?{token}", timeout=30) as answer:
        assert json.load(answer)["type"] == "notebook"
    for _ in range(6):  # Jupyter can lose a Ctrl-C that comes while it serves a request: one presses again
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(timeout=5) == 0
            return
    pytest.fail("the server did not end")


@pytest.mark.slow
@needs_browser
def test_the_files_the_first_lesson_and_nothing_else_greet_a_newcomer(server):
    """No question whether to fetch news, which JupyterLab asks otherwise on its first start, and no word of updates."""
    from playwright.sync_api import sync_playwright

    _, url = server
    opened(url).close()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1300, "height": 850})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_function("document.body.innerText.includes('| Idle')")
        page.wait_for_timeout(3000)  # the question comes a moment after the notebook
        assert page.locator(".jp-Notebook:visible h1").first.inner_text().startswith("00 · Start here")
        assert "01_minimax_game.ipynb" in page.locator("#filebrowser:visible").inner_text()
        assert page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []
        assert [address for address in asked if "api/news" in address or "api/update" in address] == []
        browser.close()
