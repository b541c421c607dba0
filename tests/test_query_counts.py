"""The work of `nmm search -`, in counts: files and models opened, model runs, statements.

Times depend on the machine; counts do not. The answers equal those of single searches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import searching
from numpy.typing import NDArray
from support import Nmm

from nmm.index.calibration import NEUTRAL_QUERIES
from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import QUERY_TOKENS_PER_RUN, OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.index_model import settings_of
from nmm.index.search import semantic
from nmm.index.search.engine import open_search
from nmm.index.search.filters import Filters
from nmm.index.search.prefetch import GROUP_SIZE
from nmm.index.search.query import Query, SearchMode, Term
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.sql_filters import Condition
from nmm.index.store.catalog.types import KINDS, Calibration, Kind
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors import segments

WORDS = ("cat", "dog", "boat", "house", "river", "garden", "letter", "winter", "engine", "bridge")
FILES = 60
# Of one query in words: a snapshot; what the index is made with (3); of each kind its generation,
# segments, scale, of how many that was measured, and the generation of its sample (5); what the
# files propose and where it lies (2 of each kind); words in three tables, and how many files there
# are (4); chunks of what words alone found, and what is shown (2); and what pictures look like.
STATEMENTS = 30
# For each result, the positions of the words in it.
STATEMENTS_PER_RESULT = 1

# Runs the command, and prints what it opened and executed, of statements without those that FTS5
# makes itself. What FAISS opens, it opens without Python, which cannot see it.
COUNTED = """
import json, sqlite3, sys
from collections import Counter
counts = Counter()

def counting(owner, name, what=lambda *a, **k: ""):
    real = getattr(owner, name)
    def count(*arguments, **more):
        counts[name + what(*arguments, **more)] += 1
        return real(*arguments, **more)
    setattr(owner, name, count)

import faiss
from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
counting(faiss, "read_index")
counting(OnnxEncoder, "_open", lambda self, file, *rest: ":" + file.name)
session = load_onnxruntime().InferenceSession
counting(session, "run", lambda self, outputs, fed: ":" + "+".join(fed))
connect = sqlite3.connect

def connected(*arguments, **more):
    connection = connect(*arguments, **more)
    counts["connect"] += 1
    connection.set_trace_callback(trace)
    return connection

def trace(statement):
    own = any(f"_words_{part}'" in statement for part in ("data", "idx", "docsize", "config"))
    if not (own or statement.startswith("--")):
        counts["statements"] += 1

sqlite3.connect = connected
from nmm.cli import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, counts]), file=sys.stderr)
"""


def fill(folder: IndexFolder, mini: OnnxEncoder) -> None:
    """Make an index of images and texts, two words each, with vectors in FAISS files."""
    names = [f"{one} {other}" for one in WORDS for other in WORDS][:FILES]
    vectors = mini.embed_texts([*names, *NEUTRAL_QUERIES], Task.QUERY)[:FILES]
    with open_for_writing(folder) as writer:
        writer.set_settings(settings_of(mini))
        root, _ = adopt_root(writer, Path("/library").absolute())
        with writer.batch():
            for number, (name, vector) in enumerate(zip(names, vectors, strict=True)):
                kind = KINDS[number % 2]
                content = writer.add_content(Content(b"%d" % number, kind))
                text = ChunkRow(1, 1, name) if kind == "text" else ChunkRow()
                writer.add_chunk(content, kind, text, vector)
                path = f"{name}.{'txt' if kind == 'text' else 'png'}"
                writer.put_file(root, path, 1, 2, status="indexed", content_id=content)
        for kind in KINDS:
            writer.set_calibration(kind, Calibration(0.1, 0.1))
        segments.refresh(writer, folder, mini.model.dimension)


@pytest.fixture
def filled(folder: IndexFolder, mini: OnnxEncoder, short_tail: None) -> IndexFolder:
    fill(folder, mini)
    return folder


def queries(count: int) -> list[str]:
    return [f"{WORDS[n % 10]} by the {WORDS[n // 10]}" for n in range(count)]


def counted(folder: IndexFolder, lines: Sequence[str]) -> dict[str, int]:
    """Return what `nmm search -` opens and executes for queries that wait on its input."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, "search", "-", "--jsonl", "--index", folder.path],
        input="".join(f"{line}\n" for line in lines),
        check=True,
        text=True,
        capture_output=True,
    )
    status, counts = json.loads(done.stderr.splitlines()[-1])
    assert (status, done.stderr.count("\n")) == (0, 1), done.stderr
    found: dict[str, int] = counts
    return found


def test_files_and_models_are_opened_once_however_many_queries_come(filled: IndexFolder) -> None:
    opened = ("read_index", "_open:text.onnx", "_open:vision.onnx", "connect")
    for count in (1, 40):
        counts = counted(filled, queries(count))
        assert [counts.get(name, 0) for name in opened] == [2, 1, 0, 1]


