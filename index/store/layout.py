"""The folder of an index, and the names of its files."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nmm.index.common.failpoints import failpoint
from nmm.index.errors import CatalogError, NoIndexError, UsageError


@dataclass(frozen=True)
class IndexFolder:
    """The folder of an index and the names of its files.

    Only `catalog.db` cannot be rebuilt; the files in `vectors` are derived from it.
    """

    path: Path

    @property
    def catalog(self) -> Path:
        return self.path / "catalog.db"

    @property
    def vectors(self) -> Path:
        return self.path / "vectors"

    @property
    def lock(self) -> Path:
        return self.path / "write.lock"

    @property
    def holder(self) -> Path:
        """Return the file that names the holder of the lock."""
        return self.path / "write.lock.json"

    @property
    def rebuild(self) -> IndexFolder:
        """Return the index that is being built to replace this one."""
        return IndexFolder(self.path / "rebuild")

    def owns(self, path: Path) -> bool:
        """Return whether a file is part of the index, which may lie inside an indexed folder."""
        if path.parent == self.path:
            return path.name.startswith((self.catalog.name, self.lock.name))
        if path.parent == self.vectors:
            return path.suffix == ".faiss"
        return path.is_relative_to(self.rebuild.path) and self.rebuild.owns(path)

    def delete(self) -> None:
        """Delete the index, and its folder if that is empty afterwards.

        Raises:
            CatalogError: A file cannot be deleted.
        """
        # The catalog first: without its write-ahead log it would seem to be sound.
        for path in [self.catalog, *self.path.glob("*"), *self.vectors.glob("*")]:
            if path.is_file() and self.owns(path):
                failpoint("store", "file to be deleted")
                try:
                    path.unlink()
                except OSError as error:
                    raise CatalogError(
                        f"The obsolete file {path} cannot be deleted.",
                        code="obsolete-file-not-deletable",
                        why=error.strerror or str(error),
                        hint="Delete it, and try again.",
                        path=path,
                    ) from error
        for folder in (self.vectors, self.path):
            with suppress(OSError):  # it does not exist, or holds other files
                folder.rmdir()

    def existing(self) -> IndexFolder:
        """Return this folder.

        Raises:
            NoIndexError: There is no index in it.
        """
        if not self.catalog.is_file():
            raise NoIndexError(
                f"There is no index in {self.path}.",
                code="index-missing",
                path=self.path,
            )
        return self

    def size(self) -> int:
        """Return the bytes that the index uses on disk."""
        return sum(_size(path) for path in self.path.rglob("*"))


def _size(path: Path) -> int:
    try:
        result = path.stat()
    except OSError:  # a writer has just deleted it
        return 0
    return result.st_size if stat.S_ISREG(result.st_mode) else 0


def index_folder(path: Path | None = None) -> IndexFolder:
    """Return the index at `path`, else in `NMM_INDEX`, else in the user's data directory."""
    if path is None and (named := os.environ.get("NMM_INDEX")):
        path = Path(named)
    if path is None:
        from platformdirs import user_data_path

        path = user_data_path("nmm", appauthor=False) / "index"
    return IndexFolder(path.expanduser().absolute())


def refuse_index_file(folder: IndexFolder, file: Path) -> None:
    """Refuse to write an export over a file of the exported index.

    Raises:
        UsageError: `file` is part of the index.
    """
    target = Path(os.path.realpath(file.expanduser()))
    if IndexFolder(Path(os.path.realpath(folder.path))).owns(target):
        raise UsageError(
            f"{file} is part of the index itself.",
            code="file-in-index",
            hint="Give another file.",
            path=file,
        )
