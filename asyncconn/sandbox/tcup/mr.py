"""Message routing: topic exchanges, rules with their versions and statistics, and sending.

Contract: tcup sections 1.6, 3, 13.1, 13.5, 13.23 to 13.26 and 13.33 to 13.34.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.broker import DIRECT, Broker
from asyncconn.sandbox.tcup.queries import wildcard
from asyncconn.sandbox.tcup.rules import Conditions
from asyncconn.sandbox.tcup.service import Service
from asyncconn.sandbox.tcup.times import read_time, version_time
from asyncconn.sandbox.tcup.voice import Refused, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.sandbox.clock import MovableClock
    from asyncconn.sandbox.exchange import Answer, Call
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.broker import Message
    from asyncconn.sandbox.tcup.tenants import Tenant

__all__ = ["Mr", "Rule"]

Item = dict[str, Any]

_STATES = ("Created", "Started", "Stopped")
_MOST_PARALLEL = 10
_MOST_HOPS = 16  # rules may feed each other in a circle


@dataclass(slots=True, eq=False)
class Rule:
    """A rule; ``document`` is what it was made of, ``passed`` whether each message that reached it did, and when."""

    number: int
    document: Item
    conditions: Conditions
    broker: Broker
    clock: MovableClock
    status: str = "Created"
    first_start: datetime | None = None
    passed: list[tuple[datetime, bool]] = field(default_factory=list)
    unbind: Callable[[], None] | None = None
    full: bool = False  # a rule judges as messages come

    def take(self, message: Message) -> None:
        """Judge each observation of a message, and send on what passes."""
        body = message.body
        observations = body.get("observations") if isinstance(body, dict) else None
        judged = map(self.conditions.judge, observations if isinstance(observations, list) else [])
        passed = [each for each in judged if each is not None]
        self.passed.append((self.clock.utcnow(), bool(passed)))
        if passed and isinstance(body, dict) and message.hops < _MOST_HOPS:
            output = self.document["output"]
            routed = {**body, "observations": passed}
            self.broker.to_topic(output["TopicExchange"], output["Topic"], routed, message.hops + 1)

    def start(self) -> None:
        """Consume. Raises 404 for a topic exchange that is gone."""
        given = self.document["input"]
        if given["type"] == "Queue":
            self.unbind = self.broker.on_queue(given["MQName"], self)
        elif given["type"] == "Topic":
            self.unbind = self.broker.on_topic(given["TopicExchange"], given["RoutingKey"], self)
        else:
            self.unbind = self.broker.on_direct(given["DirectExchange"], given["RoutingKey"], self)
        self.status = "Started"
        self.first_start = self.first_start or self.clock.utcnow()

    def stop(self) -> None:
        """Consume no more."""
        if self.unbind is not None:
            self.unbind()
            self.unbind = None
        self.status = "Stopped"

    def shown(self) -> Item:
        """As the platform lists it: an ordinary input without what goes without saying."""
        given = self.document["input"]
        if given["type"] == "Direct":
            given = {name: given[name] for name in ("DirectExchange", "RoutingKey")}
        return {"Status": self.status, "RuleID": self.number, **self.document, "input": given}

    def as_version(self) -> Item:
        """As the platform shows it among versions: an ordinary input with blanks."""
        given = self.document["input"]
        plain = {**given, "type": "" if given["type"] == "Direct" else given["type"]}
        return {"Status": self.status, "RuleID": self.number, **self.document, "input": plain}


class Mr(Service):
    """One tenant's message routing. ``broker`` is where its messages go."""

    def __init__(self, tenant: Tenant, clock: MovableClock, *, keep: int) -> None:
        self.broker = Broker(keep)
        self.rules: dict[int, Rule] = {}
        self.versions: list[Item] = []
        self._tenant = tenant
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Mr {len(self.rules)} rules, {len(self.broker.created)} topic exchanges>"

    def routes(self) -> list[Route]:
        """The calls of the contract's table."""
        return [
            ("POST", "/topicExchanges", self._create_exchange),
            ("GET", "/topicExchanges", self._list_exchanges),
            ("GET", "/topicExchanges/{name}/topics", self._topics),
            ("DELETE", "/topicExchanges/{name}", self._delete_exchange),
            ("POST", "/routingRules", self._create),
            ("GET", "/routingRules", self._list),
            ("GET", "/routingRules/{id}", lambda ask: json_answer(self._rule(ask).shown())),
            ("PUT", "/routingRules/{id}", self._update),
            ("DELETE", "/routingRules/{id}", self._delete),
            ("POST", "/routingChannel/{id}/start", self._start),
            ("POST", "/routingChannel/{id}/stop", self._stop),
            ("GET", "/routingChannel/routingKeys", self._keys),
            ("GET", "/overview", self._overview),
            ("GET", "/statistics", self._statistics),
            ("GET", "/statistics/{id}", self._statistics_of),
            ("GET", "/versions", self._versions),
            ("GET", "/versions/{id}", self._versions_of),
            ("GET", "/versions/{id}/{version}", self._version),
            ("POST", "/sendRequest", self._send),
        ]

    async def answer(self, call: Call) -> Answer:
        """Other than its siblings, it wants to be told that a body is JSON."""
        kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if call.body and kind != "application/json":
            return self.refused(Refused(400, "Content-Type must be application/json"))
        return await super().answer(call)

    # -- exchanges -----------------------------------------------------------------------------------------------------

    def _create_exchange(self, ask: Ask) -> Answer:
        given = _payload(ask)
        name = _text(given, "exchangeName")
        if given.get("type") != "topic":
            raise Refused(404, "type must be topic")
        self.broker.create(name)
        return _done("Topic exchange created")

    def _list_exchanges(self, _: Ask) -> Answer:
        return json_answer([{"exchangeName": name, "type": "topic"} for name in self.broker.created])

    def _topics(self, ask: Ask) -> Answer:
        name = ask.args["name"]
        outputs = [rule.document["output"] for rule in self.rules.values()]
        of_rules = {output["Topic"] for output in outputs if output["TopicExchange"] == name}
        return json_answer(sorted(self.broker.topics(name) | of_rules))

    def _delete_exchange(self, ask: Ask) -> Answer:
        name = ask.args["name"]
        for rule in self.rules.values():
            if name in (rule.document["output"]["TopicExchange"], rule.document["input"].get("TopicExchange")):
                raise Refused(400, f"rule {rule.number} uses this topic exchange")
        self.broker.drop(name)
        return _done("Topic exchange deleted")

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        document, conditions = self._read(_payload(ask))
        rule = Rule(self._next_number(), document, conditions, self.broker, self._clock)
        self.rules[rule.number] = rule
        self._note(rule, "CREATED")
        return json_answer(rule.shown())

    def _list(self, ask: Ask) -> Answer:
        found: Iterable[Rule] = self.rules.values()
        for member in ("RuleName", "RuleDescription"):
            if text := ask.param(member):
                pattern = wildcard([text])
                found = [rule for rule in found if pattern.fullmatch(rule.document[member])]
        return json_answer([rule.shown() for rule in found])

    def _update(self, ask: Ask) -> Answer:
        rule = self._rest(ask)
        rule.document, rule.conditions = self._read(_payload(ask), rule)
        self._note(rule, "UPDATED")
        return json_answer(rule.shown())

    def _delete(self, ask: Ask) -> Answer:
        rule = self._rest(ask)
        del self.rules[rule.number]
        self._note(rule, "DELETED")
        return _done("Rule deleted")

    def _start(self, ask: Ask) -> Answer:
        self._rest(ask).start()
        return _done("Rule started")

    def _stop(self, ask: Ask) -> Answer:
        rule = self._rule(ask)
        if rule.status != "Started":
            raise Refused(400, "the rule is not started")
        rule.stop()
        return _done("Rule stopped")

    def _keys(self, _: Ask) -> Answer:
        inputs = [rule.document["input"] for rule in self.rules.values()]
        return json_answer(sorted({given["RoutingKey"] for given in inputs if given["type"] == "Direct"}))

    def _rule(self, ask: Ask) -> Rule:
        number = ask.args["id"]
        rule = self.rules.get(int(number)) if number.isascii() and number.isdigit() and len(number) < 19 else None
        if rule is None:
            raise Refused(404, "there is no such rule")
        return rule

    def _rest(self, ask: Ask) -> Rule:
        """A rule at rest. Raises 400 for a started one."""
        rule = self._rule(ask)
        if rule.status == "Started":
            raise Refused(400, "the rule is started")
        return rule

    def _next_number(self) -> int:
        return 1 + max((version["rule_id"] for version in self.versions), default=0)

    def _note(self, rule: Rule, what: str) -> None:
        self.versions.append(
            {
                "rule_id": rule.number,
                "user_id": self._tenant.user,
                "status": what,
                "applied_at": version_time(self._clock.utcnow()),
                "version": 1 + sum(version["rule_id"] == rule.number for version in self.versions),
                "metadata": None,
                "routingRules": rule.as_version(),
            }
        )

    # -- reading a rule ------------------------------------------------------------------------------------------------

    def _read(self, given: Item, old: Rule | None = None) -> tuple[Item, Conditions]:
        """Raises 404 for what is missing or not valid, 400 for a name that another rule has."""
        document: Item = {
            "RuleName": _text(given, "RuleName"),
            "RuleDescription": _text(given, "RuleDescription"),
            "parallelismFactor": _parallelism(given.get("parallelismFactor")),
            "input": self._input(given.get("input") or {}),
            "params": given.get("params") or [],
            "output": self._output(given.get("output")),
        }
        conditions = Conditions(document["params"])
        for rule in self.rules.values():
            if rule is not old and rule.document["RuleName"] == document["RuleName"]:
                raise Refused(400, "there is a rule of this name already")
        if document["input"]["type"] == "Direct":
            self.broker.declare_direct(document["input"]["DirectExchange"])
        if document["input"]["type"] == "Queue":
            self.broker.declare(document["input"]["MQName"])
        return document, conditions

    def _input(self, given: object) -> Item:
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise Refused(404, "input is not valid")
        kind = given.get("type") or "Direct"
        key = given.get("RoutingKey") or ""
        if kind == "Direct":
            exchange = given.get("DirectExchange") or DIRECT
            return {
                "type": kind,
                "DirectExchange": exchange,
                "RoutingKey": key or self._tenant.routing_key,
                "MQName": "",
            }
        if kind == "Topic":
            exchange = self._existing(_text(given, "TopicExchange"))
            return {"type": kind, "TopicExchange": exchange, "RoutingKey": _text(given, "RoutingKey"), "MQName": ""}
        if kind == "Queue":
            return {"type": kind, "MQName": _text(given, "MQName")}
        raise Refused(404, "input.type must be Direct, Topic or Queue")

    def _output(self, given: object) -> Item:
        if not isinstance(given, dict):
            raise Refused(404, "output is missing")
        return {"TopicExchange": self._existing(_text(given, "TopicExchange")), "Topic": _text(given, "Topic")}

    def _existing(self, exchange: str) -> str:
        if exchange not in self.broker.topic_exchanges:
            raise Refused(404, f"there is no topic exchange {exchange}")
        return exchange

    # -- books ---------------------------------------------------------------------------------------------------------

    def _overview(self, _: Ask) -> Answer:
        now = Counter(rule.status for rule in self.rules.values())
        return json_answer({state: now[state] for state in _STATES})

    def _statistics(self, ask: Ask) -> Answer:
        numbers = [number for text in ask.params.get("rule_id", ()) for number in text.split(",")]
        rules = list(self.rules.values())
        if numbers:
            by_number = {str(rule.number): rule for rule in rules}
            if unknown := [number for number in numbers if number not in by_number]:
                raise Refused(404, f"there is no rule {unknown[0]}")
            rules = [by_number[number] for number in dict.fromkeys(numbers)]
        return json_answer(_counted(rules, *_window(ask)))

    def _statistics_of(self, ask: Ask) -> Answer:
        rule = self._rule(ask)
        since, until = _window(ask)
        counted = _counted([rule], since, until)
        begun, ended = since or rule.first_start, until or self._clock.utcnow()
        hours = 0.0 if begun is None else (ended - begun).total_seconds() / 3600
        rate = round(counted["MessageCount"] / hours, 4) if hours > 0 else 0.0
        return json_answer({**counted, "AvgHourlyMessageRate": rate})

    def _versions(self, ask: Ask) -> Answer:
        text = ask.param("search_text").lower()
        since, until = _window(ask)
        return json_answer(
            [
                version
                for version in self.versions
                if any(text in version["routingRules"][member].lower() for member in ("RuleName", "RuleDescription"))
                and _is_within(read_time(version["applied_at"]), since, until)
            ]
        )

    def _versions_of(self, ask: Ask) -> Answer:
        return json_answer(self._history(ask))

    def _version(self, ask: Ask) -> Answer:
        for version in self._history(ask):
            if str(version["version"]) == ask.args["version"]:
                return json_answer(version)
        raise Refused(404, "there is no such version")

    def _history(self, ask: Ask) -> list[Item]:
        found = [version for version in self.versions if str(version["rule_id"]) == ask.args["id"]]
        if not found:
            raise Refused(404, "there was no such rule")
        return found

    # -- sending -------------------------------------------------------------------------------------------------------

    def _send(self, ask: Ask) -> Answer:
        kind, name, key = ask.param("type", "direct"), ask.header("DirectExchangeName"), ask.header("RoutingKey")
        body, raw = ask.json(), ask.call.body
        if kind == "direct":
            self.broker.to_direct(name or DIRECT, key or self._tenant.routing_key, body, raw=raw)
        elif kind == "topic":
            if not key:
                raise Refused(400, "RoutingKey must name the topic")
            self.broker.to_topic(name or DIRECT, key, body, raw=raw)
        elif kind == "queue":
            if not name:
                raise Refused(400, "DirectExchangeName must name the queue")
            self.broker.to_queue(name, body, raw=raw)
        else:
            raise Refused(400, "type must be direct, topic or queue")
        return _done("Message sent")


