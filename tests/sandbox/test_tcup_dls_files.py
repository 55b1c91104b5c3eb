from __future__ import annotations

import asyncio
import hashlib
import io
from typing import TYPE_CHECKING

import aiohttp
import pytest

from asyncconn.sandbox.tcup.contents import Stored

from .working_scene import DLS, HOME, Api, tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with tcup() as running:
        yield running


async def test_an_upload_is_answered_with_its_uri_and_comes_back(api: Api) -> None:
    reply = await api.upload("a.csv", b"x,y\n1,2\n", savepoint="/sp1/v1/")
    assert (reply.status, reply.text, reply.headers["Content-Type"].partition(";")[0]) == (
        201,
        f"{HOME}/sp1/v1/a.csv",
        "text/plain",
    )
    back = await api.download(reply.text)
    assert (back.status, back.body, back.headers["Content-Length"]) == (200, b"x,y\n1,2\n", "8")
    assert back.headers["Content-Type"] == "text/csv"
    assert back.headers["ETag"].startswith('"')


@pytest.mark.parametrize("filename", ["Größe, 1.csv", "a;b='c'.csv", "..", "naïve file.csv", "\N{SNOWMAN}.txt"])
@pytest.mark.parametrize("quote", [True, False])
async def test_odd_names_survive_percent_encoded_or_raw(api: Api, filename: str, quote: bool) -> None:
    form = aiohttp.FormData(quote_fields=quote)
    form.add_field("file", b"data", filename=filename)
    reply = await api("POST", f"{DLS}/file", data=form, params={"filename": filename.upper()})
    assert (reply.status, reply.text) == (201, f"{HOME}/{filename.upper()}")
    assert (await api.download(reply.text)).body == b"data"


async def test_keys_are_looked_at_in_their_order(api: Api) -> None:
    unknown = await api("GET", f"{DLS}/catalog", headers={"x-api-key": "stranger"})
    missing = await api("GET", f"{DLS}/catalog", user=None)
    wrong = await api("GET", f"{DLS}/catalog", user="no such key")
    assert [reply.status for reply in (unknown, missing, wrong)] == [401, 403, 401]
    assert all(reply.headers["Content-Type"].startswith("text/plain") for reply in (unknown, missing, wrong))


async def test_the_modes_want_a_file_or_none(api: Api) -> None:
    for mode in ("OVERWRITE", "APPEND", "ARCHIVE"):
        assert (await api.upload("a.csv", mode=mode)).status == 400
    assert (await api.upload("a.csv", mode="SOMEHOW")).status == 400
    assert (await api.upload("a.csv")).status == 201
    reply = await api.upload("a.csv")
    assert (reply.status, reply.text) == (409, "already exists")


async def test_overwriting_keeps_a_hidden_former_version(api: Api) -> None:
    uri = (await api.upload("a.csv", b"old", metadata="colour=blue")).text
    assert (await api.upload("a.csv", b"new", mode="OVERWRITE", metadata="shape=round")).status == 201
    assert (await api.download(uri)).body == b"new"
    assert await api.names() == ["a.csv"]
    (former,) = set(api.world.dls.files(hidden=True)) - {uri}
    assert former.startswith(f"{uri}_")
    assert former.rpartition("_")[2].isdecimal()
    assert (await api.download(former)).body == b"old"
    (file,) = (await api.ok("GET", f"{DLS}/catalog"))["result"]
    assert [(meta["name"], meta["value"]) for meta in file["metadata"]] == [("shape", "round"), ("dls:lineage", former)]


async def test_appending_joins_and_keeps_the_metadata_that_is_not_sent(api: Api) -> None:
    uri = (await api.upload("a.csv", b"one,", metadata="colour=blue")).text
    assert (await api.upload("a.csv", b"two,", mode="APPEND")).status == 201
    assert (await api.upload("a.csv", b"three", mode="APPEND")).status == 201
    assert (await api.download(uri)).body == b"one,two,three"
    (file,) = (await api.ok("GET", f"{DLS}/catalog", params={"metadata": "colour='blue'"}))["result"]
    assert file["size-bytes"] == 13
    assert api.world.dls.stored(uri).sha256 == hashlib.sha256(b"one,two,three").hexdigest()
    assert len(api.world.dls.files(hidden=True)) == 3  # two archives within one second have two names


