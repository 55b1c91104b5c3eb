"""Why ``connected`` stays false, and what speaks against it. Pure functions. Contract: limits section 13."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from asyncconn.atoti_limits.reports import PreflightReport

__all__ = ["Cause", "not_excluded"]

_EXPECTED = 3090  # the port
_SECOND_ATTEMPT = 15.0  # seconds: the connector behind the session waits 10 between two


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason by its ``name``, in words, and what to do about it."""

    name: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}"


ADDRESS = Cause(
    "limits_url",
    "the session does not reach Limits at the address it expects",
    "check that Limits runs there; Limits 4.2.1 works with http://localhost:3090 only",
)
KEYS = Cause(
    "jwt_keys",
    "session and Limits have different JWT key pairs",
    "give both the same RSA pair",
)
CREDENTIALS = Cause(
    "credentials",
    "limits.auth or ap.auth is wrong",
    "each is the Base64 of user:password that the other server takes",
)
ROLES = Cause(
    "roles",
    "users or roles differ between the two servers, or the ACTIVITI roles are missing",
    "give both servers the same users and roles",
)
SLICING = Cause(
    "slicing_hierarchy",
    "no cube has a slicing date hierarchy",
    "set hierarchy.slicing = True for a date",
)
NAME = Cause(
    "server_name",
    "the server name is not the one that Limits knows the session by",
    "compare it with target-servers[].name in the properties of Limits",
)
CUBE = Cause(
    "cube",
    "there was no cube yet",
    "connect once the cube exists",
)
DEADLINE = Cause(
    "deadline",
    "the timeout was shorter than the session's own wait before its second attempt, 10 s",
    "allow 15 s and more",
)


def not_excluded(
    *, generation: int, session_url: str, limits_url: str, timeout: float, report: PreflightReport | None
) -> tuple[Cause, ...]:
    """The causes that neither the generation nor the preflight (None: there was none) rules out."""
    found = [ADDRESS, CREDENTIALS if generation == 1 else KEYS, ROLES, SLICING, NAME, CUBE]
    if report is not None:
        if report.cubes:
            found.remove(CUBE)
        if any(cube.status == "ok" for cube in report.cubes):
            found.remove(SLICING)
        if report.limits and _same_way(generation, URL(session_url), URL(limits_url)):
            found.remove(ADDRESS)
    if timeout < _SECOND_ATTEMPT:
        found.append(DEADLINE)
    return tuple(found)


def _same_way(generation: int, session: URL, limits: URL) -> bool:
    """Whether what we reach as Limits is surely what the session means by it."""
    if generation == 1 or (generation == 2 and not (_loopback(limits) and limits.port == _EXPECTED)):
        return False  # it has an address of its own, which we do not know
    return not _loopback(limits) or _loopback(session)


def _loopback(url: URL) -> bool:
    host = url.host or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
