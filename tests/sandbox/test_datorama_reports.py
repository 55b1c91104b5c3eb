"""Reports: from the definition through the job to the file."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import pytest

from .datorama_client import WORKSPACE, Api, datorama
from .scene import Reply

CONFIG: dict[str, Any] = {
    "filter": {"date": {"startDate": "2025-12-01", "endDate": "2025-12-03"}},
    "rowDims": ["DAY", "CAMPAIGN_NAME"],
    "metrics": [{"name": "DELIVERY_IMPRESSIONS"}],
}


async def make(api: Api, config: Any = CONFIG, **more: Any) -> int:
    given = {"name": "daily", "workspaceId": WORKSPACE, "config": config, **more}
    reply = await api("POST", "/v1/reports", given)
    assert reply.status == 201
    number: int = reply.json["id"]
    return number


async def start(api: Api, report: int) -> str:
    [job] = await api.ok("POST", f"/v1/reports/{report}/process")
    assert (job["reportId"], job["status"]) == (report, "PENDING")
    return f"/v1/report-jobs/{job['id']}"


async def download(api: Api, config: Any = CONFIG, **more: Any) -> Reply:
    path = await start(api, await make(api, config, **more))
    api.advance(100)
    assert (await api.ok("GET", path))["status"] == "SUCCESS"
    reply = await api("GET", f"{path}/download")
    assert reply.status == 200
    return reply


def table(text: str, delimiter: str = ",") -> list[list[str]]:
    """What follows the empty line."""
    return list(csv.reader(io.StringIO(text.partition("\n\n")[2]), delimiter=delimiter))


async def test_a_report_job_moves_on_as_the_clock_does() -> None:
    async with datorama(job_seconds=(5, 20)) as api:
        path = await start(api, await make(api))
        seen = []
        for seconds in (0, 5, 19.999, 0.001):
            api.advance(seconds)
            seen.append((await api.ok("GET", path))["status"])
        assert seen == ["PENDING", "IN_PROGRESS", "IN_PROGRESS", "SUCCESS"]


async def test_a_report_job_moves_on_by_reads_when_the_world_says_so() -> None:
    async with datorama(progress="reads", job_reads=(1, 1)) as api:
        report = await make(api)
        path = await start(api, report)
        seen = [(await api.ok("GET", path))["status"] for _ in range(2)]
        seen += [job["status"] for job in await api.ok("GET", f"/v1/reports/{report}/report-jobs")]
        assert seen == ["PENDING", "IN_PROGRESS", "SUCCESS"]


async def test_a_file_before_the_end_or_after_a_failure_is_422() -> None:
    async with datorama(report_outcomes={"FAILURE": 1}) as api:
        path = await start(api, await make(api))
        assert (await api("GET", f"{path}/download")).status == 422
        api.advance(100)
        job = await api.ok("GET", path)
        assert (job["status"], bool(job["statusReason"])) == ("FAILURE", True)
        assert (await api("GET", f"{path}/download")).status == 422
        assert (await api("GET", "/v1/report-jobs/1/download")).status == 404


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({**CONFIG, "rowDims": ["NO_SUCH"]}, "NO_SUCH"),
        ({**CONFIG, "metrics": ["x"]}, "config"),
        ({}, "rowDims"),
        ({**CONFIG, "filter": {"date": {"startDate": "x"}}}, "startDate"),
    ],
)
async def test_a_definition_that_cannot_be_carried_out_fails_with_its_reason(config: Any, word: str) -> None:
    async with datorama() as api:
        path = await start(api, await make(api, config))
        api.advance(100)
        job = await api.ok("GET", path)
        assert job["status"] == "FAILURE"
        assert word in job["statusReason"]


async def test_a_csv_begins_with_descriptive_lines_and_an_empty_one() -> None:
    async with datorama() as api:
        reply = await download(api)
        preamble, _, rest = reply.text.partition("\n\n")
        assert preamble.splitlines() == ["Report,daily", "Range,2025-12-01 - 2025-12-03"]
        assert rest.splitlines()[0] == "Day,Campaign Name,Impressions"
        assert len(rest.splitlines()) == 1 + 3 * 3
        assert reply.headers["Content-Disposition"] == 'attachment; filename="daily.csv"'
        assert reply.headers["Content-Type"] == "text/csv"


async def test_a_report_and_a_query_tell_the_same_numbers() -> None:
    query = {
        "workspaceId": WORKSPACE,
        "dateRange": "CUSTOM",
        **CONFIG["filter"]["date"],
        "dimensions": CONFIG["rowDims"],
        "measurements": CONFIG["metrics"],
    }
    async with datorama() as api:
        rows = (await api.ok("POST", "/v1/query", query))["queryResponseData"]["rows"]
        assert table((await download(api)).text)[1:] == [list(map(str, row)) for row in rows]


async def test_a_compressed_report_is_a_zip_with_one_file() -> None:
    async with datorama() as api:
        reply = await download(api, compressed=True, exportFileName="out")
        plain = await download(api, exportFileName="out")
        archive = zipfile.ZipFile(io.BytesIO(reply.body))
        assert archive.namelist() == ["out.csv"]
        assert archive.read("out.csv") == plain.body
        assert reply.headers["Content-Disposition"] == 'attachment; filename="out.zip"'


async def test_quotes_in_a_file_name_are_escaped() -> None:
    async with datorama() as api:
        reply = await download(api, exportFileName='a"b\r\nX-Evil: 1')
        assert reply.headers["Content-Disposition"] == 'attachment; filename="a\\"b  X-Evil: 1.csv"'
        assert "X-Evil" not in reply.headers


async def test_filters_sorting_and_names_are_obeyed() -> None:
    config = {
        **CONFIG,
        "filter": {**CONFIG["filter"], "filterDims": {"CAMPAIGN_KEY": {"vals": ["70001"], "qVals": None}}},
        "sortInfo": {"metric": "DAY", "sortOrder": "DESC"},
        "customDisplayNames": {"DAY": {"defaultName": "Day", "displayName": "Date", "displayFormat": None}},
    }
    async with datorama() as api:
        found = table((await download(api, config)).text)
    assert found[0] == ["Date", "Campaign Name", "Impressions"]
    assert [(row[0], row[1]) for row in found[1:]] == [(f"2025-12-0{n}", "Winter") for n in (3, 2, 1)]


async def test_a_report_may_be_without_header_or_with_tabs() -> None:
    async with datorama() as api:
        assert table((await download(api, includeHeaders=False)).text)[0][0] == "2025-12-01"
        reply = await download(api, exportFormat="TSV")
        assert table(reply.text, "\t")[0] == ["Day", "Campaign Name", "Impressions"]
        assert reply.headers["Content-Disposition"] == 'attachment; filename="daily.tsv"'


async def test_a_job_keeps_the_report_as_it_was() -> None:
    async with datorama() as api:
        report = await make(api)
        path = await start(api, report)
        await api.ok("PATCH", f"/v1/reports/{report}", {"name": "other"})
        assert (await api("DELETE", f"/v1/reports/{report}")).status == 204
        assert (await api("GET", f"/v1/reports/{report}")).status == 404
        api.advance(100)
        assert "daily" in (await api("GET", f"{path}/download")).text


async def test_a_workspace_holds_so_many_reports() -> None:
    async with datorama(max_reports=1) as api:
        report = await make(api)
        assert (await api("POST", "/v1/reports", {"name": "b", "workspaceId": WORKSPACE})).status == 422
        await api("DELETE", f"/v1/reports/{report}")
        await make(api)
        assert len(await api.ok("GET", f"/v1/workspaces/{WORKSPACE}/reports")) == 1


async def test_schedulers_belong_to_a_report() -> None:
    async with datorama() as api:
        report = await make(api)
        path = f"/v1/reports/{report}/report-schedulers"
        one = await api.ok("POST", "/v1/report-schedulers", {"reportId": report, "frequency": "WEEKLY"})
        await api.ok("POST", "/v1/report-schedulers", {"reportId": report, "active": False})
        assert len(await api.ok("GET", path)) == 2
        assert [each["id"] for each in await api.ok("GET", f"{path}?includeOnlyActive=true")] == [one["id"]]
        await api.ok("PATCH", f"/v1/report-schedulers/{one['id']}", {"active": False})
        assert await api.ok("GET", f"{path}?includeOnlyActive=true") == []
        assert (await api("POST", "/v1/report-schedulers", {"reportId": 1})).status == 404
