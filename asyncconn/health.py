"""Whether a program is ready for work: everything in its hub is asked, and what is not well says why."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from asyncconn.core.clock import shown_end
from asyncconn.core.durations import positive, seconds
from asyncconn.errors import ConfigError
from asyncconn.hub import Hub, HubState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from asyncconn.core.buffer.figures import BufferFigures
    from asyncconn.core.rates.limiter import RateSnapshot
    from asyncconn.core.rates.registry import AccountFigures
    from asyncconn.core.supervise import StreamFigures

__all__ = ["Check", "Readiness", "ReadinessPolicy", "readiness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessPolicy:
    """What makes a program not ready. All times in seconds.

    A record that has waited longer than ``max_age`` to be sent, a call that would have to wait longer than ``max_wait``
    for a rate or a quota, a record that was lost less than ``after_loss`` ago (0: that does not count). One that is
    asked and has not answered within ``timeout`` is not well; Kubernetes itself waits 1 s unless it is told otherwise.
    ``without`` are checks to leave out, by name or by pattern; that of the hub itself cannot be left out.
    Raises ``ConfigError`` for what is no time, or no collection of names.

    >>> ReadinessPolicy(max_age=10.0, without=("atoti_limits *",)).counts("atoti_limits connected")
    False
    """

    max_age: float = 30.0
    max_wait: float = 300.0
    after_loss: float = 300.0
    timeout: float = 0.8
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_age", "max_wait", "timeout"):
            positive(f"ReadinessPolicy.{name}", getattr(self, name))
        seconds("ReadinessPolicy.after_loss", self.after_loss)
        names: object = self.without
        if (
            isinstance(names, str)
            or not isinstance(names, Collection)
            or not all(isinstance(one, str) for one in names)
        ):
            raise ConfigError(f'ReadinessPolicy.without is a collection of names, as ("panoply *",), not {names!r}')

    def counts(self, name: str) -> bool:
        """Whether the check of that name is not left out."""
        return not any(fnmatchcase(name, pattern) for pattern in self.without)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be well: its ``name``, whether it is ``ok``, and ``why`` not. It holds no secret."""

    name: str
    ok: bool
    why: str = ""

    @classmethod
    def of(cls, name: str, trouble: str) -> Self:
        """One that is well as long as there is no ``trouble``."""
        return cls(name, not trouble, trouble)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether all ``checks`` are well: then a program is ``ready``."""

    ready: bool
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, checks: Iterable[Check]) -> Self:
        """What these checks say together: ready, unless one of them is not well. So without any it is ready."""
        found = tuple(checks)
        return cls(all(check.ok for check in found), found)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that are not well."""
        return tuple(check for check in self.checks if not check.ok)


async def readiness(hub: Hub, policy: ReadinessPolicy | None = None) -> Readiness:
    """Whether everything in ``hub`` is well, within ``policy.timeout`` seconds, and without a call of any platform but
    those that a connector needs to know it (Atoti Limits is asked once a second at most, whoever asks).

    There is a check of the hub itself, one for each rate (whether a call can go), for each buffer (whether it has room,
    its records leave, and none was lost), for the connections that are kept up, and what each connector's own
    :meth:`~asyncconn.Connector.checks` says.

        >>> state = await readiness(hub)
        >>> state.ready, [f"{check.name}: {check.why}" for check in state.failed]
        (False, ['panoply losses: records were lost, the last 12 s ago'])

    Raises ``WrongLoop`` on another event loop than the hub's.
    """
    policy = policy or ReadinessPolicy()
    if hub.state is not HubState.OPEN:
        return Readiness.of([Check.of("hub", f"it is {_STATES[hub.state]}")])
    figures, now = hub.figures(), hub.clock.now()
    told = await asyncio.gather(*[_asked(one, policy, hub._late) for one in hub.connectors])
    itself = Check.of("hub", "")
    checks = chain(
        [itself],
        _of_accounts(figures.accounts, policy, hub.clock.utcnow()),
        chain.from_iterable(_of_buffer(buffer, policy, now) for buffer in figures.buffers),
        [_of_streams(streams) for streams in figures.streams],
        chain.from_iterable(told),
    )
    return Readiness.of(check for check in _distinct(checks) if check is itself or policy.counts(check.name))


_STATES = {HubState.NEW: "not open yet", HubState.DRAINING: "closing", HubState.CLOSED: "closed"}


