"""Changing many streams, by PATCH: only what is named changes. Contract: datorama sections 9.1, 11.6."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncconn.core.tasks import each
from asyncconn.datorama.bulk.finding import resolve
from asyncconn.datorama.bulk.plans import Plan, planned
from asyncconn.datorama.bulk.progress import BulkProgress, Meter
from asyncconn.datorama.bulk.results import BulkResult, Check, Item
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.frames import changes_frame
from asyncconn.datorama.given import listed, one_for_each
from asyncconn.datorama.models import DataStream
from asyncconn.errors import AsyncConnError, ConfigError, outcome_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["plan_changes", "plan_rename"]


async def plan_rename(nouns: Nouns, streams: Any, names: Any) -> Plan[DataStream, DataStream]:
    """See ``Datorama.plan_rename``."""
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
    return await plan_changes(nouns, given, [{"name": name} for name in new])


async def plan_changes(
    nouns: Nouns, streams: Any, changes: Sequence[Mapping[str, Any]]
) -> Plan[DataStream, DataStream]:
    """Each stream with the changes at its place."""
    found = await resolve(nouns, listed(streams, "streams"))
    calls = [
        planned(nouns.calling, "streams.patch", fields, id=one.id) for one, fields in zip(found, changes, strict=True)
    ]
    return Plan(nouns.calling, calls, partial(_change, nouns, found, changes))


async def _change(
    nouns: Nouns,
    found: Sequence[DataStream],
    changes: Sequence[Mapping[str, Any]],
    on_progress: Callable[[BulkProgress], object] | None,
) -> BulkResult[DataStream, DataStream]:
    items: list[Item[DataStream, DataStream] | None] = [None] * len(found)
    meter = Meter(nouns.calling, len(found), on_progress, what="streams", calls=float)

    async def change(number: int) -> None:
        stream, fields = found[number], changes[number]
        try:
            changed = await nouns.streams.patch(stream.id, fields, workspace_id=nouns.calling.workspace_of(stream))
        except AsyncConnError as error:
            unknown = outcome_unknown(error)
            checking = partial(_check, nouns, stream, fields) if unknown else None
            outcome: Any = "unknown" if unknown else "failed"
            items[number] = Item(key=stream, outcome=outcome, error=error, checking=checking)
            meter.add(outcome)
        else:
            items[number] = Item(key=stream, outcome="ok", value=changed)
            meter.add("ok")

    await each(range(len(found)), change, name="datorama:changes", at_once=AT_ONCE)
    at = nouns.calling.clock.utcnow()

    def rows(result: BulkResult[DataStream, DataStream]) -> pd.DataFrame:
        made = zip(result, changes, strict=True)
        return changes_frame(((item.key, fields, item.outcome) for item, fields in made), at)

    return BulkResult([item for item in items if item is not None], rows)


async def _check(nouns: Nouns, stream: DataStream, fields: Mapping[str, Any]) -> Check:
    now = await nouns.streams.get(stream.id, workspace_id=nouns.calling.workspace_of(stream))
    return Check(all(now.raw.get(name) == value for name, value in fields.items()))
