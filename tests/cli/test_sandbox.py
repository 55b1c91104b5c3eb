"""One ``asyncconn sandbox`` serves all platforms to programs that read its settings."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import aiohttp
import pytest

from asyncconn import AtotiLimits, Datorama, Hub, Panoply, Tcup

from .commands import ended, started

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow(120)
async def test_one_command_serves_all_platforms_streams_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with started(tmp_path, "sandbox", "--env-file", ".env", "--seed", "3") as sandbox:
        assert sandbox.stdout is not None
        shown = await sandbox.stdout.readuntil(b"\n\n")
        async with Hub() as hub:
            panoply, datorama = Panoply.from_env(hub=hub), Datorama.from_env(hub=hub)
            tcup, limits = Tcup.from_env(hub=hub), AtotiLimits.from_env(hub=hub)
            await panoply.write("events", {"id": 1})
            assert len(await datorama.workspaces.list().collect()) == 2
            await limits.wait_connected()
            async with (
                tcup.mqtt.subscribe("plant/1", client_id="c1") as by_mqtt,
                tcup.stream.subscribe(exchange="amq.topic", topic="plant.1") as by_websocket,
                tcup.stream.events(exchange="amq.topic", topic="plant.1") as by_events,
            ):
                hearing = [asyncio.ensure_future(anext(one)) for one in (by_mqtt, by_websocket, by_events)]
                while not all(future.done() for future in hearing):
                    await tcup.mqtt.publish("plant/1", {"n": 1})
                    await asyncio.sleep(0.05)  # until the last of them is there to hear it
                assert [(await future).json for future in hearing] == [{"n": 1}] * 3
        async with (
            aiohttp.ClientSession() as http,
            http.get(shown.partition(b"\n")[0].split()[-1].decode(), headers={"Accept": "text/html"}) as page,
        ):
            assert "<title>asyncconn sandbox</title>" in await page.text()
        sandbox.send_signal(signal.SIGTERM)
        end = await ended(sandbox)
    assert (end.status, end.err) == (0, "")
    for words in ("events", "calls of Datorama", "calls of TCUP", "calls of Atoti Limits", "by MQTT and WebSocket"):
        assert words in end.out
