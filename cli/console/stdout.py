"""Results on stdout, in UTF-8 in every locale."""

from __future__ import annotations

import os
import sys

from nmm.cli.console.exit_codes import Exit

# The file name that means standard output.
STDOUT = "-"


def emit(text: str, errors: str = "backslashreplace") -> None:
    """Write the result of a command to stdout. Neither locale nor platform changes a path.

    If the reader has closed the pipe, the process ends with the status that SIGPIPE gives.

    Args:
        text: The result.
        errors: How to encode half a surrogate pair, see `str.encode`.
    """
    rest = memoryview(text.encode("utf-8", errors))
    try:
        # With PYTHONUNBUFFERED set, as in containers, a write may be partial.
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        discard()
        sys.exit(Exit.PIPE_CLOSED)
    except OSError as error:
        discard()
        print(f"nmm: The output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(Exit.CANNOT_WRITE)


def discard() -> None:
    """Discard the buffered output, which would fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
