"""Embedding in Python, with the interface of the hosted client."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pairs import write_thin_pair, write_tiny_pair
from PIL import Image
from support import SAMPLE_DATA, Nmm

from nmm.index import embed
from nmm.index.encoders.base import Task
from nmm.index.encoders.hub.manifest import write_manifest
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder
from nmm.index.errors import MediaError, ModelError, UsageError
from nmm.index.media.image.decode import decode

PHOTOS = SAMPLE_DATA / "photos"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny pair that has prefixes and reads 32 tokens."""
    folder = write_tiny_pair(tmp_path_factory.mktemp("models") / "pair")
    file = folder / "text" / "config.json"
    config = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**config, "n_positions": 32}), "utf-8")
    return str(folder)


def unit_mean(vectors: Any) -> Any:
    mean = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)


def test_texts_are_answered_in_the_shape_of_the_hosted_client(mini: OnnxEncoder) -> None:
    texts = ["a cat", "", "two dogs in the snow"]
    assert embed.text(texts, model="mini", task_type="search_query", device="cpu") == {
        "embeddings": mini.embed_texts(texts, Task.QUERY).tolist(),
        # [CLS] and [SEP] of each, and their words.
        "usage": {"prompt_tokens": 4 + 2 + 7, "total_tokens": 4 + 2 + 7},
        "model": "mini",
        "inference_mode": "local",
    }


def test_images_are_answered_in_the_shape_of_the_hosted_client(mini: OnnxEncoder) -> None:
    files = sorted(PHOTOS.glob("*.jpg"))[:2]
    pixels = [to_pixels(decode(f.read_bytes(), side=260).image, MINI.image) for f in files]
    assert embed.image(files, "mini", device="cpu") == {
        "embeddings": mini.embed_images(np.stack(pixels)).tolist(),
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "model": "mini",
    }


def test_more_images_than_a_batch_come_in_order(tmp_path: Path) -> None:
    greys = [tmp_path / f"{level}.png" for level in range(0, 240, 6)]
    for file in greys:
        Image.new("L", (8, 8), int(file.stem)).save(file)
    assert len(greys) > embed.IMAGES
    together = embed.image(greys, "mini")["embeddings"]
    alone = [embed.image([file], "mini")["embeddings"][0] for file in (greys[0], greys[-1])]
    np.testing.assert_allclose([together[0], together[-1]], alone, atol=1e-5)
    assert not np.allclose(*alone, atol=1e-2)


def transparent() -> Image.Image:
    image = Image.new("RGBA", (40, 30), (200, 30, 30, 255))
    image.paste((0, 0, 0, 0), (0, 0, 20, 30))
    return image


def deep() -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, 1200).reshape(30, 40).astype(np.uint16))


def turned() -> Image.Image:
    image = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
    image.getexif()[0x0112] = 6
    return image


@pytest.mark.parametrize("make", [transparent, deep, turned])
def test_every_form_of_an_image_has_the_same_vector(make: Any, tmp_path: Path) -> None:
    file = tmp_path / "höhe 100%.png"
    make().save(file, exif=make().getexif())
    with Image.open(file) as opened:
        url = file.as_uri()
        forms = [file, str(file), file.read_bytes(), opened, opened, url]
        forms.append(url.replace("file://", "FILE://localhost"))
        first, *others = embed.image(forms, "mini")["embeddings"]
    assert others == [first] * len(others)
    black = embed.image([Image.new("RGB", (40, 30))], "mini")["embeddings"][0]
    assert not np.allclose(first, black, atol=1e-2)


def test_a_pillow_image_stays_as_it_is() -> None:
    image = turned()
    before = image.tobytes(), image.size, image.mode, dict(image.getexif())
    embed.image([image], "mini")
    assert (image.tobytes(), image.size, image.mode, dict(image.getexif())) == before


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("no/such.jpg", "no/such.jpg: not readable: No such file or directory"),
        (Path("no/such.jpg"), "no/such.jpg: not readable: No such file or directory"),
        (str(SAMPLE_DATA), f"{SAMPLE_DATA}: not readable: Is a directory"),
        (
            "https://example.org/cat.jpg",
            "https://example.org/cat.jpg: not on this machine: "
            "nmm downloads no images, download it first",
        ),
        (
            "file://host/cat.jpg",
            "file://host/cat.jpg: not on this machine: nmm downloads no images, download it first",
        ),
        (b"", "images[1]: empty file"),
        (b"text", "images[1]: not an image: it has the signature of no known image format"),
    ],
)
def test_an_image_that_cannot_be_read_is_named(bad: Any, said: str) -> None:
    with pytest.raises(MediaError) as raised:
        embed.image([PHOTOS / "chelsea.jpg", bad], "mini")
    assert str(raised.value) == said


