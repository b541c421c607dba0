"""The command line of nmm: parse, call the engine once, print."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run nmm, and end the process with its exit status."""
    if os.environ.get("NMM_TIMING", "0") not in {"", "0"}:
        from nmm.cli.framework.timing_report import timed

        timed(_run)
    else:
        _run()


def _run() -> None:
    try:
        from nmm.index.common.tracing import span

        with span("import nmm.cli"):
            from nmm.cli.app import run
        run()
    except KeyboardInterrupt:
        # Before or after a command. 130 is Exit.INTERRUPTED, which may not be loaded yet.
        sys.exit(130)


def command() -> None:
    """Run nmm as a process of its own, which then ends sooner."""
    try:
        main()
    finally:
        import gc

        # Otherwise the interpreter searches all remaining objects for garbage before it ends.
        gc.freeze()
