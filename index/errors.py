"""Every error that nmm raises on purpose, as one tree.

::

    NmmError
    ├── UsageError         the request makes no sense
    ├── NoIndexError       there is no index in this folder
    ├── ModelError         a model is unknown, missing on this machine, or unusable
    │   └── HubError         the hub does not provide the model's weights
    │       └── UnreachableError  the hub cannot be reached at all
    ├── IndexLockedError   another process is writing to the index
    ├── StoppedError       the caller asked to stop before there was anything to keep
    ├── CatalogError       the catalog cannot be opened, read or written
    │   └── OutdatedCatalogError  an older nmm wrote it, and it must be migrated first
    ├── ArchiveError       an archive is damaged, or no export made it
    ├── OutputError        a requested file cannot be written
    └── MediaError         one file cannot be read as an image or as text
        ├── UnreadableError  one file cannot be read at the moment
        └── NotMediaError    one file is neither an image nor text, which is no fault

The command line catches :class:`NmmError` in one place. A :class:`MediaError` never leaves the
indexing run: the file is skipped, and reported with the reason.

The engine serves Python programs and servers as well as the command line. Its messages, reasons
and hints therefore name no command and no option of `nmm` and no shell command. They may name
environment variables, which every caller can set. Each error carries a `code`;
:mod:`nmm.cli.console.hints` holds the commands and options to suggest for that code.
docs/reference/errors.md lists all codes.
"""

from __future__ import annotations

import os


class NmmError(Exception):
    """The base of every error that nmm raises on purpose.

    Attributes:
        what: What happened, in one line.
        code: The stable name of the error, such as `index-missing`. Programs can compare it; the
            wording of `what` may change. Empty if the command line raised the error.
        why: The cause, if it is known and `what` does not say it.
        hint: What to do next, in words that hold for every caller.
        params: The values in the message and in the hint: paths (as strings), names, numbers.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str = "",
        why: str = "",
        hint: str = "",
        **params: str | float | os.PathLike[str],
    ) -> None:
        super().__init__(what)
        self.what = what
        self.code = code
        self.why = why
        self.hint = hint
        self.params: dict[str, str | float] = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in params.items()
        }

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.hint) if part)


class UsageError(NmmError, ValueError):
    """The request makes no sense."""


class NoIndexError(NmmError):
    """There is no index in this folder."""


class ModelError(NmmError):
    """A model is unknown, missing on this machine, or unusable."""


class HubError(ModelError):
    """The hub does not provide the weights of a model."""


class UnreachableError(HubError):
    """The hub cannot be reached: no network, no answer, or network access is switched off."""


class IndexLockedError(NmmError):
    """Another process is writing to the index."""


class CatalogError(NmmError):
    """The catalog cannot be opened, read or written."""


class OutdatedCatalogError(CatalogError):
    """An older nmm wrote the catalog. Opening it for writing migrates it."""


class ArchiveError(NmmError):
    """An archive is damaged, or no export made it."""


class OutputError(NmmError):
    """A requested file cannot be written."""


class StoppedError(NmmError):
    """The caller asked to stop before there was anything to keep."""


class MediaError(NmmError):
    """One file cannot be read as an image or as text. `what` is the reason to show."""


class UnreadableError(MediaError):
    """One file cannot be read at the moment. This says nothing about its content."""


class NotMediaError(MediaError):
    """One file is neither an image nor text, which is no fault of the file."""
