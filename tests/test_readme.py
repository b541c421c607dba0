"""The README, the docs and the project files are true, complete and valid."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
import yaml
from support import SAMPLE_DATA

from nmm.cli.app import app
from nmm.cli.console.exit_codes import Exit

ROOT = SAMPLE_DATA.parent
README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
DOCS = sorted((ROOT / "docs").rglob("*.md"))
ADDING = sorted((ROOT / "docs" / "contributing").glob("adding-*.md"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT_FILES = [*sorted((ROOT / ".github").rglob("*.yml")), ROOT / ".pre-commit-config.yaml"]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_transcripts_are_what_the_commands_print() -> None:
    script = [sys.executable, ROOT / "scripts" / "readme", "--check"]
    done = subprocess.run(script, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"Run scripts/readme.\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_and_stands_in_the_reference(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert f"nmm {name}" in command.epilog
    assert f"$ nmm {name} --help" in REFERENCE
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name}"


def test_every_exit_status_is_in_the_docs() -> None:
    table = (ROOT / "docs" / "reference" / "exit-codes.md").read_text("utf-8")
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert listed == {int(status) for status in Exit}


def test_the_readme_is_short_and_its_links_lead_to_files() -> None:
    assert len(README.splitlines()) < 200
    for page in (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/README.md")):
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        assert targets
        assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    # In a process of its own, because its packages raise warnings.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in DOCS}
    assert [page for page in pages if not (tmp_path / page).exists()] == []
    # The example is inserted from its file.
    assert "TemporaryDirectory" in (tmp_path / "reference" / "python.html").read_text("utf-8")
    home = (tmp_path / "index.html").read_text("utf-8")
    loaded = re.findall(r"<(?:script|link|img)\b[^>]*(?:src|href)=\"(\w+://[^\"]+)", home)
    assert loaded == []


@pytest.mark.parametrize("page", ADDING, ids=lambda page: page.stem)
def test_the_guides_to_new_parts_name_what_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    sources = [ROOT / path for path in re.findall(r"\((?:\.\./)+((?:index|tests)/[^)]+)\)", text)]
    assert sources
    code = "\n".join(path.read_text("utf-8") for path in sources)
    code += "\n".join(path.read_text("utf-8") for path in (ROOT / "index").rglob("*.py"))
    names = set(
        re.findall(r"`([A-Za-z_]+)(?:\([^`]*\))?`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    )
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []


def test_the_python_reference_names_modules_that_exist() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE):
        import_module(name)


# Examples


def test_the_python_example_runs() -> None:
    command = [sys.executable, "examples/python_search.py", "sample_data", "a storm at sea"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    first, *found = done.stdout.splitlines()
    assert first == "31 files indexed"
    assert [line.rpartition("/")[2] for line in found] == [
        "rocket_at_dusk.txt",
        "winter_harbour.txt",
        "launch.jpg",
    ]


@pytest.mark.skipif(os.name == "nt", reason="the example is for a POSIX shell")
def test_the_shell_example_runs(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    arguments = ["sample_data", "a storm at sea", str(tmp_path / "picked")]
    environ = {**os.environ, "PATH": path}
    subprocess.run(
        ["examples/shell_search.sh", *arguments],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=environ,
    )
    copied = sorted(file.name for file in (tmp_path / "picked").iterdir())
    assert copied == ["launch.jpg", "rocket_at_dusk.txt", "winter_harbour.txt"]


# Project files


@pytest.mark.parametrize("file", PROJECT_FILES, ids=lambda file: file.name)
def test_project_files_are_valid_yaml(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text("utf-8")), dict)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_call_scripts_that_exist(file: Path) -> None:
    jobs = yaml.safe_load(file.read_text("utf-8"))["jobs"].values()
    lines = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert lines
    for line in lines:
        command = line.split()[0]
        if command.startswith("scripts/"):
            assert os.access(ROOT / command, os.X_OK)
        else:
            assert command in {"python", ".venv/bin/mkdocs"}


def test_the_issue_forms_have_what_github_requires() -> None:
    for file in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(file.read_text("utf-8"))
        assert {"name", "description", "body"} <= set(form)
        ids = [field["id"] for field in form["body"]]
        assert len(ids) == len(set(ids)) > 0


def test_the_address_of_the_project_is_one() -> None:
    address = re.search(
        r"^repo_url: (\S+)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
    )
    assert address
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert set(re.findall(r"https://[^/]+\.example/\w+/\w+", project)) == {address[1]}


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
@pytest.mark.parametrize("name", ["test", "install", "fix", "demo", "bundle"])
def test_shell_scripts_can_be_parsed(name: str) -> None:
    subprocess.run(["sh", "-n", ROOT / "scripts" / name], check=True)
