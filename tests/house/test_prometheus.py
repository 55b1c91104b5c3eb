"""A scraped ``/metrics``: what it says of all four platforms under load is what happened, and it says no secret."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import httpx
import pytest

pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'asyncconn[prometheus]'")

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as strictly_parsed,
)
from prometheus_client.parser import text_string_to_metric_families as parsed

from asyncconn import AtotiLimits, Connector, Datorama, Hub, Panoply, Platform, Tcup, TokenAuth, Window
from asyncconn.errors import ConfigError
from asyncconn.integrations.prometheus import HubCollector
from asyncconn.panoply import SDK
from asyncconn.sandbox import Fault, Sandbox, StreamFault

from .batched_scene import Acme, items

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"

Labels = frozenset[tuple[str, str]]
RECORDS = ("delivered_total", "rejected_total", "failed_total", "unknown_total", "pending")


class Scrape:
    """One answer of ``/metrics``, as Prometheus' own parser reads it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(parsed(text))
        self._values: dict[str, dict[Labels, float]] = defaultdict(dict)
        for family in self.families:
            for sample in family.samples:
                at = frozenset(sample.labels.items())
                assert at not in self._values[sample.name], f"{sample.name} is there twice for {sample.labels}"
                self._values[sample.name][at] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        """The sum over all that bear these labels."""
        wanted = set(labels.items())
        return sum(value for at, value in self._values[f"asyncconn_{name}"].items() if wanted <= at)

    def counts(self) -> dict[tuple[str, Labels], float]:
        return {
            (name, at): value
            for name, some in self._values.items()
            for at, value in some.items()
            if name.endswith(("_total", "_count", "_sum"))
        }

    def labels(self, name: str) -> set[str]:
        return {
            value
            for family in self.families
            for one in family.samples
            for key, value in one.labels.items()
            if key == name
        }


@contextmanager
def served(hub: Hub) -> Iterator[str]:
    """An address to scrape, in another thread, as programs without a server of their own have it."""
    registry = CollectorRegistry()
    registry.register(HubCollector(hub))
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def scraped(url: str) -> Scrape:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    assert answer.status_code == 200
    return Scrape(answer.text)


def here(hub: Hub) -> Scrape:
    registry = CollectorRegistry()
    registry.register(HubCollector(hub))
    return Scrape(generate_latest(registry).decode())


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1) as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


class Load:
    """Work on all four platforms at once, and what is known of it beside the metrics."""

    def __init__(self, sandbox: Sandbox, hub: Hub, folder: Path) -> None:
        self.sandbox = sandbox
        self.panoply = Panoply.from_env(hub=hub, spool=folder / "spool")
        self.datorama = Datorama.from_env(hub=hub)
        self.limits = AtotiLimits.from_env(hub=hub)
        self.tcup = Tcup.from_env(hub=hub)

    async def __call__(self) -> None:
        for connector in (self.panoply, self.datorama, self.limits, self.tcup):
            await connector.open()
        self.sandbox.tcup.mr.broker.create("ex1")
        self.sandbox.tcup.streams.faults.add(StreamFault("kill", match="websocket", after=3))
        self.sandbox.faults.add(Fault("status", match="datorama", status=429, retry_after=0.01))
        async with asyncio.TaskGroup() as work:
            for part in (self._records, self._calls, self._observations, self._messages, self._stream):
                work.create_task(part())

    async def _records(self) -> None:
        for start in range(0, 3_000, 100):
            await self.panoply.write_many("events", [{"id": start + n} for n in range(100)])
            await asyncio.sleep(0)
        await self.panoply.flush()  # a fast machine may be through with all else before the first batch goes

    async def _calls(self) -> None:
        for _ in range(20):
            await self.datorama.workspaces.list().collect()
            await self.limits.connected()

    async def _observations(self) -> None:
        async with self.tcup.observations.writer() as writer:
            writer.on("error", lambda failure: None)  # the sensor is not registered: SOS takes none
            for number in range(50):
                await writer.write("ts1", {"obs1": number}, "tf1")

    async def _messages(self) -> None:
        await self.tcup.mqtt.publish_many("amq.topic", [{"n": n} for n in range(200)])

    async def _stream(self) -> None:
        async with self.tcup.stream.publisher(exchange="ex1", topic="test") as publisher:
            for number in range(20):
                await publisher.send({"n": number})


