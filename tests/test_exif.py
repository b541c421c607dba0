"""nmm.index.media.image.metadata: what it reads from an image file, whatever wrote it."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from nmm.index.errors import MediaError
from nmm.index.media.base import Metadata
from nmm.index.media.image.decode import decode, describe

XP_TITLE = 0x9C9B
VIENNA: dict[int, Any] = {
    GPS.GPSLatitudeRef: "N",
    GPS.GPSLatitude: (48.0, 12.0, 30.0),
    GPS.GPSLongitudeRef: "E",
    GPS.GPSLongitude: (16.0, 22.0, 12.0),
}


def exif(
    tags: Mapping[int, Any] = {}, photo: Mapping[int, Any] = {}, gps: Mapping[int, Any] = {}
) -> Image.Exif:
    result = Image.Exif()
    result.update(tags)
    result.get_ifd(IFD.Exif).update(photo)
    result.get_ifd(IFD.GPSInfo).update(gps)
    return result


def encoded(format_: str, **options: Any) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (64, 32), "red").save(stream, format_, **options)
    return stream.getvalue()


def said(data: bytes) -> Metadata:
    """Return the details read from a file; they are the same with its pixels and without."""
    details = decode(data).metadata
    assert describe(BytesIO(data)).metadata == details
    return details


def of(**parts: Mapping[int, Any]) -> Metadata:
    return said(encoded("JPEG", exif=exif(**parts)))


FULL = exif(
    {Base.Make: "Canon", Base.Model: "Canon EOS 5D", Base.ImageDescription: "A boat at dusk"},
    {Base.DateTimeOriginal: "2019:12:31 23:59:58"},
    VIENNA,
)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "MPO"])
def test_every_format_that_carries_exif_tells_all_of_it(format_: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    details = said(encoded(format_, exif=FULL.tobytes()))
    assert (details.taken_at, details.camera, details.caption) == (
        "2019-12-31T23:59:58",
        "Canon EOS 5D",
        "A boat at dusk",
    )
    assert (details.latitude, details.longitude) == pytest.approx((48.208333, 16.37))


def test_a_file_that_says_nothing_has_no_details() -> None:
    assert said(encoded("JPEG")) == said(encoded("GIF")) == Metadata()


# Position


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({GPS.GPSLatitudeRef: "S"}, (-48.208333, 16.37)),
        ({GPS.GPSLongitudeRef: "W"}, (48.208333, -16.37)),
        ({GPS.GPSLongitudeRef: "w\0"}, (48.208333, -16.37)),
        ({GPS.GPSLatitude: (48.5,)}, (48.5, 16.37)),
        ({GPS.GPSLatitude: (48.0, 30.0)}, (48.5, 16.37)),
        ({GPS.GPSLongitude: (180.0, 0.0, 0.0)}, (48.208333, 180.0)),
        ({GPS.GPSLatitude: (0.0, 0.0, 0.0)}, (0.0, 16.37)),
    ],
)
def test_a_position_is_in_signed_degrees(
    changes: dict[int, Any], place: tuple[float, float]
) -> None:
    details = of(gps={**VIENNA, **changes})
    assert (details.latitude, details.longitude) == pytest.approx(place)


@pytest.mark.parametrize(
    "changes",
    [
        {GPS.GPSLatitude: (91.0, 0.0, 0.0)},
        {GPS.GPSLatitude: (90.0, 1.0, 0.0)},
        {GPS.GPSLatitude: (48.0, 61.0, 0.0)},
        {GPS.GPSLongitude: (181.0, 0.0, 0.0)},
        {GPS.GPSLatitude: (IFDRational(48, 0), 0.0, 0.0)},
        {GPS.GPSLatitude: (48.0, IFDRational(0, 0), 0.0)},
        {GPS.GPSLatitude: (1.0, 2.0, 3.0, 4.0)},
        {GPS.GPSLatitudeRef: "X"},
        {GPS.GPSLatitudeRef: ""},
        {GPS.GPSLatitudeRef: None},
        {GPS.GPSLongitude: None},
        {GPS.GPSLatitude: (0.0, 0.0, 0.0), GPS.GPSLongitude: (0.0, 0.0, 0.0)},
    ],
)
def test_invalid_positions_are_ignored(changes: dict[int, Any]) -> None:
    gps = {tag: value for tag, value in {**VIENNA, **changes}.items() if value is not None}
    details = of(gps=gps, tags={Base.Model: "X100"})
    assert details == Metadata(camera="X100")


# Camera


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("Apple", "iPhone 12 Pro", "Apple iPhone 12 Pro"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("EASTMAN KODAK COMPANY", "KODAK DX4530", "KODAK DX4530"),
        ("samsung", "", "samsung"),
        ("", "X100", "X100"),
        (" Canon \0junk", "EOS\x1b[2J\x07 R5  ", "Canon EOS[2J R5"),
        ("\0", "\0\0", None),
        ("Sony", "X" * 500, "Sony " + "X" * 94 + "…"),
    ],
)
def test_a_camera_is_its_make_and_model(make: str, model: str, camera: str | None) -> None:
    assert of(tags={Base.Make: make, Base.Model: model}).camera == camera


# Captions


@pytest.mark.parametrize(
    ("written", "caption"),
    [
        ("A boat at dusk", "A boat at dusk"),
        ("  two\n\tlines \0padding", "two lines"),
        ("Grüße vom See".encode(), "Grüße vom See"),
        ("Grüße vom See".encode("latin-1"), "Grüße vom See"),
        ("Grüße vom See".encode()[:-11], "Grü"),  # inside a character
        ("\x1b]8;;http://x\x07link", "]8;;http://xlink"),
        ("\u202egpj.exe".encode(), "gpj.exe"),
        ("é".encode() * 8001, "é" * 1999 + "…"),
        ("x" * 70_00, "x" * 1999 + "…"),
        ("OLYMPUS DIGITAL CAMERA         ", None),
        ("SONY DSC", None),
        ("----", None),
        ("\0\0\0", None),
    ],
)
def test_a_caption_is_text_that_a_person_wrote(written: str | bytes, caption: str | None) -> None:
    found = of(tags={Base.ImageDescription: written}).caption
    assert found == caption
    (found or "").encode()


@pytest.mark.parametrize(
    ("comment", "caption"),
    [
        (b"ASCII\0\0\0A boat\0\0\0\0", "A boat"),
        (b"UNICODE\0" + "Ein großes Boot".encode("utf-16-le"), "Ein großes Boot"),
        (b"UNICODE\0" + "Ein großes Boot".encode("utf-16-be"), "Ein großes Boot"),
        (b"UNICODE\0" + "\ufeffBoot".encode("utf-16-be"), "Boot"),
        (b"UNICODE\0" + b"\x00\xd8A\0", "A"),  # half of a surrogate pair
        (bytes(8) + b"A boat", "A boat"),
        (b"JIS\0\0\0\0\0\x1b$B", None),
        (b'ASCII\0\0\0{"faces": 3}', None),
        (b"ASCII\0\0\0" + b" " * 100, None),
    ],
)
def test_a_comment_of_the_user_is_one(comment: bytes, caption: str | None) -> None:
    assert of(photo={Base.UserComment: comment}).caption == caption


def test_windows_title_is_one() -> None:
    assert of(tags={XP_TITLE: "Hütte\0".encode("utf-16-le")}).caption == "Hütte"


def test_default_texts_of_cameras_hide_no_caption() -> None:
    details = of(
        tags={Base.ImageDescription: "OLYMPUS DIGITAL CAMERA"},
        photo={Base.UserComment: b"ASCII\0\0\0Anna on the swing"},
    )
    assert details.caption == "Anna on the swing"


def test_an_iptc_caption_is_one() -> None:
    caption = "Ein Boot – früh".encode()
    record = b"\x1c\x02\x78" + struct.pack(">H", len(caption)) + caption
    record += b"\0" * (len(record) % 2)
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    segment = b"Photoshop 3.0\0" + resource
    plain = encoded("JPEG")
    data = plain[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    assert said(data).caption == "Ein Boot – früh"


def test_a_png_says_it_in_text_before_or_after_its_pixels() -> None:
    info = PngInfo()
    info.add_itxt("Description", "Ein Boot – früh")
    assert said(encoded("PNG", pnginfo=info)).caption == "Ein Boot – früh"
    plain = encoded("PNG")
    chunk = b"tEXtTitle\0A boat"
    late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", crc32(chunk))
    assert said(plain[:-12] + late + plain[-12:]).caption == "A boat"


# Damage


def test_one_damaged_piece_leaves_the_others() -> None:
    details = of(
        tags={Base.Model: "X100", Base.ImageDescription: "A boat"},
        photo={Base.DateTimeOriginal: "yesterday"},
        gps={**VIENNA, GPS.GPSLatitude: IFDRational(1, 0)},
    )
    assert details == Metadata(camera="X100", caption="A boat")


def with_sums(png: bytes) -> bytes:
    """Return a PNG with checksums that match its current content."""
    stream, result = BytesIO(png), png[:8]
    stream.seek(8)
    while head := stream.read(8):
        body = head[4:] + stream.read(int.from_bytes(head[:4], "big"))
        result += head[:4] + body + struct.pack(">I", crc32(body))
        stream.read(4)
    return result


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_whatever_is_in_it_comes_out_as_what_the_catalog_can_hold(format_: str) -> None:
    rng = random.Random(7)
    whole = encoded(format_, exif=FULL.tobytes())
    block = FULL.tobytes()[6:]
    start = max(whole.find(block), 8)  # a TIFF has the same tags, but for its own use
    seen = set()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 12)):
            damaged[start + rng.randrange(len(block))] = rng.randrange(256)
        data = bytes(damaged)
        if format_ == "PNG":
            data = with_sums(data)
        try:
            details = describe(BytesIO(data)).metadata
        except MediaError:
            continue
        seen.add(details)
        assert (details.latitude is None) == (details.longitude is None)
        assert abs(details.latitude or 0) <= 90
        assert abs(details.longitude or 0) <= 180
        for text in (details.camera, details.caption):
            assert text is None or (text.isprintable() and 0 < len(text.encode()) < 8000)
    assert len(seen) > 10


def test_a_picture_whose_pixels_are_cut_off_still_says_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded("PNG", exif=FULL)[:-40])
    with file.open("rb") as stream:
        assert describe(stream).metadata.camera == "Canon EOS 5D"
