"""Make a file ready for an encoder: decode it, resize its images, cut its texts.

Tasks and results can be pickled, and nothing here asks the catalog: files can be read in another
process or on another host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nmm.index.common.tracing import span
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.errors import MediaError
from nmm.index.media.base import Chunking, Locator, MediaInfo, Modality, Unit, UnitRequest
from nmm.index.media.identify import HashedFile, hash_file
from nmm.index.media.image.fingerprint import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from tokenizers import Tokenizer

    from nmm.index.encoders.base import ImagePreprocessing, Model


@dataclass(frozen=True)
class ReadRequest:
    """What an encoder needs of a file.

    Attributes:
        image: The input of the image tower.
        chunking: How texts are cut.
        max_pixels: Images with more pixels are refused.
    """

    image: ImagePreprocessing
    chunking: Chunking
    max_pixels: int

    @classmethod
    def for_model(cls, model: Model, tokenizer: Tokenizer, max_pixels: int) -> ReadRequest:
        """Return the request of a run that indexes with a model."""
        return cls(model.image, Chunking.for_index(tokenizer, model.chunk), max_pixels)

    @property
    def units(self) -> UnitRequest:
        """The part that a media reader takes."""
        return UnitRequest(self.image.side, self.max_pixels, self.chunking)


@dataclass(frozen=True, slots=True)
class PreparedUnit:
    """A unit as its tower takes it.

    Attributes:
        modality: The tower.
        payload: Pixels of shape (side, side, 3) for "image", a text for "text".
        locator: Where in the file it lies.
    """

    modality: Modality
    payload: NDArray[np.uint8] | str
    locator: Locator


@dataclass(frozen=True)
class PreparedFile:
    """A file, ready to be embedded. It can be pickled.

    Attributes:
        digest: The SHA-256 of its content.
        medium: The kind of the reader that reads it.
        info: Its properties.
        units: Its units. A large file is read while they are iterated over, which raises
            MediaError if it has changed or cannot be read.
        fingerprint: Of an image file, see :mod:`nmm.index.media.image.fingerprint`.
    """

    digest: bytes
    medium: str
    info: MediaInfo
    units: Iterable[PreparedUnit]
    fingerprint: bytes | None = None


@dataclass(frozen=True)
class _StreamedUnits:
    """The units of a large file, which is read anew whenever they are iterated over."""

    file: HashedFile
    request: ReadRequest

    def __iter__(self) -> Iterator[PreparedUnit]:
        for unit in self.file.read(self.request.units).units:
            yield _prepare_unit(unit, self.request)


@dataclass(frozen=True)
class ReadTask:
    """A file to be decoded, which any process that sees it can do."""

    file: HashedFile
    request: ReadRequest


HashResult: TypeAlias = HashedFile | MediaError
ReadResult: TypeAlias = PreparedFile | MediaError


def hash_path(path: Path) -> HashResult:
    """Identify and hash a file, the cheap task; an error is returned."""
    try:
        with span("files read"):
            return hash_file(path)
    except MediaError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a hostile file must not end a run
        return _unexpected(error)


def run_task(task: ReadTask) -> ReadResult:
    """Decode a file, the costly task; an error is returned."""
    try:
        with span("files read"):
            return prepare_file(task.file, task.request)
    except MediaError as error:
        return error


def prepare_file(file: HashedFile, request: ReadRequest) -> PreparedFile:
    """Decode a file and make its units ready. Several threads may call it at once.

    Raises:
        MediaError: See :meth:`nmm.index.media.base.MediaReader.read`; and for whatever else a
            hostile file provokes in a decoder, which must not end a run.
    """
    try:
        if file.source.data is None:
            info = file.reader.describe(file.source)
            return PreparedFile(file.digest, file.kind, info, _StreamedUnits(file, request))
        content = file.read(request.units)
        units = list(content.units)
        images = [_image(unit) for unit in units if unit.modality == "image"]
        return PreparedFile(
            file.digest,
            file.kind,
            content.info,
            [_prepare_unit(unit, request) for unit in units],
            fingerprint(images[0]) if len(images) == len(units) == 1 else None,
        )
    except MediaError:
        raise
    except Exception as error:
        raise _unexpected(error) from error


def _prepare_unit(unit: Unit, request: ReadRequest) -> PreparedUnit:
    if unit.modality == "image":
        return PreparedUnit("image", to_pixels(_image(unit), request.image), unit.locator)
    assert isinstance(unit.payload, str), "a text unit carries a text"
    return PreparedUnit("text", unit.payload, unit.locator)


def _image(unit: Unit) -> Image.Image:
    assert not isinstance(unit.payload, str), "an image unit carries an image"
    return unit.payload


def _unexpected(error: Exception) -> MediaError:
    return MediaError(f"not readable: {type(error).__name__}: {error}", code="file-undecodable")
