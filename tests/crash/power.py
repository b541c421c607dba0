"""Reconstruct a disk after a power failure during a run, from the trace of its writes.

The model is a journalling file system: changes of names take effect in their order, up to the last
one that had to be durable. Data of a file need not be there before it is synced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from random import Random

from crash.trace import Operation

SECTOR = 512
HALF = 0.5

Files = dict[str, bytes]


@dataclass(eq=False)
class _Inode:
    """A file independent of its name: its content, and its unsynced operations."""

    data: bytearray = field(default_factory=bytearray)
    loose: list[int] = field(default_factory=list)


@dataclass
class _Pass:
    """The inode of each operation, the operations that change names, and what has been synced."""

    inodes: dict[int, _Inode] = field(default_factory=dict)
    created: set[int] = field(default_factory=set)
    names: list[int] = field(default_factory=list)
    synced: set[int] = field(default_factory=set)


def read_files(folder: Path) -> Files:
    """Return all files of an index, except the shared memory of processes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }


def write_files(files: Files, folder: Path) -> None:
    """Make an index folder that contains only those files."""
    (folder / "vectors").mkdir(parents=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def all_of(start: Files, operations: Sequence[Operation]) -> Files:
    """Return the files if every operation reached the disk."""
    return _replay(start, operations, range(len(operations)), {})


def some_of(start: Files, operations: Sequence[Operation], chance: Random) -> Files:
    """Return possible files: all that had to be durable, and a random part of the rest."""
    done = _follow(start, operations)
    at_least = max((n for n in done.names if n in done.synced), default=-1)
    loose = [n for n in done.names if n > at_least]
    names = {n for n in done.names if n <= at_least} | {*loose[: chance.randint(0, len(loose))]}
    kept: dict[int, int] = {}
    for n, operation in enumerate(operations):
        if operation.what in "WT" and n not in done.synced:
            whole = chance.random() < HALF
            sectors = len(operation.data) // SECTOR
            kept[n] = len(operation.data) if whole else SECTOR * chance.randint(0, sectors)
            if operation.what == "T" and not whole:
                kept[n] = -1
    return _replay(start, operations, names, kept)


def _follow(start: Files, operations: Sequence[Operation]) -> _Pass:
    """Follow the operations of a run as the run itself sees them."""
    done = _Pass()
    seen = {name: _Inode() for name in start}
    loose_names: dict[str, list[int]] = {}
    for n, operation in enumerate(operations):
        path = operation.path
        if operation.what in "WT":
            if path not in seen:
                seen[path] = _Inode()
                done.created.add(n)
            done.inodes[n] = seen[path]
            seen[path].loose.append(n)
        elif operation.what == "R":
            seen[operation.to] = seen.pop(path, _Inode())
        elif operation.what == "U":
            seen.pop(path, None)
        elif operation.what == "S":
            if path in seen:
                done.synced.update(seen[path].loose)
                seen[path].loose.clear()
            else:
                done.synced.update(loose_names.pop(path, []))
        if operation.what in "RU" or n in done.created:
            done.names.append(n)
            for name in (path, operation.to) if operation.to else (path,):
                parent = str(PurePosixPath(name).parent)
                loose_names.setdefault("" if parent == "." else parent, []).append(n)
    return done


def _replay(
    start: Files, operations: Sequence[Operation], names: Iterable[int], kept: dict[int, int]
) -> Files:
    """Apply operations: the given changes of names, and as much data as is kept."""
    done = _follow(start, operations)
    there = {name: _Inode(bytearray(data)) for name, data in start.items()}
    # Inodes of the first pass, by inode of this pass.
    seen = dict(there)
    on_disk = set(names)
    for n, operation in enumerate(operations):
        path = operation.path
        if operation.what in "WT":
            if n in done.created:
                seen[path] = _Inode()
            inode = seen[path]
            if n in done.created and n in on_disk:
                there[path] = inode
            _change(inode.data, operation, kept.get(n, len(operation.data)))
        elif operation.what == "R":
            seen[operation.to] = seen.pop(path, _Inode())
            if n in on_disk and path in there:
                there[operation.to] = there.pop(path)
        elif operation.what == "U":
            seen.pop(path, None)
            if n in on_disk:
                there.pop(path, None)
    return {name: bytes(inode.data) for name, inode in there.items()}


def _change(data: bytearray, operation: Operation, kept: int) -> None:
    if operation.what == "T":
        if kept >= 0:
            del data[operation.offset :]
            data.extend(bytes(operation.offset - len(data)))
    elif kept > 0:
        data.extend(bytes(max(0, operation.offset - len(data))))
        data[operation.offset : operation.offset + kept] = operation.data[:kept]
