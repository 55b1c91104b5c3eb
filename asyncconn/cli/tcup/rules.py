"""``asyncconn tcup rules``: what moves messages, and how many it has moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.options import Output, group, json_object
from asyncconn.cli.output import remark
from asyncconn.cli.sheets import Sheet, record
from asyncconn.cli.tcup.common import Where
from asyncconn.tcup.routing_rules import checked_rule

if TYPE_CHECKING:
    from asyncconn import Tcup
    from asyncconn.tcup.routing_models import RoutingRule

__all__ = ["rules"]

_RULE = ("RuleID", "RuleName", "RuleDescription", "Status", "parallelismFactor", "input", "params", "output")

Id = Annotated[int, typer.Argument(metavar="ID", help="As 'list' tells it.")]


def list_(
    where: Where,
    to: Output,
    name: Annotated[str | None, typer.Option("--name", metavar="PATTERN", help="Of this name; * is any text.")] = None,
) -> None:
    """List the rules."""

    async def work(tcup: Tcup) -> list[RoutingRule]:
        return await tcup.routing.rules.list(name=name).collect()

    rows = [record(one, _RULE) for one in where.run(work)]
    shown = {"id": "RuleID", "name": "RuleName", "status": "Status", "description": "RuleDescription", "to": "output"}
    to.put(Sheet("rule", _RULE, rows, shown))


def create(
    where: Where,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A rule as JSON, or - for standard input.")],
    start: Annotated[bool, typer.Option("--start", help="And start it.")] = False,
) -> None:
    """Make a rule of a document as the platform spells it, which is checked first; it prints the rule's id.

    The topic exchange that it sends to is made where there is none.
    """
    document = checked_rule(json_object(file))

    async def work(tcup: Tcup) -> int | None:
        routing, wanted = tcup.routing, document["output"]["TopicExchange"]
        if wanted not in [one.exchange_name async for one in routing.exchanges.list()]:
            await routing.exchanges.create(wanted)
        made = await routing.rules.create(document)
        if start and made.id is not None:
            await routing.rules.start(made.id)
        return made.id

    print(where.run(work))


def start(where: Where, rule: Id) -> None:
    """Let a rule move messages."""
    where.run(lambda tcup: tcup.routing.rules.start(rule))
    remark(f"rule {rule} is started", result=True)


def stop(where: Where, rule: Id) -> None:
    """Let a rule move nothing any more."""
    where.run(lambda tcup: tcup.routing.rules.stop(rule))
    remark(f"rule {rule} is stopped", result=True)


def delete(where: Where, rule: Id) -> None:
    """Delete a rule that is not started."""
    where.run(lambda tcup: tcup.routing.rules.delete(rule))
    remark(f"rule {rule} is deleted", result=True)


def statistics(
    where: Where,
    to: Output,
    chosen: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Of these; none: of all.")] = None,
) -> None:
    """Show how many messages reached each rule, and how many it let pass."""

    async def work(tcup: Tcup) -> list[list[Any]]:
        rows, every = [], tcup.routing.rules
        found = [await every.get(one) for one in chosen] if chosen else await every.list().collect()
        for rule in found:
            told = await every.statistics_of(rule.id or 0)
            rows.append([rule.id, rule.rule_name, told.message_count, told.success_count])
        return rows

    to.put(Sheet("rule", ("id", "name", "messages", "passed"), where.run(work)))


rules = group("Message routing: rules that move messages.", list_, create, start, stop, delete, statistics)
