"""SSH tunnels to what only a server inside another network can reach, such as a customer's database.

:func:`open_tunnel` for code that can await, :class:`SSHTunnel`, the original's class, for code that cannot. Needs
asyncssh: the extra ``ssh``. Contract: panoply section 8 (SSHTunnel).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.core.durations import positive
from asyncconn.core.extras import extra
from asyncconn.core.secret import Secret
from asyncconn.core.tasks import drain_guard
from asyncconn.core.threads import LoopThread
from asyncconn.errors import AsyncConnError, ConfigError, ConnectFailed, ConnectTimeout
from asyncconn.panoply.errors import IncorrectParamError, TunnelRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from pathlib import Path
    from types import TracebackType

    from asyncssh import SSHClientConnection, SSHKey, SSHKnownHosts, SSHListener

__all__ = ["SSHTunnel", "Tunnel", "TunnelServer", "open_tunnel"]

logger = logging.getLogger("asyncconn.panoply.sources.tunnel")

LOCAL_HOST = "127.0.0.1"
_REQUIRED = ("active", "host", "username", "privateKey")
_CLOSE_TIMEOUT = 5.0  # seconds for an orderly goodbye; after that the connection is dropped
_KEEPALIVE = 15.0  # seconds between signs of life; a server that leaves out three of them is gone


# -- parameters --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Login:
    host: str
    port: int
    username: str
    key: Secret
    passphrase: Secret | None
    password: Secret | None


def _check_target(host: Any, port: Any) -> None:
    if not isinstance(host, str) or not host.strip():
        raise IncorrectParamError("Host should be instance of `str`, and not empty")
    if not isinstance(port, int) or isinstance(port, bool):
        raise IncorrectParamError("Port should be instance of `int`")
    if not 0 <= port <= 65535:
        raise IncorrectParamError("Port should be in range [0: 65535]")


def _login(ssh_tunnel: Any) -> _Login:
    if not isinstance(ssh_tunnel, dict):
        raise IncorrectParamError("SSH tunnel should be `dict` object")
    for name in _REQUIRED:
        if not ssh_tunnel.get(name):
            raise IncorrectParamError(f"SSH tunnel object should contain `{name}` property")
    password = _secret(ssh_tunnel, "password")
    key = _secret(ssh_tunnel, "privateKey")
    if key is None:
        raise IncorrectParamError("SSH tunnel object should contain `privateKey` property")
    return _Login(
        host=_text(ssh_tunnel, "host"),
        port=_ssh_port(ssh_tunnel.get("port")),
        username=_text(ssh_tunnel, "username"),
        key=key,
        passphrase=_secret(ssh_tunnel, "passphrase") or password,
        password=password,
    )


def _text(ssh_tunnel: Mapping[str, Any], name: str) -> str:
    value = ssh_tunnel[name]
    if not isinstance(value, str):
        raise IncorrectParamError(f"`{name}` of the SSH tunnel should be text, not {type(value).__name__}")
    return value


def _secret(ssh_tunnel: Mapping[str, Any], name: str) -> Secret | None:
    value = ssh_tunnel.get(name)
    if isinstance(value, Secret):
        value = value.get_secret_value()
    if value is not None and not isinstance(value, str):
        raise IncorrectParamError(f"`{name}` of the SSH tunnel should be text, not {type(value).__name__}")
    return Secret(value) if value else None


def _ssh_port(value: Any) -> int:
    if value is None or value == "":
        return 22
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
        raise IncorrectParamError("`port` of the SSH tunnel should be a number in range [1: 65535]")
    return value


def _prepare(login: _Login, known_hosts: str | Path | None) -> tuple[SSHKey, SSHKnownHosts | None]:
    """Import, decrypt and read what takes its time: for a thread."""
    asyncssh = extra("asyncssh", "ssh")
    key = _read_key(login)
    if known_hosts is None:
        return key, None
    try:
        return key, asyncssh.read_known_hosts(str(known_hosts))
    except (OSError, ValueError) as error:
        raise ConfigError(f"known_hosts cannot be read: {error}") from error


def _read_key(login: _Login) -> SSHKey:
    import asyncssh

    text = login.key.get_secret_value().strip() + "\n"
    passphrase = None if login.passphrase is None else login.passphrase.get_secret_value()
    try:
        return asyncssh.import_private_key(text, passphrase)
    except asyncssh.KeyEncryptionError as error:
        why = str(error).lower()
    except Exception as error:  # noqa: BLE001 - raised with the key in hand: neither it nor its text goes further
        why = str(error).lower() if isinstance(error, asyncssh.KeyImportError) else ""
    if "bcrypt" in why:
        raise ConfigError("`privateKey` has a passphrase in OpenSSH's format, which needs bcrypt: pip install bcrypt")
    # One wrong passphrase in some hundred decrypts to what looks right until it is read.
    garbled = passphrase is not None and "ENCRYPTED" in text
    if "passphrase" not in why and "decrypt" not in why and not garbled:
        raise IncorrectParamError("`privateKey` is not a private key that can be read")
    if passphrase is None:
        raise IncorrectParamError("`privateKey` needs a passphrase: give it as `passphrase`")
    raise IncorrectParamError("`privateKey` cannot be read: its passphrase is another one")


# -- the tunnel --------------------------------------------------------------------------------------------------------


class Tunnel:
    """An open tunnel: connect to ``local_bind_host`` and ``local_bind_port`` instead of the target."""

    def __init__(self, connection: SSHClientConnection, listener: SSHListener) -> None:
        self._connection = connection
        self._listener = listener
        self.local_bind_host = LOCAL_HOST
        self.local_bind_port = listener.get_port()

    def __repr__(self) -> str:
        state = "open" if self.is_active else "closed"
        return f"<Tunnel from {self.local_bind_host}:{self.local_bind_port}, {state}>"

    @property
    def is_active(self) -> bool:
        """Whether it can still be used: False once it is closed, or its SSH connection has broken."""
        return not self._connection.is_closed()

    async def _aclose(self) -> None:
        self._listener.close()
        self._connection.close()
        await drain_guard(self._ended(), timeout=2 * _CLOSE_TIMEOUT, name="asyncconn:ssh:close")

    async def _ended(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._connection.wait_closed()
        except TimeoutError:
            self._connection.abort()
            await self._connection.wait_closed()
        await self._listener.wait_closed()


@asynccontextmanager
async def open_tunnel(
    host: str,
    port: int,
    ssh_tunnel: Mapping[str, Any],
    *,
    known_hosts: str | Path | None = None,
    connect_timeout: float = 30.0,
) -> AsyncIterator[Tunnel]:
    """A port on this machine that leads to ``host`` and ``port`` as an SSH server sees them.

        >>> async with open_tunnel("db.internal", 5432, source["tunnel"]) as tunnel:
        ...     await connect(tunnel.local_bind_host, tunnel.local_bind_port)

    ``ssh_tunnel`` holds ``active`` (true), ``host``, ``port`` (22), ``username`` and ``privateKey`` (text, any kind
    that OpenSSH writes), and may hold ``passphrase`` (the key's) and ``password`` (the login's; the key's too where
    there is no ``passphrase``). It is not changed.

    The server must prove to be one of ``known_hosts``, a file in OpenSSH's format; without it any server is believed,
    and a warning is logged. No other configuration, agent or key of this machine is used. A connection to the target is
    opened and dropped, to see that it can be reached. All this may take ``connect_timeout`` seconds.

    When the SSH connection breaks, connections through the tunnel end, new ones are refused, and ``is_active`` is
    False; it is not taken up again. A silent server counts as broken after about a minute.

    Raises ``IncorrectParamError`` for parameters and keys that cannot work, ``ConfigError`` without asyncssh or for a
    file that cannot be read, ``ConnectTimeout``, ``ConnectFailed`` (the server, or the target from there, or the
    server is not a known one), ``TunnelRefused`` (the login or the forwarding). Contract: panoply section 8.
    """
    _check_target(host, port)
    tunnel = await _connect(host, port, _login(ssh_tunnel), known_hosts, connect_timeout)
    try:
        yield tunnel
    finally:
        await tunnel._aclose()


async def _connect(
    host: str, port: int, login: _Login, known_hosts: str | Path | None, connect_timeout: float
) -> Tunnel:
    positive("connect_timeout", connect_timeout)
    key, hosts = await asyncio.to_thread(_prepare, login, known_hosts)
    if hosts is None:
        logger.warning("the identity of the SSH server %s is not checked: give known_hosts to check it", login.host)
    connection: SSHClientConnection | None = None
    try:
        async with asyncio.timeout(connect_timeout):
            connection = await _logged_in(login, key, hosts)
            _, writer = await connection.open_connection(host, port)
            writer.channel.abort()
            # A cancellation inside would leave a listening socket that nobody knows.
            listening = _listening(connection, host, port)
            listener = await drain_guard(listening, timeout=connect_timeout, name="asyncconn:ssh:listen")
            return Tunnel(connection, listener)
    except BaseException as error:
        if connection is not None:
            connection.abort()
            await drain_guard(connection.wait_closed(), timeout=_CLOSE_TIMEOUT, name="asyncconn:ssh:abort")
        if isinstance(error, Exception) and (ours := _translated(error, login, f"{host}:{port}", connect_timeout)):
            raise ours from error
        raise


async def _logged_in(login: _Login, key: SSHKey, hosts: SSHKnownHosts | None) -> SSHClientConnection:
    """Nothing of the user's own: no configuration files, agent, default keys or certificates."""
    import asyncssh

    return await asyncssh.connect(
        login.host,
        login.port,
        username=login.username,
        client_keys=[key],
        password=None if login.password is None else login.password.get_secret_value(),
        known_hosts=hosts,
        preferred_auth=("publickey", "keyboard-interactive", "password"),
        config=None,
        agent_path=None,
        x509_trusted_certs=None,
        gss_host=None,
        keepalive_interval=_KEEPALIVE,
    )