def test_queries_that_wait_are_embedded_together(filled: IndexFolder) -> None:
    assert counted(filled, queries(1))["run:ids+mask"] == 1
    # Those that came with the first bytes, which tell lines from an image, are a batch, too. Of a
    # group, all are in a run or two, for they have some six tokens each.
    assert 8 * GROUP_SIZE <= 2 * QUERY_TOKENS_PER_RUN
    assert counted(filled, queries(40))["run:ids+mask"] <= 2 * (40 // GROUP_SIZE + 2)


def test_the_statements_of_a_query_are_few(filled: IndexFolder) -> None:
    few, many = (counted(filled, queries(count))["statements"] for count in (5, 45))
    each = (many - few) / 40
    assert 10 <= each <= STATEMENTS + 10 * STATEMENTS_PER_RESULT


@pytest.mark.parametrize(("pattern", "scans"), [("*.txt", 0), ("garden bridge.txt", 1)])
def test_all_files_are_filtered_only_if_few_of_the_nearest_pass(
    filled: IndexFolder, pattern: str, scans: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter is evaluated once, for all queries that share it."""
    seen: list[str] = []
    real = semantic.passing_chunks

    def count(catalog: Catalog, kind: Kind, where: Condition) -> NDArray[np.int64]:
        seen.append(kind)
        return real(catalog, kind, where)

    monkeypatch.setattr(semantic, "passing_chunks", count)
    filters = Filters(path_globs=(pattern,))
    with open_search(filled) as search:
        for query in ("cat dog", "boat dog"):
            (found,) = searching.find(
                search, query, 1, ["text"], filters=filters, mode=SearchMode.SEMANTIC
            )
            assert fnmatch(Path(found.path).name, pattern)
    assert len(seen) == scans


# The same answers


def answers(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Return whether two answers are equal, with scores equal up to the last digits."""
    scores = [[one.pop("score") for one in answer["results"]] for answer in (ours, theirs)]
    assert np.abs(np.subtract(*scores)).max() < 1e-4
    return ours == theirs


@pytest.mark.parametrize("options", [(), ("--mode", "semantic"), ("--type", "image", "-k3")])
def test_queries_that_wait_are_answered_as_single_ones(
    indexed: tuple[Nmm, Path], options: tuple[str, ...]
) -> None:
    photo = indexed[1] / "photos" / "chelsea.jpg"
    lines = ["cat", "coffee - clock", "2*beach + dog", "letters from the sea", "chelsea"]
    lines += [f"{photo} + at night", '"winter harbour"', "x", "cat", "how to bake bread " * 20]
    done = indexed[0]("search", "-", "--json", *options, stdin="\n".join(lines))
    assert done.returncode == 0
    alone = [indexed[0]("search", line, "--json", *options).stdout for line in lines]
    expected = [json.loads(answer) for answer in alone]
    assert [one["query"] for one in expected] == [line.strip() for line in lines]
    for ours, theirs in zip(answers(done.stdout), expected, strict=True):
        assert same(ours, theirs)


def test_an_invalid_query_is_refused_after_those_before_it_are_answered(
    indexed: tuple[Nmm, Path],
) -> None:
    done = indexed[0]("search", "-", "--json", "-k1", stdin='cat\ndog\n"a + b\nboat\n')
    assert [answer["query"] for answer in answers(done.stdout)] == ["cat", "dog"]
    assert (done.returncode, done.stderr.count("not closed")) == (2, 1)


def test_a_query_of_nothing_is_refused_when_it_is_its_turn(filled: IndexFolder) -> None:
    """Only the vectors of the terms can show that they cancel each other out."""
    cat = Term(text="cat")
    nothing = Query((cat, replace(cat, weight=-1.0)))
    requests = [searching.request(query) for query in (Query((cat,)), nothing)]
    with open_search(filled) as engine:
        responses = engine.search_many(requests)
        assert next(responses).results
        with pytest.raises(UsageError, match="cancel each other out"):
            next(responses)
    with pytest.raises(UsageError, match="The query is empty"):
        searching.request(Query(()))


def test_files_indexed_meanwhile_are_found(nmm: Nmm, tmp_path: Path) -> None:
    """The next query sees it, even if it was sent together with others."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("A cat sleeps on the piano.")
    assert nmm("index", notes, "--model", "mini").returncode == 0
    with subprocess.Popen(
        [Path(sys.executable).with_name("nmm"), "search", "-", "--json", "--index", "index"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env=os.environ,
    ) as process:
        assert process.stdin
        assert process.stdout

        def ask(*lines: str) -> list[set[str]]:
            assert process.stdin
            assert process.stdout
            process.stdin.write("".join(f"{line}\n" for line in lines).encode())
            process.stdin.flush()
            found = [json.loads(process.stdout.readline()) for _ in lines]
            return [{Path(one["path"]).name for one in answer["results"]} for answer in found]

        assert ask("a cat", "piano") == [{"a.txt"}] * 2
        (notes / "b.txt").write_text("The piano was sold to a neighbour.")
        assert nmm("index").returncode == 0
        assert ask("a cat", "piano", "neighbour") == [{"a.txt", "b.txt"}] * 3
        process.stdin.close()
        assert process.wait() == 0
