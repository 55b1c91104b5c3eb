"""Rows of an export as they come: what form they have, and how they end."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, QuickClock, Reply, road

from asyncconn.errors import ConfigError, ConnectionLost, ProtocolError, ReadTimeout

if TYPE_CHECKING:
    from asyncconn.http.transport import Transport

ROWS = [{"id": number, "name": f"näme {number}"} for number in range(500)]
LINES = "\n".join(json.dumps(row) for row in ROWS).encode()
ARRAY = json.dumps(ROWS).encode()
CSV = ("id,name\r\n" + "".join(f"{row['id']},{row['name']}\r\n" for row in ROWS)).encode()
TEXTS = [{name: str(value) for name, value in row.items()} for row in ROWS]


def export(body: bytes, kind: str = "", **headers: str) -> Reply:
    return Reply(body=body, headers={"Content-Type": kind or "application/octet-stream", **headers})


def cut(reply: Reply, missing: int) -> Reply:
    return Reply(raw=reply.encoded()[:-missing], close=True)


async def into(seen: list[Any], http: Transport, **options: Any) -> None:
    async for row in http.rows("/export", **options):
        seen.append(row)  # noqa: PERF401 - those before an error are wanted


async def all_of(http: Transport, path: str = "/export", **options: Any) -> list[dict[str, Any]]:
    return [row async for row in http.rows(path, **options)]


@pytest.mark.parametrize("packing", ["", "file", "encoding"])
@pytest.mark.parametrize(
    ("body", "kind", "path", "expected"),
    [
        (CSV, "text/csv; charset=utf-8", "/export", TEXTS),
        (CSV, "", "/export.csv", TEXTS),
        (CSV, "", "/export", TEXTS),
        (LINES, "application/x-ndjson", "/export", ROWS),
        (LINES, "", "/export.jsonl.gz", ROWS),
        (LINES, "application/json", "/export", ROWS),
        (ARRAY, "application/json", "/export", ROWS),
        (ARRAY, "", "/export", ROWS),
    ],
)
async def test_the_form_is_found(body: bytes, kind: str, path: str, expected: Any, packing: str) -> None:
    packed = gzip.compress(body) if packing else body
    headers = {"Content-Encoding": "gzip"} if packing == "encoding" else {}
    async with Loopback(export(packed, kind, **headers)) as server, road(server) as http:
        assert await all_of(http, path) == expected


async def test_the_form_may_be_told() -> None:
    async with Loopback(export(b'{"a",b\n1,2\n', "application/json")) as server, road(server) as http:
        assert await all_of(http, form="csv", method="POST", json={"q": 1}) == [{'{"a"': "1", "b": "2"}]
        with pytest.raises(ConfigError, match="rows come as"):
            await all_of(http, form="xml")

    assert [(one.method, one.body) for one in server.seen] == [("POST", b'{"q":1}')]


@pytest.mark.parametrize("body", [b"", b"[]", b"id,name\n"])
async def test_an_export_without_rows_has_none(body: bytes) -> None:
    async with Loopback(export(body)) as server, road(server) as http:
        assert await all_of(http) == []


async def test_rows_may_be_models_and_a_wrong_one_is_named_by_its_number() -> None:
    @dataclass
    class Row:
        id: int

    async with Loopback(export(b'{"id":1}\n{"id":2}\n{"id":"s3cret"}')) as server, road(server) as http:
        seen: list[Row] = []
        with pytest.raises(ProtocolError, match=r"test: GET /export .*row 3, \$\.id: int parsing") as caught:
            await into(seen, http, model=Row)

    assert seen == [Row(1), Row(2)]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b'{"a":1}\n{"a":2}\n{"a":s3cret}\n', b'[{"a":1},{"a":2},{"a":s3cret}]', b"a,b\n1,1\n2,2\ns3cret\n"]
)
async def test_a_row_that_cannot_be_read_is_named_after_those_before_it(body: bytes) -> None:
    seen: list[Any] = []
    async with Loopback(export(body)) as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(ProtocolError, match="test: GET /export: row 3: ") as caught:
            await into(seen, http)

    assert len(seen) == 2
    assert len(server.seen) == 1
    error = caught.value
    assert "s3cret" not in repr((error, error.__cause__, error.__context__))


@pytest.mark.parametrize("body", [CSV, LINES, ARRAY])
@pytest.mark.parametrize("missing", [1, 200])
async def test_what_is_cut_is_lost_and_not_begun_anew(body: bytes, missing: int) -> None:
    async with Loopback(cut(export(body), missing)) as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(ConnectionLost):
            await all_of(http)

    assert len(server.seen) == 1


@pytest.mark.parametrize("missing", [1, 8, 200])
async def test_a_gzip_file_that_is_cut_is_lost_though_the_answer_is_complete(missing: int) -> None:
    async with Loopback(export(gzip.compress(CSV)[:-missing])) as server, road(server) as http:
        with pytest.raises(ConnectionLost, match="broke off in the middle"):
            await all_of(http)


async def test_a_gzip_file_that_is_damaged_is_lost() -> None:
    packed = bytearray(gzip.compress(CSV))
    packed[-6] ^= 1
    async with Loopback(export(bytes(packed))) as server, road(server) as http:
        with pytest.raises(ConnectionLost, match="damaged"):
            await all_of(http)


async def test_leaving_the_loop_closes_the_connection_and_frees_the_place() -> None:
    big = export(LINES + b"\n" + LINES * 200)
    async with Loopback(big) as server, road(server, max_concurrency=1) as http:
        async with aclosing(http.rows("/export")) as rows:
            async for row in rows:
                assert row == ROWS[0]
                break
        await http.request("GET", "/")
        while server.open > 1:
            await asyncio.sleep(0.005)

    assert [one.connection for one in server.seen] == [1, 2]


async def test_rows_come_while_the_rest_is_on_its_way() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    begun = Reply(raw=head + b"9\r\n" + b'{"a": 1}\n' + b"\r\n")
    async with Loopback(begun) as server, road(server) as http, aclosing(http.rows("/export")) as rows:
        assert await anext(rows) == {"a": 1}


async def test_a_server_that_says_no_more_is_given_up() -> None:
    stalled = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\na\n1\n")
    async with Loopback(stalled) as server, road(server) as http:
        with pytest.raises(ReadTimeout):
            await all_of(http, idle_timeout=0.2)


async def test_rows_may_be_asked_for_by_any_method() -> None:
    async with Loopback(export(b"a\n1\n", "text/csv")) as server, road(server) as http:
        assert await all_of(http, method="POST", json={"q": 1}, params={"x": 1}) == [{"a": "1"}]

    assert [(one.method, one.query, one.body) for one in server.seen] == [("POST", "x=1", b'{"q":1}')]


async def test_a_large_export_is_not_held_in_memory() -> None:
    body = gzip.compress(b"id,name\n" + b"1,%b\n" % (b"x" * 1000) * 20_000)
    async with Loopback(export(body)) as server, road(server) as http:
        tracemalloc.start()
        try:
            count = 0
            async for _ in http.rows("/export"):
                count += 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert count == 20_000  # of 20 MB
    assert peak < 4_000_000
