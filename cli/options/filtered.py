"""The options of `nmm search` that say which files are looked among, for other commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, cast

from nmm.cli.commands.search import Type, search
from nmm.cli.options.filters import FilterOptions
from nmm.index.store.catalog.types import KINDS, Kind

NAMES = tuple(field.name for field in fields(FilterOptions))


@dataclass(frozen=True)
class Among:
    """What a command looks among.

    Attributes:
        typed: The filters, as they were typed; ``typed.read()`` is what they say.
        kinds: Images, texts or both.
    """

    typed: FilterOptions
    kinds: list[Kind]


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters of a search, before its options from `index_path` on.

    It takes them as its keyword `among`, an :class:`Among`.
    """

    @wraps(command)
    def filtering(**given: Any) -> None:
        values = {name: given.pop(name) for name in NAMES}
        kind = given.pop("kind")
        kinds = [one for one in KINDS if kind in (Type.ALL, one)]
        command(**given, among=Among(FilterOptions(**values), kinds))

    own = inspect.signature(command, eval_str=True).parameters
    theirs = inspect.signature(search, eval_str=True).parameters
    names = [name for name in own if name != "among"]
    at = names.index("index_path") if "index_path" in names else len(names)
    cast("Any", filtering).__signature__ = inspect.Signature(
        [
            *(own[name] for name in names[:at]),
            *(theirs[name] for name in ("kind", *NAMES)),
            *(own[name] for name in names[at:]),
        ]
    )
    return filtering
