"""Decode the bytes of an image file to an upright RGB image.

The content decides, never the name: its signature selects the Pillow plug-in that may read the
bytes. So no plug-in that runs another program (EPS), or that nobody expects for an image (PDF,
FLI), ever reads a file. Of a file with several images the first counts. ICC profiles are ignored:
the encoders were trained without them.
"""

from __future__ import annotations

import functools
import importlib
import re
import threading
import warnings
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from nmm.index.errors import MediaError
from nmm.index.media.base import NO_METADATA, MediaInfo, Metadata
from nmm.index.media.image.metadata import png_without_pixels, read_orientation, read_tags

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "HEAD_BYTES",
    "IMAGE_SUFFIXES",
    "MAX_IMAGE_BYTES",
    "MAX_PIXELS",
    "DecodedImage",
    "decode",
    "describe",
    "format_of",
    "looks_like_image",
    "upright_rgb",
]

# fmt: off
IMAGE_SUFFIXES: frozenset[str] = frozenset({
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2c", ".j2k",
    ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pgm", ".png",
    ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})
# fmt: on
"""File name suffixes that a person expects of images: lower case, with the dot."""

MAX_PIXELS: int = 89_478_485
# An image is decoded from memory. Below Pillow's limit on pixels, only an uncompressed image of
# floats can have more bytes than this.
MAX_IMAGE_BYTES = 1 << 30
"""The default limit on an image's pixels: Pillow's own, 256 MiB at 3 bytes a pixel."""

# Larger images are decoded one at a time: some modes take ten bytes a pixel and more on their way
# to RGB, and there are as many threads as cores.
_LARGE_PIXELS = 30_000_000
_one_large_image = threading.Lock()

HEAD_BYTES: int = 64
"""Bytes at the beginning of a file by which an image is recognised."""

