"""Both servers together: what a sandbox has of Atoti Limits."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.sandbox.atoti_limits.limits import FakeLimitsServer
from asyncconn.sandbox.atoti_limits.session import FakeAtotiSession
from asyncconn.sandbox.atoti_limits.workflows import PENDING
from asyncconn.sandbox.views import View, Work
from asyncconn.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncconn.sandbox.exchange import Answer, Call
    from asyncconn.sandbox.world import Place

__all__ = ["LimitsWorld"]

_MOST = 30  # approvals that are shown
_VERSIONS = {1: "3.3.1", 2: "4.2.1", 3: "6.2.2"}


class LimitsWorld(World):
    """The embedded session and Limits server, each on a port of its own. Reached as ``sandbox.atoti_limits``, too.

        async with Sandbox(LimitsWorld(generation=2, session={"not_ready": True})) as sandbox:
            ...
            sandbox.atoti_limits.session.not_ready = False

    ``session`` and ``limits`` are further arguments of the two servers, and the servers once it is in a sandbox: their
    knobs may be turned while they run. Generation 1 is Limits before 4.0: the server then says 3.3.1, unless
    ``limits`` names another version. ``url`` is the session's.
    """

    name = "atoti-limits"

    def __init__(
        self,
        *,
        generation: Literal[1, 2, 3] = 3,
        base_path: str = "",
        session: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        self._of_session = {"generation": generation, "base_path": base_path, **(session or {})}
        self._of_limits = {"version": _VERSIONS.get(generation, ""), **(limits or {})}

    def __repr__(self) -> str:
        if self._place is None:
            return super().__repr__()
        return f"<LimitsWorld {self.session!r} {self.limits!r}>"

    @cached_property
    def limits(self) -> FakeLimitsServer:
        """The Limits server."""
        return FakeLimitsServer(**{**self._common(), "seed": self.place.seed, **self._of_limits})

    @cached_property
    def session(self) -> FakeAtotiSession:
        """The Atoti session."""
        return FakeAtotiSession(**{**self._common(), **self._of_session})

    @property
    def url(self) -> str:
        """Where the session is. Raises :class:`~asyncconn.errors.LifecycleError` when it is not open."""
        return self.session.url

    def settle(self, place: Place) -> None:
        """Make the two servers."""
        super().settle(place)
        _ = self.limits, self.session

    def env(self) -> dict[str, str]:
        """Addresses, and the user ``admin`` for a client's settings."""
        admin = self.session.users["admin"]
        return {
            "ATOTI_BASE_URL": self.session.url,
            "ATOTI_LIMITS_URL": self.limits.url,
            "ASYNCCONN_ATOTI_LIMITS_USER": admin.name,
            "ASYNCCONN_ATOTI_LIMITS_PASSWORD": admin.password,
        }

    async def open(self, url: str) -> None:
        """Start both, Limits first, as the session may connect at once."""
        await self.limits.start()
        if self.session.limits_url is None:
            self.session.limits_url = self.limits.url
        await self.session.start()

    async def close(self) -> None:
        """Stop both."""
        await asyncio.gather(self.session.stop(), self.limits.stop())

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Nothing: the two servers answer, on their own ports."""
        return False

    async def answer(self, call: Call) -> Answer:
        """There is nothing at the sandbox's own address."""
        return self.refusal(call, 404)

    async def view(self) -> View:
        """Whether the session is connected, and the changes that wait for an approval."""
        store, session = self.limits.store, self.session
        name = session.server_name
        status = "CONNECTED" if session.connected else "TRYING" if session.trying else "NOT CONNECTED"
        detail = f"attempts: {session.attempts}" + (
            f", last failure: {session.failures[-1]}" if session.failures else ""
        )
        waiting = [limit for limit in store.limits.values() if limit["limitStatus"] in PENDING]
        counters = {
            "calls": len(session.arrivals) + len(self.limits.arrivals),
            "structures": len(store.structures),
            "limits": sum(limit["limitStatus"] != "DELETED" for limit in store.limits.values()) + len(store.v1_limits),
            "incidents": len(store.incidents),
        }
        work = [Work("connection", name, f"{name} to Limits", status, session.trying, detail)]
        work += [Work("approval", one["limitId"], one["limitId"], one["limitStatus"], True) for one in waiting[-_MOST:]]
        return View(counters, work=work)

    def secrets(self) -> list[str]:
        """Those of both."""
        return [*self.session.secrets(), *self.limits.secrets()]

    async def reset(self) -> None:
        """Both begin anew, Limits first."""
        await self.limits.reset()
        await self.session.reset()

    def _common(self) -> dict[str, Any]:
        place = self.place
        return {"host": place.host, "faults": place.faults, "clock": place.clock, "log": place.log}