def test_a_pillow_image_whose_pixels_cannot_be_read_is_named() -> None:
    half = (PHOTOS / "chelsea.jpg").read_bytes()[:9000]
    with Image.open(io.BytesIO(half)) as opened, pytest.raises(MediaError) as raised:
        embed.image([opened], "mini")
    assert str(raised.value) == "images[0]: truncated JPEG: only part of the image is there"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: embed.text("a cat"), "texts must be a list, not str"),
        (lambda: embed.text(iter(["a"])), "texts must be a list, not list_iterator"),  # type: ignore[arg-type]
        (lambda: embed.text(["a", 1]), "texts[1] cannot be of the type int"),  # type: ignore[list-item]
        (lambda: embed.image("cat.jpg"), "images must be a list, not str"),
        (lambda: embed.image(Path("cat.jpg")), "images must be a list, not PosixPath"),  # type: ignore[arg-type]
        (lambda: embed.image([None]), "images[0] cannot be of the type NoneType"),  # type: ignore[list-item]
    ],
)
def test_an_argument_that_is_no_list_is_a_type_error(call: Any, said: str) -> None:
    with pytest.raises(TypeError) as raised:
        call()
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        (
            {"task_type": "query"},
            "It can be: search_query, search_document, classification, clustering.",
        ),
        ({"long_text_mode": "cut"}, "It can be: truncate, mean."),
        ({"inference_mode": "cloud"}, "It can be: local, remote, dynamic."),
        ({"device": "amd"}, "It can be: auto, cpu, cuda, mps, gpu."),
    ],
)
def test_another_value_is_an_error_that_lists_those_there_are(
    argument: dict[str, Any], hint: str
) -> None:
    ((name, value),) = argument.items()
    with pytest.raises(UsageError) as raised:
        embed.text(["a cat"], model="mini", **argument)
    assert (raised.value.what, raised.value.hint) == (f"{name} cannot be {value!r}.", hint)


@pytest.mark.parametrize("mode", ["local", "remote", "dynamic"])
def test_inference_is_local_whatever_is_asked_for(mode: str) -> None:
    assert embed.text(["a"], model="mini", inference_mode=mode)["inference_mode"] == "local"


@pytest.mark.parametrize(
    "model",
    [
        "nomic-v1.5",
        "nomic-embed-text-v1.5",
        "nomic-embed-vision-v1.5",
        "nomic-ai/nomic-embed-text-v1.5",
        "nomic-ai/nomic-embed-vision-v1.5",
    ],
)
def test_either_tower_names_the_pair(model: str) -> None:
    none = {"prompt_tokens": 0, "total_tokens": 0}
    images = embed.image([], model, dimensionality=256)
    assert images == {"embeddings": [], "usage": none, "model": model}
    assert embed.text([], model=model, dimensionality=256) == {**images, "inference_mode": "local"}
    with pytest.raises(UsageError, match="trained for 768, 512, 256, 128, 64"):
        embed.text([], model=model, dimensionality=100)


def test_an_unavailable_model_is_never_replaced() -> None:
    with pytest.raises(ModelError, match="nothing-like-it"):
        embed.text(["a"], model="nothing-like-it")
    with pytest.raises(ModelError):
        embed.text(["a"])
    with pytest.raises(ModelError):
        embed.image([PHOTOS / "chelsea.jpg"])


