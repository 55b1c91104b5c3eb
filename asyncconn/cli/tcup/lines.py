"""Lines in, lines out: how messages go through pipes, for the commands that publish and subscribe."""

from __future__ import annotations

import asyncio
import base64
import os
import select
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from asyncconn.cli.output import complain, count, error, plain, remark, told, warned
from asyncconn.cli.running import run_to_end
from asyncconn.core.threads import OwnThread
from asyncconn.errors import ConfigError, DeliveryFailed, InvalidRecord
from asyncconn.tcup.streams.events import StreamEvent
from asyncconn.tcup.streams.publisher import LARGEST_WINDOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from asyncconn import FlushReport, Tcup
    from asyncconn.cli.tcup.common import Where
    from asyncconn.tcup.streams.messages import Message, Messages
    from asyncconn.tcup.streams.publishing import Publisher

__all__ = ["Lines", "Sending", "Taking", "poured", "published", "taken"]

_PIECE = 65_536  # bytes
_LONGEST = 256 * 1024 * 1024  # bytes of a line: more than any of the protocols takes
_AT_ONCE = 1_000  # messages that are written together
_SIGNALLED = 128  # statuses from there on


# -- in ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sending:
    """How messages are published."""

    window: Annotated[
        int, typer.Option("--window", metavar="N", help="How many may be on their way, not acknowledged.")
    ] = 100
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for the last acknowledgement.")
    ] = 60.0
    spool: Annotated[
        Path | None,
        typer.Option("--spool", metavar="FILE", help="Keep there what is not acknowledged; the next run sends it."),
    ] = None

    def __post_init__(self) -> None:
        if not 1 <= self.window <= LARGEST_WINDOW:
            raise ConfigError(f"--window is 1 to {LARGEST_WINDOW:,} messages, not {self.window}")
        if not self.timeout > 0:
            raise ConfigError(f"--timeout is more than 0 seconds, not {self.timeout:g}")


class Lines:
    """Messages to publish: those that were given, else each line of standard input; an empty line is none.

    ``number`` is that of the line that was read last, ``taken`` counts the messages, ``refused`` those that were told.
    """

    def __init__(self, given: Sequence[str] | None) -> None:
        self.number = 0
        self.taken = 0
        self.refused = 0
        self._given = given

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._given:
            for text in self._given:
                self.number += 1
                self.taken += 1
                yield os.fsencode(text)
            return
        async for line in _standard_input():
            self.number += 1
            if line:
                self.taken += 1
                yield line

    def refuse(self, why: str) -> None:
        """Tell that the last one cannot be sent."""
        self.refused += 1
        complain(plain(f"{'message ' if self._given else '<stdin>:'}{self.number}: {why}"))


async def _standard_input() -> AsyncIterator[bytes]:
    """Its lines as they come: a program may take its time between them."""
    # The buffer above the file would stay locked by a thread that still waits for a line when the program ends.
    read = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer).read
    thread, held = OwnThread("asyncconn:stdin"), bytearray()
    try:
        while piece := await thread.run(read, _PIECE):
            held += piece
            if b"\n" in piece:
                *lines, rest = held.split(b"\n")
                for line in lines:
                    yield bytes(line.removesuffix(b"\r"))
                held = rest
            if len(held) > _LONGEST:
                raise ConfigError(f"standard input has a line of more than {_LONGEST:,} bytes")
        yield bytes(held)
    finally:
        thread.close()


async def poured(lines: Lines, publisher: Publisher[Any], timeout: float, **options: Any) -> FlushReport:
    """Send each with these ``options``: what one is refused for is told, and the rest goes on."""
    publisher.on("error", _refused)
    async with publisher:
        async for line in lines:
            try:
                await publisher.send(line, **options)
            except (ConfigError, InvalidRecord) as problem:
                lines.refuse(problem.message)
        return await publisher.aclose(timeout)


def _refused(failure: DeliveryFailed) -> None:
    for record, reason in zip(failure.records, failure.reasons, strict=False):  # what was not refused has none
        complain(plain(f"{getattr(reason, 'message', reason)}: {record}"))


def published(
    where: Where, lines: Lines, send: Callable[[Tcup, Lines], Coroutine[Any, Any, FlushReport]], acknowledged: str
) -> None:
    """Publish all of them, and say how many were ``acknowledged``, in the word for that, and what became of the others.

    Ends with 1 where one is lost, or may be.
    """
    reports: list[FlushReport] = []
    client: Tcup | None = None

    async def work(tcup: Tcup) -> None:
        nonlocal client
        client = tcup
        reports.append(await send(tcup, lines))

    with warned():
        status, problem = run_to_end(where.main(work))
    if isinstance(problem, InvalidRecord):
        lines.refuse(problem.message)
    elif problem is not None:
        status = told(problem)
    if not reports and client is not None and client.hub.report is not None:
        reports += client.hub.report.reports.values()  # what became of those that had been taken by then
    for report in reports:
        _ = report.undelivered, report.rejections  # who asks is told: here it is told on
    delivered = sum(report.delivered for report in reports)
    if delivered or problem is None or isinstance(problem, InvalidRecord):
        every = max(lines.taken, lines.refused + sum(report.accepted for report in reports))  # with those of the spool
        remark(f"{delivered:,} of {count(every, 'message')} {acknowledged}", result=True)
    if kept := sum(report.spooled for report in reports):
        remark(f"{kept:,} kept in the spool, for the next run with it", result=True)
    if status >= _SIGNALLED:
        error("interrupted")
    raise typer.Exit(_lost(lines, reports) or status if status < _SIGNALLED else status)


