"""Text from outside: of files and file names made safe and short for people, of queries valid."""

from __future__ import annotations

from pathlib import Path


def printable(text: str) -> str:
    """Text with control characters and the like as backslash escapes.

    A file name may hold a line break, or the sequence that clears the screen; it is shown,
    not carried out. Machine output does without this and keeps every name as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def valid(text: str) -> str:
    """Text with question marks for bytes that were no UTF-8 when they were typed or piped."""
    return text.encode("utf-8", "replace").decode("utf-8")


def count(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def near_path(path: str) -> str:
    """A path relative to the current folder, if it is in it."""
    return path.removeprefix(current_folder())


def current_folder() -> str:
    """What a path begins with that is in the current folder; empty if that is gone."""
    try:
        return str(Path.cwd() / "_")[:-1]
    except OSError:
        return ""
