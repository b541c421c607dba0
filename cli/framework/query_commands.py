"""The command classes of `nmm search` and `nmm similar`."""

from __future__ import annotations

from nmm.cli.framework.optional_value import GalleryCommand
from nmm.cli.framework.saved_queries import QueryCommand
from nmm.cli.framework.search_history import RecordedCommand


class SearchCommand(GalleryCommand, QueryCommand):
    """A search for a query, which may be a saved one."""


class SimilarCommand(GalleryCommand, RecordedCommand):
    """A search for a file."""
