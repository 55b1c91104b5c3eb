"""TCUP's CSV files, up in two forms and down in one, and the multipart bodies they come in."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncconn.sandbox import Call
from asyncconn.sandbox.tcup.multipart import parts
from asyncconn.sandbox.tcup.voice import Refused

from .observing_scene import SOS, Client, Reply, observation, tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEADER = "sensor,feature,starttime,endtime,name,value,type,unit"


async def upload(client: Client, text: str | bytes, options: str | None = None, part: str = "file") -> Reply:
    form = aiohttp.FormData()
    if options is not None:
        form.add_field("options", options)
    content = text.encode() if isinstance(text, str) else text
    form.add_field(part, io.BytesIO(content), filename="some.csv", content_type="text/csv")
    return await client("POST", f"{SOS}/files", data=form)


async def download(client: Client, **params: str) -> Reply:
    return await client("GET", f"{SOS}/files/observations", params=params)


def stored(client: Client) -> list[tuple[Any, ...]]:
    return [(row["sensor"], row["feature"], row["name"], row["value"], row["type"]) for row in client.world.sos.rows()]


# -- up ----------------------------------------------------------------------------------------------------------------


async def test_the_long_form_is_stored_row_by_row() -> None:
    async with tcup() as client:
        await client.sensor()
        reply = await upload(client, f"{HEADER}\nts1,tf1,03-JUL-2015 13:10:00 IST,,obs1,1,text,\n")
        assert (reply.code, reply.json["results"]) == (201, [])
        assert stored(client) == [("ts1", "tf1", "obs1", "1", "text")]


async def test_the_wide_form_has_a_column_for_each_output_and_may_lack_the_feature() -> None:
    text = "sensor,starttime,obs1,obs2\nts1,1-JAN-2026 00:00:00,1,2\nts1,2-JAN-2026 00:00:00,,4\n"
    async with tcup() as client:
        await client.sensor()
        assert (await upload(client, text)).code == 201
        assert [row[2:4] for row in stored(client)] == [("obs1", "1"), ("obs2", "2"), ("obs2", "4")]


async def test_a_name_without_a_value_is_an_output_of_the_wide_form() -> None:
    async with tcup(auto_register=True) as client:
        assert (await upload(client, "sensor,starttime,name,unit\ns,1-JAN-2026 00:00:00,x,y\n")).code == 201
        assert [row[2:4] for row in stored(client)] == [("name", "x"), ("unit", "y")]


async def test_columns_are_found_in_any_case_and_order_behind_a_byte_order_mark() -> None:
    text = "\ufeff Value ,NAME,Starttime,SENSOR\r\n5,obs1,1-JAN-2026 00:00:00,ts1\r\n"
    async with tcup() as client:
        await client.sensor()
        assert (await upload(client, text)).code == 201
        assert stored(client) == [("ts1", None, "obs1", "5", "quantity")]


async def test_each_bad_line_is_told_by_the_number_of_its_last_line() -> None:
    lines = [
        HEADER,
        'ts1,,1-JAN-2026 00:00:00,,obs1,"two\nlines",text,',
        "tsX,,1-JAN-2026 00:00:00,,obs1,1,,",
        'ts1,,1-JAN-2026 00:00:00,,"obs\n9",1,,',
        "ts1,,soon,,obs1,1,,",
        "ts1,too,few",
        "",
        "ts1,,1-JAN-2026 00:00:01,,obs1,,,",
        'ts1,"broken"x,1-JAN-2026 00:00:02,,obs1,1,,',
        "ts1,,1-JAN-2026 00:00:03,,obs1,1,,",
    ]
    async with tcup() as client:
        await client.sensor()
        reply = await upload(client, "\n".join(lines))
        assert (reply.code, reply.json["message"]) == (207, "2 of 8 lines stored")
        found = [(each["line"], each["code"]) for each in reply.json["results"]]
        assert found == [(4, 404), (6, 400), (7, 400), (8, 400), (10, 400), (11, 400)]
        assert all(each["message"] for each in reply.json["results"])
        assert [row[3] for row in stored(client)] == ["two\nlines", "1"]


async def test_a_file_of_bad_lines_only_has_the_code_of_the_first() -> None:
    async with tcup() as client:
        reply = await upload(client, f"{HEADER}\ntsX,,1-JAN-2026 00:00:00,,obs1,1,,\nts1,,soon,,obs1,1,,\n")
        assert (reply.code, len(reply.json["results"])) == (404, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "header"),
        (b"\xff\xfe", "UTF-8"),
        ("feature,starttime\n", "sensor"),
        ("sensor,name,value\n", "starttime"),
        ("sensor,starttime,name,value,colour,SHAPE\n", "colour, SHAPE"),
        ("sensor,Sensor,starttime\n", "twice"),
    ],
)
async def test_a_file_that_is_wrong_as_a_whole_is_refused(text: str | bytes, said: str) -> None:
    async with tcup() as client:
        reply = await upload(client, text)
        assert (reply.code, reply.json["results"]) == (400, [])
        assert said in reply.json["message"]


async def test_unknown_columns_are_ignored_when_asked() -> None:
    text = "sensor,starttime,name,value,colour\nts1,1-JAN-2026 00:00:00,obs1,1,red\n"
    async with tcup() as client:
        await client.sensor()
        assert (await upload(client, text, '{"on_unknown": "ignore"}')).code == 201
        assert len(stored(client)) == 1
        for options in ('{"on_unknown": "maybe"}', "[]", "{"):
            assert (await upload(client, text, options)).code == 400


async def test_the_part_must_be_called_file() -> None:
    async with tcup() as client:
        assert (await upload(client, HEADER, part="csv")).code == 400
        assert (await client("POST", f"{SOS}/files", data=b"x")).code == 400


async def test_a_file_that_is_too_large_is_413_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncconn.sandbox.tcup.sos._LARGEST_FILE", 100)
    async with tcup() as client:
        reply = await upload(client, f"{HEADER}\n{'x' * 200}")
        assert (reply.code, reply.json["results"]) == (413, [])


# -- down --------------------------------------------------------------------------------------------------------------


async def test_what_comes_down_goes_up_again() -> None:
    async with tcup(auto_register=True) as client:
        await client.insert(observation(obs1=1.5, obs2='a "quoted", text\nof two lines', obs3=True))
        await client.insert(observation("ts2", feature=None, obs1="x"))
        first = await download(client, sensor="*")
        assert first.headers["Content-Type"] == "text/csv; charset=utf-8"
        lines = first.text.split("\n")
        assert lines[0] == HEADER
        assert lines[1] == "ts1,tf1,03-JUL-2015 07:40:00.000 UTC,,obs1,1.5,text,"
        rows = stored(client)
        other = client.world.add_tenant("user2")
        form = aiohttp.FormData()
        form.add_field("file", first.body, filename="x.csv", content_type="text/csv")
        sent = await client("POST", f"{SOS}/files", data=form, headers={"x-api-key": other.api_key})
        assert sent.code == 201
        again = [(row["sensor"], row["name"], row["type"]) for row in client.world.services(other).sos.rows()]
        assert again == [(row[0], row[2], row[4]) for row in rows]


async def test_all_rows_come_whatever_the_limit() -> None:
    async with tcup(auto_register=True) as client:
        records = [observation(at=f"01-JAN-2026 00:{n // 60:02}:{n % 60:02}")["record"][0] for n in range(1200)]
        for part in (records[:1000], records[1000:]):
            await client.insert({**observation(), "record": part})
        reply = await download(client, sensor="ts1", limit="5", cursor="x")
        assert len(reply.text.splitlines()) == 1201
        assert len((await download(client, sensor="ts1", value="obs1>1")).text.splitlines()) == 1


async def test_no_rows_are_a_header_alone() -> None:
    async with tcup() as client:
        reply = await download(client, sensor="nothing")
        assert (reply.status, reply.text) == (200, f"{HEADER}\n")
        assert (await download(client)).status == 400


# -- multipart ---------------------------------------------------------------------------------------------------------

BODY = b"\r\n".join(
    [
        b"preamble",
        b"--b",
        b'Content-Disposition: form-data; name="one"',
        b"",
        b"1",
        b"--",
        b"",
        b"--b",
        b'Content-Disposition: form-data; name="file"; filename="%C3%89 a.csv"',
        b"Content-Type: text/csv",
        b"",
        b"",
        b"--b--",
        b"epilogue",
    ]
)


async def _pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        await asyncio.sleep(0)
        yield body[start : start + size]


def _call(body: bytes, size: int, boundary: str = "b") -> Call:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return Call("tcup", "POST", "/", headers=headers, pieces=_pieces(body, size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
async def test_parts_are_found_however_the_body_is_cut(size: int) -> None:
    found = [
        (part.name, part.filename, part.content_type, await part.text()) async for part in parts(_call(BODY, size))
    ]
    assert found == [("one", None, "text/plain", "1\r\n--\r\n"), ("file", "É a.csv", "text/csv", "")]


async def test_what_is_left_of_a_part_is_passed_over() -> None:
    assert [part.name async for part in parts(_call(BODY, 5))] == ["one", "file"]


@pytest.mark.parametrize(
    "body", [b"", b"--b", BODY[: BODY.index(b"--b--")], b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"]
)
async def test_a_body_that_is_not_whole_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        _ = [await part.text() async for part in parts(_call(body, 10))]
    assert refused.value.status == 400


async def test_a_part_may_be_too_large() -> None:
    with pytest.raises(Refused) as refused:
        _ = [await part.read(3) async for part in parts(_call(BODY, 10))]
    assert refused.value.status == 413


async def test_a_raw_name_is_as_good_as_an_encoded_one() -> None:
    body = '--b\r\nContent-Disposition: form-data; name="file"; filename="É a,b.csv"\r\n\r\n\r\n--b--'.encode()
    assert [part.filename async for part in parts(_call(body, 10))] == ["É a,b.csv"]
