"""Saved queries: their names and options, how they are run and changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import Configured, Nmm


@pytest.fixture
def saving(indexed: tuple[Nmm, Path], here: Nmm) -> Nmm:
    """The command, on an index, with a configuration of its own."""
    _, samples = indexed
    index = str(samples.parent / "index")
    return lambda *arguments, **environ: here(*arguments, NMM_INDEX=index, **environ)


def paths(nmm: Nmm, *arguments: str) -> list[str]:
    done = nmm("search", *arguments, "--paths")
    assert done.returncode in {0, 1}, done.stderr
    return [Path(line).name for line in done.stdout.splitlines()]


def test_a_saved_query_finds_what_it_found_when_it_was_typed(saving: Nmm) -> None:
    done = saving("save", "cats", "cute", "cats", "--type", "image", "-k", "2")
    assert done.stdout == ("Saved: 'cute cats' -k 2 --type image\nRun it with: nmm search @cats\n")
    found = paths(saving, "@cats")
    assert found == paths(saving, "cute", "cats", "--type", "image", "-k", "2")
    assert len(found) == 2


def test_options_of_a_search_are_added_and_go_before_those_that_are_saved(saving: Nmm) -> None:
    saving("save", "cats", "cute cats", "--type", "image", "-k", "2")
    assert paths(saving, "@cats", "-k", "1") == paths(saving, "@cats")[:1]
    texts = paths(saving, "@cats", "--type", "text")
    assert texts == paths(saving, "cute cats", "--type", "text", "-k", "2")
    assert paths(saving, "-k", "1", "@cats", "--type", "text") == texts[:1]


def test_a_saved_query_goes_before_the_environment_and_the_file(
    saving: Nmm, configured: Configured
) -> None:
    configured("[search]\nk = 4\n[saved.cats]\nquery = 'cats'\nk = 2\n[saved.dogs]\nquery='d'\n")
    done = saving("search", "@cats", "--paths", NMM_SEARCH_K="3")
    assert len(done.stdout.splitlines()) == 2
    done = saving("search", "@dogs", "--paths", NMM_SEARCH_K="3")
    assert len(done.stdout.splitlines()) == 3
    assert len(paths(saving, "@dogs")) == 4


def test_words_after_a_saved_query_are_added_to_it(saving: Nmm) -> None:
    saving("save", "cats", "cute cats")
    asked = saving("search", "@cats", "on", "a", "piano", "--json", "-k", "1").stdout
    assert json.loads(asked)["query"] == "cute cats on a piano"


def test_options_alone_can_be_saved(saving: Nmm) -> None:
    saving("save", "pictures", "--type", "image")
    assert paths(saving, "@pictures", "boats") == paths(saving, "boats", "--type", "image")
    assert saving("search", "@pictures").returncode == 2


def test_a_form_that_is_saved_makes_way_for_one_on_the_command_line(saving: Nmm) -> None:
    saving("save", "cats", "cats", "--json", "-k", "1")
    assert json.loads(saving("search", "@cats").stdout)["query"] == "cats"
    assert paths(saving, "@cats") == paths(saving, "cats", "-k", "1")


def test_text_that_begins_with_at_but_is_no_name_is_a_query(saving: Nmm) -> None:
    for typed, meant in (
        ("@@cats", "@cats"),
        ("@home office", "@home office"),
        ("@", "@"),
        ("me@home", "me@home"),
    ):
        asked = saving("search", typed, "--json", "-k", "1")
        assert json.loads(asked.stdout)["query"] == meant


def test_files_are_saved_so_that_they_are_found_from_any_folder(here: Nmm, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"")
    here("save", "like", "cat.jpg", "--image", "cat.jpg", "--add", "cat.jpg", "--minus", "a dog")
    here("save", "piped", "x" * 5000, "--image", "-")
    like, piped = json.loads(here("save", "--list", "--json").stdout)
    file = str(tmp_path / "cat.jpg")
    assert like == {
        "name": "like",
        "query": file,
        "options": {"image": [file], "add": [file], "minus": ["a dog"]},
    }
    assert piped == {"name": "piped", "query": "x" * 5000, "options": {"image": ["-"]}}


def test_saving_keeps_what_is_in_the_file_and_removing_leaves_it_as_it_was(
    here: Nmm, configured: Configured
) -> None:
    file = configured("# Mine.\n[search]\nk = 3\n")
    here("save", "cats", "cute cats", "--type", "image")
    assert file.read_text() == (
        '# Mine.\n[search]\nk = 3\n\n[saved.cats]\nquery = "cute cats"\ntype = "image"\n'
    )
    here("save", "dogs", "dogs")
    here("save", "cats", "other cats")
    shown = here("save", "--list").stdout
    assert shown == "@cats  'other cats'\n@dogs  dogs\n"
    assert here("save", "--remove", "@cats").returncode == 0
    assert here("save", "--remove", "dogs").returncode == 0
    assert file.read_text().strip() == "# Mine.\n[search]\nk = 3"
    done = here("save", "--list")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("name", ["", "a b", "-x", "_x", "a.b", "a/b", "@@x", "x" * 65, "a\nb"])
def test_a_name_that_could_not_be_typed_is_refused(
    here: Nmm, configured: Configured, name: str
) -> None:
    file = configured("")
    done = here("save", "--", name, "cats")
    assert done.returncode == 2
    assert done.stderr
    assert file.read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["save"], "NAME"),
        (["save", "cats"], "nothing to save"),
        (["save", "cats", "cats", "--tpe", "image"], "--type"),
        (["save", "cats", "cats", "-k", "0"], "-k"),
        (["save", "cats", "@dgos"], "Did you mean @dogs?"),
        (["save", "--remove", "cats"], "no saved query @cats"),
        (["search", "@dgos"], "Did you mean @dogs?"),
        (["search", "@nothing"], "nmm search @@nothing"),
    ],
)
def test_missing_or_invalid_saved_queries_are_reported(
    here: Nmm, configured: Configured, arguments: list[str], said: str
) -> None:
    text = "[saved.dogs]\nquery = 'dogs'\n"
    file = configured(text)
    done = here(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[saved.cats]\nquery = 'cats'\ntpye = 'image'\n", 3, "there is no option tpye"),
        ("[saved.cats]\nquery = 'cats'\nk = 'many'\n", 3, "saved.cats.k"),
        ("[saved.cats]\nquery = 3\n", 1, "saved.cats"),
        ("[saved]\ncats = 'cats'\n", 2, "saved.cats"),
        ("saved = 1\n", 1, "saved"),
    ],
)
def test_errors_in_a_saved_query_are_reported_with_their_line(
    here: Nmm, configured: Configured, text: str, line: int, what: str
) -> None:
    file = configured(text)
    done = here("search", "@cats")
    assert done.returncode == 2
    assert f"{file}, line {line}: " in done.stderr
    assert what in done.stderr


def test_a_query_saved_of_a_saved_one_stands_for_itself(here: Nmm) -> None:
    here("save", "cats", "cats", "--type", "image")
    here("save", "two", "@cats", "at night", "-k", "2")
    here("save", "--remove", "cats")
    assert here("save", "--list").stdout == "@two  'cats at night' -k 2 --type image\n"


def test_a_query_like_an_option_is_saved_and_asked(saving: Nmm) -> None:
    saving("save", "odd", "-k", "1", "--json", "--", "--paths")
    assert json.loads(saving("search", "@odd").stdout)["query"] == "--paths"
