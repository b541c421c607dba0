"""Compare engines and settings that run a full-size Nomic pair on the CPU.

Compared are nmm in fp32 and int8, torch (eager, compiled, bfloat16), ONNX Runtime with other
settings, and OpenVINO. All embed the same photos and texts with one thread per core. The texts are
sorted by length, as in an indexing run. The pair has random weights and is generated unless
`--pair` names one. NMM_CACHE, if set, keeps the compiled models.

The ways of one table are timed in turn over several rounds. Differences and cosines are relative to
the first row; rates and ratios are medians. A way that fails or is not installed is reported in a
line.

Without `--all`, the output is one table per encoder. `--all` adds other settings of ONNX Runtime,
batch sizes, compiled torch and OpenVINO's other modes.

    pip install openvino
    python bench/backends.py [--pair DIR] [--photos 16] [--texts 32] [--rounds 3] [--all]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from engines import CORES, FEW, Bench, Embed
from models import (
    Row,
    Way,
    compare,
    encoder_of,
    paragraphs,
    photos,
    pixels_of,
    ratio,
)
from random_pair import open_pair
from report import Figure, left_out, note

from nmm.index.encoders.backend import Precision
from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.hub.compiled import TEXT, VISION

QUICK = "--layers 1 --photos 2 --texts 2 --rounds 1"
ALL_AT_ONCE = 1 << 20
SIZES = {VISION: (1, 2, 4, 8, 16), TEXT: (256, 512, 1024, 2048, 8192)}
EAGER = ("torch fp32, all at once", "torch fp32, small runs")
NMM = {Precision.FP32: "nmm, fp32", Precision.INT8: "nmm, int8"}

Makers = Mapping[str, Callable[[], Embed]]


def backends(b: Bench) -> Makers:
    """Return the ways of the table that is always printed."""
    few = FEW[b.tower]
    own = {NMM[precision]: partial(_given, embed) for precision, embed in b.own.items()}
    return {
        EAGER[0]: lambda: b.eager(ALL_AT_ONCE),
        EAGER[1]: lambda: b.eager(2 * few),
        "torch bf16 (autocast)": lambda: b.eager(2 * few, bf16=True),
        "torch bf16 (weights as well)": lambda: b.eager(2 * few, bf16=True, weights=True),
        f"ONNX Runtime fp32, {CORES} threads": lambda: b.onnx(size=2 * few, at_once=1),
        f"ONNX Runtime fp32, {CORES} runs at once": b.onnx,
        "  attention in parts": lambda: b.onnx(b.in_parts()),
        "OpenVINO fp32": lambda: b.openvino(b.in_parts()),
        "OpenVINO bf16": lambda: b.openvino(b.in_parts(), "bf16"),
        "OpenVINO int8": lambda: b.openvino(b.in_parts(Precision.INT8)),
        f"ONNX Runtime int8, {CORES} runs at once": lambda: b.onnx(b.compiled(Precision.INT8)),
        **own,
    }


def _given(embed: Embed) -> Embed:
    return embed


def settings_of_onnx(b: Bench) -> Makers:
    return {
        "as nmm opens it": b.onnx,
        "optimised: basic": lambda: b.onnx(level="ORT_ENABLE_BASIC"),
        "optimised: not at all": lambda: b.onnx(level="ORT_DISABLE_ALL"),
        "with SkipLayerNormFusion": lambda: b.onnx(disabled=()),
        "with a memory pattern": lambda: b.onnx(pattern=True),
        "without an arena": lambda: b.onnx(arena=False),
        "with an arena that grows exactly": lambda: b.onnx(exact=True),
        f"{CORES} threads": lambda: b.onnx(at_once=1),
        f"{CORES} threads that spin": lambda: b.onnx(at_once=1, spinning=True),
        "fp16": b.onnx_fp16,
    }


def sizes(b: Bench, precision: Precision) -> Makers:
    what = "images" if b.tower == VISION else "tokens"
    return {
        f"{size} {what} in a run": partial(b.onnx, b.compiled(precision), size=size)
        for size in SIZES[b.tower]
    }


def others(b: Bench) -> Makers:
    few = FEW[b.tower]
    return {
        "torch fp32": lambda: b.eager(2 * few),
        "torch.compile fp32": lambda: b.compiled_torch(2 * few),
        "torch.compile bf16": lambda: b.compiled_torch(2 * few, bf16=True),
        "OpenVINO fp32, latency": lambda: b.openvino(b.in_parts(), streams=1),
        "OpenVINO bf16, latency": lambda: b.openvino(b.in_parts(), "bf16", streams=1),
        "OpenVINO int8, latency": lambda: b.openvino(b.in_parts(Precision.INT8), streams=1),
        "OpenVINO int8, products in bf16": lambda: b.openvino(b.in_parts(Precision.INT8), "bf16"),
    }


def attempt(name: str, make: Callable[[], Embed]) -> Way | None:
    """Return a way that works, or print why it does not."""
    try:
        embed = make()
        embed()
    except ImportError as error:
        left_out(name, f"{error.name} is not installed")
    except Exception as error:  # noqa: BLE001 - of many libraries; it is a finding
        left_out(name, " ".join(str(error).split())[:120] or type(error).__name__)
    else:
        return Way(name, embed)
    return None


def print_table(b: Bench, title: str, makers: Makers, rounds: int) -> dict[str, Row]:
    """Make all ways, report those that fail, and print the comparison."""
    tried = [attempt(name, make) for name, make in makers.items()]
    tower = b.tower.partition(".")[0]
    rows = compare(f"{tower}: {title}", "items/s", [way for way in tried if way], rounds)
    return {row.name: row for row in rows}


class Goal(NamedTuple):
    """The goals of nmm, as multiples of torch's rate."""

    ratio: float
    cosine: float


