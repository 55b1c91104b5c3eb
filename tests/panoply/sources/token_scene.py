"""A source whose calls fail until its access token is the one that the token endpoint has last given out."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from loopback import Loopback, Reply, Seen, saying

from asyncconn.core.threads import LoopThread
from asyncconn.panoply import DataSource, validate_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

OLD = "old-access-0001"
OLD_REFRESH = "old-refresh-0001"
CLIENT_SECRET = "cl13nt/s3cret+&value"
REFRESH = {"client_id": "client-0001", "client_secret": CLIENT_SECRET, "grant_type": "refresh_token"}


class Refused(Exception):
    """What the source's own client raises for a token that is no good."""


class Scene:
    """What the API accepts, and what was seen of the source."""

    def __init__(self) -> None:
        self.valid = "new-access-1"
        self.logs: list[tuple[Any, ...]] = []
        self.events: list[tuple[str, Any]] = []
        self.calls: list[Any] = []  # the token of each call

    @property
    def changes(self) -> list[Any]:
        return [data for name, data in self.events if name == "source-change"]

    def after(self, calls: int) -> Callable[[], Awaitable[None]]:
        """For a reply: to wait until so many calls have failed, and so taken part in the renewal."""

        async def wait() -> None:
            while len(self.calls) < calls:
                await asyncio.sleep(0.001)

        return wait

    def source(
        self,
        url: str,
        *,
        params: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        blocking: bool = False,
        **given: Any,
    ) -> Any:
        """A source with ``request`` (async) and ``fetch`` (plain), both decorated with ``given``."""
        scene = self
        given = {"exceptions": Refused, **given}

        class Stream(DataSource):
            told: list[str]

            async def read(self, n: int | None = None) -> Any:
                return await self.request("page")

            @validate_token(url, **given)
            async def request(self, what: str, *, times: int = 1) -> Any:
                """Ask the API."""
                token = self.source.get("access_token")
                await asyncio.sleep(0.01)
                return self.answer(what, times, token)

            @validate_token(url, **given)
            def fetch(self, what: str, *, times: int = 1) -> Any:
                """Ask the API, and wait."""
                return self.answer(what, times, self.source.get("access_token"))

            def answer(self, what: str, times: int, token: Any) -> list[Any]:
                scene.calls.append(token)
                if token != scene.valid:
                    raise Refused(f"not with call {len(scene.calls)}")
                return [{"what": what}] * times

            def keep(self, token: str) -> None:
                self.told.append(token)

            async def keep_later(self, token: str) -> None:
                await asyncio.sleep(0)
                self.told.append(token)

        class Blocking(Stream):
            def read(self, n: int | None = None) -> Any:
                return self.fetch("page")

        kind = Blocking if blocking else Stream
        made = kind(
            {"type": "demo", "access_token": OLD, "refresh_token": OLD_REFRESH} if params is None else params,
            {"refresh": dict(REFRESH), "logger": self.logs.append} if options is None else options,
        )
        made.told = []
        made.on("*", lambda name, data: self.events.append((name, data)))
        return made


def granting(**more: Any) -> Callable[[Seen], Reply]:
    """Gives out ``new-access-1``, ``new-access-2``, ..., with ``more`` in each answer."""
    count = 0

    def reply(seen: Seen) -> Reply:
        nonlocal count
        count += 1
        return saying({"access_token": f"new-access-{count}", "token_type": "bearer", **more})

    return reply


def form(seen: Seen) -> list[tuple[str, str]]:
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    return parse_qsl(seen.body.decode())


@contextmanager
def elsewhere(*replies: Reply, otherwise: Any) -> Iterator[Loopback]:
    """The endpoint in a thread of its own, for tests that block theirs."""
    thread = LoopThread("loopback")
    server = Loopback(*replies, otherwise=otherwise)
    try:
        thread.run(server.__aenter__())
        yield server
        thread.run(server.__aexit__(None, None, None))
    finally:
        thread.close()


def shown(error: BaseException) -> str:
    """All that an error tracker could show of an error, its causes and its contexts."""
    found: list[str] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None:
            found += [str(one), repr(one), repr(one.args), repr(vars(one))]
            todo += [one.__cause__, one.__context__]
    return "\n".join(found)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()
