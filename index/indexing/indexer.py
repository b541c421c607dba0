"""Bringing an index up to date, or making it again with another model."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend
from nmm.index.encoders.base import Encoder, Model
from nmm.index.encoders.provision import ensure_default_downloaded, prepare
from nmm.index.encoders.registry import DEFAULT
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.errors import CatalogError, ModelError, NoIndexError, StoppedError, UsageError
from nmm.index.events import (
    Event,
    IndexCreated,
    MountMissing,
    OcrUnavailable,
    RebuildStarted,
    RebuildUnfinished,
    RootMissing,
    Summary,
    WaitingForLock,
)
from nmm.index.index_model import check, model_of, settings_of
from nmm.index.indexing import ocr
from nmm.index.indexing.changed_scopes import cover_changes
from nmm.index.indexing.finalize import derive
from nmm.index.indexing.metadata_backfill import read_missing_metadata
from nmm.index.indexing.ocr_pass import read_words
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.pipeline import Pipeline
from nmm.index.indexing.scopes import Coverage, Scope, cover, mount_point, resolve
from nmm.index.store.catalog import ocr_text
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.removal import empty_root, forget
from nmm.index.store.catalog.replacement import continue_from, replace_contents_with
from nmm.index.store.catalog.roots import adopt_root, set_mount
from nmm.index.store.catalog.types import Settings, locate
from nmm.index.store.catalog.writer import CatalogWriter, open_for_writing
from nmm.index.store.lock import Wait
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder


@dataclass
class Kept:
    """What was loaded last, for a caller who has more than one run."""

    encoder: Encoder | None = None
    ocr: ocr.Ocr | None = None


def build(
    paths: Sequence[Path],
    folder: IndexFolder,
    *,
    model: str | None = None,
    dimension: int | None = None,
    rebuild: bool = False,
    offline: bool = False,
    backend: Backend | None = None,
    options: IndexOptions | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
    stop: threading.Event | None = None,
    wait: bool = False,
    prune: bool = False,
    kept: Kept | None = None,
) -> Summary:
    """Bring an index up to what is on disk.

    Args:
        paths: Files and folders; if empty, all roots that the index has.
        folder: The index, made if it is not there.
        model: The model of a new index, or of a rebuilt one. None: that of the index; for a
            new one the default, or the built-in one if the hub cannot be reached.
        dimension: Length of its vectors, see :meth:`.registry.Model.with_dimension`.
        rebuild: Embed everything again, beside the index, and put it in its place once it
            is whole. A rebuild that was cut short is gone on with.
        offline: Download nothing.
        backend: What computes.
        options: How it is done.
        on_event: Told of progress, from this thread and, for `Counted`, from another.
        stop: Set it to end the run: the batch at hand is finished and committed.
        wait: Wait for another process that writes to the index.
        prune: Take out also what lies on a disk that is not mounted, or below a root that
            is not there; else that is kept, and told.
        kept: Where the encoder is taken from, if it is the right one, and left.

    Raises:
        UsageError: A path does not exist, there are neither paths nor roots, the model
            cannot have that dimension, or is not the index's and `rebuild` is not set.
        ModelError: The model is unknown, cannot be had or used, or has other weights now; or
            the words in pictures are to be read, and what reads them is not installed.
        IndexLockedError: Another process is writing to the index, and `wait` is not set.
        StoppedError: `stop` was set while waiting.
        CatalogError: The catalog cannot be read or written.
    """
    started = time.monotonic()
    todo = _Todo(
        [resolve(path) for path in paths],
        folder,
        offline,
        backend or Backend(),
        options or IndexOptions(),
        on_event,
        stop or threading.Event(),
        kept or Kept(),
        prune=prune,
    )
    asked = find_model(model).with_dimension(dimension) if model else None
    if not paths:
        folder.existing()
    if todo.options.ocr:
        ocr.check_installed()
    with open_for_writing(folder, todo.waiting() if wait else None) as writer:
        if todo.options.ocr is not None:
            ocr_text.set_reads_words(writer, todo.options.ocr)
        settings = writer.settings()
        try:
            if settings is None:
                summary = todo.make(writer, asked or _default(dimension))
            elif rebuild:
                row = asked or find_model(settings.model).with_dimension(
                    dimension or settings.dimension
                )
                summary = todo.rebuild(writer, settings, row)
            else:
                _check_asked(writer, settings, asked, dimension)
                summary = todo.update(writer, settings)
        except _NotReadyError as error:
            summary = Summary(error.what, interrupted=True)
    summary.seconds = time.monotonic() - started - (summary.ocr.seconds if summary.ocr else 0)
    return summary


def build_changed(
    changed: Collection[Path],
    folder: IndexFolder,
    *,
    kept: Kept,
    backend: Backend,
    options: IndexOptions,
    on_event: Callable[[Event], None],
    stop: threading.Event,
) -> Summary:
    """Bring an index up to date with some changes on disk, and look at nothing else.

    Waits for another process that writes to the index.

    Args:
        changed: Absolute paths of files and folders that are new, changed or gone. Those
            outside all roots, or left out by the walk of their root, change nothing.
        folder: The index.
        kept, backend, options, on_event, stop: As of :func:`build`.

    Raises:
        NoIndexError: There is no index any more.
        ModelError, StoppedError, CatalogError: As of :func:`build`.
    """
    started = time.monotonic()
    todo = _Todo(
        [], folder, True, backend, options, on_event, stop, kept, changed=frozenset(changed)
    )
    with open_for_writing(folder.existing(), todo.waiting()) as writer:
        settings = writer.settings()
        if settings is None:
            raise NoIndexError(
                f"The index in {folder.path} is empty.", code="index-empty", path=folder.path
            )
        try:
            summary = todo.update(writer, settings)
        except _NotReadyError as error:
            summary = Summary(error.what, interrupted=True)
    summary.seconds = time.monotonic() - started - (summary.ocr.seconds if summary.ocr else 0)
    return summary


class _NotReadyError(StoppedError):
    """The run was stopped while its model, whose name is `what`, was made ready."""


def _default(dimension: int | None) -> Model | None:
    """The default model if a dimension of it was asked for, which the fallback does not have."""
    return DEFAULT.with_dimension(dimension) if dimension else None


def _check_asked(
    catalog: Catalog, settings: Settings, asked: Model | None, dimension: int | None
) -> None:
    """Refuse another model than the index has, and say what it would take."""
    name = asked.name if asked else settings.model
    if name != settings.model:
        what = f"This index was made with the model {settings.model}, not {name}."
    elif dimension and dimension != settings.dimension:
        find_model(name).with_dimension(dimension)
        what = f"This index has vectors of {settings.dimension} dimensions, not {dimension}."
    else:
        return
    counts = catalog.file_counts()
    raise UsageError(
        what,
        code="index-other-model",
        why=f"{counts.get('image', 0)} images and {counts.get('text', 0)} texts "
        f"({catalog.vector_count('text')} passages) would be embedded again. Until that is "
        "done, the index answers as before.",
        model=name,
        dimension=dimension or 0,
    )


@dataclass(frozen=True)
class _Todo:
    """What a run was asked to do, whatever the state of the index."""

    present: Sequence[Path]
    folder: IndexFolder
    offline: bool
    backend: Backend
    options: IndexOptions
    on_event: Callable[[Event], None]
    stop: threading.Event
    kept: Kept = field(default_factory=Kept)
    prune: bool = False
    changed: frozenset[Path] | None = None

    def waiting(self) -> Wait:
        return Wait(self.stop, lambda holder: self.on_event(WaitingForLock(str(holder or ""))))

    def make(self, writer: CatalogWriter, asked: Model | None) -> Summary:
        """Fill a new index. `asked` is its model; None for the default or its fallback."""
        try:
            row = asked or ensure_default_downloaded(
                offline=self.offline, on_event=self.on_event, stop=self.stop
            )
        except StoppedError as error:
            raise _NotReadyError(DEFAULT.name, code="stopped-preparing") from error
        self.on_event(IndexCreated(row.name))
        encoder = self._load(row)
        writer.set_settings(settings_of(encoder))
        return self._index(writer, self.folder, encoder, self.present)

    def update(self, writer: CatalogWriter, settings: Settings) -> Summary:
        """Bring an index up to date, with the model that it has."""
        encoder = self._load(model_of(settings))
        check(settings, encoder)
        if left := _left_beside(writer, self.folder.rebuild):
            self.on_event(RebuildUnfinished(left.model, left.dimension))
        return self._index(writer, self.folder, encoder, self.present)

    def rebuild(self, writer: CatalogWriter, settings: Settings, row: Model) -> Summary:
        """Make an index again beside the old one, which answers until the new one is whole."""
        old = cover(writer, [], prune=self.prune)
        points = [locate(str(root.path), point) for root, point in old.unmounted]
        if away := [*map(str, old.away), *points]:
            raise UsageError(
                f"The index cannot be rebuilt while {away[0]} is not available.",
                code="rebuild-root-away",
                why="The new index would not contain its files.",
                hint="Mount its disk, or remove it from the index.",
                path=away[0],
            )
        encoder = self._load(row)
        self.on_event(RebuildStarted(row.name, settings.model))
        beside = self.folder.rebuild
        if _left_beside(writer, beside) not in {None, settings_of(encoder)}:
            beside.delete()
        roots = [Path(locate(str(root.path), start)) for root, start in old.scopes]
        with open_for_writing(beside) as new:
            continue_from(new, writer)
            new.set_settings(settings_of(encoder))
            for root in old.emptied:
                adopt_root(new, root.path)
            summary = self._index(new, beside, encoder, [*roots, *self.present])
            if not summary.interrupted:
                ocr_text.copy_ocr_text(new, writer.file)
        summary.rebuild = True
        if not summary.interrupted:
            sys.audit("nmm.store", "rebuild whole")
            open_vector_index(self.folder, writer).adopt(beside)
            sys.audit("nmm.store", "rebuild to be taken over")
            replace_contents_with(writer, beside.catalog)
            sys.audit("nmm.store", "rebuild taken over")
            with suppress(CatalogError):  # the next run deletes it
                beside.delete()
            open_vector_index(self.folder, writer).sync(writer)
            covered = cover(writer, [], prune=self.prune)
            self._read_words(writer, covered.scopes, covered.unmounted, summary)
        return summary

    def _load(self, row: Model) -> Encoder:
        if self.kept.encoder is None or self.kept.encoder.model != row:
            self.kept.encoder = None  # so that there are never two in memory
            self.kept.encoder = self._load_anew(row)
        return self.kept.encoder

    def _load_anew(self, row: Model) -> Encoder:
        try:
            prepare(
                row,
                backend=self.backend,
                offline=self.offline,
                on_event=self.on_event,
                stop=self.stop,
            )
            return load_encoder(row, backend=self.backend, stop=self.stop)
        except StoppedError as error:
            raise _NotReadyError(row.name, code="stopped-preparing") from error

    def _index(
        self, writer: CatalogWriter, folder: IndexFolder, encoder: Encoder, paths: Sequence[Path]
    ) -> Summary:
        covered = self._cover(writer, paths)
        for path, mount in covered.away.items():
            self.on_event(RootMissing(str(path), str(mount) if mount else None))
        for root, point in covered.unmounted:
            self.on_event(MountMissing(locate(str(root.path), point)))
        for root in {root for root, _ in covered.scopes}:
            set_mount(writer, root, mount_point(root.path))
        with open_vector_index(folder, writer).background(writer) as on_vectors:
            pipeline = Pipeline(
                writer, self.folder, encoder, self.options, self.on_event, self.stop, on_vectors
            )
            summary = pipeline.recorder.summary
            pipeline.run(covered.scopes, unseen=covered.unmounted, gone=covered.gone)
            summary.removed += sum(forget(writer, path) for path in covered.deleted)
            summary.removed += sum(empty_root(writer, root) for root in covered.emptied)
        if not summary.interrupted:
            derive(writer, folder, encoder)
            through = read_missing_metadata(writer, self.on_event, self.stop)
            summary.interrupted = not through
            if through and folder == self.folder:  # no rebuild, which takes over what was read
                self._read_words(writer, covered.scopes, pipeline.recorder.unseen, summary)
        return summary

    def _read_words(
        self,
        writer: CatalogWriter,
        scopes: Collection[Scope],
        unseen: Collection[Scope],
        summary: Summary,
    ) -> None:
        if not ocr_text.reads_words(writer):
            return
        try:
            read_words(
                writer,
                scopes,
                unseen,
                load=self._load_ocr,
                max_pixels=self.options.max_pixels,
                on_event=self.on_event,
                stop=self.stop,
                summary=summary,
            )
        except ModelError as error:
            if self.options.ocr:
                raise
            self.on_event(OcrUnavailable(error.why, error.code))

    def _load_ocr(self) -> ocr.Ocr:
        if self.kept.ocr is None:
            self.kept.ocr = ocr.load_ocr(self.backend.threads)
        return self.kept.ocr

    def _cover(self, writer: CatalogWriter, paths: Sequence[Path]) -> Coverage:
        if self.changed is None:
            return cover(writer, paths, prune=self.prune)
        return cover_changes(writer, self.changed, self.options)


def _left_beside(writer: CatalogWriter, beside: IndexFolder) -> Settings | None:
    """What a rebuild that was not finished is made with; None if there is none.

    One that has taken its place already, and was killed before it was tidied up, is deleted.
    """
    if not beside.catalog.is_file():
        if beside.path.exists():  # killed while it was deleted
            beside.delete()
        return None
    try:
        with Catalog.open(beside.catalog) as catalog:
            settings, rebuild = catalog.settings(), catalog.rebuild()
    except (CatalogError, NoIndexError):  # killed when it had hardly begun, or damaged
        settings = rebuild = None
    if settings is None or rebuild == writer.rebuild():
        beside.delete()
        return None
    return settings
