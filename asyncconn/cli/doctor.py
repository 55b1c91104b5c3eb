"""``asyncconn doctor``: what a program that uses asyncconn needs, checked one by one."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import sys
from dataclasses import dataclass, fields
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from dotenv import dotenv_values
from rich.text import Text
from yarl import URL

from asyncconn import Hub, Panoply, __version__
from asyncconn.atoti_limits.settings import AtotiLimitsSettings
from asyncconn.cli.options import Output
from asyncconn.cli.output import console, table, unset
from asyncconn.cli.sheets import Sheet
from asyncconn.datorama.settings import DatoramaSettings
from asyncconn.errors import AsyncConnError, ConfigError
from asyncconn.http.session import Network, ProxyRule
from asyncconn.panoply import wire
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.sandbox import PanoplyWorld, Sandbox
from asyncconn.settings import HubSettings, load
from asyncconn.tcup.settings import TcupSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_settings import BaseSettings

__all__ = ["doctor"]

_NEEDED = ("aiohttp", "anyio", "orjson", "pydantic", "pydantic-settings", "python-dotenv", "tenacity")
_EXTRAS = {
    "sqs": "aiobotocore",
    "pandas": "pandas",
    "parquet": "pyarrow",
    "jwt": "PyJWT",
    "fastapi": "fastapi",
    "tcup": "cronsim",
    "redis": "redis",
}
_SETTINGS: tuple[type[BaseSettings], ...] = (PanoplySettings, DatoramaSettings, AtotiLimitsSettings, TcupSettings)
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_CONNECT_SECONDS = 5.0
_STORE = "ASYNCCONN_REDIS_URL"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``advice`` says what to do when it is not ok."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def doctor(
    to: Output,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also try to reach Panoply's address (DNS and TCP; nothing is sent).")
    ] = False,
) -> None:
    """Check this machine: Python, libraries, settings, and a record through an embedded sandbox.

    Shows no value of any setting. Ends with 1 if something does not work.
    """
    checks = [*_installation(), *_environment(), *_panoply()]
    checks += asyncio.run(_alive(connect))
    failed = sum(check.state == "fail" for check in checks)
    if to.shown:
        _show(checks, failed)
    else:
        rows = [(one.state, one.name, one.found, "" if one.state == "ok" else one.advice) for one in checks]
        to.put(Sheet("check", ("state", "what", "found", "advice"), rows))
    raise typer.Exit(1 if failed else 0)


def _show(checks: list[Check], failed: int) -> None:
    rows = [(Text(check.state, _STYLES[check.state]), check.name, check.found) for check in checks]
    out = console()
    out.print(table(f"asyncconn {__version__}", ("", "what", "found"), rows))
    advised = [check for check in checks if check.state != "ok"]
    if advised:
        out.print()
    for check in advised:
        out.print(Text.assemble((check.state, _STYLES[check.state]), f"  {check.name}: {check.advice}"))
    out.print()
    out.print(f"{failed} of {len(checks)} checks failed." if failed else "Everything needed is here and works.")


# -- what is installed -------------------------------------------------------------------------------------------------


def _installation() -> Iterator[Check]:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    name = f"{platform.python_implementation()} {version}"
    yield Check("Python", "ok" if good else "fail", name, "asyncconn needs Python 3.11 or newer")
    least = _least_versions()
    for package in _NEEDED:
        yield _package(package, least.get(package.lower()), "fail", f"pip install --upgrade {package}")
    for extra, package in _EXTRAS.items():
        advice = f"only if you use it: pip install 'asyncconn[{extra}]'"
        yield _package(package, least.get(package.lower()), "warn", advice)


def _package(name: str, least: str | None, otherwise: Literal["warn", "fail"], advice: str) -> Check:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, otherwise, "not installed", advice)
    if least and _numbers(version) < _numbers(least):
        return Check(name, otherwise, f"{version}, too old: {least} or newer is needed", advice)
    return Check(name, "ok", version)


def _least_versions() -> dict[str, str]:
    """By package, from our own metadata; nothing when we run from a checkout."""
    try:
        required = metadata.requires("asyncconn") or []
    except metadata.PackageNotFoundError:
        return {}
    found = [re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*>=\s*([\d.]+)", line) for line in required]
    return {match[1].lower(): match[2] for match in found if match}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


# -- what is set -------------------------------------------------------------------------------------------------------


def _names() -> list[str]:
    """Settings of ours that are there, in the environment or in ``.env``; names only."""
    given = {**os.environ, **dotenv_values(".env")}
    return sorted(name.upper() for name in given if name.upper().startswith("ASYNCCONN_"))


def _environment() -> Iterator[Check]:
    known = {f"ASYNCCONN_{field.name}".upper() for field in fields(HubSettings)} | {
        f"{kind.model_config.get('env_prefix', '')}{name}".upper() for kind in _SETTINGS for name in kind.model_fields
    }
    known.add(_STORE)
    names = _names()
    # Those of sources are named by each source, which is not asked here.
    unknown = [name for name in names if name not in known and not name.startswith("ASYNCCONN_SOURCE_")]
    yield Check("settings", "ok", ", ".join(name for name in names if name in known) or "none: all as by default")
    if unknown:
        advice = f"nothing reads these: misspelt? There are {', '.join(sorted(known))}"
        yield Check("unknown settings", "warn", ", ".join(unknown), advice)
    yield _fits("hub settings", HubSettings)


def _fits(name: str, kind: type[Any]) -> Check:
    try:
        load(kind)
    except ConfigError as error:
        return Check(name, "fail", "do not fit", error.message)
    return Check(name, "ok", "fit")


def _panoply() -> Iterator[Check]:
    name = "Panoply credentials"
    if not any(setting.startswith("ASYNCCONN_PANOPLY_API_") for setting in _names()):
        advice = unset(("ASYNCCONN_PANOPLY_API_KEY", "ASYNCCONN_PANOPLY_API_SECRET"))
        yield Check(name, "warn", "not set", advice)
        return
    try:
        settings = load(PanoplySettings)
        credentials = wire.parse_credentials(settings.api_key, settings.api_secret)
    except ConfigError as error:
        yield Check(name, "fail", "cannot work", error.message)
        return
    yield Check(name, "ok", f"right in shape, for region {credentials.region}; whether they are valid was not asked")


# -- what works --------------------------------------------------------------------------------------------------------


async def _alive(connect: bool) -> list[Check]:
    loop = asyncio.get_running_loop()
    checks = [Check("event loop", "ok", type(loop).__name__.strip("_"))]
    checks.append(await _round_trip("form"))
    if find_spec("aiobotocore") is not None:
        checks.append(await _round_trip("sqs"))
    if _STORE in _names() and find_spec("redis") is not None:
        checks.append(await _store())
    if connect:
        checks.append(await _reach())
    return checks


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
        return Check(name, "fail", "cannot work", error.message)
    except AsyncConnError as error:
        return Check(name, "fail", "no answer", f"{error.message}: does it run, and is {_STORE} its address?")
    return Check(name, "ok", f"{rates} answers, and forgets nothing by itself; limits in use: {len(found)}")


async def _reach() -> Check:
    name = "Panoply's address"
    try:
        settings = load(PanoplySettings)
        credentials = wire.parse_credentials(settings.api_key, settings.api_secret)
    except ConfigError:
        return Check(name, "warn", "not known without credentials", "set them, then try again")
    url = URL(settings.endpoint_url or credentials.endpoint_url)
    if not url.host or not url.port:
        return Check(name, "fail", "not a URL", "correct ASYNCCONN_PANOPLY_ENDPOINT_URL: https://host[:port]")
    try:
        proxy = ProxyRule.of(Network.of(load(HubSettings))).proxy(url)
    except ConfigError as error:
        return Check(name, "fail", error.message, "correct the setting")
    if proxy is not None:
        name, url = "the proxy to Panoply's address", proxy.url
    where: dict[str, Any] = {"host": url.host, "port": url.port}
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(**where)
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer within {_CONNECT_SECONDS:g} s"
        return Check(name, "fail", f"{url.host}:{url.port}: {why}", "check the network, DNS and firewall")
    writer.close()
    return Check(name, "ok", f"{url.host}:{url.port} takes connections")
