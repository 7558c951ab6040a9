"""Tests run under the quick budget unless GANTUTOR_BUDGET says otherwise."""

import os

os.environ.setdefault("GANTUTOR_BUDGET", "quick")
