"""File names with special meaning to programs that print them."""

from __future__ import annotations

import re
import sys

_NAMES = (
    "line\nbreak.jpg",
    "return\rand tab\t.jpg",
    "\x1b]0;owned\x07\x1b[2J\x1b[31m.jpg",
    "\x9b31m eight-bit.jpg",
    "<img src=x onerror=document.title='owned'>.jpg",
    "\"><script>document.title='owned'<!--.jpg",
    "' onmouseover=document.title='owned' autofocus onfocus='document.title=1.jpg",
    "javascript:document.title='owned'.jpg",
    "-rf.jpg",
    "--open.jpg",
    "=cmd|' -C calc'!A0.jpg",
    'it\'s "quoted" & $(id) `id`; ,.jpg',
    "100%41?a=b#c.jpg",
    "{path} ${query} %s \\n.jpg",
    "שלום עולם، مرحبا.jpg",
    "\u202egpj.exe\u2066.jpg",
    "👨\u200d👩\u200d👧 🍣.jpg",
    "とても長い日本語の名前がここにある写真.jpg",
    "e\u0301te\u0301.jpg",
    "long " * 48 + "z.jpg",
    " spaces .jpg ",
    "\u2028separator\u00a0\ufeff.jpg",
)
# Windows itself refuses some of them.
_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[ .]$')
NAMES = tuple(name for name in _NAMES if sys.platform != "win32" or not _REFUSED.search(name))
# The walk skips it, so no catalog contains it; output must not fail on it.
NOT_UTF8 = "caf\udce9.jpg"
