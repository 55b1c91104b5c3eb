"""What both ways of an attempt have in common: its permit, whether anything was written, and when it may go again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.errors import ConnectFailed, ConnectionLost, TransportError

if TYPE_CHECKING:
    import aiohttp

    from asyncconn.core.rates.limiter import Permit
    from asyncconn.http.request import Call

__all__ = ["Attempt"]


class Attempt:
    """Pays for each time a request goes over the wire, and knows whether it did.

    An idempotent request goes again when its connection broke: each time takes a permit, and a call that may not go out
    twice does not.
    """

    def __init__(self, call: Call, permit: Permit | None, session: aiohttp.ClientSession) -> None:
        self._call = call
        self._first = permit
        self._session = session
        self._times = 0
        self.sent = False  # something may have been written, this time or before
        self.full = False  # no connection could be had, for all were in use

    async def send(self, going: Call) -> aiohttp.ClientResponse:
        """The answer to the call as it is ``going`` out, signed where it has to be; its body is still to be read."""
        raise NotImplementedError

    def _again(self) -> Permit | None:
        """A permit for the same request again, if it may go out twice and one can be had without waiting.

        If not, our own retries take over: the wait for a permit is then no part of this attempt's time.
        """
        call = self._call
        if call.sign is None and (call.repeatable or not self.sent):
            call.resent = call.resent or self.sent
            if call.limiter is None:
                return None
            if (permit := call.limiter.acquire_nowait(call.cost)) is not None:
                return permit
        kind: type[TransportError] = ConnectionLost if self.sent else ConnectFailed
        raise kind(f"{call.service}: {call.method} {call.path}: the connection broke to {call.host}")

    def end(self) -> None:
        """A permit that no request ever used is given back."""
        if not self._times and self._first is not None:
            self._first.cancel()
