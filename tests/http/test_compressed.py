"""A compressed answer arrives whole, or is an error: half of one is never taken for all."""

from __future__ import annotations

import gzip
import random
import zlib
from typing import TYPE_CHECKING

import pytest
from loopback import Loopback, Reply, road

from asyncconn.core.retrying import ONCE
from asyncconn.errors import AsyncConnError, ConnectionLost, NotFound, ProtocolError, RateLimited, ServerError
from asyncconn.http.compressed import Inflater
from asyncconn.http.download import save

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"".join(b"%d,row\n" % number for number in range(20_000))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {"gzip": gzip.compress(TEXT), "x-gzip": gzip.compress(TEXT), "deflate": zlib.compress(TEXT)}


def answer(packed: bytes, encoding: str, end: str = "length", status: int = 200) -> Reply:
    """The bytes of an answer whose end is told by its length, by chunks, or by the end of the connection."""
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: text/csv\r\nContent-Encoding: {encoding}\r\n".encode()
    if end == "length":
        return Reply(raw=head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed, close=True)
    if end == "chunks":
        half = len(packed) // 2
        pieces = [piece for piece in (packed[:half], packed[half:]) if piece]
        body = b"".join(b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
        return Reply(raw=head + b"Transfer-Encoding: chunked\r\n\r\n" + body, close=True)
    return Reply(raw=head + b"Connection: close\r\n\r\n" + packed, close=True)


ENDS = ["length", "chunks", "close"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("encoding", list(PACKED))
async def test_a_compressed_answer_arrives_whole(encoding: str, end: str) -> None:
    async with Loopback(otherwise=answer(PACKED[encoding], encoding, end)) as server, road(server) as http:
        assert (await http.request("GET", "/")).body == TEXT
        async with http.stream("GET", "/") as stream:
            assert b"".join([chunk async for chunk in stream]) == TEXT


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("encoding", list(PACKED))
async def test_one_that_is_cut_short_is_a_connection_that_was_lost(encoding: str, end: str, tmp_path: Path) -> None:
    half = PACKED[encoding][: len(PACKED[encoding]) // 2]
    async with Loopback(otherwise=answer(half, encoding, end)) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ConnectionLost, match="GET /: the answer broke off"):
            await http.request("GET", "/")
        with pytest.raises(ConnectionLost):
            async with http.stream("GET", "/") as stream:
                await save(stream.__aiter__(), tmp_path / "report.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", [1, 4, 8, 12])
async def test_one_without_its_last_bytes_is_cut_short(missing: int) -> None:
    short = answer(PACKED["gzip"][:-missing], "gzip", "close")
    async with Loopback(otherwise=short) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ConnectionLost):
            await http.request("GET", "/")


async def test_one_of_which_nothing_came_before_the_connection_ended_is_cut_short() -> None:
    async with Loopback(otherwise=answer(b"", "gzip", "close")) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ConnectionLost):
            await http.request("GET", "/")


@pytest.mark.parametrize("end", ["length", "chunks"])
async def test_an_answer_without_a_body_is_no_cut_off_one(end: str) -> None:
    async with Loopback(otherwise=answer(b"", "gzip", end)) as server, road(server) as http:
        assert (await http.request("GET", "/")).body == b""


async def test_the_head_of_a_compressed_answer_needs_no_body() -> None:
    head = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n\r\n")
    async with Loopback(head) as server, road(server) as http:
        assert (await http.request("HEAD", "/")).body == b""


async def test_a_call_that_may_be_repeated_gets_the_whole_answer_the_second_time() -> None:
    half, whole = answer(PACKED["gzip"][:-9], "gzip"), answer(PACKED["gzip"], "gzip")
    async with Loopback(half, whole) as server, road(server) as http:
        assert (await http.request("GET", "/")).body == TEXT
    assert len(server.seen) == 2


