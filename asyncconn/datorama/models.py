"""What Datorama knows: workspaces, data streams, jobs, and the rest, as pydantic models.

Nothing is documented enough to be strict about: only ``id`` is required, unknown fields are kept as attributes of their
own name, a value of an unexpected type is kept as it came, and an unknown status word is a status like any other. Ids
that later calls and file names are made of are whole numbers or absent: anything else is a ``DatoramaProtocolError``.
Epoch milliseconds become aware UTC times, calendar days ``date``. Contract: datorama sections 1.4, 6, 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from pydantic import PrivateAttr

from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.errors import ConfigError
from asyncconn.http import models
from asyncconn.http.models import Day, Flag, Int, Moment, Text, TolerantModel, Word, leniently

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from asyncconn.core.decoding import Json
    from asyncconn.core.paging import Pager
    from asyncconn.core.progress import OnProgress
    from asyncconn.datorama.dates import DayLike

    Fields = Mapping[str, Any]

__all__ = [
    "DataStream",
    "Entity",
    "Job",
    "JobStatus",
    "Measurement",
    "Model",
    "Report",
    "ReportJob",
    "StreamStatus",
    "Workspace",
]


class JobStatus(Word):
    """Words for the state of a job, a report job or a run. One that is not here is kept, and not taken as final."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    IN_PROGRESS = "IN_PROGRESS"
    PENDING = "PENDING"
    ABORTED = "ABORTED"
    TIMEOUT = "TIMEOUT"
    STARTED_BY_WORKFLOW = "STARTED_BY_WORKFLOW"
    INITIALIZATION_DONE = "INITIALIZATION_DONE"
    NONE = "NONE"

    @property
    def final(self) -> bool:
        """Whether it stays so: SUCCESS, FAILURE, ABORTED, TIMEOUT."""
        return self in _FINAL


_FINAL = frozenset({JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.ABORTED, JobStatus.TIMEOUT})


Status = Annotated[JobStatus | None, leniently]


class Model(TolerantModel):
    """Fields in snake case here, in camel case on the wire; both spellings are taken."""


class Entity(Model):
    """Anything with an id: what has no class of its own (dashboards, users, patterns, schedulers) is one of these."""

    id: int
    name: Text = None
    create_user_id: Int = None
    create_user: Text = None
    create_time: Moment = None
    update_user_id: Int = None
    update_user: Text = None
    update_time: Moment = None


class _Streams(Protocol):
    """What workspaces and streams ask of the noun that they came from."""

    def list(self, workspace_id: int, /) -> Pager[DataStream]: ...
    async def process(self, stream: DataStream, start: DayLike, end: DayLike, /) -> builtins.list[Job]: ...
    async def patch(self, number: int, changes: Fields, /, *, workspace_id: int | None) -> DataStream: ...
    async def replace(self, number: int, changes: Fields, /, *, workspace_id: int | None) -> DataStream: ...
    async def delete(self, number: int, /, *, workspace_id: int | None) -> None: ...
    async def mapping(self, number: int, /, *, workspace_id: int | None) -> Json: ...
    async def patch_mapping(self, number: int, changes: Fields, /, *, workspace_id: int | None) -> Json: ...
    async def replace_mapping(self, number: int, mapping: Any, /, *, workspace_id: int | None) -> Json: ...


class _Jobs(Protocol):
    """What streams and jobs ask of the noun that jobs come from."""

    def list(self, stream: DataStream, /, *, page_size: int) -> Pager[Job]: ...
    async def get(self, number: int, /, *, stream: DataStream | None) -> Job: ...
    async def rerun(self, stream: DataStream | int, jobs: Job | int | Iterable[Job | int], /) -> builtins.list[Job]: ...
    async def rerun_all(self, stream: DataStream, /) -> builtins.list[Job]: ...
    async def download(self, job: Job, path: str | Path, /, *, on_progress: OnProgress | None) -> Path: ...


B = TypeVar("B")


def _bound(model: Model, noun: B | None) -> B:
    """The noun, for a model that has come from one. Raises ``ConfigError`` for one that was made by hand."""
    if noun is None:
        raise ConfigError(f"this {type(model).__name__} came from no client: fetch it, or use the client")
    return noun


class Workspace(Entity):
    """A workspace ("brand" in older words). Contract: section 7.1."""

    account_id: Int = None
    currency_id: Int = None
    account_currency_id: Int = None
    culture_id: Int = None
    timezone_id: Int = None
    vertical_id: Int = None
    executive_workspace: Flag = None

    _streams: _Streams | None = PrivateAttr(default=None)

    def streams(self) -> Pager[DataStream]:
        """Its data streams."""
        return _bound(self, self._streams).list(self.id)


