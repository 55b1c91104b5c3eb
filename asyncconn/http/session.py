"""The session that a hub opens: its pool and name lookups, whom it trusts, how it shows itself, and its way out."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.request import getproxies_environment

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from asyncconn.core.paths import file_path
from asyncconn.core.secret import Concealed, Secret, is_secret, secret
from asyncconn.errors import ConfigError, ConnectFailed
from asyncconn.http.redact import UnshownText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import ResolveResult

    from asyncconn.settings import HubSettings

__all__ = ["Network", "ProxyRule", "open_session"]

_MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True, repr=False, eq=False)  # the proxy's URL may hold a password
class Network:
    """What a hub was told of the network around it.

    ``proxy`` is a URL, ``http(s)://[user:password@]host[:port]``; an empty one means none, whatever the environment
    says. ``ca_file`` is a PEM file of authorities to trust besides the system's; ``client_cert`` a PEM file with
    certificate and key, or the two files.
    """

    proxy: Secret | None = None
    no_proxy: str = ""
    ca_file: str | None = None
    client_cert: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        settings: HubSettings,
        proxy: str | Concealed | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    ) -> Network:
        """What was given, and what the settings say of the rest. Raises ``ConfigError`` for what is no proxy's URL."""
        if proxy is not None and not is_secret(proxy):
            raise ConfigError(f"the proxy must be a text, not {type(proxy).__name__}")
        given = settings.proxy if proxy is None else proxy
        known = None if given is None else secret(given)
        if known is not None and known.get_secret_value():
            _parsed("the proxy", UnshownText(known.get_secret_value()))
        authorities = settings.ca_file if ca_file is None else ca_file
        files: tuple[str | os.PathLike[str], ...] | None = None
        if isinstance(client_cert, tuple):
            files = client_cert
        elif client_cert is not None:
            files = (client_cert,)
        elif settings.client_cert:
            files = tuple(file.strip() for file in settings.client_cert.split(","))
        if files is not None and len(files) not in (1, 2):
            raise ConfigError("the client certificate is one PEM file, or two: certificate and key")
        return cls(
            known,
            settings.no_proxy,
            None if authorities is None else str(file_path(authorities, "the CA file")),
            None if files is None else tuple(str(file_path(file, "the client certificate")) for file in files),
        )

    def context(self) -> ssl.SSLContext:
        """The TLS settings; reads files. Raises ``ConfigError`` that names the file which cannot be used."""
        made = ssl.create_default_context()
        made.set_alpn_protocols(["http/1.1"])
        if self.ca_file is not None:
            try:
                made.load_verify_locations(cafile=self.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"the CA file {self.ca_file} cannot be used: {_why(error)}") from error
        if self.client_cert is not None:
            try:
                # Without a function for it, OpenSSL would ask for the key's password at the terminal.
                certificate, key = self.client_cert[0], self.client_cert[-1]
                made.load_cert_chain(certificate, key, password=lambda: "")
            except (OSError, ssl.SSLError) as error:
                names = " and ".join(self.client_cert)
                raise ConfigError(
                    f"the client certificate {names} cannot be used: {_why(error)}; its key must have no password"
                ) from error
        return made


