"""What an index holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.store.catalog.ocr_text import read_counts
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder


@dataclass(frozen=True, slots=True)
class Status:
    """An index in numbers.

    Attributes:
        index: Its folder.
        model: Its model; None as long as nothing was embedded.
        dimension: Length of its vectors.
        roots: What it was made from.
        files: Files that can be found: images and texts.
        vectors: One for an image, one for each chunk of a text; equal contents share theirs.
        pictures_read: Of the images, those that were looked at for words that are seen in them.
        pictures_with_words: Those in which there are any.
        skipped: Files that could not be read.
        size: Bytes on disk.
        errors: Each skipped file and why.
    """

    index: str
    model: str | None
    dimension: int | None
    roots: list[str]
    files: int
    images: int
    texts: int
    vectors: int
    pictures_read: int
    pictures_with_words: int
    skipped: int
    size: int
    errors: list[tuple[str, str]]


def status(folder: IndexFolder) -> Status:
    """Look at an index.

    Raises:
        NoIndexError: There is none.
        CatalogError: The catalog cannot be read.
    """
    with open_for_reading(folder) as catalog, catalog.snapshot():
        settings = catalog.settings()
        counts = catalog.file_counts()
        words = read_counts(catalog)
        return Status(
            index=str(folder.path),
            model=settings and settings.model,
            dimension=settings and settings.dimension,
            roots=[str(root.path) for root in catalog.roots()],
            files=counts.get("indexed", 0),
            images=counts.get("image", 0),
            texts=counts.get("text", 0),
            vectors=catalog.vector_count(),
            pictures_read=words.read,
            pictures_with_words=words.with_words,
            skipped=counts.get("skipped", 0),
            size=folder.size(),
            errors=list(catalog.skipped()),
        )
