"""Failpoints: named instants of a write at which tests kill the process or make it fail."""

from __future__ import annotations

import sys


def failpoint(area: str, instant: str) -> None:
    """Announce an instant by the audit event ``nmm.AREA`` (PEP 578).

    Nothing listens but the crash tests, which check after each instant that no committed work is
    lost.
    """
    sys.audit(f"nmm.{area}", instant)
