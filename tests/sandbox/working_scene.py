"""A plain client for data lake, tasks and workflows of the embedded TCUP; nothing of a real connector is in it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from asyncconn.core.clock import VirtualClock

from . import observing_scene
from .observing_scene import Client, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

DLS, TASKS, WORKFLOWS = "/dls", "/TaskService/v1.0", "/WorkflowService/v1.0"
HOME = "user1/dlsadmin"


class Api(Client):
    """Calls as the admin of the lake unless told; ``user`` is a user's name, None sends no data lake key."""

    async def __call__(
        self,
        method: str,
        path: str,
        given: Any = None,
        *,
        user: str | None = "dlsadmin",
        headers: Mapping[str, str] | None = None,
        params: Any = None,
        data: Any = None,
    ) -> Reply:
        sent = dict(headers or {})
        if user is not None:
            known = self.world.tenant.dls_users.get(user)
            sent["x-dls-key"] = user if known is None else known.key
        return await super().__call__(method, path, given, headers=sent, params=params, data=data)

    async def ok(self, method: str, path: str, given: Any = None, **more: Any) -> Any:
        """The JSON of an answer below 300."""
        reply = await self(method, path, given, **more)
        assert reply.status < 300, (reply.status, reply.text)
        return reply.json if reply.body else None

    # -- data lake -----------------------------------------------------------------------------------------------------

    async def upload(
        self,
        filename: str,
        content: Any = b"data",
        /,
        *,
        user: str | None = "dlsadmin",
        metadata: str | None = None,
        comment: str | None = None,
        **query: str,
    ) -> Reply:
        form = aiohttp.FormData()
        form.add_field("file", content, filename=filename, content_type="text/csv")
        if metadata is not None:
            form.add_field("metadata", metadata)
        if comment is not None:
            form.add_field("comment", comment)
        return await self("POST", f"{DLS}/file", data=form, params={"filename": filename, **query}, user=user)

    async def download(self, uri: str, *, user: str | None = "dlsadmin", **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self("GET", f"{DLS}/file", params={"file-uri": uri}, user=user, headers=sent)

    async def names(self, user: str = "dlsadmin", **query: Any) -> list[str]:
        """Of the files that a search finds; it says 404 for none."""
        reply = await self("GET", f"{DLS}/catalog", params=query, user=user)
        assert reply.status in (200, 404), reply.text
        return [] if reply.status == 404 else [file["name"] for file in reply.json["result"]]

    async def add_user(self, name: str) -> None:
        await self.ok("POST", f"{DLS}/user", [{"dls-user": name, "dls-key": f"key-of-{name}"}])

    # -- tasks ---------------------------------------------------------------------------------------------------------

    async def project(self, name: str = "proj") -> str:
        return str((await self.ok("POST", f"{TASKS}/projects", {"projectName": name}))["projectId"])

    async def task(self, project: str, name: str, code: str | None = "print('ran')", **more: Any) -> str:
        """The path of a new task, deployed unless ``code`` is None."""
        body: dict[str, Any] = {key: more.pop(key) for key in ("jobType", "schedule") if key in more}
        body["jobName"] = name
        made = await self.ok("POST", f"{TASKS}/projects/{project}/tasks", body)
        path = f"{TASKS}/projects/{project}/tasks/{made['jobId']}"
        if code is not None:
            reply = await self.deploy(path, code, **more)
            assert reply.status == 200, reply.text
        return path

    async def deploy(self, path: str, code: str | bytes = "", filename: str = "job.py", **parts: Any) -> Reply:
        form = aiohttp.FormData()
        form.add_field("file", code.encode() if isinstance(code, str) else code, filename=filename)
        for name, value in {"runTime": "py", **parts}.items():
            if isinstance(value, bytes):
                form.add_field(name, value, filename=f"{name}.zip", content_type="application/zip")
            else:
                form.add_field(name, value)
        return await self("POST", f"{path}/deploy", data=form)

    async def until(self, path: str, *states: str) -> Any:
        """The object at ``path`` once it is in one of ``states``."""
        return await self.when(path, lambda shown: shown["status"] in states)

    async def when(self, path: str, holds: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(15):
            while not holds(shown := await self.ok("GET", path)):
                await asyncio.sleep(0.01)
        return shown


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


@asynccontextmanager
async def tcup(*, still: bool = False) -> AsyncIterator[Api]:
    """``still``: the world's clock stands until it is moved on."""
    async with observing_scene.tcup(clock=VirtualClock() if still else None) as client:
        yield Api(client.world, client.http)
