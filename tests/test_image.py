"""nmm.index.media.image.decode: every image file comes out upright and RGB, or as a MediaError."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from zlib import compress, crc32

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.Image import Transpose

from nmm.index.errors import MediaError
from nmm.index.media.base import Metadata
from nmm.index.media.image import decode as image_module
from nmm.index.media.image.decode import IMAGE_SUFFIXES, decode, looks_like_image

pillow_heif.register_heif_opener()

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def halves(left: Any = RED, right: Any = BLUE, *, mode: str = "RGB") -> Image.Image:
    """Return 64 x 32 pixels: one colour on the left half, one on the right."""
    image = Image.new(mode, (64, 32), right)
    image.paste(left, (0, 0, 32, 32))
    return image


def row(mode: str, *levels: Any) -> Image.Image:
    """Return one row of pixels."""
    image = Image.new(mode, (len(levels), 1))
    for x, level in enumerate(levels):
        image.putpixel((x, 0), level)
    return image


def pixels(image: Image.Image) -> list[list[int]]:
    """Return the pixels of the first row."""
    result: list[list[int]] = np.asarray(image)[0].tolist()
    return result


def sides(image: Image.Image) -> list[Any]:
    """Return the colours in the middle of the left and of the right half."""
    return [image.getpixel((image.width // 4, 16)), image.getpixel((image.width * 3 // 4, 16))]


def near(expected: Any, tolerance: float) -> Any:
    return pytest.approx(np.asarray(expected), abs=tolerance)


def exif(orientation: int = 1, **times: str) -> bytes:
    result = Image.Exif()
    result[Base.Orientation] = orientation
    result[Base.Make] = "Camera"
    for name, value in times.items():
        ifd = result if name == "DateTime" else result.get_ifd(IFD.Exif)
        ifd[Base[name]] = value
    return result.tobytes()


def png(width: int, height: int, *, depth: int, colour_type: int, rows: bytes = b"") -> bytes:
    """Write a PNG by hand, as Pillow cannot; without rows, only the header is valid."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def promise(width: int, height: int) -> bytes:
    return png(width, height, depth=1, colour_type=0)


def and_another() -> dict[str, Any]:
    """Return the options that make Pillow write a second image."""
    return {"save_all": True, "append_images": [halves(BLUE, RED)]}


FORMATS: dict[str, bytes] = {
    "jpeg": encoded(halves(), "JPEG", quality=95),
    "jpeg-progressive": encoded(halves(), "JPEG", quality=95, progressive=True),
    "jpeg-cmyk": encoded(halves().convert("CMYK"), "JPEG", quality=95),
    "mpo": encoded(halves(), "MPO", quality=95, **and_another()),
    "png": encoded(halves(), "PNG"),
    "apng": encoded(halves(), "PNG", **and_another()),
    "gif": encoded(halves(), "GIF"),
    "gif-animated": encoded(halves(), "GIF", **and_another()),
    "webp": encoded(halves(), "WEBP", quality=95),
    "webp-lossless": encoded(halves(), "WEBP", lossless=True),
    "webp-animated": encoded(halves(), "WEBP", lossless=True, **and_another()),
    "bmp": encoded(halves(), "BMP"),
    "bmp-palette": encoded(halves().convert("P"), "BMP"),
    "tiff": encoded(halves(), "TIFF"),
    "tiff-lzw": encoded(halves(), "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": encoded(halves(), "TIFF", compression="jpeg", quality=95),
    "tiff-cmyk": encoded(halves().convert("CMYK"), "TIFF"),
    "tiff-big": encoded(halves(), "TIFF", big_tiff=True),
    "tiff-pages": encoded(halves(), "TIFF", **and_another()),
    "ppm": encoded(halves(), "PPM"),
    "jp2": encoded(halves(), "JPEG2000"),
    "j2k": encoded(halves(), "JPEG2000", no_jp2=True),
    "ico": encoded(halves(), "ICO", sizes=[(64, 32)]),
    "ico-bitmap": encoded(halves(), "ICO", sizes=[(64, 32)], bitmap_format="bmp"),
    "avif": encoded(halves(), "AVIF", quality=95),
    "avif-animated": encoded(halves(), "AVIF", quality=95, **and_another()),
    "heif": encoded(halves(), "HEIF", quality=95),
}
format_names = pytest.mark.parametrize("name", FORMATS)


@format_names
def test_every_format_comes_out_as_rgb(name: str) -> None:
    decoded = decode(FORMATS[name])

    assert (decoded.image.mode, decoded.image.size) == ("RGB", (64, 32))
    assert (decoded.width, decoded.height, decoded.metadata) == (64, 32, Metadata())
    assert sides(decoded.image) == near([RED, BLUE], 6)


@format_names
def test_every_format_is_known_by_its_signature(name: str) -> None:
    assert looks_like_image(FORMATS[name][:64])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"BMW and other cars, a list of the makes that people ask for",
        b"P1 is the first of the four printers",
        b"GIF is a format",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"PK\x03\x04" + bytes(60),
        b"\0\0\0\x18ftypisom" + bytes(52),
        b"\0\0\1\0" + bytes(60),
        bytes(64),
    ],
)
def test_other_content_is_no_image(content: bytes) -> None:
    assert not looks_like_image(content)


