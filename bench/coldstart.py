"""Measure the whole process that answers one query, and where its time goes.

This is what a shell user waits for each time. With a warm page cache, these are timed in turn,
beside `python -c pass`: `nmm --help`, `nmm --version`, and `nmm search` with `mini` and with a
full-size Nomic pair, each on indexes of several sizes. The searches are then broken down into the
rows of NMM_TIMING and the time between its last line and the end of the process.

Peers, timed in the same turns:

- `import sentence_transformers`, and nothing else;
- a query in a script with transformers: CLIP with encoders as large as Nomic's is loaded from
  safetensors, embeds one text, and compares it with as many vectors from a NumPy file;
- rclip's own command on as many images, without a check for changed ones (`--no-indexing`), in a
  virtual environment that --rclip names. Instead of its downloaded weights it gets ONNX files of
  the same architecture (CLIP ViT-B/32: 12 layers of 512) with random weights, and random merges for
  its tokenizer, which pads every text to 77 tokens anyway.

All weights and vectors are random: this changes the results, but not the cost. A peer that is not
installed is left out and reported.

    pip install sentence-transformers; python -m venv V; V/bin/pip install rclip
    python bench/coldstart.py [--counts 3000 100000] [--rounds 11] [--rclip V/bin/python] [--pair
    DIR]

Models are compiled into a temporary folder, unless NMM_CACHE names one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from growth import NMM, add, names
from random_pair import write_pair
from report import Figure, left_out, note

from nmm.index import calibration
from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.resolve import model_in_folder
from nmm.index.encoders.runtime.loader import load_encoder
from nmm.index.index_model import settings_of
from nmm.index.store.catalog.roots import adopt_root
from nmm.index.store.catalog.writer import open_for_writing
from nmm.index.store.layout import IndexFolder
from nmm.index.store.vectors.factory import open_vector_index

QUICK = "--counts 50 --rounds 1 --layers 1"

PLAIN, HELP, VERSION = "python -c pass", "nmm --help", "nmm --version"
SENTENCE = "import sentence_transformers"
QUERY = "two dogs on a beach"
GOALS = {HELP: 0.15, VERSION: 0.15, "mini": 0.45, "full size": 0.6}
CLIP_WIDTH, RCLIP_WIDTH, RCLIP_CONTEXT = 768, 512, 77
RCLIP_FOLDER = "ViT-B-32-256-datacomp_s34b_b86k"

# Loads CLIP, embeds a query, and prints the best match in a file of vectors.
CLIP_QUERY = """
import sys
import numpy as np, torch
from transformers import CLIPModel, PreTrainedTokenizerFast
folder, vectors, query = sys.argv[1:]
tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
model = CLIPModel.from_pretrained(folder).eval()
with torch.inference_mode():
    found = model.get_text_features(**tokenizer([query], return_tensors="pt"))
    found = getattr(found, "pooler_output", found)
scores = np.load(vectors, mmap_mode="r") @ found[0].numpy()
for place in np.argsort(-scores)[:10]:
    print(f"{scores[place]:.3f}", place)
"""
# Fills rclip's database with rclip's own code.
RCLIP_FILL = """
import sys
from pathlib import Path
import numpy as np
from rclip.db import DB
datadir, photos, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chance, db = np.random.default_rng(0), DB(datadir / "db.sqlite3")
for n in range(count):
    vector = chance.standard_normal(512).astype(np.float32)
    path, blob = f"{photos}/{n:07}.jpg", (vector / np.linalg.norm(vector)).tobytes()
    row = {"filepath": path, "modified_at": 0.0, "size": 0, "vector": blob, "hash": str(n)}
    db.upsert_image(row, commit=False)
