"""Message routing: exchanges, rules that move messages, and messages that are sent. Contract: tcup sections 3, 13."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError, NotFound, ProtocolError
from asyncconn.http.routes import number
from asyncconn.tcup import fields
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.documents import json_text
from asyncconn.tcup.listing import Listing
from asyncconn.tcup.routing_models import Exchange, Overview, RoutingRule, RuleVersion, Statistics
from asyncconn.tcup.routing_rules import checked_rule
from asyncconn.tcup.times import VERSIONS

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from asyncconn.tcup.calling import Service

__all__ = ["Exchanges", "Routing", "Rules"]


class Exchanges(Noun):
    """Topic exchanges, which rules send to. Their names are the tenant's own."""

    async def create(self, name: str) -> None:
        """Make one. Raises ``BadRequest`` for a name that there is already."""
        await self._caller.request(
            "exchanges.create", json={"exchangeName": fields.name(name, "exchange"), "type": "topic"}
        )

    def list(self) -> Listing[Exchange]:
        """All of them."""
        return self._listing(Exchange, "exchanges.list")

    async def topics(self, name: str) -> builtins.list[str]:
        """The topics on one."""
        return _texts(await self._json("exchanges.topics", ids={"name": name}))

    async def delete(self, name: str) -> None:
        """Delete one. Raises ``BadRequest`` for one that a rule sends to."""
        await self._gone("exchanges.delete", ids={"name": name})


