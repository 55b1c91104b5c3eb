"""What an SSH tunnel asks of its parameters, before anything is opened."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from pydantic import SecretStr

from asyncconn.errors import ConfigError
from asyncconn.panoply.errors import IncorrectParamError
from asyncconn.panoply.sources.tunnel import SSHTunnel, _login, _read_key, open_tunnel

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nbWFkZSB1cA==\n-----END OPENSSH PRIVATE KEY-----\n"
GOOD: dict[str, Any] = {"active": True, "host": "ssh.example", "username": "me", "privateKey": KEY}
RANGE = "Port should be in range [0: 65535]"
INT = "Port should be instance of `int`"


def without(name: str, **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in GOOD.items() if key != name}, **more}


def needs(name: str) -> str:
    return f"SSH tunnel object should contain `{name}` property"


@pytest.mark.parametrize(
    ("host", "port", "tunnel", "says"),
    [
        (None, -5, None, "Host should be instance of `str`, and not empty"),
        ("  ", 5432, GOOD, "Host should be instance of `str`, and not empty"),
        ("db", "5432", None, INT),
        ("db", 5432.0, GOOD, INT),
        ("db", True, GOOD, INT),
        ("db", -5, None, RANGE),
        ("db", 65536, GOOD, RANGE),
        ("db", 5432, None, "SSH tunnel should be `dict` object"),
        ("db", 5432, [("active", True)], "SSH tunnel should be `dict` object"),
        ("db", 5432, {}, needs("active")),
        ("db", 5432, {**GOOD, "active": False}, needs("active")),
        ("db", 5432, without("host", username=""), needs("host")),
        ("db", 5432, without("username"), needs("username")),
        ("db", 5432, {**GOOD, "privateKey": ""}, needs("privateKey")),
        ("db", 5432, {**GOOD, "privateKey": SecretStr("")}, needs("privateKey")),
        ("db", 5432, {**GOOD, "host": 5}, "`host` of the SSH tunnel should be text, not int"),
        ("db", 5432, {**GOOD, "password": b"made up"}, "`password` of the SSH tunnel should be text, not bytes"),
        ("db", 5432, {**GOOD, "passphrase": 1}, "`passphrase` of the SSH tunnel should be text, not int"),
        *[
            ("db", 5432, {**GOOD, "port": port}, "`port` of the SSH tunnel should be a number in range [1: 65535]")
            for port in (0, 65536, -1, True, "ssh", "-22", 22.5)
        ],
    ],
)
@pytest.mark.parametrize("kind", ["platform", "own", "async"])
def test_parameters_are_checked_in_order_and_in_the_original_words(
    host: Any, port: Any, tunnel: Any, says: str, kind: str
) -> None:
    async def in_async_code() -> None:
        async with open_tunnel(host, port, tunnel):
            pytest.fail("it was opened")

    calls: dict[str, Callable[[], Any]] = {
        "platform": lambda: SSHTunnel(host, port, tunnel),
        "own": lambda: SSHTunnel(host, port, tunnel, platform_ssh=False),
        "async": lambda: asyncio.run(in_async_code()),
    }
    with pytest.raises(IncorrectParamError) as caught:
        calls[kind]()
    assert caught.value.message == says
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize("port", [None, "", 22, "22", " 2222 ", 65535])
@pytest.mark.parametrize("target", [0, 65535])
def test_in_platform_mode_there_is_no_server_and_nothing_is_changed(port: Any, target: int) -> None:
    given = {**GOOD, "port": port}
    before = dict(given)
    tunnel = SSHTunnel("db", target, given)
    assert tunnel.server is None
    with tunnel as server:
        assert server is None
    tunnel.stop()
    assert given == before


def test_the_texts_of_a_tunnel_hold_no_secret() -> None:
    tunnel = SSHTunnel("db", 5432, {**GOOD, "password": "made-up-1", "passphrase": "made-up-2"})
    assert str(tunnel) == "SSH tunnel to ssh.example, for user me"
    for text in (str(tunnel), repr(tunnel), repr(vars(tunnel))):
        assert "made-up" not in text
        assert "PRIVATE" not in text


@pytest.mark.parametrize(
    "key",
    ["not a key", KEY, "schlüssel", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"],
)
def test_what_is_not_a_key_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(IncorrectParamError, match="not a private key that can be read") as caught:
        SSHTunnel("db", 5432, {**GOOD, "privateKey": key}, platform_ssh=False)
    error = caught.value
    assert key not in str(error)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_a_timeout_that_leaves_no_time_is_refused(timeout: float) -> None:
    with pytest.raises(ConfigError, match="connect_timeout"):
        SSHTunnel("db", 5432, GOOD, platform_ssh=False, connect_timeout=timeout)


def test_without_asyncssh_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(ConfigError, match=r"asyncconn\[ssh\]"):
        SSHTunnel("db", 5432, GOOD, platform_ssh=False)
    assert SSHTunnel("db", 5432, GOOD).server is None


def test_a_wrong_passphrase_that_decrypts_to_garbage_is_called_wrong_all_the_same() -> None:
    """Some of them get past the padding of the key's cipher, and fail only when the rest is read."""
    text = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key("pkcs1-pem", "made up").decode()

    def says(passphrase: str) -> str:
        with pytest.raises(asyncssh.KeyImportError) as caught:
            asyncssh.import_private_key(text, passphrase)
        return str(caught.value)

    garbled = next(name for name in map("other {}".format, range(20_000)) if "decrypt" not in says(name))
    login = _login({"active": True, "host": "h", "username": "u", "privateKey": text, "passphrase": garbled})
    with pytest.raises(IncorrectParamError, match="its passphrase is another one"):
        _read_key(login)
