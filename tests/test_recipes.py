"""The recipes in docs/recipes.md work: each is run as printed."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest
from support import SAMPLE_DATA, Nmm

ROOT = SAMPLE_DATA.parent
RECIPES = (ROOT / "docs" / "recipes.md").read_text("utf-8")
BLOCK = re.compile(r"^##+ ([^\n]+)$|^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the recipes are for a POSIX shell")


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def recipes() -> dict[str, list[str]]:
    """Return the blocks of each recipe, by its title."""
    found: dict[str, list[str]] = defaultdict(list)
    title = ""
    for match in BLOCK.finditer(RECIPES):
        if match[1]:
            title = match[1]
        else:
            found[title].append(match[3])
    return found


class Kitchen:
    """A folder to run recipes in, beside an index of the sample data."""

    def __init__(self, samples: Path, folder: Path) -> None:
        self.samples = samples
        self.folder = folder
        self.environ = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "NMM_INDEX": str(samples.parent / "index"),
        }

    def cook(self, title: str, block: int = 0, **environ: str) -> str:
        """Return the output of a block, run by sh as pasted."""
        done = subprocess.run(
            ["sh", "-e", "-c", recipes()[title][block]],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**self.environ, **environ},
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def names(self, *arguments: str) -> list[str]:
        """Return the file names of a search's results."""
        done = subprocess.run(
            [BIN / "nmm", "search", *arguments, "--paths"],
            check=True,
            capture_output=True,
            text=True,
            env=self.environ,
        )
        return [Path(line).name for line in done.stdout.splitlines()]


@pytest.fixture
def kitchen(indexed: tuple[Nmm, Path], tmp_path: Path) -> Kitchen:
    _, samples = indexed
    return Kitchen(samples, tmp_path)


def test_each_recipe_is_tested() -> None:
    source = Path(__file__).read_text("utf-8")
    assert [title for title in recipes() if source.count(f'"{title}"') == 0] == []
    assert len(recipes()) == len(re.findall("^##+ ", RECIPES, re.MULTILINE)) > 10


def test_results_are_copied(kitchen: Kitchen) -> None:
    kitchen.cook("Pass results to another command")
    copied = sorted(p.name for p in (kitchen.folder / "picked").iterdir())
    assert copied == sorted(kitchen.names("boats", "--type", "image", "-k", "5"))
    assert len(copied) == 5


def test_the_best_is_opened(kitchen: Kitchen) -> None:
    viewer = kitchen.folder / "xdg-open"
    viewer.write_text('#!/bin/sh\nprintf "%s|" "$#" "$@"\n')
    viewer.chmod(0o755)
    path = f"{kitchen.folder}{os.pathsep}{kitchen.environ['PATH']}"
    opened = kitchen.cook("Open the best result", PATH=path)
    assert opened == f"1|{kitchen.samples / 'photos' / 'chelsea.jpg'}|"


def test_results_are_searched_for_words(kitchen: Kitchen) -> None:
    shown = kitchen.cook("Search for words in the results").splitlines()
    assert any("winter_harbour.txt" in line and "the ice is gone!" in line for line in shown)


@needs("tar")
def test_results_are_archived(kitchen: Kitchen) -> None:
    recipe = "Pack results into an archive"
    done = subprocess.run(
        ["sh", "-e", "-c", recipes()[recipe][0]],
        check=True,
        capture_output=True,
        text=True,
        cwd=kitchen.folder,
        env=kitchen.environ,
    )
    assert done.stdout == ""  # on stderr, tar says what it does with the leading /
    with tarfile.open(kitchen.folder / "boats.tar.gz") as packed:
        assert [Path(name).name for name in packed.getnames()] == kitchen.names("boats")


@needs("fzf")
def test_fzf_chooses(kitchen: Kitchen) -> None:
    # Simulates a user who types this and accepts all remaining lines.
    chosen = kitchen.cook("Choose with fzf", FZF_DEFAULT_OPTS="--filter=harbour.txt")
    assert [Path(line).name for line in chosen.splitlines()] == ["winter_harbour.txt"]


@needs("jq")
def test_jq_takes_results_apart(kitchen: Kitchen) -> None:
    paths = kitchen.cook("Process results with jq").splitlines()
    assert 0 < len(paths) < 10
    taken = {Path(path).name for path in paths}
    assert [Path(p).name for p in paths] == [n for n in kitchen.names("boats") if n in taken]


