"""A noun needs nobody but one who makes calls by their name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from asyncconn.atoti_limits import Paths
from asyncconn.atoti_limits.resources.incidents import Incidents
from asyncconn.atoti_limits.resources.structures import Structures
from asyncconn.atoti_limits.resources.transfer import Upload
from asyncconn.errors import ConfigError
from asyncconn.http.response import Response


class Played:
    """Answers as it is told to, and keeps what it was asked."""

    def __init__(self, *answers: Any, paths: Paths | None = None) -> None:
        self.paths = paths or Paths()
        self.asked: list[tuple[str, Any]] = []
        self._answers = list(answers)

    async def request(self, name: str, **options: Any) -> Response:
        self.asked.append((name, options))
        return Response("atoti_limits", "GET", "/x", 200, {}, orjson.dumps(self._answers.pop(0)))


async def test_one_of_a_kind_is_asked_for_by_its_id() -> None:
    played = Played({"referenceId": "s1", "name": "Price"})

    found = await Structures(played).get("s1")

    assert (found.reference_id, found.name) == ("s1", "Price")
    assert played.asked == [("structures.get", {"ids": {"structureId": "s1"}})]


async def test_pages_are_asked_for_until_the_total_is_reached() -> None:
    pages = [{"content": [{"incidentKey": key}], "size": 1, "total": 2} for key in ("i1", "i2")]
    played = Played(*pages)

    found = [one.incident_key async for one in Incidents(played).list(page_size=1)]

    assert found == ["i1", "i2"]
    assert [options["params"]["page"] for _, options in played.asked] == [0, 1]


async def test_the_version_of_the_paths_decides_what_can_be_written() -> None:
    played = Played(paths=Paths("v1"))

    with pytest.raises(ConfigError, match="read and not written"):
        await Upload(played).limits([{"Limit ID": "l1"}])

    assert played.asked == []