async def _listening(connection: SSHClientConnection, host: str, port: int) -> SSHListener:
    return await connection.forward_local_port(LOCAL_HOST, 0, host, port)


def _translated(error: Exception, login: _Login, target: str, timeout: float) -> AsyncConnError | None:
    """The error of our tree for one of asyncssh; None for a stranger's."""
    import asyncssh
    from asyncssh.constants import OPEN_ADMINISTRATIVELY_PROHIBITED

    server = f"the SSH server {login.host}:{login.port}"
    if isinstance(error, TimeoutError):
        return ConnectTimeout(f"no tunnel by {server} to {target} within {timeout:g} s")
    if isinstance(error, asyncssh.ChannelOpenError):
        if error.code == OPEN_ADMINISTRATIVELY_PROHIBITED:
            return TunnelRefused(f"{server} does not forward to {target}")
        return ConnectFailed(f"{server} cannot reach {target}: {error.reason}")
    if isinstance(error, asyncssh.PermissionDenied | asyncssh.IllegalUserName):
        return TunnelRefused(f"{server} refused the login of {login.username!r}")
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return ConnectFailed(f"{server} is not the one in known_hosts: {error.reason}")
    if isinstance(error, asyncssh.Error | OSError):
        return ConnectFailed(f"no connection to {server}: {error}")
    return None


