"""Where an index lies, and what it is made of on disk."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nmm.index.errors import CatalogError, NoIndexError, UsageError


@dataclass(frozen=True)
class IndexFolder:
    """The folder of one index and the names in it.

    `catalog.db` is all there is to lose; what stands in `vectors` is derived from it.
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
        """Says who holds the lock."""
        return self.path / "write.lock.json"

    @property
    def rebuild(self) -> IndexFolder:
        """The index that is being made to take the place of this one."""
        return IndexFolder(self.path / "rebuild")

    def owns(self, path: Path) -> bool:
        """Whether a file is part of the index, which may lie among what is indexed."""
        if path.parent == self.path:
            return path.name.startswith((self.catalog.name, self.lock.name))
        if path.parent == self.vectors:
            return path.suffix == ".faiss"
        return path.is_relative_to(self.rebuild.path) and self.rebuild.owns(path)

    def delete(self) -> None:
        """Delete the index, and its folder if nothing else is in it.

        Raises:
            CatalogError: A file of it cannot be deleted.
        """
        # The catalog first: without its write-ahead log it could be taken for sound.
        for path in [self.catalog, *self.path.glob("*"), *self.vectors.glob("*")]:
            if path.is_file() and self.owns(path):
                sys.audit("nmm.store", "file to be deleted")
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
            with suppress(OSError):  # it is not there, or somebody else's files are in it
                folder.rmdir()

    def existing(self) -> IndexFolder:
        """This folder, if there is an index in it.

        Raises:
            NoIndexError: There is none.
        """
        if not self.catalog.is_file():
            raise NoIndexError(
                f"There is no index in {self.path}.",
                code="index-missing",
                path=self.path,
            )
        return self

    def size(self) -> int:
        """Bytes that the index takes on disk."""
        return sum(_size(path) for path in self.path.rglob("*"))


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except OSError:  # a writer has just deleted it
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def index_folder(path: Path | None = None) -> IndexFolder:
    """The index that is meant: `path`, else `NMM_INDEX`, else the user's data directory."""
    if path is None and (named := os.environ.get("NMM_INDEX")):
        path = Path(named)
    if path is None:
        from platformdirs import user_data_path

        path = user_data_path("nmm", appauthor=False) / "index"
    return IndexFolder(path.expanduser().absolute())


def not_within(folder: IndexFolder, file: Path) -> None:
    """Refuse to write an export over a part of the index that is exported.

    Raises:
        UsageError: It would.
    """
    target = Path(os.path.realpath(file.expanduser()))
    if IndexFolder(Path(os.path.realpath(folder.path))).owns(target):
        raise UsageError(
            f"{file} is part of the index itself.",
            code="file-in-index",
            hint="Give another file.",
            path=file,
        )
