"""Text from files, file names and queries, made safe to print and to encode."""

from __future__ import annotations

from pathlib import Path


def printable(text: str) -> str:
    """Return a text with control characters as backslash escapes.

    A file name may contain a line break, or the sequence that clears the screen. It is shown
    and not executed. Machine-readable output does not use this, and keeps every name as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def valid(text: str) -> str:
    """Return a text with question marks for bytes that are not valid UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def skip_reason(reason: str) -> str:
    """Return why a file was skipped, with the engine's parameter as the option of that name."""
    return reason.replace("(max_pixels)", "(--max-pixels)")


def count(number: int, noun: str) -> str:
    """Return a number and its noun, such as "2 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def near_path(path: str) -> str:
    """Return a path relative to the current folder, if it is inside it."""
    return path.removeprefix(current_folder())


def current_folder() -> str:
    """Return the prefix of every path in the current folder; empty if the folder is gone."""
    try:
        return str(Path.cwd() / "_")[:-1]
    except OSError:
        return ""
