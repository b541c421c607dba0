"""Shell completion: models, roots, folders, tags, saved queries, settings.

Completion imports nothing heavy, prints nothing and raises nothing. If it has no candidates, the
shell offers files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from nmm.index.store.catalog.reader import Catalog

Completion = Callable[[typer.Context, str], list[str]]
# Maximum number of entries of a root that are searched for folders.
MAX_ENTRIES = 200
# Characters to escape for a shell. `~` is special only at the beginning.
SPECIAL = re.compile(r"[^\w@%+=:,./~-]")


def quiet(completion: Completion) -> Completion:
    """Make a completion return no candidates when it fails."""

    @wraps(completion)
    def guarded(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return completion(ctx, incomplete)
        except Exception:  # noqa: BLE001
            return []

    return guarded


@quiet
def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the keys of all settings."""
    from nmm.cli.framework.settings import all_settings

    root: Any = ctx.find_root().command
    return sorted(key for key in all_settings(root) if key.startswith(incomplete))


@quiet
def keys_in_file(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the keys in the configuration file."""
    from nmm.cli.framework.config_file import config_file, read
    from nmm.cli.framework.settings import all_settings

    root: Any = ctx.find_root().command
    values = read(config_file()).values(all_settings(root))
    return sorted(key for key in values if key.startswith(incomplete))


@quiet
def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return names of models. The shell itself completes folders."""
    del ctx
    from nmm.index.encoders.registry import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


@quiet
def roots(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the roots of the selected index."""
    with _catalog(ctx) as catalog:
        return _as_typed((str(root.path) for root in catalog.roots()), incomplete)


@quiet
def roots_or_files(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return roots that continue a path. The shell itself completes existing files."""
    return roots(ctx, incomplete) if incomplete else []


@quiet
def folders(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the folders directly below the roots."""
    with _catalog(ctx) as catalog:
        found = {name for root in catalog.roots() for name in catalog.top_names(root, MAX_ENTRIES)}
    return _as_typed(sorted(found), incomplete)


@quiet
def tags(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the tags of the index."""
    from nmm.index.store.catalog.tags import tags as tags_of

    with _catalog(ctx) as catalog:
        found = [tag.label for tag in tags_of(catalog)]
    return _as_typed(found, incomplete)


@quiet
def saved_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the saved queries."""
    del ctx
    from nmm.cli.framework.config_file import config_file, read
    from nmm.cli.framework.saved_queries import names

    return [name for name in names(read(config_file())) if name.startswith(incomplete)]


@quiet
def queries(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return saved queries as @NAME, for the first word."""
    words = ctx.params.get("words")
    before = list(words) if isinstance(words, list | tuple) else []
    # Bash treats @ as a separate word when more text follows it.
    if _is_bash() and before == ["@"]:
        return saved_names(ctx, incomplete)
    if before or not incomplete.startswith("@"):
        return []
    return [f"@{name}" for name in saved_names(ctx, incomplete[1:])]


def _catalog(ctx: typer.Context) -> Catalog:
    """Open the catalog. One of an older nmm is not migrated."""
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.layout import index_folder

    return Catalog.open(index_folder(ctx.params.get("index_path")).existing().catalog)


def _as_typed(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that continue the typed text, with that text unchanged at the beginning."""
    home = str(Path.home())
    begun = home + incomplete[1:] if incomplete.startswith("~/") else incomplete
    found = [incomplete + n[len(begun) :] for n in names if n.startswith(begun) and n.isprintable()]
    if not _is_bash():
        return found
    # Bash inserts a candidate as if it were typed, and cannot change the text before it.
    if SPECIAL.search(incomplete):
        return []
    return [SPECIAL.sub(r"\\\g<0>", name) for name in found]


def _is_bash() -> bool:
    return os.environ.get("_NMM_COMPLETE") == "complete_bash"
