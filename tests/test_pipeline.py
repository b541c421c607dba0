"""Single stages of the pipeline: reading in other processes, and when the catalog is asked."""

from __future__ import annotations

import multiprocessing
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLE_DATA

from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import MediaError, NotMediaError
from nmm.index.indexing.diff import ChangedFile, SkippedPath
from nmm.index.indexing.prepare import PreparedFile, ReadRequest
from nmm.index.indexing.read import KnownContent, ReadAhead, ReadFile
from nmm.index.media.image.decode import MAX_PIXELS
from nmm.index.media.text.reader import SMALL_TEXT
from nmm.index.store.catalog.types import Root

NAMES = ["broken.png", "long.txt", "noise.bin", "note.txt", "photo.jpg"]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    gap = "\n" + " " * SMALL_TEXT + "\n"
    (tmp_path / "long.txt").write_text(
        gap.join(["The sea is blue. " * 9, "The night is black. " * 9])
    )
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(1).bytes(5000))
    (tmp_path / "note.txt").write_text("A cat sleeps on the piano.")
    (tmp_path / "photo.jpg").write_bytes((SAMPLE_DATA / "photos" / "chelsea.jpg").read_bytes())
    return Root(1, tmp_path.resolve())


@pytest.fixture
def read_request(mini: OnnxEncoder) -> ReadRequest:
    return ReadRequest.for_model(mini.model, mini.tokenizer, MAX_PIXELS)


def changed(root: Root, names: Collection[str]) -> Iterator[ChangedFile]:
    for name in names:
        found = (root.path / name).stat()
        yield ChangedFile(root, name, found.st_size, found.st_mtime_ns)


def read_all(pool: Executor, root: Root, request: ReadRequest) -> dict[str, object]:
    """Return the result for each file, by name, in the order of arrival."""
    ahead = ReadAhead(pool, 2, request, lambda _: {}, 2)
    found = ahead.read(changed(root, NAMES))
    return {one.file.path: one.outcome for one in found if isinstance(one, ReadFile)}


def vectors(file: object, encoder: OnnxEncoder) -> list[NDArray[np.float32]]:
    assert isinstance(file, PreparedFile)
    return [
        encoder.embed_texts([unit.payload], Task.DOCUMENT)[0]
        if isinstance(unit.payload, str)
        else encoder.embed_images(unit.payload[None])[0]
        for unit in file.units
    ]


def test_files_can_be_read_in_other_processes(
    root: Root, read_request: ReadRequest, mini: OnnxEncoder
) -> None:
    with ThreadPoolExecutor(2) as threads:
        here = read_all(threads, root, read_request)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        there = read_all(processes, root, read_request)
    assert list(here) == list(there) == NAMES
    for name in ("broken.png", "noise.bin"):
        first, second = here[name], there[name]
        assert isinstance(first, MediaError)
        assert isinstance(second, MediaError)
        assert (type(first), first.what) == (type(second), second.what)
    assert isinstance(there["noise.bin"], NotMediaError)
    for name, count in (("long.txt", 2), ("note.txt", 1), ("photo.jpg", 1)):
        first, second = here[name], there[name]
        assert isinstance(first, PreparedFile)
        assert isinstance(second, PreparedFile)
        assert (first.digest, first.info, first.fingerprint) == (
            second.digest,
            second.info,
            second.fingerprint,
        )
        expected = vectors(first, mini)
        assert len(expected) >= count
        np.testing.assert_array_equal(vectors(second, mini), expected)


def test_a_known_content_is_not_decoded_and_many_are_asked_about_at_once(
    tmp_path: Path, read_request: ReadRequest
) -> None:
    root = Root(1, tmp_path.resolve())
    names = [f"{n}.txt" for n in range(40)]
    for name in names:
        (tmp_path / name).write_text(f"This is the note {name}.")
    asked: list[int] = []

    def known(digests: Collection[bytes]) -> dict[bytes, int | None]:
        asked.append(len(digests))
        return dict.fromkeys(digests, 7)

    with ThreadPoolExecutor(4) as pool:
        ahead = ReadAhead(pool, 4, read_request, known, 8)
        found = list(ahead.read(changed(root, names)))
    assert [one.file.path for one in found if isinstance(one, ReadFile)] == names
    outcomes = [one.outcome for one in found if isinstance(one, ReadFile)]
    assert all(isinstance(one, KnownContent) and one.content_id == 7 for one in outcomes)
    assert sum(asked) == len(names), "each is asked about once"


def test_a_text_with_an_image_suffix_does_not_count_as_known(
    tmp_path: Path, read_request: ReadRequest
) -> None:
    root = Root(1, tmp_path.resolve())
    (tmp_path / "a.png").write_text("A note about tea.")

    def known(_: Collection[bytes]) -> dict[bytes, int | None]:
        pytest.fail("it was asked about")

    with ThreadPoolExecutor(1) as pool:
        ahead = ReadAhead(pool, 1, read_request, known, 8)
        (found,) = ahead.read(changed(root, ["a.png"]))
    assert isinstance(found, ReadFile)
    assert isinstance(found.outcome, MediaError)


def test_skipped_paths_keep_their_place_between_the_files(
    root: Root, read_request: ReadRequest
) -> None:
    Image.new("RGB", (9, 9)).save(root.path / "z.png")
    files = list(changed(root, ["note.txt", "z.png"]))
    gone = SkippedPath(root, "sub", "not readable: Permission denied")
    with ThreadPoolExecutor(2) as pool:
        ahead = ReadAhead(pool, 2, read_request, lambda _: {}, 8)
        found = list(ahead.read([gone, files[0], gone, files[1], gone]))
    assert [one.path if isinstance(one, SkippedPath) else one.file.path for one in found] == [
        "sub",
        "note.txt",
        "sub",
        "z.png",
        "sub",
    ]
