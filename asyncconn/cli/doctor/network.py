"""Whether an address can be reached: its name, the proxy, the connection and TLS, each by its name. Nothing is sent."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from yarl import URL

from asyncconn.cli.doctor.check import Check, failed
from asyncconn.cli.output import plain
from asyncconn.errors import AsyncConnError, ConfigError, ConnectFailed
from asyncconn.http.failures import translated
from asyncconn.http.session import Network, ProxyRule
from asyncconn.settings import HubSettings, load, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Roads", "surroundings"]

_SECONDS = 5.0
_SOON = timedelta(days=14)
_FIREWALL = "is it running, and does a firewall or a proxy stand between?"
_USELESS = "repeating does not help: "
_PROXIES = ("ASYNCCONN_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_DIRECTLY = f"({' or '.join(_PROXIES)}), or reach it directly: ASYNCCONN_NO_PROXY"


def surroundings() -> tuple[Roads | None, list[Check]]:
    """The way out as the settings have it, and what they say of it; no way where they cannot work."""
    try:
        network = Network.of(load(HubSettings))
        roads = Roads(ProxyRule.of(network), network.context())
    except ConfigError:
        return None, list(_wrong())
    return roads, list(_said(network, roads))


def _wrong() -> Iterator[Check]:
    """All that cannot work, each looked at by itself: one fault hides no other."""

    def network(**given: str | None) -> Network:
        return Network.of(replace(HubSettings.defaults(), **given))  # type: ignore[arg-type] # texts, each as its field

    looks: tuple[Callable[[], object], ...] = (
        lambda: load(HubSettings),
        lambda: ProxyRule.of(network(proxy=variable("ASYNCCONN_PROXY"))),
        lambda: network(ca_file=variable("ASYNCCONN_CA_FILE")).context(),
        lambda: network(client_cert=variable("ASYNCCONN_CLIENT_CERT")).context(),
    )
    for look in looks:
        try:
            look()
        except ConfigError as error:
            yield failed("hub settings", error)


def _said(network: Network, roads: Roads) -> Iterator[Check]:
    ways = {f"{one.url.host}:{one.url.port} for {scheme}" for scheme, one in roads.rule.proxies.items()}
    if ways:
        excepted = f"; direct to {', '.join(roads.rule.direct)}" if roads.rule.direct else ""
        yield Check("proxy", "ok", ", ".join(sorted(ways)) + excepted)
    if network.ca_file is not None:
        yield Check("CA file", "ok", f"{network.ca_file}, trusted besides the system's authorities")
    if network.client_cert is not None:
        yield Check("client certificate", "ok", " and ".join(network.client_cert))


class Roads:
    """The way out: the proxy's ``rule``, and whom to trust."""

    def __init__(self, rule: ProxyRule, context: ssl.SSLContext) -> None:
        self.rule = rule
        self._context = context

    async def reach(self, name: str, address: str, variable: str) -> Check:
        """Connect to the host of ``address``, which is in ``variable``, and hang up."""
        url = URL(address) if "://" in address else URL()
        if not url.host or not url.port or url.scheme not in ("http", "https"):
            return Check(name, "fail", "not an address", f"correct {variable}: http(s)://host[:port]")
        started = time.perf_counter()
        walk = _Walk(url, self.rule.proxy(url), self._context)
        try:
            async with asyncio.timeout(_SECONDS):
                found = await walk.go()
        except (OSError, AsyncConnError) as error:  # TimeoutError is one of them
            return walk.stopped(name, error, variable)
        finally:
            walk.hang_up()
        found = f"{found}, {(time.perf_counter() - started) * 1000:.0f} ms"
        if walk.ends is not None and walk.ends - datetime.now(UTC) < _SOON:
            return Check(name, "warn", f"{found}; its certificate ends {walk.ends:%Y-%m-%d}", "have it renewed")
        return Check(name, "ok", found)


class _Walk:
    """One connection, step by step."""

    def __init__(self, url: URL, proxy: Any, context: ssl.SSLContext) -> None:
        self.url = url
        self.proxy = proxy
        self.ends: datetime | None = None  # the certificate
        self._context = context
        self._hop: URL = url if proxy is None else proxy.url
        self._step = "DNS"
        self._writer: asyncio.StreamWriter | None = None

    async def go(self) -> str:
        """What was met on the way, in words."""
        loop = asyncio.get_running_loop()
        host, port = self._hop.host or "", self._hop.port or 0
        addresses = [each[4][0] for each in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        secured = self._hop.scheme == "https"
        reader, writer, address = await self._connected([str(one) for one in addresses], secured)
        self._writer = writer
        words = f"{address}:{port} takes connections"
        if self.proxy is not None:
            words = f"the proxy {host}:{port} takes connections"
            if self.url.scheme == "https":
                self._step = "proxy"
                await self._tunnel(reader, writer)
                self._step = "TLS"
                await writer.start_tls(self._context, server_hostname=self.url.host)
                words = f"by the proxy {host}:{port}"
        return words + self._of_tls(writer)

    async def _connected(
        self, addresses: list[str], secured: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        """To the first address that takes one."""
        self._step = "TCP"
        tls: dict[str, Any] = {"ssl": self._context, "server_hostname": self._hop.host} if secured else {}
        problem: OSError = ConnectionError("it has no address")
        for address in dict.fromkeys(addresses):
            try:
                return *await asyncio.open_connection(address, self._hop.port, **tls), address
            except OSError as error:
                problem = error
                if isinstance(error, ssl.SSLError):
                    self._step = "TLS"
                    break
        raise problem

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = f"{self.url.host}:{self.url.port}"
        authorization = self.proxy.authorization
        shown = f"Proxy-Authorization: {authorization.get_secret_value()}\r\n" if authorization is not None else ""
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{shown}\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = []
        status = head[1].decode(errors="replace") if len(head) > 1 else "no HTTP"
        if status != "200":
            refused = ConnectFailed(plain(f"proxy: {self._hop.host} answered {status} to CONNECT {target}"))
            wrong = "user and password in its URL" if status == "407" else f"whether it lets {target} through"
            refused.advice = f"check {wrong} {_DIRECTLY}"
            raise refused

    def _of_tls(self, writer: asyncio.StreamWriter) -> str:
        secured: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        if secured is None:
            return ""
        until: Any = (secured.getpeercert() or {}).get("notAfter")
        if until is not None:
            self.ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC)
        return f", {secured.version()}, certificate trusted"

    def stopped(self, name: str, error: OSError | AsyncConnError, variable: str) -> Check:
        """Where it ended, and why."""
        if isinstance(error, AsyncConnError):
            return failed(name, error)
        host, advice = f"{self._hop.host}:{self._hop.port}", _FIREWALL
        if self._step == "TLS" and self.proxy is not None:
            host = f"{self.url.host}:{self.url.port}"
        elif self.proxy is not None:
            host, advice = f"the proxy {host}", f"is it running? Check its address {_DIRECTLY}"
        ours = translated(error, self._step, host=host, sent=False)
        if ours is None or not ours.permanent:
            return Check(name, "fail", f"{self._step}: {error}" if ours is None else ours.message, advice)
        return Check(name, "fail", ours.message, f"{ours.advice.removeprefix(_USELESS)} ({variable})")

    def hang_up(self) -> None:
        """Whatever happened."""
        if self._writer is not None:
            self._writer.close()
