"""Read the trace that `faults.c` writes: every write of a run to the index, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Operation:
    """A write, truncation, sync, rename or deletion; or a label that the store passed.

    Attributes:
        what: `W`, `T`, `S`, `R`, `U`, or `L` for a label.
        path: Path of the file, relative to the index; or the label.
        to: New name, for a rename.
        offset: Where it was written, or the length after a truncation.
        data: The bytes written.
    """

    what: str
    path: str
    to: str = ""
    offset: int = 0
    data: bytes = b""


def read(file: Path, folder: Path) -> list[Operation]:
    """Return the operations in a trace, with paths relative to the folder of the index."""

    def relative(path: str) -> str:
        return path.removeprefix(str(folder)).removeprefix("/")

    text, place, found = file.read_bytes(), 0, []
    while place < len(text):
        end = text.index(b"\n", place)
        what, path, *more = text[place:end].decode().split("\t")
        place = end + 1
        if what == "L":
            found.append(Operation("L", path))
            continue
        to, offset, length = more
        data = text[place : place + int(length)]
        place += int(length)
        found.append(Operation(what, relative(path), relative(to), int(offset), data))
    return found
