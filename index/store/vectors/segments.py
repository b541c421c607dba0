"""Which FAISS files there are of an index's vectors, and when they are written anew.

Each kind has segments of its own: images and texts are ranked apart and merged afterwards
(see :mod:`nmm.index.calibration`), so that a search for one kind is exact without a filter.
Segments hold consecutive ranges of chunk ids, of which the catalog never gives one twice.
What is newer than the last one is the tail, which a search reads from the catalog.

When the tail has grown, it becomes a segment, together with those before it that are not
much larger (the logarithmic method; Bentley and Saxe, 1980): a vector is written again as often
as the collection doubles, and not whenever something is added. From :data:`IVF_FROM` vectors
on the first segment is an inverted file and takes the others in when they have become
:data:`FLAT` vectors together. Vectors that were removed stay in their segments, and are passed
over, until a quarter of all is of them.

A file is never changed, and its name never used again. It is on disk before the catalog names
it, and deleted after the catalog names another: whatever a crash leaves, every file that is
named is whole, and one that is not named is deleted later. All can be lost without a loss.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

# A tail of fewer vectors stays in the catalog: comparing them there takes less time than
# importing FAISS does.
TAIL = 4096
# Below, a flat file is exact and fast enough: `bench/store.py`.
IVF_FROM = 500_000
# Vectors in flat files beside an inverted one. Comparing so many takes about as long as a
# search of that does.
FLAT = 32_768
# Lists are learned anew when there are so many times the vectors that they were learned for.
GROWTH = 4
# Of all vectors in segments, one in so many may be gone from the catalog.
GONE = 4


@dataclass(frozen=True)
class Change:
    """A new segment of a kind, written, and those whose place it takes; None for nothing."""

    kind: Kind
    gone: Sequence[Segment]
    new: Segment | None


def refresh(
    writer: CatalogWriter, folder: IndexFolder, dimension: int, *, compact: bool = False
) -> None:
    """Bring the segments up to the catalog, and delete files of the past.

    With `compact`, whatever is not one whole segment of a kind becomes one.

    Raises:
        CatalogError: A file cannot be written, or the catalog not be read or written.
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
    # By the pattern of their names, because the folder may hold files of somebody else.
    return [path for path in found if FILE_NAME.fullmatch(path.name) and path.name not in named]


def write(
    catalog: Catalog,
    folder: IndexFolder,
    kind: Kind,
    dimension: int,
    *,
    compact: bool = False,
) -> Change | None:
    """Write the segment that a kind needs, for :func:`record`; None if it needs none.

    Raises:
        CatalogError: It cannot be written, or the catalog not be read.
    """
    with catalog.snapshot():
        known = read_segments(catalog, kind)
        stay = 0 if compact else _how_many_stay(catalog, folder, kind, known)
        if stay is None or (compact and _is_compact(catalog, folder, kind, known)):
            return None
        gone = known[stay:]
        after = known[stay - 1].last_chunk if stay else 0
        last = catalog.last_chunk(kind)
        count = catalog.vector_count(kind, after=after)
        if not count:
            return Change(kind, gone, None) if gone else None
        form: Form = "ivf" if not stay and count >= IVF_FROM else "flat"
        index: Any = None
        trained = 0
        if form == "ivf":
            base = None if compact else _base(folder, gone, count)
            index, trained = _extended(catalog, folder, kind, base, count)
        else:
            index = faiss_files.new_flat(dimension)
            for ids, vectors in catalog.vectors(kind, after=after):
                index.add_with_ids(vectors, ids)
    path = folder.vectors / f"{kind}-{last}-{secrets.token_hex(4)}.faiss"
    sys.audit("nmm.store", "segment to be written")
    new = faiss_files.write(index, path, form=form, trained=trained, last_chunk=last)
    sys.audit("nmm.store", "segment written")
    return Change(kind, gone, new)


def record(writer: CatalogWriter, folder: IndexFolder, change: Change) -> None:
    """Have the catalog name a new segment, and delete the files of those before it."""
    replace_segments(writer, change.kind, change.gone, change.new)
    sys.audit("nmm.store", "segment recorded")
    for segment in change.gone:
        _delete(folder.vectors / segment.name)


