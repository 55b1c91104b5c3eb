"""Files that are fetched and sent: gone on with after a cut, never mixed of two, made anew for each attempt."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from helpers import until
from loopback import DROP, Loopback, QuickClock, Reply, road, saying
from transfer_scene import HALF, NEW, OLD, Heard, cut, going_on, names, part, whole

from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.errors import ConfigError, ConnectionLost, NotFound, ProtocolError
from asyncconn.http.upload import _pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn import Progress


# -- downloads ---------------------------------------------------------------------------------------------------------


async def test_a_download_appears_when_it_is_complete_and_tells_how_far_it_is(tmp_path: Path) -> None:
    heard = Heard()
    async with Loopback(whole(OLD)) as server, road(server) as http:
        path = await http.download("/f", str(tmp_path / "f"), on_progress=heard.append)

    assert path == tmp_path / "f"
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["f"]
    assert (heard[0].done, heard[-1].done, heard[0].total, heard[0].unit) == (0, len(OLD), len(OLD), "bytes")
    assert heard.sizes == sorted(heard.sizes)


@pytest.mark.parametrize("resume", [True, False])
async def test_a_listener_that_raises_ends_no_transfer(
    resume: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(now: Progress) -> None:
        raise ValueError(now.unit)

    async with Loopback(whole(OLD), Reply(200)) as server, road(server) as http:
        path = await http.download("/f", tmp_path / "f", resume=resume, on_progress=broken)
        await http.upload("/f", path, on_progress=broken)

    assert path.read_bytes() == server.seen[1].body == OLD
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


async def test_a_download_that_is_cut_is_gone_on_with_in_the_same_call(tmp_path: Path) -> None:
    heard = Heard()
    async with (
        Loopback(cut(whole(OLD), HALF, heard), otherwise=going_on(OLD)) as server,
        road(server, clock=QuickClock()) as http,
    ):
        path = await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert path.read_bytes() == OLD
    assert [one.headers.get("range") for one in server.seen] == [None, f"bytes={HALF}-"]
    assert server.seen[1].headers["if-range"] == '"one"'
    assert heard.sizes == sorted(heard.sizes)
    assert names(tmp_path) == ["f"]


async def test_attempts_that_bring_it_on_are_not_counted(tmp_path: Path) -> None:
    data, piece, asked, heard = bytes(range(250)) * 400, 10_000, list[int](), Heard()

    async def a_tenth(request: web.Request) -> web.StreamResponse:
        start = request.http_range.start or 0
        asked.append(start)
        headers = {"ETag": '"a"', "Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer = web.StreamResponse(status=206 if start else 200, headers=headers)
        await answer.prepare(request)
        await answer.write(data[start : start + piece])
        if start + piece < len(data) and request.transport is not None:
            await heard.reached(start + piece)
            request.transport.abort()
        return answer

    app = web.Application()
    app.router.add_get("/f", a_tenth)
    two = RetryPolicy(attempts=2, initial=0.01, maximum=0.02)
    async with TestServer(app) as server, road(str(server.make_url("")).rstrip("/"), retry=two) as http:
        path = await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert path.read_bytes() == data
    assert asked == list(range(0, len(data), piece))


async def test_a_later_call_goes_on_and_the_old_file_stays_until_then(tmp_path: Path) -> None:
    heard = Heard()
    (tmp_path / "f").write_bytes(b"before")
    async with Loopback(cut(whole(OLD), HALF, heard), otherwise=going_on(OLD)) as server:
        async with road(server, retry=ONCE) as http:
            with pytest.raises(ConnectionLost):
                await http.download("/f", tmp_path / "f", on_progress=heard.append)
        assert (tmp_path / "f").read_bytes() == b"before"
        assert names(tmp_path) == ["f", "f.part", "f.part.note"]
        async with road(server) as http:
            await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert (tmp_path / "f").read_bytes() == OLD
    assert server.seen[1].headers["range"] == f"bytes={HALF}-"
    assert names(tmp_path) == ["f"]


async def test_what_is_kept_of_one_address_is_nothing_of_another(tmp_path: Path) -> None:
    heard = Heard()
    async with (
        Loopback(cut(whole(OLD), HALF, heard), otherwise=going_on(OLD)) as server,
        road(server, retry=ONCE) as http,
    ):
        with pytest.raises(ConnectionLost):
            await http.download("/f", tmp_path / "f", on_progress=heard.append)
        await http.download("/g", tmp_path / "f", on_progress=heard.append)

    assert "range" not in server.seen[1].headers


@pytest.mark.parametrize("knows_if_range", [True, False])
async def test_a_file_that_has_changed_is_fetched_anew(knows_if_range: bool, tmp_path: Path) -> None:
    heard = Heard()
    second = whole(NEW, '"two"') if knows_if_range else part(NEW, HALF, '"two"')
    replies = [cut(whole(OLD), HALF, heard), second]
    async with (
        Loopback(*replies, otherwise=whole(NEW, '"two"')) as server,
        road(server, clock=QuickClock()) as http,
    ):
        path = await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert path.read_bytes() == NEW
    assert len(server.seen) == (2 if knows_if_range else 3)


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
async def test_without_a_strong_sign_each_attempt_begins_anew(tag: str | None, tmp_path: Path) -> None:
    heard = Heard()
    async with (
        Loopback(cut(whole(OLD, tag), HALF, heard), otherwise=whole(OLD, tag)) as server,
        road(server, clock=QuickClock()) as http,
    ):
        path = await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert path.read_bytes() == OLD
    assert "range" not in server.seen[1].headers


@pytest.mark.parametrize(
    "place",
    [
        f"bytes {HALF - 1}-{len(OLD) - 1}/{len(OLD)}",
        f"bytes {HALF}-{len(OLD) - 1}/{len(OLD) + 5}",
        f"bytes {HALF}-{len(OLD) - 1}/{'9' * 5000}",
        "items 1-2/3",
        "",
    ],
    ids=["elsewhere", "of another size", "of a size without end", "no bytes", "nothing said"],
)
async def test_a_part_that_was_not_asked_for_is_refused_and_the_next_call_begins_anew(
    place: str, tmp_path: Path
) -> None:
    heard = Heard()
    wrong = part(OLD, HALF, said=place or " ")
    async with (
        Loopback(cut(whole(OLD), HALF, heard), wrong, otherwise=going_on(OLD)) as server,
        road(server, clock=QuickClock()) as http,
    ):
        with pytest.raises(ProtocolError, match="another part of the file"):
            await http.download("/f", tmp_path / "f", on_progress=heard.append)
        assert not (tmp_path / "f").exists()
        await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert (tmp_path / "f").read_bytes() == OLD
    assert "range" not in server.seen[2].headers


async def test_where_the_server_has_nothing_more_it_is_fetched_anew(tmp_path: Path) -> None:
    heard = Heard()
    replies = [
        cut(whole(OLD), HALF, heard),
        Reply(416, b"", {"Content-Range": "bytes */9"}),
        whole(b"short one", '"two"'),
    ]
    async with Loopback(*replies) as server, road(server, clock=QuickClock()) as http:
        path = await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert path.read_bytes() == b"short one"
    assert ["range" in one.headers for one in server.seen] == [False, True, False]


async def test_without_resume_nothing_is_left_behind(tmp_path: Path) -> None:
    heard = Heard()
    async with Loopback(cut(whole(OLD), HALF, heard), otherwise=going_on(OLD)) as server, road(server) as http:
        with pytest.raises(ConnectionLost):
            await http.download("/f", tmp_path / "f", on_progress=heard.append, resume=False, retry=ONCE)
        assert names(tmp_path) == []
        await http.download("/f", tmp_path / "f", on_progress=heard.append, resume=False)

    assert (tmp_path / "f").read_bytes() == OLD
    assert "range" not in server.seen[1].headers


async def test_an_error_answer_leaves_nothing(tmp_path: Path) -> None:
    async with Loopback(saying({}, 404)) as server, road(server) as http:
        with pytest.raises(NotFound):
            await http.download("/f", tmp_path / "f")

    assert names(tmp_path) == []


async def test_what_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(ConfigError, match="cannot be written"):
            await http.download("/f", tmp_path / "no" / "f")

    assert server.seen == []


# -- uploads -----------------------------------------------------------------------------------------------------------


async def test_a_file_is_sent_with_its_length_and_tells_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(OLD)
    heard = Heard()
    async with Loopback() as server, road(server) as http:
        response = await http.upload("/f", tmp_path / "f", on_progress=heard.append)

    assert response.status == 200
    (seen,) = server.seen
    assert (seen.method, seen.body, seen.headers["content-length"]) == ("PUT", OLD, str(len(OLD)))
    assert "transfer-encoding" not in seen.headers
    assert len(heard) > 2
    assert heard.sizes == sorted(heard.sizes)
    assert (heard[0].done, heard[-1].done, heard[-1].total, heard[-1].unit) == (0, len(OLD), len(OLD), "bytes")


@pytest.mark.parametrize("fault", [DROP, saying({}, 503)])
async def test_each_attempt_sends_all_of_it_anew(fault: Reply, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(OLD)
    heard: list[int] = []
    async with Loopback(fault) as server, road(server, clock=QuickClock()) as http:
        await http.upload("/f", tmp_path / "f", on_progress=lambda now: heard.append(now.done))

    assert [one.body for one in server.seen] == [OLD, OLD]
    assert (heard.count(0), heard[-1]) == (2, len(OLD))


async def test_an_upload_that_may_not_be_repeated_is_not(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(OLD)
    async with Loopback(DROP) as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(ConnectionLost):
            await http.upload("/f", tmp_path / "f", method="POST")

    assert len(server.seen) == 1


async def test_a_function_makes_the_chunks_anew_and_they_are_closed() -> None:
    made = closed = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal made, closed
        made += 1
        try:
            yield b"one"
            yield b"two"
        finally:
            closed += 1

    async with Loopback(DROP) as server, road(server, clock=QuickClock()) as http:
        await http.upload("/f", chunks)

    assert [one.body for one in server.seen] == [b"onetwo", b"onetwo"]
    assert (made, closed) == (2, 2)


async def test_bytes_are_sent_as_they_are() -> None:
    async with Loopback() as server, road(server) as http:
        await http.upload("/f", b"all of it", method="POST", headers={"X-Kind": "note"})

    assert [(one.method, one.body, one.headers["x-kind"]) for one in server.seen] == [("POST", b"all of it", "note")]


async def test_an_error_of_the_chunks_comes_as_it_is_and_is_not_repeated() -> None:
    made = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal made
        made += 1
        yield b"one"
        raise KeyError("mine")

    async with Loopback() as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(KeyError, match="mine"):
            await http.upload("/f", chunks)

    assert made == 1


async def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(ConfigError, match="cannot be read"):
            await http.upload("/f", tmp_path / "none")
        with pytest.raises(ConfigError, match="is no file"):
            await http.upload("/f", tmp_path)

    assert server.seen == []


async def test_a_file_is_closed_though_its_upload_is_cancelled_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[IO[bytes]] = []
    begun, go_on = threading.Event(), threading.Event()
    truly = Path.open

    def slowly(path: Path, mode: str) -> IO[bytes]:
        begun.set()
        go_on.wait(5)
        opened.append(truly(path, "rb"))
        return opened[0]

    (tmp_path / "f").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", slowly)
    pieces = _pieces(tmp_path / "f")
    reading = asyncio.ensure_future(anext(pieces))
    await until(begun.is_set)
    reading.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await pieces.aclose()

    assert opened[0].closed
