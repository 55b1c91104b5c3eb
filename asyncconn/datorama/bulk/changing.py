"""Changing many streams, by PATCH: only what is named changes. Contract: datorama sections 9.1, 11.6."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncconn.datorama.bulk.finding import resolve
from asyncconn.datorama.bulk.planning import listed, one_for_each
from asyncconn.datorama.bulk.progress import BulkProgress, Meter
from asyncconn.datorama.bulk.results import BulkResult, Check, Item
from asyncconn.datorama.bulk.running import each
from asyncconn.datorama.frames import changes_frame
from asyncconn.datorama.models import DataStream
from asyncconn.errors import AsyncConnError, ConfigError, outcome_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncconn.datorama.client import Datorama

__all__ = ["change_streams", "rename_streams"]


async def rename_streams(
    client: Datorama, streams: Any, names: Any, on_progress: Callable[[BulkProgress], object] | None
) -> BulkResult[DataStream, DataStream]:
    """See ``Datorama.rename_streams``."""
    if isinstance(streams, Mapping):
        if names is not None:
            raise ConfigError("names are given twice: by the mapping, and by themselves")
        given, new = listed(list(streams), "streams"), list(streams.values())
    else:
        given = listed(streams, "streams")
        # One name for all would be a mistake: it is taken for one stream only.
        new = one_for_each([names] if isinstance(names, str) else names or [], len(given), "names")
    if wrong := [name for name in new if not isinstance(name, str) or not name.strip()]:
        raise ConfigError(f"a stream's name is a text, not {wrong[0]!r}")
    return await change_streams(client, given, [{"name": name} for name in new], on_progress)


async def change_streams(
    client: Datorama,
    streams: Any,
    changes: Sequence[Mapping[str, Any]],
    on_progress: Callable[[BulkProgress], object] | None,
) -> BulkResult[DataStream, DataStream]:
    """Each stream with the changes at its place."""
    found = await resolve(client, listed(streams, "streams"))
    items: list[Item[DataStream, DataStream] | None] = [None] * len(found)
    meter = Meter(client, len(found), on_progress, what="streams", calls=float)

    async def change(number: int) -> None:
        stream, fields = found[number], changes[number]
        try:
            changed = await client.streams.patch(stream.id, fields, workspace_id=client.workspace_of(stream))
        except AsyncConnError as error:
            unknown = outcome_unknown(error)
            checking = partial(_check, client, stream, fields) if unknown else None
            outcome: Any = "unknown" if unknown else "failed"
            items[number] = Item(key=stream, outcome=outcome, error=error, checking=checking)
            meter.add(outcome)
        else:
            items[number] = Item(key=stream, outcome="ok", value=changed)
            meter.add("ok")

    await each(range(len(found)), change, name="changes")
    at = client.hub.clock.utcnow()
    return BulkResult([item for item in items if item is not None], lambda result: changes_frame(result, changes, at))


async def _check(client: Datorama, stream: DataStream, fields: Mapping[str, Any]) -> Check:
    now = await client.streams.get(stream.id, workspace_id=client.workspace_of(stream))
    return Check(all(now.raw.get(name) == value for name, value in fields.items()))