# Texts can begin with "BM" and "P1", other binary files with the zeros of an icon: those three
# patterns include more of the header.
_SIGNATURES: tuple[tuple[re.Pattern[bytes], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern, re.DOTALL), formats)
    for pattern, formats in (
        (rb"\xff\xd8\xff", ("JPEG",)),
        (rb"\x89PNG\r\n\x1a\n", ("PNG",)),
        (rb"GIF8[79]a", ("GIF",)),
        (rb"RIFF....WEBPVP8[ LX]", ("WEBP",)),
        (rb"BM.{12}[\x0c(48@l|]\0\0\0", ("BMP",)),
        (rb"II[*+]\0|MM\0[*+]", ("TIFF",)),
        (rb"P[1-6]\s+[\d#]", ("PPM",)),
        (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", ("JPEG2000",)),
        (rb"\0\0\x01\0[^\0]\0...[\0\xff][\0\x01]\0[\0\x01\x04\x08\x10\x18\x20]\0", ("ICO",)),
        (rb"....ftypavi[fs]", ("AVIF",)),
        (rb"....ftyphe(?:i[cxms]|v[cxms])", ("HEIF",)),
        (
            rb"....ftypm[is]f1",
            ("AVIF", "HEIF"),
        ),  # a container: its codec is named later
    )
)
_PLUGINS = ("Avif", "Bmp", "Gif", "Ico", "Jpeg2K", "Jpeg", "Mpo", "Png", "Ppm", "Tiff", "WebP")
# EXIF orientations that swap width and height.
_SIDEWAYS = frozenset({5, 6, 7, 8})
_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
_PILLOW_FILTER = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_filter_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image and its metadata.

    Attributes:
        image: The pixels: mode RGB, upright; smaller than `width` x `height` in a draft.
        width: Pixels across of the full-size upright image.
        height: Pixels down of the full-size upright image.
        metadata: The metadata of the file.
    """

    image: Image.Image
    width: int
    height: int
    metadata: Metadata = NO_METADATA

    @property
    def info(self) -> MediaInfo:
        """The properties of the file."""
        return MediaInfo(self.width, self.height, self.metadata)


def looks_like_image(head: bytes) -> bool:
    """Return whether a file whose first 64 bytes are `head` has the signature of an image."""
    return bool(_formats(head))


def decode(
    data: bytes | memoryview, *, side: int | None = None, max_pixels: int = MAX_PIXELS
) -> DecodedImage:
    """Decode an image: rotated as EXIF says, 8 bits per channel, transparency on white.

    Several threads may call it at once. The first call sets ``PIL.Image.MAX_IMAGE_PIXELS`` to None
    for the process, because all threads share Pillow's limit; `max_pixels` replaces it.

    Args:
        data: The whole file.
        side: Pixels of the shortest side that the caller will resize to. A JPEG is then
            decoded at 1/2, 1/4 or 1/8 as long as twice that side remains. None: full size.
        max_pixels: An image with more pixels (width times height) in its header is refused.

    Raises:
        MediaError: The bytes are empty, not an image, damaged, truncated or too large.
    """
    if not data:
        raise MediaError("empty file", code="file-empty")
    formats = _formats(bytes(data[:HEAD_BYTES]))
    if not formats:
        raise MediaError(
            "not an image: it has the signature of no known image format",
            code="image-format-unknown",
        )
    _prepare_pillow()
    if "HEIF" in formats:
        _register_heif()
    try:
        return _decode(data, formats, side, max_pixels)
    except MediaError:
        raise
    # On hostile bytes Pillow's parsers raise whatever Python does: KeyError, struct.error,
    # AssertionError, MemoryError, ...
    except Exception as error:
        raise MediaError(_reason(error, formats[-1]), code="image-undecodable") from error


def describe(file: BinaryIO) -> MediaInfo:
    """Return the size and the metadata that :func:`decode` would, without decoding the pixels.

    Args:
        file: Open at its beginning.

    Raises:
        MediaError: It is not an image, or its header is damaged.
        OSError: It cannot be read.
    """
    from PIL import Image

    formats = _formats(file.read(HEAD_BYTES))
    file.seek(0)
    if not formats:
        raise MediaError(
            "not an image: it has the signature of no known image format",
            code="image-format-unknown",
        )
    _prepare_pillow()
    if "HEIF" in formats:
        _register_heif()
    try:
        bare = png_without_pixels(file) if formats == ("PNG",) else file
        with Image.open(bare, formats=formats) as image:
            width, height = image.size
            if read_orientation(image) in _SIDEWAYS:
                width, height = height, width
            return MediaInfo(width, height, read_tags(image))
    except Exception as error:  # as in decode
        if isinstance(error, OSError) and error.errno:
            raise  # the system's, not Pillow's
        raise MediaError(_reason(error, formats[-1]), code="image-undecodable") from error


def format_of(head: bytes) -> str:
    """Return Pillow's name for the format of a file whose first 64 bytes are `head`.

    The name is empty if the format is unknown, and "WEBP lossless" for WebP without loss.
    """
    formats = _formats(head)
    lossless = " lossless" if formats == ("WEBP",) and head[12:16] == b"VP8L" else ""
    return f"{formats[-1]}{lossless}" if formats else ""


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image that is open in Pillow as :func:`decode` does.

    The pixels of `image` are loaded; otherwise it does not change.

    Raises:
        MediaError: Its pixels cannot be read.
    """
    try:
        image.load()
        return _upright(_to_rgb(image), read_orientation(image))
    except Exception as error:  # as in decode
        raise MediaError(
            _reason(error, image.format or "image"), code="image-undecodable"
        ) from error


def _formats(head: bytes) -> tuple[str, ...]:
    """Return the Pillow formats that may open a file beginning with `head`; none if no image."""
    return next((formats for pattern, formats in _SIGNATURES if pattern.match(head)), ())


