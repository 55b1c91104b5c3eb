"""What stands before a report's header, and how it is left out whatever pieces the file comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncconn.datorama.preamble import without_preamble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def left_of(content: bytes, piece: int) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), piece):
            yield content[start : start + piece]

    return b"".join([chunk async for chunk in without_preamble(chunks())])


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"Report,daily\nRange,all\n\nDay,Clicks\n2025-12-01,120\n", b"Day,Clicks\n2025-12-01,120\n"),
        (b"Report,daily\r\n\r\nDay\r\n1\r\n", b"Day\r\n1\r\n"),
        (b"Report\n \t\nDay\n1\n", b"Day\n1\n"),
        (b"\nDay\n1\n", b"Day\n1\n"),
        (b"Report\n\nDay\n1\n\n2\n", b"Day\n1\n\n2\n"),
        (b"Day,Clicks\n2025-12-01,120\n", b"Day,Clicks\n2025-12-01,120\n"),
        (b"Day,Clicks\n2025-12-01,120\n\n", b"Day,Clicks\n2025-12-01,120\n\n"),
        (b"Day,Clicks\r\n1,2\r\n\r\n\r\n", b"Day,Clicks\r\n1,2\r\n\r\n\r\n"),
        (b"Report,daily\n\nDay", b"Day"),
        (b"PK\x03\x04 a\n\nzip", b"PK\x03\x04 a\n\nzip"),
        (b"", b""),
    ],
)
async def test_what_follows_the_first_empty_line_is_left(content: bytes, left: bytes, piece: int) -> None:
    assert await left_of(content, piece) == left


async def test_a_file_whose_beginning_has_no_empty_line_is_left_whole() -> None:
    content = b"1,2\n" * 30_000 + b"\n3,4\n"
    assert await left_of(content, 4096) == content
