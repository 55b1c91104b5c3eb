"""``asyncconn source``: what a module asks for, and where each value comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.commands import Ended, run
from cli.source_scene import COUNTING, ECHO, ENV, WHO, inside


def echoed(*args: str, env: dict[str, str] | None = None) -> Any:
    """What the source was made with."""
    done = inside("run", ECHO, *args, "--dry-run", env=env)
    assert done.status == 0, done.text
    return json.loads(done.out)["source"]


def words(text: str) -> str:
    """Without the frames and line breaks of a help text."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


# -- describe and help -------------------------------------------------------------------------------------------------


def test_describe_shows_what_a_module_asks_for(here: Path) -> None:
    shown = inside("describe", COUNTING)

    assert shown.status == 0
    assert shown.out.startswith("Counting [of all kinds]\ncategories: DB, APIS\n")
    assert re.search(r"^--rows +number +5 +How many\. See", shown.out, re.MULTILINE)
    assert re.search(r"^--mode +select +plain +one of plain", shown.out, re.MULTILINE)
    assert re.search(r"^password +password +yes", shown.out, re.MULTILINE)
    assert "(ASYNCCONN_SOURCE_PASSWORD)" in shown.out


def test_describe_is_there_as_json(here: Path) -> None:
    shown = json.loads(inside("describe", ECHO, "--format", "json").out)

    params = {param["name"]: param for param in shown}
    assert (params["hostName"]["option"], params["hostName"]["required"]) == ("--host-name", True)
    assert (params["state"]["option"], params["state"]["variable"]) == ("--param-state", "ASYNCCONN_SOURCE_STATE")
    assert params["access_token"]["option"] is None
    assert (params["shops"]["values"], params["shops"]["dependencies"]) == ("dynamic", ["region"])
    assert params["mode"]["values"] == [{"name": "Full load", "value": "full"}, {"name": "Changes", "value": "inc"}]


def test_describe_shows_no_default_of_a_secret(here: Path) -> None:
    text = Path(COUNTING).read_text().replace('"required": True, "default": ""', '"default": "made-up-default"')
    assert "made-up-default" in text
    (here / "mine.py").write_text(text)

    for args in (("describe", "mine.py"), ("describe", "mine.py", "--format", "json"), ("run", "mine.py", "--help")):
        shown = inside(*args)
        assert shown.status == 0
        assert "made-up-default" not in shown.text


def test_help_of_a_module_has_its_options_beside_ours(here: Path) -> None:
    shown = words(inside("run", COUNTING, "--help").out)

    assert "Options of Counting [of all kinds]" in shown
    assert "--rows NUMBER How many. See [docs](https://a.example) (default: 5)" in shown
    assert "one of plain, failing, broken" in shown
    assert "--dry-run" in shown
    assert "ASYNCCONN_SOURCE_PASSWORD (password)" in shown
    assert "--password" not in shown


def test_help_hides_what_nobody_is_asked_for(here: Path) -> None:
    shown = inside("run", ECHO, "--help").out

    assert "--host-name" in shown
    assert "--zone" not in shown


def test_help_without_a_module_has_our_options(here: Path) -> None:
    shown = inside("run", "--help")

    assert shown.status == 0
    assert "--dry-run" in shown.out
    assert "--host-name" not in shown.out


@pytest.mark.parametrize("command_name", ["describe", "run"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "mine.py raised ZeroDivisionError while it was imported in "),
        ("import asyncconn.panoply", "mine.py: there is no Stream: add Stream ="),
        (None, "mine.py: there is no such file"),
    ],
)
def test_a_bad_module_is_one_line_and_status_2(here: Path, command_name: str, text: str | None, said: str) -> None:
    if text is not None:
        (here / "mine.py").write_text(text)
    refused = inside(command_name, "mine.py")

    assert refused.status == 2
    assert refused.err.startswith(f"error: {said}")
    assert refused.err.count("\n") == 1


def test_a_module_in_the_current_folder_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(Path(ECHO).read_text())
    found = run(tmp_path, "source", "describe", "mine", patch="import sys; sys.path.remove('')")

    assert found.status == 0, found.text
    assert found.out.startswith("Echo\n")


# -- values ------------------------------------------------------------------------------------------------------------


def test_values_arrive_as_their_types_and_defaults_silently(here: Path) -> None:
    source = echoed(
        *WHO, "--ratio", "0.50", "--tags", "a,b", "--tags", "c", "--mode", "Changes", "--param-state", "s"
    )  # fmt: skip

    assert source == {
        "type": "echo",
        "hostName": "h",
        "user": "u",
        "port": "5432",
        "ratio": "0.50",
        "tags": ["a", "b", "c"],
        "mode": {"name": "Changes", "value": "inc"},
        "zone": "eu",
        "state": "s",
    }


def test_choices_are_asked_for_with_what_they_depend_on_and_options(here: Path) -> None:
    source = echoed(*WHO, "--shops", "7,h-south 9", "--region", "h-south", "--option", "shops=[7, 9]")

    assert source["region"] == "h-south"
    assert source["shops"] == [{"name": "h-south 7", "value": 7}, {"name": "h-south 9", "value": 9}]


@pytest.mark.parametrize("args", [(*WHO, "--port", "1"), ("--", *WHO, "--port", "1")])
def test_options_stand_after_the_module_with_or_without_two_dashes(here: Path, args: tuple[str, ...]) -> None:
    assert echoed(*args)["port"] == "1"