def drop_invalid(
    writer: CatalogWriter, folder: IndexFolder, bad: Collection[str] = ()
) -> list[str]:
    """Have the catalog forget segments whose files are not what was written, and those in `bad`.

    Files are read whole. The segments after one go with it, for its range would become
    theirs. Returns the names of those that are not sound; :func:`refresh` writes them again.
    """
    found = []
    for kind in KINDS:
        known = read_segments(writer, kind)
        unsound = [
            n
            for n, one in enumerate(known)
            if one.name in bad
            or not faiss_files.is_sound(folder.vectors / one.name, one, thorough=True)
            or not _is_usable(folder, one)
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
    """Move files beside those of another index, where their names are new.

    Raises:
        CatalogError: One cannot be moved; both catalogs are as they were.
    """
    try:
        for path in source.vectors.iterdir():
            if FILE_NAME.fullmatch(path.name):
                path.replace(target.vectors / path.name)
                sys.audit("nmm.store", "segment moved")
    except OSError as error:
        raise CatalogError(
            f"The search files in {source.vectors} cannot be moved.",
            code="search-files-not-movable",
            why=error.strerror or str(error),
            hint="Free some space on that disk, and try again. The rebuild resumes.",
            path=source.vectors,
        ) from error


def _how_many_stay(
    catalog: Catalog, folder: IndexFolder, kind: Kind, known: Sequence[Segment]
) -> int | None:
    """How many of the segments stay, the others and the tail becoming one; None: all is well."""
    sound = next(
        (n for n, one in enumerate(known) if not _is_usable(folder, one)),
        len(known),
    )
    after = known[-1].last_chunk if known else 0
    tail = catalog.vector_count(kind, after=after)
    total = sum(segment.total for segment in known)
    live = catalog.vector_count(kind) - tail
    if total - live > max(total / GONE, TAIL / GONE):
        return 0
    if sound == len(known) and tail < TAIL:
        return None
    stay = sound
    size = tail + sum(segment.total for segment in known[sound:])
    while stay and known[stay - 1].form == "flat" and known[stay - 1].total < 2 * size:
        stay -= 1
        size += known[stay].total
    if stay and known[0].form == "ivf":
        flat = size + sum(segment.total for segment in known[1:stay])
        return 0 if flat > FLAT else stay
    return 0 if live + tail >= IVF_FROM else stay


def _refresh_mtime(
    writer: CatalogWriter, folder: IndexFolder, kind: Kind, segment: Segment
) -> None:
    """Keep the time of a file that was copied, which is sound, so that it is not read again."""
    with suppress(OSError):
        found = (folder.vectors / segment.name).stat()
        if found.st_mtime_ns != segment.mtime_ns:
            now = segment._replace(mtime_ns=found.st_mtime_ns)
            replace_segments(writer, kind, [segment], now)


def _is_usable(folder: IndexFolder, segment: Segment) -> bool:
    """Whether a segment's file is whole and FAISS opens it."""
    return faiss_files.open_file(folder.vectors, segment) is not None


def _is_compact(
    catalog: Catalog, folder: IndexFolder, kind: Kind, known: Sequence[Segment]
) -> bool:
    if not known:
        return not catalog.vector_count(kind)
    only = known[0]
    return (
        len(known) == 1
        and only.last_chunk == catalog.last_chunk(kind)
        and only.total == catalog.vector_count(kind)
        and (only.form == "ivf") == (only.total >= IVF_FROM)
        and (only.form == "flat" or only.trained * GROWTH > only.total * 2)
        and _is_usable(folder, only)
    )


def _base(folder: IndexFolder, gone: Sequence[Segment], count: int) -> Segment | None:
    """The inverted file among segments that go whose lists will do for so many vectors."""
    if not gone or gone[0].form != "ivf" or count > GROWTH * gone[0].trained:
        return None
    return gone[0] if _is_usable(folder, gone[0]) else None


def _extended(
    catalog: Catalog, folder: IndexFolder, kind: Kind, base: Segment | None, count: int
) -> tuple[Any, int]:
    """An inverted file of all vectors of a kind, and how many its lists were learned for.

    With a base, its codes are kept: only what is newer is read, and what is gone is left out.
    """
    import numpy as np

    if base:
        index = faiss_files.read_whole(folder.vectors / base.name)
        trained, after = base.trained, base.last_chunk
        ids = faiss_files.ids_of(index)
        if gone := np.setdiff1d(ids, catalog.chunk_ids(kind, upto=after), assume_unique=True).size:
            faiss_files.keep(index, catalog.chunk_ids(kind, upto=after))
            assert index.ntotal == len(ids) - gone
    else:
        index, trained, after = faiss_files.new_ivf(_sample(catalog, kind, count), count), count, 0
    for ids, vectors in catalog.vectors(kind, after=after):
        index.add_with_ids(vectors, ids)
    return index, trained


def _sample(catalog: Catalog, kind: Kind, count: int) -> NDArray[np.float32]:
    """Vectors to learn lists from, spread over all of a kind."""
    import numpy as np

    wanted = faiss_files.lists_for(count) * faiss_files.SAMPLE_PER_LIST
    return np.concatenate(
        [vectors for _, vectors in catalog.vectors(kind, every=max(1, count // wanted))]
    )


def _delete(path: Path) -> None:
    sys.audit("nmm.store", "segment to be deleted")
    # A search on Windows may hold it open; a later refresh tries again.
    with suppress(OSError):
        path.rmdir() if path.is_dir() else path.unlink()
