"""Partitions over a real cluster: workers that are killed, a run that is cancelled, and what it costs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from helpers import until
from redis_scene import redis_server

from asyncconn import Datorama, Hub, JsonLines, Progress, TokenAuth, collect
from asyncconn.collecting.sinks import Run
from asyncconn.collecting.working import Plan
from asyncconn.errors import ConfigError, NotPicklable

from .cluster import WORKERS, cluster, environment, pids
from .cluster_work import Acme, failing, from_platform, poison, sharing, under_a_cap, whose
from .collecting_scene import LAYOUTS, all_rows, found_in, numbers, rows_of, unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.service("dask"), pytest.mark.slow(400), pytest.mark.xdist_group("dask")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
async def client(address: str) -> AsyncIterator[Any]:
    from distributed import Client

    async with Client(address, asynchronous=True, set_as_default=False) as found:  # type: ignore[no-untyped-call] # so it is
        await found.wait_for_workers(WORKERS)
        yield found


@dataclass
class Platform:
    """Counts the calls for each partition; some answers are 503."""

    url: str = ""
    calls: Counter[int] = field(default_factory=Counter)
    share_of_503: float = 0.0
    seconds: float = 0.0
    limit: int = 1_000_000  # calls in any 4 s, counted exactly
    refused: int = 0
    counted: deque[float] = field(default_factory=deque)

    async def answer(self, request: web.Request) -> web.Response:
        partition = int(request.match_info["partition"])
        now = time.monotonic()
        while self.counted and self.counted[0] <= now - 4.0:
            self.counted.popleft()
        if len(self.counted) >= self.limit:
            self.refused += 1
            return web.Response(status=429)
        self.counted.append(now)
        self.calls[partition] += 1
        await asyncio.sleep(self.seconds)
        if random.random() < self.share_of_503:
            return web.Response(status=503)
        return web.json_response(rows_of(partition))


@asynccontextmanager
async def platform(**what: float) -> AsyncIterator[Platform]:
    found = Platform(**what)  # type: ignore[arg-type] # numbers only
    app = web.Application()
    app.router.add_get("/{partition}", found.answer)
    async with TestServer(app) as server:
        found.url = str(server.make_url(""))
        yield found


async def killing(client: Any, times: int, progress: list[Progress], every: int) -> None:
    """Kill a worker each time that so many partitions more are done."""
    for kill in range(times):
        await until(lambda kill=kill: progress and progress[-1].done >= (kill + 1) * every)  # type: ignore[misc] # it has a default
        while not (there := await pids(client)):
            await asyncio.sleep(0.05)
        with suppress(ProcessLookupError):
            os.kill(random.choice(there), signal.SIGKILL)


# -- what must hold ----------------------------------------------------------------------------------------------------


@pytest.mark.service("redis")
async def test_with_eight_workers_killed_every_row_is_there_once_and_the_cap_holds(client: Any, tmp_path: Path) -> None:
    into, seen = JsonLines(tmp_path), list[Progress]()

    with redis_server() as redis:
        async with platform(share_of_503=0.01, seconds=0.02, limit=400) as there:
            kills = asyncio.create_task(killing(client, 8, seen, 180))
            report = await collect(
                range(2000),
                partial(under_a_cap, there.url),
                into=into,
                client=client,
                hub=partial(sharing, redis.url),
                concurrency=8,
                on_progress=seen.append,
            )
            await kills

    assert await found_in(into) == all_rows(range(2000))
    assert (report.done, report.skipped, report.failed, report.rows) == (2000, 0, 0, 1999)
    assert set(there.calls) == set(range(2000))
    assert there.refused == 0
    assert there.calls.total() <= 1.08 * 2000
    assert unfinished(tmp_path) == []


async def test_after_a_cancellation_there_is_no_call_but_of_partitions_under_way(client: Any, tmp_path: Path) -> None:
    into = JsonLines(tmp_path)

    async with platform(seconds=0.05) as there:
        work = partial(from_platform, there.url)
        running = asyncio.create_task(collect(range(1500), work, into=into, client=client, batch=60, concurrency=4))
        await until(lambda: there.calls.total() > 100)
        running.cancel()
        await asyncio.wait({running})
        calls = there.calls.total()
        assert running.cancelled()
        assert calls < 1000
        # Those that were under way came to their end, and no other was begun.
        assert await found_in(into) == sorted(row["id"] for partition in there.calls for row in rows_of(partition))
        assert unfinished(tmp_path) == []
        assert not await _more_calls(there)

        report = await collect(range(1500), work, into=into, client=client)

    assert (report.skipped, report.done) == (calls, 1500 - calls)
    assert await found_in(into) == all_rows(range(1500))


_LEADER = """
import asyncio, sys
from functools import partial
from distributed import Client
from asyncconn import JsonLines, collect
from house.cluster_work import from_platform

