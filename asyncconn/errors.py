"""Everything that can go wrong, in one tree.

    AsyncConnError
    ├── ConfigError (ValueError)              what you passed in cannot work; nothing was sent
    ├── LifecycleError (RuntimeError)
    │   ├── HubNotOpen                        open it first
    │   ├── HubClosed                         make a new one
    │   ├── WrongLoop                         use it on the loop that opened it
    │   └── NotPicklable (TypeError)          pass settings, and make one in the other process
    ├── TransportError
    │   ├── NotSent                           the server never saw the request: safe to repeat
    │   │   ├── ConnectFailed
    │   │   ├── ConnectTimeout
    │   │   ├── PoolTimeout
    │   │   └── RateStoreUnavailable          where rates are shared cannot be asked
    │   └── MaybeSent                         the outcome is unknown: check before repeating
    │       ├── ReadTimeout
    │       └── ConnectionLost
    ├── ApiError                              the platform answered, and said no
    │   ├── BadRequest (400)                  ├── PayloadTooLarge (413)
    │   ├── Unauthorized (401)                ├── Unprocessable (422)
    │   ├── Forbidden (403)                   ├── RateLimited (429, or our own limiter)
    │   ├── NotFound (404)                    ├── ServerError (5xx)
    │   └── Conflict (409)                    └── NotDone (refused: surely nothing was done)
    ├── QuotaExhausted                        the day's calls are used up; says when they return
    ├── ProtocolError                         the answer was not what the contract says
    ├── BatchError
    │   ├── InvalidRecord (ValueError)        this record cannot be sent; says where in it
    │   ├── RecordTooLarge (InvalidRecord)
    │   ├── BufferFull, BufferClosed
    │   ├── SpoolError                        the file could not be read or written; the record was not taken
    │   │   ├── SpoolInUse                    by another process or writer
    │   │   ├── SpoolFull                     or the disk is
    │   │   └── SpoolDamaged
    │   └── DeliveryFailed                    carries the records
    ├── StateInUse                        the state file is another run's at the moment
    ├── PollError
    │   ├── PollTimeout                       carries a token to go on later
    │   └── OperationFailed
    └── StreamError
        ├── StreamLost
        └── SubscriptionRefused

Errors of libraries underneath never cross the API: they are the ``__cause__``. Every error knows its ``advice``:
what the caller may do next. What somebody on the way up adds is a note. All can be copied and pickled, also those of
your own with another constructor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn._answer import Answer
from asyncconn._portable import PortableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = [
    "Answer", "ApiError", "AsyncConnError", "BadRequest", "BatchError", "BufferClosed", "BufferFull", "ConfigError",
    "Conflict", "ConnectFailed", "ConnectTimeout", "ConnectionLost", "DeliveryFailed", "Forbidden", "HubClosed",
    "HubNotOpen", "InvalidRecord", "LifecycleError", "MaybeSent", "NotDone", "NotFound", "NotPicklable", "NotSent",
    "OperationFailed", "PayloadTooLarge", "PollError", "PollTimeout", "PoolTimeout", "ProtocolError", "QuotaExhausted",
    "RateLimited", "RateStoreUnavailable", "ReadTimeout", "RecordTooLarge", "ServerError", "SpoolDamaged", "SpoolError",
    "SpoolFull", "SpoolInUse", "StateInUse", "StreamError", "StreamLost", "SubscriptionRefused", "TransportError",
    "Unauthorized", "Unprocessable", "WrongLoop", "api_error_class", "outcome_unknown",
]  # fmt: skip


class AsyncConnError(PortableError):
    """The root: ``except AsyncConnError`` catches all that this library raises on purpose.

    ``message`` is what happened, without the ``advice`` that ``str`` adds.
    """

    advice = ""
    #: Whether the platform may have carried out the call, in this or an earlier attempt.
    maybe_sent = False
    #: Whether it is known that no repetition helps.
    permanent = False

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message} ({self.advice})" if self.advice else self.message


class ConfigError(AsyncConnError, ValueError):
    """An argument, a setting or a credential that cannot work. Raised before anything is sent.

    ``missing`` are the variables of the environment that have to be set, and are not.
    """

    advice = "correct the value; nothing was sent"
    missing: tuple[str, ...] = ()


# -- lifecycle ---------------------------------------------------------------------------------------------------------


class LifecycleError(AsyncConnError, RuntimeError):
    """Used at the wrong time or in the wrong place."""


class HubNotOpen(LifecycleError):
    """The hub (or the connector's private hub) has not been opened."""

    advice = "use 'async with' around it, or await its open()"


class HubClosed(LifecycleError):
    """The hub is draining or closed: it takes no new work."""

    advice = "make a new one; a closed one cannot be opened again"


class WrongLoop(LifecycleError):
    """Used from another event loop than the one that opened it."""

    advice = "make one for each loop, or hand the call over with asyncio.run_coroutine_threadsafe"


class NotPicklable(LifecycleError, TypeError):
    """It holds connections, tasks or credentials, which belong to this process."""

    advice = "pass its settings, or the names of variables, and make another one there"


# -- transport ---------------------------------------------------------------------------------------------------------


class TransportError(AsyncConnError):
    """No usable answer came back. ``permanent`` is True where no repetition helps (a certificate, an unknown name)."""


class NotSent(TransportError):
    """The request surely never reached the server, so repeating it is always safe."""

    advice = "nothing reached the server; it is safe to repeat the call"


class ConnectFailed(NotSent):
    """No connection: refused, unknown host, TLS failure."""


class ConnectTimeout(NotSent):
    """No connection in time: the name, the proxy, TLS, or a server that does not answer."""


class PoolTimeout(NotSent):
    """No free place among the connector's concurrent requests, or no free connection of the pool, in time."""

    advice = "nothing was sent; lower the concurrency, or raise max_concurrency or max_connections"


class RateStoreUnavailable(NotSent):
    """The store that rates are shared in does not answer. It was asked more than once: its caller decides what now."""

    permanent = True


class MaybeSent(TransportError):
    """The request may have been carried out: its outcome is unknown."""

    advice = "the server may have carried it out; check before repeating a write"
    maybe_sent = True


class ReadTimeout(MaybeSent):
    """Sent, and no complete answer within the timeout."""


class ConnectionLost(MaybeSent):
    """The connection broke while sending or before the answer was complete."""


# -- answers -----------------------------------------------------------------------------------------------------------


class ApiError(AsyncConnError):
    """The platform answered with an error: ``answer`` has all that is known, and each of its fields is one of this.

    >>> NotFound("no such stream", Answer("datorama", 404, code="E7")).status
    404
    """

    advice = "the platform refused the call; see the message"

    def __init__(self, message: str, answer: Answer) -> None:
        super().__init__(message)
        self.answer = answer

    @property
    def service(self) -> str:
        """Who answered."""
        return self.answer.service

    @property
    def status(self) -> int:
        """The HTTP status, or the effective one."""
        return self.answer.status

    @property
    def code(self) -> str | None:
        """The platform's own word for it."""
        return self.answer.code

    @property
    def request_id(self) -> str | None:
        """What the platform's support wants to hear."""
        return self.answer.request_id

    @property
    def retry_after(self) -> float | None:
        """Seconds after which it may work, if the platform named a time."""
        return self.answer.retry_after

    @property
    def body(self) -> str:
        """The beginning of the answer, without credentials."""
        return self.answer.body

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer, where a platform hides another one in the body."""
        return self.status if self.answer.http_status is None else self.answer.http_status

    @property
    def details(self) -> Any:
        """What the platform says for a program, beside its message: a result for each item, say. None: nothing."""
        return self.answer.details

    def __str__(self) -> str:
        code = f" [{self.code}]" if self.code else ""
        request = f" (request {self.request_id})" if self.request_id else ""
        said = self.message or "without a message"
        return f"{self.service} answered {self.status}{code} {said}{request} ({self.advice})"


class BadRequest(ApiError):
    """400: the platform could not read or accept the request."""

    advice = "correct the request; repeating it as it is will not help"


class Unauthorized(ApiError):
    """401: the credential is missing, wrong or expired."""

    advice = "check the credential"


class Forbidden(ApiError):
    """403: the credential is known but may not do this."""

    advice = "ask for the permission, or use another credential"


class NotFound(ApiError):
    """404: no such thing, or not visible to this credential."""

    advice = "check the id and the base URL"


class Conflict(ApiError):
    """409: it exists already, or its state does not allow this."""

    advice = "read the current state, then decide"


class PayloadTooLarge(ApiError):
    """413: the body is larger than the platform takes."""

    advice = "send less at a time"


class Unprocessable(ApiError):
    """422: well formed, and still not acceptable."""

    advice = "correct the values named in the message"


class RateLimited(ApiError):
    """429, or a wait for our own limiter that would have been longer than ``max_wait``.

    ``retry_after`` (seconds) says when it may work. ``local``: our own limiter refused, nothing was sent.
    """

    advice = "wait for retry_after seconds"

    def __init__(self, message: str, answer: Answer, *, local: bool = False) -> None:
        super().__init__(message, answer)
        self.local = local

    def __str__(self) -> str:
        when = "" if self.retry_after is None else f" for {self.retry_after:.3g} s"
        if self.local:
            return f"{self.service}: {self.message} (nothing was sent; wait{when}, or allow a longer max_wait)"
        return f"{self.service} answered {self.status} {self.message} (wait{when})"


class ServerError(ApiError):
    """5xx: the platform failed, before or after it carried out the call."""

    advice = "try again later"
    maybe_sent = True


class NotDone(ApiError):
    """Refused, and surely nothing was done: repeated whatever the call is. For rules of platforms that promise it."""

    advice = "nothing was done; it is safe to repeat the call"


class QuotaExhausted(AsyncConnError):
    """The fixed allowance (a day's calls) is used up until ``resets_at`` (aware UTC). Nothing was sent."""

    advice = "wait until then, ask to wait, or use another credential"

    def __init__(self, message: str, *, resets_at: datetime) -> None:
        super().__init__(message)
        self.resets_at = resets_at


class ProtocolError(AsyncConnError):
    """An answer that the contract does not allow: not the promised format, a redirect, a wrong digest, too large."""

    advice = "check the base URL and the platform's version; if this was a write, it may have been carried out"
    maybe_sent = True


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: PayloadTooLarge,
    422: Unprocessable,
    429: RateLimited,
}


def api_error_class(status: int) -> type[ApiError]:
    """The class for a status: its own, ``ServerError`` for 5xx, else ``BadRequest`` for 4xx and ``ApiError``."""
    otherwise = ServerError if status >= 500 else BadRequest if status >= 400 else ApiError
    return _BY_STATUS.get(status, otherwise)


def outcome_unknown(error: BaseException) -> bool:
    """Whether the platform may have carried out the call that ended in ``error``: True for a stranger's error."""
    return error.maybe_sent if isinstance(error, AsyncConnError) else True


# -- batching ----------------------------------------------------------------------------------------------------------


class BatchError(AsyncConnError):
    """Around records on their way into a batch."""


class InvalidRecord(BatchError, ValueError):
    """A record that cannot be sent as it is. Records accepted before it are not affected.

    ``path`` names the place inside the record (``$.address.lines[2]``); ``index`` is its position in a ``write_many``.
    """

    advice = "correct the record; those accepted before it are on their way"

    def __init__(self, message: str, *, path: str = "$", index: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.index = index

    def __str__(self) -> str:
        where = "" if self.index is None else f"record {self.index}: "
        return f"{where}{super().__str__()}"


class RecordTooLarge(InvalidRecord):
    """A record whose encoded size can never fit into one batch. ``size`` and ``limit`` are in bytes."""

    advice = "split it; those accepted before it are on their way"

    def __init__(self, message: str, *, size: int, limit: int, index: int | None = None) -> None:
        super().__init__(message, index=index)
        self.size = size
        self.limit = limit


class BufferFull(BatchError):
    """No room, and the caller asked not to wait."""

    advice = "wait and write again; the record was not taken"


class BufferClosed(BatchError):
    """The buffer is closing or closed: the record was not taken."""

    advice = "write before closing"


class SpoolError(BatchError):
    """The file that keeps accepted records, named in the message, cannot be read or written."""

    advice = "make the file readable and writable, then write again; the record was not taken"


class SpoolInUse(SpoolError):
    """Another process, or another writer of this one, has the spool open."""

    advice = "close the other one first, or give each a file of its own"


class SpoolFull(SpoolError):
    """The spool holds ``max_bytes`` of records already, or the disk is full."""

    advice = "write again when records have been delivered or there is room; the record was not taken"


class SpoolDamaged(SpoolError):
    """The file is not what was written: no database, or one whose contents do not fit together."""

    advice = "move the file away and start again; 'sqlite3 FILE .recover' may show what it still holds"


class DeliveryFailed(BatchError):
    """A batch, or a part of one, that could not be delivered. ``records`` are as they would have been sent.

    ``maybe_delivered`` is True when the last attempt may have reached the platform. ``spooled`` is True when the
    records are still in the spool, from where they will be sent again. ``told`` is True once an ``error`` handler, an
    awaited receipt or an error has told of it. The reason is the ``__cause__``, or ``reasons`` has one for each record.
    """

    advice = "the records are attached; write them again if you want them delivered"
    told: bool = False

    def __init__(
        self, message: str, *, records: Sequence[Any], maybe_delivered: bool, spooled: bool = False,
        reasons: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.records, self.reasons = records, reasons
        self.maybe_delivered, self.spooled = maybe_delivered, spooled
        if spooled:
            self.advice = "they stay in the spool and are sent again: do not write them again"


# -- runs, polling and streams -----------------------------------------------------------------------------------------


class StateInUse(AsyncConnError):
    """The state file belongs to a run that has not ended yet, or was changed by one."""

    advice = "wait until the other run has ended, or give each a state file of its own"


class PollError(AsyncConnError):
    """While waiting for something that takes time at the platform."""


class PollTimeout(PollError):
    """Not done by the deadline. ``token`` resumes the wait elsewhere; ``last`` is the last state; ``polls`` counts."""

    advice = "it may still finish: resume with the token"

    def __init__(self, message: str, *, token: str | None = None, last: Any = None, polls: int = 0) -> None:
        super().__init__(message)
        self.token = token
        self.last = last
        self.polls = polls


class OperationFailed(PollError):
    """It ended, and not well. ``state`` is what the platform said."""

    advice = "see the state; start it again if that makes sense"

    def __init__(self, message: str, *, state: Any = None) -> None:
        super().__init__(message)
        self.state = state


class StreamError(AsyncConnError):
    """Around long-lived subscriptions."""


class StreamLost(StreamError):
    """The stream broke or could not be taken up again in time. ``retry_after``: seconds that the server asks for."""

    advice = "subscribe again; messages in between may be missing"
    retry_after: float | None = None


class SubscriptionRefused(StreamError):
    """The platform will not serve this subscription."""

    advice = "check the name and the permission"
    permanent = True
