"""TCUP's observations: what is stored and what is refused inside a 200, and how it is read back."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from .observing_scene import SOS, Client, body, observation, tcup

INSERT = f"{SOS}/observations"


def start(minute: int) -> str:
    return f"01-JAN-2026 {minute // 60:02}:{minute % 60:02}:00.000 UTC"


async def read_back(client: Client, **params: Any) -> list[tuple[Any, ...]]:
    """Sensor, feature, time, name and value of all pages."""
    found: list[tuple[Any, ...]] = []
    for _ in range(100):
        page = (await client.query(**params)).json
        for one in page["observations"]:
            for record in one["record"]:
                rows = [(output["name"], output["value"]) for output in record["output"]]
                found += [(one["sensor"], one["feature"], record["starttime"], *row) for row in rows]
        if page["next"] is None:
            return found
        params["cursor"] = page["next"]
    raise AssertionError("the pages have no end")


# -- inserting ---------------------------------------------------------------------------------------------------------


async def test_a_stored_a_refused_and_a_partial_write_are_answered_as_captured() -> None:
    async with tcup() as client:
        await client.sensor()
        for sample, given in (
            ("ok", [observation()]),
            ("refused_but_http_200", [observation("tsX")]),
            ("partial", [observation(), observation("tsX")]),
        ):
            reply = await client.insert(*given)
            assert (reply.status, reply.json) == (200, body(f"sos.write.response.{sample}"))
        assert client.world.sos.effective == {201: 2, 404: 1, 207: 1}


@pytest.mark.parametrize(
    "sample",
    [
        "sos.observations.insert.request",
        "sos.observations.insert.request.multi_sensor_native_values",
        "pyconnector.data_helper.output",
    ],
)
async def test_captured_documents_are_stored(sample: str) -> None:
    document = body(sample)
    async with tcup(auto_register=True) as client:
        assert (await client("POST", INSERT, document)).code == 201
        outputs = sum(len(record["output"]) for one in document["observations"] for record in one["record"])
        assert len(client.world.sos.rows()) == outputs


async def test_a_value_is_kept_as_it_was_sent() -> None:
    async with tcup() as client:
        output = [{"name": "obs1", "type": "time"}, {"name": "obs2", "type": "quantity", "unit": "Cel"}]
        await client("POST", f"{SOS}/sensors", {"sensors": [{"name": "ts1", "output": output}]})
        sent = [
            {"name": "obs1", "value": "test_1"},
            {"name": "obs2", "value": 1.5, "type": "count", "unit": "K"},
        ]
        given = {"sensor": "ts1", "record": [{"starttime": "1-JAN-2026 00:00:00 IST", "output": sent}]}
        assert (await client.insert(given)).code == 201
        [record] = (await client.query(sensor="ts1")).json["observations"][0]["record"]
        assert record == {
            "starttime": "31-DEC-2025 18:30:00.000 UTC",
            "output": [
                {"name": "obs1", "value": "test_1", "type": "time"},  # absent, so the registered one
                {"name": "obs2", "value": 1.5, "type": "count", "unit": "K"},
            ],
        }


async def test_what_else_a_record_carries_comes_back_as_it_came() -> None:
    extras = {
        "meta-data": [{"name": "a", "value": "b", "type": "text"}],
        "position": {"x": 1, "y": 2},
        "quality": [{"name": "q", "value": "1", "type": "count"}],
    }
    async with tcup(auto_register=True) as client:
        given = observation()
        given["record"][0] |= {**extras, "endtime": "03-JUL-2015 14:10:00 IST"}
        await client.insert(given)
        [record] = (await client.query(sensor="ts1")).json["observations"][0]["record"]
        assert {name: record[name] for name in extras} == extras
        assert record["endtime"] == "03-JUL-2015 08:40:00.000 UTC"


async def test_the_same_output_at_the_same_time_is_overwritten() -> None:
    async with tcup(auto_register=True) as client:
        await client.insert(observation(obs1=1, obs2=2))
        await client.insert(observation(at="03-JUL-2015 07:40:00", obs2=3))
        await client.insert(observation(feature=None, obs2=4))
        rows = [(row["feature"], row["name"], row["value"]) for row in client.world.sos.rows()]
        assert rows == [(None, "obs2", 4), ("tf1", "obs1", 1), ("tf1", "obs2", 3)]


async def test_an_absent_feature_is_the_sensors_own_and_null_is_none() -> None:
    async with tcup() as client:
        await client.sensor("with", feature="tf9")
        await client.sensor("without")
        absent = [
            {name: value for name, value in observation(each).items() if name != "feature"}
            for each in ("with", "without")
        ]
        assert (await client.insert(*absent, observation("with", feature=None))).code == 201
        found = [(row["sensor"], row["feature"]) for row in client.world.sos.rows()]
        assert found == [("with", None), ("with", "tf9"), ("without", None)]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"sensor": None}, 400),
        ({"sensor": ""}, 400),
        ({"sensor": ".."}, 400),
        ({"sensor": "unknown"}, 404),
        ({"feature": 7}, 400),
        ({"feature": ""}, 400),
        ({"record": []}, 400),
        ({"record": None}, 400),
        ({"record": [{}]}, 400),
        ({"record": ["x"]}, 400),
        ({"record": [{"starttime": start(0), "output": []}]}, 400),
        ({"record": [{"starttime": "soon", "output": [{"name": "obs1", "value": 1}]}]}, 400),
        ({"record": [{"output": [{"name": "obs1", "value": 1}]}]}, 400),
        ({"record": [{"starttime": start(0), "endtime": 5, "output": [{"name": "obs1", "value": 1}]}]}, 400),
        ({"record": [{"starttime": start(0), "output": [{"name": "obs9", "value": 1}]}]}, 400),
        ({"record": [{"starttime": start(0), "output": [{"name": "obs1"}]}]}, 400),
        ({"record": [{"starttime": start(0), "output": [{"name": "obs1", "value": {}}]}]}, 400),
        ({"record": [{"starttime": start(0), "output": [{"name": "obs1", "value": 1, "type": 1}]}]}, 400),
    ],
)
async def test_a_bad_observation_is_refused_whole_and_the_others_are_stored(changed: Any, code: int) -> None:
    async with tcup() as client:
        await client.sensor()
        alone = await client.insert({**observation(), **changed})
        assert alone.code == code
        assert client.world.sos.rows() == []
        good = {**observation(), "record": [*observation()["record"], *(changed.get("record") or [])]}
        if "record" in changed and len(good["record"]) > 1:  # one bad record spoils the observation
            assert (await client.insert(good)).code == code
            assert client.world.sos.rows() == []
        reply = await client.insert({**observation(), **changed}, observation())
        assert reply.code == 207
        assert [each["code"] for each in reply.json["results"]] == [code, 201]
        assert [each["index"] for each in reply.json["results"]] == [0, 1]
        assert len(client.world.sos.rows()) == 1


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"[]", b"{}", b'{"observations": []}', b'{"observations": {}}', b"[" * 100_000, b"\xff"]
)
async def test_a_refusal_of_the_whole_call_has_no_results(sent: bytes) -> None:
    async with tcup() as client:
        reply = await client("POST", INSERT, data=sent)
        assert (reply.code, reply.json["results"]) == (400, [])


async def test_nan_is_no_json() -> None:
    async with tcup(auto_register=True) as client:
        sent = json.dumps({"observations": [observation(obs1=float("nan"))]}).encode()
        assert (await client("POST", INSERT, data=sent)).code == 400


async def test_too_many_records_and_too_many_bytes_are_413_inside() -> None:
    async with tcup(auto_register=True) as client:
        record = observation()["record"][0]
        given = [{**observation(), "record": [record] * 500}] * 2
        assert (await client.insert(*given)).code == 201
        refused = await client.insert(*given, observation())
        assert (refused.code, refused.json["status"], refused.json["results"]) == (413, "Payload Too Large", [])
        large = io.BytesIO(json.dumps({"observations": [observation(obs1="x" * (5 << 20))]}).encode())
        assert (await client("POST", INSERT, data=large)).code == 413


async def test_auto_register_makes_sensors_outputs_and_features() -> None:
    async with tcup(auto_register=True) as client:
        await client.insert(observation(obs1=1), observation("ts2", feature=None, obs2=2))
        await client.insert(observation(obs3="x"))
        assert (await client("GET", f"{SOS}/capabilities")).json == {
            "count": {"sensors": 2, "features": 1},
            "sensorOutput": {"ts1": ["obs1", "obs3"], "ts2": ["obs2"]},
            "features": ["tf1"],
        }


@pytest.mark.parametrize(("routing", "rows"), [("db", 1), ("both", 1), ("", 1), ("mq", 0)])
async def test_x_routing_says_whether_it_is_stored(routing: str, rows: int) -> None:
    async with tcup(auto_register=True) as client:
        assert (await client.insert(observation(), **{"x-routing": routing})).code == 201
        assert len(client.world.sos.rows()) == rows


async def test_an_unknown_x_routing_is_refused() -> None:
    async with tcup(auto_register=True) as client:
        assert (await client.insert(observation(), **{"x-routing": "disk"})).code == 400


# -- querying ----------------------------------------------------------------------------------------------------------


async def filled(client: Client) -> None:
    """Three sensors, two features, four minutes each; obs1 counts the minutes, obs2 is ten times that."""
    given = [
        observation(sensor, start(minute), feature, obs1=minute, obs2=str(minute * 10))
        for minute in range(4)
        for sensor, feature in (("a1", "room1"), ("a2", "room2"), ("b1", None))
    ]
    await client.insert(*given)


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"sensor": "a1"}, 8),
        ({"sensor": ["a1", "b1"]}, 16),
        ({"sensor": "a*"}, 16),
        ({"sensor": "*"}, 24),
        ({"sensor": "."}, 0),
        ({"sensor": "A1"}, 0),
        ({"feature": "room1"}, 8),
        ({"feature": "room*"}, 16),
        ({"feature": "*"}, 16),
        ({"feature": "room1", "sensor": "a2"}, 0),
        ({"sensor": "*", "observedProperty": "obs2"}, 12),
        ({"sensor": "*", "observedProperty": "obs9"}, 0),
        ({"sensor": "*", "starttime": start(1)}, 18),
        ({"sensor": "*", "endtime": start(1)}, 6),
        ({"sensor": "*", "starttime": start(1), "endtime": start(2)}, 6),
        ({"sensor": "*", "starttime": "01-JAN-2026 05:33:00 IST"}, 6),
        ({"sensor": "*", "value": "obs1>1"}, 12),
        ({"sensor": "*", "value": "obs1>=1"}, 18),
        ({"sensor": "*", "value": "obs1<1"}, 6),
        ({"sensor": "*", "value": "obs2<=10"}, 12),
        ({"sensor": "*", "value": "obs2=10"}, 6),
        ({"sensor": "*", "value": "obs2=10.0"}, 6),
        ({"sensor": "*", "value": "obs2!=10"}, 18),
        ({"sensor": "*", "value": ["obs2>0", "obs1<3"]}, 12),
        ({"sensor": "*", "value": "obs9>0"}, 0),
        ({"sensor": "*", "value": "obs2>x"}, 0),
        ({"sensor": "*", "value": "obs1>1", "observedProperty": "obs2"}, 6),
    ],
)
async def test_filters_choose_records_and_outputs(asked: dict[str, Any], number: int) -> None:
    async with tcup(auto_register=True) as client:
        await filled(client)
        assert len(await read_back(client, **asked)) == number


async def test_no_match_is_an_empty_list() -> None:
    async with tcup() as client:
        reply = await client.query(sensor="nothing")
        assert reply.status == 200
        assert reply.json == {"version": "1.0.1", "observations": [], "count": 0, "next": None}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"observedProperty": "obs1"},
        {"sensor": "a1", "limit": 0},
        {"sensor": "a1", "limit": 10_001},
        {"sensor": "a1", "limit": "x"},
        {"sensor": "a1", "order": "up"},
        {"sensor": "a1", "starttime": "soon"},
        {"sensor": "a1", "value": "obs1"},
        {"sensor": "a1", "value": ">1"},
        {"sensor": "a1", "cursor": "x"},
        {"sensor": "a1", "cursor": "AAAA"},
    ],
)
async def test_a_wrong_query_is_a_real_400(asked: dict[str, Any]) -> None:
    async with tcup() as client:
        reply = await client.query(**asked)
        assert (reply.status, reply.json["code"]) == (400, 400)


async def test_order_is_by_time_then_sensor_then_name_and_neighbours_share_an_element() -> None:
    async with tcup(auto_register=True) as client:
        await client.insert(
            observation("b", start(1), "f", z=1, a=2),
            observation("b", start(2), "f", a=3),
            observation("a", start(2), "f", a=4),
            observation("b", start(0), "f", a=5),
        )
        page = (await client.query(feature="f")).json
        assert [(one["sensor"], len(one["record"])) for one in page["observations"]] == [("b", 2), ("a", 1), ("b", 1)]
        assert page["count"] == 4
        rows = await read_back(client, feature="f")
        assert [(row[0], row[3], row[4]) for row in rows] == [
            ("b", "a", 5),
            ("b", "a", 2),
            ("b", "z", 1),
            ("a", "a", 4),
            ("b", "a", 3),
        ]
        assert await read_back(client, feature="f", order="desc") == rows[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 4, 12, 100])
async def test_pages_are_together_what_one_page_is(limit: int, order: str) -> None:
    async with tcup(auto_register=True) as client:
        await filled(client)
        whole = await read_back(client, sensor="*", order=order)
        assert await read_back(client, sensor="*", order=order, limit=limit) == whole


async def test_a_page_counts_records_and_the_last_one_has_no_next() -> None:
    async with tcup(auto_register=True) as client:
        await filled(client)
        page = (await client.query(sensor="*", limit=12)).json
        assert (page["count"], page["next"]) == (12, None)
        assert (await client.query(sensor="*", limit=11)).json["next"]


async def test_a_cursor_is_good_only_for_the_query_that_it_came_from() -> None:
    async with tcup(auto_register=True) as client:
        await filled(client)
        asked = {"sensor": "a*", "limit": 2}
        cursor = (await client.query(**asked)).json["next"]
        assert (await client.query(**asked, cursor=cursor)).status == 200
        for changed in ({"sensor": "*"}, {"limit": 3}, {"order": "desc"}):
            assert (await client.query(**asked | changed, cursor=cursor)).status == 400
        assert (await client.query(cursor=cursor)).status == 400
        other = "A" if cursor[5] != "A" else "B"
        assert (await client.query(**asked, cursor=f"{cursor[:5]}{other}{cursor[6:]}")).status == 400


async def test_what_is_stored_meanwhile_is_neither_skipped_nor_doubled() -> None:
    async with tcup(auto_register=True) as client:
        for minute in (10, 20, 30, 40):
            await client.insert(observation(at=start(minute)))
        asked: dict[str, Any] = {"sensor": "ts1", "limit": 2}
        page = (await client.query(**asked)).json
        for minute in (5, 20, 25, 35, 50):  # one before the cursor, one that is there already
            await client.insert(observation(at=start(minute)))
        rest = await read_back(client, **asked, cursor=page["next"])
        assert [row[2] for row in rest] == [start(minute) for minute in (25, 30, 35, 40, 50)]


async def test_latest_has_one_record_for_each_sensor_and_feature() -> None:
    async with tcup(auto_register=True) as client:
        await filled(client)
        await client.insert(observation("a1", start(1), "room9", obs1=7))
        for order in ("asc", "desc"):
            params = {"sensor": "a*", "value": "obs1<9", "order": order}
            page = (await client("GET", f"{SOS}/observations/latest", params=params)).json
            found = {(one["sensor"], one["feature"]): one["record"] for one in page["observations"]}
            assert {whose: [record["starttime"] for record in records] for whose, records in found.items()} == {
                ("a1", "room1"): [start(3)],
                ("a2", "room2"): [start(3)],
                ("a1", "room9"): [start(1)],
            }
            assert (page["count"], page["next"]) == (3, None)
        assert (await client("GET", f"{SOS}/observations/latest")).status == 400
