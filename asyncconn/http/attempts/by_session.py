"""An attempt by the session's public methods: for sessions that are borrowed, or that have proxies or hooks in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from asyncconn.http.attempts.attempt import Attempt
from asyncconn.http.connections import Stale, forget_address, pool_is_full, unwatched, watched
from asyncconn.http.redact import unprinted

if TYPE_CHECKING:
    from asyncconn.core.rates.limiter import Permit
    from asyncconn.http.request import Call

__all__ = ["BySession"]


class BySession(Attempt):
    """The client middleware of its own request.

    aiohttp sends an idempotent request again when its connection breaks: the middleware runs each time.
    """

    def __init__(self, call: Call, permit: Permit | None, session: aiohttp.ClientSession) -> None:
        super().__init__(call, permit, session)
        self._permit: Permit | None = None
        self._began = False  # something may have been written, this time
        self._answered = False  # the time before got its answer: who repeats it, in a borrowed session, has seen that

    async def send(self, going: Call) -> aiohttp.ClientResponse:
        """See :class:`Attempt`."""
        session = self._session
        answer = await session.request(
            going.method,
            going.url,
            data=going.fresh_body(),
            headers={**going.headers, **going.auth},
            allow_redirects=False,
            auto_decompress=False,
            timeout=going.timeout,
            raise_for_status=False,  # a borrowed session may want it: what an answer means is for the rules
            # Given per request they would replace those of a borrowed session.
            middlewares=(*getattr(session, "_middlewares", ()), self),
        )
        return unprinted(answer)

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Each time that the request goes over the wire."""
        permit = await self._once_more() if self._times else self._first
        self._times += 1
        self._answered = False
        self._permit = permit
        self._began = False
        watched(request, self._begin, None if permit is None else self._written)
        if not self._call.cookies:
            request.headers.popall("Cookie", None)
        try:
            while True:
                try:
                    answer = await handler(request)
                    break
                except Stale:  # that one is closed: another, until one is usable
                    continue
        except BaseException:
            unwatched(request)
            if not self._began:
                self.full = pool_is_full(self._session)
                forget_address(self._session, request)
            if permit is not None:
                if self._began:
                    permit.sent()  # perhaps: and then the server may count it a little later than now
                permit.cancel()
            raise
        self._answered = True
        if permit is not None:
            permit.done()
        if not self._call.cookies:
            answer._raw_cookie_headers = ()  # or a borrowed session's jar would keep them
        return answer

    async def _once_more(self) -> Permit | None:
        """Only the middleware of a borrowed session repeats what was answered, with a digest, say: it may wait."""
        call = self._call
        if self._answered and call.sign is None:
            return None if call.limiter is None else await call.limiter.acquire(call.cost, max_wait=call.max_wait)
        return self._again()

    def _begin(self) -> None:
        self._began = self.sent = True

    def _written(self) -> None:
        """Of what is longer than a socket's buffer, only the answer tells that all is on its way."""
        if self._call.is_short and self._permit is not None:
            self._permit.sent()
