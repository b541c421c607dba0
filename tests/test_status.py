"""The numbers that describe an index."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import NoIndexError
from nmm.index.indexing.indexer import build
from nmm.index.maintenance.status import Status, status
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder


def size_of(folder: IndexFolder) -> int:
    return sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())


def test_the_numbers_of_an_index(tmp_path: Path, folder: IndexFolder, mini: OnnxEncoder) -> None:
    from PIL import Image

    root = tmp_path.resolve() / "root"
    root.mkdir()
    (root / "a.txt").write_text("A cat sleeps on the piano.")
    (root / "copy.txt").write_text("A cat sleeps on the piano.")
    (root / "long.txt").write_text("\n\n".join(f"Paragraph {n}. " + "word " * 60 for n in range(3)))
    Image.new("RGB", (40, 30), "red").save(root / "red.png")
    (root / "broken.png").write_bytes(bytes(100))
    (root / "data.bin").write_bytes(bytes(range(256)))
    summary = build([root], folder)
    with open_for_writing(folder) as writer:
        chunks = writer.vector_count("text")
    (skipped,) = summary.skipped
    assert status(folder) == Status(
        index=str(folder.path),
        model="mini",
        dimension=384,
        roots=[str(root)],
        files=4,
        images=1,
        texts=3,
        vectors=chunks + 1,
        pictures_read=0,
        pictures_with_words=0,
        skipped=1,
        size=size_of(folder),
        errors=[(str(root / "broken.png"), skipped.reason)],
    )
    assert chunks >= 4
    assert skipped.path == str(root / "broken.png")


def test_an_index_that_was_never_filled_has_no_model(folder: IndexFolder) -> None:
    with open_for_writing(folder):
        pass
    assert status(folder) == Status(
        index=str(folder.path),
        model=None,
        dimension=None,
        roots=[],
        files=0,
        images=0,
        texts=0,
        vectors=0,
        pictures_read=0,
        pictures_with_words=0,
        skipped=0,
        size=size_of(folder),
        errors=[],
    )


def test_a_missing_index_is_not_created(folder: IndexFolder) -> None:
    with pytest.raises(NoIndexError):
        status(folder)
    assert not folder.path.exists()
