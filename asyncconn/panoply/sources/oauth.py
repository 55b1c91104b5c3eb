"""Renews a source's access token when a call fails, once for all the calls that failed with the same one.

Contract: panoply section 8 (validate_token); weaknesses 34 to 41 of section 10.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.tasks import drain_guard
from asyncconn.core.threads import LoopThread
from asyncconn.errors import ConfigError, LifecycleError, RateLimited, ServerError, TransportError
from asyncconn.http.redact import Redactor, UnshownText
from asyncconn.panoply.errors import PanoplyException, TokenCallbackException, TokenValidationException
from asyncconn.panoply.sources.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from asyncconn.http.token_endpoint import Form
    from asyncconn.hub import Hub
    from asyncconn.panoply.sources.source import DataSource

__all__ = ["validate_token"]

F = TypeVar("F", bound="Callable[..., Any]")

_DEADLINE = 120.0  # seconds for a renewal with its callback; the requests themselves end after less than half of it
_FINAL = (TokenValidationException, TokenCallbackException)  # already say what became of the token

#: The renewals whose handlers or callback the current code belongs to: in there, a call that fails has failed.
_announcing: ContextVar[frozenset[tuple[int, str, str]]] = ContextVar("asyncconn_token_announcing", default=frozenset())


def validate_token(
    refresh_url: str,
    exceptions: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    callback: str | Callable[[str], Any] | None = None,
    access_key: str = "access_token",
    refresh_key: str = "refresh_token",
) -> Callable[[F], F]:
    """Renew the access token when the method raises one of ``exceptions``, then call the method once more.

        >>> class Stream(DataSource):
        ...     @validate_token("https://oauth.example/token", HttpError, "_use")
        ...     async def _request(self, path): ...
        ...     def _use(self, token):
        ...         self.client.token = token

    For methods of a :class:`DataSource`, plain or ``async``. The tokens are ``source[access_key]`` and
    ``source[refresh_key]``. ``options["refresh"]`` holds the form fields that are posted to ``refresh_url`` in front of
    the refresh token: client id, client secret, grant type. Calls that failed with the same token, in tasks or
    threads, share one renewal. What the second call raises comes through as it is.

    A new token, and a new refresh token if the answer has one, replaces the old one in the source at once, and
    ``source-change`` is fired with what changed, even if the caller is cancelled meanwhile. Until then, and after a
    failure, the source keeps the old one. Then ``callback`` gets the new access token: a function, or the name of a
    method, plain or ``async``. Its own calls of the method are not repeated.

    Connections that fail, timeouts (20 s), 429 and 5xx are tried three times in all, other answers once.

    Raises ``TokenValidationException`` when there is no new token: ``retryable`` if the endpoint could not be reached
    or answered 429 or 5xx, or the renewal was ended from outside; not if the user has to authenticate again (other
    answers) or something is wrong here (``options["refresh"]``, the name of the callback).
    ``TokenCallbackException`` when the callback raised; the new token is kept. ``ConfigError``, at decoration, for
    parameters that are not what they should be.

    Contract: panoply section 8.
    """
    kinds: tuple[Any, ...] = exceptions if isinstance(exceptions, tuple) else (exceptions,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise ConfigError("validate_token: exceptions must be an exception class or a tuple of them")
    if callback is not None and not isinstance(callback, str) and not callable(callback):
        raise ConfigError("validate_token: callback must be a function or the name of a method")
    renewer = _Renewer(TokenEndpoint(refresh_url, access_key, refresh_key), callback)

    def decorate(method: F) -> F:
        @functools.wraps(method)
        async def awaited(self: DataSource, *args: Any, **kwargs: Any) -> Any:
            before = renewer.token(self)
            try:
                return await method(self, *args, **kwargs)
            except _FINAL:
                raise
            except kinds as error:
                if not renewer.helps(self, error):
                    raise
            # Out here, neither this error nor the second call's drags the other one along.
            await renewer.renew(self, before)
            return await method(self, *args, **kwargs)

        @functools.wraps(method)
        def called(self: DataSource, *args: Any, **kwargs: Any) -> Any:
            before = renewer.token(self)
            try:
                return method(self, *args, **kwargs)
            except _FINAL:
                raise
            except kinds as error:
                if not renewer.helps(self, error):
                    raise
            renewer.renew_blocking(self, before)
            return method(self, *args, **kwargs)

        wrapper: Any = awaited if inspect.iscoroutinefunction(inspect.unwrap(method)) else called
        return wrapper  # type: ignore[no-any-return] # it has the method's own signature

    return decorate


class _Flight:
    """One renewal, of the token ``before``: ``over`` is set when it has ended, one way or the other."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.renewed = False
        self.error: Exception | None = None
        self.redactor = Redactor()
        self.over: Future[None] = Future()
        self.over.set_running_or_notify_cancel()  # so that a follower who is cancelled cannot cancel it

    def check(self) -> None:
        """Raise what became of it, a new exception for each caller."""
        if self.error is not None:
            raise _verdict(self.error, self.renewed, self.redactor) from self.error


