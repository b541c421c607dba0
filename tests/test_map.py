"""The map: a layout that preserves neighbours, and a page that shows it in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
import pytest
from chromium import BINARY, Browser
from hostile import NAMES
from numpy.typing import NDArray
from PIL import Image
from support import SAMPLE_DATA, Nmm

from nmm.cli.console.hints import hint_of
from nmm.cli.render.html import map_png
from nmm.cli.render.html.map_page import MapPage
from nmm.cli.render.html.sprites import make_sprites, select_images, side_for
from nmm.cli.render.palette import oklch, palette
from nmm.index.analysis.clustering.clusters import Cluster
from nmm.index.analysis.projection import projector
from nmm.index.analysis.projection.layout import (
    COPY_SPACING,
    FileMap,
    project_contents,
    spread_copies,
)
from nmm.index.analysis.projection.projector import project, project_pca, scale_to_unit
from nmm.index.errors import ModelError, OutputError, UsageError
from nmm.index.store.catalog.file_vectors import Item
from nmm.index.store.catalog.types import Kind

in_browser = pytest.mark.skipif(BINARY is None, reason="needs Chromium: apt-get install chromium")
CAT = SAMPLE_DATA / "photos/chelsea.jpg"
OWNED = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)><!-- & ]]>"
ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "bench"))

from projection_quality import (  # noqa: E402
    find_neighbours,
    kind_mixing,
    neighbour_preservation,
    trustworthiness,
)

Floats = NDArray[np.float32]


def units(vectors: NDArray[Any]) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def groups_of(count: int, groups: int, dimension: int = 64) -> tuple[Floats, NDArray[np.int64]]:
    """Return unit vectors around random centres, and the centre of each."""
    chance = np.random.default_rng(7)
    centres = units(chance.standard_normal((groups, dimension)))
    group = np.arange(count) % groups
    around = 0.5 * units(chance.standard_normal((count, dimension)))
    return units(centres[group] + around), group


# --- the projection ---


def test_groups_stay_together_and_neighbours_are_kept() -> None:
    vectors, group = groups_of(400, 8)
    points = project(vectors)
    assert points.shape == (400, 2)
    assert points.dtype == np.float32
    assert np.abs(points).max() == 1
    near = find_neighbours(points, np.arange(400))
    assert np.mean(group[near] == group[:, None]) > 0.98
    # By chance 10 of 399; within a cluster of 50 without substructure, 10 of 49.
    assert neighbour_preservation(vectors, points) > 0.25
    assert trustworthiness(vectors, points) > 0.9


def test_the_same_seed_draws_the_same_picture_in_another_process() -> None:
    vectors, _ = groups_of(200, 5)
    code = (
        "import sys, numpy as np; from nmm.index.analysis.projection.projector import project\n"
        "v = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(200, -1)\n"
        "sys.stdout.buffer.write(project(v, seed=3).tobytes())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=vectors.tobytes(), capture_output=True, check=True)
    here = project(vectors, seed=3)
    assert done.stdout == here.tobytes()
    assert done.stderr == b""
    assert not np.array_equal(here, project(vectors, seed=4))


@pytest.mark.parametrize(
    "count", [0, 1, 2, 3, projector.MIN_PACMAP_POINTS - 1, projector.MIN_PACMAP_POINTS, 40]
)
def test_few_files_are_a_map_too(count: int) -> None:
    vectors = groups_of(count, 3)[0] if count else np.zeros((0, 64), np.float32)
    points = project(vectors)
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == count


def test_identical_files_lie_in_one_place() -> None:
    assert not project(np.ones((50, 8), np.float32)).any()


def test_principal_components_are_those_of_a_known_cloud() -> None:
    cloud = np.array([[3, 0, 1], [-3, 0, 1], [0, 1, 1], [0, -1, 1]], np.float32)
    assert np.abs(project_pca(cloud)) == pytest.approx(np.abs(cloud[:, :2]), abs=1e-6)
    assert scale_to_unit(cloud[:, :2])[0].tolist() == [1, 0]


def test_images_and_texts_mix_once_the_gap_is_closed() -> None:
    vectors, group = groups_of(400, 8)
    chance = np.random.default_rng(1)
    gap = units(chance.standard_normal(64))
    is_image = chance.random(400) < 0.5
    apart = units(vectors + np.where(is_image, 0.6, -0.6)[:, None] * gap)
    kinds: list[Kind] = ["image" if one else "text" for one in is_image]
    before, after = project(apart), project_contents(apart, kinds)
    assert kind_mixing(before, is_image) < 0.2
    assert kind_mixing(after, is_image) > 0.8
    near = find_neighbours(after, np.arange(400))
    assert np.mean(group[near] == group[:, None]) > 0.95


def test_a_missing_projection_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pacmap", None)
    with pytest.raises(ModelError) as raised:
        project(groups_of(40, 2)[0])
    assert "pip install 'nmm[map]'" in hint_of(raised.value)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="A map cannot be drawn"):
        projector.check_installed()


# --- quality of a layout ---


def test_quality_metrics_of_a_good_and_a_bad_layout() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((300, 2)).astype(np.float32)
    assert neighbour_preservation(vectors, 3 * vectors) == 1
    assert trustworthiness(vectors, 3 * vectors) == 1
    other = chance.permutation(vectors)
    assert neighbour_preservation(vectors, other) < 0.1
    assert trustworthiness(vectors, other) == pytest.approx(0.5, abs=0.05)


def test_trustworthiness_is_that_of_scikit_learn() -> None:
    from sklearn.manifold import trustworthiness as theirs

    vectors, _ = groups_of(200, 4)
    points = project_pca(vectors)
    expected = theirs(vectors, points, n_neighbors=10)
    assert trustworthiness(vectors, points) == pytest.approx(expected, abs=1e-3)


def test_copies_are_not_their_own_neighbours() -> None:
    points = np.zeros((30, 2), np.float32)
    near = find_neighbours(points, np.arange(30), 5)
    assert near.shape == (30, 5)
    assert find_neighbours(
        np.array([[0], [1], [3], [7]], np.float32), np.array([0]), 2
    ).tolist() == [[1, 2]]


def test_mixing_is_1_by_chance_and_0_apart() -> None:
    chance = np.random.default_rng(0)
    points = chance.random((2000, 2)).astype(np.float32)
    assert kind_mixing(points, chance.random(2000) < 0.2) == pytest.approx(1, abs=0.1)
    assert kind_mixing(points, points[:, 0] < 0.5) < 0.15


# --- positions of files ---


def test_files_of_one_content_lie_beside_each_other() -> None:
    points = np.array([[0, 0], [1, 1]], np.float32)
    placed = spread_copies(points, np.array([1, 0, 1, 1]))
    assert placed[0].tolist() == [1, 1]
    assert placed[1].tolist() == [0, 0]
    away = np.linalg.norm(placed[[2, 3]] - 1, axis=1)
    assert away == pytest.approx([COPY_SPACING, COPY_SPACING * 2**0.5], rel=1e-3)
    assert len(np.unique(placed, axis=0)) == 4


# --- thumbnails ---


@pytest.mark.parametrize(
    ("count", "side"), [(1, 256), (256, 256), (257, 192), (4096, 64), (7225, 48), (100_000, 48)]
)
def test_thumbnails_shrink_as_their_number_grows(count: int, side: int) -> None:
    assert side_for(count) == side


def files_of(*paths: Path | str, contents: Sequence[int] | None = None) -> list[Item]:
    return [
        Item(
            n, n if contents is None else contents[n], str(path),
            "text" if str(path).endswith(".txt") else "image", b"", 1, 0, None, None, None,
        )
        for n, path in enumerate(paths)
    ]  # fmt: skip


def test_thumbnails_are_of_each_part_of_the_map_before_any_has_two() -> None:
    files = files_of(*(f"/{n}.jpg" for n in range(6)), contents=[0, 1, 2, 3, 4, 4])
    points = np.array([[0, 0], [0.001, 0], [0.002, 0], [0.9, 0], [-0.9, 0], [0.5, 0.5]], np.float32)
    group = Cluster("a", ("a",), np.array([2, 0, 1]), (2,))
    drawn = FileMap(points, [group], np.array([0, 0, 0, -1, -1, -1]), points[:1])
    # In the fullest part, the most central first; the copy has none.
    assert select_images(files, drawn) == [2, 4, 3, 0, 1]


def test_a_sheet_holds_each_thumbnail_in_its_square(tmp_path: Path) -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    paths = []
    for colour in colours:
        paths.append(str(tmp_path / f"{colour}.png"))
        Image.new("RGB", (300, 150), colour).save(paths[-1])
    paths.insert(1, str(tmp_path / "gone.jpg"))
    passed: list[int] = []
    made = make_sprites(paths, [10, 11, 12, 13], lambda: passed.append(1))
    assert made is not None
    assert made.of == [10, 12, 13]
    assert made.skipped == [(paths[1], "not readable: No such file or directory")]
    assert len(passed) == 4
    assert made.sizes == [(254, 127)] * 3
    for number, colour in enumerate(colours):
        thumbnail = made.thumbnail(number)
        assert thumbnail.size == (254, 127)
        assert thumbnail.getpixel((127, 60))[:3] == colour  # type: ignore[index]
    assert make_sprites([paths[1]], [0]) is None


# --- the page ---


def until(is_so: Callable[[], Any], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.05)


def said(chromium: Browser) -> list[str]:
    """Return the page's messages, without those of a browser that lacks a graphics card."""
    return [text for text in chromium.said if "GL Driver Message" not in text]


