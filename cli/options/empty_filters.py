"""Messages that say which filter options exclude every file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nmm.cli.console.text import printable

if TYPE_CHECKING:
    from nmm.cli.options.filters import FilterOptions
    from nmm.index.search.filters import EmptyFilter

# Filters that no text passes.
IMAGE_FILTERS = {"near", "camera", "min_width", "orientation", "has_text"}
# Options whose names are not those of the filters.
OPTION_NAMES = {
    "path_globs": "--in",
    "min_bytes": "--larger",
    "extensions": "--ext",
    "tags": "--tag",
}


def describe_empty(empty: Sequence[EmptyFilter], options: FilterOptions) -> Iterator[str]:
    """Yield lines that say which filters exclude every file, and what to type next.

    Args:
        empty: The engine's explanation.
        options: The options as they were typed.
    """
    kinds = options.kinds
    one, many = (kinds[0], f"{kinds[0]}s") if len(kinds) == 1 else ("file", "files")
    for each in empty:
        *first, last = [_as_typed(name, getattr(options, name)) for name in each.filters]
        noun = many if each.files != 1 else one
        if first:
            together = " and ".join([", ".join(first), last])
            yield f"No {one} passes {together} together ({each.files:,} {noun} without {last})."
        else:
            yield f"No {one} passes {last} ({each.files:,} {noun} without it)."
        yield _hint(each, kinds)


def _hint(empty: EmptyFilter, kinds: Sequence[str]) -> str:
    """Return what to type next, or what the index contains instead."""
    name, available = empty.filters[-1], printable(", ".join(empty.available))
    if name in IMAGE_FILTERS and "image" not in kinds:
        return "Only images can pass it. Leave out --type."
    if empty.unread_images and name == "has_text":
        unread = f"Text was not recognised yet in {empty.unread_images:,} images."
        return f"{unread} To do it: nmm index --ocr"
    if empty.unread_images:
        unread = f"An older nmm did not read this from {empty.unread_images:,} images."
        return f"{unread} To read it: nmm index"
    hints = {
        "camera": f"Cameras in the index: {available}."
        if available
        else "No image has a known camera.",
        "near": f"Images with a known place: {empty.located_images:,}.",
        "after": f"The oldest and the newest file are from: {available}.",
        "before": f"The oldest and the newest file are from: {available}.",
        "tags": f"Tags in the index: {available}."
        if available
        else "No file has a tag. Add tags with: nmm classify --labels … --write-tags",
        "path_globs": "See the folders of the index with: nmm roots",
    }
    return hints.get(name, "Leave it out, or change it.")


def _as_typed(name: str, value: object) -> str:
    """Return an option as a person types it."""
    if name == "has_text":
        return "--has-text" if value else "--no-text"
    option = OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join(f"{option} {printable(shlex.quote(str(one)))}" for one in values)
