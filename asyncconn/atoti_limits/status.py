"""What works of a session and its Limits server, step by step. Contract: limits sections 5, 6, 10.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.atoti_limits.errors import SessionUnreachable
from asyncconn.atoti_limits.preflight import look
from asyncconn.atoti_limits.reports import StatusReport, StatusStep
from asyncconn.atoti_limits.resources.connections import Connections
from asyncconn.core.notes import with_notes
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.atoti_limits.connection import Connecting

__all__ = ["status"]

Found = tuple[bool, str]


async def status(connecting: Connecting) -> StatusReport:
    """See ``AtotiLimits.status``."""
    asking = _Asking(connecting)
    steps: list[StatusStep] = []
    away = False
    for what, ask, at_session in (
        ("session", asking.session, True),
        ("credential", asking.credential, True),
        ("cubes", asking.cubes, True),
        ("Limits server", asking.limits, False),
        ("known to Limits", asking.known, False),
        ("connected", asking.connected, connecting.generation > 1),
    ):
        if at_session and away:
            steps.append(StatusStep(what, None, "not asked"))
            continue
        step, lost = await _step(what, ask)
        steps.append(step)
        away = away or lost
    return StatusReport(tuple(steps))


async def _step(what: str, ask: Callable[[], Awaitable[Found]]) -> tuple[StatusStep, bool]:
    """How it is, and whether the session turned out not to be there."""
    try:
        return StatusStep(what, *await ask()), False
    except AsyncConnError as problem:
        return StatusStep(what, False, with_notes(problem)), isinstance(problem, SessionUnreachable)


class _Asking:
    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._calling = connecting.calling

    async def session(self) -> Found:
        report = await look(self._calling, versions=True)
        return True, f"{report.session_version or 'an Atoti server'} at {self._calling.session.base_url}"

    async def credential(self) -> Found:
        await look(self._calling, versions=True, ping=True)
        return True, "accepted by the session"

    async def cubes(self) -> Found:
        report = await look(self._calling, versions=True, discovery=True)
        return True, "; ".join(f"{one.cube}: {one.status}" for one in report.cubes)

    async def limits(self) -> Found:
        report = await look(self._calling, limits=True)
        return True, f"{report.limits_version or 'a Limits server'} at {self._calling.server.base_url}"

    async def known(self) -> Found:
        found = await Connections(self._calling).list()
        words = ", ".join(f"{one.server_name}{'' if one.connected else ' (not connected)'}" for one in found)
        return any(one.server_name == self._connecting.server_name for one in found), words or "no session"

    async def connected(self) -> Found:
        answer = await self._connecting.connected()
        return answer, "yes" if answer else "no"
