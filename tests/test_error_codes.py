"""The codes of the engine's errors, and that only the command line speaks of commands."""

from __future__ import annotations

import ast
import re
import string
import sys
from collections import defaultdict
from pathlib import Path

from nmm.cli.console.hints import HINTS, hint_of, lines_of
from nmm.cli.framework.command_registry import COMMANDS, GROUPS
from nmm.index.errors import ModelError, NmmError

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "scripts"))

from error_codes import PAGE, Raised, page, raised  # noqa: E402 - its folder was added above

RAISED = list(raised())


def by_code() -> dict[str, list[Raised]]:
    found = defaultdict(list)
    for place in RAISED:
        for code in place.codes:
            found[code].append(place)
    return found


def test_a_code_is_in_kebab_case_and_means_one_thing() -> None:
    for code, places in by_code().items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
        assert len({(place.error, place.message) for place in places}) == 1, code


def test_every_error_of_the_engine_has_a_code() -> None:
    assert len(RAISED) > 100
    assert [place for place in RAISED if not place.codes] == []


def docstrings(tree: ast.AST) -> set[ast.expr]:
    """Return the strings that stand as statements: docstrings, also those of constants."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_no_text_of_the_engine_names_a_command_or_an_option() -> None:
    names = "|".join([*COMMANDS, *GROUPS])
    shell_words = re.compile(rf"\bnmm ({names})\b|(?<![\w-])--[a-z]")
    found = []
    for file in sorted((ROOT / "index").rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        explained = docstrings(tree)
        found += [
            f"{file.relative_to(ROOT)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in explained
            and shell_words.search(node.value)
        ]
    assert found == []


def test_the_page_of_codes_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page()


def test_every_hint_belongs_to_a_code_that_gives_its_values() -> None:
    places = by_code()
    for code, hint in HINTS.items():
        assert code in places, code
        if isinstance(hint, str):
            wanted = {name for _, name, _, _ in string.Formatter().parse(hint) if name}
            for place in places[code]:
                assert wanted <= set(place.params), (code, place.place)


def test_the_command_line_adds_its_advice_to_the_engines() -> None:
    error = ModelError(
        "There is no model named 'min'.",
        code="model-unknown",
        hint="Did you mean mini?",
        name="min",
    )
    assert hint_of(error) == "Did you mean mini? See all models with: nmm models"
    assert lines_of(error) == [error.what, hint_of(error)]
    assert str(error) == "There is no model named 'min'.\nDid you mean mini?"


def test_paths_among_the_values_are_texts() -> None:
    error = NmmError("It is not there.", code="x", path=Path("a") / "b", count=2)
    assert error.params == {"path": str(Path("a") / "b"), "count": 2}
