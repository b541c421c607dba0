"""Counts what an index holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nmm.index.store.catalog.ocr_text import read_counts
from nmm.index.store.catalog.writer import open_for_reading

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder


@dataclass(frozen=True, slots=True)
class Status:
    """The model of an index, and its counts.

    Attributes:
        index: Its folder.
        model: Its model; None until something is embedded.
        dimension: Length of its vectors.
        roots: The folders and files that are indexed.
        files: Files that a search can find: images and texts.
        vectors: One for each image, and one for each chunk of a text; equal contents share them.
        pictures_read: Images whose text was recognised (OCR).
        pictures_with_words: Images in which text was found.
        skipped: Files that could not be read.
        size: Bytes on disk.
        errors: Each skipped file and the reason.
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
    """Return the status of an index.

    Raises:
        NoIndexError: There is no index.
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