def a_page(folder: Path, *names: str, text: str = "A needle in the hay.") -> MapPage:
    """Return images with these names in a circle, and a note in the middle; two groups."""
    for name in names:
        (folder / name).write_bytes(CAT.read_bytes())
    files = files_of(*(folder / name for name in names), folder / "note.txt")
    angles = 2 * np.pi * np.arange(len(names)) / max(len(names), 1)
    circle = np.column_stack([np.cos(angles), np.sin(angles)]).reshape(-1, 2)
    points = np.vstack([circle, [[0, 0]]]).astype(np.float32)
    rest = np.array([len(names)])
    first = np.arange(len(names))
    of = np.array([*[0] * len(names), 1])
    clusters = [
        Cluster("cats", ("cats", "animals"), first, (0,)),
        Cluster(OWNED, (OWNED,), rest, ()),
    ]
    drawn = FileMap(points, clusters, of, np.array([[0.4, 0.1], [0, -0.3]], np.float32))
    places = [place for place in select_images(files, drawn) if place % 2 == 0]
    thumbnails = make_sprites([files[place].path for place in places], places)
    return MapPage(files, "mini", {len(names): text}, drawn, thumbnails)


def open_page(chromium: Browser, folder: Path, page: MapPage) -> Path:
    file = folder / "map.html"
    page.write(file)
    chromium.open(file.as_uri())
    until(lambda: chromium.evaluate("nmmMap.frames?.() > 0"))
    return file


