"""The OCR text of images in the catalog: which images still need OCR, and its results.

`contents.words` is null until OCR ran on an image, and empty if it found no text. Each line has a
row in `boxes`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nmm.index.store.catalog.connection import translated
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import at_and_above
from nmm.index.store.catalog.types import Root, locate
from nmm.index.store.catalog.writer import CatalogWriter

# Images whose paths are looked up together.
LOOKUP_BATCH = 100
# The key of the setting, and its value if OCR is on: a version, so that a later nmm with better
# OCR knows which one read the images.
SETTING = "ocr"
READING = 1


class Line(NamedTuple):
    """A line of text in an image, and the upright box around it.

    Attributes:
        text: Without control characters, in NFC.
        x, y: Its left and upper edge, in pixels of the upright image at full size.
        width, height: In the same pixels.
        confidence: Of the recogniser, 0 to 1.
    """

    text: str
    x: float
    y: float
    width: float
    height: float
    confidence: float


class Picture(NamedTuple):
    """An image, and the files with this content."""

    content_id: int
    hash: bytes
    files: list[Path]


class ReadCounts(NamedTuple):
    """How many image files were read by OCR, and how many of them have text."""

    read: int
    with_words: int


def reads_words(catalog: Catalog) -> bool:
    """Return whether indexing runs read the text in images."""
    row = catalog.connection.first("SELECT value FROM settings WHERE key = ?", (SETTING,))
    return bool(row and row[0])


def set_reads_words(writer: CatalogWriter, reads: bool) -> None:
    """Set whether later runs read the text in images; text that was read stays."""
    with writer.batch():
        writer.connection.execute(
            "INSERT OR REPLACE INTO settings VALUES (?, ?)", (SETTING, READING if reads else 0)
        )


def read_counts(catalog: Catalog) -> ReadCounts:
    """Return how many images were read."""
    sql = (
        "SELECT count(words), count(nullif(words, '')) "
        "FROM files JOIN contents ON contents.id = content_id WHERE medium = 'image'"
    )
    return ReadCounts(*next(catalog.connection.rows(sql)))


def unread(
    catalog: Catalog,
    scopes: Collection[tuple[Root, str]],
    unseen: Collection[tuple[Root, str]],
) -> list[int]:
    """Return the ids of images below some scopes that OCR has not read.

    A scope is a root and a path below it. Images whose files are all in `unseen` scopes, on a disk
    that is not mounted or in an unreadable folder, are left out.
    """
    within, without = _by_root(scopes), _by_root(unseen)
    sql = (
        "SELECT contents.id, root_id, path FROM contents "
        "CROSS JOIN files ON files.content_id = contents.id "
        "WHERE words IS NULL AND contents.medium = 'image' ORDER BY contents.id"
    )
    found: dict[int, None] = {}
    for content_id, root_id, path in catalog.connection.rows(sql):
        above = at_and_above(path)
        if above & within.get(root_id, set()) and not above & without.get(root_id, set()):
            found[content_id] = None
    return list(found)


def _by_root(scopes: Collection[tuple[Root, str]]) -> dict[int, set[str]]:
    paths: dict[int, set[str]] = {}
    for root, path in scopes:
        paths.setdefault(root.id, set()).add(path)
    return paths


def pictures(catalog: Catalog, ids: Sequence[int]) -> Iterator[Picture]:
    """Yield some images in the order of their ids, with the absolute paths of their files."""
    sql = (
        "SELECT contents.id, hash, roots.path, files.path FROM json_each(?) "
        "CROSS JOIN contents ON contents.id = value "
        "JOIN files ON content_id = contents.id JOIN roots ON roots.id = root_id "
        "ORDER BY contents.id, roots.path, files.path"
    )
    for start in range(0, len(ids), LOOKUP_BATCH):
        found: dict[int, Picture] = {}
        for content_id, digest, root, path in catalog.connection.rows(
            sql, (json.dumps(ids[start : start + LOOKUP_BATCH]),)
        ):
            picture = found.setdefault(content_id, Picture(content_id, digest, []))
            picture.files.append(Path(locate(root, path)))
        yield from found.values()


def save_ocr_text(writer: CatalogWriter, content_id: int, lines: Sequence[Line]) -> None:
    """Store the lines that were read in an image, in reading order."""
    words = "\n".join(line.text for line in lines)
    with writer.batch():
        writer.connection.execute("UPDATE contents SET words = ? WHERE id = ?", (words, content_id))
        writer.connection.execute("DELETE FROM boxes WHERE content_id = ?", (content_id,))
        writer.connection.execute_many(
            "INSERT INTO boxes (content_id, line, text, x, y, width, height, confidence) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(content_id, number, *line) for number, line in enumerate(lines, start=1)],
        )


def copy_ocr_text(new: CatalogWriter, old: Path) -> None:
    """Copy the OCR text of equal images from the catalog that a new one will replace.

    Copies the setting too.
    """
    with translated(new.file):
        new.connection.execute("ATTACH ? AS old", (str(old),))
        try:
            with new.batch():
                new.connection.execute(
                    "CREATE TEMP TABLE taken AS SELECT ours.id AS new, theirs.id AS old, "
                    "theirs.words AS words FROM main.contents AS ours "
                    "JOIN old.contents AS theirs ON theirs.hash = ours.hash "
                    "WHERE ours.medium = 'image' AND theirs.medium = 'image' "
                    "AND ours.words IS NULL AND theirs.words NOT NULL"
                )
                new.connection.execute(
                    "UPDATE main.contents SET words = taken.words "
                    "FROM temp.taken WHERE contents.id = taken.new"
                )
                new.connection.execute(
                    "INSERT INTO main.boxes SELECT taken.new, line, text, x, y, width, height, "
                    "confidence FROM temp.taken JOIN old.boxes ON content_id = taken.old"
                )
                new.connection.execute("DROP TABLE temp.taken")
                new.connection.execute(
                    "INSERT OR REPLACE INTO main.settings "
                    "SELECT key, value FROM old.settings WHERE key = ?",
                    (SETTING,),
                )
        finally:
            new.connection.execute("DETACH old")
