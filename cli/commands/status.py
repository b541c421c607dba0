"""`nmm status`: the contents of an index."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.stdout import emit
from nmm.cli.console.text import printable, skip_reason
from nmm.cli.options.common import IndexOption, JsonOption

if TYPE_CHECKING:
    from nmm.index.maintenance.status import Status

EXAMPLES = """\b
Examples:
  nmm status
  nmm status --errors
  nmm status --json
"""
ROOTS_SHOWN = 20


def status(
    index_path: IndexOption = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="List each skipped file with the reason.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show where the index is and what it contains."""
    from nmm.index.maintenance.status import status as look
    from nmm.index.store.layout import index_folder

    found = look(index_folder(index_path))
    if as_json:
        shown = asdict(found)
        skipped = shown.pop("errors")
        if errors:
            shown["errors"] = [
                {"path": path, "reason": skip_reason(reason)} for path, reason in skipped
            ]
        emit(json.dumps(shown, ensure_ascii=False, indent=2) + "\n")
        return
    if errors:
        for path, reason in found.errors:
            emit(f"{printable(path)}: {printable(skip_reason(reason))}\n")
        return
    rows = {
        "index": found.index,
        "model": f"{found.model}, {found.dimension} dimensions" if found.model else "none yet",
        "roots": _roots(found.roots),
        "files": f"{found.files} ({found.images} images, {found.texts} texts)",
        "vectors": str(found.vectors),
        **_words(found),
        "skipped": f"{found.skipped}" + (" (nmm status --errors)" if found.skipped else ""),
        "size": f"{found.size / 1e6:.1f} MB on disk",
    }
    for name, value in rows.items():
        for number, line in enumerate(value.split("\n")):
            emit(f"{'' if number else name:8} {printable(line)}\n")


def _words(found: Status) -> dict[str, str]:
    """Return how many images have been searched for text, if any have."""
    if not found.pictures_read:
        return {}
    said = f"seen in {found.pictures_with_words} of {found.pictures_read} images"
    if left := found.images - found.pictures_read:
        said += f"; {left} not looked at yet (nmm index --ocr)"
    return {"words": said}


def _roots(roots: list[str]) -> str:
    """Return the first roots, one per line. There can be thousands if single files were indexed."""
    shown = roots[:ROOTS_SHOWN]
    if more := len(roots) - len(shown):
        shown.append(f"and {more} more: nmm status --json")
    return "\n".join(shown)
