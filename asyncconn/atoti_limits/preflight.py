"""Looking before connecting whether it can work. Contract: limits sections 5.1, 6, 7."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.discovery import check_slicing_hierarchy, pivot_path
from asyncconn.atoti_limits.errors import LimitsProtocolError, SlicingHierarchyMissing
from asyncconn.atoti_limits.reports import CubeCheck, PreflightReport
from asyncconn.atoti_limits.wire import document
from asyncconn.errors import ApiError, ProtocolError

if TYPE_CHECKING:
    from asyncconn.atoti_limits.calling import Calling

__all__ = ["look"]


async def look(
    calling: Calling,
    *,
    versions: bool = False,
    ping: bool = False,
    discovery: bool = False,
    limits: bool = False,
    as_of_date: str | None = None,
) -> PreflightReport:
    """See ``AtotiLimits.preflight``; here a step is one that is asked for."""
    report = PreflightReport()
    pivot = calling.paths.path("session.pivot")
    if versions:
        found = document(await calling.request("session.versions"))
        pivot = f"/{pivot_path(found).strip('/')}"
        report = replace(report, session_version=_server_version(found))
    if ping:
        answer = await calling.request("session.ping", pivot=pivot)
        if answer.text != "pong":
            raise LimitsProtocolError(f"session.ping: the session at {calling.session.base_url} did not answer pong")
        report = replace(report, ping=True)
    if discovery:
        cubes = check_slicing_hierarchy(document(await calling.request("session.discovery", pivot=pivot)), as_of_date)
        report = replace(report, cubes=tuple(cubes), warnings=_warnings(cubes))
    if limits:
        report = replace(report, limits=True, limits_version=await _limits_version(calling))
    return report


def _warnings(cubes: list[CubeCheck]) -> tuple[str, ...]:
    """What is not as it should be. Raises ``SlicingHierarchyMissing`` when nothing could be connected to."""
    if not cubes:
        raise SlicingHierarchyMissing("the session has no cube yet")
    if all(cube.status == "missing" for cube in cubes):
        raise SlicingHierarchyMissing("; ".join(cube.message for cube in cubes), checks=cubes)
    return tuple(cube.message for cube in cubes if cube.status != "ok")


async def _limits_version(calling: Calling) -> str | None:
    """The version of the Limits server, which is up if it tells; None if it only answers its ping."""
    try:
        found = document(await calling.request("server.versions"))
        if isinstance(found, dict):
            return _server_version(found)
    except (ApiError, ProtocolError):
        pass  # it is there, and older, or another version: then it has a ping
    answer = await calling.request("server.ping")
    if answer.text != "pong":
        raise LimitsProtocolError(f"server.ping: what runs at {calling.server.base_url} did not answer pong")
    return None


def _server_version(versions: Any) -> str | None:
    version = versions.get("serverVersion") if isinstance(versions, dict) else None
    return version if isinstance(version, str) else None