async def main():
    address, url, folder = sys.argv[1:]
    async with Client(address, asynchronous=True) as client:
        await collect(range(2000), partial(from_platform, url), into=JsonLines(folder), client=client, batch=200)

asyncio.run(main())
"""


async def test_the_work_of_a_leader_that_was_killed_ends_and_another_goes_on(
    client: Any, address: str, tmp_path: Path
) -> None:
    into = JsonLines(tmp_path / "rows")

    async with platform(seconds=0.05) as there:
        work = partial(from_platform, there.url)
        command = [sys.executable, "-c", _LEADER, address, there.url, str(into.path)]
        leader = await asyncio.create_subprocess_exec(*command, env=environment())
        await until(lambda: there.calls.total() > 100)
        leader.kill()
        await leader.wait()
        while await _more_calls(there):
            pass
        assert there.calls.total() < 1500

        report = await collect(range(2000), work, into=into, client=client)

    assert report.done + report.skipped == 2000
    assert report.skipped > 50
    assert await found_in(into) == all_rows(range(2000))


async def _more_calls(there: Platform) -> bool:
    before = there.calls.total()
    await asyncio.sleep(0.3)
    return there.calls.total() > before


# -- the same as in one process ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_it_is_as_in_one_process(client: Any, tmp_path: Path, layout: Any) -> None:
    into, seen = JsonLines(tmp_path, layout=layout), list[Progress]()

    first = await collect(range(200), numbers, into=into, client=client, on_progress=seen.append)
    again = await collect(range(210), numbers, into=into, client=client)
    here = await collect(range(220), numbers, into=into)

    assert (first.done, first.rows, first.failed) == (200, 199, 0)
    assert (again.done, again.skipped) == (10, 200)
    assert (here.done, here.skipped) == (10, 210)
    assert await found_in(into) == all_rows(range(220))
    assert seen[-1] == Progress(200, 200, "partitions")


async def test_a_client_that_is_not_asynchronous_serves_as_well(client: Any, address: str, tmp_path: Path) -> None:
    from distributed import Client

    def made() -> Any:
        return Client(address, set_as_default=False)  # type: ignore[no-untyped-call] # so it is

    other = await asyncio.to_thread(made)
    try:
        report = await collect(range(20), numbers, into=JsonLines(tmp_path), client=other)
    finally:
        await asyncio.to_thread(other.close)

    assert report.done == 20


async def test_each_worker_has_one_hub_and_credentials_come_from_its_own_environment(
    client: Any, tmp_path: Path
) -> None:
    def given() -> None:
        os.environ["ACME_TOKEN"] = "made up"

    await client.run(given)
    into = JsonLines(tmp_path)
    await collect(range(200), whose, into=into, client=client, batch=5)

    rows = [row async for row in into.rows()]
    assert {row["token"] for row in rows} == {"made up"}
    assert 1 <= len({row["pid"] for row in rows}) <= WORKERS
    assert len({(row["pid"], row["hub"]) for row in rows}) == len({row["pid"] for row in rows})


async def test_a_connector_is_not_sent(client: Any, tmp_path: Path) -> None:
    async with Hub() as hub, Acme(base_url="http://127.0.0.1:1", auth=TokenAuth("made up"), hub=hub) as acme:

        async def work(hub: Hub, partition: int) -> Any:
            return await acme.http.call("GET", f"/{partition}")

        with pytest.raises(NotPicklable):
            await collect([1], work, into=JsonLines(tmp_path), client=client)


def test_nothing_that_is_sent_to_workers_has_a_secret_of_this_process_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed.protocol.pickle import dumps

    from asyncconn.integrations.dask import HubPlugin

    monkeypatch.setenv("ASYNCCONN_DATORAMA_TOKEN", "s3cret-made-up")

    async def work(hub: Hub, stream_id: int) -> Any:
        return hub.connector(Datorama).jobs.list(stream_id)

    plan = Plan(work, JsonLines(tmp_path), Run("it", "now"), 1, 0)
    sent = dumps(HubPlugin(plan, Hub))  # type: ignore[no-untyped-call] # so it is

    assert b"list" in sent
    assert b"s3cret-made-up" not in sent


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_partitions_that_fail_are_reported_from_wherever_they_were(client: Any, tmp_path: Path) -> None:
    report = await collect(range(30), failing, into=JsonLines(tmp_path), client=client)

    assert report.failed == 30
    assert {str(one.error) for one in report.failures} == {f"no {number}" for number in range(30)}


async def test_one_partition_that_takes_workers_along_fails_alone(client: Any, tmp_path: Path) -> None:
    def suspect(after: int, dask_scheduler: Any) -> None:
        dask_scheduler.allowed_failures = after

    await client.run_on_scheduler(partial(suspect, 0))
    try:
        report = await collect(range(8), poison, into=JsonLines(tmp_path), client=client, batch=2)
    finally:
        await client.run_on_scheduler(partial(suspect, 3))

    assert [one.partition for one in report.failures] == [7]
    assert "was lost" in str(report.failures[0].error)
    assert report.done == 7


async def test_a_hub_of_this_process_is_not_for_workers(client: Any, tmp_path: Path) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigError, match="a function that makes one"):
            await collect([1], numbers, into=JsonLines(tmp_path), client=client, hub=hub)


async def test_a_folder_that_workers_do_not_see_is_refused(client: Any, tmp_path: Path) -> None:
    class Elsewhere(JsonLines):
        def __reduce__(self) -> Any:
            return JsonLines, (tmp_path / "not there",)

    with pytest.raises(ConfigError, match="is not shared"):
        await collect([1], numbers, into=Elsewhere(tmp_path / "here"), client=client)


async def test_a_worker_starts_although_the_plugin_of_a_dead_leader_is_still_there(client: Any, tmp_path: Path) -> None:
    from asyncconn.integrations.dask import HubPlugin

    plan = Plan(numbers, JsonLines(tmp_path / "gone"), Run("it", "of a leader that is dead"), 1, 0)
    await client.register_plugin(HubPlugin(plan, Hub), "asyncconn-dead")
    try:
        [*_, victim] = await pids(client)
        os.kill(victim, signal.SIGKILL)
        while victim in await pids(client):
            await asyncio.sleep(0.05)
        await client.wait_for_workers(WORKERS)

        report = await collect(range(50), numbers, into=JsonLines(tmp_path / "rows"), client=client)
    finally:
        await client.unregister_worker_plugin("asyncconn-dead")

    assert report.done == 50


async def test_without_dask_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncconn.integrations.dask", None)

    with pytest.raises(ConfigError, match=r"asyncconn\[dask\]"):
        await collect([1], numbers, into=JsonLines(tmp_path), client=object())  # type: ignore[arg-type] # none is there
