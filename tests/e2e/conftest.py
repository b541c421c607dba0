"""End-to-end tests run the installed command, started as a user starts it."""

from __future__ import annotations

import pytest
from commands import Start, start


@pytest.fixture(scope="session")
def start_command() -> Start:
    """A function that starts the installed command."""
    return start
