"""Matches the path of a file against glob patterns of folder and file names.

A pattern is a sequence of whole names between slashes. It matches where these names follow each
other in the absolute path of a file: its folders, or the end of the path. ``*`` and ``?`` match
within one name, ``[a-z]`` and ``[!a-z]`` match one character, and ``**`` as a name matches any
number of folders. A slash at the end matches only folders. A pattern that begins with a slash or
a drive matches from there. A pattern whose first name has a wildcard matches only in and below
the folder that was indexed; otherwise ``h*`` would match ``/home``. A path that is spelled exactly
like the pattern matches too, so a folder ``[old]`` is found by its name. Case is ignored, and
accents match however they are composed.
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
    below: bool  # match only from the name of the root on


def check_glob(glob: str) -> None:
    """Refuse a pattern that is not valid.

    Raises:
        UsageError: It is not valid.
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
    """Return whether a pattern matches a file.

    Args:
        root: The absolute path of its root.
        path: Relative to it, "/" between names; empty if the root is the file.
        glob: The pattern.
    """
    pattern = _compiled(glob)
    if os.sep != "/":
        root = root.replace(os.sep, "/")
    above = root.rstrip("/")
    whole = f"{above}/{path}" if path else above
    if pattern.below:
        whole = whole[above.rfind("/") + 1 :]
    return pattern.regex.search(_composed(whole)) is not None


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
    """Return the regular expression for a name between two slashes."""
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
