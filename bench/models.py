"""Measure the encoders of a Nomic pair: accuracy, speed, and the cost of opening them.

The pair has full size and random weights, and is generated unless `--pair` names one. One run
measures

- its torch definition, ONNX Runtime in fp32 and in int8, and a peer. The peer of the text encoder
  is sentence-transformers with transformers' own implementation and the same weights. transformers
  does not implement the vision encoder; its peer is the model closest in size, CLIP's ViT-B/16;
- the seconds and memory that opening a session takes, with its weights repacked and as they are on
  disk, and the first run after it (from /proc, so on Linux only).

The ways of one table are timed in turn over several rounds. Rates and ratios are medians over the
rounds, because the speed of a machine drifts. Differences and cosines are relative to the first
row.

    pip install '.[bench]'
    python bench/models.py [--pair DIR] [--photos 16] [--texts 96] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from random_pair import open_pair
from report import Figure, left_out, note
from torch.nn import functional

from nmm.index.encoders.backend import COMPILED_PRECISIONS, Backend, Device, Precision
from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import CONFIG, MINI, TOKENIZER, WEIGHTS
from nmm.index.encoders.runtime.batching import BatchedEncoder
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.encoders.runtime.onnx_encoder import IMAGES_PER_RUN, TOKENS_PER_RUN
from nmm.index.encoders.runtime.torch_encoder import TorchEncoder

QUICK = "--layers 1 --photos 4 --texts 6 --rounds 1"
SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
# The inputs of one run, by name.
Feed = Mapping[str, NDArray[Any]]


class Way(NamedTuple):
    """One way to embed all inputs, and whether it uses the same weights as the others."""

    name: str
    embed: Callable[[], Floats]
    is_same: bool = True


class Row(NamedTuple):
    """The result: items per second, seconds of each round, vectors, and how close they are."""

    name: str
    rate: float
    seconds: list[float]
    cosine: float
    vectors: Floats


def photos(count: int) -> list[Image.Image]:
    """Return crops of the sample photos."""
    chance = random.Random(0)
    files = sorted((SAMPLE_DATA / "photos").glob("*.jpg"))
    crops = []
    for number in range(count):
        photo = Image.open(files[number % len(files)]).convert("RGB")
        left, top = chance.randrange(photo.width // 4), chance.randrange(photo.height // 4)
        box = (left, top, left + photo.width * 3 // 4, top + photo.height * 3 // 4)
        crops.append(photo.crop(box))
    return crops


def paragraphs(count: int) -> list[str]:
    chance = random.Random(0)
    files = sorted(p for pattern in ("*.md", "*.txt") for p in SAMPLE_DATA.rglob(pattern))
    texts = [text for file in files for text in file.read_text("utf-8", "replace").split("\n\n")]
    return chance.sample([text for text in texts if len(text) > 80], count)


def compare(title: str, unit: str, ways: Sequence[Way], rounds: int) -> list[Row]:
    """Print a row per way: vectors are compared with the first's, speed with the last's."""
    vectors = [way.embed() for way in ways]  # warms them up
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, spent in zip(ways, seconds, strict=True):
            started = time.perf_counter()
            way.embed()
            spent.append(time.perf_counter() - started)
    print(f"\n{title} ({len(vectors[0])})")
    header = f"{'max diff':>9}{'min cos':>9}{'mean cos':>9}{unit:>10}{'x first':>9}{'x last':>8}"
    print(f"{'':34}{header}")
    rows = []
    for way, found, spent in zip(ways, vectors, seconds, strict=True):
        near, mean = f"{'-':>9}" * 3, float("nan")
        if way.is_same:
            cosines = (found * vectors[0]).sum(1)
            mean = float(cosines.mean())
            worst = np.abs(found - vectors[0]).max()
            near = f"{worst:9.1e}{cosines.min():9.4f}{mean:9.4f}"
        rate = len(found) / statistics.median(spent)
        print(f"{way.name:34}{near}{rate:10.1f}{ratio(seconds[0], spent):9.2f}", end="")
        print(f"{ratio(seconds[-1], spent):8.2f}", flush=True)
        rows.append(Row(way.name, rate, spent, mean, found))
    return rows


def beside(what: str, unit: str, ours: Row, theirs: Row, goal: str = "") -> Figure:
    times = ratio(theirs.seconds, ours.seconds)
    return Figure(what, ours.rate, unit, theirs.name, theirs.rate, times, goal)


def note_rates(what: str, unit: str, rows: Sequence[Row], peer: Row | None) -> None:
    """Report fp32 and int8 relative to torch, the accuracy of int8, and fp32 relative to a peer."""
    torch_, fp32, int8 = rows[:3]
    note(
        beside(f"{what}, ONNX Runtime fp32", unit, fp32, torch_, ">= 1.3 x"),
        beside(f"{what}, ONNX Runtime int8", unit, int8, torch_, ">= 2 x"),
        Figure(f"{what}, int8: mean cosine to fp32", int8.cosine, "", goal=">= 0.99"),
    )
    if peer:
        note(beside(f"{what}, ONNX Runtime fp32", unit, fp32, peer))


def ratio(theirs: Iterable[float], ours: Iterable[float]) -> float:
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))


class PlainTorch(TorchEncoder):
    """The torch definition on the CPU, in batches as small as those of ONNX Runtime."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, compiled_folder(model), Device.CPU, torch.float32)
        # One batch after the other, each on all cores, because torch's threads are its own.
        self._images_per_run, self._tokens_per_run = 2 * IMAGES_PER_RUN, 2 * TOKENS_PER_RUN
        self._runs = 1


