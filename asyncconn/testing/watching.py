"""What the checks see: every request as it arrives at the fake, and every word that comes out of a connector."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
import warnings
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from asyncconn.core.clock import SystemClock
from asyncconn.core.secret import Secret
from asyncconn.http.redact import Redactor
from asyncconn.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from asyncconn.connector import Connector
    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.faults import Faults

__all__ = ["Ground", "Heard", "Patient", "Quick", "Seen", "Watch", "listening", "played"]

# What runs beside the connector, in the fake: its lines are not the connector's.
_SERVERS = ("aiohttp.server", "aiohttp.web", "asyncconn.sandbox")
_TURNS = 30  # of the loop: to accept a connection, read a request and hand it over takes some
_SHOWN = re.compile(r"authorization|api.?key|token|secret", re.IGNORECASE).search


class Ground(Protocol):
    """What a check needs of a server: a ``Fake`` has it, and a ``Sandbox``."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    @property
    def faults(self) -> Faults:
        """Its script."""
        ...


class Patient(SystemClock):
    """The machine's clock, as one of its own: what an earlier run counted is not taken over."""


class Quick(SystemClock):
    """The machine's clock plus all that was slept: the pauses between attempts cost nothing."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds, with those that were skipped."""
        return super().now() + self._ahead

    async def sleep(self, seconds: float) -> None:
        """Skip them."""
        self._ahead += seconds
        await asyncio.sleep(0)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """As the machine's."""
        return super().call_at(when - self._ahead, callback, *args)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, and when it was there: seconds on the machine's monotonic clock."""

    at: float
    call: Call


class Watch:
    """A part of the script that strikes nothing and writes down every request that it is asked about."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.fault = Fault("close", match=self._look)

    def _look(self, call: Call) -> bool:
        self.seen.append(Seen(SystemClock().now(), call))
        return False

    def credentials(self) -> list[Secret]:
        """What the requests showed of who asks."""
        values = {value for one in self.seen for name, value in one.call.headers.items() if _SHOWN(name)}
        return [Secret(word) for value in values for word in (value, value.split()[-1] if value.split() else "")]


@asynccontextmanager
async def played(ground: Ground, *faults: Fault) -> AsyncIterator[Watch]:
    """Add to the script of ``ground`` for as long as the block lasts, and watch what arrives."""
    watch = Watch()
    ground.faults.add(watch.fault, *faults)
    try:
        yield watch
        await _settled(watch)
    finally:
        ground.faults.remove(watch.fault, *faults)


async def _settled(watch: Watch) -> None:
    """Wait for what clients had written before they went: it belongs to this block, and not to the next."""
    known = -1
    while known != len(watch.seen):
        known = len(watch.seen)
        for _ in range(_TURNS):
            await asyncio.sleep(0)


class Heard(logging.Handler):
    """Words, and where they stood."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """A log line, with the traceback that belongs to it."""
        if record.name in _SERVERS:
            return
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + _whole(record.exc_info[1])
        self.words.append((f"a log line of {record.name}", text))

    def error(self, error: BaseException) -> None:
        """An error, with its notes, its fields and its causes."""
        self.words.append((f"an error ({type(error).__name__})", f"{_whole(error)}\n{error!r}\n{vars(error)!r}"))

    def things(self, connector: Connector) -> None:
        """What a connector and its parts print."""
        self.words.append(("a repr", f"{connector!r} {connector} {connector.hub!r}"))
        for name, part in vars(connector).items():
            if not name.startswith("_"):
                self.words.append((f"the repr of .{name}", f"{part!r}"))

    def showing(self, redactor: Redactor) -> str | None:
        """Where one of the secrets stood, with a piece of it masked; None if nowhere."""
        for where, text in self.words:
            scrubbed = redactor.scrub(text)
            if scrubbed != text:
                at = scrubbed.find("***")
                return f"in {where}: {' '.join(scrubbed[max(0, at - 60) : at + 20].split())}"
        return None


def _whole(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear every log line, debugging included, and every warning; both are as before afterwards."""
    heard = Heard()
    root = logging.getLogger()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield heard
        heard.words += [("a warning", str(one.message)) for one in caught]
    finally:
        root.setLevel(level)
        root.removeHandler(heard)