def _done(message: str) -> Answer:
    return json_answer({"code": 200, "message": message})


def _payload(ask: Ask) -> Item:
    """The body. Raises 400 for what is no JSON, 404 for what is no object."""
    value = ask.json()
    if not isinstance(value, dict):
        raise Refused(404, "the payload is not a JSON object")
    return value


def _text(given: Item, member: str) -> str:
    value = given.get(member)
    if not isinstance(value, str) or not value.strip():
        raise Refused(404, f"{member} is missing")
    return value


def _parallelism(value: object) -> int:
    text = str(value) if not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 3 and 1 <= int(text) <= _MOST_PARALLEL):
        raise Refused(404, f"parallelismFactor must be a whole number from 1 to {_MOST_PARALLEL}")
    return int(text)


def _window(ask: Ask) -> tuple[datetime | None, datetime | None]:
    """``start_time`` and ``end_time``. Raises 404 for what is no time."""
    try:
        since, until = (read_time(text) if (text := ask.param(name)) else None for name in ("start_time", "end_time"))
    except ValueError as error:
        raise Refused(404, str(error)) from None
    return since, until


def _is_within(at: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or at >= since) and (until is None or at <= until)


def _counted(rules: Iterable[Rule], since: datetime | None, until: datetime | None) -> dict[str, int]:
    found = [passed for rule in rules for at, passed in rule.passed if _is_within(at, since, until)]
    return {"MessageCount": len(found), "SuccessCount": sum(found), "FailureCount": len(found) - sum(found)}
