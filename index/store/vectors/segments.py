"""Decides which FAISS files an index has, and when they are rewritten.

Each kind has its own segments. Images and texts are ranked separately and merged afterwards
(see :mod:`nmm.index.calibration`), so a search for one kind is exact without a filter.
Segments hold consecutive ranges of chunk ids. The catalog never uses an id twice. Chunks that are
newer than the last segment are the tail, which a search reads from the catalog.

When the tail has grown, it becomes a segment, together with the segments before it that are not
much larger (the logarithmic method; Bentley and Saxe, 1980). So a vector is rewritten when the
collection doubles, and not with every addition. From :data:`IVF_FROM` vectors on, the first
segment is an inverted file. It absorbs the others when they hold :data:`MAX_FLAT_VECTORS`
together. Removed vectors stay in their segments and are ignored, until they are a quarter of all.

A file is never changed, and its name is never used again. It is on disk before the catalog names
it, and it is deleted after the catalog names another. So after a crash every file that the catalog
names is whole, and the others are deleted later. All files can be rebuilt from the catalog.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.common.failpoints import failpoint
from nmm.index.errors import CatalogError
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Kind
from nmm.index.store.vectors import faiss_files
from nmm.index.store.vectors.segment_table import (
    Form,
    Segment,
    read_segments,
    replace_segments,
    segment_names,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.store.catalog.writer import CatalogWriter
    from nmm.index.store.layout import IndexFolder

FILE_NAME = re.compile(r"(image|text)-\d+-[0-9a-f]{8}\.faiss")

# A smaller tail stays in the catalog: comparing it there takes less time than importing FAISS.
MIN_SEGMENT_SIZE = 4096
# Below this size a flat file is exact and fast enough: `bench/store.py`.
IVF_FROM = 500_000
# Vectors in flat files beside an inverted file. Comparing that many takes about as long as a
# search of the inverted file.
MAX_FLAT_VECTORS = 32_768
# Lists are trained again for this many times the vectors that they were trained for.
RETRAIN_GROWTH = 4
# The share of the vectors in segments that may have been removed from the catalog.
MAX_REMOVED_SHARE = 0.25


@dataclass(frozen=True)
class Change:
    """A segment that was written, and the segments that it replaces.

    Attributes:
        kind: Of the vectors.
        old: The segments that are replaced.
        new: The new segment; None if there is nothing to write.
    """

    kind: Kind
    old: Sequence[Segment]
    new: Segment | None


def refresh(
    writer: CatalogWriter, folder: IndexFolder, dimension: int, *, compact: bool = False
) -> None:
    """Bring the segments up to date with the catalog, and delete obsolete files.

    With `compact`, each kind gets a single segment.

    Raises:
        CatalogError: A file cannot be written, or the catalog cannot be read or written.
    """
    for kind in KINDS:
        if change := write(writer, folder, kind, dimension, compact=compact):
            record(writer, folder, change)
        for segment in read_segments(writer, kind):
            _refresh_mtime(writer, folder, kind, segment)
    for path in leftovers(writer, folder):
        _delete(path)


def leftovers(catalog: Catalog, folder: IndexFolder) -> list[Path]:
    """Return the segment files that the catalog does not name, as a crash can leave them."""
    named = segment_names(catalog)
    found = sorted(folder.vectors.iterdir()) if folder.vectors.is_dir() else []
    # The folder may hold files that are not part of the index: only known names count.
    return [path for path in found if FILE_NAME.fullmatch(path.name) and path.name not in named]


def write(
    catalog: Catalog,
    folder: IndexFolder,
    kind: Kind,
    dimension: int,
    *,
    compact: bool = False,
) -> Change | None:
    """Write the segment that a kind needs.

    Returns:
        The change for :func:`record`; None if no segment is needed.

    Raises:
        CatalogError: The segment cannot be written, or the catalog cannot be read.
    """
    with catalog.snapshot():
        known = read_segments(catalog, kind)
        kept = 0 if compact else _count_kept(catalog, folder, kind, known)
        if kept is None or (compact and _is_compact(catalog, folder, kind, known)):
            return None
        old = known[kept:]
        after = known[kept - 1].last_chunk if kept else 0
        last = catalog.last_chunk(kind)
        count = catalog.vector_count(kind, after=after)
        if not count:
            return Change(kind, old, None) if old else None
        form: Form = "ivf" if not kept and count >= IVF_FROM else "flat"
        index: Any = None
        trained = 0
        if form == "ivf":
            base = None if compact else _reusable_ivf(folder, old, count)
            index, trained = _fill_ivf(catalog, folder, kind, base, count)
        else:
            index = faiss_files.new_flat(dimension)
            for ids, vectors in catalog.vectors(kind, after=after):
                index.add_with_ids(vectors, ids)
    path = folder.vectors / f"{kind}-{last}-{secrets.token_hex(4)}.faiss"
    failpoint("store", "segment to be written")
    new = faiss_files.write(index, path, form=form, trained=trained, last_chunk=last)
    failpoint("store", "segment written")
    return Change(kind, old, new)


def record(writer: CatalogWriter, folder: IndexFolder, change: Change) -> None:
    """Record a change in the catalog, and delete the files of the replaced segments."""
    replace_segments(writer, change.kind, change.old, change.new)
    failpoint("store", "segment recorded")
    for segment in change.old:
        _delete(folder.vectors / segment.name)


def drop_invalid(
    writer: CatalogWriter, folder: IndexFolder, bad: Collection[str] = ()
) -> list[str]:
    """Remove segments from the catalog whose files are damaged, and those named in `bad`.

    Files are read completely. All segments after a damaged one are removed too, because they
    would take over its range. :func:`refresh` writes new ones.

    Returns:
        The names of the damaged segments.
    """
    found = []
    for kind in KINDS:
        known = read_segments(writer, kind)
        unsound = [
            n
            for n, segment in enumerate(known)
            if segment.name in bad
            or not faiss_files.is_sound(folder.vectors / segment.name, segment, thorough=True)
            or not _is_usable(folder, segment)
        ]
        if unsound:
            replace_segments(writer, kind, known[unsound[0] :])
            found += [known[n].name for n in unsound]
    return found


def drop_all(writer: CatalogWriter, folder: IndexFolder) -> None:
    """Delete all segments."""
    for kind in KINDS:
        record(writer, folder, Change(kind, read_segments(writer, kind), None))


def move_files(source: IndexFolder, target: IndexFolder) -> None:
    """Move the segment files of an index to the folder of another, which has none of these names.

    Raises:
        CatalogError: A file cannot be moved; both catalogs are unchanged.
    """
    try:
        for path in source.vectors.iterdir():
            if FILE_NAME.fullmatch(path.name):
                path.replace(target.vectors / path.name)
                failpoint("store", "segment moved")
    except OSError as error:
        raise CatalogError(
            f"The search files in {source.vectors} cannot be moved.",
            code="search-files-not-movable",
            why=error.strerror or str(error),
            hint="Free some space on that disk, and try again. The rebuild resumes.",
            path=source.vectors,
        ) from error


def _count_kept(
    catalog: Catalog, folder: IndexFolder, kind: Kind, known: Sequence[Segment]
) -> int | None:
    """Return how many of the first segments are kept.

    The others and the tail become one segment. None means that nothing needs to change.
    """
    sound = next(
        (n for n, segment in enumerate(known) if not _is_usable(folder, segment)),
        len(known),
    )
    after = known[-1].last_chunk if known else 0
    tail = catalog.vector_count(kind, after=after)
    total = sum(segment.total for segment in known)
    live = catalog.vector_count(kind) - tail
    if total - live > max(total, MIN_SEGMENT_SIZE) * MAX_REMOVED_SHARE:
        return 0
    if sound == len(known) and tail < MIN_SEGMENT_SIZE:
        return None
    kept = sound
    size = tail + sum(segment.total for segment in known[sound:])
    while kept and known[kept - 1].form == "flat" and known[kept - 1].total < 2 * size:
        kept -= 1
        size += known[kept].total
    if kept and known[0].form == "ivf":
        flat = size + sum(segment.total for segment in known[1:kept])
        return 0 if flat > MAX_FLAT_VECTORS else kept
    return 0 if live + tail >= IVF_FROM else kept


def _refresh_mtime(
    writer: CatalogWriter, folder: IndexFolder, kind: Kind, segment: Segment
) -> None:
    """Record the new time of a file that was copied and is sound, so that it is not read again."""
    with suppress(OSError):
        stat = (folder.vectors / segment.name).stat()
        if stat.st_mtime_ns != segment.mtime_ns:
            updated = segment._replace(mtime_ns=stat.st_mtime_ns)
            replace_segments(writer, kind, [segment], updated)


def _is_usable(folder: IndexFolder, segment: Segment) -> bool:
    """Return whether a segment's file is whole and FAISS opens it."""
    return faiss_files.open_file(folder.vectors, segment) is not None


