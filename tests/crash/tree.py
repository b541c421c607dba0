"""Trees of small files to index, with one of everything that a run handles differently."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from PIL import Image

from nmm.index.media.text.reader import SMALL_TEXT

COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")
NOUNS = ("cat", "train", "piano", "boat", "bee", "book", "coffee", "bridge", "tree", "moon")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (24 + number, 30), COLOURS[number % len(COLOURS)])
    image.paste(COLOURS[(number + 3) % len(COLOURS)], (0, 0, 8 + number, 9))
    image.save(path, "PNG")


def note(number: int) -> str:
    return f"Note {number}. The {NOUNS[number % len(NOUNS)]} is by the {NOUNS[number % 7]}."


def long_text(paragraphs: int) -> str:
    """Return a text long enough to be streamed, with few chunks: most of it is white space."""
    gap = "\n" + " " * (SMALL_TEXT // (paragraphs - 1)) + "\n"
    return gap.join(f"Paragraph {n}. {'The sea is blue. ' * 5}" for n in range(paragraphs))


def plant(root: Path, *, notes: int = 24, pictures: int = 6, paragraphs: int = 24) -> Path:
    """Make a tree of so many notes and images, a long text, copies, and files to be skipped."""
    for n in range(notes):
        write(root / ("notes" if n % 2 else "letters") / f"{n:02}.txt", note(n))
    for n in range(pictures):
        picture(root / "pictures" / f"{n:02}.png", n)
    write(root / "middle" / "long.txt", long_text(paragraphs))
    shutil.copy(root / "pictures" / "00.png", root / "pictures" / "copy.png")
    shutil.copy(root / "letters" / "00.txt", root / "copy.txt")
    os.link(root / "notes" / "01.txt", root / "linked.txt")
    write(root / "broken.png", "no image")
    write(root / "empty.txt", "")
    return root


def edit(root: Path) -> set[str]:
    """Change, move, copy and delete files of a planted tree; return the affected paths."""
    before = paths(root)
    (root / "letters" / "00.txt").unlink()  # its copy stays
    (root / "pictures" / "01.png").unlink()
    (root / "notes" / "01.txt").rename(root / "renamed.txt")
    (root / "letters").rename(root / "post")
    write(root / "notes" / "03.txt", "Another text altogether.")
    shutil.copy(root / "notes" / "05.txt", root / "notes" / "copy.txt")
    picture(root / "pictures" / "00.png", 19)
    write(root / "middle" / "long.txt", long_text(20))
    for n in range(40, 46):
        write(root / "new" / f"{n}.txt", note(n))
    os.utime(root / "notes" / "07.txt", ns=(1, 1))
    changed = {"notes/03.txt", "pictures/00.png", "middle/long.txt", "notes/07.txt"}
    return (before ^ paths(root)) | changed


def paths(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