db.close()
"""


class Way(NamedTuple):
    """A process: its name in the table, its command, and its additional environment variables."""

    name: str
    command: list[str | Path]
    environ: dict[str, str]
    folder: Path | None = None


def run(way: Way, **environ: str) -> tuple[float, str]:
    """Return the seconds from the start of the process to its end, and its stderr."""
    started = time.perf_counter()
    done = subprocess.run(
        way.command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **way.environ, **environ},
        cwd=way.folder,
    )
    return time.perf_counter() - started, done.stderr


def make_index(folder: IndexFolder, model: Model, count: int) -> IndexFolder:
    """Make an index of random vectors in the state after a run, with its calibration."""
    encoder = load_encoder(model)
    chance = np.random.default_rng(0)
    paths = list(names(count))
    with open_for_writing(folder) as writer:
        writer.set_settings(settings_of(encoder))
        root = Path(folder.path.anchor, "nowhere")
        adopted, _ = adopt_root(writer, root)
        for start in range(0, count, 5000):
            with writer.batch():
                for path in paths[start : start + 5000]:
                    add(writer, adopted, root, path, chance.standard_normal(model.dimension))
        open_vector_index(folder, writer).sync(writer)
        neutral = encoder.embed_texts(calibration.NEUTRAL_QUERIES, Task.QUERY)
        if measured := calibration.measure(writer, "text", neutral):
            writer.set_calibration("text", measured)
    return folder


def searches(temporary: Path, title: str, model: Model, counts: list[int]) -> list[Way]:
    """Return `nmm search` on an index of each size."""
    ways = []
    for count in counts:
        folder = make_index(IndexFolder(temporary / f"{title}-{count}"), model, count)
        ways.append(
            Way(
                f"nmm search, {title}, {count:,}",
                [NMM, "search", QUERY],
                {"NMM_INDEX": str(folder.path)},
            )
        )
    return ways


def clip(temporary: Path, count: int) -> Way:
    """Return a query with transformers' CLIP, with encoders as large as Nomic's."""
    import torch
    from random_pair import weight_files
    from transformers import (
        CLIPConfig,
        CLIPModel,
        CLIPTextConfig,
        CLIPVisionConfig,
        PreTrainedTokenizerFast,
    )

    torch.manual_seed(0)
    wide = {"hidden_size": CLIP_WIDTH, "intermediate_size": 4 * CLIP_WIDTH}
    deep = {"num_hidden_layers": 12, "num_attention_heads": 12, "projection_dim": CLIP_WIDTH}
    text = CLIPTextConfig(**wide, **deep).to_dict()
    vision = CLIPVisionConfig(**wide, **deep, patch_size=16).to_dict()
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=CLIP_WIDTH)
    folder = temporary / "clip"
    CLIPModel(config).save_pretrained(folder)
    (tokenizer,) = (file for file in weight_files(MINI) if file.name == "tokenizer.json")
    PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer), model_input_names=["input_ids", "attention_mask"]
    ).save_pretrained(folder)
    vectors = np.random.default_rng(0).standard_normal((count, CLIP_WIDTH), np.float32)
    np.save(temporary / "clip.npy", vectors)
    command: list[str | Path] = [sys.executable, "-c", CLIP_QUERY, folder, temporary / "clip.npy"]
    return Way(f"transformers, CLIP, {count:,}", [*command, QUERY], {"HF_HUB_OFFLINE": "1"})


def rclip(temporary: Path, python: Path, count: int) -> Way:
    """Return rclip's command, with random weights in the place of its own."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    folder, photos = temporary / "rclip", temporary / "photos"
    (folder / RCLIP_FOLDER).mkdir(parents=True)
    (folder / "tokenizer").mkdir()
    photos.mkdir()
    torch.manual_seed(0)
    tower = CLIPTextModelWithProjection(
        CLIPTextConfig(num_hidden_layers=12, eos_token_id=49407, attn_implementation="eager")
    ).eval()

    class Vectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = tower

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.tower(tokens).text_embeds
            return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of torch's exporter
        torch.onnx.export(
            Vectors().eval(),
            (torch.full((1, RCLIP_CONTEXT), 49407),),
            folder / RCLIP_FOLDER / "textual.onnx",
            input_names=["input"],
            output_names=["output"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    # A text query does not open the vision encoder, but rclip checks that the file exists.
    (folder / RCLIP_FOLDER / "visual.onnx").write_bytes(b"")
    _write_merges(folder / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz")
    subprocess.run([python, "-c", RCLIP_FILL, folder, photos, str(count)], check=True)
    command: list[str | Path] = [python, "-m", "rclip", "--no-indexing", QUERY]
    return Way(f"rclip, {count:,}", command, {"RCLIP_DATADIR": str(folder)}, photos)


def _write_merges(file: Path) -> None:
    """Write a merges file for CLIP's tokenizer, with as many random merges as CLIP has."""
    import gzip
    from itertools import product
    from string import ascii_lowercase

    pairs = product(["".join(two) for two in product(ascii_lowercase, repeat=2)], repeat=2)
    lines = ["#version: 0.2", *(" ".join(pair) for pair, _ in zip(pairs, range(48894)))]  # noqa: B905
    with gzip.open(file, "wt", encoding="utf-8") as opened:
        opened.write("\n".join(lines))


def peers(temporary: Path, python: Path | None, count: int) -> list[Way]:
    """Return the installed peers, and report the others."""
    ways = []
    if importlib.util.find_spec("sentence_transformers"):
        ways.append(Way(SENTENCE, [sys.executable, "-c", SENTENCE], {}))
    else:
        left_out("sentence-transformers", "it is not installed")
    ways.append(clip(temporary, count))
    if python is None:
        left_out("rclip", "--rclip names the python of a venv that has it")
    else:
        ways.append(rclip(temporary, python, count))
    return ways


def print_times(ways: list[Way], rounds: int) -> dict[str, list[float]]:
    """Time all ways in turn, print a row for each, and return the seconds of each round."""
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways:
            spent, _ = run(way)
            if number:  # warms up the page cache
                seconds[way.name].append(spent)
    print(f"\n{'whole processes, medians':36}{'s':>8}{'least':>8}{'- python':>10}")
    python = median(seconds[PLAIN])
    for name, spent in seconds.items():
        print(
            f"{name:36}{median(spent):8.3f}{min(spent):8.3f}{median(spent) - python:10.3f}",
            flush=True,
        )
    return seconds


def print_breakdown(ways: list[Way], rounds: int) -> None:
    """Print the medians of NMM_TIMING for each way, in milliseconds, by name of span."""
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for _ in range(rounds):
        for way in ways:
            whole, said = run(way, NMM_TIMING="json")
            told = json.loads(said.splitlines()[-1])
            spans = {tuple(one["span"]): one["ms"] for one in told["spans"]}
            top = sum(ms for path, ms in spans.items() if len(path) == 1)
            rest = {("in no span",): told["ms"] - top, ("end",): 1000 * whole - told["ms"]}
            for path, ms in {**spans, **rest}.items():
                found.setdefault(path, {}).setdefault(way.name, []).append(ms)
    print("\nwhere it goes, in ms (NMM_TIMING)")
    for way in ways:
        print(f"{'':34}{way.name}")
    for path in _in_order([*found]):
        cells = (found[path].get(way.name) for way in ways)
        row = "".join(f"{median(cell):10.1f}" if cell else f"{'-':>10}" for cell in cells)
        print(f"{'  ' * (len(path) - 1) + path[-1]:34}{row}")


def _in_order(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Sort each span below its parent; time outside all spans comes last."""
    last = [("in no span",), ("end",)]
    placed: list[tuple[str, ...]] = []
    for path in paths:
        above = [
            n for n, one in enumerate(placed) if path[:-1] and one[: len(path) - 1] == path[:-1]
        ]
        placed.insert(above[-1] + 1 if above else len(placed), path)
    return [*(path for path in placed if path not in last), *last]


def hand_on(seconds: dict[str, list[float]]) -> None:
    """Report the figures for the main table: each search beside each peer."""
    for name in (HELP, VERSION):
        goal = f"<= {GOALS[name]} s"
        note(Figure(name, median(seconds[name]), "s", PLAIN, median(seconds[PLAIN]), goal=goal))
    others = [name for name in seconds if not name.startswith("nmm") and name != PLAIN]
    for name, ours in seconds.items():
        title = next((title for title in ("mini", "full size") if title in name), None)
        if title is None:
            continue
        goal = f"<= {GOALS[title]} s"
        for other in others or [PLAIN]:
            theirs = seconds[other]
            ratio = median(t / o for t, o in zip(theirs, ours, strict=True))
            note(Figure(name, median(ours), "s", other, median(theirs), ratio, goal))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="generated by default")
    parser.add_argument("--layers", type=int, default=12, help="of the generated pair")
    parser.add_argument("--counts", type=int, nargs="+", default=[3000, 100_000])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument(
        "--rclip", type=Path, metavar="PYTHON", help="Python of a virtual environment with rclip"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name).resolve()
        os.environ.setdefault("NMM_CACHE", str(temporary / "cache"))
        os.environ |= {"HF_HUB_OFFLINE": "1", "NMM_CONFIG": os.devnull, "NMM_HISTORY": "0"}
        pair = arguments.pair or temporary / "pair"
        if not arguments.pair:
            write_pair(pair, arguments.layers)
        found = [
            *searches(temporary, "mini", MINI, arguments.counts),
            *searches(temporary, "full size", model_in_folder(pair), arguments.counts),
        ]
        ways = [
            Way(PLAIN, [sys.executable, "-c", "pass"], {}),
            Way(HELP, [NMM, "--help"], {}),
            Way(VERSION, [NMM, "--version"], {}),
            *found,
            *peers(temporary, arguments.rclip, arguments.counts[0]),
        ]
        seconds = print_times(ways, arguments.rounds)
        print_breakdown(found, arguments.rounds)
    hand_on(seconds)


if __name__ == "__main__":
    main()
