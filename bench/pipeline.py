"""Measure how close `nmm index` comes to its limits: the encoder alone, or decoding alone.

Photos (`photos.py`) and texts of the sample's paragraphs are generated. Timed in turn over several
rounds, each on all cores, are

- `nmm index` as a process, from start to end, into a new index; and over two of the files alone,
  which is about its start-up, to derive what remains of a loss in a large collection;
- the encoder alone, in this process, on the same inputs, decoded or chunked beforehand;
- reading and decoding alone: the files' bytes, hashed, decoded and resized.

On a CPU both share the cores, so the whole cannot reach the faster of them: the limit is the sum of
the times that both take alone. Ratios are medians over the rounds.

Then CLIP's ViT-B/16, with the same random weights, embeds the same files: with `nmm index`, with
sentence-transformers' `encode`, and with rclip's loop (Pillow, 8 images at a time, torch) around
transformers' CLIP.

    python bench/pipeline.py [--pair DIR] [--rounds 3] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from photos import write_photos
from PIL import Image
from random_pair import write_pair
from report import Figure, left_out, note
from tokenizers import Tokenizer

from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.export.compiler import ensure_compiled
from nmm.index.encoders.hub.cache_dirs import weights_folder
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.preprocess import to_pixels
from nmm.index.encoders.registry import CLIP_VIT_B_16, MINI, PREPROCESSOR, TOKENIZER
from nmm.index.encoders.resolve import find_model
from nmm.index.encoders.runtime.devices import available_cpus
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.indexing.embed import TEXTS_PER_IMAGE
from nmm.index.indexing.prepare import PreparedFile, ReadRequest, prepare_file
from nmm.index.media.base import Chunking, UnitRequest
from nmm.index.media.identify import hash_file
from nmm.index.media.image.decode import MAX_PIXELS

QUICK = "--only mini --scale 0.01 --rounds 1"

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
NMM = Path(sys.executable).with_name("nmm")
# Files of a run that measures start-up.
FEW = 2


class Way(NamedTuple):
    """One way to do the same work."""

    name: str
    run: Callable[[], Any]


class Case(NamedTuple):
    """Files of one kind, and how many of them a model gets."""

    name: str
    model: Model
    form: str
    megapixels: float
    count: int


def cases(pair: Model, scale: float) -> list[Case]:
    every = [
        Case("nomic, 24 MP JPEG", pair, "JPEG", 24, 240),
        Case("nomic, 2 MP JPEG", pair, "JPEG", 2, 480),
        Case("mini, 24 MP JPEG", MINI, "JPEG", 24, 480),
        Case("mini, 12 MP HEIC", MINI, "HEIF", 12, 8),
        Case("mini, 12 MP PNG", MINI, "PNG", 12, 32),
        Case("mini, 2 MP JPEG", MINI, "JPEG", 2, 1600),
        Case("nomic, texts", pair, "", 0, 80),
        Case("mini, texts", MINI, "", 0, 400),
    ]
    return [case._replace(count=max(2 * FEW, round(case.count * scale))) for case in every]


def write_texts(folder: Path, count: int) -> list[Path]:
    """Write texts of twelve paragraphs each, from the sample texts."""
    chance = random.Random(0)
    paragraphs = [
        paragraph
        for pattern in ("*.md", "*.txt", "*.rst")
        for path in sorted((SAMPLE_DATA).rglob(pattern))
        for paragraph in path.read_text("utf-8", "replace").split("\n\n")
    ]
    folder.mkdir()
    for number in range(count):
        text = "\n\n".join(chance.sample(paragraphs, 12))
        (folder / f"{number:05}.txt").write_text(text, "utf-8")
    return sorted(folder.iterdir())


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def index(folder: Path, count: int, model: Model) -> None:
    """Run `nmm index` on a folder, into a new index."""
    with tempfile.TemporaryDirectory() as made:
        command = [NMM, "index", folder, "--json", "--index", made, "--model", model.name]
        environ = {**os.environ, "HF_HUB_OFFLINE": "1", "NMM_CONFIG": os.devnull}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, env=environ
        )
    assert json.loads(done.stdout)["added"] == count


def decode_all(paths: Iterable[Path], model: Model) -> list[PreparedFile]:
    """Read and decode files as an indexing run does, in as many threads."""
    request = ReadRequest.for_model(model, load_encoder(MINI).tokenizer, MAX_PIXELS)
    with ThreadPoolExecutor(available_cpus()) as pool:
        return list(pool.map(lambda path: prepare_file(hash_file(path), request), paths))


def pixels_of(files: Iterable[PreparedFile]) -> list[NDArray[np.uint8]]:
    """Return the pixels of all images in some files."""
    payloads = (unit.payload for file in files for unit in file.units)
    return [payload for payload in payloads if not isinstance(payload, str)]


def images_alone(paths: Sequence[Path], model: Model) -> tuple[Callable[[], object], int]:
    """Return the encoder on images decoded beforehand, and their number."""
    encoder = load_encoder(model)
    pixels = np.stack(pixels_of(decode_all(paths, model)))
    return lambda: encoder.embed_images(pixels), len(pixels)


def texts_alone(paths: Sequence[Path], model: Model) -> tuple[Callable[[], object], int]:
    """Return the encoder on the chunks of texts, in batches of a run's size."""
    encoder = load_encoder(model)
    chunking = Chunking.for_index(encoder.tokenizer, model.chunk)
    texts: list[str] = []
    for path in paths:
        units = hash_file(path).read(UnitRequest(1, 1, chunking)).units
        texts += [str(unit.payload) for unit in units]
    size = encoder.batch_size * TEXTS_PER_IMAGE

    def run() -> None:
        for start in range(0, len(texts), size):
            encoder.embed_texts(texts[start : start + size], Task.DOCUMENT)

    return run, len(texts)


