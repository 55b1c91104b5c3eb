"""One attempt, signed by its credential just before it is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncconn.errors import AsyncConnError, ConfigError
from asyncconn.http.auth import in_time
from asyncconn.http.outgoing import credential
from asyncconn.http.request import Outgoing

if TYPE_CHECKING:
    from asyncconn.http.auth import Auth
    from asyncconn.http.exchange import Call
    from asyncconn.http.redact import Redactor

__all__ = ["signed"]


async def signed(call: Call, auth: Auth, redactor: Redactor) -> Call:
    """An attempt with what the credential adds to its URL and headers.

    Raises ``NotSent`` when it takes too long, and ``ConfigError`` for what is no error of ours.
    """
    body = call.body if isinstance(call.body, bytes | memoryview) else b"" if call.body is None else None
    request = Outgoing(call.method, call.url, {**call.headers, **call.auth}, None if body is None else bytes(body))
    try:
        await in_time(call.service, auth.sign(request), call.patience)
    except AsyncConnError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {redactor.scrub(str(error))}"
        raise ConfigError(f"{call.what}: its credential could not sign it: {why}") from error
    return replace(call, url=request.address(), headers={**request.headers, **credential(request.added())}, auth={})
