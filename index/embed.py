"""Embed texts and images with the interface of the hosted `nomic` client.

Code written for `from nomic import embed` runs on this machine with `from nmm.index import
embed`. The arguments are those of
https://github.com/nomic-ai/nomic/blob/main/nomic/embed.py. Vectors have unit length; they are
lists of floats that float32 holds exactly.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict, TypeVar

from nmm.index.encoders.backend import Backend, Device
from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.provision import prepare
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.devices import available_cpus, check_backend
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.errors import MediaError, UnreadableError, UsageError
from nmm.index.events import Event
from nmm.index.media.image.decode import MAX_PIXELS, decode, upright_rgb
from nmm.index.media.image.files import read_image

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from nmm.index.encoders.base import ImagePreprocessing
    from nmm.index.encoders.runtime.batching import BatchedEncoder

    ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image

T = TypeVar("T")

# Images decoded and embedded together: their pixels take 5 to 7 MB.
IMAGES = 32
# Tokens that a window of a long text repeats from the previous one, as upstream's do.
OVERLAP = 8

TASKS: Mapping[str, Task] = MappingProxyType({task.value: task for task in Task})
# Whether a long text is embedded in windows, to its end.
LONG_TEXT_MODES: Mapping[str, bool] = MappingProxyType({"truncate": False, "mean": True})
INFERENCE_MODES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("local", "remote", "dynamic"), "local")
)
DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        **{device.value: device for device in Device},
        "gpu": Device.MPS if sys.platform == "darwin" else Device.CUDA,
    }
)


class Usage(TypedDict):
    """The number of tokens read, including prefixes and special tokens; 0 for images."""

    prompt_tokens: int
    total_tokens: int


class ImageEmbeddings(TypedDict):
    """Vectors in the order of the images, and the model's name as it was requested."""

    embeddings: list[list[float]]
    usage: Usage
    model: str


class TextEmbeddings(ImageEmbeddings):
    """Vectors in the order of the texts. The inference mode is "local"."""

    inference_mode: str


def text(
    texts: Sequence[str],
    *,
    model: str = "nomic-embed-text-v1.5",
    task_type: str = "search_document",
    dimensionality: int | None = None,
    long_text_mode: str = "truncate",
    inference_mode: str = "local",
    device: str | None = None,
) -> TextEmbeddings:
    """Embed texts. The first call downloads the model, which takes a while.

    Args:
        texts: The texts.
        model: A model's name, one of its repositories, or a folder with a pair.
        task_type: "search_query", "search_document", "classification" or "clustering". It has
            no effect on a model without prefixes.
        dimensionality: Length of the vectors, for a model that was trained to be cut.
        long_text_mode: For texts longer than the model's context. "truncate" embeds the
            beginning. "mean" embeds windows that overlap by 8 tokens, each with the prefix, and
            returns the normalised mean of their vectors.
        inference_mode: "remote", "local" or "dynamic"; inference is always local.
        device: "cpu", "gpu", "cuda" or "mps"; if not given, a GPU if there is one.

    Raises:
        TypeError: `texts` is not a list of strings.
        UsageError: Another argument has a value that is not allowed.
        ModelError: The model is unknown, unavailable or cannot be run.
    """
    _check_list("texts", texts, str)
    task = _pick("task_type", task_type, TASKS)
    in_windows = _pick("long_text_mode", long_text_mode, LONG_TEXT_MODES)
    mode = _pick("inference_mode", inference_mode, INFERENCE_MODES)
    row = find_model(model).with_dimension(dimensionality)
    where = _pick("device", device or "auto", DEVICES)
    embeddings: list[list[float]] = []
    tokens = 0
    if texts:
        encoder = _cached_encoder(row, where)
        windows = [_windows(encoder, one, task) if in_windows else [one] for one in texts]
        prompts = [row.prompt(part, task) for parts in windows for part in parts]
        vectors = iter(encoder.embed_prompts(prompts))
        embeddings = [_mean([next(vectors) for _ in parts]).tolist() for parts in windows]
        tokens = _count_tokens(encoder, prompts)
    return {
        "embeddings": embeddings,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "model": model,
        "inference_mode": mode,
    }


def image(
    images: Sequence[ImageLike],
    model: str = "nomic-embed-vision-v1.5",
    *,
    dimensionality: int | None = None,
    device: str | None = None,
) -> ImageEmbeddings:
    """Embed images. The first call downloads the model, which takes a while.

    Args:
        images: Paths, file URLs, bytes of image files, or Pillow images. They are rotated as
            their EXIF data say, and transparent parts become white.
        model: See :func:`text`. The name of either tower names the pair.
        dimensionality: See :func:`text`.
        device: See :func:`text`.

    Raises:
        TypeError: `images` is not a list of these.
        UsageError: See :func:`text`.
        MediaError: An image cannot be read. The message names it.
        ModelError: See :func:`text`.
    """
    from PIL.Image import Image

    _check_list("images", images, str, os.PathLike, bytes, Image)
    row = find_model(model).with_dimension(dimensionality)
    where = _pick("device", device or "auto", DEVICES)
    embeddings: list[list[float]] = []
    for start in range(0, len(images), IMAGES):
        some = images[start : start + IMAGES]
        vectors, bad = vectors_of_images(_cached_encoder(row, where), some)
        for at, error in bad.items():
            one = some[at]
            name = one if isinstance(one, str | os.PathLike) else f"images[{start + at}]"
            raise type(error)(f"{name}: {error.what}") from error
        embeddings += vectors.tolist()
    return {
        "embeddings": embeddings,
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "model": model,
    }


