"""The errors around data sources, in one tree, with the original's names where it had one.

    AsyncConnError
    ├── PanoplyException                  raised by sources; says whether trying again can help
    │   ├── TokenValidationException      the access token could not be renewed
    │   └── TokenCallbackException        it was renewed, but the callback failed
    ├── DataSourceException               any error of a source with its code and phase, as the platform wants it
    ├── SourceError                       a run ended early; carries the report
    │   ├── ReadFailed                    read raised, and no retry helped
    │   ├── ReadTimedOut                  read neither returned nor showed any sign of life
    │   ├── RowRefused                    a row that cannot be written; says which
    │   ├── StateRefused                  a state that cannot be kept
    │   └── RowsUndelivered               the writer gave up
    ├── TunnelRefused                     the SSH server said no to the login or to the forwarding
    ├── InvalidRecord
    │   └── RecordValueError              to_record was given something else than rows of a resource
    │       └── RecordTypeError (TypeError)
    └── ConfigError
        ├── TruncateRefused               truncateTable: what is in a table cannot be deleted from here
        └── IncorrectParamError           a parameter of a helper
            └── NotAnException (RuntimeError)

Contract: panoply section 9.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from asyncconn.errors import AsyncConnError, ConfigError, InvalidRecord
from asyncconn.panoply.report import RunReport

__all__ = [
    "DataSourceException",
    "IncorrectParamError",
    "NotAnException",
    "PanoplyException",
    "ReadFailed",
    "ReadTimedOut",
    "RecordTypeError",
    "RecordValueError",
    "RowRefused",
    "RowsUndelivered",
    "SourceError",
    "StateRefused",
    "TokenCallbackException",
    "TokenValidationException",
    "TruncateRefused",
    "TunnelRefused",
]


class PanoplyException(AsyncConnError):
    """What a source raises to say whether reading again can help.

    >>> raise PanoplyException("no such form", retryable=False)
    """

    def __init__(self, args: Any = None, retryable: bool = True) -> None:
        super().__init__(args)
        self.retryable = retryable

    def __str__(self) -> str:
        return str(self.args[0])


class TokenValidationException(PanoplyException):
    """The access token could not be renewed; ``original_error`` says why. The old token is still in the source."""

    def __init__(self, original_error: BaseException, args: Any = None, retryable: bool = True) -> None:
        super().__init__(args, retryable)
        self.original_error = original_error


class TokenCallbackException(PanoplyException):
    """The access token was renewed and kept, but the callback raised ``original_error``."""

    def __init__(self, original_error: BaseException, args: Any = None, retryable: bool = True) -> None:
        super().__init__(args, retryable)
        self.original_error = original_error


class DataSourceException(AsyncConnError):
    """An error of a source in the platform's terms, made by ``wrap_errors``.

    ``code`` is one of the platform's (400 to 506), ``phase`` is ``collect`` or ``config``, ``exception_cls`` the dotted
    name of the original class, ``created_at`` aware UTC.
    """

    def __init__(
        self,
        message: str,
        code: int,
        exception_cls: str,
        phase: Any,
        source_type: Any,
        source_id: Any,
        database_id: Any,
        retryable: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.exception_cls = exception_cls
        self.phase = phase
        self.source_type = source_type
        self.source_id = source_id
        self.database_id = database_id
        self.retryable = retryable
        self.created_at = datetime.now(UTC)


class IncorrectParamError(ConfigError):
    """A parameter of a helper that cannot work."""

    advice = "correct the parameter"

    def __init__(self, msg: str = "Incorrect input parametr") -> None:
        super().__init__(msg)


class NotAnException(IncorrectParamError, RuntimeError):
    """``set_internal_code`` on something that is not an exception class."""


class RecordValueError(InvalidRecord):
    """What ``to_record`` was given has the wrong value; ``path`` says which of it."""

    advice = "correct what is given to to_record"


class RecordTypeError(RecordValueError, TypeError):
    """What ``to_record`` was given is of the wrong type."""


class TunnelRefused(AsyncConnError):
    """The SSH server was reached, and refused: the login, or the forwarding to the target."""

    advice = "check user, key and password, and what the server lets this user do"


class TruncateRefused(ConfigError):
    """A source was given ``truncateTable``, which only the platform itself can do."""

    advice = "empty the table in Panoply, then run the source without truncateTable"


class SourceError(AsyncConnError):
    """A run that ended early. ``report`` says how far it got; the reason is the ``__cause__``.

    What was read before is delivered, and the saved state covers no more than that.
    """

    advice = "run it again with the same state to go on"

    def __init__(self, message: str, *, report: RunReport | None = None) -> None:
        super().__init__(message)
        self.report = report or RunReport()


class ReadFailed(SourceError):
    """``read`` raised, and was not to be repeated or has been repeated often enough. ``attempts`` counts its calls."""

    def __init__(self, message: str, *, attempts: int, retryable: bool, report: RunReport | None = None) -> None:
        super().__init__(message, report=report)
        self.attempts = attempts
        self.retryable = retryable


class ReadTimedOut(SourceError):
    """``read`` went on for too long without progress, state or log."""

    advice = "let read call progress() while it works, or allow a longer read_timeout; then run it again to go on"


class RowRefused(SourceError):
    """A row that cannot be written. ``read`` counts calls from 1, ``row`` the rows of that call from 0."""

    advice = "correct the source; rows before this one are delivered"

    def __init__(self, message: str, *, read: int, row: int, report: RunReport | None = None) -> None:
        super().__init__(message, report=report)
        self.read = read
        self.row = row


class StateRefused(SourceError):
    """A state that cannot be kept: not a mapping, or not JSON."""

    advice = "report states of text, numbers, lists and mappings"


class RowsUndelivered(SourceError):
    """Rows that were read could not be delivered: the ``__cause__`` is the writer's ``DeliveryFailed``, with them."""

    advice = "see the cause; run it again with the same state to read and send them once more"
