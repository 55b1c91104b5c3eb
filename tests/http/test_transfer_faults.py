"""Files up and down, when servers, sources and programs do what they should not."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await
from loopback import DROP, OK, Loopback, QuickClock, Reply, Server, road, saying
from transfer_scene import HALF, OLD, Heard, cut, going_on, names, part, whole

from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.errors import ConfigError, ConnectionLost, NotFound, ProtocolError, ReadTimeout
from asyncconn.http.auth import TokenAuth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


# -- down --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"x"])
async def test_a_small_file_is_a_file(body: bytes, tmp_path: Path) -> None:
    async with Loopback(whole(body)) as server, road(server) as http:
        await http.download("/f", tmp_path / "f")

    assert (tmp_path / "f").read_bytes() == body
    assert names(tmp_path) == ["f"]


async def test_attempts_in_vain_are_bounded_by_the_policy(tmp_path: Path) -> None:
    heard = Heard()
    async with (
        Loopback(cut(whole(OLD), HALF, heard), otherwise=Reply(raw=b"HTTP/1.1 206 Said\r\n", close=True)) as server,
        road(server, clock=QuickClock()) as http,
    ):
        with pytest.raises(ConnectionLost):
            await http.download("/f", tmp_path / "f", on_progress=heard.append, retry=RetryPolicy(attempts=3))
        assert (tmp_path / "f.part").read_bytes() == OLD[:HALF]
        asked = {one.headers.get("range") for one in server.seen[1:]}
        before = len(server.seen)
        with pytest.raises(ConnectionLost):
            await http.download("/f", tmp_path / "f", retry=ONCE)

    assert asked == {f"bytes={HALF}-"}
    assert before > 3
    assert len(server.seen) > before


async def test_a_part_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    async with Loopback(part(OLD, 0)) as server, road(server) as http:
        with pytest.raises(ProtocolError, match="nobody had asked"):
            await http.download("/f", tmp_path / "f")

    assert names(tmp_path) == []


async def test_of_a_file_that_is_all_there_one_byte_is_asked_for(tmp_path: Path) -> None:
    heard = Heard()
    async with (
        Loopback(cut(whole(OLD), HALF, heard), otherwise=going_on(OLD)) as server,
        road(server, retry=ONCE) as http,
    ):
        with pytest.raises(ConnectionLost):
            await http.download("/f", tmp_path / "f", on_progress=heard.append)
        (tmp_path / "f.part").write_bytes(OLD)  # as if the program had died before the file took its name
        await http.download("/f", tmp_path / "f")

    assert server.seen[1].headers["range"] == f"bytes={len(OLD) - 1}-"
    assert (tmp_path / "f").read_bytes() == OLD


@pytest.mark.parametrize(("now", "goes_on"), [("13:00:00", True), ("12:00:00", False)])
async def test_a_date_of_change_is_enough_unless_it_is_now(now: str, goes_on: bool, tmp_path: Path) -> None:
    heard = Heard()
    dates = {"Last-Modified": "Sat, 31 Jan 2026 12:00:00 GMT", "Date": f"Sat, 31 Jan 2026 {now} GMT"}
    span = {"Content-Range": f"bytes {HALF}-{len(OLD) - 1}/{len(OLD)}"}
    then = Reply(206, OLD[HALF:], {**dates, **span}) if goes_on else Reply(body=OLD, headers=dates)
    async with (
        Loopback(cut(Reply(body=OLD, headers=dates), HALF, heard), then) as server,
        road(server, clock=QuickClock()) as http,
    ):
        await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert server.seen[1].headers.get("if-range") == (dates["Last-Modified"] if goes_on else None)
    assert (tmp_path / "f").read_bytes() == OLD


async def test_a_presigned_address_is_gone_on_with_under_its_next_signature(tmp_path: Path) -> None:
    heard = Heard()
    async with (
        Loopback(cut(whole(OLD), HALF, heard), otherwise=going_on(OLD)) as store,
        Loopback() as server,
        road(server, auth=TokenAuth("t0ken"), retry=ONCE) as http,
    ):
        with pytest.raises(ConnectionLost) as caught:
            await http.download(f"{store.url}/f?sig=one", tmp_path / "f", auth=None, on_progress=heard.append)
        assert b"sig" not in (tmp_path / "f.part.note").read_bytes()
        assert "sig" not in str(caught.value)
        await http.download(f"{store.url}/f?sig=two", tmp_path / "f", auth=None)

    assert store.seen[1].headers["range"] == f"bytes={HALF}-"
    assert all("authorization" not in one.headers for one in store.seen)
    assert (tmp_path / "f").read_bytes() == OLD


@pytest.mark.parametrize("note", [b"", b"nonsense", b"[]", b"{}", b'{"of": 1, "validator": 2, "total": "x"}'])
async def test_a_note_that_says_nothing_is_none(note: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"something")
    (tmp_path / "f.part.note").write_bytes(note)
    async with Loopback(whole(OLD)) as server, road(server) as http:
        await http.download("/f", tmp_path / "f")

    assert "range" not in server.seen[0].headers
    assert (tmp_path / "f").read_bytes() == OLD


@pytest.mark.parametrize("total", ['"x"', "[1]", "1.5"])
async def test_a_note_that_was_damaged_is_none(total: str, tmp_path: Path) -> None:
    heard = Heard()
    async with (
        Loopback(cut(whole(OLD), HALF, heard), whole(OLD)) as server,
        road(server, retry=ONCE) as http,
    ):
        with pytest.raises(ConnectionLost):
            await http.download("/f", tmp_path / "f", on_progress=heard.append)
        note = tmp_path / "f.part.note"
        note.write_text(note.read_text().replace(str(len(OLD)), total))
        await http.download("/f", tmp_path / "f")

    assert (tmp_path / "f").read_bytes() == OLD


@pytest.mark.parametrize("tag", [b'"\xff"', b'"\xc3\xa9"', b'"a\tb"', b'"\x7f"'], ids=repr)
async def test_a_tag_that_cannot_be_sent_back_shows_nothing(tag: bytes, tmp_path: Path) -> None:
    heard = Heard()
    broken = cut(whole(OLD), HALF, heard)
    assert broken.raw is not None
    broken.raw = broken.raw.replace(b'"one"', tag)
    async with Loopback(broken, whole(OLD)) as server, road(server, clock=QuickClock()) as http:
        await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert "range" not in server.seen[1].headers
    assert (tmp_path / "f").read_bytes() == OLD


@pytest.mark.parametrize("validator", ['"\udcff"', '"\x01"', '"a"\r\nX: y', ""])
async def test_a_note_whose_validator_cannot_be_sent_is_none(validator: str, tmp_path: Path) -> None:
    heard = Heard()
    async with Loopback(cut(whole(OLD), HALF, heard), whole(OLD)) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ConnectionLost):
            await http.download("/f", tmp_path / "f", on_progress=heard.append)
        note = tmp_path / "f.part.note"
        note.write_text(json.dumps({**json.loads(note.read_bytes()), "validator": validator}))
        await http.download("/f", tmp_path / "f")

    assert "range" not in server.seen[1].headers
    assert (tmp_path / "f").read_bytes() == OLD


async def test_a_compressed_answer_is_unpacked_and_begun_anew(tmp_path: Path) -> None:
    heard = Heard()
    packed = Reply(body=gzip.compress(OLD, 0), headers={"ETag": '"one"', "Content-Encoding": "gzip"})
    broken = cut(packed, HALF)
    broken.then = lambda: heard.reached(1)
    async with Loopback(broken, packed) as server, road(server, clock=QuickClock()) as http:
        await http.download("/f", tmp_path / "f", on_progress=heard.append)

    assert "range" not in server.seen[1].headers
    assert {one.total for one in heard} == {None}
    assert (tmp_path / "f").read_bytes() == OLD


async def test_a_folder_cannot_be_written_and_nobody_is_asked(tmp_path: Path) -> None:
    async with Loopback() as server, road(server) as http:
        for resume in (True, False):
            with pytest.raises(ConfigError, match="cannot be written: it is a folder"):
                await http.download("/f", tmp_path, resume=resume)

    assert server.seen == []


async def test_two_downloads_of_one_file_do_not_meet(tmp_path: Path) -> None:
    going = asyncio.Event()
    async with Loopback(Reply(body=OLD, wait=going.wait)) as server, road(server) as http:
        first = asyncio.create_task(http.download("/f", tmp_path / "f"))
        await server.arrived()
        with pytest.raises(ConfigError, match="somebody else"):
            await http.download("/f", tmp_path / "f")
        going.set()
        await first

    assert (tmp_path / "f").read_bytes() == OLD


async def test_a_download_that_is_cancelled_anywhere_is_none_or_all(tmp_path: Path) -> None:
    async with Loopback(otherwise=going_on(OLD)) as server, road(server) as http:

        async def make() -> Callable[[], Awaitable[object]]:
            for path in tmp_path.iterdir():
                path.unlink()
            return lambda: http.download("/f", tmp_path / "f")

        async def check(error: BaseException | None) -> None:
            assert "f" not in names(tmp_path) or (tmp_path / "f").read_bytes() == OLD
            assert error is not None or names(tmp_path) == ["f"]
            await http.download("/f", tmp_path / "f")  # nothing holds it any more
            assert (tmp_path / "f").read_bytes() == OLD

        assert await cancel_at_every_await(make, check, most=100) > 5


async def test_a_slow_server_is_given_up_and_gone_on_with(tmp_path: Path) -> None:
    stalled = cut(whole(OLD), HALF)
    stalled.close = False
    async with Loopback(stalled, otherwise=going_on(OLD)) as server, road(server, clock=QuickClock()) as http:
        await http.download("/f", tmp_path / "f", idle_timeout=0.3)

    assert server.seen[1].headers["range"] == f"bytes={HALF}-"
    assert (tmp_path / "f").read_bytes() == OLD


# -- up ----------------------------------------------------------------------------------------------------------------


async def chunks() -> AsyncIterator[bytes]:
    for at in range(0, len(OLD), 70_000):
        yield OLD[at : at + 70_000]


async def test_a_newer_token_makes_the_body_anew(tmp_path: Path) -> None:
    tokens = iter(["old", "new"])

    async def provide() -> str:
        return next(tokens)

    (tmp_path / "f").write_bytes(OLD)
    async with Loopback(saying({}, 401)) as server, road(server, auth=TokenAuth(provide)) as http:
        await http.upload("/f", tmp_path / "f")

    assert [one.body for one in server.seen] == [OLD, OLD]
    assert [one.headers["authorization"] for one in server.seen] == ["Bearer old", "Bearer new"]


async def test_a_body_that_is_used_up_is_not_sent_again_by_the_library_underneath() -> None:
    # On a connection that was kept and breaks, it repeats idempotent requests by itself.
    async with Loopback(OK, DROP) as server, road(server, retry=ONCE) as http:
        await http.call("GET", "/")
        with pytest.raises(ConnectionLost):
            await http.upload("/f", chunks)

    assert len(server.seen) == 2


async def test_a_file_is_read_in_a_thread_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(OLD)
    files: list[Any] = []
    real = Path.open

    def watched(self: Path, *args: Any, **kwargs: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        files.append(real(self, *args, **kwargs))
        return files[-1]

    monkeypatch.setattr(Path, "open", watched)
    async with Loopback(OK, DROP) as server, road(server, retry=ONCE) as http:
        await http.upload("/f", path)
        with pytest.raises(ConnectionLost):
            await http.upload("/f", path)

    assert [file.closed for file in files] == [True, True]


async def test_a_server_that_takes_nothing_is_given_up_and_the_source_ended() -> None:
    ended = False

    async def endless() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            while True:
                yield b"x" * 65_536
        finally:
            ended = True

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with Server(deaf) as server, road(server) as http:
        with pytest.raises(ReadTimeout, match=r"nothing moved for 0\.3 s"):
            await http.upload("/f", endless, idle_timeout=0.3, retry=ONCE)

    assert ended


async def test_a_server_that_never_answers_is_given_up() -> None:
    never = asyncio.Event()
    async with Loopback(Reply(wait=never.wait)) as server, road(server) as http:
        with pytest.raises(ReadTimeout, match="nothing moved"):
            await http.upload("/f", chunks, idle_timeout=0.2, retry=ONCE)
        assert [one.body for one in server.seen] == [OLD]


async def test_a_slow_source_may_take_its_time_as_long_as_it_moves() -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(6):
            await asyncio.sleep(0.1)
            yield b"x"

    async with Loopback() as server, road(server) as http:
        await http.upload("/f", slow, idle_timeout=0.4)

    assert server.seen[0].body == b"xxxxxx"


async def test_chunks_that_are_no_bytes_are_refused() -> None:
    async def wrong() -> AsyncIterator[Any]:
        yield "text"

    async with Loopback() as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(ConfigError, match="are bytes, not str"):
            await http.upload("/f", wrong)
        with pytest.raises(ConfigError, match="cannot be a path"):
            await http.upload("/f", 7)  # type: ignore[arg-type] # refused when it runs, too

    assert server.seen == []


@pytest.mark.parametrize("size", [0, 2 * len(OLD)])
async def test_a_file_that_changes_its_size_is_not_sent_as_if_it_had_not(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(OLD)
    real = Path.open

    def changed(self: Path, *args: Any, **kwargs: Any) -> Any:
        with real(self, "r+b") as file:
            file.truncate(size)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", changed)
    async with Loopback() as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(ConfigError, match="changed its size"):
            await http.upload("/f", path)

    assert all(len(one.body) == 0 for one in server.seen)


async def test_a_refusal_before_the_end_is_heard(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(OLD * 30)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(30)

    async with Server(refuse) as server, road(server) as http:
        with pytest.raises(NotFound):
            await http.upload("/f", tmp_path / "f", idle_timeout=5.0)
