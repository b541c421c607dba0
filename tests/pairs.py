"""Write Nomic pairs in hub layout with random weights: a tiny one and a thin one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from nmm.index.encoders.families.nomic_towers import TextTower, VisionTower

GOLDEN = Path(__file__).parent / "golden" / "nomic-tiny"
ALPHABET = "abcdefghijklmnopqrstuvwxyz_:"
THIN = {"n_embd": 768, "n_head": 12, "n_layer": 1}


def write_tiny_pair(folder: Path) -> Path:
    """Write the golden pair, of 48 dimensions and 64 pixels, with a tokenizer of letters."""
    shutil.copytree(GOLDEN, folder)
    _write_tokenizer(folder / "text" / "tokenizer.json")
    return folder


def write_thin_pair(folder: Path, seed: int = 0) -> Path:
    """Write a pair that nomic-v1.5's row describes, with one block per encoder.

    It has 768 dimensions and 224 pixels, and its 40 MB can be downloaded by the real client from a
    server on this machine.
    """
    torch.manual_seed(seed)
    towers: tuple[tuple[str, dict[str, Any], type[nn.Module]], ...] = (
        ("text", {**THIN, "vocab_size": 64, "n_inner": 256}, TextTower),
        (
            "vision",
            {**THIN, "img_size": 224, "ref_feat_shape": [14, 14], "n_inner": 256.0},
            VisionTower,
        ),
    )
    for name, shape, kind in towers:
        config = json.loads((GOLDEN / name / "config.json").read_text("utf-8")) | shape
        tower = kind(config)
        for parameter in tower.parameters():
            nn.init.normal_(parameter, std=0.05)
        (folder / name).mkdir(parents=True)
        save_file(tower.state_dict(), folder / name / "model.safetensors")
        (folder / name / "config.json").write_text(json.dumps(config), "utf-8")
    processor = json.loads((GOLDEN / "vision" / "preprocessor_config.json").read_text("utf-8"))
    processor |= {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}
    (folder / "vision" / "preprocessor_config.json").write_text(json.dumps(processor), "utf-8")
    _write_tokenizer(folder / "text" / "tokenizer.json")
    return folder


def _write_tokenizer(file: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *ALPHABET, *(f"##{c}" for c in ALPHABET)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(file))
