"""Index a folder with the built-in model and search it.

    python examples/python_search.py sample_data "a storm at sea"

The index is written to a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile

from nmm.index import Index


def main(folder: str, query: str) -> None:
    with tempfile.TemporaryDirectory() as temporary, Index(temporary) as index:
        summary = index.add(folder, model="mini", offline=True)
        print(f"{summary.added} files indexed")
        for result in index.search(query, limit=3).results:
            print(f"{result.score:.2f}  {result.path}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