GOALS = {Precision.FP32: Goal(1.3, 0.9999), Precision.INT8: Goal(2, 0.99)}


def report(b: Bench, found: Mapping[str, Row]) -> None:
    """Print and report the ratio of nmm to torch, which is run in the faster of its two ways."""
    eager = max((found[name] for name in EAGER), key=lambda row: row.rate)
    unit = "images/s" if b.tower == VISION else "texts/s"
    for precision, goal in GOALS.items():
        ours = found[NMM[precision]]
        cosine = float((ours.vectors * eager.vectors).sum(1).mean())
        times = ratio(eager.seconds, ours.seconds)
        print(
            f"{NMM[precision]}: {times:.2f} times torch fp32, mean cosine {cosine:.4f}; the goal "
            f"is {goal.ratio} at {goal.cosine}"
        )
        what = f"{unit.partition('/')[0]} embedded in {precision.value}"
        aim = f">= {goal.ratio} x"
        note(
            Figure(what, ours.rate, unit, "torch fp32, eager", eager.rate, times, aim),
            Figure(f"{what}: mean cosine to torch", cosine, "", goal=f">= {goal.cosine}"),
        )


def benches(model: Model, images: int, texts: int, folder: Path) -> list[Bench]:
    pixels = pixels_of(photos(images), model)
    prompts = [model.prompt(text, Task.DOCUMENT) for text in paragraphs(texts)]
    own = {precision: encoder_of(model, precision) for precision in NMM}
    encodings = own[Precision.FP32].tokenizer.encode_batch(prompts)
    ids = [np.array(encoding.ids[: model.text.context]) for encoding in encodings]
    of_images = {p: partial(encoder.embed_images, pixels) for p, encoder in own.items()}
    of_texts = {p: partial(encoder.embed_prompts, prompts) for p, encoder in own.items()}
    return [
        Bench(model, VISION, list(pixels), of_images, folder),
        Bench(model, TEXT, ids, of_texts, folder),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="generated by default")
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="every setting")
    parser.add_argument("--layers", type=int, default=12, help="of the generated pair")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as temporary:
        model = open_pair(arguments.pair, Path(temporary), arguments.layers)
        towers = benches(model, arguments.photos, arguments.texts, Path(temporary))
        for b in towers:
            report(b, print_table(b, f"engines, {CORES} cores", backends(b), rounds))
        for b in towers if arguments.all else ():
            print_table(b, "settings of ONNX Runtime, fp32", settings_of_onnx(b), rounds)
            for precision in NMM:
                title = f"ONNX Runtime {precision.value}, {CORES} runs at once"
                print_table(b, title, sizes(b, precision), rounds)
            print_table(b, "torch.compile, OpenVINO's other modes", others(b), rounds)


if __name__ == "__main__":
    main()
