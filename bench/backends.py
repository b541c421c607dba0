"""What runs the towers of a full-size Nomic pair fastest on the CPU: engines and their settings.

nmm as it is, in fp32 and in 8 bits, beside torch (eager, compiled, bfloat16), ONNX Runtime in other
settings and OpenVINO, on the same photos and texts, which are sorted by length as when a
folder is indexed, with as many threads as there are cores. The pair is random, made if none is
given; NMM_CACHE, if it is set, keeps what is compiled of it.

What stands in one table is timed in turn, several times over. Differences and cosines are to the
first row; rates and ratios are medians. What fails or is not installed is a line. Without
`--all`: one table for each tower. With it: settings of ONNX Runtime, sizes of runs, compiled
torch and OpenVINO's other modes.

    pip install openvino
    python bench/backends.py [--pair DIR] [--photos 16] [--texts 32] [--rounds 3] [--all]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache, cached_property, partial
from pathlib import Path
from threading import local
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from models import (
    Feed,
    Floats,
    Outcome,
    Way,
    compare,
    encoder_of,
    paragraphs,
    photos,
    pixels_of,
    ratio,
)
from numpy.typing import NDArray
from random_pair import write_pair
from report import Figure, note

from nmm.index.encoders import nomic
from nmm.index.encoders.backend import Precision, available_cpus
from nmm.index.encoders.cache import compiled_folder
from nmm.index.encoders.compile import TEXT, VISION, _export_towers
from nmm.index.encoders.folder import folder_model
from nmm.index.encoders.onnx import load_onnxruntime
from nmm.index.encoders.quantize import quantize
from nmm.index.encoders.registry import Model, Task
from nmm.index.encoders.weights import weight_files

CORES = available_cpus()
# One thread each, as many at once as there are cores: images, or padded tokens, in one run.
FEW = {VISION: 2, TEXT: 512}
ALL_AT_ONCE = 1 << 20
SIZES = {VISION: (1, 2, 4, 8, 16), TEXT: (256, 512, 1024, 2048, 8192)}
EAGER = ("torch fp32, all at once", "torch fp32, small runs")
NMM = {Precision.FP32: "nmm, fp32", Precision.INT8: "nmm, int8"}

Run = Callable[[Feed], Floats]
Embed = Callable[[], Floats]
Makers = Mapping[str, Callable[[], Embed]]


class Bench:
    """A tower, what it embeds, and the forms of it that engines take.

    Args:
        model: The pair.
        tower: File name of a compiled tower.
        inputs: Pixels of each image, or token ids of each text.
        own: Embeds all of them with nmm, by precision.
        folder: For what is made here.
    """

    def __init__(
        self,
        model: Model,
        tower: str,
        inputs: Sequence[NDArray[Any]],
        own: Mapping[Precision, Embed],
        folder: Path,
    ) -> None:
        self.model, self.tower, self.inputs = model, tower, inputs
        self.own, self.folder = own, folder

    def runs(self, size: int) -> Iterator[tuple[NDArray[np.intp], Feed]]:
        """The inputs, so many images or padded tokens at once: which they are, and a feed."""
        lengths = np.array([len(one) for one in self.inputs])
        order = np.argsort(lengths, kind="stable")
        while len(order):
            longest = int(lengths[order[-1]]) if self.tower == TEXT else 1
            count = max(1, size // longest)
            rows, order = order[-count:], order[:-count]
            if self.tower == VISION:
                yield rows, {"pixels": np.stack([self.inputs[row] for row in rows])}
                continue
            mask = np.arange(longest) < lengths[rows, None]
            ids = np.zeros(mask.shape, np.int64)
            ids[mask] = np.concatenate([self.inputs[row] for row in rows])
            yield rows, {"ids": ids, "mask": mask.astype(np.int64)}

    def embed(self, run: Run, size: int, at_once: int = 1) -> Embed:
        """Embeds all inputs in runs of a size, several at once."""
        runs = list(self.runs(size))

        def embed() -> Floats:
            vectors = np.empty((len(self.inputs), self.model.dimension), np.float32)
            with ThreadPoolExecutor(at_once) as pool:
                for rows, found in pool.map(lambda one: (one[0], run(one[1])), runs):
                    vectors[rows] = found
            return vectors

        return embed

    @cached_property
    def in_torch(self) -> torch.nn.Module:
        towers = nomic.towers(self.model, weight_files(self.model))
        return towers.vision if self.tower == VISION else towers.text

    def compiled(self, precision: Precision = Precision.FP32) -> Path:
        return compiled_folder(self.model, precision) / self.tower

    def in_parts(self, precision: Precision = Precision.FP32) -> Path:
        """The tower without ONNX Runtime's own operators for attention, which others lack."""
        folder = self.folder / "parts"
        if not folder.exists():
            folder.mkdir()
            with mock.patch("torch.onnx.is_in_onnx_export", return_value=False):
                _export_towers(
                    nomic.towers(self.model, weight_files(self.model)), self.model, folder
                )
        if precision is Precision.FP32:
            return folder / self.tower
        int8 = folder / f"int8-{self.tower}"
        if not int8.exists():
            quantize(folder / self.tower, int8)
        return int8

    def torch(self, size: int, *, bf16: bool = False, weights: bool = False) -> Embed:
        """The definition; `weights`: they are bfloat16 beforehand."""
        tower = deepcopy(self.in_torch).bfloat16() if weights else self.in_torch
        return self.embed(partial(_in_torch, tower, bf16), size)

    def compiled_torch(self, size: int, *, bf16: bool = False) -> Embed:
        torch._dynamo.reset()
        # Not of one shape each: lengths of texts differ, and so do last runs.
        tower = torch.compile(self.in_torch, dynamic=True)
        return self.embed(partial(_in_torch, tower, bf16), size)

    def onnx(
        self,
        file: Path | None = None,
        *,
        size: int | None = None,
        at_once: int = CORES,
        **settings: Any,
    ) -> Embed:
        """A session with so many runs at once, which share the cores."""
        session = open_session(file or self.compiled(), CORES // at_once, Settings(**settings))
        run = partial(_in_onnx, session)
        return self.embed(run, size or FEW[self.tower], at_once)

    def onnx_fp16(self) -> Embed:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        file = self.folder / f"fp16-{self.tower}"
        graph = onnx.load(self.in_parts())
        onnx.save(convert_float_to_float16(graph, keep_io_types=True), file)
        return self.onnx(file)

    def openvino(self, file: Path, precision: str = "f32", *, streams: int = CORES) -> Embed:
        """Streams share the cores; one is what OpenVINO's hint for latency makes."""
        import openvino

        kind = "THROUGHPUT" if streams > 1 else "LATENCY"
        compiled = openvino.Core().compile_model(
            str(file),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": CORES,
                "NUM_STREAMS": streams,
                "PERFORMANCE_HINT": kind,
                "INFERENCE_PRECISION_HINT": precision,
            },
        )
        kept = local()

        def run(feed: Feed) -> Floats:
            if not hasattr(kept, "request"):
                kept.request = compiled.create_infer_request()
            found: Floats = kept.request.infer(dict(feed))[0].copy()
            return found

        return self.embed(run, FEW[self.tower] * (2 if streams == 1 else 1), streams)


