"""A message on its way through a hub, as a form or by AWS's client: what holds for one holds for both."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncconn.core.retrying import ONCE
from asyncconn.http.redact import Redactor
from asyncconn.http.sqs import SqsClient
from asyncconn.http.transport import Timeouts, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncconn.hub import Hub

both = pytest.mark.parametrize("sender", ["form", "sqs"])
PATIENT = Timeouts(connect=5.0, total=5.0)
HASTY = Timeouts(connect=0.4, total=0.4)


@asynccontextmanager
async def sending(
    hub: Hub, url: str, sender: str, timeouts: Timeouts = PATIENT
) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """A function that sends one message to ``url``, once."""
    if sender == "form":
        http = Transport(lambda: hub.session, service="test", base_url=url, retry=ONCE, timeouts=timeouts)
        yield lambda: http.request("POST", "/q", data=b"x")
        return
    client = SqsClient(
        lambda: hub.session,
        queue_url=f"{url}/1/q",
        endpoint_url=url,
        region="us-east-1",
        timeouts=timeouts,
        redactor=Redactor(),
    )
    try:
        yield lambda: client.send_message("x", {})
    finally:
        await client.aclose()
