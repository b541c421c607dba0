"""Reading the words that are seen in a picture, with RapidOCR on ONNX Runtime.

A detector finds where lines of text are, a classifier turns those that stand upside down, a
recogniser reads each (PP-OCR: Du et al., 2020; the detector is DB, Liao et al., 2020). The
models lie in RapidOCR's package: nothing is downloaded, and no pickle is loaded.
https://github.com/RapidAI/RapidOCR
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.runtime.devices import available_cpus
from nmm.index.errors import MediaError, ModelError
from nmm.index.store.catalog.ocr_text import Line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from nmm.index.media.image.decode import DecodedImage

# Pixels of the longest side of what is looked at: a larger picture is made smaller first.
LONGEST = 1600
# Of a JPEG of 4 by 3 that is twice as large or more, only a half or less is decoded.
SIDE = LONGEST * 3 // 8
# A long one, as of a page that was scrolled, is made no smaller than so many pixels across and
# cut into tiles, so many at most, that share some pixels: a line may lie where it is cut.
ACROSS = 640
TILES = 8
SHARED = 160
# A longer shape is filled up to this one, for the detector enlarges by the shortest side.
ASPECT = 4
# Pixels of the shortest side below which no letter can be read; and that of what is looked at.
LEAST = 8
LEAST_CANVAS = 64
# Lines of which the recogniser is less sure are dropped, and those with fewer letters and
# digits: on photographs they are mostly leaves, windows and eyes.
CONFIDENCE = 0.7
CHARACTERS = 2
# A line longer than so many times its height is cut into pieces; in pixels of what is looked at,
# one that is less high is not read; and so many are, of one tile.
LONG = 16
THIN = 6
MOST = 500
# What follows this many characters of a line is dropped: no picture has so long a one.
LINE = 1000


class Tile(NamedTuple):
    """A part of a picture as it is looked at, and where it lies in the smaller picture.

    Of the lines found in it count those with their middle between two places along the picture.
    """

    image: Image.Image
    x: int
    y: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as it is looked at: at a bounded size, with what takes boxes back to the full one.

    Attributes:
        tiles: Its parts; none if there can be no words in it.
        width, height: Of the upright picture at its full size.
        scale_x, scale_y: Pixels of that for one of the smaller picture.
    """

    tiles: Sequence[Tile]
    width: int
    height: int
    scale_x: float = 1
    scale_y: float = 1


def check_installed() -> None:
    """See that there is what reads words, without the time that it takes to load.

    Raises:
        ModelError: There is not.
    """
    if importlib.util.find_spec("rapidocr") is None:
        raise _missing("RapidOCR is not installed.")


def _missing(why: str) -> ModelError:
    return ModelError("The text in images cannot be read.", code="ocr-missing", why=why)


