"""`--open`: show a file in the system's viewer for it.

A file is shown, and never run: some systems run a script that is opened, and an image may have
any name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nmm.index.media.registry import by_suffix

# A viewer that cannot start has ended after so many seconds.
START_SECONDS = 1.0
# Viewers that still run: Python warns about a process that is dropped before it has ended.
_left_open: list[subprocess.Popen[bytes]] = []


def view(file: Path) -> str | None:
    """Open a file, without waiting for its viewer to be closed.

    Args:
        file: An absolute path, so that no name can be taken for an option or a URL.

    Returns:
        Why it could not be opened; None if it probably was.
    """
    if not file.is_file():
        return "it is not there any more"
    harmless = by_suffix(file) is not None
    if sys.platform == "win32":
        return _start(file) if harmless else _run(["notepad.exe", str(file)])
    if sys.platform == "darwin":
        return _run(["open", str(file)] if harmless else ["open", "-t", str(file)])
    if file.suffix.lower() == ".desktop":  # some desktops start the program that it names
        return "it may start a program"
    return _run(["xdg-open", str(file)])


def _start(file: Path) -> str | None:
    if sys.platform == "win32":
        import os

        try:
            os.startfile(file)  # noqa: S606
        except OSError as error:
            return error.strerror or str(error)
    return None


def _run(command: list[str]) -> str | None:
    """Start a viewer in a session of its own; return why it failed, if it fails soon."""
    try:
        viewer = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return f"{command[0]} is not installed"
    try:
        status = viewer.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        _left_open.append(viewer)
        return None
    return f"{command[0]} ended with status {status}" if status else None
