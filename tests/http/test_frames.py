"""A traceback that shows the values of our frames shows no credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from loopback import DROP, Loopback, Reply, road, saying
from pydantic import SecretStr
from secrecy import chain, locals_of_ours

from asyncconn.core.retrying import ONCE
from asyncconn.errors import AsyncConnError, ConfigError
from asyncconn.http.auth import Auth, BasicAuth, HeaderKey, NoAuth, TokenAuth
from asyncconn.http.redact import UnshownBytes, UnshownText

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.http.transport import Transport

SECRET = "very-s3cret/value"


async def _provided() -> str:
    return SECRET


class Own(NoAuth):
    """A user's, which knows nothing of masks."""

    async def headers(self) -> dict[str, str]:
        return {"X-Own": SECRET}

    def secrets(self) -> list[SecretStr]:
        return [SecretStr(SECRET)]


AUTHS: dict[str, Callable[[], Auth]] = {
    "a key": lambda: HeaderKey("X-Key", SECRET),
    "a password": lambda: BasicAuth("user", SECRET),
    "a token": lambda: TokenAuth(SECRET),
    "a provider": lambda: TokenAuth(_provided),
    "a user's own": Own,
}
REPLIES = {
    "dropped": DROP,
    "garbage": Reply(raw=b"garbage\r\n\r\n", close=True),
    "half a body": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", close=True),
    "late": Reply(after=60.0),
    "redirected": Reply(302, headers={"Location": "/"}),
    "refused": saying({"error": f"bad {SECRET}"}, 400),
    "refused for now": saying({"error": f"bad {SECRET}"}, 429),
    "unauthorized": saying({"error": f"bad {SECRET}"}, 401),
}


async def _asked(http: Transport) -> None:
    await http.request("POST", "/", json={"a": 1}, timeout=0.2)


async def _streamed(http: Transport) -> None:
    async with http.stream("GET", "/", idle_timeout=0.2) as stream:
        _ = [chunk async for chunk in stream]


HOWS = {"request": _asked, "stream": _streamed}


def shown(error: AsyncConnError) -> str:
    lines = locals_of_ours(error, "aiohttp.")  # its frames have the headers, too
    assert lines, "no frame was looked at"
    return "\n".join([*lines, *(f"{one} {one!r} {vars(one)!r}" for one in chain(error))])


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("auth", AUTHS)
async def test_whatever_a_call_ends_in(auth: str, reply: str, how: str) -> None:
    async with Loopback(otherwise=REPLIES[reply]) as server, road(server, auth=AUTHS[auth](), retry=ONCE) as http:
        with pytest.raises(AsyncConnError) as caught:
            await HOWS[how](http)

    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HeaderKey("X-Key", f"{SECRET}\n"),
        lambda: BasicAuth("us:er", SECRET),
        lambda: BasicAuth("user", f"{SECRET}\ud800"),
        lambda: TokenAuth(f"{SECRET}\n"),
    ],
    ids=["a key", "a user", "a password", "a token"],
)
def test_a_credential_that_is_refused(make: Callable[[], NoAuth]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()

    assert SECRET not in shown(caught.value)


async def test_a_token_of_a_provider_that_is_refused() -> None:
    async def two_lines() -> str:
        return f"{SECRET}\n"

    async with Loopback() as server, road(server, auth=TokenAuth(two_lines)) as http:
        with pytest.raises(ConfigError) as caught:
            await http.request("GET", "/")

    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize("masked", [UnshownText(SECRET), UnshownBytes(SECRET.encode())])
def test_what_is_masked_prints_masked_and_is_what_it_was(masked: Any) -> None:
    assert SECRET not in f"{masked!r} {[masked]} { ({'a': masked})!r} {masked!r:>40}"
    assert bytes(str(masked), "ascii") == SECRET.encode() if isinstance(masked, str) else masked == SECRET.encode()


def test_the_start_of_a_masked_text_is_masked_as_well() -> None:
    assert SECRET[:4] not in repr(UnshownText(SECRET)[:4])
