"""A file as it goes into an encoder: read, and of an image decoded and resized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nmm.index.encoders.preprocess import to_pixels
from nmm.index.errors import MediaError
from nmm.index.media.image.fingerprint import fingerprint
from nmm.index.media.reader import Chunking, ImageMedia, KnownMedia, TextMedia, read_media

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nmm.index.encoders.base import ImagePreprocessing
    from nmm.index.media.image.metadata import Details


@dataclass(frozen=True, slots=True)
class ReadyImage:
    """An image as it goes into the vision tower: `pixels` of shape (side, side, 3).

    `fingerprint` is that of :mod:`nmm.index.media.image.fingerprint`.
    """

    hash: bytes
    pixels: NDArray[np.uint8]
    width: int
    height: int
    details: Details
    fingerprint: bytes


Media: TypeAlias = KnownMedia | ReadyImage | TextMedia


def read_ready(
    path: Path,
    *,
    image: ImagePreprocessing,
    chunking: Chunking,
    max_pixels: int,
    is_known: Callable[[bytes], bool],
) -> Media:
    """Read a file and make it ready. Called by several threads at once.

    Args:
        path: The file.
        image: What the vision tower takes.
        chunking, max_pixels, is_known: See :func:`nmm.index.media.reader.read_media`.

    Raises:
        MediaError: As of :func:`~nmm.index.media.reader.read_media`; and whatever else a hostile
            file provokes in a decoder, which must not end a run.
    """
    try:
        media = read_media(
            path, chunking=chunking, side=image.side, max_pixels=max_pixels, is_known=is_known
        )
        if not isinstance(media, ImageMedia):
            return media
        decoded = media.decoded
        return ReadyImage(
            media.hash,
            to_pixels(decoded.image, image),
            decoded.width,
            decoded.height,
            decoded.details,
            fingerprint(decoded.image),
        )
    except MediaError:
        raise
    except Exception as error:
        raise MediaError(f"not readable: {type(error).__name__}: {error}") from error
