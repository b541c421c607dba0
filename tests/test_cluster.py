"""Clusters of files: found in generated vectors, named, printed, and shown on a page."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from chromium import BINARY, Browser
from hostile import NAMES
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from support import SAMPLE_DATA, Nmm

from nmm.index.analysis.clustering import hdbscan, kmeans, naming
from nmm.index.analysis.clustering.clusters import Cluster, Method, cluster
from nmm.index.analysis.clustering.tfidf import distinctive_words
from nmm.index.analysis.collection import FileCollection, open_collection
from nmm.index.analysis.modality_gap import remove_modality_gap
from nmm.index.encoders.base import Task
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.types import Calibration, Kind, Settings
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder

ROOT = Path("/library").absolute()
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def unit(vectors: NDArray[np.floating]) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: Floats = (vectors / lengths).astype(np.float32)
    return result


def generated(
    count: int, groups: int, *, dimension: int = 128, cosine: float = 0.7, gap: float = 0.0
) -> tuple[Floats, Ints, list[Kind]]:
    """Return vectors around random centres, with cluster and kind; the kinds lie apart."""
    random = np.random.default_rng(groups)
    centres = unit(random.standard_normal((groups, dimension)))
    truth = random.permutation(np.arange(count) % groups)
    noise = unit(random.standard_normal((count, dimension)))
    vectors = cosine * centres[truth] + (1 - cosine**2) ** 0.5 * noise
    is_image = random.random(count) < 0.5
    side = unit(random.standard_normal(dimension))
    vectors += np.where(is_image, gap / 2, -gap / 2)[:, None] * side
    kinds: list[Kind] = ["image" if image else "text" for image in is_image]
    return unit(vectors), truth, kinds


def rand(truth: Ints, labels: Ints) -> float:
    return float(adjusted_rand_score(truth, labels))


# The modality gap


def test_closing_the_gap_brings_the_kinds_together() -> None:
    vectors, truth, kinds = generated(600, 6, gap=2.0)
    images = np.array([kind == "image" for kind in kinds])
    assert rand(images, kmeans.cluster_vectors(vectors, 2).labels) == 1
    moved = remove_modality_gap(vectors, kinds)
    found = kmeans.cluster_vectors(moved, 6).labels
    assert rand(truth, found) > 0.99
    shares = [images[found == label].mean() for label in range(6)]
    assert min(shares) > 0.3
    assert max(shares) < 0.7
    assert np.linalg.norm(moved, axis=1) == pytest.approx(1, abs=1e-5)


def test_one_kind_is_centred_on_its_mean() -> None:
    vectors, _, _ = generated(200, 4)
    mean = vectors.mean(axis=0)
    assert remove_modality_gap(vectors, ["text"] * 200) == pytest.approx(
        unit(vectors - mean), abs=1e-5
    )


def test_a_single_text_among_images_keeps_its_direction() -> None:
    """Centred on its own mean, it would become zero."""
    vectors, _, _ = generated(50, 5)
    kinds: list[Kind] = ["text", *["image"] * 49]
    moved = remove_modality_gap(vectors, kinds)
    alone = remove_modality_gap(vectors, ["image"] * 50)
    assert float(moved[0] @ alone[0]) > 0.99


def test_vectors_equal_to_their_mean_become_zero() -> None:
    vectors, _, _ = generated(10, 2)
    same = np.repeat(vectors[:1], 5, axis=0)
    assert not remove_modality_gap(same, ["image"] * 5).any()
    nothing = np.zeros((3, 128), np.float32)
    assert not remove_modality_gap(nothing, ["image", "text", "text"]).any()
    assert remove_modality_gap(vectors[:0], []).shape == (0, 128)


# Clusters of vectors


@pytest.mark.parametrize("groups", [2, 3, 7, 12, 20])
@pytest.mark.parametrize("cosine", [0.8, 0.6])
def test_the_number_of_clusters_is_found(groups: int, cosine: float) -> None:
    vectors, truth, kinds = generated(50 * groups, groups, cosine=cosine, gap=1.0)
    found = kmeans.cluster_vectors(remove_modality_gap(vectors, kinds))
    assert abs(len(found.centres) - groups) <= 1
    assert rand(truth, found.labels) > 0.9


def test_the_number_of_clusters_is_chosen_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "MAX_SAMPLE", 300)
    vectors, truth, _ = generated(3000, 9)
    found = kmeans.cluster_vectors(vectors)
    assert len(found.centres) == 9
    assert rand(truth, found.labels) > 0.99
    # More clusters than the sample could distinguish.
    many = kmeans.cluster_vectors(vectors, 200)
    assert sorted(set(many.labels.tolist())) == list(range(len(many.centres)))
    assert 150 < len(many.centres) <= 200


def test_the_same_seed_makes_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "MAX_SAMPLE", 100)
    vectors, _, _ = generated(1000, 30, cosine=0.3)
    first, again, other = (
        kmeans.cluster_vectors(vectors, 30, seed=seed).labels for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("count", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("vectors", [1, 2, 3, 6])
def test_few_vectors_make_few_groups(vectors: int, count: int | None) -> None:
    some = generated(vectors, vectors)[0]
    found = kmeans.cluster_vectors(some, count)
    assert sorted(set(found.labels.tolist())) == list(range(len(found.centres)))
    expected = min(vectors, count) if count else len(found.centres)
    assert 1 <= len(found.centres) == expected <= max(1, vectors if count else vectors // 2)


@pytest.mark.parametrize("count", [None, 1, 5])
def test_equal_vectors_are_one_group(count: int | None) -> None:
    same = np.repeat(generated(1, 1)[0], 40, axis=0)
    assert kmeans.cluster_vectors(same, count).labels.tolist() == [0] * 40
    # Two distinct vectors, twenty times each.
    vectors = np.repeat(generated(2, 2)[0], 20, axis=0)
    if count != 1:
        assert kmeans.cluster_vectors(vectors, count).labels.tolist() == [0] * 20 + [1] * 20


def test_the_silhouette_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import silhouette_score

    vectors, truth, _ = generated(90, 3, cosine=0.4)
    value, error = kmeans.silhouette(vectors @ vectors.T, truth)
    assert value == pytest.approx(silhouette_score(vectors, truth, metric="cosine"), abs=1e-5)
    assert 0 < error < value
    # An item alone in its cluster has 0.
    labels = np.where(np.arange(90) == 0, 3, truth)
    expected = silhouette_score(vectors, labels, metric="cosine")
    assert kmeans.silhouette(vectors @ vectors.T, labels)[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("sample", [10_000, 400])
def test_hdbscan_leaves_outliers_out(sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdbscan, "MAX_SAMPLE", sample)
    vectors, truth, _ = generated(800, 4, cosine=0.9)
    alone = unit(np.random.default_rng(9).standard_normal((24, 128)))
    found = hdbscan.cluster_vectors(np.concatenate([vectors, alone]))
    inside = found.labels[:800] >= 0
    assert len(found.centres) == 4
    assert rand(truth[inside], found.labels[:800][inside]) > 0.99
    assert inside.mean() > 0.6
    assert (found.labels[800:] < 0).mean() > 0.8
    assert (hdbscan.cluster_vectors(vectors[:6]).labels == -1).all()


def test_hdbscan_finds_many_clusters_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdbscan, "MAX_SAMPLE", 2000)
    vectors, truth, _ = generated(5000, 72, cosine=0.6)
    found = hdbscan.cluster_vectors(vectors)
    inside = found.labels >= 0
    assert len(found.centres) == pytest.approx(72, abs=2)
    assert inside.mean() > 0.9
    assert rand(truth[inside], found.labels[inside]) > 0.98


# Keywords


def test_keywords_are_specific_to_one_cluster() -> None:
    cats = ["The cat purrs at home.", "A cat sleeps at home, IMG_0042."]
    bread = ["Bake the bread at home.", "Flour and bread, at home 2021."]
    assert distinctive_words([cats, bread, [], ["123 4 the and"]], 2) == [
        ["cat", "home"],
        ["bread", "home"],
        [],
        [],
    ]
    assert distinctive_words([[], ["the"]], 3) == [[], []]


# Files


@contextmanager
def index_of(
    folder: IndexFolder,
    encoder: OnnxEncoder,
    files: Sequence[tuple[str, Kind, Floats, str]],
) -> Iterator[FileCollection]:
    """Open an index of files with these names, kinds, vectors and texts (equal texts: copies)."""
    with open_for_writing(folder) as writer:
        writer.set_settings(Settings("mini", encoder.model.dimension, encoder.weights))
        adopt_root(writer, ROOT)
        (root,) = writer.roots()
        for kind in ("image", "text"):
            writer.set_calibration(kind, Calibration(0.0, 1.0))
        contents: dict[str, int] = {}
        with writer.batch():
            for name, kind, vector, text in files:
                if text not in contents:
                    digest = hashlib.sha256(text.encode()).digest()
                    contents[text] = writer.add_content(Content(digest, kind))
                    row = ChunkRow(1, 1, text) if kind == "text" else ChunkRow()
                    writer.add_chunk(contents[text], kind, row, vector)
                writer.put_file(root, name, 1, 2, status="indexed", content_id=contents[text])
    with open_collection(folder) as collection:
        yield collection


SUBJECTS = {
    "cat": ["a tabby cat", "the kitten purrs", "cats and kittens", "my cat sleeps"],
    "bread": ["bread with rye flour", "bake the bread loaf", "dough for bread", "a loaf of bread"],
    "rocket": ["the rocket starts", "a rocket to space", "launch of a rocket", "space rocket"],
}


@pytest.fixture
def subjects(folder: IndexFolder, mini: OnnxEncoder) -> Iterator[FileCollection]:
    texts = [text for some in SUBJECTS.values() for text in some]
    vectors = mini.embed_texts(texts, Task.DOCUMENT)
    files: list[tuple[str, Kind, Floats, str]] = [
        (f"{number:02}.txt", "text", vector, text)
        for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    files += [(f"copy{number}.txt", "text", vectors[0], texts[0]) for number in range(3)]
    with index_of(folder, mini, files) as collection:
        yield collection


def groups_of(collection: FileCollection, found: Sequence[Cluster]) -> set[frozenset[str]]:
    return {
        frozenset(Path(collection.files[file].path).name for file in one.files.tolist())
        for one in found
    }


def test_files_are_clustered_and_named_by_subject(subjects: FileCollection) -> None:
    found = cluster(subjects)
    copies = {f"copy{number}.txt" for number in range(3)}
    first = frozenset({"00.txt", "01.txt", "02.txt", "03.txt"} | copies)
    assert groups_of(subjects, found) == {
        first,
        frozenset({"04.txt", "05.txt", "06.txt", "07.txt"}),
        frozenset({"08.txt", "09.txt", "10.txt", "11.txt"}),
    }
    # The largest cluster is first, and none of its central files is repeated.
    assert len(found[0].files) == 7
    central = [subjects.files[file].content for file in found[0].central]
    assert len(set(central)) == len(central) == 4
    leads = [one.words[0] for one in found]
    assert "cat" in leads[0]
    assert {"bread", "rocket"} & {lead.rstrip("s") for lead in leads[1:]} == {"bread", "rocket"}
    assert len({one.name for one in found}) == 3


def test_a_vocabulary_of_ones_own_names_the_groups(subjects: FileCollection) -> None:
    words = ["bakery", " pets ", "astronautics", "PETS", ""]
    found = cluster(subjects, 3, vocabulary=words)
    assert [one.words[0] for one in found] == ["pets", *(one.words[0] for one in found[1:])]
    assert {one.words[0] for one in found} == {"bakery", "pets", "astronautics"}
    # With fewer words than clusters, some clusters have no name; the names still differ.
    found = cluster(subjects, 3, vocabulary=["bakery"])
    assert min(one.name for one in found) == "bakery"
    assert len({one.name for one in found}) == 3
    with pytest.raises(UsageError, match="no words"):
        cluster(subjects, vocabulary=["", " "])


def test_the_vectors_of_the_vocabulary_are_kept(
    subjects: FileCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(naming, "builtin_words", lambda: ["cats", "bread", "rocket"])
    told: list[int] = []
    first = [one.name for one in cluster(subjects, on_embed=told.append)]
    assert [one.name for one in cluster(subjects, on_embed=told.append)] == first
    assert told == [3]
    (kept,) = (tmp_path / "cache" / "vocabulary").iterdir()
    for damaged in (b"", b"\x93NUMPY", kept.read_bytes()[:-8]):
        kept.write_bytes(damaged)
        assert [one.name for one in cluster(subjects, on_embed=told.append)] == first
    assert told == [3] * 4


def test_a_count_goes_with_kmeans_only(subjects: FileCollection) -> None:
    with pytest.raises(UsageError, match="HDBSCAN finds the number of groups itself"):
        cluster(subjects, 3, method=Method.HDBSCAN)


def test_one_file_is_one_group_and_none_are_none(folder: IndexFolder, mini: OnnxEncoder) -> None:
    (vector,) = mini.embed_texts(["bread and flour"], Task.DOCUMENT)
    with index_of(folder, mini, [("a.txt", "text", vector, "bread and flour")]) as collection:
        (one,) = cluster(collection)
        assert one.files.tolist() == [0]
        assert one.central == (0,)
        assert "bread" in one.words
        assert cluster(collection, 5)[0].name == one.name
        assert cluster(collection, method=Method.HDBSCAN) == []
    with open_collection(folder, ["image"]) as nothing:
        assert cluster(nothing) == []


def test_a_zero_vector_is_in_no_cluster(folder: IndexFolder, mini: OnnxEncoder) -> None:
    vectors = mini.embed_texts(["bread", "flour"], Task.DOCUMENT)
    files: list[tuple[str, Kind, Floats, str]] = [
        ("a.txt", "text", vectors[0], "bread"),
        ("b.txt", "text", vectors[1], "flour"),
        ("c.txt", "text", np.zeros_like(vectors[0]), "nothing"),
    ]
    with index_of(folder, mini, files) as collection:
        assert groups_of(collection, cluster(collection)) == {frozenset({"a.txt", "b.txt"})}


# The command


def test_every_file_of_the_sample_data_is_in_one_group(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("cluster", "-k", "6", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["version"], answer["model"], answer["method"]) == (1, "mini", "kmeans")
    files = [path for one in answer["clusters"] for path in one["files"]]
    assert len(answer["clusters"]) == 6
    status = json.loads(nmm("status", "--json").stdout)
    assert len(files) == len(set(files)) == status["images"] + status["texts"]
    assert answer["in_none"] == []
    for one in answer["clusters"]:
        assert one["count"] == len(one["files"]) == one["images"] + one["texts"]
        assert set(one["central"]) <= set(one["files"])
        assert one["words"][0] in one["name"]
    # The espresso is a photo and a recipe: the kinds are mixed.
    (espresso,) = [
        one for one in answer["clusters"] if any(f.endswith("espresso.jpg") for f in one["files"])
    ]
    assert any(file.endswith("espresso.md") for file in espresso["files"])
    assert nmm("cluster", "-k", "6", "--json").stdout == done.stdout


def test_each_file_has_a_row_with_its_group(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    rows = list(csv.DictReader(io.StringIO(nmm("cluster", "--csv", "-k", "4").stdout)))
    lines = [json.loads(line) for line in nmm("cluster", "--jsonl", "-k", "4").stdout.splitlines()]
    assert [{key: str(value) for key, value in line.items()} for line in lines] == rows
    counts = Counter(row["cluster"] for row in rows)
    assert sorted(counts) == ["1", "2", "3", "4"]
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    photos = nmm("cluster", "--csv", "-k", "2", "--type", "image")
    assert {row["type"] for row in csv.DictReader(io.StringIO(photos.stdout))} == {"image"}


def test_the_table_fits_the_terminal(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    shown = nmm("cluster", "-k", "5", COLUMNS="80").stdout.splitlines()
    assert shown[0] == "files  images  texts  group"
    assert len(shown) == 11
    assert max(map(len, shown)) <= 80
    assert all(line.split()[0].isdigit() for line in shown[1::2])
    assert all(line.startswith(" " * 22) and line.strip() for line in shown[2::2])


def test_invalid_uses_are_reported(indexed: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, _ = indexed
    words, empty, binary = (tmp_path / name for name in ("words", "empty", "binary"))
    words.write_text("food\nphotos\n", "utf-8")
    empty.write_text("\n \n")
    binary.write_bytes(b"\xff\xfe")
    cases = {
        ("-k", "0"): "-k",
        ("-k", "3", "--method", "hdbscan"): "HDBSCAN finds the number of groups itself",
        ("--json", "--csv"): "Only one output format",
        ("--json", "--gallery", "-"): "Only one output format",
        ("--vocabulary", str(tmp_path / "none")): "cannot be read",
        ("--vocabulary", str(empty)): "has no words",
        ("--vocabulary", str(binary)): "not UTF-8 text",
    }
    for arguments, said in cases.items():
        done = nmm("cluster", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    done = nmm("cluster", "--vocabulary", str(words), "-k", "2", "--json")
    assert {one["words"][0] for one in json.loads(done.stdout)["clusters"]} == {"food", "photos"}
    done = nmm("cluster", "--in", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No file passes --in nowhere" in done.stderr
    done = nmm("cluster", "--in", "poems", "-k", "9", "--jsonl")
    assert done.returncode == 0
    assert "Only 2 groups are possible: there are no more different files." in done.stderr
    assert nmm("cluster", NMM_INDEX=str(tmp_path / "no")).returncode == 4


@pytest.mark.skipif(BINARY is None, reason="needs Chromium: apt-get install chromium")
def test_the_page_has_a_section_for_each_group(
    nmm: Nmm, tmp_path: Path, sample_data: Path, chromium: Browser
) -> None:
    cat = (SAMPLE_DATA / "photos/chelsea.jpg").read_bytes()
    for number, name in enumerate(NAMES):
        # Not near-duplicates, so that each is shown.
        (sample_data / "photos" / name).write_bytes(cat + bytes([number]))
    owned = "</h2><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    words = tmp_path / "words.txt"
    words.write_text(f"{owned}\nfood\nspace\nmachines\n", "utf-8")
    assert nmm("index", sample_data).returncode == 0
    done = nmm("cluster", "-k", "4", "--vocabulary", words, "--gallery")
    assert (done.returncode, done.stdout) == (0, "nmm-clusters.html\n"), done.stderr
    answer = json.loads(nmm("cluster", "-k", "4", "--vocabulary", words, "--json").stdout)
    chromium.open((tmp_path / "nmm-clusters.html").as_uri())
    assert chromium.evaluate("document.title") == "Groups – nmm"
    sections = chromium.evaluate(
        "[...document.querySelectorAll('section')].map(s => [s.querySelector('h2').textContent,"
        " s.querySelectorAll('li').length, s.querySelectorAll('img').length])"
    )
    assert [section[0] for section in sections] == [one["name"] for one in answer["clusters"]]
    assert [section[1] for section in sections] == [
        len(one["central"]) for one in answer["clusters"]
    ]
    assert sum(section[2] for section in sections) > 10
    assert chromium.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
    assert chromium.evaluate("document.scripts.length") == 1
    assert chromium.said == []
    assert {address.partition(":")[0] for address in chromium.asked} == {"file", "data"}
    # A filter that hides all files of a cluster hides its heading, too.
    chromium.press("/")
    for letter in "espresso.jpg":
        chromium.press(letter)
    shown = "[...document.querySelectorAll('section')].filter(s => s.offsetParent).length"
    assert chromium.evaluate(shown) == 1
    for width in (320, 1200):
        chromium.size(width)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