def place_of(chromium: Browser, at: int) -> tuple[float, float]:
    """Return the position of a file on the screen."""
    x, y = chromium.evaluate(
        f"nmmMap.view.toScreen(nmmMap.data.points[{2 * at}], nmmMap.data.points[{2 * at + 1}])"
    )
    return x, y


def mouse(chromium: Browser, kind: str, x: float, y: float, **more: Any) -> None:
    chromium.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def click(chromium: Browser, x: float, y: float, **more: Any) -> None:
    mouse(chromium, "mouseMoved", x, y)
    for kind, buttons in (("mousePressed", 1), ("mouseReleased", 0)):
        mouse(chromium, kind, x, y, button="left", buttons=buttons, clickCount=1, **more)


def drag(chromium: Browser, *places: tuple[float, float], **more: Any) -> None:
    mouse(chromium, "mousePressed", *places[0], button="left", buttons=1, clickCount=1, **more)
    for place in places[1:]:
        mouse(chromium, "mouseMoved", *place, button="left", buttons=1, **more)
    mouse(chromium, "mouseReleased", *places[-1], button="left", buttons=0, clickCount=1, **more)


def selected(chromium: Browser) -> list[int]:
    return sorted(chromium.evaluate("[...nmmMap.selection.places]"))


# Records which files a click opens, and opens none.
OPENED = """
window.opened = [];
HTMLAnchorElement.prototype.click = function () { opened.push(this.href, this.download); };
"""


@in_browser
def test_a_page_shows_its_files(chromium: Browser, tmp_path: Path) -> None:
    page = a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    open_page(chromium, tmp_path, page)
    assert chromium.evaluate("document.title") == "Map of 5 files – nmm"
    assert "4 images, 1 text, with the model mini" in chromium.evaluate("document.body.innerText")
    assert chromium.evaluate("document.querySelector('#image small').textContent") == "4"
    groups = "[...document.querySelectorAll('#groups bdi')].map(e => e.textContent)"
    assert chromium.evaluate(groups) == ["cats", OWNED]
    labels = "[...document.querySelectorAll('.label:not([hidden])')].map(e => e.textContent)"
    assert "cats" in chromium.evaluate(labels)
    assert said(chromium) == []
    assert {re.match(r"\w+:", address)[0] for address in chromium.asked} <= {  # type: ignore[index]
        "file:",
        "data:",
        "blob:",
    }


