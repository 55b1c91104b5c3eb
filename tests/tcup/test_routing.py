"""Messages go where rules say, and nothing is sent twice blindly. Contract: tcup section 3."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from loopback import Loopback, Reply

from asyncconn.errors import BadRequest, ConfigError, ConnectionLost, NotFound, ProtocolError
from asyncconn.sandbox import Fault
from asyncconn.tcup import Tcup, payload
from asyncconn.tcup.errors import DocumentRefused
from asyncconn.tcup.routing_rules import Condition, routing_rule

from .lake_scene import Scene, scene


def hot(**options: Any) -> dict[str, Any]:
    given = {"to": ("ex1", "test"), "where": [Condition("obs2", ">", 30)], **options}
    return routing_rule("hot", "over 30", **given)


def seen(s: Scene) -> list[Any]:
    """The sensors and values that came out."""
    every: Any = s.world.routed("ex1", "test")
    return [
        (one["sensor"], one["record"][0]["output"][0]["value"])
        for document in every
        for one in document["observations"]
    ]


async def test_only_a_started_rule_moves_what_fits() -> None:
    async with scene() as s:
        await s.routing.exchanges.create("ex1")
        rule = await s.routing.rules.create(hot())
        assert rule.id is not None
        assert (rule.rule_name, rule.status, rule.parallelism_factor) == ("hot", "Created", 1)
        await s.routing.send(payload("ts1", {"obs2": 31}, "tf1"))
        await s.routing.rules.start(rule.id)
        await s.routing.send(payload("ts1", {"obs2": 32}, "tf1"))
        await s.routing.send(payload("ts1", {"obs2": 1}, "tf1"))
        assert seen(s) == [("ts1", "32")]

        assert (await s.routing.rules.statistics_of(rule.id)).message_count == 2
        every = await s.routing.rules.statistics([rule.id], since=datetime(2020, 1, 1, tzinfo=UTC))
        assert (every.message_count, every.success_count, every.failure_count) == (2, 1, 1)
        assert await s.routing.rules.statistics() == every
        overview = await s.routing.rules.overview()
        assert (overview.created, overview.started, overview.stopped) == (0, 1, 0)
        assert len(await s.routing.rules.keys()) == 1

        with pytest.raises(BadRequest):
            await s.routing.rules.start(rule.id)
        with pytest.raises(BadRequest):
            await s.routing.rules.delete(rule.id)
        await s.routing.rules.stop(rule.id)
        await s.routing.send(payload("ts1", {"obs2": 33}, "tf1"))
        assert seen(s) == [("ts1", "32")]


async def test_a_rule_is_listed_replaced_and_remembered() -> None:
    async with scene() as s:
        await s.routing.exchanges.create("ex1")
        await s.routing.exchanges.create("ex2")
        rule = await s.routing.rules.create(hot())
        assert rule.id is not None
        with pytest.raises(BadRequest):
            await s.routing.rules.create(hot())
        await s.routing.rules.update(rule.id, hot(to=("ex2", "test.#")))
        assert (await s.routing.rules.get(rule.id)).output == {"TopicExchange": "ex2", "Topic": "test.#"}
        assert [one.rule_name for one in await s.routing.rules.list(name="h*")] == ["hot"]
        assert len(await s.routing.rules.list(name="cold")) == 0
        assert list((await s.routing.rules.list().frame())["rule_id"]) == [rule.id]
        assert await s.routing.exchanges.topics("ex2") == ["test.#"]

        await s.routing.rules.delete(rule.id)
        with pytest.raises(NotFound):
            await s.routing.rules.get(rule.id)
        versions = [one async for one in s.routing.rules.versions(rule.id)]
        assert sorted(str(one.status) for one in versions) == ["CREATED", "DELETED", "UPDATED"]
        first = next(one for one in versions if one.status == "CREATED")
        assert first.applied_at is not None
        assert datetime.now(UTC) - first.applied_at < timedelta(minutes=5)
        assert first.version is not None
        again = await s.routing.rules.version(rule.id, first.version)
        assert again.rule is not None
        assert again.rule.rule_name == "hot"
        now = datetime.now(UTC)
        assert len(await s.routing.rules.versions(since=now - timedelta(hours=1), until=now + timedelta(hours=1))) == 3
        assert len(await s.routing.rules.versions(until=now - timedelta(hours=1))) == 0


async def test_exchanges_come_and_go() -> None:
    async with scene() as s:
        await s.routing.exchanges.create("ex1")
        with pytest.raises(BadRequest):
            await s.routing.exchanges.create("ex1")
        rule = await s.routing.rules.create(hot())
        with pytest.raises(BadRequest):
            await s.routing.exchanges.delete("ex1")
        assert rule.id is not None
        await s.routing.rules.delete(rule.id)
        s.fail(Fault("drop_after", match=lambda call: call.method == "DELETE"))
        await s.routing.exchanges.delete("ex1")
        assert len(await s.routing.exchanges.list()) == 0


async def test_a_document_reaches_topics_and_queues() -> None:
    async with scene() as s:
        await s.routing.exchanges.create("ex1")
        await s.routing.exchanges.create("in")
        rule = await s.routing.rules.create(hot(topic=("in", "t.1")))
        assert rule.id is not None
        await s.routing.rules.start(rule.id)
        await s.routing.send_topic(payload("ts1", {"obs2": 40}, "tf1"), exchange="in", topic="t.1")
        await s.routing.send_topic(payload("ts1", {"obs2": 41}, "tf1"), exchange="in", topic="t.2")
        other = await s.routing.rules.create({**hot(queue="q1"), "RuleName": "other"})
        assert other.id is not None
        await s.routing.rules.start(other.id)
        await s.routing.send_queue(payload("ts2", {"obs2": 42}, "tf1"), queue="q1")
        assert seen(s) == [("ts1", "40"), ("ts2", "42")]


async def test_an_exchange_that_there_is_not_is_told() -> None:
    async with scene() as s:
        with pytest.raises(DocumentRefused):
            await s.routing.send(payload("ts1", {"obs2": 1}, "tf1"), exchange="nowhere")
        with pytest.raises(DocumentRefused):
            await s.routing.rules.create(hot())


@pytest.mark.parametrize("duplicates", [False, True])
async def test_a_message_whose_answer_is_lost_is_sent_again_only_where_that_is_harmless(duplicates: bool) -> None:
    async with scene(Fault("drop_after", match="/MessageRouting")) as s:
        sent = s.routing.send(payload("ts1", {"obs2": 1}, "tf1"), duplicates=duplicates)
        if duplicates:
            await sent
        else:
            with pytest.raises(ConnectionLost):
                await sent
        assert s.calls("POST /MessageRouting/v2.0/sendRequest") == 1 + duplicates


async def test_what_is_sent_by_default_and_what_is_said_instead() -> None:
    async with Loopback() as server, Tcup(server.url, "key", direct_exchange="mine", routing_key="k1") as tcup:
        document = payload("ts1", {"obs1": "test_1", "obs2": 1}, "tf1")
        await tcup.routing.send(document)
        await tcup.routing.send(json.dumps(document), exchange="theirs", routing_key="k2")
        await tcup.routing.send_topic(document, exchange="ex1", topic="a.b")
        await tcup.routing.send_queue(json.dumps(document).encode(), queue="q1")
    assert [(one.target, one.headers["directexchangename"], one.headers["routingkey"]) for one in server.seen] == [
        ("/MessageRouting/v2.0/sendRequest?type=direct", "mine", "k1"),
        ("/MessageRouting/v2.0/sendRequest?type=direct", "theirs", "k2"),
        ("/MessageRouting/v2.0/sendRequest?type=topic", "ex1", "a.b"),
        ("/MessageRouting/v2.0/sendRequest?type=queue", "q1", ""),
    ]
    assert all(json.loads(one.body) == document for one in server.seen)
    assert {one.headers["content-type"] for one in server.seen} == {"application/json"}


async def test_the_misspelt_address_of_the_counts_is_tried_too() -> None:
    counts = Reply(200, b'{"Created": 26, "Started": 2, "Stopped": 4}', {"Content-Type": "application/json"})
    async with Loopback(Reply(404), counts) as server, Tcup(server.url, "key") as tcup:
        assert (await tcup.routing.rules.overview()).created == 26
    assert [one.path.rpartition("/")[2] for one in server.seen] == ["overview", "overiew"]


async def test_an_answer_of_another_shape_is_a_protocol_error() -> None:
    wrong = Reply(200, b'{"keys": []}', {"Content-Type": "application/json"})
    async with Loopback(otherwise=wrong) as server, Tcup(server.url, "key") as tcup:
        with pytest.raises(ProtocolError):
            await tcup.routing.rules.keys()
        with pytest.raises(ProtocolError):
            await tcup.routing.exchanges.list()


@pytest.mark.parametrize("case", range(11))
async def test_what_cannot_be_is_refused_before_anything_is_sent(case: int) -> None:
    async with scene() as s:
        naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is what is refused
        wrong: list[Any] = [
            lambda: s.routing.send(None),
            lambda: s.routing.send('{"observations": [}'),
            lambda: s.routing.send(b"\xff"),
            lambda: s.routing.send({}, exchange="a\r\nX: 1"),
            lambda: s.routing.send({"value": float("nan")}),
            lambda: s.routing.send_topic({}, exchange="ex1", topic=""),
            lambda: s.routing.send_queue({}, queue=" "),
            lambda: s.routing.exchanges.create(""),
            lambda: s.routing.rules.create({**hot(), "RuleName": ""}),
            lambda: s.routing.rules.statistics(since=naive),
            lambda: s.routing.rules.start("1/../2"),  # type: ignore[arg-type]  # that is what is refused
        ]
        with pytest.raises(ConfigError):
            await wrong[case]()
        assert s.calls() == 0
