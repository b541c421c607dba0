"""Optical character recognition (OCR) with RapidOCR on ONNX Runtime.

A detector finds lines of text, a classifier turns those that are upside down, and a recogniser
reads each line (PP-OCR: Du et al., 2020; the detector is DB, Liao et al., 2020). The models are
part of RapidOCR's package: nothing is downloaded, and no pickle is loaded.
https://github.com/RapidAI/RapidOCR
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.runtime.devices import available_cpus
from nmm.index.errors import MediaError, ModelError
from nmm.index.indexing.ocr_tiles import Prepared, Tile
from nmm.index.store.catalog.ocr_text import Line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Lines with a lower confidence, or with fewer letters and digits, are dropped: on photographs they
# are mostly leaves, windows and eyes.
MIN_CONFIDENCE = 0.7
MIN_CHARACTERS = 2
# A line longer than so many times its height is cut into pieces.
MAX_LINE_ASPECT = 16
# Pixels below which a line is not read, and lines that are read of one tile.
MIN_LINE_HEIGHT = 6
MAX_LINES = 500
# Longer lines are shortened: no image has so long a line.
MAX_LINE_CHARACTERS = 1000


def check_installed() -> None:
    """Check that RapidOCR is installed, without loading it.

    Raises:
        ModelError: It is not.
    """
    if importlib.util.find_spec("rapidocr") is None:
        raise _missing("RapidOCR is not installed.")


def _missing(why: str) -> ModelError:
    return ModelError("The text in images cannot be read.", code="ocr-missing", why=why)


def load_ocr(threads: int | None = None) -> Ocr:
    """Load the OCR engine.

    Args:
        threads: Threads to compute with. None: one for each core.

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
                # With its path given, RapidOCR never downloads a model.
                **{f"{part}.model_path": _model(models, part.lower()) for part in _PARTS},
                "Global.log_level": "critical",
                "Global.text_score": MIN_CONFIDENCE,
                # :func:`prepare` does both, for every shape.
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )
        engine.text_det = _CuttingDetector(engine._load_det_model())
    except ModelError:
        raise
    except Exception as error:  # whatever an unknown release of it raises
        raise _missing(f"RapidOCR says: {type(error).__name__}: {error}") from error
    return Ocr(engine)


class _CuttingDetector:
    """The detector, with long lines cut into pieces, which become lines of their own.

    The recogniser is bad at long lines: of rendered lines of 90 characters it reads 7 words in 10,
    and all of them in pieces.
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
            ][:MAX_LINES]
            found.boxes = np.array([piece for piece, _ in pairs]) if pairs else None
            found.scores = [score for _, score in pairs]
        return found


def cut(image: NDArray[np.uint8], quad: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut a long line where there is least ink.

    Args:
        image: The tile, of shape (height, width, 3).
        quad: The corners of the line, of shape (4, 2), clockwise from the upper left.

    Returns:
        The corners of the pieces; none if the line is too thin to be read.
    """
    import cv2
    import numpy as np

    width = int(max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2])))
    height = int(max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2])))
    if min(width, height) < MIN_LINE_HEIGHT:
        return []
    count = math.ceil(width / (height * MAX_LINE_ASPECT))
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
    """An OCR engine, made by :func:`load_ocr`. One thread at a time may call :meth:`read`."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def read(self, picture: Prepared) -> list[Line]:
        """Return the lines of text in an image, in reading order.

        Raises:
            MediaError: The engine fails on this image.
        """
        return reading_order(line for tile in picture.tiles for line in self._lines(picture, tile))

    def _lines(self, picture: Prepared, tile: Tile) -> Iterator[Line]:
        import numpy as np

        # OpenCV expects blue, green, red.
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
                if line and line.confidence >= MIN_CONFIDENCE:
                    yield line


def _line(
    picture: Prepared,
    text: str,
    upper_left: Sequence[float],
    lower_right: Sequence[float],
    confidence: float,
) -> Line | None:
    """Return a line in full-size pixels; None if it has no text or lies outside the image."""
    text = clean(text)
    left, right = (x * picture.scale_x for x in (upper_left[0], lower_right[0]))
    top, bottom = (y * picture.scale_y for y in (upper_left[1], lower_right[1]))
    left, right = max(left, 0.0), min(right, float(picture.width))
    top, bottom = max(top, 0.0), min(bottom, float(picture.height))
    if not text or not (right > left and bottom > top):
        return None
    return Line(text, left, top, right - left, bottom - top, min(max(confidence, 0.0), 1.0))


def clean(text: str) -> str:
    """Return text in NFC without control characters; empty if it has too few letters."""
    text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    text = unicodedata.normalize("NFC", " ".join(text.split()))[:MAX_LINE_CHARACTERS]
    return text if sum(char.isalnum() for char in text) >= MIN_CHARACTERS else ""


def reading_order(lines: Iterable[Line]) -> list[Line]:
    """Sort lines from top to bottom, and those in one row from left to right.

    A line is in the row of another if its middle is above the other's lower edge. Columns are not
    recognised.
    """
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.y + line.height / 2, line.x)):
        middle = line.y + line.height / 2
        if rows and middle < rows[-1][0].y + rows[-1][0].height:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: (line.x, line.y))]
