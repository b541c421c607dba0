"""A search request: the query, the files to search, and how to rank and select the results.

The command line, saved queries, the evaluation and servers pass a :class:`SearchRequest` to
:class:`nmm.index.search.engine.SearchEngine`. Its JSON::

    {
      "query": {
        "terms": [
          {"text": "beach", "weight": 2.0},
          {"text": "golden hour", "phrase": true},
          {"image": "/photos/sunset.jpg"},
          {"file": "/notes/diary.md"},
          {"image_base64": "iVBORw0KGgo…", "weight": -1.0}
        ],
        "label": "2*beach + …",
        "exclude": ["/notes/diary.md"]
      },
      "limit": 10,
      "media": ["image", "text"],
      "filters": {
        "path_globs": ["holidays"], "after": "2023-01-01T00:00:00", "before": "2024-01-01T00:00:00",
        "near": {"latitude": 48.2, "longitude": 16.37, "radius_km": 5.0},
        "camera": "nikon", "min_width": 1000, "orientation": "landscape", "min_bytes": 100000,
        "extensions": ["jpg", "png"], "has_text": false, "tags": ["beach"]
      },
      "mode": "hybrid",
      "drop_weak": false,
      "min_score": 0.5,
      "collapse_duplicates": true,
      "raw_prompt": false,
      "mark_weak": true
    }

Only ``query`` with its ``terms`` is required. These names are stable: saved files and servers use
them. This module reads no file. Embedding the query reads the image or file of a term.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmm.index.errors import UsageError
from nmm.index.search import json_fields
from nmm.index.search.filters import NO_FILTERS, Filters, condition_of
from nmm.index.search.query import Query, SearchMode, Term, check_query
from nmm.index.store.catalog.types import KINDS, Kind

ALL_MEDIA: frozenset[Kind] = frozenset(KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A search request. Invalid values are refused when it is created.

    Attributes:
        query: The query, with its terms resolved to texts, images and files.
        limit: Maximum number of results.
        media: Kinds of files to search.
        filters: Conditions on the files to search.
        mode: How to rank the files. A query without words is ranked by meaning alone.
        drop_weak: Omit results that are weak.
        min_score: Omit results with a lower score.
        collapse_duplicates: Merge near-duplicate files into one result.
        raw_prompt: See :meth:`nmm.index.encoders.base.Model.prompt`.
        mark_weak: Determine for each result whether it is weak, which reads more of the index.

    Raises:
        UsageError: The query is empty or has no words although `mode` needs them, a filter is
            malformed, or a number is out of range.
    """

    query: Query
    limit: int = 10
    media: frozenset[Kind] = ALL_MEDIA
    filters: Filters = NO_FILTERS
    mode: SearchMode = SearchMode.HYBRID
    drop_weak: bool = False
    min_score: float | None = None
    collapse_duplicates: bool = True
    raw_prompt: bool = False
    mark_weak: bool = True

    def __post_init__(self) -> None:
        check_query(self.query)
        if self.mode is SearchMode.KEYWORD and not self.query.words.strip():
            raise UsageError(
                "The query has no words.",
                code="query-without-words",
                hint="Rank by meaning instead.",
            )
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise UsageError(
                "The minimum score is not a finite number.",
                code="min-score-invalid",
                hint="Scores are about 0 to 3; results below 1 are weak.",
            )
        if self.limit < 1:
            raise json_fields.invalid("limit", "a whole number, 1 or more")
        if not self.media or not self.media <= ALL_MEDIA:
            raise json_fields.invalid("media", f"some of {', '.join(KINDS)}")
        condition_of(self.filters)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The media, in the order in which results of equal rank are listed."""
        return tuple(kind for kind in KINDS if kind in self.media)

    def to_dict(self) -> dict[str, Any]:
        """Return the request as values of JSON and TOML; :meth:`from_dict` returns an equal one."""
        return {
            "query": _query_to_dict(self.query),
            "limit": self.limit,
            "media": list(self.kinds),
            "filters": self.filters.to_dict(),
            "mode": self.mode.value,
            "drop_weak": self.drop_weak,
            **({} if self.min_score is None else {"min_score": self.min_score}),
            "collapse_duplicates": self.collapse_duplicates,
            "raw_prompt": self.raw_prompt,
            "mark_weak": self.mark_weak,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], path: str = "") -> SearchRequest:
        """Read a request.

        Args:
            data: What :meth:`to_dict` returns, or a part of it with a query.
            path: Its path in a larger value, for errors.

        Raises:
            UsageError: A field is unknown, missing or has a value that makes no sense; the error
                names it.
        """
        found = json_fields.read(data, path, _READERS)
        json_fields.require(found, path, "query")
        return cls(**found)


def _query_to_dict(query: Query) -> dict[str, Any]:
    found: dict[str, Any] = {
        "terms": [_term_to_dict(term) for term in query.terms],
        "label": query.label,
    }
    return {**found, "exclude": list(query.exclude)} if query.exclude else found


def _term_to_dict(term: Term) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if term.file is not None:
        found["file"] = str(term.file)
    elif isinstance(term.image, bytes):
        found["image_base64"] = base64.b64encode(term.image).decode("ascii")
    elif term.image is not None:
        found["image"] = str(term.image)
    else:
        found["text"] = term.text
    if term.weight != 1:
        found["weight"] = float(term.weight)
    if term.phrase:
        found["phrase"] = True
    return found


def _read_query(value: Any, path: str) -> Query:
    readers = {
        "terms": json_fields.items(_read_term),
        "label": json_fields.text,
        "exclude": json_fields.texts,
    }
    found = json_fields.read(value, path, readers)
    json_fields.require(found, path, "terms")
    query = Query(**found)
    with json_fields.naming(path):
        check_query(query)
    return query


def _read_term(value: Any, path: str) -> Term:
    readers: dict[str, json_fields.Reader] = {
        "text": json_fields.text,
        "image": _path,
        "image_base64": _bytes,
        "file": _path,
        "weight": json_fields.number,
        "phrase": json_fields.boolean,
    }
    found = json_fields.read(value, path, readers)
    if len(found.keys() - {"weight", "phrase"}) != 1:
        raise json_fields.invalid(path, "one of a text, an image, an image_base64 and a file")
    if "image_base64" in found:
        found["image"] = found.pop("image_base64")
    return Term(**found)


def _path(value: Any, path: str) -> Path:
    name = json_fields.text(value, path)
    if not name or "\0" in name:
        raise json_fields.invalid(path, "the path of a file")
    return Path(name)


def _bytes(value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(json_fields.text(value, path), validate=True)
    except (binascii.Error, ValueError) as error:
        raise json_fields.invalid(path, "bytes in base64") from error


def _media(value: Any, path: str) -> frozenset[Kind]:
    found: frozenset[Kind] = frozenset(json_fields.items(json_fields.one_of(KINDS))(value, path))
    if not found:
        raise json_fields.invalid(path, f"a list of some of {', '.join(KINDS)}")
    return found


def _mode(value: Any, path: str) -> SearchMode:
    return SearchMode(json_fields.one_of([mode.value for mode in SearchMode])(value, path))


_READERS: Mapping[str, json_fields.Reader] = {
    "query": _read_query,
    "limit": json_fields.positive_integer,
    "media": _media,
    "filters": Filters.from_dict,
    "mode": _mode,
    "drop_weak": json_fields.boolean,
    "min_score": json_fields.number,
    "collapse_duplicates": json_fields.boolean,
    "raw_prompt": json_fields.boolean,
    "mark_weak": json_fields.boolean,
}