@asynccontextmanager
async def scrapes(url: str) -> AsyncIterator[list[Scrape]]:
    """One after the other, for as long as the block lasts."""
    found: list[Scrape] = []
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            found.append(await scraped(url))

    going = asyncio.create_task(go_on())
    try:
        yield found
    finally:
        over.set()
        await going


@pytest.mark.slow(60)
async def test_what_is_scraped_under_load_is_what_happened(sandbox: Sandbox, tmp_path: Path) -> None:
    hub = Hub()
    with served(hub) as url:
        async with hub:
            load = Load(sandbox, hub, tmp_path)
            async with scrapes(url) as during:
                await load()
            end = await scraped(url)
        after = await scraped(url)

    for scrape in (*during, end, after):
        for buffer in scrape.labels("buffer"):
            taken = scrape("records_accepted_total", buffer=buffer)
            assert taken == sum(scrape(f"records_{what}", buffer=buffer) for what in RECORDS), buffer
    for before, later in zip([*during, end], [*during[1:], end, after], strict=True):
        assert all(later.counts()[what] >= value for what, value in before.counts().items())

    assert len(during) > 2
    assert after("records_delivered_total", buffer="panoply") == sandbox.panoply.tables()["events"] == 3_000
    assert after("records_rejected_total", buffer="tcup.observations") == 50
    assert after("records_delivered_total", buffer="tcup.mqtt") == 200
    assert after("records_delivered_total", buffer="tcup.stream") == 20
    assert after("records_pending") == after("spool_records") == 0
    assert sum(one("spool_records", buffer="panoply") for one in during) > 0

    requests = sandbox.requests
    datorama = {"platform": "datorama"}
    assert end("attempts_total", **datorama) == requests["datorama"] == 21
    assert (end("calls_total", **datorama), end("retries_total", **datorama)) == (20, 1)
    assert (end("refusals_total"), end("attempts_total", status="429")) == (1, 1)
    assert after("attempts_total", platform="panoply", status="200") == requests["panoply"]
    assert end("attempt_seconds_count", **datorama) == 21
    assert end("attempt_seconds_sum", **datorama) > 0
    assert end("rate_limit", part="daily", limit="default") == 20_000
    assert end("rate_used", part="daily", limit="default") == 21
    assert end("rate_remaining", part="platform") == 60 - 21
    assert end("streams_live", stream="tcup.mqtt.publish") == 1
    assert end("stream_reconnects_total", stream="tcup.stream.publish") == 1
    assert end("requests_places", platform="panoply") == 100


# -- what the metrics are like -----------------------------------------------------------------------------------------


async def test_names_units_and_texts_are_as_prometheus_wants_them(sandbox: Sandbox, tmp_path: Path) -> None:
    async with Hub() as hub:
        await Load(sandbox, hub, tmp_path)()
        registry = CollectorRegistry()
        registry.register(HubCollector(hub))
        families = list(registry.collect())
        strict = list(strictly_parsed(open_metrics(registry).decode()))  # type: ignore[no-untyped-call] # the library's

    assert {one.name for one in strict} == {one.name for one in families}
    for family in families:
        assert family.name.startswith("asyncconn_")
        assert family.documentation.endswith(".")
        assert family.samples, f"{family.name} is never there"
        assert not family.name.endswith(("_total", "_ms", "_kb", "_percent"))


async def test_the_series_do_not_grow_with_the_ids(sandbox: Sandbox) -> None:
    async with Hub() as hub:
        datorama, tcup = Datorama.from_env(hub=hub), Tcup.from_env(hub=hub)
        sizes = []
        for number in range(3):
            workspaces = await datorama.workspaces.list().collect()
            for workspace in workspaces:
                await datorama.streams.list(workspace.id).collect()
            async with tcup.mqtt.publisher(f"topic/{number}") as publisher:
                await publisher.send({"n": number})
            async with tcup.mqtt.subscribe(f"topic/{number}", client_id=f"c{number}"):
                sizes.append(len(here(hub).counts()))

    assert len(set(sizes)) == 1


