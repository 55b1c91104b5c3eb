"""Every captured exchange: what we send for it, and what we make of its answer."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from captures import DATORAMA as SAMPLES
from loopback import Loopback, Reply

from asyncconn import errors
from asyncconn.core.polling import PollPolicy
from asyncconn.core.retrying import ONCE
from asyncconn.datorama import DataStream, Datorama, Job, JobStatus, Report, ReportJob, Workspace
from asyncconn.datorama.errors import DatoramaQueryError, ReportFailed
from asyncconn.datorama.models import Entity, Measurement, StreamStatus, decode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOKEN = "5f0e6a52-1f6b-4c83-9c6e-5a2f6f0d1c11"

#: Paths that nobody should call: the contract's section 2.12.
NOT_CALLED = {"legacy_stream_log", "legacy_dynamic_statistics"}

QUICKLY = PollPolicy(minimum=0.01, maximum=0.01)
STREAM, WORKSPACE = 7700101, 41001


def body_of(name: str) -> Any:
    return SAMPLES[name]["request"].get("json")


def answer_of(name: str) -> Any:
    return SAMPLES[name]["response"].get("json")


def stream(name: str, kind: str = "Google Analytics") -> DataStream:
    return decode(DataStream, {**answer_of(name), "dataSourceName": kind})


#: By sample: the call that makes this request. Each is given the client and a folder.
CALLS: dict[str, Callable[[Datorama, Path], Awaitable[Any]]] = {
    "workspaces_list": lambda d, _: d.workspaces.list().collect(),
    "workspace_get": lambda d, _: d.workspaces.get(WORKSPACE),
    "data_streams_list": lambda d, _: d.streams.list(WORKSPACE).collect(),
    "data_stream_get": lambda d, _: d.streams.get(STREAM),
    "data_stream_create": lambda d, _: d.streams.create(body_of("data_stream_create")),
    "data_stream_patch": lambda d, _: d.streams.patch(STREAM, body_of("data_stream_patch")),
    "data_stream_delete": lambda d, _: d.streams.delete(STREAM),
    "stats_page_1": lambda d, _: d.jobs.list(STREAM, page_size=2),
    "stat_get": lambda d, _: d.jobs.get(900000001),
    "process_one_stream": lambda d, _: d.streams.process(STREAM, "2026-01-01", date(2026, 1, 20)),
    "process_batch": lambda d, _: d.streams.process_batch([STREAM, 7700102], "2026-01-01", "2026-01-10"),
    "rerun_jobs": lambda d, _: d.jobs.rerun(STREAM, [900000003]),
    "rerun_all": lambda d, _: d.jobs.rerun_all(STREAM),
    "bulk_status": lambda d, _: d.streams.status(WORKSPACE, [STREAM, 7700102]),
    "dimensions_keyed_object": lambda d, _: d.dimensions.list(WORKSPACE).collect(),
    "dimensions_list_form": lambda d, _: d.dimensions.list(WORKSPACE).collect(),
    "measurements_keyed_object": lambda d, _: d.measurements.list(WORKSPACE).collect(),
    "patterns_list": lambda d, _: d.patterns.list(WORKSPACE).collect(),
    "harmonized_dimensions_list": lambda d, _: d.harmonized_dimensions.list(WORKSPACE).collect(),
    "accounts_list": lambda d, _: d.accounts.list().collect(),
    "users_list": lambda d, _: d.users.list(9001).collect(),
    "query_ok": lambda d, _: d.query(body_of("query_ok")),
    "query_runtime_error_inside_200": lambda d, _: d.query(body_of("query_runtime_error_inside_200")),
    "query_parse_error": lambda d, _: d.query(body_of("query_parse_error")),
    "query_batch": lambda d, _: d.queries.batch(body_of("query_batch")),
    "report_create": lambda d, _: d.reports.create(body_of("report_create")),
    "report_process": lambda d, _: d.reports.run(55001),
    "report_job_pending": lambda d, _: d.reports.job(66001),
    "report_job_failure": lambda d, _: d.reports.job(66001),
    "report_job_download": lambda d, folder: d.reports.download(66001, folder),
    "stat_download_api": lambda d, folder: d.jobs.download(900000001, folder, stream=stream("data_stream_get")),
    "stat_download_dynamic": lambda d, folder: d.jobs.download(
        900000020, folder, stream=stream("data_stream_get", "TotalConnect")
    ),
    "rate_limited_429_documented_headers": lambda d, _: d.workspaces.list().collect(),
    "rate_limited_429_200_style_headers": lambda d, _: d.workspaces.list().collect(),
    "unauthorized": lambda d, _: d.workspaces.list().collect(),
}
#: Seen within another: a second page, a PUT after the GET that it needs, a range that we refuse ourselves.
WITHIN = {"stats_page_2_short_page_is_last", "data_stream_put", "process_disabled_or_bad_range"}


def reply(name: str, **headers: str) -> Reply:
    response = SAMPLES[name]["response"]
    text = response.get("text", response.get("body"))
    body = b"" if response.get("json") is None else json.dumps(response["json"]).encode()
    return Reply(response["status"], body if text is None else text.encode(), {**response["headers"], **headers})


async def exchange(name: str, folder: Path, *replies: Reply) -> tuple[Loopback, Any]:
    """The sample's call against the sample's answer: what arrived, and what came of it (a result or an error)."""
    async with (
        Loopback(*(replies or (reply(name),))) as server,
        Datorama(TOKEN, base_url=server.url, retry=ONCE) as datorama,
    ):
        try:
            return server, await CALLS[name](datorama, folder)
        except errors.AsyncConnError as error:
            return server, error


def test_no_sample_is_forgotten() -> None:
    assert set(SAMPLES) == set(CALLS) | WITHIN | NOT_CALLED


@pytest.mark.parametrize("name", CALLS)
async def test_the_request_is_the_captured_one(name: str, tmp_path: Path) -> None:
    server, _ = await exchange(name, tmp_path)
    [seen] = server.seen
    request = SAMPLES[name]["request"]
    query = "&".join(f"{key}={value}" for key, value in request.get("query", {}).items())
    assert (seen.method, seen.path, unquote(seen.query)) == (request["method"], request["path"], query)
    assert (json.loads(seen.body) if seen.body else None) == request.get("json")
    assert seen.headers["authorization"] == TOKEN
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept"] == ("*/*" if "download" in name else "application/json")


LISTS = [
    ("workspaces_list", Workspace),
    ("data_streams_list", DataStream),
    ("rerun_jobs", Job),
    ("rerun_all", Job),
    ("process_one_stream", Job),
    ("bulk_status", StreamStatus),
    ("dimensions_list_form", Measurement),
    ("patterns_list", Entity),
    ("harmonized_dimensions_list", Entity),
    ("accounts_list", Entity),
    ("users_list", Entity),
]
ONES = [
    ("workspace_get", Workspace),
    ("data_stream_get", DataStream),
    ("data_stream_create", DataStream),
    ("data_stream_patch", DataStream),
    ("stat_get", Job),
    ("report_create", Report),
    ("report_job_pending", ReportJob),
    ("report_job_failure", ReportJob),
]


@pytest.mark.parametrize(("name", "kind"), LISTS)
async def test_a_list_becomes_models_that_keep_every_field(name: str, kind: type[Any], tmp_path: Path) -> None:
    _, found = await exchange(name, tmp_path)
    assert {type(one) for one in found} == {kind}
    assert [one.raw for one in found] == answer_of(name)


@pytest.mark.parametrize(("name", "kind"), ONES)
async def test_an_object_becomes_a_model_that_keeps_every_field(name: str, kind: type[Any], tmp_path: Path) -> None:
    _, found = await exchange(name, tmp_path)
    assert type(found) is kind
    assert found.raw == answer_of(name)


@pytest.mark.parametrize("name", ["dimensions_keyed_object", "measurements_keyed_object"])
async def test_an_object_by_system_name_becomes_a_list(name: str, tmp_path: Path) -> None:
    _, found = await exchange(name, tmp_path)
    assert [one.system_name for one in found] == list(answer_of(name))
    assert [one.display_name for one in found] == [one["displayName"] for one in answer_of(name).values()]


async def test_a_stream_has_aware_times_dates_and_the_fields_that_have_no_name_here(tmp_path: Path) -> None:
    _, found = await exchange("data_stream_get", tmp_path)
    assert found.create_time == datetime(2021, 1, 1, tzinfo=UTC)
    assert found.last_data_date == date(2025, 12, 30)
    assert (found.workspace_id, found.enabled, found.file_based) == (WORKSPACE, True, False)
    assert found.dataLoadMode == "REPLACE"


async def test_a_job_has_its_days_its_times_and_a_status(tmp_path: Path) -> None:
    _, page = await exchange("stats_page_1", tmp_path)
    first = page.items[0]
    assert (first.data_start_date, first.data_end_date) == (date(2025, 12, 1), date(2025, 12, 10))
    assert first.end_execution_time - first.start_execution_time == timedelta(seconds=123)
    assert first.start_execution_time.tzinfo is not None
    assert first.status is JobStatus.SUCCESS
    assert first.final


async def test_a_full_page_is_followed_by_the_next_and_a_short_one_is_the_last() -> None:
    pages = ("stats_page_1", "stats_page_2_short_page_is_last")
    async with Loopback(*map(reply, pages)) as server, Datorama(TOKEN, base_url=server.url) as datorama:
        found = await datorama.jobs.list(STREAM, page_size=2).collect()
    assert [one.id for one in found] == [900000001, 900000002, 900000003]
    assert [json.loads(seen.body) for seen in server.seen] == [body_of(name) for name in pages]
    assert found[2].status_reason == "Authentication with the data source failed"


async def test_replacing_fetches_the_whole_and_puts_the_whole() -> None:
    answers = [reply("data_stream_get"), reply("data_stream_put")]
    async with Loopback(*answers) as server, Datorama(TOKEN, base_url=server.url) as datorama:
        made = await datorama.streams.replace(STREAM, {"name": "renamed"})
    got, put = server.seen
    assert (got.method, put.method, put.path) == ("GET", "PUT", SAMPLES["data_stream_put"]["request"]["path"])
    assert json.loads(put.body) == body_of("data_stream_put")
    assert made.name == "renamed"


async def test_a_reversed_range_is_refused_before_anything_is_sent_and_the_servers_refusal_is_a_422() -> None:
    refused = reply("process_disabled_or_bad_range")
    async with Loopback(refused) as server, Datorama(TOKEN, base_url=server.url) as datorama:
        with pytest.raises(errors.ConfigError, match="ends before it begins"):
            await datorama.streams.process(STREAM, "2026-01-20", "2026-01-01")
        assert not server.seen
        with pytest.raises(errors.Unprocessable, match="invented text") as caught:
            await datorama.streams.process(STREAM, "2026-01-01", "2026-01-20")
    assert (caught.value.status, caught.value.maybe_sent) == (422, False)


async def test_a_delete_without_a_body_and_a_batch_without_one_are_successes(tmp_path: Path) -> None:
    assert (await exchange("data_stream_delete", tmp_path))[1] is None
    assert (await exchange("process_batch", tmp_path))[1] == []


async def test_a_query_becomes_headers_and_rows(tmp_path: Path) -> None:
    _, found = await exchange("query_ok", tmp_path)
    assert found.headers == ("Day", "Clicks")
    assert found.records() == [{"Day": "2025-12-01", "Clicks": 120}, {"Day": "2025-12-02", "Clicks": None}]
    _, [only] = await exchange("query_batch", tmp_path)
    assert only.rows == [["2025-12-01"]]


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("query_runtime_error_inside_200", 200, "query timed out"),
        ("query_parse_error", 422, "unknown field"),
    ],
)
async def test_a_query_that_fails_says_why(name: str, status: int, words: str, tmp_path: Path) -> None:
    _, error = await exchange(name, tmp_path)
    assert type(error) is DatoramaQueryError
    assert (error.status, error.maybe_sent) == (status, False)
    assert words in str(error)


async def test_a_started_report_is_waited_for_by_its_jobs_id(tmp_path: Path) -> None:
    _, poller = await exchange("report_process", tmp_path)
    assert poller.token() == "66001"


async def test_a_failed_report_job_says_why() -> None:
    async with Loopback(reply("report_job_failure")) as server, Datorama(TOKEN, base_url=server.url) as datorama:
        with pytest.raises(ReportFailed, match="invented reason") as caught:
            await datorama.reports.wait(66001, policy=QUICKLY)
    assert caught.value.state.status is JobStatus.FAILURE


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("report_job_download", "daily_extract.csv"),
        ("stat_download_api", f"{WORKSPACE}_{STREAM}_900000001_data.zip"),
        ("stat_download_dynamic", f"{WORKSPACE}_{STREAM}_900000020_data.csv"),
    ],
)
async def test_a_download_into_a_folder_has_the_known_name_and_the_bytes(name: str, file: str, tmp_path: Path) -> None:
    _, path = await exchange(name, tmp_path)
    response = SAMPLES[name]["response"]
    assert path == tmp_path / file
    assert path.read_text() == response.get("text", response.get("body"))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["rate_limited_429_documented_headers", "rate_limited_429_200_style_headers"])
async def test_a_429_says_how_long_by_the_servers_own_clock(name: str, tmp_path: Path) -> None:
    # Its reset is 2026-01-01 00:01.
    _, error = await exchange(name, tmp_path, reply(name, Date="Thu, 01 Jan 2026 00:00:18 GMT"))
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == 42.0
    assert not error.local


async def test_an_unknown_token_is_a_401(tmp_path: Path) -> None:
    _, error = await exchange("unauthorized", tmp_path)
    assert type(error) is errors.Unauthorized
    assert error.message == "invented text"
