"""``asyncconn datorama``: lists, queries, reports, downloads; what cannot work is said before anything is sent."""

from __future__ import annotations

import asyncio
import csv
import json
import logging
import signal
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Quota, RateLimiter, Window
from asyncconn.cli.datorama.common import Where, span
from asyncconn.cli.output import spoken, waits_told
from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox
from cli.commands import arun, run, started
from cli.commands import ended as end_of

if TYPE_CHECKING:
    from pathlib import Path

STREAM, FILE_STREAM = "7700101", "7700105"
TOKEN = "ASYNCCONN_DATORAMA_TOKEN"


def good() -> DatoramaWorld:
    return DatoramaWorld(
        outcomes={"SUCCESS": 1.0}, report_outcomes={"SUCCESS": 1.0}, progress="reads", job_reads=(0, 0)
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


# -- all of them -------------------------------------------------------------------------------------------------------


def test_help_names_every_command(tmp_path: Path) -> None:
    ended = run(tmp_path, "datorama", "--help")
    assert ended.status == 0
    names = "workspaces streams jobs process rerun rename report reports query rate download snapshot"
    assert [name for name in names.split() if f" {name} " not in ended.out] == []


def test_without_a_token_one_line_names_the_setting(tmp_path: Path) -> None:
    ended = run(tmp_path, "datorama", "workspaces")
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert ended.err.startswith(f"error: set {TOKEN} (the API token on your profile page in Datorama")
    assert "asyncconn sandbox --env-file .env, in another terminal" in ended.err


def test_a_region_given_is_not_overruled_by_an_address_in_the_environment() -> None:
    assert Where(region="eu").options() == {"region": "eu", "base_url": None}
    assert Where(region="eu", base_url="http://localhost:1").options() == {"base_url": "http://localhost:1"}
    assert Where().options() == {}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("workspaces", "--region", "mars"), "there is no region 'mars'"),
        (("workspaces", "--output", "list.txt"), "is list.txt to be CSV or JSON?"),
        (("jobs", "--status", "failed"), "--status: there is no 'failed'; there are SUCCESS, FAILURE, "),
        (("workspaces", "--output", "nowhere/list.csv"), "there is no such folder"),
        (("workspaces", "--output", ".", "--format", "csv"), "it is a folder"),
        (("query",), "which days?"),
        (("query", "--start", "2026-01-02", "--end", "2026-01-01"), "ends before it begins"),
        (("query", "--start", "2026-02-30", "--end", "2026-03-01"), "start is not a date"),
        (("query", "--range", "LAST_MONTH"), "whose data?"),
        (("query", "--range", "LAST_MONTH", "--start", "2026-01-01"), "not both"),
        (("query", "--range", "LAST_MONTH", "-w", "41001"), "neither measurements nor dimensions"),
        (("query", "query.json"), "No such file"),
        (("query", "broken.json"), "is not JSON"),
        (("query", "list.json"), "holds no JSON object"),
        (("query", "list.json", "-w", "1"), "not both"),
        (("report",), "give a report's id"),
        (("report", "55001", "--delete"), "--delete is for a report that --create has made"),
        (("report", "55001", "--output", "nowhere/file"), "there is no such folder"),
        (("report", "55001", "--timeout", "0"), "PollPolicy.deadline must be more than 0"),
        (("download", STREAM, "--folder", "nowhere"), "there is no folder nowhere"),
    ],
)
async def test_what_cannot_work_is_one_line_and_nothing_is_sent(
    tmp_path: Path, args: tuple[str, ...], said: str
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    async with Sandbox() as sandbox:
        ended = await arun(tmp_path, "datorama", *args, env=sandbox.env)
        assert sandbox.datorama.counters.requests == 0
    assert ended.status == 2, ended.text
    assert said in ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


async def test_an_unknown_stream_is_bad_input(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        ended = await arun(tmp_path, "datorama", "download", "1", env=sandbox.env)
    assert (ended.status, ended.out) == (2, "")
    assert "there is no data stream 1 that the token may see" in ended.err


async def test_an_error_of_the_platform_is_one_line_and_debug_shows_its_traceback(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        env = {**sandbox.env, TOKEN: "00000000-0000-4000-8000-000000000000"}
        ended = await arun(tmp_path, "datorama", "workspaces", env=env)
        debug = await arun(tmp_path, "datorama", "workspaces", "--debug", env=env)
    assert ended.status == 1
    assert ended.err.startswith("error: datorama answered 401")
    assert ended.err.count("\n") == 1
    assert "Traceback" in debug.err
    assert env[TOKEN] not in ended.text + debug.text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min"), (61, "2 min"), (4980, "1 h 23 min")]
)
def test_times_are_said_as_people_do(seconds: float, words: str) -> None:
    assert span(seconds) == words


# -- workspaces, rate --------------------------------------------------------------------------------------------------


async def test_workspaces_are_a_table_or_a_file(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(workspaces=3)) as sandbox:
        sandbox.datorama.live.workspaces[41002]["name"] = "Zoë's\x1b[2J\nspace"
        table = await arun(tmp_path, "datorama", "workspaces", env=sandbox.env)
        written = await arun(tmp_path, "datorama", "workspaces", "-o", "all.csv", env=sandbox.env)
        printed = await arun(tmp_path, "datorama", "workspaces", "--format", "json", env=sandbox.env)
        assert sandbox.datorama.counters.requests == 3
    assert "\x1b" not in table.out
    assert "3 workspaces" in table.out
    assert (written.status, written.out) == (0, "3 workspaces written to all.csv\n")
    assert [row["id"] for row in rows(tmp_path / "all.csv")] == ["41001", "41002", "41003"]
    found = json.loads(printed.out)
    assert found[1]["name"] == rows(tmp_path / "all.csv")[1]["name"] == "Zoë's\x1b[2J\nspace"


@pytest.mark.slow(60)  # four programs
async def test_rows_come_out_in_any_form_at_either_place(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(workspaces=2)) as sandbox:
        lines = await arun(tmp_path, "datorama", "workspaces", "-o", "-", "--format", "jsonl", env=sandbox.env)
        array = await arun(tmp_path, "datorama", "workspaces", "-o", "all", "-f", "json", "-q", env=sandbox.env)
        table = await arun(tmp_path, "datorama", "workspaces", "-o", "all.txt", "-f", "table", env=sandbox.env)
        shown = await arun(tmp_path, "datorama", "workspaces", "-o", "-", env=sandbox.env)
    found = [json.loads(line) for line in lines.out.splitlines()]
    assert [one["id"] for one in found] == [41001, 41002]
    assert json.loads((tmp_path / "all").read_text()) == found
    assert array.text == ""
    assert (tmp_path / "all.txt").read_text() == shown.out
    assert table.out == "2 workspaces written to all.txt\n"


async def test_a_list_of_nothing_still_names_its_columns(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        await arun(tmp_path, "datorama", "reports", "-w", "41001", "-o", "none.csv", env=sandbox.env)
    assert (tmp_path / "none.csv").read_text() == "id,name,workspaceId,exportFormat,compressed\n"


async def test_rate_tells_what_the_server_counts_for_each_token(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(tokens=2)) as sandbox:
        env = {**sandbox.env, TOKEN: f"{sandbox.datorama.tokens[1]},00000000-0000-4000-8000-000000000000"}
        await arun(tmp_path, "datorama", "workspaces", env={**env, TOKEN: sandbox.datorama.tokens[1]})
        ended = await arun(tmp_path, "datorama", "rate", env=env)
    assert ended.status == 1
    assert [line[:6] for line in lines(ended.out) if line[0] == "1"] == [
        ["1", "calls", "a", "minute", "58", "60"],
        ["1", "both,", "today", "(UTC)", "19998", "20000"],
        ["1", "queries", "a", "minute", "200", "200"],
    ]
    assert ended.err.startswith("error: token 2: datorama answered 401")
    assert not [token for token in env[TOKEN].split(",") if token in ended.text]


async def test_a_token_that_the_server_refuses_has_no_numbers_that_nobody_knows(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(tokens=2), faults="status:429*1 retry_after=60") as sandbox:
        both = {**sandbox.env, TOKEN: ",".join(sandbox.datorama.tokens)}
        ended = await arun(tmp_path, "datorama", "rate", "-o", "rate.csv", env=both)
        assert sum(sandbox.requests.values()) == 2
    assert ended.status == 1
    assert "error: token 1: datorama answered 429" in ended.err
    told = [(row["token"], row["left"], row["of"], row["by"]) for row in rows(tmp_path / "rate.csv")]
    assert told[:3] == [("1", "", "", "refused by the server")] * 3
    assert told[3] == ("2", "59", "60", "the server")


async def test_a_command_says_that_it_waits_for_the_rate_and_until_when(tmp_path: Path) -> None:
    async with (
        Sandbox(DatoramaWorld(platform_per_minute=0)) as sandbox,
        started(tmp_path, "datorama", "workspaces", env=sandbox.env) as process,
    ):
        assert process.stderr is not None
        line = (await asyncio.wait_for(process.stderr.readline(), 15)).decode()
        process.send_signal(signal.SIGINT)
        assert (await end_of(process)).status == 130
    assert line.startswith("datorama.default: paused; no call before 2")
    assert line.endswith(" s from now\n")


def test_short_waits_are_not_said_nor_any_to_who_wants_results_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = RateLimiter(Quota(10), Window(1, 60.0), name="mine")
    level = logging.getLogger("asyncconn.ratelimit").level
    with waits_told():
        limiter.pause(4.0)
        assert capsys.readouterr().err == ""
        limiter.observe(part="quota", remaining=1)  # a warning is said with or without
        limiter.pause(60.0)
        assert [line[:27] for line in capsys.readouterr().err.splitlines()] == [
            "mine/quota: 9 of 10 calls a",
            "mine: paused; no call befor",
        ]
    limiter.pause(120.0)
    monkeypatch.setattr(spoken, "quiet", True)
    with waits_told():
        limiter.pause(180.0)
    assert capsys.readouterr().err == ""
    assert logging.getLogger("asyncconn.ratelimit").level == level


# -- query -------------------------------------------------------------------------------------------------------------


async def test_a_query_comes_from_options_or_from_a_file(tmp_path: Path) -> None:
    days = ("--range", "LAST_MONTH")
    body = {"workspaceId": 41001, "dateRange": "LAST_MONTH", "measurements": [{"name": "Clicks"}], "dimensions": []}
    (tmp_path / "query.json").write_text(json.dumps({**body, "dimensions": ["Campaign Name"]}))
    async with Sandbox() as sandbox:
        args = ("-w", "41001", "-m", "Clicks", "-d", "Campaign Name", *days, "-o", "a.csv")
        made = await arun(tmp_path, "datorama", "query", *args, env=sandbox.env)
        given = await arun(tmp_path, "datorama", "query", "query.json", "-o", "b.csv", env=sandbox.env)
        piped = await arun(
            tmp_path,
            "datorama",
            "query",
            "-",
            "-f",
            "csv",
            env=sandbox.env,
            given=(tmp_path / "query.json").read_bytes(),
        )
        assert (sandbox.datorama.counters.query, sandbox.datorama.counters.platform) == (3, 0)
    assert [made.status, given.status, piped.status] == [0, 0, 0], made.text + given.text + piped.text
    assert len(rows(tmp_path / "a.csv")) == 3
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == piped.out.encode()
    assert [*rows(tmp_path / "a.csv")[0]] == ["Campaign Name", "Clicks"]


async def test_a_query_that_fails_inside_a_200_is_status_1(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(max_query_rows=2)) as sandbox:
        args = ("-w", "41001", "-m", "Clicks", "-d", "Day", "--range", "LAST_MONTH")
        ended = await arun(tmp_path, "datorama", "query", *args, env=sandbox.env)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: ")


# -- report ------------------------------------------------------------------------------------------------------------

REPORT: dict[str, Any] = {
    "name": "clicks",
    "workspaceId": 41001,
    "exportFormat": "CSV",
    "config": {
        "filter": {"date": {"startDate": "2026-01-01", "endDate": "2026-01-02"}},
        "rowDims": ["DAY"],
        "metrics": [{"name": "DELIVERY_CLICKS"}],
    },
}


async def test_a_report_is_made_run_downloaded_and_deleted(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    async with Sandbox(good()) as sandbox:
        args = ("--create", "report.json", "--skip-preamble", "--output", "out.csv")
        dry = await arun(tmp_path, "datorama", "report", *args, "--delete", "--dry-run", env=sandbox.env)
        assert sandbox.datorama.counters.requests == 0
        kept = await arun(tmp_path, "datorama", "report", *args, "--delete", env=sandbox.env)
        calls = [(call.method, call.path) for call in sandbox.datorama.calls]
        assert sandbox.datorama.live.reports == {}
        listed = await arun(tmp_path, "datorama", "reports", "-w", "41001", env=sandbox.env)
    assert kept.status == 0, kept.text
    assert kept.out == "written to out.csv\n"
    assert (tmp_path / "out.csv").read_text().startswith("Day,Clicks\n")
    assert listed.out == "no reports\n"
    # What the dry run told is what was done.
    told = [line.replace("{report}", "55001").replace("{job}", "66001") for line in dry.out.splitlines()]
    assert [line.partition(",")[0] for line in told] == [" ".join(call) for call in calls]


async def test_a_report_goes_to_standard_output(tmp_path: Path) -> None:
    async with Sandbox(good()) as sandbox:
        args = ("report", "--create", "-", "--skip-preamble", "-o", "-")
        piped = await arun(tmp_path, "datorama", *args, env=sandbox.env, given=json.dumps(REPORT).encode())
    assert piped.status == 0, piped.text
    assert piped.out.startswith("Day,Clicks\n")
    assert list(tmp_path.iterdir()) == []


async def test_a_report_that_fails_is_status_1_with_its_reason(tmp_path: Path) -> None:
    world = DatoramaWorld(report_outcomes={"FAILURE": 1.0}, progress="reads", job_reads=(0, 0))
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    async with Sandbox(world) as sandbox:
        ended = await arun(tmp_path, "datorama", "report", "--create", "report.json", env=sandbox.env)
        assert len(sandbox.datorama.live.reports) == 1
    assert ended.status == 1
    assert "ended as FAILURE: Authentication with the data source failed" in ended.err


# -- download ----------------------------------------------------------------------------------------------------------


async def test_what_jobs_loaded_is_downloaded_under_names_of_its_own(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(outcomes={"SUCCESS": 1.0})) as sandbox:
        stats = sandbox.datorama.live.stats_of
        stats[int(STREAM)][1].final = "FAILURE"
        ours = [stat.id for stat in stats[int(STREAM)]]
        some = await arun(tmp_path, "datorama", "download", STREAM, env=sandbox.env)
        file = await arun(
            tmp_path, "datorama", "download", FILE_STREAM, str(stats[int(FILE_STREAM)][0].id), env=sandbox.env
        )
    assert (some.status, file.status) == (0, 0), some.text + file.text
    assert [line.removeprefix("41001_7700101_") for line in some.out.splitlines()] == [
        f"{ours[0]}_data.zip",
        f"{ours[2]}_data.zip",
    ]
    assert "2 of 2 files" in some.err
    assert zipfile.is_zipfile(tmp_path / some.out.splitlines()[0])
    assert (tmp_path / file.out.strip()).suffix == ".csv"


@pytest.mark.parametrize(("more", "before"), [((), 1), (("--overwrite",), 0)])
async def test_a_download_goes_on_where_an_earlier_one_ended(more: tuple[str], before: int, tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(outcomes={"SUCCESS": 1.0})) as sandbox:
        ids = [stat.id for stat in sandbox.datorama.live.stats_of[int(STREAM)]][:2]
        there = tmp_path / f"41001_{STREAM}_{ids[0]}_data.zip"
        there.write_text("mine")
        ended = await arun(tmp_path, "datorama", "download", STREAM, *map(str, ids), *more, env=sandbox.env)
        asked = [call.path for call in sandbox.datorama.calls if call.path.endswith("/download")]
    assert (ended.status, len(asked)) == (0, 2 - before), ended.text
    assert (there.read_bytes() == b"mine") == bool(before)
    assert ("2 of 2 files downloaded to ., 1 of them before" in ended.err) == bool(before)


async def test_a_download_stays_within_its_bound(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(outcomes={"SUCCESS": 1.0})) as sandbox:
        ended = await arun(tmp_path, "datorama", "download", STREAM, "--max-bytes", "10", env=sandbox.env)
    assert ended.status == 1
    assert "max_bytes is reached" in ended.err
    assert list(tmp_path.glob("*.zip")) == []


async def test_one_download_that_fails_does_not_keep_the_others(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(outcomes={"SUCCESS": 1.0})) as sandbox:
        ids = [str(stat.id) for stat in sandbox.datorama.live.stats_of[int(STREAM)]]
        ended = await arun(tmp_path, "datorama", "download", STREAM, ids[0], "5", ids[1], env=sandbox.env)
    assert ended.status == 1
    assert len(ended.out.splitlines()) == 2
    assert "error: job 5: datorama answered 404" in ended.err
    assert "2 of 3 files" in ended.err


async def test_a_fault_on_the_way_is_retried(tmp_path: Path) -> None:
    async with Sandbox(faults=[Fault("status", status=503, times=1)]) as sandbox:
        ended = await arun(tmp_path, "datorama", "workspaces", env=sandbox.env)
        assert sandbox.faults.hits == {"status": 1}
    assert ended.status == 0, ended.text


# -- kept in a folder --------------------------------------------------------------------------------------------------


async def test_jobs_are_kept_in_a_folder_and_it_goes_on_where_it_was_cut_short(tmp_path: Path) -> None:
    async with Sandbox(good()) as sandbox:
        args = ["datorama", "jobs", "--folder", "kept", "--format", "json"]
        there = await arun(tmp_path, *args, STREAM, env=sandbox.env)
        calls = sandbox.datorama.counters.platform
        again = await arun(tmp_path, *args, STREAM, env=sandbox.env)
        repeated = sandbox.datorama.counters.platform - calls
        every = await arun(tmp_path, *args, env=sandbox.env)
        plain = await arun(tmp_path, "datorama", "jobs", "--format", "json", env=sandbox.env)

    assert (there.status, again.status, every.status) == (0, 0, 0)
    assert json.loads(there.out) == json.loads(again.out) != []
    assert repeated == 0
    kept, read = (sorted(json.loads(one.out), key=lambda job: int(job["id"])) for one in (every, plain))
    assert kept == read


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--cluster", "tcp://x:1"), "need --folder"),
        (("--redis", "redis://x:1"), "need --folder"),
        (("--folder", "f", "--snapshot", "s"), "not both"),
        (("--folder", "f", "--cluster", "x", "--redis", "redis://:made-up@x"), "a password is not sent to workers"),
    ],
)
def test_what_a_cluster_needs_is_said_before_anything_is_sent(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    ended = run(tmp_path, "datorama", "jobs", *args, env={TOKEN: "x"})

    assert ended.status == 2
    assert said in ended.err
    assert "made-up" not in ended.err
