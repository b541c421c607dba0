"""Keyword search: which files match, which passage is shown, and the order of results."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import searching
from support import Nmm

from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.indexing import indexer as build_module
from nmm.index.indexing.indexer import build
from nmm.index.maintenance.doctor import doctor
from nmm.index.search import engine as search_module
from nmm.index.search.engine import open_search
from nmm.index.search.fusion import fuse
from nmm.index.search.keyword import find_keywords
from nmm.index.search.keyword_query import keywords_of
from nmm.index.search.query import Query, SearchMode, Term
from nmm.index.search.result import SearchResult
from nmm.index.store.catalog.file_lookup import paths_of
from nmm.index.store.catalog.full_text import SHADOWS, WORD_TABLES
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import drop_orphans, forget
from nmm.index.store.catalog.roots import adopt_root, set_root_paths
from nmm.index.store.catalog.types import KINDS, Calibration, Kind, Settings
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder

NOTES = {
    "letters/invoice.txt": "Dear all,\ninvoice INV-2023-004 is due on 2023-05-01.\nYours, Björk",
    "letters/other.txt": "The invoices INV-2024-003 and INV-2023-005 were paid by the bank.",
    "recipes/soup.txt": "Crème brûlée is no soup. Take lentils, an onion and a lemon.",
    "garden/blight.txt": "Tomatoes have blight in a wet August; cut them down.",
    "NOTES_2021.md": "# Meetings\nNobody came, and nothing was said.",
}


def write_notes(folder: Path) -> Path:
    for name, text in NOTES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module", autouse=True)
def loaded(mini: OnnxEncoder) -> Iterator[None]:
    """Load the model once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (build_module, search_module):
            patch.setattr(module, "load_encoder", lambda *_, **__: mini)
        patch.setattr(build_module, "prepare", lambda *_, **__: None)
        yield


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Files of a test's own, not indexed yet."""
    return write_notes(tmp_path / "notes")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, loaded: None) -> IndexFolder:
    """An index of the notes. Read and copied, never changed."""
    home = tmp_path_factory.mktemp("kept")
    folder = IndexFolder(home / "index")
    build([write_notes(home / "notes")], folder)
    return folder


@pytest.fixture
def copied(kept: IndexFolder, folder: IndexFolder) -> IndexFolder:
    """A copy of it, to be damaged."""
    shutil.copytree(kept.path, folder.path)
    return folder


def find(
    folder: IndexFolder, query: str, mode: SearchMode = SearchMode.KEYWORD, count: int = 10
) -> list[SearchResult]:
    with open_search(folder) as search:
        return searching.find(search, query, count, mode=mode)


def names(results: Sequence[SearchResult]) -> list[str]:
    return [Path(result.path).name for result in results]


def marked(result: SearchResult) -> list[str]:
    return [(result.text or "")[first:last] for first, last in result.spans]


# Words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("INV-2023-004", ["INV-2023-004"]),
        ("inv yours", ["INV", "Yours"]),
        ("2023-05-01", ["2023-05-01"]),
        ("2023/05/01", ["2023-05-01"]),
        ("bjork", ["Björk"]),
        ("BJÖRK", ["Björk"]),
        ('"due on"', ["due on"]),
        ("due — 2023!?", ["due", "2023"]),
        ("invoice (INV-2023-004)", ["invoice", "INV-2023-004"]),
    ],
)
def test_a_text_is_found_by_its_words_which_are_marked(
    kept: IndexFolder, query: str, words: list[str]
) -> None:
    found = find(kept, query)
    assert names(found[:1]) == ["invoice.txt"]
    assert found[0].by_words
    assert sorted(set(marked(found[0]))) == sorted(words)
    assert found[0].score == 1


def test_a_code_is_a_phrase_and_not_its_parts(kept: IndexFolder) -> None:
    """The other letter contains INV, 2023 and 004 too, but not in a row."""
    assert names(find(kept, "INV-2023-005")) == ["other.txt"]
    assert names(find(kept, "INV-2023-003")) == []


def test_words_in_quotes_stand_in_a_row(kept: IndexFolder) -> None:
    assert names(find(kept, '"wet August"')) == ["blight.txt"]
    assert names(find(kept, '"August wet"')) == []
    assert names(find(kept, "August wet")) == ["blight.txt"]


