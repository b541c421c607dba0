"""What an image's file says of it beside its pixels: when, where and with what it was taken.

Exif 2.32 (CIPA DC-008), IPTC-IIM 4.2 and the text chunks of PNG. Nothing of it is believed:
each piece is read for itself, bounded and checked, and one that is damaged is as good as none.
"""

from __future__ import annotations

import math
import unicodedata
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from nmm.index.media.base import NO_METADATA, Metadata

if TYPE_CHECKING:
    from PIL import Image

_EXIF_TIME = "%Y:%m:%d %H:%M:%S"
# Characters of a camera and of a caption that are kept.
_MAX_CAMERA, _MAX_CAPTION = 100, 2000
_IPTC_CAPTION = (2, 120)
_XP_TITLE = 0x9C9B  # Windows': UTF-16, little-endian
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_PIXELS = frozenset({b"IDAT", b"fdAT", b"fcTL", b"acTL"})
# Bytes of a PNG's chunk above which it is passed over: its text would be cut anyway.
_MAX_PNG_CHUNK = 1 << 20
# Control characters, also those that turn the direction of all that follows, halves of pairs and
# what has no meaning; but Persian and emoji are written with joiners.
_NO_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINERS = frozenset("\u200c\u200d")
# What cameras and programs write into every picture.
_DEFAULTS = frozenset(
    {
        "acer digital camera", "ascii", "binary comment", "camera", "charset=ascii", "cof",
        "created with gimp", "dav", "dcf", "default", "digital camera", "dig",
        "digital still camera", "exif_jpeg_420", "exif_jpeg_422", "exif_jpeg_picture",
        "exif_jpeg_t422", "fhdr", "hdr", "hdrpl", "hdrplus", "image", "image description", "jpeg",
        "jpeg picture", "kodak digital still camera", "konica minolta digital camera", "maker",
        "mde", "medion digital camera", "minolta digital camera", "minolta dsc", "nor",
        "olympus digital camera", "oznor", "oznorww", "photo", "picture", "ptr", "ptrbty", "qrf",
        "rbt", "rhdr", "samsung", "samsung camera pictures", "sdr", "smart", "sony dsc", "title",
        "unicode", "untitled", "untitled image", "user comments", "vsco", "yitiji",
    }
)  # fmt: skip


def read_orientation(image: Image.Image) -> int:
    """How a loaded image is to be turned (Exif, tag 0x0112), 1 to 8; 1 if that is not known."""
    from PIL.ExifTags import Base

    with suppress(Exception):
        orientation = image.getexif().get(Base.Orientation)
        if isinstance(orientation, int | float) and orientation in range(1, 9):
            return int(orientation)
    return 1


def read_tags(image: Image.Image) -> Metadata:
    """What the file of an image says that is open in Pillow; damage to it never raises.

    A PNG must be loaded, or be without its pixels, for what follows them to be known.
    """
    from PIL import Image

    try:
        # The base's: that of a PNG would decode the pixels, in case what it looks for follows them.
        exif = Image.Image.getexif(image)
    except Exception:  # noqa: BLE001 - as decode: Pillow's parsers raise whatever Python does
        return NO_METADATA
    taken_at = place = camera = caption = None
    with suppress(Exception):
        taken_at = _taken_at(exif)
    with suppress(Exception):
        place = _place(exif)
    with suppress(Exception):
        camera = _camera(exif)
    with suppress(Exception):
        caption = _caption(image, exif)
    latitude, longitude = place or (None, None)
    return Metadata(taken_at, latitude, longitude, camera, caption)


def png_without_pixels(file: BinaryIO) -> BytesIO:
    """The chunks of a PNG but those of its pixels, which Pillow would decode to see the rest."""
    kept = BytesIO()
    kept.write(file.read(len(_PNG_SIGNATURE)))
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[:4], "big")
        if head[4:] in _PNG_PIXELS or length > _MAX_PNG_CHUNK:
            file.seek(length + 4, 1)  # its check sum follows it
        else:
            kept.write(head + file.read(length + 4))
    kept.write(_PNG_END)  # for one that was cut off
    kept.seek(0)
    return kept


def _taken_at(exif: Image.Exif) -> str | None:
    """The first valid time, from when the picture was taken to when the file was changed."""
    from PIL.ExifTags import IFD, Base

    photo = exif.get_ifd(IFD.Exif)
    for time_tag, offset_tag in (
        (Base.DateTimeOriginal, Base.OffsetTimeOriginal),
        (Base.DateTimeDigitized, Base.OffsetTimeDigitized),
        (Base.DateTime, Base.OffsetTime),
    ):
        time = str(photo.get(time_tag) or exif.get(time_tag)).strip("\0 ")
        offset = str(photo.get(offset_tag)).strip("\0 ")
        for text, pattern in ((time + offset, _EXIF_TIME + "%z"), (time, _EXIF_TIME)):
            with suppress(ValueError):
                return datetime.strptime(text, pattern).isoformat()
    return None


