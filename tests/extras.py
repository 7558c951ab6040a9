"""Tests that need more than the extra `test` are skipped where it is missing. Under GANTUTOR_REQUIRED they fail."""

import os
import shutil
from importlib.util import find_spec

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def skip_without(there: bool, reason: str) -> pytest.MarkDecorator:
    """Skip where something is missing; not in .ci/run, which sets GANTUTOR_REQUIRED and installs all of it."""
    return pytest.mark.skipif(not there and "GANTUTOR_REQUIRED" not in os.environ, reason=reason)


needs_browser = skip_without(
    BROWSER is not None and find_spec("playwright") is not None,
    'no Chromium or Chrome, or no playwright: pip install -e ".[browser]"',
)
