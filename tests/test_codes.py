"""8-bit codes of flat files: searches return the same results as the files alone, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nmm.index.common.int8_matmul import multiply_int8
from nmm.index.store.vectors import faiss_files, faiss_search, quantized_scan
from nmm.index.store.vectors.quantized_scan import Codes, encode

Vectors = NDArray[np.float32]


def units(vectors: Vectors) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def random(count: int, dimension: int, seed: int = 0) -> Vectors:
    shape = count, dimension
    return units(np.random.default_rng(seed).standard_normal(shape, np.float32))


def flat(vectors: Vectors) -> Any:
    """Return a flat file's index whose ids differ from its positions."""
    index = faiss_files.new_flat(vectors.shape[1])
    index.add_with_ids(vectors, 5 + 3 * np.arange(len(vectors), dtype=np.int64))
    return index


def encoded(index: Any) -> Codes:
    found = encode(index)
    assert found is not None
    return found


def bursts(vectors: Vectors) -> Vectors:
    """Return many vectors that are nearly the same."""
    noise = np.random.default_rng(1).standard_normal(vectors.shape, np.float32)
    return units(vectors[np.arange(len(vectors)) // 50] + np.float32(0.002) * noise)


def lopsided(vectors: Vectors) -> Vectors:
    """Return vectors dominated by two components, as in some models."""
    vectors[:, 0] += 4
    vectors[:, 1] *= 50
    return units(vectors)


def constant(vectors: Vectors) -> Vectors:
    """Return vectors with some constant components, one of them 0."""
    vectors[:, 3] = 0
    vectors[:, 4] = 0.25
    return vectors


def tight(vectors: Vectors) -> Vectors:
    """Return vectors within a narrow cone."""
    return units(vectors + 20 * vectors[:1])


SHAPES = [lambda vectors: vectors, bursts, lopsided, constant, tight]


@pytest.mark.parametrize("shape", SHAPES, ids=["random", "bursts", "lopsided", "constant", "tight"])
@pytest.mark.parametrize(("count", "dimension"), [(5000, 64), (700, 384), (3000, 768)])
@pytest.mark.parametrize("wanted", [1, 60])
def test_searches_with_codes_equal_those_of_the_file(
    shape: Any, count: int, dimension: int, wanted: int
) -> None:
    vectors = shape(random(count, dimension))
    index = flat(vectors)
    queries = np.concatenate([random(6, dimension, 2), vectors[:3], -vectors[:1]])
    found = encoded(index).nearest(queries, wanted)
    assert len(found) == len(queries)
    for query, (ids, scores) in zip(queries, found, strict=True):
        expected_ids, expected_scores = faiss_search.nearest(index, query, wanted)
        assert scores.tolist() == expected_scores.tolist()
        # Equal scores have no order, and at the end any of them may be left out.
        clear = expected_scores > expected_scores[-1]
        assert set(ids[clear].tolist()) == set(expected_ids[clear].tolist())


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 400), wanted=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_whatever_the_vectors_and_the_query(seed: int, count: int, wanted: int) -> None:
    chance = np.random.default_rng(seed)
    scales = chance.lognormal(0, 2, 24).astype(np.float32)
    vectors = units(chance.standard_normal((count, 24), np.float32) * scales)
    query = units(chance.standard_normal((1, 24), np.float32) / scales)
    ((ids, scores),) = encoded(flat(vectors)).nearest(query, wanted)
    products = np.sort(vectors.astype(np.float16).astype(np.float64) @ query[0].astype(np.float64))
    assert len(set(ids.tolist())) == len(ids) == min(count, wanted)
    assert scores == pytest.approx(products[::-1][:wanted], abs=1e-5)


def test_few_vectors_are_compared_exactly() -> None:
    """Otherwise the codes would be useless."""
    index = flat(random(20_000, 384))
    candidates = encoded(index)._candidates(random(8, 384, 1), 20)
    assert 20 <= max(len(some) for some in candidates) < 400


def test_no_query_is_nothing() -> None:
    ((ids, scores),) = encoded(flat(random(50, 32))).nearest(np.zeros((1, 32), np.float32), 9)
    assert (len(ids), scores.tolist()) == (9, [0] * 9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_have_no_codes(bad: float) -> None:
    vectors = random(600, 16)
    vectors[333, 7] = bad
    assert encode(flat(vectors)) is None


def test_codes_are_those_of_the_mapped_file(tmp_path: Path) -> None:
    # As in the catalog: FAISS rounds other numbers to halves in its own way.
    vectors = random(900, 48).astype(np.float16).astype(np.float32)
    path = tmp_path / "flat.faiss"
    segment = faiss_files.write(flat(vectors), path, form="flat", trained=0, last_chunk=9000)
    codes = encoded(faiss_files.open_file(tmp_path, segment))
    assert faiss_files.is_mapped(codes.index)
    assert (faiss_files.flat_vectors(codes.index) == vectors).all()
    assert codes.codes.shape == vectors.shape
    assert codes.error < np.sqrt(48) * codes.step.max() / 2
    low = vectors.min(axis=0)
    decoded = low + codes.codes * codes.step
    lengths = np.linalg.norm(decoded - vectors, axis=1)
    assert lengths.max() == pytest.approx(codes.error, abs=1e-3)


def test_a_product_of_bytes_is_exact_where_the_digits_are_small() -> None:
    a = np.full((40, 300), 255, np.uint8)
    for digit in (64, -64):
        b = np.full((300, 20), digit, np.int8)
        assert (multiply_int8(a, b) == 255 * digit * 300).all()
    assert quantized_scan.MAX_WEIGHT == 64 * quantized_scan.DIGIT_BASE
