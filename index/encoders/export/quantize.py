"""Quantize a compiled tower to 8 bits: a third of the memory, about twice the speed on a CPU.

Quantizing needs no images or texts, and an item's vector does not depend on the rest of its batch.
`bench/int8.py` prints the speed, and the cosines to the vectors in fp32, for this recipe and for
others. The figures here are from it, on a CPU with VNNI. Without VNNI the gain is a fifth to a
half.

Transformers: weights are int8, with a symmetric scale for each column. Activations are quantized
dynamically, with a scale for each token. One scale for all tokens, as in ONNX Runtime's dynamic
quantization, is a little faster. But then a token with large values costs the others precision
(texts of `mini`: a mean cosine of 0.992 instead of 0.997), and the batch changes vectors. Blocks
of 128 weights with scales of their own (MatMulNBits) are more exact, 0.997 to 0.999, but hardly
faster, and slower on AVX2.

Convolutions: activations have static scales, because measuring a range takes longer than the
convolution. ReLU6 fixes most ranges. The others are calibrated on a few generated images.
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

EPSILON = 1e-9  # avoids divisions by zero
INT8_MAX = 127  # without -128: as many steps below zero as above
# The stem of EfficientNet and its first two blocks stay in fp32: they have few weights, and all
# later layers depend on them. In 8 bits, the mean cosine of photos is 0.992, the worst 0.96.
FP32_CONVOLUTIONS = 6
CALIBRATION_IMAGES = 16
# The first opset of ONNX in which QuantizeLinear can have a scale for each block.
BLOCK_SCALES_OPSET = 21
# Operators of ONNX Runtime's own.
CONTRIB = "com.microsoft"
UNIT, ZERO, WEIGHT_ZERO, LAST_AXIS = (
    f"int8/{name}" for name in ("unit", "zero", "weight_zero", "last_axis")
)


def quantize(source: Path, target: Path) -> None:
    """Write the 8-bit form of a compiled tower. Inputs and output keep their types.

    Args:
        source: An ONNX file in fp32, with its weights inside or beside it.
        target: The file to write. Weights go to `target` with `.data` appended, so that they can
            be mapped into memory. The form is for this machine; on another it can be less
            exact, see :func:`nmm.index.common.cpu_features.int8_sums_saturate`.
    """
    import onnx

    model = onnx.load(source)
    operators = Counter(node.op_type for node in model.graph.node)
    if operators["Conv"] > FP32_CONVOLUTIONS:
        _quantize_convolutions(model, target)
        return
    _quantize_matmuls(model)
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)  # otherwise it would be appended to
    onnx.save_model(model, target, save_as_external_data=True, location=data.name)
    data.chmod(target.stat().st_mode)  # onnx makes it readable by the owner only


def _quantize_matmuls(model: onnx.ModelProto) -> None:
    """Replace every product with a constant matrix, in place."""
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    # The constant matrices by the output of their node, which is unique.
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
        if node.input[0] not in quantized:  # several products may share an input
            nodes += _quantize_tokens(node.input[0], len(matrices[node.output[0]]))
            quantized.add(node.input[0])
        nodes += _int8_product(graph, node, matrices[node.output[0]])
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    # The operators in a tower are the same in both opsets.
    versions = {opset.domain: opset.version for opset in model.opset_import}
    versions |= {CONTRIB: 1, "": max(versions[""], BLOCK_SCALES_OPSET)}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*opset) for opset in versions.items())


def _balance_channels(graph: onnx.GraphProto, matrices: Matrices) -> None:
    """Move scales of channels from layer norms into the matrices after them.

    The weights of layer norms make a few channels of trained networks much larger than the others
    (Wei et al., 2022, "Outlier Suppression"). In 8 bits these leave few steps for the rest. The
    result stays the same. Both ranges become their geometric mean (Xiao et al., 2022,
    "SmoothQuant"); the range of a norm's output follows from its weights.
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
            continue  # an output with other readers must keep its scale
        weight, bias = (numpy_helper.to_array(constants[name]) for name in norm.input[1:3])
        rows = np.max([np.abs(matrices[name]).max(1) for name in after], 0)
        scale = np.sqrt((3 * np.abs(weight) + np.abs(bias) + EPSILON) / (rows + EPSILON))
        for i, values in ((1, weight / scale), (2, bias / scale)):
            norm.input[i] = _add(graph, f"{norm.output[0]}/{i}", values)
        for name in after:
            matrices[name] = matrices[name] * scale[:, None]


def _quantize_tokens(x: str, width: int) -> list[onnx.NodeProto]:
    """Return nodes that quantize `x` (…, width) by the largest value of each token.

    A token is a block of `width` values. A token of zeros is divided by zero, but the result is
    multiplied by zero again.
    """
    from onnx import helper

    # Faster than the maximum of absolute values, which are written to memory and read again.
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
    """Return nodes that multiply 8-bit matrices and scale the result back."""
    import numpy as np
    from onnx import helper

    x, y = node.input[0], node.output[0]
    scale = np.abs(matrix).max(0) / INT8_MAX
    scale[scale == 0] = 1
    whole = np.rint(matrix / scale)
    # If sums saturate, uint8 by uint8 is exact. If they do not, it is slower than int8.
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

    # torch's exporter has inferred shapes and folded norms, so the warning does not apply.
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
    """Yields mosaics of random colours, from coarse to fine, to ONNX Runtime's quantizer."""

    def __init__(self, pixels: onnx.ValueInfoProto) -> None:
        self._name = pixels.name
        self._side = pixels.type.tensor_type.shape.dim[1].dim_value
        self._images = self._mosaics()

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next image, (1, side, side, 3), by the name of the input; None at the end."""
        return next(({self._name: image[None]} for image in self._images), None)

    def _mosaics(self) -> Iterator[NDArray[np.uint8]]:
        import numpy as np

        chance = np.random.default_rng(0)
        for number in range(CALIBRATION_IMAGES):
            tiles = min(2 ** (number % 8 + 1), self._side)
            colours = chance.integers(0, 256, (tiles, tiles, 3), np.uint8)
            row = np.arange(self._side) * tiles // self._side
            yield colours[row[:, None], row]
