"""End to end, the command is the installed one, started as a user starts it."""

from __future__ import annotations

import pytest
from commands import Start, start


@pytest.fixture(scope="session")
def start_command() -> Start:
    """Starts the installed command."""
    return start
