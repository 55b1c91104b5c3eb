"""A rule's document is spelled as the platform reads it, or refused. Contract: tcup section 3.3."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncconn.errors import ConfigError
from asyncconn.tcup.routing_rules import Area, Condition, checked_rule, routing_rule

SAMPLES: dict[str, Any] = {
    one["id"]: one["body"]
    for one in json.loads((Path(__file__).parents[1] / "data" / "tcup.json").read_text(encoding="utf-8"))["samples"]
    if "body" in one
}
RULES = [
    SAMPLES["mr.rule.create.request"],
    *SAMPLES["mr.rules.list.response"],
    SAMPLES["mr.versions.response"][0]["routingRules"],
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["RuleName"])
def test_what_the_platform_shows_is_taken_and_what_it_adds_is_left_out(rule: dict[str, Any]) -> None:
    kept = {name: value for name, value in rule.items() if name not in ("RuleID", "Status")}
    assert checked_rule(rule) == kept


def test_a_rule_is_built_as_the_contract_spells_it() -> None:
    made = routing_rule(
        "warm rooms",
        "temperature over 30",
        to=("ex1", "test"),
        direct="11111111-2222-4333-8444-555555555555",
        feature="room*",
        sensor="ts1",
        where=[Condition("obs2", ">", 30)],
        area=Area([(0, 0), (1.5, 2)]),
    )
    assert made == {
        "RuleName": "warm rooms",
        "RuleDescription": "temperature over 30",
        "parallelismFactor": "1",
        "input": {
            "type": "Direct",
            "DirectExchange": "Direct.Exchange",
            "RoutingKey": "11111111-2222-4333-8444-555555555555",
            "MQName": "",
        },
        "params": [
            {"name": "feature", "value": "room*"},
            {"name": "sensorID", "value": "ts1"},
            {"name": "time", "value": {"starttime": "", "endtime": ""}},
            {"name": "expression", "value": {"if": "", "then": "", "else": ""}},
            {
                "name": "position",
                "type": "rectangle",
                "geoFencing": "NO",
                "value": {"points": [{"x": "0", "y": "0"}, {"x": "1.5", "y": "2"}]},
            },
            {
                "name": "ObservedProperties",
                "value": [{"name": "obs2", "type": "quantity", "value": "30", "operator": ">"}],
            },
            {"name": "meta-data", "value": []},
            {"name": "parameter", "value": []},
            {"name": "quality", "value": []},
        ],
        "output": {"TopicExchange": "ex1", "Topic": "test"},
    }


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({}, {"type": "Direct", "DirectExchange": "Direct.Exchange", "RoutingKey": "", "MQName": ""}),
        ({"direct": ("ex", "key")}, {"type": "Direct", "DirectExchange": "ex", "RoutingKey": "key", "MQName": ""}),
        ({"topic": ("ex", "a.b")}, {"type": "Topic", "TopicExchange": "ex", "RoutingKey": "a.b", "MQName": ""}),
        ({"queue": "q1"}, {"type": "Queue", "MQName": "q1"}),
    ],
)
def test_a_rule_takes_from_an_exchange_a_topic_or_a_queue(options: dict[str, Any], source: dict[str, str]) -> None:
    assert routing_rule("r", "d", to=("ex1", "test"), **options)["input"] == source


def test_times_and_ranges_are_written_for_the_platform() -> None:
    made = routing_rule(
        "r",
        "d",
        to=("ex1", "test.#"),
        since=datetime(2015, 7, 3, 7, 40, tzinfo=UTC),
        until="23-JUL-2015 15:30:00 IST",
        where=[Condition.between("pulse", 80, 120), Condition("state", "=", "on"), Condition("n", "!=", 2, "count")],
    )
    params = {one["name"]: one["value"] for one in made["params"]}
    assert params["time"] == {"starttime": "03-JUL-2015 07:40:00.000 UTC", "endtime": "23-JUL-2015 15:30:00 IST"}
    assert params["ObservedProperties"] == [
        {"name": "pulse", "type": "quantity", "value": "(80,120)", "operator": ""},
        {"name": "state", "type": "text", "value": "on", "operator": ""},
        {"name": "n", "type": "count", "value": "2", "operator": "!="},
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"direct": "k", "queue": "q"},
        {"topic": ("ex", "")},
        {"queue": ""},
        {"direct": ("", "k")},
        {"to": ("", "t")},
        {"to": ("ex", " ")},
        {"parallelism": 0},
        {"parallelism": 11},
        {"where": [Condition("", ">", 3)]},
        {"where": [Condition("a", "=>", 3)]},
        {"where": [Condition("a", ">", "x", "quantity")]},
        {"where": [Condition.between("a", 5, 4)]},
        {"where": [Condition("a", ">", 3, "decimal")]},  # type: ignore[arg-type]  # that is what is refused
        {"since": "03.07.2015"},
        {"since": datetime(2015, 7, 3)},  # noqa: DTZ001 - that is what is refused
    ],
)
def test_a_rule_that_would_not_do_what_it_says_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        routing_rule("r", "d", **{"to": ("ex1", "test"), **options})


def _spoiled(change: str) -> dict[str, Any]:
    rule: dict[str, Any] = copy.deepcopy(RULES[0])
    params = {one["name"]: one for one in rule["params"]}
    match change:
        case "ruleName":
            rule["ruleName"] = rule.pop("RuleName")
        case "sensorId":
            params["sensorID"]["name"] = "sensorId"
        case "starttimes":
            params["time"]["value"] = {"starttimes": ""}
        case "YES please":
            params["position"]["geoFencing"] = "YES please"
        case "hexagon":
            params["position"]["type"] = "hexagon"
        case "there twice":
            rule["params"].append({"name": "feature", "value": ""})
        case "RuleDescription":
            rule["RuleDescription"] = ""
        case "Queue":
            rule["input"]["type"] = "queue"
        case "params":
            rule["params"] = {}
        case "output":
            del rule["output"]
        case "parallelismFactor":
            rule["parallelismFactor"] = True
    return rule


CHANGES = ("ruleName", "sensorId", "starttimes", "YES please", "hexagon", "there twice", "RuleDescription", "Queue")


@pytest.mark.parametrize("change", [*CHANGES, "params", "output", "parallelismFactor"])
def test_a_member_that_the_platform_would_not_read_is_named(change: str) -> None:
    with pytest.raises(ConfigError, match=change):
        checked_rule(_spoiled(change))


def test_a_rule_is_an_object() -> None:
    with pytest.raises(ConfigError, match="object"):
        checked_rule([])  # type: ignore[arg-type]  # that is what is refused
