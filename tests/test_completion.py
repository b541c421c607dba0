"""Shell completion, requested as shells do: its results, its cost, and its silence."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import Configured, Nmm

from nmm.index.encoders.registry import MODELS

HEAVY = {"torch", "transformers", "faiss", "onnxruntime", "PIL", "numpy", "sqlite_utils", "tomlkit"}


def asked_by_bash(*words: str) -> dict[str, str]:
    """Return the environment in which bash requests completions of the last, unfinished word."""
    return {
        "_NMM_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(["nmm", *words]),
        "COMP_CWORD": str(len(words)),
    }


def completed(nmm: Nmm, *words: str, **environ: str) -> list[str]:
    """A function that returns the completions that bash gets."""
    done = nmm(**asked_by_bash(*words), **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []


@pytest.fixture
def with_roots(nmm: Nmm, here: Nmm, tmp_path: Path) -> tuple[Nmm, Path]:
    """A command whose index has roots and folders; they contain texts, so one model is enough."""
    library = tmp_path / "library"
    for name in ("photos/2024/a.txt", "photos/b.txt", "plans/c.txt", "my notes/d.txt", "e.txt"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(f"This is the note called {name}.")
    (tmp_path / "old disk").mkdir()
    (tmp_path / "old disk" / "f.txt").write_text("An old note.")
    done = nmm("index", library, tmp_path / "old disk", "--model", "mini")
    assert done.returncode == 0, done.stderr
    return here, tmp_path


def test_commands_and_options_are_completed(here: Nmm) -> None:
    assert completed(here, "sea") == ["search"]
    assert completed(here, "roots", "mo") == ["move"]
    assert completed(here, "search", "cats", "--min-s") == ["--min-score"]
    assert completed(here, "search", "cats", "--type", "im") == ["image"]


def test_models_are_completed_and_folders_left_to_the_shell(here: Nmm) -> None:
    assert completed(here, "index", "--model", "") == list(MODELS)
    assert completed(here, "index", "--model", "mi") == ["mini"]
    assert completed(here, "embed", "text", "--model", "mi") == ["mini"]
    assert completed(here, "models", "pull", "clip") == ["clip-vit-b-16"]
    assert completed(here, "index", "--model", "./") == []


def test_saved_queries_are_completed_in_the_place_of_the_query(
    here: Nmm, configured: Configured
) -> None:
    configured("[saved.cats]\nquery='c'\n[saved.catnip]\nquery='c'\n[saved.dogs]\nquery='d'\n")
    assert completed(here, "search", "@") == ["@catnip", "@cats", "@dogs"]
    assert completed(here, "search", "@ca") == ["@catnip", "@cats"]
    # This is where bash breaks it.
    assert completed(here, "search", "@", "ca") == ["catnip", "cats"]
    assert completed(here, "search", "boats", "@ca") == []
    assert completed(here, "search", "ca") == []
    assert completed(here, "save", "--remove", "d") == ["dogs"]


def test_keys_are_completed(here: Nmm, configured: Configured) -> None:
    configured("[search]\nk = 3\nmin-score = 0.1\n")
    assert completed(here, "config", "set", "search.min-") == [
        "search.min-score",
        "search.min-width",
    ]
    assert completed(here, "config", "unset", "search.") == ["search.k", "search.min-score"]


def test_roots_and_folders_are_completed(with_roots: tuple[Nmm, Path]) -> None:
    here, tmp_path = with_roots
    # Bash inserts completions with spaces as they are given.
    old = f"{tmp_path}/old\\ disk"
    assert completed(here, "roots", "remove", "") == [f"{tmp_path}/library", old]
    assert completed(here, "roots", "move", f"{tmp_path}/l") == [f"{tmp_path}/library"]
    assert completed(here, "roots", "move", f"{tmp_path}/old\\ d") == []
    assert completed(here, "remove", str(tmp_path)) == [f"{tmp_path}/library", old]
    assert completed(here, "remove", "") == []
    assert completed(here, "search", "x", "--in", "p") == ["photos", "plans"]
    assert completed(here, "search", "x", "--in", "") == ["my\\ notes", "photos", "plans"]
    assert completed(here, "roots", "remove", "~/", HOME=str(tmp_path)) == [
        "~/library",
        "~/old\\ disk",
    ]


def test_the_index_that_is_meant_is_asked(
    with_roots: tuple[Nmm, Path], configured: Configured
) -> None:
    here, tmp_path = with_roots
    index = str(tmp_path / "index")
    other = {"NMM_INDEX": str(tmp_path / "other")}
    assert completed(here, "search", "x", "--in", "ph", **other) == []
    assert completed(here, "search", "x", "--index", index, "--in", "ph", **other) == ["photos"]
    configured(f"[defaults]\nindex = '{index}'\n")
    assert completed(here, "search", "x", "--in", "ph", NMM_INDEX="") == ["photos"]


def test_zsh_and_fish_are_answered_in_their_way(with_roots: tuple[Nmm, Path]) -> None:
    here, tmp_path = with_roots
    line = {"_TYPER_COMPLETE_ARGS": "nmm roots remove "}
    zsh = here(_NMM_COMPLETE="complete_zsh", **line).stdout
    assert f'"{tmp_path}/old disk"' in zsh
    fish = {"_NMM_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert here(**fish, **line).stdout.splitlines() == [
        f"{tmp_path}/library",
        f"{tmp_path}/old disk",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("search", "@"),
        ("search", "x", "--in", ""),
        ("roots", "remove", ""),
        ("config", "unset", ""),
    ],
)
def test_what_is_wrong_is_not_said_in_the_midst_of_a_line(
    here: Nmm, configured: Configured, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert completed(here, *words) == []  # no index, no file
    configured("[search]\nkk = = 3\n")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "catalog.db").write_bytes(b"no catalog" * 1000)
    assert completed(here, *words) == []
    assert (tmp_path / "index" / "catalog.db").read_bytes() == b"no catalog" * 1000


def test_an_error_that_nobody_expects_is_not_said_either(here: Nmm) -> None:
    done = here(_NMM_COMPLETE="complete_bash", COMP_WORDS="nmm", COMP_CWORD="no number")
    assert done.returncode != 0
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    "words", [("search", "@"), ("search", "x", "--in", ""), ("index", "--model", "")]
)
def test_nothing_heavy_is_imported_for_it(
    with_roots: tuple[Nmm, Path], configured: Configured, words: tuple[str, ...]
) -> None:
    _, tmp_path = with_roots
    file = configured("[saved.cats]\nquery='c'\n")
    code = (
        "import sys\nsys.argv = ['nmm']\nfrom nmm.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*{n.partition('.')[0] for n in sys.modules}, file=sys.stderr)\n"
    )
    own = {"NMM_INDEX": str(tmp_path / "index"), "NMM_CONFIG": str(file)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **own, **asked_by_bash(*words)},
    )
    assert done.stdout != "\n"
    assert HEAVY & set(done.stderr.split()) == set()


@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="there is no bash")
def test_bash_itself_completes_a_saved_query(configured: Configured, tmp_path: Path) -> None:
    import pty

    file = configured("[saved.cats]\nquery='c'\n[saved.dogs]\nquery='d'\n")
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NMM_CONFIG": str(file),
        "HOME": str(tmp_path),
        "INPUTRC": os.devnull,
        "TERM": "dumb",
        "PS1": "READY ",
    }
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**os.environ, **own})
    try:
        _until(terminal, "READY ")
        os.write(terminal, b'eval "$(nmm --show-completion bash)"; echo DO"NE"\n')
        _until(terminal, "DONE")
        os.write(terminal, b"nmm search @do\t")
        _until(terminal, "dogs ")
        os.write(terminal, b"\x15nmm search @\t\t")
        seen = _until(terminal, "@dogs")
        assert "@cats" in seen
    finally:
        os.write(terminal, b"\x15\nexit\n")
        os.close(terminal)
        os.waitpid(child, 0)


def _until(terminal: int, wanted: str) -> str:
    """Return what a terminal shows up to a text; fail if that does not appear."""
    seen = b""
    while wanted.encode() not in seen:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, f"{wanted!r} did not come: {seen!r}"
        seen += os.read(terminal, 65536)
    return seen.decode()
