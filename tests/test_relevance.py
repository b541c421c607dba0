"""Low-confidence results, cut-offs, and scores of queries with an image."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import searching
from numpy.typing import NDArray
from support import SAMPLE_DATA, Nmm

from nmm.index import calibration
from nmm.index.encoders.base import Task
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import UsageError
from nmm.index.indexing.indexer import build
from nmm.index.media.image.decode import decode
from nmm.index.search.engine import SearchEngine, open_search
from nmm.index.search.query import Query, SearchMode, Term
from nmm.index.search.relevance import Relevance, chance_margin
from nmm.index.search.result import SearchResult
from nmm.index.store.catalog.comparison_data import sample
from nmm.index.store.catalog.read_cache import CatalogStateCache
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Calibration
from nmm.index.store.catalog.writer import ChunkRow, Content, open_for_writing
from nmm.index.store.layout import IndexFolder

NONSENSE = ("asdf qwer zxcv", "blorptang frimbulous", "8f3a9c 77be01", "treaty of Westphalia")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, mini: OnnxEncoder) -> IndexFolder:
    """An index of the sample data. Read-only."""
    del mini  # it is prepared
    folder = IndexFolder(tmp_path_factory.mktemp("relevance") / "index")
    build([SAMPLE_DATA], folder, model="mini")
    return folder


@pytest.fixture(scope="module")
def search(samples: IndexFolder) -> Iterator[SearchEngine]:
    with open_search(samples) as opened:
        yield opened


def name(result: SearchResult) -> str:
    return Path(result.path).relative_to(SAMPLE_DATA.resolve()).as_posix()


# Low-confidence results


@pytest.mark.parametrize("query", NONSENSE)
def test_all_results_of_an_unrelated_query_are_weak(search: SearchEngine, query: str) -> None:
    found = searching.find(search, query, 100)
    assert len(found) == 31
    assert all(one.weak for one in found)


@pytest.mark.parametrize(
    ("query", "right"),
    [
        ("a cat", {"photos/chelsea.jpg", "notes/chelsea.md"}),
        ("coffee", {"photos/espresso.jpg", "recipes/espresso.md"}),
        ("a man with a camera on a tripod", {"photos/photographer.jpg"}),
        ("galaxies", {"docs/hubble_deep_field.md"}),
        ("phase of the moon", {"code/moon_phase.py"}),
        ("lentils", {"recipes/lentil_soup.txt"}),
        ("haiku about autumn", {"poems/haiku_four_seasons.txt"}),
        ("minutes of the repair café meeting", {"notes/meeting_repair_cafe.md"}),
    ],
)
def test_relevant_results_are_not_weak(search: SearchEngine, query: str, right: set[str]) -> None:
    # A result that contains the words is never low-confidence, even among seven texts about cats.
    found = searching.find(search, query, 100, mode=SearchMode.SEMANTIC)
    strong = {name(one) for one in found if not one.weak}
    assert right <= strong
    assert len(strong) <= 6


@pytest.mark.parametrize("query", ["a cat", "tripod", *NONSENSE])
def test_relevant_excludes_weak_results_only(search: SearchEngine, query: str) -> None:
    strong = [name(one) for one in searching.find(search, query, 100) if not one.weak]
    found = searching.find(search, query, 100, drop_weak=True)
    assert [name(one) for one in found] == strong
    assert [one.rank for one in found] == list(range(1, len(strong) + 1))
    assert [name(one) for one in searching.find(search, query, 1, drop_weak=True)] == strong[:1]


def test_relevant_searches_beyond_weak_results(search: SearchEngine) -> None:
    every = searching.find(search, "tripod", 100)
    strong = [one for one in every if not one.weak]
    found = searching.find(search, "tripod", len(strong), drop_weak=True)
    assert [one.path for one in found] == [one.path for one in strong]


def test_keyword_matches_are_never_weak(search: SearchEngine) -> None:
    found = searching.find(search, "three lemons", 100, mode=SearchMode.HYBRID)
    assert not any(one.by_words for one in found)
    (first, *others) = searching.find(search, "monstera", 100, mode=SearchMode.HYBRID)
    assert (name(first), first.by_words, first.weak) == ("lists/house_plants.json", True, False)
    assert first.score < 1
    assert all(one.weak for one in others)


def test_scores_below_one_are_weak_except_keyword_matches(search: SearchEngine) -> None:
    by_words = 0
    for query in ("a cat", "soup", *NONSENSE):
        found = searching.find(search, query, 100)
        assert all(one.weak != one.by_words for one in found if one.score < 1)
        by_words += sum(one.by_words for one in found if one.score < 1)
    assert by_words


def test_a_few_files_are_enough_to_tell(tmp_path: Path, folder: IndexFolder) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for file in ("photos/chelsea.jpg", "photos/bricks.jpg", "recipes/lentil_soup.txt"):
        (few / Path(file).name).write_bytes((SAMPLE_DATA / file).read_bytes())
    build([few], folder, model="mini")
    with open_search(folder) as opened:
        strong = {
            query: [Path(one.path).name for one in searching.find(opened, query) if not one.weak]
            for query in ("a cat", "lentil soup", *NONSENSE)
        }
    assert strong == {
        "a cat": ["chelsea.jpg"],
        "lentil soup": ["lentil_soup.txt"],
        **{query: [] for query in NONSENSE},
    }


# Scores


@pytest.mark.parametrize("least", [-5.0, 0.5, 1.0, 1.5, 99.0])
def test_results_below_the_minimum_score_are_excluded(search: SearchEngine, least: float) -> None:
    # By meaning alone: a keyword match may have any score, at any rank.
    every = searching.find(search, "a cat", 100, mode=SearchMode.SEMANTIC)
    found = searching.find(search, "a cat", 100, min_score=least, mode=SearchMode.SEMANTIC)
    assert found == [one for one in every if one.score >= least]
    assert len(found) < len(every) or least == -5.0


def test_a_minimum_score_that_is_no_number_is_refused(search: SearchEngine) -> None:
    with pytest.raises(UsageError) as raised:
        searching.find(search, "a cat", min_score=float("nan"))
    assert raised.value.hint == "Scores are about 0 to 3; results below 1 are weak."


@pytest.mark.parametrize("count", [151, 5000, 100_000, 10_000_000])
def test_the_height_grows_as_the_greatest_of_normal_numbers(count: int) -> None:
    normal = statistics.NormalDist()
    expected = normal.inv_cdf(1 - 0.15 / count) / normal.inv_cdf(1 - calibration.RARE)
    assert chance_margin(count) == pytest.approx(expected, rel=0.01)
    assert chance_margin(count) > chance_margin(150) == chance_margin(1) == chance_margin(0) == 1


# Queries with an image


@pytest.fixture(scope="module")
def photos(mini: OnnxEncoder) -> dict[str, NDArray[np.float32]]:
    """The vectors of the sample photos, saved again."""
    files = sorted((SAMPLE_DATA / "photos").glob("*.jpg"))
    pixels = [to_pixels(decode(file.read_bytes()).image, MINI.image) for file in files]
    return dict(
        zip([file.name for file in files], mini.embed_images(np.stack(pixels)), strict=True)
    )


def relevance_of(
    catalog: Catalog, mini: OnnxEncoder, states: CatalogStateCache | None = None
) -> Relevance:
    return Relevance(
        catalog,
        states or CatalogStateCache(catalog),
        catalog.calibration,
        lambda: mini.embed_texts(calibration.NEUTRAL_QUERIES, Task.QUERY),
    )


def test_an_equal_image_is_strong_and_another_is_weak(
    samples: IndexFolder, mini: OnnxEncoder, photos: dict[str, NDArray[np.float32]]
) -> None:
    with Catalog.open(samples.catalog) as catalog:
        relevance = relevance_of(catalog, mini)
        for image, vector in photos.items():
            calibration = relevance.calibrate("image", Query((Term(image=Path(image)),)), vector)
            assert calibration
            scores = {other: calibration.score(float(vector @ photos[other])) for other in photos}
            assert {other for other in photos if not calibration.is_weak(scores[other])} == {image}
            assert max(scores, key=scores.__getitem__) == image


def test_of_an_image_texts_about_it_score_as_they_do_of_words(
    samples: IndexFolder, mini: OnnxEncoder, photos: dict[str, NDArray[np.float32]]
) -> None:
    with Catalog.open(samples.catalog) as catalog:
        relevance = relevance_of(catalog, mini)
        vector = photos["espresso.jpg"]
        calibration = relevance.calibrate("text", Query((Term(image=b""),)), vector)
        assert calibration
        best, cosine = max(
            (
                (hit.path, hit.score)
                for ids, _ in catalog.vectors("text")
                for hit in catalog.hits(ids.tolist(), vector)
            ),
            key=lambda found: found[1],
        )
        assert Path(best).name == "espresso.md"
        assert not calibration.is_weak(calibration.score(cosine))
        assert calibration.score(cosine) < 3


def test_words_beside_an_image_bring_its_scale_nearer_to_that_of_words(
    samples: IndexFolder, mini: OnnxEncoder, photos: dict[str, NDArray[np.float32]]
) -> None:
    words = mini.embed_texts(["at night"], Task.QUERY)[0]
    units = []
    with Catalog.open(samples.catalog) as catalog:
        relevance = relevance_of(catalog, mini)
        for weight in (0, 1, 3):
            both = photos["launch.jpg"] + weight * words
            terms = Term(image=b""), Term(weight, "at night")
            calibration = relevance.calibrate("image", Query(terms), both / np.linalg.norm(both))
            assert calibration
            units.append(calibration.scale.spread)
        kept = catalog.calibration("image")
    assert kept
    assert units[0] > units[1] > units[2] > kept.spread


@pytest.mark.parametrize("weights", [(1e300, -1e300), (5e-324, 1.0), (0.0, 0.0), (-1.0, -1.0)])
def test_weights_of_any_size_make_a_scale(
    samples: IndexFolder,
    mini: OnnxEncoder,
    photos: dict[str, NDArray[np.float32]],
    weights: tuple[float, float],
) -> None:
    terms = Term(weights[0], image=b""), Term(weights[1], image=b"")
    with Catalog.open(samples.catalog) as catalog:
        relevance = relevance_of(catalog, mini)
        for kind in KINDS:
            calibration = relevance.calibrate(kind, Query(terms), photos["launch.jpg"])
            assert calibration
            assert np.isfinite(
                [*calibration.scale, calibration.background, calibration.margin]
            ).all()
            assert calibration.scale.spread > 0


def test_few_images_say_nothing_of_images_and_the_kept_scale_does(
    folder: IndexFolder, mini: OnnxEncoder, photos: dict[str, NDArray[np.float32]]
) -> None:
    build([SAMPLE_DATA / "photos" / name for name in list(photos)[:7]], folder, model="mini")
    with Catalog.open(folder.catalog) as catalog:
        calibration = relevance_of(catalog, mini).calibrate(
            "image", Query((Term(image=b""),)), photos["chelsea.jpg"]
        )
        assert calibration
        assert calibration.scale == catalog.calibration("image")


def test_an_absent_kind_has_no_relevance(
    folder: IndexFolder, mini: OnnxEncoder, photos: dict[str, NDArray[np.float32]]
) -> None:
    build([SAMPLE_DATA / "photos" / "chelsea.jpg"], folder, model="mini")
    with Catalog.open(folder.catalog) as catalog:
        relevance = relevance_of(catalog, mini)
        vector = photos["chelsea.jpg"]
        assert relevance.calibrate("text", Query((Term(text="a cat"),)), vector) is None


# The sample


def test_a_sample_is_spread_over_a_kind_and_the_same_each_time(folder: IndexFolder) -> None:
    with open_for_writing(folder) as writer, writer.batch():
        for number in range(900):
            kind = KINDS[number % 3 > 0]
            content = writer.add_content(Content(b"%d" % number, kind))
            vector = np.array([number, number % 3 > 0], np.float32)
            writer.add_chunk(content, kind, ChunkRow(), vector)
    with Catalog.open(folder.catalog) as catalog:
        some, again = sample(catalog, "text", 100), sample(catalog, "text", 100)
        every = sample(catalog, "text", 600)
        none = sample(catalog, "text", 100)[:0]
    assert np.array_equal(some, again)
    assert some.shape == (100, 2)
    assert set(some[:, 1]) == {1}
    assert np.abs(np.diff(some[:, 0])).max() < 15
    assert (some[0, 0], some[-1, 0]) == (1, 899)
    assert every.shape == (600, 2)
    assert none.shape == (0, 2)


def test_the_sample_of_an_empty_kind_is_empty(folder: IndexFolder) -> None:
    with open_for_writing(folder):
        pass
    with Catalog.open(folder.catalog) as catalog:
        assert len(sample(catalog, "image", 100)) == 0


def test_the_sample_includes_files_added_to_an_open_index(
    folder: IndexFolder, mini: OnnxEncoder, photos: dict[str, NDArray[np.float32]]
) -> None:
    query = Query((Term(text="a cat"),))
    vector = photos["chelsea.jpg"]
    with open_for_writing(folder) as writer, Catalog.open(folder.catalog) as catalog:
        writer.set_calibration("image", Calibration(0.0, 0.1))
        levels = []
        states = CatalogStateCache(catalog)
        relevance = relevance_of(catalog, mini, states)
        for number in (1, 2):
            with writer.batch():
                content = writer.add_content(Content(b"%d" % number, "image"))
                writer.add_chunk(content, "image", ChunkRow(), vector)
            states.read()
            calibration = relevance.calibrate("image", query, vector)
            assert calibration
            levels.append(calibration.background)
    # The level counts 1 / 11 for one item, 2 / 12 for two.
    assert levels == pytest.approx([10 / 11, 20 / 12], rel=0.01)


# The command


def test_the_command_leaves_out_what_is_weak_or_scores_less(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    found = nmm("search", "a cat", "--relevant", "--paths", "--mode", "semantic")
    assert found.returncode == 0
    assert {Path(path).name for path in found.stdout.splitlines()} == {"chelsea.jpg", "chelsea.md"}
    for nothing in (["asdf qwer zxcv", "--relevant"], ["a cat", "--min-score", "99"]):
        done = nmm("search", "--paths", *nothing)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    refused = nmm("search", "a cat", "--min-score", "nan")
    assert refused.returncode == 2
    assert "--min-score" in refused.stderr
