"""A search response: results, the model that ranked them, warnings, and why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nmm.index.search import json_fields
from nmm.index.search.filters import EmptyFilter
from nmm.index.search.request import SearchRequest
from nmm.index.search.result import SearchResult


@dataclass(frozen=True, slots=True)
class IndexDamaged:
    """Search files are missing or damaged. Results are complete: they came from the catalog.

    The next run of `nmm index` or :func:`nmm.index.maintenance.repair.repair` rebuilds the files.

    Attributes:
        files: Their names.
    """

    code: ClassVar[str] = "index-damaged"
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeywordsUnavailable:
    """The full-text tables are damaged. The request was answered by meaning alone."""

    code: ClassVar[str] = "keywords-unavailable"


SearchWarning = IndexDamaged | KeywordsUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResponse:
    """The answer to a :class:`.SearchRequest`.

    Attributes:
        request: The request.
        model: The name of the index's model when it answered.
        results: Best first.
        warnings: Damage that the search found in the index.
        empty_because: The filters that exclude every file, if there are no results for that reason.
    """

    request: SearchRequest
    model: str
    results: tuple[SearchResult, ...] = ()
    warnings: tuple[SearchWarning, ...] = ()
    empty_because: tuple[EmptyFilter, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the response as values of JSON; :meth:`from_dict` returns an equal one."""
        return {
            "request": self.request.to_dict(),
            "model": self.model,
            "results": [result.to_dict() for result in self.results],
            "warnings": [
                {"code": warning.code, **json_fields.plain(warning)} for warning in self.warnings
            ],
            "empty_because": [each.to_dict() for each in self.empty_because],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SearchResponse:
        """Read what :meth:`to_dict` returns.

        Raises:
            UsageError: A field is unknown, missing or has a value that makes no sense.
        """
        readers: dict[str, json_fields.Reader] = {
            "request": SearchRequest.from_dict,
            "model": json_fields.text,
            "results": json_fields.items(SearchResult.from_dict),
            "warnings": json_fields.items(_read_warning),
            "empty_because": json_fields.items(EmptyFilter.from_dict),
        }
        found = json_fields.read(data, "", readers)
        json_fields.require(found, "", "request", "model")
        return cls(**found)


def _read_warning(value: Any, path: str) -> SearchWarning:
    codes = (IndexDamaged.code, KeywordsUnavailable.code)
    readers = {"code": json_fields.one_of(codes), "files": json_fields.texts}
    found = json_fields.read(value, path, readers)
    json_fields.require(found, path, "code")
    if found["code"] == KeywordsUnavailable.code:
        json_fields.read(value, path, {"code": json_fields.text})
        return KeywordsUnavailable()
    return IndexDamaged(found.get("files", ()))