def _place(exif: Image.Exif) -> tuple[float, float] | None:
    from PIL.ExifTags import GPS, IFD

    gps = exif.get_ifd(IFD.GPSInfo)
    latitude = _degrees(gps.get(GPS.GPSLatitude), gps.get(GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(gps.get(GPS.GPSLongitude), gps.get(GPS.GPSLongitudeRef), "EW", 180)
    # A receiver without satellites writes zeros, more often than anybody is on that spot at sea.
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    return latitude, longitude


def _degrees(value: Any, reference: Any, directions: str, limit: int) -> float | None:
    """Signed degrees of up to three numbers: degrees, minutes and seconds."""
    direction = _text(reference, 20).upper()[:1]
    parts = [float(part) for part in (value if isinstance(value, tuple) else (value,))]
    # A zero for a denominator makes a NaN, which is in no range.
    tops = (limit, 60, 60)[: len(parts)]
    if not direction or direction not in directions or len(parts) > len(tops):
        return None
    if not all(0 <= part <= top for part, top in zip(parts, tops, strict=True)):
        return None
    degrees = math.fsum(part / 60**place for place, part in enumerate(parts))
    if degrees > limit:
        return None
    return -degrees if direction == directions[1] and degrees else degrees


def _camera(exif: Image.Exif) -> str | None:
    from PIL.ExifTags import Base

    make = _text(exif.get(Base.Make), _MAX_CAMERA)
    model = _text(exif.get(Base.Model), _MAX_CAMERA)
    named = model.casefold().split()[:1]
    if not named or named[0] not in make.casefold().split():
        model = f"{make} {model}"
    return _shortened(model.strip(), _MAX_CAMERA) or None


def _caption(image: Image.Image, exif: Image.Exif) -> str | None:
    """The first that says something of what people may have written."""
    from PIL.ExifTags import IFD, Base

    photo = exif.get_ifd(IFD.Exif)
    written = [_text(exif.get(Base.ImageDescription), _MAX_CAPTION), _utf16(exif.get(_XP_TITLE))]
    with suppress(Exception):
        written.append(_user_comment(photo.get(Base.UserComment)))
    with suppress(Exception):
        written.append(_iptc(image))
    if image.format == "PNG":
        written += [_text(image.info.get(name), _MAX_CAPTION) for name in ("Description", "Title")]
    return next((caption for caption in written if _says_something(caption)), None)


def _says_something(caption: str) -> bool:
    return caption.casefold() not in _DEFAULTS and any(c.isalnum() for c in caption)


def _user_comment(value: Any) -> str:
    """A comment, whose first eight bytes name its code."""
    if not isinstance(value, bytes):
        return _text(value, _MAX_CAPTION)
    code, comment = value[:8], value[8 : 8 + 4 * _MAX_CAPTION]
    if code == b"UNICODE\0":
        # In the byte order of the file, as one reads it; text has few characters of low byte 0.
        order = "utf-16-be" if comment[::2].count(0) > comment[1::2].count(0) else "utf-16-le"
        text = _cleaned(comment.decode(order, "replace").lstrip("\ufeff"), _MAX_CAPTION)
    elif code in {b"ASCII\0\0\0", bytes(8)}:
        text = _text(comment, _MAX_CAPTION)
    else:
        return ""
    return "" if text[:1] in {"{", "[", "<"} else text  # a program's notes for itself


def _utf16(value: Any) -> str:
    if isinstance(value, tuple):
        value = bytes(value[: 4 * _MAX_CAPTION])
    if not isinstance(value, bytes):
        return ""
    return _cleaned(value[: 4 * _MAX_CAPTION].decode("utf-16-le", "replace"), _MAX_CAPTION)


def _iptc(image: Image.Image) -> str:
    from PIL.ImageFile import ImageFile
    from PIL.IptcImagePlugin import getiptcinfo

    if not isinstance(image, ImageFile) or image.format not in {"JPEG", "TIFF"}:
        return ""

    found = (getiptcinfo(image) or {}).get(_IPTC_CAPTION, b"")
    return _text(found[0] if isinstance(found, list) else found, _MAX_CAPTION)


def _text(value: Any, limit: int) -> str:
    """Text of a tag, whether Pillow has read it as Latin-1 or left it as bytes."""
    if isinstance(value, str):
        value = value[: 4 * limit]
        try:
            value = value.encode("latin-1")
        except UnicodeEncodeError:
            return _cleaned(value, limit)
    if not isinstance(value, bytes):
        return ""
    value = value[: 4 * limit].lstrip(b"\0").partition(b"\0")[0]
    try:
        return _cleaned(value.decode("utf-8"), limit)
    except UnicodeDecodeError as error:
        # What ends in the midst of a character was cut.
        whole = error.start if error.reason == "unexpected end of data" else 0
        text = value[:whole].decode("utf-8") if whole else value.decode("cp1252", "replace")
        return _cleaned(text, limit)


def _cleaned(text: str, limit: int) -> str:
    """Up to a NUL, on one line, without what is not text."""
    spaced = " ".join(text.partition("\0")[0].split())
    kept = (c for c in spaced if c in _JOINERS or unicodedata.category(c) not in _NO_TEXT)
    return _shortened("".join(kept).replace("\ufffd", "").strip(), limit)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