def _is_compact(
    catalog: Catalog, folder: IndexFolder, kind: Kind, known: Sequence[Segment]
) -> bool:
    """Return whether a kind has one sound segment of all its vectors, in the best form."""
    if not known:
        return not catalog.vector_count(kind)
    only = known[0]
    return (
        len(known) == 1
        and only.last_chunk == catalog.last_chunk(kind)
        and only.total == catalog.vector_count(kind)
        and (only.form == "ivf") == (only.total >= IVF_FROM)
        and (only.form == "flat" or only.trained * RETRAIN_GROWTH > only.total * 2)
        and _is_usable(folder, only)
    )


def _reusable_ivf(folder: IndexFolder, old: Sequence[Segment], count: int) -> Segment | None:
    """Return the inverted file among replaced segments if its lists suit so many vectors."""
    if not old or old[0].form != "ivf" or count > RETRAIN_GROWTH * old[0].trained:
        return None
    return old[0] if _is_usable(folder, old[0]) else None


def _fill_ivf(
    catalog: Catalog, folder: IndexFolder, kind: Kind, base: Segment | None, count: int
) -> tuple[Any, int]:
    """Return an inverted file of all vectors of a kind, and how many its lists were trained for.

    The codes of `base` are reused: only newer vectors are read, and removed ones are dropped.
    """
    import numpy as np

    if base:
        index = faiss_files.read_whole(folder.vectors / base.name)
        trained, after = base.trained, base.last_chunk
        ids, live = faiss_files.ids_of(index), catalog.chunk_ids(kind, upto=after)
        if removed := np.setdiff1d(ids, live, assume_unique=True).size:
            faiss_files.retain(index, live)
            assert index.ntotal == len(ids) - removed
    else:
        sample = _training_sample(catalog, kind, count)
        index, trained, after = faiss_files.new_ivf(sample, count), count, 0
    for ids, vectors in catalog.vectors(kind, after=after):
        index.add_with_ids(vectors, ids)
    return index, trained


def _training_sample(catalog: Catalog, kind: Kind, count: int) -> NDArray[np.float32]:
    """Return vectors to train lists with, spread over all vectors of a kind."""
    import numpy as np

    wanted = faiss_files.list_count(count) * faiss_files.TRAINING_VECTORS_PER_LIST
    return np.concatenate(
        [vectors for _, vectors in catalog.vectors(kind, every=max(1, count // wanted))]
    )


def _delete(path: Path) -> None:
    failpoint("store", "segment to be deleted")
    # On Windows a search may hold the file open; a later refresh tries again.
    with suppress(OSError):
        path.rmdir() if path.is_dir() else path.unlink()
