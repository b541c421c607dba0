"""The files of an index with a vector each, to be looked at together."""

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
    """A file that is indexed.

    Attributes:
        file, content: Ids.
        path: Absolute.
        kind: The modality of its content; "image" if it has images and texts.
        hash: SHA-256 of its content.
        size: Bytes, as when it was indexed.
        mtime_ns: When it was modified, in nanoseconds since 1970.
        width, height: Of an image, in pixels, upright.
        taken_at: When a picture was taken, if it says so, in ISO 8601 without a zone.
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
    """The files of some kinds that pass a condition and have a vector, in the order of their paths.

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
    """The mean of each content's vectors, of unit length, shape (contents, dimension).

    Each content is given once. One without vectors, or whose vectors cancel out, has zeros.

    Raises:
        CatalogError: SQLite cannot read the catalog.
    """
    import numpy as np

    order = np.argsort(np.asarray(contents, np.int64), kind="stable")
    known = np.asarray(contents, np.int64)[order]
    sums = np.zeros((len(known), 0), np.float32)
    # Crossed, and so in the order of the ids: those of a content lie together.
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
    """The vectors of some `count` contents of a kind, spread over all, as :func:`content_vectors`.

    The same ones as long as none come or go; all if there are no more.

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
    """The id of each content that is a text, and its first passage.

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
    """The id of each content that has words, and those: its caption, what is seen, its passages.

    Args:
        catalog: The index.
        contents: Ids.
        passages: How many of a text's, from the first on.

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
