"""Connecting session and Limits: look first, ask once, wait. Contract: limits sections 5, 6, 7, 12.4."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.causes import not_excluded
from asyncconn.atoti_limits.discovery import CubeCheck, check_slicing_hierarchy, pivot_path
from asyncconn.atoti_limits.errors import (
    ConnectionTimedOut,
    LimitsProtocolError,
    SessionUnreachable,
    SlicingHierarchyMissing,
)
from asyncconn.atoti_limits.wire import boolean, document, passing
from asyncconn.core.durations import positive
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.core.retrying import ONCE
from asyncconn.errors import ApiError, ConfigError, PollTimeout, ProtocolError

if TYPE_CHECKING:
    from asyncconn.atoti_limits.client import AtotiLimits

__all__ = ["Connected", "PreflightReport"]


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """What the preflight found. A step that was switched off leaves its field as it is here."""

    session_version: str | None = None
    ping: bool = False
    cubes: tuple[CubeCheck, ...] = ()
    limits: bool = False
    limits_version: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connected:
    """How it went: after how many ``seconds`` and ``polls``, and what the ``preflight`` found, if there was one."""

    seconds: float
    polls: int
    preflight: PreflightReport | None = None


async def preflight(
    client: AtotiLimits, *, versions: bool, ping: bool, discovery: bool, limits: bool, as_of_date: str | None
) -> PreflightReport:
    """See ``AtotiLimits.preflight``."""
    report = PreflightReport()
    pivot = client.paths.path("session.pivot")
    if versions:
        found = document(await client.call("session.versions"))
        pivot = f"/{pivot_path(found).strip('/')}"
        report = replace(report, session_version=_server_version(found))
    if ping:
        answer = await client.call("session.ping", pivot=pivot)
        if answer.text != "pong":
            raise LimitsProtocolError(f"session.ping: the session at {client.session_url} did not answer pong")
        report = replace(report, ping=True)
    if discovery:
        cubes = check_slicing_hierarchy(document(await client.call("session.discovery", pivot=pivot)), as_of_date)
        report = replace(report, cubes=tuple(cubes), warnings=_warnings(cubes))
    if limits:
        report = replace(report, limits=True, limits_version=await _limits_version(client))
    return report


def _warnings(cubes: list[CubeCheck]) -> tuple[str, ...]:
    """What is not as it should be. Raises ``SlicingHierarchyMissing`` when nothing could be connected to."""
    if not cubes:
        raise SlicingHierarchyMissing("the session has no cube yet")
    if all(cube.status == "missing" for cube in cubes):
        raise SlicingHierarchyMissing("; ".join(cube.message for cube in cubes), checks=cubes)
    return tuple(cube.message for cube in cubes if cube.status != "ok")


async def _limits_version(client: AtotiLimits) -> str | None:
    """The version of the Limits server, which is up if it tells; None if it only answers its ping."""
    try:
        found = document(await client.call("server.versions"))
        if isinstance(found, dict):
            return _server_version(found)
    except (ApiError, ProtocolError):
        pass  # it is there, and older, or another version: then it has a ping
    answer = await client.call("server.ping")
    if answer.text != "pong":
        raise LimitsProtocolError(f"server.ping: what runs at {client.limits_url} did not answer pong")
    return None


def _server_version(versions: Any) -> str | None:
    version = versions.get("serverVersion") if isinstance(versions, dict) else None
    return version if isinstance(version, str) else None


async def connect(client: AtotiLimits) -> None:
    """See ``AtotiLimits.connect``."""
    if client.generation == 1:
        raise ConfigError("the plugin of generation 1 connects by itself, once the cube exists: wait_connected()")
    body = dict(client.connect_body)
    if client.generation == 3:
        own = {
            "atotiBaseUrl": client.session_url,
            "limitsBaseUrl": client.limits_url,
            "serverName": client.server_name,
        }
        body = {**own, **body}
    # Only what surely did not arrive is sent again: not what got no answer, nor what was refused with a 429.
    policy = replace(client.http.retry, maybe_sent="never", max_retry_after=-1.0)
    await client.call("autoconfig.connect", json=body or None, retry=policy)


async def connected(client: AtotiLimits, **options: Any) -> bool:
    """See ``AtotiLimits.connected``; ``options`` are the request's."""
    if client.generation == 1:
        known = await client.connections.list(**options)
        return any(one.server_name == client.server_name and one.connected is True for one in known)
    return boolean(await client.call("autoconfig.connected", **options))


async def once(client: AtotiLimits) -> bool:
    """:func:`connected` in one request: not even aiohttp sends it again over a new connection."""
    return await connected(client, retry=ONCE, idempotent=False)


async def disconnect(client: AtotiLimits) -> None:
    """See ``AtotiLimits.disconnect``."""
    if client.generation != 3:
        raise ConfigError(f"generation {client.generation} cannot disconnect: end the session, or use generation 3")
    await client.call("autoconfig.disconnect")


async def wait_connected(
    client: AtotiLimits,
    *,
    timeout: float,
    preflight: bool | Mapping[str, Any],
    predicate: Callable[[], Awaitable[bool]] | None,
) -> Connected:
    """See ``AtotiLimits.wait_connected``."""
    positive("timeout", timeout)
    clock = client.hub.clock
    started = clock.now()
    report: PreflightReport | None = None
    lost: SessionUnreachable | None = None

    def too_late(message: str, cause: BaseException | None, *, last: Any = None, polls: int = 0) -> ConnectionTimedOut:
        causes = not_excluded(
            generation=client.generation,
            session_url=client.session_url,
            limits_url=client.limits_url,
            timeout=timeout,
            report=report,
        )
        error = ConnectionTimedOut(message, last=last, polls=polls, causes=[str(one) for one in causes])
        error.__cause__ = cause
        return error

    step = "the preflight"
    try:
        async with asyncio.timeout(timeout) as limit:
            if preflight is not False:
                report = await client.preflight(**({} if preflight is True else preflight))
            step = "connect"
            if client.generation > 1:
                try:
                    await client.connect()
                except SessionUnreachable as error:
                    if not error.maybe_sent:
                        raise
                    lost = error  # it may have arrived: the polls will tell
    except TimeoutError:
        if not limit.expired():
            raise
        raise too_late(f"{step} had no answer within {timeout:g} s", None) from None
    left = timeout - (clock.now() - started)
    if left <= 0:
        raise too_late(f"not connected after {timeout:g} s", lost)

    poller = Poller(
        _asking(client, predicate),
        done=bool,
        result=bool,
        policy=replace(POLLING, deadline=left),
        clock=clock,
        name="the connection",
        passing=passing,
    )
    try:
        await poller
    except PollTimeout as error:
        failure = error.__cause__ or lost
        why = f"; {failure}" if failure is not None else ""
        raise too_late(
            f"not connected after {timeout:g} s{why}", failure, last=error.last, polls=error.polls
        ) from failure
    return Connected(clock.now() - started, poller.polls, report)


#: Section 5.1: 0.25 s, then half as much again each time up to 2 s.
POLLING = PollPolicy(first=0.25, minimum=0.25, maximum=2.0, share=0.5, jitter=0.1, tolerate=10_000)


def _asking(client: AtotiLimits, predicate: Callable[[], Awaitable[bool]] | None) -> Callable[[], Awaitable[bool]]:
    """One poll: a single request."""

    async def ask() -> bool:
        if predicate is None:
            return await once(client)
        answer = await predicate()
        if answer is not True and answer is not False:
            raise ConfigError(f"the predicate must return True or False, not {type(answer).__name__}")
        return answer

    return ask