def _decode(
    data: bytes | memoryview, formats: tuple[str, ...], side: int | None, max_pixels: int
) -> DecodedImage:
    from PIL import Image

    if formats == ("ICO",):
        _check_icon(data, max_pixels)
    with Image.open(BytesIO(data), formats=formats) as image:
        width, height = image.size
        _check_size(image.size, max_pixels)
        if side and image.format in ("JPEG", "MPO"):
            # libjpeg reduces with a box filter. With twice the side left, the resized image of a
            # 4 MP photo differs from the fully decoded one by 1 level instead of 6, and takes
            # 10 % longer.
            image.draft(None, (2 * side, 2 * side))
        is_large = image.width * image.height > _LARGE_PIXELS
        with _one_large_image if is_large else nullcontext():
            image.load()
            orientation = read_orientation(image)
            if orientation in _SIDEWAYS:
                width, height = height, width
            upright = _upright(_to_rgb(image), orientation)
            return DecodedImage(upright, width, height, read_tags(image))


@functools.cache  # two first calls at once may both run it, which is harmless
def _load_plugins() -> None:
    import ctypes
    import logging

    from PIL import Image, _imaging

    for plugin in _PLUGINS:  # importing registers it; Pillow itself would import all
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
    Image.MAX_IMAGE_PIXELS = None
    # Without a handler, logging writes the plug-ins' errors to stderr. So does libtiff; its handler
    # can be reached where Pillow links it dynamically, as Pillow's wheels do.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def _prepare_pillow() -> None:
    """Load the plug-ins and silence their warnings: an error is raised, and the rest is noise.

    The filter is set for the process, because catch_warnings restores the filters of all threads.
    Each call checks for it, because another catch_warnings may have removed it.
    """
    _load_plugins()
    with _filter_lock:
        if _PILLOW_FILTER not in warnings.filters:
            warnings.filterwarnings("ignore", module=_PILLOW_FILTER[3].pattern)


@functools.cache  # as _load_plugins
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise MediaError(
            f"too large: {width} x {height} is {width * height / 1e6:,.1f} megapixels, "
            f"the limit is {max_pixels / 1e6:,.1f} (max_pixels)",
            code="image-too-large",
            width=width,
            height=height,
            max_pixels=max_pixels,
        )


def _check_icon(data: bytes | memoryview, max_pixels: int) -> None:
    """Check the size of the image in an icon: the plug-in decodes it when it opens the file."""
    from PIL import Image
    from PIL.IcoImagePlugin import IcoFile

    largest = IcoFile(BytesIO(data)).entry[0]
    with Image.open(BytesIO(memoryview(data)[largest.offset :]), formats=("PNG", "DIB")) as icon:
        width, height = icon.size
        # The rows of a bitmap's transparency mask count in its height.
        _check_size((width, height // 2 if icon.format == "DIB" else height), max_pixels)


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode in _DEEP_MODES:
        return _grey_to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGB", image.size, "white")
        opaque.paste(image, mask=image)
        return opaque
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_to_8_bits(image: Image.Image) -> Image.Image:
    """Scale deep grey levels to 8 bits, where Pillow's own conversion clips them at 255.

    Integers within 16 bits keep their high byte, as Pillow does with 16-bit colour. Floats and
    wider integers have no defined white: their range is scaled to 0 to 255. A constant image and
    NaN become black. A transparent level (PNG tRNS) is ignored.
    """
    import numpy as np
    from PIL import Image

    levels = np.asarray(image)
    if image.mode != "F" and levels.min() >= 0 and levels.max() <= 0xFFFF:
        return Image.fromarray((levels >> 8).astype(np.uint8))
    finite = levels[np.isfinite(levels)]
    # Python floats: the difference of two float32 may not fit in one.
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    scaled = np.nan_to_num(levels.astype(np.float64), nan=low, posinf=high, neginf=low)
    scaled -= low
    scaled *= 255 / (high - low) if high > low else 0
    return Image.fromarray(scaled.round().astype(np.uint8))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undo an EXIF orientation (Exif 2.32, tag 0x0112)."""
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)


def _reason(error: Exception, name: str) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory to decode this {name}"
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return f"truncated {name}: only part of the image is there"
    return f"damaged or incomplete {name}: it cannot be decoded"
