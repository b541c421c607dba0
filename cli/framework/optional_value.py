"""`--gallery`, an option with an optional value. Typer has no such options.

The next word is its value only if it looks like an HTML file, so that a query may follow: the
query of `nmm search --gallery a cat` is `a cat`, and so is that of
`nmm search --gallery cats.html a cat`. In `--gallery=FILE`, FILE is always the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nmm.cli.framework.click_classes import Command

if TYPE_CHECKING:
    from nmm.cli.framework.click_types import Context

OPTION = "--gallery"
PAGE_SUFFIXES = (".html", ".htm")


class GalleryCommand(Command):
    """A command with the option `--gallery`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the arguments; the option gets an empty value if it has none."""
        return super().parse_args(ctx, with_value(args))


def with_value(args: list[str]) -> list[str]:
    """Return the arguments with a value for the option; an empty one if it has none."""
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
