"""Commands whose output is compared with an earlier version of nmm, and the recorded output."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILES = HERE / "files"
MODIFIED = 1_700_000_000  # seconds; every file gets this time, because Git stores none
# Files made by an earlier version: an index, an archive, a configuration file and a history.
MADE = HERE / "made.zip"
# Times and sizes differ between runs; doctor's text about the schema differs between versions.
VARIABLE_KEYS = {"seconds", "bytes", "time", "found", "hint"}

# The configuration file: plain options, and a saved query with each kind of option.
SETTINGS = (
    ("search.k", "5"),
    ("search.mode", "semantic"),
    ("similar.k", "2"),
    ("index.exclude", "*.log", "build/"),
    ("cluster.count", "2"),
)
SAVED = (
    ("cats", "a cat", "--type", "image", "-k", "2"),
    ("words", "--mode", "keyword", "soup"),
    ("sum", "--add", "a rocket", "--minus", "soup", "--min-score", "-9", "--all"),
    ("filters", "food", "--in", "*.txt", "--ext", "txt,md", "--larger", "10B"),
    ("wordless", "a boat", "--no-text"),
    ("picture", "--image", "{home}/files/photos/lawn.jpg", "--orientation", "landscape"),
    ("dates", "notes", "--after", "2023-01-01", "--before", "2024", "--min-width", "10"),
    ("place", "a sea", "--near", "48.2,16.37,5", "--camera", "canon"),
    ("tagged", "pets", "--tag", "cat", "--tag", "dog", "--relevant"),
)
# Searches that are written to the history.
HISTORY = (
    ("search", "a cup of coffee", "--history", "--paths"),
    ("search", "soup", "--type", "text", "-k", "1", "--history", "--paths"),
    ("search", "--image", "{home}/files/photos/lawn.jpg", "--history", "--paths"),
)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("index", "--json"),
    ("status", "--json"),
    ("roots", "list", "--json"),
    ("config", "list", "--json"),
    ("config", "get", "search.k"),
    ("save", "--list", "--json"),
    ("history", "--json"),
    ("search", "a cat", "--json"),
    ("search", "a cat", "--paths"),
    ("search", "a cat", "--jsonl", "-k", "3"),
    ("search", "a cat", "--csv", "--mode", "hybrid"),
    ("search", "lentils and onions", "--json", "--mode", "keyword"),
    ("search", "lentils", "--json", "--mode", "hybrid", "--type", "text"),
    ("search", "2*a cat - a rocket", "--json"),
    ("search", "--image", "{home}/files/photos/espresso.jpg", "--json"),
    ("search", "a cat", "--relevant", "--paths"),
    ("search", "a cat", "--format", r"{type}\t{path}"),
    ("search", "a cat", "-0", "--in", "photos"),
    ("search", "a cat", "--in", "nowhere/*", "--json"),
    ("search", "a cat", "--min-score", "1000", "--json"),
    ("search", "a cat", "-k", "0"),
    ("search", "@nobody"),
    ("search", "@cats", "--after", "nonsense"),
    *(("search", f"@{name}", "--json") for name, *_ in SAVED),
    ("search", "@cats", "-k", "1", "--paths"),
    ("similar", "{home}/files/photos/chelsea.jpg", "--json"),
    ("similar", "{home}/files/notes/chelsea.md", "--paths", "-k", "3"),
    ("similar", "{home}/files/nothing.txt"),
    ("classify", "--labels", "a cat,a rocket,food", "--json"),
    ("cluster", "--json", "-k", "2"),
    ("dupes", "--json"),
    ("tags", "--json"),
    ("doctor", "--json"),
    ("remove", "{home}/files/nothing.txt"),
    ("index", "{home}/nothing"),
    ("export", "{home}/again.nmm", "--json"),
    ("nonsense",),
    (),
)

# Runs a command, and returns its exit status and stdout.
Command = Callable[..., tuple[int, str]]


def set_times(files: Path) -> None:
    """Give every file and folder the same modification time."""
    for path in (files, *files.rglob("*")):
        os.utime(path, (MODIFIED, MODIFIED))


def record(command: Command, home: Path, commands: tuple[tuple[str, ...], ...]) -> list[Any]:
    """Run commands in a folder, and return what is compared for each."""
    recorded = []
    for arguments in commands:
        status, output = command(*(part.replace("{home}", str(home)) for part in arguments))
        recorded.append(
            {"arguments": [*arguments], "status": status, "output": _normalized(output, home)}
        )
    return recorded


def _normalized(output: str, home: Path) -> Any:
    """Return output, parsed if it is JSON, with the folder and variable parts replaced."""
    output = output.replace(str(home), "{home}")
    try:
        return _without_variables(json.loads(output))
    except ValueError:
        pass
    lines = output.splitlines()
    try:
        return [_without_variables(json.loads(line)) for line in lines]
    except ValueError:
        return lines


def _without_variables(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "*" if key in VARIABLE_KEYS else _without_variables(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_variables(inner) for inner in value]
    return value


def interface(command: Command, *path: str) -> dict[str, Any]:
    """Return the options of a command and its subcommands, as named in its help."""
    status, output = command(*path, "--help")
    options, commands, section = set(), [], ""
    for line in output.splitlines():
        if not line.startswith(" "):
            section = line.rstrip(":")
        elif section == "Options" and re.match(r"  -", line):
            column = re.split(r"\s{2,}", line.strip())[0]
            options |= set(re.findall(r"(?<![\w<|-])--?[A-Za-z0][\w-]*", column))
        elif section == "Commands" and (name := re.match(r"  ([\w-]+)", line)):
            commands.append(name[1])
    return {
        "status": status,
        "options": sorted(options),
        "commands": {name: interface(command, *path, name) for name in commands},
    }
