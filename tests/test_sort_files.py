"""Sorting files into folders: no file is overwritten or lost, and everything can be undone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import NAMES
from support import Nmm

from nmm.index.analysis.collection import open_collection
from nmm.index.errors import OutputError, UsageError
from nmm.index.indexing.indexer import build
from nmm.index.organize.apply import SortResult, apply_plan, undo
from nmm.index.organize.plan import Action, LabelledFile, Plan, folder_names, make_plan
from nmm.index.store.layout import IndexFolder

posix = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and links")

LABELS = {"one/a.txt": "cat", "one/b.txt": "dog", "two/a.txt": "cat", "two/c.txt": "cat"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "root"
    for name in LABELS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"I am {name}", "utf-8")
    return root


def filed(path: Path, label: str) -> LabelledFile:
    found = path.lstat()
    return LabelledFile(str(path), label, found.st_size, found.st_mtime_ns)


def planned(root: Path, to: Path, action: Action = "move") -> Plan:
    files = [filed(root / name, label) for name, label in LABELS.items()]
    return make_plan(files, to, folder_names(["cat", "dog"]), action)


def contents(folder: Path) -> dict[str, str]:
    """Return all files below a folder, except hidden ones, with their content."""
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("[!.]*"))
        if path.is_file()
    }


SORTED = {
    "cat/a (2).txt": "I am two/a.txt",
    "cat/a.txt": "I am one/a.txt",
    "cat/c.txt": "I am two/c.txt",
    "dog/b.txt": "I am one/b.txt",
}
BEFORE = {name: f"I am {name}" for name in LABELS}


def moved(todo: Plan) -> Path:
    """Execute a plan completely; return the log, which is written before any file is touched."""
    told: list[Path] = []

    def on_log(log: Path) -> None:
        assert log.is_file()
        assert not any(os.path.lexists(step.target) for step in todo.steps)
        told.append(log)

    done = apply_plan(todo, on_log)
    assert (done.done, done.failed) == (len(todo.steps), todo.failed)
    assert [done.log] == told
    return told[0]


# Execute and undo


def test_a_plan_touches_nothing(root: Path, tmp_path: Path) -> None:
    todo = planned(root, tmp_path / "to")
    assert [step.target for step in todo.steps] == [
        str(tmp_path.resolve() / "to" / name)
        for name in ("cat/a.txt", "dog/b.txt", "cat/a (2).txt", "cat/c.txt")
    ]
    assert contents(root) == BEFORE
    assert not (tmp_path / "to").exists()


def test_files_are_moved_by_label_and_put_back(root: Path, tmp_path: Path) -> None:
    to = tmp_path / "new" / "to"
    before = {name: (root / name).stat() for name in LABELS}
    log = moved(planned(root, to))
    assert contents(to) == SORTED
    assert contents(root) == {}
    assert undo(log) == SortResult(done=4, log=None)
    assert contents(root) == BEFORE
    assert not (tmp_path / "new").exists()
    for name, was in before.items():
        now = (root / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


def test_sorting_again_finds_all_where_it_should_be(root: Path, tmp_path: Path) -> None:
    moved(planned(root, tmp_path))
    files = [filed(tmp_path / name, name.partition("/")[0]) for name in SORTED]
    again = make_plan(files, tmp_path, folder_names(["cat", "dog"]), "move")
    assert (again.steps, again.in_place, again.failed) == ([], 4, [])
    assert apply_plan(again) == SortResult()


@posix
def test_links_are_made_once_and_removed(root: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    log = moved(planned(root, to, "link"))
    assert contents(to) == SORTED
    assert (to / "cat" / "a (2).txt").readlink() == root / "two" / "a.txt"
    again = planned(root, to, "link")
    assert (again.steps, again.in_place) == ([], 4)
    (to / "dog" / "b.txt").unlink()
    (to / "dog" / "b.txt").write_text("mine")
    done = undo(log)
    assert (done.done, [Path(path).name for path, _ in done.failed]) == (3, ["b.txt"])
    assert contents(to) == {"dog/b.txt": "mine"}
    assert contents(root) == BEFORE


# No file is overwritten


def test_a_name_that_is_taken_gets_a_number(root: Path, tmp_path: Path) -> None:
    (tmp_path / "to" / "cat").mkdir(parents=True)
    (tmp_path / "to" / "cat" / "a.txt").write_text("mine")
    (tmp_path / "to" / "cat" / "c.txt").symlink_to("nowhere")
    log = moved(planned(root, tmp_path / "to"))
    assert contents(tmp_path / "to") == {
        "cat/a.txt": "mine",
        "cat/a (2).txt": "I am one/a.txt",
        "cat/a (3).txt": "I am two/a.txt",
        "cat/c (2).txt": "I am two/c.txt",
        "dog/b.txt": "I am one/b.txt",
    }
    assert undo(log).done == 4
    assert contents(root) == BEFORE
    assert contents(tmp_path / "to") == {"cat/a.txt": "mine"}
    assert (tmp_path / "to" / "cat" / "c.txt").is_symlink()


@pytest.mark.parametrize("action", ["move", "link"])
def test_a_name_that_was_taken_meanwhile_is_left_alone(
    root: Path, tmp_path: Path, action: Action
) -> None:
    todo = planned(root, tmp_path / "to", action)
    (tmp_path / "to" / "dog").mkdir(parents=True)
    (tmp_path / "to" / "dog" / "b.txt").write_text("mine")
    done = apply_plan(todo)
    assert (done.done, [path for path, _ in done.failed]) == (3, [str(root / "one" / "b.txt")])
    assert (tmp_path / "to" / "dog" / "b.txt").read_text() == "mine"
    assert (root / "one" / "b.txt").read_text() == "I am one/b.txt"


def test_a_file_that_took_the_old_name_is_left_alone(root: Path, tmp_path: Path) -> None:
    log = moved(planned(root, tmp_path / "to"))
    (root / "one" / "b.txt").write_text("new")
    done = undo(log)
    assert (done.done, done.log) == (3, log)
    ((path, reason),) = done.failed
    assert path.endswith("dog/b.txt")
    assert "something else is at" in reason
    assert (tmp_path / "to" / "dog" / "b.txt").read_text() == "I am one/b.txt"
    (root / "one" / "b.txt").unlink()
    assert undo(log) == SortResult(done=1, log=None)
    assert contents(root) == BEFORE


@posix
def test_a_link_at_the_old_path_is_not_the_file(root: Path, tmp_path: Path) -> None:
    """It could be a link that a user made to find the moved file: the file must not be deleted."""
    log = moved(planned(root, tmp_path / "to"))
    (root / "one" / "b.txt").symlink_to(tmp_path / "to" / "dog" / "b.txt")
    assert len(undo(log).failed) == 1
    assert (tmp_path / "to" / "dog" / "b.txt").read_text() == "I am one/b.txt"


def test_files_deleted_meanwhile_are_reported(root: Path, tmp_path: Path) -> None:
    log = moved(planned(root, tmp_path / "to"))
    (tmp_path / "to" / "dog" / "b.txt").unlink()
    done = undo(log)
    ((path, reason),) = done.failed
    assert (done.done, Path(path).name) == (3, "b.txt")
    assert reason == "it is neither there nor where it was"


def test_files_changed_since_indexing_stay(root: Path, tmp_path: Path) -> None:
    files = [filed(root / name, label) for name, label in LABELS.items()]
    (root / "one" / "a.txt").write_text("changed since")
    (root / "one" / "b.txt").unlink()
    (root / "two" / "a.txt").unlink()
    (root / "two" / "a.txt").symlink_to(root / "two" / "c.txt")
    todo = make_plan(files, tmp_path / "to", folder_names(["cat", "dog"]), "move")
    assert [Path(step.source).name for step in todo.steps] == ["c.txt"]
    assert [reason for _, reason in todo.failed] == [
        "it was changed since it was indexed",
        os.strerror(2),
        "it is a link",
    ]


def test_a_folder_that_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "to").write_text("mine")
    (tmp_path / "sorted").mkdir()
    (tmp_path / "sorted" / "cat").write_text("mine")
    for folder in ("to", "sorted"):
        with pytest.raises(UsageError, match="is not a folder"):
            planned(root, tmp_path / folder)
    with pytest.raises(OutputError, match="cannot be written"):
        apply_plan(planned(root, tmp_path / "to" / "in it"))
    assert contents(root) == BEFORE


# To another disk


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system, if there is one."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_files_go_to_another_disk_and_back(root: Path, other_disk: Path) -> None:
    times = {name: (root / name).stat().st_mtime_ns for name in LABELS}
    log = moved(planned(root, other_disk))
    assert contents(other_disk) == SORTED
    assert contents(root) == {}
    assert undo(log).done == 4
    assert contents(root) == BEFORE
    assert list(other_disk.iterdir()) == []
    assert {name: (root / name).stat().st_mtime_ns for name in LABELS} == times


# Killed

KILLED = """
import os, signal, sys
from pathlib import Path
at, count, doing, *rest = sys.argv[1:]
passed = 0
def hook(event, arguments):
    global passed
    if (event == "nmm.sort_files" and arguments[0] == at) or event == at:
        passed += 1
        if passed == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
