"""Options that say which files a command considers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from nmm.cli.console.text import valid
from nmm.cli.framework.completion import folders, tags
from nmm.cli.options.dates import parse_date
from nmm.cli.options.filter_values import (
    not_empty,
    parse_extensions,
    parse_label,
    parse_path_glob,
    parse_place,
    parse_size,
)
from nmm.index.search.filters import Filters, Orientation
from nmm.index.store.catalog.types import KINDS

if TYPE_CHECKING:
    from nmm.index.store.catalog.types import Kind


class Media(str, Enum):
    """Which media are considered."""

    IMAGE = "image"
    TEXT = "text"
    ALL = "all"


MediaOption = Annotated[
    Media, typer.Option("--type", help="Consider only images, only texts, or both.")
]
PathGlobsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--in",
        metavar="GLOB",
        help="Consider only files whose folder or name matches this pattern: holidays, '*.md', "
        "'2023/*', ~/Notes. Repeat the option to allow several patterns.",
        autocompletion=folders,
    ),
]
AfterOption = Annotated[
    str | None,
    typer.Option(
        "--after",
        metavar="DATE",
        help="Consider only files taken (or, if unknown, modified) on or after DATE: 2023-05-01, "
        "'last month'.",
    ),
]
BeforeOption = Annotated[
    str | None,
    typer.Option(
        "--before",
        metavar="DATE",
        help="Consider only files taken (or, if unknown, modified) before DATE; 2023 means before "
        "that year.",
    ),
]
NearOption = Annotated[
    str | None,
    typer.Option(
        "--near",
        metavar="LAT,LON,KM",
        help="Consider only images taken within KM kilometres of a place: 48.2,16.37,5.",
    ),
]
CameraOption = Annotated[
    str | None,
    typer.Option(
        "--camera",
        metavar="NAME",
        help="Consider only images whose camera make and model contain NAME.",
    ),
]
MinWidthOption = Annotated[
    int | None,
    typer.Option(
        "--min-width",
        min=1,
        metavar="PIXELS",
        help="Consider only images at least this wide.",
    ),
]
OrientationOption = Annotated[
    Orientation | None,
    typer.Option("--orientation", help="Consider only images of this shape."),
]
MinBytesOption = Annotated[
    str | None,
    typer.Option(
        "--larger", metavar="SIZE", help="Consider only files of at least SIZE, such as 2MB."
    ),
]
ExtensionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ext",
        metavar="SUFFIX",
        help="Consider only files whose name has this suffix: jpg or jpg,png.",
    ),
]
HasTextOption = Annotated[
    bool | None,
    typer.Option(
        "--has-text/--no-text", help="Consider only images with recognised text, or without."
    ),
]
TagsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="LABEL",
        help="Consider only files with this tag, which nmm classify --write-tags sets. Repeat "
        "the option to allow several tags.",
        autocompletion=tags,
    ),
]


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """The options as they were typed, by the names of :class:`nmm.index.search.filters.Filters`."""

    media: Media = Media.ALL
    path_globs: Sequence[str] | None = None
    after: str | None = None
    before: str | None = None
    near: str | None = None
    camera: str | None = None
    min_width: int | None = None
    orientation: Orientation | None = None
    min_bytes: str | None = None
    extensions: Sequence[str] | None = None
    has_text: bool | None = None
    tags: Sequence[str] | None = None

    @property
    def kinds(self) -> list[Kind]:
        """The media to consider."""
        return [kind for kind in KINDS if self.media in (Media.ALL, kind)]

    def read(self) -> Filters:
        """Return the filters that the options mean.

        Raises:
            UsageError: A value makes no sense.
        """
        return Filters(
            path_globs=tuple(map(parse_path_glob, self.path_globs or ())),
            after=None if self.after is None else parse_date(self.after),
            before=None if self.before is None else parse_date(self.before),
            near=None if self.near is None else parse_place(self.near),
            camera=None if self.camera is None else not_empty("--camera", valid(self.camera)),
            min_width=self.min_width,
            orientation=self.orientation,
            min_bytes=None if self.min_bytes is None else parse_size(self.min_bytes),
            extensions=tuple(
                part for each in self.extensions or () for part in parse_extensions(each)
            ),
            has_text=self.has_text,
            tags=tuple(parse_label("--tag", each) for each in self.tags or ()),
        )
