"""The built-in model, end to end: from pixels and texts to vectors, in ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLE_DATA

from nmm.index.encoders.base import Task
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime import onnx_encoder
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder, Workload

PHOTOS = ["espresso.jpg", "chelsea.jpg", "launch.jpg", "wall_clock.jpg"]
# Of different lengths, and not sorted by length.
TEXTS = ["a cat", "", "The rocket stood on its pad at dusk. " * 4, "tea", "a cup of coffee " * 9]


def photo_pixels(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return pixels (n, side, side, 3) of photos of the sample data."""
    photos = [Image.open(SAMPLE_DATA / "photos" / name) for name in names]
    return np.stack([to_pixels(photo, MINI.image) for photo in photos])


@pytest.mark.parametrize(
    ("photo", "beginning"),
    [
        ("espresso.jpg", [-0.00284, -0.01280, -0.02605, 0.04283, 0.05235, 0.01018]),
        ("chelsea.jpg", [0.05585, 0.03725, 0.00790, -0.00912, -0.11863, -0.02050]),
    ],
)
def test_the_vector_of_a_photo(mini: OnnxEncoder, photo: str, beginning: list[float]) -> None:
    vectors = mini.embed_images(photo_pixels([photo]))
    assert (vectors.shape, str(vectors.dtype)) == ((1, 384), "float32")
    np.testing.assert_allclose(vectors[0, :6], beginning, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("a cup of coffee", [-0.01744, 0.03408, 0.03794, 0.10781, 0.01921, 0.04489]),
        ("a cat", [0.08649, 0.00903, 0.01885, 0.05496, -0.10071, 0.01926]),
    ],
)
def test_the_vector_of_a_text(mini: OnnxEncoder, text: str, beginning: list[float]) -> None:
    vectors = mini.embed_texts([text], Task.QUERY)
    assert (vectors.shape, str(vectors.dtype)) == ((1, 384), "float32")
    np.testing.assert_allclose(vectors[0, :6], beginning, atol=1e-3)


def test_a_photo_is_nearest_to_what_is_in_it(mini: OnnxEncoder) -> None:
    queries = mini.embed_texts(
        ["a cup of coffee", "a cat", "a rocket", "what time is it"], Task.QUERY
    )
    images = mini.embed_images(photo_pixels(PHOTOS))
    assert (images @ queries.T).argmax(1).tolist() == [0, 1, 2, 3]


def test_vectors_have_unit_length(mini: OnnxEncoder) -> None:
    vectors = np.concatenate(
        [mini.embed_images(photo_pixels(PHOTOS)), mini.embed_texts(TEXTS, Task.DOCUMENT)]
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_images_of_a_batch_have_the_vectors_that_they_have_alone(mini: OnnxEncoder) -> None:
    pixels = photo_pixels(PHOTOS)
    alone = [mini.embed_images(image[None])[0] for image in pixels]
    np.testing.assert_allclose(mini.embed_images(pixels), alone, atol=1e-5)


@pytest.mark.parametrize("tokens_per_run", [4096, 50, 1])
def test_texts_of_a_batch_have_the_vectors_that_they_have_alone(
    mini: OnnxEncoder, tokens_per_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [mini.embed_texts([text], Task.DOCUMENT)[0] for text in TEXTS]
    monkeypatch.setattr(onnx_encoder, "TOKENS_PER_RUN", tokens_per_run)
    np.testing.assert_allclose(mini.embed_texts(TEXTS, Task.DOCUMENT), alone, atol=1e-5)


def test_no_texts_have_no_vectors(mini: OnnxEncoder) -> None:
    assert mini.embed_texts([], Task.QUERY).shape == (0, 384)


def test_what_exceeds_the_context_is_cut_off(mini: OnnxEncoder) -> None:
    read = "tea " * (MINI.text.context - 2)  # one token each, between [CLS] and [SEP]
    whole, cut, shorter = mini.embed_texts([read + "coffee", read, read[4:]], Task.DOCUMENT)
    np.testing.assert_allclose(whole, cut, atol=1e-6)
    assert np.abs(cut - shorter).max() > 1e-4


def test_the_tokenizer_does_not_truncate(mini: OnnxEncoder) -> None:
    mini.embed_texts(["tea"], Task.QUERY)
    assert len(mini.tokenizer.encode("tea " * 1000)) == 1002


def test_a_text_is_embedded_with_the_prefix_of_its_task(mini: OnnxEncoder) -> None:
    prefixes = MappingProxyType({Task.QUERY: "search_query: "})
    model = replace(MINI, text=replace(MINI.text, prefixes=prefixes))
    encoder = OnnxEncoder(model, compiled_folder(MINI))
    queries = encoder.embed_texts(["tea"], Task.QUERY)
    documents = encoder.embed_texts(["tea"], Task.DOCUMENT)
    np.testing.assert_array_equal(queries, mini.embed_texts(["search_query: tea"], Task.QUERY))
    np.testing.assert_array_equal(documents, mini.embed_texts(["tea"], Task.DOCUMENT))


def test_weights_used_as_they_lie_give_the_same_vectors(mini: OnnxEncoder) -> None:
    once = load_encoder(MINI, workload=Workload.SINGLE_QUERY)
    ours, theirs = (encoder.embed_texts(TEXTS, Task.QUERY) for encoder in (once, mini))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.usefixtures("mini")
def test_embedding_does_not_import_torch() -> None:
    program = """if True:
        import sys
        import numpy as np
        from nmm.index.encoders.base import Task
        from nmm.index.encoders.registry import MINI
        from nmm.index.encoders.runtime.loader import load_encoder
        from nmm.index.encoders.runtime.onnx_encoder import Workload

        encoder = load_encoder(MINI)
        encoder.embed_texts(["tea"], Task.QUERY)
        encoder.embed_images(np.zeros((1, 260, 260, 3), np.uint8))
        heavy = {"onnxruntime", "torch", "transformers", "sentence_transformers", "onnx"}
        print(*sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("onnxruntime\n", "")
