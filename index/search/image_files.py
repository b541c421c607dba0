"""Find on the disk the image files that a query names by their paths."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from nmm.index.errors import UsageError
from nmm.index.media.registry import SIGNATURE_BYTES, is_image, is_image_name
from nmm.index.search.query_syntax import image_url, is_url, quoted, shown

# Maximum length of a path in bytes.
_MAX_PATH = 4096


def find_image(text: str) -> Path | None:
    """Return the image file that a text names, or None if it names none.

    A name without a folder may be a keyword, so it is no error if no file has it. A text with a
    folder in it is taken as a path.

    Raises:
        UsageError: It is the path of an image file that does not exist, or the URL of an image
            elsewhere.
    """
    if is_url(text):
        return image_url(text)
    if not text or len(text) > _MAX_PATH:
        return None
    is_name = PurePosixPath(text.replace(os.sep, "/")).name == text
    has_suffix = is_image_name(Path(text))
    try:
        path = Path(text).expanduser()
        if path.is_file():
            return path if has_suffix or is_image(_head(path)) else None
    except (OSError, ValueError, RuntimeError):
        pass  # too long, not readable, with a NUL, or of an unknown user: not a path
    name = shown(text)
    if has_suffix and not is_name and not re.search(r"\s/|/\s|://", text):
        raise UsageError(
            f"There is no image file {name}",
            code="query-image-missing",
            hint="Check its spelling.",
            name=name,
            quoted=quoted(text),
        )
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SIGNATURE_BYTES)