if doing == "undo":
    from nmm.index.organize.apply import undo
    undo(Path(rest[0]))
else:
    sys.path.insert(0, rest[2])
    from test_sort_files import planned
    from nmm.index.organize.apply import apply_plan
    apply_plan(planned(Path(rest[0]), Path(rest[1])))
"""


def killed(at: str, count: int, *doing: str | Path) -> bool:
    """Run an action in a process killed at the nth passage of a label; return whether it died."""
    command = [sys.executable, "-c", KILLED, at, str(count), *doing]
    done = subprocess.run(command, check=False)
    assert done.returncode in {0, -signal.SIGKILL}
    return done.returncode != 0


def in_both(root: Path, to: Path) -> list[str]:
    """Return the files in both places: a file with two names appears twice."""
    return sorted([*contents(root).values(), *contents(to).values()])


@posix
@pytest.mark.parametrize(
    ("at", "count"), [("log written", 1), ("next", 1), ("next", 3), ("both names", 1),
                      ("both names", 4), ("os.remove", 3)]
)  # fmt: skip
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_run_that_was_killed_is_put_back(
    root: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    at: str,
    count: int,
    elsewhere: bool,
) -> None:
    to = request.getfixturevalue("other_disk") if elsewhere else tmp_path / "to"
    assert killed(at, count, "sort", root, to, Path(__file__).parent)
    assert set(in_both(root, to)) == set(BEFORE.values())
    (log,) = to.glob(".nmm-undo-*.jsonl")
    assert undo(log).failed == []
    assert contents(root) == BEFORE
    assert list(to.rglob("*")) == [] if to.exists() else True


@posix
def test_without_a_log_nothing_is_touched(root: Path, tmp_path: Path) -> None:
    assert killed("log to be named", 1, "sort", root, tmp_path / "to", Path(__file__).parent)
    assert not list((tmp_path / "to").glob("*.jsonl"))
    assert contents(root) == BEFORE
    log = moved(planned(root, tmp_path / "to"))
    assert contents(tmp_path / "to") == SORTED
    assert undo(log).done == 4


@posix
def test_a_link_in_the_new_place_is_not_what_was_moved(root: Path, tmp_path: Path) -> None:
    log = moved(planned(root, tmp_path / "to"))
    place = tmp_path / "to" / "dog" / "b.txt"
    place.rename(tmp_path / "mine.txt")
    place.symlink_to(tmp_path / "mine.txt")
    ((path, reason),) = undo(log).failed
    assert (path, reason) == (str(place), "it is another file now")
    assert (tmp_path / "mine.txt").read_text() == "I am one/b.txt"
    assert place.is_symlink()


@posix
@pytest.mark.parametrize(("at", "count"), [("next", 2), ("both names", 1), ("both names", 3)])
def test_an_undo_that_was_killed_goes_on(root: Path, tmp_path: Path, at: str, count: int) -> None:
    log = moved(planned(root, tmp_path / "to"))
    assert killed(at, count, "undo", log)
    assert set(in_both(root, tmp_path / "to")) == set(BEFORE.values())
    assert undo(log).failed == []
    assert contents(root) == BEFORE
    assert not (tmp_path / "to").exists()


@posix
def test_a_copy_that_a_kill_cut_short_is_tidied_up(root: Path, other_disk: Path) -> None:
    assert killed("shutil.copyfile", 2, "sort", root, other_disk, Path(__file__).parent)
    (log,) = other_disk.glob(".nmm-undo-*.jsonl")
    (other_disk / "cat" / f"{log.name}.part").write_text("half of a f")
    assert undo(log).failed == []
    assert contents(root) == BEFORE
    assert list(other_disk.rglob("*")) == []


# Logs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        '{"format": "another", "version": 1, "action": "move", "made": []}',
        '{"format": "nmm sorted files", "version": 2, "action": "move", "made": []}',
        '{"format": "nmm sorted files", "version": 1, "action": "delete", "made": []}',
        '{"format": "nmm sorted files", "version": 1, "action": "move", "made": ["here"]}',
        '{"format": "nmm sorted files", "version": 1, "action": "move", "made": []}\n'
        '{"source": "/a", "target": "b"}',
        '{"format": "nmm sorted files", "version": 1, "action": "move", "made": []}\n{"source": 1}',
        "caf\u00e9",
    ],
)
def test_an_invalid_log_is_refused(tmp_path: Path, text: str) -> None:
    log = tmp_path / "log"
    log.write_text(text, "utf-8")
    with pytest.raises(UsageError):
        undo(log)
    assert log.read_text("utf-8") == text


def test_a_missing_log_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        undo(tmp_path / "nowhere")


# Labels as folder names


def test_a_label_becomes_one_folder_that_is_seen() -> None:
    labels = ["cat", "a/b", "a\\b", "a:b", "..", ".", "/", "/etc/passwd", ".hidden", "CON",
              "nul.txt", "a\nb", "\x1b[2J", "\u202egpj", " spaces ", "dot.", "a\0b", "~", "-rf",
              "Cat", "x" * 300, "ü" * 200, "*", "", "日本"]  # fmt: skip
    names = folder_names(labels)
    assert list(names) == labels
    assert len({name.casefold() for name in names.values()}) == len(labels)
    for name in names.values():
        assert name == Path(name).name
        assert name.isprintable()
        assert not name.startswith((".", " "))
        assert not name.endswith((".", " "))
        assert not set(name) & set('<>:"/\\|?*')
        assert 0 < len(name.encode()) <= 210
        assert name.partition(".")[0].upper() not in {"CON", "NUL"}
    assert names["cat"] == "cat"
    assert names["Cat"] == "Cat (2)"
    assert names["a/b"] == "a_b"
    assert names["日本"] == "日本"


def test_labels_never_lead_out_of_the_folder(root: Path, tmp_path: Path) -> None:
    labels = ["../../out", "/tmp/out", "..", "a/../../b"]
    names = folder_names(labels)
    files = [filed(root / name, label) for name, label in zip(LABELS, labels, strict=True)]
    log = moved(make_plan(files, tmp_path / "to", names, "move"))
    assert len(contents(tmp_path / "to")) == 4
    assert {path.parent for path in (tmp_path / "to").rglob("*.txt")} == {
        (tmp_path / "to" / name) for name in names.values()
    }
    assert undo(log).done == 4
    assert contents(root) == BEFORE


def test_files_of_hostile_names_are_moved_and_put_back(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "root"
    root.mkdir()
    names = [*NAMES, *(["caf\udce9.jpg"] if os.name == "posix" else [])]
    for name in names:
        (root / name).write_text(repr(name))
    files = [filed(root / name, "it") for name in names]
    log = moved(make_plan(files, tmp_path / "to", folder_names(["it"]), "move"))
    assert {path.name for path in (tmp_path / "to" / "it").iterdir()} == set(names)
    assert undo(log).done == len(names)
    assert {path.name: path.read_text() for path in root.iterdir()} == {n: repr(n) for n in names}


# The index, and the command


def known(folder: IndexFolder) -> dict[bytes, int]:
    """Return the id of each content by its hash; an id changes if a content is embedded again."""
    with open_collection(folder) as collection:
        return {item.hash: item.content for item in collection.files}


def test_moved_files_are_not_embedded_again(root: Path, folder: IndexFolder) -> None:
    build([root], folder, model="mini")
    before = known(folder)
    assert len(before) == 4
    log = moved(planned(root, root / "sorted"))
    summary = build([], folder)
    assert (summary.moved, summary.added, summary.removed) == (4, 0, 0)
    assert known(folder) == before
    undo(log)
    assert build([], folder).moved == 4
    assert known(folder) == before


def test_the_command_prints_its_plan_first(nmm: Nmm, sample_data: Path) -> None:
    assert nmm("index", sample_data, "--model", "mini").returncode == 0
    photos = sample_data / "photos"
    there = sorted(path.name for path in photos.iterdir())
    asked = ["classify", "--labels", "cat,rocket,coffee", "--none", "--type", "image",
             "--min-score", "0.6", "--move-to", "by/label"]  # fmt: skip
    done = nmm(*asked, cwd=sample_data)
    assert done.returncode == 0
    assert set(done.stdout.splitlines()) == {
        "photos/chelsea.jpg -> by/label/cat/chelsea.jpg",
        "photos/launch.jpg -> by/label/rocket/launch.jpg",
        "photos/espresso.jpg -> by/label/coffee/espresso.jpg",
    }
    assert done.stderr.splitlines()[1:] == [
        "3 to be moved. Nothing was done yet.",
        "To carry this out, add: --yes",
    ]
    done = nmm(*asked, "--json", cwd=sample_data)
    assert len(json.loads(done.stdout)["results"]) >= 3
    assert done.stderr.splitlines()[-2:][0] == "3 to be moved. Nothing was done yet."
    assert sorted(path.name for path in photos.iterdir()) == there
    assert not (sample_data / "by").exists()
    done = nmm(*asked, "--yes", cwd=sample_data)
    assert (done.returncode, done.stdout) == (0, "")
    top = sample_data.resolve() / "by" / "label"
    (log,) = top.glob(".nmm-undo-*.jsonl")
    assert done.stderr.splitlines()[1:] == [
        f"Undo it with: nmm classify --undo {log}",
        f"3 moved: {top}",
        "Update the index with: nmm index",
    ]
    assert (top / "cat" / "chelsea.jpg").is_file()
    assert json.loads(nmm("index", "--json").stdout)["moved"] == 3
    done = nmm("classify", "--undo", log)
    assert (done.returncode, done.stderr) == (0, "3 files moved back.\n")
    assert sorted(path.name for path in photos.iterdir()) == there
    assert not (sample_data / "by").exists()


def test_the_command_reports_files_that_could_not_be_moved(nmm: Nmm, sample_data: Path) -> None:
    assert nmm("index", sample_data, "--model", "mini").returncode == 0
    (sample_data / "photos" / "chelsea.jpg").unlink()
    asked = ["classify", "--labels", "cat,rocket", "--only", "cat", "--type", "image",
             "--min-score", "0.9", "--move-to", "../sorted", "--yes"]  # fmt: skip
    done = nmm(*asked, cwd=sample_data)
    assert done.returncode == 3
    assert done.stderr.splitlines()[1:] == [
        f"{sample_data.resolve()}/photos/chelsea.jpg: {os.strerror(2)}",
        f"0 moved, 1 failed: {sample_data.resolve().parent / 'sorted'}",
    ]
    assert not (sample_data.parent / "sorted").exists()


def test_a_folder_outside_the_index_is_taken_in_before_the_old_places_go(
    nmm: Nmm, sample_data: Path, tmp_path: Path
) -> None:
    assert nmm("index", sample_data, "--model", "mini").returncode == 0
    to = sample_data.resolve().parent / "my sorted"
    asked = ["classify", "--labels", "cat,rocket", "--only", "cat", "--in", "photos",
             "--type", "image", "--min-score", "0.9"]  # fmt: skip
    linked = nmm(*asked, "--link-to", to, "--yes")
    assert f"1 linked: {to}" in linked.stderr
    assert "nmm index" not in linked.stderr
    (log,) = to.glob(".nmm-undo-*")
    assert nmm("classify", "--undo", log).stderr == "1 link removed.\n"
    done = nmm(*asked, "--move-to", to, "--yes")
    assert done.stderr.endswith(f"Update the index with: nmm index '{to}' && nmm index\n")
    before = known(IndexFolder(tmp_path / "index"))
    assert nmm("index", to).returncode == 0
    assert json.loads(nmm("index", "--json").stdout)["removed"] == 1
    assert known(IndexFolder(tmp_path / "index")) == before
