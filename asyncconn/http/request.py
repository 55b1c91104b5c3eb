"""A request: as a transport hands it on, and as a credential sees it, once for each attempt, to sign it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from multidict import MultiDict

from asyncconn._version import __version__
from asyncconn.core.watching import NOBODY, Following
from asyncconn.errors import AsyncConnError, ConfigError
from asyncconn.http.compressed import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from asyncconn.core.rates.limiter import RateLimiter

__all__ = ["ALWAYS", "Body", "Call", "Outgoing"]

#: The headers of every request.
ALWAYS = {"User-Agent": f"asyncconn/{__version__}", "Accept-Encoding": ACCEPTED}

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_SHORT = 65_536  # bytes of a body

Body = bytes | memoryview | aiohttp.FormData | Callable[[], aiohttp.FormData | AsyncIterable[bytes]] | None


@dataclass(slots=True, repr=False, eq=False)  # it holds credentials
class Call:
    """One logical call: what to send, and the seconds its attempts have waited for the rate limit so far."""

    service: str
    method: str
    url: URL
    path: str  # as it may be shown
    body: Body
    headers: Mapping[str, str]
    auth: Mapping[str, str]
    limiter: RateLimiter | None
    cost: int
    max_wait: float
    limit: str = "default"  # the limiter's name
    timeout: aiohttp.ClientTimeout = _NO_TIMEOUT
    opening: float | None = None  # seconds until status and headers are there, where the timeout has no total
    repeatable: bool = True  # whether it may go out again although its outcome is unknown
    patience: float = 30.0  # seconds that its credential may take
    waited: float = 0.0
    resent: bool = False  # by the library underneath, within one attempt, after the connection broke
    cookies: bool = True  # whether the session's cookie jar takes part
    sign: Callable[[Call], Awaitable[Call]] | None = None  # what each attempt shows anew
    own: bool = True  # whether it is the account's: with its credential, and heard by its limiters
    decode: Callable[[Any], Any] | None = None  # what to make of its Response, within the attempt
    route: str = ""  # its path with holes for ids, where that is known
    tries: int = 0  # attempts before the one that is under way
    following: Following = NOBODY
    made: int = 0  # bytes of a body that is made anew for each attempt, as far as they went out

    @property
    def what(self) -> str:
        """The call, as errors name it."""
        return f"{self.service}: {self.method} {self.path}"

    @property
    def host(self) -> str:
        """Where it goes, as errors name it."""
        return f"{self.url.host}:{self.url.port}"

    @property
    def is_plain(self) -> bool:
        """Whether its body is all there, to be sent as often as may be."""
        return self.body is None or isinstance(self.body, bytes | memoryview)

    @property
    def is_short(self) -> bool:
        """Whether it fits a socket's buffer: then all of it is on its way once it was handed over."""
        body = self.body
        return body is None or (isinstance(body, bytes | memoryview) and len(body) <= _SHORT)

    @property
    def body_size(self) -> int:
        """Bytes of the body in the last attempt; of a form, which knows them only as it is sent, none."""
        body = self.body
        return len(body) if isinstance(body, bytes | memoryview) else self.made

    def fresh_body(self) -> Any:
        """The body for one more attempt: a form or a stream is used up by the one before.

        Raises ``ConfigError`` where the caller's function fails: that is no trouble of the network, nor to be repeated.
        """
        body = self.body
        if not callable(body) or isinstance(body, aiohttp.FormData):
            return body
        try:
            made = body()
        except Exception as error:
            if isinstance(error, AsyncConnError):
                raise
            raise ConfigError(f"{self.what}: its body cannot be made: {type(error).__name__}: {error}") from error
        if not isinstance(made, aiohttp.FormData | AsyncIterable):
            raise ConfigError(
                f"{self.what}: its body must be made a form or an async iterable, not {type(made).__name__}"
            )
        return made if isinstance(made, aiohttp.FormData) else _Measured(self, made)


class _Measured:
    """The chunks of a body, counted as they go."""

    def __init__(self, call: Call, chunks: AsyncIterable[bytes]) -> None:
        self._call = call
        self._chunks = chunks
        call.made = 0

    def __aiter__(self) -> Self:
        self._iterator = aiter(self._chunks)
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._iterator)
        self._call.made += len(chunk)
        return chunk


class Outgoing:
    """One attempt, about to be sent: what an ``Auth.sign`` reads, and adds to.

    ``method`` in capitals, ``url`` as it will be sent, ``headers`` and ``query`` to add to (``request.headers["Date"] =
    ...``, ``request.query["sig"] = ...``), and the ``body`` as bytes: empty where there is none, None where it is
    streamed, so that nobody can know it yet.

        >>> class Signed(Auth):
        ...     async def sign(self, request: Outgoing) -> None:
        ...         digest = hmac.new(self._key, request.body or b"", "sha256").hexdigest()
        ...         request.headers["X-Signature"] = digest
    """

    __slots__ = ("_before", "body", "headers", "method", "query", "url")

    def __init__(self, method: str, url: URL, headers: dict[str, str], body: bytes | None) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.query: MultiDict[str] = MultiDict(url.query)
        self.body = body
        self._before = dict(headers)

    def __repr__(self) -> str:  # headers and query may hold credentials
        return f"<Outgoing {self.method} {self.url.path}>"

    def address(self) -> URL:
        """The URL, with what was added to the query."""
        if self.query == MultiDict(self.url.query):
            return self.url  # encoded as the caller wrote it
        return self.url.with_query(self.query)

    def added(self) -> dict[str, str]:
        """The headers that were added or changed: they may show who asks."""
        return {name: value for name, value in self.headers.items() if self._before.get(name) != value}
