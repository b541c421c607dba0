"""Exit statuses, and how an error reaches a person."""

from __future__ import annotations

import sys
from enum import IntEnum

from nmm.index.errors import (
    ArchiveError,
    CatalogError,
    HubError,
    IndexLockedError,
    ModelError,
    NmmError,
    NoIndexError,
    OutdatedCatalogError,
    OutputError,
    StoppedError,
    UnreachableError,
    UsageError,
)


class Exit(IntEnum):
    """What a script learns from a run. The README lists the same."""

    DONE = 0
    NOTHING_FOUND = 1
    NOT_REACHED = 1  # the same: not what was asked for
    USAGE = 2
    SOME_SKIPPED = 3
    STILL_WRONG = 3  # the same: done, but not all is well
    NO_INDEX_OR_MODEL = 4
    LOCKED = 5
    UNEXPECTED = 70
    CANNOT_WRITE = 74
    INTERRUPTED = 130
    PIPE_CLOSED = 141


STATUS: dict[type[NmmError], Exit] = {
    UsageError: Exit.USAGE,
    NoIndexError: Exit.NO_INDEX_OR_MODEL,
    ModelError: Exit.NO_INDEX_OR_MODEL,
    HubError: Exit.NO_INDEX_OR_MODEL,
    UnreachableError: Exit.NO_INDEX_OR_MODEL,
    CatalogError: Exit.NO_INDEX_OR_MODEL,
    OutdatedCatalogError: Exit.NO_INDEX_OR_MODEL,
    ArchiveError: Exit.NO_INDEX_OR_MODEL,
    OutputError: Exit.CANNOT_WRITE,
    IndexLockedError: Exit.LOCKED,
    StoppedError: Exit.INTERRUPTED,
}


def report(error: NmmError) -> Exit:
    """Say on stderr what happened, why, and what to type next; the status to exit with."""
    from nmm.cli.console.hints import lines_of
    from nmm.cli.console.text import printable

    # A message has lines of its own; line breaks within a file name are shown escaped.
    lines = map(printable, lines_of(error))
    print("nmm: " + "\n".join(lines), file=sys.stderr)  # noqa: T201
    return STATUS.get(type(error), Exit.UNEXPECTED)


def report_unexpected(error: Exception) -> Exit:
    """Say on stderr that nmm itself failed."""
    from nmm.cli.console.text import printable

    said = f"{type(error).__name__}: {printable(str(error))}"
    print(  # noqa: T201
        f"nmm: something went wrong that nmm does not expect: {said}\n"
        "See where with: nmm --debug, before the command\n"
        "What was indexed so far is safe.",
        file=sys.stderr,
    )
    return Exit.UNEXPECTED
