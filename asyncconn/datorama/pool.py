"""One token or several: each call takes the one that can go soonest and may see the workspace.

Contract: datorama section 4.5.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncconn.datorama import paths, wire
from asyncconn.datorama.errors import NotVisible
from asyncconn.errors import Forbidden, QuotaExhausted, RateLimited, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncconn.http.response import Response
    from asyncconn.http.transport import Stream, Transport

__all__ = ["TokenPool"]


class TokenPool:
    """Sends calls through one of several transports, one a token.

    A 429 or a day that is used up moves the call on to the next token; a 401 or 403 never does: it is raised, and says
    which token it was. Which token may see which workspace is asked once, when a pool of several first needs it.
    """

    def __init__(self, transports: Sequence[Transport], headers: Mapping[str, str] = wire.HEADERS) -> None:
        self.transports = tuple(transports)
        self._headers = headers
        self._visible: dict[Transport, frozenset[int]] = {}
        self._asking = asyncio.Lock()

    async def request(
        self, method: str, path: str, *, limit: str = "default", workspace_id: int | None = None, **options: Any
    ) -> Response:
        """A call, as ``Transport.request``. ``workspace_id`` is whose it is, where that is known."""
        if len(self.transports) == 1:
            return await self.transports[0].request(method, path, limit=limit, headers=self._headers, **options)

        async def through(transport: Transport, last: bool) -> Response:
            # Only when there is nobody left to go to does a call wait for a token that was refused.
            retry = transport.retry if last else replace(transport.retry, max_retry_after=-1.0)
            return await transport.request(method, path, limit=limit, headers=self._headers, retry=retry, **options)

        return await self._first(through, limit, workspace_id)

    def stream(self, path: str, *, workspace_id: int | None = None) -> Stream:
        """A download. Opened with the token that can go soonest among those known to see the workspace."""
        transports = [one for one in self.transports if self._may_see(one, workspace_id)] or list(self.transports)
        chosen = min(transports, key=_wait("default"))
        return chosen.stream("GET", path, headers={**self._headers, "Accept": "*/*"})

    async def _first(self, through: Callable[[Transport, bool], Any], limit: str, workspace_id: int | None) -> Response:
        left = await self._candidates(workspace_id)
        exhausted: list[QuotaExhausted] = []
        while True:
            transport = min(left, key=_wait(limit))
            left.remove(transport)
            try:
                answer: Response = await through(transport, not left)
            except QuotaExhausted as error:
                exhausted.append(error)
                if not left:
                    raise min(exhausted, key=lambda one: one.resets_at) from error
            except RateLimited as error:
                if error.local or not left:
                    raise
            except (Unauthorized, Forbidden) as error:
                error.message += f" (token {self.transports.index(transport) + 1} of {len(self.transports)})"
                raise
            else:
                return answer

    async def _candidates(self, workspace_id: int | None) -> list[Transport]:
        if workspace_id is None:
            return list(self.transports)
        if len(self._visible) < len(self.transports):
            async with self._asking:
                for transport in self.transports:
                    if transport not in self._visible:
                        await self.workspaces(transport)
        found = [one for one in self.transports if self._may_see(one, workspace_id)]
        if not found:
            raise NotVisible(f"none of the {len(self.transports)} tokens may see workspace {workspace_id}")
        return found

    async def workspaces(self, transport: Transport) -> Any:
        """The raw list of workspaces that one token may see; remembered for later choices."""
        answer = await transport.request("GET", paths.WORKSPACES, headers=self._headers)
        found = answer.json()
        if isinstance(found, list):
            self._visible[transport] = frozenset(
                one["id"] for one in found if isinstance(one, dict) and isinstance(one.get("id"), int)
            )
        return found

    def _may_see(self, transport: Transport, workspace_id: int | None) -> bool:
        return workspace_id is None or workspace_id in self._visible.get(transport, frozenset())


def _wait(limit: str) -> Callable[[Transport], tuple[float, int]]:
    def key(transport: Transport) -> tuple[float, int]:
        limiter = transport.limiters[limit]
        books = limiter.snapshot()
        return limiter.estimated_wait(), books.waiting - books.remaining

    return key
