"""Errors around Atoti Limits, below those of :mod:`asyncconn.errors`. ``except LimitsError`` catches all of them.

    LimitsError
    ├── LimitsUnreachable (TransportError)         the Limits server gave no answer
    │   ├── LimitsNotReached (NotSent)             nothing was sent: safe to repeat
    │   └── LimitsOutcomeUnknown (MaybeSent)       the call may have been carried out
    ├── SessionUnreachable (TransportError)        the Atoti session gave no answer
    │   ├── SessionNotReached (NotSent)            nothing was sent: safe to repeat
    │   └── SessionOutcomeUnknown (MaybeSent)      the call may have been carried out
    ├── LimitsAuthError (Unauthorized)             401
    ├── LimitsPermissionError (Forbidden)          403: a role is missing
    ├── ExtensionNotLoaded (NotFound)              404 on a connection endpoint
    ├── SessionNotReady (ServerError)              503
    ├── LimitsConflict (Conflict)                  409: overlap, duplicate, stale
    ├── LimitsValidationError (BadRequest, Unprocessable)
    │                                              400, 422, or our own check; carries the details
    ├── LimitsProtocolError (ProtocolError)        an answer of an unexpected shape; says where
    ├── ConnectionTimedOut (PollTimeout)           not connected by the deadline; carries what may be the cause
    ├── SlicingHierarchyMissing (ConfigError)      a cube without a slicing date hierarchy
    ├── IncompatibleVersions (ConfigError)         versions that cannot work together; carries the report
    └── UiExtensionError (ConfigError)             an archive that is not extracted

Contract: limits section 13.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asyncconn.errors import (
    Answer,
    AsyncConnError,
    BadRequest,
    ConfigError,
    Conflict,
    Forbidden,
    MaybeSent,
    NotFound,
    NotSent,
    PollTimeout,
    ProtocolError,
    ServerError,
    TransportError,
    Unauthorized,
    Unprocessable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.atoti_limits.reports import CompatibilityReport, CubeCheck

__all__ = [
    "ConnectionTimedOut",
    "Detail",
    "ExtensionNotLoaded",
    "IncompatibleVersions",
    "LimitsAuthError",
    "LimitsConflict",
    "LimitsError",
    "LimitsNotReached",
    "LimitsOutcomeUnknown",
    "LimitsPermissionError",
    "LimitsProtocolError",
    "LimitsUnreachable",
    "LimitsValidationError",
    "SessionNotReached",
    "SessionNotReady",
    "SessionOutcomeUnknown",
    "SessionUnreachable",
    "SlicingHierarchyMissing",
    "UiExtensionError",
    "unreachable",
]

_OURS = Answer("atoti_limits", 422)  # what the server would say to what is refused here
_SHOWN = 5  # details in a message; the rest is in the attribute


class LimitsError(AsyncConnError):
    """What all errors around Atoti Limits have in common. Never raised itself."""


# -- no answer ---------------------------------------------------------------------------------------------------------


class _Unreachable(LimitsError, TransportError):
    """Raised as one of its two kinds: nothing was sent, or the outcome is unknown."""

    def __str__(self) -> str:
        sent = "the call may have been carried out" if self.maybe_sent else "nothing was sent"
        return f"{self.message} ({sent}; {self.advice})"


class LimitsUnreachable(_Unreachable):
    """No usable answer from the Limits server."""

    advice = "start the Limits server, or correct its URL"


class LimitsNotReached(LimitsUnreachable, NotSent):
    """The Limits server surely never saw the call."""


class LimitsOutcomeUnknown(LimitsUnreachable, MaybeSent):
    """The Limits server may have carried out the call."""


class SessionUnreachable(_Unreachable):
    """No usable answer from the Atoti session."""

    advice = "start the session, or correct its URL"


class SessionNotReached(SessionUnreachable, NotSent):
    """The Atoti session surely never saw the call."""


class SessionOutcomeUnknown(SessionUnreachable, MaybeSent):
    """The Atoti session may have carried out the call."""


def unreachable(message: str, error: TransportError, *, at_session: bool) -> LimitsUnreachable | SessionUnreachable:
    """What the transport's ``error`` is called here, knowing as much as it does."""
    kinds = (SessionNotReached, SessionOutcomeUnknown) if at_session else (LimitsNotReached, LimitsOutcomeUnknown)
    made = kinds[error.maybe_sent](message)
    if error.permanent:
        made.permanent, made.advice = True, error.advice
    return made


