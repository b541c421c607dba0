"""What an indexing run tells of itself: events while it goes on, a summary at its end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class IndexCreated:
    """There was no index, or an empty one; it is made with this model from now on."""

    model: str


@dataclass(frozen=True)
class FallbackModelUsed:
    """The model that a new index would have had cannot be had: it gets another one."""

    model: str
    wanted: str
    why: str


@dataclass(frozen=True)
class DownloadStarted:
    """A model is going to be downloaded: bytes of all of it, and of what is not here yet."""

    model: str
    size: int
    missing: int


@dataclass(frozen=True)
class DownloadProgress:
    """So many bytes of a model's `size` are here."""

    model: str
    here: int
    size: int


@dataclass(frozen=True)
class CompileStarted:
    """The model is being compiled, which happens once and takes a while."""

    model: str


@dataclass(frozen=True)
class CompileFinished:
    """The model is compiled."""

    model: str


@dataclass(frozen=True)
class RebuildStarted:
    """The index is made again with a model; until it is whole, the old one answers."""

    model: str
    old: str


@dataclass(frozen=True)
class RebuildUnfinished:
    """A rebuild was begun at some time and not finished; this run is not about it."""

    model: str
    dimension: int


@dataclass(frozen=True)
class WaitingForLock:
    """Another process writes to the index, and is waited for; `holder` says which, if known."""

    holder: str


@dataclass(frozen=True)
class FilesCounted:
    """The number of files that the run will look at is known."""

    files: int


@dataclass(frozen=True)
class FileProcessed:
    """A file is done: it is in the index, or skipped, or left out."""

    path: str


@dataclass(frozen=True)
class FileSkipped:
    """A file that should have been indexed and could not be."""

    path: str
    reason: str


@dataclass(frozen=True)
class MetadataBackfillStarted:
    """Of so many images an older nmm did not read what they say of themselves: it is read now."""

    images: int


@dataclass(frozen=True)
class RootMissing:
    """A root is not there. Its files are kept, for it may be on a disk that is not.

    `mount` is the folder on which a disk was mounted and is not now, if that is known.
    """

    path: str
    mount: str | None = None


@dataclass(frozen=True)
class MountMissing:
    """Nothing is mounted on a folder below a root, where there was. Its files are kept."""

    path: str


@dataclass(frozen=True)
class OcrStarted:
    """So many pictures are going to be looked at for words. All files are indexed by now."""

    pictures: int


@dataclass(frozen=True)
class OcrFileProcessed:
    """A picture was looked at for words; or could not be, for a reason."""

    path: str
    reason: str = ""


@dataclass(frozen=True)
class OcrUnavailable:
    """The text in images cannot be read. `code` is that of the error."""

    why: str
    code: str


Event = (
    IndexCreated
    | FallbackModelUsed
    | DownloadStarted
    | DownloadProgress
    | CompileStarted
    | CompileFinished
    | RebuildStarted
    | RebuildUnfinished
    | WaitingForLock
    | FilesCounted
    | FileProcessed
    | FileSkipped
    | MetadataBackfillStarted
    | RootMissing
    | MountMissing
    | OcrStarted
    | OcrFileProcessed
    | OcrUnavailable
)


@dataclass
class OcrSummary:
    """What a run did about the words in pictures: how many it looked at, and how many have any.

    `left`: those that could not be looked at, or that the run was stopped before.
    """

    read: int = 0
    with_words: int = 0
    left: int = 0
    seconds: float = 0.0


@dataclass
class Summary:
    """What a run did, in files.

    `interrupted`: it was stopped before it was through. `rebuild`: the index was made again.
    `ocr`: what was done about words in pictures after all else, whose time `seconds` does not
    count; None if nothing was to be done, or it was stopped before that.
    """

    model: str
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    removed: int = 0
    skipped: list[FileSkipped] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    rebuild: bool = False
    ocr: OcrSummary | None = None
