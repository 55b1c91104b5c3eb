"""Queries: rows, errors behind a 200, batches, and the limit of their own."""

from __future__ import annotations

from typing import Any

import pytest
from loopback import Loopback, saying

from asyncconn.datorama import Datorama
from asyncconn.datorama.errors import DatoramaProtocolError, DatoramaQueryError
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.faults import Fault

from .scene import WORKSPACE, scene

BY_CAMPAIGN: dict[str, Any] = {
    "workspaceId": WORKSPACE,
    "dateRange": "PREV_MONTH",
    "measurements": [{"name": "Impressions"}],
    "dimensions": ["Campaign Name"],
}


async def test_rows_come_under_their_headers() -> None:
    async with scene() as there:
        datorama = there.client()
        found = await datorama.query(BY_CAMPAIGN)
        assert found.headers == ("Campaign Name", "Impressions")
        assert {row["Campaign Name"] for row in found.records()} == {"Winter", "Spring", "Brand"}
        frame = found.frame()
        assert list(frame.columns) == ["Campaign Name", "Impressions"]
        assert frame["Impressions"].sum() == sum(row[1] for row in found.rows)
        assert (await datorama.query(BY_CAMPAIGN, system_names=True)).headers == (
            "CAMPAIGN_NAME",
            "DELIVERY_IMPRESSIONS",
        )


async def test_queries_count_against_their_own_limit_and_the_day() -> None:
    async with scene() as there:
        datorama = there.client()
        await datorama.query(BY_CAMPAIGN)
        await datorama.queries.batch([BY_CAMPAIGN] * 3)
        assert [call.kind for call in there.calls] == ["query", "query"]
        [books] = datorama.rates
        assert {part.name: part.limit - part.remaining for part in books["query"].parts} == {"query": 2, "daily": 2}
        assert {part.name: part.limit - part.remaining for part in books["default"].parts} == {
            "platform": 0,
            "daily": 2,
        }


async def test_a_field_that_there_is_not_is_the_querys_error() -> None:
    async with scene() as there:
        with pytest.raises(DatoramaQueryError, match="No Such") as caught:
            await there.client().query({**BY_CAMPAIGN, "dimensions": ["No Such"]})
        assert (caught.value.status, len(there.calls)) == (422, 1)


async def test_an_error_behind_a_200_is_an_error_and_is_not_repeated() -> None:
    async with scene(DatoramaWorld(max_query_rows=2)) as there:
        datorama = there.client()
        with pytest.raises(DatoramaQueryError, match=r"more than 2 rows.*use a report") as caught:
            await datorama.query(BY_CAMPAIGN)
        assert (caught.value.status, len(there.calls)) == (200, 1)
        there.fault(Fault("errors_200"))
        with pytest.raises(DatoramaQueryError, match="ran out of time"):
            await datorama.query(BY_CAMPAIGN)


async def test_one_query_of_a_batch_may_fail_by_itself() -> None:
    async with scene(DatoramaWorld(max_query_rows=3)) as there:
        good, bad = BY_CAMPAIGN, {**BY_CAMPAIGN, "dimensions": ["Day"]}
        first, second, third = await there.client().queries.batch([good, bad, good])
        assert isinstance(second, DatoramaQueryError)
        assert not isinstance(first, DatoramaQueryError)
        assert first == third
        assert await there.client().queries.batch([]) == []
        assert len(there.calls) == 1


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ("too slow", "too slow"),
        (["too slow", "too much"], "too slow; too much"),
        ([{"message": "too slow", "code": 7}], "too slow"),
        ({"msg": "too slow"}, "too slow"),
        ([{"code": 7}], "{'code': 7}"),
        ([None, 3], "None; 3"),
    ],
)
async def test_errors_come_in_any_shape(errors: Any, words: str) -> None:
    reply = saying({"queryResponseData": None, "errors": errors})
    async with Loopback(reply) as server, Datorama("made-up-token", base_url=server.url) as datorama:
        with pytest.raises(DatoramaQueryError) as caught:
            await datorama.query(BY_CAMPAIGN)
    assert caught.value.message == words


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        {},
        {"queryResponseData": None},
        {"queryResponseData": {"headers": [], "rows": None}, "errors": []},
    ],
)
async def test_an_answer_that_is_no_result_is_an_error(answer: Any) -> None:
    async with Loopback(saying(answer)) as server, Datorama("made-up-token", base_url=server.url) as datorama:
        with pytest.raises(DatoramaProtocolError):
            await datorama.query(BY_CAMPAIGN)


@pytest.mark.parametrize("answer", [None, {}, [], [{}, {}]])
async def test_a_batch_needs_as_many_results_as_queries(answer: Any) -> None:
    async with Loopback(saying(answer)) as server, Datorama("made-up-token", base_url=server.url) as datorama:
        with pytest.raises(DatoramaProtocolError, match="1 queries"):
            await datorama.queries.batch([BY_CAMPAIGN])
