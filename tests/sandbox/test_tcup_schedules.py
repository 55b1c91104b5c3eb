from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from asyncconn.sandbox.tcup.tasks.cron import Cron

from .working_scene import TASKS, Api, id_of, tcup

IST = timezone(timedelta(hours=5, minutes=30))


def delayed(text: str, zone: str | None = "UTC") -> dict[str, Any]:
    return {"type": "delayed", "delayedTime": text, "timeZone": zone}


def recurrent(cron: str, **more: Any) -> dict[str, Any]:
    return {"type": "recurrent", "cronPatternType": "Fixed", "cron": cron, "timeZone": "UTC", **more}


@pytest.mark.parametrize(
    ("pattern", "after", "expected"),
    [
        ("0 4 6 * *", "2030-01-06T04:00", "2030-02-06T04:00"),
        ("*/15 * * * *", "2030-01-01T00:01", "2030-01-01T00:15"),
        ("0 */4 * * *", "2030-01-01T20:00", "2030-01-02T00:00"),
        ("30 8 * * 1-5", "2030-01-04T08:30", "2030-01-07T08:30"),
        ("0 0 29 2 *", "2030-01-01T00:00", "2032-02-29T00:00"),
        ("0 0 13 * 5", "2030-01-01T00:00", "2030-01-04T00:00"),
        ("0 0 1,15 * *", "2030-01-01T00:00", "2030-01-15T00:00"),
        ("5/20 * * * *", "2030-01-01T00:05", "2030-01-01T00:25"),
        ("0 0 * * 0", "2030-01-01T00:00", "2030-01-06T00:00"),
    ],
)
def test_a_pattern_comes_next(pattern: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert Cron(pattern).after(moment, UTC) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_pattern_goes_by_the_clocks_of_its_zone() -> None:
    assert Cron("0 4 * * *").after(datetime(2030, 1, 1, tzinfo=UTC), IST) == datetime(2030, 1, 1, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "0 0 30 2 *",
        "a * * * *",
        "5-1 * * * *",
        "1,,2 * * * *",
        "-1 * * * *",
        "* * * * * *",
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        Cron(pattern)


async def scheduled(api: Api, schedule: Any, **more: Any) -> str:
    job_type = "DELAYED" if schedule["type"] == "delayed" else "RECURRENT"
    project = await api.project()
    return await api.task(project, "job", "", runTime="java", jobType=job_type, schedule=schedule, **more)


async def test_a_delayed_task_runs_at_its_time_by_itself() -> None:
    async with tcup(still=True) as api:
        asked = delayed("01-01-2030 06:30:00.000 IST", "IST")
        path = await scheduled(api, asked)
        task = await api.ok("GET", path)
        assert (task["status"], task["jobType"], task["schedule"]) == ("SCHEDULED", "DELAYED", asked)
        api.world.clock.advance(3599)
        assert (await api.ok("GET", path))["status"] == "SCHEDULED"
        api.world.clock.advance(2)
        assert (await api.until(path, "RUNNING"))["startedOn"] == "01-JAN-2030 01:00:01.000 UTC"
        api.world.clock.advance(1)
        assert (await api.until(path, "COMPLETED"))["runs"] == 1


async def test_without_being_asked_a_task_runs_at_its_time() -> None:
    async with tcup() as api:
        due = api.world.clock.utcnow() + timedelta(seconds=1)
        path = await scheduled(api, delayed(f"{due:%d-%m-%Y %H:%M:%S}.{due.microsecond // 1000:03}", "UTC"))
        task = api.world.tasks.engine.tasks[id_of(path)]
        async with asyncio.timeout(10):
            while task.status != "COMPLETED":
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "schedule",
    [
        delayed("15-07-2019 12:35:56.789 IST", "IST"),  # the contract's sample is in the past
        delayed("01-01-2031 00:00:00.000 IST", "UTC"),
        delayed("01-JAN-2031 00:00:00.000 UTC"),
        delayed("01-01-2031 00:00:00.000 XYZ", None),
        recurrent("61 * * * *"),
        recurrent("* * * * *", recurrenceLimit=-1),
        recurrent("* * * * *", recurrenceLimit=True),
        recurrent("* * * * *", cronPatternType="often"),
        recurrent("* * * * *", timeZone="Nowhere/City"),
        {"type": "sometimes"},
    ],
)
async def test_a_schedule_that_cannot_be_is_400(schedule: dict[str, Any]) -> None:
    async with tcup(still=True) as api:
        tasks = f"{TASKS}/projects/{await api.project()}/tasks"
        job_type = "RECURRENT" if schedule["type"] == "recurrent" else "DELAYED"
        body = {"jobName": "job", "jobType": job_type, "schedule": schedule}
        assert (await api("POST", tasks, body)).status == 400
        made = await api.ok("POST", tasks, {"jobName": "job"})
        assert (await api("PUT", f"{tasks}/{made['jobId']}/schedule", schedule)).status == 400


async def test_a_recurrent_task_runs_until_its_limit() -> None:
    async with tcup(still=True) as api:
        path = await scheduled(api, recurrent("0 * * * *", recurrenceLimit=2))
        for runs, after in ((1, "SCHEDULED"), (2, "COMPLETED")):
            api.world.clock.advance(3600)
            await api.until(path, "RUNNING")
            api.world.clock.advance(1)
            task = await api.until(path, after)
            assert task["runs"] == runs


async def test_a_recurrent_task_goes_on_after_a_failed_run_and_ends_as_the_last_one() -> None:
    async with tcup(still=True) as api:
        api.world.tasks.engine.exit_codes = {"job": [1, 1]}
        path = await scheduled(api, recurrent("0 * * * *", recurrenceLimit=2))
        for after in ("SCHEDULED", "FAILED"):
            api.world.clock.advance(3600)
            await api.until(path, "RUNNING")
            api.world.clock.advance(1)
            assert (await api.until(path, after))["exitCode"] == 1


async def test_a_scheduled_task_starts_now_or_is_cancelled() -> None:
    async with tcup(still=True) as api:
        path = await scheduled(api, recurrent("0 * * * *"))
        assert (await api("POST", f"{path}/start")).status == 202
        await api.until(path, "RUNNING")
        api.world.clock.advance(1)
        assert (await api.until(path, "SCHEDULED"))["runs"] == 1
        assert (await api("POST", f"{path}/cancel")).json["status"] == "CANCELLED"
        api.world.clock.advance(7200)
        assert (await api.ok("GET", path))["status"] == "CANCELLED"


async def test_rescheduling_changes_the_kind_and_counts_anew() -> None:
    async with tcup(still=True) as api:
        path = await scheduled(api, recurrent("0 * * * *", recurrenceLimit=1))
        api.world.clock.advance(3600)
        await api.until(path, "RUNNING")
        assert (await api("PUT", f"{path}/schedule", recurrent("0 * * * *"))).status == 409
        api.world.clock.advance(1)
        await api.until(path, "COMPLETED")
        task = await api.ok("PUT", f"{path}/schedule", delayed("02-01-2030 00:00:00 UTC"))
        assert (task["jobType"], task["status"], task["runs"]) == ("DELAYED", "SCHEDULED", 1)
        assert (await api("PUT", f"{path}/schedule", None, data="null")).status == 400


async def test_without_a_schedule_a_delayed_task_waits_for_one() -> None:
    async with tcup(still=True) as api:
        project = await api.project()
        path = await api.task(project, "job", "", runTime="java", jobType="DELAYED", schedule=None)
        assert (await api.ok("GET", path))["status"] == "DEPLOYED"
        task = await api.ok("PUT", f"{path}/schedule", recurrent("0 * * * *"))
        assert (task["jobType"], task["status"]) == ("RECURRENT", "SCHEDULED")


async def test_a_time_that_passed_before_deployment_is_now() -> None:
    async with tcup(still=True) as api:
        body = {"jobName": "job", "jobType": "DELAYED", "schedule": delayed("01-01-2030 01:00:00 UTC")}
        project = await api.project()
        made = await api.ok("POST", f"{TASKS}/projects/{project}/tasks", body)
        path = f"{TASKS}/projects/{project}/tasks/{made['jobId']}"
        api.world.clock.advance(7200)
        await api.deploy(path, "", runTime="java")
        await api.until(path, "RUNNING")
