"""TCUP's sensors and features: registering, reading, changing and deleting them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import yarl

from .observing_scene import MR, SOS, body, observation, tcup

SENSORS, FEATURES = f"{SOS}/sensors", f"{SOS}/features"


async def test_captured_registrations_are_taken_and_counted_as_captured() -> None:
    async with tcup() as client:
        feature, sensor = body("sos.features.request"), body("sos.sensors.request")
        assert (await client("POST", FEATURES, feature)).code == 201
        reply = await client("POST", SENSORS, sensor)
        assert reply.json == {
            "code": 201,
            "status": "Created",
            "message": "1 sensor registered",
            "results": [{"index": 0, "id": "ts1", "code": 201, "status": "Created"}],
        }
        more = {"name": "ts2", "output": [{"name": "temperature"}]}
        await client("POST", SENSORS, {"sensors": [more]})
        assert (await client("GET", f"{SOS}/capabilities")).json == body("sos.capabilities.response")
        assert (await client("GET", f"{SENSORS}/ts1")).json == sensor["sensors"][0]
        assert (await client("GET", FEATURES)).json == {"features": feature["features"]}


async def test_what_is_absent_is_filled_and_lists_hold_objects() -> None:
    async with tcup() as client:
        await client("POST", SENSORS, {"sensors": [{"name": "ts1"}]})
        await client("POST", FEATURES, {"features": [{"name": "tf1"}]})
        assert (await client("GET", SENSORS)).json == {
            "sensors": [
                {
                    "name": "ts1",
                    "description": "",
                    "type": "atomic",
                    "feature": None,
                    "components": [],
                    "output": [],
                    "metadata": {},
                }
            ]
        }
        assert (await client("GET", f"{FEATURES}/tf1")).json == {
            "name": "tf1",
            "description": "",
            "parent": None,
            "position": None,
            "metadata": {},
        }


async def test_properties_tell_which_sensors_have_them() -> None:
    async with tcup() as client:
        await client.sensor("ts1", "temp")
        await client.sensor("ts2", "temp", "wind")
        assert (await client("GET", f"{SOS}/observedproperties")).json == {
            "observedProperties": [
                {"name": "temp", "type": "quantity", "unit": None, "sensors": ["ts1", "ts2"]},
                {"name": "wind", "type": "quantity", "unit": None, "sensors": ["ts2"]},
            ]
        }


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({}, 400),
        ("x", 400),
        ({"name": ""}, 400),
        ({"name": 5}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": "."}, 400),
        ({"name": ".."}, 400),
        ({"name": "a\nb"}, 400),
        ({"name": "n", "type": "virtual"}, 400),
        ({"name": "n", "type": "composite"}, 400),
        ({"name": "n", "type": "composite", "components": [1]}, 400),
        ({"name": "n", "type": "composite", "components": ["nobody"]}, 404),
        ({"name": "n", "output": {}}, 400),
        ({"name": "n", "output": [{"name": "a"}, {"name": "a"}]}, 400),
        ({"name": "n", "output": [{"name": "a", "unit": 1}]}, 400),
        ({"name": "n", "metadata": []}, 400),
        ({"name": "n", "description": 1}, 400),
        ({"name": "ts1"}, 409),
    ],
)
async def test_a_bad_sensor_is_refused_inside_and_does_not_undo_good_ones(item: Any, code: int) -> None:
    async with tcup() as client:
        await client.sensor("ts1")
        assert (await client("POST", SENSORS, {"sensors": [item]})).code == code
        reply = await client("POST", SENSORS, {"sensors": [item, {"name": "good"}]})
        assert (reply.code, [each["code"] for each in reply.json["results"]]) == (207, [code, 201])
        assert list(client.world.sos.sensors) == ["ts1", "good"]


@pytest.mark.parametrize(
    "item",
    [{"name": "n", "parent": ""}, {"name": "n", "position": {"x": 1}}, {"name": "n", "position": {"x": "1", "y": 2}}],
)
async def test_a_bad_feature_is_refused_inside(item: Any) -> None:
    async with tcup() as client:
        assert (await client("POST", FEATURES, {"features": [item]})).code == 400
        assert client.world.sos.features == {}


async def test_of_two_of_one_name_the_first_wins() -> None:
    async with tcup() as client:
        twice = [{"name": "a", "description": text} for text in ("first", "second")]
        reply = await client("POST", FEATURES, {"features": twice})
        assert [each["code"] for each in reply.json["results"]] == [201, 409]
        assert client.world.sos.features["a"]["description"] == "first"


async def test_a_composite_sensor_may_follow_its_parts_in_one_call() -> None:
    async with tcup() as client:
        given = [{"name": "part"}, {"name": "whole", "type": "composite", "components": ["part"]}]
        assert (await client("POST", SENSORS, {"sensors": given})).code == 201


@pytest.mark.parametrize("name", ["a/b", "a b", "ä%2F", "a?b#c", "*", "x" * 255, "...", "日本"])
async def test_a_name_may_be_nearly_anything(name: str) -> None:
    async with tcup() as client:
        assert (await client("POST", SENSORS, {"sensors": [{"name": name}]})).code == 201
        url = yarl.URL(f"{client.world.url}{SENSORS}/{quote(name, safe='')}", encoded=True)
        async with client.http.get(url, headers={"x-api-key": client.world.api_key}) as reply:
            assert (await reply.json())["name"] == name


# -- changing ----------------------------------------------------------------------------------------------------------


async def test_a_change_keeps_what_is_absent() -> None:
    async with tcup() as client:
        await client("POST", SENSORS, body("sos.sensors.request"))
        reply = await client("PUT", f"{SENSORS}/ts1", {"name": "ts1", "description": "new"})
        assert (reply.code, reply.json["status"]) == (200, "OK")
        assert [each["code"] for each in reply.json["results"]] == [200]
        kept = body("sos.sensors.request")["sensors"][0]
        assert client.world.sos.sensors["ts1"] == kept | {"description": "new"}


@pytest.mark.parametrize(
    ("path", "given", "code"),
    [
        (f"{SENSORS}/nobody", {}, 404),
        (f"{FEATURES}/nobody", {}, 404),
        (f"{SENSORS}/ts1", {"name": "ts2"}, 400),
        (f"{SENSORS}/ts1", {"output": "x"}, 400),
        (f"{SENSORS}/ts1", [], 400),
        (f"{FEATURES}/tf1", {"position": 1}, 400),
        (f"{FEATURES}/tf1", {"position": {"x": 1, "y": 2}}, 200),
    ],
)
async def test_a_change_is_answered_200_whatever_came_of_it(path: str, given: Any, code: int) -> None:
    async with tcup() as client:
        await client.sensor()
        await client("POST", FEATURES, {"features": [{"name": "tf1"}]})
        reply = await client("PUT", path, given)
        assert (reply.status, reply.code) == (200, code)


async def test_outputs_may_be_added_but_not_taken_away_while_there_are_observations() -> None:
    async with tcup() as client:
        await client.sensor("ts1", "obs1", "obs2")
        path = f"{SENSORS}/ts1"
        more = [{"name": name} for name in ("obs1", "obs2", "obs3")]
        await client.insert(observation())
        assert (await client("PUT", path, {"output": more})).code == 200
        assert (await client("PUT", path, {"output": more[1:]})).code == 409
        await client("DELETE", f"{path}/observations")
        assert (await client("PUT", path, {"output": more[1:]})).code == 200


# -- deleting ----------------------------------------------------------------------------------------------------------


async def test_deleting_says_its_status_openly() -> None:
    async with tcup() as client:
        await client.sensor()
        await client("POST", FEATURES, {"features": [{"name": "tf1"}, {"name": "child", "parent": "tf1"}]})
        await client.insert(observation())
        for path in (f"{SENSORS}/ts1", f"{FEATURES}/tf1"):
            refused = await client("DELETE", path)
            assert (refused.status, refused.json["code"]) == (409, 409)
        gone = await client("DELETE", f"{SENSORS}/ts1/observations")
        assert (gone.status, gone.json["code"]) == (200, 200)
        assert client.world.sos.rows() == []
        for path in (f"{SENSORS}/ts1", f"{FEATURES}/tf1"):
            assert (await client("DELETE", path)).status == 200
            again = await client("DELETE", path)
            assert (again.status, again.json["code"]) == (404, 404)
            assert (await client("GET", path)).status == 404
        assert (await client("DELETE", f"{SENSORS}/ts1/observations")).status == 404


async def test_registrations_are_published_where_a_rule_may_wait_for_them() -> None:
    async with tcup() as client:
        await client.exchange()
        given = {"DirectExchange": "Direct.Exchange.Register", "RoutingKey": ""}
        number = await client.rule(input=given)
        await client.sensor()
        counted = (await client("GET", f"{MR}/statistics/{number}")).json
        assert counted["MessageCount"] == 1
