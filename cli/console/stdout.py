"""Results on stdout, as bytes in UTF-8, whatever the locale says."""

from __future__ import annotations

import os
import sys

from nmm.cli.console.exit_codes import Exit

# The file name that means standard output.
STDOUT = "-"


def emit(text: str, errors: str = "backslashreplace") -> None:
    """Print what a command was asked for; neither locale nor platform changes a path.

    `errors` says what becomes of half a surrogate pair, as in `str.encode`.

    Whoever reads may have enough and close the pipe: the process then ends as one does
    that SIGPIPE kills.
    """
    rest = memoryview(text.encode("utf-8", errors))
    try:
        # With PYTHONUNBUFFERED set, as in containers, a part may be written and no more.
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
    """Send to nowhere what is still buffered, which would be an error again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
