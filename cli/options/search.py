"""Options of `nmm search` and `nmm similar`, and the requests made from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nmm.index.search.query import SearchMode
from nmm.index.search.request import SearchRequest

if TYPE_CHECKING:
    from nmm.index.search.filters import Filters
    from nmm.index.search.query import Query
    from nmm.index.store.catalog.types import Kind

LimitOption = Annotated[int, typer.Option("-k", min=1, metavar="N", help="Show at most N results.")]
AddOption = Annotated[
    list[str] | None,
    typer.Option("--add", metavar="TEXT|FILE", help="Add this text or image to the query."),
]
MinusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--minus", metavar="TEXT|FILE", help="Subtract this text or image from the query."
    ),
]
ModeOption = Annotated[
    SearchMode,
    typer.Option("--mode", help="Rank by meaning and keywords, or by one of them."),
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Print on stderr how the query is understood.")
]
DropWeakOption = Annotated[bool, typer.Option("--relevant", help="Omit weak results.")]
MinScoreOption = Annotated[
    float | None,
    typer.Option("--min-score", metavar="SCORE", help="Omit results with a lower score."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Show near-duplicates as separate results.")]
HistoryOption = Annotated[
    bool | None,
    typer.Option(
        "--history/--no-history",
        help="Record the search for nmm history, or do not. By default, searches typed at a "
        "terminal are recorded.",
    ),
]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw thumbnails in the terminal.")]
OpenOption = Annotated[
    bool, typer.Option("--open", help="Open the best result, or the gallery, in its viewer.")
]
GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        metavar="[FILE.html]",
        help="Write an HTML page of the results with thumbnails; - is standard output.",
    ),
]
CopyOption = Annotated[
    Path | None, typer.Option("--copy-to", metavar="DIR", help="Copy the results into DIR.")
]
LinkOption = Annotated[
    Path | None, typer.Option("--link-to", metavar="DIR", help="Link the results into DIR.")
]


class SearchOptions(NamedTuple):
    """The options that apply to every query of a run.

    Attributes:
        filters, kinds: Conditions on the files, and kinds of files.
        limit, drop_weak, min_score, mode, raw_prompt: See :class:`.SearchRequest`.
        show_all: Whether near-duplicates are separate results.
        mark_weak: Whether the output shows which results are weak.
    """

    filters: Filters
    kinds: list[Kind]
    limit: int
    drop_weak: bool
    min_score: float | None
    show_all: bool
    mark_weak: bool
    mode: SearchMode = SearchMode.HYBRID
    raw_prompt: bool = False

    def request(self, query: Query) -> SearchRequest:
        """Return the request for a query.

        Raises:
            UsageError: The request is invalid.
        """
        return SearchRequest(
            query=query,
            limit=self.limit,
            media=frozenset(self.kinds),
            filters=self.filters,
            mode=self.mode,
            drop_weak=self.drop_weak,
            min_score=self.min_score,
            collapse_duplicates=not self.show_all,
            raw_prompt=self.raw_prompt,
            mark_weak=self.mark_weak,
        )
