"""What a request leaves behind: nothing that only the cyclic collector finds. It holds the credential and the body."""

from __future__ import annotations

import gc

import aiohttp
import pytest
from loopback import OK, Loopback

from asyncconn.http.auth import TokenAuth
from asyncconn.http.transport import Transport
from asyncconn.hub import Hub

TOKEN = "s3cret-t0ken"


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_was_answered_is_gone_at_once(borrowed: bool, method: str) -> None:
    session = aiohttp.ClientSession() if borrowed else None
    async with Loopback(OK) as server, Hub(session=session) as hub:
        http = Transport(lambda: hub.session, service="t", base_url=server.url, auth=TokenAuth(TOKEN))
        await http.request(method, "/", data=b"body" if method == "POST" else None)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await http.request(method, "/", data=b"body" if method == "POST" else None)
            found = gc.collect()
        finally:
            gc.enable()
    if session is not None:
        await session.close()

    assert found < 10  # less than one object a request
