"""Each platform: whether its settings fit, its files, and, if it is to be asked, how it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn import AtotiLimits, Datorama, Tcup
from asyncconn.cli.doctor import files
from asyncconn.cli.doctor.asking import Asking, Dates
from asyncconn.cli.doctor.check import Check, failed, off
from asyncconn.cli.doctor.variables import PLATFORMS, names_of
from asyncconn.cli.output import count, plain
from asyncconn.core.retrying import ONCE
from asyncconn.core.supervise import Reconnect
from asyncconn.datorama.settings import DatoramaSettings
from asyncconn.datorama.wire import DAILY, PLATFORM
from asyncconn.errors import AsyncConnError, ConfigError, QuotaExhausted, SubscriptionRefused, TransportError
from asyncconn.panoply import wire
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.settings import load, variable

if TYPE_CHECKING:
    from asyncconn.datorama.allowance import Allowance

__all__ = ["look"]

_LITTLE = 0.1  # of a day's calls
_ONE_TRY = Reconnect(attempts=1, timeout=5.0)
_NOWHERE = "asyncconn-doctor"  # a topic that nobody publishes to
_BROKER = "does a broker listen there, with or without TLS? Check ASYNCCONN_TCUP_MQTT_HOST and ASYNCCONN_TCUP_MQTT_PORT"
_NEITHER = "set what yours needs; without an account: asyncconn sandbox --env-file .env, in another terminal"
_NEEDED = {
    "Panoply": "ASYNCCONN_PANOPLY_API_KEY and ASYNCCONN_PANOPLY_API_SECRET",
    "Datorama": "ASYNCCONN_DATORAMA_TOKEN",
    "Atoti Limits": "ATOTI_BASE_URL and ATOTI_LIMITS_URL, with a user or a token",
    "TCUP": "ASYNCCONN_TCUP_URL and ASYNCCONN_TCUP_API_KEY",
}


async def look(asking: Asking) -> AsyncIterator[Check]:
    """All that are configured."""
    given = {name.upper() for name in asking.names}
    configured = [name for name, kind in PLATFORMS.items() if names_of(kind) & given]
    if not configured:
        yield Check("platforms", "warn", "none is set", _NEITHER)
    for name in PLATFORMS:
        if name not in configured:
            yield off(name, f"not set; it needs {_NEEDED[name]}")
            continue
        async for check in _LOOKS[name](asking):
            yield check


async def _panoply(asking: Asking) -> AsyncIterator[Check]:
    name = "Panoply credentials"
    try:
        settings = load(PanoplySettings)
        credentials = wire.parse_credentials(settings.api_key, settings.api_secret)
    except ConfigError as error:
        yield failed(name, error)
        return
    yield Check(
        name, "ok", f"right in shape, for region {credentials.region}; Panoply has no call that would test them"
    )
    if settings.spool is not None:
        yield await files.spool("Panoply spool", Path(settings.spool), "ASYNCCONN_PANOPLY_SPOOL")
    if asking.roads is not None:
        where = settings.endpoint_url
        named = "ASYNCCONN_PANOPLY_ENDPOINT_URL" if where else "ASYNCCONN_PANOPLY_API_SECRET"
        yield await asking.roads.reach("Panoply connection", where or credentials.endpoint_url, named)


async def _datorama(asking: Asking) -> AsyncIterator[Check]:
    try:
        settings = load(DatoramaSettings)
        datorama = Datorama.from_env(hub=asking.hub, retry=ONCE)
    except ConfigError as error:
        yield failed("Datorama settings", error)
        return
    yield Check("Datorama settings", "ok", count(len(datorama.pool.transports), "token"))
    if settings.quota_file is not None:
        yield (
            kept := await files.quota_file("Datorama quota file", settings.quota_file, "ASYNCCONN_DATORAMA_QUOTA_FILE")
        )
        if kept.state == "fail":
            return
    if asking.roads is None:
        return
    named = "ASYNCCONN_DATORAMA_BASE_URL" if settings.base_url else "ASYNCCONN_DATORAMA_REGION"
    yield (reached := await asking.roads.reach("Datorama connection", datorama.http.base_url, named))
    if reached.state == "fail":
        return
    dates = Dates(asking.hub.clock)
    dates.listen(datorama.http.events)
    for one in await datorama.allowances():
        yield _allowance(one)
    for check in dates.check("Datorama clock"):
        yield check


def _allowance(one: Allowance) -> Check:
    name = f"Datorama token {one.token}"
    if isinstance(one.error, QuotaExhausted):
        return failed(name, one.error, "wait until then, or add a token to ASYNCCONN_DATORAMA_TOKEN")
    if one.error is not None:
        return failed(name, one.error)
    minute, day = one.parts[PLATFORM], one.parts[DAILY]
    left = f"{day.remaining:,} of {day.limit:,} calls left today, {minute.remaining} of {minute.limit} this minute"
    if day.remaining < day.limit * _LITTLE:
        return Check(
            name, "warn", f"accepted; {left}", f"new ones in {day.resets_in / 3600:.1f} h, or by another token"
        )
    return Check(name, "ok", f"accepted; {left}")


_STEPS = {
    "session": "is it running, and is ATOTI_BASE_URL its address?",
    "credential": "check ASYNCCONN_ATOTI_LIMITS_USER and ..._PASSWORD, or ..._TOKEN",
    "cubes": "asyncconn limits check-cube says what Limits needs",
    "Limits server": "is it running, and is ATOTI_LIMITS_URL its address?",
    "known to Limits": "asyncconn limits connect --wait",
    "connected": "asyncconn limits connect --wait",
}


async def _limits(asking: Asking) -> AsyncIterator[Check]:
    try:
        limits = AtotiLimits.from_env(hub=asking.hub, retry=ONCE)
    except ConfigError as error:
        yield failed("Atoti settings", error)
        return
    yield Check("Atoti settings", "ok", "fit")
    if asking.roads is None:
        return
    for name, address, named in (
        ("Atoti session", limits.session_url, "ATOTI_BASE_URL"),
        ("Limits server", limits.limits_url, "ATOTI_LIMITS_URL"),
    ):
        yield await asking.roads.reach(f"{name} connection", address, named)
    dates = Dates(asking.hub.clock)
    dates.listen(limits.http.events, limits.server.events)
    for step in (await limits.status()).steps:
        name = f"Atoti {step.what}"
        if step.ok is None:
            yield off(name)
        elif step.ok:
            yield Check(name, "ok", plain(step.found))
        else:
            state: Any = "warn" if step.what in ("known to Limits", "connected") else "fail"
            yield Check(name, state, plain(step.found), _STEPS[step.what])
    for check in dates.check("Atoti clock"):
        yield check


async def _tcup(asking: Asking) -> AsyncIterator[Check]:
    broker = bool(variable("ASYNCCONN_TCUP_MQTT_HOST"))
    try:
        tcup = Tcup.from_env(hub=asking.hub, retry=ONCE, mqtt={"reconnect": _ONE_TRY} if broker else None)
    except ConfigError as error:
        yield failed("TCUP settings", error)
        return
    yield Check("TCUP settings", "ok", "fit" if broker else "fit; no MQTT broker is set")
    if asking.roads is None:
        return
    yield (reached := await asking.roads.reach("TCUP connection", tcup.http.base_url, "ASYNCCONN_TCUP_URL"))
    if reached.state != "fail":
        dates = Dates(asking.hub.clock)
        dates.listen(tcup.http.events)
        yield await _key(tcup)
        for check in dates.check("TCUP clock"):
            yield check
        yield await _live("TCUP WebSocket", lambda: tcup.stream.subscribe(
            exchange="amq.topic", topic=_NOWHERE, reconnect=_ONE_TRY
        ), "warn")  # fmt: skip
    if broker:
        yield await _live("TCUP broker", lambda: tcup.mqtt.subscribe(_NOWHERE), "fail", _BROKER)


async def _key(tcup: Tcup) -> Check:
    try:
        found = await tcup.capabilities()
    except AsyncConnError as error:
        return failed("TCUP key", error)
    return Check("TCUP key", "ok", f"accepted; {count(len(found.sensor_output or {}), 'sensor')} known")


async def _live(name: str, subscribe: Callable[[], Any], otherwise: Any, unreached: str = "") -> Check:
    """Whether it takes a subscription, to what nobody publishes. ``unreached`` says what to do where nobody answers."""
    try:
        async with subscribe():
            return Check(name, "ok", "connected, and took a subscription")
    except SubscriptionRefused as error:
        return Check(name, "ok", plain(f"connected; what was asked for on trial is not there: {error.message}"))
    except AsyncConnError as error:
        unanswered = isinstance(error, TransportError) and not error.permanent
        return failed(name, error, unreached if unanswered else "", state=otherwise)


_LOOKS = {"Panoply": _panoply, "Datorama": _datorama, "Atoti Limits": _limits, "TCUP": _tcup}