@in_browser
def test_points_and_thumbnails_are_drawn_in_their_colours(
    chromium: Browser, tmp_path: Path
) -> None:
    import io

    page = a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    open_page(chromium, tmp_path, page)
    for dark in (False, True):
        chromium.size(1200, dark=dark)
        colours = palette(2, dark=dark)
        time.sleep(0.5)

        def shown(at: int, *, dark: bool = dark) -> tuple[int, ...]:
            picture = Image.open(io.BytesIO(chromium.look(width=1200, dark=dark))).convert("RGB")
            x, y = place_of(chromium, at)
            return picture.getpixel((round(x), round(y)))  # type: ignore[return-value]

        # A point is 90 % opaque; b and d have no thumbnail, a and c have one.
        assert np.abs(np.subtract(shown(1), colours.groups[0])).max() < 40
        assert np.abs(np.subtract(shown(0), colours.groups[0])).max() > 40
        ground = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == f"rgb{colours.ground}"


@in_browser
def test_pointing_shows_what_a_file_is_and_a_click_opens_it(
    chromium: Browser, tmp_path: Path
) -> None:
    page = a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    open_page(chromium, tmp_path, page)
    card = "document.getElementById('card')"
    assert chromium.evaluate(f"{card}.hidden") is True
    mouse(chromium, "mouseMoved", *place_of(chromium, 4))
    until(lambda: not chromium.evaluate(f"{card}.hidden"))
    assert (
        chromium.evaluate(f"{card}.querySelector('.passage').textContent") == "A needle in the hay."
    )
    assert chromium.evaluate(f"{card}.querySelector('.name').textContent") == "note.txt"
    mouse(chromium, "mouseMoved", *place_of(chromium, 0))
    assert chromium.evaluate(f"{card}.querySelector('.name').textContent") == "a.jpg"
    assert chromium.evaluate(f"{card}.querySelector('canvas').width") == 254
    chromium.evaluate(OPENED)
    click(chromium, *place_of(chromium, 0))
    click(chromium, *place_of(chromium, 1))
    assert chromium.evaluate("opened") == [
        (tmp_path / "a.jpg").as_uri(), "", (tmp_path / "b.jpg").as_uri(), "",
    ]  # fmt: skip
    mouse(chromium, "mouseMoved", 600, 300)
    assert chromium.evaluate(f"{card}.hidden") is True
    assert said(chromium) == []


@in_browser
def test_names_and_texts_can_be_searched(chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, a_page(tmp_path, "ant.jpg", "bee.jpg", "ant_bee.jpg"))
    names = "[...document.querySelectorAll('#results .name')].map(e => e.textContent)"
    chromium.press("/")
    assert chromium.evaluate("document.activeElement.id") == "query"
    for letter in "ANT BEE":
        chromium.press(letter)
    until(lambda: chromium.evaluate(names) == ["ant_bee.jpg"])
    assert chromium.evaluate("document.getElementById('count').value") == "1 found"
    chromium.press("Enter")
    focused = "document.activeElement.querySelector('.name')?.textContent"
    assert chromium.evaluate(focused) == "ant_bee.jpg"
    assert chromium.evaluate("nmmMap.pointedAt()") == 2
    chromium.press("Escape")
    assert chromium.evaluate("document.getElementById('found').hidden") is True
    chromium.press("/")
    for letter in "needle":
        chromium.press(letter)
    until(lambda: chromium.evaluate(names) == ["note.txt"])
    chromium.evaluate("document.getElementById('take').click()")
    assert selected(chromium) == [3]
    assert said(chromium) == []


