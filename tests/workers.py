"""How pytest runs here: on all cores, each worker with one thread, notebooks under the quick budget.

A plugin, named in pyproject.toml's `addopts`, so that it is there before anything imports torch. What it puts into the
environment holds for the workers as well, and for the kernels and processes that they start.
"""

import os
from pathlib import Path

import pytest

DEFAULTS = {"GANTUTOR_BUDGET": "quick", "OMP_NUM_THREADS": "1"}  # of variables that are not set
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """At most one worker for each file, and none for a single one, whose worker would only take time to start."""
    paths = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    if not all(path.is_file() for path in paths):
        return None  # xdist's own answer: as many as there are cores
    return min(CORES, len(paths)) if len(paths) > 1 else 0


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """With `-p no:xdist`, let its options in `addopts` pass without effect."""
    if pluginmanager.is_blocked("xdist"):
        for option in ("--numprocesses", "--maxprocesses", "--dist"):
            parser.addoption(option, help="(of pytest-xdist, which is switched off)")
