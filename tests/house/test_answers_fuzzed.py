"""Whatever a platform answers, only our own errors come out, and every call ends.

Each example is a call (every verb of every noun, and every bulk call) whose answers are captures, or the sandbox's,
made wrong by a seed. An example that fails says its seed, the call, and the answers it was given; the same seed gives
the same example again: ``Example(seed)``.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import captures
import pandas as pd
import pytest
from loopback import Loopback, QuickClock, Reply, Seen

from asyncconn import AtotiLimits, Hub, Panoply
from asyncconn.atoti_limits import Evaluation, Export
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.paging import Pager
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.core.retrying import RetryPolicy
from asyncconn.datorama import BulkResult, DataStream, Datorama, DatoramaLimits, Job, JobStates
from asyncconn.datorama.bulk.calls import BulkCalls
from asyncconn.datorama.frames import jobs_frame, streams_frame
from asyncconn.datorama.resources.queries import QueryResult
from asyncconn.datorama.snapshots import Snapshots
from asyncconn.errors import AsyncConnError
from asyncconn.http.transport import Timeouts
from asyncconn.resource import Resource
from asyncconn.sandbox import Call, DatoramaWorld, LimitsWorld, PanoplyWorld, Sandbox

from .mutations import Given, Mutator

QUICK = RetryPolicy(attempts=2, initial=0.01, maximum=0.02, deadline=60.0, max_retry_after=30.0)
SHORT = Timeouts(connect=2.0, total=2.0, place=5.0)
POLLS = PollPolicy(minimum=5.0, maximum=60.0, deadline=300.0)
ENDS = 10.0  # seconds: what takes longer hangs

AMPLE = 1_000_000
WORKSPACE, STREAM, JOB, REPORT, REPORT_JOB = 41001, 7700101, 900000001, 55001, 66001

Called = tuple[str, Callable[..., Any], dict[str, Any]]


# -- every verb of every noun ------------------------------------------------------------------------------------------


def verbs(
    owner: Any, name: str, values: dict[str, Any], kinds: Iterable[type], leave_out: Iterable[str] = ()
) -> list[Called]:
    """The public methods that it has of these classes, with a value for each of their required arguments.

    A method with an argument of a new name fails here: give it a value below, so that it is tried too.
    """
    names = {verb for kind in kinds for verb, what in vars(kind).items() if inspect.isfunction(what)}
    found: list[Called] = []
    for verb in sorted(names - set(leave_out)):
        if not verb.startswith("_"):
            method = getattr(owner, verb)
            parameters = inspect.signature(method).parameters
            needed = {
                key: values[key]
                for key, one in parameters.items()
                if one.default is one.empty and one.kind is not one.VAR_KEYWORD
            }
            known = {key: values[f"?{key}"] for key in parameters if f"?{key}" in values}
            found.append((f"{name}.{verb}", method, {**known, **needed}))
    return found


def of_datorama(datorama: Datorama, folder: Path) -> list[Called]:
    stream = DataStream.model_validate({"id": STREAM, "workspaceId": WORKSPACE, "dataSourceName": "Google Analytics"})
    job = Job.model_validate({"id": JOB, "dataStreamId": STREAM, "status": "PENDING"})
    stream._streams, stream._jobs = datorama.streams, datorama.jobs
    datorama.jobs.bound(job, stream)
    query = {"workspaceId": WORKSPACE, "dateRange": "YESTERDAY", "dimensions": ["Day"]}
    fields = {"name": "x", "workspaceId": WORKSPACE}
    values: dict[str, Any] = {
        "id": STREAM, "workspace_id": WORKSPACE, "stream": stream, "job": job, "job_id": JOB, "report_id": REPORT,
        "fields": fields, "changes": {"name": "x"}, "whole": fields, "mapping": {"Day": "DAY"}, "start": "2026-01-01",
        "end": "2026-01-25", "streams": [stream, STREAM + 1], "ids": [STREAM, STREAM + 1], "jobs": [job],
        "path": folder, "account_id": 9001, "connector_uuid": "aa-bb", "data_source_id": 1, "profiles": [{}],
        "widgets": [{}], "system_name": "DAY", "name": "time-zones", "query": query, "queries": [query, query],
        "directory": folder,
        "workspaces": [], "?policy": POLLS, "?capacity_policy": POLLS, "starts": "2026-01-01", "ends": "2026-01-25",
        "names": ["a", "b"], "method": "GET", "uuid": "aa-bb", "folder": folder, "dashboard_id": 31001,
        "?stream": stream, "paging": {}, "body": {},
    }  # fmt: skip
    found: list[Called] = []
    nouns: list[tuple[str, Any]] = [
        (name, noun) for name, noun in vars(datorama).items() if isinstance(noun, Resource) and not name.startswith("_")
    ]
    nouns += [("reports.schedulers", datorama.reports.schedulers), ("dashboards.pages", datorama.dashboards.pages)]
    for name, noun in nouns:
        found += verbs(noun, name, values, type(noun).__mro__, ("where", "decoded", "bound"))
    found += verbs(stream, "stream", values, [DataStream], ("model_post_init",))
    found += verbs(job, "job", values, [Job], ("model_post_init",))
    found += verbs(datorama, "datorama", values, [BulkCalls])
    waiting = {"wait": POLLS, "capacity_policy": POLLS}
    found.append(("process and wait", datorama.process_streams, {**PROCESS, "streams": [stream], **waiting}))
    by_id = {**PROCESS, "streams": [STREAM], "max_pending": 1}
    found.append(("process in little room", datorama.process_streams, by_id))
    found.append(("rerun and wait", datorama.rerun, {"streams": stream, "jobs": [job], **waiting}))
    found.append(("query", datorama.query, {"query": query}))
    found.append(("snapshots", snapshots, {"keep": datorama.snapshots, "datorama": datorama, "folder": folder}))
    return found


PROCESS = {"starts": "2026-01-01", "ends": "2026-01-25", "capacity_policy": POLLS}


async def snapshots(keep: Snapshots, datorama: Datorama, folder: Path) -> None:
    """What came goes into files, and back."""
    streams = await datorama.fetch_all_streams()
    await keep.save_streams(folder, streams)
    await keep.restore_streams(folder)
    await keep.save_jobs(folder, await datorama.fetch_all_jobs([one for some in streams.values for one in some][:2]))
    await keep.restore_jobs(folder)


def of_limits(limits: AtotiLimits) -> list[Called]:
    structure = {"structureId": "s1", "name": "x"}
    values: dict[str, Any] = {
        "structure_id": "s1", "structures": [structure], "limits": [{"limitId": "l1"}], "limit": {"id": "l1"},
        "limit_id": "l1", "limit_ids": ["l1"], "structure_ids": ["s1"], "incident_key": "incident-000001",
        "action": "Review breach", "key": "SixEyes", "process_instance_id": "p1", "source": "a,b\n1,2\n",
        "?timeout": 2.0,
    }  # fmt: skip
    found: list[Called] = []
    for name, noun in vars(limits).items():
        if isinstance(noun, Resource):
            found += verbs(
                noun, name, values, type(noun).__mro__, ("create",) if name == "limits" else ()
            )  # 1.x has it
    client = ("preflight", "connect", "connected", "disconnect", "ready", "export", "learn_paths")
    found += [(verb, getattr(limits, verb), {}) for verb in client]
    found.append(("wait_connected", limits.wait_connected, {"timeout": 1.0}))
    found.append(("wait without looking", limits.wait_connected, {"timeout": 1.0, "preflight": False}))
    return found


# -- what they are answered --------------------------------------------------------------------------------------------


def shape(path: str) -> str:
    return re.sub(r"\d{2,}", "#", path.partition("?")[0])


def captured_datorama() -> dict[tuple[str, str], list[Given]]:
    found: dict[tuple[str, str], list[Given]] = {}
    for name, sample in captures.DATORAMA.items():
        asked, said = sample["request"], sample["response"]
        parts = {**sample, **said}
        text = json.dumps(parts["json"]) if "json" in parts else str(parts.get("text", parts.get("body", "")))
        given = Given(said["status"], text.encode(), dict(said.get("headers", {})), name)
        found.setdefault((asked["method"], shape(asked["path"])), []).append(given)
    return found


def captured_limits() -> dict[tuple[str, str], list[Given]]:
    found: dict[tuple[str, str], list[Given]] = {}
    autoconfig = captures.ATOTI_LIMITS["autoconfig"].items()
    named = {**captures.ATOTI_LIMITS, **{f"autoconfig.{name}": one for name, one in autoconfig}}
    kind = {"Content-Type": "application/json"}
    for name, sample in named.items():
        if isinstance(sample, dict) and "request" in sample and "status" in sample:
            asked = sample["request"]
            text = sample["text"] if "text" in sample else json.dumps(sample.get("body"))
            given = Given(sample["status"], text.encode(), kind, name)
            found.setdefault((asked["method"], shape(asked["path"])), []).append(given)
    return found


THING = {
    "id": JOB, "workspaceId": WORKSPACE, "dataStreamId": STREAM, "reportId": REPORT, "systemName": "DAY", "name": "x",
    "status": "SUCCESS", "dataStartDate": "2026-01-01", "dataEndDate": "2026-01-10", "compressed": False,
}  # fmt: skip
PLATFORMS = {"datorama": captured_datorama(), "atoti_limits": captured_limits(), "panoply": {}}


class Script:
    """Answers each request of one example: a capture or what the sandbox says, made wrong."""

    def __init__(self, seed: int, platform: str, ask: Callable[[Call], Awaitable[Any]]) -> None:
        self.mutate = Mutator(seed)
        self._platform = platform
        self._ask = ask

    async def __call__(self, seen: Seen) -> Reply:
        given = await self._given(seen)
        return self.mutate(given)

    async def _given(self, seen: Seen) -> Given:
        known = PLATFORMS[self._platform].get((seen.method, shape(seen.path)))
        if known and self.mutate.random.random() < 0.8:
            chosen = self.mutate.random.choice(known)
            return Given(chosen.status, chosen.body, dict(chosen.headers), chosen.capture)
        answer = await self._ask(Call(self._platform, seen.method, seen.path, seen.query, seen.headers, seen.body))
        if answer.status >= 400 and self._platform == "datorama":
            one = seen.method != "GET" or seen.path.rpartition("/")[2].isdecimal()
            body = json.dumps(THING if one else [THING]).encode()
            return Given(200, body, {"Content-Type": "application/json"}, f"{seen.method} {seen.path}, made up")
        body = answer.body if answer.pieces is None else b"".join(answer.pieces)
        headers = {**answer.headers, "Content-Type": answer.content_type}
        return Given(answer.status, body, headers, f"{seen.method} {seen.path} of the sandbox")


# -- an example --------------------------------------------------------------------------------------------------------


async def use(result: Any, folder: Path, chosen: random.Random) -> None:
    """Do with a result what people do with it."""
    match result:
        case Pager():
            await some_pages(result)
        case Poller():
            await use(await result, folder, chosen)
        case BulkResult():
            await every_item(result)
        case [Job(), *_] if chosen.random() < 0.3:
            await result[0].download(folder)
        case Path():
            assert result.is_relative_to(folder), f"{result} is outside of {folder}"
        case _:
            as_rows(result)


async def some_pages(pager: Pager[Any]) -> None:
    count = 0
    async for _ in pager.pages():
        if (count := count + 1) >= 3:
            break


async def every_item(result: BulkResult[Any, Any]) -> None:
    repr(result)
    for item in list(result):
        str(item.error)
        if item.outcome == "unknown":
            with suppress(AsyncConnError):
                await item.check()
    frame(result.frame)


def as_rows(result: Any) -> None:
    repr(result)
    match result:
        case JobStates() | [Job(), *_]:
            frame(lambda: jobs_frame(result))
        case [DataStream(), *_]:
            frame(lambda: streams_frame(result))
        case QueryResult():
            result.records()
            frame(result.frame)
        case Evaluation():
            result.rows()
            frame(result.frame)
        case Export():
            result.structures()
            result.limits()


def frame(make: Callable[[], Any]) -> None:
    assert isinstance(make(), pd.DataFrame)


async def tried(call: Called, folder: Path, chosen: random.Random) -> None:
    """Only our own errors, and an end. What is wrong is raised."""
    _, method, given = call
    async with asyncio.timeout(ENDS):
        try:
            made = method(**given)
            await use(await made if inspect.isawaitable(made) and not isinstance(made, Pager) else made, folder, chosen)
        except AsyncConnError as error:
            words = f"{error} {error!r}"
        else:
            words = "it went well"
    assert words


async def checked(seed: int, call: Called, script: Script, folder: Path) -> None:
    try:
        await tried(call, folder, random.Random(seed))
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}: {call[0]}({call[2]})", *script.mutate.said]))
        raise
    outside = [path for path in folder.parent.iterdir() if path != folder]
    assert not outside, f"seed {seed}: {call[0]} wrote to {outside}\n" + "\n".join(script.mutate.said)


class JumpingClock(QuickClock):
    """Timers cost nothing either: whoever waits for a permit has it at once, when its time has come."""

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        self._ahead += max(0.0, when - self.now())
        return super().call_at(when, callback, *args)


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Sandbox, Hub]]:
    """A sandbox to ask for answers, and a hub on a clock whose waits cost nothing."""
    clock = JumpingClock()
    world = DatoramaWorld(
        platform_per_minute=AMPLE, query_per_minute=AMPLE, per_day=AMPLE, seed=1, streams=6, download_bytes=200
    )
    async with AsyncExitStack() as stack:
        sandbox = Sandbox(world, PanoplyWorld(), LimitsWorld(), seed=1, clock=clock)
        yield (
            await stack.enter_async_context(sandbox),
            await stack.enter_async_context(Hub(clock=clock, on_undelivered="log")),
        )


def fresh(tmp_path: Path, seed: int) -> Path:
    folder = tmp_path / str(seed) / "mine"
    folder.mkdir(parents=True)
    return folder


#: Examples of a run: so many blocks of so many seeds. ``ASYNCCONN_FUZZ_SEED`` is where they begin: others are others.
BLOCKS, EACH, FEW = 24, 16, 6
FIRST = int(os.environ.get("ASYNCCONN_FUZZ_SEED", "0"))


def seeds(block: int, count: int = EACH) -> range:
    return range(FIRST + block * count, FIRST + (block + 1) * count)


@pytest.mark.parametrize("block", range(BLOCKS))
async def test_whatever_datorama_answers_only_our_own_errors_come_out(block: int, tmp_path: Path) -> None:
    async with stage() as (sandbox, hub):
        known = sandbox.datorama.tokens[0]
        for seed in seeds(block):

            async def ask(call: Call) -> Any:
                return await sandbox.datorama.answer(
                    Call(call.platform, call.method, call.path, call.query, {"Authorization": known}, call.body)
                )

            script = Script(seed, "datorama", ask)
            async with Loopback(otherwise=script) as server:
                tokens = [f"token-{seed}-{number}" for number in range(1 + seed % 2)]
                ample = DatoramaLimits(calls_per_minute=AMPLE, queries_per_minute=AMPLE, calls_per_day=AMPLE)
                given: dict[str, Any] = {"hub": hub, "base_url": server.url, "retry": QUICK, "timeouts": SHORT}
                datorama = Datorama(tokens, limits=ample, **given)
                folder = fresh(tmp_path, seed)
                calls = of_datorama(datorama, folder)
                await checked(seed, calls[(seed * 7 + seed // len(calls)) % len(calls)], script, folder)
                await datorama.aclose()


@pytest.mark.parametrize("block", range(BLOCKS // 2))
async def test_whatever_session_and_limits_server_answer_only_our_own_errors_come_out(
    block: int, tmp_path: Path
) -> None:
    async with stage() as (sandbox, hub):
        for seed in seeds(block):
            both = sandbox.atoti_limits

            async def ask(call: Call, both: Any = both) -> Any:
                at_session = (
                    call.path.startswith(("/activeviam", "/limits/autoconfig")) or call.path == "/versions/rest"
                )
                return await (both.session if at_session else both.limits).answer(call)

            script = Script(seed, "atoti_limits", ask)
            async with Loopback(otherwise=script) as server:
                given: dict[str, Any] = {"hub": hub, "retry": QUICK, "timeouts": SHORT, "auth": ("admin", "admin")}
                limits = AtotiLimits(server.url, limits_url=server.url, **given)
                folder = fresh(tmp_path, seed)
                calls = of_limits(limits)
                await checked(seed, calls[(seed * 5 + seed // len(calls)) % len(calls)], script, folder)
                await limits.aclose()


async def write(panoply: Panoply) -> None:
    """Some records: each is told to have arrived, or to have failed for a reason of ours."""
    receipt = await panoply.write_many("t", [{"id": number} for number in range(5)])
    report = await panoply.flush(5)
    stats = panoply.stats
    assert stats.accepted == stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.pending
    for failure in report.failures:
        assert isinstance(failure, AsyncConnError)
        assert failure.__cause__ is None or isinstance(failure.__cause__, AsyncConnError), repr(failure.__cause__)
    repr(receipt)


@pytest.mark.parametrize(
    ("sender", "block"), [*(("form", block) for block in range(8)), *(("sqs", block) for block in range(4))]
)
async def test_whatever_the_queue_answers_only_our_own_errors_come_out(sender: Any, block: int, tmp_path: Path) -> None:
    async with stage() as (sandbox, hub):
        for seed in seeds(block, FEW if sender == "sqs" else EACH):  # AWS's client takes a while to start
            script = Script(seed, "panoply", sandbox.panoply.answer)
            async with Loopback(otherwise=script) as server:
                panoply = Panoply(
                    sandbox.panoply.api_key,
                    sandbox.panoply.api_secret,
                    endpoint_url=server.url,
                    hub=hub,
                    sender=sender,
                    retry=QUICK,
                    timeouts=SHORT,
                    policy=BatchPolicy(max_age=60.0),
                )
                call: Called = ("write", write, {"panoply": panoply})
                await checked(seed, call, script, fresh(tmp_path, seed))
                with suppress(AsyncConnError):
                    await panoply.aclose(2)