def _why(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__


async def open_session(settings: HubSettings, network: Network) -> aiohttp.ClientSession:
    """A session as a hub wants it. Raises ``ConfigError`` for files and proxies that cannot be used."""
    from asyncconn.http.attempts.direct import OwnConnector, fits

    rule = ProxyRule.of(network)
    own = network.ca_file is not None or network.client_cert is not None
    context = await asyncio.to_thread(network.context) if own else None
    connector = OwnConnector(
        limit=settings.max_connections,
        limit_per_host=settings.max_connections_per_host,
        ttl_dns_cache=settings.dns_cache_seconds,
        resolver=_Names(),
        ssl=True if context is None else context,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(rule,) if rule.proxies else (),
    )
    # Traces are there if somebody watches all sessions, as instruments do.
    connector.direct = not rule.proxies and not session.trace_configs and fits(session)
    return session


class _Names(aiohttp.ThreadedResolver):
    """The system's lookups. A name that was known once and is not now may come back: that is not its end."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See aiohttp's ``AbstractResolver``."""
        try:
            found = await super().resolve(host, port, family)
        except OSError as error:
            if host in self._known:
                raise socket.gaierror(socket.EAI_AGAIN, "the name was known before, and is not now") from error
            raise
        if len(self._known) < _MOST_NAMES:
            self._known.add(host)
        return found


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class _Proxy:
    url: URL  # without user and password
    authorization: Secret | None

    def whole(self) -> UnshownText:
        """The URL with user and password, for a library that takes no header."""
        if self.authorization is None:
            return UnshownText(str(self.url))
        pair = base64.b64decode(self.authorization.get_secret_value().removeprefix("Basic ")).decode()
        user, _, password = pair.partition(":")
        return UnshownText(str(self.url.with_user(user).with_password(password)))


@dataclass(frozen=True, slots=True, eq=False)
class ProxyRule:
    """The client middleware that leads requests through the proxy of their scheme, if their host is not excepted.

    The one rule for all traffic: a proxy that the hub was given is for ``http`` and ``https``; without one,
    ``HTTP_PROXY`` and ``HTTPS_PROXY`` count (in small letters too). The hosts of ``NO_PROXY`` are reached directly
    either way: names with all below them, ``host:port``, addresses, networks as ``10.0.0.0/8``, or ``*`` for all.
    """

    proxies: Mapping[str, _Proxy] = field(default_factory=dict)
    direct: tuple[str, ...] = ()

    @classmethod
    def of(cls, network: Network) -> ProxyRule:
        """The rule as settings and environment are now. Raises ``ConfigError`` without quoting any value."""
        found = {name: UnshownText(value) for name, value in getproxies_environment().items()}
        proxies: dict[str, _Proxy] = {}
        given = None if network.proxy is None else UnshownText(network.proxy.get_secret_value())
        for scheme in ("http", "https"):
            name, text = ("the proxy", given) if given is not None else (f"{scheme.upper()}_PROXY", found.get(scheme))
            if text:
                proxies[scheme] = _parsed(name, text)
        direct = f"{found.get('no', '')},{network.no_proxy}".lower().split(",")
        return cls(proxies, tuple(one for part in direct if (one := part.strip())))

    def proxy(self, url: URL) -> _Proxy | None:
        """The way to ``url``; None is the direct one."""
        proxy = self.proxies.get(url.scheme)
        host = (url.host or "").lower().rstrip(".")
        if proxy is None or any(_is_for(host, url.port, one) for one in self.direct):
            return None
        return proxy

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send ``request`` on its way. A proxy that wants another credential never passed it on."""
        proxy = self.proxy(request.url)
        if proxy is None:
            return await handler(request)
        shown: CIMultiDict[str] = CIMultiDict()
        if proxy.authorization is not None:
            # In a header, not as the library's "proxy_auth": that becomes a part of what its errors print.
            target = shown if request.is_ssl() else request.headers
            target["Proxy-Authorization"] = UnshownText(proxy.authorization.get_secret_value())
        request.update_proxy(proxy.url, None, shown)
        answer = await handler(request)
        if answer.status == 407:
            answer.close()
            error = ConnectFailed(f"the proxy {proxy.url.host}:{proxy.url.port} wants another credential (407)")
            error.permanent = True
            raise error
        return answer


def _is_for(host: str, port: int | None, excepted: str) -> bool:
    """Whether one entry of NO_PROXY means this host."""
    if excepted == "*":
        return True
    try:
        network = ip_network(excepted.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        try:
            return ip_address(host) in network
        except ValueError:
            return False
    name, colon, number = excepted.rpartition(":")
    if colon and number.isdecimal():
        if int(number) != port:
            return False
    else:
        name = excepted
    name = name.strip("[]").lstrip("*").lstrip(".")
    return host == name or host.endswith(f".{name}")


def _parsed(name: str, text: UnshownText) -> _Proxy:
    if (found := _proxy_at(text)) is None:  # all that could quote it has ended there
        raise ConfigError(f"{name} must be http(s)://[user:password@]host[:port]; its value is not shown")
    return found


def _proxy_at(text: str) -> _Proxy | None:
    try:
        url = URL(text if "://" in text else f"http://{text}")
        plain = URL.build(scheme=url.scheme, host=url.host or "", port=url.port)
    except ValueError:
        return None
    fits = url.scheme in ("http", "https") and url.host and url.port
    if not fits or url.path not in ("", "/") or url.query_string or url.fragment:
        return None
    authorization = None
    if url.user is not None or url.password is not None:
        pair = f"{url.user or ''}:{url.password or ''}".encode()
        authorization = Secret(f"Basic {base64.b64encode(pair).decode()}")
    return _Proxy(plain, authorization)
