"""A file at a server: whole, in parts, cut off, and who hears how far it has come."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from helpers import until
from loopback import Reply

from asyncconn.core.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from loopback import Seen

OLD = b"0123456789" * 30_000
NEW = b"abcdefghij" * 20_000
HALF = len(OLD) // 2


def whole(data: bytes, tag: str | None = '"one"') -> Reply:
    return Reply(body=data, headers={"ETag": tag} if tag else {})


def part(data: bytes, start: int, tag: str = '"one"', said: str | None = None) -> Reply:
    place = said or f"bytes {start}-{len(data) - 1}/{len(data)}"
    return Reply(206, data[start:], {"ETag": tag, "Content-Range": place})


class Heard(list[Progress]):
    """What was told of a transfer."""

    async def reached(self, size: int) -> None:
        await until(lambda: self and self[-1].done >= size)

    @property
    def sizes(self) -> list[int]:
        return [one.done for one in self]


def cut(reply: Reply, after: int, heard: Heard | None = None, at: int = 0) -> Reply:
    """The same answer, of whose body only the first bytes come: which were read before it broke off, if told."""
    raw = reply.encoded()
    raw = raw[: len(raw) - len(reply.body) + after]
    return Reply(raw=raw, close=True, then=None if heard is None else partial(heard.reached, at + after))


def going_on(data: bytes, tag: str = '"one"') -> Any:
    """A server that gives the part that is asked for."""

    def answer(seen: Seen) -> Reply:
        if "range" not in seen.headers or seen.headers.get("if-range") != tag:
            return whole(data, tag)
        start = int(seen.headers["range"].removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            return Reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        return part(data, start, tag)

    return answer


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())
