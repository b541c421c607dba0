"""Read the metadata of images: time, place, camera and caption.

Sources are Exif 2.32 (CIPA DC-008), IPTC-IIM 4.2 and the text chunks of PNG. Nothing is trusted:
each value is read separately, bounded and checked, and a damaged one is ignored.
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
# The most characters of a camera and of a caption.
_MAX_CAMERA, _MAX_CAPTION = 100, 2000
_IPTC_CAPTION = (2, 120)
_XP_TITLE = 0x9C9B  # Windows': UTF-16, little-endian
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_PIXELS = frozenset({b"IDAT", b"fdAT", b"fcTL", b"acTL"})
# Larger chunks of a PNG are not read: their text would be shortened anyway.
_MAX_PNG_CHUNK = 1 << 20
# Control characters, including those that change the direction of the text, surrogates and
# characters without a meaning. Joiners are kept: Persian and emoji need them.
_NO_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINERS = frozenset("\u200c\u200d")
# Captions that cameras and programs write into every image.
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
    """Return the orientation of a loaded image (Exif, tag 0x0112), 1 to 8; 1 if unknown."""
    from PIL.ExifTags import Base

    with suppress(Exception):
        orientation = image.getexif().get(Base.Orientation)
        if isinstance(orientation, int | float) and orientation in range(1, 9):
            return int(orientation)
    return 1


def read_tags(image: Image.Image) -> Metadata:
    """Return the metadata of an image that is open in Pillow. Damaged metadata never raises.

    A PNG must be loaded, or have no pixels; otherwise metadata after the pixels is missed.
    """
    from PIL import Image

    try:
        # Of the base class: that of a PNG decodes the pixels, to find metadata after them.
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
    """Return a PNG without its pixels, which Pillow would decode to reach the other chunks."""
    kept = BytesIO()
    kept.write(file.read(len(_PNG_SIGNATURE)))
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[:4], "big")
        if head[4:] in _PNG_PIXELS or length > _MAX_PNG_CHUNK:
            file.seek(length + 4, 1)  # its check sum follows it
        else:
            kept.write(head + file.read(length + 4))
    kept.write(_PNG_END)  # for a truncated file
    kept.seek(0)
    return kept


def _taken_at(exif: Image.Exif) -> str | None:
    """Return the first valid time of: taken, digitised, file changed."""
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
    # A GPS receiver without a fix writes zeros; hardly any photo is from that place at sea.
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    return latitude, longitude


def _degrees(value: Any, reference: Any, directions: str, limit: int) -> float | None:
    """Return signed degrees from up to three numbers: degrees, minutes and seconds."""
    direction = _text(reference, 20).upper()[:1]
    parts = [float(part) for part in (value if isinstance(value, tuple) else (value,))]
    # A zero denominator gives NaN, which is in no range.
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
    """Return the first caption that a person may have written."""
    from PIL.ExifTags import IFD, Base

    photo = exif.get_ifd(IFD.Exif)
    written = [_text(exif.get(Base.ImageDescription), _MAX_CAPTION), _utf16(exif.get(_XP_TITLE))]
    with suppress(Exception):
        written.append(_user_comment(photo.get(Base.UserComment)))
    with suppress(Exception):
        written.append(_iptc(image))
    if image.format == "PNG":
        written += [_text(image.info.get(name), _MAX_CAPTION) for name in ("Description", "Title")]
    return next((caption for caption in written if _is_written_by_a_person(caption)), None)


def _is_written_by_a_person(caption: str) -> bool:
    return caption.casefold() not in _DEFAULTS and any(c.isalnum() for c in caption)


def _user_comment(value: Any) -> str:
    """Return a comment, whose first eight bytes name its encoding."""
    if not isinstance(value, bytes):
        return _text(value, _MAX_CAPTION)
    code, comment = value[:8], value[8 : 8 + 4 * _MAX_CAPTION]
    if code == b"UNICODE\0":
        # Files differ in the byte order. Text has few characters whose low byte is 0.
        order = "utf-16-be" if comment[::2].count(0) > comment[1::2].count(0) else "utf-16-le"
        text = _cleaned(comment.decode(order, "replace").lstrip("\ufeff"), _MAX_CAPTION)
    elif code in {b"ASCII\0\0\0", bytes(8)}:
        text = _text(comment, _MAX_CAPTION)
    else:
        return ""
    return "" if text[:1] in {"{", "[", "<"} else text  # data of a program


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
    """Return the text of a tag, which Pillow read as Latin-1 or left as bytes."""
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
        # A text that ends inside a character was truncated.
        whole = error.start if error.reason == "unexpected end of data" else 0
        text = value[:whole].decode("utf-8") if whole else value.decode("cp1252", "replace")
        return _cleaned(text, limit)


def _cleaned(text: str, limit: int) -> str:
    """Return the text before a NUL, on one line, without control characters."""
    spaced = " ".join(text.partition("\0")[0].split())
    kept = (c for c in spaced if c in _JOINERS or unicodedata.category(c) not in _NO_TEXT)
    return _shortened("".join(kept).replace("\ufffd", "").strip(), limit)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
