"""Stage 5 of a run: commit embedded batches to the catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.common.tracing import span
from nmm.index.indexing.batch import EmbeddingBatch

if TYPE_CHECKING:
    from nmm.index.indexing.recorder import Change
    from nmm.index.store.catalog.writer import CatalogWriter


@dataclass(frozen=True)
class Committed:
    """What a commit has changed.

    Attributes:
        vectors: How many were added.
        changes: What changed for how many files with a content.
    """

    vectors: int
    changes: Counter[Change]


def commit_batches(batches: Iterable[EmbeddingBatch], writer: CatalogWriter) -> Iterator[Committed]:
    """Wait for each batch to be embedded, and commit it as a whole.

    Raises:
        CatalogError: The catalog cannot be written.
    """
    # Contents whose file comes with a later batch.
    unfinished: dict[bytes, int] = {}
    for batch in batches:
        if batch.dropped is not None:
            writer.drop_content(batch.dropped)
            unfinished.pop(batch.dropped, None)
            continue
        with span("waiting for the encoder"):
            image_vectors = batch.image_vectors.result() if batch.image_vectors else ()
            text_vectors = batch.text_vectors.result() if batch.text_vectors else ()
        with span("batches committed"), writer.batch():
            ids = {
                digest: _content_id(batch, digest, unfinished, writer) for digest in batch.digests()
            }
            for (digest, row), vector in zip(batch.images, image_vectors, strict=True):
                writer.add_chunk(ids[digest], "image", row, vector)
            for (digest, row), vector in zip(batch.texts, text_vectors, strict=True):
                writer.add_chunk(ids[digest], "text", row, vector)
            for file in batch.files:
                writer.put_file(
                    file.root,
                    file.path,
                    file.size,
                    file.mtime_ns,
                    status=file.status,
                    reason=file.reason,
                    content_id=file.content_id or (ids[file.digest] if file.digest else None),
                    is_new=file.is_new,
                )
        writer.mark_seen(batch.seen)
        unfinished |= {digest: ids[digest] for digest in batch.contents}
        for file in batch.files:
            if file.digest:
                unfinished.pop(file.digest, None)
        changes = Counter(file.change for file in batch.files if file.change)
        yield Committed(len(batch.images) + len(batch.texts), changes)


def _content_id(
    batch: EmbeddingBatch, digest: bytes, unfinished: dict[bytes, int], writer: CatalogWriter
) -> int:
    """Return the row of a content, added if the batch is the first that has part of it."""
    if digest in unfinished:
        return unfinished[digest]
    if digest in batch.contents:
        return writer.add_content(batch.contents[digest])
    known = writer.content_id(digest)
    assert known is not None, "a file is added only after its content"
    return known