def measure(case: Case, folder: Path, rounds: int) -> None:
    """Time the whole, its start-up and its parts in turn, and print a row."""
    if case.form:
        paths = write_photos(folder, case.count, case.megapixels, case.form)
        encode, _ = images_alone(paths, case.model)
    else:
        paths = write_texts(folder, case.count)
        encode, _ = texts_alone(paths, case.model)
    few = folder.with_name("few")
    few.mkdir()
    for path in paths[:FEW]:
        shutil.copy(path, few)
    runs = [
        lambda: index(folder, case.count, case.model),
        encode,
        lambda: decode_all(paths, case.model),
        lambda: index(few, FEW, case.model),
    ]
    index(few, FEW, case.model)
    encode()
    times = [tuple(seconds(run) for run in runs) for _ in range(rounds)]
    for made in (folder, few):
        shutil.rmtree(made)
    whole, encoder, decoder, _ = (
        case.count / statistics.median(column) for column in zip(*times, strict=True)
    )
    start = statistics.median(s for *_, s in times)
    to_encoder = statistics.median(e / w for w, e, _, _ in times)
    to_decoder = statistics.median(d / w for w, _, d, _ in times)
    to_cores = statistics.median((e + d) / w for w, e, d, _ in times)
    later = (case.count - FEW) / case.count
    after_start = statistics.median(later * (e + d) / (w - s) for w, e, d, s in times)
    print(
        f"{case.name:20}{case.count:6}{whole:11.2f}{encoder:11.2f}{decoder:11.2f}{start:9.2f}"
        f"{to_encoder:10.2f}{to_decoder:9.2f}{to_cores:9.2f}{after_start:8.2f}",
        flush=True,
    )
    unit = "images/s" if case.form else "texts/s"
    bound, rate, ratio, goal = (
        ("encoder", encoder, to_encoder, ">= 0.90")
        if encoder < decoder
        else ("decoding", decoder, to_decoder, ">= 0.85")
    )
    note(
        Figure(f"index: {case.name}", whole, unit, f"{bound} alone", rate, ratio, goal),
        Figure(f"index: {case.name}", whole, unit, "what the cores allow", None, to_cores),
        Figure(
            f"index: {case.name}", whole, unit, "the same, without the start", None, after_start
        ),
    )


def write_clip(folder: Path) -> None:
    """Write CLIP's ViT-B/16 with random weights in hub layout, with a text encoder of one layer."""
    import torch
    import transformers

    (tokenizer,) = (file for file in weight_files(MINI) if file.name == TOKENIZER)
    ids = Tokenizer.from_file(str(tokenizer))
    text = {
        "num_hidden_layers": 1,
        "vocab_size": ids.get_vocab_size(),
        "bos_token_id": ids.token_to_id("[CLS]"),
        "eos_token_id": ids.token_to_id("[SEP]"),
        "pad_token_id": ids.token_to_id("[PAD]"),
    }
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=text, vision_config={"patch_size": 16}, projection_dim=512
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer),
        pad_token="[PAD]",
        model_max_length=CLIP_VIT_B_16.text.context,
    ).save_pretrained(folder)
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    spec = CLIP_VIT_B_16.image
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": spec.side,
        "crop_size": spec.side,
        "resample": 3,
        "image_mean": spec.mean,
        "image_std": spec.std,
    }
    (folder / PREPROCESSOR).write_text(json.dumps(processor), "utf-8")