SECRETS = (
    "ASYNCCONN_DATORAMA_TOKEN", "ASYNCCONN_TCUP_API_KEY", "ASYNCCONN_TCUP_MQTT_PASSWORD", "ASYNCCONN_PANOPLY_API_KEY",
    "ASYNCCONN_PANOPLY_API_SECRET",
)  # fmt: skip


async def test_no_label_has_a_secret(sandbox: Sandbox, tmp_path: Path) -> None:
    async with Hub() as hub:
        await Load(sandbox, hub, tmp_path)()
        text = here(hub).text

    secrets = [sandbox.env[name] for name in SECRETS]
    queue = sandbox.panoply.url.rpartition("/")[2]  # the queue's name is made of both
    for secret in (*secrets, queue):
        for form in {secret, quote(secret, safe=""), secret[:12], secret[-12:]}:
            assert form not in text


async def test_two_accounts_of_a_platform_are_told_apart(sandbox: Sandbox) -> None:
    class Limited(Connector):
        platform = Platform("limited", base_url=sandbox.url, rates=Window(5, 60.0))

    async with Hub() as hub:
        one, other = (Limited(hub=hub, auth=TokenAuth(token)) for token in ("first-secret", "second-secret"))
        async with one.http.limiters["default"], other.http.limiters["default"]:
            scrape = here(hub)

    assert len(scrape.labels("account")) == 2
    assert scrape("rate_used", limit="default") == 2
    assert "secret" not in scrape.text


# -- when it is asked --------------------------------------------------------------------------------------------------


async def test_a_registry_takes_it_before_there_is_anything_to_tell_and_after() -> None:
    hub, registry = Hub(), CollectorRegistry()
    registry.register(HubCollector(hub))
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(HubCollector(hub))
    before = Scrape(generate_latest(registry).decode())
    async with hub:
        acme = Acme(hub)
        acme.answers = {1: ["bad"]}
        acme.points.on("error", lambda failure: None)
        await acme.points.deliver(items(3))
    after = Scrape(generate_latest(registry).decode())

    assert before.counts() == {}
    assert (after("records_delivered_total"), after("records_rejected_total")) == (2, 1)


async def test_several_hubs_are_summed_by_label(sandbox: Sandbox) -> None:
    class Limited(Connector):
        platform = Platform("limited", base_url=sandbox.url, rates=Window(5, 60.0))

    registry = CollectorRegistry()
    async with Hub() as one, Hub() as other:
        registry.register(HubCollector(one, other))
        for hub in (one, other):
            for number in range(2):
                await Panoply.from_env(hub=hub).write("events", {"id": number})
            await Datorama.from_env(hub=hub).workspaces.list()
        shared = [Limited(hub=hub, auth=TokenAuth("t0ken")) for hub in (one, other)]
        async with shared[0].http.limiters["default"]:
            during = Scrape(generate_latest(registry).decode())
    after = Scrape(generate_latest(registry).decode())

    assert during("records_accepted_total") == 4
    assert (
        during("calls_total", platform="datorama") == during("attempts_total", platform="datorama", status="200") == 2
    )
    assert during("attempt_seconds_count", platform="datorama") == 2
    account = {"platform": "limited"}
    assert during("rate_used", **account) == 1  # the hubs of a loop share the account: it is there once
    assert during("requests_places", **account) == shared[0].platform.max_concurrency
    assert after("records_delivered_total") == 4


async def test_the_registry_of_the_process_takes_one_lifespan_after_the_other() -> None:
    for _ in range(2):
        async with Hub() as hub:
            collector = HubCollector(hub)
            REGISTRY.register(collector)
            try:
                assert b"asyncconn_calls" in generate_latest(REGISTRY)
            finally:
                REGISTRY.unregister(collector)


