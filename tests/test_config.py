"""Configured defaults: the file, the environment, their precedence, and nmm config."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import tomlkit
import typer
from support import Configured, Nmm

from nmm.cli.app import app
from nmm.cli.commands.config import VARIABLES
from nmm.cli.framework.click_classes import COMMAND_SYNONYMS, OPTION_SYNONYMS
from nmm.cli.framework.settings import NOT_SETTABLE, SHARED, all_settings, commands, settings_of


def in_force(nmm: Nmm, key: str, **environ: str) -> str:
    done = nmm("config", "get", key, **environ)
    assert done.stderr == ""
    return done.stdout.rstrip("\n")


# Precedence.


def test_the_command_line_overrides_the_environment_which_overrides_the_file(
    indexed: tuple[Nmm, Path], tmp_path: Path
) -> None:
    nmm, _ = indexed
    file = tmp_path / "config.toml"

    def count(*arguments: str, **environ: str) -> int:
        done = nmm("search", "boats", "--paths", *arguments, NMM_CONFIG=str(file), **environ)
        assert done.returncode == 0, done.stderr
        return len(done.stdout.splitlines())

    assert count() == 10
    file.write_text("[search]\nk = 2\n")
    assert count() == 2
    assert count(NMM_SEARCH_K="3") == 3
    assert count("-k", "4", NMM_SEARCH_K="3") == 4


def test_a_specific_key_overrides_a_general_one(here: Nmm, configured: Configured) -> None:
    configured("[defaults]\njson = true\n[roots]\njson = false\n[roots.move]\njson = true\n")
    assert in_force(here, "roots.move.json") == "true"
    assert in_force(here, "roots.list.json") == "false"
    assert in_force(here, "status.json") == "true"
    assert in_force(here, "roots.list.json", NMM_JSON="1", NMM_ROOTS_JSON="0") == "0"
    assert in_force(here, "roots.list.json", NMM_JSON="1") == "1"


def test_general_defaults_apply_to_commands_of_groups(
    indexed: tuple[Nmm, Path], tmp_path: Path
) -> None:
    nmm, samples = indexed
    (tmp_path / "config.toml").write_text("[defaults]\njson = true\n")
    done = nmm("roots", "list", NMM_CONFIG=str(tmp_path / "config.toml"))
    assert [root["path"] for root in json.loads(done.stdout)] == [str(samples)]


def test_a_configured_default_is_in_the_help(here: Nmm, configured: Configured) -> None:
    configured("[search]\nk = 23\n")
    assert "[default: 23;" in here("search", "--help").stdout


def test_a_relative_index_in_the_file_is_beside_it_and_NMM_INDEX_overrides_it(  # noqa: N802
    nmm: Nmm, configured: Configured, tmp_path: Path
) -> None:
    file = configured('[defaults]\nindex = "of the file"\n')
    beside = str(file.parent / "of the file")
    assert beside in nmm("status", NMM_INDEX="").stderr
    assert str(tmp_path / "other") in nmm("status", NMM_INDEX=str(tmp_path / "other")).stderr
    file.write_text('[defaults]\nindex = "~/mine"\n')
    assert str(tmp_path / "home" / "mine") in nmm("status", NMM_INDEX="").stderr


def test_NMM_INDEX_is_an_option_and_what_begins_so_belongs_to_the_command(  # noqa: N802
    nmm: Nmm, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("The cat sleeps on the piano.")
    (tmp_path / "note.log").write_text("The dog barks.")
    folder = str(tmp_path / "named")
    done = nmm("index", tmp_path, NMM_INDEX=folder, NMM_INDEX_EXCLUDE="*.log", NMM_MODEL="mini")
    assert "1 added" in done.stdout, done.stderr
    assert (tmp_path / "named" / "catalog.db").exists()


def test_no_two_settings_share_a_variable_and_none_is_taken() -> None:
    by_variable = defaultdict(set)
    for setting in all_settings(typer.main.get_command(app)).values():  # type: ignore[arg-type]
        by_variable[setting.variable].add(setting.key)
    assert {v: k for v, k in by_variable.items() if len(k) > 1} == {}
    assert by_variable["NMM_INDEX"] == {"defaults.index"}
    taken = {*VARIABLES, "NMM_TEST_CACHE"}
    assert taken & by_variable.keys() == set()


def test_options_for_all_commands_and_those_never_set_are_options_that_there_are() -> None:
    root = typer.main.get_command(app)
    found = {o for _, c in commands(root) for p in c.params for o in p.opts}  # type: ignore[arg-type]
    # Commands under development may add these.
    to_come = {"copy-to", "link-to", "list", "remove"}
    assert {f"--{name}" for name in (SHARED | NOT_SETTABLE) - to_come} <= found
    settable = all_settings(root)  # type: ignore[arg-type]
    assert not {key for key in settable if key.rpartition(".")[2] in NOT_SETTABLE}
    assert all(list(settings_of(words, c)) for words, c in commands(root) if c.params)  # type: ignore[arg-type]


# Errors are reported with their place.


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("[search]\nk = 3\nkk = 4\n", 3, "there is no option search.kk", "search.k?"),
        ("# mine\n\n[serach]\nk = 3\n", 3, "there is no option serach", "config list --all"),
        ("k = 3\n", 1, "there is no option k", "Did you mean search.k?"),
        ("[defaults]\nk = 3\n", 2, "there is no option defaults.k", "Did you mean search.k?"),
        ("[index]\nrebuild = true\n", 2, "there is no option index.rebuild", "config list"),
        ("[search]\nk = 0\n", 2, "search.k: ", "nmm config edit"),
        (
            "[search]\nk = true\n",
            2,
            "search.k has to be a single text or number",
            "nmm config edit",
        ),
        ("[search]\n\n'k' = 'many'\n", 3, "search.k: ", "nmm config edit"),
        ("[defaults]\nquiet = 'yes'\n", 2, "defaults.quiet has to be true or false", ""),
        ("[search]\nin = 'photos'\n", 2, 'search.in has to be a list, such as in = ["…"]', ""),
        ("[search]\ntype = 'pictures'\n", 2, "search.type: ", ""),
        ("search.type = 'pictures'\n", 1, "search.type: ", ""),
        ("[search]\nk = \n", 2, "is not TOML", "nmm config edit"),
    ],
)
def test_errors_in_the_file_are_reported_with_their_line(
    here: Nmm, configured: Configured, text: str, line: int, what: str, hint: str
) -> None:
    file = configured(text)
    done = here("search", "boats")
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert f"line {line}" in done.stderr
    assert what in done.stderr
    assert hint in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[search]\nk = \x00"])
def test_a_binary_configuration_file_is_reported(
    here: Nmm, configured: Configured, content: bytes
) -> None:
    file = configured("")
    file.write_bytes(content)
    done = here("status")
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "unexpected error" not in done.stderr


def test_commands_that_repair_the_file_accept_an_invalid_one(
    nmm: Nmm, configured: Configured
) -> None:
    file = configured("[search]\nkk = 4\n")
    assert nmm("--help").returncode == 0
    assert nmm("config", "--help").returncode == 0
    assert nmm("config", "path").stdout == f"{file}\n"
    assert nmm("config").returncode == 2
    assert nmm("config", "unset", "search.kk").returncode == 0
    assert nmm("config").returncode == 0


def test_an_invalid_environment_variable_is_reported(here: Nmm) -> None:
    done = here("search", "boats", NMM_SEARCH_K="many")
    assert done.returncode == 2
    assert "NMM_SEARCH_K" in done.stderr


def test_a_format_on_the_command_line_replaces_a_configured_one(
    indexed: tuple[Nmm, Path], tmp_path: Path
) -> None:
    nmm, _ = indexed
    (tmp_path / "config.toml").write_text("[search]\njson = true\n")
    set_ = {"NMM_CONFIG": str(tmp_path / "config.toml")}
    assert json.loads(nmm("search", "boats", **set_).stdout)["version"]
    assert nmm("search", "boats", "--csv", **set_).stdout.startswith("query,rank,")
    done = nmm("search", "boats", "--csv", "--paths", **set_)
    assert done.returncode == 2


# nmm config.


def test_set_keeps_comments_order_and_mode_and_get_prints_what_is_set(
    here: Nmm, configured: Configured
) -> None:
    file = configured("# Mine.\n[search]\nk = 3  # enough\n\n[index]\nhidden = true\n")
    file.chmod(0o640)
    assert here("config", "set", "search.k", "5").returncode == 0
    assert here("config", "set", "quiet", "yes").returncode == 0
    assert here("config", "set", "index.exclude", "*.log", "my folder/").returncode == 0
    assert file.read_text() == (
        "# Mine.\n[search]\nk = 5  # enough\n\n[index]\nhidden = true\n"
        'exclude = ["*.log", "my folder/"]\n\n[defaults]\nquiet = true\n'
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert in_force(here, "search.k") == "5"
    assert in_force(here, "quiet") == "true"
    assert in_force(here, "index.exclude") == "*.log\nmy folder/"
    assert [p.name for p in file.parent.iterdir()] == ["config.toml"]


def test_a_new_configuration_file_is_private(nmm: Nmm, tmp_path: Path) -> None:
    assert nmm("config", "set", "search.k", "5").returncode == 0
    file = tmp_path / "home" / ".config" / "nmm" / "config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "[search]\nk = 5\n"


@pytest.mark.parametrize(
    "text",
    [
        "search.k = 3\n",
        "search = {k = 3}\n",
        "[search]\r\nk = 3 # enough\r\n",
        "[saved.a]\nquery = 'x'\n[search]\nk = 3\n[saved.b]\nquery = 'y'\n",
        "[saved]\na = {query = 'x'}\n[search]\n",
    ],
)
def test_whatever_way_the_file_is_written_one_value_changes(
    here: Nmm, configured: Configured, text: str
) -> None:
    file = configured("")
    file.write_bytes(text.encode())
    before = tomlkit.parse(text).unwrap()
    assert here("config", "set", "search.k", "7").returncode == 0
    assert tomlkit.parse(file.read_text()).unwrap() == {
        **before,
        "search": {"k": 7},
    }
    assert here("config", "unset", "search.k").returncode == 0
    after = tomlkit.parse(file.read_text()).unwrap()
    assert after.pop("search", {}) == {}
    assert after == {name: value for name, value in before.items() if name != "search"}


@pytest.mark.parametrize("text", ["search = 3\n", "[[search]]\nk = 3\n"])
def test_a_key_that_is_not_a_table_is_left_alone(
    here: Nmm, configured: Configured, text: str
) -> None:
    file = configured(text)
    done = here("config", "set", "search.k", "7")
    assert done.returncode == 2
    assert "line 1: search has to be a table of options" in done.stderr
    assert here("config", "unset", "search.k").returncode == 1
    assert file.read_text() == text


def test_a_value_may_begin_with_a_dash(here: Nmm) -> None:
    assert here("config", "set", "search.min-score", "-0.5").returncode == 0
    assert in_force(here, "search.min-score") == "-0.5"


def test_a_path_is_stored_as_absolute(here: Nmm, tmp_path: Path) -> None:
    assert here("config", "set", "index", "here/ix").returncode == 0
    assert in_force(here, "index", NMM_INDEX="") == str(tmp_path / "here" / "ix")


def test_a_link_to_the_file_is_followed(here: Nmm, configured: Configured, tmp_path: Path) -> None:
    file = configured("")
    file.unlink()
    (tmp_path / "dotfiles.toml").write_text("# In git.\n")
    file.symlink_to(tmp_path / "dotfiles.toml")
    assert here("config", "set", "search.k", "5").returncode == 0
    assert file.is_symlink()
    assert (tmp_path / "dotfiles.toml").read_text() == "# In git.\n\n[search]\nk = 5\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search.kk", "3"], "Did you mean search.k?"),
        (["k", "3"], "Did you mean search.k?"),
        (["search.k", "many"], "search.k cannot be 'many'"),
        (["search.k", "0"], "search.k cannot be '0'"),
        (["search.k", "1", "2"], "one value"),
        (["quiet", "maybe"], "defaults.quiet cannot be 'maybe'"),
        (["search.type", "pictures"], "search.type cannot be 'pictures'"),
        (["index.rebuild", "true"], "no option index.rebuild"),
    ],
)
def test_invalid_settings_are_refused_and_leave_the_file_unchanged(
    here: Nmm, configured: Configured, arguments: list[str], said: str
) -> None:
    file = configured("# Mine.\n")
    done = here("config", "set", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert file.read_text() == "# Mine.\n"


def test_list_shows_settings_and_their_sources(here: Nmm, configured: Configured) -> None:
    file = configured("[search]\nk = 3\n[defaults]\nquiet = true\n[saved.cats]\nquery = 'cats'\n")
    environ = {"NMM_SEARCH_K": "4", "NMM_SEACH_K": "5", "NMM_INDEX": ""}
    done = here("config", "--json", **environ)
    assert json.loads(done.stdout) == [
        {"key": "defaults.quiet", "value": True, "source": str(file)},
        {"key": "search.k", "value": "4", "source": "the environment variable NMM_SEARCH_K"},
    ]
    assert done.stderr == "NMM_SEACH_K sets nothing. Did you mean NMM_SEARCH_K?\n"
    assert here("config", **environ).stdout == (
        f"defaults.quiet = true    ({file})\n"
        'search.k = "4"    (the environment variable NMM_SEARCH_K)\n'
    )


def test_every_key_and_variable_can_be_listed(here: Nmm) -> None:
    listed = dict(line.split() for line in here("config", "list", "--all").stdout.splitlines())
    known = all_settings(typer.main.get_command(app))  # type: ignore[arg-type]
    assert listed == {key: setting.variable for key, setting in known.items()}


def test_get_prints_built_in_defaults_and_fails_if_there_is_none(here: Nmm) -> None:
    assert in_force(here, "search.k") == "10"
    assert in_force(here, "search.mode") == "hybrid"
    done = here("config", "get", "search.camera")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_unset_removes_one_value(here: Nmm, configured: Configured) -> None:
    file = configured("# Mine.\n[search]\nk = 3 # enough\nraw = true\n")
    assert here("config", "unset", "search.k").returncode == 0
    assert file.read_text() == "# Mine.\n[search]\nraw = true\n"
    assert here("config", "unset", "search.k").returncode == 1


def test_edit_opens_a_commented_file_and_validates_the_result(nmm: Nmm, tmp_path: Path) -> None:
    editor = tmp_path / "my editor"
    editor.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[2], 'a').write('k = 3')\n")
    editor.chmod(0o755)
    done = nmm("config", "edit", EDITOR=f"'{editor}' --wait", VISUAL="")
    assert done.returncode == 2
    assert "there is no option k" in done.stderr
    text = (tmp_path / "home" / ".config" / "nmm" / "config.toml").read_text()
    assert "# [defaults]" in text
    assert text.endswith("k = 3")


def test_a_missing_editor_is_reported(here: Nmm) -> None:
    done = here("config", "edit", EDITOR="no-such-editor", VISUAL="")
    assert done.returncode == 2
    assert "no-such-editor" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="folders have no modes there")
def test_a_read_only_file_is_reported(here: Nmm, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = here("config", "set", "search.k", "3", NMM_CONFIG=str(tmp_path / "file" / "c.toml"))
    assert done.returncode in {2, 74}
    assert str(tmp_path / "file" / "c.toml") in done.stderr
    assert "unexpected error" not in done.stderr


# Did you mean.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serach", "cats"], "Did you mean search"),
        (["find", "cats"], "Did you mean search?"),
        (["ls"], "Did you mean status?"),
        (["delete", "x"], "Did you mean remove?"),
        (["models", "rm", "mini"], "Did you mean remove?"),
        (["roots", "ls"], "Did you mean list?"),
        (["cute cats"], "nmm search"),
        (["search", "cats", "--jsn"], "--json"),
        (["search", "cats", "--limit", "3"], "Did you mean -k?"),
        (["search", "cats", "--since", "2020"], "Did you mean --after?"),
        (["status", "--limit", "3"], "No such option: --limit"),
    ],
)
def test_misspelt_and_foreign_names_get_a_suggestion(
    here: Nmm, arguments: list[str], said: str
) -> None:
    done = here(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_misspelt_model_gets_a_suggestion(here: Nmm) -> None:
    done = here("models", "path", "nomic1.5")
    assert done.returncode == 4
    assert "Did you mean nomic-v1.5?" in done.stderr


def test_synonyms_of_commands_get_a_suggestion() -> None:
    root = typer.main.get_command(app)
    there = {words[-1] for words, _ in commands(root)} | {"config"}  # type: ignore[arg-type]
    for word, meant in COMMAND_SYNONYMS.items():
        assert word not in root.commands  # type: ignore[attr-defined]
        assert set(meant) & (there | {"get"}), word
    options = {o for _, c in commands(root) for p in c.params for o in p.opts}  # type: ignore[arg-type]
    assert set(OPTION_SYNONYMS.values()) <= options
