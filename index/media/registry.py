"""The media that can be indexed, in the order in which they are tried.

A reader earlier in :data:`READERS` claims a file before a later one. So a text under an image's
name is a damaged image, which is reported, and an image under a text's name is an image.
"""

from __future__ import annotations

from pathlib import PurePath

from nmm.index.media.base import HEAD_BYTES, MediaReader
from nmm.index.media.image.decode import HEAD_BYTES as SIGNATURE_BYTES
from nmm.index.media.image.reader import IMAGES
from nmm.index.media.text.reader import TEXTS

__all__ = [
    "HEAD_BYTES",
    "READERS",
    "SIGNATURE_BYTES",
    "by_suffix",
    "is_image",
    "is_image_name",
    "reader_for",
]

READERS: tuple[MediaReader, ...] = (IMAGES, TEXTS)


def reader_for(head: bytes, path: PurePath) -> MediaReader | None:
    """Return the reader of a file, by its suffix or content; None if no reader claims it.

    Args:
        head: The first :data:`HEAD_BYTES` bytes of the file.
        path: Its name.
    """
    suffix = path.suffix.lower()
    return next(
        (one for one in READERS if suffix in one.suffixes or one.sniff(head)),
        None,
    )


def by_suffix(path: PurePath) -> MediaReader | None:
    """Return the reader whose suffix a file has; None if it has the suffix of none."""
    suffix = path.suffix.lower()
    return next((one for one in READERS if suffix in one.suffixes), None)


def is_image_name(path: PurePath) -> bool:
    """Return whether a file has a suffix that a person expects of an image."""
    reader = by_suffix(path)
    return reader is not None and "image" in reader.modalities


def is_image(head: bytes) -> bool:
    """Return whether a file that begins with `head` has the signature of an image.

    The first :data:`SIGNATURE_BYTES` bytes are enough.
    """
    return any("image" in one.modalities and one.sniff(head) for one in READERS)
