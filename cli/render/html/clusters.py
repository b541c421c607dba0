"""`nmm cluster --gallery`: an HTML page with a section per cluster and its central files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from nmm.cli.console.text import count, printable
from nmm.cli.render.clusters import count_kinds
from nmm.cli.render.html.gallery import cards, document
from nmm.index.search.result import Result

if TYPE_CHECKING:
    from nmm.index.analysis.clustering.clusters import Cluster
    from nmm.index.analysis.collection import FileCollection


def page(collection: FileCollection, clusters: Sequence[Cluster]) -> Iterator[str]:
    """Yield the page in parts."""
    files = sum(len(one.files) for one in clusters)
    summary = f"{count(files, 'file')} in {count(len(clusters), 'group')}" if files else "No groups"
    yield from document(
        "Groups", f"{summary}, with the model {collection.model}", _sections(collection, clusters)
    )


def _sections(collection: FileCollection, clusters: Sequence[Cluster]) -> Iterator[str]:
    from nmm.index.store.catalog.file_vectors import first_passages

    shown = [collection.files[file].content for one in clusters for file in one.central]
    texts = dict(first_passages(collection.catalog, shown))
    numbers = itertools.count(1)
    for one in clusters:
        kind_counts = count_kinds(collection, one)
        facts = ", ".join(
            count(number, kind[:-1]) for kind, number in kind_counts.items() if number
        )
        if len(one.central) < len(one.files):
            facts += f"; the {len(one.central)} most like it" if len(one.central) > 1 else ""
        results = (
            Result(
                next(numbers),
                0.0,
                file.path,
                file.kind,
                text=texts.get(file.content, "") if file.kind == "text" else None,
                width=file.width,
                height=file.height,
            )
            for file in (collection.files[position] for position in one.central)
        )
        yield f'<section><h2 dir="auto">{escape(printable(one.name))}</h2>\n'
        yield f'<p class="facts">{escape(facts)}</p>\n'
        yield from cards(results, one.name, scored=False)
        yield "</section>\n"
