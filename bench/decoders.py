"""Measure the time to decode a JPEG of 24 megapixels for an encoder, by decoder.

Compared are Pillow, as nmm uses it, and other decoders that can decode a JPEG at a fraction of its
size; then threads and processes. A decoder that is not installed is reported in a line.

    pip install simplejpeg opencv-python-headless "pyvips[binary]"
    python bench/decoders.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from photos import write_photos
from PIL import Image
from pipeline import Way, seconds
from report import Figure, left_out, note

from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import CLIP_IMAGE
from nmm.index.encoders.runtime.devices import available_cpus
from nmm.index.media.image.decode import decode

QUICK = "--rounds 1"


def simplejpeg(data: bytes) -> Callable[[], Any]:
    import simplejpeg

    return lambda: simplejpeg.decode_jpeg(data, "RGB", min_height=500)


def opencv(data: bytes) -> Callable[[], Any]:
    import cv2

    cv2.setNumThreads(1)
    array = np.frombuffer(data, np.uint8)
    return lambda: cv2.imdecode(array, cv2.IMREAD_REDUCED_COLOR_8)


def libvips(data: bytes) -> Callable[[], Any]:
    import pyvips

    pyvips.cache_set_max(0)
    return lambda: pyvips.Image.jpegload_buffer(data, shrink=8).write_to_memory()


OTHERS = {"simplejpeg": simplejpeg, "cv2": opencv, "pyvips": libvips}


def compare_decoders(path: Path, rounds: int) -> None:
    """Compare decoders of a 24-megapixel JPEG, at full size and at an eighth, in one thread."""
    data = path.read_bytes()

    def pillow(size: int | None) -> None:
        with Image.open(BytesIO(data)) as image:
            if size:
                image.draft(None, (size, size))
            image.load()

    ways = [
        Way("Pillow, 1/8", lambda: pillow(500)),
        Way("Pillow, 1/4", lambda: pillow(1000)),
        Way("Pillow, full size", lambda: pillow(None)),
        Way("SHA-256 of the file", lambda: hashlib.sha256(data).digest()),
    ]
    for library, decoder in OTHERS.items():
        if find_spec(library):
            ways.append(Way(f"{library}, 1/8", decoder(data)))
        else:
            left_out(library, "it is not installed")
    print(f"\n{'JPEG of 24 MP':24}{len(data) / 1e6:6.1f} MB{'ms':>8}")
    times = [[seconds(way.run) for way in ways] for _ in range(5 * rounds)]
    for way, column in zip(ways, zip(*times, strict=True), strict=True):
        print(f"{way.name:33}{1000 * statistics.median(column):8.1f}")
    pillow_ms, *rest = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    for way, other in list(zip(ways[1:], rest, strict=True))[3:]:
        ratio = statistics.median(row[ways.index(way)] / row[0] for row in times)
        note(Figure("decode a JPEG of 24 MP", pillow_ms, "ms", way.name, other, ratio))


def compare_pools(photo: Path, rounds: int) -> None:
    """Compare decoding in threads, which share an interpreter, with processes, which do not."""
    paths = [photo] * (8 * available_cpus())
    cpus = available_cpus()
    with ThreadPoolExecutor(cpus) as threads, ProcessPoolExecutor(cpus) as processes:
        runs = [
            lambda: [decode_one(path) for path in paths],
            lambda: list(threads.map(decode_one, paths)),
            lambda: list(processes.map(decode_one, paths)),
        ]
        times = [[seconds(run) for run in runs] for _ in range(rounds + 1)][1:]
    names = ("one thread", f"{cpus} threads", f"{cpus} processes")
    print(f"\n{'read, decoded, resized':33}{'images/s':>9}{'x one':>8}")
    columns = list(zip(*times, strict=True))
    for name, column in zip(names, columns, strict=True):
        ratio = statistics.median(one / t for one, t in zip(columns[0], column, strict=True))
        rate = len(paths) / statistics.median(column)
        print(f"{name:33}{rate:9.1f}{ratio:8.2f}")
        note(Figure(f"decode, in {name}", rate, "images/s", "one thread", None, ratio))


def decode_one(path: Path) -> NDArray[np.uint8]:
    data = path.read_bytes()
    return to_pixels(decode(data, side=CLIP_IMAGE.side).image, CLIP_IMAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        (photo,) = write_photos(Path(temporary), 1, 24)
        compare_decoders(photo, rounds)
        compare_pools(photo, rounds)


if __name__ == "__main__":
    main()