@needs("jq")
def test_many_questions_are_answered_in_order(kitchen: Kitchen) -> None:
    answers = [line.split("\t") for line in kitchen.cook("Run many queries at once").splitlines()]
    assert [query for query, _ in answers] == ["cute animals", "a storm at sea"]
    for query, path in answers:
        assert [Path(path).name] == kitchen.names(query, "-k", "1")


def test_a_script_uses_the_exit_status(kitchen: Kitchen) -> None:
    said = kitchen.cook("Search in a script")
    (best,) = kitchen.names("the launch of a rocket", "-k", "1")
    assert re.fullmatch(f"The best is {kitchen.samples}/.+/{re.escape(best)}\n", said)
    empty = subprocess.run(
        ["sh", "-e", "-c", recipes()["Search in a script"][0]],
        check=True,
        capture_output=True,
        text=True,
        env={**kitchen.environ, "NMM_INDEX": str(kitchen.folder / "none")},
    )
    assert empty.stdout == "There is no index: nmm index FOLDER\n"


def test_the_line_for_cron_indexes_what_is_new(nmm: Nmm, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "one.txt").write_text("The cat sleeps on the piano.")
    assert nmm("index", notes, "--model", "mini").returncode == 0
    (notes / "two.txt").write_text("The ship comes into the harbour.")

    (line,) = recipes()["Keep the index current with cron"][0].splitlines()
    *fields, command = line.split(maxsplit=5)
    ranges = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    for field, (least, most) in zip(fields, ranges, strict=True):
        assert field == "*" or least <= int(field) <= most
    assert "%" not in command  # cron ends the command at a line end

    home = tmp_path / "home"
    (home / ".local" / "bin").mkdir(parents=True)
    (home / ".local" / "bin" / "nmm").symlink_to(BIN / "nmm")
    environ = {
        # The environment that cron provides, and this test's model and index.
        "HOME": str(home),
        "LOGNAME": "somebody",
        "PATH": "/usr/bin:/bin",
        "SHELL": "/bin/sh",
        "NMM_CACHE": os.environ["NMM_CACHE"],
        "NMM_INDEX": str(tmp_path / "index"),
    }
    done = subprocess.run(
        ["/bin/sh", "-c", command], check=True, capture_output=True, text=True, env=environ, cwd="/"
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert (home / "nmm.log").read_text() == ""
    assert nmm("search", "a ship", "-k", "1", "--paths").stdout == f"{notes / 'two.txt'}\n"


def test_the_systemd_unit_calls_an_existing_command(nmm: Nmm) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(recipes()["Keep the index current with systemd"][0])
    program, command, *options = unit["Service"]["ExecStart"].split()
    assert program == "%h/.local/bin/nmm"
    told = nmm(command, "--help").stdout
    assert options
    assert all(option in told for option in options)
    assert unit["Install"]["WantedBy"] == "default.target"


@needs("git")
def test_a_commit_is_indexed(tmp_path: Path) -> None:
    recipe = "Index a repository on every commit"
    repository = tmp_path / "my repository"
    shutil.copytree(SAMPLE_DATA / "poems", repository)
    kitchen = Kitchen(repository, repository)
    kitchen.environ |= {"NMM_MODEL": "mini", "NMM_QUIET": "1", "HOME": str(tmp_path)}
    kitchen.environ.pop("NMM_INDEX")

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=N", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=m")
        done = subprocess.run(
            ["git", *who, *arguments],
            check=False,
            cwd=repository,
            capture_output=True,
            text=True,
            env=kitchen.environ,
        )
        assert done.returncode == 0, done.stderr

    git("init", "--quiet")
    kitchen.cook(recipe)
    assert "winter_harbour.txt" in kitchen.cook(recipe, 1)
    (repository / "storm.txt").write_text("The storm is told here: it broke the masts.")
    git("add", ".")
    git("commit", "--quiet", "-m", "A storm")
    assert str(repository / "storm.txt") in kitchen.cook(recipe, 1)
    (repository / "storm.txt").unlink()
    git("commit", "--quiet", "-a", "-m", "No storm")
    assert "storm.txt" not in kitchen.cook(recipe, 1)

    # Changes from elsewhere, by a merge, as after a pull.
    git("checkout", "--quiet", "-b", "other")
    (repository / "calm.txt").write_text("Of a calm after the storm, and no wind at all.")
    git("add", ".")
    git("-c", f"core.hooksPath={os.devnull}", "commit", "--quiet", "-m", "A calm")
    assert "calm.txt" not in kitchen.cook(recipe, 1)
    git("checkout", "--quiet", "m")
    git("merge", "--quiet", "other")
    assert str(repository / "calm.txt") in kitchen.cook(recipe, 1)
