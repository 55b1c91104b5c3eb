"""What a hub tells of its connectors at any moment: buffers, accounts and streams, those that are gone included."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from asyncconn import BufferFigures, Connector, Hub, Panoply, Platform, StreamFigures, Tcup, TokenAuth, Window
from asyncconn.errors import WrongLoop
from asyncconn.sandbox import PanoplyWorld, Sandbox, TcupWorld

from .batched_scene import Acme, Noun, items
from .listening_scene import Listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(PanoplyWorld(), seed=1) as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


def counts(hub: Hub) -> dict[str, tuple[int, int]]:
    """Accepted and delivered, by name."""
    found: dict[str, tuple[int, int]] = {}
    for one in hub.figures().buffers:
        accepted, delivered = found.get(one.name, (0, 0))
        found[one.name] = accepted + one.stats.accepted, delivered + one.stats.delivered
    return found


async def test_a_buffer_of_a_connector_is_read_while_it_fills_and_after_the_end(sandbox: Sandbox) -> None:
    async with Hub() as hub:
        panoply = Panoply.from_env(hub=hub)
        await panoply.write("events", {"id": 1})
        [filling] = hub.figures().buffers

    assert (filling.name, filling.stats.accepted, filling.stats.pending) == ("panoply", 1, 1)
    assert counts(hub) == {"panoply": (1, 1)}


async def test_a_spool_is_read_with_its_buffer(sandbox: Sandbox, tmp_path: Path) -> None:
    async with Hub() as hub:
        panoply = await Panoply.from_env(hub=hub, spool=tmp_path / "spool").open()
        await panoply.write("events", {"id": 1})
        [filling] = hub.figures().buffers

        assert filling.spool is not None
        assert (filling.spool.records, filling.spool.bytes > 0) == (1, True)


async def test_batched_methods_are_read_by_their_names() -> None:
    async with Hub() as hub:
        acme = Acme(hub)
        await acme.points.deliver(items(2))
        await acme.ordered.put({"id": 9})

        assert counts(hub) == {"acme.points": (2, 2), "acme.ordered": (1, 0)}


async def test_what_is_gone_counts_on() -> None:
    async with Hub() as hub:
        acme = Acme(hub)
        for _ in range(3):
            noun = Noun(acme)
            await noun.points.deliver(items(2))
            del noun
            gc.collect()

        assert counts(hub) == {"acme.points": (6, 6)}
        assert len(hub.figures().buffers) == 1


async def test_a_connector_that_has_left_counts_on() -> None:
    async with Hub() as hub:
        for _ in range(2):
            async with Acme(hub) as acme:
                await acme.points.deliver(items(2))

        assert counts(hub) == {"acme.points": (4, 4)}


@pytest.mark.parametrize("kind", ["stream", "mqtt"])
async def test_what_a_publisher_sent_that_is_gone_counts_on(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    async with Sandbox(TcupWorld(), seed=1) as sandbox, Hub() as hub:
        for name, value in sandbox.env.items():
            monkeypatch.setenv(name, value)
        sandbox.tcup.mr.broker.create("e")
        tcup = Tcup.from_env(hub=hub)
        for sent in (3, 2):
            topic = tcup.mqtt.publisher("t") if kind == "mqtt" else tcup.stream.publisher(exchange="e", topic="t")
            async with topic as publisher:
                await publisher.deliver({"n": n} for n in range(sent))
            topic = publisher = None  # type: ignore[assignment] # nobody holds it any more
            gc.collect()
        assert counts(hub)[f"tcup.{kind}"] == (5, 5)

    assert hub.report is not None
    assert sum(report.delivered for report in hub.report.reports.values()) == 5


async def test_an_account_shows_its_rates_and_no_credential(sandbox: Sandbox) -> None:
    class Limited(Connector):
        platform = Platform("limited", base_url=sandbox.url, rates=Window(5, 60.0), max_concurrency=7)

    async with Hub() as hub:
        assert hub.figures().accounts == ()
        limited = Limited(hub=hub, auth=TokenAuth("very-secret"))
        async with limited.http.limiters["default"]:
            [account] = hub.figures().accounts

    [rate] = account.rates
    assert (account.platform, account.places, account.in_flight, account.waiting) == ("limited", 7, 0, 0)
    assert (rate.limit, rate.snapshot.parts[0].remaining, rate.snapshot.in_flight) == ("default", 4, 1)
    assert "very-secret" not in repr(account)
    assert len(account.account) == 8
    assert hub.figures().accounts == ()


async def test_accounts_of_connectors_that_are_gone_are_not_told_once_nothing_of_them_counts() -> None:
    class Plain(Connector):
        platform = Platform("plain", base_url="http://127.0.0.1:9", rates=Window(10, 60.0))

    async with Hub() as hub:
        for number in range(100):
            async with Plain(hub=hub, auth=TokenAuth(f"token of user {number}")) as plain:
                (await plain.http.limiters["default"].acquire()).cancel()
        async with Plain(hub=hub, auth=TokenAuth("token")) as plain:
            await plain.http.limiters["default"].acquire()
        del plain
        gc.collect()
        [account] = hub.figures().accounts

    assert account.rates[0].snapshot.remaining == 9


async def test_figures_are_read_on_the_hubs_own_loop() -> None:
    async with Hub() as hub:

        def elsewhere() -> None:
            with pytest.raises(WrongLoop):
                hub.figures()

        await asyncio.to_thread(elsewhere)

    assert hub.figures().buffers == ()


async def test_figures_that_cannot_be_read_hide_no_others(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Acme):
        def figures(self) -> Iterable[BufferFigures]:
            raise ValueError("no")

    async with Hub() as hub:
        await Broken(hub).points.deliver(items(2))

        assert counts(hub) == {"acme.points": (2, 2)}
    assert caplog.records[0].getMessage().endswith("cannot be read: ValueError: no")
    assert counts(hub) == {"acme.points": (2, 2)}


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_connections_that_are_kept_up_are_counted_with_their_reconnects_and_gaps() -> None:
    async with Hub() as hub:
        listening = Listening(hub)
        first, second = listening.line(pause=0.001), listening.line(pause=0.001)
        async with first, second:
            (await first.link()).cut.set()
            await second.link()
            async with asyncio.timeout(5.0):
                while first.connection < 2:
                    await asyncio.sleep(0.001)
            first.missed("for a test")
            [while_open] = hub.figures().streams
        await listening.aclose()
        [after] = hub.figures().streams

    assert while_open == StreamFigures("listening.events", live=2, connections=3, reconnects=1, lost=1, gaps=1)
    assert after == StreamFigures("listening.events", live=0, connections=3, reconnects=1, lost=1, gaps=1)
    assert hub.figures().streams == (after,)


async def test_a_connection_that_was_never_opened_is_not_down() -> None:
    async with Hub() as hub:
        listening = Listening(hub)
        line = listening.line(pause=0.001)

        assert listening.tally.figures() == StreamFigures("listening.events")
        assert not line.opened
