"""What callers give: one thing or several, objects or ids. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from asyncconn.datorama import paths
from asyncconn.datorama.errors import UnequalInput
from asyncconn.datorama.models import DataStream, Job, Model
from asyncconn.errors import ConfigError

__all__ = ["id_of", "job_of", "listed", "one_for_each", "owner_of"]


def listed(value: Any, what: str) -> list[Any]:
    """One thing or several as a list. Raises ``ConfigError`` when there is none."""
    alone = isinstance(value, str | bytes | date | Model | Mapping)
    found = list(value) if isinstance(value, Iterable) and not alone else [value]
    if not found:
        raise ConfigError(f"there is nothing to do: {what} is empty")
    return found


def one_for_each(value: Any, count: int, what: str) -> list[Any]:
    """One value for all, or a list with one for each. Raises ``UnequalInput``."""
    if isinstance(value, str | bytes | date | Model | Mapping) or not isinstance(value, Iterable):
        return [value] * count
    found = list(value)
    if len(found) != count:
        raise UnequalInput(f"{what} has {len(found)} entries for {count} streams")
    return found


def id_of(stream: DataStream | int) -> int:
    """A stream's id. Raises ``ConfigError``."""
    return stream.id if isinstance(stream, DataStream) else paths.number(stream, "stream")


def job_of(job: Any, stream: int) -> int:
    """The id of a job of this stream. Raises ``ConfigError`` for none, and for one that says it is of another."""
    if not isinstance(job, Job):
        return paths.number(job, "job")
    if job.data_stream_id not in (None, stream):
        raise ConfigError(f"job {job.id} is of stream {job.data_stream_id}, not of {stream}")
    return job.id


def owner_of(job: Any) -> DataStream | int:
    """The stream that a job says it is of. Raises ``ConfigError`` when it does not."""
    owner = (job._stream or job.data_stream_id) if isinstance(job, Job) else None
    if owner is None:
        raise ConfigError(f"which stream is the job of? Give streams: {job!r} does not say")
    return owner
