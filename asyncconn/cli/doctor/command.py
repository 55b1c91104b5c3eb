"""The command: machine, settings, network, platforms; then what to do."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from typing import Annotated, Literal

import typer
from rich.text import Text

from asyncconn import Hub, Panoply, __version__
from asyncconn.cli.doctor.asking import Asking
from asyncconn.cli.doctor.check import Check, failed
from asyncconn.cli.doctor.machine import installed
from asyncconn.cli.doctor.network import surroundings
from asyncconn.cli.doctor.platforms import look
from asyncconn.cli.doctor.variables import STORE, readable, settings, wanted
from asyncconn.cli.options import Output
from asyncconn.cli.output import console, count, table
from asyncconn.cli.sheets import Sheet
from asyncconn.errors import AsyncConnError, ConfigError
from asyncconn.sandbox import PanoplyWorld, Sandbox
from asyncconn.settings import HubSettings

__all__ = ["doctor", "examined"]

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "off": "dim"}
_UNASKED = "No platform was asked: --connect does that, by calls that change nothing."


def doctor(
    to: Output,
    connect: Annotated[
        bool,
        typer.Option(
            "--connect", help="Ask the platforms that are set, too: addresses, credentials, quotas; nothing is changed."
        ),
    ] = False,
) -> None:
    """Check this machine: Python, libraries, settings, and a record through an embedded sandbox.

    With --connect also each platform that is set: DNS, proxy, connection and TLS; the credential, where a harmless call
    tells; what is left of the quota; clocks; the broker. Shows no credential. Ends with 1 if something does not work.
    """
    checks = asyncio.run(examined(connect))
    bad = sum(check.state == "fail" for check in checks)
    if to.shown:
        _show(checks, bad, asked=connect)
    else:
        rows = [(one.state, one.name, one.found, one.advice if one.state in ("warn", "fail") else "") for one in checks]
        to.put(Sheet("check", ("state", "what", "found", "advice"), rows))
    raise typer.Exit(1 if bad else 0)


def _show(checks: list[Check], bad: int, *, asked: bool) -> None:
    out = console()
    rows = [
        (Text("-" if check.state == "off" else check.state, _STYLES[check.state]), check.name, check.found)
        for check in checks
    ]
    out.print(table(f"asyncconn {__version__}", ("", "what", "found"), rows))
    advised = [check for check in checks if check.state in ("warn", "fail")]
    if advised:
        out.print()
    for check in advised:
        out.print(Text.assemble((check.state, _STYLES[check.state]), f"  {check.name}: {check.advice}"))
    out.print()
    out.print(f"{bad} of {count(len(checks), 'check')} failed." if bad else "Everything needed is here and works.")
    if not asked:
        out.print(_UNASKED)


async def examined(connect: bool) -> list[Check]:
    """Everything, in the order in which it is shown; the platforms are asked with ``connect``."""
    names, unreadable = readable()
    if unreadable is not None:  # then nothing else can be known
        return [*installed({}), unreadable]
    needed = wanted(names)
    checks = [*installed(needed), Check("event loop", "ok", type(asyncio.get_running_loop()).__name__.strip("_"))]
    checks.append(await _round_trip("form"))
    if needed.get("aiobotocore") and find_spec("aiobotocore") is not None:
        checks.append(await _round_trip("sqs"))
    checks += settings(names)
    roads, said = surroundings()
    checks += said
    if STORE in names and find_spec("redis") is not None:
        checks.append(await _store())
    # Where the hub's own settings cannot work, those of the platforms can still be told.
    async with Hub(settings=HubSettings.defaults() if roads is None else None) as hub:
        checks += [check async for check in look(Asking(names, hub, roads if connect else None))]
    return checks


# -- what works here ---------------------------------------------------------------------------------------------------


async def _round_trip(sender: Literal["form", "sqs"]) -> Check:
    name = f"{sender} sender"
    record = {"id": sender, "text": "naïve €", "number": 1.5}
    advice = "is something in the way of connections to 127.0.0.1, such as a firewall?"
    try:
        async with Sandbox(PanoplyWorld()) as sandbox, Hub(settings=HubSettings.defaults(), proxy="") as hub:
            there = sandbox.panoply
            panoply = Panoply(there.api_key, there.api_secret, hub=hub, endpoint_url=there.url, sender=sender)
            await panoply.write("doctor", record)
            report = await panoply.flush(10.0)
            landed = there.sql("select id, text, number from doctor") if report.delivered else []
    except (AsyncConnError, OSError) as error:
        return Check(name, "fail", f"{type(error).__name__}: {error}", advice)
    if landed != [record]:
        why = str(report.failures[0].__cause__) if report.failures else f"it landed as {json.dumps(landed)}"
        return Check(name, "fail", f"the record did not arrive: {why}", advice)
    return Check(name, "ok", f"a record landed in the sandbox as it was sent, {report.seconds * 1000:.0f} ms")


async def _store() -> Check:
    from asyncconn.integrations.redis import RedisRates

    name = "shared rates"
    try:
        async with RedisRates.from_env() as rates:
            found = await rates.show()
    except ConfigError as error:
        return failed(name, error)
    except AsyncConnError as error:
        return failed(name, error, f"does the server run, and is {STORE} its address?")
    return Check(name, "ok", f"{rates} answers, and forgets nothing by itself; limits in use: {len(found)}")
