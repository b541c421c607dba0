"""Two ways to run `nmm` to its end: as a user does, and as a fork of a process that imported it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from command_server import MAX_REQUEST
from support import Nmm

COMMAND = Path(sys.executable).with_name("nmm")
TIMEOUT = 300  # seconds, of one command
# A fork has only the thread that forked, so libraries start none when they are imported.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
# Variables that are read when Python, or a library, starts.
AT_START = ("PYTHON", "LC_", "LANG", "OMP_", "OPENBLAS_", "MKL_", "LD_")


class Start(Protocol):
    """Runs a command to its end."""

    def __call__(
        self, arguments: Sequence[str], stdin: str, cwd: Path, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]: ...


def start(
    arguments: Sequence[str], stdin: str, cwd: Path, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run(
        [COMMAND, *arguments],
        check=False,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env=environ,
        timeout=TIMEOUT,
    )


class CommandServer:
    """Runs commands in forks of a process that has imported `nmm`; needs Linux.

    A command whose environment is read when Python starts is started as any other.
    """

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(TIMEOUT)
        server = Path(__file__).with_name("command_server.py")
        self._environ = _read_at_start(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, server, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **ONE_THREAD},
        )
        theirs.close()

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        assert self._process.wait(TIMEOUT) == 0

    def start(
        self, arguments: Sequence[str], stdin: str, cwd: Path, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a fork."""
        request = json.dumps(
            {
                "arguments": [str(COMMAND), *arguments],
                "cwd": str(cwd.absolute()),
                "environ": dict(environ),
            }
        ).encode()
        if _read_at_start(environ) != self._environ or len(request) >= MAX_REQUEST:
            return start(arguments, stdin, cwd, environ)
        with tempfile.TemporaryFile() as given, ThreadPoolExecutor(2) as pool:
            given.write(stdin.encode())
            given.seek(0)
            ends = [os.pipe() for _ in range(2)]
            theirs = [given.fileno(), *(write for _, write in ends)]
            try:
                socket.send_fds(self._channel, [request], theirs)
            finally:
                for _, write in ends:
                    os.close(write)
            readers = [pool.submit(_read_all, read) for read, _ in ends]
            status = int(self._channel.recv(64))
            stdout, stderr = (reader.result() for reader in readers)
        return subprocess.CompletedProcess([COMMAND, *arguments], status, stdout, stderr)


def _read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, encoding="utf-8") as opened:
        return opened.read()


def _read_at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(AT_START)}


def command_in(home: Path, start: Start) -> Nmm:
    """The command in a folder of its own: HOME, index and current folder."""
    (home / "home").mkdir(parents=True, exist_ok=True)

    def run(
        *arguments: str | Path, stdin: str | None = None, cwd: Path = home, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        own = {
            "HOME": str(home / "home"),
            "NMM_INDEX": str(home / "index"),
            "NMM_CONFIG": "",
            "XDG_CONFIG_HOME": str(home / "home" / ".config"),
            "XDG_STATE_HOME": str(home / "home" / ".state"),
        }
        return start([*map(str, arguments)], stdin or "", cwd, {**os.environ, **own, **environ})

    return run
