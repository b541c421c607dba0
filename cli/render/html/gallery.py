"""`--gallery`: one HTML page of results, that needs nothing else and no network.

Names and passages of files are data to it, whatever is in them: they are escaped, shown with
control characters as backslash escapes and isolated from the direction of the text around
(https://www.w3.org/International/questions/qa-bidi-unicode-controls), and the page's policy
lets no script run but its own (https://www.w3.org/TR/CSP3/).
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path, PurePath
from string import Template
from typing import TYPE_CHECKING

from nmm.cli.console.text import printable
from nmm.cli.render.excerpt import excerpt
from nmm.index.errors import MediaError, OutputError, UsageError
from nmm.index.media.text.html import OWN_PAGE

if TYPE_CHECKING:
    from nmm.index.search.result import Result

SIDE, QUALITY = 320, 80
PASSAGE = 480  # characters
NAME_LENGTH = 60


def page_name(query: str) -> str:
    """A file name for the page of a query: of its letters and digits."""
    words = "".join(c if c.isalnum() else " " for c in query).split()
    return "-".join(["nmm", *words])[:NAME_LENGTH].rstrip("-") + ".html"


def check_place(file: Path) -> None:
    """See that a page may be written there: nothing is, or a page that nmm wrote.

    Raises:
        UsageError: Something else is there.
        OutputError: What is there cannot be read.
    """
    try:
        if not file.is_file():
            return
        with file.open("rb") as there:
            head = there.read(1024)
    except OSError as error:
        raise OutputError(f"{file} cannot be read.", why=error.strerror or str(error)) from error
    if head and OWN_PAGE not in head:
        raise UsageError(
            f"{file} is there, and is no page that nmm wrote.", hint="Name another file."
        )


def write_page(file: Path, query: str, model: str, results: Sequence[Result]) -> None:
    """Write the page of a query's results; it appears, or is replaced, when all is there.

    Raises:
        UsageError: Something else is there.
        OutputError: It cannot be written.
    """
    write_parts(file, page(query, model, results))


def write_parts(file: Path, parts: Iterable[str]) -> None:
    """Write a page; it appears, or is replaced, when all is there.

    Raises:
        UsageError: Something else is there.
        OutputError: It cannot be written.
    """
    from nmm.index.common.atomic_files import replace_atomically

    check_place(file)
    with (
        replace_atomically(file) as part,
        part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as out,
    ):
        out.writelines(parts)


def page(query: str, model: str, results: Sequence[Result]) -> Iterator[str]:
    """The page of a query's results, in parts."""
    weak = sum(result.weak for result in results)
    many = "1 result" if len(results) == 1 else f"{len(results)} results"
    summary = f"{many} with the model {model}" if results else "Nothing found."
    if weak:
        summary += f", {weak} of them weak"
    yield from document(query, summary, cards(results))


def document(heading: str, summary: str, body: Iterable[str]) -> Iterator[str]:
    """A page, in parts.

    Args:
        heading: What it is of, as it is.
        summary: A line, as it is.
        body: HTML, with the cards in it in lists.
    """
    style, script = resource("gallery.css"), resource("gallery.js")
    head, _, tail = resource("gallery.html").partition("$body")
    values = {
        "title": escape(f"{printable(heading)} – nmm"),
        "heading": escape(printable(heading)),
        "summary": escape(printable(summary)),
        "style": style,
        "style_hash": content_hash(style),
        "script": script,
        "script_hash": content_hash(script),
    }
    yield Template(head).substitute(values)
    yield from body
    yield Template(tail).substitute(values)


def cards(
    results: Iterable[Result], label: str = "Results", *, scored: bool = True
) -> Iterator[str]:
    """A list of files, in parts; with their scores, if they have any."""
    yield f'<ol aria-label="{escape(printable(label))}">\n'
    for result in results:
        yield _card(result, scored=scored)
    yield "</ol>\n"


def resource(name: str) -> str:
    """A file of a page, which is in the package."""
    return (files("nmm.cli.render.html") / name).read_text("utf-8")


def content_hash(text: str) -> str:
    """What the page's policy knows a script or style by."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _card(result: Result, *, scored: bool) -> str:
    path = PurePath(result.path)
    number = result.rank
    facts = [f'score <span class="score">{result.score:.2f}</span>'] if scored else []
    if result.lines:
        facts.append("lines {}–{}".format(*result.lines))
    elif result.width:
        facts.append(f"{result.width} × {result.height}")
    if result.copies:
        facts.append(f"+{len(result.copies)} like it")
    if result.weak:
        facts.append("weak")
    if result.text is not None:
        shown = _passage(result)
    else:
        shown = thumbnail_of(result.path, f"shown-{number}")
    return (
        f'<li><a class="card{" weak" if result.weak else ""}"'
        f" {file_link(result.path)}"
        f' aria-labelledby="name-{number}" aria-describedby="facts-{number} shown-{number}">'
        f"{shown}"
        f'<span class="about"><bdi class="name" id="name-{number}">'
        f"{escape(printable(path.name))}</bdi>"
        f'<bdi class="folder">{escape(printable(str(path.parent)))}</bdi>'
        f'<span class="facts" id="facts-{number}">{" · ".join([str(number), *facts])}</span>'
        "</span></a></li>\n"
    )


def file_link(path: str) -> str:
    """The attributes that lead to a file; without an address for a path of another system."""
    try:
        uri = Path(path).as_uri()
    except ValueError:
        return 'tabindex="0"'
    return f'href="{escape(uri)}" target="_blank" rel="noopener noreferrer"'


def _passage(result: Result) -> str:
    """A passage, with the words marked that were found in it."""
    shown, spans = excerpt(result.text or "", result.spans, PASSAGE)
    pieces = []
    at = 0
    for start, end in spans:
        start = max(start, at)  # noqa: PLW2901
        if start < end:
            pieces.append(f"{escape(shown[at:start])}<mark>{escape(shown[start:end])}</mark>")
            at = end
    pieces.append(escape(shown[at:]))
    return f'<span class="passage" id="shown-{result.rank}" dir="auto">{"".join(pieces)}</span>'


def thumbnail_of(path: str, identity: str) -> str:
    """The thumbnail of an image, or why there is none, in an element of that id."""
    from nmm.index.media.image.thumbnail import thumbnail

    name = escape(printable(PurePath(path).name))
    try:
        image = thumbnail(Path(path), SIDE)
    except MediaError as error:
        why = escape(printable(error.what))
        return f'<span class="picture gone" id="{identity}">{why}</span>'
    data = io.BytesIO()
    image.save(data, "JPEG", quality=QUALITY)
    source = base64.b64encode(data.getvalue()).decode()
    return (
        f'<span class="picture" id="{identity}"><img alt="{name}"'
        f' width="{image.width}" height="{image.height}" decoding="async"'
        f' src="data:image/jpeg;base64,{source}"></span>'
    )
