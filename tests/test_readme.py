"""The README and docs are true: transcripts are what the commands print, nothing is missing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer
from support import SAMPLE_DATA

from nmm.cli.app import app
from nmm.cli.console.exit_codes import Exit

ROOT = SAMPLE_DATA.parent
README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = (ROOT / "docs" / "commands.md").read_text("utf-8")
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


def test_every_exit_status_stands_in_the_readme() -> None:
    table = README.partition("## Exit statuses")[2].partition("## ")[0]
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert listed == {int(status) for status in Exit}
