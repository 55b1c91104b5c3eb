from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import pytest

from asyncconn.sandbox import Sandbox

from .scene import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class RawClient:
    """Posts bytes as they are: nothing of a real client is in it."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def post(
        self, data: bytes, url: str | None = None, headers: Mapping[str, str] = FORM, method: str = "POST"
    ) -> Reply:
        url = self.sandbox.panoply.queue_url if url is None else url
        async with self.session.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
            return await Reply.of(response)

    async def send(self, body: str) -> Reply:
        """A message with the right key and secret."""
        panoply = self.sandbox.panoply
        return await self.post(form(body, {"key": panoply.api_key, "secret": panoply.api_secret}))


def form(body: str, attributes: Mapping[str, str] | None = None) -> bytes:
    parts = ["Action=SendMessage", f"MessageBody={quote(body)}"]
    for number, (name, value) in enumerate((attributes or {}).items(), start=1):
        prefix = f"MessageAttribute.{number}"
        parts += [f"{prefix}.Name={quote(name)}", f"{prefix}.Value.DataType=String"]
        parts.append(f"{prefix}.Value.StringValue={quote(value)}")
    return "&".join(parts).encode()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1) as running:
        yield running


@pytest.fixture
async def raw(sandbox: Sandbox) -> AsyncIterator[RawClient]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        yield RawClient(sandbox, session)
    await asyncio.sleep(0)
