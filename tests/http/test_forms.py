"""A file that is sent as part of a form: streamed like any other, with what stands around it, anew for each attempt."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any

import pytest
from loopback import DROP, Loopback, QuickClock, Reply, Seen, road, saying
from transfer_scene import OLD, Heard

from asyncconn.errors import ConfigError
from asyncconn.http.multipart import Multipart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def parts(seen: Seen) -> list[tuple[str | None, str | None, bytes]]:
    """The parts of a form, as another program reads them: name, file name, content."""
    head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + seen.body)
    return [(_named(one, "name"), _named(one, "filename"), _content(one)) for one in message.iter_parts()]


def _named(one: Message, what: str) -> str | None:
    found = one.get_param(what, header="content-disposition")
    return None if found is None else str(found)


def _content(one: Any) -> bytes:
    content: bytes = one.get_payload(decode=True)
    return content


async def chunks() -> AsyncIterator[bytes]:
    yield OLD[:1000]
    yield OLD[1000:]


@pytest.mark.parametrize("kind", ["path", "bytes", "chunks"])
async def test_the_file_is_one_part_of_several(kind: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(OLD)
    source: Any = {"path": tmp_path / "f", "bytes": OLD, "chunks": chunks}[kind]
    heard = Heard()
    form = Multipart("file", "a b.csv", content_type="text/csv", fields={"metadata": "colour=blue", "comment": "ä"})
    async with Loopback() as server, road(server) as http:
        await http.upload("/f", source, method="POST", form=form, on_progress=heard.append)

    (seen,) = server.seen
    assert parts(seen) == [
        ("metadata", None, b"colour=blue"),
        ("comment", None, "ä".encode()),
        ("file", "a b.csv", OLD),
    ]
    assert ("content-length" in seen.headers) == (kind != "chunks")
    # What is told is the file's, without what stands around it.
    assert (heard[0].done, heard[-1].done) == (0, len(OLD))
    assert heard[-1].total == (None if kind == "chunks" else len(OLD))


@pytest.mark.parametrize("fault", [DROP, saying({}, 503), Reply(401)])
async def test_each_attempt_sends_the_whole_form(fault: Reply, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    async with Loopback(fault) as server, road(server, clock=QuickClock()) as http:
        sent = http.upload("/f", tmp_path / "f", form=Multipart("file", "f"), idempotent=True)
        if fault.status == 401:  # nothing newer to show
            with pytest.raises(Exception, match="401"):
                await sent
        else:
            await sent

    assert all(parts(one) == [("file", "f", b"")] for one in server.seen)
    assert len(server.seen) == (1 if fault.status == 401 else 2)


@pytest.mark.parametrize("name", ['a"; name="other', "a\r\nX-Evil: 1\r\n\r\n.csv", "ä\u4e2d.csv"])
async def test_no_name_breaks_out_of_its_place(name: str) -> None:
    async with Loopback() as server, road(server) as http:
        await http.upload("/f", b"x", method="POST", form=Multipart("file", name))

    body = server.seen[0].body
    assert body.count(b"Content-Disposition") == 1
    assert b"\r\nX-Evil" not in body
    assert b'name="other' not in body
    if name.isprintable() and '"' not in name:
        assert name.encode() in body


def test_a_content_type_is_a_header() -> None:
    with pytest.raises(ConfigError, match="Content-Type"):
        Multipart("file", "f", content_type="text/csv\r\nX-Evil: 1")


async def test_half_a_character_is_refused() -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(ConfigError, match="half a character"):
            await http.upload("/f", b"x", form=Multipart("file", "\ud800.csv"))

    assert server.seen == []
