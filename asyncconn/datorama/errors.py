"""Datorama's own errors, below those of :mod:`asyncconn.errors`.

AsyncConnError
└── TooManyBytes            a download that is larger than the bounds that were given
ConfigError
├── BadDate                 a date that is none, or a range that ends before it begins
├── UnequalInput            lists that belong together have different lengths
├── UnknownStream           a stream id that no workspace in sight has
└── NotVisible              no token of the pool may see the workspace
ProtocolError
└── DatoramaProtocolError   a page instead of JSON, or JSON of another shape
Unprocessable
└── DatoramaQueryError      the query could not be read (422), or failed while it ran (200 with errors)
OperationFailed
├── ReportFailed            the report job ended in anything but SUCCESS
├── JobFailed               the same for the job of a stream
└── BulkFailed              a bulk call did not do everything: its result is attached
"""

from __future__ import annotations

from asyncconn.errors import AsyncConnError, ConfigError, OperationFailed, ProtocolError, Unprocessable

__all__ = [
    "BadDate",
    "BulkFailed",
    "DatoramaProtocolError",
    "DatoramaQueryError",
    "JobFailed",
    "NotVisible",
    "ReportFailed",
    "TooManyBytes",
    "UnequalInput",
    "UnknownStream",
]


class TooManyBytes(AsyncConnError):
    """A download is larger than the bounds that were given. Nothing of it is kept."""

    advice = "allow more bytes, or take fewer files at once"


class BadDate(ConfigError):
    """Not a date, or a range that ends before it begins."""

    advice = "give dates as date, datetime or YYYY-MM-DD, the first one first; nothing was sent"


class UnequalInput(ConfigError):
    """Lists that belong together have different lengths."""

    advice = "give one entry for each; nothing was sent"


class UnknownStream(ConfigError):
    """Stream ids that are in no workspace that the token may see."""

    advice = "check the ids, or fetch the streams anew; nothing was sent"


class NotVisible(ConfigError):
    """No token of the pool may see this workspace."""

    advice = "add a token that may; nothing was sent"


class DatoramaProtocolError(ProtocolError):
    """A page behind a 200 (the path or host does not exist), or JSON that is not what the contract says."""

    advice = "check the region or base URL; if this was a write, it may have been carried out"


class DatoramaQueryError(Unprocessable):
    """The query could not be read (422), or failed while it ran (200 with ``errors``: too many rows, 60 s over)."""

    advice = "correct the query; for more than about 600,000 rows or 60 seconds use a report"


class ReportFailed(OperationFailed):
    """The report job ended in something else than SUCCESS; ``state`` is the job."""


class JobFailed(OperationFailed):
    """The job of a stream ended in something else than SUCCESS; ``state`` is the job."""


class BulkFailed(OperationFailed):
    """Not everything in a bulk call is ok; ``state`` is its :class:`~asyncconn.datorama.bulk.BulkResult`."""

    advice = "look at the result's failed and unknown items; check the unknown ones before doing them again"
