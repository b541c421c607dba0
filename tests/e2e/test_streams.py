"""The command's surroundings: pipes, closed or full streams, odd bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import SAMPLE_DATA, Nmm

pytestmark = pytest.mark.skipif(os.name != "posix", reason="uses a POSIX shell")


def shell(script: str, indexed: tuple[Nmm, Path], **environ: str) -> tuple[int, bytes, bytes]:
    """Run a script in which `nmm` is the installed command, on the indexed sample data."""
    home = indexed[1].parent
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"NMM_INDEX": str(home / "index"), "HOME": str(home / "home"), "PATH": path}
    done = subprocess.run(
        ["bash", "-c", script],
        check=False,
        capture_output=True,
        env={**os.environ, **own, **environ},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "form", ["", "--json", "--jsonl", "--csv", "--paths", "-0", "--format '{path}'"]
)
def test_a_pipe_that_is_closed_ends_a_search_quietly(form: str, indexed: tuple[Nmm, Path]) -> None:
    queries = "for i in {1..300}; do echo cat; done"
    status, out, err = shell(
        f"({queries}) | nmm search - {form} | head -c1 >/dev/null; exit ${{PIPESTATUS[1]}}", indexed
    )
    assert (status, out, err) == (141, b"", b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_gallery_whose_reader_closes_the_pipe_ends_quietly(
    unbuffered: str, indexed: tuple[Nmm, Path]
) -> None:
    script = "nmm search a cat -k50 --gallery - | head -c1 >/dev/null; exit ${PIPESTATUS[0]}"
    found = shell(script, indexed, PYTHONUNBUFFERED=unbuffered)
    assert found == (141, b"", b"")


@pytest.mark.parametrize("form", ["", "--json", "--csv", "--gallery -"])
def test_output_that_cannot_be_written_is_an_error(form: str, indexed: tuple[Nmm, Path]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    status, _, err = shell(f"nmm search cat {form} >/dev/full", indexed)
    assert status == 74
    assert err == b"nmm: The output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("nmm search cat >&-", 0),
        ("nmm search cat --csv >&-", 0),
        ("nmm search - <&-", 1),
        ("nmm search cat 2>&-", 0),
        ("nmm search '' 2>&-", 2),
    ],
)
def test_closed_streams_are_no_error(script: str, status: int, indexed: tuple[Nmm, Path]) -> None:
    found, _, err = shell(script, indexed)
    assert (found, err) == (status, b"")


def test_a_query_of_odd_bytes_is_answered(indexed: tuple[Nmm, Path]) -> None:
    script = r"printf 'caf\xe9 cat\ndog\n' | nmm search - --jsonl -k1"
    status, out, err = shell(script, indexed)
    queries = [json.loads(line)["query"] for line in out.splitlines()]
    assert (status, queries, err) == (0, ["caf? cat", "dog"], b"")
    assert shell(r"nmm search $'caf\xe9' --json", indexed)[0] == 0


@pytest.mark.parametrize("form", ["--csv", "--json", "--paths", "--jsonl"])
def test_machine_output_is_utf8_whatever_the_locale(
    form: str, tmp_path: Path, indexed: tuple[Nmm, Path]
) -> None:
    note = tmp_path / "höhe.txt"
    note.write_text("Der Gipfel ist 3798 m hoch.", "utf-8")
    other = {"NMM_INDEX": str(tmp_path / "index"), "PYTHONIOENCODING": "ascii"}
    assert shell(f"nmm index '{note}' --json", indexed, **other)[0] == 0
    status, out, _ = shell(f"nmm search Gipfel {form}", indexed, **other)
    assert status == 0
    assert str(note).encode() in out


def test_nothing_is_written_but_index_and_cache(nmm: Nmm, tmp_path: Path) -> None:
    """ONNX Runtime would keep a database of events in HOME, to send it to its makers."""
    assert nmm("index", SAMPLE_DATA / "photos").returncode == 0
    assert nmm("search", "a cat").returncode == 0
    assert list((tmp_path / "home").rglob("*")) == []


def test_a_root_whose_name_is_not_utf8_is_an_error_of_usage(
    indexed: tuple[Nmm, Path], tmp_path: Path
) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(folder).mkdir()
    status, _, err = shell(
        f"cd '{tmp_path}' && nmm index $'caf\\xe9'", indexed, NMM_INDEX=str(tmp_path / "index")
    )
    assert status == 2
    assert b"Its name is not valid UTF-8." in err
