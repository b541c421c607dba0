"""Colour emoji as labelled pictures: drawn from a font, with the words that Unicode gives them.

Three packages of Debian hold what is needed: the font (Noto Color Emoji, OFL), the names and
subgroups (`emoji-test.txt` of Unicode), and the keywords (the annotations of CLDR). PyPI's
`emoji` has the same names, but no keywords.

A variant of skin tone is a picture of its own, and not an item of its own: what fits a query
is its emoji without the tone. Variants of gender are items, for Unicode names them apart and
they are drawn apart. Of every second emoji the picture has its name for a file name and for a
caption (EXIF); those of the others are called IMG_0001.png and so on, and say nothing. So words
alone can find half of what is right at most, and vectors alone never see a word.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
NAMES = Path("/usr/share/unicode/emoji/emoji-test.txt")
KEYWORDS = [
    Path("/usr/share/unicode/cldr/common", folder, "en.xml")
    for folder in ("annotations", "annotationsDerived")
]
PACKAGES = "fonts-noto-color-emoji unicode-data unicode-cldr-core"
# The size of the pictures in the font, and what is drawn on: its emoji are 136 by 128.
SIZE, CANVAS = 109, (136, 128)
TONES = {chr(code) for code in range(0x1F3FB, 0x1F400)}
PRESENTATION = "\ufe0f"
IMAGE_DESCRIPTION = 0x010E
# Groups whose pictures are signs, flags or parts; they are drawn, but nobody looks for them in
# words that could be seen.
SIGNS = {"Symbols", "Flags", "Component"}


@dataclass(frozen=True)
class Emoji:
    """One picture.

    Attributes:
        characters: What is drawn.
        item: The name without skin tones: what it is a picture of.
        name: As Unicode gives it.
        group, subgroup: Of Unicode's list.
        keywords: Of CLDR.
        captioned: Whether file name and caption say the name.
    """

    characters: str
    item: str
    name: str
    group: str
    subgroup: str
    keywords: frozenset[str]
    captioned: bool


def read_emoji() -> list[Emoji]:
    """All emoji of Unicode's list."""
    missing = [str(file) for file in (FONT, NAMES, *KEYWORDS) if not file.is_file()]
    if missing:
        sys.exit(f"{missing[0]} is missing.\nGet it with: apt install {PACKAGES}")
    words = _keywords()
    found = []
    group = subgroup = ""
    for line in NAMES.read_text("utf-8").splitlines():
        head, _, tail = line.partition(": ")
        if head == "# group":
            group = tail
        elif head == "# subgroup":
            subgroup = tail
        elif "; fully-qualified" in line:
            code, _, rest = line.partition(";")
            characters = "".join(chr(int(part, 16)) for part in code.split())
            name = rest.partition("# ")[2].split(" ", 2)[2]
            plain = "".join(c for c in characters if c not in TONES)
            item = _without_tone(name)
            keywords = words.get(plain.replace(PRESENTATION, ""), frozenset())
            captioned = sha256(item.encode()).digest()[0] % 2 == 0
            found.append(Emoji(characters, item, name, group, subgroup, keywords, captioned))
    return found


def _keywords() -> dict[str, frozenset[str]]:
    words: dict[str, set[str]] = defaultdict(set)
    for file in KEYWORDS:
        for annotation in ET.parse(file).getroot().iter("annotation"):
            if annotation.get("type") != "tts" and annotation.text:
                key = annotation.attrib["cp"].replace(PRESENTATION, "")
                words[key] |= {word.strip() for word in annotation.text.split("|")}
    return {key: frozenset(found) for key, found in words.items()}


def _without_tone(name: str) -> str:
    """A name without its tones: `waving hand: light skin tone` is a waving hand."""
    head, colon, tail = name.partition(": ")
    kept = [part for part in tail.split(", ") if part and not part.endswith("skin tone")]
    return f"{head}{colon}{', '.join(kept)}" if kept else head


def draw(folder: Path, emoji: list[Emoji]) -> dict[str, Emoji]:
    """Draw all, as far as they are not there, and say by file name what each is."""
    from PIL import Image, ImageDraw, ImageFont, features

    if not features.check("raqm"):
        sys.exit("Pillow cannot join emoji here.\nGet what it needs with: apt install libraqm0")
    font = ImageFont.truetype(str(FONT), SIZE)
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Emoji] = {}
    for number, one in enumerate(emoji, 1):
        name = one.name.replace(":", "").replace("/", " ").replace(" ", "-")
        file = folder / (f"{name}.png" if one.captioned else f"IMG_{number:04}.png")
        if font.getlength(one.characters) > CANVAS[0]:
            continue  # a sequence that this font does not have as one picture
        if not file.exists():
            picture = Image.new("RGBA", CANVAS)
            ImageDraw.Draw(picture).text((0, 0), one.characters, font=font, embedded_color=True)
            if picture.getbbox() is None:
                continue
            exif = Image.Exif()
            if one.captioned:
                exif[IMAGE_DESCRIPTION] = one.name
            picture.save(file, exif=exif)
        drawn[file.name] = one
    return drawn
