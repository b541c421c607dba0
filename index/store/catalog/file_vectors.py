"""Reads one vector per file, for analyses of a whole collection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nmm.index.common.linalg import normalize_rows
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.sql_filters import FILES, HAS_MODALITY, SHOWN_MODALITY, Condition
from nmm.index.store.catalog.types import Kind, locate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Item(NamedTuple):
    """An indexed file.

    Attributes:
        file, content: Ids.
        path: Absolute.
        kind: The modality of its content; "image" if it has images and texts.
        hash: SHA-256 of its content.
        size: In bytes, when it was indexed.
        mtime_ns: Modification time, in nanoseconds since 1970.
        width, height: Of an image, in pixels, upright.
        taken_at: When an image was taken, if known, in ISO 8601 without a zone.
    """

    file: int
    content: int
    path: str
    kind: Kind
    hash: bytes
    size: int
    mtime_ns: int
    width: int | None
    height: int | None
    taken_at: str | None


def items(catalog: Catalog, kinds: Sequence[Kind], where: Condition | None = None) -> list[Item]:
    """Return the files of some kinds that pass a condition and have a vector, ordered by path.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    condition, parameters = where or Condition("TRUE")
    rows = catalog.connection.rows(
        f"SELECT files.id, contents.id, roots.path, files.path, {SHOWN_MODALITY}, hash, "
        f"ifnull(size, 0), ifnull(mtime_ns, 0), width, height, taken_at FROM {FILES} "
        f"WHERE {HAS_MODALITY} AND EXISTS (SELECT 1 FROM chunks "
        "JOIN vectors ON chunk_id = chunks.id WHERE chunks.content_id = contents.id) "
        f"AND {condition}",
        (json.dumps([*kinds]), json.dumps([*kinds]), *parameters),
    )
    found = [
        Item(file, content, locate(root, path), *rest) for file, content, root, path, *rest in rows
    ]
    return sorted(found, key=lambda item: item.path)


def content_vectors(catalog: Catalog, contents: Sequence[int]) -> NDArray[np.float32]:
    """Return the normalised mean of each content's vectors, shape (contents, dimension).

    Contents must be distinct. A content without vectors, or whose vectors cancel out, has zeros.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    import numpy as np

    order = np.argsort(np.asarray(contents, np.int64), kind="stable")
    known = np.asarray(contents, np.int64)[order]
    sums = np.zeros((len(known), 0), np.float32)
    # A cross join keeps the order of the ids, so the rows of a content are adjacent.
    sql = (
        "SELECT content_id, vector FROM json_each(?) CROSS JOIN chunks ON content_id = value "
        "CROSS JOIN vectors ON chunk_id = chunks.id"
    )
    for owners, vectors in catalog.connection.blocks(sql, (json.dumps(known.tolist()),)):
        if not sums.size:
            sums = np.zeros((len(known), vectors.shape[1]), np.float32)
        starts = np.flatnonzero(np.diff(owners, prepend=owners[0] - 1))
        sums[np.searchsorted(known, owners[starts])] += np.add.reduceat(vectors, starts, axis=0)
    normalize_rows(sums)
    result = np.empty_like(sums)
    result[order] = sums
    return result


def content_sample(catalog: Catalog, kind: Kind, count: int) -> NDArray[np.float32]:
    """Return what :func:`content_vectors` returns, for `count` contents spread over a kind.

    The sample is the same until contents are added or removed. It is all contents if there are no
    more.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    import numpy as np

    sql = (
        f"SELECT id FROM contents WHERE {HAS_MODALITY} AND EXISTS "
        "(SELECT 1 FROM files WHERE content_id = contents.id) ORDER BY id"
    )
    ids = np.fromiter(
        (row[0] for row in catalog.connection.rows(sql, (json.dumps([kind]),))), np.int64
    )
    if len(ids) > count:
        ids = ids[np.linspace(0, len(ids) - 1, count).astype(np.int64)]
    return content_vectors(catalog, ids.tolist())


def first_passages(catalog: Catalog, contents: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield the id of each content that is a text, and its first passage.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = (
        "SELECT value, (SELECT text FROM chunks WHERE content_id = value AND text NOT NULL "
        "ORDER BY id LIMIT 1) AS text FROM json_each(?) WHERE text NOT NULL"
    )
    yield from catalog.connection.rows(sql, (json.dumps([*contents]),))


def content_texts(
    catalog: Catalog, contents: Sequence[int], passages: int
) -> Iterator[tuple[int, str]]:
    """Yield the id and words of each content that has any: caption, OCR text and passages.

    Args:
        catalog: The index.
        contents: Ids.
        passages: The number of passages of a text, from the first.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    sql = (
        "SELECT contents.id, ifnull(caption || char(10), '') || ifnull(words || char(10), '') || "
        "ifnull((SELECT group_concat(text, char(10)) FROM (SELECT text FROM chunks WHERE "
        "content_id = contents.id AND text NOT NULL ORDER BY id LIMIT ?)), '') "
        "FROM json_each(?) CROSS JOIN contents ON contents.id = value"
    )
    for content, words in catalog.connection.rows(sql, (passages, json.dumps([*contents]))):
        if words:
            yield content, words
