"""The family of models whose hub repository holds ONNX graphs, which run as they are.

Inputs and outputs have the names of transformers' exporter (Optimum): `pixel_values` to
`image_embeds`, and `input_ids`, with a mask and token types if a graph has them, to
`text_embeds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.backend import Device, Precision
from nmm.index.encoders.families.base import CompileResult
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.preprocess import pad_tokens
from nmm.index.encoders.preprocessor_config import check_image_preprocessing
from nmm.index.encoders.tokenizer import open_tokenizer
from nmm.index.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    from nmm.index.encoders.base import ImagePreprocessing, Model, Tokens, Vectors
    from nmm.index.encoders.families.base import RunText, RunVision, Towers

PIXELS, IDS, MASK, TYPES = "pixel_values", "input_ids", "attention_mask", "token_type_ids"
# Between the vectors of an input alone and in a batch, which differ by rounding only.
MIN_COSINE = 0.9999
SAMPLES = ("a cat", "two boats on a quiet lake, early in the morning")


class OnnxGraphAdapter:
    """Models whose repository holds ONNX graphs. They run where they were downloaded to."""

    name = "onnx_graph"
    # A GPU is used through PyTorch, which does not run graphs.
    devices = frozenset({Device.CPU})
    precisions = frozenset({Precision.FP32})
    allows_accelerators = False
    folder_files = ()

    def compile(
        self, model: Model, files: Sequence[Path], export: Callable[[Towers], None]
    ) -> CompileResult:
        """Check the graphs. There is nothing to export."""
        del export
        return CompileResult(check_graphs(model, files), outside=files)

    def graph_files(self, model: Model, compiled: Path) -> tuple[Path, Path]:
        """Return the graphs among the model's weights."""
        del compiled
        vision, text, *_ = weight_files(model)
        return vision, text

    def bind_vision(self, model: Model, session: InferenceSession, file: Path) -> RunVision:
        """Return a function that normalises pixels and runs the vision graph."""
        graph = VisionGraph(session, file)
        return lambda pixels: graph.run(pixels, model.image)

    def bind_text(self, model: Model, session: InferenceSession, file: Path) -> RunText:
        """Return a function that runs the text graph."""
        del model
        return TextGraph(session, file).run

    def from_folder(self, folder: Path) -> Model | None:
        """Return None: it reads no folders of the user's."""
        del folder
        return None


class _Graph:
    """A graph that returns one vector for each input.

    Args:
        session: The opened graph.
        file: The file that it was opened from, for errors.

    Raises:
        ModelError: It needs an input that nmm does not have, or has no output of vectors.
    """

    # The inputs that a graph may have, of which the first is required, and its output.
    known: ClassVar[Mapping[str, str]]
    output: ClassVar[str]

    def __init__(self, session: InferenceSession, file: Path) -> None:
        asked = {x.name: x.type for x in session.get_inputs()}
        unknown = asked.items() - self.known.items()
        if unknown or next(iter(self.known)) not in asked:
            raise ModelError(
                f"nmm cannot run the graph {file}.",
                code="graph-unsupported",
                why=f"It takes {_typed(asked)}; nmm has {_typed(self.known)}.",
                path=file,
            )
        self.file = file
        self._session = session
        self._asked = tuple(asked)
        self._embedding = self._find_embedding()

    def _find_embedding(self) -> str:
        """Return the output of the usual name, else the only one with a row for each input."""
        outputs: dict[str, list[Any]] = {x.name: x.shape for x in self._session.get_outputs()}
        if self.output in outputs:
            return self.output
        flat = [name for name, shape in outputs.items() if len(shape) == 2]
        if len(flat) != 1:
            raise ModelError(
                f"nmm cannot run the graph {self.file}.",
                code="graph-unsupported",
                why=f"It returns {', '.join(outputs)}, and no {self.output}.",
                path=self.file,
            )
        return flat[0]

    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> Vectors:
        import numpy as np

        fed = {name: inputs[name] for name in self._asked}
        try:
            (vectors,) = self._session.run([self._embedding], fed)
        except Exception as error:  # onnxruntime's own types share no base but Exception
            raise ModelError(
                f"{self.file} cannot be run.", code="graph-failed", why=str(error), path=self.file
            ) from error
        with np.errstate(divide="ignore", invalid="ignore"):
            unit: Vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        return unit


