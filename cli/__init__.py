"""The command line of nmm: parse, call the engine once, print."""

from __future__ import annotations

import sys


def main() -> None:
    """Run nmm, and end the process with the exit status of what it did."""
    try:
        from nmm.cli.app import run

        run()
    except KeyboardInterrupt:
        # Before or after a command: 130 is Exit.INTERRUPTED, which may not be loaded yet.
        sys.exit(130)
