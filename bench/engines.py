"""Run an encoder of a Nomic pair in several engines, each with one thread per core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from models import (
    Feed,
    Floats,
)
from numpy.typing import NDArray

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.backend import Precision
from nmm.index.encoders.base import Model
from nmm.index.encoders.export.onnx_export import export_towers
from nmm.index.encoders.export.quantize import ZERO, quantize
from nmm.index.encoders.families import nomic_towers
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.compiled import TEXT, VISION
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.runtime.devices import available_cpus

CORES = available_cpus()
# One thread each, as many runs at once as there are cores. A run has so many images or padded
# tokens.
FEW = {VISION: 2, TEXT: 512}

Run = Callable[[Feed], Floats]
Embed = Callable[[], Floats]


class Bench:
    """An encoder, its inputs, and its forms for the engines.

    Args:
        model: The pair.
        tower: File name of a compiled encoder.
        inputs: Pixels of each image, or token ids of each text.
        own: Embeds all inputs with nmm, by precision.
        folder: Where converted models are written.
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
        """Yield batches of so many images or padded tokens: the inputs' indices, and a feed."""
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
        """Embed all inputs in batches of a size, several at once."""
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
        towers = nomic_towers.build_towers(self.model, weight_files(self.model))
        return towers.vision if self.tower == VISION else towers.text

    def compiled(self, precision: Precision = Precision.FP32) -> Path:
        return compiled_folder(self.model, precision) / self.tower

    def in_parts(self, precision: Precision = Precision.FP32) -> Path:
        """Return the encoder without attention operators of ONNX Runtime, which others lack."""
        folder = self.folder / "parts"
        if not folder.exists():
            folder.mkdir()
            with mock.patch("torch.onnx.is_in_onnx_export", return_value=False):
                export_towers(
                    nomic_towers.build_towers(self.model, weight_files(self.model)),
                    self.model,
                    folder,
                )
        if precision is Precision.FP32:
            return folder / self.tower
        int8 = folder / f"int8-{self.tower}"
        if not int8.exists():
            quantize(folder / self.tower, int8)
            _replace_blocks(int8)
        return int8

    def eager(self, size: int, *, bf16: bool = False, weights: bool = False) -> Embed:
        """Run the torch definition; `weights` converts them to bfloat16 beforehand."""
        tower = deepcopy(self.in_torch).bfloat16() if weights else self.in_torch
        return self.embed(partial(_in_torch, tower, bf16), size)

    def compiled_torch(self, size: int, *, bf16: bool = False) -> Embed:
        torch._dynamo.reset()
        # Shapes vary: texts differ in length, and the last batch is smaller.
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
        """Open a session with so many runs at once, which share the cores."""
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
        """Open a model in OpenVINO. Streams share the cores; one stream is its hint for latency."""
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
        # Its own queue: requests from several Python threads at once have been seen to deadlock.
        queue = openvino.AsyncInferQueue(compiled, streams)
        runs = list(self.runs(FEW[self.tower] * (2 if streams == 1 else 1)))

        def embed() -> Floats:
            vectors = np.empty((len(self.inputs), self.model.dimension), np.float32)

            def keep(request: Any, rows: NDArray[np.intp]) -> None:
                vectors[rows] = request.get_output_tensor(0).data

            queue.set_callback(keep)
            for rows, feed in runs:
                queue.start_async(dict(feed), rows)
            queue.wait_all()
            return vectors

        return embed


@torch.inference_mode()
def _in_torch(tower: Callable[..., torch.Tensor], bf16: bool, feed: Feed) -> Floats:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        vectors = tower(*map(torch.from_numpy, feed.values()))
    unit: Floats = torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()
    return unit


def _in_onnx(session: Any, feed: Feed) -> Floats:
    vectors: Floats = session.run(None, dict(feed))[0]
    return vectors


def _replace_blocks(file: Path) -> None:
    """Divide by a token's scale, then quantize by 1: slower, but supported by all engines."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(file, load_external_data=False)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear":
            nodes.append(node)
            continue
        x, scale, _ = node.input
        divided = f"{x}/divided"
        nodes += [
            helper.make_node("Div", [x, scale], [divided]),
            helper.make_node("QuantizeLinear", [divided, "one", ZERO], node.output),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    onnx.save(model, file)


class Settings(NamedTuple):
    """Settings of a session; the defaults are nmm's."""

    level: str = "ORT_ENABLE_ALL"
    disabled: tuple[str, ...] = ("SkipLayerNormFusion",)
    pattern: bool = False
    arena: bool = True
    exact: bool = False  # the arena grows by the requested size, not by powers of two
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