# -- refusals ----------------------------------------------------------------------------------------------------------


class LimitsAuthError(LimitsError, Unauthorized):
    """401: user, password or token are wrong."""

    advice = "check the credential; users must be the same on both servers"


class LimitsPermissionError(LimitsError, Forbidden):
    """403: the user lacks a role. :func:`~asyncconn.atoti_limits.missing_roles` knows which role does what."""

    advice = "give the user the missing role on both servers, or use another user"


class ExtensionNotLoaded(LimitsError, NotFound):
    """404 on a connection endpoint: the session runs without the Limits extension."""

    advice = "start the session with the Limits extension, and check the base path of its URL"


class SessionNotReady(LimitsError, ServerError):
    """503: the session is starting, and lets only administrators in."""

    advice = "wait until the session is ready"


class LimitsConflict(LimitsError, Conflict):
    """409: dates overlap, the id exists, or what was sent is stale."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that is wrong: in which row (of a file: the header is row 1), in which field or column, and what."""

    message: str
    row: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        where = [f"row {self.row}"] if self.row is not None else []
        where += [self.field] if self.field is not None else []
        return f"{', '.join(where)}: {self.message}" if where else self.message


class LimitsValidationError(LimitsError, BadRequest, Unprocessable):
    """400 or 422, or our own check before anything was sent (``local``).

    ``details`` lists everything that is wrong, as far as it is known.
    """

    advice = "correct what the details name"

    def __init__(
        self,
        message: str,
        answer: Answer = _OURS,
        *,
        details: Sequence[Detail] = (),
        local: bool = False,
    ) -> None:
        super().__init__(message, replace(answer, details=tuple(details)))
        self.local = local

    def __str__(self) -> str:
        if not self.details:
            return f"{self.message} (nothing was sent; {self.advice})" if self.local else super().__str__()
        listed = "; ".join(map(str, self.details[:_SHOWN]))
        more = f"; and {len(self.details) - _SHOWN} more" if len(self.details) > _SHOWN else ""
        who = "nothing was sent; " if self.local else f"{self.service} answered {self.status}; "
        return f"{self.message}: {listed}{more} ({who}{self.advice})"


class LimitsProtocolError(LimitsError, ProtocolError):
    """An answer of another shape than the contract's. ``path`` says where in it (``$.catalogs[0].name``)."""

    advice = "check the URLs and the versions; if this was a write, it may have been carried out"

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(message)
        self.path = path

    def __str__(self) -> str:
        where = "" if self.path == "$" else f"at {self.path}: "
        return f"{where}{super().__str__()}"


# -- connecting --------------------------------------------------------------------------------------------------------


class ConnectionTimedOut(LimitsError, PollTimeout):
    """Not connected by the deadline.

    ``last`` is the last answer, ``polls`` how often was asked, ``causes`` what is known to lead here and has not been
    excluded.
    """

    advice = "it may still connect: wait again, or look into the causes"

    def __init__(
        self, message: str, *, token: str | None = None, last: Any = None, polls: int = 0, causes: Sequence[str] = ()
    ) -> None:
        super().__init__(message, token=token, last=last, polls=polls)
        self.causes = tuple(causes)

    def __str__(self) -> str:
        words = f"{self.message}; last answer {self.last!r} after {self.polls} polls"
        if self.causes:
            words += f"; not excluded: {'; '.join(self.causes)}"
        return f"{words} ({self.advice})"


class SlicingHierarchyMissing(LimitsError, ConfigError):
    """A cube has no slicing date hierarchy, which Limits needs to evaluate at a date. ``checks`` says more of each."""

    advice = "set cube.hierarchies['Date'].slicing = True before connecting"

    def __init__(self, message: str, *, checks: Sequence[CubeCheck] = ()) -> None:
        super().__init__(message)
        self.checks = tuple(checks)


class IncompatibleVersions(LimitsError, ConfigError):
    """Versions that are known not to work together. ``report`` has all that was found."""

    advice = "use versions that belong together; see the report"

    def __init__(self, message: str, *, report: CompatibilityReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class UiExtensionError(LimitsError, ConfigError):
    """An archive that holds no UI extension, or that is refused. Nothing of it is left on disk."""

    advice = "use the archive as it was published; nothing was written"
