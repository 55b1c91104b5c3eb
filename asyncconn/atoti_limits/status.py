"""What works of a session and its Limits server, step by step. Contract: limits sections 5, 6, 10.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    steps: dict[str, StatusStep] = {}
    asked = "session" if connecting.generation > 1 else "Limits server"
    for what, ask, *needed in (
        ("session", asking.session),
        ("credential", asking.credential, "session"),
        ("cubes", asking.cubes, "session", "credential"),
        ("Limits server", asking.limits),
        ("known to Limits", asking.known, "Limits server", "credential"),
        ("connected", asking.connected, asked, "credential"),
    ):
        failed = any(steps[name].ok is False for name in needed)  # and would only fail again
        steps[what] = StatusStep(what, None, "not asked") if failed else await _step(what, ask)
    return StatusReport(tuple(steps.values()))


async def _step(what: str, ask: Callable[[], Awaitable[Found]]) -> StatusStep:
    try:
        return StatusStep(what, *await ask())
    except AsyncConnError as problem:
        return StatusStep(what, False, with_notes(problem))


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
