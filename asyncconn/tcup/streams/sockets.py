"""A connected socket, made without a thread: an attempt that is given up leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from asyncconn.errors import ConfigError, ConnectFailed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["opened", "tls_context"]

_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def tls_context(ca_file: str | None, minimum: str) -> ssl.SSLContext:
    """Trust the system's authorities, or those of a PEM file; refuse versions below ``minimum``. It reads from disk.

    Raises ``ConfigError`` for a file that cannot be read or has no certificate in it.
    """
    if minimum not in _MINIMUM:
        raise ConfigError(f"mqtt: tls_minimum is one of {', '.join(_MINIMUM)}, not {minimum!r}")
    try:
        made = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"mqtt: ca_file {ca_file} cannot be used: {error.strerror or error}") from error
    made.minimum_version = _MINIMUM[minimum]
    return made


async def opened(host: str, port: int, tls: ssl.SSLContext | None) -> socket.socket:
    """A connection to the first address of ``host`` that takes one, TLS included. Raises ``ConnectFailed``."""
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(f"the name {host} was not found: {error}") from error
    problem: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock if tls is None else await _secured(sock, tls, host)
        except OSError as error:
            sock.close()
            problem = error
            if isinstance(error, ssl.SSLError):
                break
        except BaseException:
            sock.close()
            raise
    raise _failed(problem, host, port) from problem


async def _secured(sock: socket.socket, tls: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    secured = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(secured, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)
            except ssl.SSLWantWriteError:
                await _ready(secured, asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer)
            else:
                return secured
    except BaseException:
        secured.close()
        raise


async def _ready(sock: socket.socket, watch: Callable[..., object], leave: Callable[[int], object]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    number = sock.fileno()
    watch(number, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        leave(number)


def _failed(error: OSError | None, host: str, port: int) -> ConnectFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        made = ConnectFailed(f"the certificate of {host}:{port} is not trusted: {error.verify_message}")
        made.permanent = True
        return made
    why = "it has no address" if error is None else error.strerror or str(error)
    return ConnectFailed(f"no connection to {host}:{port}: {why}")
