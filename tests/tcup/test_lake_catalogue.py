"""Files are found by what holds of them, whatever the catalogue makes of it. Contract: tcup sections 6.5, 13."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, Reply

from asyncconn.errors import ConfigError, Conflict, Forbidden, NotFound
from asyncconn.sandbox import Fault
from asyncconn.tcup import Tcup

from .lake_scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.core.paging import Pager
    from asyncconn.tcup.lake_models import LakeFile

SEARCH = "GET /dls/catalog"


async def found(pager: Pager[LakeFile]) -> list[str]:
    return sorted([file.name or "" async for file in pager])


@pytest.fixture
async def s() -> AsyncIterator[Scene]:
    """Some files: their name tells their metadata."""
    async with scene() as made:
        for name, metadata, size in (
            ("blue-1", {"colour": "blue", "rows": 1}, 1),
            ("blue-12", {"colour": "blue", "rows": 12}, 2000),
            ("red-12", {"colour": "red", "rows": 12}, 3000),
            ("plain", {}, 1024),
        ):
            await made.lake.upload(b"x" * size, filename=name, savepoint="sp1", metadata=metadata)
        yield made


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["blue-1", "blue-12", "plain", "red-12"]),
        ({"metadata": "colour='blue' & rows>='12'"}, ["blue-12"]),
        ({"metadata": "colour='blue', rows='12'"}, ["blue-12"]),
        ({"metadata": {"colour": "blue", "rows": 12}}, ["blue-12"]),
        ({"metadata": "colour='blue' & rows='12'", "match": "any"}, ["blue-1", "blue-12", "red-12"]),
        ({"metadata": "(colour='blue') & (rows='12')", "match": "any"}, ["blue-1", "blue-12", "red-12"]),
        ({"metadata": "colour='blue' & colour='red'"}, []),
        ({"metadata": "col*, 'red', rows>'1'"}, ["red-12"]),
        ({"metadata": "COLOUR='blue'"}, ["blue-1", "blue-12"]),
        ({"metadata": "none"}, []),
        ({"size": ">=1KB"}, ["blue-12", "plain", "red-12"]),
        ({"size": "=1kb", "filename": "p*"}, ["plain"]),
        ({"filename": ["plain", "blue*"]}, ["blue-1", "blue-12", "plain"]),
        ({"savepoint": "sp*", "filename": "red-12"}, ["red-12"]),
        ({"savepoint": "other"}, []),
        ({"uri": "user1/dlsadmin/sp1/plain"}, ["plain"]),
        ({"uri": ["user1/dlsadmin/sp1/plain", "user1/dlsadmin/sp1/red-12"]}, ["plain", "red-12"]),
        ({"locked": True}, []),
        ({"locked": False, "own": True, "external": False, "transferred": True, "text": "plain"}, ["plain"]),
        ({"deleted": True}, []),
    ],
)
@pytest.mark.parametrize("page_size", [1, 2, 50])
async def test_all_holds_that_is_asked_for(s: Scene, page_size: int, options: dict[str, Any], names: list[str]) -> None:
    assert await found(s.lake.search(page_size=page_size, **options)) == names


async def test_times_are_included(s: Scene) -> None:
    file = await s.lake.get("user1/dlsadmin/sp1/plain")
    at = file.created_on
    assert at is not None
    second = timedelta(seconds=1)
    assert "plain" in await found(s.lake.search(since=at, until=at))
    assert await found(s.lake.search(since=at + 60 * second)) == []
    assert await found(s.lake.search(until=at - 60 * second)) == []


async def test_what_is_sorted_stays_so(s: Scene) -> None:
    found = s.lake.search(sort="size", metadata="colour, rows", page_size=1)
    assert [file.name async for file in found] == ["blue-1", "blue-12", "red-12"]


async def test_nothing_is_sent_before_it_is_asked_for_nor_once_nothing_is_left(s: Scene) -> None:
    before = s.calls()
    pager = s.lake.search(metadata="none & colour & rows & 'blue'")
    assert s.calls() == before
    assert await found(pager) == []
    # The second term finds some, the first none of them.
    assert s.calls(SEARCH) <= 4


async def test_a_name_with_a_comma_finds_itself_alone(s: Scene) -> None:
    for name in ("a,b.csv", "axb.csv", "a.csv", "b.csv"):
        await s.lake.upload(b"", filename=name)
    assert await found(s.lake.search(filename="a,b.csv")) == ["a,b.csv"]
    assert await found(s.lake.search(filename=["a,b.csv", "b.csv"], page_size=1)) == ["a,b.csv", "b.csv"]
    assert (await s.lake.get("user1/dlsadmin/a,b.csv")).name == "a,b.csv"
    with pytest.raises(ConfigError, match="get"):
        s.lake.search(uri="user1/dlsadmin/a,b.csv")


async def test_a_savepoint_with_a_colon_is_found_too(s: Scene) -> None:
    uri = await s.lake.upload(b"", filename="f", savepoint="v:1")
    assert (await s.lake.get(uri)).savepoint == "v:1"


@pytest.mark.parametrize(
    "options",
    [
        {"size": ">1TB"},
        {"metadata": "colour=blue"},
        {"metadata": "(a1a)", "match": "all"},
        {"metadata": "abc", "match": "both"},
        {"sort": "name"},
        {"page_size": 0},
        {"directory": "a//b"},
        {"uri": "a*"},
        {"filename": ""},
        {"filename": "a,*"},
    ],
)
async def test_what_the_catalogue_would_refuse_or_misread_is_refused(s: Scene, options: dict[str, Any]) -> None:
    before = s.calls()
    with pytest.raises(ConfigError):
        s.lake.search(**options)
    assert s.calls() == before


async def test_a_page_of_a_web_server_is_no_empty_list() -> None:
    page = Reply(404, b"<html>not here</html>", {"Content-Type": "text/html"})
    async with Loopback(page) as server, Tcup(server.url, "key") as tcup:
        with pytest.raises(NotFound):
            await tcup.datalake.search()


async def test_a_search_is_a_table(s: Scene) -> None:
    frame = await s.lake.search(size=">1B", sort="size").frame()
    assert list(frame["name"]) == ["plain", "blue-12", "red-12"]
    assert str(frame["created_on"].dt.tz) == "UTC"
    assert frame["size_bytes"].sum() == 6024
    empty = await s.lake.search(text="nowhere").frame()
    assert list(empty.columns) == list(frame.columns)


# -- one file ----------------------------------------------------------------------------------------------------------


async def test_what_is_done_with_a_file(s: Scene) -> None:
    uri = "user1/dlsadmin/sp1/plain"
    await s.lake.set_metadata(uri, {"colour": "red", "private@owner": "me"})
    await s.lake.set_metadata(uri, {"colour": "green"})
    await s.lake.remove_metadata(uri, "owner")
    assert [(one.name, one.value) for one in (await s.lake.get(uri)).metadata] == [("colour", "green")]
    with pytest.raises(NotFound):
        await s.lake.remove_metadata(uri, "owner")

    await s.lake.lock(uri)
    await s.lake.lock(uri)
    assert await found(s.lake.search(locked=True)) == ["plain"]
    await s.lake.unlock(uri)
    with pytest.raises(Conflict):
        await s.lake.unlock(uri)

    await s.lake.comment(uri, "first, ä\nsecond")
    assert [one.comment for one in await s.lake.comments(uri)] == ["first, ä\nsecond"]

    renamed = await s.lake.rename(uri, "new, name")
    assert (await s.lake.get(renamed)).name == "new, name"
    with pytest.raises(NotFound):
        await s.lake.get(uri)
    with pytest.raises(Conflict):
        await s.lake.rename(renamed, "blue-1")

    await s.lake.delete(renamed)
    with pytest.raises(NotFound):
        await s.lake.delete(renamed)
    assert await found(s.lake.search(deleted=True)) == ["new, name"]


@pytest.mark.parametrize("verb", ["lock", "unlock", "delete", "remove", "set"])
async def test_a_lost_answer_of_what_can_be_done_twice_is_no_error(s: Scene, verb: str) -> None:
    uri = "user1/dlsadmin/sp1/blue-1"
    if verb == "unlock":
        await s.lake.lock(uri)
    s.fail(Fault("drop_after", match=lambda call: call.method in ("PUT", "DELETE")))
    match verb:
        case "lock":
            await s.lake.lock(uri)
        case "unlock":
            await s.lake.unlock(uri)
        case "delete":
            await s.lake.delete(uri)
        case "remove":
            await s.lake.remove_metadata(uri, "colour")
        case "set":
            await s.lake.set_metadata(uri, {"colour": "red"})
    assert not len(s.sandbox.faults), "it never struck"


@pytest.mark.parametrize("verb", ["rename", "comment"])
async def test_a_lost_answer_of_what_cannot_is_told(s: Scene, verb: str) -> None:
    uri = "user1/dlsadmin/sp1/blue-1"
    s.fail(Fault("drop_after", match=lambda call: call.method in ("PUT", "POST")))
    before = s.calls()
    with pytest.raises(Exception, match="may have carried it out"):
        await (s.lake.rename(uri, "other") if verb == "rename" else s.lake.comment(uri, "hello"))
    assert s.calls() == before + 1


async def test_somebody_without_the_right_is_told_so(s: Scene) -> None:
    await s.lake.create_users({"user2": "key-of-user2"})
    theirs = s.other(dls_key="key-of-user2").datalake
    uri = "user1/dlsadmin/sp1/plain"
    with pytest.raises(NotFound):
        await theirs.get(uri)
    await s.lake.share(uri, "user2")
    assert (await theirs.get(uri)).name == "plain"
    with pytest.raises(Forbidden):
        await theirs.delete(uri)
    with pytest.raises(Forbidden):
        await theirs.create_relations(["derivedFrom"])


@pytest.mark.parametrize("text", ["", " "])
async def test_a_comment_says_something(s: Scene, text: str) -> None:
    with pytest.raises(ConfigError, match="comment"):
        await s.lake.comment("user1/dlsadmin/sp1/plain", text)
