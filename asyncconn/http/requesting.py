"""What is asked of a transport by those who make more of it: pages, polls, rows, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncconn.core.clock import Clock
    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.core.watching import Watching
    from asyncconn.http.exchange import Body
    from asyncconn.http.redact import Redactor
    from asyncconn.http.response import Response
    from asyncconn.http.stream import Stream

__all__ = ["PollOptions", "RequestOptions", "Requests", "StreamOptions"]


class Requests(Protocol):
    """A transport, as far as they know it."""

    service: str
    base_url: str
    retry: RetryPolicy
    _clock: Clock

    @property
    def watching(self) -> Watching:
        """Who follows what is made of it."""
        ...

    @property
    def redactor(self) -> Redactor:
        """What takes its secrets out of what is shown."""
        ...

    @property
    def request(self) -> Callable[..., Awaitable[Response]]:
        """One call, answered completely."""
        ...

    @property
    def stream(self) -> Callable[..., Stream]:
        """A download that is not held in memory."""
        ...

    @property
    def repeat(self) -> Callable[..., Awaitable[Any]]:
        """An attempt that is more than one request, under the retry policy."""
        ...


class _Options(TypedDict, total=False):
    params: Mapping[str, Any] | None
    json: Any
    data: Body
    headers: Mapping[str, str] | None
    limit: str
    cost: int
    max_wait: float | None
    idempotent: bool | None
    timeout: float | None
    retry: RetryPolicy | None
    auth: Literal["own"] | None
    route: str


class RequestOptions(_Options):
    """What ``Transport.request`` takes beside method and path."""


class StreamOptions(_Options, total=False):
    """What ``Transport.stream`` takes beside method and path."""

    idle_timeout: float
    min_rate: float
    max_bytes: int | None


class PollOptions(TypedDict, total=False):
    """The fields of a ``PollPolicy``."""

    minimum: float
    maximum: float
    share: float
    jitter: float
    first: float
    deadline: float
    tolerate: int