def clip(pixels: Pixels) -> Way:
    """Return CLIP's ViT-B/16 as transformers runs it, with random weights."""
    torch.manual_seed(0)
    tower = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(patch_size=16)).eval()

    @torch.inference_mode()
    def embed() -> Floats:
        runs = [
            tower(torch.from_numpy(run).permute(0, 3, 1, 2) / 255).pooler_output.numpy()
            for run in np.split(pixels, range(IMAGES_PER_RUN, len(pixels), IMAGES_PER_RUN))
        ]
        return np.concatenate(runs)

    return Way("transformers: CLIP ViT-B/16", embed, is_same=False)


def peer_text_tower(model: Model, folder: Path) -> Callable[[Sequence[str]], Floats] | None:
    """Return a model's text encoder in sentence-transformers, with the same weights, on the CPU.

    It takes prompts and returns unit vectors. A copy of the model may be written to `folder`.
    Returns None if sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:
        left_out("sentence-transformers", "it is not installed")
        return None
    is_nomic = model.name != MINI.name
    if is_nomic:
        _write_peer(model, folder)
        files = folder
    else:
        files = next(file.parent for file in weight_files(model) if file.name == TOKENIZER)
    tower = Transformer(str(files), max_seq_length=model.text.context)
    encoder = SentenceTransformer(
        modules=[tower, Pooling(model.dimension, "mean")], device=Device.CPU.value
    )

    def embed(prompts: Sequence[str]) -> Floats:
        means = encoder.encode(list(prompts), convert_to_tensor=True)
        normed = functional.layer_norm(means, means.shape[-1:]) if is_nomic else means
        vectors: Floats = functional.normalize(normed, dim=-1).numpy()
        return vectors

    return embed


def _write_peer(model: Model, folder: Path) -> None:
    """Write a Nomic pair's text encoder in the format of transformers' own implementation."""
    source = Path(model.name, "text")
    config = json.loads((source / CONFIG).read_text("utf-8"))
    transformers.NomicBertConfig(
        vocab_size=config["vocab_size"],
        hidden_size=config["n_embd"],
        num_hidden_layers=config["n_layer"],
        num_attention_heads=config["n_head"],
        intermediate_size=config["n_inner"],
    ).save_pretrained(folder)
    shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
    transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(source / TOKENIZER), pad_token="[PAD]"
    ).save_pretrained(folder)


def sentence_transformers(model: Model, prompts: Sequence[str], folder: Path) -> list[Way]:
    """Return the pair's text encoder in sentence-transformers, if installed."""
    embed = peer_text_tower(model, folder)
    return [Way("sentence-transformers encode", partial(embed, prompts))] if embed else []


