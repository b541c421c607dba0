from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nmm.index.errors import UsageError
from nmm.index.indexing.entries import FoundFile, SkippedEntry
from nmm.index.indexing.walk import walk

posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX file system")
undecodable = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux file systems take names that are not UTF-8"
)
CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# a cache\n"


def plant(root: Path, *files: str) -> None:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def found(root: Path, start: str = "", **options: object) -> list[str]:
    """Return the paths found; a skipped entry fails the test."""
    entries = list(walk(root, start, **options))  # type: ignore[arg-type]
    assert [entry for entry in entries if isinstance(entry, SkippedEntry)] == []
    return [entry.path for entry in entries]


def shown(root: Path, start: str = "", **options: object) -> list[str | SkippedEntry]:
    """Return the paths found and, in their places, the entries skipped."""
    return [
        entry.path if isinstance(entry, FoundFile) else entry
        for entry in walk(root, start, **options)  # type: ignore[arg-type]
    ]


# Found files


def test_a_found_file_has_its_size_and_its_time(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.txt", "four")
    os.utime(tmp_path / "sub" / "a.txt", ns=(0, 1_234_567_890_123_456_700))

    assert list(walk(tmp_path)) == [FoundFile("sub/a.txt", 4, 1_234_567_890_123_456_700)]


def test_a_root_that_is_a_file_is_found_with_no_path(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "four")
    mtime_ns = (tmp_path / "a.txt").stat().st_mtime_ns

    assert list(walk(tmp_path / "a.txt")) == [FoundFile("", 4, mtime_ns)]


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert list(walk(tmp_path)) == []


def test_entries_come_by_name_and_a_folder_in_its_place(tmp_path: Path) -> None:
    plant(tmp_path, "b/2", "b/10", "b/é", "a", "c", "B", "b.txt", "b/x/y")

    assert found(tmp_path) == ["B", "a", "b/10", "b/2", "b/x/y", "b/é", "b.txt", "c"]


def test_a_start_has_paths_relative_to_the_root(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/1", "a/b/c/2", "a/3", "4")

    assert found(tmp_path, "a/b") == ["a/b/1", "a/b/c/2"]
    assert found(tmp_path, "a//./b/") == ["a/b/1", "a/b/c/2"]
    assert found(tmp_path, "a/b/1") == ["a/b/1"]


def test_a_relative_root_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "a/b")
    write(tmp_path / "a" / ".nmmignore", "c")
    plant(tmp_path, "a/d/c", "a/d/e")
    monkeypatch.chdir(tmp_path)

    assert found(Path(), "a/d") == ["a/d/e"]


# Invalid starts


@pytest.mark.parametrize("start", ["", "below"])
def test_a_missing_path_is_a_usage_error(tmp_path: Path, start: str) -> None:
    root = tmp_path / "gone"
    with pytest.raises(UsageError) as raised:
        walk(root, start)

    assert raised.value.what == f"{root / start} does not exist"
    assert raised.value.hint == "Check its spelling, and that its disk is mounted."


def test_a_start_below_a_file_is_a_usage_error(tmp_path: Path) -> None:
    plant(tmp_path, "a")
    with pytest.raises(UsageError, match="a/b does not exist"):
        walk(tmp_path, "a/b")


@pytest.mark.parametrize("start", ["..", "a/../../b", "/etc"])
def test_a_start_outside_the_root_is_a_usage_error(tmp_path: Path, start: str) -> None:
    with pytest.raises(UsageError, match=f"{start} is not a path below"):
        walk(tmp_path, start)


@pytest.mark.parametrize("pattern", ["a\\", "!", "[z-a]", "[[:alpha:]]"])
def test_an_exclude_that_is_no_pattern_is_a_usage_error(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError) as raised:
        walk(tmp_path, exclude=["*.gif", pattern])

    assert raised.value.what == f"{pattern!r} is not a valid pattern"


# Entries excluded by name


@pytest.mark.parametrize(
    "name",
    [
        *(".git", ".hg", ".svn", "CVS", "_darcs", ".cache", "__pycache__", "node_modules"),
        *("@eaDir", "$RECYCLE.BIN", ".Trash", ".Trash-1000", "lost+found"),
        "System Volume Information",
    ],
)
def test_a_folder_of_version_control_cache_or_trash_is_left_out(tmp_path: Path, name: str) -> None:
    plant(tmp_path, f"{name}/x", f"a/{name}/x", "b")

    assert found(tmp_path) == ["b"]
    assert sorted(found(tmp_path, hidden=True)) == sorted([f"{name}/x", f"a/{name}/x", "b"])


def test_a_hidden_file_is_left_out(tmp_path: Path) -> None:
    plant(tmp_path, ".a", "b/.c", "d")

    assert found(tmp_path) == ["d"]
    assert found(tmp_path, hidden=True) == [".a", "b/.c", "d"]


def test_a_file_is_not_left_out_for_a_name_of_folders(tmp_path: Path) -> None:
    plant(tmp_path, "CVS", "node_modules")

    assert found(tmp_path) == ["CVS", "node_modules"]


def test_a_tagged_cache_is_left_out(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/x", "c")
    write(tmp_path / "a" / "CACHEDIR.TAG", CACHE_TAG)

    assert found(tmp_path) == ["c"]
    assert found(tmp_path, hidden=True) == ["a/CACHEDIR.TAG", "a/b/x", "c"]


@pytest.mark.parametrize("content", [b"", CACHE_TAG[:42], CACHE_TAG.lower(), b" " + CACHE_TAG])
def test_a_tag_without_the_signature_is_a_file(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "a" / "CACHEDIR.TAG", content)

    assert found(tmp_path) == ["a/CACHEDIR.TAG"]


@posix
def test_a_tag_that_is_no_regular_file_is_no_tag(tmp_path: Path) -> None:
    write(tmp_path / "tag", CACHE_TAG)
    plant(tmp_path, "a/x", "b/y")
    (tmp_path / "a" / "CACHEDIR.TAG").symlink_to(tmp_path / "tag")
    os.mkfifo(tmp_path / "b" / "CACHEDIR.TAG")

    assert shown(tmp_path) == [
        "a/x",
        SkippedEntry("b/CACHEDIR.TAG", "a FIFO, not a file", is_dir=False),
        "b/y",
        "tag",
    ]


@pytest.mark.parametrize("name", [".hidden", "node_modules", "cache", "drafts"])
def test_an_explicit_start_is_walked_whatever_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / ".nmmignore", "drafts/")
    plant(tmp_path, f"{name}/x", f"{name}/.y")
    write(tmp_path / "cache" / "CACHEDIR.TAG", CACHE_TAG)

    assert f"{name}/x" not in found(tmp_path)
    assert found(tmp_path / name, exclude=["CACHEDIR.TAG"]) == ["x"]
    assert found(tmp_path, name, exclude=["CACHEDIR.TAG"]) == [f"{name}/x"]
    assert found(tmp_path, f"{name}/.y") == [f"{name}/.y"]


def test_no_rule_applies_to_an_explicit_file(tmp_path: Path) -> None:
    plant(tmp_path, "a.gif", "b.gif")
    write(tmp_path / ".nmmignore", "a.gif")

    assert found(tmp_path, exclude=["*.gif"]) == []
    assert found(tmp_path, "a.gif", exclude=["*.gif"]) == ["a.gif"]
    assert found(tmp_path / "a.gif", exclude=["*.gif"]) == [""]


# Ignore rules

TREE = ["a.jpg", "b.txt", "keep/a.jpg", "keep/c.txt", "keep/sub/a.jpg", "x/keep/d.txt", "y z/[1]"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("*.jpg", ["b.txt", "keep/c.txt", "x/keep/d.txt", "y z/[1]"]),
        ("/*.jpg", ["b.txt", *TREE[2:5], "x/keep/d.txt", "y z/[1]"]),
        ("keep", ["a.jpg", "b.txt", "y z/[1]"]),
        ("keep/", ["a.jpg", "b.txt", "y z/[1]"]),
        ("/keep/", ["a.jpg", "b.txt", "x/keep/d.txt", "y z/[1]"]),
        ("a.jpg/", ["a.jpg", "b.txt", *TREE[2:5], "x/keep/d.txt", "y z/[1]"]),
        ("x/keep", ["a.jpg", "b.txt", *TREE[2:5], "y z/[1]"]),
        ("keep/**", ["a.jpg", "b.txt", "x/keep/d.txt", "y z/[1]"]),
        ("keep/**\n!keep/c.txt", ["a.jpg", "b.txt", "keep/c.txt", "x/keep/d.txt", "y z/[1]"]),
        ("keep\n!keep/c.txt", ["a.jpg", "b.txt", "y z/[1]"]),
        ("**/sub", ["a.jpg", "b.txt", *TREE[2:4], "x/keep/d.txt", "y z/[1]"]),
        ("*\n!*/\n!*.jpg", ["a.jpg", "keep/a.jpg", "keep/sub/a.jpg"]),
        ("*\n!keep/\n!c.txt", ["keep/c.txt"]),
        ("*.txt\n!keep", ["a.jpg", "keep/a.jpg", "keep/sub/a.jpg", "y z/[1]"]),
        ("*/", ["a.jpg", "b.txt"]),
        ("**/", ["a.jpg", "b.txt"]),
        ("!a.jpg\na.jpg", ["b.txt", "keep/c.txt", "x/keep/d.txt", "y z/[1]"]),
        ("\\[1\\]\nx/\nkeep", ["a.jpg", "b.txt"]),
        ("[[]1]\nx/\nkeep", ["a.jpg", "b.txt"]),
        ("y\\ z  \nkeep", ["a.jpg", "b.txt"]),
        ("\ufeffkeep/\r\n*.jpg\r\n", ["b.txt", "y z/[1]"]),
        ("# *\n\n/\n[a\n\\#\nkeep", ["a.jpg", "b.txt", "y z/[1]"]),
    ],
)
def test_an_ignore_file_means_what_it_means_to_git(
    tmp_path: Path, rules: str, expected: list[str]
) -> None:
    plant(tmp_path, *TREE)
    write(tmp_path / ".nmmignore", rules)

    assert found(tmp_path) == expected
    if git := shutil.which("git"):  # git itself answers the same question, if it is installed
        assert sorted(expected) == as_git_lists(git, tmp_path)