def test_a_word_is_found_in_its_other_forms_but_not_by_a_part(kept: IndexFolder) -> None:
    assert set(names(find(kept, "invoice"))) == {"invoice.txt", "other.txt"}
    assert set(names(find(kept, "invoices"))) == {"invoice.txt", "other.txt"}
    assert names(find(kept, "voice")) == []


@pytest.mark.parametrize(
    "query",
    [
        'AND', "OR", "NOT", "NEAR(a b)", "text:soup", "^soup", "soup*", "-soup", "{text}: soup",
        '"', '""', '"soup', 'so"up', "'soup'", "soup AND", "(", ")", "*", "+", "a + ", "\0soup\0",
        "x" * 100_000, "word " * 5_000, "a-" * 10_000, "😀", "新年", "\ud800", "%s",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", [SearchMode.KEYWORD, SearchMode.HYBRID])
def test_nothing_in_a_query_is_syntax(kept: IndexFolder, query: str, mode: SearchMode) -> None:
    with open_search(kept) as search:
        asked = searching.request(Query((Term(text=query),)), mode=mode)
        response = search.search(asked) if query != "\ud800" else None
    found = response.results if response else ()
    assert not (response and response.warnings)
    if query in {"^soup", "soup*", "-soup", "'soup'", "\0soup\0", '"soup'}:
        assert names(found[:1]) == ["soup.txt"]
        assert found[0].by_words


def test_words_of_a_query() -> None:
    assert keywords_of('x "b c" X b-c — … "!" "') == ("x", "b c", "b-c")
    assert keywords_of("x" + "\ud800") == ("x?",)
    assert len(keywords_of(" ".join(map(str, range(1000))))) == 64


def test_stop_words_are_not_looked_for_beside_others() -> None:
    assert keywords_of("The cat is on a mat") == ("cat", "mat")
    assert keywords_of("to be or not to be") == ("to", "be", "or", "not")
    assert keywords_of('"the who" in concert') == ("the who", "concert")


# Where words are found


def test_a_file_is_found_by_its_name_and_its_folders(kept: IndexFolder) -> None:
    assert names(find(kept, "notes_2021")) == ["NOTES_2021.md"]
    assert names(find(kept, "letters other")) == ["other.txt"]
    assert names(find(kept, "kept0")) == []  # above the root
    (found,) = find(kept, "2021")
    assert found.by_words
    assert (found.lines, found.spans) == ((1, 2), ())


def test_a_root_that_is_a_file_is_found_by_its_name(notes: Path, folder: IndexFolder) -> None:
    build([notes / "NOTES_2021.md"], folder)
    assert names(find(folder, "2021")) == ["NOTES_2021.md"]
    assert names(find(folder, "notes")) == ["NOTES_2021.md"]
    with open_for_writing(folder) as writer:
        (root,) = writer.roots()
        set_root_paths(writer, {root: notes / "other.md"})
    assert names(find(folder, "other")) == ["other.md"]
    assert names(find(folder, "2021")) == []
    assert doctor(folder).sound
    with open_for_writing(folder) as writer:
        forget(writer, notes / "other.md")
    assert doctor(folder).sound
    # Found through its folder, under the name it has there.
    build([notes / "NOTES_2021.md"], folder)
    build([notes], folder)
    assert names(find(folder, "notes 2021")) == ["NOTES_2021.md"]
    assert doctor(folder).sound


def test_words_follow_files_that_are_renamed_changed_and_deleted(
    folder: IndexFolder, notes: Path
) -> None:
    build([notes], folder)
    (notes / "garden" / "blight.txt").rename(notes / "garden" / "rot.txt")
    (notes / "letters" / "invoice.txt").unlink()
    (notes / "recipes" / "soup.txt").write_text("Only water.")
    build([notes], folder)
    assert names(find(folder, "garden blight")) == ["rot.txt"]  # some files: garden, or blight
    assert names(find(folder, "rot")) == ["rot.txt"]
    assert names(find(folder, "INV-2023-004")) == []
    assert names(find(folder, "lentils")) == []
    assert names(find(folder, "water")) == ["soup.txt"]
    assert doctor(folder).sound
    with open_for_writing(folder) as writer:
        forget(writer, notes)
        drop_orphans(writer)
    assert find(folder, "water") == []
    assert doctor(folder).sound


def test_an_index_that_is_made_again_has_its_words(folder: IndexFolder, notes: Path) -> None:
    build([notes], folder)
    build([notes], folder, rebuild=True)
    assert names(find(folder, "INV-2023-004")) == ["invoice.txt"]
    assert doctor(folder).sound


# An index with given content


DIMENSION = 384


class Library:
    """An index without files on disk: their texts, and their similarity to the query."""

    def __init__(self, folder: IndexFolder, mini: OnnxEncoder, query: str) -> None:
        self.folder = folder
        self._query = mini.embed_texts([query], Task.QUERY)[0]
        self._random = np.random.default_rng(0)
        with open_for_writing(folder) as writer:
            writer.set_settings(Settings("mini", DIMENSION, mini.weights))
            for kind in KINDS:
                writer.set_calibration(kind, Calibration(0.0, 0.2))
            adopt_root(writer, Path("/library").absolute())

    def add(
        self, path: str, cosine: float, *passages: str, caption: str | None = None,
        words: str | None = None,
    ) -> None:  # fmt: skip
        kind: Kind = "text" if passages else "image"
        with open_for_writing(self.folder) as writer, writer.batch():
            content = writer.add_content(Content(path.encode(), kind, caption=caption))
            if words is not None:
                writer.connection.database.table("contents").update(content, {"words": words})
            for line, text in enumerate(passages, 1):
                chunk = ChunkRow(line, line, text)
                # The first passage is the nearest.
                writer.add_chunk(content, kind, chunk, self._vector(cosine - line / 1000))
            if not passages:
                writer.add_chunk(content, kind, ChunkRow(), self._vector(cosine))
            (root,) = writer.roots()
            writer.put_file(root, path, 1, 2, status="indexed", content_id=content)

    def _vector(self, cosine: float) -> Any:
        across = self._random.normal(size=DIMENSION).astype(np.float32)
        across -= (across @ self._query) * self._query
        across /= np.linalg.norm(across)
        return cosine * self._query + np.sqrt(1 - cosine**2) * across

    def change(self, sql: str) -> None:
        with open_for_writing(self.folder) as writer, writer.batch():
            writer.connection.execute(sql)


QUERY = "red boat"


@pytest.fixture
def library(folder: IndexFolder, mini: OnnxEncoder) -> Library:
    return Library(folder, mini, QUERY)


def test_a_picture_is_found_by_its_caption_and_by_the_words_in_it(library: Library) -> None:
    library.add("a.jpg", 0.1, caption="My red boat", words="")
    library.add("b.jpg", 0.1, words="SALE\nof a boat,\nred and blue")
    library.add("c.jpg", 0.1, caption="boat", words="Red Bull")
    library.add("d.jpg", 0.1, caption="a boat")
    found = {Path(result.path).name: result for result in find(library.folder, QUERY)}
    assert {name: (result.text, marked(result)) for name, result in found.items()} == {
        "a.jpg": ("My red boat", ["red", "boat"]),
        "b.jpg": ("SALE\nof a boat,\nred and blue", ["boat", "red"]),
        "c.jpg": ("boat\nRed Bull", ["boat", "Red"]),
    }
    assert all(result.lines is None and result.by_words for result in found.values())


def test_words_of_pictures_can_change(library: Library) -> None:
    library.add("a.jpg", 0.1)
    library.change("UPDATE contents SET words = 'red boat'")
    assert names(find(library.folder, QUERY)) == ["a.jpg"]
    library.change("UPDATE contents SET words = 'blue', caption = 'sea'")
    assert find(library.folder, QUERY) == []
    assert names(find(library.folder, "blue sea")) == ["a.jpg"]
    library.change("UPDATE contents SET words = NULL, caption = NULL")
    assert find(library.folder, "blue sea") == []
    assert doctor_of_words(library.folder) == "the full-text tables match the catalog"


def test_the_passage_in_which_the_words_stand_is_shown_with_the_files_score(
    library: Library,
) -> None:
    library.add("a.txt", 0.5, "near in meaning", "the boat was red", "a red red boat, a red boat")
    (found,) = find(library.folder, QUERY, SearchMode.HYBRID)
    assert (found.lines, found.text) == ((3, 3), "a red red boat, a red boat")
    assert marked(found) == ["red", "red", "boat", "red", "boat"]
    (near,) = find(library.folder, QUERY, SearchMode.SEMANTIC)
    assert (near.lines, near.text, near.spans, near.by_words) == (
        (1, 1),
        "near in meaning",
        (),
        False,
    )
    assert found.score == near.score


def test_words_spread_over_a_name_and_a_passage_are_not_all_in_one(library: Library) -> None:
    library.add("red.txt", 0.5, "a boat")
    (found,) = find(library.folder, QUERY, SearchMode.HYBRID)
    assert (found.by_words, found.spans) == (False, ())


def test_without_a_file_that_has_all_words_those_that_have_some_are_found(
    library: Library,
) -> None:
    library.add("a.txt", 0.5, "a boat")
    library.add("b.txt", 0.5, "nothing")
    (found,) = find(library.folder, QUERY)
    assert (names([found]), found.score, found.by_words) == (["a.txt"], 0.5, False)
    assert marked(found) == ["boat"]
    library.add("c.txt", 0.1, "Boats: a boat. It is red.")
    assert names(find(library.folder, QUERY)) == ["c.txt"]


def test_marks_do_not_depend_on_what_a_text_is_made_of(library: Library) -> None:
    text = "\ue000\ue001 red <b>\x1b[1m boat\x1b[0m</b> é\u0301 🚤 \u202ered\u202c \ue000"
    library.add("a.txt", 0.5, text)
    (found,) = find(library.folder, QUERY, SearchMode.HYBRID)
    assert (found.text, marked(found)) == (text, ["red", "boat", "red"])


# The order


def test_matching_by_both_beats_matching_better_by_one(library: Library) -> None:
    library.add("meaning.txt", 0.6, "a scarlet ship")
    library.add("both.txt", 0.5, "a red boat and other things that make this passage longer")
    library.add("words.txt", -0.2, "red boat red boat")
    library.add("neither.txt", 0.0, "a green hill")
    orders = {mode: names(find(library.folder, QUERY, mode)) for mode in SearchMode}
    assert orders == {
        SearchMode.SEMANTIC: ["meaning.txt", "both.txt", "neither.txt", "words.txt"],
        SearchMode.KEYWORD: ["words.txt", "both.txt"],
        SearchMode.HYBRID: ["both.txt", "words.txt", "meaning.txt", "neither.txt"],
    }


def test_hybrid_finds_in_its_first_results_more_than_either_half(library: Library) -> None:
    """Of five relevant files, two use other words, and two are far from the query."""
    for place in range(20):
        library.add(f"other{place:02}.txt", 0.30 - place / 100, "neither the one nor the other")
    answers = {
        "both.txt": 0.6,
        "meant1.txt": 0.55,
        "meant2.txt": 0.5,
        "far1.txt": 0.0,
        "far2.txt": 0,
    }
    for name, cosine in answers.items():
        words = "some other words" if name.startswith("meant") else "the red boat"
        library.add(name, cosine, words)
    recall = {
        mode: len(answers.keys() & set(names(find(library.folder, QUERY, mode, 5))))
        for mode in SearchMode
    }
    assert recall == {SearchMode.HYBRID: 5, SearchMode.SEMANTIC: 3, SearchMode.KEYWORD: 3}


def test_a_picture_that_fits_well_comes_before_texts_that_have_the_words(library: Library) -> None:
    for number in range(20):
        library.add(f"{number:02}.txt", 0.1 - number / 1000, f"a red boat, number {number}")
        library.add(f"{number:02}.jpg", -number / 1000)
    library.add("boat.jpg", 0.7)
    found = find(library.folder, QUERY, SearchMode.HYBRID, 3)
    assert names(found) == ["boat.jpg", "00.txt", "01.txt"]


def test_a_rare_code_comes_before_pictures_that_have_nothing_to_do_with_it(
    library: Library,
) -> None:
    for number in range(60):
        library.add(f"{number:02}.jpg", 0.2 - number / 1000)  # up to a score of 1
    for number in range(5):
        library.add(f"{number}.txt", 0.1, "nothing")
    library.add("code.txt", -0.1, "red boat")
    assert names(find(library.folder, QUERY, SearchMode.HYBRID, 3)) == [
        "code.txt",
        "00.jpg",
        "01.jpg",
    ]


def test_equal_files_are_in_the_order_of_their_paths(library: Library) -> None:
    for name in ("c.txt", "a.txt", "b.txt"):
        library.add(name, 0.5, "red boat")
    library.change("UPDATE vectors SET vector = (SELECT vector FROM vectors LIMIT 1)")
    for mode in SearchMode:
        found = find(library.folder, QUERY, mode)
        assert names(found) == ["a.txt", "b.txt", "c.txt"]
        assert [result.rank for result in found] == [1, 2, 3]


def test_without_words_a_hybrid_ranking_is_that_of_meaning(library: Library) -> None:
    for number in range(30):
        library.add(f"{number}.txt", 0.5 - number / 50, "nothing")
        library.add(f"{number}.jpg", 0.5 - number / 49)
    assert find(library.folder, QUERY, SearchMode.HYBRID) == find(
        library.folder, QUERY, SearchMode.SEMANTIC
    )


@pytest.mark.parametrize("mode", SearchMode)
def test_a_kind_that_is_not_asked_for_is_not_found(library: Library, mode: SearchMode) -> None:
    library.add("red boat.jpg", 0.5, caption="red boat")
    library.add("red boat.txt", 0.5, "red boat")
    with open_search(library.folder) as search:
        for kind in KINDS:
            assert [
                found.type for found in searching.find(search, QUERY, 10, [kind], mode=mode)
            ] == [kind]


def test_more_files_than_a_ranking_holds_are_still_known_by_their_words(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmm.index.search.keyword.MAX_MATCHES", 2)
    for number in range(5):
        library.add(f"{number}.txt", 0.5, "red boat " + "and more " * number)
    assert all(result.by_words for result in find(library.folder, QUERY, SearchMode.HYBRID))


def test_words_are_looked_for_among_files_that_pass_a_condition(library: Library) -> None:
    for name in ("in/red boat.jpg", "out/red boat.jpg"):
        library.add(name, 0.5, caption="red boat")
    for name in ("in/a.txt", "out/a.txt"):
        library.add(name, 0.5, "red boat")
    where = ("files.path GLOB ? AND contents.medium != ?", ("in/*", "nothing"))
    with Catalog.open(library.folder.catalog) as catalog:
        found = find_keywords(catalog, ["red", "boat"], KINDS, where)
        found.extend(catalog, [1, 2, 3, 4])
        paths = paths_of(catalog, found.best)
    root = Path("/library").absolute()
    assert {*paths.values()} == {str(root / "in" / name) for name in ("red boat.jpg", "a.txt")}


def test_ranks_are_fused_as_reciprocals() -> None:
    assert fuse([{7: 1, 5: 2, 6: 2, 9: 3}, {9: -5}]) == {
        7: 1 / 61, 5: 1 / 62, 6: 1 / 62, 9: 1 / 64 + 1 / 61,
    }  # fmt: skip


# Without a model, without words, without tables


def test_words_alone_need_no_model(kept: IndexFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(search_module, "load_encoder", load)
    assert names(find(kept, "INV-2023-004")) == ["invoice.txt"]


def test_a_search_by_words_needs_words(kept: IndexFolder) -> None:
    image = Query((Term(image=b"an image"),))
    with open_search(kept) as search:
        with pytest.raises(UsageError, match="The query has no words"):
            searching.find(search, image, mode=SearchMode.KEYWORD)
        assert searching.find(search, "?!", mode=SearchMode.KEYWORD) == []


@contextmanager
def opened(folder: IndexFolder) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder.catalog, isolation_level=None)) as connection:
        yield connection


def doctor_of_words(folder: IndexFolder) -> str:
    return next(finding.found for finding in doctor(folder).findings if finding.check == "words")


DAMAGES = [
    *(f"DELETE FROM {shadow}" for shadow in SHADOWS if shadow.endswith("data")),
    *(f"UPDATE {shadow} SET v = 99" for shadow in SHADOWS if shadow.endswith("config")),
    *(f"DROP TABLE {shadow}" for shadow in SHADOWS),
    *(f"DROP TABLE {table.name}" for table in WORD_TABLES),
    "UPDATE passage_words_data SET block = randomblob(length(block))",
    "UPDATE passage_words_data SET block = zeroblob(length(block)) WHERE id > 10",
    "DROP TRIGGER names_end",
    "DROP VIEW passages",
    "INSERT INTO passage_words (rowid, text) VALUES (999, 'invoice INV-2023-004')",
    "INSERT INTO name_words (rowid, name) VALUES (999, 'invoice INV-2023-004')",
    "DELETE FROM name_words WHERE rowid = 1",
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_word_tables_do_not_stop_a_search_and_are_rebuilt(
    copied: IndexFolder, damage: str
) -> None:
    before = find(copied, "invoice bank")
    with opened(copied) as connection:
        connection.execute(damage)
    for mode in SearchMode:
        found = find(copied, "invoice INV-2023-004", mode)
        assert found, mode
    assert "words" in [finding.check for finding in doctor(copied).findings if not finding.ok]
    report = doctor(copied, repair=True)
    assert report.sound
    assert [finding.check for finding in report.findings if finding.repaired] == ["words"]
    assert find(copied, "invoice bank") == before
    assert names(find(copied, "INV-2023-004")) == ["invoice.txt"]
    assert doctor(copied).sound


def test_words_that_cannot_be_found_are_damage(library: Library) -> None:
    """What leads to a page of words is only needed where there are several."""
    library.add("a.txt", 0.5, " ".join(f"word{number}" for number in range(3000)))
    with opened(library.folder) as connection:
        connection.execute("DELETE FROM passage_words_idx")
    assert doctor_of_words(library.folder) == "passage_words is not what the passages say"
    assert doctor(library.folder, repair=True).sound
    assert names(find(library.folder, "word2999")) == ["a.txt"]


def test_words_that_cannot_be_looked_up_are_told_and_made_again(nmm: Nmm, notes: Path) -> None:
    assert nmm("index", "--model", "mini", notes).returncode == 0
    index = IndexFolder(notes.parent / "index")
    with opened(index) as connection:
        connection.execute("DELETE FROM passage_words_data")
    done = nmm("search", "INV-2023-004", "--mode", "keyword", "--paths")
    assert len(done.stdout.splitlines()) == len(NOTES)  # by meaning
    assert done.stderr == (
        "Full-text search failed, so the ranking is by meaning alone. Rebuilding its tables.\n"
    )
    done = nmm("search", "INV-2023-004", "--mode", "keyword", "--json")
    assert done.stderr == ""
    (result,) = json.loads(done.stdout)["results"]
    assert (Path(result["path"]).name, result["score"]) == ("invoice.txt", 1)


def test_a_catalog_without_tables_of_words_gets_them_from_the_next_writer(
    copied: IndexFolder,
) -> None:
    with opened(copied) as connection:
        for table in WORD_TABLES:
            connection.execute(f"DROP TABLE {table.name}")
    with open_for_writing(copied):
        pass
    assert names(find(copied, "INV-2023-004")) == ["invoice.txt"]
    assert doctor(copied).sound


def test_the_doctor_reads_words_while_others_write(copied: IndexFolder) -> None:
    """It compares them in SQLite's temporary files; rows committed meanwhile stay."""
    with open_for_writing(copied) as writer, writer.batch():
        writer.connection.execute("UPDATE contents SET caption = 'new'")
        assert doctor_of_words(copied) == "the full-text tables match the catalog"
    assert doctor_of_words(copied) == "the full-text tables match the catalog"


def test_the_command_ranks_by_words_and_meaning(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("search", "Kazuo Ishiguro", "-k", "1", "--paths")
    assert Path(done.stdout.strip()).name == "books.csv"
    done = nmm("search", "a cup of coffee", "--paths", "-k", "3")
    assert [Path(path).name for path in done.stdout.splitlines()] == [
        "espresso.jpg",
        "espresso.md",
        "ATTRIBUTION.md",  # it contains the words of the query
    ]
    none = nmm("search", "Ishigurowski", "--mode", "keyword")
    assert none.returncode == 1