async def test_the_same_account_in_two_loops_is_summed(sandbox: Sandbox) -> None:
    class Limited(Connector):
        platform = Platform("limited", base_url=sandbox.url, rates=Window(5, 60.0))

    registry = CollectorRegistry()

    async def elsewhere(hub: Hub) -> Scrape:
        async with Hub() as second:
            registry.register(HubCollector(hub, second))
            client = Limited(hub=second, auth=TokenAuth("t0ken"))
            async with client.http.limiters["default"]:
                return await asyncio.to_thread(lambda: Scrape(generate_latest(registry).decode()))

    async with Hub() as hub, Limited(hub=hub, auth=TokenAuth("t0ken")).http.limiters["default"]:
        scrape = await asyncio.to_thread(lambda: asyncio.run(elsewhere(hub)))

    assert (scrape("rate_used"), scrape("rate_limit")) == (2, 10)


async def test_a_hub_that_never_opened_breaks_no_scrape() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    hub = Hub(session=session)
    with pytest.raises(ConfigError):
        await hub.open()
    assert here(hub).counts() == {}
    assert await hub.aclose() is hub.report
    assert here(hub).counts() == {}
    assert hub.figures().buffers == ()


def test_a_hub_whose_loop_does_not_run_is_read_all_the_same() -> None:
    async def work() -> Hub:
        hub = await Hub().open()
        await Acme(hub).points.deliver(items(3))
        return hub

    loop = asyncio.new_event_loop()
    try:
        hub = loop.run_until_complete(work())
        idle = here(hub)
        assert idle("records_delivered_total") == 3
        loop.run_until_complete(hub.aclose())
    finally:
        loop.close()


def test_a_hub_whose_loop_has_closed_without_it_is_read_all_the_same() -> None:
    loop = asyncio.new_event_loop()

    async def left_open() -> Hub:
        hub = await Hub().open()
        await hub.session.close()  # or its connections would be told of as leaked
        return hub

    hub = loop.run_until_complete(left_open())
    loop.close()

    assert here(hub).counts() == {}


async def test_a_loop_that_is_blocked_is_an_error_and_not_a_wait_without_end() -> None:
    async with Hub() as hub:
        collector = HubCollector(hub, timeout=0.01)
        outcome: list[Exception] = []

        def ask() -> None:
            try:
                list(collector.collect())
            except TimeoutError as error:
                outcome.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()  # which blocks the loop

    assert "did not answer in 0.01 s" in str(outcome[0])


async def test_an_error_on_the_loop_reaches_the_thread_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Hub() as hub:

        def broken() -> Any:
            raise ConfigError("broken")

        with monkeypatch.context() as patched:
            patched.setattr(hub, "figures", broken)
            with pytest.raises(ConfigError, match="broken"):
                await asyncio.to_thread(lambda: list(HubCollector(hub).collect()))


async def test_the_synchronous_sdk_can_be_scraped_too(sandbox: Sandbox) -> None:
    def program() -> tuple[Scrape, Scrape]:
        key, secret = sandbox.panoply.api_key, sandbox.panoply.api_secret
        with SDK(key, secret, endpoint_url=sandbox.url) as sdk:
            for number in range(3):
                sdk.write("events", {"id": number})
            sdk.flush()
            running = here(sdk.hub)
        return running, here(sdk.hub)

    for scrape in await asyncio.to_thread(program):
        assert scrape("records_delivered_total", buffer="panoply") == 3
    assert sandbox.panoply.tables() == {"events": 3}


def test_a_timeout_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError):
        HubCollector(Hub(), timeout=0.0)


def test_the_page_lists_every_metric_and_its_alerts_know_them() -> None:
    families = list(HubCollector(Hub()).describe())
    known = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    page = PAGE.read_text(encoding="utf-8").split("## Prometheus")[1].split("\n## ")[0]
    table = {row.split("`")[1] for row in page.splitlines() if row.startswith("| `asyncconn_")}
    prose = {"asyncconn_records_"}

    assert table == known
    assert set(re.findall(r"asyncconn_\w+", page)) - prose == known


def test_without_its_library_an_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; import asyncconn.integrations.prometheus"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)

    assert done.stderr.splitlines()[-1] == (
        "ImportError: asyncconn.integrations.prometheus needs prometheus-client: pip install 'asyncconn[prometheus]'"
    )
