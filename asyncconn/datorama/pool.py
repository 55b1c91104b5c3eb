"""One token or several: each call takes the one that can go soonest and may see the workspace.

Contract: datorama section 4.5.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.rates.limiter import RateSnapshot
from asyncconn.core.rates.windows import PartSnapshot
from asyncconn.datorama import wire
from asyncconn.datorama.errors import NotVisible
from asyncconn.datorama.paths import Paths
from asyncconn.errors import AsyncConnError, Forbidden, QuotaExhausted, RateLimited, Unauthorized
from asyncconn.http.failures import with_doubt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.http.response import Response
    from asyncconn.http.transport import Stream, Transport

__all__ = ["TokenPool", "moving_on"]

T = TypeVar("T")

_ASKING = 1.0  # seconds that a token's limiter may hold the question what it sees, while others can serve


class TokenPool:
    """Sends calls through one of several transports, one a token.

    A 429 or a day that is used up moves the call on to the next token; a 401 or 403 never does: it is raised, and says
    which token it was. Only when every token was refused does a call wait, for the one that is free again first.
    Which token may see which workspace is asked once, when a pool of several first needs it.

    ``wait_for_quota``: a call for which every token's day is used up waits for the next day.
    """

    def __init__(
        self,
        transports: Sequence[Transport],
        headers: Mapping[str, str] = wire.HEADERS,
        *,
        paths: Paths | None = None,
        wait_for_quota: bool = False,
    ) -> None:
        self.transports = tuple(transports)
        self.paths = paths or Paths()
        self._headers = headers
        self._waits = wait_for_quota
        self._visible: dict[Transport, frozenset[int]] = {}
        self._asking = asyncio.Lock()

    async def request(
        self, method: str, path: str, *, limit: str = "default", workspace_id: int | None = None, **options: Any
    ) -> Response:
        """A call, as ``Transport.request``. ``workspace_id`` is whose it is, where that is known."""

        async def through(transport: Transport, retry: RetryPolicy) -> Response:
            return await transport.request(method, path, limit=limit, headers=self._headers, retry=retry, **options)

        return await self._first(through, limit, workspace_id)

    @asynccontextmanager
    async def stream(self, path: str, *, route: str, workspace_id: int | None = None) -> AsyncIterator[Stream]:
        """A download, as ``Transport.stream``."""
        headers = {**self._headers, "Accept": "*/*"}
        async with AsyncExitStack() as stack:

            async def through(transport: Transport, retry: RetryPolicy) -> Stream:
                asked = transport.stream("GET", path, headers=headers, retry=retry, route=route)
                return await stack.enter_async_context(asked)

            yield await self._first(through, "default", workspace_id)

    async def _first(
        self, through: Callable[[Transport, RetryPolicy], Awaitable[T]], limit: str, workspace_id: int | None
    ) -> T:
        candidates = await self._candidates(workspace_id)
        left = [*candidates]
        refused: list[Transport] = []
        exhausted: list[QuotaExhausted] = []
        doubt = False  # whether it may have been carried out in the name of a token that then was refused
        while left:
            transport = min(left, key=_wait(limit))
            left.remove(transport)
            alone = not left and not refused
            try:
                return await self._by(transport, through, transport.retry if alone else moving_on(transport), doubt)
            except QuotaExhausted as error:
                exhausted.append(error)
                doubt = error.maybe_sent
            except RateLimited as error:
                if error.local or alone:
                    raise
                refused.append(transport)
                doubt = error.maybe_sent
                transport.events.emit("retry", error)  # by another token
        if refused or self._waits:
            transport = min(refused or candidates, key=_wait(limit))
            try:
                return await self._by(transport, through, transport.retry, doubt)
            except QuotaExhausted as error:
                exhausted.append(error)
                doubt = error.maybe_sent
        raise with_doubt(min(exhausted, key=lambda error: error.resets_at), doubt)

    async def _by(
        self,
        transport: Transport,
        through: Callable[[Transport, RetryPolicy], Awaitable[T]],
        retry: RetryPolicy,
        doubt: bool,
    ) -> T:
        try:
            with self._naming(transport):
                return await through(transport, retry)
        except AsyncConnError as error:
            raise with_doubt(error, doubt) from error.__cause__

    def _naming(self, transport: Transport) -> _Naming:
        return _Naming(self.transports.index(transport) + 1, len(self.transports))

    # -- who sees what -------------------------------------------------------------------------------------------------

    async def _candidates(self, workspace_id: int | None) -> list[Transport]:
        if workspace_id is None or len(self.transports) == 1:
            return list(self.transports)
        found, refusal = await self._that_see(workspace_id, patient=False)
        if not found and refusal is not None:
            found, refusal = await self._that_see(workspace_id, patient=True)
        if found:
            return found
        raise refusal or NotVisible(f"none of the {len(self.transports)} tokens may see workspace {workspace_id}")

    async def _that_see(self, workspace_id: int, *, patient: bool) -> tuple[list[Transport], AsyncConnError | None]:
        """Tokens that see it, and why some that are not known to could not be asked."""
        refusal: AsyncConnError | None = None
        if len(self._visible) < len(self.transports):
            async with self._asking:
                for transport in self.transports:
                    if transport not in self._visible:
                        try:
                            await self.workspaces(transport, patient=patient)
                        except (QuotaExhausted, RateLimited) as error:
                            refusal = error
        return [one for one in self.transports if workspace_id in self._visible.get(one, frozenset())], refusal

    async def workspaces(self, transport: Transport, *, patient: bool = True) -> Any:
        """The raw list of workspaces that one token may see; remembered for later choices."""
        retry, wait = (transport.retry, None) if patient else (moving_on(transport), _ASKING)
        method, path = self.paths.resolve("workspaces.list")
        options: dict[str, Any] = {"headers": self._headers, "retry": retry, "max_wait": wait}
        with self._naming(transport):
            try:
                answer = await transport.request(method, path, **options)
            except QuotaExhausted:
                if not (patient and self._waits):
                    raise
                answer = await transport.request(method, path, **options)  # which waits for the next day
        found = wire.json_of(answer)
        if isinstance(found, list):
            self._visible[transport] = frozenset(
                one["id"] for one in found if isinstance(one, dict) and isinstance(one.get("id"), int)
            )
        return found

    def forget(self) -> None:
        """What tokens see has changed: ask again when it is needed."""
        self._visible.clear()

    def books(self, limit: str) -> RateSnapshot:
        """The books of one limiter of each token, added up: what is left, waits and is under way.

        A token that may not go now has nothing left. They are paused as long as all of them are.
        """
        books = [transport.limiters[limit].snapshot() for transport in self.transports]
        if len(books) == 1:
            return books[0]
        parts = tuple(
            PartSnapshot(
                same[0].name,
                sum(part.limit for part in same),
                sum(part.remaining for part, of in zip(same, books, strict=True) if of.remaining),
                min(part.resets_in for part in same),
            )
            for same in zip(*(one.parts for one in books), strict=True)
        )
        return RateSnapshot(
            books[0].name,
            parts,
            sum(one.waiting for one in books),
            sum(one.in_flight for one in books),
            min(one.paused_for for one in books),
        )

    def scrub(self, text: str) -> str:
        """``text`` without the tokens: for what a server says inside an answer that is no error to the transport."""
        for transport in self.transports:
            text = transport.redactor.scrub(text)
        return text


class _Naming:
    """Notes on a 401 or 403 which token of several it was."""

    def __init__(self, number: int, count: int) -> None:
        self._note = f"token {number} of {count}" if count > 1 else ""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._note and isinstance(error, Unauthorized | Forbidden):
            error.add_note(self._note)


def moving_on(transport: Transport) -> RetryPolicy:
    """The transport's policy, but a 429 is not waited for: another token may have room."""
    return replace(transport.retry, max_retry_after=-1.0)


def _wait(limit: str) -> Callable[[Transport], tuple[float, int]]:
    def key(transport: Transport) -> tuple[float, int]:
        limiter = transport.limiters[limit]
        books = limiter.snapshot()
        return limiter.estimated_wait(), books.waiting - books.remaining

    return key
