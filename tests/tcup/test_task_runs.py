"""Tasks that run: their verbs, their schedules, the wait for their end, their logs, and what they leave."""

from __future__ import annotations

import zipfile
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import pytest
from helpers import virtual

from asyncconn.core.polling import PollPolicy
from asyncconn.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    MaybeSent,
    NotFound,
    OperationFailed,
    PollTimeout,
)
from asyncconn.sandbox.tcup.contents import stored
from asyncconn.tcup import TaskStatus

from .job_scene import QUICK, scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock


@virtual
async def test_a_run_is_paused_resumed_stopped_and_run_again(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 100.0
        task = await here.deployed("j")
        await task.start()
        await task.refresh()
        assert await task.pause() is TaskStatus.PAUSED
        with pytest.raises(Conflict, match="cannot pause a PAUSED task"):
            await task.pause()
        assert await task.resume() is TaskStatus.RUNNING
        assert await task.stop() is TaskStatus.STOPPED
        with pytest.raises(OperationFailed, match="STOPPED"):
            await task
        assert await task.restart() is TaskStatus.QUEUED
        assert (await task).status is TaskStatus.COMPLETED
        with pytest.raises(Conflict):
            await task.cancel()


@virtual
async def test_one_that_fails_raises_what_it_ended_with_and_shows_every_state(
    clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 20.0
        here.engine.exit_codes = {"j": [3]}
        task = await here.deployed("j")
        await task.start()

        seen = [state.status async for state in task.states()]

        assert seen[0] in (TaskStatus.QUEUED, TaskStatus.RUNNING)
        assert seen[-2:] == [TaskStatus.RUNNING, TaskStatus.FAILED]
        assert task.status is TaskStatus.FAILED
        with pytest.raises(OperationFailed, match=r"task j \(P1/T1\) FAILED, exit code 3") as failed:
            await task
        assert failed.value.state.exit_code == 3


@virtual
async def test_no_error_of_a_wait_shows_the_key_that_a_state_quotes(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        key = here.sandbox.tcup.api_key
        here.engine.run_seconds = 1_000.0
        task = await here.deployed("j", arguments=[key])
        await task.start()
        with pytest.raises(PollTimeout, match=r"last state: .*\*\*\*") as alone:
            await task.wait(deadline=100.0)
        with pytest.raises(PollTimeout, match=r"last state: .*\*\*\*") as together:
            await here.tcup.tasks.wait_all([task], policy=PollPolicy(deadline=100.0))
        lacking = await here.deployed("k")
        await lacking.link_files([(task, key)])
        await lacking.start()
        with pytest.raises(OperationFailed, match=r"missing external file: \*\*\*") as failed:
            await lacking
        assert key not in f"{alone.value} {together.value} {failed.value}"
        assert alone.value.last.arguments == [key]


async def test_a_verb_whose_answer_is_lost_is_not_repeated(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        here.fail("drop_after", "/start")

        with pytest.raises(MaybeSent):
            await task.start()

        assert sum(line.endswith("/start") for line in here.asked) == 1
        assert (await task.wait(policy=QUICK)).runs == 1


async def test_a_verb_that_surely_did_nothing_is_repeated(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        here.fail("status", "/start", status=429, retry_after=0.01)

        assert await task.start() is TaskStatus.QUEUED


# -- schedules ---------------------------------------------------------------------------------------------------------


@virtual
async def test_a_delayed_task_runs_at_its_time(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        when = clock.utcnow() + timedelta(hours=2)
        task = await here.tcup.tasks.delayed(when, project="p", job="j", time_zone="IST")
        assert task.state.job_type == "DELAYED"
        same = await here.tcup.tasks.delayed(when.astimezone(UTC), project="p", job="j")
        assert same.job_id == task.job_id
        with pytest.raises(ConfigError, match="another schedule"):
            await here.tcup.tasks.delayed(when + timedelta(minutes=1), project="p", job="j")

        assert (await here.deployed("j")).status is TaskStatus.SCHEDULED
        state = await task

        assert state.started_on is not None
        assert abs(state.started_on - when) < timedelta(seconds=1)
        assert state.status is TaskStatus.COMPLETED


@virtual
async def test_a_task_is_rescheduled(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        task = await here.deployed("j")
        state = await task.reschedule(clock.utcnow() + timedelta(days=1))
        assert (state.job_type, state.status) == ("DELAYED", TaskStatus.SCHEDULED)
        state = await task.reschedule(hour="5", day="7", pattern="Fixed", recurrence_limit=2)
        assert (state.job_type, (state.schedule or {})["cron"]) == ("RECURRENT", "0 5 7 * *")
        with pytest.raises(ConfigError, match="not both"):
            await task.reschedule(clock.utcnow(), hour=5)
        assert await task.cancel() is TaskStatus.CANCELLED


async def test_a_time_that_has_passed_is_refused_by_the_platform(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        with pytest.raises(BadRequest):
            await here.tcup.tasks.delayed("15-07-2019 12:35:56.789 IST", project="p", job="j")


@virtual
async def test_the_client_s_default_zone_is_that_of_times_without_one(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        tcup = here.client(default_timezone="IST")
        task = await tcup.tasks.delayed("15-07-2031 12:35:56.789", project="p", job="j")
        assert (task.state.schedule or {})["delayedTime"] == "15-07-2031 12:35:56.789 IST"


@virtual
async def test_a_recurrent_task_is_waited_for_run_by_run_and_to_its_limit(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.exit_codes = {"j": [0, 7, 0]}
        task = await here.tcup.tasks.recurrent(project="p", job="j", pattern="interval", hour=1, recurrence_limit=3)
        await here.deployed("j")

        first = await task.wait(run=1)
        second = await task.wait(run=2)  # one that fails is no end

        assert [(one.runs, one.status) for one in (first, second)] == [
            (1, TaskStatus.SCHEDULED),
            (2, TaskStatus.SCHEDULED),
        ]
        last = await task
        assert (last.runs, last.status) == (3, TaskStatus.COMPLETED)
        assert clock.now() == pytest.approx(3 * 3600, abs=60)


# -- waiting -----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_wait_is_gone_on_with_elsewhere_by_its_token(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 500.0
        task = await here.deployed("j")
        await task.start()
        with pytest.raises(PollTimeout) as late:
            await task.wait(deadline=100.0)
        assert clock.now() == pytest.approx(100, abs=1)

        state = await here.client().tasks.wait(late.value.token or "")

        assert (state.status, state.job_name) == (TaskStatus.COMPLETED, "j")
        for token in ("", "P1", "/T1", "P1/T1/x"):
            with pytest.raises(ConfigError, match="token"):
                here.tcup.tasks.wait(token)


@virtual
async def test_a_platform_that_does_not_answer_for_a_while_is_waited_for(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 60.0
        task = await here.deployed("j")
        await task.start()
        here.fail("status", f"GET /{task.job_id}", status=503, after=1, times=12)

        assert (await task).status is TaskStatus.COMPLETED


@virtual
async def test_many_are_waited_for_together_and_told_as_they_end(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        tasks = [await here.deployed(f"j{number}") for number in range(5)]
        for number, task in enumerate(tasks):
            here.engine.run_seconds = 10.0 * (5 - number)
            await task.start()

        ended = [one.id async for one in here.tcup.tasks.wait_all(tasks)]

        assert ended == [task.token() for task in reversed(tasks)]


# -- logs --------------------------------------------------------------------------------------------------------------

TALKS = """
import sys, time
for number in range(5):
    print("line", number, "ä", flush=True)
    time.sleep(0.05)
print("to stderr", file=sys.stderr)
sys.stdout.write("the end")
"""


async def test_a_log_is_read_while_it_is_written_until_the_task_ends(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j", runtime="py", code=TALKS)
        await task.start()
        logs = task.logs(policy=QUICK)

        lines = [line async for line in logs]

        assert lines == [*(f"line {number} ä" for number in range(5)), "the end"]
        assert logs.offset == sum(len(line.encode()) + 1 for line in lines) - 1
        assert task.status is TaskStatus.COMPLETED
        assert [line async for line in task.logs("stderr")] == ["to stderr"]
        with pytest.raises(ConfigError):
            task.logs("stdin")


async def test_a_log_that_was_left_is_gone_on_with_after_its_last_line(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j", runtime="py", code=TALKS)
        await task.start()
        logs = task.logs(policy=QUICK)
        async for line in logs:
            if line.startswith("line 2"):
                break

        again = [line async for line in task.logs(start=logs.offset, policy=QUICK)]

        assert again == ["line 3 ä", "line 4 ä", "the end"]


@pytest.mark.parametrize("fault", ["half_body", "drop_before", "drop_after"])
async def test_a_log_that_breaks_off_loses_and_repeats_nothing(tmp_path: Path, fault: str) -> None:
    code = "for number in range(20000): print('line', number)"
    async with scene(tmp_path) as here:
        task = await here.deployed("j", runtime="py", code=code)
        await task.start()
        await task.wait(policy=QUICK)
        here.fail(fault, "/logs", times=2)

        lines = [line async for line in task.logs(policy=QUICK)]

        assert lines == [f"line {number}" for number in range(20000)]


@pytest.mark.parametrize(
    "printed", [b"\xff\xfe\n", b"\x1b[2J{}\n", b"x" * 3_000_000 + b"\nend\n", b"\r\n\n\n", b"no line end"]
)
async def test_whatever_is_printed_is_text(tmp_path: Path, printed: bytes) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        await task.start()
        await task.wait(policy=QUICK)
        here.engine.tasks[task.job_id].printed["stdout"] = bytearray(printed)
        logs = task.logs(policy=QUICK)

        lines = [line async for line in logs]

        whole = printed.decode("utf-8", "replace")
        assert "".join(lines) == whole.replace("\n", "")
        assert logs.offset == len(printed)


# -- what it leaves ----------------------------------------------------------------------------------------------------


async def test_an_output_is_gone_on_with_after_a_cut(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        await task.start()
        await task.wait(policy=QUICK)
        data = bytes(range(256)) * 8192
        here.engine.tasks[task.job_id].outputs["big.bin"] = stored(data)
        here.fail("half_body", "/big.bin", times=2)

        saved = await task.download("big.bin", tmp_path / "saved.bin")

        assert saved.read_bytes() == data
        with pytest.raises(NotFound):
            await task.download("nothing", tmp_path / "nothing")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["j.java", "saved.bin"]


async def test_an_output_whose_name_is_a_trick_is_saved_in_the_folder_or_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        await task.start()
        await task.wait(policy=QUICK)
        here.engine.tasks[task.job_id].outputs["../../x"] = stored(b"x")

        saved = await task.download("../../x", tmp_path / "in")

        assert saved == tmp_path / "in" / "x"
        with pytest.raises(ConfigError):
            await task.download("..", tmp_path / "in")


async def test_a_task_is_copied_with_its_links(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first, second = await here.deployed("a"), await here.deployed("b")
        await second.link_files([(first, "out.out")])
        other = await here.tcup.projects.create("other")

        copy = await second.copy(job="c", project=other)

        assert (copy.project_id, copy.job_name, copy.status) == (other.project_id, "c", TaskStatus.DEPLOYED)
        assert copy.links == second.links
        with pytest.raises(Conflict):
            await second.copy(job="a")


async def test_a_task_goes_out_and_in_as_a_zip_file(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j", arguments=["x"])
        saved = await task.export(tmp_path)
        assert saved == tmp_path / "j.zip"
        assert zipfile.is_zipfile(saved)
        with pytest.raises(Conflict):
            await here.tcup.tasks.import_(saved, project="p")
        await here.tcup.projects.create("q")

        made = await here.tcup.tasks.import_(saved, project="q")

        assert (made.job_name, made.state.arguments, made.status) == ("j", ["x"], TaskStatus.DEPLOYED)
        (tmp_path / "no.zip").write_text("no")
        with pytest.raises(ConfigError, match="zip"):
            await here.tcup.tasks.import_(tmp_path / "no.zip", project="q")


async def test_files_of_other_tasks_are_there_when_it_runs(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first = await here.deployed("a", runtime="py", code="print('from a')")
        second = await here.deployed("b", runtime="py", code="print(open('out.out').read().strip())")
        assert await second.link_files([(first, "out.out"), ((first.project_id, first.job_id), "out.out")]) == 2
        await second.start()
        with pytest.raises(OperationFailed, match="missing external file"):
            await second.wait(policy=QUICK)

        await first.start()
        await first.wait(policy=QUICK)
        await second.restart()
        await second.wait(policy=QUICK)

        assert [line async for line in second.logs(follow=False)] == ["from a"]


@pytest.mark.parametrize(
    "files", [[], ["out.out"], [("T1", "out.out")], [(("P1", ""), "out.out")], [(("P1", "T1"), "")]]
)
async def test_a_link_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path, files: list[object]) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("a")
        asked = len(here.asked)
        with pytest.raises(ConfigError):
            await task.link_files(files)  # type: ignore[arg-type] # wrong on purpose
        assert len(here.asked) == asked


async def test_a_task_is_deleted_once_although_the_answer_is_lost(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        here.fail("drop_after", f"DELETE /{task.job_id}")

        await task.delete()

        with pytest.raises(NotFound):
            await task.delete()
        with pytest.raises(NotFound):
            await task.refresh()


@virtual
async def test_a_log_to_which_nothing_is_written_is_not_read_for_ever(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        task = await here.deployed("j")  # and never started

        with pytest.raises(PollTimeout, match="nothing was written") as late:
            _ = [line async for line in task.logs(start=0, policy=PollPolicy(deadline=600.0))]

        assert late.value.token == "0"
        assert clock.now() == pytest.approx(600, abs=40)


async def test_an_error_of_the_platform_ends_a_log(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        await task.delete()
        with pytest.raises(NotFound):
            _ = [line async for line in task.logs(policy=QUICK)]