@torch.inference_mode()
def _in_torch(tower: Callable[..., torch.Tensor], bf16: bool, feed: Feed) -> Floats:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        vectors = tower(*map(torch.from_numpy, feed.values()))
    unit: Floats = torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()
    return unit


def _in_onnx(session: Any, feed: Feed) -> Floats:
    vectors: Floats = session.run(None, dict(feed))[0]
    return vectors


class Settings(NamedTuple):
    """How a session is opened; by default, as nmm opens it."""

    level: str = "ORT_ENABLE_ALL"
    disabled: tuple[str, ...] = ("SkipLayerNormFusion",)
    pattern: bool = False
    arena: bool = True
    exact: bool = False  # an arena that grows by what is asked for, not by powers of two
    spinning: bool = False


def open_session(file: Path, threads: int, settings: Settings) -> Any:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, settings.level)
    options.enable_mem_pattern = settings.pattern
    options.enable_cpu_mem_arena = settings.arena
    spinning = str(int(settings.spinning))
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    if settings.exact:
        _register_exact_arena(onnxruntime)
        options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(
        str(file),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(settings.disabled),
    )


@cache
def _register_exact_arena(onnxruntime: Any) -> None:
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    same_as_requested = 1
    arena = onnxruntime.OrtArenaCfg(0, same_as_requested, -1, -1)
    onnxruntime.create_and_register_allocator(memory, arena)


