"""A whole index with one vector per file, as the analysis commands use it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support import SAMPLE_DATA, Nmm

from nmm.index.analysis.collection import open_collection
from nmm.index.encoders.base import Task
from nmm.index.errors import NoIndexError
from nmm.index.search.filters import Filters
from nmm.index.store.catalog.file_vectors import content_vectors, first_passages
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder


@pytest.fixture(scope="module")
def samples(sample_home: Path) -> IndexFolder:
    return IndexFolder(sample_home / "index")


def test_all_files_are_there_in_the_order_of_their_paths(samples: IndexFolder) -> None:
    with open_collection(samples) as collection:
        paths = [item.path for item in collection.files]
        assert collection.model == "mini"
        assert not collection.emptied
    assert paths == sorted(paths)
    with Catalog.open(samples.catalog) as catalog:
        counts = catalog.file_counts()
    assert len(paths) == counts["image"] + counts["text"] > 20


def test_an_image_has_its_vector_and_a_text_the_mean_of_its_passages(samples: IndexFolder) -> None:
    with open_collection(samples) as collection:
        catalog = collection.catalog
        for number, item in enumerate(collection.files):
            ((_, vectors),) = catalog.vectors_of_content(item.hash)
            mean = vectors.mean(axis=0)
            expected = mean / np.linalg.norm(mean)
            assert np.allclose(collection.file_vectors[number], expected, atol=1e-6)
            assert item.kind == ("text" if Path(item.path).suffix != ".jpg" else "image")
            stat = Path(item.path).stat()
            assert (item.size, item.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
            assert bool(item.width) == (item.kind == "image")


def test_kinds_and_filters_select_files(samples: IndexFolder) -> None:
    with open_collection(samples, ["image"], Filters(path_globs=("photos",))) as collection:
        assert {Path(item.path).suffix for item in collection.files} == {".jpg"}
        assert len(collection.files) == len(list((SAMPLE_DATA / "photos").glob("*.jpg")))
    with open_collection(samples, KINDS, Filters(extensions=("mp3",))) as collection:
        assert (collection.files, collection.vectors.shape[0], collection.rows.shape) == (
            [],
            0,
            (0,),
        )
        assert [emptied.filters for emptied in collection.emptied] == [("extensions",)]


def test_embeddings_of_the_model_are_in_the_space_of_the_index(samples: IndexFolder) -> None:
    with open_collection(samples, ["image"]) as collection:
        query = collection.encoder.embed_texts(["a cat"], Task.QUERY)[0]
        best = collection.files[int((collection.file_vectors @ query).argmax())]
    assert Path(best.path).name == "chelsea.jpg"


def test_copies_share_a_row(nmm: Nmm, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.jpg", "a.jpg"):
        shutil.copyfile(SAMPLE_DATA / "photos" / "chelsea.jpg", folder / name)
    shutil.copyfile(SAMPLE_DATA / "photos" / "espresso.jpg", folder / "c.jpg")
    assert nmm("index", folder, "--model", "mini").returncode == 0
    with open_collection(IndexFolder(tmp_path / "index")) as collection:
        assert [Path(item.path).name for item in collection.files] == ["a.jpg", "b.jpg", "c.jpg"]
        first, second, third = collection.rows.tolist()
        assert first == second != third
        assert len(collection.vectors) == 2


def test_vectors_are_those_of_each_content_in_whatever_order(folder: IndexFolder) -> None:
    random = np.random.default_rng(0)
    with open_for_writing(folder) as writer:
        known = []
        with writer.batch():
            for number, passages in enumerate((1, 300, 2, 0, 9000)):
                content = writer.add_content(Content(b"%d" % number, "text"))
                rows = random.standard_normal((passages, 8)).astype(np.float32)
                for line, row in enumerate(rows):
                    writer.add_chunk(content, "text", ChunkRow(line, line, f"{number}.{line}"), row)
                known.append((content, rows.sum(axis=0)))
        known = [known[place] for place in (4, 1, 3, 0, 2)]
        found = content_vectors(writer, [content for content, _ in known])
        texts = dict(first_passages(writer, [content for content, _ in known]))
    lengths = [np.linalg.norm(total) for _, total in known]
    for row, (_, total), length in zip(found, known, lengths, strict=True):
        assert np.allclose(row, total / (length or 1), atol=2e-3)
    assert not found[2].any()
    assert sorted(texts.values()) == ["0.0", "1.0", "2.0", "4.0"]


def test_an_empty_index_is_said_to_be_empty(folder: IndexFolder) -> None:
    with open_for_writing(folder):
        pass
    with pytest.raises(NoIndexError, match="is empty"), open_collection(folder):
        pass
