"""No line of any logger, down to DEBUG, has a credential, whatever goes wrong on whichever platform."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from secrecy import assert_silent, everything_logged

from asyncconn import AtotiLimits, Connector, Datorama, Hub, OAuth2, Panoply, Platform, Tcup, Window
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.supervise import Reconnect
from asyncconn.errors import AsyncConnError
from asyncconn.sandbox import Fault, Sandbox, StreamFault

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = RetryPolicy(attempts=2, initial=0.01, maximum=0.01, deadline=2.0)
SOON = Reconnect(initial=0.01, maximum=0.01, attempts=3)
WRONG = "made-up/wrong+credential-0123456789"
PASSWORD = "made-up/proxy+password"


def forms_of(*secrets: str) -> set[str]:
    """Each in any spelling, and a good part of it from either end."""
    found: set[str] = set()
    for secret in secrets:
        found |= {secret, quote(secret), quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}
        found |= {secret[:12], secret[-12:]}
    return found


FAULTS: dict[str, Callable[[], Fault]] = {
    "nothing": lambda: Fault("delay", seconds=0.001),
    "refused": lambda: Fault("status", status=401, times=20),
    "too many": lambda: Fault("status", status=429, retry_after=0.01, times=20),
    "broken": lambda: Fault("status", status=503, times=20),
    "lost": lambda: Fault("drop_after", times=20),
    "half": lambda: Fault("half_body", times=20),
    "rubbish": lambda: Fault("malformed", times=20),
}


class Signed(Connector):
    """Has its token from an address that asks for a secret."""

    platform = Platform("signed", rates=Window(1, 6.0))


async def attempted(*calls: Any) -> None:
    """All at once; what they raise is no matter here."""
    with suppress(TimeoutError):
        async with asyncio.timeout(8.0):
            await asyncio.gather(*calls, return_exceptions=True)


async def listened(subscription: Any) -> None:
    async with subscription as messages:
        async for _ in messages:
            return


async def worked(hub: Hub, sandbox: Sandbox, **wrong: str) -> None:
    """A little of everything that has a credential; ``wrong`` ones instead of the right."""
    env = {**sandbox.env, **wrong}
    panoply = Panoply.from_env(hub=hub, retry=QUICK)
    panoply.on("error", lambda failure: None)
    datorama = Datorama(env["ASYNCCONN_DATORAMA_TOKEN"], hub=hub, base_url=sandbox.url, retry=QUICK)
    limits = AtotiLimits.from_env(hub=hub, retry=QUICK)
    mqtt = {
        "host": env["ASYNCCONN_TCUP_MQTT_HOST"],
        "port": int(env["ASYNCCONN_TCUP_MQTT_PORT"]),
        "tls": False,
        "username": env["ASYNCCONN_TCUP_MQTT_USERNAME"],
        "password": env["ASYNCCONN_TCUP_MQTT_PASSWORD"],
        "reconnect": SOON,
    }
    tcup = Tcup(sandbox.url, env["ASYNCCONN_TCUP_API_KEY"], hub=hub, mqtt=mqtt, retry=QUICK)
    auth = OAuth2(f"{sandbox.url}/token", "client", WRONG)
    signed = Signed(hub=hub, base_url=sandbox.url, auth=auth, retry=QUICK)
    await panoply.write("events", {"id": 1})
    await attempted(
        panoply.flush(1.0),
        datorama.workspaces.list().collect(),
        limits.connected(),
        tcup.capabilities(),
        tcup.observations.insert("ts1", {"obs1": 1}, "tf1"),
        tcup.mqtt.publish("amq.topic", {"n": 1}, timeout=1.0),
        listened(tcup.mqtt.subscribe("amq.topic")),
        listened(tcup.stream.subscribe(exchange="ex1", topic="test", reconnect=SOON)),
        listened(tcup.stream.events(exchange="ex1", topic="test", reconnect=SOON)),
        signed.http.request("GET", "/nothing"),
    )


@pytest.mark.slow(60)
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_line_has_a_credential(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.get_running_loop().set_debug(True)
    with everything_logged() as written:
        async with Sandbox(seed=1) as sandbox:
            for name, value in sandbox.env.items():
                monkeypatch.setenv(name, value)
            sandbox.tcup.mr.broker.create("ex1")
            sandbox.faults.add(FAULTS[fault]())
            sandbox.tcup.streams.faults.add(StreamFault("kill", after=1, times=2))
            with suppress(AsyncConnError):
                async with Hub(on_undelivered="log") as hub:
                    await worked(hub, sandbox)
                    await worked(
                        hub,
                        sandbox,
                        ASYNCCONN_DATORAMA_TOKEN=WRONG,
                        ASYNCCONN_TCUP_API_KEY=WRONG,
                        ASYNCCONN_TCUP_MQTT_PASSWORD=WRONG,
                    )
            names = ("DATORAMA_TOKEN", "TCUP_API_KEY", "TCUP_MQTT_PASSWORD", "PANOPLY_API_KEY", "PANOPLY_API_SECRET")
            secrets = [sandbox.env[f"ASYNCCONN_{name}"] for name in names]

    assert "asyncconn.http DEBUG" in written.getvalue()
    assert_silent(written.getvalue(), forms_of(WRONG, *secrets), fault)


async def test_neither_has_a_proxys_password() -> None:
    with everything_logged() as written:
        async with Hub(proxy=f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:1") as hub:
            connector = Signed(hub=hub, base_url="http://10.0.0.1", retry=QUICK)
            with pytest.raises(AsyncConnError):
                await connector.http.request("GET", "/")
        logging.getLogger("asyncconn.test").debug("looked at")

    assert_silent(written.getvalue(), forms_of(PASSWORD), "proxy")
