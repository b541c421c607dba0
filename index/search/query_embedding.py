"""Embed a query: the weighted sum of the normalised vectors of its terms.

If the content of an image or a file is in the index, its vectors are read from there, and no model
is needed. They are stored as half floats, which changes the sixth digit of a cosine.

A text file is embedded as the mean of its passages. `bench/similar.py` compares two
alternatives: the first passage alone is worse, and a search for each passage is slightly better but
many times slower. Texts in the index are embedded with the prompt for documents, and so is a text
file that is not indexed. Nomic's model cards recommend the prefix ``clustering:`` for comparing
documents with each other. It would need a second vector for every passage.
"""

from __future__ import annotations

import hashlib
import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.common.hashing import stream_sha256
from nmm.index.encoders.base import Encoder, Task
from nmm.index.errors import MediaError, UsageError
from nmm.index.search.query_syntax import format_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.media.base import Unit
    from nmm.index.search.query import Query, Term
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Settings

    Vector = NDArray[np.float32]

# Minimum length of the sum relative to its weights. The direction of a shorter sum is noise.
MIN_LENGTH = 1e-3
# Passages of a file in one batch.
PASSAGES_PER_BATCH = 128


@dataclass(frozen=True, slots=True)
class QueryEmbedder:
    """Embeds queries for an index.

    Attributes:
        load: Returns the index's encoder. Called whenever something has to be embedded.
        settings: The index's settings.
        catalog: Has the vectors of indexed contents.
        known: Vectors of texts that are already embedded, see :meth:`embed_texts`.
    """

    load: Callable[[], Encoder]
    settings: Settings
    catalog: Catalog
    known: Mapping[str, Vector] = field(default_factory=dict)

    def embed_texts(self, queries: Iterable[Query], *, raw: bool = False) -> dict[str, Vector]:
        """Return the vectors of all texts in queries. One batch takes less time than single texts.

        Raises:
            ModelError: From `load`.
        """
        texts = list(dict.fromkeys(text for query in queries for text in texts_of(query)))
        vectors = self.load().embed_texts(texts, Task.QUERY, raw=raw) if texts else ()
        return dict(zip(texts, vectors, strict=True))

    def embed(self, query: Query, *, raw: bool = False) -> Vector:
        """Return the normalised vector of a query, float32 of shape (dimension,).

        The vector of a query of one text is exactly that of the encoder.

        Args:
            query: The query.
            raw: See :meth:`nmm.index.encoders.base.Model.prompt`.

        Raises:
            UsageError: A file cannot be read as an image or a text, or the terms cancel each other
                out.
            ModelError: From `load`.
        """
        import numpy as np

        terms = _contributing_terms(query)
        texts = self.known
        if any(text not in texts for text in texts_of(query)):
            texts = self.embed_texts([query], raw=raw)
        vectors = [texts[term.text] if term.text else self._of_file(term) for term in terms]
        if len(terms) == 1 and terms[0].weight > 0:
            return vectors[0]
        # Doubles relative to the greatest weight, so that no weight is too large or too small.
        weights = np.array([term.weight for term in terms], np.float64)
        weights /= np.abs(weights).max(initial=0) or 1
        total = weights @ np.array(vectors, np.float64) if terms else np.zeros(1)
        length = float(np.linalg.norm(total))
        if length <= MIN_LENGTH * np.abs(weights).sum():
            label = query.label or format_terms(query.terms)
            raise UsageError(
                f"The terms cancel each other out in: {label}",
                code="query-cancels-out",
                why="The added and the subtracted terms are the same, or all weights are 0.",
                query=label,
            )
        unit: Vector = (total / length).astype(np.float32)
        return unit

    def _of_file(self, term: Term) -> Vector:
        """Return the normalised vector of a term that is not a text."""
        if term.file is not None:
            return self._of_content(term.file)
        if isinstance(term.image, bytes):
            return self._of_image(term.image, "on standard input")
        assert term.image is not None
        return self._of_image(_read(term.image), str(term.image))

    def _of_image(self, data: bytes, name: str) -> Vector:
        from nmm.index.media.registry import SIGNATURE_BYTES, is_image

        known = None
        if is_image(data[:SIGNATURE_BYTES]):
            known = self._known(hashlib.sha256(data).digest())
        return self._embedded(data, name) if known is None else known

    def _embedded(self, data: bytes, name: str) -> Vector:
        import numpy as np

        from nmm.index.encoders.preprocess import to_pixels
        from nmm.index.media.image.decode import decode

        encoder = self.load()
        spec = encoder.model.image
        try:
            pixels = to_pixels(decode(data, side=spec.side).image, spec)
        except MediaError as error:
            raise _unusable("image", name, error.what) from error
        found: Vector = encoder.embed_images(np.stack([pixels]))[0]
        return found

    def _of_content(self, path: Path) -> Vector:
        """Return the vector of an image, or the mean of the vectors of a text's passages."""
        from nmm.index.media.base import Chunking, UnitRequest
        from nmm.index.media.identify import hash_file
        from nmm.index.media.image.decode import MAX_PIXELS

        known = self._known(_digest(path))
        if known is not None:
            return known
        encoder = self.load()
        model = encoder.model
        found: list[Vector] = []
        try:
            chunking = Chunking.for_index(encoder.tokenizer, model.chunk)
            request = UnitRequest(model.image.side, MAX_PIXELS, chunking)
            units = list(itertools.islice(every := hash_file(path).read(request).units, 2))
            if [unit.modality for unit in units] == ["image"]:
                of_image: Vector = _embed_units(encoder, units)[0]
                return of_image
            batches = _batches(itertools.chain(units, every))
            found += _mean(_embed_units(encoder, batch) for batch in batches)
        except MediaError as error:
            raise _unusable("file", str(path), error.what) from error
        if not found:
            raise _unusable("file", str(path), "there is no text in it")
        return found[0]

    def _known(self, digest: bytes) -> Vector | None:
        """Return the vector of an indexed content, or None if it is not indexed."""
        # If the index was rebuilt, the engine notices it and embeds the query again.
        if self.catalog.settings() != self.settings:
            return None
        blocks = (vectors for _, vectors in self.catalog.vectors_of_content(digest))
        return next(iter(_mean(blocks)), None)


