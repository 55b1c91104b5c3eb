"""A service of the platform: its calls, for one tenant."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import cached_property
from typing import TYPE_CHECKING

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.tcup.asking import Ask, Router
from asyncconn.sandbox.tcup.voice import Refused, error_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.tcup.asking import Route

__all__ = ["Service"]


class Service:
    """One tenant's part of a service; ``path`` and ``target`` of the calls it is given begin below its base path."""

    def routes(self) -> Iterable[Route]:
        """Method, pattern and handler of each call."""
        raise NotImplementedError

    async def answer(self, call: Call) -> Answer:
        """Carry the call out. What a handler refuses is answered in the service's own words."""
        try:
            handler, args = self._router.find(call.method, call.target)
            said = handler(Ask(call, args))
            return await said if isinstance(said, Awaitable) else said
        except Refused as refused:
            return self.refused(refused)

    def refused(self, refused: Refused) -> Answer:
        """What a handler refused, in the service's own form."""
        return self.worded(refused)

    @classmethod
    def takes_pieces(cls, method: str, below: str) -> bool:
        """Whether such a call's body is read from ``call.pieces``."""
        return False

    @classmethod
    def worded(cls, refused: Refused) -> Answer:
        """What the gateway refused: the key, the token, the rate."""
        return error_answer(refused)

    @classmethod
    def stranger(cls) -> Refused:
        """What one hears whose API key is not known."""
        return Refused(403, "Invalid API key")

    async def close(self) -> None:
        """End what still runs."""

    @cached_property
    def _router(self) -> Router:
        return Router(self.routes())
