"""Objects of Limits, read and written back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.atoti_limits.models import (
    Connection,
    Incident,
    IncidentType,
    LegacyLimit,
    Limit,
    LimitStatus,
    Structure,
    body_of,
    decode,
    decode_list,
    iso,
)
from asyncconn.errors import ConfigError

STRUCTURE: dict[str, Any] = CAPTURES["v2_structures_save"]["request"]["json"][0]
LIMIT: dict[str, Any] = CAPTURES["v2_limits_save"]["request"]["json"][0]


@pytest.mark.parametrize(
    ("kind", "sample"),
    [(Structure, STRUCTURE), (Limit, LIMIT), (LegacyLimit, CAPTURES["v1_limit"]["request"]["json"])],
)
def test_a_sample_is_written_as_it_was_read(kind: Any, sample: dict[str, Any]) -> None:
    assert decode(kind, {**sample, "new": [1]}).wire() == {**sample, "new": [1]}


def test_a_structure_has_one_id_under_either_name() -> None:
    assert decode(Structure, STRUCTURE).id == "id_0001"
    assert decode(Structure, {"structureId": "s"}).id == "s"
    assert Structure().id is None


def test_a_limit_is_read_into_days_numbers_and_words() -> None:
    limit = decode(Limit, LIMIT)

    assert (limit.start_date, limit.end_date, limit.limit_value) == (date(2026, 1, 1), None, 100000.0)
    assert limit.limit_status is LimitStatus.APPROVED


def test_what_is_changed_is_written_over_what_came() -> None:
    limit = decode(Limit, LIMIT)
    limit.limit_value, limit.end_date = 5.0, date(2026, 2, 1)

    assert limit.wire() == {**LIMIT, "limitValue": 5.0, "endDate": "2026-02-01"}


def test_only_what_was_set_is_written() -> None:
    assert Limit(limit_id="l", end_date=None).wire() == {"limitId": "l", "endDate": None}
    assert body_of({"limitId": "l"}) == {"limitId": "l"}


def test_one_value_in_a_list_is_the_value_and_goes_back_as_a_list() -> None:
    limit = decode(Limit, {"limitId": "l", "limitValues": [7]})
    assert limit.limit_value == 7.0

    limit.limit_value = 8.0
    assert limit.wire() == {"limitId": "l", "limitValues": [8.0]}


@pytest.mark.parametrize("values", [[], [1, 2], "x", None])
def test_more_or_less_than_one_value_is_kept_and_not_guessed(values: Any) -> None:
    limit = decode(Limit, {"limitValues": values})

    assert limit.limit_value is None
    assert limit.wire() == {"limitValues": values}


def test_a_value_that_is_there_wins_over_the_list() -> None:
    assert decode(Limit, {"limitValue": 1, "limitValues": [2]}).limit_value == 1.0


def test_words_that_are_new_are_words() -> None:
    limit = decode(Limit, {"limitStatus": "PAUSED"})
    incident = decode(Incident, {"incidentType": "PASS"})

    assert (limit.limit_status, incident.incident_type) == ("PAUSED", "PASS")
    assert isinstance(limit.limit_status, LimitStatus)
    assert "PAUSED" not in LimitStatus.__members__
    assert decode(Incident, {"incidentType": "BREACH"}).incident_type is IncidentType.BREACH


def test_values_of_another_type_and_unknown_fields_are_kept() -> None:
    limit = decode(Limit, {"startDate": "soon", "limitValue": "many", "alive": "perhaps", "colour": "red"})

    kept: tuple[Any, ...] = (limit.start_date, limit.limit_value, limit.alive)
    assert kept == ("soon", "many", "perhaps")
    assert limit.colour == "red"  # type: ignore[attr-defined] # a field that only this answer has
    assert limit.raw["colour"] == "red"


def test_times_are_read_from_milliseconds_and_from_iso() -> None:
    read = [decode(Connection, {"since": since}).since for since in (1_767_225_600_000, "2026-01-01T00:00:00Z")]

    assert [one.isoformat() for one in read if isinstance(one, datetime)] == ["2026-01-01T00:00:00+00:00"] * 2


@pytest.mark.parametrize("value", [None, "x", 1, [{}]])
def test_what_is_no_object_is_no_model(value: Any) -> None:
    with pytest.raises(LimitsProtocolError, match="must be an object"):
        decode(Limit, value)


@pytest.mark.parametrize("value", [None, {}, "x"])
def test_what_is_no_array_is_no_list(value: Any) -> None:
    with pytest.raises(LimitsProtocolError, match="must be an array"):
        decode_list(Limit, value)


@pytest.mark.parametrize("value", [None, {}, "x", 3, [LIMIT]])
def test_what_has_no_fields_cannot_be_written(value: Any) -> None:
    with pytest.raises(ConfigError, match="mapping with fields"):
        body_of(value)


def test_a_day_is_a_date_or_its_iso_form() -> None:
    days = (date(2026, 1, 31), datetime(2026, 1, 31, 9, 30), "2026-01-31")  # noqa: DTZ001 - a user's own clock
    assert {iso(day) for day in days} == {"2026-01-31"}
    assert iso(None) is None
    for wrong in ("31.01.2026", "", 20260131):
        with pytest.raises(ConfigError, match="YYYY-MM-DD"):
            iso(wrong)  # type: ignore[arg-type] # that is the point