def test_a_signature_is_read_without_pillow() -> None:
    code = (
        "import sys; from nmm.index.media.image.decode import looks_like_image;"
        "print(looks_like_image(b'\\xff\\xd8\\xff'), 'PIL' in sys.modules, 'numpy' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    assert (result.stdout, result.stderr) == ("True False False\n", "")


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".jpg", ".heic", ".webp", ".tif"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)


# How cameras in other orientations store an upright image.
STORED = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("format_", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 8),
        ("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 8),
        ("HEIF", {"quality": 95, "chroma": 444}, 8),
    ],
)
def test_every_orientation_is_turned_upright(
    orientation: int, format_: str, options: dict[str, Any], tolerance: int
) -> None:
    upright = halves()
    upright.paste(WHITE, (0, 0, 32, 16))  # all eight look different
    turn = STORED[orientation]
    stored = upright if turn is None else upright.transpose(turn)

    decoded = decode(encoded(stored, format_, exif=exif(orientation), **options))

    assert (decoded.width, decoded.height) == decoded.image.size == (64, 32)
    corners = [(16, 8), (48, 8), (16, 24), (48, 24)]
    colours = [decoded.image.getpixel(corner) for corner in corners]
    assert colours == near([WHITE, BLUE, RED, BLUE], tolerance)


def transparent_palette(transparency: int | bytes) -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    return encoded(image, "PNG", transparency=transparency)


