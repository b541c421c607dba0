"""Colour emoji as labelled images: drawn from a font, with the words that Unicode gives them.

Three Debian packages are required: the font (Noto Color Emoji, OFL), the names and subgroups
(`emoji-test.txt` of Unicode), and the keywords (the annotations of CLDR). PyPI's `emoji` has the
same names, but no keywords.

A skin tone variant is an image of its own, but not an item of its own: what matches a query is the
emoji without the tone. Gender variants are items, because Unicode names them apart and they are
drawn apart.

Every second emoji has its name as file name and caption (EXIF); the others have meaningless names
such as IMG_0001.png. Keyword search can therefore find at most half of the right items, and vector
search never sees a word.
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
# Size of the images in the font, and of the canvas: the emoji are 136 by 128.
SIZE, CANVAS = 109, (136, 128)
TONES = {chr(code) for code in range(0x1F3FB, 0x1F400)}
PRESENTATION = "\ufe0f"
IMAGE_DESCRIPTION = 0x010E
# Groups of signs, flags or parts. They are drawn, but no query asks for them in words that can be
# seen.
SIGNS = {"Symbols", "Flags", "Component"}


@dataclass(frozen=True)
class Emoji:
    """One image.

    Attributes:
        characters: The emoji's characters.
        item: Name without skin tones: what the image shows.
        name: Unicode's name.
        group, subgroup: Its place in Unicode's list.
        keywords: CLDR's keywords.
        captioned: Whether file name and caption contain the name.
    """

    characters: str
    item: str
    name: str
    group: str
    subgroup: str
    keywords: frozenset[str]
    captioned: bool


def read_emoji() -> list[Emoji]:
    """Return all emoji of Unicode's list."""
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
    """Return a name without tones: `waving hand: light skin tone` becomes `waving hand`."""
    head, colon, tail = name.partition(": ")
    kept = [part for part in tail.split(", ") if part and not part.endswith("skin tone")]
    return f"{head}{colon}{', '.join(kept)}" if kept else head


def draw(folder: Path, emoji: list[Emoji]) -> dict[str, Emoji]:
    """Draw all that are missing, and return what each file shows."""
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
            continue  # a sequence without an image of its own in this font
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
