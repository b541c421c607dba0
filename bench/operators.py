"""Where the time of a run goes: each operator's share, by ONNX Runtime's profiler.

Of both towers of a full-size random Nomic pair, made if none is given, and of `mini`, in fp32
and in 8 bits, on one thread. Beside them: what a product of the towers' sizes reaches alone, which
is near to what the processor can.

    python bench/operators.py [--pair DIR] [--images 4] [--texts 8] [--tokens 128]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from models import Feed, encoder_of, photos, pixels_of
from random_pair import open_pair

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.backend import COMPILED_PRECISIONS, Precision
from nmm.index.encoders.base import Model
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.compiled import TEXT, VISION
from nmm.index.encoders.registry import MINI

RUNS, SHOWN = 6, 12
# Rows of a product, as of four images, its inner length and its columns, as of queries, keys
# and values.
PRODUCT = 788, 768, 2304


def session_of(graph: str | bytes, profile: str = "") -> Any:
    """A session on one thread, as nmm opens it."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(
        graph,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["SkipLayerNormFusion"],
    )


def print_shares(model: Model, precision: Precision, tower: str, feed: Feed, folder: Path) -> None:
    file = compiled_folder(model, precision) / tower
    session = session_of(str(file), str(folder / "profile"))
    for _ in range(RUNS):
        session.run(None, dict(feed))
    events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    spent: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for event in events:
        if event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
            count[event["args"]["op_name"]] += 1
    total = sum(spent.values())
    shape = " and ".join(str(array.shape) for array in feed.values())
    name = f"{Path(model.name).name}, {tower.partition('.')[0]}, {precision.value}"
    print(f"\n{name}: a run of {shape}, {total / 1e3 / RUNS:.0f} ms")
    print(f"{'':26}{'nodes':>7}{'ms':>9}{'share':>8}")
    for operator, duration in spent.most_common(SHOWN):
        nodes, each = count[operator] // RUNS, duration / 1e3 / RUNS
        print(f"{operator:26}{nodes:7}{each:9.2f}{duration / total:8.1%}", flush=True)


def print_product(precision: Precision) -> None:
    """What a product by weights reaches, apart from a tower."""
    from onnx import TensorProto, helper, numpy_helper

    chance = np.random.default_rng(0)
    rows, inner, columns = PRODUCT
    operator, given, taken, kind, result = {
        Precision.FP32: ("MatMul", np.float32, np.float32, TensorProto.FLOAT, TensorProto.FLOAT),
        Precision.INT8: ("MatMulInteger", np.uint8, np.int8, TensorProto.UINT8, TensorProto.INT32),
    }[precision]
    weights = chance.integers(0, 9, (inner, columns)).astype(taken)
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "weights"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kind, (rows, inner))],
        [helper.make_tensor_value_info("y", result, (rows, columns))],
        [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 20)]
    product = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = session_of(product.SerializeToString())
    x = chance.integers(0, 9, (rows, inner)).astype(given)
    seconds = []
    for _ in range(50):
        started = time.perf_counter()
        session.run(None, {"x": x})
        seconds.append(time.perf_counter() - started)
    rate = 2 * rows * inner * columns / min(seconds) / 1e9
    print(f"{precision.value:26}{rate:7.0f} billion operations/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="by default, one is made")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = parser.parse_args()
    ids = np.random.default_rng(0).integers(1000, 28_000, (arguments.texts, arguments.tokens))
    text = {"ids": ids, "mask": np.ones_like(ids)}
    with tempfile.TemporaryDirectory() as temporary:
        nomic = open_pair(arguments.pair, Path(temporary))
        for model in (nomic, MINI):
            pixels = pixels_of(photos(arguments.images), model)
            for tower, feed in ((VISION, {"pixels": pixels}), (TEXT, text)):
                for precision in COMPILED_PRECISIONS:
                    encoder_of(model, precision)  # which compiles it, if it is not
                    print_shares(model, precision, tower, feed, Path(temporary))
    print("\nproducts of {} x {} by {} alone, one thread".format(*PRODUCT))
    for precision in COMPILED_PRECISIONS:
        print_product(precision)


if __name__ == "__main__":
    main()