def test_long_texts_are_truncated_or_read_in_windows(mini: OnnxEncoder) -> None:
    """Every word is one token, and 254 of them fit into the context with [CLS] and [SEP]."""
    words = ["cat", "dog", "house", "river", "night", "train", "bread"] * 80
    whole = " ".join(words)
    windows = [words[start : start + 254] for start in (0, 246, 492)]
    cut = embed.text(["cat", whole], model="mini", device="cpu")
    read = embed.text(["cat", whole], model="mini", device="cpu", long_text_mode="mean")
    first, *rest = mini.embed_texts([" ".join(window) for window in windows], Task.DOCUMENT)
    np.testing.assert_allclose(cut["embeddings"][1], first, atol=1e-5)
    np.testing.assert_allclose(read["embeddings"][1], unit_mean([first, *rest]), atol=1e-5)
    np.testing.assert_allclose(read["embeddings"][0], cut["embeddings"][0], atol=1e-5)
    assert cut["usage"]["total_tokens"] == 3 + 256
    assert read["usage"]["total_tokens"] == 3 + sum(len(window) + 2 for window in windows)


def test_every_window_has_the_prefix(pair: str) -> None:
    """The prefix, [CLS] and [SEP] take 18 of 32 tokens: 14 letters fit, of which 8 are repeated."""
    letters = list("abcdefghijklmnopqrstuvwxyz")
    windows = [" ".join(letters[start : start + 14]) for start in (0, 6, 12)]
    encoder = load_encoder(find_model(pair))
    answer = embed.text([" ".join(letters)], model=pair, long_text_mode="mean", device="cpu")
    expected = unit_mean(encoder.embed_texts(windows, Task.DOCUMENT))
    np.testing.assert_allclose(answer["embeddings"], [expected], atol=1e-5)
    assert answer["usage"]["total_tokens"] == 3 * 32


def test_a_task_is_a_prefix_if_the_model_has_any(pair: str) -> None:
    encoder = load_encoder(find_model(pair))
    for task in Task:
        answer = embed.text(["abc"], model=pair, task_type=task.value, device="cpu")
        prompt = encoder.embed_prompts([f"{task.value}: abc"])
        np.testing.assert_allclose(answer["embeddings"], prompt, atol=1e-5)
    answers = [embed.text(["abc"], model="mini", task_type=task.value) for task in Task]
    assert answers == answers[:1] * 4


def test_a_raw_text_keeps_the_prefix_that_it_has(pair: str, nmm: Nmm) -> None:
    texts = ["clustering: abc", "abc", "other: abc"]
    encoder = load_encoder(find_model(pair))

    def printed(*options: str) -> list[list[float]]:
        done = nmm("embed", "text", *texts, "--model", pair, "--task", "search_query", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["embedding"] for line in done.stdout.splitlines()]

    prefixed = [f"search_query: {text}" for text in texts]
    raw = ["clustering: abc", *prefixed[1:]]
    np.testing.assert_allclose(printed(), encoder.embed_prompts(prefixed), atol=1e-5)
    np.testing.assert_allclose(printed("--raw"), encoder.embed_prompts(raw), atol=1e-5)


def test_both_kinds_have_the_default_model_and_its_shorter_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMM_CACHE", str(tmp_path))
    weights = write_thin_pair(tmp_path / "weights" / "nomic-v1.5")
    write_manifest(weights, {"files": {}})
    image = Image.new("RGB", (40, 30), "red")
    for answer, cut, model in (
        (embed.text(["abc"]), embed.text(["abc"], dimensionality=64), "nomic-embed-text-v1.5"),
        (
            embed.image([image]),
            embed.image([image], dimensionality=64),
            "nomic-embed-vision-v1.5",
        ),
    ):
        ((whole,), (short,)) = answer["embeddings"], cut["embeddings"]
        assert (len(whole), len(short), cut["model"]) == (768, 64, model)
        np.testing.assert_allclose(short, unit_mean([whole[:64]]), atol=1e-5)


def test_an_encoder_is_opened_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    really = embed.open_encoder

    def spy(model: Any, backend: Any) -> Any:
        opened.append(model.name)
        return really(model, backend)

    monkeypatch.setattr(embed, "open_encoder", spy)
    embed.free_embedding_model()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: embed.text(["a cat"], model="mini"), range(8)))
    assert answers == answers[:1] * 8
    assert opened == ["mini"]
    embed.free_embedding_model()
    embed.image([PHOTOS / "chelsea.jpg"], model="mini")
    assert opened == ["mini", "mini"]
