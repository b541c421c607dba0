"""Run the real command on a pseudo-terminal of a given size that answers queries."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

SECONDS = 60
# Answers of terminals: https://vt100.net/docs/vt510-rm/DA1.html, and kitty's protocol.
SIZE = {b"\x1b[16t": b"\x1b[6;20;10t"}
SIXEL = {b"\x1b[c": b"\x1b[?62;4;22c", **SIZE}
KITTY = {b"\x1b[c": b"\x1b[?62;22c", b"a=q": b"\x1b_Gi=1;OK\x1b\\", **SIZE}
PLAIN = {b"\x1b[c": b"\x1b[?62;22c", b"a=q": b"\x1b[?62;22c", **SIZE}


def nmm_on_terminal(
    home: Path,
    *arguments: str | Path,
    width: int = 80,
    answers: Mapping[bytes, bytes] = PLAIN,
    **environ: str,
) -> tuple[int, bytes]:
    """Run the command there; return its status and output.

    `home` is the folder in which :func:`conftest._command` works.
    """
    screen, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    own = {"HOME": str(home / "home"), "NMM_INDEX": str(home / "index"), "TERM": "xterm-256color"}
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [Path(sys.executable).with_name("nmm"), *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=home,
        env={**inherited, **own, **environ},
        start_new_session=True,
    )
    os.close(inner)
    written = _converse(screen, answers)
    os.close(screen)
    return process.wait(SECONDS), written


def _converse(screen: int, answers: Mapping[bytes, bytes]) -> bytes:
    """Read to the end, and answer each query as often as it is sent."""
    written = b""
    answered = dict.fromkeys(answers, 0)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 1)[0]:
            continue
        try:
            block = os.read(screen, 1 << 16)
        except OSError:  # Linux reports the end this way
            break
        if not block:
            break
        written += block
        for question, answer in answers.items():
            while answered[question] < written.count(question):
                answered[question] += 1
                os.write(screen, answer)
    return written
