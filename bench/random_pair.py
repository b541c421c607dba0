"""Write a full-size Nomic pair with random weights, in hub layout.

It has the shapes of nomic-embed-vision-v1.5 and nomic-embed-text-v1.5, and so their speed and
memory, and needs no network. Its search results are random. `nmm index --model DIR` accepts it. The
scale of the weights keeps activations of order one in all layers.

    python bench/random_pair.py DIR [--layers 12]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from nmm.index.encoders.base import Model
from nmm.index.encoders.families.nomic_towers import TextTower, VisionTower
from nmm.index.encoders.hub.weights import weight_files
from nmm.index.encoders.registry import CLIP_IMAGE, CONFIG, MINI, PREPROCESSOR, TOKENIZER, WEIGHTS
from nmm.index.encoders.resolve import model_in_folder

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "nomic-tiny"
SHAPE = {"n_embd": 768, "n_head": 12}
TEXT = {**SHAPE, "n_inner": 3072, "n_positions": 8192, "vocab_size": 30528}
VISION = {**SHAPE, "n_inner": 2048.0, "img_size": 224, "ref_feat_shape": [14, 14]}


def open_pair(given: Path | None, temporary: Path, layers: int = 12) -> Model:
    """Return the row of the given pair, or of one generated in a temporary folder.

    Compiled models are kept in that folder too, unless NMM_CACHE names another one.
    """
    os.environ.setdefault("NMM_CACHE", str(temporary))
    pair = given or temporary / "pair"
    if not given:
        write_pair(pair, layers)
    return model_in_folder(pair)


def write_pair(folder: Path, layers: int = 12) -> None:
    """Write `folder/vision` and `folder/text`, the same at every call."""
    torch.manual_seed(0)
    text = _config("text", {**TEXT, "n_layer": layers})
    vision = _config("vision", {**VISION, "n_layer": layers})
    _write(folder / "text", text, TextTower(text))
    _write(folder / "vision", vision, VisionTower(vision))
    # Both use the tokenizer of bert-base-uncased.
    (tokenizer,) = (file for file in weight_files(MINI) if file.name == TOKENIZER)
    shutil.copyfile(tokenizer, folder / "text" / TOKENIZER)
    processor = json.loads((GOLDEN / "vision" / PREPROCESSOR).read_text("utf-8"))
    side = CLIP_IMAGE.side
    processor |= {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    (folder / "vision" / PREPROCESSOR).write_text(json.dumps(processor, indent=1), "utf-8")


def _config(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((GOLDEN / name / CONFIG).read_text("utf-8"))
    return config | shape


def _write(folder: Path, config: dict[str, Any], tower: nn.Module) -> None:
    folder.mkdir(parents=True)
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.02)
        elif isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight, mean=1, std=0.2)
            nn.init.normal_(module.bias, std=0.1)
        else:  # embeddings of tokens and positions, the CLS token, the pooling query
            for weights in module.parameters(recurse=False):
                nn.init.normal_(weights, std=0.02 if isinstance(module, nn.Embedding) else 0.5)
    save_file(tower.state_dict(), folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=1), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--layers", type=int, default=12)
    arguments = parser.parse_args()
    write_pair(arguments.folder, arguments.layers)
    for file in sorted(arguments.folder.rglob("*.*")):
        print(f"{file.stat().st_size:11}  {file}")


if __name__ == "__main__":
    main()
