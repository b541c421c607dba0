"""What can go wrong, as one tree.

::

    NmmError
    ├── UsageError         the caller asked for something that makes no sense
    ├── NoIndexError       there is no index where one was looked for
    ├── ModelError         a model is unknown, not on this machine, or cannot be used
    │   └── HubError         its weights cannot be had from the hub
    │       └── UnreachableError  the hub cannot be reached at all
    ├── IndexLockedError   another process is writing to the index
    ├── StoppedError       the caller asked to stop before there was anything to keep
    ├── CatalogError       the catalog cannot be opened, read or written
    │   └── OutdatedCatalogError  an older nmm wrote it, and it has to be brought up to date
    ├── ArchiveError       an archive is damaged, or is not one that an export made
    ├── OutputError        a file that was asked for cannot be written
    └── MediaError         one file cannot be read as what it should be
        ├── UnreadableError  one file cannot be read just now
        └── NotMediaError    one file is neither an image nor a text, which is no fault

Each carries three sentences for the person who meets it: what happened, why, and
what to type next. The command line catches :class:`NmmError` in one place.
A :class:`MediaError` never leaves the indexing run: the file is skipped by name.
"""

from __future__ import annotations


class NmmError(Exception):
    """The base of every error that nmm raises on purpose.

    Args:
        what: What happened, in one line.
        why: The cause, where it is known and `what` does not say it.
        hint: What to do or type next.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.hint) if part)


class UsageError(NmmError, ValueError):
    """The caller asked for something that makes no sense."""


class NoIndexError(NmmError):
    """There is no index where one was looked for."""


class ModelError(NmmError):
    """A model is unknown, not on this machine, or cannot be used."""


class HubError(ModelError):
    """The weights of a model cannot be had from the hub."""


class UnreachableError(HubError):
    """The hub cannot be reached: no network, no answer, or it was not to be asked."""


class IndexLockedError(NmmError):
    """Another process is writing to the index."""


class CatalogError(NmmError):
    """The catalog cannot be opened, read or written."""


class OutdatedCatalogError(CatalogError):
    """An older nmm wrote the catalog; opening it for writing brings it up to date."""


class ArchiveError(NmmError):
    """An archive is damaged, or is not one that an export made."""


class OutputError(NmmError):
    """A file that was asked for cannot be written."""


class StoppedError(NmmError):
    """The caller asked to stop before there was anything to keep."""


class MediaError(NmmError):
    """One file cannot be read as what it should be; `what` is the reason shown."""


class UnreadableError(MediaError):
    """One file cannot be read just now, which says nothing about what is in it."""


class NotMediaError(MediaError):
    """One file is neither an image nor a text, which is no fault of the file."""
