"""What the shell completes: models, roots, saved queries, keys. Never heavy, never an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

Completion = Callable[[typer.Context, str], list[str]]


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
    from nmm.cli.defaults import all_settings

    root: Any = ctx.find_root().command
    return sorted(key for key in all_settings(root) if key.startswith(incomplete))


@quiet
def keys_in_file(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys that are set in the configuration file."""
    from nmm.cli.configuration import config_file, read
    from nmm.cli.defaults import all_settings

    root: Any = ctx.find_root().command
    values = read(config_file()).values(all_settings(root))
    return sorted(key for key in values if key.startswith(incomplete))


@quiet
def saved_names(_: typer.Context, incomplete: str) -> list[str]:
    """Names of saved queries."""
    from nmm.cli.configuration import config_file, read
    from nmm.cli.saved import names

    return [name for name in names(read(config_file())) if name.startswith(incomplete)]


@quiet
def queries(ctx: typer.Context, incomplete: str) -> list[str]:
    """Saved queries as they are asked for, in the place of the first word."""
    if not incomplete.startswith("@") or ctx.params.get("words"):
        return []
    return [f"@{name}" for name in saved_names(ctx, incomplete[1:])]
