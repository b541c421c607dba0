"""Create an index, bring it up to date, or rebuild it with another model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nmm.index.encoders.backend import Backend
from nmm.index.encoders.base import Encoder, Model
from nmm.index.encoders.provision import ensure_default_downloaded, prepare
from nmm.index.encoders.registry import DEFAULT
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.errors import ModelError, NoIndexError, StoppedError
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
from nmm.index.indexing.changed_scopes import resolve_changed_scopes
from nmm.index.indexing.finalize import finalize_index
from nmm.index.indexing.metadata_backfill import read_missing_metadata
from nmm.index.indexing.ocr_pass import read_words
from nmm.index.indexing.options import IndexOptions
from nmm.index.indexing.pipeline import Pipeline
from nmm.index.indexing.rebuild import (
    check_rebuildable,
    check_same_model,
    find_unfinished_rebuild,
    replace_index,
)
from nmm.index.indexing.request import IndexRequest, LoadedModels
from nmm.index.indexing.scopes import Coverage, Scope, mount_point, resolve, resolve_scopes
from nmm.index.store.catalog import ocr_text
from nmm.index.store.catalog.removal import empty_root, forget
from nmm.index.store.catalog.replacement import continue_from
from nmm.index.store.catalog.roots import adopt_root, set_mount
from nmm.index.store.catalog.types import Settings, locate
from nmm.index.store.catalog.writer import CatalogWriter, open_for_writing
from nmm.index.store.lock import Wait
from nmm.index.store.vectors.factory import open_vector_index

if TYPE_CHECKING:
    from nmm.index.store.layout import IndexFolder

__all__ = ["IndexRequest", "Indexer", "LoadedModels", "build"]


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
    models: LoadedModels | None = None,
) -> Summary:
    """Create an index or bring it up to date, with one call.

    Args:
        folder, on_event, stop, models: See :class:`Indexer`.
        paths, model, dimension, rebuild, offline, backend, options, wait, prune: See
            :class:`.request.IndexRequest`.

    Raises:
        NmmError: See :meth:`Indexer.run`.
    """
    request = IndexRequest(
        paths,
        model=model,
        dimension=dimension,
        rebuild=rebuild,
        prune=prune,
        wait=wait,
        offline=offline,
        backend=backend or Backend(),
        options=options or IndexOptions(),
    )
    return Indexer(folder, request, models=models, on_event=on_event, stop=stop).run()


class Indexer:
    """One run that creates, updates or rebuilds an index.

    Args:
        folder: The index.
        request: What the run is asked to do.
        models: The encoder is taken from here if it is the right one, and left here.
        on_event: Called with progress, from this thread and, for `FilesCounted`, from another.
        stop: Set it to end the run. The current batch is finished and committed.
    """

    def __init__(
        self,
        folder: IndexFolder,
        request: IndexRequest,
        *,
        models: LoadedModels | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> None:
        self._folder = folder
        self._request = request
        self._models = models or LoadedModels()
        self._on_event = on_event
        self._stop = stop or threading.Event()
        self._paths = [resolve(path) for path in request.paths]
        self._model = (
            find_model(request.model).with_dimension(request.dimension) if request.model else None
        )

    def run(self) -> Summary:
        """Create, update or rebuild the index, and return what was done.

        Raises:
            NoIndexError: The request has no paths, and there is no index.
            UsageError: The request has no paths, and the index no roots; or the model is not
                that of the index, and no rebuild was asked for.
            ModelError: The model cannot be downloaded or used, or has other weights now; or OCR
                was asked for, and is not installed.
            IndexLockedError: Another process writes to the index, and the request does not wait.
            StoppedError: `stop` was set while waiting for another process.
            CatalogError: The catalog cannot be read or written.
        """
        started = time.monotonic()
        request = self._request
        is_whole_run = request.changed is None
        if not request.paths:
            self._folder.existing()
        if request.options.ocr and is_whole_run:
            ocr.check_installed()
        with open_for_writing(self._folder, self._waiting() if request.wait else None) as writer:
            if request.options.ocr is not None and is_whole_run:
                ocr_text.set_reads_words(writer, request.options.ocr)
            try:
                summary = self._dispatch(writer)
            except _NotReadyError as error:
                summary = Summary(error.what, interrupted=True)
        ocr_seconds = summary.ocr.seconds if summary.ocr else 0
        summary.seconds = time.monotonic() - started - ocr_seconds
        return summary

    def create(self, writer: CatalogWriter) -> Summary:
        """Fill a new index, with the model asked for, the default one or its fallback."""
        request = self._request
        model = self._model
        if model is None and request.dimension:  # which the fallback does not have
            model = DEFAULT.with_dimension(request.dimension)
        if model is None:
            try:
                model = ensure_default_downloaded(
                    offline=request.offline, on_event=self._on_event, stop=self._stop
                )
            except StoppedError as error:
                raise _NotReadyError(DEFAULT.name, code="stopped-preparing") from error
        self._on_event(IndexCreated(model.name))
        encoder = self._load(model)
        writer.set_settings(settings_of(encoder))
        return self._index(writer, self._folder, encoder, self._paths)

    def update(self, writer: CatalogWriter, settings: Settings) -> Summary:
        """Bring an index up to date, with its own model."""
        encoder = self._load(model_of(settings))
        check(settings, encoder)
        if unfinished := find_unfinished_rebuild(writer, self._folder.rebuild):
            self._on_event(RebuildUnfinished(unfinished.model, unfinished.dimension))
        return self._index(writer, self._folder, encoder, self._paths)

    def rebuild(self, writer: CatalogWriter, settings: Settings) -> Summary:
        """Make the index again beside the old one, which answers until the new one is whole."""
        model = self._model or find_model(settings.model).with_dimension(
            self._request.dimension or settings.dimension
        )
        old = resolve_scopes(writer, [], prune=self._request.prune)
        check_rebuildable(old)
        encoder = self._load(model)
        self._on_event(RebuildStarted(model.name, settings.model))
        beside = self._folder.rebuild
        if find_unfinished_rebuild(writer, beside) not in {None, settings_of(encoder)}:
            beside.delete()
        roots = [Path(locate(str(root.path), start)) for root, start in old.scopes]
        with open_for_writing(beside) as new:
            continue_from(new, writer)
            new.set_settings(settings_of(encoder))
            for root in old.emptied:
                adopt_root(new, root.path)
            summary = self._index(new, beside, encoder, [*roots, *self._paths])
            if not summary.interrupted:
                ocr_text.copy_ocr_text(new, writer.file)
        summary.rebuild = True
        if not summary.interrupted:
            replace_index(writer, self._folder)
            covered = resolve_scopes(writer, [], prune=self._request.prune)
            self._read_words(writer, covered.scopes, covered.unmounted, summary)
        return summary

    def _waiting(self) -> Wait:
        return Wait(self._stop, lambda holder: self._on_event(WaitingForLock(str(holder or ""))))

    def _dispatch(self, writer: CatalogWriter) -> Summary:
        settings = writer.settings()
        if settings is None and self._request.changed is not None:
            path = self._folder.path
            raise NoIndexError(f"The index in {path} is empty.", code="index-empty", path=path)
        if settings is None:
            return self.create(writer)
        if self._request.rebuild:
            return self.rebuild(writer, settings)
        check_same_model(writer, settings, self._model, self._request.dimension)
        return self.update(writer, settings)

    def _load(self, model: Model) -> Encoder:
        loaded = self._models.encoder
        if loaded is not None and loaded.model == model:
            return loaded
        self._models.encoder = loaded = None  # there are never two in memory
        backend, stop = self._request.backend, self._stop
        try:
            prepare(
                model,
                backend=backend,
                offline=self._request.offline,
                on_event=self._on_event,
                stop=stop,
            )
            self._models.encoder = load_encoder(model, backend=backend, stop=stop)
        except StoppedError as error:
            raise _NotReadyError(model.name, code="stopped-preparing") from error
        return self._models.encoder

    def _load_ocr(self) -> ocr.Ocr:
        if self._models.ocr is None:
            self._models.ocr = ocr.load_ocr(self._request.backend.threads)
        return self._models.ocr

    def _index(
        self, writer: CatalogWriter, folder: IndexFolder, encoder: Encoder, paths: Sequence[Path]
    ) -> Summary:
        """Run the pipeline, then what follows from its vectors, then OCR."""
        covered = self._resolve_scopes(writer, paths)
        with open_vector_index(folder, writer).background(writer) as on_vectors:
            pipeline = Pipeline(
                writer,
                self._folder,
                encoder,
                self._request.options,
                self._on_event,
                self._stop,
                on_vectors,
            )
            summary = pipeline.recorder.summary
            pipeline.run(covered.scopes, unseen=covered.unmounted, gone=covered.gone)
            summary.removed += sum(forget(writer, path) for path in covered.deleted)
            summary.removed += sum(empty_root(writer, root) for root in covered.emptied)
        if not summary.interrupted:
            finalize_index(writer, folder, encoder)
            is_complete = read_missing_metadata(writer, self._on_event, self._stop)
            summary.interrupted = not is_complete
            # A rebuild takes over the words that were read before.
            if is_complete and folder == self._folder:
                self._read_words(writer, covered.scopes, pipeline.recorder.unseen, summary)
        return summary

    def _resolve_scopes(self, writer: CatalogWriter, paths: Sequence[Path]) -> Coverage:
        """Return what the run covers, and report what is not available."""
        if self._request.changed is None:
            covered = resolve_scopes(writer, paths, prune=self._request.prune)
        else:
            covered = resolve_changed_scopes(writer, self._request.changed, self._request.options)
        for path, mount in covered.away.items():
            self._on_event(RootMissing(str(path), str(mount) if mount else None))
        for root, point in covered.unmounted:
            self._on_event(MountMissing(locate(str(root.path), point)))
        for root in {root for root, _ in covered.scopes}:
            set_mount(writer, root, mount_point(root.path))
        return covered

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
                max_pixels=self._request.options.max_pixels,
                on_event=self._on_event,
                stop=self._stop,
                summary=summary,
            )
        except ModelError as error:
            if self._request.options.ocr:
                raise
            self._on_event(OcrUnavailable(error.why, error.code))


class _NotReadyError(StoppedError):
    """The run was stopped while its model was downloaded or compiled; `what` is its name."""