def _of_accounts(accounts: Iterable[AccountFigures], policy: ReadinessPolicy, now: datetime) -> Iterator[Check]:
    """One for each limit of a platform: a call can go by one of its accounts."""
    limits: dict[str, list[tuple[float, str]]] = {}
    for account in accounts:
        for rate in account.rates:
            limits.setdefault(f"{account.platform} rate {rate.limit}", []).append(_wait(rate.snapshot))
    for name, waits in limits.items():
        wait, why = min(waits)
        late = f"{why}: no call before {shown_end(now, wait, '%Y-%m-%d %H:%M:%S UTC')}"
        yield Check.of(name, late if wait > policy.max_wait else "")


def _wait(snapshot: RateSnapshot) -> tuple[float, str]:
    """The seconds before the next call may go, and what it waits for."""
    used_up = [(part.resets_in, f"{part.name} is used up") for part in snapshot.parts if part.remaining <= 0]
    return max([*used_up, (snapshot.paused_for, "the server asked for a pause")])


def _of_buffer(buffer: BufferFigures, policy: ReadinessPolicy, now: float) -> Iterator[Check]:
    """It has room, its records leave, and none was lost lately."""
    stats, ago = buffer.stats, math.inf if buffer.stats.lost_at is None else now - buffer.stats.lost_at
    full = f"it is full: {stats.pending:,} records wait" if buffer.full else ""
    late = f"the oldest record has waited {stats.oldest_age:.0f} s" if stats.oldest_age > policy.max_age else ""
    what = "were lost" if buffer.spool is None else "failed and are in the spool"
    lost = f"records {what}, the last {ago:.0f} s ago" if ago < policy.after_loss else ""
    for what, trouble in (("room", full), ("age", late), ("losses", lost)):
        yield Check.of(f"{buffer.name} {what}", trouble)


def _of_streams(streams: StreamFigures) -> Check:
    """All that are open are live."""
    down = f"{streams.down} of {streams.live + streams.down} are down" if streams.down else ""
    return Check.of(f"{streams.name} connections", down)


async def _asked(connector: Any, policy: ReadinessPolicy, late: dict[asyncio.Task[Any], Any]) -> list[Check]:
    """What it says of itself; no answer, or an error, is one that is not well. ``late`` are those asked still."""
    if any(one is connector and not task.done() for task, one in late.items()):
        return [_unwell(connector, "it was asked before, and has not answered yet")]
    asking = asyncio.create_task(_said(connector, policy), name="asyncconn:readiness")
    try:
        await asyncio.wait({asking}, timeout=policy.timeout)
    finally:
        if not asking.done():  # who does not end when it is cancelled is not waited for
            late[asking] = connector
            asking.add_done_callback(lambda asked: _ended(asked, late))
            asking.cancel()
    if not asking.done():
        return [_unwell(connector, f"no answer within {policy.timeout:g} s")]
    if asking.cancelled():
        return [_unwell(connector, "asking was cancelled")]
    error = asking.exception()  # its text is not told: a stranger's may quote a credential
    return asking.result() if error is None else [_unwell(connector, f"asking failed: {type(error).__name__}")]


async def _said(connector: Any, policy: ReadinessPolicy) -> list[Check]:
    # Who stands for a noun without a connector has nothing to say.
    found: object = await connector.checks(policy) if hasattr(connector, "checks") else ()
    if isinstance(found, Collection) and all(map(_told, found)):
        return list(found)
    return [_unwell(connector, "its checks() gave something else than a list of Check")]


def _told(check: object) -> bool:
    """Whether it is a check, with what belongs in one."""
    return isinstance(check, Check) and list(map(type, (check.name, check.ok, check.why))) == [str, bool, str]


def _ended(asking: asyncio.Task[list[Check]], late: dict[asyncio.Task[Any], Any]) -> None:
    del late[asking]
    if not asking.cancelled():
        asking.exception()  # nobody waits for it


def _unwell(connector: Any, why: str) -> Check:
    platform = getattr(connector, "platform", None)
    return Check.of(f"{getattr(platform, 'name', type(connector).__name__)} answer", why)


def _distinct(checks: Iterable[Check]) -> Iterator[Check]:
    """With a number where several have the same name, as of two connectors of one platform."""
    seen: Counter[str] = Counter()
    for check in checks:
        seen[check.name] += 1
        number = seen[check.name]
        yield check if number == 1 else replace(check, name=f"{check.name} ({number})")
