"""The parameters of a source are filled in from wherever they are given, all faults at once; a run can be previewed."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.errors import ConfigError
from asyncconn.panoply import DataSource, Filling, ParamsUnfit, fill_params, preview_source
from asyncconn.panoply.sources.filling import variable_of
from asyncconn.panoply.sources.params import parse_params

if TYPE_CHECKING:
    from pathlib import Path


def regions(source: dict[str, Any]) -> list[str]:
    return [f"{source['hostName']}-{direction}" for direction in ("north", "south")]


PARAMS = parse_params(
    [
        {"name": "region", "type": "select", "values": regions, "dependencies": ["hostName"], "required": True},
        {"name": "hostName", "required": True},
        {"name": "password", "type": "password", "required": True},
        {"name": "port", "type": "number", "default": "5432"},
        {"name": "zone", "type": "hidden", "required": True},
    ]
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOST_NAME", "REGION", "PASSWORD", "PORT", "ZONE"):
        monkeypatch.delenv(f"ASYNCCONN_SOURCE_{name}", raising=False)


async def test_texts_come_before_the_environment_and_that_before_a_dict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ASYNCCONN_SOURCE_PASSWORD=made-up\nASYNCCONN_SOURCE_ZONE=dotenv\n")
    monkeypatch.setenv("ASYNCCONN_SOURCE_ZONE", "eu")
    monkeypatch.setenv("ASYNCCONN_SOURCE_HOST_NAME", "env")
    base = {"id": 5, "hostName": "base", "region": "taken as it is"}

    source = await fill_params(PARAMS, base, texts={"hostName": ["h"]})

    assert source == {
        "id": 5, "hostName": "h", "region": "taken as it is", "password": "made-up", "port": "5432", "zone": "eu",
    }  # fmt: skip
    assert base["hostName"] == "base"


async def test_everything_missing_is_said_at_once_and_so_is_everything_that_does_not_fit() -> None:
    with pytest.raises(ParamsUnfit) as missing:
        await fill_params(PARAMS, {"zone": "eu"})
    assert missing.value.problems == (
        "required and not given: ASYNCCONN_SOURCE_REGION, ASYNCCONN_SOURCE_HOST_NAME, "
        "ASYNCCONN_SOURCE_PASSWORD (a secret)",
    )
    texts = {"hostName": ["h"], "region": ["west"], "port": ["x"], "password": ["made-up"], "zone": ["eu"]}
    with pytest.raises(ParamsUnfit) as unfit:
        await fill_params(PARAMS, texts=texts)
    assert unfit.value.problems == (
        "ASYNCCONN_SOURCE_PORT: 'x' is not a number",
        "ASYNCCONN_SOURCE_REGION: 'west' is not one of h-north, h-south",
    )
    assert isinstance(unfit.value, ConfigError)


async def test_what_is_missing_is_asked_for_after_what_it_depends_on() -> None:
    filling = Filling(PARAMS, texts={"port": ["1"]})
    await filling.begin()
    asked = []
    while (question := await filling.question()) is not None:
        asked.append((question.param.name, question.choices))
        filling.answer(question.choices[1] if question.choices else "h")

    assert asked == [("hostName", None), ("password", None), ("region", ("h-north", "h-south"))]
    assert filling.filled() == {"hostName": "h", "password": "h", "region": "h-south", "port": "1"}


async def test_nobody_is_asked_when_something_does_not_fit() -> None:
    filling = Filling(PARAMS, texts={"port": ["x"]})
    await filling.begin()

    assert await filling.question() is None
    with pytest.raises(ParamsUnfit, match="'x' is not a number"):
        filling.filled()


def test_a_name_without_a_word_has_no_variable() -> None:
    assert variable_of("apiKey2ID") == "ASYNCCONN_SOURCE_API_KEY_2_ID"
    with pytest.raises(ConfigError, match="rename it"):
        variable_of("__")


# -- previews ----------------------------------------------------------------------------------------------------------


class Numbers(DataSource):
    async def read(self, n: int | None = None) -> list[dict[str, Any]] | None:
        at = self.source.get("state", {}).get("at", 0)
        if at >= 5:
            return None
        self.source["state"] = {"at": at + 2}
        self.state("s", self.source["state"])
        return [{"id": number} for number in range(at, min(at + 2, 5))]


async def test_a_preview_shows_what_would_be_written_and_keeps_no_state(tmp_path: Path) -> None:
    state = tmp_path / "s.json"
    state.write_text('{"state": {"at": 2}, "source": {}}')
    shown: list[tuple[str, Any]] = []

    await preview_source(
        Numbers, {"type": "numbers", "destination": "t"}, show=lambda *row: shown.append(row), state=state
    )

    assert [json.loads(line)["id"] for _, line in shown] == [2, 3, 4]
    assert Counter(table for table, _ in shown) == {"t": 3}
    assert state.read_text() == '{"state": {"at": 2}, "source": {}}'


async def test_a_preview_ends_after_so_many_rows() -> None:
    shown: list[str] = []

    await preview_source(Numbers, {"destination": "t"}, show=lambda table, _: shown.append(table), limit=3)

    assert shown == ["t"] * 3
