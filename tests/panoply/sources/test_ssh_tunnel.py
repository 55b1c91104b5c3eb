"""Tunnels through a real sshd."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from helpers import cancel_at_every_await, until
from loopback import Server

from asyncconn.errors import AsyncConnError, ConfigError, ConnectFailed, ConnectTimeout
from asyncconn.panoply.errors import IncorrectParamError, TunnelRefused
from asyncconn.panoply.sources.tunnel import SSHTunnel, Tunnel, open_tunnel

from . import ssh_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from .ssh_server import SshServer

pytestmark = pytest.mark.service("sshd")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server.running(tmp_path_factory.mktemp("ssh") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def key(server: SshServer) -> str:
    return server.key("ours", "-t", "ed25519")


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that says back what it hears."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async with Server(serve) as listening:
        yield listening.port


@pytest.fixture
def echo_thread() -> Iterator[int]:
    """The same, for code that cannot await."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(one: socket.socket) -> None:
        with one, suppress(ConnectionError):
            while data := one.recv(65536):
                one.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                one, _ = listening.accept()
                threading.Thread(target=serve, args=(one,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


async def said(tunnel: Tunnel, words: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(tunnel.local_bind_host, tunnel.local_bind_port)
    try:
        writer.write(words)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


# -- what passes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "passphrase"),
    [
        (("-t", "rsa", "-b", "2048"), ""),
        (("-t", "rsa", "-b", "2048", "-m", "PEM"), ""),
        (("-t", "rsa", "-b", "2048", "-m", "PEM"), "a made-up passphrase"),
        (("-t", "ed25519"), ""),
        (("-t", "ed25519"), "a made-up passphrase"),
        (("-t", "ecdsa", "-m", "PKCS8"), ""),
        (("-t", "ecdsa", "-m", "PKCS8"), "a made-up passphrase"),
    ],
    ids=lambda value: "-".join(value[1::2]) if isinstance(value, tuple) else value and "passphrase",
)
async def test_every_kind_of_key_opens_a_tunnel(
    server: SshServer, echo: int, options: tuple[str, ...], passphrase: str, request: pytest.FixtureRequest
) -> None:
    name = "kind-" + "".join(c for c in request.node.name if c.isalnum())
    key = server.key(name, *options, passphrase=passphrase)
    more = {"passphrase": passphrase, "password": "not the key's"} if passphrase else {}
    async with open_tunnel("127.0.0.1", echo, server.parameters(key, **more)) as tunnel:
        assert await said(tunnel, b"hello") == b"hello"


async def test_the_password_alone_opens_a_key_too(server: SshServer, echo: int) -> None:
    key = server.key("by-password", "-t", "ed25519", passphrase="made up")
    async with open_tunnel("127.0.0.1", echo, server.parameters(key, password="made up")) as tunnel:
        assert await said(tunnel, b"hello") == b"hello"


async def test_many_connections_share_a_tunnel_without_mixing(server: SshServer, key: str, echo: int) -> None:
    words = [os.urandom(300_000) for _ in range(8)]
    async with open_tunnel("127.0.0.1", echo, server.parameters(key)) as tunnel:
        assert tunnel.is_active
        assert repr(tunnel) == f"<Tunnel from 127.0.0.1:{tunnel.local_bind_port}, open>"
        assert await asyncio.gather(*[said(tunnel, word) for word in words]) == words
    assert not tunnel.is_active
    assert await refused(tunnel.local_bind_port)


def test_the_synchronous_tunnel_serves_from_its_own_thread(server: SshServer, key: str, echo_thread: int) -> None:
    parameters = server.parameters(key, port=str(server.port))
    given = dict(parameters)
    with SSHTunnel("127.0.0.1", echo_thread, parameters, False) as forwarder:
        assert forwarder is not None
        assert forwarder.is_active
        with socket.create_connection((forwarder.local_bind_host, forwarder.local_bind_port), timeout=5) as one:
            one.sendall(b"hello")
            assert one.recv(100) == b"hello"
    assert parameters == given
    assert not forwarder.is_active
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", forwarder.local_bind_port), timeout=5)


@pytest.mark.parametrize("by", ["tunnel", "server", "error"])
def test_a_synchronous_tunnel_is_stopped_once_by_whoever_asks(
    server: SshServer, key: str, echo_thread: int, by: str
) -> None:
    tunnel = SSHTunnel("127.0.0.1", echo_thread, server.parameters(key), platform_ssh=False)
    assert tunnel.server is not None
    if by == "error":
        with pytest.raises(ZeroDivisionError), tunnel:
            _ = 1 / 0
    (tunnel.server if by == "server" else tunnel).stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tunnel.server.local_bind_port), timeout=5)
    tunnel.stop()
    tunnel.server.stop()


