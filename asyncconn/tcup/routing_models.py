"""What message routing tells of exchanges, rules and what went through them. Contract: tcup sections 3.2, 3.3, 13."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from asyncconn.http.models import Int, Number, Text, leniently
from asyncconn.tcup.models import Model, Moment

__all__ = ["Exchange", "Overview", "RoutingRule", "RuleVersion", "Statistics"]

Object = Annotated[dict[str, Any] | None, leniently]


class Exchange(Model):
    """A topic exchange."""

    exchange_name: str
    type: Text = None


def _pascal(name: str) -> str:
    """As rules spell most of their members: ``RuleName``."""
    return "".join(word.capitalize() for word in name.split("_"))


class RoutingRule(Model):
    """A rule: what it takes (``input``), what it lets pass (``params``), where that goes (``output``).

    ``status`` is ``Created``, ``Started`` or ``Stopped``: only a started one moves messages.
    """

    model_config = ConfigDict(alias_generator=_pascal)

    rule_id: Annotated[int | None, Field(alias="RuleID")] = None
    rule_name: Text = None
    rule_description: Text = None
    status: Text = None
    parallelism_factor: Annotated[Int, Field(alias="parallelismFactor")] = None
    input: Annotated[Object, Field(alias="input")] = None
    params: Annotated[list[Any] | None, leniently, Field(alias="params")] = None
    output: Annotated[Object, Field(alias="output")] = None

    @property
    def id(self) -> int | None:
        """What every other call knows it by."""
        return self.rule_id


class Overview(Model):
    """How many rules are in each state."""

    model_config = ConfigDict(alias_generator=_pascal)

    created: int = 0
    started: int = 0
    stopped: int = 0


class Statistics(Model):
    """How many messages reached rules, and how many of them passed (``success_count``) or did not.

    ``avg_hourly_message_rate`` is told of one rule only.
    """

    model_config = ConfigDict(alias_generator=_pascal)

    message_count: int = 0
    success_count: int = 0
    failure_count: int = 0
    avg_hourly_message_rate: Number = None


class RuleVersion(Model):
    """A rule as it was: ``status`` is what made it so, ``CREATED``, ``UPDATED`` or ``DELETED``."""

    model_config = ConfigDict(alias_generator=lambda name: name)

    rule_id: Int = None
    user_id: Text = None
    status: Text = None
    applied_at: Moment = None
    version: Int = None
    metadata: Any = None
    rule: Annotated[RoutingRule | None, leniently, Field(alias="routingRules")] = None
