"""Sensors and features: made, looked at, changed, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from loopback import DROP, Loopback, saying

from asyncconn import Hub
from asyncconn.errors import BadRequest, ConfigError, Conflict, NotFound
from asyncconn.tcup import Feature, Sensor, Tcup

from .captures import CAPTURES
from .scene import QUICK, scene


async def test_the_captured_documents_are_what_is_sent() -> None:
    async with Loopback(otherwise=saying({"code": 201})) as server, Hub() as hub:
        tcup = Tcup(server.url, "key", hub=hub)
        for noun, capture in ((tcup.features, "sos.features.request"), (tcup.sensors, "sos.sensors.request")):
            wanted = CAPTURES[capture]["body"]
            await noun.create(wanted["features" if noun is tcup.features else "sensors"][0])
            seen, http = server.seen[-1], CAPTURES[capture].get("http", {})
            assert (seen.method, seen.path) == (http.get("method", "POST"), http.get("path", seen.path))
            assert json.loads(seen.body) == wanted


async def test_a_feature_from_birth_to_death() -> None:
    async with scene(registered=False) as s:
        features = s.client.features
        assert (await features.create(Feature(name="tf1", description="boiler room", metadata={"floor": "2"}))).ok
        with pytest.raises(Conflict):
            await features.create({"name": "tf1"})
        await features.update("tf1", position={"x": 1.0, "y": 2.0})
        found = await features.get("tf1")
        assert (found.description, found.position, found.metadata) == (
            "boiler room",
            {"x": 1.0, "y": 2.0},
            {"floor": "2"},
        )
        assert [one.name async for one in features.list()] == ["tf1"]
        await features.delete("tf1")
        with pytest.raises(NotFound):
            await features.get("tf1")
        with pytest.raises(NotFound):
            await features.delete("tf1")


async def test_a_bad_one_does_not_undo_good_ones() -> None:
    async with scene(registered=False) as s:
        results = await s.client.features.create_many(
            [{"name": "a"}, {"name": "a"}, Feature(name="b"), {"name": "x" * 256}]
        )
        again = await s.client.features.create_many([{"name": "a"}, {"name": "b"}])

        assert [one.code for one in results] == [201, 409, 201, 400]
        assert [one.code for one in again] == [409, 409]
        assert await s.client.features.create_many([]) == []
        assert sorted([one.name async for one in s.client.features.list()]) == ["a", "b"]


async def test_sensors_atomic_and_composite() -> None:
    async with scene() as s:
        sensors = s.client.sensors
        await sensors.create(Sensor.composite("both", ["ts1"], {"obs3": ("quantity", "Cel")}, feature="tf1"))
        found = await sensors.get("both")
        with pytest.raises((BadRequest, NotFound)):
            await sensors.create(Sensor.composite("odd", ["nobody"]))
        results = await sensors.create_many([Sensor.atomic("ts2", {"a": "text"}), Sensor.atomic("ts1", {"a": "text"})])

        assert (found.type, found.components, found.feature) == ("composite", ["ts1"], "tf1")
        assert [(one.name, one.type, one.unit) for one in found.output] == [("obs3", "quantity", "Cel")]
        assert [one.code for one in results] == [201, 409]
        assert {one.name async for one in sensors.list()} == {"ts1", "both", "ts2"}
        assert {one.name async for one in sensors.properties()} == {"obs1", "obs2", "obs3", "a"}


async def test_outputs_may_be_added_and_a_sensor_is_cleared_before_it_goes() -> None:
    async with scene() as s:
        sensors = s.client.sensors
        await s.client.observations.insert("ts1", {"obs1": "x"})
        await sensors.update("ts1", output={"obs1": "text", "obs2": "count", "obs3": "text"})
        with pytest.raises(Conflict):
            await sensors.update("ts1", output={"obs3": "text"})
        with pytest.raises(Conflict):
            await sensors.delete("ts1")
        await sensors.clear("ts1")
        await sensors.delete("ts1")

        assert await s.client.observations.count() == {"sensors": 0, "features": 0}
        with pytest.raises(NotFound):
            await sensors.get("ts1")


@pytest.mark.parametrize("name", ["a/b", "a b?c#d%", "ü", "*", "a,b"])
async def test_any_name_is_one_segment_of_the_path(name: str) -> None:
    async with scene(registered=False) as s:
        await s.client.features.create({"name": name})
        assert (await s.client.features.get(name)).name == name
        await s.client.features.delete(name)
        assert await s.client.features.list().collect() == []


@pytest.mark.parametrize("name", [".", "..", "", None])
async def test_what_is_no_segment_is_refused(name: Any) -> None:
    async with scene(registered=False) as s:
        with pytest.raises(ConfigError):
            await s.client.features.get(name)


@pytest.mark.parametrize("given", [{}, {"name": None}, {"description": "nameless"}, 7, "tf1"])
async def test_what_is_no_feature_is_refused_before_it_is_sent(given: Any) -> None:
    async with scene(registered=False) as s:
        before = len(s.world.calls)
        with pytest.raises(ConfigError):
            await s.client.features.create(given)
        with pytest.raises(ConfigError, match="at least one"):
            Sensor.composite("odd", [])

        assert len(s.world.calls) == before


async def test_a_deletion_whose_answer_was_lost_was_this_one() -> None:
    async with Loopback(DROP, saying({"code": 404, "message": "no"}, 404)) as server, Hub() as hub:
        await Tcup(server.url, "key", hub=hub, retry=QUICK).features.delete("tf1")

        assert [seen.method for seen in server.seen] == ["DELETE", "DELETE"]


async def test_a_deletion_refused_inside_a_200_is_raised() -> None:
    async with Loopback(otherwise=saying({"code": 409, "message": "has observations"})) as server, Hub() as hub:
        with pytest.raises(Conflict):
            await Tcup(server.url, "key", hub=hub, retry=QUICK).sensors.delete("ts1")
