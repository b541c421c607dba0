"""Describe what a benchmark ran on, in a line each: machine, versions, missing peers."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from nmm.index.encoders.runtime.devices import available_cpus

# Instruction sets that speed up matrix products: x86 by Linux's names, then ARM.
INSTRUCTIONS = [
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
]
PACKAGES = [
    "nmm",
    "onnxruntime",
    "torch",
    "faiss-cpu",
    "numpy",
    "pillow",
    "tokenizers",
    "transformers",
    "rapidocr",
    "sqlite-utils",
]
CPUINFO = Path("/proc/cpuinfo")


def machine() -> str:
    """Return processor, instruction sets, memory, system and Python."""
    parts = [
        processor(),
        f"{available_cpus()} cores usable",
        instructions(),
        f"{memory():.0f} GB of memory" if memory() else "",
        system(),
        f"Python {platform.python_version()}",
    ]
    return ", ".join(part for part in parts if part)


def processor() -> str:
    if found := _cpuinfo("model name"):
        return found
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.check_output(command, text=True).strip()
    return platform.processor() or platform.machine()


def instructions() -> str:
    """Return the relevant instruction sets that the system reports."""
    has = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return " ".join(name for name in INSTRUCTIONS if name in has)


def _cpuinfo(field: str) -> str:
    text = CPUINFO.read_text("utf-8") if CPUINFO.exists() else ""
    found = re.search(rf"^{field}\s*: (.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def memory() -> float:
    """Return the memory in gigabytes; 0 where Python cannot tell it, as on Windows."""
    if not hasattr(os, "sysconf"):
        return 0.0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def system() -> str:
    if platform.system() != "Linux":
        return platform.platform(terse=True)
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)


def versions() -> str:
    """Return the versions of nmm, its numeric libraries and the peers, and the missing peers."""
    from PIL import features

    found = [f"{name} {has}" for name in (*PACKAGES, *peers()) if (has := _version(name))]
    turbo = features.version_feature("libjpeg_turbo")
    found += [f"libjpeg-turbo {turbo}", f"SQLite {sqlite3.sqlite_version}"]
    return ", ".join([*found, *(f"no {name}" for name in absent_peers())])


def absent_peers() -> list[str]:
    """Return the packages of the extra `bench` that are not installed."""
    return [name for name in peers() if not _version(name)]


def peers() -> list[str]:
    """Return the packages of the extra `bench`."""
    found = (re.fullmatch(r"([\w.-]+).*extra == .bench.", line) for line in requires("nmm") or [])
    return [one[1] for one in found if one]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
