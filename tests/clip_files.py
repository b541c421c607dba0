"""Write a tiny CLIP with random weights in hub layout, which fits the row of clip-vit-b-16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

from nmm.index.encoders.registry import CLIP_VIT_B_16

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>"), ("h", "o"), ("ho", "t</w>")]
# The same values as in preprocessor_config.json of openai/clip-vit-base-patch16.
PREPROCESSOR = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": CLIP_VIT_B_16.image.mean,
    "image_std": CLIP_VIT_B_16.image.std,
    "resample": 3,
    "size": 224,
}


def clip_tokenizer() -> Tokenizer:
    """Return CLIP's tokenizer.json with six merges instead of 48,894."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = letters + [f"{letter}</w>" for letter in letters]
    tokens += ["".join(merge) for merge in MERGES] + [START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary,
            MERGES,
            unk_token=END,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([START, END])
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, vocabulary[END]),
        (START, vocabulary[START]),
        trim_offsets=False,
        add_prefix_space=False,
    )
    return tokenizer


def save_clip(folder: Path, *, legacy: bool) -> None:
    """Write config.json, model.safetensors, preprocessor_config.json and tokenizer.json.

    The legacy form is OpenAI's: `eos_token_id` is 2, and position_ids are among the weights.
    """
    import transformers
    from safetensors.torch import save_file

    tokenizer = clip_tokenizer()
    end = tokenizer.get_vocab_size() - 1
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = transformers.CLIPConfig(
        text_config={
            **shape,
            "vocab_size": end + 1,
            "max_position_embeddings": 77,
            "bos_token_id": 0 if legacy else end - 1,
            "eos_token_id": 2 if legacy else end,
        },
        vision_config={**shape, "image_size": 224, "patch_size": 56},
        projection_dim=CLIP_VIT_B_16.dimension,
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    weights = dict(model.state_dict())
    if legacy:
        weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        weights["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    folder.joinpath("preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
