"""Ignore rules: which entries the walk leaves out.

The rules are those of gitignore (https://git-scm.com/docs/gitignore), one to a line of an ignore
file. POSIX classes such as ``[[:alpha:]]`` are not supported: a rule with one is not a valid
pattern.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nmm.index.errors import UsageError

IGNORE_FILE = ".nmmignore"


class Rule(NamedTuple):
    """One line of an ignore file.

    Attributes:
        pattern: Searched for in a path relative to the folder of the ignore file.
        excludes: Entries that match are left out; False for a line that begins with "!".
        dirs_only: Only folders match.
        base: Characters of a path from the root before that relative path.
    """

    pattern: re.Pattern[str]
    excludes: bool
    dirs_only: bool
    base: int

    def matches(self, path: str, is_dir: bool) -> bool:
        """Return whether the rule matches the entry itself, not only one of its parents."""
        if self.dirs_only and not is_dir:
            return False
        found = self.pattern.search(path[self.base :])
        # pathspec's patterns also match what is in a matching folder; the "/" after that folder is
        # then in their only group. The folder itself was tested before.
        return found is not None and found.lastgroup is None


def is_excluded(path: str, is_dir: bool, rules: Iterable[Rule]) -> bool:
    """Return whether the first of `rules` that matches leaves the entry out.

    Args:
        path: Relative to the root, "/" between parts, below the folder of every rule. Its
            parents are not tested: none of them is left out.
        is_dir: It is a folder.
        rules: The one that decides comes first: the last line of the deepest folder.
    """
    return next((rule.excludes for rule in rules if rule.matches(path, is_dir)), False)


def exclude_rules(patterns: Sequence[str]) -> tuple[Rule, ...]:
    """Compile patterns relative to the root; the one that decides comes first.

    Raises:
        UsageError: A pattern is not valid.
    """
    rules, bad = _compile(patterns, base=0)
    if bad:
        raise UsageError(
            f"{patterns[bad[0] - 1]!r} is not a valid pattern",
            code="exclude-pattern-invalid",
            hint="Patterns follow .gitignore, for example '*.gif' or 'drafts/'.",
            pattern=patterns[bad[0] - 1],
        )
    return rules


def ignore_file_rules(content: bytes, folder: str) -> tuple[tuple[Rule, ...], str]:
    """Compile an ignore file; an invalid line does not affect the others.

    Args:
        content: UTF-8, with or without a byte order mark; lines end in LF or CRLF.
        folder: The folder of the file, relative to the root; "" for the root.

    Returns:
        The rules, the one that decides first; and what is wrong with the file, as a text to be
        shown after its path, "" if nothing is.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return (), "not valid UTF-8"
    rules, bad = _compile(re.split(r"\r?\n", text), base=len(folder) + 1 if folder else 0)
    return rules, f"not a gitignore pattern: line {', '.join(map(str, bad))}" if bad else ""


def _compile(lines: Iterable[str], base: int) -> tuple[tuple[Rule, ...], list[int]]:
    """Return the rules of some lines, the one that decides first, and the numbers of bad lines."""
    rules, bad = [], []
    for number, line in enumerate(lines, start=1):
        try:
            rules.append(_rule(line, base))
        except (ValueError, re.error):  # noqa: PERF203 - a bad line does not affect the others
            bad.append(number)
    return tuple(rule for rule in reversed(rules) if rule), bad


def _rule(line: str, base: int) -> Rule | None:
    """Compile one line; return None for a blank line, a comment, and what git ignores too.

    A whole `GitIgnoreSpec` is right for files only: after ``*`` and ``!*/`` it excludes every
    folder. So each line is tested alone, against the entry itself.

    Raises:
        ValueError, re.error: It is not a pattern.
    """
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    text = re.sub(r"(?<!\\) +$", "", line)
    if re.match(r"[^#].*\[:\w+:\]", text):
        raise ValueError("pathspec would take a POSIX class for a set of its letters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of re, about "[[]", which is right
        pattern = GitIgnoreSpecPattern(text.removesuffix("/"))
    if pattern.regex is None or pattern.include is None:
        return None
    return Rule(pattern.regex, pattern.include, text.endswith("/"), base)
