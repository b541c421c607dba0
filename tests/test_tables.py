"""Exported tables: in each format, the vectors of the catalog and what each belongs to."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import Nmm

from nmm.cli.console.hints import lines_of
from nmm.index.errors import NoIndexError, OutputError, UsageError
from nmm.index.maintenance.export_vectors import Dtype, Table, export_table
from nmm.index.store.catalog import connection as rows_module
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import KINDS, Settings
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder

DIMENSION = 16
FORMS = [Table.JSONL, Table.NPY, Table.PARQUET]


def unit_vectors(count: int) -> NDArray[np.float32]:
    found = np.random.default_rng(0).normal(size=(count, DIMENSION)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


SAID = {
    "taken_at": "2024-05-06T07:08:09",
    "latitude": 48.25,
    "longitude": -16.5,
    "camera": "Acme X100",
    "caption": "a größeres boat",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def filled(folder: IndexFolder, root: Path, monkeypatch: pytest.MonkeyPatch) -> IndexFolder:
    """An image, a text of three passages in two files, and a content without a file."""
    monkeypatch.setattr(rows_module, "VECTORS_PER_BLOCK", 2)
    vectors = iter(unit_vectors(5))
    with open_for_writing(folder) as writer, writer.batch():
        writer.set_settings(Settings("mini", DIMENSION, "0"))
        where, _ = adopt_root(writer, root)
        image = writer.add_content(Content(b"i", "image", 40, 30, *SAID.values()))
        writer.add_chunk(image, "image", ChunkRow(), next(vectors))
        writer.put_file(where, 'a "quoted"\n.png', 1, 2, status="indexed", content_id=image)
        loose = writer.add_content(Content(b"l", "text"))
        writer.add_chunk(loose, "text", ChunkRow(1, 1, "Loose"), next(vectors))
        text = writer.add_content(Content(b"t", "text"))
        for line in (1, 3, 5):
            chunk = ChunkRow(line, line + 1, f"Zeile {line}: größer\n\u2028 …")
            writer.add_chunk(text, "text", chunk, next(vectors))
        for name in ("sub/ü.txt", "b.txt"):
            writer.put_file(where, name, 1, 2, status="indexed", content_id=text)
    return folder


def expected(root: Path) -> list[dict[str, Any]]:
    """Return the rows, without the vectors."""
    nothing = dict.fromkeys(("width", "height", *SAID, "line_start", "line_end", "text"))
    image = {"width": 40, "height": 30, **SAID}
    passages = [
        {"line_start": line, "line_end": line + 1, "text": f"Zeile {line}: größer\n\u2028 …"}
        for line in (1, 3, 5)
    ]
    of_text = {"path": f"{root}/b.txt", "copies": [f"{root}/sub/ü.txt"], "type": "text"}
    return [
        {"path": f'{root}/a "quoted"\n.png', "copies": [], "type": "image", **nothing, **image},
        *({**of_text, **nothing, **passage} for passage in passages),
    ]


def halves() -> NDArray[np.float16]:
    """Return the table's vectors, as the catalog stores them."""
    found: NDArray[np.float16] = unit_vectors(5)[[0, 2, 3, 4]].astype(np.float16)
    return found


def read_parquet(file: Path) -> Any:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.ParquetFile(file)


def json_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1]]


