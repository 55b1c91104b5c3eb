"""Spans and metrics, as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from loopback import OK, Loopback, QuickClock, Reply, saying

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from asyncconn import ONCE, Datorama, Hub, Panoply, Route, Routes, Tcup, TokenAuth, Window
from asyncconn.errors import BadRequest, ConfigError, ConnectionLost, NotSent, ServerError
from asyncconn.integrations.opentelemetry import instrument
from asyncconn.resource import Calling
from asyncconn.sandbox import Fault, Sandbox

from .telemetry_scene import SECRET, Acme, Told, acme, attributes, events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


ROUTES = Routes({"orders.get": Route("GET", "/v1/orders/{id}")})


@pytest.fixture
def told() -> Told:
    return Told()


# -- calls -------------------------------------------------------------------------------------------------------------


async def test_a_call_is_a_span_of_an_http_client(told: Told) -> None:
    server = Loopback()
    async with acme(server) as client:
        with told.instrument(client.hub):
            await Calling(client.http, ROUTES).request("orders.get", ids={"id": "7f"}, params={"q": "x"})

    [span] = told.spans
    shown = attributes(span)
    assert (span.name, span.kind, span.status.is_ok) == ("GET /v1/orders/{id}", SpanKind.CLIENT, True)
    assert shown == {
        "http.request.method": "GET",
        "url.template": "/v1/orders/{id}",
        "url.full": f"{server.url}/v1/orders/{{id}}",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "http.response.status_code": 200,
        "asyncconn.platform": "acme",
    }
    assert [name for name, _ in events(span)] == ["attempt"]


async def test_attempts_are_events_and_the_span_says_how_often_it_was_sent_again(told: Told) -> None:
    async with acme(Loopback(Reply(503), Reply(429, headers={"Retry-After": "0.01"}), OK, Reply(400))) as client:
        with told.instrument(client.hub):
            await client.http.request("GET", "/x")
            with pytest.raises(BadRequest):
                await client.http.request("GET", "/y")

    again, refused = told.spans
    assert attributes(again)["http.request.resend_count"] == 2
    assert [one["http.response.status_code"] for _, one in events(again)] == [503, 429, 200]
    assert [one.get("error.type") for _, one in events(again)] == ["503", "429", None]
    assert attributes(again)["asyncconn.rate.waited"] >= 0.01
    assert "error.type" not in attributes(again)
    assert attributes(refused)["error.type"] == "BadRequest"
    assert not refused.status.is_ok


async def test_a_cancelled_call_and_one_without_an_answer_end_their_spans(told: Told) -> None:
    server = Loopback(Reply(after=60.0), Reply(raw=b"", close=True))
    async with acme(server) as client:
        with told.instrument(client.hub):
            task = asyncio.create_task(client.http.request("POST", "/x"))
            await server.arrived()
            task.cancel()
            await asyncio.wait({task})
            with pytest.raises(ConnectionLost):
                await client.http.request("POST", "/x")

    assert [attributes(span)["error.type"] for span in told.spans] == ["CancelledError", "ConnectionLost"]
    assert [events(span)[0][1]["error.type"] for span in told.spans] == ["CancelledError", "ConnectionLost"]
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_server_goes_on_with_the_trace_only_where_that_is_asked_for(told: Told) -> None:
    server = Loopback()
    async with acme(server) as client:
        with told.instrument(client.hub):
            await client.http.request("GET", "/x")
        with told.instrument(client.hub, propagate={"acme"}):
            await client.http.request("GET", "/x")
            await client.http.request("GET", "/x", headers={"traceparent": "mine"})
        await client.http.request("GET", "/x")

    context = told.spans[1].get_span_context()
    assert context is not None
    own = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert [seen.headers.get("traceparent") for seen in server.seen] == [None, own, "mine", None]
    assert len(told.spans) == 3


def test_a_text_in_the_place_of_platforms_is_refused() -> None:
    with pytest.raises(ConfigError, match="collection of platforms"):
        instrument(Hub(), propagate="acme")


async def test_a_call_is_below_the_span_that_it_is_made_in(told: Told) -> None:
    async with acme(Loopback()) as client:
        with told.instrument(client.hub), told.tracers.get_tracer("program").start_as_current_span("mine") as mine:
            await client.http.request("GET", "/x")
            assert trace.get_current_span() is mine

    call, _ = told.spans
    assert call.parent is not None
    assert call.parent.span_id == mine.get_span_context().span_id


async def test_no_secret_is_in_a_span_or_a_metric_wherever_it_stands(told: Told) -> None:
    def quoting(seen: Any) -> Reply:
        return saying({"error": f"you are {SECRET}", "status": SECRET}, 400, X_Echo=SECRET)

    async with acme(Loopback(otherwise=quoting)) as client:
        http = client.http
        with told.instrument(client.hub, propagate={"acme"}):
            for path, options in (
                (f"/bot{SECRET}/me", {}),
                (f"/{SECRET}", {"params": {"key": SECRET}}),
                ("/x", {"headers": {"X-Key": SECRET}, "json": {"key": SECRET}}),
                (f"/x?token={SECRET}", {}),
            ):
                with pytest.raises(BadRequest):
                    await http.request("GET", path, **options)  # type: ignore[arg-type] # a row of the table
            with pytest.raises(BadRequest):
                await http.poll(f"/jobs/{SECRET}", until={"status": "DONE"})
            with pytest.raises(BadRequest):
                async with http.stream("GET", f"/files/{SECRET}"):
                    pass

    shown = "".join(span.to_json() for span in told.spans) + str(told.reader.get_metrics_data())
    assert len(told.spans) == 7
    assert "BadRequest" in shown
    assert SECRET not in shown


# -- batches, polls ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1) as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.mark.slow(60)  # the first use of AWS' client
@pytest.mark.parametrize("sender", ["form", "sqs"])
async def test_a_batch_is_a_span_of_messaging_with_its_call_below(told: Told, sandbox: Sandbox, sender: Any) -> None:
    async with Hub() as hub:
        panoply = Panoply.from_env(hub=hub, sender=sender)
        panoply.on("error", lambda failure: None)
        with told.instrument(hub):
            for number in range(3):
                await panoply.write("t", {"id": number})
            await panoply.flush()
            sandbox.faults.add(Fault("status", match="panoply", status=429, retry_after=0.01, times=1))
            sandbox.faults.add(Fault("status", match="panoply", status=400, times=1))
            await panoply.write("t", {"id": 9})
            await panoply.flush()
            records = told.points("asyncconn.records")

    calls = [span for span in told.spans if span.kind is SpanKind.CLIENT]
    sent, failed = [span for span in told.spans if span.kind is SpanKind.PRODUCER]
    assert (sent.name, attributes(sent)["messaging.batch.message_count"]) == ("send panoply", 3)
    assert attributes(sent)["messaging.system"] == "aws_sqs"
    assert [span.parent and span.parent.span_id for span in calls] == [
        batch.get_span_context().span_id  # type: ignore[union-attr] # it has one: it was recorded
        for batch in (sent, failed)
    ]
    assert {span.name for span in calls} == {"POST /{account}/{queue}"}
    assert sent.status.is_ok
    assert attributes(failed)["error.type"] == "BadRequest"
    outcomes = {"accepted": 4, "delivered": 3, "rejected": 0, "failed": 1, "unknown": 0}
    assert records == {("panoply", outcome): count for outcome, count in outcomes.items()}
    row = next(iter(hub.traffic))
    assert (row.route, row.calls, row.retries) == ("/{account}/{queue}", 2, 1)
    assert row.statuses == {200: 1, 400: 1, 429: 1}
    assert [attributes(call).get("http.request.resend_count") for call in calls] == [None, 1]


async def test_no_credential_of_a_platform_is_in_a_span(told: Told, sandbox: Sandbox) -> None:
    async with Hub() as hub:
        panoply, datorama, tcup = Panoply.from_env(hub=hub), Datorama.from_env(hub=hub), Tcup.from_env(hub=hub)
        with told.instrument(hub, propagate={"panoply", "datorama", "tcup"}):
            await panoply.write("t", {"id": 1})
            await panoply.flush()
            await datorama.workspaces.list()
            await tcup.sensors.list()

    secrets = {text for name, text in sandbox.env.items() if name.endswith(("KEY", "SECRET", "TOKEN", "PASSWORD"))}
    shown = "".join(span.to_json() for span in told.spans) + str(told.reader.get_metrics_data())
    assert {span.kind for span in told.spans} == {SpanKind.CLIENT, SpanKind.PRODUCER}
    assert len(secrets) >= 3
    assert not [secret for secret in secrets if secret in shown]


async def test_a_poll_is_one_span_with_its_states_and_its_calls_below(told: Told) -> None:
    states = [saying({"status": "RUNNING"}), Reply(400, b"{}"), saying({"status": "a b"}), saying({"status": "DONE"})]
    states[1] = Reply(503)
    async with acme(Loopback(*states)) as client:
        with told.instrument(client.hub):
            await client.http.poll("/v1/jobs/77", until={"status": "DONE"}, minimum=0.01)
            async for _ in client.http.poll("/v1/jobs/78", until={"status": "DONE"}, minimum=0.01):
                break

    polls = [span for span in told.spans if span.name.startswith("poll")]
    calls = [span for span in told.spans if not span.name.startswith("poll")]
    assert [span.name for span in polls] == ["poll acme: /v1/jobs/{}"] * 2
    assert events(polls[0]) == [
        ("state", {"asyncconn.state": "RUNNING"}),
        ("state", {}),
        ("state", {"asyncconn.state": "DONE"}),
    ]
    assert attributes(polls[0]) == {"asyncconn.polls": 3}
    assert [span.status.is_ok for span in polls] == [True, True]
    first = polls[0].get_span_context()
    assert first is not None
    assert [span.parent is not None and span.parent.span_id == first.span_id for span in calls] == [True] * 3 + [False]


async def test_a_poll_that_fails_is_an_error_and_what_passes_an_event(told: Told) -> None:
    async with acme(Loopback(otherwise=Reply(500))) as client:
        with told.instrument(client.hub), pytest.raises(ServerError):
            await client.http.poll("/v1/jobs/77", until={"status": "DONE"}, minimum=0.01, tolerate=1)

    [poll] = [span for span in told.spans if span.name.startswith("poll")]
    assert events(poll) == [("passing", {"error.type": "ServerError"})]
    assert (poll.status.is_ok, attributes(poll)["error.type"]) == (False, "ServerError")
    assert trace.get_current_span() is trace.INVALID_SPAN


# -- metrics -----------------------------------------------------------------------------------------------------------


async def test_attempts_repetitions_and_waits_are_metrics(told: Told) -> None:
    server = Loopback(OK, Reply(503), OK, Reply(503), OK)
    async with acme(server, rates=Window(1, 0.1, skew=0.0)) as client:
        with told.instrument(client.hub) as handle:
            for _ in range(2):
                await client.http.request("GET", "/x")
            duration = told.points("http.client.request.duration")
            assert told.points("asyncconn.retries") == {("acme",): 1}
            assert told.points("asyncconn.rate.waited")["acme",] > 0
            pending = await asyncio.to_thread(told.points, "asyncconn.retries")  # as exporters ask
        handle.stop()
        await client.http.request("GET", "/x")
        assert told.points("asyncconn.retries") == {("acme",): 1}  # a count stays, and grows no more

    assert pending == {("acme",): 1}
    counts = {key[:2]: point.count for key, point in duration.items()}
    assert counts == {("GET", 200): 2, ("503", "GET"): 1}
    assert {point.explicit_bounds[0] for point in duration.values()} == {0.005}


async def test_hubs_of_one_provider_are_summed_and_what_was_counted_stays(told: Told) -> None:
    """An SDK keeps the first instrument of a name: those of a second hub would never be read."""
    async with acme(Loopback(*[Reply(503), OK] * 9)) as one, Hub(clock=QuickClock()) as second:
        other = Acme(hub=second, base_url=one.http.base_url)
        with told.instrument(one.hub):
            await one.http.request("GET", "/x")
            with told.instrument(second):
                await other.http.request("GET", "/x")
                assert told.points("asyncconn.retries") == {("acme",): 2}
            assert told.points("asyncconn.retries") == {("acme",): 2}
        await one.http.request("GET", "/x")
        assert told.points("asyncconn.retries") == {("acme",): 2}
        with told.instrument(one.hub):  # once more: what it has left is not counted twice
            assert told.points("asyncconn.retries") == {("acme",): 3}


async def test_levels_of_several_hubs_are_summed_and_ages_are_the_greatest(told: Told, sandbox: Sandbox) -> None:
    async with Hub(on_undelivered="log") as one, Hub(on_undelivered="log") as other:
        for hub in (one, other):
            await Panoply.from_env(hub=hub).write("t", {"id": 1})
        with told.instrument(one), told.instrument(other):
            assert told.points("asyncconn.records.pending") == {("panoply",): 2}
            oldest = max(buffer.stats.oldest_age for hub in (one, other) for buffer in hub.figures().buffers)
            assert 0 <= told.points("asyncconn.records.oldest_age")["panoply",] <= oldest + 1.0
        assert told.points("asyncconn.records.pending") == {}


async def test_a_hub_that_is_closed_first_keeps_its_counts(told: Told) -> None:
    async with Loopback(Reply(503), OK) as server:
        async with Hub(clock=QuickClock()) as hub:
            handle = told.instrument(hub)
            await Acme(hub=hub, base_url=server.url).http.request("GET", "/x")
        assert told.points("asyncconn.retries") == {("acme",): 1}
        handle.stop()
        assert told.points("asyncconn.retries") == {("acme",): 1}


async def test_a_hub_is_instrumented_once_with_a_provider(told: Told) -> None:
    hub, other = Hub(), Told()
    handle = told.instrument(hub)
    with pytest.raises(ConfigError, match="this tracer provider already"):
        told.instrument(hub)
    with pytest.raises(ConfigError, match="this meter provider already"):
        instrument(hub, tracer_provider=other.tracers, meter_provider=told.meters)
    with other.instrument(hub):
        handle.stop()
        told.instrument(hub).stop()
    instrument(hub).stop()


async def test_what_two_follow_leaves_no_span_behind(told: Told) -> None:
    other = Told()
    states = [saying({"status": "RUNNING"}), Reply(503), saying({"status": "DONE"})]
    async with acme(Loopback(*states)) as client:
        with told.instrument(client.hub), other.instrument(client.hub):
            poll = client.http.poll("/jobs", until={"status": "DONE"}, minimum=0.01, tolerate=1)
            seen = [trace.get_current_span() async for _ in poll]

    assert [*seen, trace.get_current_span()] == [trace.INVALID_SPAN] * 3
    for one in (told, other):
        assert [span.name for span in one.spans].count("poll acme: /jobs") == 1


async def test_a_blocked_loop_costs_a_collection_one_wait_and_no_metrics_of_others(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("asyncconn.integrations.opentelemetry._TIMEOUT", 0.05)
    told.meters.get_meter("the.program").create_counter("own").add(1)
    found: list[Any] = []
    async with acme(Loopback(Reply(503), OK)) as client:
        with told.instrument(client.hub):
            await client.http.request("GET", "/x")
            assert told.points("asyncconn.retries") == {("acme",): 1}
            for name in ("own", "asyncconn.retries"):
                thread = threading.Thread(target=lambda name=name: found.append(told.points(name)))
                thread.start()
                thread.join()  # which blocks the loop

    assert found == [{(): 1}, {("acme",): 1}]  # the hub's are those of before
    assert caplog.text.count("no new metrics this time: the hub's loop did not answer in 0.05 s") == 2


async def test_an_address_of_six_stands_in_brackets(told: Told) -> None:
    async with Hub() as hub:
        client = Acme(hub=hub, base_url="http://[::1]:9")
        with told.instrument(hub), pytest.raises(NotSent):
            await client.http.request("GET", "/x", retry=ONCE)

    assert attributes(told.spans[0])["url.full"] == "http://[::1]:9/x"
    assert attributes(told.spans[0])["server.address"] == "::1"


async def test_a_secret_that_is_a_word_is_no_name_of_a_poll(told: Told) -> None:
    async with Loopback(saying({"status": "DONE"})) as server, Hub() as hub:
        client = Acme(hub=hub, base_url=server.url, auth=TokenAuth("SecretOfLetters"))
        with told.instrument(hub):
            await client.http.poll("/jobs/SecretOfLetters", until={"status": "DONE"})

    assert {span.name for span in told.spans} == {"GET /jobs/{}", "poll acme: /jobs/{}"}
    assert "SecretOfLetters" not in "".join(span.to_json() for span in told.spans)


async def test_a_tracer_that_fails_stops_no_call(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, *args: Any, **options: Any) -> Any:
            return None

    async with acme(Loopback()) as client:
        with instrument(client.hub, tracer_provider=Broken(shutdown_on_exit=False), meter_provider=told.meters):
            assert (await client.http.request("GET", "/x")).status == 200

    assert "AttributeError" in caplog.text


def test_without_the_library_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["opentelemetry"] = None
try:
    import asyncconn.integrations.opentelemetry
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "asyncconn.integrations.opentelemetry needs opentelemetry-api: pip install 'asyncconn[otel]'"
    )
