"""What a run of the indexer is asked to do, and the models that outlive it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend
from nmm.index.indexing.options import IndexOptions

if TYPE_CHECKING:
    from nmm.index.encoders.base import Encoder
    from nmm.index.indexing.ocr import Ocr


@dataclass
class LoadedModels:
    """The models that were loaded last, for a caller with more than one run."""

    encoder: Encoder | None = None
    ocr: Ocr | None = None


@dataclass(frozen=True)
class IndexRequest:
    """What a run is asked to do.

    Attributes:
        paths: Files and folders. If empty, all roots of the index.
        changed: Absolute paths that are new, changed or gone: nothing else is looked at. Paths
            outside all roots, and those that the walk of their root ignores, change nothing.
            None: everything at `paths`.
        model: The model of a new or rebuilt index. None: that of the index; for a new index the
            default model, or the built-in one if the hub cannot be reached.
        dimension: The length of its vectors, see :meth:`.registry.Model.with_dimension`.
        rebuild: Embed everything again, beside the index, which is replaced when the new one is
            whole. An unfinished rebuild is continued.
        prune: Also remove files on a disk that is not mounted, and files of a root that is
            missing. Otherwise they are kept, and reported.
        wait: Wait for another process that writes to the index.
        offline: Download nothing.
        backend: The device, number of threads and precision.
        options: How files are chosen and read.
    """

    paths: Sequence[Path] = ()
    changed: frozenset[Path] | None = None
    model: str | None = None
    dimension: int | None = None
    rebuild: bool = False
    prune: bool = False
    wait: bool = False
    offline: bool = False
    backend: Backend = field(default_factory=Backend)
    options: IndexOptions = field(default_factory=IndexOptions)
