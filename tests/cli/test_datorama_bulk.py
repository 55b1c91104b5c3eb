"""``asyncconn datorama process | rerun | rename`` and the lists they go by: outcomes, dry runs, logs, interruptions."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox
from cli.commands import Ended, arun, ended, started
from cli.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.sandbox.datorama import DatoramaWorld

STREAM, OTHER, FILE_STREAM, ELSEWHERE = "7700101", "7700102", "7700105", "7700106"
DAYS = ("--start", "2026-01-01", "--end", "2026-01-25")


def good() -> DatoramaWorld:
    return DatoramaWorld(outcomes={"SUCCESS": 1.0})


async def datorama(folder: Path, sandbox: Sandbox, *args: str) -> Ended:
    return await arun(folder, "datorama", *args, env=sandbox.env)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def changes(platform: DatoramaWorld) -> list[str]:
    """The calls that changed something, or tried to."""
    reading = ("/stats", "/query")
    return [f"{c.method} {c.path}" for c in platform.calls if c.method != "GET" and not c.path.endswith(reading)]


def planned(ended: Ended) -> list[str]:
    """The calls that a dry run tells, without their bodies."""
    return [" ".join(line.split()[:2]) for line in ended.out.splitlines()]


# -- lists -------------------------------------------------------------------------------------------------------------


async def test_streams_of_all_workspaces_or_of_some(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        everything = await datorama(tmp_path, sandbox, "streams", "-o", "all.csv")
        some = await datorama(tmp_path, sandbox, "streams", "-w", "41002", "--format", "json")
        assert [call.path for call in sandbox.datorama.calls][3:] == ["/v1/workspaces/41002/data-streams"]
    assert (everything.status, everything.out) == (0, "10 streams written to all.csv\n")
    assert [row["workspaceId"] for row in rows(tmp_path / "all.csv")] == ["41001"] * 5 + ["41002"] * 5
    assert [stream["id"] for stream in json.loads(some.out)] == [7700106, 7700107, 7700108, 7700109, 7700110]


async def test_a_workspace_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        sandbox.faults.add(Fault("status", status=403, match="/v1/workspaces/41001/data-streams", times=None))
        listed = await datorama(tmp_path, sandbox, "streams")
    assert listed.status == 1
    assert "5 streams" in listed.out
    assert listed.err.startswith("error: workspace 41001: failed: datorama answered 403")


async def test_jobs_are_chosen_by_their_status_and_can_be_rerun_from_the_file(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(outcomes={"SUCCESS": 1.0}, file_every=0)) as sandbox:
        world = sandbox.datorama.live
        failed = [world.stats_of[int(STREAM)][1], world.stats_of[int(ELSEWHERE)][0]]
        for stat in failed:
            stat.final = "FAILURE"
        listed = await datorama(tmp_path, sandbox, "jobs", "--status", "failure", "-o", "failed.csv")
        of_one = await datorama(tmp_path, sandbox, "jobs", STREAM)
        dry = await datorama(tmp_path, sandbox, "rerun", "--file", "failed.csv", "--dry-run")
        assert changes(sandbox.datorama) == []
        again = await datorama(tmp_path, sandbox, "rerun", "--file", "failed.csv", "--output", "result.json")
        assert changes(sandbox.datorama) == planned(dry)
    assert listed.out == "2 jobs written to failed.csv\n"
    assert [(row["streamId"], row["id"]) for row in rows(tmp_path / "failed.csv")] == [
        (str(stat.stream_id), str(stat.id)) for stat in failed
    ]
    assert "3 jobs" in of_one.out
    assert "2 calls for 2 jobs; the cap allows them at once. None of them was made." in dry.err
    assert again.status == 0, again.text
    results = json.loads((tmp_path / "result.json").read_text())
    assert [(one["stream"], one["outcome"], one["jobs"]) for one in results] == [
        (stat.stream_id, "ok", [stat.id]) for stat in failed
    ]


async def test_a_snapshot_stands_in_for_calls(tmp_path: Path) -> None:
    async with Sandbox(good()) as sandbox:
        saved = await datorama(tmp_path, sandbox, "snapshot", "kept", "--jobs")
        before = sandbox.datorama.counters.requests
        streams = await datorama(tmp_path, sandbox, "streams", "--snapshot", "kept", "-w", "41001")
        jobs = await datorama(tmp_path, sandbox, "jobs", STREAM, "--snapshot", "kept")
        assert sandbox.datorama.counters.requests == before
        renamed = await datorama(tmp_path, sandbox, "rename", STREAM, "Zoë", "--snapshot", "kept")
        assert sandbox.datorama.counters.requests == before + 1
        assert sandbox.datorama.live.streams[int(STREAM)]["name"] == "Zoë"
        missing = await datorama(tmp_path, sandbox, "streams", "--snapshot", "nowhere")
        nothing = await datorama(tmp_path, sandbox, "snapshot", "kept", "-w", "5")
    assert saved.out == "2 workspaces, 10 streams, 30 jobs saved in kept\n"
    assert (tmp_path / "kept" / "spaces.json").exists()
    assert "5 streams" in streams.out
    assert "3 jobs" in jobs.out
    assert renamed.status == 0, renamed.text
    assert (missing.status, nothing.status) == (2, 2)
    assert "there is no directory nowhere" in missing.err
    assert "there is no workspace 5" in nothing.err


# -- bad input ---------------------------------------------------------------------------------------------------------

FILES = {
    "good.csv": f"stream,start,end\n{STREAM},2026-01-01,2026-01-05\n",
    "holes.csv": f"stream,start,end\n{STREAM},2026-01-01,\nabc,2026-01-01,2026-01-02\n",
    "reversed.csv": f"stream,start,end\n{STREAM},2026-01-05,2026-01-01\n",
    "columns.csv": "a,b\n1,2\n",
    "empty.csv": "stream,start,end\n",
    "there.log": "mine\n",
}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("process",), "which streams?"),
        (("process", STREAM), "which days?"),
        (("process", STREAM, "--start", "2026-01-05", "--end", "2026-01-01"), "ends before it begins"),
        (("process", STREAM, "--start", "2026-13-01", "--end", "2026-01-01"), "start is not a date: '2026-13-01'"),
        (("process", STREAM, OTHER, FILE_STREAM, *DAYS, "--start", "2026-01-02"), "--start is given 2 times for 3"),
        (("process", "--file", "good.csv", STREAM), "not both"),
        (("process", "--file", "holes.csv"), "2 problems in holes.csv"),
        (("process", "--file", "reversed.csv"), f"stream {STREAM}: the range 2026-01-05 to 2026-01-01 ends before"),
        (("process", "--file", "columns.csv"), "1 problem in columns.csv"),
        (("process", "--file", "empty.csv"), "holds nothing to do"),
        (("process", "--file", "nowhere.csv"), "No such file"),
        (("process", STREAM, *DAYS, "--resume"), "give --log, too"),
        (("process", STREAM, *DAYS, "--log", "nowhere.log", "--resume"), "there is no log nowhere.log"),
        (("process", STREAM, *DAYS, "--log", "there.log"), "there.log is there already"),
        (("process", STREAM, *DAYS, "--log", "there.log", "--resume"), "is no job log"),
        (("process", STREAM, *DAYS, "--max-pending", "-1"), "--max-pending must be 0 or more"),
        (("process", STREAM, *DAYS, "--days", "0"), "at least 1 day"),
        (("process", STREAM, *DAYS, "--output", "x"), "is x to be CSV or JSON?"),
        (("process", STREAM, "1", *DAYS), "there is stream 1"),
        (("process", STREAM, "1", *DAYS, "--dry-run"), "there is stream 1"),
        (("rerun", "900000001"), "which jobs?"),
        (("rerun", "900000001", "900000002", "900000003", "--stream", "1", "--stream", "2"), "given 2 times for 3"),
        (("rerun", "--all"), "--all is for each --stream"),
        (("rerun", "900000001", "--stream", "1"), "there is stream 1"),
        (("rename", STREAM), "give a stream and its new name"),
        (("rename", STREAM, " "), "a stream needs a name"),
        (("rename", "1", "name"), "there is stream 1"),
        (("rename", "--file", "good.csv"), "1 problem in good.csv"),
        (("jobs", STREAM, "-w", "41001"), "not both"),
        (("jobs", "1"), "there is stream 1"),
        (("jobs", STREAM, "--page-size", "0"), "page_size must be a whole number from 1"),
    ],
)
async def test_bad_input_is_named_before_anything_is_changed(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    async with Sandbox() as sandbox:
        ended = await datorama(tmp_path, sandbox, *args)
        assert changes(sandbox.datorama) == []
    assert ended.status == 2, ended.text
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert (tmp_path / "there.log").read_text() == "mine\n"


async def test_standard_input_is_a_file_as_any_other(tmp_path: Path) -> None:
    async with Sandbox(good()) as sandbox:
        args = ("datorama", "process", "--file", "-", "--dry-run")
        given = await arun(tmp_path, *args, env=sandbox.env, given=FILES["good.csv"].encode())
        broken = await arun(tmp_path, *args, "-q", env=sandbox.env, given=FILES["holes.csv"].encode())
    assert planned(given) == [f"POST /v1/data-streams/{STREAM}/process"]
    assert broken.status == 2
    assert broken.err.splitlines()[0] == "<stdin>:2: there is no end (a column end)"


async def test_each_bad_line_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "holes.csv").write_text(FILES["holes.csv"])
    async with Sandbox() as sandbox:
        ended = await datorama(tmp_path, sandbox, "process", "--file", "holes.csv")
    assert ended.err.splitlines() == [
        "holes.csv:2: there is no end (a column end)",
        "holes.csv:3: the stream is no id: 'abc'",
        "error: 2 problems in holes.csv",
    ]


# -- process -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--no-batch",), ("--days", "7"), ("--split", "even", "--max-pending", "0")])
async def test_a_dry_run_tells_the_very_calls_that_are_made(tmp_path: Path, more: tuple[str, ...]) -> None:
    async with Sandbox(good()) as sandbox:
        args = ("process", STREAM, OTHER, FILE_STREAM, ELSEWHERE, STREAM, *DAYS, *more)
        dry = await datorama(tmp_path, sandbox, *args, "--dry-run")
        assert changes(sandbox.datorama) == []
        assert len(sandbox.datorama.live.stats) == 30
        done = await datorama(tmp_path, sandbox, *args, "--max-pending", "0")
        assert sorted(changes(sandbox.datorama)) == sorted(planned(dry))
        jobs = len(sandbox.datorama.live.stats) - 30
    assert (dry.status, done.status) == (0, 0), dry.text + done.text
    assert f"for {jobs} jobs" in dry.err
    assert "5 of 5 items accepted" in done.out


async def test_a_dry_run_tells_how_long_the_cap_needs(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(streams=300, tokens=2)) as sandbox:
        (tmp_path / "plan.csv").write_text(
            "stream,start,end\n" + "".join(f"{number},2026-01-01,2026-01-02\n" for number in range(7700101, 7700401))
        )
        two = await datorama(tmp_path, sandbox, "process", "--file", "plan.csv", "--no-batch", "--dry-run")
        env = {**sandbox.env, "ASYNCCONN_DATORAMA_TOKEN": sandbox.datorama.token}
        args = ("process", "--file", "plan.csv", "--no-batch", "--dry-run")
        one = await arun(tmp_path, "datorama", *args, env=env)
    assert "300 calls for 300 jobs; the cap allows them in 2 min." in two.err
    assert "300 calls for 300 jobs; the cap allows them in 5 min." in one.err


async def test_a_stream_that_is_refused_does_not_keep_the_others(tmp_path: Path) -> None:
    async with Sandbox(good()) as sandbox:
        sandbox.datorama.live.streams[int(OTHER)]["enabled"] = False
        done = await datorama(tmp_path, sandbox, "process", STREAM, OTHER, *DAYS, "-o", "result.csv")
    assert done.status == 1
    assert done.err.startswith(f"error: stream {OTHER}, 2026-01-01 to 2026-01-25: failed: datorama answered 422")
    assert "1 of 2 items accepted" in done.out
    assert [row["outcome"] for row in rows(tmp_path / "result.csv")] == ["ok", "failed"]


async def test_what_is_unknown_is_checked_said_and_not_repeated_from_the_log(tmp_path: Path) -> None:
    args = ("process", STREAM, ELSEWHERE, *DAYS, "--log", "jobs.csv")
    async with Sandbox(good()) as sandbox:
        sandbox.faults.add(Fault("drop_after", match=f"/v1/data-streams/{STREAM}/process"))
        first = await datorama(tmp_path, sandbox, *args)
        accepted = len(sandbox.datorama.live.stats)
        second = await datorama(tmp_path, sandbox, *args, "--resume")
        assert len(sandbox.datorama.live.stats) == accepted == 36
        assert len(changes(sandbox.datorama)) == 2
    assert first.status == 1
    assert f"stream {STREAM}, 2026-01-01 to 2026-01-25: unknown: " in first.err
    assert "; checked: it is there" in first.err
    assert (second.status, second.err) == (0, "")
    assert "2 of 2 items accepted" in second.out
    assert "2 done before" in second.out


async def test_jobs_are_waited_for_and_a_bad_end_is_a_failure(tmp_path: Path) -> None:
    world = DatoramaWorld(progress="reads", job_reads=(0, 0), outcomes={"SUCCESS": 1.0})
    async with Sandbox(world) as sandbox:
        good = await datorama(tmp_path, sandbox, "process", STREAM, *DAYS, "--wait")
    bad_world = DatoramaWorld(progress="reads", job_reads=(0, 0), outcomes={"ABORTED": 1.0})
    async with Sandbox(bad_world) as sandbox:
        bad = await datorama(tmp_path, sandbox, "process", STREAM, *DAYS, "--wait")
    assert good.status == 0, good.text
    assert "1 of 1 item ended well; 3 jobs" in good.out
    assert bad.status == 1
    assert "ended as ABORTED" in bad.err


async def test_ctrl_c_ends_it_and_the_log_goes_on_from_there(tmp_path: Path) -> None:
    world = DatoramaWorld(streams=100, workspaces=1, file_every=0, outcomes={"SUCCESS": 1.0})
    numbers = [str(number) for number in range(7700101, 7700201)]
    args = ("process", *numbers, "--start", "2026-01-01", "--end", "2026-01-05", "--no-batch", "--max-pending", "0")
    log = tmp_path / "jobs.csv"
    async with Sandbox(world) as sandbox:
        async with started(tmp_path, "datorama", *args, "--log", "jobs.csv", env=sandbox.env) as process:
            async with asyncio.timeout(10):
                while len(changes(sandbox.datorama)) < 50:
                    await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            end = await ended(process)
        accepted = len(sandbox.datorama.live.stats) - 300
        sandbox.datorama.clock.advance(61)  # a new minute for a new process
        dry = await datorama(tmp_path, sandbox, *args, "--log", "jobs.csv", "--resume", "--dry-run")
    assert end.status == 130
    assert "the same command with --resume goes on" in end.err
    assert 50 <= accepted <= 60
    assert sum(row["status"] == "queued" for row in rows(log)) <= accepted
    # What is left to send, and what would be looked up before it is sent, is all that was not accepted, and no more.
    assert 100 - accepted <= len(planned(dry)) <= 100 - 50 + 10


# -- rerun, rename -----------------------------------------------------------------------------------------------------


async def test_all_jobs_of_streams_are_rerun_with_a_call_for_each(tmp_path: Path) -> None:
    async with Sandbox(good()) as sandbox:
        args = ("rerun", "--all", "--stream", STREAM, "--stream", ELSEWHERE)
        dry = await datorama(tmp_path, sandbox, *args, "--dry-run")
        done = await datorama(tmp_path, sandbox, *args)
        assert changes(sandbox.datorama) == planned(dry)
    assert planned(dry) == [f"POST /v1/data-streams/api/{number}/rerun-all" for number in (STREAM, ELSEWHERE)]
    assert done.status == 0, done.text
    assert "2 of 2 items accepted; 6 jobs" in done.out


async def test_many_jobs_of_a_stream_share_a_call(tmp_path: Path) -> None:
    async with Sandbox(good()) as sandbox:
        ids = [str(stat.id) for stat in sandbox.datorama.live.stats_of[int(STREAM)]]
        done = await datorama(tmp_path, sandbox, "rerun", *ids, "--stream", STREAM)
        assert changes(sandbox.datorama) == [f"POST /v1/data-streams/api/{STREAM}/rerun"]
    assert done.status == 0, done.text
    assert "3 of 3 items accepted" in done.out


async def test_streams_are_renamed_from_the_list_that_was_edited(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        await datorama(tmp_path, sandbox, "streams", "-w", "41002", "-o", "streams.csv")
        text = (tmp_path / "streams.csv").read_text().replace("GA - ", "Analytics, ")
        (tmp_path / "streams.csv").write_text(text.replace("Analytics, stream 6", '"Analytics, stream 6"'))
        broken = await datorama(tmp_path, sandbox, "rename", "--file", "streams.csv")
        (tmp_path / "streams.csv").write_text(text.replace("Analytics, ", "Analytics: "))
        dry = await datorama(tmp_path, sandbox, "rename", "--file", "streams.csv", "--dry-run")
        assert changes(sandbox.datorama) == []
        sandbox.faults.add(Fault("status", status=403, match="/v1/data-streams/7700107"))
        done = await datorama(tmp_path, sandbox, "rename", "--file", "streams.csv")
        names = [sandbox.datorama.live.streams[number]["name"] for number in (7700106, 7700107, 7700108)]
    assert (broken.status, broken.err.splitlines()[-1]) == (2, "error: 3 problems in streams.csv")
    assert 'PATCH /v1/data-streams/7700106 {"name": "Analytics: stream 6"}' in dry.out
    assert done.status == 1
    assert done.err.startswith("error: stream 7700107: failed: datorama answered 403")
    assert "4 of 5 items renamed" in done.out
    assert names == ["Analytics: stream 6", "GA - stream 7", "Analytics: stream 8"]


# -- on a terminal -----------------------------------------------------------------------------------------------------


async def test_on_a_terminal_the_bar_tells_the_time_that_the_cap_leaves(tmp_path: Path) -> None:
    def watch(env: dict[str, str]) -> tuple[int, str]:
        with Terminal(tmp_path, "datorama", "jobs", env={**env, "COLUMNS": "120"}) as terminal:
            terminal.until("min left")
            terminal.process.send_signal(signal.SIGINT)
            return terminal.end(), terminal.seen

    async with Sandbox(DatoramaWorld(streams=200)) as sandbox:
        status, seen = await asyncio.to_thread(watch, sandbox.env)
    assert status == 130
    assert re.search("about [34] min left", seen)  # by how much of the first minute has passed
    assert "/200" in seen
