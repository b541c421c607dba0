"""`--gallery`, which may do without a value; Typer has no such options.

The word after it is its value only if it looks like a page, so that the query may stand
there: in `nmm search --gallery a cat` it is `a`, in `nmm search --gallery cats.html a cat`
a file. `--gallery=FILE` is always a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.cli.framework.click_classes import Command

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Context

OPTION = "--gallery"
PAGE_SUFFIXES = (".html", ".htm")


class GalleryCommand(Command):
    """A command with that option."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """The arguments that are left, once the option has its value."""
        return super().parse_args(ctx, with_value(args))


def with_value(args: list[str]) -> list[str]:
    """The same arguments, in which the option has a value; an empty one if it had none."""
    given: list[str] = []
    for place, argument in enumerate(args):
        if argument == "--":
            return given + args[place:]
        after = args[place + 1 : place + 2]
        is_alone = argument == OPTION and not any(
            word == "-" or word.lower().endswith(PAGE_SUFFIXES) for word in after
        )
        given.append(f"{OPTION}=" if is_alone else argument)
    return given