async def test_a_write_whose_answer_was_cut_short_is_not_repeated() -> None:
    half = answer(PACKED["gzip"][:-9], "gzip")
    async with Loopback(otherwise=half) as server, road(server) as http:
        with pytest.raises(ConnectionLost) as caught:
            await http.request("POST", "/", data=b"x")
    assert len(server.seen) == 1
    assert caught.value.maybe_sent


async def test_what_is_changed_on_its_way_is_an_error() -> None:
    broken = bytearray(PACKED["gzip"])
    broken[-6] ^= 1  # of the checksum
    async with Loopback(otherwise=answer(bytes(broken), "gzip")) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ConnectionLost, match="broke off, or is not gzip"):
            await http.request("GET", "/")


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x-unheard-of"])
async def test_an_encoding_that_cannot_be_read_is_named(encoding: str) -> None:
    async with Loopback(otherwise=answer(b"whatever", encoding)) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ProtocolError, match=f"encoded as '{encoding}'"):
            await http.request("GET", "/")
        async with http.stream("GET", "/") as stream:
            with pytest.raises(ProtocolError, match=f"encoded as '{encoding}'"):
                [chunk async for chunk in stream]


async def test_only_what_can_be_read_is_asked_for() -> None:
    async with Loopback() as server, road(server) as http:
        await http.request("GET", "/")
    assert server.seen[0].headers["accept-encoding"] == "gzip, deflate"


async def test_an_error_that_is_compressed_says_its_words() -> None:
    packed = gzip.compress(b'{"message": "no such order"}')
    async with Loopback(otherwise=answer(packed, "gzip", status=404)) as server, road(server, retry=ONCE) as http:
        with pytest.raises(NotFound, match="no such order"):
            await http.request("GET", "/")
        with pytest.raises(NotFound, match="no such order"):
            async with http.stream("GET", "/"):
                raise AssertionError("it was opened")


# -- the decoder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:1000]) + gzip.compress(b"") + gzip.compress(TEXT[1000:])),
        ("gzip", gzip.compress(TEXT) + bytes(100)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("gzip", gzip.compress(b"0" * 3_000_000)),
    ],
    ids=["gzip", "members", "padded", "zlib", "raw", "dense"],
)
def test_however_it_is_cut_it_decodes_to_the_same(encoding: str, packed: bytes) -> None:
    whole = zlib.decompress(packed, -15) if packed[0] & 15 != 8 and encoding == "deflate" else None
    whole = whole or (zlib.decompress(packed) if encoding == "deflate" else gzip.decompress(packed))
    chance = random.Random(7)
    for size in (1, 7, 1000, len(packed)):
        inflater, found, at = Inflater(encoding), bytearray(), 0
        while at < len(packed):
            step = chance.randint(1, size) if size < len(packed) else size
            for piece in inflater.feed(packed[at : at + step]):
                found += piece
            at += step
        assert bytes(found) == whole
        assert inflater.complete


def test_a_bomb_comes_in_small_pieces() -> None:
    packed = gzip.compress(bytes(50_000_000))
    assert max(len(piece) for piece in Inflater("gzip").feed(packed)) <= 256 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_noise_is_a_value_error_or_incomplete(encoding: str) -> None:
    inflater = Inflater(encoding)
    try:
        list(inflater.feed(random.Random(3).randbytes(10_000)))
    except ValueError:
        return
    assert not inflater.complete


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (429, RateLimited), (503, ServerError)])
async def test_an_error_in_an_unknown_encoding_means_what_its_status_says(
    status: int, kind: type[AsyncConnError]
) -> None:
    reply = Reply(status, b"a proxy's page", {"Content-Encoding": "br", "Retry-After": "3"})
    async with Loopback(reply, reply) as server, road(server, retry=ONCE) as http:
        with pytest.raises(kind) as one:
            await http.request("POST", "/")
        with pytest.raises(kind) as other:
            async with http.stream("GET", "/"):
                pass

    assert [getattr(caught.value, "retry_after", None) for caught in (one, other)] == [3.0, 3.0]
