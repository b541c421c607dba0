"""Requests and responses of a search: read, written, checked and answered."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import searching
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from support import SAMPLE_DATA, Nmm

from nmm.index.errors import UsageError
from nmm.index.search.engine import open_search
from nmm.index.search.filters import EmptyFilter, Filters, GeoCircle
from nmm.index.search.query import Query, SearchMode, Term
from nmm.index.search.request import ALL_MEDIA, SearchRequest
from nmm.index.search.response import IndexDamaged, KeywordsUnavailable, SearchResponse
from nmm.index.search.result import SearchResult
from nmm.index.store.catalog.types import KINDS
from nmm.index.store.layout import IndexFolder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CAT = SAMPLE_DATA / "photos" / "chelsea.jpg"
# TOML has integers of 64 bits.
SIZES = st.integers(1, 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TERMS = st.builds(
    Term,
    st.one_of(st.just(1.0), FLOATS),
    text=TEXTS,
    phrase=st.booleans(),
) | st.one_of(
    st.builds(Term, FLOATS, image=PATHS.map(Path)),
    st.builds(Term, FLOATS, image=st.binary(min_size=1)),
    st.builds(Term, FLOATS, file=PATHS.map(Path)),
)
TIMES = st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds"))
FILTERS = st.builds(
    Filters,
    path_globs=st.lists(st.sampled_from(["holidays", "*.md", "/a/[bc]?", "2023/*"])).map(tuple),
    after=st.none() | TIMES,
    before=st.none() | TIMES,
    near=st.none()
    | st.builds(GeoCircle, st.floats(-90, 90), st.floats(-180, 180), st.floats(0.001, 20_000)),
    camera=st.none() | TEXTS,
    min_width=st.none() | SIZES,
    orientation=st.none() | st.sampled_from(["landscape", "portrait", "square"]),
    min_bytes=st.none() | SIZES,
    extensions=st.lists(st.sampled_from(["jpg", "tar.gz"])).map(tuple),
    has_text=st.none() | st.booleans(),
    tags=st.lists(TEXTS).map(tuple),
)
QUERIES = st.builds(
    Query,
    # With a text of positive weight, every mode has something to search for.
    st.lists(TERMS).map(lambda terms: (Term(text="cat"), *terms)),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(PATHS).map(tuple),
)
REQUESTS = st.builds(
    SearchRequest,
    query=QUERIES,
    limit=SIZES,
    media=st.sets(st.sampled_from(KINDS), min_size=1).map(frozenset),
    filters=FILTERS,
    mode=st.sampled_from(SearchMode),
    drop_weak=st.booleans(),
    min_score=st.none() | FLOATS,
    collapse_duplicates=st.booleans(),
    raw_prompt=st.booleans(),
    mark_weak=st.booleans(),
)
RESULTS = st.builds(
    SearchResult,
    rank=SIZES,
    score=FLOATS,
    path=PATHS,
    type=st.sampled_from(KINDS),
    lines=st.none() | st.tuples(SIZES, SIZES),
    text=st.just("a cat"),
    width=st.none() | SIZES,
    height=st.none() | SIZES,
    spans=st.lists(st.tuples(SIZES, SIZES)).map(tuple),
    by_words=st.booleans(),
    weak=st.booleans(),
    copies=st.lists(PATHS).map(tuple),
)
RESPONSES = st.builds(
    SearchResponse,
    request=REQUESTS,
    model=st.just("mini"),
    results=st.lists(RESULTS, max_size=3).map(tuple),
    warnings=st.sampled_from([(), (KeywordsUnavailable(),), (IndexDamaged(("a", "b")),)]),
    empty_because=st.lists(
        st.builds(
            EmptyFilter,
            st.just(("camera", "tags")),
            SIZES,
            unread_images=SIZES,
            available=st.lists(TEXTS).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
)
CATS = {"query": {"terms": [{"text": "cats"}]}}


def phrases(request: SearchRequest) -> list[bool]:
    """Return whether the terms are phrases, which comparison ignores."""
    return [term.phrase for term in request.query.terms]


# Round trips


@given(REQUESTS)
def test_a_request_is_read_as_it_was_written(request: SearchRequest) -> None:
    written = request.to_dict()
    for data in (written, json.loads(json.dumps(written)), tomllib.loads(tomlkit.dumps(written))):
        found = SearchRequest.from_dict(data)
        assert found == request
        assert phrases(found) == phrases(request)


@given(RESPONSES)
def test_a_response_is_read_as_it_was_written(response: SearchResponse) -> None:
    written = response.to_dict()
    assert SearchResponse.from_dict(written) == response
    assert SearchResponse.from_dict(json.loads(json.dumps(written))) == response


def test_the_names_of_a_request_are_fixed() -> None:
    """Saved files and servers rely on them."""
    request = SearchRequest(
        query=Query(
            (
                Term(2, "beach"),
                Term(text="golden hour", phrase=True),
                Term(-1, image=Path("/photos/sunset.jpg")),
                Term(image=b"\x89PNG"),
                Term(file=Path("/notes/diary.md")),
            ),
            "2*beach",
            ("/notes/diary.md",),
        ),
        filters=Filters(
            path_globs=("holidays",),
            near=GeoCircle(48.2, 16.37, 5),
            min_bytes=10,
            extensions=("jpg",),
            has_text=False,
            tags=("beach",),
        ),
        min_score=0.5,
    )
    assert request.to_dict() == {
        "query": {
            "terms": [
                {"text": "beach", "weight": 2.0},
                {"text": "golden hour", "phrase": True},
                {"image": str(Path("/photos/sunset.jpg")), "weight": -1.0},
                {"image_base64": "iVBORw=="},
                {"file": str(Path("/notes/diary.md"))},
            ],
            "label": "2*beach",
            "exclude": ["/notes/diary.md"],
        },
        "limit": 10,
        "media": ["image", "text"],
        "filters": {
            "path_globs": ["holidays"],
            "near": {"latitude": 48.2, "longitude": 16.37, "radius_km": 5},
            "min_bytes": 10,
            "extensions": ["jpg"],
            "has_text": False,
            "tags": ["beach"],
        },
        "mode": "hybrid",
        "drop_weak": False,
        "min_score": 0.5,
        "collapse_duplicates": True,
        "raw_prompt": False,
        "mark_weak": True,
    }


def test_a_request_needs_only_a_query() -> None:
    request = SearchRequest.from_dict(CATS)
    assert request == SearchRequest(query=Query((Term(text="cats"),)))
    assert (request.limit, request.media, request.mode) == (10, ALL_MEDIA, SearchMode.HYBRID)


# Invalid requests


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 1.0}, "limit"),
        ({"k": 3}, "k"),
        ({"media": []}, "media"),
        ({"media": ["video"]}, "media[0]"),
        ({"media": "image"}, "media"),
        ({"mode": "both"}, "mode"),
        ({"mode": None}, "mode"),
        ({"drop_weak": 1}, "drop_weak"),
        ({"min_score": "1"}, "min_score"),
        ({"min_score": float("nan")}, "min_score"),
        ({"min_score": 10**400}, "min_score"),
        ({"query": "cats"}, "query"),
        ({"query": {}}, "query.terms"),
        ({"query": {"terms": []}}, "query"),
        ({"query": {"terms": [{}]}}, "query.terms[0]"),
        ({"query": {"terms": [{"text": "a", "image": "b"}]}}, "query.terms[0]"),
        ({"query": {"terms": [{"text": "a", "weight": "2"}]}}, "query.terms[0].weight"),
        ({"query": {"terms": [{"image": ""}]}}, "query.terms[0].image"),
        ({"query": {"terms": [{"image": "a\0b"}]}}, "query.terms[0].image"),
        ({"query": {"terms": [{"image_base64": "%"}]}}, "query.terms[0].image_base64"),
        ({"query": {"terms": [{"text": "a"}], "without": []}}, "query.without"),
        ({"filters": {"within": ["a"]}}, "filters.within"),
        ({"filters": {"path_globs": "a"}}, "filters.path_globs"),
        ({"filters": {"path_globs": ["a", 1]}}, "filters.path_globs[1]"),
        ({"filters": {"path_globs": ["[z-a]"]}}, "filters.path_globs"),
        ({"filters": {"after": "May"}}, "filters.after"),
        ({"filters": {"near": {"latitude": 1, "longitude": 2}}}, "filters.near.radius_km"),
        (
            {"filters": {"near": {"latitude": 91, "longitude": 2, "radius_km": 1}}},
            "filters.near",
        ),
        ({"filters": {"orientation": "round"}}, "filters.orientation"),
        ({"filters": {"min_width": 0}}, "filters.min_width"),
        ({"filters": {"min_bytes": -1}}, "filters.min_bytes"),
        ({"filters": []}, "filters"),
    ],
)
def test_an_invalid_field_is_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as raised:
        SearchRequest.from_dict({**CATS, **changed})
    assert named in raised.value.what.replace(":", "").rstrip(".").split()


@pytest.mark.parametrize("data", [{}, {"limit": 3}, [], "cats", None])
def test_a_request_without_a_query_is_refused(data: Any) -> None:
    with pytest.raises(UsageError):
        SearchRequest.from_dict(data)


@pytest.mark.parametrize(
    "changed",
    [
        {"query": Query(())},
        {"query": Query((Term(text=" "),))},
        {"query": Query((Term(float("inf"), "cat"),))},
        {"query": Query((Term(text="cat", image=b"x"),))},
        {"query": Query((Term(image=b"x"),)), "mode": SearchMode.KEYWORD},
        {"limit": 0},
        {"media": frozenset()},
        {"min_score": float("inf")},
        {"filters": Filters(after="May")},
    ],
)
def test_an_invalid_request_cannot_be_made(changed: dict[str, Any]) -> None:
    valid = SearchRequest(query=Query.of_text("cat"))
    with pytest.raises(UsageError):
        replace(valid, **changed)


# No disk access

UNTOUCHED = """
import json, os, sys
import nmm.index.media.registry
from nmm.index.search.query_syntax import format_terms, parse, parse_term
from nmm.index.search.request import SearchRequest
SearchRequest.from_dict(json.loads(sys.argv[1])).to_dict()  # what is imported late, is now
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(("open", "os.")) else None)
real = {name: getattr(os, name) for name in ("stat", "lstat", "scandir", "readlink")}
def watched(name, function):
    return lambda *given, **named: (seen.append(name), function(*given, **named))[1]

