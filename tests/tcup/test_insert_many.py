"""Many observations in one call: chunks, an outcome for each item, and nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual
from hypothesis import given
from hypothesis import strategies as st
from loopback import DROP, Loopback, Reply, saying

from asyncconn import Hub, Window
from asyncconn.errors import BadRequest, ConfigError, ConnectionLost, Forbidden, HubClosed, PayloadTooLarge
from asyncconn.sandbox import Fault
from asyncconn.tcup import ItemResult, Tcup, payload
from asyncconn.tcup.inserting import Seen

from .scene import OBSERVATIONS, QUICK, scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from loopback import Seen as Request

    from asyncconn import VirtualClock

WHEN = datetime(2026, 1, 5, tzinfo=UTC)


def rows(count: int, sensor: str = "ts1", start: int = 0) -> list[tuple[str, dict[str, Any], str, datetime]]:
    return [(sensor, {"obs2": i}, "tf1", WHEN + timedelta(seconds=i)) for i in range(start, start + count)]


def observations(seen: Request) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(seen.body)["observations"]
    return found


def judged(refuse: Callable[[dict[str, Any]], bool]) -> Callable[[Request], Reply]:
    """A server with a result for each item."""

    def answer(seen: Request) -> Reply:
        bad = [refuse(one) for one in observations(seen)]
        results = [{"index": i, "id": "x", "code": 404 if no else 201} for i, no in enumerate(bad)]
        return saying({"code": 404 if all(bad) else 207 if any(bad) else 201, "results": results})

    return answer


async def test_chunks_have_500_records_and_go_one_after_the_other() -> None:
    async with Loopback(otherwise=judged(lambda _: False)) as server, Hub() as hub:
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(rows(1201))

        assert (report.delivered, report.accepted, report.complete) == (1201, 1201, True)
        assert [len(observations(seen)) for seen in server.seen] == [500, 500, 201]
        assert server.connections == 1


async def test_an_observation_of_many_records_counts_as_many() -> None:
    three = payload("ts1", {"a": 1})["observations"][0]
    three["record"] *= 3
    async with Loopback(otherwise=judged(lambda _: False)) as server, Hub() as hub:
        await Tcup(server.url, "key", hub=hub).observations.insert_many([three] * 200)

        assert [len(observations(seen)) for seen in server.seen] == [166, 34]


async def test_chunks_have_no_more_than_a_mebibyte() -> None:
    large = [("ts1", {"obs1": "x" * 10_000}, "tf1") for _ in range(200)]
    async with Loopback(otherwise=judged(lambda _: False)) as server, Hub() as hub:
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(large)

        assert report.delivered == 200
        assert max(len(seen.body) for seen in server.seen) <= 1024 * 1024
        assert sum(len(observations(seen)) for seen in server.seen) == 200


async def test_exactly_the_refused_are_reported_and_nothing_goes_twice() -> None:
    async with scene() as s:
        given = [*rows(300), ("tsX", {"obs2": 1}, "tf1"), *rows(300, start=300), ("ts1", {"obs9": 1}, "tf1")]
        report = await s.client.observations.insert_many(given)

        assert (report.delivered, report.rejected, report.failed, report.unknown) == (600, 2, 0, 0)
        assert [one.record for one in report.rejections] == [given[300], given[-1]]
        assert [one.reason.code for one in report.rejections] == [404, 400]
        assert sorted(s.values()) == sorted(str(i) for i in range(600))
        assert s.inserts() == 2


@given(st.lists(st.booleans(), max_size=1100))
@virtual
async def test_whatever_is_refused(clock: VirtualClock, good: list[bool]) -> None:
    given_rows = [("ts1" if fine else "tsX", {"obs2": i}, "tf1", WHEN) for i, fine in enumerate(good)]
    async with Loopback(otherwise=judged(lambda one: one["sensor"] == "tsX")) as server, Hub(clock=clock) as hub:
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(given_rows)
        sent = [one["record"][0]["output"][0]["value"] for seen in server.seen for one in observations(seen)]

    assert sent == [str(i) for i in range(len(good))]
    assert report.delivered == sum(good)
    assert [one.record for one in report.rejections] == [row for row in given_rows if row[0] == "tsX"]


async def test_a_row_that_is_no_observation_is_rejected_and_the_others_go_on() -> None:
    async with scene() as s:
        strange: list[Any] = [("ts1",), ("ts1", {"obs2": float("nan")}), 7, None, ("ts1", {})]
        report = await s.client.observations.insert_many([*rows(2), *strange, *rows(1, start=2)])

        assert (report.delivered, report.rejected) == (3, 5)
        assert {repr(one.record) for one in report.rejections} == {*map(repr, strange)}
        assert all(isinstance(one.reason, ConfigError) for one in report.rejections)


async def test_rows_may_come_from_an_async_generator_which_is_closed() -> None:
    closed = False

    async def source() -> AsyncIterator[Any]:
        nonlocal closed
        try:
            for row in rows(700):
                yield row
        finally:
            closed = True

    async with scene() as s:
        assert (await s.client.observations.insert_many(source())).delivered == 700
        assert closed


@pytest.mark.parametrize("kind", ["at hand", "awaited"])
async def test_what_came_before_an_error_of_the_source_is_stored(kind: str) -> None:
    def at_hand() -> Iterator[Any]:
        yield from rows(700)
        raise OSError("the source broke")

    async def awaited() -> AsyncIterator[Any]:
        for row in at_hand():
            yield row

    async with scene() as s:
        with pytest.raises(OSError, match="the source broke"):
            await s.client.observations.insert_many(at_hand() if kind == "at hand" else awaited())

        assert len(s.rows()) == 700


@pytest.mark.parametrize("where", ["value", "position"])
async def test_a_nan_in_an_observation_of_somebody_elses_is_rejected_and_no_null(where: str) -> None:
    made = [payload("ts1", {"obs2": i}, time=WHEN + timedelta(seconds=i))["observations"][0] for i in range(20)]
    record = made[7]["record"][0]
    if where == "value":
        record["output"][0]["value"] = float("nan")
    else:
        record["position"] = {"x": float("nan"), "y": 1.0}
    async with scene() as s:
        report = await s.client.observations.insert_many(made)

        assert (report.delivered, report.rejected) == (19, 1)
        assert report.rejections[0].record is made[7]
        assert len(s.rows()) == 19


async def test_rows_of_a_query_can_be_inserted_elsewhere() -> None:
    async with scene() as s, scene() as other:
        await s.client.observations.insert_many([("ts1", {"obs1": "a", "obs2": 2}, "tf1", WHEN)])
        report = await other.client.observations.insert_many(s.client.observations.query(sensor="ts1"))

        assert report.delivered == 2
        assert s.rows() == other.rows()


async def test_a_chunk_whose_answer_is_lost_is_unknown_and_not_sent_again() -> None:
    async with scene() as s:
        s.fail(Fault("drop_after", match=OBSERVATIONS, after=1))
        given_rows = rows(1500)
        report = await s.client.observations.insert_many(given_rows)

        assert (report.delivered, report.unknown, report.failed, report.rejected) == (1000, 500, 0, 0)
        assert report.undelivered == given_rows[500:1000]
        assert not report.complete
        assert s.inserts() == 3
        assert len(s.rows()) == 1500
        assert isinstance(report.failures[0].__cause__, ConnectionLost)


async def test_a_chunk_that_was_surely_not_done_is_failed() -> None:
    refusal = saying({"code": 403, "message": "Invalid API key"}, 403)
    async with Loopback(refusal, otherwise=saying({})) as server, Hub() as hub:
        report = await Tcup(server.url, "key", hub=hub, retry=QUICK).observations.insert_many(rows(600))

    assert (report.delivered, report.failed, report.unknown) == (100, 500, 0)
    assert isinstance(report.failures[0].__cause__, Forbidden)


async def test_what_is_too_large_together_is_sent_in_halves() -> None:
    def answer(seen: Request) -> Reply:
        count = len(observations(seen))
        return saying({"code": 413, "message": "too large", "results": []} if count > 100 else {"code": 201})

    async with Loopback(otherwise=answer) as server, Hub() as hub:
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(rows(500))

        assert (report.delivered, report.rejected) == (500, 0)
        stored = [one for seen in server.seen if len(observations(seen)) <= 100 for one in observations(seen)]
        assert [one["record"][0]["output"][0]["value"] for one in stored] == [str(i) for i in range(500)]


async def test_the_one_item_for_which_a_chunk_is_refused_is_found() -> None:
    def answer(seen: Request) -> Reply:
        bad = any(one["sensor"] == "bad" for one in observations(seen))
        return saying({"code": 400, "message": "cannot be read", "results": []} if bad else {"code": 201})

    async with Loopback(otherwise=answer) as server, Hub() as hub:
        given_rows = [*rows(250), ("bad", {"obs2": 1}), *rows(249, start=250)]
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(given_rows)

    assert (report.delivered, report.rejected) == (499, 1)
    (refused,) = report.rejections
    assert refused.record == ("bad", {"obs2": 1})
    assert isinstance(refused.reason, BadRequest)


async def test_a_server_that_refuses_everything_is_not_asked_for_each_item_for_ever() -> None:
    refusal = saying({"code": 400, "message": "no", "results": []})
    async with Loopback(otherwise=refusal) as server, Hub() as hub:
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(rows(5000))

        assert report.rejected == 5000
        assert len(server.seen) < 1100


async def test_one_item_larger_than_the_server_takes_is_rejected() -> None:
    async with Loopback(otherwise=saying({"code": 413, "message": "too large"})) as server, Hub() as hub:
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(rows(1))

    assert isinstance(report.rejections[0].reason, PayloadTooLarge)


async def test_a_hub_that_closes_in_between_is_an_error() -> None:
    async with scene() as s:

        async def source() -> AsyncIterator[Any]:
            for row in rows(500):
                yield row
            await s.hub.aclose()
            yield rows(1)[0]

        with pytest.raises(HubClosed):
            await s.client.observations.insert_many(source())


async def test_an_item_of_which_a_partial_answer_is_silent_is_not_taken_for_stored() -> None:
    silent = saying({"code": 207, "results": [{"index": 0, "code": 201}, {"index": 2, "code": 404}]})
    async with Loopback(otherwise=silent) as server, Hub() as hub:
        report = await Tcup(server.url, "key", hub=hub).observations.insert_many(rows(3))

    assert report.delivered == 1
    assert [one.reason for one in report.rejections] == [ItemResult(1, None, 500), ItemResult(2, None, 404)]


# -- duplicates --------------------------------------------------------------------------------------------------------


async def test_a_window_leaves_out_what_went_before_however_its_time_is_written() -> None:
    async with scene() as s:
        once, same = ("ts1", {"obs2": 1}, "tf1", "05-JAN-2026 00:00:00 UTC"), ("ts1", {"obs2": 1}, "tf1", WHEN)
        again = ("ts1", {"obs2": 1}, "tf1", "5-jan-2026 05:30:00 IST")
        more = ("ts1", {"obs2": 1, "obs1": "new"}, "tf1", WHEN)
        report = await s.client.observations.insert_many([once, same, again, more, *rows(2)], dedupe_window=10)

        assert (report.delivered, report.duplicates, report.accepted) == (3, 3, 3)


def test_the_window_is_bounded() -> None:
    seen = Seen(3)
    made = [payload("ts1", {"a": 1}, time=WHEN + timedelta(seconds=i))["observations"][0] for i in range(5)]

    assert [seen.is_new(one) for one in made] == [True] * 5
    assert len(seen._keys) == 3
    assert seen.is_new(made[0])
    assert not seen.is_new(made[4])
    with pytest.raises(ConfigError):
        Seen(-1)


async def test_what_was_not_stored_is_no_duplicate_when_it_comes_again() -> None:
    async with Loopback(saying({}, 403), otherwise=saying({"code": 201})) as server, Hub() as hub:
        tcup = Tcup(server.url, "key", hub=hub, retry=QUICK)
        report = await tcup.observations.insert_many([*rows(500), *rows(500)], dedupe_window=2000)

    assert (report.failed, report.delivered, report.duplicates) == (500, 500, 0)


# -- backfill ----------------------------------------------------------------------------------------------------------


async def test_a_backfill_leaves_places_to_what_is_live() -> None:
    slowly = replace(saying({"code": 201}), after=0.01)
    async with Loopback(otherwise=slowly) as server, Hub() as hub:
        tcup = Tcup(server.url, "key", hub=hub, max_concurrency=6)
        report = await tcup.observations.backfill(rows(5000), share=0.5)

    assert report.delivered == 5000
    assert server.most == 3


@virtual
async def test_a_backfill_takes_its_share_of_the_rate_and_no_more(clock: VirtualClock) -> None:
    at: list[float] = []

    def answer(_: Request) -> Reply:
        at.append(clock.now())
        return saying({"code": 201})

    async with Loopback(otherwise=answer) as server, Hub(clock=clock) as hub:
        tcup = Tcup(server.url, "key", hub=hub, rates=Window(10, 1.0, skew=0.0))
        began = clock.now()
        await tcup.observations.backfill(rows(10_000), share=0.4)
        seconds = clock.now() - began

    assert len(at) == 20
    assert max(sum(0 <= other - one < 1.0 for other in at) for one in at) <= 4
    assert 4.0 <= seconds < 6.0


@pytest.mark.parametrize("share", [0, -1, 1.1])
async def test_a_share_is_a_part(share: float) -> None:
    async with scene() as s:
        with pytest.raises(ConfigError, match="share"):
            await s.client.observations.backfill(rows(1), share=share)


async def test_no_row_is_lost_in_a_backfill_that_loses_an_answer() -> None:
    async with Loopback(saying({"code": 201}), DROP, otherwise=saying({"code": 201})) as server, Hub() as hub:
        report = await client_of(server, hub).observations.backfill(rows(3000))

    assert report.accepted == 3000
    assert (report.delivered, report.unknown) == (2500, 500)


def client_of(server: Loopback, hub: Hub) -> Tcup:
    return Tcup(server.url, "key", hub=hub, retry=QUICK)
