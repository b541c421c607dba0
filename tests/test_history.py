"""The search history: what is recorded, where, who can read it, and what is not recorded."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support import Nmm

from nmm.index.search import history
from nmm.index.search.history import HistoryEntry, clear, entries, record

NOW = "2026-11-25T15:03:27+01:00"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of the history file."""
    return tmp_path / "state" / "history.jsonl"


@pytest.fixture
def searching(indexed: tuple[Nmm, Path], tmp_path: Path) -> Nmm:
    """The command, on an index, with a history of its own."""
    nmm, _ = indexed

    def run(
        *arguments: str | Path, stdin: str | None = None, cwd: Path = tmp_path, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        own = {"XDG_STATE_HOME": str(tmp_path), "NMM_CONFIG": str(tmp_path / "config.toml")}
        return nmm(*arguments, stdin=stdin, cwd=cwd, **{**own, **environ})

    return run


def entry(query: str = "cats", results: int = 3) -> HistoryEntry:
    return HistoryEntry(NOW, query, ("search", "cats", "--type", "image"), results)


# The file.


def test_recorded_searches_are_read_oldest_first(file: Path) -> None:
    made = [entry("cats"), entry("žluťoučký kůň\n\x1b[2J"), entry("dogs", 0)]
    assert all(record(one, file) for one in made)
    assert entries(file) == made
    assert len(file.read_bytes().splitlines()) == 3
    assert json.loads(file.read_bytes().splitlines()[0]) == {
        "time": NOW,
        "query": "cats",
        "arguments": ["search", "cats", "--type", "image"],
        "results": 3,
    }


@pytest.mark.skipif(os.name == "nt", reason="files have no modes there")
def test_only_its_owner_can_read_it_even_if_others_could(file: Path) -> None:
    record(entry(), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    record(entry(), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_history_is_bounded_and_keeps_the_newest(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 2000)
    for number in range(100):
        record(entry(str(number)), file)
        assert file.stat().st_size <= 2000
    found = [int(one.query) for one in entries(file)]
    assert found == list(range(found[0], 100))
    assert len(found) >= 8
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(p.name for p in file.parent.iterdir()) in (
        ["history.jsonl"],
        ["history.jsonl", "history.jsonl.lock"],
    )


def test_processes_that_record_at_once_lose_nothing(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from nmm.index.search.history import HistoryEntry, record\n"
        "file = Path(sys.argv[1])\n"
        "assert all(record(HistoryEntry(sys.argv[2], f'{sys.argv[3]} {n}', (), n), file)"
        " for n in range(40))"
    )

    def start(number: int) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", code, str(file), NOW, str(number)]
        return subprocess.run(command, check=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    found = [one.query for one in entries(file)]
    assert sorted(found) == sorted(f"{p} {n}" for p in range(4) for n in range(40))


@pytest.mark.parametrize(
    "line",
    [
        b'{"time": "2026-11-25T15:03:27+01:00", "query": "ca',
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"time": 3, "query": "x", "arguments": [], "results": 1}',
        b'{"time": "never", "query": "x", "arguments": [], "results": 1}',
        b'{"time": "2026-11-25T15:03:27+01:00", "query": "x", "arguments": 1, "results": 1}',
        b'{"time": "2026-11-25T15:03:27+01:00", "query": "x", "arguments": [], "results": "y"}',
        b"[" * 100_000,
    ],
)
def test_invalid_lines_are_ignored(file: Path, line: bytes) -> None:
    record(entry("before"), file)
    with file.open("ab") as end:
        end.write(line + b"\n")
    record(entry("after"), file)
    assert [one.query for one in entries(file)] == ["before", "after"]


def test_a_history_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in the place of the folder")
    assert not record(entry(), tmp_path / "state" / "history.jsonl")
    assert not record(entry("x" * 100_000), tmp_path / "other" / "history.jsonl")
    assert not (tmp_path / "other").exists()


def test_a_history_that_another_process_holds_is_not_waited_for_long(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(history, "LOCK_TIMEOUT", 0.01)
    file.parent.mkdir()
    with FileLock(f"{file}.lock"):
        assert not record(entry(), file)


def test_clearing_deletes_the_history(file: Path) -> None:
    assert clear(file) == 0
    record(entry(), file)
    record(entry(), file)
    assert clear(file) == 2
    assert not file.exists()
    assert entries(file) == []


# The command.


def test_a_search_is_recorded_as_typed(searching: Nmm, tmp_path: Path) -> None:
    searching("search", "cute", "cats", "-k", "2", "--type", "image", "--history")
    (found,) = json.loads(searching("history", "--json").stdout)
    assert found.pop("time")[:10] == datetime.now().astimezone().isoformat()[:10]
    assert found == {
        "query": "cute cats",
        "arguments": ["search", "cute", "cats", "-k", "2", "--type", "image", "--history"],
        "results": 2,
    }
    assert (tmp_path / "nmm" / "history.jsonl").exists()


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals there")
def test_searches_at_a_terminal_are_recorded_and_those_of_scripts_are_not(
    searching: Nmm, tmp_path: Path
) -> None:
    import pty

    searching("search", "of a script")
    outer, inner = pty.openpty()
    own = {"XDG_STATE_HOME": str(tmp_path), "NMM_CONFIG": "", "HOME": str(tmp_path)}
    nmm = Path(sys.executable).with_name("nmm")
    environ = {**os.environ, **own, "NMM_INDEX": searching("config", "get", "index").stdout.strip()}
    for switched in ({}, {"NMM_HISTORY": "0"}):
        done = subprocess.run(
            [nmm, "search", "typed"],
            check=False,
            stdin=inner,
            capture_output=True,
            env={**environ, **switched},
        )
        assert done.returncode == 0, done.stderr
    os.close(outer)
    os.close(inner)
    assert [one.query for one in entries(tmp_path / "nmm" / "history.jsonl")] == ["typed"]


def test_a_search_is_recorded_although_its_pipe_was_closed(searching: Nmm, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    nmm = Path(sys.executable).with_name("nmm")
    environ = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path),
        "NMM_INDEX": searching("config", "get", "index").stdout.strip(),
    }
    command = [nmm, "search", "boats", "--history"]
    done = subprocess.run(command, check=False, stdout=write, env=environ)
    os.close(write)
    assert done.returncode == 141
    assert [one.query for one in entries(tmp_path / "nmm" / "history.jsonl")] == ["boats"]


@pytest.mark.parametrize(
    "off", [{"NMM_HISTORY": "0"}, {"NMM_SEARCH_HISTORY": "no"}, "[search]\nhistory = false\n"]
)
def test_it_can_be_switched_off_and_on(
    searching: Nmm, tmp_path: Path, off: dict[str, str] | str
) -> None:
    environ = off if isinstance(off, dict) else {}
    (tmp_path / "config.toml").write_text(off if isinstance(off, str) else "")
    assert json.loads(searching("config", "get", "search.history", "--json", **environ).stdout) in (
        False,
        "0",
        "no",
    )
    searching("search", "boats", **environ)
    assert not (tmp_path / "nmm").exists()


def test_the_newest_are_listed_the_last_one_last(here: Nmm, tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path)}
    begun = datetime.fromisoformat(NOW)
    for number in range(30):
        when = (begun + timedelta(minutes=number)).isoformat()
        arguments = ("search", f"q {number}", "-k", "\x1b[2J")
        made = HistoryEntry(when, f"q {number}", arguments, number)
        record(made, tmp_path / "nmm" / "history.jsonl")
    shown = here("history", **state).stdout
    assert len(shown.splitlines()) == 20
    assert shown.endswith("2026-11-25 15:32    29  nmm search 'q 29' -k '\\x1b[2J'\n")
    last = json.loads(here("history", "-n", "2", "--json", **state).stdout)
    assert [one["query"] for one in last] == ["q 28", "q 29"]
    assert here("history", "--clear", **state).stdout == "30 removed.\n"
    done = here("history", **state)
    assert (done.returncode, done.stdout) == (1, "")
