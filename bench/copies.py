"""Make modified copies of images and texts, for `relevance.py`."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

from emoji_set import Emoji, draw, read_emoji
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from nmm.index.indexing.indexer import build
from nmm.index.search.near_duplicates import MAX_COMPARED, collapse_duplicates
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import Hit, Kind
from nmm.index.store.layout import IndexFolder

SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
EMOJI, PAGES = 40, 20


def _jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        data = BytesIO()
        image.save(data, "JPEG", quality=quality)
        return Image.open(data).convert("RGB")

    return change


def _cropped(part: float) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        x, y = round(image.width * part), round(image.height * part)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


IMAGE_CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 90": _jpeg(90),
    "JPEG, quality 60": _jpeg(60),
    "half as wide": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter by 15 %": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "1 % off each side": _cropped(0.01),
    "2 % off each side": _cropped(0.02),
    "5 % off each side": _cropped(0.05),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}
TEXT_CHANGES: dict[str, Callable[[str], bytes]] = {
    "other line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "spaces at line ends": lambda text: text.replace("\n", "  \n").encode(),
    "a word changed": lambda text: text.replace(" the ", " that ", 1).encode(),
    "a line added": lambda text: (text.rstrip() + "\n\nRead again.\n").encode(),
}
# This makes a different text, which must not be merged.
OTHER_TEXTS: dict[str, Callable[[str], bytes]] = {
    "other numbers": lambda text: "".join(
        str((int(c) + 3) % 10) if c in "0123456789" else c for c in text
    ).encode(),
}


def print_copies(folder: Path, emoji_folder: Path) -> None:
    """Make the copies and their index, and print which are merged."""
    files = folder / "files"
    if not (folder / "made").exists():
        make(files, emoji_folder)
        (folder / "made").touch()
    index = IndexFolder(folder / "index")
    build([files], index, model="mini", offline=True)
    print(f"\n{'copies that fold into their original':44}{'of':>8}{'fold':>8}")
    mixed = 0
    for subject in sorted(path.name for path in files.iterdir()):
        kind: Kind = "text" if subject == "texts" else "image"
        groups = groups_of(index, kind, lambda path, s=subject: Path(path).parent.name == s)
        counts: dict[str, Counter[bool]] = defaultdict(Counter)
        for group in groups:
            names = [Path(hit.path).name.split("~") for hit in group]
            mixed += len({original for original, *_ in names}) > 1
            for original, change, *_ in names:
                if change != "_":
                    counts[change][[original, "_", names[0][-1]][:2] in [n[:2] for n in names]] += 1
        for change, folds in sorted(counts.items()):
            print(f"  {f'{subject}: {change}':42}{folds.total():8}{folds[True]:8}")
    print(f"  groups that hold different originals: {mixed}")
    drawn = draw(emoji_folder / "pictures", read_emoji())
    print_others(IndexFolder(emoji_folder / "index"), drawn)


def make(files: Path, emoji_folder: Path) -> None:
    photos = {path.stem: Image.open(path) for path in sorted(SAMPLE_DATA.glob("photos/*.jpg"))}
    drawn = draw(emoji_folder / "pictures", read_emoji())
    some = random.Random(0).sample(sorted(drawn), EMOJI)
    emoji = {Path(name).stem: Image.open(emoji_folder / "pictures" / name) for name in some}
    pages = {f"page {number}": page(number) for number in range(PAGES)}
    for subject, images in (("photos", photos), ("emoji", emoji), ("pages of text", pages)):
        target = files / subject
        target.mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            white = Image.new("RGBA", image.size, "white")
            white.alpha_composite(image.convert("RGBA"))
            original = white.convert("RGB")
            original.save(target / f"{name}~_~.png")
            for change, do in IMAGE_CHANGES.items():
                do(original).save(target / f"{name}~{change}~.png")
    target = files / "texts"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(SAMPLE_DATA.rglob("*.md")):
        text = path.read_text("utf-8")
        (target / f"{path.stem}~_~.md").write_bytes(text.encode())
        for change, write in (*TEXT_CHANGES.items(), *OTHER_TEXTS.items()):
            if write(text) != text.encode():
                (target / f"{path.stem}~{change}~.md").write_bytes(write(text))


def page(number: int) -> Image.Image:
    """Return a page of text; all pages have the same layout."""
    dice = random.Random(number)
    words = (SAMPLE_DATA / "notes/garden_diary.md").read_text("utf-8").split()
    image = Image.new("RGB", (850, 1200), "white")
    draw_, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    draw_.text((70, 40), "SMITH & SONS", font=font, fill="black")
    for line in range(dice.randint(24, 30)):
        text = " ".join(dice.choices(words, k=dice.choice((4, 9, 10, 11, 11, 12))))[:75]
        draw_.text((70, 90 + 32 * line), text, font=font, fill="black")
    return image


def groups_of(index: IndexFolder, kind: Kind, is_wanted: Callable[[str], bool]) -> list[list[Hit]]:
    """Return the groups of near-duplicates among some files, as if all were results."""
    with Catalog.open(index.catalog) as catalog:
        ids, vectors = next(iter(catalog.vectors(kind)))
        hits: dict[str, Hit] = {}
        for hit in sorted(catalog.hits(ids.tolist(), vectors[0]), key=lambda hit: hit.chunk):
            if is_wanted(hit.path):
                hits.setdefault(hit.path, hit)
        # The originals come first, so that the others are their copies.
        some = sorted(hits.values(), key=lambda hit: "~_~" not in hit.path)
        assert len(some) <= MAX_COMPARED
        return [[some[place] for place in group] for group in collapse_duplicates(catalog, some)]


def print_others(index: IndexFolder, drawn: dict[str, Emoji]) -> None:
    """Print how many different emoji are merged, and how many skin tones of one emoji."""
    print(f"\n{'others that fold':44}{'of':>8}{'fold':>8}")
    items: dict[str, str] = {}
    for name, one in sorted(drawn.items()):
        items.setdefault(one.item, name)
    different = set(random.Random(0).sample(sorted(items.values()), MAX_COMPARED))
    tones = set(sorted(name for name, one in drawn.items() if one.item != one.name)[:MAX_COMPARED])
    for title, some in (("different emoji", different), ("emoji with skin tones", tones)):
        groups = groups_of(index, "image", lambda path, s=some: Path(path).name in s)
        print(f"  {title:42}{len(some):8}{sum(len(group) - 1 for group in groups):8}")
        print_largest(groups, drawn)


def print_largest(groups: Iterable[list[Hit]], drawn: dict[str, Emoji]) -> None:
    largest = sorted((group for group in groups if len(group) > 1), key=len, reverse=True)
    for group in largest[:4]:
        print("    " + "; ".join(drawn[Path(hit.path).name].name for hit in group[:4]))
