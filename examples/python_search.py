"""Index a folder with the built-in model and search it.

    python examples/python_search.py sample_data "a storm at sea"

The index is written to a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from nmm.index.indexing.indexer import build
from nmm.index.search.engine import open_search
from nmm.index.search.query import Query
from nmm.index.search.request import SearchRequest
from nmm.index.store.layout import IndexFolder


def main(folder: str, query: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        index = IndexFolder(Path(temporary))
        summary = build([Path(folder)], index, model="mini", offline=True)
        print(f"{summary.added} files indexed")
        request = SearchRequest(query=Query.of_text(query), limit=3)
        with open_search(index) as engine:
            for result in engine.search(request).results:
                print(f"{result.score:.2f}  {result.path}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