async def test_a_part_to_append_has_a_limit_and_the_file_has_none(api: Api) -> None:
    part = bytes(10 * 1024**2)
    await api.upload("a.bin", io.BytesIO(part))
    assert (await api.upload("a.bin", io.BytesIO(part), mode="APPEND")).status == 201
    reply = await api.upload("a.bin", io.BytesIO(part + b"x"), mode="APPEND")
    assert (reply.status, reply.headers["Content-Type"].partition(";")[0]) == (400, "text/plain")


async def test_archiving_stores_the_new_file_and_shows_the_old_one(api: Api) -> None:
    uri = (await api.upload("a.csv", b"old")).text
    assert (await api.upload("a.csv", b"new", mode="ARCHIVE")).text == uri
    assert (await api.download(uri)).body == b"new"
    names = await api.names()
    assert len(names) == 2
    assert all(name.startswith("a.csv") for name in names)


async def test_the_names_of_part_and_query_must_be_one(api: Api) -> None:
    reply = await api.upload("a.csv", filename="b.csv")
    assert reply.status == 400
    assert reply.json[0]["key"] == "filename"


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ({"filename": "a/b"}, "filename"),
        ({"filename": "a%b"}, "filename"),
        ({"filename": "x" * 256}, "filename"),
        ({"savepoint": "1.2"}, "savepoint"),
        ({"savepoint": "a/../b"}, "savepoint"),
        ({"savepoint": "x" * 51}, "savepoint"),
        ({"savepoint": "/".join("abcdefghijk")}, "savepoint"),
        ({"directory": "a//b"}, "directory"),
        ({"directory": "a$b"}, "directory"),
    ],
)
async def test_fields_that_break_a_rule_are_named(api: Api, query: dict[str, str], key: str) -> None:
    reply = await api.upload("a.csv", **query)
    assert (reply.status, reply.json[0]["key"]) == (400, key)
    assert reply.json[0]["messages"]
    assert api.world.dls.files() == []


@pytest.mark.parametrize(
    "metadata", ["ab=x", "colour", "colour=", "colour=a=b", "same=same", "key=1,KEY=2", "a b=c", "colour=it's", "k-y=v"]
)
async def test_metadata_that_breaks_a_rule_is_refused(api: Api, metadata: str) -> None:
    reply = await api.upload("a.csv", metadata=metadata)
    assert reply.status == 400
    assert list(reply.json[0]) == ["messages"]


async def test_a_range_is_cut_out_if_the_file_is_the_same(api: Api) -> None:
    uri = (await api.upload("a.bin", bytes(range(100)))).text
    etag = (await api.download(uri)).headers["ETag"]
    part = await api.download(uri, Range="bytes=90-", If_Range=etag)
    assert (part.status, part.headers["Content-Range"], part.body) == (206, "bytes 90-99/100", bytes(range(90, 100)))
    assert (await api.download(uri, Range="bytes=-3")).body == bytes([97, 98, 99])
    assert (await api.download(uri, Range="bytes=2-3")).body == bytes([2, 3])
    for several in ("bytes=0-1,4-5", "bytes=9-3", "lines=1-2", "bytes=-"):
        assert (await api.download(uri, Range=several)).status == 200
    beyond = await api.download(uri, Range="bytes=100-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */100")
    await api.upload("a.bin", b"other", mode="OVERWRITE")
    anew = await api.download(uri, Range="bytes=3-", If_Range=etag)
    assert (anew.status, anew.body) == (200, b"other")
    assert anew.headers["ETag"] != etag


async def test_a_generated_file_of_any_size_comes_in_any_range(api: Api) -> None:
    size = 3 * 1024**2 + 17
    uri = api.world.dls.generate("big.bin", size, savepoint="made")
    whole = await api.download(uri)
    assert len(whole.body) == size
    assert hashlib.sha256(whole.body).hexdigest() == api.world.dls.stored(uri).sha256
    for start in (1, 65_535, 65_536, 2_000_000):
        part = await api.download(uri, Range=f"bytes={start}-{start + 200_000}")
        assert part.body == whole.body[start : start + 200_001]
    blocks = {whole.body[at : at + 65_536] for at in range(0, size, 65_536)}
    assert len(blocks) == 49