GREYS = [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(encoded(row("1", 0, 255), "PNG"), [BLACK, WHITE], id="1 bit"),
        pytest.param(encoded(row("1", 0, 255), "PPM"), [BLACK, WHITE], id="pbm"),
        pytest.param(encoded(row("L", 0, 1, 128, 255), "PNG"), GREYS, id="grey"),
        pytest.param(encoded(row("L", 0, 1, 128, 255), "PPM"), GREYS, id="pgm"),
        pytest.param(
            encoded(row("LA", (0, 255), (0, 0), (0, 55)), "PNG"),
            [[0] * 3, [255] * 3, [200] * 3],
            id="grey and alpha",
        ),
        pytest.param(
            encoded(row("RGBA", (*RED, 255), (*RED, 0), (*RED, 55)), "PNG"),
            [RED, WHITE, [255, 200, 200]],
            id="colour and alpha",
        ),
        pytest.param(
            encoded(row("RGB", RED, BLUE), "PNG", transparency=BLUE),
            [RED, WHITE],
            id="transparent colour",
        ),
        pytest.param(
            encoded(row("L", 0, 7), "PNG", transparency=7),
            [BLACK, WHITE],
            id="transparent grey",
        ),
        pytest.param(encoded(halves().convert("P"), "PNG"), [RED] * 32 + [BLUE] * 32, id="palette"),
        pytest.param(transparent_palette(1), [RED, WHITE], id="transparent index"),
        pytest.param(
            transparent_palette(bytes([255, 55])), [RED, [200, 200, 255]], id="palette alpha"
        ),
        pytest.param(
            encoded(row("I;16", 0, 256, 0x80FF, 0xFFFF), "PNG"), GREYS, id="16-bit grey png"
        ),
        pytest.param(
            encoded(row("I;16", 0, 256, 0x80FF, 0xFFFF), "TIFF"), GREYS, id="16-bit grey tiff"
        ),
        pytest.param(
            encoded(row("I;16B", 0, 256, 0x80FF, 0xFFFF), "TIFF"), GREYS, id="big-endian grey"
        ),
        pytest.param(encoded(row("I", 0, 256, 0x80FF, 0xFFFF), "PPM"), GREYS, id="16-bit pgm"),
        pytest.param(
            encoded(row("I", -1000, 0, 1000), "TIFF"), [[0] * 3, [128] * 3, [255] * 3], id="signed"
        ),
        pytest.param(
            encoded(row("F", 0.0, 0.25, 1.0), "TIFF"), [[0] * 3, [64] * 3, [255] * 3], id="float"
        ),
        pytest.param(
            encoded(row("F", -3e38, float("nan"), 0.0, 3e38, float("inf")), "TIFF"),
            [[0] * 3, [0] * 3, [128] * 3, [255] * 3, [255] * 3],
            id="float extremes",
        ),
        pytest.param(encoded(row("F", 7.0, 7.0), "TIFF"), [BLACK, BLACK], id="constant float"),
        pytest.param(encoded(row("F", float("nan")), "TIFF"), [BLACK], id="only NaN"),
        pytest.param(
            png(
                width=2,
                height=1,
                depth=16,
                colour_type=2,
                rows=struct.pack(">x6H", 0xFFFF, 0, 0x8012, 0, 0x0100, 0xFF00),
            ),
            [[255, 0, 128], [0, 1, 255]],
            id="16-bit colour",
        ),
        pytest.param(
            encoded(row("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "TIFF"), [RED, BLACK], id="cmyk"
        ),
    ],
)
def test_every_mode_comes_out_as_8_bit_rgb(data: bytes, expected: list[Any]) -> None:
    decoded = decode(data)

    assert decoded.image.mode == "RGB"
    assert pixels(decoded.image) == [list(colour) for colour in expected]


def test_a_jpeg_in_ycck_comes_out_in_its_colours() -> None:
    # Adobe stores a CMYK image inverted, here as YCbCr and K: for red, the YCbCr of cyan.
    cyan = np.asarray(Image.new("RGB", (1, 1), (0, 255, 255)).convert("YCbCr"))[0, 0]
    y, cb, cr = (255 - cyan).tolist()
    data = encoded(Image.new("CMYK", (16, 16), (y, cb, cr, 0)), "JPEG", quality=100)
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0

    decoded = decode(data[:transform] + b"\2" + data[transform + 1 :])

    assert decoded.image.getpixel((8, 8)) == near(RED, 3)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, None),
        ({"DateTimeOriginal": "2019:12:31 23:59:58"}, "2019-12-31T23:59:58"),
        ({"DateTimeDigitized": "2019:12:31 23:59:58"}, "2019-12-31T23:59:58"),
        ({"DateTime": "2019:12:31 23:59:58"}, "2019-12-31T23:59:58"),
        (
            {"DateTime": "2021:01:01 00:00:00", "DateTimeOriginal": "2019:12:31 23:59:58"},
            "2019-12-31T23:59:58",
        ),
        (
            {"DateTimeOriginal": "2019:12:31 23:59:58", "OffsetTimeOriginal": "-03:30"},
            "2019-12-31T23:59:58-03:30",
        ),
        (
            {"DateTimeOriginal": "2019:12:31 23:59:58", "OffsetTimeOriginal": "   :  "},
            "2019-12-31T23:59:58",
        ),
        (
            {"DateTimeOriginal": "2019:12:31 23:59:58", "OffsetTime": "+05:00"},
            "2019-12-31T23:59:58",
        ),
        (
            {"DateTimeOriginal": "0000:00:00 00:00:00", "DateTime": "2020:02:29 01:02:03"},
            "2020-02-29T01:02:03",
        ),
        ({"DateTimeOriginal": "    :  :     :  :  "}, None),
        ({"DateTimeOriginal": "2019:02:29 00:00:00"}, None),
    ],
)
def test_the_time_is_read_from_exif(times: dict[str, Any], expected: str | None) -> None:
    assert decode(encoded(halves(), "JPEG", exif=exif(**times))).metadata.taken_at == expected


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_format_that_carries_exif_tells_the_time(format_: str) -> None:
    data = encoded(halves(), format_, exif=exif(DateTimeOriginal="2019:12:31 23:59:58"))

    assert decode(data).metadata.taken_at == "2019-12-31T23:59:58"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_damaged_exif_never_fails_an_image(format_: str) -> None:
    rng = random.Random(5)
    whole = exif(DateTime="2020:02:29 01:02:03", DateTimeOriginal="2019:12:31 23:59:58")
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[rng.randrange(6, len(whole))] = rng.randrange(256)
        decoded = decode(encoded(halves(), format_, exif=bytes(damaged[: rng.randrange(8, 200)])))
        assert sorted(decoded.image.size) == [32, 64]