def test_several_tunnels_add_no_log_handlers(server: SshServer, key: str, echo_thread: int) -> None:
    loggers = [logging.getLogger(name) for name in ("", "asyncssh", "asyncconn")]
    before = [list(one.handlers) for one in loggers]
    for _ in range(2):
        with SSHTunnel("127.0.0.1", echo_thread, server.parameters(key), False):
            pass
    assert [list(one.handlers) for one in loggers] == before


# -- whom it believes --------------------------------------------------------------------------------------------------


async def test_a_known_server_is_believed_without_a_warning(
    server: SshServer, key: str, echo: int, caplog: pytest.LogCaptureFixture
) -> None:
    known = server.known_hosts()
    async with open_tunnel("127.0.0.1", echo, server.parameters(key), known_hosts=known) as tunnel:
        assert await said(tunnel, b"hello") == b"hello"
    assert [record for record in caplog.records if record.name.startswith("asyncconn")] == []


async def test_an_unknown_server_is_believed_with_one_warning(
    server: SshServer, key: str, echo: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_tunnel("127.0.0.1", echo, server.parameters(key)):
        pass
    [warning] = [record for record in caplog.records if record.name.startswith("asyncconn")]
    assert (warning.levelname, "known_hosts" in warning.getMessage()) == ("WARNING", True)


async def test_a_server_with_another_key_than_the_known_one_is_not_believed(
    server: SshServer, key: str, echo: int
) -> None:
    known = server.known_hosts("ours.pub")
    with pytest.raises(ConnectFailed, match="not the one in known_hosts"):
        async with open_tunnel("127.0.0.1", echo, server.parameters(key), known_hosts=known):
            pytest.fail("it was believed")


async def test_a_missing_known_hosts_file_is_named(server: SshServer, key: str, echo: int) -> None:
    with pytest.raises(ConfigError, match=r"known_hosts cannot be read.*nowhere"):
        async with open_tunnel("127.0.0.1", echo, server.parameters(key), known_hosts="/nowhere"):
            pytest.fail("it was read")


# -- what is refused ---------------------------------------------------------------------------------------------------


async def test_a_key_that_the_server_does_not_know_is_refused(server: SshServer, echo: int) -> None:
    key = server.key("stranger", "-t", "ed25519", allowed=False)
    with pytest.raises(TunnelRefused, match="refused the login of"):
        async with open_tunnel("127.0.0.1", echo, server.parameters(key, password="made up")):
            pytest.fail("it was let in")


async def test_a_passphrase_that_is_wrong_or_missing_is_told_apart(server: SshServer, echo: int) -> None:
    for number, form in enumerate([[], ["-m", "PEM"], ["-m", "PKCS8"]]):
        key = server.key(f"locked-{number}", "-t", "ecdsa", *form, passphrase="made up")
        for more, says in [({}, "needs a passphrase"), ({"passphrase": "other"}, "its passphrase is another one")]:
            with pytest.raises(IncorrectParamError, match=says):
                async with open_tunnel("127.0.0.1", echo, server.parameters(key, **more)):
                    pytest.fail("it was opened")


@pytest.mark.parametrize(
    ("more", "says"),
    [("AllowTcpForwarding no", "does not forward to"), ("PermitOpen 127.0.0.1:1", "does not forward to")],
)
async def test_a_server_that_does_not_forward_says_so_at_once(
    tmp_path_factory: pytest.TempPathFactory, echo: int, more: str, says: str
) -> None:
    with ssh_server.running(tmp_path_factory.mktemp("ssh") / "strict", more) as strict:
        key = strict.key("ours", "-t", "ed25519")
        with pytest.raises(TunnelRefused, match=says):
            async with open_tunnel("127.0.0.1", echo, strict.parameters(key)):
                pytest.fail("it was opened")


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def test_a_target_that_the_server_cannot_reach_is_named(server: SshServer, key: str) -> None:
    port = closed_port()
    with pytest.raises(ConnectFailed, match=f"cannot reach 127.0.0.1:{port}: Connection refused"):
        async with open_tunnel("127.0.0.1", port, server.parameters(key)):
            pytest.fail("it was opened")


async def test_a_server_that_is_not_there_is_named(server: SshServer, key: str, echo: int) -> None:
    port = closed_port()
    with pytest.raises(ConnectFailed, match=f"no connection to the SSH server 127.0.0.1:{port}"):
        async with open_tunnel("127.0.0.1", echo, server.parameters(key, port=port)):
            pytest.fail("it was opened")


async def test_a_server_that_says_nothing_is_given_up_in_time(server: SshServer, key: str, echo: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        parameters = server.parameters(key, port=silent.getsockname()[1])
        with pytest.raises(ConnectTimeout, match=r"within 0\.2 s"):
            async with open_tunnel("127.0.0.1", echo, parameters, connect_timeout=0.2):
                pytest.fail("it was opened")


async def test_a_server_that_does_not_speak_ssh_is_named(server: SshServer, key: str, echo: int) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 2000)
        await writer.drain()

    async with Server(babble) as listening:
        parameters = server.parameters(key, port=listening.port)
        with pytest.raises(ConnectFailed, match="no connection to the SSH server"):
            async with open_tunnel("127.0.0.1", echo, parameters):
                pytest.fail("it was opened")


def test_a_synchronous_tunnel_that_fails_leaves_no_thread(server: SshServer, key: str) -> None:
    with pytest.raises(ConnectFailed):
        SSHTunnel("127.0.0.1", closed_port(), server.parameters(key), platform_ssh=False)
    assert [thread.name for thread in threading.enumerate() if "ssh-tunnel" in thread.name] == []


async def test_neither_key_nor_password_is_in_any_text(
    server: SshServer, echo: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    passphrase, password = "Opens-the-key-1", "Opens-the-door-2"
    key = server.key("secret", "-t", "ed25519", passphrase=passphrase, allowed=False)
    texts: list[str] = []
    for more in (
        {"passphrase": passphrase, "password": password},
        {"passphrase": password},
        {"privateKey": key[:200], "passphrase": passphrase},
    ):
        try:
            async with open_tunnel("127.0.0.1", echo, server.parameters(**{"key": key, **more})):
                pytest.fail("it was let in")
        except AsyncConnError as error:
            texts += [repr(error), *traceback.format_exception(error)]
    texts += [record.getMessage() for record in caplog.records] + [repr(record.args) for record in caplog.records]
    assert any(record.name == "asyncssh" for record in caplog.records)
    for secret in (passphrase, password, *key.split()[4:-5]):
        assert not any(secret in text for text in texts), "a secret was told"


# -- how it ends -------------------------------------------------------------------------------------------------------


async def test_when_the_server_dies_connections_end_and_the_port_closes(
    tmp_path_factory: pytest.TempPathFactory, echo: int
) -> None:
    with ssh_server.running(tmp_path_factory.mktemp("ssh") / "mortal") as mortal:
        key = mortal.key("ours", "-t", "ed25519")
        async with open_tunnel("127.0.0.1", echo, mortal.parameters(key)) as tunnel:
            reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.local_bind_port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            mortal.kill()
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            for _ in range(200):
                if not tunnel.is_active:
                    break
                await asyncio.sleep(0.01)
            assert not tunnel.is_active
            assert await refused(tunnel.local_bind_port)


async def test_a_connection_that_is_still_open_ends_with_the_tunnel(server: SshServer, key: str, echo: int) -> None:
    async with open_tunnel("127.0.0.1", echo, server.parameters(key)) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.local_bind_port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_tunnel_can_be_cancelled_anywhere_and_leaves_nothing(server: SshServer, key: str, echo: int) -> None:
    opened: list[Tunnel] = []

    async def use() -> None:
        async with open_tunnel("127.0.0.1", echo, server.parameters(key)) as tunnel:
            opened.append(tunnel)
            await asyncio.sleep(0)

    async def make() -> Callable[[], Awaitable[Any]]:
        return use

    async def check(error: BaseException | None) -> None:
        for tunnel in opened:
            assert not tunnel.is_active
            assert await refused(tunnel.local_bind_port)
        opened.clear()

    assert await cancel_at_every_await(make, check) >= 5


@pytest.mark.parametrize("how", ["scope", "twice"])
async def test_a_block_left_by_cancellation_closes_the_tunnel(server: SshServer, key: str, echo: int, how: str) -> None:
    opened: list[Tunnel] = []

    async def use() -> None:
        async with open_tunnel("127.0.0.1", echo, server.parameters(key)) as tunnel:
            opened.append(tunnel)
            await asyncio.sleep(3600)

    if how == "scope":
        with contextlib.suppress(TimeoutError):
            with anyio.fail_after(3600) as scope:
                async with asyncio.TaskGroup() as group:

                    async def leave() -> None:
                        await until(lambda: opened)
                        scope.cancel()

                    group.create_task(leave())
                    await use()
    else:
        task = asyncio.ensure_future(use())
        await until(lambda: opened)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    assert not opened[0].is_active
    assert await refused(opened[0].local_bind_port)
