"""Reading the streams of all workspaces, and the jobs of all streams. Contract: datorama sections 3.5, 9.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.core.tasks import each
from asyncconn.datorama import paths
from asyncconn.datorama.bulk.finding import resolve
from asyncconn.datorama.bulk.progress import BulkProgress, Meter
from asyncconn.datorama.bulk.results import BulkResult, Item
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.frames import jobs_frame, streams_frame
from asyncconn.datorama.given import listed
from asyncconn.datorama.models import DataStream, Job, Workspace
from asyncconn.errors import AsyncConnError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["fetch_all_jobs", "fetch_all_streams"]


async def fetch_all_streams(
    nouns: Nouns, workspaces: Any, on_progress: Callable[[BulkProgress], object] | None
) -> BulkResult[Workspace | int, list[DataStream]]:
    """See ``Datorama.fetch_all_streams``."""
    keys: list[Workspace | int]
    if workspaces is None:
        keys = list((await nouns.workspaces.list()).items)
    else:
        given = [workspaces] if isinstance(workspaces, Workspace) else listed(workspaces, "workspaces")
        keys = [one if isinstance(one, Workspace) else paths.number(one, "workspace") for one in given]
    items: list[Item[Workspace | int, list[DataStream]] | None] = [None] * len(keys)
    meter = Meter(nouns.calling, len(keys), on_progress, what="workspaces", calls=float)

    async def read(number: int) -> None:
        key = keys[number]
        try:
            page = await nouns.streams.list(key.id if isinstance(key, Workspace) else key)
        except AsyncConnError as error:
            items[number] = Item(key=key, outcome="failed", error=error)
            meter.add("failed")
        else:
            items[number] = Item(key=key, outcome="ok", value=page.items)
            meter.add("ok")

    await each(range(len(keys)), read, name="datorama:streams", at_once=AT_ONCE)
    found = [item for item in items if item is not None]
    return BulkResult(found, lambda result: streams_frame(stream for some in result.values for stream in some))


async def fetch_all_jobs(
    nouns: Nouns, streams: Any, page_size: int, on_progress: Callable[[BulkProgress], object] | None
) -> BulkResult[DataStream | Workspace | int, list[Job]]:
    """See ``Datorama.fetch_all_jobs``."""
    if type(page_size) is not int or page_size < 1:
        raise ConfigError(f"page_size must be a whole number from 1, not {page_size!r}")
    lost: list[Item[Any, list[Job]]] = []
    if streams is None:
        by_workspace = await fetch_all_streams(nouns, None, None)
        keys = [stream for some in by_workspace.values for stream in some]
        lost = [Item(key=item.key, outcome="failed", error=item.error) for item in by_workspace.failed]
    else:
        keys = await resolve(nouns, listed(streams, "streams"))
    items: list[Item[Any, list[Job]] | None] = [None] * len(keys)
    pages, read_to_the_end = 0, 0

    def calls(left: int) -> float:
        # As many pages for each stream to come as the others had.
        return left * max(1.0, pages / read_to_the_end if read_to_the_end else 1.0)

    meter = Meter(nouns.calling, len(keys) + len(lost), on_progress, what="streams", calls=calls)
    for _ in lost:
        meter.add("failed")

    async def read(number: int) -> None:
        nonlocal pages, read_to_the_end
        jobs: list[Job] = []
        try:
            async for page in nouns.jobs.list(keys[number], page_size=page_size).pages():
                pages += 1
                jobs += page.items
        except AsyncConnError as error:
            items[number] = Item(key=keys[number], outcome="failed", value=jobs, error=error)
            meter.add("failed")
        else:
            items[number] = Item(key=keys[number], outcome="ok", value=jobs)
            read_to_the_end += 1
            meter.add("ok")

    await each(range(len(keys)), read, name="datorama:jobs", at_once=AT_ONCE)
    found = [*(item for item in items if item is not None), *lost]
    return BulkResult(found, lambda result: jobs_frame(job for some in result.values for job in some))
