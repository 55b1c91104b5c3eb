"""The calls that every connector makes, made of one request or several: values, pages, polls, rows, files.

What a call is made of is imported by its first use: no program makes all of them, and importing is to be cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path
    from typing import Unpack

    from asyncconn.core.paging import Pager
    from asyncconn.core.polling import Poller, PollPolicy
    from asyncconn.core.progress import OnProgress
    from asyncconn.http.events import EventStream
    from asyncconn.http.multipart import Multipart
    from asyncconn.http.other_ways import Ways
    from asyncconn.http.pages import NextPage
    from asyncconn.http.polls import Verdict
    from asyncconn.http.request import Call
    from asyncconn.http.requesting import PollOptions, RequestOptions, Requests, StreamOptions
    from asyncconn.http.response import Response
    from asyncconn.http.rows import Form
    from asyncconn.http.upload import Source

__all__ = ["Calls"]

T = TypeVar("T")


class Calls:
    """What a transport can do beyond one request and one stream.

    ``model`` is a pydantic model, a dataclass, a msgspec struct, or a list of these; an answer of another shape is a
    ``ProtocolError`` that names the place and quotes no value. All other options are those of ``request``, or of
    ``stream`` for rows and files. A path may be a whole URL of the same origin, as a server's links are; one of another
    host is refused (``ConfigError``), unless ``auth=None`` leaves the credential out (a presigned address).
    """

    @overload
    async def call(
        self: Requests, method: str, path: str, *, model: type[T], **options: Unpack[RequestOptions]
    ) -> T: ...

    @overload
    async def call(
        self: Requests, method: str, path: str, *, model: None = None, **options: Unpack[RequestOptions]
    ) -> Any: ...

    async def call(
        self: Requests, method: str, path: str, *, model: Any = None, **options: Unpack[RequestOptions]
    ) -> Any:
        """One call, and its answer's JSON: read once, within the attempt. None for an empty answer.

            >>> plan = await acme.http.call("GET", "/v1/plan")
            >>> order = await acme.http.call("POST", "/v1/orders", json={"item": 7}, model=Order)

        Raises what ``request`` raises, and ``ProtocolError`` for an answer that is not JSON or not of the ``model``.
        """

        from asyncconn.http.shapes import readied, shaped

        def decode(response: Response) -> Any:
            answer = response.json() if response.body else None
            return shaped(answer, model, f"{response.service}: {response.method} {response.path}")

        await readied(model)
        return (await self.request(method, path, decode=decode, **options)).value

    @overload
    def pages(
        self: Requests,
        path: str,
        *,
        items: str = "items",
        next: str | NextPage = "next",
        param: str = "cursor",
        model: type[T],
        **options: Unpack[RequestOptions],
    ) -> Pager[T]: ...

    @overload
    def pages(
        self: Requests,
        path: str,
        *,
        items: str = "items",
        next: str | NextPage = "next",
        param: str = "cursor",
        model: None = None,
        **options: Unpack[RequestOptions],
    ) -> Pager[Any]: ...

    def pages(
        self: Requests,
        path: str,
        *,
        items: str = "items",
        next: str | NextPage = "next",  # noqa: A002 - what documentations call it
        param: str = "cursor",
        model: Any = None,
        **options: Unpack[RequestOptions],
    ) -> Pager[Any]:
        """A list that comes in pages: await the first page, or iterate over every item. ``model`` is an item's.

            >>> async for series in acme.http.pages("/v1/series", items="data", next="meta.cursor"): ...

        ``items`` is the member of an answer that holds the list, dotted; empty if the answer is the list itself. An
        answer without it is a ``ProtocolError``; null is an empty list. ``next`` is the member that holds the cursor
        of the next page, which goes into the parameter ``param``; or one of :class:`NextUrl`, :class:`LinkHeader`,
        :class:`Offset`, :class:`PageNumber`. A page without it, or with null, false, 0 or an empty text there, is the
        last. One that leads back is a ``ProtocolError``, one to another host a ``ConfigError``.
        """
        from asyncconn.http.pages import pager

        return pager(self, path, items=items, next=next, param=param, model=model, options=options)

    @overload
    def poll(
        self: Requests,
        path: str,
        *,
        until: Verdict,
        failed: Verdict | None = None,
        policy: PollPolicy | None = None,
        model: type[T],
        **poll_policy: Unpack[PollOptions],
    ) -> Poller[T, T]: ...

    @overload
    def poll(
        self: Requests,
        path: str,
        *,
        until: Verdict,
        failed: Verdict | None = None,
        policy: PollPolicy | None = None,
        model: None = None,
        **poll_policy: Unpack[PollOptions],
    ) -> Poller[Any, Any]: ...

    def poll(
        self: Requests,
        path: str,
        *,
        until: Verdict,
        failed: Verdict | None = None,
        policy: PollPolicy | None = None,
        model: Any = None,
        **poll_policy: Unpack[PollOptions],
    ) -> Poller[Any, Any]:
        """Wait for what takes time at the platform: await it for its last state, iterate for each one.

            >>> job = await acme.http.poll("/v1/jobs/7", until={"status": "DONE"}, failed={"status": {"FAILED"}})

        ``path`` is asked until the state (its JSON, or ``model``) is as ``until`` says: a function of it, or the values
        that dotted members, or a model's attributes, all have. A list, tuple or set are several values, of which one
        will do. A member that is not there is "not yet"; an answer that can have none raises ``ProtocolError``. A state
        that is as ``failed`` says raises ``OperationFailed`` with the ``state``; the deadline raises ``PollTimeout``,
        which names what no answer had. The wait is ``policy``, with what else is named here of its fields:
        ``minimum=0.2, deadline=60.0``. ``token()`` is a path for another process to go on with, in this same call.
        """
        from asyncconn.http.polls import poller

        return poller(self, path, until=until, failed=failed, policy=policy, model=model, options=poll_policy)

    @overload
    def rows(
        self: Requests,
        path: str,
        *,
        form: Form = "auto",
        model: type[T],
        method: str = "GET",
        **options: Unpack[StreamOptions],
    ) -> AsyncGenerator[T, None]: ...

    @overload
    def rows(
        self: Requests,
        path: str,
        *,
        form: Form = "auto",
        model: None = None,
        method: str = "GET",
        **options: Unpack[StreamOptions],
    ) -> AsyncGenerator[dict[str, Any], None]: ...

    def rows(
        self: Requests,
        path: str,
        *,
        form: Form = "auto",
        model: Any = None,
        method: str = "GET",
        **options: Unpack[StreamOptions],
    ) -> AsyncGenerator[Any, None]:
        """The rows of an export as they come, in little memory: each a dict, or a ``model``.

            >>> async for row in acme.http.rows("/v1/exports/7/file"): ...

        ``form`` is ``"csv"`` (with a header; all values are texts), ``"jsonl"`` or ``"json"`` (one array of objects);
        by default what the answer calls itself, its address ends in, or begins with. Gzip files are unpacked. Raises
        ``ProtocolError`` for a row that cannot be read, with its number; what breaks off in the middle is
        ``ConnectionLost``, and not begun anew, as rows would come twice. Leaving the loop closes the connection.
        """
        from asyncconn.http.rows import rows

        return rows(self, method, path, form=form, model=model, options=options)

    def server_events(
        self: Requests,
        path: str,
        *,
        last_id: str = "",
        max_event_bytes: int = 1024 * 1024,
        **options: Unpack[StreamOptions],
    ) -> EventStream:
        """The server-sent events of one connection, as they come.

            >>> async with acme.http.server_events("/v1/feed", idle_timeout=45.0) as events:
            ...     async for event in events:
            ...         print(event.id, event.json())

        ``last_id`` is that of the last event that was handled, after which the server is to go on. ``idle_timeout`` is
        to be longer than the pauses between the server's comments. An event of more than ``max_event_bytes`` is a
        ``ProtocolError``, and so is an answer that is no stream of events; what breaks off is ``ConnectionLost`` or
        ``ReadTimeout``, and what the server ends just ends.
        """
        from asyncconn.http.events import EventStream

        return EventStream(self, path, last_id=last_id, max_event_bytes=max_event_bytes, options=options)

    async def download(
        self: Requests,
        path: str,
        to: str | os.PathLike[str],
        *,
        on_progress: OnProgress | None = None,
        resume: bool = True,
        **options: Unpack[StreamOptions],
    ) -> Path:
        """Save a file as ``to``, which appears when it is complete; returns its path.

            >>> await acme.http.download("/v1/exports/7/file", "export.csv", on_progress=print)

        What has come stays beside it as ``NAME.part``, with a note of how to know the rest (ETag or Last-Modified): a
        broken connection is gone on with, in this call as often as it brings the file on, and in a later one. If the
        server's file has changed it begins anew. Without ``resume`` nothing is left behind, and each attempt begins
        anew. ``on_progress`` hears of bytes, from where it begins. Raises ``ConfigError`` for what cannot be written,
        or is being downloaded by somebody else; ``ProtocolError`` for a part that does not fit.
        """
        from asyncconn.http.download import download

        return await download(self, path, to, on_progress=on_progress, resume=resume, options=options)

    async def upload(
        self: Requests,
        path: str,
        source: Source,
        *,
        method: str = "PUT",
        on_progress: OnProgress | None = None,
        idle_timeout: float = 60.0,
        form: Multipart | None = None,
        **options: Unpack[RequestOptions],
    ) -> Response:
        """Send a file (its path), bytes, or what a function makes: an async iterator of chunks, anew for each attempt.

            >>> await acme.http.upload("/v1/imports/7", "points.csv", on_progress=print)

        It is the body, or the file in a ``form``.

        Files and streams go in pieces; an attempt ends (``ReadTimeout``) when for ``idle_timeout`` seconds no piece
        moved and no answer came. ``on_progress`` hears of the bytes handed over, from 0 again in each attempt. Raises
        what ``request`` and the function raise, and ``ConfigError`` for a file that cannot be read or that changes its
        size.
        """
        from asyncconn.http.upload import upload

        return await upload(
            self,
            method,
            path,
            source,
            on_progress=on_progress,
            idle_timeout=idle_timeout,
            form=form,
            options=options,
        )

    async def upgrade(
        self: Ways,
        path: str,
        dial: Callable[[Call], Awaitable[T | Response]],
        *,
        params: Mapping[str, Any] | None = None,
    ) -> T:
        """A GET that is to become another protocol, as a WebSocket does, over the connection that ``dial`` makes.

        ``dial`` is given the call, with its credential, and returns what it has opened, or the answer where that is a
        refusal: its error is raised. It counts as a call; nothing is repeated, except once with a newer token.
        """
        from asyncconn.http.other_ways import upgrade

        return await upgrade(self, path, dial, params)

    async def aside(self: Ways, method: str, path: str, attempt: Callable[[], Awaitable[T]], *, route: str) -> T:
        """A call whose attempts go another way, such as a stranger's client: counted, followed and repeated as others.

        It is not idempotent.
        """
        from asyncconn.http.other_ways import aside

        return await aside(self, method, path, attempt, route)
