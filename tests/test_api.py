"""The Python interface of an index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nmm.index import Index
from nmm.index.errors import NoIndexError, UsageError
from nmm.index.search.filters import Filters
from nmm.index.search.query import Query, SearchMode, Term
from nmm.index.search.query_syntax import parse
from nmm.index.search.request import SearchRequest
from nmm.index.search.response import SearchResponse


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "cat.txt").write_text("The cat sleeps on the piano.")
    (folder / "bread.txt").write_text("Knead the dough, and let it rise overnight.")
    return folder


def names(response: SearchResponse) -> list[str]:
    return [Path(result.path).name for result in response.results]


def test_an_index_is_made_searched_and_brought_up_to_date(tmp_path: Path, notes: Path) -> None:
    with Index(tmp_path / "index") as index:
        assert index.path == tmp_path / "index"
        assert index.add(notes, model="mini").added == 2
        response = index.search("a sleeping cat", limit=1)
        assert names(response) == ["cat.txt"]
        assert response.model == "mini"
        (notes / "dog.txt").write_text("The dog barks at the postman every morning.")
        assert index.add().added == 1
        assert names(index.search("a barking dog", limit=1)) == ["dog.txt"]
        assert index.status().texts == 3
        assert index.remove(notes / "dog.txt") == 1
        assert "dog.txt" not in names(index.search("a barking dog"))


def test_fields_of_a_request_are_keywords(tmp_path: Path, notes: Path) -> None:
    with Index(tmp_path / "index") as index:
        index.add(notes, model="mini")
        only = Filters(path_globs=("bread.txt",))
        assert names(index.search("a sleeping cat", filters=only)) == ["bread.txt"]
        assert names(index.search("dough", mode=SearchMode.KEYWORD)) == ["bread.txt"]
        assert names(index.search(parse("dough - cat"), limit=1)) == ["bread.txt"]
        request = SearchRequest(query=Query((Term(text="cat"),), "cat"), limit=1)
        assert names(index.search(request)) == ["cat.txt"]
        assert len(index.search(request, limit=2).results) == 2
        with pytest.raises(UsageError, match="limit"):
            index.search("cat", limit=0)


def test_many_queries_have_the_responses_of_single_ones(tmp_path: Path, notes: Path) -> None:
    with Index(tmp_path / "index") as index:
        index.add(notes, model="mini")
        queries = ["a cat", "baking bread", "music"]
        together = list(index.search_many(queries, limit=1))
        one_by_one = [index.search(query, limit=1) for query in queries]
        assert list(map(names, together)) == list(map(names, one_by_one))
        assert [one.request.query.label for one in together] == queries


def test_a_missing_index_is_an_error_and_is_not_created(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    with pytest.raises(NoIndexError):
        index.search("cat")
    with pytest.raises(NoIndexError):
        index.status()
    assert not (tmp_path / "index").exists()


def test_a_closed_index_opens_again(tmp_path: Path, notes: Path) -> None:
    index = Index(tmp_path / "index")
    index.add(notes, model="mini")
    index.close()
    assert names(index.search("a sleeping cat", limit=1)) == ["cat.txt"]
    index.close()


def test_the_package_is_imported_without_its_parts() -> None:
    code = (
        "import sys, nmm.index; from nmm.index import embed\n"
        "assert 'nmm.index.api' not in sys.modules\n"
        "from nmm.index import Index; assert 'nmm.index.api' in sys.modules\n"
        "assert not {'torch', 'numpy', 'faiss', 'PIL', 'onnxruntime'} & sys.modules.keys()\n"
        "try:\n    nmm.index.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "module 'nmm.index' has no attribute 'nothing'\n"