# -- for code that cannot await ----------------------------------------------------------------------------------------


class TunnelServer:
    """A tunnel that a thread of its own serves, until :meth:`stop`."""

    def __init__(self, connecting: Callable[[], Coroutine[Any, Any, Tunnel]]) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = LoopThread("asyncconn-ssh-tunnel")
        try:
            self._tunnel = self._thread.run(connecting())
        except BaseException:
            self._thread.close()
            raise
        self.local_bind_host = self._tunnel.local_bind_host
        self.local_bind_port = self._tunnel.local_bind_port

    def __repr__(self) -> str:
        return repr(self._tunnel)

    @property
    def is_active(self) -> bool:
        """Whether it can still be used: False once it is stopped, or its SSH connection has broken."""
        return self._tunnel.is_active

    def stop(self) -> None:
        """Close the port and the SSH connection, and end the thread. Idempotent; takes some seconds at most."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            try:
                self._thread.run(self._tunnel._aclose())
            finally:
                self._thread.close()


class SSHTunnel:
    """The original's tunnel for data sources that cannot await.

        >>> with SSHTunnel("db.internal", 5432, source["tunnel"], platform_ssh=False) as server:
        ...     connect("127.0.0.1", server.local_bind_port)

    With ``platform_ssh`` the platform makes the tunnel: parameters are checked, :attr:`server` is None, and so is what
    ``with`` yields. Without it the constructor opens the tunnel, and blocks until that is done, ``connect_timeout``
    seconds at most; code on an event loop uses :func:`open_tunnel`, where parameters, errors and a broken connection
    are described. Leaving the block, or :meth:`stop`, closes it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ssh_tunnel: Mapping[str, Any],
        platform_ssh: bool = True,
        *,
        known_hosts: str | Path | None = None,
        connect_timeout: float = 30.0,
    ) -> None:
        _check_target(host, port)
        login = _login(ssh_tunnel)
        self.host = host
        self.port = port
        self._text = f"SSH tunnel to {login.host}, for user {login.username}"
        self.server: TunnelServer | None = None
        if not platform_ssh:
            self.server = TunnelServer(lambda: _connect(host, port, login, known_hosts, connect_timeout))

    def __repr__(self) -> str:
        return f"<{self._text}>"

    def __str__(self) -> str:
        return self._text

    def stop(self) -> None:
        """Close the tunnel, if this object opened one. Idempotent."""
        if self.server is not None:
            self.server.stop()

    def __enter__(self) -> TunnelServer | None:
        return self.server

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