def as_git_lists(git: str, root: Path) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    for command in (
        ["init", "--quiet"],
        ["ls-files", "-z", "--others", "--exclude-per-directory=.nmmignore"],
    ):
        answer = subprocess.run(
            [git, *command], cwd=root, env=environment, check=True, capture_output=True
        )
    return sorted(set(answer.stdout.decode().split("\0")) - {"", ".nmmignore"})


@posix
def test_a_space_at_the_end_of_a_rule_counts_if_escaped(tmp_path: Path) -> None:
    plant(tmp_path, "a", "a ", "b", "b ")
    write(tmp_path / ".nmmignore", "a\\  \nb ")

    assert found(tmp_path) == ["a", "b "]


def test_a_deeper_ignore_file_comes_after_those_above(tmp_path: Path) -> None:
    plant(tmp_path, "1.jpg", "a/1.jpg", "a/2.jpg", "a/b/1.jpg", "a/b/2.jpg", "c/1.jpg")
    write(tmp_path / ".nmmignore", "*.jpg")
    write(tmp_path / "a" / ".nmmignore", "!1.jpg")
    write(tmp_path / "a" / "b" / ".nmmignore", "/1.jpg\n!2.jpg")

    assert found(tmp_path) == ["a/1.jpg", "a/b/2.jpg"]


