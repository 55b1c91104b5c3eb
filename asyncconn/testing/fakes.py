"""A platform of one's own for tests: an aiohttp application behind a socket that keeps limits and plays faults."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from asyncconn.core.rates.windows import Window
from asyncconn.errors import ConfigError
from asyncconn.sandbox import Answer, Sandbox, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from asyncconn.core.clock import Clock
    from asyncconn.sandbox import Arrival, Call, Fault, Faults

__all__ = ["Fake", "credential"]

_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})  # not for the next one
_ANEW = _HOP | {"content-type", "date", "server"}
_SHOWING = re.compile(r"authorization|api.?key|token|secret", re.IGNORECASE).search


class Fake:
    """A platform for the tests of a connector: ``app`` behind a real socket, for as long as its ``async with`` lasts.

        >>> async with Fake(app, rates=Window(20, 1.0), faults="status:503*2") as fake:
        ...     async with Acme(base_url=fake.url, auth=TokenAuth("made-up")) as acme:
        ...         await acme.plan()
        ...     assert fake.refused == 0

    ``app`` is an ``aiohttp.web.Application``, or a handler for all requests. A call that exceeds ``rates`` (a
    ``Window``, or several) is answered with 429 and a Retry-After, and goes no further; each credential has a count of
    its own. ``faults`` is a script as the sandbox's: a text, a ``Faults``, or several ``Fault``. What the script
    refuses is answered with the request's own headers and body, as some proxies do: so is seen whether a connector
    shows them. ``clock`` is what the limits are counted by: with the ``VirtualClock`` of the connector's hub a minute's
    window is over as soon as all wait for it.

    ``requests`` counts all that arrived and ``refused`` those above the limits; ``arrivals`` says when which came. A
    handler that stores records says so with :meth:`took`, for ``check`` to compare.

    To be entered once. Raises ``ConfigError`` for what is neither an application nor a handler, for rates that are no
    ``Window``, and for a script that cannot be read.
    """

    def __init__(
        self,
        app: web.Application | Callable[[web.Request], Awaitable[web.StreamResponse]],
        *,
        rates: Window | Sequence[Window] | None = None,
        faults: Faults | Iterable[Fault] | str | None = None,
        clock: Clock | None = None,
    ) -> None:
        windows = list(rates) if isinstance(rates, Sequence) else [] if rates is None else [rates]
        self._world = _AppWorld(_application(app), _Caps(windows))
        self._sandbox = Sandbox(self._world, faults=faults, clock=clock)
        self.taken = 0

    def __repr__(self) -> str:
        return f"<Fake of {self._world!r}, {self.requests} requests, {self.refused} refused>"

    @property
    def url(self) -> str:
        """``http://HOST:PORT``. Raises ``LifecycleError`` when it is not open."""
        return self._world.url

    @property
    def faults(self) -> Faults:
        """The script, to be added to."""
        return self._sandbox.faults

    @property
    def requests(self) -> int:
        """All that arrived."""
        return self._sandbox.requests.total()

    @property
    def refused(self) -> int:
        """Those that exceeded the limits."""
        return self._world.caps.refused.total()

    @property
    def arrivals(self) -> deque[Arrival]:
        """When which request arrived, the newest 100,000."""
        return self._sandbox.arrivals

    def took(self, records: int) -> None:
        """For handlers: so many records have been stored."""
        self.taken += records

    def forget(self) -> None:
        """Begin the count against the limits anew, as after a long pause; ``refused`` stays."""
        self._world.caps.forget()

    async def __aenter__(self) -> Self:
        await self._sandbox.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._sandbox.__aexit__(kind, error, traceback)


def _application(app: object) -> web.Application:
    if isinstance(app, web.Application):
        return app
    if not callable(app):
        raise ConfigError(f"a fake is made of an aiohttp.web.Application or a handler, not of {type(app).__name__}")
    made = web.Application()
    made.router.add_route("*", "/{path:.*}", app)
    return made


def credential(headers: Mapping[str, str]) -> str:
    """The digest of what a request shows of who asks; empty if it shows nothing."""
    shown = sorted(f"{name.lower()}: {value}" for name, value in headers.items() if _SHOWING(name))
    return hashlib.sha256("\n".join(shown).encode()).hexdigest()[:16] if shown else ""


class _Caps:
    """The limits, for each credential by itself: no window of ``period`` seconds sees more than ``limit`` calls."""

    def __init__(self, windows: Sequence[Window]) -> None:
        for one in windows:
            if type(one) is not Window:
                raise ConfigError(f"a fake keeps Windows (limit and period), not {type(one).__name__}")
        self.refused: Counter[str] = Counter()
        self._windows = [(one.limit, one.period) for one in windows]
        self._granted: dict[str, list[deque[float]]] = {}

    def forget(self) -> None:
        """As if nobody had called yet."""
        self._granted.clear()

    def wait(self, who: str, now: float) -> float:
        """Seconds until ``who`` may call again; 0 for this call, which is then counted."""
        books = self._granted.setdefault(who, [deque() for _ in self._windows])
        wait = 0.0
        for (limit, period), granted in zip(self._windows, books, strict=True):
            while granted and granted[0] <= now - period:
                granted.popleft()
            if len(granted) >= limit:
                wait = max(wait, granted[0] + period - now)
        if wait:
            self.refused[who] += 1
            return wait
        for granted in books:
            granted.append(now)
        return 0.0


class _AppWorld(World):
    """The application, which listens on a port that only this class knows."""

    name = "app"

    def __init__(self, app: web.Application, caps: _Caps) -> None:
        self.caps = caps
        self._app = app
        self._inner: TestClient[web.Request, web.Application] | None = None

    async def open(self, url: str) -> None:
        """Let the application listen."""
        server = TestServer(self._app)
        await server.start_server(access_log=None)
        # Redirects, cookies and compression are those of the two ends.
        self._inner = TestClient(server, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        await super().open(url)

    async def close(self) -> None:
        """End it."""
        await super().close()
        inner, self._inner = self._inner, None
        if inner is not None:
            await inner.close()

    async def answer(self, call: Call) -> Answer:
        """What the application says, or that it is too early."""
        wait = self.caps.wait(credential(call.headers), self.place.clock.now())
        if wait:
            return _said(429, "slow down", **{"Retry-After": str(math.ceil(wait))})
        if self._inner is None:
            return _said(503, "the fake is closing")
        answer = await self._inner.request(
            call.method,
            URL(call.target, encoded=True),
            data=call.body or None,
            headers=[(name, value) for name, value in call.headers.items() if name.lower() not in _HOP],
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            allow_redirects=False,
        )
        kind = answer.headers.get("Content-Type", "application/octet-stream")
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _ANEW}
        if answer.content_length is None and call.method != "HEAD":  # it may have no end
            return Answer(answer.status, content_type=kind, headers=headers, pieces=answer.content.iter_any())
        return Answer(answer.status, await answer.read(), kind, headers)

    def refusal(self, call: Call, status: int) -> Answer:
        """An error that quotes the request."""
        quoted = [f"{name}: {value}" for name, value in call.headers.items()]
        return _said(status, "; ".join([*quoted, call.body.decode("utf-8", "replace")]))


def _said(status: int, message: str, **headers: str) -> Answer:
    body = json.dumps({"error": {"message": message}}).encode()
    return Answer(status, body, "application/json", headers)
