"""The command line of nmm: parse, call the engine once, print."""

from __future__ import annotations


def main() -> None:
    """Run nmm, and end the process with the exit status of what it did."""
    from nmm.cli.app import run

    run()