def test_json_lines_hold_each_vector_and_what_it_is_of(
    filled: IndexFolder, root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "table.jsonl"
    assert export_table(filled, file, Table.JSONL) == 4
    lines = json_lines(file)
    vectors = np.array([line.pop("vector") for line in lines], np.float32)
    assert lines == expected(root)
    np.testing.assert_array_equal(vectors, halves().astype(np.float32))


@pytest.mark.parametrize("dtype", list(Dtype))
def test_a_matrix_has_its_rows_beside_it(
    filled: IndexFolder, root: Path, tmp_path: Path, dtype: Dtype
) -> None:
    file = tmp_path / "table.npy"
    assert export_table(filled, file, Table.NPY, dtype) == 4
    matrix = np.load(file, mmap_mode="r")
    assert (matrix.dtype, matrix.shape) == (np.dtype(dtype.value), (4, DIMENSION))
    np.testing.assert_array_equal(matrix, halves().astype(dtype.value))
    assert json_lines(tmp_path / "table.npy.jsonl") == expected(root)


@pytest.mark.parametrize("dtype", list(Dtype))
def test_parquet_has_a_column_for_each_field(
    filled: IndexFolder, root: Path, tmp_path: Path, dtype: Dtype
) -> None:
    file = tmp_path / "table.parquet"
    assert export_table(filled, file, Table.PARQUET, dtype) == 4
    opened = read_parquet(file)
    assert opened.num_row_groups == 2
    table = opened.read()
    number = "halffloat" if dtype is Dtype.FLOAT16 else "float"
    types = {field.name: str(field.type) for field in table.schema}
    assert types["vector"].startswith("fixed_size_list<")
    assert types["vector"].endswith(f": {number}>[{DIMENSION}]")
    flat = table.column("vector").combine_chunks().flatten().to_numpy()
    assert flat.dtype == np.dtype(dtype.value)
    np.testing.assert_array_equal(flat.reshape(4, -1), halves().astype(dtype.value))
    assert table.drop_columns(["vector"]).to_pylist() == expected(root)


def test_the_rows_are_the_vectors_of_the_catalog(indexed: tuple[Nmm, Path]) -> None:
    """From a real index: each searchable vector once, with its stored values."""
    nmm, samples = indexed
    file = samples.parent / "real.jsonl"
    said = json.loads(nmm("export", "real.jsonl", "--json").stdout)
    lines = json_lines(file)
    with Catalog.open(samples.parent / "index" / "catalog.db") as catalog:
        rows = [row for kind in KINDS for _, block in catalog.vectors(kind) for row in block]
    assert said == {
        "file": "real.jsonl",
        "format": "jsonl",
        "vectors": len(rows),
        "bytes": file.stat().st_size,
    }
    found = {np.array(line["vector"], np.float32).tobytes() for line in lines}
    assert (len(lines), found) == (len(rows), {row.tobytes() for row in rows})
    paths = {path for line in lines for path in (line["path"], *line["copies"])}
    assert paths <= {str(path) for path in samples.rglob("*")}
    assert {line["path"] for line in lines if line["type"] == "image"} == {
        line["path"] for line in lines if line["width"]
    }


@pytest.mark.parametrize("form", FORMS)
def test_memory_is_bounded(
    folder: IndexFolder, root: Path, tmp_path: Path, form: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With forty times the rows, no more of them are in memory at a time."""

    def peak(count: int) -> int:
        own = IndexFolder(folder.path / str(count))
        with open_for_writing(own) as writer, writer.batch():
            writer.set_settings(Settings("mini", 512, "0"))
            where, _ = adopt_root(writer, root)
            text = writer.add_content(Content(b"t", "text"))
            vector = np.full(512, 0.01, np.float32)
            for line in range(count):
                writer.add_chunk(text, "text", ChunkRow(line, line, f"{line} " * 50), vector)
            writer.put_file(where, "b.txt", 1, 2, status="indexed", content_id=text)
        monkeypatch.setattr(rows_module, "VECTORS_PER_BLOCK", 50)
        export_table(own, tmp_path / "warm", form)
        tracemalloc.start()
        export_table(own, tmp_path / f"table{count}", form)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(100), peak(4000)
    assert large < 1.5 * small + 500_000


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_replaced_by_a_complete_one_only(
    filled: IndexFolder, tmp_path: Path, form: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "table").write_text("old")
    with monkeypatch.context() as patch:
        # The second block has a vector that SQLite cannot read.
        with open_for_writing(filled) as writer:
            writer.connection.execute("UPDATE chunks SET text = CAST(x'ff' AS TEXT) WHERE id = 4")
        patch.setattr(rows_module, "VECTORS_PER_BLOCK", 1)
        with pytest.raises(Exception, match="catalog"):
            export_table(filled, out / "table", form)
    assert {path.name: path.read_text() for path in out.iterdir()} == {"table": "old"}
    with open_for_writing(filled) as writer:
        writer.connection.execute("UPDATE chunks SET text = 'right' WHERE id = 4")
    assert export_table(filled, out / "table", form) == 4
    beside = ["table.jsonl"] if form is Table.NPY else []
    assert sorted(path.name for path in out.iterdir()) == ["table", *beside]
    assert (out / "table").read_bytes() != b"old"


@pytest.mark.parametrize("form", FORMS)
def test_an_unwritable_destination_is_an_error(
    filled: IndexFolder, tmp_path: Path, form: Table
) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        export_table(filled, tmp_path / "missing" / "table", form)
    with pytest.raises(UsageError, match="part of the index itself"):
        export_table(filled, filled.catalog, form)


def test_an_index_without_vectors_has_no_table(folder: IndexFolder, tmp_path: Path) -> None:
    with open_for_writing(folder), pytest.raises(NoIndexError, match="is empty"):
        export_table(folder, tmp_path / "table", Table.JSONL)


def test_without_pyarrow_the_extra_is_named(
    filled: IndexFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow") as raised:
        export_table(filled, tmp_path / "table", Table.PARQUET)
    assert "python -m pip install 'nmm[parquet]'" in "\n".join(lines_of(raised.value))
    assert not (tmp_path / "table").exists()


@pytest.mark.parametrize(
    ("arguments", "form", "start"),
    [
        (["x.parquet"], "parquet", b"PAR1"),
        (["x.NPY"], "npy", b"\x93NUMPY"),
        (["x.jsonl"], "jsonl", b'{"path"'),
        (["x.zip"], "archive", b"PK"),
        (["x"], "archive", b"PK"),
        (["x.npy", "--format", "jsonl"], "jsonl", b'{"path"'),
        (["x.jsonl", "--format", "archive"], "archive", b"PK"),
    ],
)
def test_the_format_is_the_given_one_or_that_of_the_suffix(
    filled: IndexFolder, nmm: Nmm, tmp_path: Path, arguments: list[str], form: str, start: bytes
) -> None:
    done = nmm("export", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["format"] == form
    assert (tmp_path / arguments[0]).read_bytes().startswith(start)
