"""A compiled tower in 8 bits: a third of the memory, and about twice the speed on a CPU.

No pictures or texts are needed to prepare it, and one item's vector does not depend on what
it is embedded with. `bench/int8.py` prints how near the vectors stay to those in fp32 and what
is gained, by this recipe and by others; figures here are its, on a CPU with VNNI. Without
VNNI the gain is a fifth to a half.

Transformers: weights are int8, each column with a scale of its own (symmetric). What they are
multiplied with becomes 8 bits as it comes, each token with a scale of its own. One scale for
all tokens, as in ONNX Runtime's dynamic quantization, is a little faster, but then a token with
large values costs the others their precision (`mini`'s texts: a mean cosine of 0.992, not
0.997), and what is embedded together changes vectors. Blocks of 128 weights with scales of their
own (MatMulNBits) come nearer, 0.997 to 0.999, but gain little, and on AVX2 they lose.

Convolutions: activations have fixed scales, for finding one as it comes takes longer than the
convolution. ReLU6 says what most ranges are; the others are seen in a few generated images.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from nmm.index.common.cpu_features import int8_sums_saturate
from nmm.index.common.onnx_runtime import load_onnxruntime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    import numpy as np
    import onnx
    from numpy.typing import NDArray

    Matrices = dict[str, NDArray[np.float32]]

EPSILON = 1e-9  # instead of nothing, to divide by
INT8_MAX = 127  # of int8, without -128: as many steps below zero as above
# The stem of EfficientNet and its first two blocks: few weights, and all that comes later is
# made of them. In 8 bits as well, photos come to a mean cosine of 0.992, and 0.96 at worst.
FP32_CONVOLUTIONS = 6
CALIBRATION_IMAGES = 16
# The version of ONNX that lets QuantizeLinear have a scale for each of several blocks.
BLOCK_SCALES_OPSET = 21
# Operators of ONNX Runtime's own.
CONTRIB = "com.microsoft"
UNIT, ZERO, WEIGHT_ZERO, LAST_AXIS = (
    f"int8/{name}" for name in ("unit", "zero", "weight_zero", "last_axis")
)


def quantize(source: Path, target: Path) -> None:
    """Write the 8-bit form of a compiled tower; inputs and output stay as they are.

    Args:
        source: An ONNX file in fp32, its weights in it or beside it.
        target: Where to write; weights go beside it, to `target` with `.data` added, so that
            they can be mapped into memory. It is meant for this machine: on another one
            it can be less exact, see :func:`.cpu_features.int8_sums_saturate`.
    """
    import onnx

    model = onnx.load(source)
    operators = Counter(node.op_type for node in model.graph.node)
    if operators["Conv"] > FP32_CONVOLUTIONS:
        _quantize_convolutions(model, target)
        return
    _quantize_matmuls(model)
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)  # else it would be added to
    onnx.save_model(model, target, save_as_external_data=True, location=data.name)
    data.chmod(target.stat().st_mode)  # only its owner could read it


def _quantize_matmuls(model: onnx.ModelProto) -> None:
    """Replace every product with a constant matrix, in place."""
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    # By output, of which each node has its own.
    matrices: Matrices = {
        node.output[0]: numpy_helper.to_array(constants[node.input[1]])
        for node in graph.node
        if node.op_type == "MatMul"
        and node.input[1] in constants
        and len(constants[node.input[1]].dims) == 2
    }
    _balance_channels(graph, matrices)
    nodes: list[onnx.NodeProto] = []
    quantized: set[str] = set()
    _add_constants(graph)
    for node in graph.node:
        if node.output[0] not in matrices:
            nodes.append(node)
            continue
        if node.input[0] not in quantized:  # the same for several products
            nodes += _quantize_tokens(node.input[0], len(matrices[node.output[0]]))
            quantized.add(node.input[0])
        nodes += _int8_product(graph, node, matrices[node.output[0]])
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    # Between the two, nothing changed of what is in a tower.
    versions = {opset.domain: opset.version for opset in model.opset_import}
    versions |= {CONTRIB: 1, "": max(versions[""], BLOCK_SCALES_OPSET)}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*opset) for opset in versions.items())


def _balance_channels(graph: onnx.GraphProto, matrices: Matrices) -> None:
    """Move scales of channels from layer norms into the matrices after them.

    Trained networks have a few channels that are much larger than the others, by the weights of
    their layer norms (Wei et al., 2022, "Outlier Suppression"); in 8 bits they leave little
    to the others. What is computed stays the same. The geometric mean of the two ranges is
    met (Xiao et al., 2022, "SmoothQuant"); that of a norm's output is known by its weights.
    """
    import numpy as np
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node.output[0])
    for norm in graph.node:
        after = readers[norm.output[0]]
        if norm.op_type != "LayerNormalization" or not matrices.keys() >= set(after):
            continue  # what something else reads must keep its scale
        weight, bias = (numpy_helper.to_array(constants[name]) for name in norm.input[1:3])
        rows = np.max([np.abs(matrices[name]).max(1) for name in after], 0)
        scale = np.sqrt((3 * np.abs(weight) + np.abs(bias) + EPSILON) / (rows + EPSILON))
        for i, values in ((1, weight / scale), (2, bias / scale)):
            norm.input[i] = _add(graph, f"{norm.output[0]}/{i}", values)
        for name in after:
            matrices[name] = matrices[name] * scale[:, None]


def _quantize_tokens(x: str, width: int) -> list[onnx.NodeProto]:
    """Nodes from `x` (…, width) to its largest value of each token and, by that, 8 bits.

    A token is a block of as many values as it is wide. One of zeros is divided by zero; whatever
    comes of it is multiplied by zero again.
    """
    from onnx import helper

    # Faster than the largest of absolute values, which are written and read again for that.
    most, least, scale, zero = (f"{x}/{name}" for name in ("most", "least", "scale", "zero"))
    return [
        helper.make_node("ReduceMax", [x, LAST_AXIS], [most], keepdims=1),
        helper.make_node("ReduceMin", [x, LAST_AXIS], [least], keepdims=1),
        helper.make_node("Neg", [least], [f"{least}/negated"]),
        helper.make_node("Max", [most, f"{least}/negated"], [f"{x}/range"]),
        helper.make_node("Mul", [f"{x}/range", UNIT], [scale]),
        helper.make_node("Shape", [scale], [f"{scale}/shape"]),
        helper.make_node("Expand", [ZERO, f"{scale}/shape"], [zero]),
        helper.make_node(
            "QuantizeLinear", [x, scale, zero], [f"{x}/uint8"], axis=-1, block_size=width
        ),
    ]


def _int8_product(
    graph: onnx.GraphProto, node: onnx.NodeProto, matrix: NDArray[np.float32]
) -> list[onnx.NodeProto]:
    """Nodes that multiply 8 bits by 8 bits, and give the result its scales back."""
    import numpy as np
    from onnx import helper

    x, y = node.input[0], node.output[0]
    scale = np.abs(matrix).max(0) / INT8_MAX
    scale[scale == 0] = 1
    whole = np.rint(matrix / scale)
    # Where sums saturate, uint8 by uint8 is exact, but slower than int8 where they do not.
    int8 = (whole + 128).astype(np.uint8) if int8_sums_saturate() else whole.astype(np.int8)
    scales = _add(graph, f"{y}/scale", scale)
    weights = _add(graph, f"{y}/int8", int8)
    return [
        helper.make_node(
            "MatMulIntegerToFloat",
            [f"{x}/uint8", weights, UNIT, scales, ZERO, WEIGHT_ZERO],
            [f"{y}/ranged"],
            domain=CONTRIB,
        ),
        helper.make_node("Mul", [f"{y}/ranged", f"{x}/range"], [y]),
    ]


def _add_constants(graph: onnx.GraphProto) -> None:
    import numpy as np

    _add(graph, UNIT, np.array(1 / INT8_MAX, np.float32))
    _add(graph, ZERO, np.array(128, np.uint8))
    _add(
        graph,
        WEIGHT_ZERO,
        np.array(128, np.uint8) if int8_sums_saturate() else np.array(0, np.int8),
    )
    _add(graph, LAST_AXIS, np.array([-1], np.int64))


def _add(graph: onnx.GraphProto, name: str, values: NDArray[Any]) -> str:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _quantize_convolutions(model: onnx.ModelProto, target: Path) -> None:
    """Write the 8-bit form of a convolutional network that takes images in bytes."""
    load_onnxruntime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    # torch's exporter has inferred shapes and folded norms; nothing is left to warn about.
    add_pre_process_metadata(model)
    convolutions = [i for i, node in enumerate(model.graph.node) if node.op_type == "Conv"]
    first = model.graph.node[: convolutions[FP32_CONVOLUTIONS]]
    quantize_static(
        model,
        target,
        _Calibration(model.graph.input[0]),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Clip", "Add"],
        nodes_to_exclude=[node.name for node in first],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


class _Calibration:
    """Mosaics of random colours, from coarse to fine, as ONNX Runtime's quantizer reads them."""

    def __init__(self, pixels: onnx.ValueInfoProto) -> None:
        self._name = pixels.name
        self._side = pixels.type.tensor_type.shape.dim[1].dim_value
        self._images = self._mosaics()

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next image, (1, side, side, 3), by the name of the input; None at the end."""
        return next(({self._name: image[None]} for image in self._images), None)

    def _mosaics(self) -> Iterator[NDArray[np.uint8]]:
        import numpy as np

        chance = np.random.default_rng(0)
        for number in range(CALIBRATION_IMAGES):
            tiles = min(2 ** (number % 8 + 1), self._side)
            colours = chance.integers(0, 256, (tiles, tiles, 3), np.uint8)
            row = np.arange(self._side) * tiles // self._side
            yield colours[row[:, None], row]