class DataStream(Entity):
    """A data stream. Contract: section 7.2."""

    workspace_id: int | None = None
    data_source_id: Int = None
    data_source_name: Text = None
    source_display_name: Text = None
    data_source_authentication_id: Int = None
    enabled: Flag = None
    has_data: Flag = None
    last_update: Moment = None
    last_run_status: Flag = None
    last_data_date: Day = None
    last_rows_retrieved: Int = None
    processed_rows: Int = None
    pending_stats_count: Int = None
    retrieval_next_date: Moment = None
    fetch_day_span: Int = None
    default_fetch_day_span: Int = None
    config: Any = None

    _streams: _Streams | None = PrivateAttr(default=None)
    _jobs: _Jobs | None = PrivateAttr(default=None)

    @property
    def file_based(self) -> bool:
        """Whether it is a TotalConnect stream: its jobs and downloads are elsewhere, and it is in no batch."""
        return self.data_source_name == "TotalConnect"

    def jobs(self, *, page_size: int = 100) -> Pager[Job]:
        """Its jobs."""
        return _bound(self, self._jobs).list(self, page_size=page_size)

    async def process(self, start: DayLike, end: DayLike) -> list[Job]:
        """Queue jobs for the days from ``start`` to ``end``, both included."""
        return await _bound(self, self._streams).process(self, start, end)

    async def rerun(self, jobs: Job | int | Iterable[Job | int]) -> list[Job]:
        """Queue jobs again: one or several, as objects or ids."""
        return await _bound(self, self._jobs).rerun(self, jobs)

    async def rerun_all(self) -> list[Job]:
        """Queue all its jobs again."""
        return await _bound(self, self._jobs).rerun_all(self)

    async def patch(self, changes: Mapping[str, Any]) -> DataStream:
        """Change the fields that are given."""
        return await _bound(self, self._streams).patch(self.id, changes, workspace_id=self.workspace_id)

    async def replace(self, changes: Mapping[str, Any]) -> DataStream:
        """Fetch it, put the changes over it, and write the whole: what somebody else changed meanwhile is lost."""
        return await _bound(self, self._streams).replace(self.id, changes, workspace_id=self.workspace_id)

    async def enable(self) -> DataStream:
        """Let it run."""
        return await self.patch({"enabled": True})

    async def disable(self) -> DataStream:
        """Keep it from running."""
        return await self.patch({"enabled": False})

    async def delete(self) -> None:
        """Delete it, and what belongs to it."""
        await _bound(self, self._streams).delete(self.id, workspace_id=self.workspace_id)

    async def mapping(self) -> Json:
        """Its mapping, as raw JSON. Unverified path."""
        return await _bound(self, self._streams).mapping(self.id, workspace_id=self.workspace_id)

    async def patch_mapping(self, changes: Mapping[str, Any]) -> Json:
        """Change those members of its mapping that are given, by reading and writing it: see ``streams``."""
        return await _bound(self, self._streams).patch_mapping(self.id, changes, workspace_id=self.workspace_id)

    async def replace_mapping(self, mapping: Any) -> Json:
        """Write its whole mapping: what is not given is **cleared**."""
        return await _bound(self, self._streams).replace_mapping(self.id, mapping, workspace_id=self.workspace_id)


class Job(Entity):
    """One run of a stream over some days ("stat" on the wire). Contract: section 7.3."""

    data_stream_id: int | None = None
    user_id: Int = None
    status: Status = None
    data_start_date: Day = None
    data_end_date: Day = None
    start_execution_time: Moment = None
    end_execution_time: Moment = None
    process_log: Text = None
    status_reason: Text = None

    _stream: DataStream | None = PrivateAttr(default=None)
    _jobs: _Jobs | None = PrivateAttr(default=None)

    @property
    def final(self) -> bool:
        """Whether it has ended, well or not."""
        return isinstance(self.status, JobStatus) and self.status.final

    @property
    def stream(self) -> DataStream:
        """The stream it belongs to, as far as it is known."""
        if self._stream is None:
            raise ConfigError(f"job {self.id} does not know its stream: list jobs by stream")
        return self._stream

    async def rerun(self) -> list[Job]:
        """Queue it again; the answer's ids are the ones to watch."""
        known = isinstance(self.data_stream_id, int) and self._stream is None
        stream = self.data_stream_id if known and self.data_stream_id is not None else self.stream
        return await _bound(self, self._jobs).rerun(stream, [self.id])

    async def download(self, path: str | Path, *, on_progress: OnProgress | None = None) -> Path:
        """Its data into a file or folder: zip for API streams, CSV for file-based ones."""
        return await _bound(self, self._jobs).download(self, path, on_progress=on_progress)

    async def refresh(self) -> Job:
        """It as it is now."""
        return await _bound(self, self._jobs).get(self.id, stream=self._stream)


class StreamStatus(Model):
    """One stream of a bulk status: ``run_status`` of its last run, ``status`` of the stream itself."""

    id: int
    run_status: Text = None
    status: Text = None


class Measurement(Model):
    """A dimension or measurement of a workspace, by its ``system_name``. Contract: section 3.8."""

    system_name: str
    display_name: Text = None
    type: Text = None


class Report(Entity):
    """A report: what to export. Contract: section 3.9."""

    workspace_id: int | None = None
    export_format: Text = None
    export_file_name: Text = None
    compressed: Flag = None


class ReportJob(Entity):
    """One run of a report. Contract: section 3.9."""

    report_id: int | None = None
    status: Status = None
    status_reason: Text = None
    compressed: Flag = None

    @property
    def final(self) -> bool:
        """Whether it has ended, well or not."""
        return isinstance(self.status, JobStatus) and self.status.final


M = TypeVar("M", bound=Model)


def decode(kind: type[M], value: Any) -> M:
    """One object of the wire. Raises ``DatoramaProtocolError`` when it is none, or lacks what makes it one."""
    return models.decode(kind, value, DatoramaProtocolError)


def decode_list(kind: type[M], value: Any) -> list[M]:
    """A bare list of objects, as every list of this platform is; null is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise DatoramaProtocolError(f"a list of {kind.__name__} must be an array, not {type(value).__name__}")
    made: list[M] = []
    for index, one in enumerate(value):
        try:
            made.append(decode(kind, one))
        except DatoramaProtocolError as error:
            raise DatoramaProtocolError(f"at $[{index}]: {error.message}") from None
    return made