def sentence_transformers_encode(folder: Path, paths: Sequence[Path]) -> Way | None:
    """Return `encode` on open images, 32 at a time, as in its documentation."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        left_out("sentence-transformers' encode", "it is not installed")
        return None
    model = SentenceTransformer(str(folder), device="cpu")

    def encode() -> NDArray[np.float32]:
        with ExitStack() as stack:
            images = [stack.enter_context(Image.open(path)) for path in paths]
            vectors: NDArray[np.float32] = model.encode(images, normalize_embeddings=True)
            return vectors

    return Way("sentence-transformers encode", encode)


def rclip_loop(folder: Path, paths: Sequence[Path]) -> Way:
    """Return rclip's loop: 8 files are decoded and resized one by one, then embedded.

    rclip itself accepts no weights of another architecture; the encoder is transformers'.
    """
    import torch
    import transformers

    tower = transformers.CLIPModel.from_pretrained(folder).eval()
    spec = CLIP_VIT_B_16.image
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))

    def preprocess(path: Path) -> torch.Tensor:
        pixels = torch.from_numpy(to_pixels(Image.open(path).convert("RGB"), spec).copy())
        return (pixels.permute(2, 0, 1).float() / 255 - mean) / std

    @torch.inference_mode()
    def loop() -> NDArray[np.float32]:
        vectors = []
        for start in range(0, len(paths), 8):
            batch = torch.stack([preprocess(path) for path in paths[start : start + 8]])
            features = tower.get_image_features(batch)
            vectors.append(getattr(features, "pooler_output", features))
        return torch.nn.functional.normalize(torch.cat(vectors), dim=-1).numpy()

    return Way("rclip's loop", loop)


def compare_with_peers(temporary: Path, rounds: int, scale: float) -> None:
    """Run the same encoder, weights and files, from files to vectors, with nmm and with others."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    folder = weights_folder(CLIP_VIT_B_16)
    write_clip(folder)
    ensure_compiled(CLIP_VIT_B_16)  # prevents downloads
    for megapixels, full in ((2, 96), (24, 32)):
        count = max(8, round(full * scale))
        files = temporary / "files"
        paths = write_photos(files, count, megapixels)
        found = (sentence_transformers_encode(folder, paths), rclip_loop(folder, paths))
        others = [way for way in found if way]
        pixels = pixels_of(decode_all(paths, CLIP_VIT_B_16))
        ours = load_encoder(CLIP_VIT_B_16).embed_images(pixels)
        cosines = [float((ours * way.run()).sum(1).mean()) for way in others]
        nmm = Way("nmm index", partial(index, files, count, CLIP_VIT_B_16))
        times = [[seconds(way.run) for way in (nmm, *others)] for _ in range(rounds)]
        shutil.rmtree(files)
        rate = count / statistics.median(row[0] for row in times)
        print(f"\nCLIP ViT-B/16, {count} JPEGs of {megapixels} MP{'images/s':>20}", end="")
        print(f"{'nmm is faster by':>20}{'mean cosine':>14}\n{'nmm index':42}{rate:8.2f}")
        for number, (way, cosine) in enumerate(zip(others, cosines, strict=True), 1):
            other = count / statistics.median(row[number] for row in times)
            ratio = statistics.median(row[number] / row[0] for row in times)
            print(f"{way.name:42}{other:8.2f}{ratio:20.2f}{cosine:14.4f}", flush=True)
            what = f"index: CLIP ViT-B/16, {megapixels} MP JPEG"
            note(Figure(what, rate, "images/s", way.name, other, ratio))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="generated by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1, help="multiple of the number of files")
    parser.add_argument("--only", default="", help="cases whose name contains this, or peers")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name).resolve()
        # CLIP then has random weights, and no others.
        os.environ["NMM_CACHE"] = str(temporary / "cache")
        pair = arguments.pair or temporary / "pair"
        if not pair.exists():
            write_pair(pair)
        nomic = find_model(str(pair))
        print(f"{'':20}{'files':>6}{'nmm index':>11}{'encoder':>11}{'decoding':>11}", end="")
        print(f"{'start, s':>9}{'/encoder':>10}{'/decod.':>9}{'/cores':>9}{'- start':>8}")
        for case in cases(nomic, arguments.scale):
            if arguments.only in case.name:
                measure(case, temporary / "files", arguments.rounds)
        if arguments.only in "peers":
            compare_with_peers(temporary, arguments.rounds, arguments.scale)


if __name__ == "__main__":
    main()