@in_browser
def test_a_lasso_selects_a_list_of_paths(chromium: Browser, tmp_path: Path) -> None:
    page = a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    open_page(chromium, tmp_path, page)
    x, y = place_of(chromium, 1)  # above
    around = [(x - 80, y - 60), (x + 80, y - 60), (x + 80, y + 60), (x - 80, y + 60)]
    before = chromium.evaluate("nmmMap.view.state")
    drag(chromium, *around, modifiers=8)  # Shift
    assert selected(chromium) == [1]
    assert chromium.evaluate("nmmMap.view.state") == before
    # And without Shift, once the button is pressed; a click adds one more.
    chromium.evaluate("document.getElementById('lasso').click()")
    click(chromium, *place_of(chromium, 4))
    assert selected(chromium) == [1, 4]
    paths = [str(tmp_path / "b.jpg"), str(tmp_path / "note.txt")]
    assert chromium.evaluate("document.querySelector('#selection textarea').value") == "\n".join(
        paths
    )
    chromium.evaluate(
        OPENED + "URL.createObjectURL = (blob) => { blob.text().then((t) => window.saved = t);"
        " return '#'; };"
    )
    chromium.evaluate("document.querySelector('[data-do=save]').click()")
    until(lambda: chromium.evaluate("window.saved"))
    assert chromium.evaluate("saved") == "".join(f"{path}\n" for path in paths)
    assert chromium.evaluate("opened[1]") == "paths.txt"
    chromium.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: "
        "{ writeText: async (text) => { window.copied = text; } } })"
    )
    chromium.evaluate("document.querySelector('[data-do=copy]').click()")
    until(lambda: chromium.evaluate("window.copied"))
    assert chromium.evaluate("copied") == "\n".join(paths)
    chromium.evaluate("document.querySelector('[data-do=clear]').click()")
    assert chromium.evaluate("document.getElementById('selection').hidden") is True