for name, function in real.items():
    setattr(os, name, watched(name, function))
request = SearchRequest.from_dict(json.loads(sys.argv[1]))
request.to_dict()
lines = sys.argv[2:]
queries = [parse(line) for line in lines]
terms = [parse_term(line) for line in lines]
text = [format_terms(query.terms) for query in queries]
print(json.dumps([seen, [[term.text for term in query.terms] for query in queries]]))
"""


def test_parsing_touches_no_disk() -> None:
    """A server parses requests of strangers, who must not learn what is on its disk."""
    data = {
        "query": {
            "terms": [{"image": str(CAT)}, {"file": str(CAT)}, {"text": str(CAT)}],
            "exclude": [str(CAT)],
        },
        "filters": {"path_globs": [str(CAT.parent), "~/x", "."], "camera": "x"},
    }
    lines = [str(CAT), f"{CAT} + at night", f"2*{CAT} - '~'", "~/cat.jpg"]
    done = subprocess.run(
        [sys.executable, "-c", UNTOUCHED, json.dumps(data), *lines],
        capture_output=True,
        text=True,
        check=True,
        cwd=CAT.parent,
    )
    seen, texts = json.loads(done.stdout)
    assert seen == []
    assert texts == [[str(CAT)], [str(CAT), "at night"], [str(CAT), "~"], ["~/cat.jpg"]]


# Responses


@pytest.fixture
def samples(indexed: tuple[Nmm, Path]) -> IndexFolder:
    return IndexFolder(indexed[1].parent / "index")


def test_a_request_that_was_written_and_read_gives_the_same_results(samples: IndexFolder) -> None:
    request = SearchRequest(
        query=Query((Term(text="animals"), Term(0.5, image=CAT)), "animals like this"),
        filters=Filters(extensions=("jpg",)),
        limit=3,
    )
    with open_search(samples) as engine:
        response = engine.search(request)
        again = engine.search(SearchRequest.from_dict(request.to_dict()))
    assert response == again
    assert (response.model, len(response.results), response.warnings) == ("mini", 3, ())
    assert SearchResponse.from_dict(response.to_dict()) == response


def test_many_requests_of_all_sorts_are_answered_as_single_ones(samples: IndexFolder) -> None:
    words = ("cat", "boats at night", "soup", "a letter", "coffee")
    changes: list[dict[str, Any]] = [
        {},
        {"limit": 2},
        {"media": frozenset({"text"})},
        {"mode": SearchMode.KEYWORD},
        {"mode": SearchMode.SEMANTIC, "raw_prompt": True},
        {"filters": Filters(extensions=("md",))},
        {"collapse_duplicates": False, "drop_weak": True},
    ]
    requests = [
        replace(SearchRequest(query=Query.of_text(text)), **change)
        for text in words
        for change in changes
    ]
    with open_search(samples) as engine:
        together = list(engine.search_many(requests))
    with open_search(samples) as engine:
        alone = [engine.search(request) for request in requests]
    assert [one.request for one in together] == requests
    for ours, theirs in zip(together, alone, strict=True):
        assert [r.path for r in ours.results] == [r.path for r in theirs.results]
        assert [r.score for r in ours.results] == pytest.approx(
            [r.score for r in theirs.results], abs=1e-4
        )


def test_no_requests_have_no_responses(samples: IndexFolder) -> None:
    with open_search(samples) as engine:
        assert list(engine.search_many([])) == []


def test_a_response_says_why_it_is_empty(samples: IndexFolder) -> None:
    with open_search(samples) as engine:
        nothing = searching.request("cat", filters=Filters(extensions=("exe",)))
        response = engine.search(nothing)
        files = len(engine.search(searching.request("cat", 1000)).results)
        assert response.empty_because == (EmptyFilter(("extensions",), files),)
        high = engine.search(replace(nothing, filters=Filters(), min_score=1000.0))
    assert (high.results, high.empty_because) == ((), ())


# Saved queries


@pytest.fixture
def saving(indexed: tuple[Nmm, Path], here: Nmm) -> Nmm:
    index = str(indexed[1].parent / "index")
    return lambda *arguments, **environ: here(*arguments, NMM_INDEX=index, **environ)


def test_a_saved_query_of_an_older_nmm_answers_as_its_options_do(
    saving: Nmm, configured: Any
) -> None:
    configured(
        "[saved.old]\n"
        "query = 'animals - boats'\n"
        "k = 3\ntype = 'image'\nadd = ['cat']\nin = ['photos']\nafter = 1990-01-01\n"
        "min-score = 0.1\nall = true\nrelevant = false\nmode = 'semantic'\njson = true\n"
    )
    typed = ["animals - boats", "-k", "3", "--type", "image", "--add", "cat", "--in", "photos"]
    typed += ["--after", "1990-01-01", "--min-score", "0.1", "--all", "--mode", "semantic"]
    expected = saving("search", *typed, "--json")
    assert expected.returncode == 0
    assert saving("search", "@old").stdout == expected.stdout
    more = saving("search", "@old", "--add", "dog", "-k", "1", "--jsonl")
    assert more.stdout == saving("search", *typed, "--add", "dog", "-k", "1", "--jsonl").stdout


def test_a_saved_format_goes_before_one_in_the_configuration(saving: Nmm, configured: Any) -> None:
    configured("[search]\njson = true\n[saved.cats]\nquery = 'cats'\npaths = true\n")
    assert saving("search", "@cats", "-k", "1").stdout.endswith(".jpg\n")
    assert json.loads(saving("search", "cats").stdout)["query"] == "cats"
    assert saving("search", "cats", "-k", "1", "--csv").stdout.startswith("query,rank")
    assert saving("search", "cats", NMM_SEARCH_CSV="1").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cats", "--after", "someday"], "someday"),
        (["cats", "--near", "1,2"], "1,2"),
        (["cats", "--min-score", "nan"], "minimum score"),
        (["cats", "--json", "--csv"], "Only one output format"),
        (["cats", "--format", "{scor}"], "scor"),
        (['"a + b'], "not closed"),
    ],
)
def test_a_query_that_a_search_refuses_is_not_saved(
    saving: Nmm, configured: Any, arguments: list[str], said: str
) -> None:
    file = configured("")
    done = saving("save", "cats", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert file.read_text() == ""
