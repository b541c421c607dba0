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
from nmm.index.store.layout import IndexFolder


def main(folder: str, query: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        index = IndexFolder(Path(temporary))
        summary = build([Path(folder)], index, model="mini", offline=True)
        print(f"{summary.added} files indexed")
        with open_search(index) as search:
            for result in search.find(query, 3):
                print(f"{result.score:.2f}  {result.path}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
