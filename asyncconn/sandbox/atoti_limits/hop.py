"""The hop between the two servers: the session asks Limits to connect, and Limits looks at the session.

A session sends ``GET ping`` and ``POST connections``; Limits reads the session's versions and cubes before it says 201.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp

from asyncconn.sandbox.atoti_limits.discovery import slicing_hierarchies
from asyncconn.sandbox.atoti_limits.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Dialer", "Hop", "Target", "look_at"]

_FAREWELL = aiohttp.ClientTimeout(total=1.0)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a connection leads. URLs have no slash at the end."""

    atoti_url: str
    limits_url: str
    server_name: str


@dataclass(frozen=True, slots=True)
class Hop:
    """What one attempt needs, read anew for each so that knobs may be turned in between."""

    client: aiohttp.ClientSession
    rest: str  # such as /limits/rest/v2
    authorization: str
    as_of_date: str
    server_version: str
    content_path: str


class Dialer:
    """The session's side: tries until Limits has accepted.

    ``connected`` is the target that accepted, ``attempts`` how often it was tried in all, ``failures`` why it did not
    work, the last hundred times.
    """

    def __init__(self, hop: Callable[[], Hop], delay: Callable[[], float], most: Callable[[], int]) -> None:
        self.connected: Target | None = None
        self.attempts = 0
        self.failures: deque[str] = deque(maxlen=100)
        self._hop = hop
        self._delay = delay
        self._most = most
        self._target: Target | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def trying(self) -> bool:
        """Whether an attempt goes on, or another will follow."""
        return self._task is not None and not self._task.done()

    async def connect(self, target: Target) -> None:
        """Begin; nothing new if this target is connected or being tried."""
        async with self._lock:
            if target == self._target and (self.trying or self.connected is not None):
                return
            await self._disconnect()
            self._target = target
            self._task = asyncio.create_task(self._run(target), name="asyncconn-sandbox-limits-connect")

    async def forget(self) -> None:
        """Be as at the beginning, and tell nobody."""
        async with self._lock:
            await self.stop()
            self._target = self.connected = None
            self.attempts = 0
            self.failures.clear()

    async def disconnect(self) -> None:
        """Stop trying, and tell Limits if it may know us."""
        async with self._lock:
            await self._disconnect()

    async def _disconnect(self) -> None:
        await self.stop()
        target, self._target, self.connected = self._target, None, None
        if target is None:
            return
        hop = self._hop()
        path = f"{target.limits_url}{hop.rest}/connections/{quote(target.server_name, safe='')}"
        headers = {"Authorization": hop.authorization}
        try:
            async with hop.client.delete(path, headers=headers, timeout=_FAREWELL):
                pass
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(f"disconnect: {type(error).__name__}")

    async def stop(self) -> None:
        """Stop trying."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, target: Target) -> None:
        tried = 0
        while self._most() < 0 or tried < self._most():
            if tried:
                await asyncio.sleep(self._delay())
            tried += 1
            self.attempts += 1
            try:
                await _ask(self._hop(), target)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures.append(f"{type(error).__name__} at {target.limits_url}")
            except _Refused as error:
                self.failures.append(str(error))
            else:
                self.connected = target
                return


class _Refused(Exception):
    """Limits answered, and not as hoped."""


async def _ask(hop: Hop, target: Target) -> None:
    base = target.limits_url + hop.rest
    async with hop.client.get(f"{base}/ping") as response:
        if response.status != 200:
            raise _Refused(f"ping was answered {response.status}")
    content = {
        "url": target.atoti_url + hop.content_path,
        "version": hop.content_path.rpartition("/v")[2],
    }
    request = {
        "serverName": target.server_name,
        "atotiBaseUrl": target.atoti_url,
        "asOfDate": hop.as_of_date,
        "serverVersion": hop.server_version,
        "contentServer": content,
    }
    headers = {"Authorization": hop.authorization}
    async with hop.client.post(f"{base}/connections", json=request, headers=headers) as response:
        if response.status != 201:
            raise _Refused(f"connections was answered {response.status}: {(await response.text())[:300]}")


async def look_at(client: aiohttp.ClientSession, url: str, as_of_date: str, authorization: str) -> None:
    """Limits' side: whether the session at ``url`` is one to connect to. Raises :class:`Problem`."""
    versions = await _fetch(client, f"{url}/versions/rest", None)
    pivot = _pivot(versions)
    found = await _fetch(client, f"{url}{pivot}/cube/discovery", authorization)
    if as_of_date not in slicing_hierarchies(found):
        raise Problem(422, f"The session has no slicing date hierarchy {as_of_date}".rstrip())


async def _fetch(client: aiohttp.ClientSession, url: str, authorization: str | None) -> dict[str, Any]:
    headers = {"Authorization": authorization} if authorization else {}
    try:
        async with client.get(url, headers=headers) as response:
            if response.status != 200:
                raise Problem(502, f"The session answered {response.status} when Limits connected back")
            document = json.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Problem(502, f"The session could not be reached: {type(error).__name__}") from error
    except ValueError as error:
        raise Problem(502, "The session did not answer with JSON") from error
    if not isinstance(document, dict):
        raise Problem(502, "The session did not answer with an object")
    wrapped = document.get("data") if document.get("status") == "success" else None
    return wrapped if isinstance(wrapped, dict) else document


def _pivot(versions: dict[str, Any]) -> str:
    apis = versions.get("apis", {})
    api = apis.get("activeviam/pivot") or apis.get("pivot") or {}
    usable = {
        int(version["id"].removeprefix("v")): version["restPath"]
        for version in api.get("versions", ())
        if version.get("restPath")
    }
    if not usable:
        raise Problem(502, "The session offers no version of its pivot API")
    return str(usable[max(usable)])
