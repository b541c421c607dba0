"""The medium of still images: one unit to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from nmm.index.media.base import FileContent, Locator, MediaInfo, Modality, Unit
from nmm.index.media.image.decode import (
    IMAGE_SUFFIXES,
    MAX_IMAGE_BYTES,
    decode,
    describe,
    looks_like_image,
)

if TYPE_CHECKING:
    from PIL import Image

    from nmm.index.media.base import UnitRequest
    from nmm.index.media.source import Source


class ImageReader:
    """Reads image files; see :class:`nmm.index.media.base.MediaReader`."""

    kind: str = "image"
    modalities: frozenset[Modality] = frozenset({"image"})
    suffixes: frozenset[str] = IMAGE_SUFFIXES
    max_bytes: int | None = MAX_IMAGE_BYTES
    buffered_bytes: int = MAX_IMAGE_BYTES

    def sniff(self, head: bytes) -> bool:
        """Return whether a file begins with the signature of an image format."""
        return looks_like_image(head)

    def inspect(self, file: BinaryIO) -> str:  # noqa: ARG002 - of the protocol
        """Return an empty text: the signature tells enough."""
        return ""

    def describe(self, source: Source) -> MediaInfo:
        """Return the size and the metadata, from the header."""
        with source.open() as file:
            return describe(file)

    def read(self, source: Source, request: UnitRequest) -> FileContent:
        """Decode the image, which is the only unit."""
        decoded = decode(_bytes_of(source), side=request.side, max_pixels=request.max_pixels)
        return FileContent(decoded.info, iter([Unit("image", decoded.image, Locator())]))

    def thumbnail(self, source: Source, side: int) -> Image.Image | None:
        """Return the image made smaller."""
        from nmm.index.media.image.thumbnail import thumbnail_of

        return thumbnail_of(_bytes_of(source), side)


IMAGES = ImageReader()


def _bytes_of(source: Source) -> bytes:
    if source.data is not None:
        return source.data
    with source.open() as file:
        return file.read(MAX_IMAGE_BYTES)
