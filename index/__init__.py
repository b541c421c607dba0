"""The engine of nmm: find images and texts by what they mean.

The engine never prints, prompts or exits. It reports progress through callbacks, and problems as
:class:`nmm.index.errors.NmmError`. Imports between its packages go one way;
docs/explanation/architecture.md shows the layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nmm.index.api import Index

__all__ = ["Index"]


def __getattr__(name: str) -> Any:
    """Import :class:`nmm.index.api.Index` when it is first used; the command line does not."""
    if name != "Index":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nmm.index.api import Index

    return Index
