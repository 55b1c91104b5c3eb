"""Tries each feature that an extra brings, and prints what became of it. Run where no extra is installed."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import pkgutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncconn
import asyncconn.integrations
from asyncconn import Datorama, Hub, JsonLines, Panoply, Parquet, Tcup, collect, progress, read_rows, save_rows
from asyncconn.cli.drawing import drawn
from asyncconn.panoply import open_tunnel
from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_BROKER = {"host": "127.0.0.1"}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def _rows(file: Path) -> None:
    file.write_bytes(b"PAR1")
    async for _ in read_rows(file):
        pass


async def _rows_of(hub: Hub, partition: int) -> AsyncIterator[dict[str, int]]:
    yield {"id": partition}


async def _tunnel() -> None:
    login = {"active": True, "host": "127.0.0.1", "port": 22, "username": "me", "privateKey": "none"}
    async with open_tunnel("127.0.0.1", 1, login):
        pass


async def _entered(block: Any) -> None:
    async with block:
        pass


def _features(hub: Hub, sandbox: Sandbox, folder: Path) -> dict[str, Callable[[], Any]]:
    key, secret = sandbox.panoply.api_key, sandbox.panoply.api_secret
    tcup = Tcup(sandbox.tcup.url, sandbox.tcup.api_key, hub=hub, mqtt=_BROKER)
    datorama = Datorama(sandbox.datorama.token, base_url=sandbox.url, hub=hub)
    made: dict[str, Callable[[], Any]] = {
        "sqs sender": lambda: Panoply(key, secret, sender="sqs", hub=hub),
        "streams as a frame": lambda: _bulk_frame(datorama),
        "observations as a frame": lambda: tcup.observations.query(sensor="none").frame(),
        "read Parquet": lambda: _rows(folder / "in.parquet"),
        "save Parquet": lambda: save_rows(folder / "out.parquet", [{"id": 1}]),
        "collect into Parquet": lambda: Parquet(folder / "parquet"),
        "tokens": lambda: Tcup(sandbox.tcup.url, "key", auth_mode="jwt", symmetric_key="k" * 32, hub=hub),
        "ssh tunnel": _tunnel,
        "cron": lambda: tcup.tasks.recurrent(project="p", job="j", pattern="expression", cron="0 4 * * *"),
        "publish over MQTT": lambda: tcup.mqtt.publish("topic", {}),
        "subscribe over MQTT": lambda: _entered(tcup.mqtt.subscribe("topic")),
        "subscribe over WebSocket": lambda: _entered(tcup.stream.subscribe(exchange="amq.topic")),
        "publish over WebSocket": lambda: _entered(tcup.stream.publisher(exchange="amq.topic")),
        "progress on a terminal": lambda: _entered(progress(hub, to=_Terminal())),
        "figures": lambda: drawn(print, "a figure"),
        "collect over a cluster": lambda: collect(
            [1], _rows_of, into=JsonLines(folder / "rows"), client=object()  # type: ignore[arg-type] # no library, no client
        ),
    }  # fmt: skip
    for one in pkgutil.iter_modules(asyncconn.integrations.__path__):
        name = f"asyncconn.integrations.{one.name}"
        if one.name != "progress":  # which needs something on a terminal only
            made[name] = partial(importlib.import_module, name)
    return made


async def _bulk_frame(datorama: Datorama) -> None:
    (await datorama.fetch_all_streams()).frame()


async def _said(feature: Callable[[], Any]) -> tuple[str, str]:
    """The kind of error, and its words."""
    try:
        found: Awaitable[Any] | Any = feature()
        if hasattr(found, "__await__"):
            await found
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test looks at
        return type(error).__name__, str(error)
    return "", "it works"


async def _arrives(sandbox: Sandbox, hub: Hub) -> int:
    """What needs no extra: a record on its way into the warehouse."""
    there = sandbox.panoply
    panoply = Panoply(there.api_key, there.api_secret, endpoint_url=there.url, hub=hub)
    await panoply.write("bare", {"id": 1})
    return (await panoply.flush()).delivered


async def main(folder: Path) -> None:
    """Print what was found as JSON."""
    names = [name for name in asyncconn.__all__ if getattr(asyncconn, name, None) is None]
    async with Sandbox() as sandbox, Hub(proxy="") as hub:
        features = _features(hub, sandbox, folder)
        said = {name: await _said(feature) for name, feature in features.items()}
        delivered = await _arrives(sandbox, hub)
    command = subprocess.run([sys.executable, "-m", "asyncconn", "demo"], capture_output=True, text=True, check=False)
    said["command line"] = (str(command.returncode), command.stderr.strip())
    found = {"where": asyncconn.__file__, "lacking": names, "delivered": delivered, "said": said}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
