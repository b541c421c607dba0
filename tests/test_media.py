"""The contract of media readers, which every registered medium fulfils; and a custom medium."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import searching
from PIL import Image
from support import SAMPLE_DATA

from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import MediaError, NotMediaError, UnreadableError
from nmm.index.indexing.indexer import LoadedModels, build
from nmm.index.maintenance.archive import export_archive, import_archive
from nmm.index.maintenance.doctor import doctor
from nmm.index.maintenance.status import status
from nmm.index.media import registry
from nmm.index.media.base import (
    HEAD_BYTES,
    Chunking,
    FileContent,
    Locator,
    MediaInfo,
    MediaReader,
    Modality,
    Unit,
    UnitRequest,
)
from nmm.index.media.identify import hash_file
from nmm.index.media.registry import READERS, by_suffix, reader_for
from nmm.index.media.source import Source
from nmm.index.search.engine import open_search
from nmm.index.search.result import SearchResult
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.layout import IndexFolder


def encoded(format_: str, **options: Any) -> bytes:
    stream = BytesIO()
    Image.effect_noise((90, 60), 40).convert("RGB").save(stream, format_, **options)
    return stream.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


# Files of every medium, by kind: a new medium adds its own.
SAMPLES: dict[str, dict[str, bytes]] = {
    "image": {
        "photo.jpg": (SAMPLE_DATA / "photos" / "chelsea.jpg").read_bytes(),
        "turned.jpg": turned(),
        "noise.png": encoded("PNG"),
        "noise.webp": encoded("WEBP"),
        "small.gif": encoded("GIF"),
    },
    "text": {
        "diary.md": (SAMPLE_DATA / "notes" / "garden_diary.md").read_bytes(),
        "page.html": b"<html><body><h1>Tea</h1><p>A cup of tea.</p></body></html>",
        "short.txt": b"tea",
        "wide.txt": "Grüße aus Wien.\n".encode("utf-16"),
        "long.txt": b"".join(b"Line %d is about tea.\n" % n for n in range(60_000)),
    },
}
CASES = [(reader, name) for reader in READERS for name in SAMPLES.get(reader.kind, {})]
every_sample = pytest.mark.parametrize(
    ("reader", "name"), CASES, ids=[f"{reader.kind}: {name}" for reader, name in CASES]
)


@pytest.fixture(scope="module")
def request_(mini: OnnxEncoder) -> UnitRequest:
    chunking = Chunking.for_index(mini.tokenizer, mini.model.chunk)
    return UnitRequest(mini.model.image.side, 10**8, chunking)


def write(folder: Path, reader: MediaReader, name: str) -> Path:
    path = folder / name
    path.write_bytes(SAMPLES[reader.kind][name])
    return path


def source_of(path: Path) -> Source:
    return hash_file(path).source


def test_every_medium_has_samples_a_name_and_suffixes_of_its_own() -> None:
    kinds = [reader.kind for reader in READERS]
    assert sorted(kinds) == sorted(set(kinds))
    assert set(SAMPLES) == set(kinds), "add files of the medium to SAMPLES"
    suffixes = [suffix for reader in READERS for suffix in reader.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in suffixes)
    for reader in READERS:
        assert reader.modalities
        assert reader.max_bytes is None or reader.buffered_bytes <= reader.max_bytes
        assert all(by_suffix(Path(f"A{suffix.upper()}")) is reader for suffix in reader.suffixes)


@every_sample
def test_a_reader_claims_its_own_files_under_any_name(reader: MediaReader, name: str) -> None:
    head = SAMPLES[reader.kind][name][:HEAD_BYTES]
    assert reader.sniff(head)
    assert reader_for(head, Path(name)) is reader
    assert reader_for(head, Path("without suffix")) is reader
    others = [other for other in READERS if other is not reader]
    assert [other.kind for other in others if other.sniff(head)] == []


@every_sample
def test_what_a_reader_describes_is_what_it_reads(
    tmp_path: Path, reader: MediaReader, name: str, request_: UnitRequest
) -> None:
    source = source_of(write(tmp_path, reader, name))
    content = reader.read(source, request_)
    assert content.info == reader.describe(source)
    units = list(content.units)
    assert units
    for unit in units:
        assert unit.modality in reader.modalities
        assert isinstance(unit.payload, str) == (unit.modality == "text")
        if not isinstance(unit.payload, str):
            assert unit.payload.mode == "RGB"
    if reader.kind == "image":
        whole = reader.read(source, UnitRequest(None, 10**8, request_.chunking))
        (unit,) = whole.units
        assert not isinstance(unit.payload, str)
        assert unit.payload.size == (content.info.width, content.info.height)


@every_sample
def test_every_unit_has_a_place(
    tmp_path: Path, reader: MediaReader, name: str, request_: UnitRequest
) -> None:
    source = source_of(write(tmp_path, reader, name))
    places = [unit.locator for unit in reader.read(source, request_).units]
    assert all(isinstance(place, Locator) for place in places)
    if len(places) > 1:
        assert Locator() not in places, "of several units each is somewhere"
    for place in places:
        first, last = place.lines or (1, 1)
        assert 1 <= first <= last
        assert place.page is None or place.page >= 1
        assert place.time_ms is None or place.time_ms >= 0


@every_sample
def test_a_thumbnail_is_small_or_there_is_none(
    tmp_path: Path, reader: MediaReader, name: str
) -> None:
    found = reader.thumbnail(source_of(write(tmp_path, reader, name)), 32)
    assert (found is not None) == ("image" in reader.modalities)
    if found is not None:
        assert found.mode == "RGB"
        assert max(found.size) == 32


@every_sample
def test_a_hashed_file_can_be_pickled_and_read_elsewhere(
    tmp_path: Path, reader: MediaReader, name: str, request_: UnitRequest
) -> None:
    hashed = hash_file(write(tmp_path, reader, name))
    again = pickle.loads(pickle.dumps(hashed))
    assert again == hashed
    assert again.kind == reader.kind
    assert again.is_genuine
    here, there = (list(one.read(request_).units) for one in (hashed, again))
    assert [unit.locator for unit in here] == [unit.locator for unit in there]
    assert [unit.payload for unit in here] == [unit.payload for unit in there]


@every_sample
def test_a_damaged_file_raises_a_media_error_or_is_read(
    tmp_path: Path, reader: MediaReader, name: str, request_: UnitRequest
) -> None:
    data = SAMPLES[reader.kind][name]
    path = tmp_path / name
    for cut in (0, 1, 7, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with suppress(MediaError):  # and nothing else
            hashed = hash_file(path)
            list(hashed.read(request_).units)
            hashed.reader.describe(hashed.source)


def test_a_large_file_that_changes_after_it_was_hashed_is_unreadable(
    tmp_path: Path, request_: UnitRequest
) -> None:
    for reader, name in CASES:
        path = write(tmp_path, reader, name)
        hashed = hash_file(path)
        os.utime(path, ns=(0, 1))
        units = hashed.read(request_).units
        if hashed.source.data is None:
            with pytest.raises(UnreadableError):
                list(units)
        else:
            assert list(units), "it was read once, and is in memory"
    assert any(len(SAMPLES[reader.kind][name]) > reader.buffered_bytes for reader, name in CASES), (
        "no sample is large"
    )


@pytest.mark.parametrize(
    "content",
    [b"%PDF-1.7\n", b"\x7fELF\x02\x01\x01" + bytes(60), bytes(range(256)) * 40, b"", b" \n\t\n"],
    ids=["pdf", "program", "all bytes", "empty", "white space"],
)
def test_unknown_media_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NotMediaError):
        hash_file(tmp_path / "file")


def test_a_text_under_the_name_of_an_image_is_not_genuine(
    tmp_path: Path, request_: UnitRequest
) -> None:
    (tmp_path / "a.png").write_text("A note about tea.")
    hashed = hash_file(tmp_path / "a.png")
    assert (hashed.kind, hashed.is_genuine) == ("image", False)
    with pytest.raises(MediaError, match="not an image"):
        hashed.read(request_)


@dataclass(frozen=True)
class PagesReader:
    """A toy medium: two or more pages of one line each, divided by form feeds."""

    kind: str = "pages"
    modalities: frozenset[Modality] = frozenset({"text"})
    suffixes: frozenset[str] = frozenset({".pages"})
    max_bytes: int | None = 1 << 20
    buffered_bytes: int = 1 << 20

    def sniff(self, head: bytes) -> bool:
        return head.startswith(b"PAGES\n")

    def inspect(self, file: BinaryIO) -> str:
        return "ascii"

    def describe(self, source: Source) -> MediaInfo:
        return MediaInfo()

    def read(self, source: Source, request: UnitRequest) -> FileContent:
        def units() -> Iterator[Unit]:
            with source.open() as file:
                text = file.read().decode(source.form).removeprefix("PAGES\n")
            for number, page in enumerate(text.split("\f"), start=1):
                yield Unit("text", page, Locator(page=number, lines=(number + 1, number + 1)))

        return FileContent(MediaInfo(), units())

    def thumbnail(self, source: Source, side: int) -> Image.Image | None:
        return None


def test_a_registered_medium_is_indexed_and_found(
    tmp_path: Path, folder: IndexFolder, mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path.resolve() / "root"
    root.mkdir()
    pages = b"PAGES\nA recipe for apple pie.\fThe train to Vienna leaves at nine."
    (root / "a.pages").write_bytes(pages)
    (root / "b without suffix").write_bytes(pages)
    (root / "large.pages").write_bytes(pages * 20_000)
    monkeypatch.setattr(registry, "READERS", (PagesReader(), *READERS))
    summary = build([root], folder, model="mini", models=LoadedModels(mini))
    assert summary.added == 2
    assert [skipped.reason for skipped in summary.skipped] == ["a pages file of more than 1 MiB"]
    assert status(folder).files == 2
    with open_search(folder) as search:
        results = searching.find(search, "when does the train leave?", 2)
    assert [Path(result.path).name for result in results] == ["a.pages", "b without suffix"]
    assert {result.lines for result in results} == {(3, 3)}
    assert {result.locator for result in results} == {Locator(page=2, lines=(3, 3))}


@dataclass(frozen=True)
class IllustratedReader(PagesReader):
    """A medium with an image and a text on each page, as a PDF has; pages last a second each."""

    kind: str = "illustrated"
    modalities: frozenset[Modality] = frozenset({"image", "text"})

    def read(self, source: Source, request: UnitRequest) -> FileContent:
        def units() -> Iterator[Unit]:
            with source.open() as opened:
                text = opened.read().decode(source.form).removeprefix("PAGES\n")
            for number, page in enumerate(text.split("\f"), start=1):
                place = Locator(page=number, time_ms=1000 * number)
                name, _, passage = page.partition(":")
                with Image.open(SAMPLE_DATA / "photos" / name) as file:
                    photo = file.convert("RGB")
                yield Unit("image", photo, place)
                yield Unit("text", passage, place)

        return FileContent(MediaInfo(), units())


def test_a_medium_with_images_and_texts_is_stored_found_and_moved(
    tmp_path: Path, folder: IndexFolder, mini: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path.resolve() / "root"
    root.mkdir()
    pages = "bricks.jpg:A recipe for apple pie.\fespresso.jpg:The train to Vienna leaves at nine."
    (root / "a.pages").write_text(f"PAGES\n{pages}", newline="")
    monkeypatch.setattr(registry, "READERS", (IllustratedReader(), *READERS))
    assert build([root], folder, model="mini", models=LoadedModels(mini)).added == 1
    export_archive(folder, tmp_path / "index.nmm")
    imported = IndexFolder(tmp_path / "imported")
    import_archive(tmp_path / "index.nmm", imported)
    second = Locator(page=2, time_ms=2000)
    queries: dict[Modality, str] = {"text": "when does the train leave?", "image": "a coffee"}
    for index in (folder, imported):
        with Catalog.open(index.catalog) as catalog:
            assert catalog.file_counts() == {"indexed": 1, "image": 1, "text": 1}
        with open_search(index) as search:
            for modality, query in queries.items():
                (result,) = searching.find(search, query, kinds=[modality])
                assert (result.type, result.locator) == (modality, second)
                found = result.to_dict()
                assert (found["page"], found["time_ms"], "lines" in found) == (2, 2000, False)
                assert SearchResult.from_dict(found) == result
        assert [finding for finding in doctor(index).findings if not finding.ok] == []
