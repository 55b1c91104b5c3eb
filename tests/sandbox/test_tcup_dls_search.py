from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .working_scene import DLS, HOME, Api, tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Three files, a minute between each, on a clock that stands still."""
    async with tcup(still=True) as running:
        await running.upload("a.csv", b"x" * 10, savepoint="sp1", metadata="colour=blue,size=10")
        running.world.clock.advance(60)
        await running.upload("b.csv", b"x" * 2048, savepoint="sp2", metadata="colour=red,size=9,version=two")
        running.world.clock.advance(60)
        await running.upload("c,1.txt", b"x" * 100, metadata="private@secret=blue", comment="The Third")
        yield running


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, "abc"),
        ({"filename": "*.csv"}, "ab"),
        ({"filename": "a.csv,*.txt"}, "ac"),
        ({"filename": "A.csv"}, ""),
        ({"filename": "?.csv"}, ""),
        ({"savepoint": "sp*"}, "ab"),
        ({"savepoint": "sp1,sp3"}, "a"),
        ({"uri": f"{HOME}/sp1/a.csv,{HOME}/sp2/b.csv"}, "ab"),
        ({"size": ">=2KB"}, "b"),
        ({"size": "<0.1kb"}, "ac"),
        ({"size": "=10B"}, "a"),
        ({"text": "THIRD"}, "c"),
        ({"text": "blue"}, "ac"),
        ({"ownFile": "true"}, "abc"),
        ({"ownFile": "false"}, ""),
        ({"bundled": "true"}, ""),
        ({"metadata": "colour"}, "ab"),
        ({"metadata": "COL*"}, "ab"),
        ({"metadata": "'blue'"}, "ac"),
        ({"metadata": "colour='blue'"}, "a"),
        ({"metadata": "colour='bl*'"}, ""),
        ({"metadata": "size>='10'"}, "a"),
        ({"metadata": "size!='10'"}, "b"),
        ({"metadata": "version>'1'"}, ""),
        ({"metadata": "(colour='red') & size>'9'"}, "ab"),
        ({"metadata": "colour='red',secret"}, "bc"),
        ({"metadata": "colour='red'", "filename": "a*"}, ""),
        ({"time": "01-Jan-2030 00:01:00 UTC"}, "bc"),
        ([("time", "01-Jan-2030 05:30:00 +0530"), ("time", "01-Jan-2030 00:01:00 +0000")], "ab"),
        ({"sort": "size"}, "acb"),
        ({"sort": "fileName"}, "abc"),
    ],
)
async def test_a_search_finds(api: Api, query: Any, names: str) -> None:
    reply = await api("GET", f"{DLS}/catalog", params=query)
    found = [] if reply.status == 404 else [file["name"] for file in reply.json["result"]]
    assert "".join(name[0] for name in found) == names


@pytest.mark.parametrize(
    "query",
    [
        {"size": ">=1TB"},
        {"size": "10MB"},
        {"size": ">1.2345KB"},
        {"uri": "user1/*"},
        {"metadata": "colour='blue',"},
        {"metadata": "colour='blue'&"},
        {"metadata": "colour "},
        {"metadata": "colour!='blue'"},
        {"metadata": "colour>'blue'"},
        {"metadata": 'colour="blue"'},
        {"metadata": "(colour"},
        {"metadata": "colour)"},
        {"metadata": "colour='a' size='1'"},
        {"pageNo": "0"},
        {"pageSize": "none"},
        {"sort": "shape"},
        {"time": "yesterday"},
        {"locked": "perhaps"},
        [("time", "1-Jan-2030 00:00:00 UTC")] * 3,
    ],
)
async def test_a_search_that_cannot_be_is_400(api: Api, query: Any) -> None:
    assert (await api("GET", f"{DLS}/catalog", params=query)).status == 400


async def test_pages_are_cut_and_counted(api: Api) -> None:
    first = await api.ok("GET", f"{DLS}/catalog", params={"pageSize": "2"})
    assert (first["page"], first["count"], len(first["result"])) == ("1 of 2", 3, 2)
    second = await api.ok("GET", f"{DLS}/catalog", params={"pageSize": "2", "pageNo": "2"})
    assert (second["page"], second["count"], len(second["result"])) == ("2 of 2", 3, 1)
    assert (await api("GET", f"{DLS}/catalog", params={"pageNo": "2"})).status == 404
    refused = await api("GET", f"{DLS}/catalog", params={"pageNo": "0"})
    assert refused.json == [{"key": "page-no", "value": "0", "messages": ["page number must be at least 1"]}]


async def test_a_file_is_shown_in_the_shape_of_the_contract(api: Api) -> None:
    found = await api.ok("GET", f"{DLS}/catalog", params={"filename": "a.csv"})
    assert found["result"] == [
        {
            "name": "a.csv",
            "path": f"{HOME}/sp1/a.csv",
            "file-uri": f"{HOME}/sp1/a.csv",
            "savepoint": "sp1",
            "directory": None,
            "size-bytes": 10,
            "created-on": "01-Jan-2030 00:00:00 UTC",
            "created-by": "dlsadmin",
            "transferred": True,
            "external": False,
            "deleted": False,
            "locked": False,
            "metadata": [
                {"name": "colour", "value": "blue", "privacy": "public", "updated-by": "dlsadmin"},
                {"name": "size", "value": "10", "privacy": "public", "updated-by": "dlsadmin"},
            ],
        }
    ]


async def test_what_is_private_is_masked_and_not_searched_by_others(api: Api) -> None:
    await api.add_user("user2")
    uri = f"{HOME}/c,1.txt"
    await api.ok("POST", f"{DLS}/share", [{"file-uri": uri, "users": ["user2"], "action": "R"}])
    (shown,) = (await api.ok("GET", f"{DLS}/catalog", user="user2"))["result"]
    assert [(meta["name"], meta["value"]) for meta in shown["metadata"]] == [("secret[private]", "***")]
    for metadata in ("secret", "'blue'"):
        assert await api.names("user2", metadata=metadata) == []
    assert await api.names("user2", text="blue") == []
