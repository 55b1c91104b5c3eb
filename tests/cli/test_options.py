"""Options that many commands have: in groups, each written once."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_command

from asyncconn.cli.options import Output, json_object, known, spread
from asyncconn.errors import ConfigError


@dataclass(frozen=True)
class Where:
    region: Annotated[str | None, typer.Option("--region")] = None
    port: Annotated[int, typer.Option("--port")] = 80


@dataclass(frozen=True)
class Place(Where):
    path: Annotated[str, typer.Option("--path")] = "/"


def test_a_command_takes_a_group_as_one_parameter() -> None:
    taken: list[tuple[Place, int, bool]] = []

    def go(place: Place, number: Annotated[int, typer.Argument()], dry: bool = False) -> None:
        taken.append((place, number, dry))

    made = spread(go)
    parameters = inspect.signature(made).parameters
    assert {name: one.default for name, one in parameters.items() if name != "number"} == {
        "dry": False,
        "region": None,
        "port": 80,
        "path": "/",
    }
    assert next(iter(parameters)) == "number"  # arguments come before options of groups
    app = typer.Typer(add_completion=False)
    app.command()(made)
    options = {option for one in get_command(app).params for option in one.opts}
    assert options >= {"--dry", "--region", "--port", "--path"}
    made(number=7, dry=True, region="eu", port=1, path="/v1")
    assert taken == [(Place("eu", 1, "/v1"), 7, True)]


def test_a_word_of_a_filter_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert known(["breach", "WARNING"], ["BREACH", "WARNING"], "--type") == ["BREACH", "WARNING"]
    with pytest.raises(ConfigError, match="--type: there is no 'breech'; there are BREACH, WARNING"):
        known(["breech"], ["BREACH", "WARNING"], "--type")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json", "a.jsonl.gz", "a.ndjson", "a.parquet", "-"])
def test_the_name_of_a_file_says_what_rows_become(name: str, tmp_path: Path) -> None:
    Output(Path("-") if name == "-" else tmp_path / name)


@pytest.mark.parametrize("name", ["a", "a.txt", "csv", "nowhere/a.csv", "."])
def test_a_place_that_cannot_be_is_refused_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Output(tmp_path / name)


@pytest.mark.parametrize(("text", "said"), [("[1]", "no JSON object"), ("{", "is not JSON"), ("\xff", "is not JSON")])
def test_what_is_no_object_is_said_with_its_file(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=f"q.json.* {said}|q.json {said}"):
        json_object(tmp_path / "q.json")
