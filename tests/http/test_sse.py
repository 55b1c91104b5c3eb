"""The parser of server-sent events, by the rules of the WHATWG standard."""

from __future__ import annotations

import pytest

from asyncconn.errors import ProtocolError
from asyncconn.http.sse import EventParser, ServerEvent

EURO = "data: naïve €\n\n".encode()

CASES: dict[str, tuple[list[bytes], list[ServerEvent]]] = {
    "plain": ([b"data: a\n\n"], [ServerEvent("a")]),
    "byte order mark": ([b"\xef\xbb\xbfdata: a\n\n"], [ServerEvent("a")]),
    "byte order mark, cut": ([b"\xef", b"\xbb\xbfdata: a\n\n"], [ServerEvent("a")]),
    "CRLF": ([b"data: a\r\n\r\n"], [ServerEvent("a")]),
    "CR": ([b"data: a\r\rdata: b\r\r"], [ServerEvent("a"), ServerEvent("b")]),
    "CRLF, cut": ([b"data: a\r", b"\n\r", b"\ndata: b\r\n\r\n"], [ServerEvent("a"), ServerEvent("b")]),
    "a CR ends it at once": ([b"data: a\r\r"], [ServerEvent("a")]),
    "nothing between the halves of a line end": ([b"data: a\r", b"", b"\n\r\n"], [ServerEvent("a")]),
    "mixed ends": ([b"data: a\rdata: b\ndata: c\r\n\n"], [ServerEvent("a\nb\nc")]),
    "a character, cut": ([EURO[:9], EURO[9:15], EURO[15:]], [ServerEvent("naïve €")]),
    "bytes that are no UTF-8": ([b"data: a\xffb\n\n"], [ServerEvent("a\ufffdb")]),
    "half a character": ([b"data: a\xe2\x82\ndata: b\n\n"], [ServerEvent("a\ufffd\nb")]),
    "what ends lines elsewhere": (
        ["data: a\u2028b\u0085c\x0bd\x0ce\n\n".encode()],
        [ServerEvent("a\u2028b\u0085c\x0bd\x0ce")],
    ),
    "one space only": ([b"data:  a\n\ndata:b\n\n"], [ServerEvent(" a"), ServerEvent("b")]),
    "empty data": ([b"data\n\ndata:\ndata:\n\n"], [ServerEvent(""), ServerEvent("\n")]),
    "no data, no event": ([b"event: x\n\nid: 1\n\ndata: a\n\n"], [ServerEvent("a", id="1")]),
    "an id stays": ([b"id: 7\ndata: a\n\ndata: b\n\n"], [ServerEvent("a", id="7"), ServerEvent("b", id="7")]),
    "an id with NUL is none": (
        [b"id: 7\ndata: a\n\nid: 8\x00\ndata: b\n\n"],
        [ServerEvent("a", id="7"), ServerEvent("b", id="7")],
    ),
    "an empty id": ([b"id: 7\ndata: a\n\nid\ndata: b\n\n"], [ServerEvent("a", id="7"), ServerEvent("b")]),
    "comments": ([b": hi\n\ndata: a\n: x\ndata: b\n\n"], [ServerEvent("a\nb")]),
    "a kind is for one event": ([b"event: e\ndata: a\n\ndata: b\n\n"], [ServerEvent("a", "e"), ServerEvent("b")]),
    "a field nobody knows": ([b"foo: x\ndata: a\n\n"], [ServerEvent("a")]),
    "left unfinished": ([b"data: a\n\ndata: b\n"], [ServerEvent("a")]),
    "colons in the value": ([b"data: a: b:c\n\n"], [ServerEvent("a: b:c")]),
    "300 KB on a line": ([b"data: " + b"x" * 150_000, b"x" * 150_000 + b"\n\n"], [ServerEvent("x" * 300_000)]),
}


def parsed(*chunks: bytes, max_bytes: int = 1024 * 1024) -> list[ServerEvent]:
    parser = EventParser(max_bytes=max_bytes)
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(("chunks", "expected"), CASES.values(), ids=CASES)
def test_streams(chunks: list[bytes], expected: list[ServerEvent]) -> None:
    assert parsed(*chunks) == expected


@pytest.mark.parametrize("case", [name for name, (chunks, _) in CASES.items() if len(b"".join(chunks)) < 1000])
def test_every_cut_of_every_case_gives_the_same(case: str) -> None:
    chunks, expected = CASES[case]
    stream = b"".join(chunks)
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert parsed(stream[:first], stream[first:second], stream[second:]) == expected
    assert parsed(*(bytes([byte]) for byte in stream)) == expected


def test_every_cut_of_a_stream_gives_the_same() -> None:
    stream = "\ufeff: c\r\nid: 1\r\ndata: é€𝄞\rdata: b\n\r\nevent: x\rdata\r\rdata: z\r\n\r\n".encode()
    whole = parsed(stream)
    assert whole == [ServerEvent("é€𝄞\nb", id="1"), ServerEvent("", "x", "1"), ServerEvent("z", id="1")]
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            assert parsed(stream[:first], stream[first:second], stream[second:]) == whole
    assert parsed(*(bytes([byte]) for byte in stream)) == whole


def test_the_pause_asked_for_is_in_seconds_and_digits_only() -> None:
    parser = EventParser()
    parser.feed(b"retry: 3000\nretry: 1e3\nretry: -1\nretry: %s\n" % (b"9" * 5000))
    assert parser.retry == 3.0


@pytest.mark.parametrize(
    "stream",
    [[b"data: " + b"x" * 95], [b"data: x\n"] * 15, [b"data:", *[b"x" * 10] * 10]],
    ids=["one line", "many lines", "a line in pieces"],
)
def test_an_event_over_the_bound_is_an_error(stream: list[bytes]) -> None:
    with pytest.raises(ProtocolError, match="more than 100 bytes: raise max_bytes"):
        parsed(*stream, max_bytes=100)


def test_the_bound_is_for_one_event_and_not_for_the_stream() -> None:
    parser = EventParser(max_bytes=100)
    assert parser.feed(b": keep-alive\n" * 50 + b"data: a\n\n" * 50) == [ServerEvent("a")] * 50


def test_data_as_json() -> None:
    assert ServerEvent('{"n": 18446744073709551617}').json() == {"n": 18446744073709551617}
    with pytest.raises(ProtocolError, match="no JSON"):
        ServerEvent("warm").json()