def free_embedding_model() -> None:
    """Free the models that :func:`text` and :func:`image` keep in memory between calls.

    It is part of the interface of the `nomic` client.
    """
    with _encoders_lock:
        _encoders.clear()


def open_encoder(
    model: Model,
    backend: Backend | None = None,
    *,
    offline: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
) -> BatchedEncoder:
    """Return the encoder of a model, downloaded and compiled first if needed.

    Raises:
        UsageError: The device is not available, or the model cannot run on it.
        ModelError: The model is unavailable or cannot be compiled.
    """
    backend = backend or Backend()
    check_backend(model, backend)
    prepare(model, backend=backend, offline=offline, on_event=on_event)
    return load_encoder(model, backend=backend)


def vectors_of_images(
    encoder: BatchedEncoder, images: Sequence[ImageLike], *, max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.float32], dict[int, MediaError]]:
    """Embed a batch of images. All are held in memory at once, in the model's input size.

    Args:
        encoder: The encoder.
        images: See :func:`image`.
        max_pixels: Image files with more pixels are not decoded.

    Returns:
        Vectors, float32 of shape (n, dimension), with a row of NaN for each image that cannot
        be read; and the errors by row.
    """
    import numpy as np

    def read(image: ImageLike) -> NDArray[np.uint8] | MediaError:
        try:
            return _pixels(image, encoder.model.image, max_pixels)
        except MediaError as error:
            return error

    with ThreadPoolExecutor(available_cpus()) as pool:
        found = dict(enumerate(pool.map(read, images)))
    bad = {row: one for row, one in found.items() if isinstance(one, MediaError)}
    pixels = {row: one for row, one in found.items() if not isinstance(one, MediaError)}
    vectors = np.full((len(images), encoder.model.dimension), np.nan, np.float32)
    if pixels:
        vectors[list(pixels)] = encoder.embed_images(np.stack(list(pixels.values())))
    return vectors, bad


# Encoders stay open between calls, because opening one takes longer than embedding a few texts.
_encoders: dict[tuple[Path, int, Device], BatchedEncoder] = {}
_encoders_lock = threading.Lock()


def _cached_encoder(model: Model, device: Device) -> BatchedEncoder:
    # The name of the folder changes when the weights in a user's folder change.
    key = compiled_folder(model), model.dimension, device
    with _encoders_lock:
        if key not in _encoders:
            _encoders[key] = open_encoder(model, Backend(device))
        return _encoders[key]


def _check_list(name: str, items: object, *types: type) -> None:
    """Refuse what is not a list of these types. A string is a sequence too, of characters."""
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise TypeError(f"{name} must be a list, not {type(items).__name__}")
    for number, item in enumerate(items):
        if not isinstance(item, types):
            raise TypeError(f"{name}[{number}] cannot be of the type {type(item).__name__}")


def _pick(name: str, value: str, choices: Mapping[str, T]) -> T:
    try:
        return choices[value]
    except KeyError as error:
        raise UsageError(
            f"{name} cannot be {value!r}.",
            code="argument-invalid",
            hint=f"It can be: {', '.join(choices)}.",
            argument=name,
            value=value,
        ) from error


def _windows(encoder: BatchedEncoder, text: str, task: Task) -> list[str]:
    """Split a text into overlapping parts that fit the context together with their prefix."""
    prefix = encoder.tokenizer.encode(encoder.model.prompt("", task))
    tokenizer = copy(encoder.tokenizer)
    tokenizer.enable_truncation(encoder.model.text.context - len(prefix), stride=OVERLAP)
    first = tokenizer.encode(text, add_special_tokens=False)
    spans = [window.offsets for window in (first, *first.overflowing)]
    # A part that begins or ends within a word can have a token or two more on its own. They are
    # truncated, and the next part has them too.
    return [text[span[0][0] : span[-1][1]] if span else "" for span in spans]


def _mean(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the normalised mean of unit vectors."""
    import numpy as np

    if len(vectors) == 1:
        return vectors[0]
    mean: NDArray[np.float32] = np.mean(vectors, axis=0)
    unit: NDArray[np.float32] = mean / np.linalg.norm(mean)
    return unit


def _count_tokens(encoder: BatchedEncoder, prompts: list[str]) -> int:
    context = encoder.model.text.context
    return sum(min(len(one), context) for one in encoder.tokenizer.encode_batch_fast(prompts))


# Pillow loads pixels and EXIF lazily, which is not safe for two threads at once, and a list may
# hold one image twice.
_pillow_lock = threading.Lock()


def _pixels(image: ImageLike, spec: ImagePreprocessing, max_pixels: int) -> NDArray[np.uint8]:
    """Return the input of the vision tower for an image: shape (side, side, 3).

    Raises:
        MediaError: The image cannot be read.
    """
    try:
        if isinstance(image, str | os.PathLike):
            image = read_image(_path(os.fspath(image)))
        if isinstance(image, bytes):
            upright = decode(image, side=spec.side, max_pixels=max_pixels).image
        else:
            with _pillow_lock:
                upright = upright_rgb(image)
        return to_pixels(upright, spec)
    except MediaError:
        raise
    except OSError as error:
        raise UnreadableError(
            f"not readable: {error.strerror or error}", code="file-unreadable"
        ) from error
    except Exception as error:
        # A hostile file can raise anything in a decoder. The other images are embedded anyway.
        raise MediaError(
            f"not readable: {type(error).__name__}: {error}", code="file-undecodable"
        ) from error


def _path(name: str) -> Path:
    """Return the path of a name, which may be a file URL (RFC 8089)."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    if not re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        return Path(name)
    url = urlsplit(name)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        raise MediaError(
            "not on this machine: nmm downloads no images, download it first",
            code="image-not-local",
        )
    return Path(url2pathname(url.path))
