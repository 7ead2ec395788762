"""What all tests share: reproducible property tests, and the optional folder of real data."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every machine, without time limits: a busy machine is no failure.
# `pytest --hypothesis-profile explore` looks for new examples instead.
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("reproducible")

# A shell ignores Ctrl-C in its background jobs, and what they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder named by BB_DATA; tests that need real data files skip without it."""
    name = os.environ.get("BB_DATA")
    if not name:
        pytest.skip("set BB_DATA to a folder with real data files")
    folder = Path(name)
    assert folder.is_dir(), f"BB_DATA={name} is no folder"
    return folder
