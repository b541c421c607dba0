"""A tiny model in two repositories, and the real client, pointed at a test's own hub."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from nmm.index.encoders.base import Source
from nmm.index.encoders.hub.repository import download_model, query_hub
from nmm.index.encoders.registry import NOMIC_V1_5
from nmm.index.errors import NmmError

VISION = Source("tiny/vision", ("model.safetensors", "config.json"), "vision")
TEXT = Source("tiny/text", ("model.safetensors", "tokenizer.json"), "text")
TINY = replace(
    NOMIC_V1_5,
    name="tiny-1.5",
    sources=(VISION, TEXT),
    files=VISION.local_files + TEXT.local_files,
    size=300_000,
)


def tiny_repositories() -> dict[str, dict[str, bytes]]:
    """Return their content, the same at every call, with a file that nobody requests."""
    chance = random.Random(0)
    return {
        "tiny/vision": {
            "README.md": b"# Vision",
            "config.json": b'{"n_embd": 8}',
            "model.safetensors": chance.randbytes(200_000),
        },
        "tiny/text": {
            "tokenizer.json": b'{"version": "1.0"}',
            "model.safetensors": chance.randbytes(100_000),
        },
    }


def point_client_at(url: str, patch: pytest.MonkeyPatch) -> None:
    """Make huggingface_hub in this process use a hub, without a proxy or a token.

    It reads its environment when it is imported, which another test may have caused already.
    """
    from huggingface_hub import close_session, constants

    close_session()  # it has the proxy of its first request
    patch.setenv("NO_PROXY", "*")
    patch.delenv("HF_TOKEN", raising=False)
    patch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


if __name__ == "__main__":
    try:
        said = str(download_model(query_hub(TINY)))
    except NmmError as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps(said))
