"""The vector of a query of texts, images and whole files; and files similar to a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import searching
import typer
from numpy.typing import NDArray
from support import SAMPLE_DATA

from nmm.cli.app import app
from nmm.index.encoders.base import Task
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import ModelError, UsageError
from nmm.index.media.base import Chunking, UnitRequest
from nmm.index.media.identify import hash_file
from nmm.index.media.image.decode import decode
from nmm.index.search import engine as search_module
from nmm.index.search.engine import open_search
from nmm.index.search.image_files import find_image
from nmm.index.search.query import Query, Term
from nmm.index.search.query_embedding import QueryEmbedder
from nmm.index.search.query_syntax import parse
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import Calibration, Kind, Settings
from nmm.index.store.catalog.writer import CatalogWriter, ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder

# Parameters of a search about words and ranking modes.
ONLY_SEARCH = ("words", "images", "mode", "raw_prompt", "like")
CAT = SAMPLE_DATA / "photos" / "chelsea.jpg"
DIARY = SAMPLE_DATA / "notes" / "garden_diary.md"
ROOT = Path("/library").absolute()

# Error of a vector's component from half precision.
TOLERANCE = 1e-3


@pytest.fixture
def writer(folder: IndexFolder, mini: OnnxEncoder) -> Iterator[CatalogWriter]:
    """An index of the model mini, without files."""
    with open_for_writing(folder) as opened:
        opened.set_settings(Settings("mini", mini.model.dimension, mini.weights))
        adopt_root(opened, ROOT)
        for kind in ("image", "text"):
            opened.set_calibration(kind, Calibration(0.0, 1.0))
        yield opened


def embed_query(query: Query, encoder: OnnxEncoder, writer: CatalogWriter) -> NDArray[np.float32]:
    settings = Settings("mini", encoder.model.dimension, encoder.weights)
    return QueryEmbedder(lambda: encoder, settings, writer).embed(query)


def unit(dimension: int, *axes: int) -> NDArray[np.float32]:
    vector = np.zeros(dimension, np.float32)
    vector[list(axes)] = len(axes) ** -0.5
    return vector


def put(
    writer: CatalogWriter,
    file: Path,
    kind: Kind,
    vectors: list[NDArray[np.float32]],
    *names: str,
) -> None:
    """Add the content of a file to an index, with these vectors, under these names."""
    (root,) = writer.roots()
    with writer.batch():
        number = writer.add_content(Content(hashlib.sha256(file.read_bytes()).digest(), kind))
        for line, vector in enumerate(vectors, 1):
            row = ChunkRow(line, line, str(line)) if kind == "text" else ChunkRow()
            writer.add_chunk(number, kind, row, vector)
        for name in names:
            writer.put_file(root, name, 1, 2, status="indexed", content_id=number)


# Sums


def test_a_query_of_one_text_has_the_vector_of_the_text(
    writer: CatalogWriter, mini: OnnxEncoder
) -> None:
    expected = mini.embed_texts(["a cat on a piano"], Task.QUERY)[0]
    for line in ("a cat on a piano", '"a cat on a piano"', "2*a cat on a piano + 0*dog"):
        assert (embed_query(parse(line, find_image), mini, writer) == expected).all()


def test_terms_are_summed_with_their_weights(writer: CatalogWriter, mini: OnnxEncoder) -> None:
    cat, dog = mini.embed_texts(["cat", "dog"], Task.QUERY)
    expected = 2 * cat - 0.5 * dog
    expected /= np.linalg.norm(expected)
    for line in ("2*cat - 0.5*dog", "- 0.25e308*dog + 1e308*cat", "-1e-310*dog + 4e-310*cat"):
        found = embed_query(parse(line, find_image), mini, writer)
        assert found == pytest.approx(expected, abs=1e-6)
        assert np.linalg.norm(found) == pytest.approx(1)
    assert embed_query(parse("- cat"), mini, writer) == pytest.approx(-cat, abs=1e-6)


@pytest.mark.parametrize("line", ["cat - cat", "0*cat", "0*cat + 0*dog", "cat + dog - cat - dog"])
def test_terms_that_cancel_each_other_are_refused(
    line: str, writer: CatalogWriter, mini: OnnxEncoder
) -> None:
    with pytest.raises(UsageError) as raised:
        embed_query(parse(line, find_image), mini, writer)
    assert raised.value.what == f"The terms cancel each other out in: {line}"


# Images and files


def test_an_image_is_embedded_as_it_is_indexed(writer: CatalogWriter, mini: OnnxEncoder) -> None:
    pixels = to_pixels(decode(CAT.read_bytes(), side=mini.model.image.side).image, mini.model.image)
    expected = mini.embed_images(pixels[None])[0]
    for term in (Term(image=CAT), Term(image=CAT.read_bytes()), Term(file=CAT)):
        assert (embed_query(Query((term,)), mini, writer) == expected).all()


def test_indexed_files_are_not_embedded_again(writer: CatalogWriter, mini: OnnxEncoder) -> None:
    dimension = mini.model.dimension
    put(writer, CAT, "image", [unit(dimension, 3)], "cat.jpg")
    put(writer, DIARY, "text", [unit(dimension, n) for n in (5, 6)], "a.md", "b.md")
    for term in (Term(image=CAT), Term(image=CAT.read_bytes()), Term(file=CAT)):
        found = embed_query(Query((term,)), mini, writer)
        assert found == pytest.approx(unit(dimension, 3), abs=TOLERANCE)
    found = embed_query(Query((Term(file=DIARY),)), mini, writer)
    assert found == pytest.approx(unit(dimension, 5, 6), abs=TOLERANCE)


def test_a_content_without_a_file_is_embedded(writer: CatalogWriter, mini: OnnxEncoder) -> None:
    other = unit(mini.model.dimension, 3)
    expected = embed_query(Query((Term(image=CAT),)), mini, writer)
    put(writer, CAT, "image", [other])
    assert (embed_query(Query((Term(image=CAT),)), mini, writer) == expected).all()


def test_vectors_of_other_weights_are_not_used(writer: CatalogWriter, mini: OnnxEncoder) -> None:
    expected = embed_query(Query((Term(image=CAT),)), mini, writer)
    put(writer, CAT, "image", [unit(mini.model.dimension, 3)], "cat.jpg")
    writer.set_settings(Settings("mini", mini.model.dimension, "others"))
    assert (embed_query(Query((Term(image=CAT),)), mini, writer) == expected).all()


def test_a_text_that_is_not_in_the_index_is_the_mean_of_its_passages(
    tmp_path: Path, writer: CatalogWriter, mini: OnnxEncoder
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("The cat sleeps on the piano.")
    (expected,) = mini.embed_texts(["The cat sleeps on the piano."], Task.DOCUMENT)
    assert embed_query(Query((Term(file=short),)), mini, writer) == pytest.approx(expected)
    chunking = Chunking.for_index(mini.tokenizer, mini.model.chunk)
    units = hash_file(DIARY).read(UnitRequest(1, 1, chunking)).units
    passages = mini.embed_texts([str(unit.payload) for unit in units], Task.DOCUMENT)
    assert len(passages) > 10
    mean = passages.mean(axis=0) / np.linalg.norm(passages.mean(axis=0))
    found = embed_query(Query((Term(file=DIARY),)), mini, writer)
    assert found == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.txt", b"", "no text in it"),
        ("program", b"\x7fELF\0\0\1\2" * 100, "binary content"),
        ("broken.jpg", b"\xff\xd8\xff\xe0 and no more", "truncated JPEG"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str,
    content: bytes,
    reason: str,
    tmp_path: Path,
    writer: CatalogWriter,
    mini: OnnxEncoder,
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        embed_query(Query((Term(file=path),)), mini, writer)
    assert str(raised.value).startswith(f"The file {path} cannot be used as a query: {reason}")


def test_indexed_files_need_no_model(writer: CatalogWriter, mini: OnnxEncoder) -> None:
    put(writer, CAT, "image", [unit(mini.model.dimension, 3)], "cat.jpg")
    settings = Settings("mini", mini.model.dimension, mini.weights)

    def load() -> OnnxEncoder:
        raise ModelError("It is not here.")

    embedder = QueryEmbedder(load, settings, writer)
    for term in (Term(image=CAT), Term(file=CAT)):
        assert embedder.embed(Query((term,))).shape == (mini.model.dimension,)
    with pytest.raises(ModelError):
        embedder.embed(Query((Term(file=DIARY),)))


def test_a_file_itself_is_no_result_and_its_copy_is_one(
    folder: IndexFolder,
    writer: CatalogWriter,
    mini: OnnxEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search_module, "load_encoder", lambda *_, **__: mini)
    put(writer, DIARY, "text", [unit(mini.model.dimension, 5)] * 30, "a.md", "b.md")
    put(writer, CAT, "text", [unit(mini.model.dimension, 5, 6)], "c.md")
    query = Query((Term(file=DIARY),), exclude=(str(ROOT / "a.md"),))
    with open_search(folder) as search:
        for count, expected in [(1, ["b.md"]), (3, ["b.md", "c.md"])]:
            found = searching.find(search, query, count)
            assert [Path(one.path).name for one in found] == expected


# The command


def test_the_options_are_those_of_a_search() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    search, similar = (
        {parameter.name: parameter.opts for parameter in commands[name].params}
        for name in ("search", "similar")
    )
    assert similar.pop("file") == ["file"]
    assert similar == {name: opts for name, opts in search.items() if name not in ONLY_SEARCH}
    assert set(ONLY_SEARCH) <= set(search)