class Rules(Noun):
    """Rules: each takes messages of an exchange, topic or queue, and lets those pass that fulfil its conditions.

        >>> warm = routing_rule("warm", "over 30", direct=key, where=[Condition("obs2", ">", 30)], to=("ex1", "test"))
        >>> rule = await tcup.routing.rules.create(warm)
        >>> await tcup.routing.rules.start(rule.id)

    A document is made by :func:`asyncconn.tcup.routing_rule`, or is a mapping spelled as the platform spells it; either
    way it is checked before it is sent (``ConfigError``). A 404 of this service may as well mean that a document is
    invalid: ``DocumentRefused``.
    """

    def __init__(self, service: Service, default_timezone: str | None = None) -> None:
        super().__init__(service)
        self._default_timezone = default_timezone

    async def create(self, document: Mapping[str, Any]) -> RoutingRule:
        """Make a rule; it moves nothing until it is started. Raises ``BadRequest`` for a name that there is already."""
        return await self._one(RoutingRule, "rules.create", json=checked_rule(document))

    def list(self, *, name: str | None = None, description: str | None = None) -> Listing[RoutingRule]:
        """All rules, or those of a name or description: exactly that, or a pattern with ``*``."""
        params = {"RuleName": name, "RuleDescription": description}
        return self._listing(RoutingRule, "rules.list", params=params)

    async def get(self, rule_id: int) -> RoutingRule:
        """One rule. Raises ``NotFound``."""
        return await self._one(RoutingRule, "rules.get", ids={"id": number(rule_id, "rule_id")})

    async def update(self, rule_id: int, document: Mapping[str, Any]) -> RoutingRule:
        """Replace a rule that is not started: ``BadRequest`` for one that is."""
        ids = {"id": number(rule_id, "rule_id")}
        return await self._one(RoutingRule, "rules.update", ids=ids, json=checked_rule(document))

    async def delete(self, rule_id: int) -> None:
        """Delete a rule that is not started: ``BadRequest`` for one that is."""
        await self._gone("rules.delete", ids={"id": number(rule_id, "rule_id")})

    async def start(self, rule_id: int) -> None:
        """Let it move messages. Raises ``BadRequest`` for one that does already."""
        await self._caller.request("rules.start", ids={"id": number(rule_id, "rule_id")})

    async def stop(self, rule_id: int) -> None:
        """Let it move nothing any more. Raises ``BadRequest`` for one that is not started."""
        await self._caller.request("rules.stop", ids={"id": number(rule_id, "rule_id")})

    async def keys(self) -> builtins.list[str]:
        """The routing keys in use."""
        return _texts(await self._json("rules.keys"))

    async def overview(self) -> Overview:
        """How many rules are in each state."""
        try:
            return await self._one(Overview, "rules.overview")
        except NotFound:  # of the vendor's pages, one spells it in another way
            return await self._one(Overview, "rules.overview_misspelt")

    async def statistics(
        self, rule_ids: Iterable[int] = (), *, since: datetime | None = None, until: datetime | None = None
    ) -> Statistics:
        """What went through some rules together, or through all: from their first start, and until now, by default."""
        every = ",".join(str(number(rule, "rule_id")) for rule in rule_ids)
        params = {"rule_id": every or None, **self._span(since, until)}
        return await self._one(Statistics, "rules.statistics", params=params)

    async def statistics_of(self, rule_id: int) -> Statistics:
        """What went through one rule since its first start, and the average an hour."""
        return await self._one(Statistics, "rules.statistics_of", ids={"id": number(rule_id, "rule_id")})

    def versions(
        self,
        rule_id: int | None = None,
        *,
        text: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Listing[RuleVersion]:
        """What rules have been: of one rule, or of all, found by a ``text`` in them and a span of time."""
        if rule_id is None:
            params = {"search_text": text, **self._span(since, until)}
            return self._listing(RuleVersion, "rules.versions", params=params)
        if text is not None or since is not None or until is not None:
            raise ConfigError("the versions of one rule are all of them: without text, since and until")
        ids = {"id": number(rule_id, "rule_id")}
        return self._listing(RuleVersion, "rules.versions_of", ids=ids)

    async def version(self, rule_id: int, version: int) -> RuleVersion:
        """A rule as it was. Raises ``NotFound``."""
        ids = {"id": number(rule_id, "rule_id"), "version": number(version, "version")}
        return await self._one(RuleVersion, "rules.version", ids=ids)

    def _span(self, since: datetime | None, until: datetime | None) -> dict[str, str | None]:
        return {"start_time": self._moment(since, "since"), "end_time": self._moment(until, "until")}

    def _moment(self, when: datetime | None, what: str) -> str | None:
        try:
            return None if when is None else VERSIONS.write(when, default_zone=self._default_timezone)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{what}: {error}") from error


class Routing(Noun):
    """Send messages, and say by rules where they go.

    >>> await tcup.routing.send(payload("ts1", {"obs1": "test_1", "obs2": 1}, "tf1"))

    ``exchanges`` and ``rules`` are nouns of their own.
    """

    def __init__(
        self,
        service: Service,
        *,
        direct_exchange: str = "Direct.Exchange",
        routing_key: str | None = None,
        default_timezone: str | None = None,
    ) -> None:
        super().__init__(service)
        self._exchange = fields.name(direct_exchange, "direct_exchange")
        self._key = None if routing_key in (None, "") else fields.name(routing_key, "routing_key")
        self.exchanges = Exchanges(service)
        self.rules = Rules(service, default_timezone)

    async def send(
        self,
        document: Any,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        duplicates: bool = False,
    ) -> None:
        """Send JSON to a direct exchange: by default that of the client, with its routing key.

        ``document`` is what JSON can hold, or a text or bytes that are JSON already and go as they are. Rules read one
        such as :func:`asyncconn.tcup.payload` makes, or one with several observations. Without a key the server takes
        the tenant's own, which is where SOS sends what it stores. When the outcome is unknown it is sent again only
        where ``duplicates`` are harmless.

        Raises ``ConfigError`` for what is no JSON, ``DocumentRefused`` for an exchange that there is not.
        """
        to = fields.name(self._exchange if exchange is None else exchange, "exchange")
        key = (self._key if routing_key is None else routing_key) or ""
        await self._send("direct", document, to, key, duplicates=duplicates)

    async def send_topic(self, document: Any, *, exchange: str, topic: str, duplicates: bool = False) -> None:
        """Send JSON to a topic of a topic exchange."""
        to, key = fields.name(exchange, "exchange"), fields.name(topic, "topic")
        await self._send("topic", document, to, key, duplicates=duplicates)

    async def send_queue(self, document: Any, *, queue: str, duplicates: bool = False) -> None:
        """Send JSON to a queue."""
        await self._send("queue", document, fields.name(queue, "queue"), "", duplicates=duplicates)

    async def _send(self, kind: str, document: Any, to: str, key: str, *, duplicates: bool) -> None:
        headers = {"DirectExchangeName": to, "RoutingKey": key, "Content-Type": "application/json"}
        await self._caller.request(
            "routing.send", params={"type": kind}, data=json_text(document), headers=headers, idempotent=duplicates
        )


def _texts(found: Any) -> builtins.list[str]:
    if not isinstance(found, list):
        raise ProtocolError(f"tcup: an answer is {type(found).__name__} where a list of names was to be")
    return [str(one) for one in found]