def load_ocr(threads: int | None = None) -> Ocr:
    """Load what reads words, to compute with so many threads; None: one for each core.

    Raises:
        ModelError: It is not installed, or cannot be loaded.
    """
    load_onnxruntime()
    try:
        import cv2
        import rapidocr
        from rapidocr import RapidOCR
    except ImportError as error:
        raise _missing(f"RapidOCR cannot be imported: {error}") from error
    models = Path(str(rapidocr.__file__)).parent / "models"
    threads = threads or available_cpus()
    try:
        cv2.setNumThreads(threads)
        engine: Any = RapidOCR(
            params={
                # Named, so that RapidOCR looks for none and never downloads one.
                **{f"{part}.model_path": _model(models, part.lower()) for part in _PARTS},
                "Global.log_level": "critical",
                "Global.text_score": CONFIDENCE,
                # What follows is done by `prepare`, for every shape.
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        engine.text_det = _Pieces(engine._load_det_model())
    except ModelError:
        raise
    except Exception as error:  # whatever a release of it that is not known raises
        raise _missing(f"RapidOCR says: {type(error).__name__}: {error}") from error
    return Ocr(engine)


class _Pieces:
    """The detector, with long lines cut into pieces, which then are lines of their own.

    The recogniser loses itself in long ones: of drawn lines of 90 characters it reads 7 words in
    10, and in pieces all.
    """

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def __call__(self, image: NDArray[np.uint8]) -> Any:
        import numpy as np

        found = self._detector(image)
        if found.boxes is not None:
            pairs = [
                (piece, score)
                for quad, score in zip(found.boxes, found.scores, strict=True)
                for piece in cut(image, np.asarray(quad, np.float32))
            ][:MOST]
            found.boxes = np.array([piece for piece, _ in pairs]) if pairs else None
            found.scores = [score for _, score in pairs]
        return found


def cut(image: NDArray[np.uint8], quad: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut a line, whose corners are given clockwise from the upper left, where there is least ink.

    Of a line that is too thin to be read nothing is left.
    """
    import cv2
    import numpy as np

    width = int(max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2])))
    height = int(max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2])))
    if min(width, height) < THIN:
        return []
    count = math.ceil(width / (height * LONG))
    if count == 1:
        return [quad]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    strip = cv2.warpPerspective(image, cv2.getPerspectiveTransform(quad, corners), (width, height))
    ink = strip.astype(np.float32).mean(axis=2).std(axis=0)
    # A gap between words is wider than one between letters.
    ink = np.convolve(ink, np.ones(max(1, height // 4)), "same")
    places = [0.0]
    for number in range(1, count):
        start = max(0, round(number * width / count) - 4 * height)
        near = ink[start : start + 8 * height]
        places.append((start + int(near.argmin())) / width)
    top, bottom = (quad[0], quad[1] - quad[0]), (quad[3], quad[2] - quad[3])
    return [
        np.array(
            [
                top[0] + first * top[1],
                top[0] + last * top[1],
                bottom[0] + last * bottom[1],
                bottom[0] + first * bottom[1],
            ],
            np.float32,
        )
        for first, last in itertools.pairwise([*places, 1.0])
    ]


_PARTS = ("Det", "Cls", "Rec")


def _model(folder: Path, part: str) -> str:
    found = sorted(folder.glob(f"*_{part}_*.onnx"))
    if not found:
        raise _missing(f"RapidOCR's package holds no model {part!r}.")
    return str(found[0])


class Ocr:
    """What reads words; made by :func:`load_ocr`. One thread at a time calls :meth:`read`."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def read(self, picture: Prepared) -> list[Line]:
        """The lines of words in a picture that :func:`prepare` made ready, in reading order.

        Raises:
            MediaError: The engine fails on this picture.
        """
        return reading_order(line for tile in picture.tiles for line in self._lines(picture, tile))

    def _lines(self, picture: Prepared, tile: Tile) -> Iterator[Line]:
        import numpy as np

        # Blue first, as OpenCV has it.
        pixels = np.ascontiguousarray(np.asarray(tile.image)[:, :, ::-1])
        try:
            found = self._engine(pixels)
            texts, boxes = getattr(found, "txts", None), getattr(found, "boxes", None)
            if texts is None or boxes is None:
                return
            corners = np.asarray(boxes, np.float64).reshape(len(texts), 4, 2)
            corners += np.array((tile.x, tile.y))
            scores = [float(score) for score in found.scores]
        # OpenCV, ONNX Runtime and RapidOCR each have errors of their own.
        except Exception as error:
            raise MediaError(
                f"OCR fails on it: {type(error).__name__}", code="ocr-failed"
            ) from error
        along = 0 if picture.width / picture.scale_x > picture.height / picture.scale_y else 1
        for text, points, score in zip(texts, corners, scores, strict=True):
            low, high = points.min(axis=0), points.max(axis=0)
            if tile.first <= (low[along] + high[along]) / 2 < tile.last:
                line = _line(picture, text, low.tolist(), high.tolist(), score)
                if line and line.confidence >= CONFIDENCE:
                    yield line


def prepare(decoded: DecodedImage) -> Prepared:
    """Make a picture ready to be read; as costly as making it smaller, and safe in any thread."""
    from PIL import Image

    image, width, height = decoded.image, decoded.width, decoded.height
    plain = all(low == high for low, high in image.getextrema())  # type: ignore[misc]
    if plain or min(width, height) < LEAST:
        return Prepared((), width, height)
    longest, across = max(image.size), min(image.size)
    most = TILES * (LONGEST - SHARED) + SHARED
    shrink = max(LONGEST / longest, min(ACROSS / across, most / longest))
    if shrink < 1:
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    tiles = list(_tiles(image))
    return Prepared(tiles, width, height, width / image.width, height / image.height)


def _tiles(image: Image.Image) -> Iterator[Tile]:
    """Cut an image along its longer side; one that is not long is one tile."""
    longest, across = max(image.size), min(image.size)
    count = max(1, math.ceil((longest - SHARED) / (LONGEST - SHARED)))
    length = min(longest, LONGEST)
    starts = [round(n * (longest - length) / max(1, count - 1)) for n in range(count)]
    # Where one tile ends and the next begins to count: in the middle of what they share.
    ends = [(this + length + after) / 2 for this, after in itertools.pairwise(starts)]
    for start, first, last in zip(starts, [-math.inf, *ends], [*ends, math.inf], strict=True):
        x, y = (start, 0) if image.width > image.height else (0, start)
        size = (length, across) if image.width > image.height else (across, length)
        part = image.crop((x, y, x + size[0], y + size[1])) if count > 1 else image
        yield Tile(_filled_up(part), x, y, first, last)


def _filled_up(image: Image.Image) -> Image.Image:
    """An image on white, if it is too small or too long for the detector."""
    from PIL import Image

    shortest = max(LEAST_CANVAS, math.ceil(max(image.size) / ASPECT))
    if min(image.size) >= shortest:
        return image
    canvas = Image.new("RGB", (max(image.width, shortest), max(image.height, shortest)), "white")
    canvas.paste(image)
    return canvas


def _line(
    picture: Prepared,
    text: str,
    upper_left: Sequence[float],
    lower_right: Sequence[float],
    confidence: float,
) -> Line | None:
    """A line in the full-size picture; None if it says nothing, or lies outside of it."""
    text = clean(text)
    left, right = (x * picture.scale_x for x in (upper_left[0], lower_right[0]))
    top, bottom = (y * picture.scale_y for y in (upper_left[1], lower_right[1]))
    left, right = max(left, 0.0), min(right, float(picture.width))
    top, bottom = max(top, 0.0), min(bottom, float(picture.height))
    if not text or not (right > left and bottom > top):
        return None
    return Line(text, left, top, right - left, bottom - top, min(max(confidence, 0.0), 1.0))


def clean(text: str) -> str:
    """Recognised text in NFC, without control characters; empty if it has hardly a letter."""
    text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    text = unicodedata.normalize("NFC", " ".join(text.split()))[:LINE]
    return text if sum(char.isalnum() for char in text) >= CHARACTERS else ""


def reading_order(lines: Iterable[Line]) -> list[Line]:
    """Lines from top to bottom, and those beside each other from left to right.

    One is beside another if its middle is between the other's edges. Columns are not told apart.
    """
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.y + line.height / 2, line.x)):
        middle = line.y + line.height / 2
        if rows and middle < rows[-1][0].y + rows[-1][0].height:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: (line.x, line.y))]