def large_photo(**options: Any) -> bytes:
    """A smooth JPEG of 24 megapixels."""
    across = Image.linear_gradient("L").resize((6000, 4000))
    around = Image.radial_gradient("L").resize((6000, 4000))
    image = Image.merge("RGB", (across, around, across.transpose(Transpose.ROTATE_180)))
    return encoded(image, "JPEG", quality=90, **options)


def test_a_large_jpeg_is_decoded_small_and_reported_in_full() -> None:
    data = large_photo(exif=exif(6))

    draft, full = decode(data, side=224), decode(data)

    assert (draft.width, draft.height) == (full.width, full.height) == (4000, 6000)
    assert (draft.image.size, full.image.size) == ((500, 750), (4000, 6000))
    small = [
        np.asarray(decoded.image.resize((224, 336), Image.Resampling.BICUBIC), np.int16)
        for decoded in (draft, full)
    ]
    assert np.abs(small[0] - small[1]).max() <= 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),  # half would leave 240, less than twice 224
        ((896, 900), (448, 450)),
        ((2000, 897), (1000, 449)),
        ((5000, 3584), (625, 448)),
        ((64, 32), (64, 32)),
    ],
)
def test_a_draft_keeps_twice_the_side(size: tuple[int, int], expected: tuple[int, int]) -> None:
    data = encoded(Image.new("RGB", size, RED), "JPEG")

    assert decode(data, side=224).image.size == expected


def test_other_formats_ignore_the_side() -> None:
    assert decode(encoded(Image.new("RGB", (800, 600)), "PNG"), side=100).image.size == (800, 600)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello\n", "not an image: it has the signature of no known image format"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n",
            "not an image: it has the signature of no known image format",
        ),
        (FORMATS["jpeg"][:-40], "truncated JPEG: only part of the image is there"),
        (FORMATS["png"][:90], "truncated PNG: only part of the image is there"),
        (FORMATS["gif"][:-40], "truncated GIF: only part of the image is there"),
        (FORMATS["bmp"][:-40], "truncated BMP: only part of the image is there"),
        (FORMATS["tiff"][:-40], "truncated TIFF: only part of the image is there"),
        (FORMATS["ppm"][:-40], "truncated PPM: only part of the image is there"),
        (FORMATS["avif"][:-40], "truncated AVIF: only part of the image is there"),
        (FORMATS["webp"][:-40], "damaged or incomplete WEBP: it cannot be decoded"),
        (FORMATS["heif"][:-40], "damaged or incomplete HEIF: it cannot be decoded"),
        (FORMATS["jp2"][:-40], "damaged or incomplete JPEG2000: it cannot be decoded"),
        (FORMATS["png"][:16], "truncated PNG: only part of the image is there"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "damaged or incomplete PNG: it cannot be decoded"),
    ],
)
def test_unreadable_images_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError) as caught:
        decode(data)

    assert str(caught.value) == reason


def test_the_cause_is_kept() -> None:
    with pytest.raises(MediaError) as caught:
        decode(FORMATS["jpeg"][:-40])

    assert isinstance(caught.value.__cause__, OSError)


def test_a_memoryview_is_decoded() -> None:
    assert decode(memoryview(FORMATS["png"])).image.tobytes() == halves().tobytes()


