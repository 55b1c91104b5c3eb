"""What an embedded Datorama is made of, and which of the platform's unknowns it plays in which way."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from asyncconn.errors import ConfigError

__all__ = ["ERROR_BODIES", "Options"]

#: The shapes an error's body may have: a JSON object with this key, plain text, or nothing.
ERROR_BODIES = ("info", "msg", "message", "error", "errors", "text", "empty")

_LARGEST_DOWNLOAD = 2_000_000_000  # above it a zip needs another format
_AT_LEAST_ONE = frozenset({"workspaces", "tokens", "max_page_size"})


@dataclass(frozen=True, kw_only=True)
class Options:
    """So many things, the same for the same numbers and ``seed`` (None: the sandbox's).

    **Who and what.** ``streams`` are dealt to the ``workspaces`` in equal blocks, each with ``jobs`` finished ones of
    ten days up to yesterday. Every ``file_every``-th stream is a TotalConnect stream, every ``disabled_every``-th is
    disabled (0: none). Ids count up from 41001 (workspaces), 7700101 (streams) and 900000001 (jobs). ``visible``
    gives the workspaces that a token (by index) may see, others see all; the rest is answered ``invisible_status``
    (403 or 404). ``token_prefix`` stands before each token, as ``dato-api-`` once did.

    **Limits**, per token: ``platform_per_minute``, ``query_per_minute``, ``per_day``. ``windows`` is ``"sliding"``
    (any 60 s) or ``"fixed"`` (minutes of the clock). ``count_refused``: an answer 429 counts as a call.
    ``rate_headers``: all, none, or the names of those to send. ``refusal``: how a 429 looks, ``"documented"``,
    ``"nine"`` (the headers of every answer), or ``"bare"``. ``date_skew``: seconds the ``Date`` header is ahead.

    **Errors.** ``error_bodies``: the shapes to take in turn, of :data:`ERROR_BODIES`; none given: what the contract's
    samples show.

    **Jobs.** They are PENDING, then IN_PROGRESS, then one of ``outcomes`` (words with their shares; an outcome
    IN_PROGRESS never ends). ``progress`` is by the ``"clock"``, for ``job_seconds`` in each of the two states, or by
    ``"reads"``, for ``job_reads`` looks at the job: by itself, in a list of jobs, or in what a stream tells of those
    that it has waiting. ``rerun_ids``: a rerun may ``"keep"`` or ``"renew"`` the id.
    ``page_order`` of job lists; a page has ``max_page_size`` entries at most, whatever was asked for.
    ``batch_answer``: the body of a batch process call. ``file_process`` and ``file_batch``: what becomes of
    TotalConnect streams in a process call for one and for many streams; ``file_jobs``: whether their jobs are in the
    list for ``"files"`` or, as one client found them, in that for ``"api"`` streams (the other is empty then).

    **Data.** ``model_form`` of dimensions and measurements. ``download_bytes`` of a job's file. ``data_days`` of data
    up to today. A query with more than ``max_query_rows`` rows fails inside a 200. ``report_outcomes`` as
    ``outcomes``, for report jobs; a workspace holds ``max_reports`` reports.

    Raises :class:`~asyncconn.errors.ConfigError` naming the field. Contract: datorama sections 1 to 8.

        >>> Options(workspaces=40, streams=5000).jobs
        3
    """

    workspaces: int = 2
    streams: int = 10
    jobs: int = 3
    tokens: int = 1
    seed: int | str | None = None
    file_every: int = 5
    disabled_every: int = 0
    visible: Mapping[int, Collection[int]] = field(default_factory=dict)
    invisible_status: Literal[403, 404] = 403
    token_prefix: str = ""

    platform_per_minute: int = 60
    query_per_minute: int = 200
    per_day: int = 20_000
    windows: Literal["sliding", "fixed"] = "sliding"
    count_refused: bool = False
    rate_headers: bool | Collection[str] = True
    refusal: Literal["documented", "nine", "bare"] = "documented"
    date_skew: float = 0.0

    error_bodies: tuple[str, ...] = ()

    outcomes: Mapping[str, float] = field(
        default_factory=lambda: {"SUCCESS": 0.9, "FAILURE": 0.06, "ABORTED": 0.02, "TIMEOUT": 0.02}
    )
    progress: Literal["clock", "reads"] = "clock"
    job_seconds: tuple[float, float] = (5.0, 20.0)
    job_reads: tuple[int, int] = (1, 1)
    rerun_ids: Literal["keep", "renew"] = "keep"
    page_order: Literal["ascending", "descending", "shuffled"] = "ascending"
    max_page_size: int | None = None
    batch_answer: Literal["empty", "list", "object"] = "empty"
    file_process: Literal["accept", "refuse"] = "accept"
    file_batch: Literal["accept", "refuse", "skip"] = "refuse"
    file_jobs: Literal["files", "api"] = "files"

    model_form: Literal["object", "list"] = "object"
    download_bytes: int = 4_000
    data_days: int = 400
    max_query_rows: int = 600_000
    report_outcomes: Mapping[str, float] = field(default_factory=lambda: {"SUCCESS": 1.0})
    max_reports: int | None = None

    def __post_init__(self) -> None:
        hints = get_type_hints(Options)
        for each in fields(self):
            _check(each.name, getattr(self, each.name), hints[each.name])
        skew: Any = self.date_skew
        if not isinstance(skew, int | float) or not math.isfinite(skew):
            raise _wrong("date_skew", skew, "is not a finite number of seconds")
        for name in ("job_seconds", "job_reads"):
            pair = getattr(self, name)
            if not isinstance(pair, tuple) or len(pair) != 2 or any(not 0 <= part < math.inf for part in pair):
                raise _wrong(name, pair, "is not two numbers, 0 or more")
        for name in ("outcomes", "report_outcomes"):
            shares: Mapping[str, float] = getattr(self, name)
            if not shares or min(shares.values()) < 0 or not 0 < sum(shares.values()) < math.inf:
                raise _wrong(name, shares, "is not words with their shares")
        for body in self.error_bodies:
            if body not in ERROR_BODIES:
                raise _wrong("error_bodies", body, f"is not one of {', '.join(ERROR_BODIES)}")
        for token in self.visible:
            if not 0 <= token < self.tokens:
                raise _wrong("visible", token, "is not the index of a token")
        if self.download_bytes > _LARGEST_DOWNLOAD:
            raise _wrong("download_bytes", self.download_bytes, f"is more than {_LARGEST_DOWNLOAD:,}")


def _check(name: str, value: Any, hint: Any) -> None:
    """Whole numbers and words; what is more complicated is looked at by itself."""
    if hint is int or (hint == int | None and value is not None):
        least = 1 if name in _AT_LEAST_ONE else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _wrong(name, value, f"is not a whole number, {least} or more")
    elif get_origin(hint) is Literal and value not in get_args(hint):
        raise _wrong(name, value, f"is not one of {', '.join(map(str, get_args(hint)))}")


def _wrong(name: str, value: object, what: str) -> ConfigError:
    return ConfigError(f"world: {name}={value!r} {what}")