@in_browser
def test_dragging_and_the_wheel_move_the_map(chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg"))
    x, _ = place_of(chromium, 4)
    drag(chromium, (600, 300), (630, 310), (700, 340))
    # Moves before the page knows that this is a drag are lost.
    until(lambda: 50 < place_of(chromium, 4)[0] - x < 101)
    before = chromium.evaluate("nmmMap.view.zoom")
    mouse(chromium, "mouseWheel", 600, 400, deltaX=0, deltaY=-300)
    until(lambda: chromium.evaluate("nmmMap.view.zoom") > before)
    assert chromium.evaluate("opened = window.opened ?? []") == []


@in_browser
def test_a_moving_map_has_fewer_points_where_frames_are_slow_and_all_once_it_is_still(
    chromium: Browser, tmp_path: Path
) -> None:
    count = 20_000
    place = (np.arange(count) / count * 2 - 1).astype(np.float32)
    none = np.full(count, -1)
    drawn = FileMap(np.column_stack([place, -place]), [], none, np.empty((0, 2), np.float32))
    files = files_of(*(tmp_path / f"{number}.txt" for number in range(count)))
    open_page(chromium, tmp_path, MapPage(files, "mini", {}, drawn, None))
    points = "nmmMap.pace().points"
    assert chromium.evaluate(points) == count

    whole = chromium.look(width=1200)

    def move(milliseconds: int, steps: int) -> int:
        """Return the most points of a moving map, after steps whose frames take so long."""
        took = f"this.constructor.prototype.took.call(this, {milliseconds})"
        chromium.evaluate(f"nmmMap.pace().took = function () {{ {took} }}")
        for step in range(steps):
            chromium.evaluate(f"nmmMap.view.panBy({(-1) ** step}, 0), nmmMap.moved()")
            time.sleep(0.1)
        most: int = chromium.evaluate("nmmMap.pace().most")
        return most

    assert move(1000, 8) == 5000
    until(lambda: chromium.evaluate(points) == count)
    until(lambda: chromium.look(width=1200) == whole)
    assert move(10, 16) == count
    until(lambda: chromium.look(width=1200) == whole)


@in_browser
def test_keys_move_point_select_and_open(chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg"))
    chromium.evaluate(OPENED + "document.getElementById('map').focus()")
    zoom = chromium.evaluate("nmmMap.view.zoom")
    chromium.press("+")
    assert chromium.evaluate("nmmMap.view.zoom") == zoom + 1
    chromium.press("ArrowRight")
    assert chromium.evaluate("nmmMap.pointedAt()") == 4
    chromium.press(" ")
    assert selected(chromium) == [4]
    chromium.press("Enter")
    assert chromium.evaluate("opened[0]") == (tmp_path / "note.txt").as_uri()
    chromium.press("0")
    assert chromium.evaluate("nmmMap.view.zoom") == zoom
    chromium.press("Escape")
    chromium.press("Escape")
    assert selected(chromium) == []


@in_browser
def test_the_theme_can_be_switched(chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, a_page(tmp_path, "a.jpg"))
    grounds = []
    for _ in range(2):
        grounds.append(chromium.evaluate("getComputedStyle(document.body).backgroundColor"))
        chromium.evaluate("document.getElementById('theme').click()")
    assert grounds == ["rgb(248, 248, 246)", "rgb(20, 20, 21)"]
    chromium.size(1200, dark=True)  # the selection stays
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == grounds[0]


@in_browser
def test_kinds_can_be_hidden_and_coloured(chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg"))
    chromium.evaluate("document.getElementById('text').click()")
    mouse(chromium, "mouseMoved", *place_of(chromium, 4))
    assert chromium.evaluate("nmmMap.pointedAt()") == -1
    mouse(chromium, "mouseMoved", *place_of(chromium, 1))
    assert chromium.evaluate("nmmMap.pointedAt()") == 1


@in_browser
def test_names_and_passages_are_escaped(chromium: Browser, tmp_path: Path) -> None:
    page = a_page(tmp_path, *NAMES, text=f"It says {OWNED} \x1b[2J\u202e\u2028.")
    file = open_page(chromium, tmp_path, page)
    chromium.evaluate("document.getElementById('query').value = ' '")
    for at in range(len(NAMES) + 1):
        chromium.evaluate(f"nmmMap.selection.toggle({at})")
        mouse(chromium, "mouseMoved", *place_of(chromium, at))
    chromium.press("/")
    for letter in ".":
        chromium.press(letter)
    until(lambda: chromium.evaluate("document.querySelectorAll('#results li').length") > len(NAMES))
    assert chromium.evaluate("document.title") == f"Map of {len(NAMES) + 1} files – nmm"
    counted = chromium.evaluate(
        "['script', 'style', 'img', 'iframe'].map(n => document.getElementsByTagName(n).length)"
    )
    assert counted == [2, 1, 1, 0]
    shown = chromium.evaluate("document.body.innerText")
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    attributes = chromium.evaluate(
        "[...new Set([...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()))]"
    )
    assert not [name for name in attributes if name.startswith("on")]
    # Links and the list contain the names unchanged.
    links = chromium.evaluate("[...document.querySelectorAll('#results a')].map(a => a.href)")
    paths = [unquote_to_bytes(urlsplit(link).path).decode() for link in links]
    assert paths == [item.path for item in page.files]
    assert chromium.evaluate("nmmMap.selection.paths") == paths
    assert said(chromium) == []
    assert file.read_text("utf-8").count("</script>") == 2


@in_browser
def test_names_with_line_ends_are_saved_ended_by_nul(chromium: Browser, tmp_path: Path) -> None:
    page = a_page(tmp_path, "a\nb.jpg")
    open_page(chromium, tmp_path, page)
    chromium.evaluate(
        OPENED + "URL.createObjectURL = (blob) => { blob.text().then((t) => window.saved = t);"
        " return '#'; };"
    )
    chromium.evaluate("nmmMap.selection.set([0])")
    chromium.evaluate("document.querySelector('[data-do=save]').click()")
    until(lambda: chromium.evaluate("window.saved"))
    assert chromium.evaluate("saved") == f"{tmp_path / 'a'}\nb.jpg\0"
    assert chromium.evaluate("opened[1]") == "paths.nul"


@in_browser
def test_the_content_security_policy_blocks_injected_scripts(
    chromium: Browser, tmp_path: Path
) -> None:
    page = a_page(tmp_path, "a.jpg")
    file = tmp_path / "map.html"
    page.write(file)
    bad = (
        "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
        "<img src='http://127.0.0.1:9/x.png'><link rel=stylesheet href='http://127.0.0.1:9/x.css'>"
    )
    file.write_text(file.read_text("utf-8").replace("<noscript>", f"{bad}<noscript>"), "utf-8")
    chromium.open(file.as_uri())
    assert chromium.evaluate("document.title") == "Map of 2 files – nmm"
    assert sum("Content Security Policy" in text for text in chromium.said) >= 4


@in_browser
@pytest.mark.parametrize("width", [320, 768, 1920])
def test_the_page_fits_every_window(width: int, chromium: Browser, tmp_path: Path) -> None:
    open_page(chromium, tmp_path, a_page(tmp_path, "a.jpg", "b.jpg", "w" * 200 + ".jpg"))
    chromium.size(width, 640)
    chromium.evaluate("nmmMap.selection.set([0, 1, 2])")
    boxes = chromium.evaluate(
        "['header', 'nav', '.zoom', '#selection'].map(n => document.querySelector(n))"
        ".map(e => e.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])"
    )
    for left, top, right, bottom in boxes:
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= 640
    until(lambda: chromium.evaluate("nmmMap.view.size[0]") == width)
    xs = [place_of(chromium, at)[0] for at in range(4)]
    assert min(xs) > 0
    assert max(xs) < width


@in_browser
def test_text_has_enough_contrast(chromium: Browser, tmp_path: Path) -> None:
    """By WCAG 2.2's contrast of 4.5, https://www.w3.org/TR/WCAG22/#contrast-minimum."""
    open_page(chromium, tmp_path, a_page(tmp_path, "a.jpg", "b.jpg"))
    chromium.evaluate("nmmMap.selection.set([0])")
    script = """(() => {
      const level = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3)
        .map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return colour.startsWith("rgb(") ? colour : ground(e.parentElement);
      };
      return ["h1", "#names", "#lasso", "summary", "#image small", "footer p", "#in", "output"]
        .map((name) => document.querySelector(name))
        .map((e) => [level(getComputedStyle(e).color), level(ground(e))].sort((a, b) => b - a))
        .map(([high, low]) => (high + 0.05) / (low + 0.05));
    })()"""
    for dark in (False, True):
        chromium.size(1200, dark=dark)
        assert min(chromium.evaluate(script)) >= 4.5


def test_a_map_of_one_file_without_groups_is_a_page(tmp_path: Path) -> None:
    drawn = FileMap(np.zeros((1, 2), np.float32), [], np.array([-1]), np.zeros((0, 2), np.float32))
    html = "".join(MapPage(files_of("/gone/a.jpg"), "mini", {}, drawn, None).parts())
    assert "Map of 1 file" in html
    assert '<img id="sheet"' not in html


def test_only_a_page_or_picture_of_nmm_is_overwritten(tmp_path: Path) -> None:
    page = a_page(tmp_path, "a.jpg")
    file = tmp_path / "map.html"
    for _ in range(2):
        page.write(file)
    file.write_text("mine")
    with pytest.raises(UsageError, match="is not a page that nmm wrote"):
        page.write(file)
    picture = tmp_path / "map.png"
    drawn = map_png.render(page.drawn, ["image", "text"], page.sprites)
    for _ in range(2):
        map_png.write_png(picture, drawn)
    for bad in (CAT.read_bytes(), b"mine"):
        picture.write_bytes(bad)
        with pytest.raises((UsageError, OutputError)):
            map_png.write_png(picture, drawn)
        assert picture.read_bytes() == bad
    Image.new("RGB", (8, 8)).save(picture)
    with pytest.raises(UsageError, match="not a map that nmm drew"):
        map_png.check_writable(picture)
    with pytest.raises(UsageError, match="not a name for a PNG file"):
        map_png.check_writable(tmp_path / "map.jpg")


# --- the image file ---


def test_a_picture_has_points_thumbnails_and_names(tmp_path: Path) -> None:
    page = a_page(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    kinds = [item.kind for item in page.files]
    picture = map_png.render(page.drawn, kinds, page.sprites)
    assert picture.size == map_png.SIZE
    colours = palette(2)
    at = [(x / 2, y / 2) for x, y in map_png._to_pixels(page.drawn)]

    def colour(place: int) -> tuple[int, ...]:
        return picture.getpixel((round(at[place][0]), round(at[place][1])))  # type: ignore[return-value]

    assert colour(1) == colours.groups[0]
    assert colour(4) == colours.groups[1]
    assert colour(0) not in (colours.groups[0], colours.ground)
    shown = np.asarray(picture)
    assert (shown == colours.mark).all(axis=2).sum() > 10  # letters
    assert picture.getpixel((2, 2)) == colours.ground


def test_thumbnails_of_a_picture_do_not_overlap() -> None:
    chance = np.random.default_rng(0)
    points = chance.uniform(-1, 1, (500, 2)).astype(np.float32)
    drawn = FileMap(points, [], np.full(500, -1), np.zeros((0, 2), np.float32))
    kept = map_png.select_without_overlap(drawn, range(500))
    assert kept[0] == 0
    assert len(kept) > 40
    at = np.array(map_png._to_pixels(drawn))[kept]
    apart = np.abs(at[:, None] - at[None]).max(axis=2) + 1e9 * np.eye(len(kept))
    assert apart.min() >= 2 * map_png.THUMBNAIL_SIDE


def test_colours_are_those_that_oklch_names() -> None:
    assert oklch(1, 0, 0) == (255, 255, 255)
    assert oklch(0, 0, 0) == (0, 0, 0)
    assert oklch(0.62796, 0.25768, 29.234) == pytest.approx((255, 0, 0), abs=1)


# --- the command ---


def test_the_command_draws_the_sample_data(indexed: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, samples = indexed
    page, picture = tmp_path / "m.html", tmp_path / "m.png"
    done = nmm("map", "-o", page, "--png", picture, "--clusters", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{page}\n{picture}\n"
    assert "12 images and 19 texts in 4 groups, with the model mini." in done.stderr
    with Image.open(picture) as drawn:
        assert drawn.size == map_png.SIZE
    found = re.search(r'id="data">\n(.*)\n</script>', page.read_text("utf-8"))
    assert found
    data = json.loads(found[1])
    assert len(data["names"]) == 31
    assert len(data["clusters"]) == 4
    assert "chelsea.jpg" in data["names"]
    assert sum(passage is not None for passage in data["passages"]) == 19
    assert data["folders"][0]["path"].startswith(str(samples))


def test_coordinates_for_scripts_are_the_same_each_time(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    first, second = (nmm("map", "--json", "--type", "image", "--clusters", "3") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    shown = json.loads(first.stdout)
    assert shown["version"] == 1
    assert [result["type"] for result in shown["results"]] == ["image"] * 12
    names = [group["name"] for group in shown["clusters"]]
    assert {result["cluster"] for result in shown["results"]} == {*names}
    assert all(-1 <= result[axis] <= 1 for result in shown["results"] for axis in "xy")
    assert not json.loads(nmm("map", "--json", "--clusters", "0").stdout)["clusters"]


def test_a_page_can_go_to_standard_output(indexed: tuple[Nmm, Path]) -> None:
    nmm, _ = indexed
    done = nmm("map", "-o", "-", "-q", "--in", "photos", "--clusters", "0")
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.endswith("</html>\n")
    assert done.stderr == ""


def test_invalid_uses_are_reported(indexed: tuple[Nmm, Path], tmp_path: Path) -> None:
    nmm, _ = indexed
    foreign = tmp_path / "mine.html"
    foreign.write_text("mine")
    for arguments, status, says in (
        (["-o", str(foreign)], 2, "is not a page that nmm wrote"),
        (["--png", str(tmp_path / "a.jpg")], 2, "is not a name for a PNG file"),
        (["--json", "-o", "-"], 2, "both use standard output"),
        (["--json", "--open"], 2, "There is no page to open"),
        (["--in", "nowhere"], 1, "No file passes --in nowhere"),
    ):
        done = nmm("map", *arguments)
        assert (done.returncode, says in done.stderr) == (status, True), done.stderr
    assert foreign.read_text() == "mine"


def test_files_that_are_gone_are_points_without_a_picture(nmm: Nmm, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(CAT, tmp_path / name)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "b.jpg")
    assert nmm("index", tmp_path / "a.jpg", tmp_path / "b.jpg").returncode == 0
    (tmp_path / "b.jpg").unlink()
    done = nmm("map", "--clusters", "0")
    assert done.returncode == 3
    assert f"no thumbnail of {tmp_path / 'b.jpg'}: not readable" in done.stderr
    html = (tmp_path / "map.html").read_text("utf-8")
    assert '"b.jpg"' in html


def test_an_empty_index_is_reported(nmm: Nmm) -> None:
    done = nmm("map")
    assert done.returncode == 4
    assert "nmm index FOLDER" in done.stderr


# --- the bundled script ---


def test_the_committed_bundle_equals_its_build(tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("needs Node.js and npm: apt-get install npm")
    sources = tmp_path / "web/map"
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "web/map", sources, ignore=ignored)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    built = tmp_path / "built.js"
    command = [str(tmp_path / "scripts/bundle"), str(built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode and re.search(
        r"network|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT", done.stderr
    ):
        pytest.skip(f"the packages cannot be had: {done.stderr[:200]}")
    assert done.returncode == 0, done.stderr
    assert built.read_bytes() == (ROOT / "cli/render/html/map.bundle.js").read_bytes(), (
        "run scripts/bundle"
    )


def test_the_script_has_no_eval_and_bears_its_licences() -> None:
    script = (ROOT / "cli/render/html/map.bundle.js").read_text("utf-8")
    assert not re.search(r"\beval\(|new Function\(|Function\.apply", script)
    head = script[: script.index("*/")]
    for name in ("@deck.gl/core", "@luma.gl/webgl", "kdbush"):
        assert name in head
    assert head.count("Permission") >= 2
    assert "\r" not in script
