"""NMM_TIMING: where the time of a command goes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from commands import command_in, start
from support import Nmm

from nmm.index.common import tracing
from nmm.index.common.tracing import span


@pytest.fixture
def recording() -> Iterator[None]:
    tracing.start()
    yield
    tracing.stop()


def told() -> dict[tuple[str, ...], int]:
    return {row.path: row.times for row in tracing.rows()}


def test_nothing_is_recorded_before_it_is_started() -> None:
    with span("a"):
        pass
    assert (tracing.rows(), tracing.whole()) == ([], 0.0)
    # One shared object, so that a span costs nothing.
    assert span("a") is span("b")


@pytest.mark.usefixtures("recording")
def test_spans_nest_and_are_added_up_by_where_they_are() -> None:
    for _ in range(3):
        with span("outer"), span("inner"):
            pass
    with span("inner"):
        pass
    assert told() == {("outer",): 3, ("outer", "inner"): 3, ("inner",): 1}


@pytest.mark.usefixtures("recording")
def test_a_span_takes_at_least_what_the_spans_in_it_take() -> None:
    with span("outer"):
        time.sleep(0.002)
        for _ in range(2):
            with span("inner"):
                time.sleep(0.002)
    outer, inner = tracing.rows()
    assert outer.seconds > inner.seconds >= 0.004
    assert 0 <= outer.start <= inner.start <= tracing.whole()


@pytest.mark.usefixtures("recording")
def test_another_thread_has_spans_of_its_own_which_stand_apart() -> None:
    def work() -> None:
        with span("read"), span("hashed"):
            pass

    with span("indexed"):
        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        with span("embedded"):
            for thread in threads:
                thread.join()
    rows = [(row.path, row.times, row.is_beside) for row in tracing.rows()]
    assert rows == [
        (("indexed",), 1, False),
        (("indexed", "embedded"), 1, False),
        (("read",), 4, True),
        (("read", "hashed"), 4, True),
    ]


@pytest.mark.usefixtures("recording")
def test_a_span_that_an_error_leaves_is_closed() -> None:
    with pytest.raises(ValueError, match="oh"), span("outer"), span("inner"):
        raise ValueError("oh")
    with span("after"):
        pass
    assert told() == {("outer",): 1, ("outer", "inner"): 1, ("after",): 1}


def test_an_import_is_a_span_where_it_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_heavy_module.py").write_text("import a_light_module\n")
    (tmp_path / "a_light_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    tracing.start(["a_heavy_module"])
    try:
        with span("opened"):
            import a_heavy_module  # type: ignore[import-not-found]
        assert a_heavy_module.a_light_module
        assert told() == {("opened",): 1, ("opened", "import a_heavy_module"): 1}
    finally:
        tracing.stop()
    assert sys.meta_path == finders


def test_the_table_goes_to_stderr_and_the_results_are_as_ever(
    sample_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Started as a user starts it: a fork of a process that has numpy would not import it, and a
    # number of threads in the environment lets it be imported later.
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    nmm = command_in(sample_home, start)
    plain = nmm("search", "a cat", "--json")
    done = nmm("search", "a cat", "--json", NMM_TIMING="1")
    assert (done.returncode, done.stdout) == (0, plain.stdout)
    lines = done.stderr.splitlines()
    assert lines[0].split() == ["ms", "from"]
    names = [line[20:].strip() for line in lines[1:]]
    assert names[0] == "start of Python"
    assert names[-2:] == ["the rest", "until here"]
    shown = ["import numpy", "catalog opened", "query embedded", "model run", "nearest"]
    assert [name for name in names if name in shown] == shown
    # The rows at the margin and the rest add up to the whole.
    top = [float(line[:8]) for line in lines[1:-1] if line[20] != " "]
    assert sum(top) == pytest.approx(float(lines[-1][:8]), abs=0.1 * len(top))


@pytest.mark.parametrize("value", ["", "0"])
def test_it_is_off_unless_asked_for(indexed: tuple[Nmm, Path], value: str) -> None:
    nmm, _ = indexed
    assert nmm("search", "a cat", "--paths", NMM_TIMING=value).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--version"], 0),
        (["search", "a cat", "--min-score", "99"], 1),
        (["search", "a cat", "-k", "none"], 2),
        (["search"], 2),
        (["nothing of the kind"], 2),
        (["search", "a cat", "--index", "nowhere"], 4),
    ],
)
def test_the_times_are_printed_however_a_command_ends(
    indexed: tuple[Nmm, Path], arguments: list[str], status: int
) -> None:
    nmm, _ = indexed
    plain = nmm(*arguments)
    done = nmm(*arguments, NMM_TIMING="json")
    assert (done.returncode, done.stdout) == (status, plain.stdout)
    *before, last = done.stderr.splitlines()
    assert before == plain.stderr.splitlines()
    assert json.loads(last)["spans"][0]["span"] == ["start of Python"]


def test_the_times_are_printed_after_a_closed_pipe(indexed: tuple[Nmm, Path]) -> None:
    import subprocess

    _, samples = indexed
    command = [Path(sys.executable).with_name("nmm"), "search", "a cat", "--json"]
    own = {"NMM_INDEX": str(samples.parent / "index"), "NMM_TIMING": "json"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **own}
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 141
    assert json.loads(said)["ms"] > 0
