"""Count what a run does, and report it as events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal, TypeAlias

from nmm.index.events import Event, FileProcessed, FileSkipped, Summary
from nmm.index.store.catalog.types import Root, locate

# What a commit changes for a file that has a content afterwards.
Change: TypeAlias = Literal["added", "updated", "unchanged"]


class RunRecorder:
    """Where all stages of a pipeline report to.

    Attributes:
        summary: The counts.
        unseen: Scopes that could not be walked: they may hold files that the run did not see.
    """

    def __init__(self, model: str, on_event: Callable[[Event], None]) -> None:
        self.summary = Summary(model)
        self.unseen: set[tuple[Root, str]] = set()
        self._on_event = on_event

    def unchanged(self, root: Root, path: str, *, is_indexed: bool) -> None:
        """Record a file that need not be read."""
        self.summary.unchanged += is_indexed
        self.processed(root, path)

    def processed(self, root: Root, path: str) -> None:
        """Record that a file was dealt with."""
        self._on_event(FileProcessed(locate(str(root.path), path)))

    def skipped(self, root: Root, path: str, reason: str) -> None:
        """Record a file or folder that could not be read."""
        skipped = FileSkipped(locate(str(root.path), path), reason)
        self.summary.skipped.append(skipped)
        self._on_event(skipped)

    def committed(self, changes: Counter[Change]) -> None:
        """Record what a commit has changed, for how many files."""
        self.summary.added += changes["added"]
        self.summary.updated += changes["updated"]
        self.summary.unchanged += changes["unchanged"]