def backends(b: Bench) -> Makers:
    """The table that is always printed."""
    few = FEW[b.tower]
    own = {NMM[precision]: partial(_given, embed) for precision, embed in b.own.items()}
    return {
        EAGER[0]: lambda: b.torch(ALL_AT_ONCE if b.tower == VISION else 8192),
        EAGER[1]: lambda: b.torch(2 * few),
        "torch bf16 (autocast)": lambda: b.torch(2 * few, bf16=True),
        "torch bf16 (weights as well)": lambda: b.torch(2 * few, bf16=True, weights=True),
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
        "torch fp32": lambda: b.torch(2 * few),
        "torch.compile fp32": lambda: b.compiled_torch(2 * few),
        "torch.compile bf16": lambda: b.compiled_torch(2 * few, bf16=True),
        "OpenVINO fp32, latency": lambda: b.openvino(b.in_parts(), streams=1),
        "OpenVINO bf16, latency": lambda: b.openvino(b.in_parts(), "bf16", streams=1),
        "OpenVINO int8, latency": lambda: b.openvino(b.in_parts(Precision.INT8), streams=1),
        "OpenVINO int8, products in bf16": lambda: b.openvino(b.in_parts(Precision.INT8), "bf16"),
    }


def attempt(name: str, make: Callable[[], Embed]) -> Way | str:
    """A way that works, or a line that says why there is none."""
    try:
        embed = make()
        embed()
    except ImportError as error:
        return f"{name:34}is left out: {error.name} is not installed"
    except Exception as error:  # noqa: BLE001 - of many libraries; it is a finding
        said = " ".join(str(error).split()) or type(error).__name__
        return f"{name:34}fails: {said[:120]}"
    return Way(name, embed)


def print_table(b: Bench, title: str, makers: Makers, rounds: int) -> dict[str, Outcome]:
    """Make what can be made, say what cannot, and compare."""
    tried = [attempt(name, make) for name, make in makers.items()]
    ways = [one for one in tried if isinstance(one, Way)]
    tower = b.tower.partition(".")[0]
    found = compare(f"{tower}: {title}", "items/s", ways, rounds)
    for line in tried:
        if isinstance(line, str):
            print(line)
    return found


class Goal(NamedTuple):
    """What nmm is to reach, in rates of torch."""

    ratio: float
    cosine: float


GOALS = {Precision.FP32: Goal(1.3, 0.9999), Precision.INT8: Goal(2, 0.99)}


def report(b: Bench, found: Mapping[str, Outcome]) -> None:
    """Print and hand on what nmm reaches beside torch, the better of both ways to run it."""
    eager = max((found[name] for name in EAGER), key=lambda outcome: outcome.rate)
    unit = "images/s" if b.tower == VISION else "texts/s"
    for precision, goal in GOALS.items():
        ours = found[NMM[precision]]
        cosine = float((ours.vectors * eager.vectors).sum(1).mean())
        times = ratio(eager.seconds, ours.seconds)
        print(
            f"{NMM[precision]}: {times:.2f} times torch fp32, mean cosine {cosine:.4f}; the goal "
            f"is {goal.ratio} at {goal.cosine}"
        )
        what = f"{unit.partition('/')[0]} embedded in {precision.value}, mean cosine {cosine:.4f}"
        beside, aim = "torch fp32", f">= {goal.ratio} at cosine {goal.cosine}"
        note(Figure(what, ours.rate, unit, beside, eager.rate, times, aim))


def benches(model: Model, images: int, texts: int, folder: Path) -> list[Bench]:
    pixels = pixels_of(photos(images), model)
    prompts = [model.prompt(text, Task.DOCUMENT) for text in paragraphs(texts)]
    own = {precision: encoder_of(model, precision) for precision in NMM}
    encodings = own[Precision.FP32].tokenizer.encode_batch(prompts)
    ids = [np.array(encoding.ids[: model.context]) for encoding in encodings]
    of_images = {p: partial(encoder.embed_images, pixels) for p, encoder in own.items()}
    of_texts = {p: partial(encoder.embed_prompts, prompts) for p, encoder in own.items()}
    return [
        Bench(model, VISION, list(pixels), of_images, folder),
        Bench(model, TEXT, ids, of_texts, folder),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="by default, one is made")
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="every setting")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ.setdefault("NMM_CACHE", temporary)
        pair = arguments.pair or Path(temporary, "pair")
        if not arguments.pair:
            write_pair(pair)
        model = folder_model(pair)
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
