"""TCUP's message routing: exchanges, rules in their states, versions, statistics, and sending."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.core.clock import VirtualClock
from asyncconn.errors import ConfigError
from asyncconn.sandbox.tcup.times import version_time

from .observing_scene import MR, SOS, body, observation, rule, tcup

if TYPE_CHECKING:
    from .observing_scene import Client, Reply

RULES, EXCHANGES, SEND = f"{MR}/routingRules", f"{MR}/topicExchanges", f"{MR}/sendRequest"
HOT = {"name": "ObservedProperties", "value": [{"name": "temp", "type": "quantity", "value": "30", "operator": ">"}]}


def document(*observations: dict[str, Any]) -> dict[str, Any]:
    return {"version": "1.0.1", "observations": list(observations)}


async def send(client: Client, given: Any, kind: str = "", **headers: str) -> Reply:
    return await client("POST", SEND, given, headers=headers, params={"type": kind} if kind else None)


# -- exchanges ---------------------------------------------------------------------------------------------------------


async def test_topic_exchanges_come_and_go() -> None:
    async with tcup() as client:
        made = await client("POST", EXCHANGES, body("mr.topic_exchange.create.request"))
        assert (made.status, made.json["code"]) == (200, 200)
        assert (await client("GET", EXCHANGES)).json == [{"exchangeName": "ex1", "type": "topic"}]
        assert (await client("POST", EXCHANGES, body("mr.topic_exchange.create.request"))).status == 400
        number = await client.rule(started=False)
        assert (await client("GET", f"{EXCHANGES}/ex1/topics")).json == ["test"]
        await send(client, {}, "topic", DirectExchangeName="ex1", RoutingKey="other")
        assert (await client("GET", f"{EXCHANGES}/ex1/topics")).json == ["other", "test"]
        assert (await client("DELETE", f"{EXCHANGES}/ex1")).status == 400
        await client("DELETE", f"{RULES}/{number}")
        assert (await client("DELETE", f"{EXCHANGES}/ex1")).status == 200
        for method, path in (("DELETE", f"{EXCHANGES}/ex1"), ("GET", f"{EXCHANGES}/ex1/topics")):
            assert (await client(method, path)).status == 404


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (b"{", 400),
        (b"[]", 404),
        (b"{}", 404),
        (b'{"exchangeName": " ", "type": "topic"}', 404),
        (b'{"exchangeName": 5, "type": "topic"}', 404),
        (b'{"exchangeName": "ex1"}', 404),
        (b'{"exchangeName": "ex1", "type": "direct"}', 404),
    ],
)
async def test_a_wrong_exchange_is_refused_with_the_services_codes(given: bytes, status: int) -> None:
    async with tcup() as client:
        reply = await client("POST", EXCHANGES, data=given)
        assert (reply.status, reply.json["code"]) == (status, status)
        assert reply.json["message"]


# -- rules -------------------------------------------------------------------------------------------------------------


async def test_a_captured_rule_is_made_and_listed_as_captured() -> None:
    async with tcup() as client:
        await client.exchange()
        given = body("mr.rule.create.request")
        made = await client("POST", RULES, given)
        assert made.status == 200
        listed = (await client("GET", RULES)).json
        assert listed == [made.json]
        assert made.json == {
            **given,
            "RuleID": 1,
            "Status": "Created",
            "parallelismFactor": 1,
            "input": {name: given["input"][name] for name in ("DirectExchange", "RoutingKey")},
        }
        assert listed[0].keys() == body("mr.rules.list.response")[0].keys()
        assert (await client("GET", f"{RULES}/1")).json == made.json


async def test_a_blank_key_is_the_tenants() -> None:
    async with tcup() as client:
        await client.exchange()
        await client.rule("a")
        await client.rule("b", input={"RoutingKey": "other"})
        await client.rule("c", input={"type": "Queue", "MQName": "q1"})
        assert (await client("GET", f"{MR}/routingChannel/routingKeys")).json == sorted(
            [client.world.tenant.routing_key, "other"]
        )


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"RuleName": ""}, 404),
        ({"RuleName": 5}, 404),
        ({"RuleName": "there"}, 400),
        ({"RuleDescription": None}, 404),
        ({"parallelismFactor": None}, 404),
        ({"parallelismFactor": "0"}, 404),
        ({"parallelismFactor": "11"}, 404),
        ({"parallelismFactor": 10}, 200),
        ({"parallelismFactor": True}, 404),
        ({"input": None}, 200),
        ({"input": "Direct"}, 404),
        ({"input": {"type": "direct"}}, 404),
        ({"input": {"type": "Topic", "TopicExchange": "ex1", "RoutingKey": "in.#"}}, 200),
        ({"input": {"type": "Topic", "TopicExchange": "ex9", "RoutingKey": "in"}}, 404),
        ({"input": {"type": "Topic", "TopicExchange": "ex1"}}, 404),
        ({"input": {"type": "Queue"}}, 404),
        ({"params": {"name": "feature"}}, 404),
        ({"params": None}, 200),
        ({"output": None}, 404),
        ({"output": {"TopicExchange": "ex9", "Topic": "test"}}, 404),
        ({"output": {"TopicExchange": "ex1", "Topic": ""}}, 404),
    ],
)
async def test_a_rule_is_taken_or_refused_with_the_services_codes(changed: dict[str, Any], status: int) -> None:
    async with tcup() as client:
        await client.exchange()
        await client.rule("there", started=False)
        assert (await client("POST", RULES, {**rule(), **changed})).status == status
        number = await client.rule("mine", started=False)
        before = (await client("GET", f"{RULES}/{number}")).json
        assert (await client("PUT", f"{RULES}/{number}", {**rule("mine"), **changed})).status == status
        after = (await client("GET", f"{RULES}/{number}")).json
        assert (after == before) or status == 200


async def test_filters_of_the_list_are_exact_or_patterns() -> None:
    async with tcup() as client:
        await client.exchange()
        for name in ("warm", "warmer", "cold"):
            await client.rule(name, started=False, RuleDescription=f"{name} rooms")
        for params, names in (
            ({"RuleName": "warm"}, ["warm"]),
            ({"RuleName": "warm*"}, ["warm", "warmer"]),
            ({"RuleDescription": "*rooms", "RuleName": "c*"}, ["cold"]),
            ({"RuleName": ""}, ["warm", "warmer", "cold"]),
            ({"RuleName": "WARM"}, []),
        ):
            found = (await client("GET", RULES, params=params)).json
            assert [one["RuleName"] for one in found] == names


async def test_states_and_what_each_refuses() -> None:
    async with tcup() as client:
        await client.exchange()
        number = await client.rule(started=False)
        start, stop = (f"{MR}/routingChannel/{number}/{verb}" for verb in ("start", "stop"))
        one = f"{RULES}/{number}"
        assert (await client("POST", stop)).status == 400
        assert (await client("POST", start)).json["code"] == 200
        assert (await client("GET", one)).json["Status"] == "Started"
        for method, path, given in (("POST", start, None), ("PUT", one, rule()), ("DELETE", one, None)):
            assert (await client(method, path, given)).status == 400
        assert (await client("POST", stop)).status == 200
        assert (await client("GET", one)).json["Status"] == "Stopped"
        changed = await client("PUT", one, {**rule(), "RuleDescription": "new", "RuleID": 9, "Status": "Created"})
        assert (changed.json["RuleID"], changed.json["Status"], changed.json["RuleDescription"]) == (
            number,
            "Stopped",
            "new",
        )
        assert (await client("DELETE", one)).status == 200
        for method, path, given in (
            ("GET", one, None),
            ("PUT", one, rule()),
            ("DELETE", one, None),
            ("POST", start, None),
            ("POST", stop, None),
        ):
            assert (await client(method, path, given)).status == 404


@pytest.mark.parametrize("name", ["0", "-1", "x", "²", "1" * 30])
async def test_what_is_no_number_of_a_rule_is_404(name: str) -> None:
    async with tcup() as client:
        assert (await client("GET", f"{RULES}/{name}")).status == 404


async def test_the_overview_counts_rules_as_they_are_now() -> None:
    async with tcup() as client:
        assert (await client("GET", f"{MR}/overview")).json == {"Created": 0, "Started": 0, "Stopped": 0}
        await client.exchange()
        numbers = [await client.rule(name) for name in "ab"]
        await client.rule("c", started=False)
        await client("POST", f"{MR}/routingChannel/{numbers[0]}/stop")
        assert (await client("GET", f"{MR}/overview")).json == {"Created": 1, "Started": 1, "Stopped": 1}


# -- moving observations -----------------------------------------------------------------------------------------------


async def test_a_started_rule_moves_the_observations_that_fit() -> None:
    async with tcup(auto_register=True) as client:
        await client.exchange()
        number = await client.rule("hot", HOT)
        hot, cold = observation(temp=31), observation("ts2", temp=29)
        await client.insert(hot, cold)
        await client.insert(cold)
        assert client.world.routed("ex1", "test") == [document(hot)]
        assert client.world.routed("ex1", "other") == []
        await send(client, [1], "topic", DirectExchangeName="ex1", RoutingKey="test")
        assert client.world.routed("ex1", "test") == [document(hot)]
        with pytest.raises(ConfigError, match="ex9"):
            client.world.routed("ex9")
        assert (await client("GET", f"{MR}/statistics/{number}")).json["MessageCount"] == 2
        assert len(client.world.sos.rows()) == 2
        await client("POST", f"{MR}/routingChannel/{number}/stop")
        await client.insert(hot)
        assert len(client.world.routed("ex1")) == 1


async def test_only_what_was_stored_is_forwarded() -> None:
    async with tcup() as client:
        await client.exchange()
        await client.rule()
        await client.sensor()
        assert (await client.insert(observation(), observation("tsX"))).code == 207
        assert client.world.routed("ex1") == [document(observation())]
        assert (await client.insert(observation("tsX"))).code == 404
        assert len(client.world.routed("ex1")) == 1


@pytest.mark.parametrize(("routing", "moved"), [("db", 0), ("mq", 1), ("both", 1), ("", 1)])
async def test_x_routing_says_whether_it_is_forwarded(routing: str, moved: int) -> None:
    async with tcup(auto_register=True) as client:
        await client.exchange()
        await client.rule()
        await client.insert(observation(), **{"x-routing": routing})
        assert len(client.world.routed("ex1")) == moved


async def test_a_label_comes_with_what_is_moved() -> None:
    async with tcup(auto_register=True) as client:
        await client.exchange()
        value = {"if": "temp>30", "then": 'return "hot ";', "else": 'return "fine ";'}
        await client.rule("label", {"name": "expression", "value": value})
        await client.insert(observation(temp=31), observation("ts2", temp=1))
        [moved] = client.world.routed("ex1")
        assert [one["expression"] for one in moved["observations"]] == ["hot ", "fine "]
        assert "expression" not in (await client.query(sensor="*")).text


async def test_one_rule_feeds_another_and_a_circle_ends() -> None:
    async with tcup(auto_register=True) as client:
        await client.exchange()
        await client.rule("first", output={"TopicExchange": "ex1", "Topic": "a.b"})
        given = {"type": "Topic", "TopicExchange": "ex1", "RoutingKey": "a.*"}
        await client.rule("second", input=given, output={"TopicExchange": "ex1", "Topic": "end"})
        await client.insert(observation())
        assert client.world.routed("ex1", "end") == [document(observation())]
        given["RoutingKey"] = "round"
        await client.rule("circle", input=given, output={"TopicExchange": "ex1", "Topic": "round"})
        await send(client, document(observation()), "topic", DirectExchangeName="ex1", RoutingKey="round")
        assert 1 < len(client.world.routed("ex1", "round")) < 100


async def test_a_queue_keeps_messages_until_a_rule_reads_them_and_each_is_read_once() -> None:
    async with tcup() as client:
        await client.exchange()
        await send(client, document(observation("early")), "queue", DirectExchangeName="q1")
        assert len(client.world.mr.broker.queues["q1"]) == 1
        numbers = [await client.rule(name, input={"type": "Queue", "MQName": "q1"}) for name in "ab"]
        for _ in range(4):
            await send(client, document(observation()), "queue", DirectExchangeName="q1")
        assert len(client.world.routed("ex1")) == 5
        counts = [(await client("GET", f"{MR}/statistics/{number}")).json["MessageCount"] for number in numbers]
        assert sorted(counts) == [2, 3]


# -- sending -----------------------------------------------------------------------------------------------------------


async def test_a_captured_send_reaches_the_rules_of_the_tenants_key() -> None:
    async with tcup() as client:
        await client.exchange()
        await client.rule()
        given = body("mr.send_request")
        reply = await send(client, given, "direct", DirectExchangeName="Direct.Exchange", RoutingKey="")
        assert reply.json == {"code": 200, "message": "Message sent"}
        assert client.world.routed("ex1", "test") == [given]
        assert client.world.sos.rows() == []


@pytest.mark.parametrize(
    ("kind", "headers", "status"),
    [
        ("", {}, 200),
        ("direct", {"DirectExchangeName": "Direct.Exchange.Register"}, 200),
        ("direct", {"DirectExchangeName": "Named.By.Rule"}, 200),
        ("direct", {"DirectExchangeName": "nobody"}, 404),
        ("direct", {"RoutingKey": "strange"}, 200),
        ("topic", {"DirectExchangeName": "ex1", "RoutingKey": "test"}, 200),
        ("topic", {"DirectExchangeName": "ex1"}, 400),
        ("topic", {"DirectExchangeName": "ex9", "RoutingKey": "test"}, 404),
        ("topic", {"RoutingKey": "test"}, 404),
        ("queue", {"DirectExchangeName": "new"}, 200),
        ("queue", {}, 400),
        ("fanout", {}, 400),
    ],
)
async def test_a_message_is_sent_or_refused(kind: str, headers: dict[str, str], status: int) -> None:
    async with tcup() as client:
        await client.exchange()
        await client.rule(input={"DirectExchange": "Named.By.Rule", "RoutingKey": "k"})
        assert (await send(client, {"any": "json"}, kind, **headers)).status == status


async def test_another_key_reaches_no_rule() -> None:
    async with tcup() as client:
        await client.exchange()
        await client.rule()
        assert (await send(client, document(observation()), RoutingKey="strange")).status == 200
        assert client.world.routed("ex1") == []


@pytest.mark.parametrize("given", [b"", b"{", b"NaN"])
async def test_what_is_no_json_is_400(given: bytes) -> None:
    async with tcup() as client:
        assert (await client("POST", SEND, data=given)).status == 400


@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/JSON; charset=utf-8", 200), ("text/plain", 400), ("application/octet-stream", 400)],
)
async def test_a_body_must_say_that_it_is_json(kind: str, status: int) -> None:
    async with tcup() as client:
        assert (await client("POST", SEND, data=b"{}", headers={"Content-Type": kind})).status == status


@pytest.mark.parametrize("given", [5, "text", [], {"observations": "x"}, {"observations": [5]}])
async def test_what_is_no_document_of_observations_fails_in_the_rule(given: Any) -> None:
    async with tcup() as client:
        await client.exchange()
        number = await client.rule()
        assert (await send(client, given)).status == 200
        counted = (await client("GET", f"{MR}/statistics/{number}")).json
        assert (counted["MessageCount"], counted["FailureCount"]) == (1, 1)


# -- books -------------------------------------------------------------------------------------------------------------


async def test_statistics_count_what_reached_a_rule_within_the_times() -> None:
    async with tcup(clock=VirtualClock()) as client:
        await client.exchange()
        one, two = [await client.rule(name, HOT) for name in "ab"]
        begun = client.world.clock.utcnow()
        for minutes, temp in ((0, 31), (60, 29), (60, 35)):
            client.world.clock.advance(minutes * 60)
            await send(client, document(observation(temp=temp)))

        async def counted(path: str = "", **params: str) -> Any:
            return (await client("GET", f"{MR}/statistics{path}", params=params)).json

        per_rule = {"MessageCount": 3, "SuccessCount": 2, "FailureCount": 1}
        assert await counted() == {name: 2 * number for name, number in per_rule.items()}
        assert await counted(rule_id=f"{one}") == per_rule
        assert await counted(rule_id=f"{one},{two},{two}") == await counted()
        assert await counted(f"/{one}") == {**per_rule, "AvgHourlyMessageRate": 1.5}
        later = version_time(begun + timedelta(minutes=30))
        assert (await counted(f"/{one}", start_time=later))["AvgHourlyMessageRate"] == round(2 / 1.5, 4)
        assert await counted(rule_id=f"{one}", start_time=later) == {
            "MessageCount": 2,
            "SuccessCount": 1,
            "FailureCount": 1,
        }
        assert (await counted(rule_id=f"{one}", end_time=f"{later} UTC"))["MessageCount"] == 1
        assert (await client("GET", f"{MR}/statistics", params={"rule_id": "99"})).status == 404
        assert (await client("GET", f"{MR}/statistics", params={"start_time": "soon"})).status == 404
        assert (await client("GET", f"{MR}/statistics/99")).status == 404


async def test_versions_remember_what_a_rule_was() -> None:
    async with tcup(clock=VirtualClock()) as client:
        await client.exchange()
        number = await client.rule("old", started=False)
        client.world.clock.advance(3600)
        await client("PUT", f"{RULES}/{number}", rule("new"))
        await client("DELETE", f"{RULES}/{number}")
        await client.rule("other", started=False)
        listed = (await client("GET", f"{MR}/versions")).json
        told = [(one["rule_id"], one["version"], one["status"], one["routingRules"]["RuleName"]) for one in listed]
        assert told == [
            (number, 1, "CREATED", "old"),
            (number, 2, "UPDATED", "new"),
            (number, 3, "DELETED", "new"),
            (number + 1, 1, "CREATED", "other"),
        ]
        sample = body("mr.versions.response")[0]
        assert listed[0].keys() == sample.keys()
        assert listed[0]["routingRules"].keys() == sample["routingRules"].keys()
        assert listed[0]["routingRules"]["input"].keys() == sample["routingRules"]["input"].keys()
        assert (listed[0]["routingRules"]["input"]["type"], listed[0]["metadata"]) == ("", None)
        assert listed[0]["applied_at"] == "01-Jan-2030 00:00:00.000"
        assert (await client("GET", f"{MR}/versions/{number}")).json == listed[:3]
        assert (await client("GET", f"{MR}/versions/{number}/2")).json == listed[1]
        for path in ("/99", f"/{number}/9", "/x"):
            assert (await client("GET", f"{MR}/versions{path}")).status == 404
        for params, count in (({"search_text": "NEW"}, 2), ({"end_time": "01-JAN-2030 00:00:00 UTC"}, 1)):
            assert len((await client("GET", f"{MR}/versions", params=params)).json) == count


async def test_statistics_have_the_captured_members() -> None:
    async with tcup() as client:
        await client.exchange()
        number = await client.rule()
        for path, sample in (("", "mr.statistics.response"), (f"/{number}", "mr.statistics.rule.response")):
            reply = await client("GET", f"{MR}/statistics{path}")
            assert reply.json.keys() == body(sample).keys()
        assert (await client("GET", f"{SOS}/capabilities")).status == 200
