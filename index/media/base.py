"""What every kind of medium provides: the units of a file, and where each of them lies.

A medium says what a file is. A modality says which tower of an encoder embeds a unit of it. They
differ: a PDF has pages to look at and passages to read, and is one file. A new medium is a module
with a :class:`MediaReader` and a row in :mod:`nmm.index.media.registry`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from PIL import Image
    from tokenizers import Tokenizer

    from nmm.index.media.source import Source

Modality: TypeAlias = Literal["image", "text"]
"""A tower of an encoder."""

HEAD_BYTES: int = 4096
"""Bytes at the beginning of a file by which readers recognise their medium."""

# A chunk of text repeats up to this fraction of the one before it.
OVERLAP_FRACTION = 8


class Box(NamedTuple):
    """A part of an image or a page, in pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float


class Locator(NamedTuple):
    """Where in its file a unit lies. A field is None where it does not apply.

    Attributes:
        page: The page, counted from 1.
        time_ms: Milliseconds from the beginning of a recording.
        lines: The first and the last line, counted from 1, both included.
        box: A part of the image or the page.
    """

    page: int | None = None
    time_ms: int | None = None
    lines: tuple[int, int] | None = None
    box: Box | None = None


class Unit(NamedTuple):
    """A part of a file that gets a vector of its own: an image or a passage of text.

    Attributes:
        modality: The tower that embeds it.
        payload: An RGB image for "image", a text for "text".
        locator: Where in the file it lies.
    """

    modality: Modality
    payload: Image.Image | str
    locator: Locator


class Metadata(NamedTuple):
    """What a file says about itself.

    Attributes:
        taken_at: When a picture was taken, as ISO 8601 in the camera's time:
            ``YYYY-MM-DDTHH:MM:SS``, with ``+HH:MM`` where the offset is recorded.
        latitude, longitude: Where, in degrees north and east, within ±90 and ±180; both or
            neither.
        camera: Make and model, at most 100 characters.
        caption: A description that a person wrote, on one line, at most 2000 characters.
    """

    taken_at: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None
    caption: str | None = None


NO_METADATA = Metadata()


class MediaInfo(NamedTuple):
    """The properties of a file, as its header gives them.

    Attributes:
        width, height: Pixels of the upright image; None for a medium without pixels.
        metadata: What the file says about itself.
    """

    width: int | None = None
    height: int | None = None
    metadata: Metadata = NO_METADATA


class Chunking(NamedTuple):
    """How a text is cut into chunks.

    Attributes:
        tokenizer: The model's own, with truncation and padding off.
        size: The most tokens in a chunk.
        overlap: The most tokens that two neighbouring chunks share.
    """

    tokenizer: Tokenizer
    size: int
    overlap: int

    @classmethod
    def for_index(cls, tokenizer: Tokenizer, size: int) -> Chunking:
        """Return the chunking of an index: chunks of `size` tokens."""
        return cls(tokenizer, size, size // OVERLAP_FRACTION)


class UnitRequest(NamedTuple):
    """What a caller needs of a file's units.

    Attributes:
        side: Pixels of the shortest side that an image is resized to later; None for full size.
        max_pixels: An image with more pixels is refused.
        chunking: How a text is cut into chunks.
    """

    side: int | None
    max_pixels: int
    chunking: Chunking


class FileContent(NamedTuple):
    """A file, read: its properties and its units.

    The units can be iterated over once. A reader may read the file while they are.
    """

    info: MediaInfo
    units: Iterator[Unit]


class MediaReader(Protocol):
    """A medium. All methods may be called by several threads at once.

    Attributes:
        kind: The name of the medium.
        modalities: The modalities that its units can have.
        suffixes: Suffixes that a person expects of such files: lower case, with the dot. No
            suffix belongs to two readers. No system runs a file with one of them as a program.
        max_bytes: Larger files are refused; None for no limit.
        buffered_bytes: Files up to this size are read into memory once. A larger file is read
            to be hashed, and again for its units.
    """

    @property
    def kind(self) -> str: ...
    @property
    def modalities(self) -> frozenset[Modality]: ...
    @property
    def suffixes(self) -> frozenset[str]: ...
    @property
    def max_bytes(self) -> int | None: ...
    @property
    def buffered_bytes(self) -> int: ...

    def sniff(self, head: bytes) -> bool:
        """Return whether a file that begins with `head` can be of this medium.

        Args:
            head: The first :data:`HEAD_BYTES` bytes, or fewer if the file has no more.
        """
        ...

    def inspect(self, file: BinaryIO) -> str:
        """Check the whole file, before it is hashed.

        Returns:
            What :meth:`read` needs to know about the file, such as its encoding.

        Raises:
            NotMediaError: The file is of no medium, and is ignored.
            OSError: It cannot be read.
        """
        ...

    def describe(self, source: Source) -> MediaInfo:
        """Return the properties of a file, from its header where it has one.

        Raises:
            MediaError: The header is damaged.
            UnreadableError: The file cannot be read now, or has changed.
        """
        ...

    def read(self, source: Source, request: UnitRequest) -> FileContent:
        """Return the properties and the units of a file.

        Raises:
            MediaError: The file is damaged or too large. Iterating over the units raises it too.
            UnreadableError: The file cannot be read now, or has changed. Iterating as well.
        """
        ...

    def thumbnail(self, source: Source, side: int) -> Image.Image | None:
        """Return a small upright RGB image of a file, its longer side at most `side` pixels.

        None for a medium that has nothing to look at.

        Raises:
            MediaError: The file is damaged or cannot be read.
        """
        ...
