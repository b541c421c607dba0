"""Read lists, one item per line, from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from nmm.cli.console.text import valid
from nmm.index.errors import UsageError


def read_text(file: Path, hint: str) -> str:
    """Return the text of a UTF-8 file, or of standard input if the file is `-`.

    Raises:
        UsageError: It cannot be read; its hint is `hint`.
    """
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.expanduser().read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"{file} cannot be read.", why=why, hint=hint) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not UTF-8 text.", why=str(error), hint="Save it as UTF-8."
        ) from error


def read_words(file: Path) -> list[str]:
    """Return the lines of a file that are not empty; `-` is standard input.

    Raises:
        UsageError: It cannot be read, or has only empty lines.
    """
    text = read_text(file, "Name a file with a word on each line.")
    words = [valid(line.strip()) for line in text.splitlines() if line.strip()]
    if not words:
        raise UsageError(f"{file} has no words.", hint="Write one word per line.")
    return words
