"""How much of the encoder's speed a whole `nmm index` keeps.

Makes photos of 640 pixels (crops of the sample photos, each a file of its own) and texts
(paragraphs of the sample texts, shuffled), and times in turn, several times over:

- `nmm index` as a process, from start to end, into a new index;
- the encoder alone, in this process, on the same inputs already decoded or cut up.

Prints the median rate of each, the ratio of the two (its median over the rounds, for a
machine's speed drifts), and the peak memory of `nmm index`.

    python bench/index.py [--images 1500] [--texts 300] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nmm.index.batch import CHUNKS_PER_IMAGE
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import MINI, Task
from nmm.index.encoders.runtime import OnnxEncoder, load_encoder
from nmm.index.media.image import MAX_PIXELS
from nmm.index.media.read import Chunking, ImageMedia, TextMedia, read_media
from nmm.index.run import Options

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"


def make_images(folder: Path, count: int) -> None:
    """Crops of the sample photos, scaled to 640 x 480."""
    chance = random.Random(0)
    photos = [Image.open(path).convert("RGB") for path in sorted(SAMPLE_DATA.rglob("*.jpg"))]
    for number in range(count):
        photo = photos[number % len(photos)]
        left, top = chance.randrange(photo.width // 4), chance.randrange(photo.height // 4)
        box = (left, top, left + photo.width * 3 // 4, top + photo.height * 3 // 4)
        photo.resize((640, 480), box=box).save(folder / f"{number}.jpg", quality=88)


def make_texts(folder: Path, count: int) -> None:
    """Twelve paragraphs each, of the sample texts."""
    chance = random.Random(0)
    paragraphs = [
        paragraph
        for pattern in ("*.md", "*.txt", "*.rst")
        for path in sorted((SAMPLE_DATA).rglob(pattern))
        for paragraph in path.read_text("utf-8", "replace").split("\n\n")
    ]
    for number in range(count):
        text = "\n\n".join(chance.sample(paragraphs, 12))
        (folder / f"{number}.txt").write_text(text, "utf-8")


# Runs a command and prints its seconds and its peak memory. In a process of its own, for
# what the kernel reports of a child is at least what its parent took when it was started.
MEASURE = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, json.loads(done.stdout), seconds, peak]))
"""


def run_index(folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of `nmm index` on a folder, into a new index."""
    with tempfile.TemporaryDirectory() as index:
        nmm = Path(sys.executable).with_name("nmm")
        command = [nmm, "index", folder, "--json", "--index", index]
        measured = subprocess.run(
            [sys.executable, "-c", MEASURE, *command], stdout=subprocess.PIPE, check=True
        )
    status, summary, seconds, peak = json.loads(measured.stdout)
    assert status == 0
    assert summary["added"] == sum(1 for _ in folder.iterdir())
    # Kilobytes on Linux, bytes on macOS.
    return seconds, peak / (1e6 if sys.platform == "darwin" else 1e3)


def in_batches(size: int, total: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, total, size)]


def compare(
    name: str, folder: Path, unit: str, items: int, alone: Callable[[], None], rounds: int
) -> None:
    """Time both in turn and print a row."""
    alone()
    whole, encoder, memory = [], [], []
    for _ in range(rounds):
        seconds, peak = run_index(folder)
        whole.append(seconds)
        memory.append(peak)
        started = time.perf_counter()
        alone()
        encoder.append(time.perf_counter() - started)
    ratio = statistics.median(e / w for e, w in zip(encoder, whole, strict=True))
    rates = items / statistics.median(whole), items / statistics.median(encoder)
    print(
        f"{name:8} {rates[0]:9.1f} {rates[1]:13.1f} {unit:9} {ratio:7.2f}"
        f" {statistics.median(memory):9.0f} MB"
    )


def images_alone(encoder: OnnxEncoder, folder: Path) -> Callable[[], None]:
    """The encoder on all the pictures of a folder, decoded beforehand."""
    chunking = Chunking(encoder.tokenizer, MINI.chunk, 0)
    pixels = []
    for path in folder.iterdir():
        media = read_media(
            path,
            chunking=chunking,
            side=MINI.image.side,
            max_pixels=MAX_PIXELS,
            is_known=lambda _: False,
        )
        assert isinstance(media, ImageMedia)
        pixels.append(to_pixels(media.decoded.image, MINI.image))
    batches = [np.stack(pixels[rows]) for rows in in_batches(Options().batch_size, len(pixels))]

    def alone() -> None:
        for batch in batches:
            encoder.embed_images(batch)

    return alone


def chunks_of(encoder: OnnxEncoder, folder: Path) -> Sequence[str]:
    """All chunks of the texts of a folder."""
    chunking = Chunking.of(encoder.tokenizer, MINI.chunk)
    texts = []
    for path in folder.iterdir():
        media = read_media(path, chunking=chunking, side=1, max_pixels=1, is_known=lambda _: False)
        assert isinstance(media, TextMedia)
        texts += [chunk.text for chunk in media.chunks]
    return texts


def texts_alone(encoder: OnnxEncoder, texts: Sequence[str]) -> Callable[[], None]:
    """The encoder on chunks, as many at once as a run embeds."""

    def alone() -> None:
        for rows in in_batches(Options().batch_size * CHUNKS_PER_IMAGE, len(texts)):
            encoder.embed_texts(texts[rows], Task.DOCUMENT)

    return alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    encoder = load_encoder(MINI)
    with tempfile.TemporaryDirectory() as temporary:
        images, texts = Path(temporary, "images"), Path(temporary, "texts")
        images.mkdir()
        texts.mkdir()
        make_images(images, arguments.images)
        make_texts(texts, arguments.texts)
        print("         nmm index  encoder alone  rate of    ratio  peak memory")
        compare(
            "images",
            images,
            "images/s",
            arguments.images,
            images_alone(encoder, images),
            arguments.rounds,
        )
        chunks = chunks_of(encoder, texts)
        print(f"         ({len(chunks)} chunks in {arguments.texts} texts)")
        compare(
            "texts",
            texts,
            "texts/s",
            arguments.texts,
            texts_alone(encoder, chunks),
            arguments.rounds,
        )


if __name__ == "__main__":
    main()
