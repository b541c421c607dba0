"""`--gallery`: one self-contained HTML page of results that needs no network.

File names and passages are untrusted data. They are escaped, control characters are shown as
backslash escapes, and each is isolated from the direction of the surrounding text
(https://www.w3.org/International/questions/qa-bidi-unicode-controls). The page's Content Security
Policy allows only its own script (https://www.w3.org/TR/CSP3/).
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
    from nmm.index.search.result import SearchResult

THUMBNAIL_SIDE, JPEG_QUALITY = 320, 80
PASSAGE_LENGTH = 480  # characters
MAX_NAME_LENGTH = 60


def page_name(query: str) -> str:
    """Return a file name for the page of a query, made of its letters and digits."""
    words = "".join(c if c.isalnum() else " " for c in query).split()
    return "-".join(["nmm", *words])[:MAX_NAME_LENGTH].rstrip("-") + ".html"


def check_writable(file: Path) -> None:
    """Check that a page may be written: there is no file, or one that nmm wrote.

    Raises:
        UsageError: There is another file.
        OutputError: The existing file cannot be read.
    """
    try:
        if not file.is_file():
            return
        with file.open("rb") as stream:
            head = stream.read(1024)
    except OSError as error:
        raise OutputError(f"{file} cannot be read.", why=error.strerror or str(error)) from error
    if head and OWN_PAGE not in head:
        raise UsageError(
            f"{file} exists and is not a page that nmm wrote.", hint="Name another file."
        )


def write_page(file: Path, query: str, model: str, results: Sequence[SearchResult]) -> None:
    """Write the page of a query's results atomically.

    Raises:
        UsageError: There is another file.
        OutputError: The page cannot be written.
    """
    write_parts(file, page(query, model, results))


def write_parts(file: Path, parts: Iterable[str]) -> None:
    """Write a page atomically.

    Raises:
        UsageError: There is another file.
        OutputError: The page cannot be written.
    """
    from nmm.index.common.atomic_files import replace_atomically

    check_writable(file)
    with (
        replace_atomically(file) as part,
        part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as out,
    ):
        out.writelines(parts)


def page(query: str, model: str, results: Sequence[SearchResult]) -> Iterator[str]:
    """Yield the page of a query's results in parts."""
    weak = sum(result.weak for result in results)
    count = "1 result" if len(results) == 1 else f"{len(results)} results"
    summary = f"{count} with the model {model}" if results else "Nothing found."
    if weak:
        summary += f", {weak} of them weak"
    yield from document(query, summary, cards(results))


def document(heading: str, summary: str, body: Iterable[str]) -> Iterator[str]:
    """Yield a page in parts.

    Args:
        heading: The heading, as plain text.
        summary: A line below it, as plain text.
        body: HTML with lists of cards.
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
    results: Iterable[SearchResult], label: str = "Results", *, scored: bool = True
) -> Iterator[str]:
    """Yield a list of files in parts, with their scores if `scored`."""
    yield f'<ol aria-label="{escape(printable(label))}">\n'
    for result in results:
        yield _card(result, scored=scored)
    yield "</ol>\n"


def resource(name: str) -> str:
    """Return the text of a resource file of the package."""
    return (files("nmm.cli.render.html") / name).read_text("utf-8")


def content_hash(text: str) -> str:
    """Return the hash of a script or style for the Content Security Policy."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _card(result: SearchResult, *, scored: bool) -> str:
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
    """Return the attributes of a link to a file; no address for a path of another system."""
    try:
        uri = Path(path).as_uri()
    except ValueError:
        return 'tabindex="0"'
    return f'href="{escape(uri)}" target="_blank" rel="noopener noreferrer"'


def _passage(result: SearchResult) -> str:
    """Return a passage with its keyword matches marked."""
    shown, spans = excerpt(result.text or "", result.spans, PASSAGE_LENGTH)
    pieces = []
    position = 0
    for start, end in spans:
        start = max(start, position)  # noqa: PLW2901
        if start < end:
            pieces.append(f"{escape(shown[position:start])}<mark>{escape(shown[start:end])}</mark>")
            position = end
    pieces.append(escape(shown[position:]))
    return f'<span class="passage" id="shown-{result.rank}" dir="auto">{"".join(pieces)}</span>'


def thumbnail_of(path: str, identity: str) -> str:
    """Return an element with the thumbnail of an image, or with the reason it has none."""
    from nmm.index.media.image.thumbnail import thumbnail

    name = escape(printable(PurePath(path).name))
    try:
        image = thumbnail(Path(path), THUMBNAIL_SIDE)
    except MediaError as error:
        why = escape(printable(error.what))
        return f'<span class="picture gone" id="{identity}">{why}</span>'
    data = io.BytesIO()
    image.save(data, "JPEG", quality=JPEG_QUALITY)
    source = base64.b64encode(data.getvalue()).decode()
    return (
        f'<span class="picture" id="{identity}"><img alt="{name}"'
        f' width="{image.width}" height="{image.height}" decoding="async"'
        f' src="data:image/jpeg;base64,{source}"></span>'
    )