def _lost(lines: Lines, reports: list[FlushReport]) -> int:
    """Tell what is lost, and why; the status."""
    for why in dict.fromkeys(str(one.__cause__) for report in reports for one in report.failures if one.__cause__):
        error(why)
    found = [
        (lines.refused + sum(report.rejected for report in reports), "refused"),
        (sum(report.failed + report.pending - report.spooled for report in reports), "not sent"),
        (sum(report.unknown for report in reports), "unknown: no acknowledgement came; they may have arrived"),
    ]
    for number, words in found:
        if number:
            error(f"{number:,} {words}")
    return int(any(number for number, _ in found))


# -- out ---------------------------------------------------------------------------------------------------------------


class Shape(StrEnum):
    """What a message comes out as."""

    LINES = "lines"
    JSONL = "jsonl"


@dataclass(frozen=True)
class Taking:
    """What comes out, and how much of it."""

    form: Annotated[
        Shape, typer.Option("--format", "-f", help="Each message as it is, or as an object with its topic.")
    ] = Shape.LINES
    number: Annotated[int | None, typer.Option("--count", "-n", metavar="N", help="End after so many.")] = None
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="End after so long, counted from the start.")
    ] = None

    def __post_init__(self) -> None:
        if self.number is not None and not self.number >= 1:
            raise ConfigError(f"--count is 1 message or more, not {self.number}")
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError(f"--timeout is more than 0 seconds, not {self.timeout:g}")

    async def pour(self, subscription: Messages[Any]) -> tuple[bool, int]:
        """Write what comes, and acknowledge what is written: whether there was a connection, and how many came."""
        connected, seen = False, 0
        loop, out = asyncio.get_running_loop(), _StandardOutput(self.form)
        end = None if self.timeout is None else loop.time() + self.timeout
        try:
            async with asyncio.timeout_at(end) as limit, subscription as messages:
                connected = True
                async for first in messages:
                    limit.reschedule(None)  # what is here is written to its end
                    left = _AT_ONCE if self.number is None else min(_AT_ONCE, self.number - seen)
                    batch = [first, *messages.batch(left - 1)]
                    await out.write(batch)
                    for message in batch:
                        await message.ack()
                    seen += len(batch)
                    if seen == self.number or (end is not None and loop.time() >= end):
                        break
                    limit.reschedule(end)
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            out.close()
        return connected, seen


def taken(where: Where, taking: Taking, subscribe: Callable[[Tcup], Messages[Any]]) -> None:
    """Write what is subscribed to. Ends with 1 where fewer came than were asked for."""

    async def work(tcup: Tcup) -> tuple[bool, int]:
        return await taking.pour(subscribe(tcup))

    with warned():
        connected, seen = where.run(work)
    if not connected:
        error("there was no connection in time")
    elif taking.number is not None and seen < taking.number:
        error(f"{seen:,} of {count(taking.number, 'message')} came")
    else:
        return
    raise typer.Exit(1)


class _StandardOutput:
    """Standard output, written to in a thread: a reader may take its time, and the connection lives meanwhile."""

    def __init__(self, form: Shape) -> None:
        sys.stdout.flush()
        self._eyes = sys.stdout.isatty()
        self._line = _as_object if form is Shape.JSONL else _as_it_is
        self._file = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)  # as for standard input
        self._thread = OwnThread("asyncconn:stdout")

    async def write(self, messages: Sequence[Message]) -> None:
        lines = [self._line(message) for message in messages]
        if self._eyes:
            lines = [plain(line.decode(errors="replace")).encode() for line in lines]
        await self._thread.run(_write, self._file, b"\n".join((*lines, b"")))

    def close(self) -> None:
        self._thread.close()


def _write(file: Any, data: bytes) -> None:
    left = memoryview(data)
    while left:
        written = file.write(left)
        if written is None:  # somebody has made it one that does not wait
            select.select([], [file], [])
        else:
            left = left[written:]


def _as_it_is(message: Message) -> bytes:
    """The payload; of JSON one line, as a break can only stand between its words."""
    payload = message.payload
    if (b"\n" in payload or b"\r" in payload) and message.json is not None:
        return payload.replace(b"\r", b" ").replace(b"\n", b" ")
    return payload


def _as_object(message: Message) -> bytes:
    said: dict[str, Any] = {"topic": message.topic}
    if isinstance(message, StreamEvent):
        said |= {"id": message.id, "event": message.event}
    if message.json is not None:
        said["json"] = orjson.Fragment(_as_it_is(message))  # every digit of it
    else:
        try:
            said["text"] = message.payload.decode()
        except UnicodeDecodeError:
            said["base64"] = base64.b64encode(message.payload).decode()
    return orjson.dumps(said)
