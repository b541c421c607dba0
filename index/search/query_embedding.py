"""A query's vector: those of its terms, each of unit length times its weight, summed.

What an image or a file holds may be in the index: its vectors are then taken from there,
which needs no model. They were kept in halves, which changes a cosine's sixth digit.

A text file stands for itself by the mean of its passages: `bench/similar.py` prints how much
better it finds what belongs to it than by its first passage. Looking for each passage is a
little better still, and takes as many searches. Vectors that the index has of texts were made
with the prompt of documents, and so a text file that is not in it is embedded as one, too.
Nomic's model cards recommend the prefix ``clustering:`` for comparing documents with each
other; it would need a second vector of every passage.
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.media.base import Unit
    from nmm.index.search.query import Query, Term
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Settings

    Vector = NDArray[np.float32]

# Lengths of a sum, beside that of its weights, below which its direction is chance.
LEAST_LENGTH = 1e-3
# Passages of a file that are embedded together.
PASSAGES = 128


@dataclass(frozen=True, slots=True)
class QueryEmbedder:
    """Embeds queries for an index.

    Attributes:
        load: Called for the index's encoder, whenever something is to be embedded.
        settings: What the index is made with.
        catalog: Where vectors of contents that are in the index are.
        ahead: Vectors of texts that were embedded already, see :meth:`embed_texts`.
    """

    load: Callable[[], Encoder]
    settings: Settings
    catalog: Catalog
    ahead: Mapping[str, Vector] = field(default_factory=dict)

    def embed_texts(self, queries: Iterable[Query], *, raw: bool = False) -> dict[str, Vector]:
        """The vectors of all texts in queries, which take less time together than one by one.

        Raises:
            ModelError: From `load`.
        """
        texts = list(dict.fromkeys(text for query in queries for text in texts_of(query)))
        vectors = self.load().embed_texts(texts, Task.QUERY, raw=raw) if texts else ()
        return dict(zip(texts, vectors, strict=True))

    def embed(self, query: Query, *, raw: bool = False) -> Vector:
        """The vector of a query, float32 of shape (dimension,), of unit length.

        A query of one text is what the encoder makes of it, bit for bit.

        Args:
            query: What is looked for.
            raw: See :meth:`.encoders.registry.Model.prompt`.

        Raises:
            UsageError: A file cannot be read as what it should be, or the terms leave nothing.
            ModelError: From `load`.
        """
        import numpy as np

        terms = _counted(query)
        texts = self.ahead
        if any(text not in texts for text in texts_of(query)):
            texts = self.embed_texts([query], raw=raw)
        vectors = [texts[term.text] if term.text else self._of_file(term) for term in terms]
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
        unit: Vector = (total / length).astype(np.float32)
        return unit

    def _of_file(self, term: Term) -> Vector:
        """The unit vector of a term that is no text."""
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
        """The vector of an image, or the mean of those of a text's passages."""
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
        """The vector of a content that is in the index, if it is."""
        # Of an index that was rebuilt since, the search notices, and asks again.
        if self.catalog.settings() != self.settings:
            return None
        blocks = (vectors for _, vectors in self.catalog.vectors_of_content(digest))
        return next(iter(_mean(blocks)), None)


def _counted(query: Query) -> list[Term]:
    """The terms that a vector is made of."""
    return [
        term
        for term in query.terms
        if term.weight and (term.text.strip() or term.image or term.file)
    ]


def texts_of(query: Query) -> list[str]:
    """The texts in a query that are embedded."""
    return [term.text for term in _counted(query) if term.text]


def _read(path: Path) -> bytes:
    """The bytes of an image file; a pipe is one, too."""
    from nmm.index.media.image.files import read_image

    _check_file(path)
    try:
        return read_image(path)
    except MediaError as error:
        raise _unusable("image", str(path), error.what) from error
    except OSError as error:
        raise _unusable("image", str(path), f"not readable: {error.strerror or error}") from error


def _digest(path: Path) -> bytes:
    """The hash of a regular file's content."""
    _check_file(path)
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no regular file.", hint="Name a text or an image.")
        with path.open("rb") as file:
            return stream_sha256(file)
    except OSError as error:
        raise _unusable("file", str(path), f"not readable: {error.strerror or error}") from error


def _check_file(path: Path) -> None:
    with suppress(OSError):  # which is said when it is opened
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", hint="Name one of the files in it.")
        if not path.exists():
            raise UsageError(
                f"There is no file {path}",
                hint="Is it spelled right? Words are looked for with: nmm search",
            )


def _embed_units(encoder: Encoder, units: Sequence[Unit]) -> Vector:
    """The vectors of some units of a file, shape (units, dimension), images first."""
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
    while some := list(itertools.islice(every, PASSAGES)):
        yield some


def _mean(blocks: Iterable[Vector]) -> list[Vector]:
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
        f"The {kind} {name} cannot be looked for: {reason.removesuffix(' (max_pixels)')}",
        hint=hint,
    )
