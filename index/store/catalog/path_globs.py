"""Whether a file lies in a folder of some name, or has it: patterns of GLOB form.

A pattern is of whole names between slashes, and matches where these follow each other in the
absolute path of a file, in a folder that it is in or at its own end. ``*`` and ``?`` stand for
what is in one name, ``[a-z]`` and ``[!a-z]`` for one character, ``**`` as a name for any number
of folders. A slash at the end leaves only folders. One that begins with a slash, or a drive,
begins there. One that begins with a name in which there is a wildcard is looked for only in the
folder that was given to be indexed and below it, or ``h*`` would match ``/home``. What is spelled
just as the pattern matches too, so that a folder ``[old]`` is found by its name. Upper and lower
case are the same, and so are the ways to compose an accent.
"""

from __future__ import annotations

import os
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from nmm.index.errors import UsageError

_WILDCARD = re.compile(r"[*?\[]")
_PIECE = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)
# In brackets: a range, or a character.
_MEMBER = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/" if os.sep == "\\" else "/")


class _Pattern(NamedTuple):
    regex: re.Pattern[str]
    below: bool  # only from the name of the root on


def check_glob(glob: str) -> None:
    """Look whether it is a pattern.

    Raises:
        UsageError: It is not.
    """
    try:
        _compiled(glob)
    except re.error as error:
        raise UsageError(
            f"{glob!r} is not a valid name pattern.",
            code="path-pattern-invalid",
            why=str(error),
            hint="Write a folder or a name, for example holidays, '*.md' or '2023/*'.",
            pattern=glob,
        ) from error


def is_within(root: str, path: str, glob: str) -> bool:
    """Whether a pattern matches a file.

    Args:
        root: Its root, absolute.
        path: Relative to it, "/" between names; empty if the root is the file.
        glob: The pattern.
    """
    pattern = _compiled(glob)
    if os.sep != "/":
        root = root.replace(os.sep, "/")
    above = root.rstrip("/")
    place = f"{above}/{path}" if path else above
    if pattern.below:
        place = place[above.rfind("/") + 1 :]
    return pattern.regex.search(_composed(place)) is not None


@lru_cache(maxsize=256)
def _compiled(glob: str) -> _Pattern:
    if os.sep != "/":
        glob = glob.replace(os.sep, "/")
    glob = _composed(glob)
    names = [name for name in glob.split("/") if name not in ("", ".")]
    start = "^/*" if _ABSOLUTE.match(glob) else "(?:^|/)"
    if not names:
        return _Pattern(re.compile("" if start == "^/*" else "(?!)"), below=False)
    end = "/" if glob.endswith("/") else "(?:/|$)"
    *folders, last = names
    body = "".join("(?:[^/]+/)*" if name == "**" else f"{_name(name)}/" for name in folders)
    body += "[^/]+" if last == "**" else _name(last)
    itself = "/".join(map(re.escape, names))
    below = start != "^/*" and _WILDCARD.search(names[0]) is not None
    return _Pattern(re.compile(f"{start}(?:{body}|{itself}){end}", re.IGNORECASE), below)


def _name(glob: str) -> str:
    """The regular expression of what stands between two slashes."""
    return "".join(map(_piece, _PIECE.findall(glob)))


def _piece(glob: str) -> str:
    if glob.startswith("*"):
        return "[^/]*"
    if glob == "?":
        return "[^/]"
    body = glob[1:-1]
    negated = body[:1] in {"!", "^"}
    if not glob.startswith("[") or not body[negated:]:
        return re.escape(glob)
    members = "".join(
        "-".join(map(re.escape, (first, last))) if last else re.escape(alone)
        for first, last, alone in _MEMBER.findall(body[negated:])
    )
    return f"(?!/)[{'^' * negated}{members}]"


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)