class VisionGraph(_Graph):
    """A graph that embeds images."""

    known: ClassVar[Mapping[str, str]] = {PIXELS: "tensor(float)"}
    output = "image_embeds"

    def run(self, pixels: NDArray[np.uint8], spec: ImagePreprocessing) -> Vectors:
        """Map pixels (n, side, side, 3) to unit vectors."""
        import numpy as np

        mean, std = (255 * np.array(x, np.float32) for x in (spec.mean, spec.std))
        values = ((pixels - mean) / std).transpose(0, 3, 1, 2)
        return self._run({PIXELS: np.ascontiguousarray(values)})


class TextGraph(_Graph):
    """A graph that embeds texts.

    A graph without a mask recognises padding by its id, which is 0.
    """

    known: ClassVar[Mapping[str, str]] = dict.fromkeys((IDS, MASK, TYPES), "tensor(int64)")
    output = "text_embeds"

    def run(self, ids: Tokens, mask: Tokens) -> Vectors:
        """Map token ids and mask, both (n, length), to unit vectors."""
        import numpy as np

        return self._run({IDS: ids, MASK: mask, TYPES: np.zeros_like(ids)})


def _typed(inputs: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {type_}" for name, type_ in inputs.items())


def check_graphs(model: Model, files: Sequence[Path]) -> Tokenizer:
    """Open both graphs of a model, run them once, and return the tokenizer.

    Args:
        model: The row.
        files: The vision graph, the text graph, `tokenizer.json`, `preprocessor_config.json`.

    Raises:
        ModelError: A graph cannot be opened or run, or needs an input that nmm does not have;
            its vectors have another dimension than the row, are not numbers, or depend on
            what else is in the batch; or the preprocessing is not the row's.
    """
    import numpy as np

    vision_file, text_file, tokenizer_file, processor = files
    check_image_preprocessing(model.image, processor)
    tokenizer = open_tokenizer(tokenizer_file)

    side = model.image.side
    pixels = np.random.default_rng(0).integers(0, 256, (len(SAMPLES), side, side, 3), np.uint8)
    vision = VisionGraph(_open(vision_file), vision_file)
    alone = [vision.run(image[None], model.image) for image in pixels]
    _check(vision, vision.run(pixels, model.image), alone, model.dimension)

    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(SAMPLES))]
    text = TextGraph(_open(text_file), text_file)
    alone = [text.run(*pad_tokens([one])) for one in ids]
    _check(text, text.run(*pad_tokens(ids)), alone, model.dimension)
    return tokenizer


def _open(file: Path) -> InferenceSession:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; warnings would go to stderr
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types share no base but Exception
        raise ModelError(
            f"{file} cannot be opened.", code="graph-unreadable", why=str(error), path=file
        ) from error


def _check(graph: _Graph, batch: Vectors, alone: Sequence[Vectors], dimension: int) -> None:
    """Compare the vectors of a batch with those of its rows alone."""
    import numpy as np

    expected = (len(alone), dimension)
    if batch.shape != expected:
        raise ModelError(
            f"{graph.file} returns vectors of shape {batch.shape}, not {expected}.",
            code="graph-output-shape",
            path=graph.file,
        )
    cosine = float((batch * np.concatenate(alone)).sum(1).min())
    if not cosine >= MIN_COSINE:
        raise ModelError(
            f"{graph.file} does not embed each input independently.",
            code="graph-depends-on-batch",
            why=f"The cosine of a vector alone and in a padded batch is only {cosine:.5f}.",
            path=graph.file,
        )
