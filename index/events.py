"""The events that indexing and model preparation report, and the summary of a run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class IndexCreated:
    """There was no index, or an empty one. A new index with this model is made."""

    model: str


@dataclass(frozen=True)
class FallbackModelUsed:
    """The default model is unavailable, so the new index uses the fallback model."""

    model: str
    wanted: str
    why: str


@dataclass(frozen=True)
class DownloadStarted:
    """A model's download starts. `size` is in bytes, `missing` the part still to download."""

    model: str
    size: int
    missing: int


@dataclass(frozen=True)
class DownloadProgress:
    """`here` bytes of a model's `size` are downloaded."""

    model: str
    here: int
    size: int


@dataclass(frozen=True)
class CompileStarted:
    """The model is being compiled. This happens once and takes a while."""

    model: str


@dataclass(frozen=True)
class CompileFinished:
    """The model is compiled."""

    model: str


@dataclass(frozen=True)
class RebuildStarted:
    """The index is being rebuilt with a model. The old index answers until it is complete."""

    model: str
    old: str


@dataclass(frozen=True)
class RebuildUnfinished:
    """An earlier rebuild is unfinished, and this run does not resume it."""

    model: str
    dimension: int


@dataclass(frozen=True)
class WaitingForLock:
    """The run waits for another process that writes to the index: `holder`, if known."""

    holder: str


@dataclass(frozen=True)
class FilesCounted:
    """The number of files that the run will visit is known."""

    files: int


@dataclass(frozen=True)
class FileProcessed:
    """A file is done: indexed, skipped or ignored."""

    path: str


@dataclass(frozen=True)
class FileSkipped:
    """A file could not be indexed."""

    path: str
    reason: str


@dataclass(frozen=True)
class MetadataBackfillStarted:
    """Metadata is being read of `images` images, which an older nmm indexed without it."""

    images: int


@dataclass(frozen=True)
class RootMissing:
    """A root is missing. Its files stay in the index, because its disk may be unmounted.

    `mount` is the folder where a disk was mounted before and is not now, if known.
    """

    path: str
    mount: str | None = None


@dataclass(frozen=True)
class MountMissing:
    """A disk below a root is no longer mounted. Its files stay in the index."""

    path: str


@dataclass(frozen=True)
class OcrStarted:
    """Text recognition in `pictures` images starts. All files are indexed by now."""

    pictures: int


@dataclass(frozen=True)
class OcrFileProcessed:
    """Text recognition of an image is done, or failed for a reason."""

    path: str
    reason: str = ""


@dataclass(frozen=True)
class OcrUnavailable:
    """The index has text recognition on, but its package is not installed.

    `code` is the code of the error.
    """

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
    """The result of text recognition: images read, and images with words.

    `left`: images that failed, or that the run did not reach.
    """

    read: int = 0
    with_words: int = 0
    left: int = 0
    seconds: float = 0.0


@dataclass
class Summary:
    """The result of a run, in files.

    `interrupted`: the run was stopped before its end. `rebuild`: the index was rebuilt. `ocr`:
    the result of text recognition, which comes last and is not part of `seconds`; None if there
    was nothing to do or the run was stopped before it.
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