# Opens an encoder in a process of its own, and embeds one input.
OPEN = """
import sys, time
from pathlib import Path
import numpy as np
from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.base import Task
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder, Workload

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

name, folder, tower, once = sys.argv[1:]
load_onnxruntime()
workload = Workload.SINGLE_QUERY if once == "once" else Workload.INTERACTIVE
encoder = OnnxEncoder(find_model(name), Path(folder), workload=workload)
pixels = np.zeros((1, encoder.model.image.side, encoder.model.image.side, 3), np.uint8)
before, started = resident(), time.perf_counter()
encoder._vision_session if tower == "vision" else encoder._text_session
opened = time.perf_counter() - started
after = resident()
encoder.tokenizer
started = time.perf_counter()
if tower == "vision":
    encoder.embed_images(pixels)
else:
    encoder.embed_texts(["boats on a lake"], Task.QUERY)
first = time.perf_counter() - started
print(opened, after - before, first, resident() - before)
"""


def print_opening(model: Model, rounds: int) -> None:
    opening: dict[str, float] = {}
    print("\nopening a session, in a new process")
    print(f"{'':34}{'disk':>9}{'open':>9}{'memory':>9}{'first run':>11}{'memory then':>13}")
    for tower in ("vision", "text"):
        for precision in COMPILED_PRECISIONS:
            folder = compiled_folder(model, precision)
            disk = sum(file.stat().st_size for file in folder.glob(f"{tower}.onnx*")) / 1e6
            for once, how in (("", "repacked"), ("once", "as it lies on disk")):
                command = [sys.executable, "-c", OPEN, model.name, str(folder), tower, once]
                runs = [
                    [float(word) for word in subprocess.check_output(command, text=True).split()]
                    for _ in range(rounds)
                ]
                opened, memory, first, then = map(statistics.median, zip(*runs, strict=True))
                name = f"{tower}, {precision.value}, {how}"
                opening[name] = opened + first
                print(
                    f"{name:34}{disk:6.0f} MB{opened:7.2f} s"
                    f"{memory:6.0f} MB{first:9.3f} s{then:10.0f} MB",
                    flush=True,
                )
    ours, theirs = (opening[f"text, fp32, {how}"] for how in ("as it lies on disk", "repacked"))
    what = "text tower opened, with the first run, as it lies on disk"
    note(Figure(what, ours, "s", "repacked", theirs, theirs / ours))


def encoder_of(model: Model, precision: Precision) -> BatchedEncoder:
    """Return the encoder on the CPU; it is compiled first, into the folder that NMM_CACHE names."""
    return load_encoder(model, backend=Backend(device=Device.CPU, precision=precision))


def pixels_of(images: Sequence[Image.Image], model: Model) -> Pixels:
    return np.stack([to_pixels(image, model.image) for image in images])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="generated by default")
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--texts", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12, help="of the generated pair")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    with tempfile.TemporaryDirectory() as temporary:
        model = open_pair(arguments.pair, Path(temporary), arguments.layers)
        fp32, int8 = (encoder_of(model, precision) for precision in COMPILED_PRECISIONS)
        encoders = {
            "torch fp32": PlainTorch(model),
            "ONNX Runtime fp32": fp32,
            "ONNX Runtime int8": int8,
        }
        pixels, texts = pixels_of(photos(arguments.photos), model), paragraphs(arguments.texts)
        prompts = [model.prompt(text, Task.DOCUMENT) for text in texts]
        ways = [
            Way(name, partial(encoder.embed_images, pixels)) for name, encoder in encoders.items()
        ]
        rows = compare("photos", "images/s", [*ways, clip(pixels)], rounds)
        note_rates("photos", "images/s", rows, rows[-1])
        ways = [
            Way(name, partial(encoder.embed_prompts, prompts)) for name, encoder in encoders.items()
        ]
        peers = sentence_transformers(model, prompts, Path(temporary, "peer"))
        rows = compare("texts", "texts/s", [*ways, *peers], rounds)
        note_rates("texts", "texts/s", rows, rows[-1] if peers else None)
        print_opening(model, rounds)


if __name__ == "__main__":
    main()
