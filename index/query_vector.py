"""A query's vector: those of its terms, each of unit length times its weight, summed.

What an image or a file holds may be in the index: its vectors are then taken from there,
which needs no tower. They were kept in halves, which changes a cosine's sixth digit.

Vectors that the index has of texts were made with the prompt of documents, and so a text file
that is not in it is embedded as one, too. Nomic's model cards recommend the prefix
``clustering:`` for comparing documents with each other; it would need a second vector of every
passage, and both sides of a comparison need the same prefix more than the best one.
"""

from __future__ import annotations

import hashlib
import itertools
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.registry import Encoder, Task
from nmm.index.errors import MediaError, UsageError
from nmm.index.model import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.query import Query, Term
    from nmm.index.store.catalog import Catalog

# Lengths of a sum, beside that of its weights, below which its direction is chance.
LEAST_LENGTH = 1e-3
# Bytes that tell an image.
HEAD = 64
# Passages of a file that are embedded together.
PASSAGES = 128


def embed_query(
    query: Query, encoder: Encoder, catalog: Catalog, *, raw: bool = False
) -> NDArray[np.float32]:
    """The vector of a query, shape (dimension,), of unit length.

    A query of one text is what the encoder makes of it, bit for bit.

    Args:
        query: What is looked for.
        encoder: What embeds it: that of the index.
        catalog: Where vectors of contents that are in the index are.
        raw: See :meth:`.encoders.registry.Model.prompt`.

    Raises:
        UsageError: A file cannot be read as what it should be, or the terms leave nothing.
    """
    import numpy as np

    terms = [term for term in query.terms if term.weight and _is_something(term)]
    texts = [term.text for term in terms if term.text]
    of_texts = iter(encoder.embed_texts(texts, Task.QUERY, raw=raw) if texts else ())
    vectors = [next(of_texts) if term.text else _of_file(term, encoder, catalog) for term in terms]
    if len(terms) == 1 and terms[0].weight > 0:
        return vectors[0]
    # Doubles, and beside the greatest, so that no weight is too large or too small.
    weights = np.array([term.weight for term in terms], np.float64)
    weights /= np.abs(weights).max(initial=0) or 1
    total = weights @ np.array(vectors, np.float64) if terms else np.zeros(1)
    length = float(np.linalg.norm(total))
    if length <= LEAST_LENGTH * np.abs(weights).sum():
        raise UsageError(
            f"Nothing is left to look for in: {query.label or query}",
            why="What is added and what is taken away are the same, or all weights are 0.",
            hint="See how it is understood with: --explain",
        )
    unit: NDArray[np.float32] = (total / length).astype(np.float32)
    return unit


def _is_something(term: Term) -> bool:
    return bool(term.text.strip() or term.image or term.file)


def _of_file(term: Term, encoder: Encoder, catalog: Catalog) -> NDArray[np.float32]:
    """The unit vector of a term that is no text."""
    if term.file is not None:
        return _of_content(term.file, encoder, catalog)
    if isinstance(term.image, bytes):
        return _of_image(term.image, "on standard input", encoder, catalog)
    assert term.image is not None
    return _of_image(_read(term.image), str(term.image), encoder, catalog)


def _read(path: Path) -> bytes:
    from nmm.index.media.read import read_image

    _check_file(path)
    try:
        return read_image(path)
    except MediaError as error:
        raise _unusable("image", str(path), error.what) from error
    except OSError as error:
        raise _unusable("image", str(path), f"not readable: {error.strerror or error}") from error


def _of_image(data: bytes, name: str, encoder: Encoder, catalog: Catalog) -> NDArray[np.float32]:
    import numpy as np

    from nmm.index.encoders.preprocess import to_pixels
    from nmm.index.media.image import decode, looks_like_image

    known = None
    if looks_like_image(data[:HEAD]):
        known = _known(hashlib.sha256(data).digest(), encoder, catalog)
    if known is not None:
        return known
    spec = encoder.model.image
    try:
        pixels = to_pixels(decode(data, side=spec.side).image, spec)
    except MediaError as error:
        raise _unusable("image", name, error.what) from error
    found: NDArray[np.float32] = encoder.embed_images(np.stack([pixels]))[0]
    return found


def _of_content(path: Path, encoder: Encoder, catalog: Catalog) -> NDArray[np.float32]:
    """The vector of an image, or the mean of those of a text's passages."""
    import numpy as np

    from nmm.index.encoders.preprocess import to_pixels
    from nmm.index.media.image import MAX_PIXELS
    from nmm.index.media.read import Chunking, ImageMedia, TextMedia, read_media

    _check_file(path)
    found: list[NDArray[np.float32]] = []

    def is_known(digest: bytes) -> bool:
        known = _known(digest, encoder, catalog)
        found.extend(() if known is None else (known,))
        return bool(found)

    model = encoder.model
    try:
        media = read_media(
            path,
            chunking=Chunking.of(encoder.tokenizer, model.chunk),
            side=model.image.side,
            max_pixels=MAX_PIXELS,
            is_known=is_known,
        )
        if isinstance(media, ImageMedia):
            pixels = to_pixels(media.decoded.image, model.image)
            found.append(encoder.embed_images(np.stack([pixels]))[0])
        elif isinstance(media, TextMedia):
            passages = _batches(chunk.text for chunk in media.chunks)
            found += _mean(encoder.embed_texts(some, Task.DOCUMENT) for some in passages)
    except MediaError as error:
        raise _unusable("file", str(path), error.what) from error
    if not found:
        raise _unusable("file", str(path), "there is no text in it")
    return found[0]


def _check_file(path: Path) -> None:
    with suppress(OSError):  # which is said when it is opened
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", hint="Name one of the files in it.")
        if not path.exists():
            raise UsageError(
                f"There is no file {path}",
                hint="Is it spelled right? Words are looked for with: nmm search",
            )


def _known(digest: bytes, encoder: Encoder, catalog: Catalog) -> NDArray[np.float32] | None:
    """The vector of a content that is in the index, if it is."""
    # Of an index that was rebuilt since, the search notices, and asks again.
    if catalog.settings() != settings_of(encoder):
        return None
    blocks = (vectors for _, vectors in catalog.vectors_of_content(digest))
    return next(iter(_mean(blocks)), None)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    every = iter(texts)
    while some := list(itertools.islice(every, PASSAGES)):
        yield some


def _mean(blocks: Iterable[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The mean of unit vectors, shape (dimension,), of unit length; empty if there are none."""
    import numpy as np

    total: NDArray[np.float64] | None = None
    for vectors in blocks:
        part = vectors.sum(axis=0, dtype=np.float64)
        total = part if total is None else total + part
    length = 0.0 if total is None else float(np.linalg.norm(total))
    return [] if total is None or not length else [(total / length).astype(np.float32)]


def _unusable(kind: str, name: str, reason: str) -> UsageError:
    hint = "A name that is meant as words is quoted: nmm search '\"cat.jpg\"'"
    if reason.startswith("not an image"):
        hint = "What is like a text is found with: nmm similar FILE"
    # The option that some reasons name is one of indexing.
    return UsageError(
        f"The {kind} {name} cannot be looked for: {reason.removesuffix(' (--max-pixels)')}",
        hint=hint,
    )
