"""How `nmm search` and `nmm similar` read their command lines."""

from __future__ import annotations

from nmm.cli.framework.optional_value import GalleryCommand
from nmm.cli.framework.saved_queries import QueryCommand
from nmm.cli.framework.search_history import NotedCommand


class SearchCommand(GalleryCommand, QueryCommand):
    """A query, which may be a saved one."""


class SimilarCommand(GalleryCommand, NotedCommand):
    """A file."""
