"""The options of an indexing run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nmm.index.media.image.decode import MAX_PIXELS


@dataclass(frozen=True)
class IndexOptions:
    """How files are chosen, read and embedded.

    Attributes:
        exclude, hidden, follow_symlinks: See :func:`nmm.index.indexing.walk.walk`.
        max_pixels: Images with more pixels are skipped.
        batch_size: Images that are embedded and committed together; None for what suits the
            encoder.
        count: Walk ahead in a thread, to report by `FilesCounted` how many files there are.
        ocr: Whether to read the words in images, in this run and later ones. None: as the
            index has it.
    """

    exclude: Sequence[str] = ()
    hidden: bool = False
    follow_symlinks: bool = False
    max_pixels: int = MAX_PIXELS
    batch_size: int | None = None
    count: bool = False
    ocr: bool | None = None
