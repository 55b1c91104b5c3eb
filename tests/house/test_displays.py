"""What reports look like at a prompt and in a notebook: short, right, and without what was in the records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from markup import Markup

from asyncconn import (
    BatchBuffer,
    BatchStats,
    CollectReport,
    Datorama,
    DrainReport,
    FailedPartition,
    FlushReport,
    Hub,
    Page,
    Pager,
    Panoply,
    Poller,
    PollGroup,
    RateLimiter,
    Receipt,
    SyncReport,
    VirtualClock,
    Window,
)
from asyncconn.atoti_limits.resources.evaluation import Evaluation
from asyncconn.core.secret import Secret
from asyncconn.datorama import QueryResult
from asyncconn.errors import DeliveryFailed
from asyncconn.panoply import FileReport, RunReport
from asyncconn.sandbox import DatoramaWorld, Sandbox
from asyncconn.tcup import InsertReport

STATS = (
    "BatchStats(accepted=3, delivered=2, pending=1, pending_bytes=80, batches_delivered=1, bytes_delivered=90, "
    "oldest_age=0.25, max_age_at_send=0.5)"
)
RECORD = {"id": 7, "note": "<b>made-up & private</b>"}
LOSS = DeliveryFailed("lost", records=[RECORD], reasons=[RECORD], maybe_delivered=False)
FLUSHED = FlushReport(delivered=10, rejected=1, seconds=0.12345, failures=(LOSS,))


def html(thing: Any) -> Markup:
    read = Markup(thing._repr_html_())
    assert read.open == []
    assert read.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    return read


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (FLUSHED, "FlushReport(accepted=11, delivered=10, rejected=1, seconds=0.123)"),
        (FlushReport(), "FlushReport()"),
        (InsertReport(delivered=1, duplicates=2), "InsertReport(accepted=1, delivered=1, duplicates=2)"),
        (SyncReport(12, 1, FLUSHED, "2026"), "SyncReport(read=12, known=1, delivered=10, rejected=1, cursor='2026')"),
        (
            CollectReport(done=3, failed=1, failures=(FailedPartition(RECORD, ValueError(RECORD)),), run="r"),
            "CollectReport(done=3, failed=1, run='r')",
        ),
        (DrainReport({"acme": FlushReport(delivered=1)}), "DrainReport(acme=FlushReport(accepted=1, delivered=1))"),
        (RunReport(rows=4, state={"token": "made-up"}, finished=True), "RunReport(rows=4, finished=True)"),
        (FileReport(2, 2, 1, 1, 8, [RECORD]), "FileReport(records=2, accepted=2, delivered=1, messages=1, bytes=8)"),
        (Page([RECORD], next=8), "<Page of 1 item, more to come>"),
        (Page([RECORD, RECORD]), "<Page of 2 items, the last>"),
        (QueryResult(("Day", "Clicks"), [["2026-01-01", 4]]), "<QueryResult of 1 row: Day, Clicks>"),
        (Evaluation(("Limit ID,Measure Value", "fiat,3")), "<Evaluation of 1 row>"),
        (Receipt([RECORD]), "<Receipt pending>"),
        (BatchStats(3, 2, 0, 0, 0, 1, 80, 0, 1, 0, 90, 0.25, 0.5), STATS),
        (RateLimiter(Window(60, 9.0), name="acme").snapshot(), "<RateSnapshot acme: window: 60 of 60 left>"),
    ],
)  # fmt: skip
def test_a_report_is_a_line_without_its_records_and_a_table(thing: Any, shown: str) -> None:
    assert repr(thing) == shown
    assert "private" not in shown
    assert html(thing).texts


def test_the_table_of_a_report_has_its_figures() -> None:
    texts = html(FLUSHED).texts
    assert texts[:7] == ["FlushReport", "accepted", "11", "delivered", "10", "rejected", "1"]
    assert not any("private" in text for text in texts)


def test_to_look_at_a_report_is_not_to_hear_of_its_losses() -> None:
    told: list[DeliveryFailed] = []
    report = FlushReport(failed=1, failures=(LOSS,), tell=told.append)
    repr(report), report._repr_html_()
    assert told == []


def test_a_page_of_rows_is_a_table_of_their_fields_with_secrets_masked() -> None:
    texts = html(Page([RECORD, {"id": 8, "apiKey": "k-made-up"}, 9])).texts
    assert texts[:5] == ["Page of 3 items, the last", "id", "note", "apiKey", "7"]
    assert "<b>made-up & private</b>" in texts
    assert "***" in texts
    assert not any("k-made-up" in text for text in texts)
    assert html(Page([Secret("s-made-up")])).texts[-1] == "***"


def test_a_page_of_many_shows_the_first_and_counts_the_others() -> None:
    assert html(Page([{"id": number} for number in range(50)])).texts[-1] == "and 30 items more"


async def test_a_receipt_tells_how_its_records_arrived() -> None:
    async def send(batch: object) -> None:
        pass

    async with asyncio.timeout(5):
        buffer: BatchBuffer[bytes] = BatchBuffer(send, size=len)
        receipt = await buffer.put(b"x")
        assert html(receipt).texts == ["Receipt", "outcome", "pending", "records", "1"]
        await buffer.aclose()
    assert html(receipt).texts[:5] == ["Receipt", "outcome", "delivered", "records", "1"]


def test_a_rate_that_is_paused_says_until_when() -> None:
    clock = VirtualClock()
    limiter = RateLimiter(Window(60, 60.0, name="minute"), name="acme", clock=clock)
    limiter.pause(90.0)
    assert "minute: 60 of 60 left; paused until 2030-01-01 00:01:30 UTC" in repr(limiter.snapshot())
    assert html(limiter.snapshot()).texts[1:] == ["limit", "calls", "left", "resets in s", "minute", "60", "60", "0.0"]


def test_a_plan_and_what_became_of_it_are_tables() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with Sandbox(DatoramaWorld(workspaces=1, streams=3), clock=clock) as sandbox, Hub(clock=clock) as hub:
            datorama = Datorama(sandbox.datorama.token, base_url=sandbox.url, hub=hub)
            [streams] = (await datorama.fetch_all_streams()).values
            plan = await datorama.plan_process(streams, "2029-12-01", "2029-12-02")
            assert repr(plan) == "<Plan of 1 call, for 3 jobs; not begun>"
            assert html(plan).texts[1:] == ["method", "path", "POST", plan.calls[0].path]
            result = await plan.run()
            assert repr(plan).endswith("carried out>")
            assert repr(result) == "<BulkResult of 3 items: 3 ok, 0 failed, 0 unknown>"
            named = f"stream {streams[0].id}, 2029-12-01 to 2029-12-02"
            assert html(result).texts[1:6] == ["input", "outcome", "error", named, "ok"]
            assert sandbox.datorama.token not in result._repr_html_() + plan._repr_html_()

    clock.run(main())


async def test_what_is_awaited_says_what_it_is() -> None:
    async def fetch(_: object) -> Any:
        return "RUNNING"

    assert repr(Pager(fetch)) == "<Pager: await it for the first page, iterate over all>"
    assert repr(Poller(lambda: fetch(0), done=bool, result=str, name="export 7")) == "<Poller of export 7: 0 polls>"
    group = PollGroup(fetch, [7, 8], done=lambda _: False, name="jobs")
    assert repr(group) == "<PollGroup of jobs: 0 of 2 ended>"


def test_a_hub_and_a_writer_count_in_good_english() -> None:
    hub = Hub()
    account = Sandbox(seed=7).panoply
    panoply = Panoply(account.api_key, account.api_secret, hub=hub)
    assert repr(hub) == "<Hub new, 1 connector>"
    assert repr(panoply).endswith(", 0 records pending>")
