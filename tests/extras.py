"""Tests that need more than the extra `test` are skipped where it is missing. Under GANTUTOR_REQUIRED they fail."""

import os

import pytest


def skip_without(there: bool, reason: str) -> pytest.MarkDecorator:
    """Skip where something is missing; not in .ci/run, which sets GANTUTOR_REQUIRED and installs all of it."""
    return pytest.mark.skipif(not there and "GANTUTOR_REQUIRED" not in os.environ, reason=reason)
