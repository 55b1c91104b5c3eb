"""Both servers together, as a part of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.sandbox.atoti_limits.limits import FakeLimitsServer
from asyncconn.sandbox.atoti_limits.session import FakeAtotiSession

if TYPE_CHECKING:
    from asyncconn.core.clock import Clock
    from asyncconn.sandbox.faults import Faults

__all__ = ["AtotiLimitsSandbox", "LimitsWorld"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsWorld:
    """What ``Sandbox(atoti_limits=...)`` starts: ``session`` and ``limits`` are further arguments of the two servers.

    Generation 1 is Limits before 4.0: the server then says 3.3.1, unless ``limits`` names another version.

    >>> LimitsWorld(generation=2, session={"not_ready": True}).generation
    2
    """

    generation: Literal[1, 2, 3] = 3
    base_path: str = ""
    session: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


class AtotiLimitsSandbox:
    """The embedded session and Limits server. Reached as ``sandbox.atoti_limits``.

    ``session`` and ``limits`` are the two, whose knobs may be turned while they run.
    """

    def __init__(self, world: LimitsWorld, faults: Faults, clock: Clock, seed: int | str | None) -> None:
        version = {1: "3.3.1", 2: "4.2.1", 3: "6.2.2"}[world.generation]
        common: dict[str, Any] = {"faults": faults, "clock": clock}
        self.limits = FakeLimitsServer(**common, **{"version": version, "seed": seed, **world.limits})
        self.session = FakeAtotiSession(
            **common, **{"generation": world.generation, "base_path": world.base_path, **world.session}
        )

    def __repr__(self) -> str:
        return f"<AtotiLimitsSandbox {self.session!r} {self.limits!r}>"

    @property
    def session_url(self) -> str:
        """Where the session is. Raises :class:`~asyncconn.errors.LifecycleError` when it is not open."""
        return self.session.url

    @property
    def limits_url(self) -> str:
        """Where Limits is. Raises :class:`~asyncconn.errors.LifecycleError` when it is not open."""
        return self.limits.url

    def env(self) -> dict[str, str]:
        """Addresses, and the user ``admin`` for a client's settings."""
        admin = self.session.users["admin"]
        return {
            "ATOTI_BASE_URL": self.session_url,
            "ATOTI_LIMITS_URL": self.limits_url,
            "ASYNCCONN_ATOTI_LIMITS_USER": admin.name,
            "ASYNCCONN_ATOTI_LIMITS_PASSWORD": admin.password,
        }

    async def start(self, host: str) -> None:
        """Start both on free ports of ``host``; Limits first, as the session may connect at once."""
        self.limits.host = self.session.host = host
        await self.limits.start()
        if self.session.limits_url is None:
            self.session.limits_url = self.limits.url
        await self.session.start()

    async def stop(self) -> None:
        """Stop both; takes at most about two seconds."""
        try:
            await self.session.stop()
        finally:
            await self.limits.stop()
