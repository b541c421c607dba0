"""Exit statuses, and printing errors."""

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
    """The exit statuses of the command. docs/reference/exit-codes.md lists them too."""

    DONE = 0
    NOTHING_FOUND = 1
    NOT_REACHED = 1  # a measured quality is below the requested threshold
    USAGE = 2
    SOME_SKIPPED = 3
    STILL_WRONG = 3  # the index is still damaged
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
    """Print on stderr what happened, why, and what to type next. Return the exit status."""
    from nmm.cli.console.hints import lines_of
    from nmm.cli.console.text import printable

    # A message has lines of its own; line breaks within a file name are shown escaped.
    lines = map(printable, lines_of(error))
    print("nmm: " + "\n".join(lines), file=sys.stderr)  # noqa: T201
    return STATUS.get(type(error), Exit.UNEXPECTED)


def report_unexpected(error: Exception) -> Exit:
    """Print on stderr that nmm itself failed. Return the exit status."""
    from nmm.cli.console.text import printable

    cause = f"{type(error).__name__}: {printable(str(error))}"
    print(  # noqa: T201
        f"nmm: unexpected error: {cause}\n"
        "For a traceback, put --debug before the command: nmm --debug …\n"
        "Everything indexed so far is safe.",
        file=sys.stderr,
    )
    return Exit.UNEXPECTED
