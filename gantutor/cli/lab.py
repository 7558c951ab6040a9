"""`gantutor lab`: open the course in JupyterLab."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from gantutor.cli.common import LANDING, PROGRAM, Parser, capital, find_course
from gantutor.errors import BadInput
from gantutor.files import ROOT

# Settings that JupyterLab starts with: it asks nobody whether to fetch news, nor says that there is a newer JupyterLab.
# They take the place of its own defaults, so what a user has chosen in the menu "Settings" still counts.
SETTINGS = Path(__file__).with_name("jupyter")


def add_arguments(add: Callable[..., Parser]) -> None:
    text = "open the course in JupyterLab"
    add(help=text, usage=f"{PROGRAM} lab [JUPYTER OPTION …]",
        description=f"{capital(text)}. All options go to Jupyter: --no-browser, --port 8890, …")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Hand this process over to JupyterLab, which then receives Ctrl-C and SIGTERM itself."""
    root = find_course()
    if find_spec("jupyterlab") is None:
        raise BadInput("JupyterLab is not installed here: run pip install -e . in the repository.")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}",
               f"--LabApp.default_url=/lab/tree/{LANDING.as_posix()}",
               "--ServerApp.answer_yes=True"]  # Ctrl-C ends it without asking back  # fmt: skip
    if getattr(os, "geteuid", lambda: 1)() == 0 and "--allow-root" not in args.further:
        print("Running as root, which Jupyter refuses by default: adding --allow-root.", file=sys.stderr, flush=True)
        command.append("--allow-root")
    command += args.further
    if root == ROOT:  # not installed: the notebooks import this copy all the same
        os.environ["PYTHONPATH"] = paths(str(root), os.environ.get("PYTHONPATH"))
    os.environ["JUPYTER_CONFIG_PATH"] = paths(os.environ.get("JUPYTER_CONFIG_PATH"), str(SETTINGS))
    return hand_over(command)


def paths(*parts: str | None) -> str:
    return os.pathsep.join(filter(None, parts))


def hand_over(command: list[str]) -> int:
    """Become this Python command; on Windows, where exec would give the prompt back at once, wait for it instead."""
    if os.name != "nt":
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # else Ctrl-C stays ignored where a script started us with &
        os.execv(sys.executable, command)
    process = subprocess.Popen(command)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # Jupyter received it as well, and ends
            return process.wait()
