"""An attempt straight to the connector of a hub's own session, at three quarters of the price of the session's way.

It does what aiohttp's session does between its pool and an answer, and leaves out what nobody has set on a session of
ours: cookies, redirects, traces, middlewares, default headers. For that it leans on names of aiohttp that are not
documented: :func:`fits` looks whether they are still what they were.
"""

from __future__ import annotations

import asyncio
from inspect import signature
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import TimeoutHandle, TimerNoop
from multidict import CIMultiDict
from yarl import URL

from asyncconn.http.attempts.attempt import Attempt
from asyncconn.http.connections import forget_address, pool_is_full, usable
from asyncconn.http.request import ALWAYS

if TYPE_CHECKING:
    from aiohttp.helpers import BaseTimerContext

    from asyncconn.core.rates.limiter import Permit
    from asyncconn.http.request import Call

__all__ = ["Direct", "OwnConnector", "fits"]

_AGAIN = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # what aiohttp itself sends again
_BASE: CIMultiDict[str] = CIMultiDict({"Host": "", **ALWAYS, "Accept": "*/*"})
_SAMPLE = URL("http://localhost/")
_REQUEST = aiohttp.ClientSession._request

#: What is called, and how: with arguments in these places, and of these names.
_CALLED: tuple[tuple[type, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (aiohttp.ClientRequest, "send", ("conn",), ()),
    (aiohttp.ClientRequest, "update_body_from_data", ("body",), ()),
    (aiohttp.ClientRequest, "update_transfer_encoding", (), ()),
    (aiohttp.ClientRequest, "update_expect_continue", (), ()),
    (aiohttp.ClientResponse, "start", ("connection",), ()),
    (aiohttp.TCPConnector, "connect", ("req",), ("traces", "timeout")),
    (TimeoutHandle, "__init__", ("loop", "timeout"), ("ceil_threshold",)),
    (
        ResponseHandler,
        "set_response_params",
        (),
        (
            "timer",
            "skip_payload",
            "read_until_eof",
            "auto_decompress",
            "read_timeout",
            "read_bufsize",
            "timeout_ceil_threshold",
        ),
    ),
)


def fits(session: aiohttp.ClientSession) -> bool:
    """Whether the installed aiohttp is what this way was written for: what is called, and what a request knows."""
    try:
        for kind, name, places, names in _CALLED:
            signature(getattr(kind, name)).bind("self", *places, **dict.fromkeys(names))
        int(vars(session)["_read_bufsize"])
        theirs: dict[str, Any] = vars(aiohttp.ClientRequest("POST", _SAMPLE, data=b"", session=session))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    ours = _Request("POST", _SAMPLE, _BASE.copy(), b"", session, TimerNoop())
    return all(hasattr(ours, name) for name in theirs if name != "_source_traceback")  # that is for debugging


class OwnConnector(aiohttp.TCPConnector):
    """The connector of a hub's own session. ``direct`` while nothing stands in that session which would be left out."""

    direct = False

    def way(self) -> type[Direct] | None:
        """How an attempt goes; None where somebody sees to the session's own requests meanwhile, as mocks do."""
        return Direct if self.direct and aiohttp.ClientSession._request is _REQUEST else None


class _Answer(aiohttp.ClientResponse):
    __repr__ = object.__repr__  # that of an answer quotes its URL and headers


class _Request(aiohttp.ClientRequest):
    """A request whose headers are complete, and that has no cookies, proxy, traces or authentication of its own."""

    chunked = compress = length = server_hostname = proxy = proxy_auth = proxy_headers = None
    response_class = _Answer
    version = aiohttp.HttpVersion11
    _ssl = True  # as the connector has it

    def __init__(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: Any,
        session: aiohttp.ClientSession,
        timer: BaseTimerContext,
    ) -> None:
        self.method = method
        self.original_url = url
        self.url = url.with_fragment(None) if url.raw_fragment else url
        self.headers = headers
        self.loop = session._loop
        self._session = session
        self._timer = timer
        self._traces: list[Any] = []
        self.update_body_from_data(body)
        if body is not None or method not in self.GET_METHODS:
            self.update_transfer_encoding()
        if "Expect" in headers:
            self.update_expect_continue()


class Direct(Attempt):
    """One request, and its way to the answer."""

    async def send(self, going: Call) -> aiohttp.ClientResponse:
        """See :class:`Attempt`."""
        limits = going.timeout
        times = TimeoutHandle(asyncio.get_running_loop(), limits.total, ceil_threshold=limits.ceil_threshold)
        handle, timer = times.start(), times.timer()
        try:
            with timer:
                try:
                    answer = await self._once(going, timer, self._first)
                except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                    # As the session does: on a connection that had rested, the server may just have gone.
                    if not self.sent or going.method not in _AGAIN or not going.is_plain:
                        raise
                    answer = await self._once(going, timer, self._again())
        except BaseException:
            times.close()
            if handle is not None:
                handle.cancel()
            raise
        if handle is not None:
            if (connection := answer.connection) is None:  # all of it is there
                handle.cancel()
            else:
                connection.add_callback(handle.cancel)
        return answer

    async def _once(self, going: Call, timer: BaseTimerContext, permit: Permit | None) -> aiohttp.ClientResponse:
        self._times += 1
        began = False
        request: _Request | None = None
        session: Any = self._session
        connector = session.connector
        try:
            request = self._request(going, timer)
            connection = await connector.connect(request, traces=[], timeout=going.timeout)
            while not usable(connection):
                connection.close()
                connection = await connector.connect(request, traces=[], timeout=going.timeout)
            protocol: Any = connection.protocol
            protocol.set_response_params(
                timer=timer,
                skip_payload=going.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=going.timeout.sock_read,
                read_bufsize=session._read_bufsize,
                timeout_ceil_threshold=connector._timeout_ceil_threshold,
            )
            began = self.sent = True
            try:
                answer = await request.send(connection)
                if permit is not None and (going.body is None or going.is_short):
                    permit.sent()
                await answer.start(connection)
            except BaseException:
                if request.response is not None:
                    request.response.close()  # and with it the task that writes the body
                connection.close()
                raise
            if request._body is not None:
                await request._body.close()
        except BaseException:
            self._failed(request, permit, began=began)
            raise
        if permit is not None:
            permit.done()
        return answer

    def _failed(self, request: _Request | None, permit: Permit | None, *, began: bool) -> None:
        if not began and request is not None:
            self.full = pool_is_full(self._session)
            forget_address(self._session, request)
        if permit is not None:
            if began:
                permit.sent()  # perhaps: and then the server may count it a little later than now
            permit.cancel()

    def _request(self, going: Call, timer: BaseTimerContext) -> _Request:
        url, headers = going.url, _BASE.copy()
        headers["Host"] = url.host_port_subcomponent or ""
        for given in (going.headers, going.auth):
            if given is not ALWAYS:
                for name, value in given.items():
                    headers[name] = value
        if not going.cookies:
            headers.popall("Cookie", None)
        body = None if going.body is None else going.fresh_body()
        return _Request(going.method, url, headers, body, self._session, timer)
