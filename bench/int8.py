"""Recipes for 8 bits: how near vectors stay to those in fp32, how fast, how large.

For the towers of a full-size random Nomic pair, made if none is given, and of `mini`, whose
weights are trained: ONNX Runtime in fp32; the recipe in use, see
:mod:`nmm.index.encoders.export.quantize`; and those it was chosen from.

    python bench/int8.py [--pair DIR] [--photos 24] [--texts 32] [--rounds 3]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models import Way, beside, compare, encoder_of, paragraphs, photos, pixels_of
from random_pair import open_pair
from report import Figure, note

from nmm.index.common.onnx_runtime import load_onnxruntime
from nmm.index.encoders.backend import COMPILED_PRECISIONS
from nmm.index.encoders.base import Model, Task
from nmm.index.encoders.export import quantize
from nmm.index.encoders.hub.cache_dirs import compiled_folder
from nmm.index.encoders.hub.compiled import MANIFEST, TEXT, TOKENIZER, VISION
from nmm.index.encoders.registry import MINI
from nmm.index.encoders.runtime.onnx_encoder import OnnxEncoder

QUICK = "--layers 1 --photos 4 --texts 4 --rounds 1"
Recipe = Callable[[Path, Path], None]


def dynamic(source: Path, target: Path) -> None:
    """One range for all tokens, found as they come."""
    load_onnxruntime()
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        extra_options={"MatMulConstBOnly": True},
    )


def blocks(source: Path, target: Path) -> None:
    """A range for each 128 weights, and for each 128 values of a token."""
    load_onnxruntime()
    import onnx
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    config = nbits.DefaultWeightOnlyQuantConfig(
        block_size=128, is_symmetric=True, accuracy_level=4, bits=8
    )
    quantizer = nbits.MatMulNBitsQuantizer(onnx.load(source), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target), use_external_data_format=False)


def all_convolutions(source: Path, target: Path) -> None:
    """The recipe in use, but with the first convolutions in 8 bits as well."""
    kept, quantize.FP32_CONVOLUTIONS = quantize.FP32_CONVOLUTIONS, 0
    quantize.quantize(source, target)
    quantize.FP32_CONVOLUTIONS = kept


def by_recipe(model: Model, tower: str, recipe: Recipe, folder: Path) -> OnnxEncoder:
    """An encoder with one tower, in 8 bits by another recipe."""
    compiled, made = compiled_folder(model), Path(tempfile.mkdtemp(dir=folder))
    for name in (MANIFEST, TOKENIZER):
        shutil.copyfile(compiled / name, made / name)
    recipe(compiled / tower, made / tower)
    return OnnxEncoder(model, made)


TRANSFORMER = {
    "one range for all tokens": dynamic,
    "blocks of 128 (MatMulNBits)": blocks,
}
# On photos at least; of texts nothing was asked.
NEAR = {VISION: ">= 0.99", TEXT: ""}
CONVOLUTIONS = {"all convolutions": all_convolutions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pair", type=Path, metavar="DIR", help="by default, one is made")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12, help="of the pair that is made")
    arguments = parser.parse_args()
    images, texts = photos(arguments.photos), paragraphs(arguments.texts)
    with tempfile.TemporaryDirectory() as temporary:
        nomic = open_pair(arguments.pair, Path(temporary), arguments.layers)
        for model, on_images in ((nomic, TRANSFORMER), (MINI, CONVOLUTIONS)):
            pixels = pixels_of(images, model)
            prompts = [model.prompt(text, Task.DOCUMENT) for text in texts]
            encoders = {
                precision.value: encoder_of(model, precision) for precision in COMPILED_PRECISIONS
            }
            for tower, recipes in ((VISION, on_images), (TEXT, TRANSFORMER)):
                others = {
                    name: by_recipe(model, tower, recipe, Path(temporary))
                    for name, recipe in recipes.items()
                }
                ways = [
                    Way(
                        name,
                        partial(encoder.embed_images, pixels)
                        if tower == VISION
                        else partial(encoder.embed_prompts, prompts),
                    )
                    for name, encoder in (encoders | others).items()
                ]
                what = f"{'pair' if model is not MINI else MINI.name}, {Path(tower).stem}"
                fp32, int8, *_ = compare(what, "items/s", ways, arguments.rounds)
                note(
                    beside(f"{what}, int8", "items/s", int8, fp32),
                    Figure(f"{what}, int8: mean cosine", int8.cosine, "", goal=NEAR[tower]),
                )


if __name__ == "__main__":
    main()