async def test_above_what_is_kept_a_file_is_its_digest() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(70):
            yield bytes([number]) * 1024**2

    async with tcup() as api:
        uri = (await api.upload("big.bin", pieces())).text
        digest = hashlib.sha256(b"".join([bytes([number]) * 1024**2 for number in range(70)])).hexdigest()
        stored = api.world.dls.stored(uri)
        assert isinstance(stored, Stored)
        assert (stored.size, stored.sha256, stored.chunks) == (70 * 1024**2, digest, None)
        reply = await api.download(uri)
        assert (reply.status, "digest" in reply.text) == (409, True)
        assert (await api.upload("big.bin", b"more", mode="APPEND")).status == 201
        assert api.world.dls.stored(uri).size == 70 * 1024**2 + 4


async def test_what_is_announced_as_too_large_is_not_held_at_first(api: Api) -> None:
    api.world.dls.limits.keep_bytes = 1
    uri = (await api.upload("a.bin", io.BytesIO(bytes(12 * 1024**2)))).text
    assert not api.world.dls.stored(uri).kept
    assert api.world.dls.stored(uri).size == 12 * 1024**2


async def test_one_request_has_a_limit_that_is_said_in_text(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncconn.sandbox.tcup.dls.transfers._MOST_REQUEST_BYTES", 99)
    assert (await api.upload("a.csv", bytes(99))).status == 201
    reply = await api.upload("b.csv", bytes(100))
    assert (reply.status, "99" in reply.text) == (400, True)
    monkeypatch.setattr("asyncconn.sandbox.tcup.dls.transfers._MOST_TEXT_BYTES", 9)
    assert (await api.upload("b.csv", comment="x" * 10)).status == 400


async def test_an_upload_that_breaks_off_leaves_nothing(api: Api) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of it
        await api.upload("a.csv", pieces())
    assert await api.names() == []
    assert (await api.upload("a.csv")).status == 201


async def test_a_deleted_file_is_gone_and_its_uri_is_free(api: Api) -> None:
    uri = (await api.upload("a.csv", b"one")).text
    assert (await api("DELETE", f"{DLS}/file", params={"file-uri": uri})).text == "deleted"
    for method, path in (("GET", "/file"), ("DELETE", "/file"), ("PUT", "/file/lock"), ("GET", "/file/comment")):
        assert (await api(method, DLS + path, params={"file-uri": uri})).status == 404
    assert await api.names() == []
    assert await api.names(deleted="true") == ["a.csv"]
    assert (await api.upload("a.csv", b"two")).status == 201
    assert await api.names() == await api.names(deleted="true") == ["a.csv"]


async def test_a_locked_file_is_replaced_by_nobody(api: Api) -> None:
    uri = (await api.upload("a.csv")).text
    query = {"file-uri": uri}
    await api.add_user("user2")
    await api.ok("POST", f"{DLS}/share", [{"file-uri": uri, "users": ["user2"], "action": "RWD"}])
    assert (await api("PUT", f"{DLS}/file/lock", params=query)).text == "locked"
    assert (await api("PUT", f"{DLS}/file/lock", params=query)).status == 200
    assert (await api("PUT", f"{DLS}/file/lock", params=query, user="user2")).status == 409
    for mode in ("OVERWRITE", "APPEND", "ARCHIVE"):
        assert (await api.upload("a.csv", mode=mode)).status == 409
    for method, path, more in (
        ("DELETE", "/file", {}),
        ("PUT", "/file/name", {"filename": "b.csv"}),
        ("DELETE", "/file/metadata", {"key": "colour"}),
    ):
        assert (await api(method, DLS + path, params={**query, **more}, user="user2")).status == 409
    assert (await api("DELETE", f"{DLS}/file/lock", params=query, user="user2")).status == 403
    assert await api.names(locked="true") == ["a.csv"]
    assert (await api("DELETE", f"{DLS}/file/lock", params=query)).text == "unlocked"
    assert (await api("DELETE", f"{DLS}/file/lock", params=query)).status == 409
    assert (await api.upload("a.csv", mode="OVERWRITE")).status == 201


async def test_renaming_answers_the_new_uri(api: Api) -> None:
    await api.upload("b.csv")
    uri = (await api.upload("a.csv", b"one", savepoint="sp1")).text
    reply = await api("PUT", f"{DLS}/file/name", params={"file-uri": uri, "filename": "b.csv"})
    assert (reply.status, reply.text) == (200, f"{HOME}/sp1/b.csv")
    assert (await api.download(reply.text)).body == b"one"
    assert (await api.download(uri)).status == 404
    await api.upload("c.csv", savepoint="sp1")
    taken = await api("PUT", f"{DLS}/file/name", params={"file-uri": reply.text, "filename": "c.csv"})
    assert taken.status == 409


async def test_comments_are_kept_with_their_author(api: Api) -> None:
    uri = (await api.upload("a.csv", comment="at once")).text
    assert (await api("POST", f"{DLS}/file/comment", data="first cut", params={"file-uri": uri})).status == 201
    comments = await api.ok("GET", f"{DLS}/file/comment", params={"file-uri": uri})
    assert [(one["comment"], one["user"], one["file-uri"]) for one in comments] == [
        ("at once", "dlsadmin", uri),
        ("first cut", "dlsadmin", uri),
    ]
    assert comments[0]["commented-on"].endswith(" UTC")


async def test_metadata_is_added_replaced_and_removed_by_key(api: Api) -> None:
    uri = (await api.upload("a.csv", metadata="colour=blue,shape=round")).text
    query = {"file-uri": uri}

    async def pairs() -> dict[str, str]:
        (file,) = (await api.ok("GET", f"{DLS}/catalog"))["result"]
        return {meta["name"]: meta["value"] for meta in file["metadata"]}

    assert (await api("PUT", f"{DLS}/file/metadata", data="COLOUR=red,size=12", params=query)).status == 200
    assert await pairs() == {"COLOUR": "red", "shape": "round", "size": "12"}
    removed = await api("DELETE", f"{DLS}/file/metadata", params={**query, "key": "Shape"})
    assert (removed.status, await pairs()) == (200, {"COLOUR": "red", "size": "12"})
    assert (await api("DELETE", f"{DLS}/file/metadata", params={**query, "key": "shape"})).status == 404


async def test_an_announced_file_waits_for_its_bytes(api: Api) -> None:
    form = aiohttp.FormData()
    form.add_field("comment", "soon", content_type="text/plain")
    form.add_field("metadata", "colour=blue", content_type="text/plain")
    query = {"filename": "a.csv", "savepoint": "sp1", "sizeInBytes": "4"}
    uri = (await api("POST", f"{DLS}/file/resumable", data=form, params=query)).text
    assert uri == f"{HOME}/sp1/a.csv"
    assert await api.names(transferred="false") == ["a.csv"]
    assert (await api.download(uri)).status == 409
    status = await api("GET", f"{DLS}/file/status/a.csv", params={"savepoint": "sp1"})
    assert (status.status, status.text) == (200, f"{uri}..resume")
    assert (await api.upload("a.csv", savepoint="sp1")).text == uri
    assert (await api("GET", f"{DLS}/file/status/a.csv", params={"savepoint": "sp1"})).text == uri
    assert (await api("GET", f"{DLS}/file/status/b.csv")).status == 404
    assert (await api.download(uri)).body == b"data"


async def test_an_address_is_an_entry_without_bytes(api: Api) -> None:
    form = aiohttp.FormData()
    form.add_field("metadata", "colour=blue", content_type="text/plain")
    form.add_field("comment", "elsewhere", content_type="text/plain")
    address = "https://example.org/data.csv"
    reply = await api("POST", f"{DLS}/file", data=form, params={"filename": address})
    assert (reply.status, reply.text) == (201, address)
    form = aiohttp.FormData()
    form.add_field("metadata", "colour=blue", content_type="text/plain")
    form.add_field("comment", "nowhere", content_type="text/plain")
    assert (await api("POST", f"{DLS}/file", data=form, params={"filename": "data.csv"})).status == 400
    assert await api.names(external="true") == [address]
    assert (await api.download(address)).status == 409


async def test_refusals_reach_a_client_that_is_still_sending(api: Api) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(256 * 1024)
            await asyncio.sleep(0)

    reply = await api.upload("a.csv", pieces(), savepoint="123")
    assert reply.status == 400
    assert (await api.upload("a.csv", pieces(), user=None)).status == 403
