"""What the shell completes: models, roots, folders, saved queries, keys.

Nothing heavy is imported, and nothing is printed or raised: a line that cannot be
completed is left to the shell, which then offers files.
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
# Entries of a root that are looked at for its folders.
ENTRIES = 200
# What a shell does not take as part of a word; `~` only stands for something in front.
SPECIAL = re.compile(r"[^\w@%+=:,./~-]")


def quiet(completion: Completion) -> Completion:
    """A completion that has nothing to say when something is wrong."""

    @wraps(completion)
    def guarded(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return completion(ctx, incomplete)
        except Exception:  # noqa: BLE001
            return []

    return guarded


@quiet
def keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys that can be set."""
    from nmm.cli.framework.settings import all_settings

    root: Any = ctx.find_root().command
    return sorted(key for key in all_settings(root) if key.startswith(incomplete))


@quiet
def keys_in_file(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys that are set in the configuration file."""
    from nmm.cli.framework.config_file import config_file, read
    from nmm.cli.framework.settings import all_settings

    root: Any = ctx.find_root().command
    values = read(config_file()).values(all_settings(root))
    return sorted(key for key in values if key.startswith(incomplete))


@quiet
def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of models; for what looks like a folder, the shell's own completion."""
    del ctx
    from nmm.index.encoders.registry import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


@quiet
def roots(ctx: typer.Context, incomplete: str) -> list[str]:
    """Roots of the index that is meant."""
    with _catalog(ctx) as catalog:
        return _as_typed((str(root.path) for root in catalog.roots()), incomplete)


@quiet
def roots_or_files(ctx: typer.Context, incomplete: str) -> list[str]:
    """Roots, once a path has been begun; files that are there, the shell knows better."""
    return roots(ctx, incomplete) if incomplete else []


@quiet
def folders(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of folders right below the roots."""
    with _catalog(ctx) as catalog:
        found = {name for root in catalog.roots() for name in catalog.top_names(root, ENTRIES)}
    return _as_typed(sorted(found), incomplete)


@quiet
def tags(ctx: typer.Context, incomplete: str) -> list[str]:
    """Labels that files of the index have."""
    from nmm.index.store.catalog.tags import tags as tags_of

    with _catalog(ctx) as catalog:
        found = [tag.label for tag in tags_of(catalog)]
    return _as_typed(found, incomplete)


@quiet
def saved_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of saved queries."""
    del ctx
    from nmm.cli.framework.config_file import config_file, read
    from nmm.cli.framework.saved_queries import names

    return [name for name in names(read(config_file())) if name.startswith(incomplete)]


@quiet
def queries(ctx: typer.Context, incomplete: str) -> list[str]:
    """Saved queries as they are asked for, in the place of the first word."""
    words = ctx.params.get("words")
    before = list(words) if isinstance(words, list | tuple) else []
    # To bash, @ is a word of its own, once something follows that it is to complete.
    if _is_bash() and before == ["@"]:
        return saved_names(ctx, incomplete)
    if before or not incomplete.startswith("@"):
        return []
    return [f"@{name}" for name in saved_names(ctx, incomplete[1:])]


def _catalog(ctx: typer.Context) -> Catalog:
    """The catalog as it is: one of an older nmm is not brought up to date for this."""
    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.layout import index_folder

    return Catalog.open(index_folder(ctx.params.get("index_path")).existing().catalog)


def _as_typed(names: Iterable[str], incomplete: str) -> list[str]:
    """Of names those that continue what is typed, in its spelling."""
    home = str(Path.home())
    begun = home + incomplete[1:] if incomplete.startswith("~/") else incomplete
    found = [incomplete + n[len(begun) :] for n in names if n.startswith(begun) and n.isprintable()]
    if not _is_bash():
        return found
    # Bash puts in what it is given as if it were typed; what is typed already it may not change.
    if SPECIAL.search(incomplete):
        return []
    return [SPECIAL.sub(r"\\\g<0>", name) for name in found]


def _is_bash() -> bool:
    return os.environ.get("_NMM_COMPLETE") == "complete_bash"