def icon_of(png_data: bytes) -> bytes:
    """Return an icon that declares 16 x 16 for the PNG inside."""
    return struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png_data), 22) + png_data


@pytest.mark.parametrize("wrapped", [bytes, icon_of])
def test_an_oversized_image_is_refused_by_its_header(wrapped: Any) -> None:
    with pytest.raises(MediaError) as caught:
        decode(wrapped(promise(20_000, 10_000)))

    assert str(caught.value) == (
        "too large: 20000 x 10000 is 200.0 megapixels, the limit is 89.5 (max_pixels)"
    )


def test_the_limit_is_inclusive() -> None:
    assert decode(FORMATS["png"], max_pixels=64 * 32).width == 64
    with pytest.raises(MediaError, match="too large"):
        decode(FORMATS["png"], max_pixels=64 * 32 - 1)


@pytest.mark.parametrize("name", ["ico", "ico-bitmap"])
def test_an_icon_at_the_limit_is_read(name: str) -> None:
    assert decode(FORMATS[name], max_pixels=64 * 32).width == 64


def test_the_limit_can_be_raised_above_that_of_pillow() -> None:
    # The image passes the check and fails at the pixels.
    with pytest.raises(MediaError, match="truncated PNG"):
        decode(promise(20_000, 10_000), max_pixels=200_000_000)


@format_names
def test_damaged_bytes_give_an_image_or_a_media_error(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(name)
    whole = FORMATS[name]
    outcomes = set()
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 4, 16))):
            place = rng.randrange(min(len(whole), rng.choice((64, 512, len(whole)))))
            damaged[place] = rng.randrange(256)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(damaged)) :]
        try:
            outcomes.add(decode(bytes(damaged), max_pixels=100_000).image.mode)
        except MediaError:
            outcomes.add("MediaError")

    assert outcomes <= {"RGB", "MediaError"}
    assert "MediaError" in outcomes
    assert capfd.readouterr() == ("", "")


def test_the_log_of_a_plugin_stays_off_stderr() -> None:
    samples = struct.pack("<HHI", 277, 3, 1)  # the tag SamplesPerPixel: one too few
    place = FORMATS["tiff"].index(samples) + len(samples)
    data = FORMATS["tiff"][:place] + b"\xff\xff" + FORMATS["tiff"][place + 2 :]
    code = f"""
from nmm.index.media.image.decode import decode
try:
    decode(bytes.fromhex("{data[:200].hex()}"))
except Exception as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    expected = "damaged or incomplete TIFF: it cannot be decoded\n"
    assert (result.stdout, result.stderr) == (expected, "")


def test_threads_decode_at_once() -> None:
    names = list(FORMATS) * 4
    expected = [decode(FORMATS[name]).image.tobytes() for name in names]

    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda name: decode(FORMATS[name]).image.tobytes(), names))

    assert images == expected


def test_a_first_call_in_threads_finds_every_plugin() -> None:
    code = """
import sys, warnings
from concurrent.futures import ThreadPoolExecutor
from nmm.index.media.image.decode import decode
datas = [bytes.fromhex(line) for line in sys.stdin.read().split()]
with ThreadPoolExecutor(8) as pool:
    print(*{decoded.image.size for decoded in pool.map(decode, datas)})
"""
    names = ["heif", "avif", "tiff", "webp", "jp2", "ico", "png", "heif"]
    lines = "\n".join(FORMATS[name].hex() for name in names)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False,
        input=lines,
        capture_output=True,
        text=True,
    )

    assert (result.stdout, result.stderr) == ("(64, 32)\n", "")


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "_LARGE_PIXELS", 50 * 50)
    real, at_once, most = image_module._to_rgb, [0], {50: 0, 51: 0}  # sides of the images

    def watched(image: Image.Image) -> Image.Image:
        at_once[0] += 1
        most[image.width] = max(most[image.width], at_once[0])
        time.sleep(0.05)
        at_once[0] -= 1
        return real(image)

    monkeypatch.setattr(image_module, "_to_rgb", watched)
    for side in most:
        file = BytesIO()
        Image.new("RGB", (side, side)).save(file, "PNG")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(decode, [file.getvalue()] * 4))
    assert most[50] > 1
    assert most[51] == 1
