"""The gallery page in a real browser: its content, its behaviour, and its safety."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from chromium import BINARY, Browser
from hostile import NAMES, NOT_UTF8
from PIL import Image
from support import SAMPLE_DATA

from nmm.cli.framework.optional_value import with_value
from nmm.cli.render.html.gallery import page_name, write_page
from nmm.index.errors import UsageError
from nmm.index.search.result import SearchResult

in_browser = pytest.mark.skipif(BINARY is None, reason="needs Chromium: apt-get install chromium")
CAT = SAMPLE_DATA / "photos/chelsea.jpg"
OWNED = (
    "</span></bdi><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
)


def results(folder: Path, *names: str) -> list[SearchResult]:
    """Return images with these names, the last of them low-confidence, and a text."""
    found = []
    for rank, name in enumerate(names, 1):
        (folder / name).write_bytes(CAT.read_bytes())
        found.append(
            SearchResult(
                rank=rank,
                score=1 / rank,
                path=str(folder / name),
                type="image",
                width=451,
                height=300,
            )
        )
    text = f"It says {OWNED} and a needle\x1b[2J\u202e."
    start = text.index("needle")
    found.append(
        SearchResult(
            rank=len(names) + 1,
            score=0.01,
            path=str(folder / "note.txt"),
            type="text",
            lines=(3, 4),
            text=text,
            spans=((start, start + 6),),
            weak=True,
            copies=("/a", "/b", "/c"),
        )
    )
    return found


def open_page(chromium: Browser, tmp_path: Path, query: str, found: list[SearchResult]) -> Path:
    file = tmp_path / "page.html"
    write_page(file, query, "mini", found)
    chromium.open(file.as_uri())
    return file


@in_browser
def test_a_page_shows_what_was_found(chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, "a cat", results(tmp_path, "cat.jpg"))
    assert chromium.evaluate("document.title") == "a cat – nmm"
    cards = chromium.evaluate(
        "[...document.querySelectorAll('.card')].map(c => [c.className, c.href, c.innerText])"
    )
    assert [card[:2] for card in cards] == [
        ["card", (tmp_path / "cat.jpg").as_uri()],
        ["card weak", (tmp_path / "note.txt").as_uri()],
    ]
    assert "1 · score 1.00 · 451 × 300" in cards[0][2]
    assert "2 · score 0.01 · lines 3–4 · +3 like it · weak" in cards[1][2]
    assert chromium.evaluate("document.querySelector('mark').textContent") == "needle"
    (width,) = chromium.evaluate("[...document.images].map(i => i.naturalWidth)")
    assert width == 320
    assert chromium.evaluate("document.images[0].alt") == "cat.jpg"
    assert chromium.said == []


@in_browser
def test_names_passages_and_queries_are_escaped(chromium: Browser, tmp_path: Path) -> None:
    found = results(tmp_path, *NAMES)
    if sys.platform == "linux":  # other file systems do not allow such a file
        found += results(tmp_path, NOT_UTF8)[:1]
    open_page(chromium, tmp_path, f'" {OWNED} ${{style}}\u202e', found)
    assert chromium.evaluate("document.title").startswith('" </span></bdi><script>')
    counted = chromium.evaluate(
        "Object.fromEntries(['script', 'style', 'img', 'svg', 'iframe', 'li', 'a', 'mark', 'h1']"
        ".map(name => [name, document.getElementsByTagName(name).length]))"
    )
    assert counted == {
        "script": 1,
        "style": 1,
        "img": len(found) - 1,
        "svg": 0,
        "iframe": 0,
        "li": len(found),
        "a": len(found),
        "mark": 1,
        "h1": 1,
    }
    attributes = chromium.evaluate(
        "[...new Set([...document.querySelectorAll('main *')].flatMap(e => e.getAttributeNames()))]"
    )
    assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert chromium.evaluate("[...document.links].every(a => a.protocol === 'file:')")
    assert chromium.evaluate("[...document.images].every(i => i.naturalWidth === 320)")
    shown = chromium.evaluate("document.body.innerText")
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert chromium.said == []
    assert {re.match(r"\w+:", address)[0] for address in chromium.asked} == {  # type: ignore[index]
        "file:",
        "data:",
    }


@in_browser
def test_links_lead_to_the_files(chromium: Browser, tmp_path: Path) -> None:
    names = [name for name in NAMES if len(os.fsencode(name)) < 200]
    found = results(tmp_path, *names)
    open_page(chromium, tmp_path, "a cat", found)
    links = chromium.evaluate("[...document.links].map(a => a.href)")
    from urllib.parse import unquote_to_bytes, urlsplit

    paths = [os.fsdecode(unquote_to_bytes(urlsplit(link).path)) for link in links]
    assert paths == [result.path for result in found]


@in_browser
def test_the_content_security_policy_blocks_injected_scripts(
    chromium: Browser, tmp_path: Path
) -> None:
    """As if a name had not been escaped: the second line of defence holds alone."""
    file = open_page(chromium, tmp_path, "a cat", results(tmp_path, "cat.jpg"))
    html = file.read_text("utf-8")
    bad = (
        "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
        "<img src='http://127.0.0.1:9/x.png'><link rel=stylesheet href='http://127.0.0.1:9/x.css'>"
        "<iframe src='data:text/html,<script>top.document.title=1</script>'></iframe>"
    )
    file.write_text(html.replace("<main>", f"<main>{bad}"), "utf-8")
    chromium.said.clear()
    chromium.open(file.as_uri())
    assert chromium.evaluate("document.title") == "a cat – nmm"
    assert chromium.evaluate("[...document.images].filter(i => i.naturalWidth).length") == 1
    assert sum("Content Security Policy" in text for text in chromium.said) >= 5


@in_browser
def test_the_keys_move_open_and_filter(chromium: Browser, tmp_path: Path) -> None:
    names = ("ant.jpg", "bee.jpg", "cat.jpg", "dog.jpg", "eel.jpg")
    open_page(chromium, tmp_path, "animals", results(tmp_path, *names))
    # Three columns: ant bee cat / dog eel note.
    chromium.size(1000)

    def at() -> str:
        name: str = chromium.evaluate(
            "document.activeElement.querySelector('.name')?.textContent"
            " ?? document.activeElement.id"
        )
        return name

    seen = []
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp", "End", "Home"):
        chromium.press(key)
        seen.append(at())
    assert seen == ["ant.jpg", "bee.jpg", "eel.jpg", "note.txt", "cat.jpg", "note.txt", "ant.jpg"]
    chromium.press("/")
    assert at() == "filter"
    for letter in "ee":
        chromium.press(letter)
    shown = "[...document.querySelectorAll('li')].filter(l => l.offsetParent).length"
    # bee, eel, and the "needle" of the note.
    assert chromium.evaluate(shown) == 3
    assert chromium.evaluate("document.getElementById('count').value") == "3 of 6"
    chromium.press("Enter")
    assert at() == "bee.jpg"
    chromium.press("Escape")
    assert (at(), chromium.evaluate(shown)) == ("bee.jpg", 6)
    chromium.evaluate("document.onclick = e => { e.preventDefault(); document.title = 'opened' }")
    chromium.press("Enter")
    assert chromium.evaluate("document.title") == "opened"


@in_browser
@pytest.mark.parametrize("width", [320, 768, 1920])
def test_the_page_fits_every_window(width: int, chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, "word " * 9 + "w" * 300, results(tmp_path, *NAMES))
    chromium.size(width)
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width


@in_browser
def test_text_has_enough_contrast_in_light_and_dark(chromium: Browser, tmp_path: Path) -> None:
    """By WCAG 2.2's contrast of 4.5, https://www.w3.org/TR/WCAG22/#contrast-minimum."""
    open_page(chromium, tmp_path, "a cat", results(tmp_path, "cat.jpg"))
    script = """(() => {
      const level = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3)
        .map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return colour === "rgba(0, 0, 0, 0)" ? ground(e.parentElement) : colour;
      };
      return ["h1", ".summary", ".name", ".folder", ".facts", ".passage", "mark", "label", "kbd"]
        .map((name) => document.querySelector(name))
        .map((e) => [level(getComputedStyle(e).color), level(ground(e))].sort((a, b) => b - a))
        .map(([high, low]) => (high + 0.05) / (low + 0.05));
    })()"""
    grounds = []
    for dark in (False, True):
        chromium.size(1000, dark=dark)
        assert min(chromium.evaluate(script)) >= 4.5
        grounds.append(chromium.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 246, 244)", "rgb(22, 22, 23)"]


