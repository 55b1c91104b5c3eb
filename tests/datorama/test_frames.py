"""Tables with the columns that pyDatorama's users know."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from helpers import virtual

from asyncconn.datorama import DataStream, Job
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.frames import job_log_frame, jobs_frame, log_rows_frame, streams_frame, write_csv
from asyncconn.datorama.log import COLUMNS, LogRow
from asyncconn.datorama.resources.queries import QueryResult
from asyncconn.errors import ConfigError
from asyncconn.http.models import decode
from asyncconn.sandbox import Fault

from .bulk.scene import scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

STREAM_COLUMNS = [
    "index",
    "id",
    "name",
    "dataSourceId",
    "sourceDisplayName",
    "workspaceId",
    "enabled",
    "hasData",
    "dataSourceAuthenticationId",
    "createTime",
    "lastUpdate",
    "lastRunStatus",
    "lastRowsRetrieved",
    "processedRows",
    "lastDataDate",
]
LOG_COLUMNS = ["workspace", "stream", "job", "job_type", "start", "end", "status", "exec_start", "exec_end"]


async def test_streams_have_the_columns_of_create_stream_df_and_times_in_utc() -> None:
    async with scene(workspaces=2, streams=4) as here:
        frame = (await here.client.fetch_all_streams()).frame()

        assert list(frame.columns) == STREAM_COLUMNS
        assert list(frame["id"]) == here.streams
        assert list(frame["index"]) == [0, 1, 2, 3]
        assert str(frame["createTime"].dtype).endswith("UTC]")
        assert frame["createTime"][0].timestamp() * 1000 == here.world.streams[here.streams[0]]["createTime"]
        assert frame["lastUpdate"].isna().all() or str(frame["lastUpdate"].dtype).endswith("UTC]")


async def test_the_fields_of_streams_can_be_chosen_without_their_times() -> None:
    async with scene(streams=2) as here:
        streams = (await here.client.fetch_all_streams()).values[0]

        frame = streams_frame(streams, ["name", "workspaceId", "not there"])

        assert list(frame.columns) == ["index", "name", "workspaceId", "not there"]
        assert frame["not there"].isna().all()


async def test_jobs_have_the_columns_of_create_jobs_df() -> None:
    async with scene(streams=3, jobs=2, file_every=3) as here:
        frame = (await here.client.fetch_all_jobs()).frame()

        assert list(frame.columns[:4]) == ["index", "workspaceId", "streamId", "dataSourceName"]
        assert set(frame.columns[4:]) == set(next(iter(here.world.stats.values())).shown(here.world.options, 0.0))
        assert list(frame["streamId"]) == [stat.stream_id for stat in here.world.stats.values()]
        assert list(frame["dataSourceName"]).count("TotalConnect") == 2
        for name in ("startExecutionTime", "endExecutionTime"):
            assert str(frame[name].dtype).endswith("UTC]")
        assert frame["dataStartDate"][0] == next(iter(here.world.stats.values())).start.isoformat()


def test_an_empty_table_has_its_columns_too() -> None:
    assert list(streams_frame([]).columns) == STREAM_COLUMNS
    assert list(jobs_frame([]).columns[:5]) == ["index", "workspaceId", "streamId", "dataSourceName", "id"]


def test_odd_times_are_no_times_and_spoil_nothing() -> None:
    odd: dict[str, Any] = {"id": 2, "createTime": "soon"}
    frame = streams_frame([DataStream.model_validate({"id": 1, "createTime": 0}), DataStream.model_validate(odd)])

    assert frame["createTime"][0] == pd.Timestamp(0, tz="UTC")
    assert pd.isna(frame["createTime"][1])


async def test_csv_leaves_out_the_long_logs_and_the_row_numbers(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=2) as here:
        frame = (await here.client.fetch_all_jobs()).frame()
        assert "processLog" in frame

        path = await write_csv(frame, tmp_path / "jobs.csv")

        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert "processLog" not in rows[0]
        assert list(rows[0])[:3] == ["index", "workspaceId", "streamId"]
        assert len(rows) == 2
    with pytest.raises(ConfigError, match="cannot be written"):
        await write_csv(frame, tmp_path / "no" / "jobs.csv")


@virtual
async def test_the_job_log_as_a_table_has_a_row_for_each_job_as_it_was_last_heard_of(
    clock: VirtualClock, tmp_path: Path
) -> None:
    log = tmp_path / "jobs.csv"
    async with scene(clock, streams=4, outcomes={"SUCCESS": 1.0}) as here:
        await here.client.fetch_all_streams()
        here.fail(
            Fault("drop_after", match=f"/v1/data-streams/{here.streams[1]}/process"),
            Fault("status", status=422, match=f"/v1/data-streams/{here.streams[2]}/process"),
        )
        days = ("2026-01-01", "2026-01-15")
        result = await here.client.process_streams(here.streams[:3], *days, log=log, batch=False, wait=True)
        await here.client.process_streams(here.streams[3:], *days, log=log)

        frame = await job_log_frame(log)

        assert list(frame.columns) == LOG_COLUMNS == list(result.frame().columns)
        told = [
            (row.stream, row.job, row.start, row.status) for row in frame.sort_values(["stream", "start"]).itertuples()
        ]
        one, other, third, fourth = here.streams
        assert told == [
            (one, "900000001", "2026-01-01", "success"),
            (one, "900000002", "2026-01-11", "success"),
            (other, "na", "2026-01-01", "unknown"),
            (third, "na", "2026-01-01", "error"),
            (fourth, told[4][1], "2026-01-01", "queued"),
            (fourth, told[5][1], "2026-01-11", "queued"),
        ]
        ended = frame[frame["status"] == "success"]["exec_end"]
        assert (ended > datetime(2029, 1, 1, tzinfo=UTC)).all()
        assert frame[frame["status"] == "queued"]["exec_end"].isna().all()
        assert list(result.frame()["status"]).count("success") == 2


async def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no job log"):
        await job_log_frame(tmp_path / "none.csv")


async def test_changes_have_the_columns_of_the_update_log() -> None:
    async with scene(streams=2) as here:
        names = [stream["name"] for stream in here.world.streams.values()]
        frame = (await here.client.rename_streams(here.streams, ["a", "b"])).frame()

        assert list(frame.columns) == ["stream", "new_params", "old_params", "status", "timestamp"]
        assert list(frame["new_params"]) == [{"name": "a"}, {"name": "b"}]
        assert list(frame["old_params"]) == [{"name": name} for name in names]


def test_a_job_of_no_known_stream_still_has_its_row() -> None:
    frame = jobs_frame([Job.model_validate({"id": 5, "dataStreamId": 7, "startExecutionTime": 1000})])

    assert (frame["streamId"][0], frame["workspaceId"][0]) == (7, None)


def test_what_was_set_after_it_came_is_in_the_row_too() -> None:
    job = decode(Job, {"id": 5, "dataStreamId": 7, "rows": 3}, DatoramaProtocolError)
    job.process_log = "by hand"
    job.note = "mine"  # type: ignore[attr-defined] # as any field that the platform may add
    frame = jobs_frame([job])

    assert frame[["id", "rows", "processLog", "note"]].iloc[0].tolist() == [5, 3, "by hand", "mine"]


def test_jobs_as_they_came_and_jobs_made_of_the_same_fields_are_the_same_table() -> None:
    came: list[dict[str, Any]] = [
        {"status": "SUCCESS", "rows": 1.5, "id": 1, "dataStreamId": 7, "startExecutionTime": 1000, "user_id": 4},
        {"id": 2, "dataStreamId": 7, "status": "ODD", "endExecutionTime": 2000, "processLog": 5, "rows": None},
    ]
    by_raw = jobs_frame([decode(Job, one, DatoramaProtocolError) for one in came])
    by_models = jobs_frame([Job.model_validate(one) for one in came])

    assert by_raw["userId"].tolist() == by_models["userId"].tolist() == [4, pd.NA]
    pd.testing.assert_frame_equal(
        by_raw.drop(columns=["user_id", "processLog"]), by_models.drop(columns=["processLog"])
    )


# -- ids beside gaps ---------------------------------------------------------------------------------------------------

ODD = 2**53 + 1  # the first integer that a float has not


def _stream(**fields: Any) -> DataStream:
    return DataStream.model_validate({"name": "s", "workspaceId": 3, **fields})


async def test_an_id_beside_a_gap_keeps_its_digits_in_tables_and_files(tmp_path: Path) -> None:
    frame = streams_frame([_stream(id=1, dataSourceAuthenticationId=ODD), _stream(id=2)])
    assert frame["dataSourceAuthenticationId"].tolist() == [ODD, pd.NA]
    path = await write_csv(frame, tmp_path / "streams.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["dataSourceAuthenticationId"] for row in rows] == [str(ODD), ""]


def test_the_users_of_jobs_keep_their_digits_beside_a_gap() -> None:
    jobs: list[dict[str, Any]] = [
        {"id": 1, "dataStreamId": 5, "status": "SUCCESS", "userId": ODD},
        {"id": 2, "dataStreamId": 5},
    ]
    frame = jobs_frame([Job.model_validate({"status": "SUCCESS", **job}) for job in jobs])
    assert frame["userId"].tolist() == [ODD, pd.NA]


def test_the_workspaces_of_a_job_log_keep_their_digits_beside_a_gap() -> None:
    empty = dict.fromkeys(COLUMNS, "")
    rows = [LogRow(**{**empty, "workspace": str(ODD), "stream": "1", "job": "1"}), LogRow(**{**empty, "stream": "x"})]
    frame = log_rows_frame(rows)
    assert frame["workspace"].tolist() == [ODD, pd.NA]
    assert frame["stream"].tolist() == [1, pd.NA]


def test_ids_of_a_query_keep_their_digits_beside_a_gap() -> None:
    frame = QueryResult(("id", "clicks"), [[ODD, 1.5], [None, None], [7, 2]]).frame()
    assert frame["id"].tolist() == [ODD, pd.NA, 7]
    assert frame["clicks"].dtype == "float64"


def test_two_columns_of_a_query_that_share_a_name_are_not_made_one() -> None:
    result = QueryResult(("id", "id"), [[1, 2]])
    with pytest.raises(DatoramaProtocolError, match="two columns are called 'id'"):
        result.records()
    assert result.frame().to_numpy().tolist() == [[1, 2]]