def test_options_of_ours_may_stand_before_the_module(here: Path) -> None:
    done = inside("run", "--batch-size", "3", "--dry-run", COUNTING, env=ENV)

    assert (done.status, len(done.out.splitlines())) == (0, 5), done.text


def test_an_option_of_the_module_before_it_is_told_its_place(here: Path) -> None:
    refused = inside("run", "--host-name", "h", ECHO)

    assert refused.status == 2
    assert "MODULE comes first, then its options: found --host-name" in words(refused.err)


def test_the_command_line_comes_before_the_environment_and_that_before_a_file(here: Path) -> None:
    (here / ".env").write_text("ASYNCCONN_SOURCE_RATIO=3\nASYNCCONN_SOURCE_USER=dotenv\n")
    (here / "more.json").write_text('{"id": 5, "type": "shop", "hostName": "file", "user": "file", "port": 4}')
    env = {"ASYNCCONN_SOURCE_HOST_NAME": "env", "ASYNCCONN_SOURCE_USER": "env", "ASYNCCONN_SOURCE_TAGS": "a,b"}
    source = echoed("--host-name", "given", "--source", "more.json", env=env)

    assert source == {
        "id": 5, "type": "shop", "hostName": "given", "user": "env", "port": 4, "ratio": "3", "tags": ["a", "b"],
        "zone": "eu",
    }  # fmt: skip


def test_a_destination_goes_into_the_source(here: Path) -> None:
    done = inside("run", COUNTING, "--destination", "t_{half}", "--dry-run", env=ENV)

    assert [json.loads(line)["__table"] for line in done.out.splitlines()] == ["t_a"] * 3 + ["t_b"] * 2


def test_everything_that_is_missing_is_said_at_once(here: Path) -> None:
    refused = inside("run", ECHO, "--region", "x", "--dry-run")

    assert refused == Ended(
        2,
        "",
        "error: required and not given: --host-name (or ASYNCCONN_SOURCE_HOST_NAME), "
        "--user (or ASYNCCONN_SOURCE_USER)\n",
    )


def test_a_missing_password_is_asked_of_the_environment(here: Path) -> None:
    refused = inside("run", COUNTING, "--dry-run")

    assert refused == Ended(2, "", "error: required and not given: ASYNCCONN_SOURCE_PASSWORD (a secret)\n")


def test_an_empty_value_is_as_good_as_none_for_what_is_required(here: Path) -> None:
    assert "--user" in inside("run", ECHO, "--host-name", "h", "--user", "", "--dry-run").err


@pytest.mark.parametrize(
    "given", [("--password", "hunter22"), ("--password=hunter22",), ("--", "--password", "hunter22")]
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(here: Path, given: tuple[str, ...]) -> None:
    refused = inside("run", COUNTING, *given)

    assert refused.status == 2
    assert "--password is never taken from the command line" in words(refused.err)
    assert "set ASYNCCONN_SOURCE_PASSWORD" in words(refused.err)
    assert "hunter22" not in refused.text


def test_everything_that_does_not_fit_is_said_at_once(here: Path) -> None:
    env = {"ASYNCCONN_SOURCE_RATIO": "half"}
    refused = inside("run", ECHO, *WHO, "--port", "x", "--mode", "y", "--region", "z", "--dry-run", env=env)

    assert (refused.status, refused.out) == (2, "")
    assert refused.err.splitlines() == [
        "error: --port: 'x' is not a number",
        "error: ASYNCCONN_SOURCE_RATIO: 'half' is not a number",
        "error: --mode: 'y' is not one of Full load, Changes",
        "error: --region: 'z' is not one of h-north, h-south",
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--shops", "7"), "--shops: needs --region to be given as well"),
        (("--host-name", "nowhere", "--region", "x"), "--region: the values of 'region' could not be had: Connection"),
        (("--option", "a"), "--option takes NAME=JSON"),
        (("--option", "a=hunter22"), "--option a: not JSON after the '='; a text stands in double quotes"),
        (("--source", "no.json"), "no.json: No such file or directory"),
        (("--source", ECHO), "echo.py is not JSON: "),
        (("--destination", "{"), "the destination '{' has a brace"),
        (("--to", "sandbox"), "--dry-run sends nothing"),
    ],
)
def test_bad_input_is_one_line_and_status_2(here: Path, args: tuple[str, ...], said: str) -> None:
    refused = inside("run", ECHO, *WHO, *args, "--dry-run")

    assert (refused.status, refused.out) == (2, ""), refused.text
    assert said in refused.err
    assert refused.err.startswith("error: ")
    assert refused.err.count("\n") == 1
    assert "hunter22" not in refused.err


def test_an_unknown_option_is_refused_with_the_nearest_one(here: Path) -> None:
    refused = inside("run", ECHO, "--hostname=hunter22")

    assert refused.status == 2
    assert "No such option: --hostname" in refused.err
    assert "--host-name" in refused.err
    assert "hunter22" not in refused.err


def test_two_parameters_of_one_option_are_refused(here: Path) -> None:
    (here / "mine.py").write_text(Path(ECHO).read_text().replace('{"name": "user"', '{"name": "host_name"'))
    refused = inside("run", "mine.py")

    assert refused.status == 2
    assert "'hostName' and 'host_name' are both --host-name: rename one" in refused.err
