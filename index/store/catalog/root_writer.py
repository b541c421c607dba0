"""Roots, written: which folders an index is made of, and what is mounted where."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from nmm.index.store.catalog.transactions import BatchWriter
from nmm.index.store.catalog.types import Root, relative_to


class RootWriter(BatchWriter):
    """A catalog whose roots can be written."""

    def adopt_root(
        self, path: Path, reaches: Callable[[Path, Path], bool] = lambda _outer, _inner: True
    ) -> tuple[Root, str]:
        """The root that holds an absolute path, and the path relative to it.

        A path outside all roots becomes one. Roots below it are taken into it, so that
        no file stands in the catalog twice. `reaches` says of a folder and a path below
        it whether a walk of the one meets the other; where it does not, each is a root.
        """
        above = json.dumps([str(folder) for folder in (path, *path.parents)])
        holders = self._rows(
            "SELECT id, path FROM roots WHERE path IN (SELECT value FROM json_each(?)) "
            "ORDER BY length(path) DESC",
            (above,),
        )
        for root in [Root(number, Path(name)) for number, name in holders]:
            if root.path == path:
                self._absorb_roots_below(root, reaches)
                return root, ""
            if reaches(root.path, path):
                return root, relative_to(path, root)
        added_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        row = {"path": str(path), "added_at": added_at}
        with self.batch():
            new = Root(int(self._database.table("roots").insert(row).last_pk), path)  # type: ignore[arg-type]
            self._absorb_roots_below(new, reaches)
        return new, ""

    def _absorb_roots_below(self, outer: Root, reaches: Callable[[Path, Path], bool]) -> None:
        # What begins with the path and a separator sorts before the next character.
        prefix = str(outer.path).rstrip(os.sep)
        below = self._rows(
            "SELECT id, path FROM roots WHERE path > ? AND path < ? AND id != ?",
            (prefix + os.sep, prefix + chr(ord(os.sep) + 1), outer.id),
        )
        inner = [Root(number, Path(name)) for number, name in below]
        with self.batch():
            for root in inner:
                if reaches(outer.path, root.path):
                    relative = relative_to(root.path, outer)
                    self._take_mounts(root, outer)
                    self._database.execute(
                        # A path that stands there already was met through the outer root.
                        "UPDATE OR REPLACE files SET root_id = ?, path = CASE path "
                        "WHEN '' THEN ? ELSE ? || '/' || path END WHERE root_id = ?",
                        (outer.id, relative, relative, root.id),
                    )
                    self._database.table("roots").delete(root.id)

    def _take_mounts(self, inner: Root, outer: Root) -> None:
        """Keep for a root what is known of mount points in one that it takes in."""
        points = [inner.path / path for path in self.mounts(inner)]
        if (own := self.mount(inner)) and own != outer.path and own.is_relative_to(outer.path):
            points.append(own)
        for point in points:
            self.add_mount(outer, relative_to(point, outer))

    def move_roots(self, moves: Mapping[Root, Path]) -> None:
        """Put roots at other places, all at once; one may take the place that another had."""
        with self.batch():
            for root in moves:
                self._database.table("roots").update(root.id, {"path": f"\0{root.id}"})
            for root, path in moves.items():
                self._database.table("roots").update(root.id, {"path": str(path)})

    def set_mount(self, root: Root, point: Path | None) -> None:
        """Keep the mount point that a root lies on."""
        if self.mount(root) != point:
            with self.batch():
                row = {"mount": point and str(point)}
                self._database.table("roots").update(root.id, row)

    def add_mount(self, root: Root, path: str) -> None:
        """Keep that something is mounted on a folder below a root, relative to it."""
        with self.batch():
            self._database.execute("INSERT OR IGNORE INTO mounts VALUES (?, ?)", (root.id, path))

    def drop_mount(self, root: Root, path: str) -> None:
        """Forget that something was mounted there."""
        with self.batch():
            self._database.table("mounts").delete((root.id, path))
