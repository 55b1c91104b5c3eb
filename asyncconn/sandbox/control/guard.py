"""Who may use the page and the control: this machine, and no web page from elsewhere."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["objection"]


def objection(peer: str, headers: Mapping[str, str], *, navigates: bool = False) -> str | None:
    """Why this request is refused, or None. ``navigates``: a link from elsewhere may lead here.

    A page elsewhere can send requests to this machine, also under a name of its own (DNS rebinding): its browser says
    so by ``Host``, ``Origin`` and ``Sec-Fetch-Site``.

    >>> objection("127.0.0.1", {"Host": "localhost:9324"})
    >>> objection("127.0.0.1", {"Host": "evil.example:9324"})
    "this is for this machine only: the Host header must be localhost or a loopback address, not 'evil.example:9324'"
    """
    host = headers.get("Host", "")
    if not _is_loopback(peer):
        return "this is for this machine only: the request must come from a loopback address"
    if not _is_ours(host):
        return f"this is for this machine only: the Host header must be localhost or a loopback address, not {host!r}"
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return f"this is for the sandbox's own page: a page from {origin!r} may not use it"
    site = headers.get("Sec-Fetch-Site", "none")
    if site not in ("none", "same-origin") and not navigates:
        return f"this is for the sandbox's own page: a page elsewhere ({site}) may not use it"
    return None


def _is_ours(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback
