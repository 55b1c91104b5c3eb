"""Observations in and out, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from loopback import DROP, Loopback, saying

from asyncconn import Hub
from asyncconn import errors as common
from asyncconn.errors import BadRequest, ConfigError, Conflict, MaybeSent, NotFound, ProtocolError
from asyncconn.sandbox import Fault
from asyncconn.sandbox.tcup import SPELLINGS
from asyncconn.tcup import Feature, ItemResult, Pattern, Sensor, Tcup

from .scene import OBSERVATIONS, QUICK, scene

WHEN = datetime(2026, 1, 5, tzinfo=UTC)


async def test_what_is_inserted_is_found_again() -> None:
    async with scene() as s:
        result = await s.client.observations.insert("ts1", {"obs1": "test_1", "obs2": 1}, "tf1", time=WHEN)
        rows = await s.client.observations.query(sensor="ts1").collect()

    assert (result.index, result.id, result.code) == (0, "ts1", 201)
    assert [(row["feature"], row["starttime"], row["name"], row["value"]) for row in rows] == [
        ("tf1", WHEN, "obs1", "test_1"),
        ("tf1", WHEN, "obs2", 1),
    ]


async def test_without_a_time_it_is_now() -> None:
    async with scene() as s:
        before = datetime.now(UTC) - timedelta(seconds=1)
        await s.client.observations.insert("ts1", {"obs2": 1})
        (row,) = await s.client.observations.latest(sensor="ts1")

    assert before < row["starttime"] < datetime.now(UTC) + timedelta(seconds=1)
    assert row["feature"] is None or row["feature"] == "tf1"


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_refusal_hidden_in_a_200_is_raised_in_every_spelling(spelling: str) -> None:
    async with scene() as s:
        s.world.options.inner = spelling
        with pytest.raises(NotFound) as unknown:
            await s.client.observations.insert("tsX", {"obs1": "x"})
        with pytest.raises(BadRequest):
            await s.client.observations.insert("ts1", {"obs9": "x"})
        with pytest.raises(Conflict):
            await s.client.sensors.create(Sensor.atomic("ts1", {"obs1": "text"}))
        await s.client.observations.insert("ts1", {"obs1": "kept"})

        assert (unknown.value.status, unknown.value.http_status) == (404, 200)
        assert s.values() == ["kept"]
        assert s.inserts() == 3


@pytest.mark.parametrize("digits", [False, True])
async def test_and_in_digits(digits: bool) -> None:
    async with scene(inner="httpStatus", inner_digits=digits) as s:
        with pytest.raises(NotFound):
            await s.client.observations.insert("tsX", {"obs1": "x"})


async def test_an_internal_error_inside_a_200_is_not_repeated() -> None:
    async with scene() as s:
        s.fail(Fault("inner_500", match=OBSERVATIONS))
        with pytest.raises(common.ServerError) as raised:
            await s.client.observations.insert("ts1", {"obs2": 1})

        assert raised.value.maybe_sent
        assert s.inserts() == 1


async def test_a_page_behind_a_200_is_no_stored_observation() -> None:
    async with scene() as s:
        s.fail(Fault("html_200", match=OBSERVATIONS))
        with pytest.raises(ProtocolError):
            await s.client.observations.insert("ts1", {"obs2": 1})

        assert s.inserts() == 1


async def test_a_write_whose_answer_is_lost_is_unknown_and_not_repeated() -> None:
    async with Loopback(DROP) as server, Hub() as hub:
        with pytest.raises(MaybeSent):
            await Tcup(server.url, "key", hub=hub, retry=QUICK).observations.insert("ts1", {"a": 1})

        assert len(server.seen) == 1


async def test_a_429_is_repeated_as_nothing_was_done() -> None:
    refusal = saying({"code": 429, "message": "too many"}, 429, Retry_After="0")
    async with Loopback(refusal, otherwise=saying({"code": 201})) as server, Hub() as hub:
        result = await Tcup(server.url, "key", hub=hub, retry=QUICK).observations.insert("ts1", {"a": 1})

        assert (result, len(server.seen)) == (ItemResult(0, None, 201), 2)


@pytest.mark.parametrize(
    ("routing", "stored", "routed"), [(None, 1, True), ("db", 1, False), ("mq", 0, True), ("both", 1, True)]
)
async def test_routing_says_where_it_goes(routing: Any, stored: int, routed: bool) -> None:
    async with scene() as s:
        await s.client.observations.insert("ts1", {"obs2": 1}, routing=routing)

        assert len(s.rows()) == stored
        with pytest.raises(ConfigError, match="routing"):
            await s.client.observations.insert("ts1", {"obs2": 1}, routing="everywhere")  # type: ignore[arg-type] # that is the point


async def test_counts_and_capabilities() -> None:
    async with scene() as s:
        await s.client.features.create(Feature(name="tf1"))
        found = await s.client.capabilities()

        assert await s.client.observations.count() == {"sensors": 1, "features": 1}
        assert found.sensor_output == {"ts1": ["obs1", "obs2"]}
        assert found.features == ["tf1"]
    async with Loopback(otherwise=saying({"count": {"sensors": "2"}})) as server, Hub() as hub:
        with pytest.raises(ProtocolError):
            await Tcup(server.url, "key", hub=hub).observations.count()


# -- querying ----------------------------------------------------------------------------------------------------------


async def filled(s: Any, count: int = 25) -> None:
    rows = [("ts1", {"obs2": i, "obs1": f"n{i}"}, "tf1", WHEN + timedelta(seconds=i)) for i in range(count)]
    report = await s.client.observations.insert_many(rows)
    assert report.delivered == count


async def test_pages_are_followed_and_every_row_comes_once() -> None:
    async with scene() as s:
        await filled(s)
        query = s.client.observations.query(sensor="ts1", properties="obs2", page_size=10)
        first = await query
        rows = await query.collect()

        assert len(first) == 10
        assert [row["value"] for row in rows] == list(range(25))
        assert [row["value"] async for row in query][-1] == 24


async def test_conditions_go_along_and_hold() -> None:
    async with scene() as s:
        await filled(s)
        found = s.client.observations.query(
            sensor=["ts1"],
            feature="tf1",
            properties=["obs2"],
            start=WHEN + timedelta(seconds=5),
            end="05-JAN-2026 05:30:20 IST",
            where=["obs2>7", "obs2!=9"],
            order="desc",
        )

        assert [row["value"] async for row in found] == [19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 8]


@pytest.mark.parametrize(
    "options", [{}, {"sensor": []}, {"sensor": "ts1", "page_size": 0}, {"sensor": "ts1", "page_size": 10_001},
                {"sensor": "ts1", "start": "soon"}, {"sensor": "ts1", "end": datetime(2026, 1, 1)}],  # noqa: DTZ001 - that is the point
)  # fmt: skip
async def test_a_query_that_cannot_be_is_refused_before_it_is_sent(options: dict[str, Any]) -> None:
    async with scene() as s:
        before = len(s.world.calls)
        with pytest.raises(ConfigError):
            s.client.observations.query(**options)

        assert len(s.world.calls) == before


async def test_nothing_found_is_no_error() -> None:
    async with scene() as s:
        assert await s.client.observations.query(sensor="ts9").collect() == []
        assert await s.client.observations.latest(sensor="ts9") == []


async def test_a_star_in_a_name_is_a_star_unless_it_is_a_pattern() -> None:
    async with scene(auto_register=True, registered=False) as s:
        await s.client.observations.insert_many([(name, {"a": 1}, "f") for name in ("t*", "tsa", "tsb", "x")])

        async def sensors(sensor: Any) -> list[str]:
            return sorted({row["sensor"] async for row in s.client.observations.query(sensor=sensor)})

        assert await sensors("t*") == ["t*"]
        assert await sensors(Pattern("t*")) == ["t*", "tsa", "tsb"]
        assert await sensors(["t*", Pattern("*b")]) == ["t*", "tsb"]
        assert set((await s.client.observations.query(sensor="t*").frame())["sensor"]) == {"t*"}


async def test_the_latest_is_one_record_of_each_sensor_and_feature() -> None:
    async with scene() as s:
        await filled(s)

        assert [(row["name"], row["value"]) for row in await s.client.observations.latest(sensor="ts1")] == [
            ("obs1", "n24"),
            ("obs2", 24),
        ]


async def test_an_answer_without_observations_is_no_answer() -> None:
    async with Loopback(otherwise=saying({"observation": []})) as server, Hub() as hub:
        with pytest.raises(ProtocolError, match="without observations"):
            await Tcup(server.url, "key", hub=hub).observations.query(sensor="ts1")


async def test_a_cursor_that_leads_back_ends_the_query() -> None:
    async with Loopback(otherwise=saying({"observations": [], "next": "again"})) as server, Hub() as hub:
        with pytest.raises(ProtocolError, match="back"):
            await Tcup(server.url, "key", hub=hub).observations.query(sensor="ts1").collect()


# -- the forms that answers take ---------------------------------------------------------------------------------------


async def test_a_frame_is_typed_and_its_times_are_aware() -> None:
    async with scene() as s:
        await filled(s, 12)
        query = s.client.observations.query(sensor="ts1", page_size=5)
        long, wide = await query.frame(), await query.frame(pivot=True)

    assert list(long.columns) == ["sensor", "feature", "starttime", "endtime", "name", "value", "type", "unit"]
    assert str(long["starttime"].dtype) == "datetime64[ms, UTC]"
    assert len(long) == 24
    assert long.attrs["invalid"] == []
    assert list(wide.columns) == ["sensor", "feature", "starttime", "obs1", "obs2"]
    assert list(wide["obs2"]) == list(range(12))
    assert str(wide["obs2"].dtype) == "int64"
    assert list(wide["starttime"]) == [WHEN + timedelta(seconds=i) for i in range(12)]


async def test_an_empty_frame_has_its_columns() -> None:
    async with scene() as s:
        query = s.client.observations.query(sensor="ts1")
        long, wide = await query.frame(), await query.frame(pivot=True)

    assert (len(long), list(long.columns)[:3]) == (0, ["sensor", "feature", "starttime"])
    assert (len(wide), list(wide.columns)) == (0, ["sensor", "feature", "starttime"])
    assert str(long["starttime"].dtype) == "datetime64[ms, UTC]"


async def test_a_table_is_plain_text() -> None:
    async with scene() as s:
        await s.client.observations.insert("ts1", {"obs1": "a\nb\x1b[31m"}, "tf1", time=WHEN)
        table = await s.client.observations.query(sensor="ts1").table()

    assert table.splitlines()[3].split("|")[3:7] == [
        " 05-JAN-2026 00:00:00.000 UTC ", "         ", " obs1 ", " a b [31m "
    ]  # fmt: skip
    assert len(table.splitlines()) == 5


async def test_observations_as_they_came() -> None:
    async with scene() as s:
        await filled(s, 3)
        found = await s.client.observations.query(sensor="ts1", page_size=1).observations()

    assert len(found) == 3
    assert found[0]["record"][0]["output"][1] == {"name": "obs2", "value": "0", "type": "count"}
