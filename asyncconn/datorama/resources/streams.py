"""Data streams: their settings, processing, status and mapping. Contract: datorama sections 2.2, 3.2, 3.3, 3.7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.datorama import wire
from asyncconn.datorama.dates import DateRange, DayLike
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.given import id_of
from asyncconn.datorama.models import DataStream, Job, Model, StreamStatus
from asyncconn.datorama.paths import number, numbers
from asyncconn.datorama.resources.base import Resource, fields_of
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    import builtins

    from asyncconn.core.decoding import Json
    from asyncconn.core.paging import Pager
    from asyncconn.datorama.calling import Calling
    from asyncconn.datorama.resources.jobs import Jobs

__all__ = ["Streams"]

_STATUS_IDS = 200  # ids in one status call: its length is not documented, a URL's is

#: What the server sets itself; ignored or refused on write.
_HISTORY = ("id", "createUserId", "createUser", "createTime", "updateUserId", "updateUser", "updateTime")


class Streams(Resource):
    """``datorama.streams``: D1 to D13. ``stream`` is a :class:`DataStream` or its id wherever one is asked for."""

    def __init__(self, calling: Calling, jobs: Jobs) -> None:
        super().__init__(calling)
        self._jobs = jobs

    def list(self, workspace_id: int) -> Pager[DataStream]:
        """All streams of a workspace."""
        return self._pages(DataStream, "streams.list", ids={"workspace_id": workspace_id})

    async def get(self, id: int, *, workspace_id: int | None = None) -> DataStream:
        """One stream. Raises ``NotFound``. ``workspace_id`` helps a pool of tokens to choose."""
        return await self._stream("get", id, workspace_id)

    async def create(self, fields: Mapping[str, Any] | DataStream) -> DataStream:
        """Make a stream; ``workspaceId`` and a ``name`` must be among the fields.

        Take an existing stream of the same source, or its ``raw``, as a template: what the server owns is left out.
        """
        body = {key: value for key, value in fields_of(fields).items() if key not in _HISTORY}
        if not isinstance(body.get("name"), str) or not body["name"].strip():
            raise ConfigError("a stream needs a name")
        workspace_id = number(body.get("workspaceId"), "workspaceId")
        return await self._one(DataStream, "streams.create", json=body, workspace_id=workspace_id)

    async def patch(self, id: int, changes: Mapping[str, Any], *, workspace_id: int | None = None) -> DataStream:
        """Change the fields that are given; the way to change a stream."""
        return await self._stream("patch", id, workspace_id, json=fields_of(changes))

    async def replace(self, id: int, changes: Mapping[str, Any], *, workspace_id: int | None = None) -> DataStream:
        """Fetch the stream, put ``changes`` over it, write it whole (PUT).

        The platform clears what is left out, and what somebody else changes between the two calls is lost: prefer
        :meth:`patch`.
        """
        there = await self._stream("get", id, workspace_id)
        return await self._stream("replace", id, workspace_id, json={**there.raw, **fields_of(changes)})

    async def delete(self, id: int, *, workspace_id: int | None = None) -> None:
        """Delete a stream, and what belongs to it."""
        await self._gone("streams.delete", ids={"id": id}, workspace_id=self._where(id, workspace_id))

    async def enable(self, id: int) -> DataStream:
        """Let it run."""
        return await self.patch(id, {"enabled": True})

    async def disable(self, id: int) -> DataStream:
        """Keep it from running."""
        return await self.patch(id, {"enabled": False})

    async def process(self, stream: DataStream | int, start: DayLike, end: DayLike) -> builtins.list[Job]:
        """Queue jobs for the days from ``start`` to ``end``, both included; the jobs, of ten days at most each.

        Not repeated when the outcome is unknown: see ``jobs.find`` to check. Raises ``BadDate`` before anything is
        sent, ``Unprocessable`` for a disabled stream.
        """
        days = DateRange.of(start, end)
        ids, where = {"id": id_of(stream)}, self._caller.workspace_of(stream)
        found = await self._json("streams.process", ids=ids, json=days.body, workspace_id=where)
        return self._jobs.decoded(found, stream)

    async def process_batch(
        self, streams: Sequence[DataStream | int], start: DayLike, end: DayLike, *, create: bool = False
    ) -> builtins.list[Job]:
        """Queue the same days for many API streams in one call (D8).

        ``create`` is for their very first time. What the answer holds is not documented: the jobs, if it tells them,
        else an empty list. File-based streams are refused before anything is sent, as far as that is known.
        """
        days = DateRange.of(start, end)
        ids = [id_of(one) for one in streams]
        if not ids:
            raise ConfigError("there is no stream to process")
        if wrong := [one.id for one in streams if isinstance(one, DataStream) and one.file_based]:
            raise ConfigError(f"file-based streams cannot be in a batch: {wrong}")
        workspaces = {self._caller.workspace_of(one) for one in streams} - {None}
        body = wire.batch_body(ids, days.body, create=create)
        where = workspaces.pop() if len(workspaces) == 1 else None
        found = await self._json("streams.process_batch", json=body, workspace_id=where)
        told = isinstance(found, list) and all(isinstance(one, dict) and "id" in one for one in found)
        return self._jobs.decoded(found) if told else []

    async def status(self, workspace_id: int, ids: Sequence[int]) -> builtins.list[StreamStatus]:
        """What many streams of a workspace are at, in as few calls as possible (D10)."""
        every, where = numbers(ids), {"workspace_id": workspace_id}
        found: list[StreamStatus] = []
        for start in range(0, len(every), _STATUS_IDS):
            some = ",".join(map(str, every[start : start + _STATUS_IDS]))
            found += await self._many(StreamStatus, "streams.status", ids=where, params={"ids": some})
        return found

    async def mapping(self, id: int, *, workspace_id: int | None = None) -> Json:
        """A stream's mapping, as raw JSON. The path is unverified (D12)."""
        return await self._json("streams.mapping", ids={"id": id}, workspace_id=self._where(id, workspace_id))

    async def patch_mapping(self, id: int, changes: Mapping[str, Any], *, workspace_id: int | None = None) -> Json:
        """Change those members of a stream's mapping that are given, and keep all others; what the platform answers.

            >>> await datorama.streams.patch_mapping(7700101, {"mapping": {"Clicks": "DELIVERY_CLICKS"}})

        Objects inside are merged likewise; a list, like any other value, replaces what was there. No single call does
        this: the mapping is read, merged, and written whole (D12, D13). What somebody else writes between the two
        calls is lost. Raises ``ConfigError`` for changes that are no mapping, ``DatoramaProtocolError`` when what is
        there is none: nothing is written then.
        """
        fields = fields_of(changes)
        there = await self.mapping(id, workspace_id=workspace_id)
        if there is not None and not isinstance(there, dict):
            raise DatoramaProtocolError(f"the mapping of stream {id} must be an object, not {type(there).__name__}")
        return await self.replace_mapping(id, _merged(there or {}, fields), workspace_id=workspace_id)

    async def replace_mapping(self, id: int, mapping: Any, *, workspace_id: int | None = None) -> Json:
        """Write a stream's whole mapping: what is not given is **cleared**. The path is unverified (D13).

        To change a part of it, use :meth:`patch_mapping`. Raises ``ConfigError`` for None: that would send nothing.
        """
        if mapping is None:
            raise ConfigError("a mapping to write cannot be None: {} is the empty one")
        where = self._where(id, workspace_id)
        return await self._json("streams.replace_mapping", ids={"id": id}, json=mapping, workspace_id=where)

    def decoded(self, found: Any, workspace_id: int) -> builtins.list[DataStream]:
        """Streams of a workspace, of an answer or a file, which are known from now on."""
        made: list[DataStream] = self._all(DataStream, found, workspace_id=workspace_id)
        return made

    def _note(self, made: Model, workspace_id: int | None) -> None:
        if isinstance(made, DataStream):
            if not isinstance(made.workspace_id, int) and workspace_id is not None:
                made.workspace_id = workspace_id
            made._streams, made._jobs = self, self._jobs
            self._caller.remember([made])

    def _where(self, stream_id: int, workspace_id: int | None) -> int | None:
        return workspace_id if workspace_id is not None else self._caller.workspace_of(number(stream_id))

    async def _stream(self, verb: str, id: int, workspace_id: int | None, **options: Any) -> DataStream:
        where = self._where(id, workspace_id)
        return await self._one(DataStream, f"streams.{verb}", ids={"id": id}, workspace_id=where, **options)


def _merged(there: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``there`` with ``changes`` over it, object by object."""
    made = dict(there)
    for name, value in changes.items():
        old = made.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        made[name] = _merged(old, value) if both else value  # type: ignore[arg-type] # mypy forgets what `both` says
    return made