def test_an_ignore_file_says_nothing_about_other_folders(tmp_path: Path) -> None:
    plant(tmp_path, "x", "a/x", "a/b/x", "ab/x", "z/x")
    write(tmp_path / "a" / ".nmmignore", "x\n/b\nz")

    assert found(tmp_path) == ["ab/x", "x", "z/x"]


def test_the_rules_above_a_start_apply_below_it(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/1.jpg", "a/b/2.jpg", "a/b/3.jpg", "a/b/4.txt", "a/b/c/4.txt")
    write(tmp_path / ".nmmignore", "*.jpg\na/b/c")
    write(tmp_path / "a" / ".nmmignore", "!2.jpg\n!/b/3.jpg")
    write(tmp_path / "a" / "b" / ".nmmignore", "3.jpg")

    assert found(tmp_path, "a/b") == ["a/b/2.jpg", "a/b/4.txt"]


def test_exclude_is_relative_to_the_root_and_has_the_last_word(tmp_path: Path) -> None:
    plant(tmp_path, "1.jpg", "a/1.jpg", "a/2.jpg", "a/3.txt", "a/b/3.txt")
    write(tmp_path / "a" / ".nmmignore", "2.jpg\n!1.jpg")

    assert found(tmp_path, exclude=["/a/1.jpg", "a/b/"]) == ["1.jpg", "a/3.txt"]
    assert found(tmp_path, "a", exclude=["/a/1.jpg", "a/b/"]) == ["a/3.txt"]
    assert found(tmp_path, exclude=["*", "!a", "!2.jpg"]) == ["a/2.jpg"]


def test_a_bad_line_is_named_and_the_others_hold(tmp_path: Path) -> None:
    plant(tmp_path, "a/x", "a/y", "a/z")
    write(tmp_path / "a" / ".nmmignore", "x\ny\\\n# [[:alpha:]]\n[z-a]\ny\n")

    assert shown(tmp_path) == [
        SkippedEntry("a/.nmmignore", "not a gitignore pattern: line 2, 4", is_dir=False),
        "a/z",
    ]


@posix
def test_an_ignore_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{name}/x" for name in "abcd"))
    write(tmp_path / "a" / ".nmmignore", b"caf\xe9")
    os.mkfifo(tmp_path / "b" / ".nmmignore")
    (tmp_path / "c" / ".nmmignore").mkdir()
    (tmp_path / "d" / ".nmmignore").symlink_to("nowhere")

    expected = [
        SkippedEntry("a/.nmmignore", "not valid UTF-8", is_dir=False),
        "a/x",
        SkippedEntry("b/.nmmignore", "not readable: a FIFO, not a file", is_dir=False),
        "b/x",
        SkippedEntry("c/.nmmignore", "not readable: a folder, not a file", is_dir=False),
        "c/x",
        SkippedEntry("d/.nmmignore", "no longer there", is_dir=False),
        "d/x",
    ]
    assert shown(tmp_path) == expected
    assert shown(tmp_path, hidden=True) == expected
    assert shown(tmp_path, "b") == expected[2:4]


def test_an_ignore_file_above_the_start_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/x")
    write(tmp_path / "a" / ".nmmignore", b"\xff\xfe")

    assert shown(tmp_path, "a/b") == [
        SkippedEntry("a/.nmmignore", "not valid UTF-8", is_dir=False),
        "a/b/x",
    ]


@posix
def test_an_ignore_file_may_be_a_link_to_a_file(tmp_path: Path) -> None:
    write(tmp_path / "rules", "x")
    plant(tmp_path, "a/x", "a/y")
    (tmp_path / "a" / ".nmmignore").symlink_to(tmp_path / "rules")

    assert found(tmp_path, "a") == ["a/y"]


# Links


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A root beside a folder "out", which contains out/1 and out/sub/2."""
    plant(tmp_path, "out/1", "out/sub/2")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@posix
def test_links_are_left_out_unless_asked_for(linked: Path) -> None:
    (linked / "folder").symlink_to("../out")
    (linked / "file").symlink_to("../out/1")
    (linked / "broken").symlink_to("nowhere")

    assert found(linked) == []
    assert shown(linked, follow_symlinks=True) == [
        SkippedEntry("broken", "a broken link", is_dir=True),
        "file",
        "folder/1",
        "folder/sub/2",
    ]


@posix
def test_a_followed_file_has_the_size_of_its_target(linked: Path) -> None:
    write(linked.parent / "out" / "1", "four")
    (linked / "file").symlink_to("../out/1")
    mtime_ns = (linked.parent / "out" / "1").stat().st_mtime_ns

    assert list(walk(linked, follow_symlinks=True)) == [FoundFile("file", 4, mtime_ns)]


@posix
def test_a_root_or_a_start_that_is_a_link_is_followed(linked: Path) -> None:
    (linked / "folder").symlink_to("../out")

    assert found(linked / "folder") == ["1", "sub/2"]
    assert found(linked, "folder") == ["folder/1", "folder/sub/2"]
    assert found(linked, "folder/sub") == ["folder/sub/2"]


@posix
def test_a_folder_in_the_root_keeps_its_own_name(linked: Path) -> None:
    plant(linked, "b/x", ".hidden/y")
    (linked / "a").symlink_to("b")
    (linked / "c").symlink_to(".hidden")
    (linked / "file").symlink_to("b/x")

    assert found(linked, follow_symlinks=True) == ["b/x", "file"]


@posix
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("../out", "../out", ["a/1", "a/sub/2"]),
        ("../out", "../out/sub", ["a/1", "a/sub/2"]),
        ("../out/sub", "../out", ["a/2", "b/1"]),
    ],
)
def test_a_folder_elsewhere_is_walked_once(
    linked: Path, first: str, second: str, expected: list[str]
) -> None:
    (linked / "a").symlink_to(first)
    (linked / "b").symlink_to(second)

    assert found(linked, follow_symlinks=True) == expected


@posix
@pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
def test_a_link_to_a_folder_that_it_is_in_is_skipped(linked: Path, target: str) -> None:
    plant(linked, "a/b/x")
    (linked / "a" / "b" / "loop").symlink_to(target)

    expected = [
        SkippedEntry("a/b/loop", "a link to a folder that it is in", is_dir=True),
        "a/b/x",
    ]
    assert shown(linked, follow_symlinks=True) == expected
    assert shown(linked, "a/b", follow_symlinks=True) == expected


@posix
def test_a_loop_through_a_folder_elsewhere_ends(linked: Path) -> None:
    (linked / "a").symlink_to("../out")
    (linked.parent / "out" / "back").symlink_to("../root")
    (linked.parent / "out" / "sub" / "up").symlink_to("..")

    assert shown(linked, follow_symlinks=True) == [
        "a/1",
        "a/sub/2",
        SkippedEntry("a/sub/up", "a link to a folder that it is in", is_dir=True),
    ]


@posix
def test_a_link_that_leads_to_itself_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert shown(tmp_path, follow_symlinks=True) == [
        SkippedEntry("a", "a link that leads to itself", is_dir=True),
        SkippedEntry("b", "a link that leads to itself", is_dir=True),
    ]


@posix
def test_rules_apply_to_links_by_what_they_lead_to(linked: Path) -> None:
    (linked / "folder").symlink_to("../out")
    (linked / "file").symlink_to("../out/1")
    (linked / "node_modules").symlink_to("../out/sub")

    assert found(linked, exclude=["folder/", "file/"], follow_symlinks=True) == ["file"]


# Special files, and files that cannot be accessed


@posix
def test_a_fifo_and_a_socket_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket has about a hundred characters at most
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")

        fifo, sock = walk(tmp_path)

    assert fifo == SkippedEntry("fifo", "a FIFO, not a file", is_dir=False)
    assert sock == SkippedEntry("socket", "a socket, not a file", is_dir=False)


@posix
def test_a_root_that_is_a_fifo_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert shown(tmp_path / "fifo") == [SkippedEntry("", "a FIFO, not a file", is_dir=False)]


@posix
def test_a_device_behind_a_link_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to(os.devnull)

    assert shown(tmp_path, follow_symlinks=True) == [
        SkippedEntry("null", "a character device, not a file", is_dir=False)
    ]


@posix
def test_a_block_device_is_skipped(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("making a device takes a right that this user has not")

    assert shown(tmp_path) == [SkippedEntry("disk", "a block device, not a file", is_dir=False)]


@undecodable
def test_a_name_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    for name in (b"/a\xff/x", b"/caf\xe9.txt", b"/caf\xe9.gif", b"/caf\xc3\xa9.txt"):
        write(Path(os.fsdecode(folder + name)), "")

    entries = shown(tmp_path, exclude=["*.gif"])

    assert entries == [
        SkippedEntry("a\\xff", "name is not valid UTF-8", is_dir=True),
        "café.txt",
        SkippedEntry("caf\\xe9.txt", "name is not valid UTF-8", is_dir=False),
    ]


@undecodable
def test_a_start_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff")
    plant(tmp_path, f"{name}/x")

    assert shown(tmp_path, name) == [SkippedEntry("a\\xff", "name is not valid UTF-8", is_dir=True)]
    assert shown(tmp_path, f"{name}/x") == [
        SkippedEntry("a\\xff/x", "name is not valid UTF-8", is_dir=False)
    ]
    assert shown(tmp_path / name) == ["x"]


def test_entries_deleted_during_the_walk_are_skipped(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b", "c/x", "d")
    entries = walk(tmp_path)
    first = next(entries)
    (tmp_path / "b").unlink()
    shutil.rmtree(tmp_path / "c")

    second, third, last = entries

    assert (first.path, last.path) == ("a", "d")
    assert second == SkippedEntry("b", "no longer there", is_dir=False)
    assert third == SkippedEntry("c", "no longer there", is_dir=True)


@contextmanager
def locked(path: Path, mode: int) -> Iterator[None]:
    """Set the mode of `path`, as a user other than root, whom no mode restricts."""
    list(walk(Path(), exclude=["x"]))  # imports modules that this user may not be able to read
    path.chmod(mode)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(0o755)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root that any user can enter, although not through the folders above it."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return Path()


@posix
def test_a_folder_that_cannot_be_read_is_skipped(here: Path) -> None:
    plant(here, "a", "b/x", "c")
    with locked(here / "b", 0):
        entries = shown(here)
        inside = shown(here, "b")

    skipped = SkippedEntry("b", "not readable: Permission denied", is_dir=True)
    assert entries == ["a", skipped, "c"]
    assert inside == [skipped]


@posix
def test_a_root_that_cannot_be_read_is_skipped(here: Path) -> None:
    plant(here, "root/x")
    with locked(here / "root", 0):
        entries = shown(here / "root")

    assert entries == [SkippedEntry("", "not readable: Permission denied", is_dir=True)]


@posix
def test_inaccessible_entries_are_skipped(here: Path) -> None:
    plant(here, "a/file", "a/folder/x")
    with locked(here / "a", 0o444):  # its names can be listed, but the entries cannot be accessed
        entries = shown(here)
        with pytest.raises(UsageError) as raised:
            walk(here, "a/file")

    assert entries == [
        SkippedEntry("a/file", "not readable: Permission denied", is_dir=False),
        SkippedEntry("a/folder", "not readable: Permission denied", is_dir=True),
    ]
    assert str(raised.value) == (
        "a/file cannot be read\nPermission denied\nCheck the permissions of its parent folders."
    )


@posix
def test_an_ignore_file_without_permission_is_named(here: Path) -> None:
    plant(here, "x")
    write(here / ".nmmignore", "x")
    with locked(here / ".nmmignore", 0):
        entries = shown(here)

    assert entries == [
        SkippedEntry(".nmmignore", "not readable: Permission denied", is_dir=False),
        "x",
    ]


@posix
def test_a_file_that_cannot_be_read_is_found(here: Path) -> None:
    plant(here, "x")
    with locked(here / "x", 0):
        entries = shown(here)
        with pytest.raises(PermissionError):
            (here / "x").read_bytes()

    assert entries == ["x"]


# Large trees


@posix
def test_a_tree_may_be_deeper_than_the_recursion_limit(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(sys.getrecursionlimit() + 100):
        deep /= "d"
        deep.mkdir()
    (deep / "x").touch()
    try:
        assert found(tmp_path) == [(deep / "x").relative_to(tmp_path).as_posix()]
    finally:  # shutil.rmtree, and so pytest, may recurse
        (deep / "x").unlink()
        while deep != tmp_path:
            deep.rmdir()
            deep = deep.parent


@posix
def test_a_path_too_long_for_the_system_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "z")
    name = "d" * 200
    monkeypatch.chdir(tmp_path)
    for _ in range(25):  # 5000 characters; Linux limits a path to 4096
        Path(name).mkdir()
        os.chdir(name)

    skipped, last = shown(tmp_path)

    assert last == "z"
    assert isinstance(skipped, SkippedEntry)
    assert (skipped.reason, skipped.is_dir) == ("not readable: File name too long", True)
    assert set(skipped.path.split("/")) == {name}


def test_an_open_walk_holds_no_file_open(tmp_path: Path) -> None:
    folders = Path("/dev/fd")
    if not folders.is_dir():
        pytest.skip("needs /dev/fd")
    plant(tmp_path, "a/b/c/1", "a/b/c/2")
    before = len(list(folders.iterdir()))
    entries = walk(tmp_path)
    next(entries)

    assert len(list(folders.iterdir())) == before


def test_the_rest_of_a_large_tree_waits(tmp_path: Path) -> None:
    plant(tmp_path, "a/1", "b/1")
    entries = walk(tmp_path)
    assert next(entries) == FoundFile("a/1", 0, (tmp_path / "a" / "1").stat().st_mtime_ns)
    plant(tmp_path, "b/2")

    assert [entry.path for entry in entries] == ["b/1", "b/2"]