@in_browser
def test_nothing_found_is_a_page_too(chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, "a cat", [])
    assert "Nothing found." in chromium.evaluate("document.body.innerText")
    chromium.press("ArrowDown")
    assert chromium.said == []


def test_a_picture_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    found = results(tmp_path, "cat.jpg", "broken.jpg")
    (tmp_path / "cat.jpg").unlink()
    (tmp_path / "broken.jpg").write_bytes(CAT.read_bytes()[:2000])
    write_page(tmp_path / "page.html", "a cat", "mini", found)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "not readable: No such file or directory" in page
    assert "truncated" in page
    assert "<img" not in page


def test_thumbnails_say_nothing_of_the_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    Image.new("RGB", (400, 300)).save(tmp_path / "a.jpg", exif=exif)
    found = [
        SearchResult(
            rank=1, score=1.0, path=str(tmp_path / "a.jpg"), type="image", width=400, height=300
        )
    ]
    write_page(tmp_path / "page.html", "a", "mini", found)
    import base64

    page = (tmp_path / "page.html").read_text("utf-8")
    (data,) = re.findall(r"base64,([A-Za-z0-9+/=]+)", page)
    assert b"SECRET" in (tmp_path / "a.jpg").read_bytes()
    assert b"SECRET" not in base64.b64decode(data)


def test_only_a_page_of_nmm_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    for _ in range(2):
        write_page(file, "a cat", "mini", [])
    file.write_text("mine")
    with pytest.raises(UsageError, match="is not a page that nmm wrote"):
        write_page(file, "a cat", "mini", [])
    file.write_text("")
    write_page(file, "a cat", "mini", [])
    assert [there.name for there in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("cute animals", "nmm-cute-animals.html"),
        ("../../etc/passwd\0", "nmm-etc-passwd.html"),
        ("- !?", "nmm.html"),
        ("日本 ünï", "nmm-日本-ünï.html"),
        ("long " * 40, "nmm-" + "long-" * 11 + "l.html"),
    ],
)
def test_a_page_is_called_after_its_query(query: str, name: str) -> None:
    assert page_name(query) == name


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("--gallery a cat", "--gallery= a cat"),
        ("a cat --gallery", "a cat --gallery="),
        ("--gallery cats.html a cat", "--gallery cats.html a cat"),
        ("--gallery - cat", "--gallery - cat"),
        ("--gallery --json cat", "--gallery= --json cat"),
        ("--gallery=x cat", "--gallery=x cat"),
        ("-- --gallery", "-- --gallery"),
    ],
)
def test_a_gallery_needs_no_file_name(given: str, read: str) -> None:
    assert with_value(given.split()) == read.split()
