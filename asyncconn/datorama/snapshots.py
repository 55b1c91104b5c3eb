"""Workspaces, streams and jobs in files, and back without a call. Contract: datorama sections 9.9, 9.10, 11.9.

The files are those of pyDatorama: ``spaces.json``, ``{workspace}_streams.json``, ``{stream}_jobs.json``, each a JSON
list of the objects as the platform gave them.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.decoding import json_of
from asyncconn.core.files import replace_file
from asyncconn.datorama.bulk.results import BulkResult
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.models import DataStream, Entity, Job, Workspace
from asyncconn.datorama.paths import number
from asyncconn.errors import ConfigError
from asyncconn.http.outgoing import json_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.datorama.calling import Calling
    from asyncconn.datorama.resources.jobs import Jobs
    from asyncconn.datorama.resources.streams import Streams
    from asyncconn.datorama.resources.workspaces import Workspaces

__all__ = ["Snapshots"]

E = TypeVar("E", bound=Entity)

Directory = str | os.PathLike[str]

_SPACES = "spaces.json"
_STREAMS, _JOBS = "_streams.json", "_jobs.json"


class Snapshots:
    """``datorama.snapshots``: what was fetched, kept in a directory of yours.

        >>> streams = await datorama.fetch_all_streams()
        >>> await datorama.snapshots.save_streams("snapshot", streams)
        >>> streams = await datorama.snapshots.restore_streams("snapshot")

    Each file is written as a whole or not at all; a new one is readable by its owner alone. Saving returns the files;
    it raises ``ConfigError`` when one cannot be written. Restoring makes no call: what it gives is as old as its file,
    bound to this client, and usable. It raises ``ConfigError``, naming the file, for one that is missing or damaged.
    """

    def __init__(self, calling: Calling, workspaces: Workspaces, streams: Streams, jobs: Jobs) -> None:
        self._calling = calling
        self._workspaces = workspaces
        self._streams = streams
        self._jobs = jobs

    # -- saving --------------------------------------------------------------------------------------------------------

    async def save_workspaces(self, directory: Directory, workspaces: Iterable[Workspace]) -> list[Path]:
        """All of them into ``spaces.json``."""
        return await _save(directory, {_SPACES: list(workspaces)})

    async def save_streams(
        self, directory: Directory, streams: Iterable[DataStream] | BulkResult[Any, list[DataStream]]
    ) -> list[Path]:
        """Those of each workspace into ``{workspace}_streams.json``.

        Given what ``fetch_all_streams`` returned, workspaces without a stream have a file too.
        """
        files: defaultdict[str, list[Entity]] = defaultdict(list)
        for stream in _flat(streams, files, _STREAMS):
            if not isinstance(stream.workspace_id, int):  # a text would be a path
                raise ConfigError(f"stream {stream.id} does not say which workspace it is in")
            files[f"{stream.workspace_id}{_STREAMS}"].append(stream)
        return await _save(directory, files)

    async def save_jobs(self, directory: Directory, jobs: Iterable[Job] | BulkResult[Any, list[Job]]) -> list[Path]:
        """Those of each stream into ``{stream}_jobs.json``.

        Given what ``fetch_all_jobs`` returned, streams without a job have a file too.
        """
        files: defaultdict[str, list[Entity]] = defaultdict(list)
        for job in _flat(jobs, files, _JOBS):
            if not isinstance(job.data_stream_id, int):
                raise ConfigError(f"job {job.id} does not say which stream it is of")
            files[f"{job.data_stream_id}{_JOBS}"].append(job)
        return await _save(directory, files)

    # -- restoring -----------------------------------------------------------------------------------------------------

    async def restore_workspaces(self, directory: Directory) -> list[Workspace]:
        """Those of ``spaces.json``."""
        return await _restored(Path(directory) / _SPACES, self._workspaces.decoded)

    async def restore_streams(
        self, directory: Directory, workspaces: Iterable[Workspace | int] | None = None
    ) -> list[DataStream]:
        """Those of the workspaces given, or of all that have a file. The client knows them afterwards, by id too."""
        streams: list[DataStream] = []
        for workspace_id, path in await asyncio.to_thread(_files, Path(directory), _STREAMS, _ids(workspaces)):
            streams += await _restored(path, partial(self._streams.decoded, workspace_id=workspace_id))
        return streams

    async def restore_jobs(self, directory: Directory, streams: Iterable[DataStream | int] | None = None) -> list[Job]:
        """Those of the streams given, or of all that have a file. Restore the streams first: jobs then know theirs."""
        given = None if streams is None else list(streams)
        objects = {one.id: one for one in given or [] if isinstance(one, DataStream)}
        jobs: list[Job] = []
        for stream_id, path in await asyncio.to_thread(_files, Path(directory), _JOBS, _ids(given)):
            owner = objects.get(stream_id) or self._calling.stream_of(stream_id) or stream_id
            jobs += await _restored(path, partial(self._jobs.decoded, stream=owner))
        return jobs


def _flat(given: Iterable[E] | BulkResult[Any, list[E]], files: defaultdict[str, list[Entity]], ending: str) -> list[E]:
    if not isinstance(given, BulkResult):
        return list(given)
    for item in given.ok:
        files[f"{item.key.id if isinstance(item.key, Entity) else item.key}{ending}"] = []
    return [one for some in given.values for one in some]


def _ids(given: Iterable[Entity | int] | None) -> list[int] | None:
    return None if given is None else [one.id if isinstance(one, Entity) else number(one) for one in given]


def _raw(thing: Entity) -> dict[str, Any]:
    return thing.raw or thing.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)


async def _save(directory: Directory, files: Mapping[str, list[Any]]) -> list[Path]:
    contents = {Path(directory) / name: json_body([_raw(one) for one in things]) for name, things in files.items()}

    def write() -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        for path, data in contents.items():
            replace_file(path, data)

    try:
        await asyncio.to_thread(write)
    except OSError as error:
        raise ConfigError(f"a snapshot cannot be written to {directory}: {error.strerror}") from error
    return list(contents)


def _files(directory: Path, ending: str, ids: list[int] | None) -> list[tuple[int, Path]]:
    if ids is not None:
        return [(one, directory / f"{one}{ending}") for one in ids]
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory} to restore from")
    found = [(path.name.removesuffix(ending), path) for path in directory.glob(f"*{ending}")]
    return sorted((int(name), path) for name, path in found if name.isdecimal())


async def _restored(path: Path, decoded: Callable[[Any], list[E]]) -> list[E]:
    found = await asyncio.to_thread(_read, path)
    try:
        return decoded(found)
    except DatoramaProtocolError as error:
        raise ConfigError(f"{path} is damaged: {error.message}") from error


def _read(path: Path) -> Any:
    try:
        return json_of(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"there is no {path} to restore from") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: it is {error}") from error
