"""What each token may still do, as the server counts it. Contract: datorama sections 4.1 to 4.3."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asyncconn.datorama import wire
from asyncconn.datorama.pool import moving_on
from asyncconn.errors import AsyncConnError, RateLimited

if TYPE_CHECKING:
    from asyncconn.core.rates.windows import PartSnapshot
    from asyncconn.datorama.pool import TokenPool
    from asyncconn.http.rules import RateHint
    from asyncconn.http.transport import Transport

__all__ = ["Allowance", "allowances"]

_MINUTE = 70.0  # seconds: long enough for a minute's window that is full, and for a pause until it opens


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one token may still do. ``token`` is its place among those of the client, from 1.

    ``parts`` by name: ``"platform"`` calls and ``"query"`` calls of this minute, ``"daily"`` both of this UTC day; each
    has ``remaining`` of its ``limit`` and the seconds it ``resets_in``. Those ``told`` are the server's own count,
    which knows who else uses the token; the others are ours. ``error``: the server did not take the token, or refused
    the call (429): then there are only parts that it told of, as our count is known to be wrong.
    """

    token: int
    parts: dict[str, PartSnapshot]
    told: frozenset[str] = frozenset()
    error: AsyncConnError | None = None


async def allowances(pool: TokenPool) -> list[Allowance]:
    """See ``Datorama.allowances``."""
    return [await _allowance(pool, number, one) for number, one in enumerate(pool.transports, 1)]


async def _allowance(pool: TokenPool, number: int, transport: Transport) -> Allowance:
    told: dict[str, RateHint] = {}
    problem = None
    try:
        # A refusal is the answer to what was asked: it is not repeated, and the next day is not waited for.
        answer = await transport.request(
            *pool.paths.resolve("workspaces.list"), headers=wire.HEADERS, retry=moving_on(transport), max_wait=_MINUTE
        )
        told = {hint.part: hint for hint in wire.hints(answer)}
    except AsyncConnError as error:
        problem = error
    ours = {part.name: part for one in transport.limiters.values() for part in one.snapshot().parts}
    unknown = isinstance(problem, RateLimited) and not problem.local
    parts = {name: _as_told(part, told.get(name)) for name, part in ours.items() if name in told or not unknown}
    return Allowance(number, parts, frozenset(told), problem)


def _as_told(part: PartSnapshot, hint: RateHint | None) -> PartSnapshot:
    if hint is None or hint.remaining is None:
        return part
    return replace(
        part,
        remaining=hint.remaining,
        resets_in=hint.reset_after if hint.reset_after is not None else part.resets_in,
    )