def _verdict(error: Exception, renewed: bool, redactor: Redactor) -> PanoplyException:
    text = redactor.scrub(str(error))
    if renewed:
        again = bool(getattr(error, "retryable", True))
        return TokenCallbackException(error, f"the access token was renewed, but the callback failed ({text})", again)
    again = isinstance(error, TransportError | ServerError | RateLimited | TimeoutError | LifecycleError)
    return TokenValidationException(error, f"access token could not be refreshed ({text})", again)


class _Renewer:
    """What one decoration knows: where to renew, and whom to tell."""

    def __init__(self, endpoint: TokenEndpoint, callback: str | Callable[[str], Any] | None) -> None:
        self._endpoint = endpoint
        self._callback = callback

    def token(self, source: DataSource) -> Any:
        return _masked(source.source.get(self._endpoint.access_key))

    def helps(self, source: DataSource, error: BaseException) -> bool:
        """Whether a new token is worth a try: not for a cancellation, not inside the announcement of one."""
        return isinstance(error, Exception) and self._mark(source) not in _announcing.get()

    def _mark(self, source: DataSource) -> tuple[int, str, str]:
        return (id(source), *self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return (self._endpoint.url, self._endpoint.access_key)

    # -- who renews, and who waits -------------------------------------------------------------------------------------

    async def renew(self, source: DataSource, before: Any) -> None:
        while self.token(source) == before:
            with self._flight(source, before) as (flight, leads):
                if not leads:
                    await asyncio.wrap_future(flight.over)
                elif self.token(source) == before:  # it may have been replaced while this call was on its way here
                    source.log("Revalidating the access token...")
                    await drain_guard(self._lead(source, flight), timeout=_DEADLINE, name="asyncconn:token")
            if self._settled(source, flight, leads, before):
                return

    def renew_blocking(self, source: DataSource, before: Any) -> None:
        while self.token(source) == before:
            with self._flight(source, before) as (flight, leads):
                if not leads:
                    _wait_for(flight)
                elif self.token(source) == before:
                    source.log("Revalidating the access token...")
                    self._lead_blocking(source, flight)
            if self._settled(source, flight, leads, before):
                return

    @contextmanager
    def _flight(self, source: DataSource, before: Any) -> Iterator[tuple[_Flight, bool]]:
        """The renewal under way, or a new one to be led. ``setdefault`` decides, being atomic, without a lock."""
        flights: dict[tuple[str, str], _Flight] = vars(source).setdefault("_token_flights", {})
        mine = _Flight(before)
        flight = flights.setdefault(self._key, mine)
        if flight is not mine:
            yield flight, False
            return
        try:
            yield mine, True
        except Exception as error:  # noqa: BLE001 - check() raises it, for the followers too
            mine.error = error
        finally:
            if not mine.renewed and mine.error is None and self.token(source) == before:
                mine.error = LifecycleError("the call that was renewing it has been ended")
            del flights[self._key]
            mine.over.set_result(None)

    def _settled(self, source: DataSource, flight: _Flight, leads: bool, before: Any) -> bool:
        """Whether this renewal was the one for ``before``. Raises what it failed with."""
        if leads and flight.error is None and flight.renewed:
            source.log("The access token was renewed")
        if leads and flight.error is not None:
            verdict = _verdict(flight.error, flight.renewed, flight.redactor)
            again = "" if verdict.retryable or flight.renewed else ". The user would have to re-authenticate"
            what = "The callback failed" if flight.renewed else "Access token can't be revalidated"
            source.log(f"Error: {what}{again}", str(verdict))
        if not leads and flight.before != before:
            return False
        flight.check()
        return True

    # -- renewing ------------------------------------------------------------------------------------------------------

    def _prepare(self, source: DataSource, flight: _Flight) -> tuple[Form, Callable[[str], Any]]:
        """All that can go wrong before anything is sent."""
        form = self._endpoint.form(source.source, source.options)
        flight.redactor = form.redactor
        if not isinstance(self._callback, str):
            return form, self._callback or (lambda token: None)
        method = getattr(source, self._callback, None)
        if not callable(method):
            raise ConfigError(f"the callback of validate_token: {type(source).__name__} has no method {self._callback}")
        return form, method

    async def _fetch(self, source: DataSource, flight: _Flight, form: Form, hub: Hub | None) -> dict[str, str]:
        """Get the new tokens and put them into the source."""
        changes = await self._endpoint.renew(form, _masked(source.source.get(self._endpoint.refresh_key)), hub)
        source.source.update(_plain(changes))  # the access token last: who sees it changed may rely on the other
        flight.renewed = True
        form.learn(changes.values())
        flight.redactor = form.redactor
        return changes

    def _announce(self, source: DataSource, changes: dict[str, str], callback: Callable[[str], Any]) -> Any:
        source.fire("source-change", _plain(changes))
        return callback(str(changes[self._endpoint.access_key]))

    @contextmanager
    def _marked(self, source: DataSource) -> Iterator[None]:
        reset = _announcing.set(_announcing.get() | {self._mark(source)})
        try:
            yield
        finally:
            _announcing.reset(reset)

    async def _lead(self, source: DataSource, flight: _Flight) -> None:
        runtime = source._runtime
        # A method may run on a loop of its own, inside a plain read: the hub is not for that one.
        hub = runtime.hub if runtime is not None and runtime.loop is asyncio.get_running_loop() else None
        try:
            form, callback = self._prepare(source, flight)
            changes = await self._fetch(source, flight, form, hub)
            with self._marked(source):
                result = self._announce(source, changes, callback)
                if inspect.isawaitable(result):
                    await result
        except Exception as error:  # noqa: BLE001 - check() raises it, also when the caller of this is gone
            flight.error = error

    def _lead_blocking(self, source: DataSource, flight: _Flight) -> None:
        form, callback = self._prepare(source, flight)
        deadline = time.monotonic() + _DEADLINE
        with _loop_for(source) as (loop, hub, private):
            fetching = asyncio.run_coroutine_threadsafe(self._fetch(source, flight, form, hub), loop)
            if not wait([fetching], _DEADLINE).done:
                if private:
                    fetching.cancel()
                else:
                    fetching.add_done_callback(functools.partial(self._late, source))
                raise TimeoutError(f"no answer within {_DEADLINE:g} s")
            changes = fetching.result()
            with self._marked(source):
                result = self._announce(source, changes, callback)
                if inspect.isawaitable(result):
                    telling = asyncio.run_coroutine_threadsafe(_awaited(result), loop)
                    if not wait([telling], max(0.0, deadline - time.monotonic())).done:
                        telling.cancel()
                        raise TimeoutError(f"it was not through after {_DEADLINE:g} s")
                    telling.result()

    def _late(self, source: DataSource, fetching: Future[dict[str, str]]) -> None:
        """Tokens for which nobody waits any more: they are in the source, and have to be kept."""
        if not fetching.cancelled() and fetching.exception() is None:
            source.fire("source-change", _plain(fetching.result()))


def _masked(token: Any) -> Any:
    """The same token; what prints it (a traceback with locals, a debug log) prints a mask."""
    return UnshownText(token) if isinstance(token, str) else token


def _plain(changes: dict[str, str]) -> dict[str, str]:
    return {name: str(value) for name, value in changes.items()}


def _wait_for(flight: _Flight) -> None:
    if _on_a_loop():
        error = LifecycleError("another call is renewing it, and may need the event loop that this one would block")
        raise _verdict(error, False, flight.redactor) from error
    if not wait([flight.over], _DEADLINE + 5.0).done:  # the one who leads gives up before
        late = TimeoutError(f"another call has been renewing it for {_DEADLINE:g} s")
        raise _verdict(late, False, flight.redactor) from late


@contextmanager
def _loop_for(source: DataSource) -> Iterator[tuple[asyncio.AbstractEventLoop, Hub | None, bool]]:
    """A loop that goes on while this thread waits, its hub, and whether it is here for this only."""
    runtime = source._runtime
    if runtime is not None and runtime.loop.is_running() and not _on_a_loop():
        yield runtime.loop, runtime.hub, False
        return
    thread = LoopThread("asyncconn-token")
    try:
        yield thread.loop, None, True
    finally:
        thread.close()


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
