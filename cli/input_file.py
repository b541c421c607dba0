"""A user's list of words or labels, one a line."""

from __future__ import annotations

import sys
from pathlib import Path

from nmm.cli.text import valid
from nmm.index.errors import UsageError


def read_words(file: Path) -> list[str]:
    """The lines of a UTF-8 file, or of standard input if it is `-`, but for empty ones.

    Raises:
        UsageError: It cannot be read, or there is no word in it.
    """
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.expanduser().read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read.",
            why=error.strerror or str(error),
            hint="Name a file with a word on each line.",
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not a text in UTF-8.", hint="Name a file with a word on each line."
        ) from error
    words = [valid(line.strip()) for line in text.splitlines() if line.strip()]
    if not words:
        raise UsageError(f"{file} has no words.", hint="Write one a line.")
    return words
