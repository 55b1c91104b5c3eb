"""From ids to streams: what is not known yet is looked up, once, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.core.tasks import each
from asyncconn.datorama import paths
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.errors import UnknownStream
from asyncconn.datorama.models import DataStream, Workspace
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["resolve"]


async def resolve(nouns: Nouns, streams: Sequence[Any]) -> list[DataStream]:
    """The streams, given as they are or by id.

    Ids that the client has not seen cost one call for the workspaces and one for each of them. Raises
    ``UnknownStream`` with those that are nowhere; ``ConfigError`` for what is no id.
    """
    numbers = [one if isinstance(one, DataStream) else paths.number(one, "stream") for one in streams]
    failures: list[AsyncConnError] = []
    if any(_find(nouns, one) is None for one in numbers):
        failures = await _look(nouns)
    found = [_find(nouns, one) for one in numbers]
    unknown = [_id(one) for one, got in zip(numbers, found, strict=True) if got is None]
    if unknown and failures:
        raise failures[0]  # they may be in the workspace that could not be read
    if unknown:
        shown = ", ".join(map(str, unknown[:20])) + (", ..." if len(unknown) > 20 else "")
        raise UnknownStream(f"in no workspace that can be seen there is stream {shown}")
    return [one for one in found if one is not None]


def _id(stream: DataStream | int) -> int:
    return stream.id if isinstance(stream, DataStream) else stream


def _find(nouns: Nouns, stream: DataStream | int) -> DataStream | None:
    if isinstance(stream, int):
        return nouns.calling.stream_of(stream)
    return stream if nouns.calling.workspace_of(stream) is not None else nouns.calling.stream_of(stream.id)


async def _look(nouns: Nouns) -> list[AsyncConnError]:
    """See the streams of all workspaces; the errors of those that could not be read."""
    failures: list[AsyncConnError] = []

    async def read(workspace: Workspace) -> None:
        try:
            await nouns.streams.list(workspace.id)
        except AsyncConnError as error:
            failures.append(error)

    await each((await nouns.workspaces.list()).items, read, name="datorama:streams", at_once=AT_ONCE)
    return failures
