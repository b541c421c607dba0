"""Image files that a query names by a URL with the scheme file. No file is read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nmm.index.errors import UsageError
from nmm.index.search.quoting import shown

_URL = re.compile(r"[a-z][a-z0-9+.-]+://\S+", re.IGNORECASE)


def image_url(text: str) -> Path | None:
    """Return the image file that a text names by a URL with the scheme file, or None.

    Raises:
        UsageError: The text is the URL of an image elsewhere.
    """
    return _image_at(text) if is_url(text) else None


def is_url(text: str) -> bool:
    """Return whether a text is a URL and nothing else."""
    return bool(_URL.fullmatch(text))


def _image_at(url: str) -> Path | None:
    from urllib.parse import unquote_to_bytes, urlsplit
    from urllib.request import url2pathname

    from nmm.index.media.registry import is_image_name

    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if not is_image_name(Path(parts.path)) and parts.scheme != "file":
        return None  # a query may contain an address
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        name = shown(url)
        raise UsageError(
            f"The image {name} is not on this machine.",
            code="query-image-remote",
            why="nmm does not download images.",
            hint="Download it first, and give the name of the file.",
            name=name,
        )
    if os.name == "nt":
        return Path(url2pathname(parts.path))
    return Path(os.fsdecode(unquote_to_bytes(parts.path)))
