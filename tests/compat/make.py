"""Make the compatibility fixtures with an earlier version of nmm.

Usage: make.py COMMAND [TAIL]

COMMAND is the installed `nmm` of that version, in an environment of its own. TAIL names the
constant that is the number of vectors from which FAISS files exist; the run that makes the index
sets it to 1. For the version before modules were moved into packages:

    python tests/compat/make.py ../before/.venv/bin/nmm nmm.index.store.segments.TAIL
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from recorded import (
    COMMANDS,
    FILES,
    HERE,
    HISTORY,
    MADE,
    SAVED,
    SETTINGS,
    interface,
    record,
    set_times,
)

INDEX_WITH_TAIL = """if True:
    import importlib, sys
    from nmm.cli import command
    module, _, name = sys.argv[1].rpartition(".")
    setattr(importlib.import_module(module), name, 1)
    sys.argv = ["nmm", *sys.argv[2:]]
    command()
"""


def main(program: Path, tail: str = "") -> None:
    home = Path(tempfile.mkdtemp()).resolve()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home / "home"),
        "NMM_CACHE": os.environ.get("NMM_CACHE", str(home / "cache")),
        "NMM_INDEX": str(home / "index"),
        "NMM_CONFIG": str(home / "config.toml"),
        "XDG_STATE_HOME": str(home / "state"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
    }

    def run(*command: str | Path) -> tuple[int, str]:
        done = subprocess.run(
            command, env=environ, cwd=home, capture_output=True, encoding="utf-8", check=False
        )
        return done.returncode, done.stdout

    def nmm(*arguments: str) -> tuple[int, str]:
        return run(program, *arguments)

    def must(*arguments: str) -> None:
        status, output = nmm(*(part.replace("{home}", str(home)) for part in arguments))
        assert status == 0, (arguments, output)

    (home / "home").mkdir()
    shutil.copytree(FILES, home / "files")
    set_times(home / "files")
    index = ["index", str(home / "files"), "--model", "mini"]
    if tail:
        status, _ = run(program.with_name("python"), "-c", INDEX_WITH_TAIL, tail, *index)
        assert status == 0
    else:
        must(*index)
    must("classify", "--labels", "cat,rocket", "--write-tags", "--json")
    must("export", "{home}/archive.nmm")
    for setting in SETTINGS:
        must("config", "set", *setting)
    for saved in SAVED:
        must("save", *saved)
    for searched in HISTORY:
        must(*searched)
    with zipfile.ZipFile(MADE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name in ("index", "state", "config.toml", "archive.nmm"):
            for path in sorted([home / name, *(home / name).rglob("*")]):
                # No process has the index open, so the catalog is complete without these.
                if path.is_file() and not path.name.endswith((".lock", "-shm", "-wal")):
                    made.write(path, path.relative_to(home))
    expected = {
        "home": str(home),
        "commands": record(nmm, home, COMMANDS),
        "interface": interface(nmm),
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", "utf-8")
    shutil.rmtree(home)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), *sys.argv[2:])
