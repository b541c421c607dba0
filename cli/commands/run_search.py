"""Run `nmm search` and `nmm similar`: send requests to an engine, and responses to a presenter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from nmm.cli.console.exit_codes import Exit
from nmm.cli.framework.search_history import record_search
from nmm.cli.options.empty_filters import describe_empty
from nmm.index.common.tracing import span

if TYPE_CHECKING:
    from pathlib import Path

    from nmm.cli.options.filters import FilterOptions
    from nmm.cli.render.presenter import ResultPresenter
    from nmm.index.search.engine import SearchEngine
    from nmm.index.search.filters import EmptyFilter
    from nmm.index.search.request import SearchRequest
    from nmm.index.search.response import SearchWarning
    from nmm.index.store.layout import IndexFolder


def run_search(
    context: typer.Context,
    batches: Iterable[Sequence[SearchRequest]],
    presenter: ResultPresenter,
    considered: FilterOptions,
    *,
    several: bool,
    index_path: Path | None,
    explain: bool,
    history: bool | None,
    quiet: bool,
) -> None:
    """Answer requests, show the results, and repair damage that the searches found.

    Args:
        context: The command's context.
        batches: The requests, in batches as they arrive.
        presenter: Shows the results.
        considered: The filters as they were typed.
        several: Whether there may be several requests.
        index_path: Folder of the index.
        explain: Whether to print how each query is understood.
        history: Whether to record the search; None records what a person types.
        quiet: Whether to print only results and errors.
    """
    from nmm.index.common.numpy_threads import import_numpy_single_threaded

    import_numpy_single_threaded()
    with span("import nmm.index.search.engine"):
        from nmm.index.search.engine import open_search
        from nmm.index.store.layout import index_folder

    def note(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    found = False
    warnings: set[SearchWarning] = set()
    empty: tuple[EmptyFilter, ...] = ()
    folder = index_folder(index_path)
    with open_search(
        folder,
        once=not several,
        on_compile=lambda: note("Preparing the model for this machine, once."),
    ) as engine:
        for requests in batches:
            asked = _explained(requests, engine) if explain else requests
            for request, response in zip(asked, engine.search_many(requests), strict=True):
                results, label = response.results, request.query.label
                found = found or bool(results)
                warnings.update(response.warnings)
                empty = response.empty_because
                record_search(context, label, len(results), wanted=history, several=several)
                with span("results printed"):
                    presenter.show(label, response.model, results)
    if warnings:
        _repair(folder, warnings, quiet=quiet)
    if not found:
        for line in describe_empty(empty, considered):
            note(line)
        raise typer.Exit(Exit.NOTHING_FOUND)
    if presenter.failed:
        raise typer.Exit(Exit.SOME_SKIPPED)


def _explained(requests: Iterable[SearchRequest], engine: SearchEngine) -> Iterator[SearchRequest]:
    """Yield requests; print how each is understood before it is answered."""
    from nmm.cli.render.explain import explanation

    for request in requests:
        typer.echo(explanation(request, engine), err=True)
        yield request


def _repair(folder: IndexFolder, warnings: Collection[SearchWarning], *, quiet: bool) -> None:
    """Rebuild damaged derived data after the queries were answered without it."""
    from nmm.index.maintenance.repair import repair
    from nmm.index.search.response import KeywordsUnavailable

    if not quiet:
        typer.echo(
            "Full-text search failed, so the ranking is by meaning alone. Rebuilding its tables."
            if KeywordsUnavailable() in warnings
            else "A search file was missing or damaged. Results came from the catalog; rebuilding "
            "the file.",
            err=True,
        )
    repair(folder)