def _contributing_terms(query: Query) -> list[Term]:
    """Return the terms that contribute to the vector."""
    return [
        term
        for term in query.terms
        if term.weight and (term.text.strip() or term.image or term.file)
    ]


def texts_of(query: Query) -> list[str]:
    """Return the texts in a query that are embedded."""
    return [term.text for term in _contributing_terms(query) if term.text]


def _read(path: Path) -> bytes:
    """Return the bytes of an image file, which may be a pipe."""
    from nmm.index.media.image.files import read_image

    _check_file(path)
    try:
        return read_image(path)
    except MediaError as error:
        raise _unusable("image", str(path), error.what) from error
    except OSError as error:
        raise _unusable("image", str(path), f"not readable: {error.strerror or error}") from error


def _digest(path: Path) -> bytes:
    """Return the hash of a regular file's content."""
    _check_file(path)
    try:
        if not path.is_file():
            raise UsageError(
                f"{path} is not a regular file.",
                code="query-file-not-regular",
                hint="Name a text or an image.",
                path=path,
            )
        with path.open("rb") as file:
            return stream_sha256(file)
    except OSError as error:
        raise _unusable("file", str(path), f"not readable: {error.strerror or error}") from error


def _check_file(path: Path) -> None:
    with suppress(OSError):  # reported when the file is opened
        if path.is_dir():
            raise UsageError(
                f"{path} is a folder.",
                code="query-file-is-folder",
                hint="Name one of the files in it.",
                path=path,
            )
        if not path.exists():
            raise UsageError(
                f"There is no file {path}",
                code="query-file-missing",
                hint="Check its spelling.",
                path=path,
            )


def _embed_units(encoder: Encoder, units: Sequence[Unit]) -> Vector:
    """Return the vectors of some units of a file, shape (units, dimension), images first."""
    import numpy as np

    from nmm.index.encoders.preprocess import to_pixels

    texts = [unit.payload for unit in units if isinstance(unit.payload, str)]
    images = [unit.payload for unit in units if not isinstance(unit.payload, str)]
    pixels = [to_pixels(image, encoder.model.image) for image in images]
    parts = [encoder.embed_images(np.stack(pixels))] if pixels else []
    parts += [encoder.embed_texts(texts, Task.DOCUMENT)] if texts else []
    vectors: Vector = np.concatenate(parts)
    return vectors


def _batches(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    every = iter(units)
    while some := list(itertools.islice(every, PASSAGES_PER_BATCH)):
        yield some


def _mean(blocks: Iterable[Vector]) -> list[Vector]:
    """Return the normalised mean of unit vectors, shape (dimension,); empty if there are none."""
    import numpy as np

    total: NDArray[np.float64] | None = None
    for vectors in blocks:
        part = vectors.sum(axis=0, dtype=np.float64)
        total = part if total is None else total + part
    length = 0.0 if total is None else float(np.linalg.norm(total))
    return [] if total is None or not length else [(total / length).astype(np.float32)]


def _unusable(kind: str, name: str, reason: str) -> UsageError:
    code = "query-file-unusable"
    if reason.startswith("not an image"):
        code = "query-not-an-image"
    reason = reason.removesuffix(" (max_pixels)")  # an option of indexing, not of a search
    return UsageError(
        f"The {kind} {name} cannot be used as a query: {reason}",
        code=code,
        kind=kind,
        name=name,
        reason=reason,
    )
