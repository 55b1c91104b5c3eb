"""``asyncconn.run``: results and errors come through, and signals deliver before they end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import asyncconn
from asyncconn.errors import LifecycleError
from asyncconn.hub import HubState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asyncconn import Hub

_PROGRAM = """
import asyncio, sys
import asyncconn
from asyncconn.core.buffer.receipts import FlushReport

class Holding(asyncconn.Connector):
    platform = asyncconn.Platform("holding", base_url="http://127.0.0.1:1")
    async def drain(self, timeout):
        print("draining", flush=True)
        await asyncio.sleep({drain})
        print("drained", flush=True)
        return FlushReport(delivered=1)

async def main(hub):
    Holding(hub=hub)
    print("ready", flush=True)
    try:
        await asyncio.sleep({work})
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise

asyncconn.run(main)
print("after", flush=True)
"""


def _started(work: float, drain: float) -> subprocess.Popen[str]:
    code = _PROGRAM.format(work=work, drain=drain)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"it ended without {word}: {process.stderr and process.stderr.read()}")


def test_run_returns_what_main_returns_and_closes_the_hub() -> None:
    hubs: list[Hub] = []

    async def main(hub: Hub) -> int:
        hubs.append(hub)
        assert hub.state is HubState.OPEN
        return 7

    assert asyncconn.run(main) == 7
    assert hubs[0].state is HubState.CLOSED


def test_run_returns_none_too() -> None:
    async def main(hub: Hub) -> None:
        hub.check()

    asyncconn.run(main)


def test_run_raises_what_main_raises_and_leaves_no_signal_handler() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def main(hub: Hub) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncconn.run(main)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def mine() -> Iterator[Callable[..., None]]:
    """A handler of SIGTERM that the program has set before."""

    def handler(*_: object) -> None:
        raise AssertionError("nobody has sent a SIGTERM")

    before = signal.signal(signal.SIGTERM, handler)
    yield handler
    signal.signal(signal.SIGTERM, before)


async def _plain(hub: Hub) -> str:
    return "done"


async def _fails(hub: Hub) -> None:
    raise KeyError("mine")


async def _watches_by_itself(hub: Hub) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)


@pytest.mark.parametrize("main", [_plain, _fails, _watches_by_itself])
def test_the_programs_own_handler_is_in_its_place_again(mine: Callable[..., None], main: Any) -> None:
    with suppress(KeyError):
        asyncconn.run(main)
    assert signal.getsignal(signal.SIGTERM) is mine


def test_a_handler_that_main_has_set_stays(mine: Callable[..., None]) -> None:
    def newer(*_: object) -> None:
        pass

    async def main(hub: Hub) -> None:
        signal.signal(signal.SIGTERM, newer)

    asyncconn.run(main)
    assert signal.getsignal(signal.SIGTERM) is newer


def test_sigterm_ends_main_and_not_the_programs_own_handler(mine: Callable[..., None]) -> None:
    async def main(hub: Hub) -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(60)

    with pytest.raises(SystemExit) as ended:
        asyncconn.run(main)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is mine


def test_after_a_sigterm_while_the_hub_opens_main_is_not_begun(
    mine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    opens, begun, hubs = asyncconn.Hub.open, list[None](), list[asyncconn.Hub]()

    async def slow(hub: Hub) -> Hub:
        signal.raise_signal(signal.SIGTERM)
        while signal.getsignal(signal.SIGTERM) is not mine:  # until it is heard
            await asyncio.sleep(0)
        hubs.append(await opens(hub))
        return hub

    async def main(hub: Hub) -> None:
        begun.append(None)

    monkeypatch.setattr(asyncconn.Hub, "open", slow)
    with pytest.raises(SystemExit) as ended:
        asyncconn.run(main)

    assert (ended.value.code, begun, hubs[0].state) == (143, [], HubState.CLOSED)
    assert signal.getsignal(signal.SIGTERM) is mine


def test_it_runs_in_a_thread_that_is_not_the_main_one(mine: Callable[..., None]) -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(asyncconn.run(_plain)))
    thread.start()
    thread.join()
    assert found == ["done"]
    assert signal.getsignal(signal.SIGTERM) is mine


async def test_where_a_loop_runs_already_it_says_what_to_write_and_makes_no_coroutine() -> None:
    made: list[Hub] = []

    async def main(hub: Hub) -> None:
        made.append(hub)

    with pytest.raises(LifecycleError, match="async with Hub\\(\\) as hub: await main"):
        asyncconn.run(main)
    assert made == []


def test_sigterm_cancels_main_drains_and_exits_with_143() -> None:
    process = _started(work=60.0, drain=0.2)
    _until(process, "ready")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=15)

    assert (process.returncode, out.split(), err) == (143, ["cancelled", "draining", "drained"], "")


def test_sigterm_while_the_hub_drains_lets_it_finish() -> None:
    process = _started(work=0.0, drain=1.0)
    _until(process, "draining")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=15)

    assert (process.returncode, out.split(), err) == (143, ["drained"], "")


def test_a_second_sigterm_ends_at_once() -> None:
    process = _started(work=60.0, drain=60.0)
    _until(process, "ready")
    process.send_signal(signal.SIGTERM)
    _until(process, "draining")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)

    assert process.returncode == -signal.SIGTERM


def test_ctrl_c_drains_and_is_a_keyboard_interrupt() -> None:
    process = _started(work=60.0, drain=0.2)
    _until(process, "ready")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)

    assert out.split() == ["cancelled", "draining", "drained"]
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode in (-signal.SIGINT, 130)


def test_no_resource_is_left_behind(tmp_path: Path) -> None:
    code = """
import asyncconn
from asyncconn import Connector, Platform
class Plain(Connector):
    platform = Platform("plain", base_url="http://127.0.0.1:1")
async def main(hub):
    try:
        await Plain(hub=hub).http.request("GET", "/")
    except asyncconn.errors.ConnectFailed:
        pass
    async with Plain(base_url="http://127.0.0.1:1"):
        pass
asyncconn.run(main)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
        cwd=tmp_path,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
