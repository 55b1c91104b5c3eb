"""Objects of the wire: nothing is required but the id, nothing is lost, and nothing of the server's replaces ours."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, date, datetime
from typing import Any

import pytest

from asyncconn.datorama import DataStream, Datorama, Job, JobStatus, Report, ReportJob, Workspace
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.models import Measurement, Model, StreamStatus, decode, decode_list
from asyncconn.datorama.resources.base import fields_of
from asyncconn.errors import ConfigError, NotPicklable

#: Server's milliseconds of 2026-01-01 00:00:00.123.
MOMENT = 1767225600123


@pytest.mark.parametrize("kind", [Workspace, DataStream, Job, Report, ReportJob, StreamStatus])
def test_an_id_is_enough(kind: type[Model]) -> None:
    assert decode(kind, {"id": 7}).raw == {"id": 7}


@pytest.mark.parametrize("value", [{}, {"name": "x"}, {"id": None}, {"id": "x"}, [], "x", None, 7])
def test_what_has_no_id_is_an_error_that_says_so_and_quotes_nothing(value: Any) -> None:
    with pytest.raises(DatoramaProtocolError, match="DataStream") as caught:
        decode(DataStream, value)
    assert "'x'" not in str(caught.value)


def test_a_list_is_an_array_or_null() -> None:
    assert decode_list(Job, None) == []
    assert [job.id for job in decode_list(Job, [{"id": 1}, {"id": 2}])] == [1, 2]
    wrongs: list[Any] = [{"data": []}, "x", [7], [{"id": 1}, None]]
    for wrong in wrongs:
        with pytest.raises(DatoramaProtocolError):
            decode_list(Job, wrong)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MOMENT, datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1000, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01 00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        (None, None),
    ],
)
def test_times_are_aware(value: Any, expected: Any) -> None:
    found: Any = decode(Job, {"id": 1, "startExecutionTime": value}).start_execution_time
    assert found == expected
    assert found is None or found.tzinfo is not None


@pytest.mark.parametrize("value", ["2026-01-31", "2026-01-31T00:00:00"])
def test_days_are_dates(value: str) -> None:
    assert decode(Job, {"id": 1, "dataStartDate": value}).data_start_date == date(2026, 1, 31)


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("createTime", "create_time", "tomorrow"),
        ("createTime", "create_time", 10**20),
        ("createTime", "create_time", True),
        ("createTime", "create_time", {"at": 1}),
        ("lastDataDate", "last_data_date", "soon"),
        ("enabled", "enabled", "perhaps"),
        ("name", "name", ["x"]),
        ("config", "config", [1]),
    ],
)
def test_a_value_of_an_unexpected_type_is_kept_as_it_came(field: str, name: str, value: Any) -> None:
    made = decode(DataStream, {"id": 1, field: value})
    assert getattr(made, name) == value
    assert type(getattr(made, name)) is type(value)


def test_unknown_fields_are_kept_under_their_own_name() -> None:
    made = decode(DataStream, {"id": 1, "newThing": {"a": 1}})
    assert made.newThing == {"a": 1}  # type: ignore[attr-defined] # that is the point
    assert made.raw["newThing"] == {"a": 1}


def test_a_field_of_the_server_replaces_no_method_and_no_attribute_of_ours() -> None:
    names = [
        "jobs",
        "process",
        "rerun",
        "raw",
        "_streams",
        "_jobs",
        "_raw",
        "model_dump",
        "file_based",
        "delete",
        "__class__",
    ]
    made = decode(DataStream, {"id": 1, **dict.fromkeys(names, "theirs")})
    plain = decode(DataStream, {"id": 1})
    for name in names:
        if name != "raw" and name != "_raw":
            ours, expected = getattr(made, name), getattr(plain, name)
            assert getattr(ours, "__func__", ours) == getattr(expected, "__func__", expected)
    assert made.raw["jobs"] == "theirs"
    assert made.raw["raw"] == "theirs"


# -- status ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "field"),
    [(DataStream, "workspaceId"), (Job, "dataStreamId"), (Report, "workspaceId"), (ReportJob, "reportId")],
)
@pytest.mark.parametrize("odd", ["none", "../x", 1.5, [], {}])
def test_an_id_that_calls_and_names_are_made_of_is_a_number_or_an_error_with_its_place(
    kind: Any, field: str, odd: Any
) -> None:
    good: dict[str, Any] = {"id": 1, field: 4}
    assert decode(kind, {**good, field: None}) is not None
    with pytest.raises(DatoramaProtocolError, match=rf"at \$\[1\]: this is no {kind.__name__}: {field}"):
        decode_list(kind, [good, {**good, field: odd}])


@pytest.mark.parametrize("word", ["SUCCESS", "FAILURE", "ABORTED", "TIMEOUT"])
def test_four_words_are_final(word: str) -> None:
    assert decode(Job, {"id": 1, "status": word}).final
    assert decode(ReportJob, {"id": 1, "status": word}).final


@pytest.mark.parametrize("word", ["PENDING", "IN_PROGRESS", "STARTED_BY_WORKFLOW", "INITIALIZATION_DONE", "NONE"])
def test_the_other_known_words_are_not_final(word: str) -> None:
    assert JobStatus(word) in set(JobStatus)
    assert not decode(Job, {"id": 1, "status": word}).final


@pytest.mark.parametrize("word", ["HALTED_FOR_REVIEW", "success", "", "mro", "SUCCESS "])
def test_an_unknown_word_is_a_status_that_is_kept_and_not_final(word: str) -> None:
    status = decode(Job, {"id": 1, "status": word}).status
    assert isinstance(status, JobStatus)
    assert (status, str(status), status.value, f"{status}") == (word, word, word, word)
    assert not status.final
    assert status == JobStatus(word)
    assert len({status, JobStatus(word)}) == 1
    assert word not in set(JobStatus)
    assert copy.deepcopy(status) == pickle.loads(pickle.dumps(status)) == word  # noqa: S301 - made here


@pytest.mark.parametrize("value", [7, None, {"word": "SUCCESS"}])
def test_a_status_that_is_no_word_is_kept_and_not_final(value: Any) -> None:
    made = decode(Job, {"id": 1, "status": value})
    assert made.status == value
    assert not made.final


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_model_is_written_as_the_platform_spells_it_with_the_changes_made_to_it() -> None:
    came = {"id": 1, "name": "a", "createTime": MOMENT, "lastDataDate": "2026-01-31", "newThing": [1]}
    made = decode(DataStream, came)
    assert fields_of(made) == came
    made.name, made.workspace_id = "b", 4
    assert fields_of(made) == {**came, "name": "b", "workspaceId": 4}


def test_a_model_made_by_hand_can_be_written() -> None:
    stream = DataStream(id=1, name="x", workspace_id=4, retrieval_next_date=datetime(2026, 1, 1, tzinfo=UTC))
    assert fields_of(stream) == {"id": 1, "name": "x", "workspaceId": 4, "retrievalNextDate": 1767225600000}


def test_only_what_was_changed_or_came_is_written() -> None:
    assert fields_of(decode(DataStream, {"id": 1})) == {"id": 1}


# -- the tree ----------------------------------------------------------------------------------------------------------


async def test_an_object_without_a_client_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="came from no client"):
        DataStream(id=1).jobs()
    [job] = Datorama("t0ken-made-up").jobs.decoded([{"id": 1}])
    with pytest.raises(ConfigError, match="does not know its stream"):
        await job.rerun()


def test_an_object_of_a_client_cannot_go_to_another_process_and_says_what_can() -> None:
    [job] = Datorama("t0ken-made-up").jobs.decoded([{"id": 1}])
    with pytest.raises(NotPicklable, match="hand over the id"):
        pickle.dumps(job)
    assert pickle.loads(pickle.dumps(decode(Job, job.raw))).id == 1  # noqa: S301 - made here


def test_a_measurement_needs_its_system_name() -> None:
    assert decode(Measurement, {"systemName": "CLICKS"}).display_name is None
    with pytest.raises(DatoramaProtocolError, match="systemName"):
        decode(Measurement, {"displayName": "Clicks"})
